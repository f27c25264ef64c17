//! The right and duty to make one entry, from the frames of a reply as they pass.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use tokio::time::Instant;

use super::Cache;
use super::entry::{Age, Entry, Life};
use super::flight::{Flight, Follow};
use super::generation::Live;
use super::hashed::Key;
use crate::reason::Reason;
use crate::wire::frame;

/// Copies of rows are counted in steps of this size, so that small results cost one count.
const STEP_BYTES: usize = 16 * 1024;

/// The right and duty to make one entry. Dropped without [`Fill::commit`], it makes none, and those
/// who wait for it ask the database themselves (H47).
#[must_use = "dropped, it abandons the entry"]
pub struct Fill {
    making: Box<Making>,
}

/// Boxed: a fill travels in the variants of a lookup, next to hits.
struct Making {
    cache: Arc<Cache>,
    key: Key,
    flight: Arc<Flight>,
    life: Life,
    sent: Option<Instant>,
    description: Option<Bytes>,
    rows: Vec<u8>,
    /// Bytes of `rows` that the cache has counted.
    counted: usize,
    tag: Option<Box<[u8]>>,
    spoilt: Option<Reason>,
    /// Its entry is there, its flight over, and all followers are let go.
    landed: bool,
}

impl Fill {
    pub(super) fn new(cache: &Arc<Cache>, key: Key, flight: Arc<Flight>, life: Life) -> Self {
        Self {
            making: Box::new(Making {
                cache: Arc::clone(cache),
                key,
                flight,
                life,
                sent: None,
                description: None,
                rows: Vec::new(),
                counted: 0,
                tag: None,
                spoilt: None,
                landed: false,
            }),
        }
    }

    /// The query goes out now: its result's age counts from here (H44).
    pub fn started(&mut self, sent: Instant) {
        self.making.sent = Some(sent);
    }

    /// Waits for what it makes, as any other who asks the same would.
    pub fn follow(&self) -> Follow {
        Flight::follow(&self.making.flight)
    }

    /// RowDescription's body.
    pub fn description(&mut self, body: &[u8]) {
        if self.making.spoilt.is_none() && self.making.room(body.len()) {
            self.making.description = Some(Bytes::copy_from_slice(body));
        }
    }

    /// Bytes of DataRow frames, headers included, in any pieces.
    pub fn row(&mut self, bytes: &[u8]) {
        if self.making.spoilt.is_none() && self.making.room(bytes.len()) {
            self.making.rows.extend_from_slice(bytes);
        }
    }

    /// CommandComplete's body.
    pub fn tag(&mut self, body: &[u8]) {
        if self.making.tag.is_some() {
            // Two results: no single entry can be both.
            self.spoil(Reason::NotClean);
        } else if self.making.room(body.len()) {
            self.making.tag = Some(body.into());
        }
    }

    /// Nothing will be stored: an error came, a notice, or anything that does not belong to a
    /// result. Those who wait ask for themselves.
    pub fn spoil(&mut self, why: Reason) {
        self.making.spoil(why);
    }

    /// Why nothing will be stored, if so.
    pub fn spoilt(&self) -> Option<Reason> {
        self.making.spoilt
    }

    /// The client that this is made for is slow: those who wait ask for themselves, but the entry
    /// is still made.
    pub fn let_go(&mut self) {
        self.making.flight.release(None);
    }

    /// Stores the result, which is complete and clean: after its ReadyForQuery.
    ///
    /// # Errors
    /// Why it was not stored.
    pub fn commit(mut self, now: Instant) -> Result<Arc<Entry>, Reason> {
        let entry = self.making.finish(now)?;
        let cache = Arc::clone(&self.making.cache);
        let stored = cache.publish(entry, &self.making.flight);
        if let Ok(entry) = &stored {
            self.making.flight.release(Some(Arc::clone(entry)));
            self.making.landed = true;
        }
        stored
    }
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill")
            .field("rows", &self.making.rows.len())
            .field("spoilt", &self.making.spoilt)
            .finish_non_exhaustive()
    }
}

impl Making {
    /// Whether so many more bytes may be kept; if not, nothing is.
    fn room(&mut self, more: usize) -> bool {
        let described = self.description.as_ref().map_or(0, Bytes::len);
        let bytes = self.rows.len().saturating_add(described);
        let bytes = bytes.saturating_add(more);
        if bytes > self.cache.limits.result_bytes_max || !self.count(bytes) {
            self.spoil(Reason::OversizedResult);
            return false;
        }
        true
    }

    /// Counts what is being copied in all fills together, which has a limit, too.
    fn count(&mut self, bytes: usize) -> bool {
        if bytes <= self.counted {
            return true;
        }
        let step = bytes
            .next_multiple_of(STEP_BYTES)
            .saturating_sub(self.counted);
        let filling = &self.cache.filling;
        let before = filling.fetch_add(step, Relaxed);
        self.counted += step;
        before.saturating_add(step) <= self.cache.filling_max
    }

    fn spoil(&mut self, why: Reason) {
        if self.spoilt.is_none() {
            self.spoilt = Some(why);
            self.description = None;
            self.rows = Vec::new();
            self.flight.release(None);
        }
    }

    fn finish(&mut self, now: Instant) -> Result<Entry, Reason> {
        if let Some(why) = self.spoilt {
            return Err(why);
        }
        match self.flight.stamp.state() {
            Live::Live => {}
            Live::Dirty => return Err(Reason::Dirty),
            Live::Stale => return Err(Reason::Stale),
        }
        let (Some(sent), Some(tag)) = (self.sent, self.tag.take()) else {
            return Err(Reason::NotClean);
        };
        let row_count = count_rows(&self.rows).ok_or(Reason::NotClean)?;
        let entry = Entry {
            key: self.key.clone(),
            description: self.description.take(),
            parameters: None,
            no_data: false,
            rows: Bytes::from(std::mem::take(&mut self.rows).into_boxed_slice()),
            row_count,
            tag,
            sent,
            stamp: self.flight.stamp.clone(),
            life: self.life,
        };
        match entry.age(self.life, now) {
            Age::Fresh(_) | Age::Old(_) => Ok(entry),
            Age::Expired => Err(Reason::Expired),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.counted > 0 {
            self.cache.filling.fetch_sub(self.counted, Relaxed);
        }
        if !self.landed {
            self.cache.flights.land(&self.key, &self.flight);
            self.flight.release(None);
        }
    }
}

/// How many DataRow frames these bytes are. None: they are something else, or end in the middle.
fn count_rows(mut bytes: &[u8]) -> Option<u64> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (b'D', rest) = bytes.split_first().map(|(tag, rest)| (*tag, rest))? else {
            return None;
        };
        let (length, _) = frame::split_i32(rest)?;
        let length = usize::try_from(length).ok().filter(|length| *length >= 4)?;
        bytes = rest.get(length..)?;
        count += 1;
    }
    Some(count)
}
