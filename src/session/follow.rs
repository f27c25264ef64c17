//! A request whose answer another client is getting waits for it, for a while (H46).

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::sleep_until;

use super::Session;
use super::cancel::Waits;
use super::end::End;
use super::plan::Plan;
use crate::cache::Follow;

impl Session {
    /// Answers the request at the front from the cache; false when it needs an upstream.
    pub(super) async fn answer_cached(&mut self) -> Result<bool, End> {
        if self.caching.is_none() {
            return Ok(false);
        }
        let mut waited = None;
        loop {
            match self.plan(waited.as_ref())? {
                Plan::Answered => return Ok(true),
                Plan::Upstream(asking) => {
                    self.asking = Some(asking);
                    return Ok(false);
                }
                Plan::Wait(mut now) => {
                    if Box::pin(self.follow(&mut now.follow)).await? == Followed::Cancelled {
                        self.skip_request().await?;
                        return Ok(true);
                    }
                    waited = Some(now);
                }
            }
        }
    }

    async fn follow(&mut self, follow: &mut Follow) -> Result<Followed, End> {
        let mut late = std::pin::pin!(sleep_until(follow.deadline()));
        self.registered.handle().waits(Waits::Follow);
        let followed = poll_fn(|cx| {
            if follow.poll_done(cx).is_ready() || late.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(Followed::Ended));
            }
            self.poll_waiting(cx)
                .map(|waited| waited.map(|()| Followed::Cancelled))
        })
        .await;
        self.registered.handle().waits(Waits::No);
        followed
    }
}

/// How waiting for another client's answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    /// It is there, or not to be waited for any longer.
    Ended,
    Cancelled,
}
