//! Between two transactions: what has to happen before the upstream may serve another client.

use std::sync::Arc;

use super::Session;
use super::ask::AskError;
use super::deferred::Deferred;
use super::end::End;
use super::held::{Adjusting, Held, Note};
use super::link::Link;
use super::pin::PROBE;
use crate::metrics::Sum;
use crate::pool::state::Settings;
use crate::sql::effect::Hidden;

/// Takes a session back to what it was after its login, but for its prepared statements (H90). As
/// one simple query it is one round trip.
pub(super) const LIGHT_RESET: &[u8] = b"SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;\
    UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();DISCARD TEMP;DISCARD SEQUENCES";

/// The same, and everything else: after code that nobody has looked at.
pub(super) const FULL_RESET: &[u8] = b"DISCARD ALL";

impl Link<'_> {
    /// The difference between what the upstream last ran under and what the client wants goes out
    /// in front of the request: no round trip of its own.
    ///
    /// It stands in a transaction block, so that if it fails, what follows fails as well, instead of
    /// running under the wrong role.
    pub(super) fn bring_to_settings(&mut self) {
        let wanted = Arc::clone(self.state.settings.now());
        if Arc::ptr_eq(&wanted, self.held.settings.now()) || wanted == *self.held.settings.now() {
            let mut out = Vec::new();
            self.report_upstream(&mut out);
            if !out.is_empty() {
                self.client.out.buffer().append(&mut out);
            }
            return;
        }
        let mut sql = b"BEGIN;".to_vec();
        sql.append(&mut self.held.settings.now().difference(&wanted));
        sql.extend_from_slice(b"COMMIT");
        let mut out = Vec::new();
        self.held.query(&mut out, &sql, Note::Settings);
        self.held.adjusting = Adjusting::Underway;
        self.held.out.buffer().append(&mut out);
        self.held.settings = self.state.settings.clone();
    }
}

impl Session {
    /// Gives the upstream back, if that is all there is to do with it.
    pub(super) fn settle_at_once(&mut self) -> bool {
        let plain = self.held.as_ref().is_some_and(|held| {
            held.hidden.is_none()
                && held.pins.is_empty()
                && !held.pins.worth_asking()
                && !held.is_refused()
        });
        if !plain || !self.registered.handle().try_let_go() {
            return false;
        }
        if let Some(held) = self.held.take() {
            held.into_pool();
        }
        true
    }

    /// The upstream is at rest: gives it back, unless it is pinned.
    pub(super) async fn settle(&mut self) -> Result<(), End> {
        let Some(held) = self.held.as_mut() else {
            return Ok(());
        };
        if held.is_refused() {
            // The client was told that its transaction has failed.
            self.deferred = held.begun.take().map_or(Deferred::No, Deferred::Failed);
            return self.discard("its settings were refused").await;
        }
        if held.pins.worth_asking() {
            match held.ask(PROBE).await {
                Ok(Some(mask)) => held.pins.told(mask),
                // Its client has cancelled it, say, or set a limit to its time: the reasons stay.
                Err(AskError::Upstream(_)) => held.pins.ask = false,
                _ => return Err(End::UpstreamClosed { told: false }),
            }
        }
        if !held.pins.is_empty() {
            if !held.pins.settled {
                // Beyond the limit of pins it keeps its place in the pool.
                let _moved: bool = held.lease.detach();
                self.pool.metrics.add(Sum::Pins, 1);
                held.pins.settled = true;
            }
            self.registered.handle().pinned(held.pins.mask());
            return Ok(());
        }
        self.give_back().await;
        Ok(())
    }

    async fn discard(&mut self, why: &'static str) -> Result<(), End> {
        self.registered.handle().let_go().await;
        if let Some(held) = self.held.take() {
            held.lease.discard(why);
        }
        Ok(())
    }

    /// Back to the pool, proven clean; or closed.
    pub(super) async fn give_back(&mut self) {
        let handle = Arc::clone(self.registered.handle());
        let Some(mut held) = self.held.take() else {
            return;
        };
        // A cancel under way might hit a reset, or the next client.
        if !handle.try_let_go() && !handle.let_go().await {
            held.lease.discard("a cancel request did not end");
            return;
        }
        if held.hidden.is_some() && !held.reset().await {
            held.lease.discard("it could not be reset");
            return;
        }
        held.into_pool();
    }
}

impl Held {
    /// Back to the pool, with the settings that it runs under.
    fn into_pool(self: Box<Self>) {
        let Self {
            mut lease,
            settings,
            ..
        } = *self;
        lease.settings = Arc::clone(settings.now());
        lease.give_back();
    }

    /// Takes the upstream back to what it was after its login; false when that failed.
    pub(super) async fn reset(&mut self) -> bool {
        let full = self.hidden == Some(Hidden::Opaque);
        self.lease.resets();
        let sql = if full { FULL_RESET } else { LIGHT_RESET };
        if let Err(error) = self.ask(sql).await {
            tracing::debug!(%error, "reset failed");
            return false;
        }
        if full {
            self.lease.prepared.clear();
        }
        self.settings = super::settings::Staged::new(Settings::defaults());
        self.hidden = None;
        self.pins.clear();
        true
    }
}
