//! A shared statement whose result type changed under it (0A000, H95).
//!
//! A client that has just parsed a text cannot be told that its cached plan is out of date: it has
//! none. So the series of messages that failed is sent once more, with the statements prepared
//! anew; what the client has seen of the answers is not shown again.

use super::held::Held;
use super::link::Link;
use crate::wire::error;
use crate::wire::frame::HEADER_BYTES;
use crate::wire::replies::Status;

/// A series longer than this is not kept.
const SERIES_BYTES_MAX: usize = 16 * 1024;

/// The messages since the last Sync, as the client sent them.
#[derive(Debug, Default)]
pub(super) struct Series {
    bytes: Vec<u8>,
    phase: Phase,
    /// Answers to it that the client has seen; of so few bytes there are not many.
    shown: u32,
    /// Named statements that it prepared.
    pub(super) parsed: Vec<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Its Sync was sent.
    Synced,
    /// It cannot be sent again.
    Lost,
    /// It failed for this reason, and its answers are hidden up to ReadyForQuery.
    Failing,
    /// It is being sent again, and its first answers have been seen before.
    Again,
}

impl Series {
    /// Nothing is outstanding: the next frame begins another series, or the same once more.
    pub(super) fn begin(&mut self) {
        if self.phase != Phase::Again {
            self.bytes.clear();
            self.parsed.clear();
            self.shown = 0;
            self.phase = Phase::Open;
        }
    }

    /// A frame is sent.
    pub(super) fn note(&mut self, tag: u8, frame: &[u8]) {
        if self.phase == Phase::Again {
            return;
        }
        // Only a text that the client has just parsed must not fail so: a series that begins with
        // anything else is not worth the copy.
        let kept = if self.bytes.is_empty() {
            tag == b'P' && frame.get(HEADER_BYTES).is_some_and(|first| *first != 0)
        } else {
            matches!(tag, b'P' | b'B' | b'D' | b'E' | b'H' | b'S')
        };
        if self.phase != Phase::Open || !kept || self.bytes.len() + frame.len() > SERIES_BYTES_MAX {
            self.phase = Phase::Lost;
            return;
        }
        self.bytes.extend_from_slice(frame);
        if tag == b'S' {
            self.phase = Phase::Synced;
        }
    }

    /// An answer arrives that the client would see; true when it must not.
    pub(super) fn hides(&mut self, tag: u8) -> bool {
        match (self.phase, tag) {
            // ReadyForQuery has been dealt with: see `ready`.
            (_, b'S' | b'N' | b'A' | b'Z') => false,
            (Phase::Failing, _) => true,
            (Phase::Again, b'1' | b'2' | b'3' | b't' | b'T' | b'n') if self.shown > 0 => {
                self.shown -= 1;
                true
            }
            (Phase::Again, _) => {
                self.phase = Phase::Lost;
                false
            }
            // Once it has begun to answer with more than acknowledgements it cannot be taken back.
            (_, b'1' | b'2' | b'3' | b't' | b'T' | b'n') => {
                self.shown += 1;
                false
            }
            _ => {
                self.phase = Phase::Lost;
                false
            }
        }
    }

    /// Whether it is on its way a second time.
    pub(super) fn is_sent_again(&self) -> bool {
        self.phase == Phase::Again
    }

    /// ReadyForQuery: the series to be sent again, if that is due.
    pub(super) fn ready(&mut self) -> Option<Vec<u8>> {
        if self.phase == Phase::Failing {
            self.phase = Phase::Again;
            return Some(std::mem::take(&mut self.bytes));
        }
        self.phase = Phase::Lost;
        None
    }
}

impl Link<'_> {
    /// An error arrived; true when it is 0A000 of this kind and the series will be sent again.
    pub(super) fn heal(&mut self, body: &[u8]) -> bool {
        // The text is in the server's language; the routine that raises it is not.
        if error::field(body, b'C') != Some(b"0A000")
            || error::field(body, b'R') != Some(b"RevalidateCachedQuery")
        {
            return false;
        }
        for statement in self.held.used.drain(..) {
            statement.retire();
            self.held.lease.prepared.remove(statement.id);
        }
        if !self.held.can_repeat() || self.held.series.parsed.is_empty() {
            return false;
        }
        for name in &self.held.series.parsed {
            self.state.statements.remove(name);
        }
        self.held.series.phase = Phase::Failing;
        true
    }
}

impl Held {
    /// Whether the series can be sent again without anybody noticing: it is complete, alone, its own
    /// transaction, and has not shown any row.
    fn can_repeat(&self) -> bool {
        self.series.phase == Phase::Synced
            && self.replies.status() == Status::Idle
            && self.replies.syncs() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_not_shown_again() {
        let mut series = Series::default();
        series.begin();
        series.note(b'P', b"P....s");
        series.note(b'D', b"D....");
        series.note(b'S', b"S....");
        assert!(!series.hides(b'1'));
        series.phase = Phase::Failing;
        assert!(series.hides(b'E'));
        assert_eq!(series.ready().unwrap(), b"P....sD....S....");
        assert!(series.hides(b'1'));
        assert!(!series.hides(b't') && !series.hides(b'T'));
        assert_eq!(series.ready(), None);
    }

    #[test]
    fn a_second_series_or_a_row_ends_it() {
        let mut series = Series::default();
        series.note(b'P', b"P....s");
        series.note(b'S', b"S....");
        series.note(b'P', b"P....s");
        assert_eq!(series.phase, Phase::Lost);
        series.begin();
        series.note(b'P', b"P....s");
        assert!(!series.hides(b'D'));
        assert_eq!(series.phase, Phase::Lost);
    }
}
