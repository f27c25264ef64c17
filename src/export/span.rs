//! What is recorded of one query, and the queue in which it waits to be sent.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::parent::Parent;
use crate::amount::Share;
use crate::metrics::shape::Split;
use crate::reason::Reason;

/// Spans that wait: at a fifth of a kilobyte each some megabytes, and a quarter of a second of sixty
/// thousand queries a second. A collector that cannot keep up, or is gone, costs no more than that.
const QUEUED_MAX: usize = 16 * 1024;

/// A shape, as a span tells of it. Its text has no literals.
pub trait Shaped: Debug + Send + Sync {
    fn fingerprint(&self) -> &str;
    /// Empty when the text was not understood at all.
    fn shape(&self) -> &[u8];
}

/// Whose queries they are.
#[derive(Debug)]
pub struct Whose {
    pub database: Box<str>,
    pub user: Box<str>,
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Its client was told this SQLSTATE.
    Failed([u8; 5]),
    /// Its session ended before it did, and nobody was told.
    Abandoned,
}

/// One query.
#[derive(Debug)]
pub struct Span {
    pub begun: Begun,
    pub whose: Arc<Whose>,
    pub shape: Option<Arc<dyn Shaped>>,
    /// Why it was or was not answered from memory.
    pub reason: Reason,
    pub since: Instant,
    pub until: Instant,
    pub split: Split,
    pub rows: u64,
    pub outcome: Outcome,
}

/// A query that is going to be recorded.
#[derive(Clone, Debug)]
pub struct Begun {
    pub parent: Option<Parent>,
}

/// What became of the spans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Taken by the collector.
    pub sent: u64,
    /// There was no room for them in the queue.
    pub dropped: u64,
    /// The collector was not reached in several tries, or refused them.
    pub failed: u64,
}

/// The queue, and what decides who gets into it.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::Sender<Span>,
    /// Until the thread takes it.
    receiver: Mutex<Option<mpsc::Receiver<Span>>>,
    /// The part of those that are recorded which no parent decides for.
    pub sample: ArcSwap<Share>,
    pub(super) sent: AtomicU64,
    dropped: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Queue {
    pub fn new(sample: Share) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(QUEUED_MAX);
        Arc::new(Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            sample: ArcSwap::from_pointee(sample),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// The other end, once.
    pub(super) fn receiver(&self) -> Option<mpsc::Receiver<Span>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }

    /// The counts now.
    pub fn exported(&self) -> Exported {
        Exported {
            sent: self.sent.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

/// Where the sessions of one database and user put their spans.
#[derive(Debug)]
pub struct Tracer {
    queue: Arc<Queue>,
    whose: Arc<Whose>,
}

impl Tracer {
    pub fn new(queue: &Arc<Queue>, database: &str, user: &str) -> Self {
        Self {
            queue: Arc::clone(queue),
            whose: Arc::new(Whose {
                database: database.into(),
                user: user.into(),
            }),
        }
    }

    /// Whether a query is recorded: its parent decides, or else chance.
    pub fn begin(&self, parent: Option<Parent>) -> Option<Begun> {
        let wanted = match parent {
            Some(parent) => parent.sampled,
            None => self.queue.sample.load().takes(fastrand::u32(..)),
        };
        wanted.then_some(Begun { parent })
    }

    /// Whose spans they are.
    pub fn whose(&self) -> Arc<Whose> {
        Arc::clone(&self.whose)
    }

    /// Puts it into the queue, if there is room. Nobody is woken: the thread looks by itself.
    pub fn send(&self, span: Span) {
        if self.queue.sender.try_send(span).is_err() {
            self.queue.dropped.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(begun: Begun, tracer: &Tracer) -> Span {
        let now = Instant::now();
        Span {
            begun,
            whose: tracer.whose(),
            shape: None,
            reason: Reason::Hit,
            since: now,
            until: now,
            split: Split::default(),
            rows: 0,
            outcome: Outcome::Done,
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let queue = Queue::new(Share::read("100%").unwrap());
        let tracer = Tracer::new(&queue, "d", "u");
        for _ in 0..QUEUED_MAX + 7 {
            let begun = tracer.begin(None).unwrap();
            tracer.send(span(begun, &tracer));
        }
        let exported = queue.exported();
        assert_eq!((exported.sent, exported.dropped), (0, 7));
        let mut receiver = queue.receiver().unwrap();
        assert!(receiver.try_recv().is_ok());
        assert!(queue.receiver().is_none());
    }

    #[test]
    fn the_parent_decides_or_else_the_share() {
        let parent = |sampled| {
            Some(Parent {
                trace: [1; 16],
                span: [2; 8],
                sampled,
            })
        };
        for share in ["0%", "100%"] {
            let queue = Queue::new(Share::read(share).unwrap());
            let tracer = Tracer::new(&queue, "d", "u");
            assert_eq!(tracer.begin(None).is_some(), share == "100%");
            let begun = tracer.begin(parent(true)).unwrap();
            assert_eq!(begun.parent.unwrap().trace, [1; 16]);
            assert!(tracer.begin(parent(false)).is_none());
        }
    }
}
