//! Threads in all of the room at the same time: no hit is older than what was acknowledged to a
//! writer, or shown to a reader, before it was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::Instant;

use super::generation::{Generations, Live, Stamp, WriteSet};
use super::{Ask, Cache, Fill, Life, Limits, Lookup};

const RELATIONS: usize = 3;

struct World {
    cache: Arc<Cache>,
    generations: Arc<Generations>,
    database: [AtomicU64; RELATIONS],
    /// What a hit must at least show.
    shown: [AtomicU64; RELATIONS],
    stop: AtomicBool,
    hits: AtomicU64,
}

fn oid(relation: usize) -> u32 {
    u32::try_from(relation).unwrap()
}

impl World {
    fn write(&self, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let relation = rng.usize(0..RELATIONS);
            let oids = [oid(relation)];
            let set = match rng.u32(0..20) {
                0 => WriteSet::Everything,
                _ => WriteSet::Relations(&oids),
            };
            let dirty = self.generations.mark(&set, 0, 1);
            let version = self.database[relation].fetch_add(1, SeqCst) + 1;
            match rng.u32(0..50) {
                0 => drop(dirty),
                1 => self.generations.prepare(b"gid", dirty),
                _ => {
                    dirty.settle();
                    self.shown[relation].fetch_max(version, SeqCst);
                }
            }
            for _ in 0..rng.u32(0..200) {
                std::hint::spin_loop();
            }
        }
    }

    fn read(&self, seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        while !self.stop.load(SeqCst) {
            let relation = rng.usize(0..RELATIONS);
            let at_least = self.shown[relation].load(SeqCst);
            match self.generations.stamp(0, &[oid(relation)]) {
                Some(stamp) => self.look(relation, &stamp, at_least),
                None => drop(self.ask_database(relation)),
            }
        }
    }

    fn ask_database(&self, relation: usize) -> u64 {
        let version = self.database[relation].load(SeqCst);
        self.shown[relation].fetch_max(version, SeqCst);
        version
    }

    fn look(&self, relation: usize, stamp: &Stamp, at_least: u64) {
        let now = Instant::now();
        let ask = Ask {
            key: &relation.to_be_bytes(),
            stamp,
            life: Life {
                ttl: Duration::from_secs(60),
                swr: Duration::ZERO,
            },
            describe: false,
            rare: false,
        };
        match self.cache.lookup(&ask, now) {
            Lookup::Hit { entry, .. } => {
                let version = u64::from_be_bytes(entry.rows[5..13].try_into().unwrap());
                assert!(version >= at_least, "{version}, but {at_least} was shown");
                self.hits.fetch_add(1, SeqCst);
            }
            Lookup::Miss { fill, .. } => {
                let version = self.ask_database(relation);
                if let Some(fill) = fill {
                    store(fill, version, now);
                }
            }
            Lookup::Wait(_) => {}
        }
    }

    fn keep(&self) {
        for pid in self.generations.lost() {
            self.generations.bury(pid);
        }
        for gid in self.generations.prepared_gids() {
            self.generations.finish_prepared(&gid);
        }
    }
}

fn store(mut fill: Fill, version: u64, now: Instant) {
    let mut row = vec![b'D', 0, 0, 0, 12];
    row.extend_from_slice(&version.to_be_bytes());
    fill.started(now);
    fill.row(&row);
    fill.tag(b"SELECT 1\0");
    let stored = fill.commit(now);
    drop(stored);
}

#[test]
fn an_acknowledged_write_is_never_followed_by_an_older_hit() {
    let world = World {
        cache: Cache::new(Limits {
            bytes_max: 1 << 20,
            result_bytes_max: 1 << 16,
            entries_max: None,
        }),
        generations: Generations::new(),
        database: Default::default(),
        shown: Default::default(),
        stop: AtomicBool::new(false),
        hits: AtomicU64::new(0),
    };
    let shared = &world;
    std::thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || shared.read(seed));
        }
        scope.spawn(|| {
            while !shared.stop.load(SeqCst) {
                shared.keep();
                std::thread::yield_now();
            }
        });
        let writers = [2, 3].map(|seed| scope.spawn(move || shared.write(seed)));
        for writer in writers {
            writer.join().unwrap();
        }
        shared.stop.store(true, SeqCst);
    });
    assert!(world.hits.load(SeqCst) > 0);
    world.keep();
    // All that was ever dirty is clean again.
    let all = world.generations.stamp(0, &[0, 1, 2]).unwrap();
    assert_eq!(all.state(), Live::Live);
    assert_eq!(world.cache.flights.count(), 0);
}

/// The same of a stamp alone: who was shown a new value by the database, while the write was still
/// dirty, finds no older stamp alive from then on.
#[test]
fn a_stamp_is_not_alive_again_after_its_write_was_shown() {
    let (generations, shown) = (Generations::new(), AtomicU64::new(0));
    let (stop, database) = (AtomicBool::new(false), AtomicU64::new(0));
    let read = || {
        let mut held = None;
        while !stop.load(SeqCst) {
            let at_least = shown.load(SeqCst);
            match &held {
                Some((stamp, version)) if Stamp::state(stamp) == Live::Live => {
                    assert!(*version >= at_least, "{version}, but {at_least} was shown");
                }
                _ => {
                    let stamp = generations.stamp(0, &[1]);
                    held = stamp.map(|stamp| (stamp, database.load(SeqCst)));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(read));
        for version in 1..100_000 {
            let dirty = generations.mark(&WriteSet::Relations(&[1]), 0, 1);
            database.store(version, SeqCst);
            shown.store(version, SeqCst);
            dirty.settle();
            for _ in 0..version % 100 {
                std::hint::spin_loop();
            }
        }
        stop.store(true, SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
