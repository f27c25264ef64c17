//! Errors by the class of their SQLSTATE: its first two characters.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::wire::error;
use crate::wire::frame::{self, HEADER_BYTES};

/// The classes that Postgres has (appendix A of its manual), and one for all others: applications
/// make up their own in RAISE, and there is no end to those.
pub const CLASSES: [&str; 44] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22",
    "23", "24", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40",
    "42", "44", "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX",
];

/// What stands for a class that is not in the list.
pub const OTHER: &str = "other";

/// Of each database and user the last errors are remembered: what a person reads. Their messages are
/// not: those quote rows.
pub const LAST_MAX: usize = 10;

/// An error that a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub at: SystemTime,
    pub sqlstate: String,
}

impl Told {
    /// What kind of error that is: a few words for people, by its class.
    pub fn kind(&self) -> &'static str {
        match self.sqlstate.get(..2).unwrap_or_default() {
            "08" => "connection",
            "0A" => "not supported",
            "21" | "22" => "a value",
            "23" => "a constraint",
            "25" | "2D" => "the state of a transaction",
            "26" | "34" => "an unknown name of a statement or cursor",
            "28" => "logging in",
            "3D" => "an unknown database",
            "40" => "a transaction to be tried again",
            "42" => "syntax, names or rights",
            "44" => "a check of a view",
            "53" => "too few resources",
            "54" => "a limit of the server",
            "55" => "an object in another state",
            "57" => "cancelled or shut down",
            "58" => "the server's system",
            "P0" => "raised in PL/pgSQL",
            "XX" => "inside of the server",
            _ => "other",
        }
    }
}

/// The SQLSTATE of the first error among these whole frames.
pub fn first(mut frames: &[u8]) -> Option<&[u8]> {
    while let Ok(Some(header)) = frame::header(frames) {
        let body = frames.get(HEADER_BYTES..header.bytes).unwrap_or_default();
        if header.tag == b'E' {
            return error::field(body, b'C');
        }
        frames = frames.get(header.bytes..).unwrap_or_default();
    }
    None
}

/// One count for each class, and one for the others.
#[derive(Debug)]
pub struct Errors {
    counts: [AtomicU64; CLASSES.len() + 1],
    /// The oldest first. Errors are rare beside queries: a lock does no harm.
    last: Mutex<VecDeque<Told>>,
}

impl Default for Errors {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; CLASSES.len() + 1],
            last: Mutex::default(),
        }
    }
}

impl Errors {
    /// Counts an error with this SQLSTATE.
    pub fn count(&self, sqlstate: &[u8]) {
        let class = sqlstate.get(..2).unwrap_or_default();
        let found = CLASSES.binary_search_by(|known| known.as_bytes().cmp(class));
        if let Some(count) = self.counts.get(found.unwrap_or(CLASSES.len())) {
            count.fetch_add(1, Relaxed);
        }
        let told = Told {
            at: SystemTime::now(),
            sqlstate: String::from_utf8_lossy(sqlstate.get(..5).unwrap_or(class)).into_owned(),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= LAST_MAX {
            last.pop_front();
        }
        last.push_back(told);
    }

    /// The last ones, the oldest first.
    pub fn last(&self) -> Vec<Told> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }

    /// Counts the errors among these whole frames.
    pub fn count_frames(&self, mut frames: &[u8]) {
        while let Ok(Some(header)) = frame::header(frames) {
            let body = frames.get(HEADER_BYTES..header.bytes).unwrap_or_default();
            if header.tag == b'E' {
                self.count(error::field(body, b'C').unwrap_or_default());
            }
            frames = frames.get(header.bytes..).unwrap_or_default();
        }
    }

    /// The classes of which there were any.
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        let names = CLASSES.iter().chain([&OTHER]);
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let all = names.copied().zip(counts);
        all.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::PgError;

    #[test]
    fn classes_are_sorted_and_found() {
        assert!(CLASSES.is_sorted());
        let errors = Errors::default();
        for code in ["42P01", "42601", "57014", "AB123", ""] {
            errors.count(code.as_bytes());
        }
        let mut frames = Vec::new();
        PgError::error("57P01", "x").encode(&mut frames);
        frame::push(&mut frames, b'Z', &[b"I"]);
        PgError::error("XX000", "x").encode(&mut frames);
        errors.count_frames(&frames);
        assert_eq!(first(&frames), Some(&b"57P01"[..]));
        assert_eq!(first(b""), None);
        let expected = [("42", 2), ("57", 2), ("XX", 1), (OTHER, 2)];
        assert_eq!(errors.snapshot(), expected);
    }

    #[test]
    fn the_last_ones_are_remembered() {
        let errors = Errors::default();
        for n in 0..LAST_MAX + 2 {
            errors.count(format!("42{n:03}").as_bytes());
        }
        let last = errors.last();
        assert_eq!(last.len(), LAST_MAX);
        assert_eq!(last.first().unwrap().sqlstate, "42002");
        assert_eq!(last.last().unwrap().kind(), "syntax, names or rights");
    }
}
