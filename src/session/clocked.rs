//! What is counted of a session's queries, and where their time goes.
//!
//! The clock is read once when a request comes, once when an upstream is there, and once for each
//! batch of bytes that the upstream answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::shapes::Known;
use super::traced::{Mark, Marks};
use crate::cache::entry::Entry;
use crate::export::span::Outcome;
use crate::few::Few;
use crate::metrics::histogram::{Took, nanoseconds};
use crate::metrics::shape::Split;
use crate::metrics::{Handle, Sum};
use crate::pool::record::Record;
use crate::reason::Reason;
use crate::wire::replies::{Kind, Status};

/// Counts a query by what became of it, with its shape if that is known.
pub(super) fn count(metrics: &Handle, known: &Known, reason: Reason) {
    metrics.count(reason);
    known.stats.count(reason);
}

/// Counts the time and size of an answer from memory; `reason` is a hit, or why one was made for this
/// client. Outside of a transaction it is one of its own.
pub(super) fn answered(
    (metrics, known): (&Handle, &Known),
    entry: &Entry,
    reason: Reason,
    (since, in_block): (Instant, bool),
) {
    let took = since.elapsed();
    if reason == Reason::Hit {
        metrics.from_memory.record(took);
        known.stats.hit_took(took);
        if in_block {
            metrics.add(Sum::InBlock, 1);
        }
    } else {
        metrics.to_first.record(took);
        metrics.to_last.record(took);
        let took = Took::new(took);
        known.stats.took(took, took, Split::default());
    }
    known.stats.sent(entry.row_count, entry.rows.len() as u64);
}

impl Client {
    /// Counts the bytes that came and went since the last time.
    pub(super) fn tally(&mut self, metrics: &Handle) {
        metrics.add_all([
            (Sum::BytesIn, std::mem::take(&mut self.inbox.filled)),
            (Sum::BytesOut, self.out.take_written()),
        ]);
    }
}

/// A request of the client's, up to Query, Sync or FunctionCall.
#[derive(Debug)]
struct Request {
    since: Instant,
    first: Option<Instant>,
    /// The last that it executes: what takes time in a pipeline cannot be told apart.
    known: Option<Arc<Known>>,
    queries: usize,
    rows: u64,
    bytes: u64,
    /// How long the upstream waited for it, inside of a transaction.
    client: Duration,
    /// Queries that were answered, and whether the end of the request is the one query's.
    answered: usize,
    whole: bool,
    /// Those of its queries that get spans, when some do.
    marks: Option<Box<Marks>>,
}

/// The requests under way on a held upstream.
#[derive(Debug)]
pub(super) struct Clocked {
    /// When the upstream was there.
    leased: Instant,
    /// When the request was read for which it was leased.
    asked: Option<Instant>,
    /// Bounded as the reply queue is.
    requests: Few<Request>,
    /// The latest request has not come to its end.
    open: bool,
    /// The first request came to its end with this status.
    ended: Option<Status>,
    /// Since when the transaction runs.
    transaction: Option<Instant>,
    /// Since when it waits for the client.
    rested: Option<Instant>,
    /// The time, for as long as one batch of answers is looked at.
    now: Option<Instant>,
    /// What others see of the transaction is behind.
    moved: bool,
}

impl Clocked {
    /// Leased at this moment.
    pub(super) fn new(leased: Instant) -> Self {
        Self {
            leased,
            asked: None,
            requests: Few::default(),
            open: false,
            ended: None,
            transaction: None,
            rested: None,
            now: None,
            moved: false,
        }
    }

    /// When the upstream was there.
    pub(super) fn leased(&self) -> Instant {
        self.leased
    }

    /// It was leased for a request that was read at `asked`.
    pub(super) fn asked(&mut self, asked: Instant, metrics: &Handle) {
        self.asked = Some(asked);
        let queue = if self.leased == asked {
            Duration::ZERO
        } else {
            self.leased.saturating_duration_since(asked)
        };
        metrics.queue.record(queue);
    }

    /// Tells of the transaction, if that has begun, ended, or come to rest since the last time.
    pub(super) fn tell(&mut self, record: &Record) {
        if std::mem::take(&mut self.moved) {
            record.transaction(self.transaction, self.rested);
        }
    }

    /// Nothing is outstanding. A copy can leave a request whose Sync the upstream ignored.
    pub(super) fn begins(&mut self) {
        self.requests.clear();
        self.open = false;
    }

    /// The latest request, begun if there is none that has not ended.
    fn open(&mut self) -> Option<&mut Request> {
        if !self.open || self.requests.is_empty() {
            self.open = true;
            let since = self.asked.take().unwrap_or_else(Instant::now);
            let rested = self.rested.take();
            self.transaction.get_or_insert(since);
            self.moved = true;
            self.requests.push_back(Request {
                since,
                first: None,
                known: None,
                queries: 0,
                rows: 0,
                bytes: 0,
                client: rested.map_or(Duration::ZERO, |rested| {
                    since.saturating_duration_since(rested)
                }),
                answered: 0,
                whole: false,
                marks: None,
            });
        }
        self.requests.back_mut()
    }

    /// The client's latest request executes this.
    pub(super) fn executes(&mut self, known: Option<&Arc<Known>>, mark: Option<Mark>) {
        if let Some(request) = self.open() {
            if let Some(mark) = mark {
                let marks = request.marks.get_or_insert_default();
                marks.add(mark, request.queries, request.since);
            }
            request.queries += 1;
            request.known = known.cloned();
        }
    }

    /// A message of the client's went out; `kept` unless the upstream is going to ignore it.
    pub(super) fn sent(&mut self, kind: Kind, kept: bool) {
        if kind == Kind::CopyEnd {
            return;
        }
        if let Some(request) = self.open()
            && matches!(kind, Kind::Query | Kind::FunctionCall)
        {
            request.whole = true;
        }
        if kept && matches!(kind, Kind::Query | Kind::FunctionCall | Kind::Sync) {
            self.open = false;
        }
    }

    /// The time, read once for each batch of answers.
    pub(super) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// Another batch of answers is here.
    pub(super) fn batch(&mut self) {
        self.now = None;
    }

    /// A query's answer ends: CommandComplete's body, which has a number of rows for most commands, or none
    /// (EmptyQueryResponse, PortalSuspended).
    pub(super) fn completed(&mut self, tag: &[u8], metrics: &Handle) {
        let now = &mut self.now;
        if let Some(request) = self.requests.front_mut() {
            let rows = rows(tag);
            request.rows += rows;
            request.answered += 1;
            if let Some(marks) = request.marks.as_mut().filter(|_| !request.whole) {
                let now = || *now.get_or_insert_with(Instant::now);
                let waits = (self.leased, request.client);
                marks.answered(metrics, (request.answered, rows), now, waits);
            }
        }
    }

    /// The client is told this SQLSTATE.
    pub(super) fn failed(&mut self, sqlstate: &[u8], metrics: &Handle) {
        let now = &mut self.now;
        if let Some(request) = self.requests.front_mut() {
            let Some(marks) = request.marks.as_mut() else {
                return;
            };
            let now = *now.get_or_insert_with(Instant::now);
            let waits = (self.leased, request.client);
            // One that stands for all ends with its request.
            let answered = (!request.whole).then_some(request.answered);
            marks.failed(metrics, (sqlstate, answered), now, waits);
        }
    }

    /// The session ends before its requests do.
    pub(super) fn abandoned(&mut self, outcome: Outcome, metrics: &Handle) {
        for request in self.requests.iter_mut() {
            let waits = (self.leased, request.client);
            if let Some(marks) = request.marks.as_mut() {
                marks.abandoned(metrics, outcome, waits);
            }
        }
    }

    /// ReadyForQuery of the first request.
    pub(super) fn ready(&mut self, status: Status) {
        self.ended = Some(status);
    }

    /// So many bytes of the answer go to the client. Counts the request if that was all of it.
    pub(super) fn passed(&mut self, bytes: usize, metrics: &Handle) {
        let Some(request) = self.requests.front_mut() else {
            self.ended = None;
            return;
        };
        if bytes > 0 {
            request.bytes += bytes as u64;
            if request.first.is_none() {
                request.first = Some(*self.now.get_or_insert_with(Instant::now));
            }
        }
        if let Some(status) = self.ended.take()
            && let Some(mut request) = self.requests.pop_front()
        {
            if let Some(marks) = request.marks.as_mut().filter(|_| request.whole) {
                let now = *self.now.get_or_insert_with(Instant::now);
                let waits = (self.leased, request.client);
                marks.ended(metrics, request.rows, now, waits);
            }
            self.count(&request, status, metrics);
        }
    }

    fn count(&mut self, request: &Request, status: Status, metrics: &Handle) {
        let now = self.now();
        // The usual query is a transaction of one batch of answers, by an upstream that was there: all
        // its durations are one, and are found once.
        let whole = now.saturating_duration_since(request.since);
        let since = |moment| {
            if moment == request.since {
                whole
            } else {
                now.saturating_duration_since(moment)
            }
        };
        let split = Split {
            queue: if self.leased <= request.since {
                Duration::ZERO
            } else {
                self.leased.saturating_duration_since(request.since)
            },
            upstream: since(request.since.max(self.leased)),
            client: request.client,
        };
        if request.queries > 0 {
            let to_last = Took::new(whole);
            let to_first = match request.first {
                Some(first) if first != now => {
                    Took::new(first.saturating_duration_since(request.since))
                }
                _ => to_last,
            };
            metrics.to_first.count(to_first);
            metrics.to_last.count(to_last);
            if let Some(known) = &request.known {
                known.stats.sent(request.rows, request.bytes);
                known.stats.took(to_first, to_last, split);
            }
        }
        self.moved = true;
        let mut transaction = None;
        if status != Status::Idle {
            self.rested = Some(now);
        } else if let Some(begun) = self.transaction.take() {
            // With more behind it, the next transaction has begun to wait already.
            self.transaction = self.requests.front().map(|next| next.since);
            transaction = Some(since(begun));
        }
        metrics.add_all([
            (Sum::UpstreamTime, nanoseconds(split.upstream)),
            (Sum::ClientTime, nanoseconds(split.client)),
            (Sum::Transactions, u64::from(transaction.is_some())),
            (Sum::TransactionTime, transaction.map_or(0, nanoseconds)),
        ]);
    }
}

/// The number at the end of a command tag.
fn rows(tag: &[u8]) -> u64 {
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    let digits = tag.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let digit = |sum: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, digit).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_rows_of_command_tags() {
        for (tag, expected) in [
            (&b"SELECT 12\0"[..], 12),
            (b"INSERT 0 3\0", 3),
            (b"BEGIN\0", 0),
            (b"CREATE TABLE\0", 0),
            (b"", 0),
            (b"SELECT 99999999999999999999999\0", 0),
        ] {
            assert_eq!(rows(tag), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_of_two_requests() {
        let metrics = Metrics::default();
        let handle = metrics.handle("d", "u");
        let ms = Duration::from_millis;
        let asked = Instant::now();
        tokio::time::advance(ms(5)).await;
        let mut clocked = Clocked::new(Instant::now());
        clocked.asked(asked, &handle);
        clocked.executes(None, None);
        clocked.sent(Kind::Query, true);
        tokio::time::advance(ms(10)).await;
        clocked.batch();
        clocked.passed(100, &handle);
        tokio::time::advance(ms(10)).await;
        clocked.batch();
        clocked.ready(Status::Transaction);
        clocked.passed(6, &handle);
        assert_eq!(handle.snapshot().sum(Sum::Transactions), 0);
        // The client thinks.
        tokio::time::advance(ms(100)).await;
        clocked.sent(Kind::Parse, true);
        clocked.executes(None, None);
        clocked.sent(Kind::Execute, true);
        clocked.sent(Kind::Sync, true);
        tokio::time::advance(ms(20)).await;
        clocked.batch();
        clocked.ready(Status::Idle);
        clocked.passed(6, &handle);
        let counts = handle.snapshot();
        assert_eq!(counts.queue.total, ms(5));
        assert_eq!(counts.to_first.total, ms(15 + 20));
        assert_eq!(counts.to_last.total, ms(25 + 20));
        assert_eq!(counts.time(Sum::UpstreamTime), ms(20 + 20));
        assert_eq!(counts.time(Sum::ClientTime), ms(100));
        assert_eq!(counts.sum(Sum::Transactions), 1);
        assert_eq!(counts.time(Sum::TransactionTime), ms(25 + 100 + 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_counts_each_request_from_its_own_beginning() {
        let metrics = Metrics::default();
        let handle = metrics.handle("d", "u");
        let ms = Duration::from_millis;
        let mut clocked = Clocked::new(Instant::now());
        clocked.asked(Instant::now(), &handle);
        for _ in 0..2 {
            clocked.executes(None, None);
            clocked.sent(Kind::Execute, true);
            clocked.sent(Kind::Sync, true);
            tokio::time::advance(ms(10)).await;
        }
        // Only a Sync: no query.
        clocked.sent(Kind::Sync, true);
        clocked.batch();
        for _ in 0..3 {
            clocked.passed(50, &handle);
            clocked.ready(Status::Idle);
            clocked.passed(6, &handle);
        }
        let counts = handle.snapshot();
        assert_eq!((counts.to_last.count(), counts.to_last.total), (2, ms(30)));
        assert_eq!(counts.sum(Sum::Transactions), 3);
        assert!(clocked.requests.is_empty());
        // An answer to nothing is not counted.
        clocked.ready(Status::Idle);
        clocked.passed(6, &handle);
        assert_eq!(handle.snapshot().sum(Sum::Transactions), 3);
    }
}
