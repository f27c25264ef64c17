//! A request whose answer another client is getting waits for it, for a while (H46).

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::sleep_until;

use super::Session;
use super::cancel::Waits;
use super::end::End;
use super::plan::{Plan, Waited};
use crate::cache::Follow;

impl Session {
    /// Waits for another client's answer to the request at the front, which is then answered by it,
    /// or gets an upstream.
    pub(super) async fn wait_for(&mut self, mut waited: Box<Waited>) -> Result<(), End> {
        self.client.inbox.tuck();
        loop {
            if self.follow(&mut waited.follow).await? == Followed::Cancelled {
                return self.skip_request().await;
            }
            match self.plan(Some(&waited))? {
                Plan::Answered => return Ok(()),
                Plan::Upstream(asking) => {
                    self.asking = Some(asking);
                    return self.acquire();
                }
                Plan::Wait(next) => *waited = next,
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
