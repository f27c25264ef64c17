//! A query that runs beside the clients' own: it renews an entry, checks one against the database, or
//! makes one for a client whose transaction no upstream knows of yet.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::caching::Caching;
use super::filling::Filling;
use super::held::Held;
use crate::cache::FOLLOW_MAX;
use crate::pool::Pool;
use crate::pool::state::Settings;
use crate::reason::Reason;
use crate::wire::frame::{self, HEADER_BYTES};
use crate::wire::replies::Status;

/// How long one may take, waiting for an upstream included. An entry that takes longer to renew
/// expires, and its next reader waits for it.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A query, and for whom it would be run.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) pool: Arc<Pool>,
    pub(super) caching: Arc<Caching>,
    pub(super) settings: Arc<Settings>,
    /// Parse, Bind, Describe, Execute and Sync.
    pub(super) frames: Vec<u8>,
    pub(super) filling: Filling,
    /// Its place among those that only check.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// The messages that ask for one result, with its description.
pub(super) fn frames(text: &[u8], types: &[u8], values: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let types: &[u8] = if types.is_empty() { &[0, 0] } else { types };
    // No formats, no parameters, no result formats: all text.
    let values = values.unwrap_or(&[0; 6]);
    frame::push(&mut out, b'P', &[b"\0", text, b"\0", types]);
    frame::push(&mut out, b'B', &[b"\0\0", values]);
    frame::push(&mut out, b'D', &[b"P\0"]);
    frame::push(&mut out, b'E', &[b"\0\0\0\0\0"]);
    frame::push(&mut out, b'S', &[]);
    out
}

impl Errand {
    /// Runs it beside everything else. Its place in the pool's queue is that of any client.
    pub(super) fn start(mut self) {
        tokio::spawn(async move {
            let _place = self.permit.take();
            let known = Arc::clone(self.filling.known());
            let begun = Instant::now();
            if tokio::time::timeout(ERRAND_TIMEOUT, self.run())
                .await
                .is_err()
            {
                tracing::debug!("an errand of the cache took too long");
            }
            if begun.elapsed() >= FOLLOW_MAX {
                // A client that waited for it has asked the database a second time.
                known.failed_apart();
            }
        });
    }

    async fn run(mut self) {
        let Ok(lease) = self.pool.lease().await else {
            return;
        };
        let mut held = Held::new(lease, None, Instant::now());
        if !held.bring_to(&self.settings).await {
            held.lease
                .discard("it could not be brought to a client's settings");
            return;
        }
        self.filling.started(Instant::now());
        held.out.buffer().extend_from_slice(&self.frames);
        // What it leaves there is nobody's.
        held.lease.unnamed = u64::MAX;
        let known = Arc::clone(self.filling.known());
        let answered = poll_fn(|cx| held.poll_fill(cx, &mut self.filling)).await;
        match answered {
            Ok(status) => {
                if let Err(why) =
                    self.filling
                        .finish(status, &held.lease, (&self.caching, Instant::now()))
                {
                    tracing::debug!(reason = why.as_str(), "an errand of the cache kept nothing");
                    if matches!(why, Reason::NotClean | Reason::OversizedResult) {
                        known.failed_apart();
                    }
                }
                if status != Status::Idle {
                    held.lease.discard("an errand left a transaction open");
                    return;
                }
                held.lease.settings = Arc::clone(held.settings.now());
                held.lease.give_back();
            }
            Err(error) => {
                tracing::debug!(%error, "an errand of the cache failed");
                held.lease.discard("lost on an errand of the cache");
            }
        }
    }
}

impl Held {
    /// Brings an upstream that nobody uses to these settings.
    async fn bring_to(&mut self, settings: &Arc<Settings>) -> bool {
        let sql = self.settings.now().difference(settings);
        if !sql.is_empty() && self.ask(&sql).await.is_err() {
            return false;
        }
        self.settings = super::settings::Staged::new(Arc::clone(settings));
        true
    }

    /// Sends what is queued, and reads answers into the fill up to ReadyForQuery.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        filling: &mut Filling,
    ) -> Poll<std::io::Result<Status>> {
        if let Poll::Ready(Err(error)) = self.out.poll_drain(&mut self.lease.stream, cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            while let Some(header) =
                frame::header(self.inbox.bytes()).map_err(std::io::Error::other)?
            {
                let Some(raw) = self.inbox.bytes().get(..header.bytes) else {
                    if header.bytes > super::client::FRAME_BUFFERED_MAX {
                        return Poll::Ready(Err(std::io::Error::other("a row is too large")));
                    }
                    self.inbox.reserve(header.bytes);
                    break;
                };
                filling.frame(raw);
                if header.tag == b'S' {
                    // Nobody is there to be told, so nobody else gets this upstream.
                    return Poll::Ready(Err(std::io::Error::other("a parameter has changed")));
                }
                let status = raw.get(HEADER_BYTES).copied().and_then(Status::from_byte);
                self.inbox.advance(header.bytes);
                if header.tag == b'Z' {
                    return Poll::Ready(status.ok_or_else(|| std::io::Error::other("no status")));
                }
            }
            match self.inbox.poll_fill(&mut self.lease.stream, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}
