//! What one upstream writes, from before it is sent until its outcome is known (H57 to H69).
//!
//! A relation is dirty from before anything that can commit a write to it is forwarded, until the
//! outcome has arrived; its generation moves in between, before the client sees ReadyForQuery.
//! Inside a transaction block nothing can commit before the statement that ends the block, so what
//! is written there is only remembered until then, and others go on reading from memory.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::cache::generation::{Dirty, Generations, WriteSet};
use crate::few::Few;
use crate::wire::replies::Status;

/// Relations of one transaction that are told apart. Restores and migrations write more; for them
/// everything is stale.
const RELATIONS_MAX: usize = 1_000;

/// Which relations a statement writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch<'a> {
    Relations(&'a [u32]),
    /// Whatever it is, until the server is asked what it has locked ([`Writes::narrow`]).
    Unseen,
    /// Whatever it is.
    Everything,
    /// The catalog as well.
    Definitions,
}

/// When the server can be asked which relations a transaction has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In front of the statement that ends a transaction block.
    Commit,
    /// In front of the Sync that ends what runs outside of one.
    Sync,
}

/// A set of relations, resolved under one epoch of the catalog.
#[derive(Debug, Default, PartialEq, Eq)]
struct Touched {
    /// Sorted.
    relations: Vec<u32>,
    beyond: Beyond,
    /// The oldest catalog epoch that any of it was resolved under.
    epoch: Option<u64>,
}

/// What is written beside relations that are known. Later ones cover earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Beyond {
    #[default]
    Nothing,
    Unseen,
    Everything,
    Definitions,
}

/// What one ReadyForQuery will tell the outcome of.
#[derive(Debug, Default)]
struct Group {
    /// Written in the transaction block by statements that cannot have committed.
    open: Touched,
    /// Written by what may commit; it is dirty.
    touched: Touched,
    dirty: Vec<Dirty>,
    /// Something was sent for it that may commit.
    commits: bool,
}

/// See the module's text. Dropped with an outcome outstanding, its relations stay dirty until the
/// backend is known to be gone (H68).
#[derive(Debug)]
pub struct Writes {
    generations: Arc<Generations>,
    pid: i32,
    /// What the answered groups wrote in the open transaction block.
    open: Touched,
    /// What was sent since the last message that ReadyForQuery answers; `None` as long as that writes
    /// nothing, as most do.
    current: Option<Box<Group>>,
    /// One for each ReadyForQuery that is outstanding. Bounded as the reply queue is.
    groups: Few<Option<Box<Group>>>,
    /// Whether all that is outstanding runs inside of a transaction block and cannot end it.
    in_block: bool,
}

impl Writes {
    /// For the backend with this process id; it has written nothing yet.
    pub fn new(generations: Arc<Generations>, pid: i32) -> Self {
        Self {
            generations,
            pid,
            open: Touched::default(),
            current: None,
            groups: Few::default(),
            in_block: false,
        }
    }

    /// A request begins while nothing is outstanding, at this transaction status.
    pub fn begins(&mut self, status: Status) {
        self.in_block = status != Status::Idle;
    }

    /// A statement that writes this is about to be sent; it was resolved under the catalog of
    /// `epoch`.
    pub fn touch(&mut self, touch: Touch<'_>, epoch: u64) {
        if self.in_block {
            self.current().open.add(touch, epoch);
            return;
        }
        let behind = self.current.as_deref().is_some_and(|group| group.commits);
        let touch = if behind && touch == Touch::Unseen {
            // The server may have been asked in front of the commit: that is no answer to this.
            Touch::Everything
        } else {
            touch
        };
        let mut touched = Touched::default();
        touched.add(touch, epoch);
        self.mark(&touched);
        self.current().touched.merge(touched);
    }

    /// A statement that may end the transaction block without a commit is about to be sent: what comes
    /// behind it may commit by itself.
    pub fn may_end(&mut self) {
        self.in_block = false;
    }

    /// A statement that may end the transaction block in a commit is about to be sent.
    pub fn may_commit(&mut self) {
        self.in_block = false;
        let mut open = std::mem::take(&mut self.open);
        let groups = self.groups.iter_mut().chain([&mut self.current]);
        for group in groups.flatten() {
            open.merge(std::mem::take(&mut group.open));
        }
        self.mark(&open);
        let current = self.current();
        current.touched.merge(open);
        current.commits = true;
    }

    /// Whether it would help to ask the server what was written, at this moment: what is written now
    /// is everything, for the only reason that code was not seen through.
    pub fn can_be_narrowed(&self, moment: Moment) -> bool {
        let current = self.current.as_deref();
        let sent = match moment {
            Moment::Commit if self.in_block => {
                let groups = self.groups.iter().flatten();
                groups.map(|group| group.open.beyond).max()
            }
            Moment::Sync if !self.in_block && !current.is_some_and(|group| group.commits) => {
                current.map(|group| group.touched.beyond)
            }
            Moment::Commit | Moment::Sync => return false,
        };
        let open = current.map(|group| group.open.beyond);
        sent.max(open).unwrap_or_default().max(self.open.beyond) == Beyond::Unseen
    }

    /// The server has told which relations the transaction has locked to write them. It is about to
    /// be ended by the group that is `ahead` of the one whose answers arrive now.
    pub fn narrow(&mut self, ahead: usize, relations: &[u32]) {
        self.told(ahead, Touch::Relations(relations));
    }

    /// The server has told that the transaction, about to be ended by that group, has changed the catalog.
    pub fn widen(&mut self, ahead: usize) {
        self.told(ahead, Touch::Definitions);
    }

    /// This is what was `Unseen`.
    fn told(&mut self, ahead: usize, touch: Touch<'_>) {
        let mut groups = self.groups.iter_mut().chain([&mut self.current]);
        let Some(Some(group)) = groups.nth(ahead) else {
            return;
        };
        let touched = &mut group.touched;
        let Some(epoch) = touched.epoch.filter(|_| touched.beyond == Beyond::Unseen) else {
            return;
        };
        touched.beyond = Beyond::Nothing;
        touched.add(touch, epoch);
        // Marked first: at no time is it clean. Under an old epoch it is everything again.
        let told = self.generations.mark(&touched.set(), epoch, self.pid);
        for dirty in std::mem::replace(&mut group.dirty, vec![told]) {
            dirty.withdraw();
        }
    }

    fn mark(&mut self, touched: &Touched) {
        let Some(epoch) = touched.epoch else {
            return;
        };
        let dirty = self.generations.mark(&touched.set(), epoch, self.pid);
        self.current().dirty.push(dirty);
    }

    /// A message that ReadyForQuery will answer is about to be sent.
    pub fn asks(&mut self) {
        self.groups.push_back(self.current.take());
    }

    /// The server ignores so many of the messages that ReadyForQuery was to answer, those sent first (Sync in copy
    /// mode): what they were to tell the outcome of, the next one tells.
    pub fn unanswered(&mut self, messages: usize) {
        for _ in 0..messages {
            if let Some(Some(group)) = self.groups.pop_front() {
                let next = self.groups.front_mut().unwrap_or(&mut self.current);
                next.get_or_insert_default().absorb(*group);
            }
        }
    }

    fn current(&mut self) -> &mut Group {
        self.current.get_or_insert_default()
    }

    /// ReadyForQuery arrived; the client has not seen it. Outcomes are known only up to here:
    /// what later messages wrote has groups of its own.
    pub fn ready(&mut self, status: Status) {
        let Some(mut group) = self.groups.pop_front() else {
            return;
        };
        if let Some(group) = group.as_mut() {
            self.open.merge(std::mem::take(&mut group.open));
        }
        if status == Status::Idle {
            if let Some(group) = group {
                group.settle();
            }
            // Not what later groups write: a transaction that they begin is still to come.
            // Rolled back, or ended in a way that was not seen: moving a generation costs little.
            if let Some(epoch) = self.open.epoch {
                let open = std::mem::take(&mut self.open);
                self.generations.mark(&open.set(), epoch, self.pid).settle();
            }
            return;
        }
        let Some(group) = group.filter(|group| !group.dirty.is_empty()) else {
            return;
        };
        // Still in a block: a later message, perhaps under way already, may commit it.
        let goes_on = |group: &&mut Box<Group>| group.commits || !group.dirty.is_empty();
        if let Some(next) = self.groups.front_mut() {
            next.get_or_insert_default().absorb(*group);
        } else if let Some(current) = self.current.as_mut().filter(goes_on) {
            current.absorb(*group);
        } else {
            self.open.merge(group.settle());
        }
    }

    /// PREPARE TRANSACTION succeeded: what it wrote is in doubt until whoever keeps the catalog sees
    /// that it is finished, by us or by somebody else (H67).
    pub fn prepared(&mut self, gid: &[u8]) {
        let group = self.groups.front_mut().unwrap_or(&mut self.current);
        for dirty in group.iter_mut().flat_map(|group| group.dirty.drain(..)) {
            self.generations.prepare(gid, dirty);
        }
    }
}

impl Group {
    fn absorb(&mut self, other: Self) {
        self.open.merge(other.open);
        self.touched.merge(other.touched);
        self.dirty.extend(other.dirty);
        self.commits |= other.commits;
    }

    fn settle(self) -> Touched {
        for dirty in self.dirty {
            dirty.settle();
        }
        self.touched
    }
}

impl Touched {
    fn add(&mut self, touch: Touch<'_>, epoch: u64) {
        self.epoch = Some(self.epoch.map_or(epoch, |known| known.min(epoch)));
        match touch {
            Touch::Relations(relations) => {
                for relation in relations {
                    if let Err(at) = self.relations.binary_search(relation) {
                        self.relations.insert(at, *relation);
                    }
                }
                if self.relations.len() > RELATIONS_MAX {
                    self.beyond = self.beyond.max(Beyond::Everything);
                }
            }
            Touch::Unseen => self.beyond = self.beyond.max(Beyond::Unseen),
            Touch::Everything => self.beyond = self.beyond.max(Beyond::Everything),
            Touch::Definitions => self.beyond = Beyond::Definitions,
        }
        if self.beyond >= Beyond::Everything {
            self.relations.clear();
        }
    }

    fn merge(&mut self, other: Self) {
        let Some(epoch) = other.epoch else {
            return;
        };
        if self.epoch.is_none() {
            *self = other;
            return;
        }
        self.beyond = self.beyond.max(other.beyond);
        self.add(Touch::Relations(&other.relations), epoch);
    }

    fn set(&self) -> WriteSet<'_> {
        match self.beyond {
            Beyond::Definitions => WriteSet::Definitions,
            Beyond::Everything | Beyond::Unseen => WriteSet::Everything,
            Beyond::Nothing => WriteSet::Relations(&self.relations),
        }
    }
}
