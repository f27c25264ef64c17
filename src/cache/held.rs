//! Writes that may still happen although nobody waits for them: of backends that were lost, and of
//! prepared transactions.

use std::collections::HashMap;

use super::generation::Marks;

/// Writes held with a list of what they touch, per database. Beyond it a further write counts as
/// one of everything and needs no list: then a record is a name and a few words, one per backend
/// or prepared transaction, of which a server has at most 262,143. More than a handful at a time
/// means that the database is out of reach, and the cache of little use anyway.
pub(super) const HELD_MAX: usize = 10_000;

/// What is held, each under the number it came with.
#[derive(Debug)]
pub(super) struct Held {
    lost: HashMap<i32, Vec<Record>>,
    prepared: HashMap<Box<[u8]>, Vec<Record>>,
    records: usize,
    records_max: usize,
    /// Numbers up to the first were named by `lost`, up to the second by `prepared_gids`. Only
    /// those are let go: a backend or a transaction of the same name may have come since.
    last: u64,
    lost_named: u64,
    prepared_named: u64,
}

#[derive(Debug)]
struct Record {
    number: u64,
    marks: Marks,
}

impl Held {
    pub(super) fn new(records_max: usize) -> Self {
        Self {
            lost: HashMap::new(),
            prepared: HashMap::new(),
            records: 0,
            records_max,
            last: 0,
            lost_named: 0,
            prepared_named: 0,
        }
    }

    /// Whether further writes must be made writes of everything before they are held.
    pub(super) fn is_full(&self) -> bool {
        self.records >= self.records_max
    }

    /// Holds a lost write; gives back what need not be held beside it.
    pub(super) fn lose(&mut self, pid: i32, marks: Marks) -> Vec<Marks> {
        let record = self.number(marks);
        let spare = add(self.lost.entry(pid).or_default(), record);
        self.records = self.records.saturating_sub(spare.len());
        spare
    }

    pub(super) fn lost(&mut self) -> Vec<i32> {
        self.lost_named = self.last;
        self.lost.keys().copied().collect()
    }

    pub(super) fn bury(&mut self, pid: i32) -> Vec<Marks> {
        let Some(records) = self.lost.get_mut(&pid) else {
            return Vec::new();
        };
        let gone = take(records, self.lost_named);
        if records.is_empty() {
            self.lost.remove(&pid);
        }
        self.records = self.records.saturating_sub(gone.len());
        gone
    }

    /// Holds a prepared transaction; gives back what need not be held beside it.
    pub(super) fn prepare(&mut self, gid: &[u8], marks: Marks) -> Vec<Marks> {
        let record = self.number(marks);
        let spare = add(self.prepared.entry(gid.into()).or_default(), record);
        self.records = self.records.saturating_sub(spare.len());
        spare
    }

    pub(super) fn prepared_gids(&mut self) -> Vec<Box<[u8]>> {
        self.prepared_named = self.last;
        self.prepared.keys().cloned().collect()
    }

    pub(super) fn finish_prepared(&mut self, gid: &[u8]) -> Vec<Marks> {
        let Some(records) = self.prepared.get_mut(gid) else {
            return Vec::new();
        };
        let gone = take(records, self.prepared_named);
        if records.is_empty() {
            self.prepared.remove(gid);
        }
        self.records = self.records.saturating_sub(gone.len());
        gone
    }

    fn number(&mut self, marks: Marks) -> Record {
        self.last += 1;
        self.records += 1;
        Record {
            number: self.last,
            marks,
        }
    }
}

/// Of writes of everything under one name the last stands for all.
fn add(records: &mut Vec<Record>, new: Record) -> Vec<Marks> {
    let mut spare = Vec::new();
    if new.marks.is_everything() {
        let all = std::mem::take(records);
        for record in all {
            if record.marks.is_everything() {
                spare.push(record.marks);
            } else {
                records.push(record);
            }
        }
    }
    records.push(new);
    spare
}

fn take(records: &mut Vec<Record>, named: u64) -> Vec<Marks> {
    let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(records)
        .into_iter()
        .partition(|record| record.number <= named);
    *records = kept;
    gone.into_iter().map(|record| record.marks).collect()
}
