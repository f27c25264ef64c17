//! What the texts of one database mean, each shape parsed once: a bounded memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

use crate::cache::generation::{Deps, Generations};
use crate::cache::rules::fingerprint;
use crate::catalog::{Catalog, Meaning, Snapshot};
use crate::metrics::shape::ShapeStats;
use crate::reason::Reason;
use crate::sql::class::{Class, Kind, Uses, classify};
use crate::sql::effect::Analysis;

/// Locks among which the shapes are spread, so that two cores seldom meet. A power of two.
const SHARDS: usize = 16;

/// Bytes of shapes that one shard keeps: sixteen megabytes in all. An application has some hundred
/// shapes of some hundred bytes; one that writes a new shape each time (lists of ever other
/// lengths) loses half of a shard when it is full, and they are parsed again.
const SHARD_BYTES_MAX: usize = 1024 * 1024;

/// What a shape's entry costs beside its text, roughly: class, the map's own, and counters, most of
/// which are for the quantiles.
const OVERHEAD_BYTES: usize = 1024 + size_of::<ShapeStats>();

/// For how many reads a shape is not run apart after one of it was run twice: the database pays a
/// hundredth more at most.
const NOT_APART: u64 = 100;

/// After so many entries of a shape none of which was served, one is made only for a question that
/// comes a second time. To make one costs about as much as a tenth of an answer from memory saves, and
/// an application that has just started asks some hundred different questions before it repeats any.
const UNSERVED_MAX: u32 = 1_000;

/// The texts of one shape.
#[derive(Debug)]
pub(super) struct Known {
    /// The shape itself, for people. Literals are not in it.
    pub(super) shape: Box<[u8]>,
    /// The text that was parsed; it is not shown to anybody.
    sample: Box<[u8]>,
    pub(super) class: Class,
    pub(super) stats: ShapeStats,
    /// Answers that the database gave otherwise.
    pub(super) differed: AtomicU64,
    resolved: ArcSwapOption<Resolved>,
    fingerprint: OnceLock<String>,
    /// How often it is still not run apart from a held-back transaction.
    not_apart: AtomicU64,
    /// The number of the results of this shape; it is part of their keys.
    group: AtomicU64,
    /// Entries begun since one was served last, and how many had been served by then.
    unserved: AtomicU32,
    served: AtomicU64,
}

/// The number of the next group of results.
static GROUPS: AtomicU64 = AtomicU64::new(1);

/// What it means under one catalog snapshot.
#[derive(Debug)]
pub(super) struct Resolved {
    generation: u64,
    /// The cache epoch of the snapshot.
    pub(super) epoch: u64,
    pub(super) meaning: Meaning,
    /// What a result of it depends on.
    pub(super) deps: Deps,
    /// It does nothing to its session, provably.
    pub(super) plain: bool,
}

impl Resolved {
    /// Whether it is what the shape means under this snapshot of its database's catalog.
    pub(super) fn is_under(&self, snapshot: &Snapshot) -> bool {
        self.generation == snapshot.generation()
    }
}

impl Known {
    fn new(shape: &[u8], sample: &[u8], class: Class) -> Self {
        Self {
            shape: shape.into(),
            sample: sample.into(),
            class,
            stats: ShapeStats::default(),
            differed: AtomicU64::new(0),
            resolved: ArcSwapOption::empty(),
            fingerprint: OnceLock::new(),
            not_apart: AtomicU64::new(0),
            group: AtomicU64::new(GROUPS.fetch_add(1, Relaxed)),
            unserved: AtomicU32::new(0),
            served: AtomicU64::new(0),
        }
    }

    /// What every text is taken for that is not understood at all.
    pub(super) fn broken() -> Arc<Self> {
        let class = Class {
            kind: Kind::Everything(Reason::ParseError),
            uses: Uses::default(),
            writes: Box::default(),
        };
        Arc::new(Self::new(b"", b"", class))
    }

    /// How people name the shape.
    pub(super) fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| fingerprint(&self.shape))
    }

    /// What it means under this snapshot.
    pub(super) fn resolve(&self, snapshot: &Snapshot, generations: &Generations) -> Arc<Resolved> {
        if let Some(resolved) = self.resolved.load().as_ref()
            && resolved.is_under(snapshot)
        {
            return Arc::clone(resolved);
        }
        let analysis = crate::sql::analyze(&self.sample, true, Some(snapshot));
        let meaning = snapshot.resolve(&self.class);
        let relations = meaning.read.as_deref().unwrap_or_default();
        let resolved = Arc::new(Resolved {
            generation: snapshot.generation(),
            epoch: snapshot.epoch(),
            deps: generations.deps(relations),
            meaning,
            plain: analysis == Analysis::Plain,
        });
        self.resolved.store(Some(Arc::clone(&resolved)));
        resolved
    }

    /// Whether a read of it may be run apart from a transaction that is held back.
    pub(super) fn may_run_apart(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.not_apart.fetch_update(Relaxed, Relaxed, less).is_err()
    }

    /// One that ran apart made no entry: it failed, took too long, or was too large. It will be run
    /// a second time in its transaction, so the next ones are not run apart.
    pub(super) fn failed_apart(&self) {
        self.not_apart.store(NOT_APART, Relaxed);
    }

    /// An entry is begun.
    pub(super) fn fills(&self) {
        let served = self.stats.hits();
        if self.served.swap(served, Relaxed) == served {
            let more = |count: u32| Some(count.saturating_add(1).min(UNSERVED_MAX));
            let _always = self.unserved.fetch_update(Relaxed, Relaxed, more);
        } else {
            self.unserved.store(1, Relaxed);
        }
    }

    /// Whether its questions hardly ever come twice, by all that is known: of many entries none was
    /// served. The first that is makes it like any other again.
    pub(super) fn is_rare(&self) -> bool {
        self.unserved.load(Relaxed) >= UNSERVED_MAX
            && self.served.load(Relaxed) == self.stats.hits()
    }

    /// The number that its results have now.
    pub(super) fn group(&self) -> u64 {
        self.group.load(Relaxed)
    }

    /// From now on its results have another number, and those of before are not found any more, nor
    /// those that are on their way; their number.
    pub(super) fn begin_group(&self) -> u64 {
        self.group.swap(GROUPS.fetch_add(1, Relaxed), Relaxed)
    }

    /// Whether its results depend on no table at all, as far as is known now.
    pub(super) fn depends_on_nothing(&self, catalog: &Catalog) -> bool {
        let snapshot = catalog.current();
        let snapshot = snapshot.as_deref();
        let resolved = snapshot.map(|snapshot| self.resolve(snapshot, catalog.generations()));
        resolved.is_some_and(|r| r.meaning.read.as_ref().is_ok_and(|list| list.is_empty()))
    }

    /// Whether it writes nothing whatever the catalog is: it names nothing that could.
    pub(super) fn touches_nothing(&self) -> bool {
        let uses = &self.class.uses;
        matches!(self.class.kind, Kind::Read | Kind::NoCache(_))
            && uses.relations.is_empty()
            && uses.functions.is_empty()
            && uses.operators.is_empty()
            && uses.types.is_empty()
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    shards: [RwLock<Shard>; SHARDS],
}

/// The shard of a shape: by its length and its end, since shapes begin alike. A hash of the whole is
/// made inside of the shard.
fn place(shape: &[u8]) -> usize {
    let end = shape
        .last_chunk::<8>()
        .map_or(0, |end| u64::from_le_bytes(*end));
    let mixed = (end ^ shape.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 32).unwrap_or(0) % SHARDS
}

#[derive(Debug, Default)]
struct Shard {
    shapes: HashMap<Box<[u8]>, Arc<Known>, RandomState>,
    bytes: usize,
}

impl Shapes {
    /// What is known of `shape`; `text` is one of its texts, to be parsed if nothing is.
    pub(super) fn know(&self, shape: &[u8], text: &[u8]) -> Arc<Known> {
        let Some(shard) = self.shards.get(place(shape)) else {
            return Known::broken();
        };
        if let Some(known) = shard
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .shapes
            .get(shape)
        {
            return Arc::clone(known);
        }
        // Outside of the lock: two clients may both parse it, once.
        let known = Arc::new(Known::new(shape, text, classify(text, true)));
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        shard.add(shape, known)
    }

    /// All of them, for people.
    pub(super) fn all(&self) -> Vec<Arc<Known>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.shapes.values().cloned());
        }
        all
    }
}

impl Shard {
    fn add(&mut self, shape: &[u8], known: Arc<Known>) -> Arc<Known> {
        if let Some(known) = self.shapes.get(shape) {
            return Arc::clone(known);
        }
        if self.bytes > SHARD_BYTES_MAX {
            let mut keep = false;
            self.shapes.retain(|_, _| {
                keep = !keep;
                keep
            });
            self.bytes = self
                .shapes
                .keys()
                .map(|shape| shape.len() * 2 + OVERHEAD_BYTES)
                .sum();
        }
        self.bytes += shape.len() * 2 + OVERHEAD_BYTES;
        self.shapes.insert(shape.into(), Arc::clone(&known));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_rare_after_many_entries_that_nobody_asked_for_and_until_somebody_does() {
        let known = Known::broken();
        for _ in 1..UNSERVED_MAX {
            known.fills();
            assert!(!known.is_rare());
        }
        known.fills();
        known.fills();
        assert!(known.is_rare());
        known.stats.count(Reason::Hit);
        assert!(!known.is_rare());
        known.fills();
        assert!(!known.is_rare());
        for _ in 1..UNSERVED_MAX {
            known.fills();
        }
        assert!(known.is_rare());
    }
}
