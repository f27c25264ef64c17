//! A BEGIN held back: a transaction is opened upstream by the first statement that needs it.
//!
//! Until then the client is told what Postgres would tell it, and no upstream waits for a client
//! that thinks. What can be told apart: the transaction's time stamp is that of the first statement.

use super::Session;
use super::end::End;
use super::held::{Held, Note};
use super::traced;
use crate::config::PoolMode;
use crate::metrics::Sum;
use crate::reason::Reason;
use crate::sql::block::{Block, block};
use crate::wire::frame::{self, HEADER_BYTES};
use crate::wire::replies::Status;

/// A transaction that no upstream knows of.
#[derive(Debug, Default)]
pub(super) enum Deferred {
    #[default]
    No,
    /// This BEGIN was answered.
    Begun {
        text: Box<[u8]>,
        /// And so were queries behind it.
        read: bool,
    },
    /// And then a statement was cancelled while it waited for an upstream.
    Failed(Box<[u8]>),
}

impl Deferred {
    /// The status that the client was told.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::No => Status::Idle,
            Self::Begun { .. } => Status::Transaction,
            Self::Failed(_) => Status::Failed,
        }
    }

    /// A statement failed before it reached an upstream.
    pub(super) fn fail(self) -> Self {
        match self {
            Self::Begun { text, .. } => Self::Failed(text),
            Self::No | Self::Failed(_) => self,
        }
    }
}

impl Session {
    /// Answers the request at the front of the inbox, if it is empty, only begins a transaction, or ends
    /// one that was never opened upstream. False when it needs an upstream.
    pub(super) fn answer_block(&mut self) -> Result<bool, End> {
        if self.rules.mode != PoolMode::Transaction {
            return Ok(false);
        }
        let bytes = self.client.inbox.bytes();
        let Some(header) = frame::frontend_header(bytes)? else {
            return Ok(false);
        };
        let Some(body) = bytes.get(HEADER_BYTES..header.bytes) else {
            return Ok(false);
        };
        if header.tag != b'Q' || !may_be_block(body) {
            return Ok(false);
        }
        // Anything behind the text is for the upstream to refuse.
        let Some((text, [])) = frame::split_cstr(body) else {
            return Ok(false);
        };
        if is_empty(text) {
            // What pools of clients ask to see that their connection lives, each time they take one.
            self.count_unsent(text);
            self.client.inbox.advance(header.bytes);
            self.state.unnamed = None;
            let status = [self.deferred.status().byte()];
            let out = self.client.out.buffer();
            frame::push(out, b'I', &[]);
            frame::push(out, b'Z', &[&status]);
            return Ok(true);
        }
        let (tag, then) = match (block(text), &self.deferred) {
            (Some(Block::Begin(tag)), Deferred::No) => {
                let text = text.into();
                (tag, Deferred::Begun { text, read: false })
            }
            (Some(Block::Commit), Deferred::Begun { .. }) => ("COMMIT", Deferred::No),
            (Some(Block::Commit), Deferred::Failed(_)) => ("ROLLBACK", Deferred::No),
            (Some(Block::Rollback), Deferred::Begun { .. } | Deferred::Failed(_)) => {
                ("ROLLBACK", Deferred::No)
            }
            _ => return Ok(false),
        };
        self.count_unsent(text);
        if matches!(then, Deferred::No) {
            self.pool.metrics.add(Sum::Unopened, 1);
        }
        self.deferred = then;
        self.client.inbox.advance(header.bytes);
        // A simple query ends the unnamed statement, whatever it does.
        self.state.unnamed = None;
        let out = self.client.out.buffer();
        frame::push(out, b'C', &[tag.as_bytes(), b"\0"]);
        frame::push(out, b'Z', &[&[self.deferred.status().byte()]]);
        Ok(true)
    }

    fn count_unsent(&self, text: &[u8]) {
        let reason = match self.caching {
            Some(_) => Reason::NotAQuery,
            None => Reason::Disabled,
        };
        self.pool.metrics.count(reason);
        traced::unsent(&self.pool.metrics, text, reason);
    }
}

fn is_empty(text: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b';');
    text.iter().all(blank)
}

/// Whether a text begins like one: a look at two bytes for all others. A comment may come first.
fn may_be_block(text: &[u8]) -> bool {
    let mut bytes = text.trim_ascii_start().iter().map(u8::to_ascii_lowercase);
    match bytes.next() {
        // A semicolon, or the end, may be all there is.
        Some(b'/' | b'-' | b';' | 0) => true,
        // BEGIN, START, COMMIT, END, ROLLBACK, ABORT.
        Some(first @ (b'b' | b's' | b'c' | b'e' | b'r' | b'a')) => matches!(
            (first, bytes.next()),
            (b'b', Some(b'e'))
                | (b's', Some(b't'))
                | (b'c' | b'r', Some(b'o'))
                | (b'e', Some(b'n'))
                | (b'a', Some(b'b'))
        ),
        _ => false,
    }
}

impl Held {
    /// The BEGIN that was held back goes out, in front of the request, which is not answered from
    /// memory for this reason; a transaction that has failed already is made to fail there too.
    pub(super) fn begin(&mut self, deferred: Deferred, first: Option<Reason>) {
        let mut out = Vec::new();
        match deferred {
            Deferred::No => return,
            Deferred::Begun { text, read } => {
                self.query(&mut out, &text, Note::None);
                if read && !matches!(first, Some(Reason::Write | Reason::Transaction)) {
                    // What may only come before any query (an isolation level) comes too late, as it
                    // does in Postgres; a write or a read sees to that itself.
                    self.query(&mut out, b"SELECT", Note::None);
                }
                if let Some(writes) = self.writes.as_mut() {
                    // BEGIN does not fail, unless our settings did; then nothing else is done either.
                    writes.begins(Status::Transaction);
                }
                self.begun = Some(text);
            }
            Deferred::Failed(text) => {
                self.query(&mut out, &text, Note::None);
                self.query(&mut out, b"pgweir refuses", Note::None);
                self.begun = Some(text);
            }
        }
        if !out.is_empty() {
            self.out.buffer().append(&mut out);
        }
    }
}
