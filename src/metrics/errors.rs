//! Errors that clients were told: counted by the class of their SQLSTATE (its first two characters),
//! and the latest remembered.
//!
//! An error's own words quote rows, parameters and statements, and whoever reaches the metrics can read
//! what is remembered here. So nothing of them is kept: an error is its SQLSTATE and, if it is one of
//! ours, its code; what is said of it comes from this program's own tables.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::wire::condition;
use crate::wire::error::field;
use crate::wire::frame::{self, HEADER_BYTES};
use crate::wire::trouble::{self, Trouble};

/// The classes that Postgres has (appendix A of its manual), and one for all others: applications
/// make up their own in RAISE, and there is no end to those.
pub const CLASSES: [&str; 44] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22",
    "23", "24", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40",
    "42", "44", "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX",
];

/// What stands for a class that is not in the list.
pub const OTHER: &str = "other";

/// Of each database and user so many kinds of errors are remembered: what a person reads.
pub const LAST_MAX: usize = 10;

/// What stands for a SQLSTATE that is none.
const UNREADABLE: &str = "?????";

/// An error that a client was told, perhaps often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was told last.
    pub at: SystemTime,
    /// How often, since it is remembered.
    pub times: u64,
    /// ERROR, FATAL or PANIC.
    pub severity: &'static str,
    /// Five digits and capital letters: a RAISE makes up its own, and there is no room in it for more.
    pub sqlstate: String,
    /// Which of our own it is.
    pub trouble: Option<&'static Trouble>,
}

impl Told {
    /// Out of an ErrorResponse's body.
    fn read(body: &[u8]) -> Self {
        let code = field(body, field::CODE).unwrap_or_default();
        let is_code = code.len() == 5
            && code
                .iter()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        let sqlstate = std::str::from_utf8(code).ok().filter(|_| is_code);
        let severity = match field(body, field::SEVERITY_PLAIN) {
            Some(b"FATAL") => "FATAL",
            Some(b"PANIC") => "PANIC",
            _ => "ERROR",
        };
        Self {
            at: SystemTime::now(),
            times: 1,
            severity,
            sqlstate: sqlstate.unwrap_or(UNREADABLE).to_owned(),
            trouble: field(body, field::ROUTINE).and_then(trouble::find),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let id = |told: &Self| told.trouble.map(|trouble| trouble.id);
        self.severity == other.severity && self.sqlstate == other.sqlstate && id(self) == id(other)
    }

    /// What happened, in words that are never the error's own.
    pub fn what(&self) -> String {
        match (self.trouble, condition::name(&self.sqlstate)) {
            (Some(trouble), _) => trouble.what.to_owned(),
            (None, Some(name)) => name.replace('_', " "),
            (None, None) => "a code of the application's own".to_owned(),
        }
    }
}

/// The SQLSTATE of the first error among these whole frames.
pub fn first(mut frames: &[u8]) -> Option<&[u8]> {
    while let Ok(Some(header)) = frame::header(frames) {
        let body = frames.get(HEADER_BYTES..header.bytes).unwrap_or_default();
        if header.tag == b'E' {
            return field(body, b'C');
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
    /// Counts an error with this body of an ErrorResponse.
    pub fn count(&self, body: &[u8]) {
        let mut told = Told::read(body);
        let class = told.sqlstate.as_bytes().get(..2).unwrap_or_default();
        let found = CLASSES.binary_search_by(|known| known.as_bytes().cmp(class));
        if let Some(count) = self.counts.get(found.unwrap_or(CLASSES.len())) {
            count.fetch_add(1, Relaxed);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = last.iter().position(|known| known.is_same(&told)) {
            told.times += last.remove(at).map_or(0, |known| known.times);
        } else if last.len() >= LAST_MAX {
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
                self.count(body);
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

    fn body(code: &'static str, message: &str) -> Vec<u8> {
        PgError::error(code, message).body()
    }

    #[test]
    fn classes_are_sorted_and_found() {
        assert!(CLASSES.is_sorted());
        let errors = Errors::default();
        for code in ["42P01", "42601", "57014", "AB123", "", "42x01"] {
            errors.count(&body(code, "x"));
        }
        let mut frames = Vec::new();
        PgError::error("57P01", "x").encode(&mut frames);
        frame::push(&mut frames, b'Z', &[b"I"]);
        PgError::error("XX000", "x").encode(&mut frames);
        errors.count_frames(&frames);
        assert_eq!(first(&frames), Some(&b"57P01"[..]));
        assert_eq!(first(b""), None);
        let expected = [("42", 2), ("57", 2), ("XX", 1), (OTHER, 3)];
        assert_eq!(errors.snapshot(), expected);
    }

    #[test]
    fn the_last_kinds_are_remembered() {
        const CODES: [&str; 12] = [
            "42000", "42001", "42002", "42003", "42004", "42005", "42006", "42007", "42008",
            "42009", "42010", "42011",
        ];
        let errors = Errors::default();
        for code in CODES {
            errors.count(&body(code, "x"));
        }
        // A flood of one kind is one, and pushes nothing out.
        for _ in 0..50 {
            errors.count(&body("22012", "x"));
        }
        errors.count(&body("42011", "x"));
        let last = errors.last();
        assert_eq!(last.len(), LAST_MAX);
        let kinds: Vec<_> = last
            .iter()
            .map(|told| (&*told.sqlstate, told.times))
            .collect();
        assert_eq!(kinds.first(), Some(&("42003", 1)));
        assert_eq!(kinds[LAST_MAX - 2..], [("22012", 50), ("42011", 2)]);
    }

    #[test]
    fn nothing_is_kept_of_an_errors_own_words() {
        let errors = Errors::default();
        let ours = PgError::fatal(&trouble::TOO_MANY_CLIENTS, "of user \"geheim\"");
        errors.count(&ours.body());
        let theirs = PgError::error("23505", "Key (name)=(geheim)").detail("geheim");
        errors.count(&theirs.body());
        errors.count(&body("geheim", "x"));
        errors.count(&body("RAISE", "x"));
        let last = errors.last();
        assert!(!format!("{last:?}").contains("geheim"), "{last:?}");
        let said: Vec<_> = last
            .iter()
            .map(|told| (told.severity, told.what()))
            .collect();
        let own = "a code of the application's own";
        let expected = [
            ("FATAL", trouble::TOO_MANY_CLIENTS.what),
            ("ERROR", "unique violation"),
            ("ERROR", own),
            ("ERROR", own),
        ];
        assert_eq!(said, expected.map(|(word, what)| (word, what.to_owned())));
        assert_eq!(last[2].sqlstate, UNREADABLE);
    }
}
