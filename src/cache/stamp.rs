//! Counters, and what remembers their numbers: a stamp on everything that was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// How often a relation was written, and how many writes of it are under way.
///
/// All orderings are SeqCst: the order between counters is what this room promises, increments cost
/// the same with any ordering on common processors, and loads are plain loads there.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) generation: AtomicU64,
    pub(super) dirty: AtomicU64,
    /// The number of its last move among all moves of the process; 0 before the first. For people only.
    moved: AtomicU64,
}

/// Moves of any counter so far.
static MOVES: AtomicU64 = AtomicU64::new(0);

/// The next number of a move.
pub(super) fn next_move() -> u64 {
    MOVES.fetch_add(1, Relaxed) + 1
}

/// What concerns all relations of one database.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) epoch: AtomicU64,
    /// As a counter's own.
    pub(super) epoch_moved: AtomicU64,
    /// Writes of which nobody knows what they touch.
    pub(super) everything: Counter,
}

/// What a result depends on, with its counters at hand: made once per meaning, cloned for free.
#[derive(Clone, Debug)]
pub struct Deps {
    pub(super) watched: Arc<Watched>,
}

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) whole: Arc<Whole>,
    /// Sorted by address, each once.
    pub(super) counters: Box<[Arc<Counter>]>,
    /// Not for results that only go by age.
    pub(super) everything: bool,
}

/// Whether what was stamped is still true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// Nothing was written since.
    Live,
    /// A write to something it depends on is under way: neither serve nor store, but it may come
    /// to nothing.
    Dirty,
    /// Something it depends on was written.
    Stale,
}

/// The numbers of everything a result depends on, from before its query was sent.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub(super) deps: Deps,
    epoch: u64,
    /// The sum of all generations. Generations only grow, so of two sums over the same counters,
    /// one taken after the other, the second is equal exactly when no generation has moved.
    pub(super) sum: u64,
}

impl Counter {
    /// What it counts was written.
    pub(super) fn move_on(&self) {
        self.generation.fetch_add(1, SeqCst);
        self.moved.store(next_move(), Relaxed);
    }

    /// The number of its last move.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    fn is_dirty(&self) -> bool {
        self.dirty.load(SeqCst) > 0
    }
}

impl Deps {
    /// The numbers to store with the result of a query that is about to be sent. None: something it
    /// depends on is dirty, or `epoch`, its catalog's, has passed.
    pub fn stamp(&self, epoch: u64) -> Option<Stamp> {
        if self.watched.is_dirty() {
            return None;
        }
        let stamp = Stamp {
            deps: self.clone(),
            epoch,
            sum: self.watched.sum(),
        };
        (self.watched.whole.epoch.load(SeqCst) == epoch).then_some(stamp)
    }
}

impl Watched {
    fn is_dirty(&self) -> bool {
        (self.everything && self.whole.everything.is_dirty())
            || self.counters.iter().any(|counter| counter.is_dirty())
    }

    pub(super) fn sum(&self) -> u64 {
        let everything = if self.everything {
            self.whole.everything.generation.load(SeqCst)
        } else {
            0
        };
        self.counters.iter().fold(everything, |sum, counter| {
            sum.wrapping_add(counter.generation.load(SeqCst))
        })
    }
}

impl Stamp {
    /// Whether what was stamped is still true: a few loads.
    pub fn state(&self) -> Live {
        // Dirty first. The writer moves the generation and then cleans up, so whoever finds a
        // settled write clean finds its generation moved. The other way round, a write could
        // settle between the two looks and be missed by both.
        let watched = &self.deps.watched;
        if watched.is_dirty() {
            return Live::Dirty;
        }
        let same = watched.sum() == self.sum && watched.whole.epoch.load(SeqCst) == self.epoch;
        if same { Live::Live } else { Live::Stale }
    }

    /// Whether both have the same numbers of the same things: who holds one may wait for a result
    /// that is being made under the other. (Two sums taken while both kinds of things move can be
    /// equal by accident; neither stamp is live then, and what is served is judged again.)
    pub fn same(&self, other: &Self) -> bool {
        self.sum == other.sum && self.epoch == other.epoch && self.deps.same(&other.deps)
    }

    /// Whether a result under this stamp may be given to somebody who asks under `other`: it must
    /// watch what they watch. Results that only go by age are not for those who go by writes.
    pub fn serves(&self, other: &Self) -> bool {
        other.deps.is_nothing() || self.deps.same(&other.deps)
    }

    /// The epoch of the catalog by which its relations were found.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Deps {
    fn is_nothing(&self) -> bool {
        !self.watched.everything && self.watched.counters.is_empty()
    }

    fn same(&self, other: &Self) -> bool {
        let (one, two) = (&self.watched, &other.watched);
        Arc::ptr_eq(one, two)
            || (Arc::ptr_eq(&one.whole, &two.whole)
                && one.everything == two.everything
                && one.counters.len() == two.counters.len()
                && one
                    .counters
                    .iter()
                    .zip(&two.counters)
                    .all(|(a, b)| Arc::ptr_eq(a, b)))
    }
}
