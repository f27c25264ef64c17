//! A lease in a session's hands: the upstream's side of the relay.

use std::sync::Arc;

use tokio::time::Instant;

use super::buffer::Inbox;
use super::client::Onward;
use super::clocked::Clocked;
use super::explain::Explained;
use super::filling::Filling;
use super::heal::Series;
use super::lookup::Learning;
use super::outbox::Outbox;
use super::pin::Pins;
use super::plan::{Asking, Complaints, Foreseen};
use super::reading::may_commit;
use super::settings::Staged;
use super::state::{Named, Unnamed};
use crate::cache::generation::Generations;
use crate::invalidate::Writes;
use crate::pool::lease::Lease;
use crate::pool::statements::Statement;
use crate::reason::Reason;
use crate::sql::effect::{self, Hidden};
use crate::wire::error::PgError;
use crate::wire::frame;
use crate::wire::replies::{Entry, Kind, Replies, Show, Status};

/// What the session is told when an answer arrives.
#[derive(Debug)]
pub(super) enum Note {
    None,
    /// Statements that do something to the session; `done` of them have completed.
    Running {
        work: Arc<[effect::Statement]>,
        done: usize,
        /// The command tag the client sees in place of what was really run.
        tag: Option<Pretended>,
    },
    /// The client's Parse of a named statement; `made` when the upstream did not have it before.
    Parsed {
        name: Box<[u8]>,
        id: u64,
        made: bool,
    },
    /// A Close of ours that makes room on this upstream.
    Evicted {
        id: u64,
    },
    /// The client's Parse or Close of the unnamed statement: which one it is then, and the one before if it
    /// may be left in place.
    Unnamed {
        id: u64,
        before: Option<Box<Unnamed>>,
    },
    /// The client's Bind of this portal.
    Bound(Box<[u8]>),
    /// A Parse of ours that puts a statement on this upstream.
    Ours {
        id: u64,
    },
    /// A Parse of ours that puts a statement on this upstream under the client's own name; `alone` when it
    /// is a request by itself.
    ByName {
        name: Box<[u8]>,
        alone: bool,
    },
    /// A Parse that fails because the client's name is taken; its error names ours.
    Duplicate(Box<Duplicate>),
    /// The client's Close of a statement.
    Closed {
        name: Box<[u8]>,
        named: Box<Named>,
    },
    /// Our own query that brings the upstream to the client's settings.
    Settings,
    /// The client's Describe of a statement whose description is remembered.
    Described(Box<Learning>),
    /// Our question what the transaction has locked; it ends with the group that is so many ahead.
    Locks {
        ahead: usize,
        row: Option<Box<[u8]>>,
    },
    /// Sent to fail: this error takes the place of the upstream's.
    Refused(Box<PgError>),
}

/// A statement that concerns only what the proxy keeps for the session, and that is therefore not really
/// run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pretended {
    Deallocate,
    DeallocateAll,
    DiscardAll,
}

impl Pretended {
    /// Its command tag.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Deallocate => "DEALLOCATE",
            Self::DeallocateAll => "DEALLOCATE ALL",
            Self::DiscardAll => "DISCARD ALL",
        }
    }
}

/// A statement's name on the upstream, and what its client calls it.
#[derive(Debug)]
pub(super) struct Duplicate {
    pub(super) ours: Vec<u8>,
    pub(super) theirs: Box<[u8]>,
}

/// What is still to come of a frame that passes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    pub(super) bytes: usize,
    /// The frame's.
    pub(super) tag: u8,
    /// The client does not see it.
    pub(super) hidden: bool,
}

/// Whether the upstream has said why it is going to close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastWords {
    Unsaid,
    Said,
}

/// How our own settings query fares.
#[derive(Debug)]
pub(super) enum Adjusting {
    /// There is none.
    No,
    /// It has not been answered.
    Underway,
    /// It was refused with this ErrorResponse body; the upstream has to go.
    Refused(Box<[u8]>),
}

/// Whether the client may send further requests behind those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Running,
    /// No: others wait for the upstream.
    Ending,
}

/// See the module's text.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them may hold with any other"
)]
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) inbox: Inbox,
    pub(super) rest: Rest,
    pub(super) onward: Onward,
    pub(super) out: Outbox,
    pub(super) replies: Replies<Note>,
    /// What the upstream's session runs under; the client's own vector may already want another.
    pub(super) settings: Staged,
    /// Why it is not proven clean, if it is not (H90).
    pub(super) hidden: Option<Hidden>,
    pub(super) pins: Pins,
    pub(super) adjusting: Adjusting,
    /// The upstream said why it is going to close the connection.
    pub(super) last_words: LastWords,
    /// Shared statements used since the last ReadyForQuery.
    pub(super) used: Vec<Arc<Statement>>,
    pub(super) series: Series,
    /// Statements of the client's that the upstream has under the client's own names, because SQL
    /// asked for them or made them.
    pub(super) by_name: Vec<Box<[u8]>>,
    /// DDL ran that may change which functions are to be trusted.
    pub(super) changed_catalog: bool,
    /// Roles, memberships, or what is set for them: that concerns every database of the server.
    pub(super) changed_roles: bool,
    /// Style or order of dates were set.
    pub(super) restyled: bool,
    /// Something may have changed how the server reads a text, for the transaction or for longer.
    pub(super) sets_lexing: bool,
    /// Something that is not answered yet may change it.
    pub(super) may_change_lexing: bool,
    /// Something that is not answered yet may change any setting.
    pub(super) may_set: bool,
    pub(super) turn: Turn,
    /// What it writes, when there is a cache.
    pub(super) writes: Option<Writes>,
    /// Where the time goes.
    pub(super) clocked: Clocked,
    /// The result of the request under way is kept.
    pub(super) filling: Option<Box<Filling>>,
    /// Why the first request was not answered from the cache, and since when it waits, until it is
    /// counted.
    pub(super) asked: Option<(Reason, Instant)>,
    /// What the first text of the request is, if it was looked at already.
    pub(super) foreseen: Option<Foreseen>,
    /// What the client asked of the cache and was not understood.
    pub(super) complaints: Option<Box<Complaints>>,
    /// What the client is told of its request, if it wants to be.
    pub(super) explained: Option<Box<Explained>>,
    /// The BEGIN that was held back, while our settings query may still fail.
    pub(super) begun: Option<Box<[u8]>>,
    /// An answer of the server is to be read that tells what is locked.
    pub(super) asks_locks: bool,
}

impl Held {
    /// `leased` is when it was.
    pub(super) fn new(
        lease: Lease,
        generations: Option<&Arc<Generations>>,
        leased: Instant,
    ) -> Self {
        let pid = i32::from_be_bytes(lease.record.cancel.pid.to_be_bytes());
        let writes = generations.map(|generations| Writes::new(Arc::clone(generations), pid));
        let settings = Staged::new(Arc::clone(&lease.settings));
        Self {
            lease,
            inbox: Inbox::default(),
            rest: Rest::default(),
            onward: Onward::default(),
            out: Outbox::default(),
            replies: Replies::default(),
            settings,
            hidden: None,
            pins: Pins::default(),
            adjusting: Adjusting::No,
            last_words: LastWords::Unsaid,
            used: Vec::new(),
            series: Series::default(),
            by_name: Vec::new(),
            changed_catalog: false,
            changed_roles: false,
            restyled: false,
            sets_lexing: false,
            may_change_lexing: false,
            may_set: false,
            turn: Turn::Running,
            writes,
            clocked: Clocked::new(leased),
            filling: None,
            asked: None,
            foreseen: None,
            complaints: None,
            explained: None,
            begun: None,
            asks_locks: false,
        }
    }

    /// Idle, owing nothing, with no bytes on their way: between two transactions. The one in which our
    /// settings were refused does not count.
    pub(super) fn at_rest(&self) -> bool {
        self.replies.at_rest()
            && (self.replies.status() == Status::Idle || self.is_refused())
            && self.rest.bytes == 0
            && self.inbox.is_empty()
            && self.out.is_empty()
    }

    /// In a transaction that nothing under way can commit: all that will be left of it without its client
    /// is a rollback (H104).
    pub(super) fn only_rolls_back(&self) -> bool {
        let commits = |entry: &Entry<Note>| matches!(&entry.note, Note::Running { work, .. } if may_commit(work));
        // Of code that was not looked at there is no note.
        self.replies.status() != Status::Idle
            && self.hidden != Some(Hidden::Opaque)
            && !self.replies.outstanding().any(commits)
    }

    /// Between two requests of the client, whatever the transaction status.
    pub(super) fn between_requests(&self) -> bool {
        self.replies.at_rest()
    }

    /// A message with an answer goes out.
    pub(super) fn expect(&mut self, kind: Kind, show: Show, note: Note) -> Option<Entry<Note>> {
        let ignored = self.replies.push(Entry { kind, show, note });
        if show != Show::Hide {
            self.clocked.sent(kind, ignored.is_none());
            self.clocked.tell(&self.lease.record);
        }
        let asks = matches!(kind, Kind::Query | Kind::FunctionCall | Kind::Sync);
        if asks
            && ignored.is_none()
            && let Some(writes) = self.writes.as_mut()
        {
            writes.asks();
        }
        ignored
    }

    /// This request is the first that it is asked.
    pub(super) fn asks(&mut self, asking: Asking) {
        self.filling = asking.filling;
        if let Some(filling) = self.filling.as_mut() {
            filling.started(self.clocked.leased());
        }
        self.complaints = asking.complaints;
        self.foreseen = asking.foreseen;
        let at = asking.at.unwrap_or(self.clocked.leased());
        self.asked = asking.reason.map(|reason| (reason, at));
    }

    /// The client's first message while nothing is outstanding.
    pub(super) fn begins_request(&mut self) {
        self.may_change_lexing = false;
        self.may_set = false;
        self.clocked.begins();
        if let Some(writes) = self.writes.as_mut() {
            writes.begins(self.replies.status());
        }
    }

    /// These statements may run from now on: what they may do unseen has happened.
    pub(super) fn runs(&mut self, work: &[effect::Statement]) {
        for hidden in work.iter().filter_map(|statement| statement.hidden) {
            self.hide(hidden);
        }
        for statement in work {
            self.may_set |= statement.may_set();
            self.sets_lexing |= statement.sets_lexing();
            self.may_change_lexing |= statement.sets_lexing();
            self.may_change_lexing |= self.sets_lexing && statement.takes_back();
        }
    }

    /// The upstream is not proven clean any more. The worst reason stays.
    pub(super) fn hide(&mut self, why: Hidden) {
        if self.hidden != Some(Hidden::Opaque) {
            self.hidden = Some(why);
        }
    }

    /// The client has been sent a part of a frame, and the rest is still to come.
    pub(super) fn is_mid_frame(&self) -> bool {
        self.rest.bytes > 0 && !self.rest.hidden
    }

    /// Our settings query has not been answered.
    pub(super) fn is_adjusting(&self) -> bool {
        matches!(self.adjusting, Adjusting::Underway)
    }

    /// The upstream does not run under the client's settings, and cannot be made to.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.adjusting, Adjusting::Refused(_))
    }

    /// Appends a Query of ours whose answer the client does not see.
    pub(super) fn query(&mut self, out: &mut Vec<u8>, sql: &[u8], note: Note) {
        frame::push(out, b'Q', &[sql, b"\0"]);
        self.lease.unnamed = 0;
        self.expect(Kind::Query, Show::Hide, note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_a_block_that_the_allocator_has_ready() {
        assert_eq!(size_of::<Held>().next_power_of_two(), 1024);
    }
}
