//! The model's readers: they ask, send, wait, fill, and look at what they are given.

use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::super::generation::Stamp;
use super::super::{Ask, Life, Lookup};
use super::{Answer, Broken, KEYS, Reader, World};
use crate::reason::Reason;

impl World {
    pub(super) fn ask(&mut self) -> Result<(), String> {
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
            rare: self.broken == Broken::Nothing && self.rng.u32(0..8) == 0,
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
    pub(super) fn read_on(&mut self) -> Result<(), String> {
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
            rare: false,
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
}
