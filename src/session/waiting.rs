//! A client's wait for an upstream: in line for one, then for a new one to be connected.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, sleep_until};

use super::cancel::{CANCELLED, LEAVE};
use super::end::End;
use super::{Rare, Session, check_flags};
use crate::moment;
use crate::pool::LeaseError;
use crate::pool::line::Permit;
use crate::pool::state::Setting;

/// The levels of `client_min_messages` at which Postgres would send no notice.
const QUIET: [&[u8]; 2] = [b"warning", b"error"];

impl Session {
    /// Takes an idle upstream, if there is one and nobody waits for it; else stands in line.
    pub(super) fn acquire(&mut self) -> Result<(), End> {
        // One look at the clock: nothing is waited for in between.
        let now = self.asked();
        if let Some(lease) = self.pool.lease_at_once(now) {
            self.hold(lease, now, now);
            return Ok(());
        }
        if let Some(asking) = self.asking.as_mut() {
            asking.at = Some(now);
        }
        let waiting = self.pool.wait(now).map_err(refused)?;
        self.registered.handle().queues(moment::number(now));
        self.waiting = Some(waiting);
        self.client.inbox.tuck();
        Ok(())
    }

    /// When the request was looked at: now, if it was not.
    fn asked(&self) -> Instant {
        let at = self.asking.as_ref().and_then(|asking| asking.at);
        at.unwrap_or_else(Instant::now)
    }

    /// Ready when it has its upstream, or is out of the line for another reason.
    pub(super) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Rare>, End>> {
        let Some(waiting) = &self.waiting else {
            return Poll::Ready(Ok(None));
        };
        if self.registered.handle().lower(CANCELLED) {
            // What it may have been given meanwhile goes to the next in line.
            self.waiting = None;
            return Poll::Ready(Ok(Some(Rare::Skip)));
        }
        let Poll::Ready(given) = waiting.poll(cx) else {
            if waiting.takes_notice() {
                self.tell_it_waits();
            }
            self.client.try_flush(cx).map_err(End::Client)?;
            ready!(self.poll_waiting(cx))?;
            self.waiting = None;
            return Poll::Ready(Ok(Some(Rare::Skip)));
        };
        let asked = waiting.since();
        self.waiting = None;
        let now = Instant::now();
        match self.pool.accept(given, now).map_err(refused)? {
            Ok(lease) => {
                self.hold(lease, asked, now);
                Poll::Ready(Ok(None))
            }
            Err(permit) => Poll::Ready(Ok(Some(Rare::Connect(permit, asked)))),
        }
    }

    /// Gets an upstream that may have to be connected first, unless the client's request is gone before;
    /// it has been waited for since `asked`.
    pub(super) async fn connect(&mut self, permit: Permit, asked: Instant) -> Result<(), End> {
        let pool = Arc::clone(&self.pool);
        let lease = {
            let mut lease = pin!(pool.connect(permit));
            let notice = pool.wait_notice();
            let due = notice.and_then(|after| asked.checked_add(after));
            // What is due already was said in the line.
            let due = due.filter(|due| *due > Instant::now());
            let mut reminder = pin!(due.map(sleep_until));
            poll_fn(|cx| {
                if self.registered.handle().lower(CANCELLED) {
                    return Poll::Ready(Ok(None));
                }
                if let Poll::Ready(lease) = lease.as_mut().poll(cx) {
                    return Poll::Ready(Ok(Some(lease)));
                }
                let timer = reminder.as_mut().as_pin_mut();
                if timer.is_some_and(|timer| timer.poll(cx).is_ready()) {
                    reminder.set(None);
                    self.tell_it_waits();
                }
                self.client.try_flush(cx).map_err(End::Client)?;
                self.poll_waiting(cx).map_ok(|()| None)
            })
            .await
        };
        match lease? {
            Some(Ok(lease)) => {
                self.hold(lease, asked, Instant::now());
                Ok(())
            }
            Some(Err(error)) => Err(refused(error)),
            None => self.skip_request().await,
        }
    }

    /// No upstream is held, so what is queued for the client are whole frames, and behind them a notice
    /// may stand, as anywhere between messages.
    fn tell_it_waits(&mut self) {
        if self.hears_notices() {
            self.pool.still_waiting().encode(self.client.out.buffer());
        }
    }

    /// While in the line: ready when the client cancels; an error when it has gone.
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let handle = self.registered.handle();
        check_flags(handle, cx, false)?;
        if handle.has(LEAVE) {
            return Poll::Ready(Err(End::Drained));
        }
        if handle.lower(CANCELLED) {
            return Poll::Ready(Ok(()));
        }
        while self.client.inbox.has_room() {
            match self.client.inbox.poll_fill(&mut self.client.stream, cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::ClientClosed)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Client(error))),
            }
        }
        Poll::Pending
    }

    /// Whether its `client_min_messages` lets notices through.
    fn hears_notices(&self) -> bool {
        let settings = self.state.settings.now();
        match settings.find("client_min_messages") {
            // `SET client_min_messages TO 'warning'`: the level is the last word.
            Some(Setting::Sql(text) | Setting::Value(text)) => !is_quiet(text),
            None => true,
        }
    }
}

fn refused(error: LeaseError) -> End {
    End::Refused(Box::new(error.into()))
}

fn is_quiet(text: &[u8]) -> bool {
    let mut words = text.rsplit(|byte| !byte.is_ascii_alphabetic());
    let last = words.find(|word| !word.is_empty()).unwrap_or_default();
    QUIET.iter().any(|quiet| last.eq_ignore_ascii_case(quiet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_last_word() {
        for quiet in [
            "warning",
            "SET client_min_messages = 'ERROR' ;",
            "set x to Warning",
        ] {
            assert!(is_quiet(quiet.as_bytes()), "{quiet}");
        }
        for loud in [
            "notice",
            "SET client_min_messages = log;",
            "",
            "warning_or_less x",
        ] {
            assert!(!is_quiet(loud.as_bytes()), "{loud}");
        }
    }
}
