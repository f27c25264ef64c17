//! The line in front of a pool's upstreams: first come, first served.
//!
//! There is a permit for each upstream that the pool may have. Whoever has one gets an idle upstream,
//! or a new one. While somebody waits, an upstream that is given back goes to whoever is first in
//! line, permit and all, and nobody else wakes up. Else it lies at hand for a moment, for whoever comes
//! next: bb8 sees only those that have rested. What may happen to those in line besides (time-outs,
//! notices, failures, a pause that ends) is looked after by one task for all of them, so that a client
//! that waits for a moment starts no timer.

mod keeper;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use self::keeper::Keeper;
use super::lease::Lease;
use super::{LeaseError, Pool, Slot};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    /// How many wait, for those who only look.
    length: AtomicUsize,
}

#[derive(Debug)]
struct State {
    /// Permits that nobody has. None as long as somebody waits, unless the database is paused.
    free: usize,
    /// Never longer than `pool.queue_max`.
    queue: VecDeque<Waiter>,
    /// Those who came before and have the right to an upstream that has to be connected first, which may
    /// not succeed: no more than there are permits.
    connecting: VecDeque<Arc<Ticket>>,
    /// So many at the front have waited long enough to be told.
    noticed: usize,
    /// Upstreams that were used a moment ago, the latest last; no more than there are permits. bb8's
    /// get and put are a tenth of a query's instructions.
    at_hand: Vec<Slot>,
    /// The task that looks after all of this is there.
    kept: bool,
}

#[derive(Debug)]
struct Waiter {
    ticket: Arc<Ticket>,
    /// Since when it waits, or when a pause ended: that time does not count.
    counted_from: Instant,
}

/// What one who waits and the line know of each other.
#[derive(Debug)]
struct Ticket {
    pool: Arc<Pool>,
    since: Instant,
    desk: Mutex<Desk>,
}

#[derive(Debug)]
enum Desk {
    Waiting {
        waker: Option<Waker>,
        /// It is to be told that it still waits.
        notice: bool,
    },
    Given(Given),
    /// It has gone, with what it was given or without.
    Gone,
}

/// What one who waited gets.
#[derive(Debug)]
pub enum Given {
    /// An upstream that another client has just given back.
    Lease(Lease),
    /// The right to one: see [`Pool::connect`].
    Permit(Permit),
    Failed(LeaseError),
}

/// A place in the line, which dropping it leaves.
#[derive(Debug)]
pub struct Waiting(Arc<Ticket>);

impl Waiting {
    /// Ready when there is something for it, once.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Given> {
        let mut desk = self.0.desk();
        match std::mem::replace(&mut *desk, Desk::Gone) {
            Desk::Given(given) => Poll::Ready(given),
            Desk::Waiting { waker, notice } => {
                let same = waker.filter(|waker| waker.will_wake(cx.waker()));
                let waker = Some(same.unwrap_or_else(|| cx.waker().clone()));
                *desk = Desk::Waiting { waker, notice };
                Poll::Pending
            }
            Desk::Gone => Poll::Pending,
        }
    }

    /// When it began.
    pub fn since(&self) -> Instant {
        self.0.since
    }

    /// Whether it is time to say that it still waits: true once.
    pub fn takes_notice(&self) -> bool {
        match &mut *self.0.desk() {
            Desk::Waiting { notice, .. } => std::mem::take(notice),
            Desk::Given(_) | Desk::Gone => false,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *self.0.desk(), Desk::Gone);
        match left {
            Desk::Waiting { .. } => self.0.pool.line.state().leave(&self.0, &self.0.pool.line),
            // Clean as it came: nothing was sent on it.
            Desk::Given(Given::Lease(lease)) => lease.give_back(),
            Desk::Given(Given::Permit(_) | Given::Failed(_)) | Desk::Gone => {}
        }
    }
}

impl Ticket {
    fn new(pool: &Arc<Pool>, since: Instant) -> Arc<Self> {
        let (waker, notice) = (None, false);
        Arc::new(Self {
            pool: Arc::clone(pool),
            since,
            desk: Mutex::new(Desk::Waiting { waker, notice }),
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what is there to be given; it stays where it is when the client has gone.
    fn give(&self, given: &mut Option<Given>) -> bool {
        let mut desk = self.desk();
        let Desk::Waiting { waker, .. } = &mut *desk else {
            return false;
        };
        let waker = waker.take();
        if let Some(given) = given.take() {
            *desk = Desk::Given(given);
        }
        drop(desk);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn fail(&self, error: LeaseError) {
        let _taken: bool = self.give(&mut Some(Given::Failed(error)));
    }

    fn remind(&self) {
        let mut desk = self.desk();
        if let Desk::Waiting { waker, notice } = &mut *desk {
            *notice = true;
            let waker = waker.clone();
            drop(desk);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// The right to one upstream. The next in line gets it when it is dropped.
#[derive(Debug)]
pub struct Permit {
    pub(super) pool: Arc<Pool>,
    of: Source,
}

/// What a permit counts against.
#[derive(Debug)]
enum Source {
    /// The pool's size.
    Size,
    /// The limit of pins.
    Pins { _permit: OwnedSemaphorePermit },
    /// Nothing any more.
    Returned,
}

impl Permit {
    fn new(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            of: Source::Size,
        }
    }

    /// It counts against the limit of pins from now on.
    pub(super) fn pins(&mut self, permit: OwnedSemaphorePermit) {
        let before = std::mem::replace(&mut self.of, Source::Pins { _permit: permit });
        if matches!(before, Source::Size) {
            self.pool.pass_on();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if matches!(self.of, Source::Size) {
            self.pool.pass_on();
        }
    }
}

impl Line {
    pub(super) fn new(permits: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: permits,
                queue: VecDeque::new(),
                connecting: VecDeque::new(),
                noticed: 0,
                at_hand: Vec::new(),
                kept: false,
            }),
            length: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(super) fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Permits that nobody has.
    pub(super) fn free(&self) -> usize {
        self.state().free
    }

    /// The upstream that was used last, if one is at hand.
    pub(super) fn at_hand(&self) -> Option<Slot> {
        self.state().at_hand.pop()
    }

    /// How many upstreams are at hand.
    pub(super) fn count_at_hand(&self) -> usize {
        self.state().at_hand.len()
    }
}

impl State {
    /// Takes a permit, if one is free and nobody waits for it.
    fn take(&mut self) -> bool {
        let can = self.free > 0 && self.queue.is_empty();
        self.free -= usize::from(can);
        can
    }

    /// Whoever is first in line.
    fn next(&mut self, line: &Line) -> Option<Arc<Ticket>> {
        let waiter = self.queue.pop_front()?;
        self.noticed = self.noticed.saturating_sub(1);
        line.length.store(self.queue.len(), Ordering::Relaxed);
        Some(waiter.ticket)
    }

    /// Whoever gets an upstream that is free: the first of those who have come so far that only that is
    /// missing, or of all others.
    fn next_or_connecting(&mut self, line: &Line) -> Option<Arc<Ticket>> {
        self.connecting.pop_front().or_else(|| self.next(line))
    }

    fn leave(&mut self, ticket: &Arc<Ticket>, line: &Line) {
        self.connecting.retain(|other| !Arc::ptr_eq(other, ticket));
        let mut places = self.queue.iter();
        let Some(place) = places.position(|waiter| Arc::ptr_eq(&waiter.ticket, ticket)) else {
            return;
        };
        self.queue.remove(place);
        if place < self.noticed {
            self.noticed -= 1;
        }
        line.length.store(self.queue.len(), Ordering::Relaxed);
    }
}

impl Pool {
    /// The right to an upstream, if one is free and nobody waits.
    pub(super) fn permit_at_once(self: &Arc<Self>) -> Option<Permit> {
        if self.valve.is_paused() {
            return None;
        }
        let taken = self.line.state().take();
        taken.then(|| Permit::new(self))
    }

    /// Stands in line since `now`.
    ///
    /// # Errors
    /// As many as may wait do already.
    pub fn wait(self: &Arc<Self>, now: Instant) -> Result<Waiting, LeaseError> {
        let ticket = Ticket::new(self, now);
        let mut state = self.line.state();
        if !self.valve.is_paused() && state.take() {
            drop(state);
            *ticket.desk() = Desk::Given(Given::Permit(Permit::new(self)));
            return Ok(Waiting(ticket));
        }
        if state.queue.len() >= self.limits.queue_max {
            return Err(self.queue_full());
        }
        state.queue.push_back(Waiter {
            ticket: Arc::clone(&ticket),
            counted_from: now,
        });
        self.line.length.store(state.queue.len(), Ordering::Relaxed);
        self.keep(state);
        Ok(Waiting(ticket))
    }

    /// With a permit, and while an upstream is being connected for it: one that is given back is as good.
    pub(super) fn wait_beside(self: &Arc<Self>) -> Waiting {
        let ticket = Ticket::new(self, Instant::now());
        let mut state = self.line.state();
        state.connecting.push_back(Arc::clone(&ticket));
        Waiting(ticket)
    }

    /// There is something to be looked after.
    fn keep(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let kept = std::mem::replace(&mut state.kept, true);
        drop(state);
        if !kept {
            tokio::spawn(Keeper::new(self).run());
        }
    }

    /// An upstream is free: it goes to whoever is first in line, or lies at hand.
    pub(super) fn put_at_hand(self: &Arc<Self>, mut lease: Lease) {
        let mut state = loop {
            let mut state = self.line.state();
            let Some(ticket) = state.next_or_connecting(&self.line) else {
                break state;
            };
            drop(state);
            let mut given = Some(Given::Lease(lease));
            if ticket.give(&mut given) {
                return;
            }
            let Some(Given::Lease(back)) = given else {
                return;
            };
            lease = back;
        };
        let (slot, mut permit) = lease.rest();
        state.at_hand.extend(slot);
        state.free += 1;
        permit.of = Source::Returned;
        self.keep(state);
    }

    /// A permit is free.
    fn pass_on(self: &Arc<Self>) {
        let mut given = None;
        loop {
            let mut state = self.line.state();
            let paused = self.valve.is_paused();
            let next = if paused { None } else { state.next(&self.line) };
            let Some(ticket) = next else {
                state.free += 1;
                drop(state);
                if let Some(Given::Permit(permit)) = &mut given {
                    permit.of = Source::Returned;
                }
                return;
            };
            drop(state);
            given.get_or_insert_with(|| Given::Permit(Permit::new(self)));
            if ticket.give(&mut given) {
                return;
            }
        }
    }
}
