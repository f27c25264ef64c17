//! A client and the upstream it holds, for as long as one step takes.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::caching::Caching;
use super::client::Client;
use super::end::{End, UpstreamFault};
use super::held::{Held, LastWords};
use super::refuse::Rules;
use super::state::State;
use crate::pool::Pool;
use crate::wire::frame::FrameError;
use crate::wire::replies::Unexpected;

/// Everything the relay touches.
pub(super) struct Link<'a> {
    pub(super) client: &'a mut Client,
    pub(super) held: &'a mut Held,
    pub(super) state: &'a mut State,
    pub(super) pool: &'a Pool,
    pub(super) rules: Rules,
    /// The session's part in the cache, if there is one.
    pub(super) caching: Option<&'a Arc<Caching>>,
}

impl Link<'_> {
    /// Moves bytes both ways until neither side has any more; ready when the upstream is at rest and
    /// there is something to settle with it.
    ///
    /// Cancel safe: all progress is in the client and the held upstream.
    pub(super) fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut passed_over = false;
        loop {
            let client_full = self.pump_backend(cx)?;
            let upstream_full = self.pump_frontend(cx)?;
            self.drain(cx)?;
            // What had no room has it again, and no event will say so.
            if client_full && self.client.out.has_room()
                || upstream_full && self.held.out.has_room()
            {
                continue;
            }
            // A copy whose data will not come any more is ended by closing the upstream.
            let replies = &self.held.replies;
            if self.held.onward.leaving && (!replies.awaits_ready() || replies.in_copy()) {
                return Poll::Ready(Err(End::Terminated));
            }
            if self.rests() {
                return Poll::Ready(Ok(()));
            }
            let answered = self.fill_from_upstream(cx)?;
            // What has been answered is passed on first: mostly that is all, and the client is read
            // when its upstream is given back. But not behind one answer after the other.
            passed_over = answered && !passed_over;
            let asked = !passed_over && self.fill_from_client(cx)?;
            if !answered && !asked {
                return Poll::Pending;
            }
        }
    }

    /// Whether the session has to look at what it holds.
    fn rests(&self) -> bool {
        let pins = &self.held.pins;
        self.held.at_rest()
            && self.held.onward.rest == 0
            && (pins.is_empty() || !pins.settled || pins.worth_asking())
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if let Poll::Ready(Err(error)) = self.held.out.poll_drain(&mut self.held.lease.stream, cx) {
            return Err(End::Upstream(error));
        }
        self.client.try_flush(cx).map_err(End::Client)
    }

    fn fill_from_upstream(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.held.inbox.has_room() || !self.client.out.has_room() {
            return Ok(false);
        }
        match self.held.inbox.poll_fill(&mut self.held.lease.stream, cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(End::UpstreamClosed {
                told: self.held.last_words == LastWords::Said,
            }),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(_)) if self.held.last_words == LastWords::Said => {
                Err(End::UpstreamClosed { told: true })
            }
            Poll::Ready(Err(error)) => Err(End::Upstream(error)),
        }
    }

    /// Whether the client's next frame is Terminate.
    fn says_good_bye(&self) -> bool {
        let onward = &self.held.onward;
        !onward.leaving && onward.rest == 0 && self.client.inbox.bytes().first() == Some(&b'X')
    }

    fn fill_from_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.held.onward.leaving {
            if !self.held.only_rolls_back() {
                // What it left running may last, and runs to its end as it would at Postgres.
                return Ok(false);
            }
            // Nothing behind a good-bye means anything, but that the connection closes does.
            let behind = self.client.inbox.bytes().len();
            self.client.inbox.advance(behind);
        }
        if !self.client.inbox.has_room() || !self.held.out.has_room() {
            return Ok(false);
        }
        match self.client.inbox.poll_fill(&mut self.client.stream, cx) {
            Poll::Pending => Ok(false),
            // While others wait for the upstream its good-bye lies unread.
            Poll::Ready(Ok(0)) if self.says_good_bye() => {
                self.held.onward.leaving = true;
                Ok(true)
            }
            Poll::Ready(Ok(0)) => Err(End::ClientClosed),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(End::Client(error)),
        }
    }
}

/// The upstream's fault, not the client's.
pub(super) fn upstream_frame(fault: FrameError) -> End {
    End::UpstreamProtocol(UpstreamFault::Frame(fault))
}

/// The upstream answered what was not asked.
pub(super) fn upstream_unexpected(fault: Unexpected) -> End {
    End::UpstreamProtocol(UpstreamFault::Unexpected(fault))
}
