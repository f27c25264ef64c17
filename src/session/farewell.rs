//! The end of a session: last words to the client, and what becomes of the upstream it held.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Session;
use super::end::End;
use super::held::Held;
use super::traced;
use crate::sql::effect::Hidden;
use crate::wire::replies::Status;

/// How long a client may take to read its last words.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    pub(super) async fn farewell(&mut self, end: &End) {
        // Words in the middle of a frame would be read as its data.
        let torn = self.held.as_ref().is_some_and(|held| held.is_mid_frame());
        let mut words = Vec::new();
        if !torn {
            end.farewell(&mut words);
        }
        self.trace_unanswered(&words);
        // Boxed, for hardly anybody leaves with an upstream, or without good-bye.
        if self.held.is_some() {
            Box::pin(self.release_upstream(end)).await;
        }
        self.pool.metrics.errors.count_frames(&words);
        self.client.out.buffer().append(&mut words);
        // A client in clear that went by itself, and has all that was for it, is not told of an end.
        let left = matches!(end, End::Terminated | End::ClientClosed);
        if !left || self.client.stream.is_tls() || !self.client.out.is_empty() {
            Box::pin(self.last_words()).await;
        }
        self.client.tally(&self.pool.metrics);
    }

    /// Sends what is queued, and closes.
    async fn last_words(&mut self) {
        let words = async {
            // The client may have gone; then nobody misses them.
            if self.client.flush().await.is_ok() {
                let _closed: std::io::Result<()> = self.client.stream.shutdown().await;
            }
        };
        let _late = tokio::time::timeout(LAST_WORDS_TIMEOUT, words).await;
    }

    /// Spans of what has not been answered.
    fn trace_unanswered(&mut self, words: &[u8]) {
        let outcome = traced::outcome(words);
        match self.held.as_mut() {
            Some(held) => held.clocked.abandoned(outcome, &self.pool.metrics),
            None => self.trace_unserved(outcome),
        }
    }

    /// The held upstream goes back if it can be proven clean, else it is closed (H104, H105).
    async fn release_upstream(&mut self, end: &End) {
        let Some(held) = self.held.as_mut() else {
            return;
        };
        let upstream_is_good = !matches!(
            end,
            End::Upstream(_) | End::UpstreamClosed { .. } | End::UpstreamProtocol(_)
        );
        let quiet = held.replies.at_rest()
            && held.rest.bytes == 0
            && held.inbox.is_empty()
            && held.out.is_empty()
            && held.onward.rest == 0;
        if !upstream_is_good || held.is_refused() || held.pins.survives_reset() {
            self.drop_upstream(false).await;
        } else if !quiet {
            self.drop_upstream(true).await;
        } else if held.leave_transaction().await {
            self.give_back().await;
        } else {
            self.drop_upstream(false).await;
        }
    }

    /// Closes the upstream; with `busy`, stops what it is doing first.
    async fn drop_upstream(&mut self, busy: bool) {
        let handle = Arc::clone(self.registered.handle());
        let Some(mut held) = self.held.take() else {
            return;
        };
        if !handle.try_let_go() {
            handle.let_go().await;
        }
        if busy {
            held.stop().await;
            held.lease
                .discard("its client left in the middle of a request");
        } else {
            held.lease
                .discard("its session ended and it could not be kept");
        }
    }
}

impl Held {
    /// Ends what the client left open: a transaction, session state.
    async fn leave_transaction(&mut self) -> bool {
        if self.pins.any_state() || !self.pins.is_empty() {
            self.hide(Hidden::Function);
        }
        if self.replies.status() == Status::Idle {
            return true;
        }
        // Cursors, locks and settings of the transaction go with it; the reset does the rest.
        self.hide(Hidden::Function);
        self.ask(b"ROLLBACK").await.is_ok()
    }
}
