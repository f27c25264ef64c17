//! When what was read is no longer true: a counter per relation, one for writes of everything, and
//! the epoch of a database's catalog.
//!
//! Invalidation is an increment; nothing is searched for or removed. A write that passes through us
//! takes three steps: it makes its relations dirty before anything that can commit is sent
//! ([`Generations::mark`]), moves their generations once the outcome is known, and only then makes
//! them clean again ([`Dirty::settle`]), all before the client sees ReadyForQuery. A read takes a
//! [`Stamp`] before it is sent, and its result may be stored and served while the stamp is
//! [`Live::Live`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::held::Held;
use super::stamp::{Counter, Watched, Whole, next_move};
pub use super::stamp::{Deps, Live, Stamp};

/// Relations with a counter of their own, per database: at some 60 bytes each, 6 MB. Beyond it,
/// counters that nobody refers to are dropped; if that is not enough, all further relations share
/// one counter, and so are invalidated together.
const RELATIONS_MAX: usize = 100_000;

/// The relations that have counters.
#[derive(Debug, Default)]
struct Relations {
    own: HashMap<u32, Arc<Counter>, RandomState>,
    /// The counter of all relations that came too late; once it is in use no relation gets a
    /// counter of its own any more, since one whose counter changes would escape from its stamps.
    shared: Option<Arc<Counter>>,
}

/// The counters of one upstream database.
#[derive(Debug)]
pub struct Generations {
    whole: Arc<Whole>,
    relations: RwLock<Relations>,
    relations_max: usize,
    /// Watches nothing but the epoch.
    nothing: Deps,
    /// How many writes of known relations are under way, by the epoch they were resolved under.
    under_way: Mutex<BTreeMap<u64, usize>>,
    held: Mutex<Held>,
    /// Told when there is a lost write (somebody should look whether its backend is gone) and when the
    /// epoch moves (the catalog has to be read anew).
    pub wake: Notify,
}

/// What a write touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteSet<'a> {
    /// These relations and no other.
    Relations(&'a [u32]),
    /// Nobody knows.
    Everything,
    /// The catalog; the epoch moves, too.
    Definitions,
}

/// What made results stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// A write to it.
    Relation(u32),
    /// A write of which nobody knows what it touched.
    Everything,
    /// The schema or privileges changed.
    Catalog,
}

/// A write under way: its relations are dirty as long as it lives. Dropped without
/// [`Dirty::settle`], its outcome is unknown: what it touches stays dirty until its backend is
/// known to be gone ([`Generations::bury`]).
#[must_use = "dropped, it counts as a write whose outcome is unknown"]
#[derive(Debug)]
pub struct Dirty {
    generations: Arc<Generations>,
    /// None once it is settled or handed over.
    marks: Option<Marks>,
    pid: i32,
}

/// What a write has made dirty.
#[derive(Debug)]
pub(super) struct Marks {
    touched: Touched,
    /// The epoch that it is counted under in `under_way`.
    counted: Option<u64>,
}

#[derive(Debug)]
enum Touched {
    Relations(Box<[Arc<Counter>]>),
    Everything,
    Definitions,
}

impl Generations {
    /// The counters of a database of which nothing is known yet.
    pub fn new() -> Arc<Self> {
        Self::with_limits(RELATIONS_MAX, super::held::HELD_MAX)
    }

    pub(super) fn with_limits(relations_max: usize, held_max: usize) -> Arc<Self> {
        let whole = Arc::new(Whole::default());
        let nothing = Deps {
            watched: Arc::new(Watched {
                whole: Arc::clone(&whole),
                counters: Box::default(),
                everything: false,
            }),
        };
        Arc::new(Self {
            whole,
            relations: RwLock::default(),
            relations_max,
            nothing,
            under_way: Mutex::default(),
            held: Mutex::new(Held::new(held_max)),
            wake: Notify::new(),
        })
    }

    /// The catalog's epoch; a snapshot reads it before it is loaded and carries it.
    pub fn epoch(&self) -> u64 {
        self.whole.epoch.load(SeqCst)
    }

    /// Everything of this database is stale, and nothing is stamped any more until there is a
    /// catalog of the new epoch.
    pub fn bump_epoch(&self) {
        self.whole.epoch.fetch_add(1, SeqCst);
        self.whole.epoch_moved.store(next_move(), Relaxed);
        self.wake.notify_one();
    }

    /// Makes results that depend on these relations stale, as if they had been written.
    pub fn bump(&self, relations: &[u32]) {
        for counter in self.counters(relations) {
            counter.move_on();
        }
    }

    /// What of these was written last, as far as anything was. For people; not for the data path.
    pub fn last_moved(&self, relations: &[u32]) -> Option<Moved> {
        let single = relations.iter().filter_map(|oid| {
            let counter = self.counters(&[*oid]).pop()?;
            Some((counter.moved(), Moved::Relation(*oid)))
        });
        let whole = [
            (self.whole.everything.moved(), Moved::Everything),
            (self.whole.epoch_moved.load(Relaxed), Moved::Catalog),
        ];
        let last = single.chain(whole).max_by_key(|(moved, _)| *moved)?;
        (last.0 > 0).then_some(last.1)
    }

    /// What a result that depends on these relations watches.
    pub fn deps(&self, relations: &[u32]) -> Deps {
        Deps {
            watched: Arc::new(Watched {
                whole: Arc::clone(&self.whole),
                counters: self.counters(relations).into_boxed_slice(),
                everything: true,
            }),
        }
    }

    /// The numbers to store with the result of a query that is about to be sent. None: something it
    /// depends on is dirty, or `epoch`, its catalog's, has passed.
    pub fn stamp(&self, epoch: u64, relations: &[u32]) -> Option<Stamp> {
        self.deps(relations).stamp(epoch)
    }

    /// The same for results that only go by age: no write makes them stale, but the epoch does.
    pub fn stamp_epoch_only(&self, epoch: u64) -> Option<Stamp> {
        self.nothing.stamp(epoch)
    }

    /// Makes a write's relations dirty: before anything that can commit it is sent. `epoch` is that
    /// of the catalog by which they were found; if it has passed, everything is dirty instead.
    /// `pid` is the backend that runs it.
    pub fn mark(self: &Arc<Self>, set: &WriteSet<'_>, epoch: u64, pid: i32) -> Dirty {
        let marks = match *set {
            WriteSet::Relations(relations) => self.mark_relations(relations, epoch),
            WriteSet::Everything => self.mark_whole(Touched::Everything),
            WriteSet::Definitions => self.mark_whole(Touched::Definitions),
        };
        Dirty {
            generations: Arc::clone(self),
            marks: Some(marks),
            pid,
        }
    }

    fn mark_relations(&self, relations: &[u32], epoch: u64) -> Marks {
        // Counted first, compared then: whoever moves the epoch in between either finds it counted
        // (and publishes no catalog while it is under way), or is found here.
        self.count(epoch);
        if epoch != self.epoch() {
            self.uncount(epoch);
            return self.mark_whole(Touched::Everything);
        }
        let counters = self.counters(relations).into_boxed_slice();
        for counter in &counters {
            counter.dirty.fetch_add(1, SeqCst);
        }
        Marks {
            touched: Touched::Relations(counters),
            counted: Some(epoch),
        }
    }

    fn mark_whole(&self, touched: Touched) -> Marks {
        self.whole.everything.dirty.fetch_add(1, SeqCst);
        Marks {
            touched,
            // Nobody has to wait for it: it is dirty for every catalog.
            counted: None,
        }
    }

    /// Whether a write is under way (or lost, or prepared) whose relations were found in a catalog
    /// older than `epoch`: it may touch more than that catalog knew. A catalog is not published
    /// while this is so.
    pub fn in_flight_before(&self, epoch: u64) -> bool {
        lock(&self.under_way).range(..epoch).next().is_some()
    }

    /// The backends with a write whose outcome is unknown; those that are no longer there should be
    /// buried.
    pub fn lost(&self) -> Vec<i32> {
        lock(&self.held).lost()
    }

    /// This backend no longer exists, as was seen after [`Generations::lost`] named it: its writes
    /// have happened by now or never will.
    pub fn bury(&self, pid: i32) {
        let buried = lock(&self.held).bury(pid);
        self.finish(buried);
    }

    /// The transaction was prepared under this name: it may be committed at any time by anybody.
    pub fn prepare(&self, gid: &[u8], mut dirty: Dirty) {
        let Some(mut marks) = dirty.marks.take() else {
            return;
        };
        let mut held = lock(&self.held);
        if held.is_full() {
            self.widen(&mut marks);
        }
        let spare = held.prepare(gid, marks);
        drop(held);
        self.finish(spare);
    }

    /// The names of prepared transactions that nobody is known to have finished.
    pub fn prepared_gids(&self) -> Vec<Box<[u8]>> {
        lock(&self.held).prepared_gids()
    }

    /// There is no prepared transaction of this name any more, as was seen after
    /// [`Generations::prepared_gids`] named it.
    pub fn finish_prepared(&self, gid: &[u8]) {
        let finished = lock(&self.held).finish_prepared(gid);
        self.finish(finished);
    }

    fn finish(&self, all: Vec<Marks>) {
        for marks in all {
            self.move_on(&marks);
            self.clean(marks);
        }
    }

    /// What it touched has changed.
    fn move_on(&self, marks: &Marks) {
        match &marks.touched {
            Touched::Relations(counters) => {
                for counter in counters {
                    counter.move_on();
                }
            }
            Touched::Everything => {
                self.whole.everything.move_on();
            }
            Touched::Definitions => {
                self.whole.everything.move_on();
                self.bump_epoch();
            }
        }
    }

    /// It is no longer under way. Only after [`Generations::move_on`].
    fn clean(&self, marks: Marks) {
        match marks.touched {
            Touched::Relations(counters) => {
                for counter in &counters {
                    counter.dirty.fetch_sub(1, SeqCst);
                }
            }
            Touched::Everything | Touched::Definitions => {
                self.whole.everything.dirty.fetch_sub(1, SeqCst);
            }
        }
        if let Some(epoch) = marks.counted {
            self.uncount(epoch);
        }
    }

    /// From now on it counts as a write of everything, for which no list need be kept.
    fn widen(&self, marks: &mut Marks) {
        if !matches!(marks.touched, Touched::Relations(_)) {
            return;
        }
        let wide = self.mark_whole(Touched::Everything);
        let narrow = std::mem::replace(marks, wide);
        self.move_on(&narrow);
        self.clean(narrow);
    }

    fn lose(&self, mut marks: Marks, pid: i32) {
        // It may have happened already.
        self.move_on(&marks);
        let mut held = lock(&self.held);
        if held.is_full() {
            self.widen(&mut marks);
        }
        let spare = held.lose(pid, marks);
        drop(held);
        self.finish(spare);
        self.wake.notify_one();
    }

    fn count(&self, epoch: u64) {
        *lock(&self.under_way).entry(epoch).or_insert(0) += 1;
    }

    fn uncount(&self, epoch: u64) {
        let mut under_way = lock(&self.under_way);
        if let Some(count) = under_way.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&epoch);
            }
        }
    }

    /// The counters of these relations, sorted by address, each once.
    fn counters(&self, relations: &[u32]) -> Vec<Arc<Counter>> {
        let known = self
            .relations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        // Of the exact size: most writes touch one, and it is kept as a boxed slice.
        let mut found = Vec::with_capacity(relations.len());
        found.extend(relations.iter().map_while(|oid| known.find(*oid)));
        drop(known);
        let found = (found.len() == relations.len()).then_some(found);
        let mut counters = found.unwrap_or_else(|| {
            let mut known = self
                .relations
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let max = self.relations_max;
            relations.iter().map(|oid| known.make(*oid, max)).collect()
        });
        counters.sort_unstable_by_key(Arc::as_ptr);
        counters.dedup_by(|a, b| Arc::ptr_eq(a, b));
        counters
    }
}

impl Relations {
    fn find(&self, oid: u32) -> Option<Arc<Counter>> {
        self.own.get(&oid).or(self.shared.as_ref()).cloned()
    }

    fn make(&mut self, oid: u32, max: usize) -> Arc<Counter> {
        if let Some(counter) = self.find(oid) {
            return counter;
        }
        if self.own.len() >= max {
            // A counter that only this table refers to is in no stamp and in no write: nobody can
            // notice that it starts anew. Nobody gets hold of one meanwhile, the table is locked.
            self.own.retain(|_, counter| Arc::strong_count(counter) > 1);
        }
        if self.own.len() >= max {
            return Arc::clone(self.shared.get_or_insert_default());
        }
        Arc::clone(self.own.entry(oid).or_default())
    }
}

impl Dirty {
    /// The outcome is known, whatever it is: before the client sees ReadyForQuery.
    pub fn settle(mut self) {
        if let Some(marks) = self.marks.take() {
            self.generations.move_on(&marks);
            self.generations.clean(marks);
        }
    }

    /// Another mark stands for it from now on.
    pub fn withdraw(mut self) {
        if let Some(marks) = self.marks.take() {
            self.generations.clean(marks);
        }
    }

    /// The backend that runs it.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Dirty {
    fn drop(&mut self) {
        if let Some(marks) = self.marks.take() {
            self.generations.lose(marks, self.pid);
        }
    }
}

impl Marks {
    /// Whether it is one of everything, so that a second one beside it says nothing new.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self.touched, Touched::Everything)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_dirty_then_stale_for_what_it_touches() {
        let all = Generations::new();
        let one = all.stamp(0, &[1, 2]).unwrap();
        let other = all.stamp(0, &[3]).unwrap();
        let dirty = all.mark(&WriteSet::Relations(&[2]), 0, 7);
        assert_eq!(dirty.pid(), 7);
        assert_eq!(one.state(), Live::Dirty);
        assert_eq!(other.state(), Live::Live);
        assert!(all.stamp(0, &[2]).is_none());
        assert_eq!(all.last_moved(&[1, 2]), None);
        dirty.settle();
        assert_eq!(all.last_moved(&[2, 1]), Some(Moved::Relation(2)));
        assert_eq!(all.last_moved(&[3]), None);
        assert_eq!(one.state(), Live::Stale);
        assert_eq!(other.state(), Live::Live);
        let anew = all.stamp(0, &[2, 1, 2]).unwrap();
        assert!(!anew.same(&one));
        assert!(anew.same(&all.stamp(0, &[1, 2]).unwrap()));
        assert!(!anew.same(&all.stamp(0, &[1]).unwrap()));

        let dirty = all.mark(&WriteSet::Everything, 0, 7);
        assert_eq!(other.state(), Live::Dirty);
        dirty.settle();
        assert_eq!(other.state(), Live::Stale);
        assert_eq!(all.last_moved(&[2, 3]), Some(Moved::Everything));
        assert_eq!(all.epoch(), 0);
        all.bump(&[9]);
        assert_eq!(all.last_moved(&[9]), Some(Moved::Relation(9)));
        assert_eq!(anew.state(), Live::Stale);
    }

    #[test]
    fn definitions_move_the_epoch() {
        let all = Generations::new();
        let by_age = all.stamp_epoch_only(0).unwrap();
        all.mark(&WriteSet::Everything, 0, 7).settle();
        assert_eq!(by_age.state(), Live::Live);
        let dirty = all.mark(&WriteSet::Definitions, 0, 7);
        assert_eq!(by_age.state(), Live::Live);
        dirty.settle();
        assert_eq!(by_age.state(), Live::Stale);
        assert!(all.stamp(0, &[1]).is_none());
        assert!(all.stamp_epoch_only(0).is_none());
        assert!(all.stamp(1, &[1]).is_some());
    }

    #[test]
    fn an_old_catalog_does_not_know_what_is_touched() {
        let all = Generations::new();
        let before = all.mark(&WriteSet::Relations(&[1]), 0, 7);
        assert!(!all.in_flight_before(0));
        all.bump_epoch();
        assert!(all.in_flight_before(1));
        let after = all.mark(&WriteSet::Relations(&[1]), 0, 7);
        assert!(all.stamp(1, &[2]).is_none());
        after.settle();
        assert!(all.stamp(1, &[2]).is_some());
        // Also when it is lost, or prepared.
        drop(before);
        assert!(all.in_flight_before(1));
        assert_eq!(all.lost(), [7]);
        all.bury(7);
        assert!(!all.in_flight_before(1));
        let dirty = all.mark(&WriteSet::Relations(&[1]), 1, 7);
        all.prepare(b"gid", dirty);
        all.bump_epoch();
        assert!(all.in_flight_before(2));
        assert_eq!(all.prepared_gids().len(), 1);
        all.finish_prepared(b"gid");
        assert!(!all.in_flight_before(2));
    }

    #[test]
    fn only_what_was_named_is_let_go() {
        let all = Generations::new();
        drop(all.mark(&WriteSet::Relations(&[1]), 0, 7));
        all.bury(7);
        assert!(all.stamp(0, &[1]).is_none());
        assert_eq!(all.lost(), [7]);
        // Another backend of that number, lost after the keeper has looked.
        drop(all.mark(&WriteSet::Relations(&[2]), 0, 7));
        all.bury(7);
        let first = all.stamp(0, &[1]).unwrap();
        assert!(all.stamp(0, &[2]).is_none());
        assert_eq!(all.lost(), [7]);
        all.bury(7);
        assert!(all.lost().is_empty());
        assert_eq!(first.state(), Live::Live);
        assert!(all.stamp(0, &[2]).is_some());
    }

    #[test]
    fn a_lost_write_moves_the_generation_twice() {
        let all = Generations::new();
        let one = all.stamp(0, &[1]).unwrap();
        drop(all.mark(&WriteSet::Relations(&[1]), 0, 7));
        assert_eq!(one.state(), Live::Dirty);
        assert_eq!(one.deps.watched.sum(), one.sum + 1);
        all.lost();
        all.bury(7);
        assert_eq!(one.state(), Live::Stale);
        assert_eq!(one.deps.watched.sum(), one.sum + 2);
    }

    #[test]
    fn too_many_held_writes_become_writes_of_everything() {
        let all = Generations::with_limits(10, 2);
        for (pid, oid) in [(1, 1u32), (2, 2), (3, 3), (3, 4), (4, 5)] {
            drop(all.mark(&WriteSet::Relations(&[oid]), 0, pid));
        }
        assert!(all.stamp(0, &[9]).is_none());
        assert!(all.stamp_epoch_only(0).is_some());
        let mut lost = all.lost();
        lost.sort_unstable();
        assert_eq!(lost, [1, 2, 3, 4]);
        for pid in [1, 2, 3] {
            all.bury(pid);
            assert!(all.stamp(0, &[9]).is_none());
        }
        all.bury(4);
        assert!(all.stamp(0, &[1, 2, 3, 4, 5, 9]).is_some());
        assert!(!all.in_flight_before(u64::MAX));

        // A write of everything stands for those before it, but not for definitions.
        let all = Generations::with_limits(10, 1);
        drop(all.mark(&WriteSet::Definitions, 0, 1));
        drop(all.mark(&WriteSet::Everything, 0, 1));
        drop(all.mark(&WriteSet::Everything, 0, 1));
        let epoch = all.epoch();
        all.lost();
        all.bury(1);
        assert_eq!(all.epoch(), epoch + 1);
        assert!(all.stamp(epoch + 1, &[1]).is_some());
    }

    #[test]
    fn too_many_relations_share_a_counter() {
        let all = Generations::with_limits(3, 10);
        let one = all.stamp(0, &[1]).unwrap();
        drop(all.stamp(0, &[2, 3]).unwrap());
        // Nobody refers to 2 and 3: there is room again.
        let two = all.stamp(0, &[4, 5]).unwrap();
        let late = all.stamp(0, &[6]).unwrap();
        all.mark(&WriteSet::Relations(&[7]), 0, 1).settle();
        assert_eq!(late.state(), Live::Stale);
        assert_eq!((one.state(), two.state()), (Live::Live, Live::Live));
        all.mark(&WriteSet::Relations(&[1, 8]), 0, 1).settle();
        assert_eq!((one.state(), two.state()), (Live::Stale, Live::Live));
        let relations = all.relations.read().unwrap();
        assert!(relations.own.len() <= 3);
    }
}
