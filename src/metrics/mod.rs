//! What the process counts of its work, for the console, `/metrics` and the dashboard.
//!
//! A [`Handle`] counts for one database and user; a session finds its own once, with its pool. To
//! count is a few relaxed additions: no lock, no allocation, no clock. [`shape`] counts for one shape
//! of query, [`histogram`] how long things took, [`errors`] what went wrong.
//!
//! Every query has exactly one [`Reason`], so the sum over all reasons is the number of queries.

pub mod errors;
pub mod histogram;
pub mod logins;
pub mod shape;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::errors::Errors;
use self::histogram::{Counted, Histogram, nanoseconds};
use self::logins::Logins;
use crate::export::span::{Exported, Queue, Tracer};
use crate::reason::Reason;

/// Handles at a time, as many as there may be pools; counters never go away, so those who come later
/// are counted together. Twenty kilobytes each.
pub const HANDLES_MAX: usize = 1_000;

/// Database and user of the handle for all who came too late.
pub const OTHERS: &str = "(others)";

/// Copies of the counters: threads use different ones, so that cores do not fight over a cache
/// line on every query. More threads than this share.
const COPIES: usize = 16;

/// One thread's counters, on cache lines of their own (some processors fetch two at a time).
#[derive(Debug)]
#[repr(align(128))]
struct Copy {
    reasons: [AtomicU64; Reason::ALL.len()],
    sums: [AtomicU64; Sum::ALL.len()],
}

/// What is added up besides queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// From clients.
    BytesIn,
    /// To clients.
    BytesOut,
    /// Transactions that ended on an upstream; a query outside of one is one.
    Transactions,
    /// Answers from memory inside of a transaction.
    InBlock,
    /// Transactions that began and ended without an upstream.
    Unopened,
    /// Nanoseconds in them, from their first request to the answer that ended them.
    TransactionTime,
    /// Nanoseconds in which upstreams worked on requests, the way to them included.
    UpstreamTime,
    /// Nanoseconds in which upstreams waited inside of a transaction for their client to go on.
    ClientTime,
    /// Sessions that came to hold their upstream beyond the transaction.
    Pins,
}

impl Sum {
    const ALL: [Self; 9] = [
        Self::BytesIn,
        Self::BytesOut,
        Self::Transactions,
        Self::InBlock,
        Self::Unopened,
        Self::TransactionTime,
        Self::UpstreamTime,
        Self::ClientTime,
        Self::Pins,
    ];
}

thread_local! {
    static COPY: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Which copy the current thread uses.
fn copy() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    COPY.with(|copy| {
        copy.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Relaxed) % COPIES;
            copy.set(Some(next));
            next
        })
    })
}

impl Default for Copy {
    fn default() -> Self {
        Self {
            reasons: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            sums: [const { AtomicU64::new(0) }; Sum::ALL.len()],
        }
    }
}

/// What is counted of the sessions of one database and user.
#[derive(Debug)]
pub struct Handle {
    /// As clients call it.
    pub database: Box<str>,
    /// As upstreams know it.
    pub user: Box<str>,
    copies: Box<[Copy]>,
    /// Errors that clients were told.
    pub errors: Errors,
    /// How long answers from memory took.
    pub from_memory: Histogram,
    /// How long the other requests took, from when they were read to the first byte of the answer.
    pub to_first: Histogram,
    /// The same, to the last byte.
    pub to_last: Histogram,
    /// How long requests waited for an upstream, to be made or to become free.
    pub queue: Histogram,
    /// How long it took to make upstreams.
    pub connect: Histogram,
    /// How often that failed.
    pub connects_failed: AtomicU64,
    /// Where spans of its queries go, if there is a collector.
    pub tracer: Option<Tracer>,
}

impl Handle {
    fn new(database: &str, user: &str, spans: Option<&Arc<Queue>>) -> Arc<Self> {
        Arc::new(Self {
            database: database.into(),
            user: user.into(),
            copies: (0..COPIES).map(|_| Copy::default()).collect(),
            errors: Errors::default(),
            from_memory: Histogram::default(),
            to_first: Histogram::default(),
            to_last: Histogram::default(),
            queue: Histogram::default(),
            connect: Histogram::default(),
            connects_failed: AtomicU64::new(0),
            tracer: spans.map(|queue| Tracer::new(queue, database, user)),
        })
    }

    /// Counts a query by what became of it.
    pub fn count(&self, reason: Reason) {
        let copy = self.copies.get(copy());
        if let Some(count) = copy.and_then(|copy| copy.reasons.get(reason.index())) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Adds to one of the sums.
    pub fn add(&self, sum: Sum, more: u64) {
        let copy = self.copies.get(copy());
        if let Some(count) = copy.and_then(|copy| copy.sums.get(sum as usize)) {
            count.fetch_add(more, Relaxed);
        }
    }

    /// Adds to some of them. Those that do not grow are left alone.
    pub fn add_all<const N: usize>(&self, more: [(Sum, u64); N]) {
        let Some(copy) = self.copies.get(copy()) else {
            return;
        };
        for (sum, more) in more {
            if more > 0
                && let Some(count) = copy.sums.get(sum as usize)
            {
                count.fetch_add(more, Relaxed);
            }
        }
    }

    /// The same, for the sums of durations.
    pub fn spend(&self, sum: Sum, time: Duration) {
        self.add(sum, nanoseconds(time));
    }

    /// All counts now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            reasons: Reason::ALL.map(|reason| {
                let of = |copy: &Copy| copy.reasons.get(reason.index()).map(|n| n.load(Relaxed));
                self.copies.iter().filter_map(of).sum()
            }),
            sums: Sum::ALL.map(|sum| {
                let of = |copy: &Copy| copy.sums.get(sum as usize).map(|n| n.load(Relaxed));
                self.copies.iter().filter_map(of).sum()
            }),
            errors: self.errors.snapshot(),
            from_memory: self.from_memory.snapshot(),
            to_first: self.to_first.snapshot(),
            to_last: self.to_last.snapshot(),
            queue: self.queue.snapshot(),
            connect: self.connect.snapshot(),
            connects_failed: self.connects_failed.load(Relaxed),
        }
    }
}

/// What a handle counted so far, or what some did together.
#[derive(Clone, Debug)]
pub struct Snapshot {
    reasons: [u64; Reason::ALL.len()],
    sums: [u64; Sum::ALL.len()],
    /// By class; those that never happened are left out.
    pub errors: Vec<(&'static str, u64)>,
    pub from_memory: Counted,
    pub to_first: Counted,
    pub to_last: Counted,
    pub queue: Counted,
    pub connect: Counted,
    pub connects_failed: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            reasons: [0; Reason::ALL.len()],
            sums: [0; Sum::ALL.len()],
            errors: Vec::new(),
            from_memory: Counted::default(),
            to_first: Counted::default(),
            to_last: Counted::default(),
            queue: Counted::default(),
            connect: Counted::default(),
            connects_failed: 0,
        }
    }
}

impl Snapshot {
    /// Queries, whatever became of them.
    pub fn queries(&self) -> u64 {
        self.reasons.iter().sum()
    }

    /// Those for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.index()).copied().unwrap_or(0)
    }

    /// Why queries were not answered from memory, the most frequent first.
    pub fn not_hits(&self) -> Vec<(Reason, u64)> {
        let all = Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.of(reason)));
        let mut list: Vec<_> = all
            .filter(|(reason, count)| *count > 0 && *reason != Reason::Hit)
            .collect();
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list
    }

    /// Those that were looked up in vain.
    pub fn misses(&self) -> u64 {
        let misses = Reason::ALL.into_iter().filter(|reason| reason.is_miss());
        misses.map(|reason| self.of(reason)).sum()
    }

    /// Those that were not looked up.
    pub fn bypasses(&self) -> u64 {
        self.queries() - self.misses() - self.of(Reason::Hit)
    }

    /// One of the sums; durations are in nanoseconds.
    pub fn sum(&self, sum: Sum) -> u64 {
        self.sums.get(sum as usize).copied().unwrap_or(0)
    }

    /// One of the sums of durations.
    pub fn time(&self, sum: Sum) -> Duration {
        Duration::from_nanos(self.sum(sum))
    }

    /// Transactions that ended. An answer from memory outside of one is one, as a query is.
    pub fn transactions(&self) -> u64 {
        let alone = self
            .from_memory
            .count()
            .saturating_sub(self.sum(Sum::InBlock));
        self.sum(Sum::Transactions) + self.sum(Sum::Unopened) + alone
    }

    /// How long all requests took together.
    pub fn query_time(&self) -> Duration {
        self.from_memory.total + self.to_last.total
    }

    /// Takes in what another handle counted.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.reasons.iter_mut().zip(other.reasons) {
            *sum += more;
        }
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
        for (class, more) in &other.errors {
            match self.errors.iter_mut().find(|(known, _)| known == class) {
                Some((_, count)) => *count += more,
                None => self.errors.push((class, *more)),
            }
        }
        self.from_memory.add(&other.from_memory);
        self.to_first.add(&other.to_first);
        self.to_last.add(&other.to_last);
        self.queue.add(&other.queue);
        self.connect.add(&other.connect);
        self.connects_failed += other.connects_failed;
    }
}

/// Database and user.
type Name = (Box<str>, Box<str>);

/// All handles of the process.
#[derive(Debug)]
pub struct Metrics {
    handles: Mutex<HashMap<Name, Arc<Handle>>>,
    others: Arc<Handle>,
    spans: Option<Arc<Queue>>,
    /// Clients that did not get in.
    pub logins: Logins,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Metrics {
    /// With the queue for spans, if queries are to have some.
    pub fn new(spans: Option<Arc<Queue>>) -> Self {
        Self {
            handles: Mutex::default(),
            others: Handle::new(OTHERS, OTHERS, spans.as_ref()),
            logins: Logins::default(),
            spans,
        }
    }

    /// The queue for spans.
    pub fn spans(&self) -> Option<&Arc<Queue>> {
        self.spans.as_ref()
    }

    /// What became of the spans so far.
    pub fn exported(&self) -> Exported {
        let spans = self.spans.as_ref();
        spans.map_or_else(Exported::default, |queue| queue.exported())
    }

    /// The handle of this database and user; the same for as long as the process lives.
    pub fn handle(&self, database: &str, user: &str) -> Arc<Handle> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Box::from(database), Box::from(user));
        if let Some(handle) = handles.get(&key) {
            return Arc::clone(handle);
        }
        if handles.len() >= HANDLES_MAX {
            return Arc::clone(&self.others);
        }
        let handle = Handle::new(database, user, self.spans.as_ref());
        handles.insert(key, Arc::clone(&handle));
        handle
    }

    /// All of them, by database and user; that of the others only when it was needed.
    pub fn handles(&self) -> Vec<Arc<Handle>> {
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = handles.values().cloned().collect();
        drop(handles);
        if all.len() >= HANDLES_MAX {
            all.push(Arc::clone(&self.others));
        }
        all.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
        all
    }

    /// What all of them counted together.
    pub fn total(&self) -> Snapshot {
        let mut total = Snapshot::default();
        for handle in self.handles() {
            total.merge(&handle.snapshot());
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_found_again() {
        let metrics = Metrics::default();
        std::thread::scope(|scope| {
            for _ in 0..COPIES + 3 {
                scope.spawn(|| {
                    let handle = metrics.handle("d", "u");
                    for reason in Reason::ALL {
                        handle.count(reason);
                        handle.count(Reason::Hit);
                    }
                    handle.add(Sum::BytesIn, 10);
                    handle.spend(Sum::ClientTime, Duration::from_millis(1));
                });
            }
        });
        let threads = COPIES as u64 + 3;
        let all = Reason::ALL.len() as u64;
        let total = metrics.total();
        for reason in Reason::ALL {
            let hits = if reason == Reason::Hit {
                threads * all
            } else {
                0
            };
            assert_eq!(total.of(reason), threads + hits, "{}", reason.as_str());
        }
        assert_eq!(total.queries(), threads * all * 2);
        assert_eq!(total.misses(), threads * 4);
        assert_eq!(total.sum(Sum::BytesIn), threads * 10);
        assert_eq!(total.time(Sum::ClientTime), Duration::from_millis(threads));
        assert_eq!(total.sum(Sum::Pins), 0);
    }

    #[test]
    fn handles_are_few_and_stay() {
        let metrics = Metrics::default();
        let first = metrics.handle("d", "0");
        let wrong = crate::wire::error::PgError::error("42601", "x").body();
        first.errors.count(&wrong);
        for user in 1..HANDLES_MAX + 5 {
            let handle = metrics.handle("d", &user.to_string());
            handle.errors.count(&wrong);
            handle.connect.record(Duration::from_millis(1));
        }
        assert!(Arc::ptr_eq(&first, &metrics.handle("d", "0")));
        let handles = metrics.handles();
        assert_eq!(handles.len(), HANDLES_MAX + 1);
        let others = handles.iter().find(|handle| &*handle.database == OTHERS);
        assert_eq!(others.unwrap().snapshot().errors, [("42", 5)]);
        let total = metrics.total();
        assert_eq!(total.errors, [("42", HANDLES_MAX as u64 + 5)]);
        assert_eq!(total.connect.count(), HANDLES_MAX as u64 + 4);
    }
}
