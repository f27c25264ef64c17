//! The room against a plain model of a database, its clients and its keeper, in random order of
//! steps from a seed. A hit must never be older than an acknowledged write, of another catalog, too
//! old, or from before a purge; and there is at most one fill per key. The same with the protocol
//! broken in one place must fail: else the model would prove nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::generation::{Dirty, Generations, Live, Stamp, WriteSet};
use super::{Ask, Cache, Fill, Follow, Life, Limits, Lookup};
use crate::reason::Reason;

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

    fn ask(&mut self) -> Result<(), String> {
        let key = self.rng.usize(0..KEYS);
        let full = self.rng.u32(0..5) != 0;
        let life = Life {
            ttl: Duration::from_millis(self.rng.u64(1..5000)),
            swr: Duration::from_millis(self.rng.u64(0..500)),
        };
        let Some(stamp) = self.stamp(key, full) else {
            return Ok(());
        };
        let name = key.to_be_bytes();
        let ask = Ask {
            key: &name,
            stamp: &stamp,
            life,
            describe: self.rng.u32(0..8) == 0,
        };
        let found = self.cache.lookup(&ask, self.now);
        if let Lookup::Wait(follow) = found {
            self.readers.push(Reader::Waiting {
                key,
                full,
                life,
                follow,
            });
            return Ok(());
        }
        self.found((key, full, life), stamp, found, true)
    }

    fn stamp(&self, key: usize, full: bool) -> Option<Stamp> {
        let (epoch, catalog) = self.published.as_ref()?;
        if full && self.broken != Broken::StampForgotten {
            self.generations.stamp(*epoch, &catalog.reads[key])
        } else {
            self.generations.stamp_epoch_only(*epoch)
        }
    }

    fn found(
        &mut self,
        (key, full, life): (usize, bool, Life),
        stamp: Stamp,
        found: Lookup,
        stored: bool,
    ) -> Result<(), String> {
        let fill = match found {
            Lookup::Hit {
                entry,
                age,
                refresh,
            } => {
                self.hits += 1;
                let id = u64::from_be_bytes(entry.rows[5..13].try_into().unwrap());
                let answer = self.answers[usize::try_from(id).unwrap()].clone();
                self.check(&answer, key, full)?;
                let true_age = self.now - answer.sent;
                let bound = life.ttl.min(entry.life.ttl) + life.swr.min(entry.life.swr);
                if age != true_age || age >= bound {
                    return Err(format!("{age:?} old, really {true_age:?}, of {bound:?}"));
                }
                let last = self.last_sent.insert(key, answer.sent);
                if stored && last.is_some_and(|last| last > answer.sent) {
                    return Err("an answer older than the last".to_owned());
                }
                refresh
            }
            Lookup::Miss { fill, .. } => fill,
            Lookup::Wait(_) => return Err("waits twice".to_owned()),
        };
        if let Some(fill) = fill {
            self.readers.push(Reader::Filling {
                key,
                stamp,
                fill,
                begun: self.seq,
                sent: None,
                answer: None,
            });
        }
        Ok(())
    }

    fn check(&self, answer: &Answer, key: usize, full: bool) -> Result<(), String> {
        if answer.key != key {
            return Err("an answer to another question".to_owned());
        }
        if answer.shape < self.acknowledged_shape || (full && answer.shape < self.shown_shape) {
            return Err("an answer of an older catalog".to_owned());
        }
        if answer.begun <= self.purged {
            return Err("an answer from before the purge".to_owned());
        }
        for (relation, version) in &answer.versions {
            let acknowledged = self.acknowledged[usize::try_from(*relation).unwrap()];
            if full && *version < acknowledged {
                return Err(format!("{relation} at {version}, not at {acknowledged}"));
            }
        }
        Ok(())
    }

    /// A reader gets on: it sends, the database reads, the result is there; or it has waited.
    fn read_on(&mut self) -> Result<(), String> {
        if self.readers.is_empty() {
            return Ok(());
        }
        let index = self.rng.usize(0..self.readers.len());
        let mut reader = self.readers.swap_remove(index);
        match &mut reader {
            Reader::Waiting { follow, .. } => {
                let mut context = Context::from_waker(Waker::noop());
                let done = follow.poll_done(&mut context).is_ready();
                if done || self.now >= follow.deadline() {
                    return self.waited(reader);
                }
                if self.rng.u32(0..10) == 0 {
                    return Ok(());
                }
            }
            Reader::Filling {
                fill,
                sent: sent @ None,
                ..
            } => {
                if self.broken != Broken::AgeFromEnd {
                    fill.started(self.now);
                }
                *sent = Some(self.now);
            }
            Reader::Filling {
                key,
                begun,
                sent: Some(sent),
                answer: answer @ None,
                ..
            } => *answer = Some(self.answer(*key, *begun, *sent)),
            Reader::Filling { .. } => {
                self.end(reader);
                return Ok(());
            }
        }
        self.readers.push(reader);
        Ok(())
    }

    fn waited(&mut self, reader: Reader) -> Result<(), String> {
        let Reader::Waiting {
            key,
            full,
            life,
            follow,
        } = reader
        else {
            return Ok(());
        };
        let Some(stamp) = self.stamp(key, full) else {
            return Ok(());
        };
        let ask = Ask {
            key: &key.to_be_bytes(),
            stamp: &stamp,
            life,
            describe: false,
        };
        let found = self.cache.after(&follow, &ask, self.now);
        self.found((key, full, life), stamp, found, false)
    }

    /// The database reads now.
    fn answer(&mut self, key: usize, begun: u64, sent: Instant) -> u64 {
        let (versions, catalog) = match &self.old {
            Some((versions, catalog)) if self.broken == Broken::StampAfterRead => {
                (versions.clone(), catalog.clone())
            }
            _ => (self.versions.to_vec(), self.catalog.clone()),
        };
        let of = |versions: &[u64], relation: u32| {
            (relation, versions[usize::try_from(relation).unwrap()])
        };
        let reads = catalog.reads[key].iter();
        self.answers.push(Answer {
            key,
            shape: catalog.shape,
            versions: reads.clone().map(|r| of(&versions, *r)).collect(),
            ours: reads.map(|r| of(&self.ours, *r)).collect(),
            begun,
            sent,
        });
        self.answers.len() as u64 - 1
    }

    fn end(&mut self, reader: Reader) {
        let Reader::Filling {
            mut fill,
            answer: Some(answer),
            ..
        } = reader
        else {
            return;
        };
        if self.broken == Broken::AgeFromEnd {
            fill.started(self.now);
        }
        if self.broken != Broken::StampAfterRead {
            // The client has it: from now on nobody is shown less.
            let shown = self.answers[usize::try_from(answer).unwrap()].clone();
            self.shown_shape = self.shown_shape.max(shown.shape);
            self.must_show(&shown.ours);
        }
        let mut row = vec![b'D', 0, 0, 0, 12];
        row.extend_from_slice(&answer.to_be_bytes());
        let (one, two) = row.split_at(self.rng.usize(0..row.len()));
        fill.row(one);
        match self.rng.u32(0..10) {
            // The client is gone in the middle of a row.
            0 => return,
            1 => fill.spoil(Reason::NotClean),
            2 => fill.let_go(),
            3 => fill.description(b"columns"),
            _ => {}
        }
        fill.row(two);
        fill.tag(b"SELECT 1\0");
        let stored = fill.commit(self.now);
        drop(stored);
    }

    fn write(&mut self) {
        let relation = self.rng.u32(0..u32::try_from(RELATIONS).unwrap());
        let [ddl, everything, _] = self.odds;
        let plan = if self.rng.u32(0..ddl) == 0 {
            Plan::Ddl
        } else {
            Plan::Touch(relation)
        };
        let pid = self.rng.i32(1..6);
        let (epoch, known) = match &self.published {
            Some((epoch, catalog)) => (*epoch, Some(catalog)),
            None => (0, None),
        };
        let touched = known.map(|catalog| closure(catalog, relation));
        let set = match (plan, &touched) {
            (Plan::Ddl, _) if self.broken == Broken::EpochNotMoved => WriteSet::Everything,
            (Plan::Ddl, _) => WriteSet::Definitions,
            (Plan::Touch(_), Some(touched)) if self.rng.u32(0..=everything) != 0 => {
                WriteSet::Relations(touched)
            }
            (Plan::Touch(_), _) => WriteSet::Everything,
        };
        let mut dirty = Some(self.generations.mark(&set, epoch, pid));
        if self.broken == Broken::SettledBeforeCommit {
            dirty.take().unwrap().settle();
        }
        self.writers.push(Writer {
            plan,
            dirty,
            outcome: Outcome::Open,
            wrote: Vec::new(),
            shape: 0,
            pid,
            gid: None,
        });
    }

    /// A writer gets on: it commits, rolls back, prepares, is lost, or is told the outcome.
    fn write_on(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let index = self.rng.usize(0..self.writers.len());
        let mut writer = self.writers.swap_remove(index);
        let lost = self.rng.u32(0..self.odds[2]) == 0;
        match (self.rng.u32(1..10), writer.outcome) {
            _ if lost => {
                drop(writer.dirty.take());
                self.orphans.push(writer);
            }
            (1, Outcome::Open) => {
                if let Some(dirty) = writer.dirty.take() {
                    let gid: Box<[u8]> = self.seq.to_be_bytes().into();
                    if self.broken == Broken::PreparedForgotten {
                        dirty.settle();
                    } else {
                        self.generations.prepare(&gid, dirty);
                    }
                    writer.gid = Some(gid);
                }
                self.orphans.push(writer);
            }
            (2, Outcome::Open) => {
                writer.outcome = Outcome::Done;
                self.writers.push(writer);
            }
            (_, Outcome::Open) => {
                self.commit(&mut writer);
                self.writers.push(writer);
            }
            (_, Outcome::Done) => {
                if let Some(dirty) = writer.dirty.take() {
                    dirty.settle();
                }
                self.acknowledge(&writer);
            }
        }
    }

    fn commit(&mut self, writer: &mut Writer) {
        writer.outcome = Outcome::Done;
        match writer.plan {
            Plan::Ddl => {
                self.catalog = catalog(&mut self.rng, self.catalog.shape + 1);
                writer.shape = self.catalog.shape;
            }
            Plan::Touch(relation) => {
                for relation in closure(&self.catalog, relation) {
                    self.versions[usize::try_from(relation).unwrap()] = self.seq;
                    self.ours[usize::try_from(relation).unwrap()] = self.seq;
                    writer.wrote.push((relation, self.seq));
                }
            }
        }
    }

    fn acknowledge(&mut self, writer: &Writer) {
        self.acknowledged_shape = self.acknowledged_shape.max(writer.shape);
        self.must_show(&writer.wrote);
    }

    fn must_show(&mut self, versions: &[(u32, u64)]) {
        for (relation, version) in versions {
            let acknowledged = &mut self.acknowledged[usize::try_from(*relation).unwrap()];
            *acknowledged = (*acknowledged).max(*version);
        }
    }

    /// A backend that nobody listens to, or a prepared transaction, commits or goes.
    fn orphan_on(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        let index = self.rng.usize(0..self.orphans.len());
        let mut orphan = self.orphans.swap_remove(index);
        if orphan.outcome == Outcome::Open && self.rng.bool() {
            self.commit(&mut orphan);
        }
        orphan.outcome = Outcome::Done;
        self.orphans.push(orphan);
    }

    /// The keeper looks which backends and prepared transactions are gone.
    fn keep(&mut self) {
        let early = self.broken == Broken::BuriedEarly;
        for pid in self.generations.lost() {
            let lives = |orphan: &Writer| {
                orphan.gid.is_none() && orphan.pid == pid && orphan.outcome == Outcome::Open
            };
            if early || !self.orphans.iter().any(lives) {
                self.generations.bury(pid);
            }
        }
        for gid in self.generations.prepared_gids() {
            let open = |orphan: &Writer| {
                orphan.gid.as_deref() == Some(&*gid) && orphan.outcome == Outcome::Open
            };
            if !self.orphans.iter().any(open) {
                self.generations.finish_prepared(&gid);
            }
        }
        let held = self.generations.lost();
        let (over, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(|orphan| {
                // One of the same pid may still live, and then none of them is buried.
                orphan.outcome == Outcome::Done
                    && (orphan.gid.is_some() || !held.contains(&orphan.pid))
            });
        self.orphans = open;
        for orphan in over {
            self.acknowledge(&orphan);
        }
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

/// Twenty times as many by `PGWEIR_MODEL_SEEDS`, for a long look.
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
