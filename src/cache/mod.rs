//! What was answered once is answered again from memory, as long as it is still true.
//!
//! This room knows no SQL, no sockets and no clock: it is told what a result depends on, what a
//! write touches, and what time it is. [`generation`] says what is still true, [`key`] what is the
//! same question, [`entry`] what an answer is, [`fill`] how one is made; [`Cache::lookup`] decides.

pub mod entry;
pub mod fill;
pub mod flight;
pub mod generation;
mod hashed;
mod held;
pub mod key;
pub mod rules;
mod seen;
mod stamp;
mod store;

#[cfg(test)]
mod model;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use foldhash::quality::RandomState;
use tokio::time::Instant;

use crate::reason::Reason;
pub use entry::{Age, Entry, Life};
pub use fill::Fill;
use flight::{Boarding, Flight, Flights};
pub use flight::{FOLLOW_MAX, Follow};
use generation::{Live, Stamp};
use hashed::{Asked, Key};
use seen::Seen;
use store::Store;

/// How much the cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All entries with their keys and overhead.
    pub bytes_max: u64,
    /// One result.
    pub result_bytes_max: usize,
    /// Entries; for tests that want many evictions.
    pub entries_max: Option<u64>,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// What the answer depends on, taken just now.
    pub stamp: &'a Stamp,
    /// How old the answer may be.
    pub life: Life,
    /// Whether the reply needs a RowDescription.
    pub describe: bool,
    /// Such questions hardly ever come twice: an entry is made for those that do.
    pub rare: bool,
}

/// What became of a question.
#[derive(Debug)]
pub enum Lookup {
    /// Here is the answer.
    Hit {
        entry: Arc<Entry>,
        age: Duration,
        /// It is old: the duty to make a new one meanwhile.
        refresh: Option<Fill>,
    },
    /// Ask the database.
    Miss {
        /// What it answers is to be stored. None: somebody else makes the same entry, or it could
        /// not be stored anyway.
        fill: Option<Fill>,
        why: Absent,
    },
    /// Somebody asks the database the same: wait until [`Follow::poll_done`], no longer than until
    /// [`Follow::deadline`], then call [`Cache::after`].
    Wait(Follow),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nobody asked, it was forgotten, or it was made for other needs.
    Never,
    /// It is too old.
    Expired,
    /// Something it depends on was written since.
    Stale,
    /// A write to something it depends on is under way.
    Dirty,
}

impl Absent {
    /// The word for it.
    pub fn reason(self) -> Reason {
        match self {
            Self::Never => Reason::Miss,
            Self::Expired => Reason::Expired,
            Self::Stale => Reason::Stale,
            Self::Dirty => Reason::Dirty,
        }
    }
}

/// What a statement's parameters and columns are.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// ParameterDescription's body.
    pub parameters: &'a [u8],
    /// RowDescription's body; None: NoData.
    pub columns: Option<&'a [u8]>,
}

/// How much the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub entries: u64,
    /// With keys and overhead.
    pub bytes: u64,
    /// Copies of results that are on their way.
    pub filling: usize,
}

/// Answers, by the whole question.
#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    hasher: RandomState,
    store: Store,
    flights: Flights,
    seen: Seen,
    purges: AtomicU64,
    /// Bytes being copied by all fills.
    filling: AtomicUsize,
    /// A quarter of what entries may take: fills are short, and what is beyond is not copied. One
    /// result of the largest size always fits.
    filling_max: usize,
}

impl Cache {
    /// An empty cache.
    pub fn new(limits: Limits) -> Arc<Self> {
        let quarter = usize::try_from(limits.bytes_max / 4).unwrap_or(usize::MAX);
        Arc::new(Self {
            limits,
            hasher: RandomState::default(),
            store: Store::new(&limits),
            flights: Flights::new(),
            seen: Seen::new(limits.bytes_max),
            purges: AtomicU64::new(0),
            filling: AtomicUsize::new(0),
            filling_max: quarter.max(limits.result_bytes_max.saturating_mul(2)),
        })
    }

    /// Answers from memory, or says what to do instead.
    pub fn lookup(self: &Arc<Self>, ask: &Ask<'_>, now: Instant) -> Lookup {
        let key = Asked::new(ask.key, &self.hasher);
        match self.find(key, ask, now) {
            Ok((entry, age, old)) => self.hit((key, ask), entry, (age, old), now),
            Err(Absent::Never) if ask.rare && !self.seen.again(key.hash) => Lookup::Miss {
                fill: None,
                why: Absent::Never,
            },
            Err(why) => match self.board(key, ask, why, now) {
                Boarded::Fill(fill) => Lookup::Miss {
                    fill: Some(fill),
                    why,
                },
                Boarded::Follow(follow) => Lookup::Wait(follow),
                Boarded::Alone => Lookup::Miss { fill: None, why },
            },
        }
    }

    /// The same after having waited, with a new stamp; does not say to wait again.
    pub fn after(self: &Arc<Self>, follow: &Follow, ask: &Ask<'_>, now: Instant) -> Lookup {
        let key = Asked::new(ask.key, &self.hasher);
        let found = self.find(key, ask, now).or_else(|why| {
            // Handed over by hand, since the store need not have taken it.
            let entry = follow.entry(self.purges.load(SeqCst)).ok_or(why)?;
            let (age, old) = judge(&entry, ask, now)?;
            Ok((entry, age, old))
        });
        match found {
            Ok((entry, age, old)) => self.hit((key, ask), entry, (age, old), now),
            Err(why) => {
                let fill = match self.board(key, ask, why, now) {
                    Boarded::Fill(fill) => Some(fill),
                    Boarded::Follow(_) | Boarded::Alone => None,
                };
                Lookup::Miss { fill, why }
            }
        }
    }

    /// What is there and fresh under its own life, counting as no use of it.
    pub fn peek(&self, key: &[u8], now: Instant) -> Option<Arc<Entry>> {
        let entry = self.store.get(Asked::new(key, &self.hasher))?;
        let fresh = matches!(entry.age(entry.life, now), Age::Fresh(_));
        (fresh && entry.stamp.state() == Live::Live).then_some(entry)
    }

    /// Stores what a statement's parameters and columns are; it was asked at `sent`.
    pub fn put_description(
        &self,
        ask: &Ask<'_>,
        described: Described<'_>,
        sent: Instant,
    ) -> Option<Arc<Entry>> {
        let bytes = described.parameters.len() + described.columns.map_or(0, <[u8]>::len);
        if bytes > self.limits.result_bytes_max {
            return None;
        }
        let entry = Arc::new(Entry {
            key: Asked::new(ask.key, &self.hasher).into(),
            description: described.columns.map(Bytes::copy_from_slice),
            parameters: Some(Bytes::copy_from_slice(described.parameters)),
            no_data: described.columns.is_none(),
            rows: Bytes::new(),
            row_count: 0,
            tag: Box::default(),
            sent,
            stamp: ask.stamp.clone(),
            life: ask.life,
        });
        let _shard = self.flights.shard(&entry.key)?;
        if !self.may_store(&entry) {
            return None;
        }
        self.store.put(&entry);
        Some(entry)
    }

    /// Forgets what is not to be kept, and how much that was. What is being made is not stored.
    pub fn purge(&self, keep: impl Fn(&Entry) -> bool) -> u64 {
        self.purges.fetch_add(1, SeqCst);
        // Whoever compared the number before it moved has stored by now.
        self.flights.pass();
        let mut gone = Vec::new();
        self.store.each(|entry| {
            if !keep(entry) {
                gone.push(entry.key.clone());
            }
        });
        for key in &gone {
            self.store.remove(key.asked());
        }
        gone.len() as u64
    }

    /// Shows all entries, those that are no longer served among them. Not for the data path.
    pub fn each(&self, see: impl FnMut(&Arc<Entry>)) {
        self.store.each(see);
    }

    /// How much there is. Not for the data path.
    pub fn usage(&self) -> Usage {
        let (entries, bytes) = self.store.usage();
        Usage {
            entries,
            bytes,
            filling: self.filling.load(SeqCst),
        }
    }

    fn find(
        &self,
        key: Asked<'_>,
        ask: &Ask<'_>,
        now: Instant,
    ) -> Result<(Arc<Entry>, Duration, bool), Absent> {
        let entry = self.store.get(key).ok_or(Absent::Never)?;
        match judge(&entry, ask, now) {
            Ok((age, old)) => Ok((entry, age, old)),
            Err(why) => {
                if why == Absent::Stale {
                    // It will never be served again. (If another came meanwhile, it is made again.)
                    self.store.remove(key);
                }
                Err(why)
            }
        }
    }

    fn hit(
        self: &Arc<Self>,
        (key, ask): (Asked<'_>, &Ask<'_>),
        entry: Arc<Entry>,
        (age, old): (Duration, bool),
        now: Instant,
    ) -> Lookup {
        let refresh = match old.then(|| self.board(key, ask, Absent::Expired, now)) {
            Some(Boarded::Fill(fill)) => Some(fill),
            Some(Boarded::Follow(_) | Boarded::Alone) | None => None,
        };
        Lookup::Hit {
            entry,
            age,
            refresh,
        }
    }

    fn board(
        self: &Arc<Self>,
        key: Asked<'_>,
        ask: &Ask<'_>,
        why: Absent,
        now: Instant,
    ) -> Boarded {
        if why == Absent::Dirty {
            return Boarded::Alone;
        }
        let flight = Flight::new(ask.stamp.clone(), self.purges.load(SeqCst), now);
        match self.flights.board(Key::from(key), flight) {
            Boarding::Lead(key, flight) => Boarded::Fill(Fill::new(self, key, flight, ask.life)),
            Boarding::Follow(follow) => Boarded::Follow(follow),
            Boarding::Alone => Boarded::Alone,
        }
    }

    /// Stores what a flight has made.
    fn publish(&self, entry: Entry, flight: &Arc<Flight>) -> Result<Arc<Entry>, Reason> {
        let key = entry.key.clone();
        let mut shard = self.flights.shard(&key).ok_or(Reason::Uncacheable)?;
        if !flight::is_current(&shard, &key, flight) || flight.purges != self.purges.load(SeqCst) {
            return Err(Reason::Stale);
        }
        let entry = Arc::new(entry);
        // Not older than what is there (I9): whatever is stored under this key was made by a flight that
        // was over before this one began, and so before this one's query was sent.
        if entry.stamp.state() != Live::Live {
            return Err(Reason::Stale);
        }
        self.store.put(&entry);
        flight::remove(&mut shard, &key, flight);
        Ok(entry)
    }

    /// Whether a description is still true, and not older than what is there (I9): several may be asked
    /// for at once. Under the shard's lock.
    fn may_store(&self, entry: &Entry) -> bool {
        entry.stamp.state() == Live::Live
            && self.store.get(entry.key.asked()).is_none_or(|there| {
                there.sent <= entry.sent
                    || there.stamp.state() != Live::Live
                    || !there.stamp.serves(&entry.stamp)
            })
    }
}

enum Boarded {
    Fill(Fill),
    Follow(Follow),
    Alone,
}

/// Whether an entry answers the question: its age, and whether it is old.
fn judge(entry: &Entry, ask: &Ask<'_>, now: Instant) -> Result<(Duration, bool), Absent> {
    match entry.stamp.state() {
        Live::Live => {}
        Live::Dirty => return Err(Absent::Dirty),
        Live::Stale => return Err(Absent::Stale),
    }
    let described = !ask.describe || entry.description.is_some();
    if !described || !entry.stamp.serves(ask.stamp) {
        return Err(Absent::Never);
    }
    match entry.age(ask.life, now) {
        Age::Fresh(age) => Ok((age, false)),
        Age::Old(age) => Ok((age, true)),
        Age::Expired => Err(Absent::Expired),
    }
}
