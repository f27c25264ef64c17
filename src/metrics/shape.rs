//! What is counted of the queries of one shape.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::histogram::{Quantiles, Took, nanoseconds};
use crate::reason::Reason;

/// What became of the queries of one shape, and how long it took. Two kilobytes.
#[derive(Debug)]
pub struct ShapeStats {
    reasons: [AtomicU64; Reason::ALL.len()],
    /// The last reason that was not a hit: its place in [`Reason::ALL`], plus one.
    last: AtomicUsize,
    rows: AtomicU64,
    bytes: AtomicU64,
    to_first: Quantiles,
    to_last: Quantiles,
    queue: AtomicU64,
    upstream: AtomicU64,
    client: AtomicU64,
}

/// Where the time of one request went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Until there was an upstream.
    pub queue: Duration,
    /// Until the upstream's answer was read to its end.
    pub upstream: Duration,
    /// In which the upstream waited before it, inside of its transaction, for the client to go on.
    pub client: Duration,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeCounts {
    reasons: [u64; Reason::ALL.len()],
    /// Hits, misses and bypasses.
    pub calls: u64,
    pub hits: u64,
    pub misses: u64,
    pub bypasses: u64,
    /// Why it was last not answered from memory.
    pub last: Option<Reason>,
    /// Rows and bytes that clients were sent.
    pub rows: u64,
    pub bytes: u64,
    /// Misses because something was written.
    pub invalidated: u64,
    /// Where the time of those went that upstreams answered.
    pub split: Split,
}

impl ShapeCounts {
    /// Queries for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.index()).copied().unwrap_or(0)
    }
}

impl Default for ShapeStats {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            reasons: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            last: AtomicUsize::new(0),
            rows: zero(),
            bytes: zero(),
            to_first: Quantiles::default(),
            to_last: Quantiles::default(),
            queue: zero(),
            upstream: zero(),
            client: zero(),
        }
    }
}

impl ShapeStats {
    /// Counts a query by what became of it.
    pub fn count(&self, reason: Reason) {
        if let Some(count) = self.reasons.get(reason.index()) {
            count.fetch_add(1, Relaxed);
        }
        if reason != Reason::Hit {
            self.last.store(reason.index() + 1, Relaxed);
        }
    }

    /// How many were answered from memory.
    pub fn hits(&self) -> u64 {
        let hits = self.reasons.get(Reason::Hit.index());
        hits.map_or(0, |hits| hits.load(Relaxed))
    }

    /// A client was sent so much.
    pub fn sent(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// An answer from memory took so long; all of it comes at once.
    pub fn hit_took(&self, time: Duration) {
        self.to_last.record(time);
    }

    /// An upstream's answer took so long, to its first and to its last byte.
    pub fn took(&self, first: Took, last: Took, split: Split) {
        self.to_first.count(first);
        self.to_last.count(last);
        for (sum, time) in [
            (&self.queue, split.queue),
            (&self.upstream, split.upstream),
            (&self.client, split.client),
        ] {
            if !time.is_zero() {
                sum.fetch_add(nanoseconds(time), Relaxed);
            }
        }
    }

    /// The times that these shares of the upstreams' answers took to their first byte, in seconds.
    pub fn to_first<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        self.to_first.quantiles(shares)
    }

    /// The times that these shares of all answers took to their last byte, in seconds.
    pub fn to_last<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        self.to_last.quantiles(shares)
    }

    /// The counts now.
    pub fn counts(&self) -> ShapeCounts {
        let load = |count: &AtomicU64| count.load(Relaxed);
        let mut reasons = [0; Reason::ALL.len()];
        for (now, count) in reasons.iter_mut().zip(&self.reasons) {
            *now = load(count);
        }
        let of = |wanted: &dyn Fn(Reason) -> bool| -> u64 {
            let all = Reason::ALL.into_iter().zip(reasons);
            all.filter(|(reason, _)| wanted(*reason))
                .map(|(_, n)| n)
                .sum()
        };
        let calls = reasons.iter().sum();
        let (hits, misses) = (of(&|r| r == Reason::Hit), of(&Reason::is_miss));
        let last = self.last.load(Relaxed).checked_sub(1);
        ShapeCounts {
            reasons,
            calls,
            hits,
            misses,
            bypasses: calls - hits - misses,
            last: last.and_then(|last| Reason::ALL.get(last).copied()),
            rows: load(&self.rows),
            bytes: load(&self.bytes),
            invalidated: of(&|r| matches!(r, Reason::Stale | Reason::Dirty)),
            split: Split {
                queue: Duration::from_nanos(load(&self.queue)),
                upstream: Duration::from_nanos(load(&self.upstream)),
                client: Duration::from_nanos(load(&self.client)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_remembers_why_not() {
        let shape = ShapeStats::default();
        assert_eq!((shape.counts().calls, shape.counts().last), (0, None));
        for reason in [
            Reason::Miss,
            Reason::Hit,
            Reason::Hit,
            Reason::Stale,
            Reason::Transaction,
        ] {
            shape.count(reason);
        }
        shape.sent(3, 100);
        shape.sent(3, 100);
        let counts = shape.counts();
        assert_eq!(counts.calls, 5);
        assert_eq!((counts.hits, counts.misses, counts.bypasses), (2, 2, 1));
        assert_eq!(counts.last, Some(Reason::Transaction));
        assert_eq!((counts.rows, counts.bytes), (6, 200));
        assert_eq!(counts.invalidated, 1);
        assert_eq!((counts.of(Reason::Stale), counts.of(Reason::Dirty)), (1, 0));
    }

    #[test]
    fn a_shape_knows_where_its_time_went() {
        let shape = ShapeStats::default();
        let ms = Duration::from_millis;
        let split = Split {
            queue: ms(1),
            upstream: ms(8),
            client: ms(20),
        };
        let (first, last) = (Took::new(ms(2)), Took::new(ms(9)));
        shape.took(first, last, split);
        shape.took(first, last, split);
        shape.hit_took(Duration::from_micros(3));
        assert_eq!(shape.counts().split.upstream, ms(16));
        assert_eq!(shape.counts().split.client, ms(40));
        let [first] = shape.to_first([0.5]).unwrap();
        assert!((0.002..0.0024).contains(&first), "{first}");
        let [fast, slow] = shape.to_last([0.3, 0.99]).unwrap();
        assert!(fast < 0.000_004 && slow > 0.009, "{fast} {slow}");
    }
}
