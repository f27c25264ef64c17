//! A new configuration reaches a session that runs.

use std::sync::Arc;

use super::Session;
use super::caching::Caching;
use super::reading::{is_readable, shaped};
use super::refuse::Rules;
use super::shapes::Known;
use super::state::{Meant, State, work};
use crate::pool::Pool;
use crate::wire::frame;

impl Session {
    /// Between two transactions, with no upstream: if the pool has a successor, that is the session's
    /// from now on.
    pub(super) fn go_over(&mut self) {
        if self.held.is_some() {
            return;
        }
        while let Some(found) = self.pool.successor().cloned() {
            self.rules = Rules {
                mode: found.mode,
                pin: found.pin,
            };
            let before = std::mem::replace(&mut self.pool, found.pool);
            self.registered.handle().joins(&self.pool);
            if before.catalog.id() != self.pool.catalog.id() {
                let caching = self.caching.as_ref();
                self.caching = caching.map(|caching| caching.moved(&self.pool));
                self.state.read_again(self.caching.as_deref());
            }
        }
    }
}

impl Caching {
    /// The same client's part in the cache of another pool's database.
    fn moved(&self, pool: &Pool) -> Arc<Self> {
        self.shared.join(pool, self.client())
    }
}

impl State {
    /// What the client's texts mean was found out with another catalog. Without any, they are taken
    /// to do whatever they might.
    fn read_again(&mut self, caching: Option<&Caching>) {
        self.context = None;
        self.portal = Meant::default();
        self.portals.clear();
        let reported = Arc::clone(&self.reported);
        let meant = |body: &[u8]| {
            let text = frame::split_cstr(body).map_or(body, |(text, _)| text);
            let known = |caching: &Caching| -> Arc<Known> {
                if is_readable(text, &reported) {
                    shaped(text, |shape| caching.known(text, shape))
                } else {
                    Arc::clone(&caching.database.unreadable)
                }
            };
            Meant {
                work: work(crate::sql::analyze(
                    text,
                    reported.standard_conforming(),
                    None,
                )),
                known: caching.map(known),
                traced: None,
            }
        };
        for named in self.statements.values_mut() {
            let traced = named.meant.traced.take();
            named.meant = meant(&named.statement.body);
            named.meant.traced = traced;
        }
        if let Some(unnamed) = self.unnamed.as_mut() {
            let traced = unnamed.meant.traced.take();
            unnamed.meant = meant(&unnamed.body);
            unnamed.meant.traced = traced;
        }
    }
}
