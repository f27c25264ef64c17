//! The room against a plain model of a database, its clients and its keeper, in random order of
//! steps from a seed. A hit must never be older than an acknowledged write, of another catalog, too
//! old, or from before a purge; and there is at most one fill per key. The same with the protocol
//! broken in one place must fail: else the model would prove nothing.

mod readers;
mod writers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::generation::{Dirty, Generations, Live, Stamp};
use super::{Cache, Fill, Follow, Life, Limits};

const RELATIONS: usize = 4;
const KEYS: usize = 3;
const STEPS: usize = 600;

/// How often each kind of step may come at most. Each seed has a mixture of its own, since some
/// faults only show where, say, writes are slow and catalogs fast.
const WEIGHTS: [u32; 11] = [90, 90, 8, 40, 20, 20, 40, 8, 3, 3, 1];

/// What is done wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The query is sent, and reads, before the stamp is taken.
    StampAfterRead,
    /// The write is settled before it is committed.
    SettledBeforeCommit,
    /// A lost write is buried while its backend lives.
    BuriedEarly,
    /// A prepared transaction counts as finished.
    PreparedForgotten,
    /// A catalog is published while writes of an older one are under way.
    PublishedEarly,
    /// The catalog is read, and then the epoch.
    EpochAfterCatalog,
    /// DDL counts as a write of everything.
    EpochNotMoved,
    /// Age counts from the end of the query.
    AgeFromEnd,
    /// A reader that goes by writes asks as one that goes by age.
    StampForgotten,
}

/// Which relations a key reads, and which further ones a write of a relation touches.
#[derive(Clone, Debug)]
struct Catalog {
    shape: u64,
    reads: Vec<Vec<u32>>,
    touches: Vec<Vec<u32>>,
}

/// What the database once answered.
#[derive(Clone, Debug)]
struct Answer {
    key: usize,
    shape: u64,
    versions: Vec<(u32, u64)>,
    /// Of these the last that were written through us.
    ours: Vec<(u32, u64)>,
    begun: u64,
    sent: Instant,
}

enum Reader {
    Filling {
        key: usize,
        stamp: Stamp,
        fill: Fill,
        begun: u64,
        sent: Option<Instant>,
        answer: Option<u64>,
    },
    Waiting {
        key: usize,
        full: bool,
        life: Life,
        follow: Follow,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Touch(u32),
    Ddl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Done,
}

struct Writer {
    plan: Plan,
    dirty: Option<Dirty>,
    outcome: Outcome,
    /// What must be seen from when it is acknowledged.
    wrote: Vec<(u32, u64)>,
    shape: u64,
    pid: i32,
    gid: Option<Box<[u8]>>,
}

struct World {
    broken: Broken,
    rng: fastrand::Rng,
    weights: [u32; WEIGHTS.len()],
    /// One write in so many is DDL, touches nobody knows what, is lost.
    odds: [u32; 3],
    now: Instant,
    seq: u64,
    cache: Arc<Cache>,
    generations: Arc<Generations>,
    versions: [u64; RELATIONS],
    /// The last versions that were written through us.
    ours: [u64; RELATIONS],
    catalog: Catalog,
    published: Option<(u64, Catalog)>,
    loading: Option<(Option<u64>, Option<Catalog>)>,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    /// Lost or prepared: nobody waits for them.
    orphans: Vec<Writer>,
    /// What a hit must show: what was acknowledged to a writer, or shown to a reader.
    acknowledged: [u64; RELATIONS],
    acknowledged_shape: u64,
    shown_shape: u64,
    purged: u64,
    answers: Vec<Answer>,
    last_sent: HashMap<usize, Instant>,
    hits: usize,
    old: Option<(Vec<u64>, Catalog)>,
}

fn catalog(rng: &mut fastrand::Rng, shape: u64) -> Catalog {
    let mut some = |odds: u32| -> Vec<u32> {
        let all = 0..u32::try_from(RELATIONS).unwrap();
        all.filter(|_| rng.u32(0..odds) == 0).collect()
    };
    Catalog {
        shape,
        reads: (0..KEYS).map(|_| some(2)).collect(),
        touches: (0..RELATIONS).map(|_| some(4)).collect(),
    }
}

impl World {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let limits = Limits {
            bytes_max: 1 << 20,
            result_bytes_max: 1 << 16,
            entries_max: Some(rng.u64(2..20)),
        };
        let catalog = catalog(&mut rng, 1);
        Self {
            broken,
            weights: WEIGHTS.map(|most| rng.u32(1..=most)),
            odds: std::array::from_fn(|_| rng.u32(2..60)),
            now: Instant::now(),
            seq: 0,
            cache: Cache::new(limits),
            generations: Generations::with_limits(rng.usize(1..6), rng.usize(0..4)),
            versions: [0; RELATIONS],
            ours: [0; RELATIONS],
            published: None,
            loading: None,
            readers: Vec::new(),
            writers: Vec::new(),
            orphans: Vec::new(),
            acknowledged: [0; RELATIONS],
            acknowledged_shape: 0,
            shown_shape: 0,
            purged: 0,
            answers: Vec::new(),
            last_sent: HashMap::new(),
            hits: 0,
            old: None,
            catalog,
            rng,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.seq += 1;
        let mut lot = self.rng.u32(0..self.weights.iter().sum());
        let passed = |weight: &&u32| {
            let passed = lot >= **weight;
            lot = lot.saturating_sub(if passed { **weight } else { 0 });
            passed
        };
        match self.weights.iter().take_while(passed).count() {
            0 => self.ask()?,
            1 => self.read_on()?,
            2 => self.write(),
            3 => self.write_on(),
            4 => self.orphan_on(),
            5 => self.keep(),
            6 => self.load(),
            7 => self.now += Duration::from_millis(self.rng.u64(0..400)),
            8 => self.old = Some((self.versions.to_vec(), self.catalog.clone())),
            9 => {
                // Somebody writes who does not pass through us.
                let relation = self.rng.usize(0..RELATIONS);
                self.versions[relation] = self.seq;
            }
            _ => {
                self.cache.purge(|_| false);
                self.purged = self.seq;
            }
        }
        self.one_fill_per_key()
    }

    /// The keeper reads the catalog, step by step, once the epoch has moved.
    fn load(&mut self) {
        let epoch = self.generations.epoch();
        let swapped = self.broken == Broken::EpochAfterCatalog;
        self.loading = match self.loading.take() {
            None if self.published.as_ref().is_some_and(|(of, _)| *of == epoch) => None,
            None if swapped => Some((None, Some(self.catalog.clone()))),
            None => Some((Some(epoch), None)),
            Some((None, read)) => Some((Some(epoch), read)),
            Some((of, None)) => Some((of, Some(self.catalog.clone()))),
            Some((Some(of), Some(read))) => {
                let early = self.broken == Broken::PublishedEarly;
                if !early && self.generations.in_flight_before(of) {
                    Some((Some(of), Some(read)))
                } else {
                    self.published = Some((of, read));
                    None
                }
            }
        };
    }

    fn one_fill_per_key(&self) -> Result<(), String> {
        let mut live = [0; KEYS];
        for reader in &self.readers {
            if let Reader::Filling {
                key, stamp, begun, ..
            } = reader
                && stamp.state() == Live::Live
                && *begun > self.purged
            {
                live[*key] += 1;
            }
        }
        match live.iter().find(|count| **count > 1) {
            Some(count) => Err(format!("{count} fills of one key")),
            None => Ok(()),
        }
    }
}

fn closure(catalog: &Catalog, relation: u32) -> Vec<u32> {
    let mut all = catalog.touches[usize::try_from(relation).unwrap()].clone();
    all.push(relation);
    all.sort_unstable();
    all.dedup();
    all
}

/// Runs one seed: how many hits there were, or what was wrong.
fn run(seed: u64, broken: Broken) -> Result<usize, String> {
    let mut world = World::new(seed, broken);
    for step in 0..STEPS {
        world
            .step()
            .map_err(|wrong| format!("seed {seed}, step {step}: {wrong}"))?;
    }
    let World { cache, readers, .. } = world;
    drop(readers);
    if cache.flights.count() > 0 || cache.usage().filling > 0 {
        return Err(format!("seed {seed}: something is still being made"));
    }
    Ok(world.hits)
}

/// `PGWEIR_MODEL_SEEDS` asks for a longer look.
fn seeds() -> u64 {
    let asked = std::env::var("PGWEIR_MODEL_SEEDS").ok();
    asked.and_then(|seeds| seeds.parse().ok()).unwrap_or(500)
}

#[test]
fn no_hit_is_older_than_what_was_acknowledged() {
    let mut hits = 0;
    for seed in 0..seeds() {
        match run(seed, Broken::Nothing) {
            Ok(more) => hits += more,
            Err(wrong) => panic!("{wrong}"),
        }
    }
    // Else the model would be kept by never answering.
    assert!(hits > 1000, "only {hits} hits");
}

#[test]
fn the_model_notices_what_is_done_wrongly() {
    for broken in [
        Broken::StampAfterRead,
        Broken::SettledBeforeCommit,
        Broken::BuriedEarly,
        Broken::PreparedForgotten,
        Broken::PublishedEarly,
        Broken::EpochAfterCatalog,
        Broken::EpochNotMoved,
        Broken::AgeFromEnd,
        Broken::StampForgotten,
    ] {
        let noticed = (0..seeds().max(2000)).find_map(|seed| run(seed, broken).err());
        assert!(noticed.is_some(), "{broken:?} goes unnoticed");
    }
}
