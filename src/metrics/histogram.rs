//! How long things took: counts in buckets that grow by an eighth of an octave.
//!
//! The buckets are those of Prometheus' native histograms of schema 3: the upper bound of bucket `i`
//! is 2^(i/8) seconds, itself included. So they can be given away as they are, and every eighth of
//! them is a bucket of a classic histogram.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets to the octave: a quantile is off by less than a tenth.
const PER_OCTAVE: i32 = 8;

/// The schema of native histograms with as many, which is the scale of OpenTelemetry's exponential ones.
pub const SCALE: i32 = 3;

/// What is not longer counts as nothing there: the upper bound of the lowest slot, in seconds.
pub const ZERO: f64 = 1.0 / (1 << -LOWEST) as f64;

/// The lowest octave: 2^-20 s is just under a microsecond, and nothing of interest is shorter.
const LOWEST: i32 = -20;

/// The highest: 2^12 s is more than an hour, and nobody tells longer waits apart.
const HIGHEST: i32 = 12;

/// One for each bound, and one for what is beyond the last.
const SLOTS: usize = ((HIGHEST - LOWEST) * PER_OCTAVE) as usize + 2;

/// The powers 2^(k/8) for k = 0..8: the bounds within an octave.
const STEPS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// The slot of a duration: the first whose upper bound is not less.
fn slot(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    let bits = seconds.to_bits();
    // Of a normal, positive number: its exponent, and its mantissa as a number from 1 to 2.
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let steps: i32 = STEPS.iter().map(|step| i32::from(mantissa > *step)).sum();
    let at = (exponent - LOWEST) * PER_OCTAVE + steps;
    usize::try_from(at).unwrap_or(0).min(SLOTS - 1)
}

/// The upper bound of a slot in seconds.
fn bound(slot: usize) -> f64 {
    if slot + 1 >= SLOTS {
        return f64::INFINITY;
    }
    let (octave, step) = (slot / STEPS.len(), slot % STEPS.len());
    let exponent = i32::try_from(octave).unwrap_or(HIGHEST) + LOWEST;
    f64::from(exponent).exp2() * STEPS.get(step).copied().unwrap_or(1.0)
}

/// A duration that is counted in more than one place, and where.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    slot: usize,
    nanoseconds: u64,
}

impl Took {
    pub fn new(duration: Duration) -> Self {
        if duration.is_zero() {
            // Such as the wait for an upstream that is there.
            return Self {
                slot: 0,
                nanoseconds: 0,
            };
        }
        Self {
            slot: slot(duration),
            nanoseconds: nanoseconds(duration),
        }
    }
}

/// See the module's text. Two kilobytes.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; SLOTS],
    nanoseconds: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; SLOTS],
            nanoseconds: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one that took so long.
    pub fn record(&self, duration: Duration) {
        self.count(Took::new(duration));
    }

    /// The same, when it is known already where it is counted.
    pub fn count(&self, took: Took) {
        if let Some(count) = self.counts.get(took.slot) {
            count.fetch_add(1, Relaxed);
        }
        if took.nanoseconds > 0 {
            self.nanoseconds.fetch_add(took.nanoseconds, Relaxed);
        }
    }

    /// The counts now.
    pub fn snapshot(&self) -> Counted {
        Counted {
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Relaxed))
                .collect(),
            total: Duration::from_nanos(self.nanoseconds.load(Relaxed)),
        }
    }
}

/// A duration as a counter counts it; half a millennium fits.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A histogram at one moment, or the sum or difference of some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// One for each slot; none at all when nothing was counted.
    counts: Vec<u64>,
    /// All durations together.
    pub total: Duration,
}

impl Counted {
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many took no longer than two to the power of `exponent` seconds.
    pub fn up_to(&self, exponent: i32) -> u64 {
        let last = usize::try_from((exponent - LOWEST) * PER_OCTAVE).unwrap_or(0);
        self.counts.iter().take(last + 1).sum()
    }

    /// How many took no longer than [`ZERO`].
    pub fn zero(&self) -> u64 {
        self.counts.first().copied().unwrap_or(0)
    }

    /// The buckets above [`ZERO`] that are not empty, each with its index as native histograms have it. What
    /// took longer than the highest bound counts as if it were just beyond.
    pub fn native(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let index = |slot: usize| i32::try_from(slot).unwrap_or(0) + LOWEST * PER_OCTAVE;
        let counts = self.counts.iter().enumerate().skip(1);
        counts
            .filter(|(_, count)| **count > 0)
            .map(move |(slot, count)| (index(slot), *count))
    }

    /// The time that this share took no longer than, in seconds; `None` when nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        quantile(&self.counts, share, 1)
    }

    /// Takes in what `other` counted.
    pub fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
        } else {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count += more;
            }
        }
        self.total += other.total;
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(before);
        Self {
            counts: counts
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
            total: self.total.saturating_sub(earlier.total),
        }
    }
}

/// The bound of the bucket in which the share lies, or the middle of it.
fn quantile(counts: &[u64], share: f64, merged: usize) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count is a count, near enough"
    )]
    let wanted = ((total as f64 * share).ceil() as u64).clamp(1, total);
    let mut seen = 0;
    let at = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    })?;
    Some(bound((at * merged).min(SLOTS - 2)))
}

/// Buckets of [`Quantiles`]: a quarter of an octave each.
const COARSE: usize = SLOTS / 2 + 1;

/// A bucket that has counted so much halves them all.
const FULL: u32 = 1 << 31;

/// The same for quantiles only, in a quarter of the room, of which there may be thousands. What is
/// long ago counts for less when a bucket overflows.
#[derive(Debug)]
pub struct Quantiles {
    counts: [AtomicU32; COARSE],
}

impl Default for Quantiles {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU32::new(0) }; COARSE],
        }
    }
}

impl Quantiles {
    /// Counts one that took so long.
    pub fn record(&self, duration: Duration) {
        self.count(Took::new(duration));
    }

    /// The same, when it is known already where it is counted.
    pub fn count(&self, took: Took) {
        let Some(count) = self.counts.get(took.slot.div_ceil(2)) else {
            return;
        };
        if count.fetch_add(1, Relaxed) >= FULL {
            for count in &self.counts {
                count.store(count.load(Relaxed) / 2, Relaxed);
            }
        }
    }

    /// The times that these shares took no longer than, in seconds; `None` when nothing was counted.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let counts: Vec<u64> = self
            .counts
            .iter()
            .map(|count| u64::from(count.load(Relaxed)))
            .collect();
        let mut found = [0.0; N];
        for (found, share) in found.iter_mut().zip(shares) {
            *found = quantile(&counts, share, 2)?;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_between_its_slots_bounds() {
        for nanos in (0..64).flat_map(|e| {
            let power = 1_u64.checked_shl(e).unwrap_or(u64::MAX);
            [power - 1, power, power + 1, power / 5 * 7]
        }) {
            let duration = Duration::from_nanos(nanos);
            let at = slot(duration);
            let seconds = duration.as_secs_f64();
            assert!(seconds <= bound(at), "{duration:?} in {at}");
            assert!(at == 0 || seconds > bound(at - 1), "{duration:?} in {at}");
        }
        // A bound belongs to the bucket below it, as Prometheus has it.
        assert_eq!(slot(Duration::from_secs(1)), 160);
        assert_eq!(slot(Duration::from_nanos(1_000_000_001)), 161);
        assert_eq!(slot(Duration::MAX), SLOTS - 1);
    }

    #[test]
    fn counts_sums_and_quantiles() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        let now = histogram.snapshot();
        assert_eq!(now.count(), 1000);
        assert_eq!(now.total, Duration::from_millis(500_500));
        assert_eq!(
            (now.up_to(0), now.up_to(-1), now.up_to(-21)),
            (1000, 500, 0)
        );
        for (share, exact) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)] {
            let found = now.quantile(share).unwrap();
            assert!((exact..exact * 1.1).contains(&found), "{share}: {found}");
        }
        assert_eq!(now.native().map(|(_, count)| count).sum::<u64>(), 1000);
        assert_eq!(now.native().last(), Some((0, 83)));
        histogram.record(Duration::from_secs(3));
        let later = histogram.snapshot();
        let (count, total) = (later.since(&now).count(), later.since(&now).total);
        assert_eq!((count, total), (1, Duration::from_secs(3)));
        let mut sum = Counted::default();
        sum.add(&later);
        sum.add(&now);
        assert_eq!(sum.count(), 2001);
        assert_eq!(later.since(&Counted::default()), later);
    }

    #[test]
    fn quantiles_forget_slowly() {
        let quantiles = Quantiles::default();
        assert_eq!(quantiles.quantiles([0.5]), None);
        for ms in 1..=100 {
            quantiles.record(Duration::from_millis(ms));
        }
        let [half, most] = quantiles.quantiles([0.5, 0.99]).unwrap();
        assert!((0.05..0.06).contains(&half), "{half}");
        assert!((0.099..0.12).contains(&most), "{most}");
        let at = slot(Duration::from_millis(1)).div_ceil(2);
        quantiles.counts[at].store(FULL, Relaxed);
        quantiles.record(Duration::from_millis(1));
        assert_eq!(quantiles.counts[at].load(Relaxed), FULL / 2);
        assert_eq!(
            quantiles.quantiles([0.5]).map(|[half]| half < 0.002),
            Some(true)
        );
    }
}
