//! What a client that has gone left running is stopped.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::held::Held;
use crate::wire::frame::{self, HEADER_BYTES};

/// How long that may take, before the upstream is closed all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The same where a message of the client's was cut short: for that no answer will come.
const CUT_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the first cancel may take to show; each further one gets twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Longest answer that is looked at as a whole: none but rows and values of settings is longer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Held {
    /// Cancels until nothing is owed any more. A cancel that overtakes the query it is meant for finds the
    /// server idle and stops nothing, and one of a pipeline stops only what runs at that moment; a server
    /// that waits for a lock or a sleep does not notice that its connection is closed.
    pub(super) async fn stop(&mut self) {
        let cut = !self.out.is_empty() || self.onward.rest > 0;
        let ends = Instant::now() + if cut { CUT_TIMEOUT } else { STOP_TIMEOUT };
        let mut pause = FIRST_PAUSE;
        while Instant::now() < ends {
            if let Err(failed) = self.lease.record.cancel.cancel(STOP_TIMEOUT).await {
                tracing::debug!(error = %failed.error, "cancelling an abandoned query failed");
                return;
            }
            let silence = poll_fn(|cx| self.poll_silence(cx));
            if timeout(pause, silence).await.is_ok() {
                return;
            }
            pause *= 2;
        }
    }

    /// Ready when nothing is owed, or will be answered. What comes is for nobody.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            while let Some(used) = self.skip() {
                self.inbox.advance(used);
            }
            if self.replies.is_empty() && self.rest.bytes == 0 {
                return Poll::Ready(());
            }
            match ready!(self.inbox.poll_fill(&mut self.lease.stream, cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// The length of what can be skipped at the front of the inbox; none if more has to be read.
    fn skip(&mut self) -> Option<usize> {
        let bytes = self.inbox.bytes();
        if self.rest.bytes > 0 {
            let here = self.rest.bytes.min(bytes.len());
            self.rest.bytes -= here;
            return (here > 0).then_some(here);
        }
        let Ok(header) = frame::header(bytes) else {
            // Nobody can say what it is going to say.
            self.replies = Default::default();
            return None;
        };
        let header = header?;
        let here = header.bytes.min(bytes.len());
        if here < header.bytes && header.bytes <= ANSWER_BYTES_MAX {
            self.inbox.reserve(header.bytes);
            return None;
        }
        let body = bytes.get(HEADER_BYTES..here).unwrap_or_default();
        if self.replies.answer(header.tag, body).is_err() {
            self.replies = Default::default();
        }
        self.rest.bytes = header.bytes - here;
        Some(here)
    }
}
