//! Answers in the making: one per key at a time, so that a hundred who ask the same at once cost
//! the database one query (H46).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry as Made;
use super::generation::{Live, Stamp};
use super::hashed::{Key, Known};

/// Shards of the table of flights: a lock is held for well under a microsecond, and few cores
/// share one process.
const SHARDS: usize = 64;

/// Flights per shard. There is at most one per client that waits for its upstream, so this is
/// reached only by those who would raise the number of clients far beyond its default; whoever
/// comes then asks the database and stores nothing.
const FLIGHTS_MAX: usize = 4096;

/// How long after its start a flight is waited for. A query that takes longer is not what a herd
/// is about, and waiting for one that ends badly must not cost more than this.
pub const FOLLOW_MAX: Duration = Duration::from_secs(5);

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) stamp: Stamp,
    /// When it began; it is followed until [`FOLLOW_MAX`] later.
    pub(super) begun: Instant,
    /// The number of purges that the cache had seen.
    pub(super) purges: u64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// Nobody waits any more: it has ended, or its leader is too slow for others.
    over: bool,
    entry: Option<Arc<Made>>,
    next: u64,
    /// At most one per client, by place.
    wakers: Vec<(u64, Waker)>,
}

/// A place among those who wait for somebody else's answer.
#[derive(Debug)]
pub struct Follow {
    flight: Arc<Flight>,
    place: Option<u64>,
}

/// What became of the wish to make an answer.
#[derive(Debug)]
pub(super) enum Boarding {
    /// It is ours to make, under this key.
    Lead(Key, Arc<Flight>),
    /// Somebody makes the same.
    Follow(Follow),
    /// Somebody makes it, but not for us; or too much is being made.
    Alone,
}

type Shard = HashMap<Key, Arc<Flight>, Known>;

/// All answers in the making.
#[derive(Debug)]
pub(super) struct Flights {
    shards: Box<[Mutex<Shard>]>,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The part of the table in which this key's flight is; everything that is stored under the
    /// key is stored while this lock is held.
    pub(super) fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        let hash = usize::try_from(key.asked().hash >> 32).unwrap_or(0);
        Some(lock(self.shards.get(hash % SHARDS)?))
    }

    /// Begins to make an answer, or finds who does.
    pub(super) fn board(&self, key: Key, flight: Flight) -> Boarding {
        let Some(mut shard) = self.shard(&key) else {
            return Boarding::Alone;
        };
        let full = shard.len() >= FLIGHTS_MAX;
        let flight = match shard.entry(key.clone()) {
            Entry::Occupied(mut other) => match other.get().meet(&flight) {
                Meeting::Join => return Boarding::Follow(Flight::follow(other.get())),
                Meeting::Apart => return Boarding::Alone,
                Meeting::Replace => {
                    // What it makes will not be stored; ours will.
                    let flight = Arc::new(flight);
                    other.insert(Arc::clone(&flight));
                    flight
                }
            },
            Entry::Vacant(_) if full => return Boarding::Alone,
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(flight))),
        };
        Boarding::Lead(key, flight)
    }

    /// Takes a flight off the table, unless another has taken its place.
    pub(super) fn land(&self, key: &Key, flight: &Arc<Flight>) {
        if let Some(mut shard) = self.shard(key) {
            remove(&mut shard, key, flight);
        }
    }

    /// Waits until nobody is storing anything that was checked before now.
    pub(super) fn pass(&self) {
        for shard in &self.shards {
            drop(lock(shard));
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

/// Takes a flight out of its locked shard, unless another has taken its place.
pub(super) fn remove(shard: &mut Shard, key: &Key, flight: &Arc<Flight>) {
    if is_current(shard, key, flight) {
        shard.remove(key);
    }
}

/// Whether this is still the flight of its key.
pub(super) fn is_current(shard: &Shard, key: &Key, flight: &Arc<Flight>) -> bool {
    shard
        .get(key)
        .is_some_and(|current| Arc::ptr_eq(current, flight))
}

enum Meeting {
    Join,
    Apart,
    Replace,
}

impl Flight {
    pub(super) fn new(stamp: Stamp, purges: u64, now: Instant) -> Self {
        Self {
            stamp,
            begun: now,
            purges,
            waiters: Mutex::default(),
        }
    }

    /// What a newcomer makes of a flight of the same key.
    fn meet(&self, new: &Self) -> Meeting {
        if self.purges != new.purges || self.stamp.state() != Live::Live {
            // A reader that starts after a write must not wait for what was sent before it.
            return Meeting::Replace;
        }
        let late = new.begun.saturating_duration_since(self.begun) >= FOLLOW_MAX;
        if late || !self.stamp.same(&new.stamp) || lock(&self.waiters).over {
            return Meeting::Apart;
        }
        Meeting::Join
    }

    pub(super) fn follow(flight: &Arc<Self>) -> Follow {
        Follow {
            flight: Arc::clone(flight),
            place: None,
        }
    }

    /// Lets all followers go, with what was made if anything was.
    pub(super) fn release(&self, entry: Option<Arc<Made>>) {
        let wakers = {
            let mut waiters = lock(&self.waiters);
            waiters.over = true;
            if entry.is_some() {
                waiters.entry = entry;
            }
            std::mem::take(&mut waiters.wakers)
        };
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}

impl Follow {
    /// Ready when there is no more to wait for: ask [`super::Cache::after`] then.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiters = lock(&self.flight.waiters);
        if waiters.over {
            return Poll::Ready(());
        }
        let place = match self.place {
            Some(place) => place,
            None => {
                waiters.next += 1;
                *self.place.insert(waiters.next)
            }
        };
        match waiters.wakers.binary_search_by_key(&place, |(at, _)| *at) {
            Ok(index) => {
                if let Some((_, waker)) = waiters.wakers.get_mut(index) {
                    waker.clone_from(cx.waker());
                }
            }
            // Places are given in this moment, each higher than the last.
            Err(_) => waiters.wakers.push((place, cx.waker().clone())),
        }
        Poll::Pending
    }

    /// When to stop waiting, whatever becomes of it.
    pub fn deadline(&self) -> Instant {
        self.flight.begun + FOLLOW_MAX
    }

    /// What was made, unless there was a purge since.
    pub(super) fn entry(&self, purges: u64) -> Option<Arc<Made>> {
        let entry = lock(&self.flight.waiters).entry.clone();
        entry.filter(|_| self.flight.purges == purges)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut waiters = lock(&self.flight.waiters);
            if let Ok(index) = waiters.wakers.binary_search_by_key(&place, |(at, _)| *at) {
                waiters.wakers.remove(index);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
