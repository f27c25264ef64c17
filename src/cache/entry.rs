//! One answer, in the parts from which replies of every form are put together.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::generation::Stamp;
use super::hashed::Key;
use crate::wire::frame;

/// What an entry occupies beyond its bytes: itself, its reference counts, the allocator's rounding,
/// and the store's record of it. Measured as the process's growth by 200,000 small entries.
const OVERHEAD_BYTES: usize = 666;

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Younger than this it is fresh.
    pub ttl: Duration,
    /// For so long after that it is served while one query makes a new one.
    pub swr: Duration,
}

/// How old an answer is, in the eyes of one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Young enough.
    Fresh(Duration),
    /// To be served, and made anew meanwhile.
    Old(Duration),
    /// Not to be served.
    Expired,
}

/// One answer: of a query, or of the question what a statement's parameters and columns are.
#[derive(Debug)]
pub struct Entry {
    /// The whole key, compared on every hit.
    pub key: Key,
    /// RowDescription's body with the portal's formats (a statement's: with none). None: nobody
    /// asked for it yet, or there are no columns.
    pub description: Option<Bytes>,
    /// ParameterDescription's body; of statements only.
    pub parameters: Option<Bytes>,
    /// The statement gives no rows (NoData); of statements only.
    pub no_data: bool,
    /// DataRow frames, with their headers.
    pub rows: Bytes,
    /// How many.
    pub row_count: u64,
    /// CommandComplete's body.
    pub tag: Box<[u8]>,
    /// When the query went out: age counts from here (H44).
    pub sent: Instant,
    /// What it depends on, as of before it was sent.
    pub stamp: Stamp,
    /// How old it may become.
    pub life: Life,
}

impl Entry {
    /// What it counts for in the cache's size.
    pub fn weight(&self) -> usize {
        let described = self.description.as_ref().map_or(0, Bytes::len);
        let parameters = self.parameters.as_ref().map_or(0, Bytes::len);
        self.key.len() + self.rows.len() + self.tag.len() + described + parameters + OVERHEAD_BYTES
    }

    /// Its age, judged by the stricter of its own life and the asker's.
    pub fn age(&self, life: Life, now: Instant) -> Age {
        let age = now.saturating_duration_since(self.sent);
        let ttl = self.life.ttl.min(life.ttl);
        let swr = self.life.swr.min(life.swr);
        if age < ttl {
            Age::Fresh(age)
        } else if age < ttl.saturating_add(swr) {
            Age::Old(age)
        } else {
            Age::Expired
        }
    }

    /// Appends the frames of a reply: RowDescription if it is wanted, rows, CommandComplete. False,
    /// and nothing appended, if a description is wanted and not there.
    pub fn frames(&self, out: &mut Vec<u8>, describe: bool) -> bool {
        if describe {
            let Some(description) = &self.description else {
                return false;
            };
            frame::push(out, b'T', &[description]);
        }
        out.extend_from_slice(&self.rows);
        frame::push(out, b'C', &[&self.tag]);
        true
    }
}
