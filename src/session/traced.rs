//! Spans of a session's queries, when there is a collector for them.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::Session;
use super::asked::{self, Asked, Step};
use super::reading::{is_readable, shaped};
use super::shapes::Known;
use crate::cache::rules::fingerprint;
use crate::export::parent::Parent;
use crate::export::span::{Begun, Outcome, Shaped, Span, Tracer};
use crate::metrics::Handle;
use crate::metrics::errors;
use crate::metrics::shape::Split;
use crate::reason::Reason;

/// Queries of one request that are recorded. Longer pipelines are of one program, whose first queries
/// tell enough.
const MARKS_MAX: usize = 1_000;

impl Shaped for Known {
    fn fingerprint(&self) -> &str {
        Self::fingerprint(self)
    }

    fn shape(&self) -> &[u8] {
        &self.shape
    }
}

/// What a text says to spans.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) parent: Option<Parent>,
    /// Without a cache nobody else knows it.
    shape: Option<Box<[u8]>>,
    fingerprint: OnceLock<String>,
}

impl Shaped for Traced {
    fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| fingerprint(self.shape()))
    }

    fn shape(&self) -> &[u8] {
        self.shape.as_deref().unwrap_or_default()
    }
}

/// Reads the text for spans, if there are any; `cached` when its shape is known anyway.
pub(super) fn read(metrics: &Handle, text: &[u8], cached: bool) -> Option<Arc<Traced>> {
    metrics.tracer.as_ref()?;
    let parent = Parent::of(text);
    if cached && parent.is_none() {
        return None;
    }
    let shape = || shaped(text, |shape| (!shape.broken).then(|| shape.shape.into()));
    Some(Arc::new(Traced {
        parent,
        shape: if cached { None } else { shape() },
        fingerprint: OnceLock::new(),
    }))
}

/// A query on its way to the upstream.
#[derive(Debug)]
pub(super) struct Mark {
    begun: Begun,
    shape: Option<Arc<dyn Shaped>>,
    reason: Reason,
    /// Its place among those of its request.
    at: usize,
    since: Instant,
}

/// Decides whether a query is recorded.
pub(super) fn mark(
    metrics: &Handle,
    (known, traced): (Option<&Arc<Known>>, Option<&Arc<Traced>>),
    reason: Reason,
) -> Option<Mark> {
    let parent = traced.and_then(|traced| traced.parent);
    let begun = metrics.tracer.as_ref()?.begin(parent)?;
    let shape = match (known, traced) {
        (Some(known), _) => Some(Arc::<Known>::clone(known) as Arc<dyn Shaped>),
        (None, Some(traced)) => Some(Arc::<Traced>::clone(traced) as Arc<dyn Shaped>),
        (None, None) => None,
    };
    Some(Mark {
        begun,
        shape,
        reason,
        at: 0,
        since: Instant::now(),
    })
}

impl Mark {
    fn send(self, tracer: &Tracer, until: Instant, split: Split, (rows, outcome): (u64, Outcome)) {
        tracer.send(Span {
            begun: self.begun,
            whose: tracer.whose(),
            shape: self.shape,
            reason: self.reason,
            since: self.since,
            until,
            split,
            rows,
            outcome,
        });
    }
}

/// The marks of one request that an upstream answers. In a pipeline each query lasts from when it was sent to
/// its answer, those before it included: Postgres sends the answers of all together.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// In order; those that are not recorded are left out.
    list: VecDeque<Mark>,
    failed: Option<[u8; 5]>,
}

/// When the upstream was there, and how long it waited for the request.
pub(super) type Waits = (Instant, std::time::Duration);

impl Marks {
    /// The request executes this, as its query number `at`.
    pub(super) fn add(&mut self, mut mark: Mark, at: usize, since: Instant) {
        // Behind an error nothing is executed.
        if self.failed.is_none() && self.list.len() < MARKS_MAX {
            if at == 0 {
                mark.since = since;
            }
            mark.at = at;
            self.list.push_back(mark);
        }
    }

    /// One query is answered, of all recorded or not the number `answered`; `now` is asked only if somebody
    /// wants to know.
    pub(super) fn answered(
        &mut self,
        metrics: &Handle,
        (answered, rows): (usize, u64),
        now: impl FnOnce() -> Instant,
        waits: Waits,
    ) {
        let front = self.list.front();
        if front.is_some_and(|mark| mark.at < answered) {
            self.first(metrics, now(), waits, (rows, Outcome::Done));
        }
    }

    /// Its client is told of an error; so many were answered before, and none will be after it. Without a
    /// number the request's end is that of its one query.
    pub(super) fn failed(
        &mut self,
        metrics: &Handle,
        (sqlstate, answered): (&[u8], Option<usize>),
        now: Instant,
        waits: Waits,
    ) {
        if self.list.is_empty() || self.failed.is_some() {
            return;
        }
        let sqlstate = code(sqlstate);
        self.failed = Some(sqlstate);
        if let Some(answered) = answered {
            if self.list.front().is_some_and(|mark| mark.at == answered) {
                self.first(metrics, now, waits, (0, Outcome::Failed(sqlstate)));
            }
            self.list.clear();
        }
    }

    /// The request is answered, and so is its one query.
    pub(super) fn ended(&mut self, metrics: &Handle, rows: u64, now: Instant, waits: Waits) {
        let outcome = self.failed.map_or(Outcome::Done, Outcome::Failed);
        self.first(metrics, now, waits, (rows, outcome));
    }

    /// It never will be: the session ends.
    pub(super) fn abandoned(&mut self, metrics: &Handle, outcome: Outcome, waits: Waits) {
        // The upstream's last words may have gone to the client before it closed.
        let outcome = self.failed.map_or(outcome, Outcome::Failed);
        while !self.list.is_empty() {
            self.first(metrics, Instant::now(), waits, (0, outcome));
        }
    }

    fn first(
        &mut self,
        metrics: &Handle,
        until: Instant,
        (leased, client): Waits,
        ended: (u64, Outcome),
    ) {
        let (Some(mark), Some(tracer)) = (self.list.pop_front(), &metrics.tracer) else {
            return;
        };
        let split = Split {
            queue: leased.saturating_duration_since(mark.since),
            upstream: until.saturating_duration_since(mark.since.max(leased)),
            client: if mark.at == 0 {
                client
            } else {
                Default::default()
            },
        };
        mark.send(tracer, until, split, ended);
    }
}

/// A query was answered without an upstream of its own; it may have `waited` for another's.
pub(super) fn answered(
    metrics: &Handle,
    (known, parent): (&Arc<Known>, Option<Parent>),
    (reason, rows): (Reason, u64),
    (since, waited): (Instant, bool),
) {
    let Some(tracer) = &metrics.tracer else {
        return;
    };
    let Some(begun) = tracer.begin(parent) else {
        return;
    };
    let until = Instant::now();
    let mut split = Split::default();
    if waited {
        split.upstream = until.saturating_duration_since(since);
    }
    let mark = Mark {
        begun,
        shape: Some(Arc::<Known>::clone(known)),
        reason,
        at: 0,
        since,
    };
    mark.send(tracer, until, split, (rows, Outcome::Done));
}

/// A text was answered that no upstream needs to know of: it took no time to speak of.
pub(super) fn unsent(metrics: &Handle, text: &[u8], reason: Reason) {
    let (traced, Some(tracer)) = (read(metrics, text, false), &metrics.tracer) else {
        return;
    };
    if let Some(mark) = mark(metrics, (None, traced.as_ref()), reason) {
        let now = mark.since;
        mark.send(tracer, now, Split::default(), (0, Outcome::Done));
    }
}

/// What the client was told, if it was.
pub(super) fn outcome(words: &[u8]) -> Outcome {
    let told = errors::first(words);
    told.map_or(Outcome::Abandoned, |sqlstate| {
        Outcome::Failed(code(sqlstate))
    })
}

fn code(sqlstate: &[u8]) -> [u8; 5] {
    // What is no SQLSTATE is an internal error: some servers send none.
    sqlstate.try_into().unwrap_or(*b"XX000")
}

impl Session {
    /// The request at the front waits for an upstream, and will not get one.
    pub(super) fn trace_unserved(&mut self, outcome: Outcome) {
        let (Some(tracer), Some(asking)) = (&self.pool.metrics.tracer, self.asking.take()) else {
            return;
        };
        let text = match asked::read(self.client.inbox.bytes()) {
            Ok((Asked::Query(text), _)) => Some(text),
            Ok((Asked::Steps(steps), _)) => steps.iter().find_map(|step| match step {
                Step::Parse { body, .. } => body.split(|byte| *byte == 0).next(),
                Step::DescribeStatement(_)
                | Step::Bind { .. }
                | Step::DescribePortal
                | Step::Execute
                | Step::CloseStatement(_)
                | Step::ClosePortal => None,
            }),
            Ok((Asked::Other, _)) | Err(_) => None,
        };
        let caching = self.caching.as_ref();
        let readable = text.filter(|text| is_readable(text, &self.state.reported));
        let known = caching
            .zip(readable)
            .map(|(caching, text)| shaped(text, |shape| caching.known(text, shape)));
        let traced = text.and_then(|text| read(&self.pool.metrics, text, known.is_some()));
        let reason = asking.reason.unwrap_or(Reason::Disabled);
        let metrics = &self.pool.metrics;
        let Some(mut mark) = mark(metrics, (known.as_ref(), traced.as_ref()), reason) else {
            return;
        };
        let until = Instant::now();
        mark.since = asking.at.unwrap_or(until);
        let split = Split {
            queue: until.saturating_duration_since(mark.since),
            ..Split::default()
        };
        mark.send(tracer, until, split, (0, outcome));
    }
}
