//! What is counted about the cache: every query once, by what became of it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::reason::Reason;

/// Copies of the counters: threads use different ones, so that cores do not fight over a cache
/// line on every query. More threads than this share.
const COPIES: usize = 16;

/// One thread's counters, on cache lines of their own (some processors fetch two at a time).
#[derive(Debug)]
#[repr(align(128))]
struct Copy {
    counts: [AtomicU64; Reason::ALL.len()],
}

/// How many queries ended for which reason, of the whole process.
#[derive(Debug)]
pub struct Stats {
    copies: Box<[Copy]>,
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

impl Default for Stats {
    fn default() -> Self {
        let copy = || Copy {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            copies: (0..COPIES).map(|_| copy()).collect(),
        }
    }
}

impl Stats {
    /// Counts a query.
    pub fn count(&self, reason: Reason) {
        let counts = self.copies.get(copy()).map(|copy| &copy.counts);
        if let Some(count) = counts.and_then(|counts| counts.get(reason as usize)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// All counts, in the order of [`Reason::ALL`].
    pub fn snapshot(&self) -> [(Reason, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| {
            let of = |copy: &Copy| {
                let count = copy.counts.get(reason as usize);
                count.map_or(0, |count| count.load(Relaxed))
            };
            (reason, self.copies.iter().map(of).sum())
        })
    }
}

/// What became of the queries of one shape.
#[derive(Debug, Default)]
pub struct ShapeStats {
    hits: AtomicU64,
    misses: AtomicU64,
    bypasses: AtomicU64,
    /// The last reason that was not a hit: its place in [`Reason::ALL`], plus one.
    last: AtomicUsize,
    rows: AtomicU64,
    bytes: AtomicU64,
    invalidated: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShapeCounts {
    /// Hits, misses and bypasses.
    pub calls: u64,
    pub hits: u64,
    pub misses: u64,
    pub bypasses: u64,
    /// Why it was last not answered from memory.
    pub last: Option<Reason>,
    /// Rows and bytes that were answered from memory.
    pub rows: u64,
    pub bytes: u64,
    /// Misses because something was written.
    pub invalidated: u64,
}

impl ShapeStats {
    /// A query was answered from memory.
    pub fn hit(&self, rows: u64, bytes: usize) {
        self.hits.fetch_add(1, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// It was looked up in vain.
    pub fn miss(&self, why: Reason) {
        self.misses.fetch_add(1, Relaxed);
        if matches!(why, Reason::Stale | Reason::Dirty) {
            self.invalidated.fetch_add(1, Relaxed);
        }
        self.last.store(why as usize + 1, Relaxed);
    }

    /// It was not looked up.
    pub fn bypass(&self, why: Reason) {
        self.bypasses.fetch_add(1, Relaxed);
        self.last.store(why as usize + 1, Relaxed);
    }

    /// The counts now.
    pub fn counts(&self) -> ShapeCounts {
        let [hits, misses, bypasses] =
            [&self.hits, &self.misses, &self.bypasses].map(|count| count.load(Relaxed));
        let last = self.last.load(Relaxed).checked_sub(1);
        ShapeCounts {
            calls: hits + misses + bypasses,
            hits,
            misses,
            bypasses,
            last: last.and_then(|last| Reason::ALL.get(last).copied()),
            rows: self.rows.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            invalidated: self.invalidated.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_found_again() {
        let stats = Stats::default();
        std::thread::scope(|scope| {
            for _ in 0..COPIES + 3 {
                scope.spawn(|| {
                    for reason in Reason::ALL {
                        stats.count(reason);
                        stats.count(Reason::Hit);
                    }
                });
            }
        });
        let threads = COPIES as u64 + 3;
        for (reason, count) in stats.snapshot() {
            let hits = if reason == Reason::Hit {
                threads * Reason::ALL.len() as u64
            } else {
                0
            };
            assert_eq!(count, threads + hits, "{}", reason.as_str());
        }
    }

    #[test]
    fn a_shape_remembers_why_not() {
        let shape = ShapeStats::default();
        assert_eq!(shape.counts(), ShapeCounts::default());
        shape.miss(Reason::Miss);
        shape.hit(3, 100);
        shape.hit(3, 100);
        shape.miss(Reason::Stale);
        shape.bypass(Reason::Transaction);
        let expected = ShapeCounts {
            calls: 5,
            hits: 2,
            misses: 2,
            bypasses: 1,
            last: Some(Reason::Transaction),
            rows: 6,
            bytes: 200,
            invalidated: 1,
        };
        assert_eq!(shape.counts(), expected);
    }
}
