//! The task that looks after those in line and what is at hand: what falls due, what fails, what has
//! rested, and the end of a pause.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Given, Permit};
use crate::pool::error::ConnectError;
use crate::pool::valve::Valve;
use crate::pool::{LeaseError, Pool, Slot};

/// So that limits of nothing at all keep no processor busy.
const SHORT: Duration = Duration::from_millis(1);

/// How long an upstream lies at hand before it goes to bb8, which closes those that nobody uses.
const RESTS: Duration = Duration::from_secs(1);

/// Looks after those in line and what is at hand, as long as there is any of either.
pub(super) struct Keeper {
    pool: Weak<Pool>,
    failures: watch::Receiver<Option<Arc<ConnectError>>>,
    valve: Arc<Valve>,
    /// The database was paused when it looked last.
    paused: bool,
    /// Nobody waited then, and nothing was at hand.
    nothing: bool,
}

impl Keeper {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::downgrade(pool),
            failures: pool.failures.subscribe(),
            valve: Arc::clone(&pool.valve),
            paused: pool.valve.is_paused(),
            nothing: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut turned = self.valve.watch();
        while let Some(due) = self.look() {
            let mut sleep = pin!(tokio::time::sleep_until(due));
            tokio::select! {
                () = &mut sleep => {}
                Ok(()) = turned.changed() => {}
                changed = self.failures.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let failure = self.failures.borrow_and_update().clone();
                    if let (Some(error), Some(pool)) = (failure, self.pool.upgrade()) {
                        pool.fail_line(&error);
                    }
                }
            }
        }
    }

    /// Does what is due; when something will be next. `None` when there has been nothing to look after for
    /// a while: whoever comes next makes a new keeper.
    fn look(&mut self) -> Option<Instant> {
        let pool = self.pool.upgrade()?;
        let now = Instant::now();
        let paused = self.valve.is_paused();
        if !paused {
            if std::mem::take(&mut self.paused) {
                let mut state = pool.line.state();
                for waiter in &mut state.queue {
                    waiter.counted_from = now;
                }
            }
            pool.serve_line();
        }
        self.paused = paused;
        let times_out = if paused { None } else { pool.time_out(now) };
        let reminds = pool.remind(now);
        // Whoever comes after this cannot be due earlier.
        let after = pool.wait_notice().unwrap_or(RESTS);
        let later = now + after.min(pool.limits.timeout).clamp(SHORT, RESTS);
        pool.put_behind(now);
        let mut state = pool.line.state();
        let nothing = state.queue.is_empty() && state.at_hand.is_empty();
        if nothing && self.nothing {
            state.kept = false;
            return None;
        }
        drop(state);
        self.nothing = nothing;
        let due = times_out.into_iter().chain(reminds).min();
        Some(due.map_or(later, |due| due.min(later)))
    }
}

impl Pool {
    /// Permits that are free go to those who wait: after a pause.
    fn serve_line(self: &Arc<Self>) {
        loop {
            let mut state = self.line.state();
            if self.valve.is_paused() || state.free == 0 {
                return;
            }
            let Some(ticket) = state.next(&self.line) else {
                return;
            };
            state.free -= 1;
            drop(state);
            // If its client has gone, the permit is passed on when it is dropped.
            let _given: bool = ticket.give(&mut Some(Given::Permit(Permit::new(self))));
        }
    }

    /// Upstreams that have rested go to bb8.
    fn put_behind(&self, now: Instant) {
        let mut state = self.line.state();
        let rests = |slot: &mut Slot| {
            let warm = slot.as_ref();
            warm.is_none_or(|warm| now.duration_since(warm.taken_at) >= RESTS)
        };
        let rested: Vec<Slot> = state.at_hand.extract_if(.., rests).collect();
        // bb8 is not asked while others wait for the lock.
        drop(state);
        drop(rested);
    }

    /// Those whose time is over are told so; when the next one's is.
    fn time_out(&self, now: Instant) -> Option<Instant> {
        let mut late = Vec::new();
        let mut state = self.line.state();
        let next = loop {
            let Some(first) = state.queue.front() else {
                break None;
            };
            let ends = first.counted_from.checked_add(self.limits.timeout);
            match ends.filter(|ends| *ends <= now) {
                Some(_) => late.extend(state.next(&self.line)),
                None => break ends,
            }
        };
        drop(state);
        for ticket in late {
            ticket.fail(self.timed_out());
        }
        next
    }

    /// Those who have waited long are reminded; when the next one has.
    fn remind(&self, now: Instant) -> Option<Instant> {
        let after = self.wait_notice()?;
        let mut long = Vec::new();
        let mut state = self.line.state();
        let next = loop {
            let Some(waiter) = state.queue.get(state.noticed) else {
                break None;
            };
            let due = waiter.ticket.since.checked_add(after);
            if due.is_none_or(|due| due > now) {
                break due;
            }
            long.push(Arc::clone(&waiter.ticket));
            state.noticed += 1;
        };
        drop(state);
        for ticket in long {
            ticket.remind();
        }
        next
    }

    /// An upstream could not be made. As long as others live, one of them will be free in the end.
    fn fail_line(&self, error: &Arc<ConnectError>) {
        if self.live.count() > 0 {
            return;
        }
        let mut state = self.line.state();
        let mut all = Vec::new();
        while let Some(ticket) = state.next(&self.line) {
            all.push(ticket);
        }
        drop(state);
        for ticket in all {
            ticket.fail(LeaseError::Connect(Arc::clone(error)));
        }
    }
}
