//! The reply queue: what an upstream still owes, in order.
//!
//! Each frontend message whose answer must be recognised has an entry; an answer is forwarded,
//! hidden (it answers a message of ours) or shown under another tag. Nothing is ever invented in
//! the middle of a pipeline: where the proxy knows an answer itself it sends the upstream a
//! message with an answer of the same length, and retags it, so that order and the skipping after
//! an error stay the upstream's own (protocol manual, "Extended Query" and "Pipelining").

use thiserror::Error;

use crate::few::Few;

/// Transaction status, as ReadyForQuery reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Idle,
    Transaction,
    Failed,
}

impl Status {
    /// From ReadyForQuery's byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Transaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// ReadyForQuery's byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Transaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// What kind of message an entry waits for the answer of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything up to ReadyForQuery, one CommandComplete for each statement.
    Query,
    /// As a query, with FunctionCallResponse.
    FunctionCall,
    /// ParseComplete.
    Parse,
    /// BindComplete.
    Bind,
    /// RowDescription or NoData, for a statement behind ParameterDescription.
    Describe,
    /// CloseComplete.
    Close,
    /// CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// ReadyForQuery.
    Sync,
    /// No answer: marks where the client ended its copy data.
    CopyEnd,
}

/// What the client sees of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Forward,
    Hide,
    /// Forward under this tag.
    As(u8),
}

/// One expected answer; `note` is what the session wants to be told when it arrives.
#[derive(Debug)]
pub struct Entry<N> {
    pub kind: Kind,
    pub show: Show,
    pub note: N,
}

/// What an answer means to the session.
#[derive(Debug)]
pub enum Event<N> {
    /// Nothing it has to act on.
    Nothing,
    /// A copy from the client begins: so many Syncs, the first of those outstanding, will not be answered.
    CopyIn(usize),
    /// The statement of this entry's query is done; the entry stays (CommandComplete in a Query).
    Statement,
    /// The entry is answered.
    Answered(Entry<N>),
    /// An error; these entries, the failed one first, will never be answered.
    Failed(Vec<Entry<N>>),
    /// ReadyForQuery, and the entry that it answers if there is one.
    Ready {
        status: Status,
        entry: Option<Entry<N>>,
        /// An error came since the ReadyForQuery before.
        failed: bool,
    },
}

/// The upstream answered what was not asked: its stream cannot be trusted any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("unexpected message type {0} from upstream")]
pub struct Unexpected(pub u8);

/// See the module's text.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them may hold with any other"
)]
pub struct Replies<N> {
    queue: Few<Entry<N>, QUEUED>,
    status: Status,
    phase: Phase,
    unsynced: bool,
    /// An error came since the last ReadyForQuery.
    failed: bool,
    /// A Sync was taken for part of a copy since the last ReadyForQuery. It may have ended the skipping instead.
    swallowed: bool,
}

/// Where the conversation is between two Syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Normal,
    /// An error came and no Sync has been sent since: the upstream ignores what arrives.
    Skipping,
    /// CopyInResponse came and the client has not ended its data.
    CopyIn,
}

/// Entries that need no memory of their own: the usual request of the extended protocol has five.
const QUEUED: usize = 5;

impl<N> Default for Replies<N> {
    fn default() -> Self {
        Self {
            queue: Few::default(),
            status: Status::Idle,
            phase: Phase::Normal,
            unsynced: false,
            failed: false,
            swallowed: false,
        }
    }
}

impl<N> Replies<N> {
    /// The status of the last ReadyForQuery.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Answers outstanding.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no answer is outstanding.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What is to be answered, in that order.
    pub fn outstanding(&self) -> impl Iterator<Item = &Entry<N>> {
        self.queue.iter()
    }

    /// Whether nothing is outstanding and nothing waits for a Sync: between two requests.
    pub fn at_rest(&self) -> bool {
        self.queue.is_empty() && !self.unsynced && self.phase != Phase::Skipping
    }

    /// Whether messages of the client's were sent behind its last Sync: if one of them fails, all are skipped.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Whether the upstream ignores what it is sent, up to the next Sync: an error came.
    pub fn ignores(&self) -> bool {
        self.is_skipping() && !self.swallowed
    }

    /// Whether an error came, and nothing will be answered but a Sync that is still to be sent.
    pub fn is_skipping(&self) -> bool {
        self.phase == Phase::Skipping
    }

    /// How many Syncs are to be answered.
    pub fn syncs(&self) -> usize {
        let sync = |entry: &&Entry<N>| entry.kind == Kind::Sync;
        self.queue.iter().filter(sync).count()
    }

    /// Whether the latest message ended a request of the client's, and it is not all answered yet.
    pub fn ends_request(&self) -> bool {
        let ends = |entry: &Entry<N>| {
            entry.show != Show::Hide
                && matches!(entry.kind, Kind::Query | Kind::FunctionCall | Kind::Sync)
        };
        !self.unsynced && self.queue.back().is_some_and(ends)
    }

    /// Whether a ReadyForQuery is still to come by itself.
    pub fn awaits_ready(&self) -> bool {
        let ends =
            |entry: &Entry<N>| matches!(entry.kind, Kind::Query | Kind::FunctionCall | Kind::Sync);
        self.queue.iter().any(ends)
    }

    /// Whether nothing of what the client sees answered is going to execute anything.
    pub fn runs_nothing(&self) -> bool {
        let executes = |entry: &Entry<N>| {
            !matches!(
                entry.kind,
                Kind::Parse | Kind::Bind | Kind::Describe | Kind::Close
            ) && entry.show != Show::Hide
        };
        !self.queue.iter().any(executes)
    }

    /// Whether the upstream expects CopyData.
    pub fn in_copy(&self) -> bool {
        self.phase == Phase::CopyIn
    }

    /// What the client sees of the answer that is arriving now.
    pub fn show(&self) -> Show {
        self.queue.front().map_or(Show::Forward, |entry| entry.show)
    }

    /// The entry whose answer is arriving now.
    pub fn front_mut(&mut self) -> Option<&mut Entry<N>> {
        self.queue.front_mut()
    }

    /// A message was sent. Gives the entry back when the upstream is going to ignore the message.
    pub fn push(&mut self, entry: Entry<N>) -> Option<Entry<N>> {
        match entry.kind {
            Kind::Sync => {
                if self.phase == Phase::CopyIn {
                    self.swallowed = true;
                    return Some(entry);
                }
                self.phase = Phase::Normal;
                self.unsynced = false;
            }
            Kind::CopyEnd => {
                if self.phase == Phase::CopyIn {
                    self.phase = Phase::Normal;
                    return Some(entry);
                }
                if self.queue.is_empty() {
                    return Some(entry);
                }
            }
            Kind::Query | Kind::FunctionCall => {
                if self.phase == Phase::Skipping {
                    return Some(entry);
                }
                self.unsynced = false;
            }
            Kind::Parse | Kind::Bind | Kind::Describe | Kind::Close | Kind::Execute => {
                self.unsynced = true;
                if self.phase == Phase::Skipping {
                    return Some(entry);
                }
            }
        }
        self.queue.push_back(entry);
        None
    }

    /// A backend frame arrived: `tag`, and for ReadyForQuery the first byte of its `body`.
    /// [`Replies::show`] must be asked before.
    ///
    /// # Errors
    /// [`Unexpected`] when the frame answers nothing that was asked.
    pub fn answer(&mut self, tag: u8, body: &[u8]) -> Result<Event<N>, Unexpected> {
        match tag {
            b'Z' => self.ready(body),
            b'E' => Ok(self.failed()),
            b'1' => self.pop(Kind::Parse, tag),
            b'2' => self.pop(Kind::Bind, tag),
            b'3' => self.pop(Kind::Close, tag),
            b'C' | b'I' | b's' => match self.queue.front().map(|entry| entry.kind) {
                Some(Kind::Query | Kind::FunctionCall) => {
                    self.phase = Phase::Normal;
                    Ok(Event::Statement)
                }
                _ => self.pop(Kind::Execute, tag),
            },
            b'G' => Ok(Event::CopyIn(self.copy_in())),
            b'T' | b'n' if self.queue.front().is_some_and(|e| e.kind == Kind::Describe) => {
                self.pop(Kind::Describe, tag)
            }
            b't' | b'T' | b'n' | b'D' | b'd' | b'c' | b'H' | b'W' | b'V' | b'N' | b'A' | b'S' => {
                Ok(Event::Nothing)
            }
            _ => Err(Unexpected(tag)),
        }
    }

    fn pop(&mut self, kind: Kind, tag: u8) -> Result<Event<N>, Unexpected> {
        match self.queue.front() {
            Some(front) if front.kind == kind => {
                let entry = self.queue.pop_front().ok_or(Unexpected(tag))?;
                self.drop_markers();
                Ok(Event::Answered(entry))
            }
            _ => Err(Unexpected(tag)),
        }
    }

    fn ready(&mut self, body: &[u8]) -> Result<Event<N>, Unexpected> {
        let status = body.first().copied().and_then(Status::from_byte);
        self.status = status.ok_or(Unexpected(b'Z'))?;
        self.phase = match self.phase {
            // A Sync that we took for part of a copy had ended the skipping after all.
            Phase::Skipping | Phase::CopyIn => Phase::Normal,
            Phase::Normal => Phase::Normal,
        };
        let entry = match self.queue.front().map(|entry| entry.kind) {
            Some(Kind::Query | Kind::FunctionCall | Kind::Sync) => self.queue.pop_front(),
            None => None,
            Some(
                Kind::Parse
                | Kind::Bind
                | Kind::Describe
                | Kind::Close
                | Kind::Execute
                | Kind::CopyEnd,
            ) => {
                return Err(Unexpected(b'Z'));
            }
        };
        self.drop_markers();
        self.swallowed = false;
        Ok(Event::Ready {
            status: self.status,
            entry,
            failed: std::mem::take(&mut self.failed),
        })
    }

    fn failed(&mut self) -> Event<N> {
        self.failed = true;
        if self.phase == Phase::CopyIn {
            self.phase = Phase::Normal;
        }
        match self.queue.front().map(|entry| entry.kind) {
            // ReadyForQuery follows by itself.
            Some(Kind::Query | Kind::FunctionCall) => return Event::Failed(Vec::new()),
            // Told without being asked: a shutdown.
            None => return Event::Failed(Vec::new()),
            _ => {}
        }
        let sync = self
            .queue
            .iter()
            .position(|entry| entry.kind == Kind::Sync)
            .unwrap_or_else(|| {
                self.phase = Phase::Skipping;
                self.queue.len()
            });
        Event::Failed((0..sync).filter_map(|_| self.queue.pop_front()).collect())
    }

    /// In copy-in mode the upstream ignores Sync (protocol manual, "COPY Operations"): those sent
    /// before the end of the data will not be answered. Their number.
    fn copy_in(&mut self) -> usize {
        let all = self.queue.len();
        let end = self
            .queue
            .iter()
            .position(|entry| entry.kind == Kind::CopyEnd);
        let mut index = 0;
        let before = end.unwrap_or(self.queue.len());
        self.queue.retain(|entry| {
            let ignored = index > 0 && index <= before && entry.kind == Kind::Sync;
            let marker = end == Some(index);
            index += 1;
            !ignored && !marker
        });
        self.phase = if end.is_some() {
            Phase::Normal
        } else {
            Phase::CopyIn
        };
        let ignored = all - self.queue.len() - usize::from(end.is_some());
        self.swallowed |= ignored > 0;
        ignored
    }

    fn drop_markers(&mut self) {
        while self
            .queue
            .front()
            .is_some_and(|entry| entry.kind == Kind::CopyEnd)
        {
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind) -> Entry<u8> {
        Entry {
            kind,
            show: Show::Forward,
            note: 0,
        }
    }

    fn replies(kinds: &[Kind]) -> Replies<u8> {
        let mut replies = Replies::default();
        for &kind in kinds {
            replies.push(entry(kind));
        }
        replies
    }

    #[test]
    fn a_query_stays_until_ready() {
        let mut r = replies(&[Kind::Query]);
        assert!(matches!(
            r.answer(b'C', b"SELECT 1\0"),
            Ok(Event::Statement)
        ));
        assert!(matches!(
            r.answer(b'C', b"SELECT 1\0"),
            Ok(Event::Statement)
        ));
        assert!(!r.at_rest());
        assert!(matches!(
            r.answer(b'Z', b"T"),
            Ok(Event::Ready {
                status: Status::Transaction,
                failed: false,
                ..
            })
        ));
        assert!(r.at_rest());
    }

    #[test]
    fn an_error_drops_up_to_the_next_sync_only() {
        let mut r = replies(&[
            Kind::Parse,
            Kind::Execute,
            Kind::Sync,
            Kind::Parse,
            Kind::Execute,
            Kind::Sync,
        ]);
        let Ok(Event::Failed(dropped)) = r.answer(b'E', b"") else {
            panic!("not failed")
        };
        assert_eq!(dropped.len(), 2);
        assert!(matches!(r.answer(b'Z', b"I"), Ok(Event::Ready { .. })));
        assert!(matches!(r.answer(b'1', b""), Ok(Event::Answered(_))));
        assert!(matches!(r.answer(b's', b""), Ok(Event::Answered(_))));
        assert!(matches!(r.answer(b'Z', b"I"), Ok(Event::Ready { .. })));
        assert!(r.at_rest());
    }

    #[test]
    fn what_is_sent_after_an_error_is_ignored_until_sync() {
        let mut r = replies(&[Kind::Parse]);
        assert!(matches!(r.answer(b'E', b""), Ok(Event::Failed(_))));
        assert!(r.push(entry(Kind::Execute)).is_some());
        assert!(r.push(entry(Kind::Query)).is_some());
        assert!(!r.at_rest() && r.ignores());
        assert!(r.push(entry(Kind::Sync)).is_none());
        assert!(!r.ignores());
        assert!(matches!(
            r.answer(b'Z', b"E"),
            Ok(Event::Ready {
                status: Status::Failed,
                failed: true,
                ..
            })
        ));
        assert!(r.at_rest());
    }

    #[test]
    fn an_error_of_a_bind_skips_a_query_behind_it() {
        let mut r = replies(&[Kind::Bind, Kind::Query]);
        assert!(matches!(r.answer(b'E', b""), Ok(Event::Failed(dropped)) if dropped.len() == 2));
        assert!(!r.at_rest(), "the upstream ignores everything up to a Sync");
        assert!(r.push(entry(Kind::Execute)).is_some());
        assert!(!r.awaits_ready());
        assert!(r.push(entry(Kind::Sync)).is_none());
        assert!(matches!(r.answer(b'Z', b"I"), Ok(Event::Ready { .. })));
        assert!(r.at_rest());
    }

    #[test]
    fn a_statement_is_described_by_two_messages() {
        let mut r = replies(&[Kind::Describe, Kind::Bind, Kind::Describe, Kind::Sync]);
        assert!(matches!(r.answer(b't', b""), Ok(Event::Nothing)));
        assert!(matches!(r.answer(b'n', b""), Ok(Event::Answered(_))));
        assert!(matches!(r.answer(b'2', b""), Ok(Event::Answered(_))));
        assert!(matches!(r.answer(b'T', b""), Ok(Event::Answered(_))));
        assert_eq!(r.answer(b'2', b"").err(), Some(Unexpected(b'2')));
    }

    #[test]
    fn syncs_inside_copy_data_are_not_answered() {
        // Parse Bind Execute Sync, then data, CopyDone, Sync: sent before CopyInResponse came.
        let mut r = replies(&[
            Kind::Parse,
            Kind::Execute,
            Kind::Sync,
            Kind::CopyEnd,
            Kind::Sync,
        ]);
        assert!(r.answer(b'1', b"").is_ok());
        assert!(matches!(r.answer(b'G', b""), Ok(Event::CopyIn(1))));
        assert!(!r.in_copy());
        assert!(matches!(r.answer(b'C', b""), Ok(Event::Answered(_))));
        assert!(matches!(
            r.answer(b'Z', b"I"),
            Ok(Event::Ready { entry: Some(_), .. })
        ));
        assert!(r.at_rest());
        // The same, the data sent after it came.
        let mut r = replies(&[Kind::Execute, Kind::Sync]);
        assert!(matches!(r.answer(b'G', b""), Ok(Event::CopyIn(1))));
        assert!(r.in_copy());
        assert!(r.push(entry(Kind::CopyEnd)).is_some());
        r.push(entry(Kind::Sync));
        assert!(matches!(r.answer(b'C', b""), Ok(Event::Answered(_))));
        assert!(matches!(
            r.answer(b'Z', b"I"),
            Ok(Event::Ready { entry: Some(_), .. })
        ));
        assert!(r.at_rest());
    }

    #[test]
    fn answers_to_nothing_are_errors() {
        let mut r = replies(&[Kind::Sync]);
        assert_eq!(r.answer(b'1', b"").err(), Some(Unexpected(b'1')));
        assert_eq!(r.answer(b'C', b"").err(), Some(Unexpected(b'C')));
        assert_eq!(r.answer(b'Z', b"x").err(), Some(Unexpected(b'Z')));
        assert_eq!(r.answer(b'R', b"").err(), Some(Unexpected(b'R')));
    }
}
