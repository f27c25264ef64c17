//! The model's writers, those of them that nobody waits for any more, and the keeper who sees them
//! gone.

use super::super::generation::WriteSet;
use super::{Broken, Outcome, Plan, RELATIONS, World, Writer, catalog, closure};

impl World {
    pub(super) fn write(&mut self) {
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
    pub(super) fn write_on(&mut self) {
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

    pub(super) fn must_show(&mut self, versions: &[(u32, u64)]) {
        for (relation, version) in versions {
            let acknowledged = &mut self.acknowledged[usize::try_from(*relation).unwrap()];
            *acknowledged = (*acknowledged).max(*version);
        }
    }

    /// A backend that nobody listens to, or a prepared transaction, commits or goes.
    pub(super) fn orphan_on(&mut self) {
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
    pub(super) fn keep(&mut self) {
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
}
