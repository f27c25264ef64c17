//! What others may know of an upstream: who it is, what it does, and for whom.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::cancel::CancelTarget;
use crate::moment;
use crate::stream::Stream;

/// What an upstream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// In its pool.
    Idle,
    /// Leased.
    Active,
    /// Leased beyond the transaction, and no longer counted by its pool.
    Pinned,
    /// Being reset.
    Tested,
}

/// One upstream. Its session, or its pool, writes; whoever shows it reads.
#[derive(Debug)]
pub struct Record {
    /// Another number for each.
    pub id: u64,
    /// How it is told to stop what it does, and where it is.
    pub cancel: CancelTarget,
    /// Our end's address, and its own.
    pub addresses: (Option<SocketAddr>, Option<SocketAddr>),
    /// Protocol and cipher.
    pub tls: Option<Box<str>>,
    /// When it was connected.
    pub connected_at: u64,
    /// The pool's generation when it was made; another one means it has to go.
    pub(super) generation: u64,
    doing: AtomicU8,
    taken_at: AtomicU64,
    /// The number of the client that holds it, or 0.
    client: AtomicU64,
    statements: AtomicUsize,
    /// Since when a transaction runs, and since when that waits for its client.
    begun_at: AtomicU64,
    rested_at: AtomicU64,
}

impl Record {
    /// Of an upstream that was just made.
    pub fn new(cancel: CancelTarget, stream: &Stream, generation: u64) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Relaxed) + 1,
            cancel,
            addresses: (stream.local(), stream.peer()),
            tls: stream.tls(),
            connected_at: moment::now(),
            generation,
            doing: AtomicU8::new(0),
            taken_at: AtomicU64::new(0),
            client: AtomicU64::new(0),
            statements: AtomicUsize::new(0),
            begun_at: AtomicU64::new(0),
            rested_at: AtomicU64::new(0),
        })
    }

    /// What it is doing.
    pub fn doing(&self) -> Doing {
        match self.doing.load(Relaxed) {
            1 => Doing::Active,
            2 => Doing::Pinned,
            3 => Doing::Tested,
            _ => Doing::Idle,
        }
    }

    /// It does this from now on.
    pub fn does(&self, what: Doing) {
        let what = match what {
            Doing::Idle => 0,
            Doing::Active => 1,
            Doing::Pinned => 2,
            Doing::Tested => 3,
        };
        self.doing.store(what, Relaxed);
    }

    /// When it was leased last.
    pub fn taken_at(&self) -> u64 {
        self.taken_at.load(Relaxed)
    }

    /// It is leased at this moment.
    pub(super) fn taken(&self, at: u64) {
        self.taken_at.store(at, Relaxed);
        self.transaction(None, None);
    }

    /// A transaction runs since `begun`, and waits for its client since `rested`.
    pub fn transaction(&self, begun: Option<Instant>, rested: Option<Instant>) {
        let number = |at: Option<Instant>| at.map_or(0, moment::number);
        self.begun_at.store(number(begun), Relaxed);
        self.rested_at.store(number(rested), Relaxed);
    }

    /// Since when the client's transaction runs, and since when that waits for the client.
    pub fn in_transaction(&self) -> (Option<u64>, Option<u64>) {
        let some = |number: &AtomicU64| Some(number.load(Relaxed)).filter(|number| *number > 0);
        (some(&self.begun_at), some(&self.rested_at))
    }

    /// The number of the client that holds it; 0 for none.
    pub fn client(&self) -> u64 {
        self.client.load(Relaxed)
    }

    /// This client holds it; 0 for none.
    pub fn serves(&self, client: u64) {
        self.client.store(client, Relaxed);
    }

    /// Prepared statements that it had when it was last given back.
    pub fn statements(&self) -> usize {
        self.statements.load(Relaxed)
    }

    pub(super) fn has_statements(&self, count: usize) {
        self.statements.store(count, Relaxed);
    }
}

/// A pool's upstreams, pinned ones too; there are never more than its limits allow.
#[derive(Debug)]
pub(super) struct Live {
    records: Mutex<HashMap<u64, Arc<Record>>>,
    count: watch::Sender<usize>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            records: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Live {
    pub(super) fn enter(&self, record: &Arc<Record>) {
        self.records().insert(record.id, Arc::clone(record));
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn leave(&self, record: &Record) {
        self.records().remove(&record.id);
        self.count.send_modify(|count| *count -= 1);
    }

    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until this is true of them.
    pub(super) async fn until(&self, enough: impl Fn(&HashMap<u64, Arc<Record>>) -> bool) {
        let mut count = self.count.subscribe();
        // The sender lives as long as this, so waiting cannot fail.
        while !enough(&self.records()) && count.changed().await.is_ok() {}
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Record>> {
        let mut all: Vec<_> = self.records().values().map(Arc::clone).collect();
        all.sort_unstable_by_key(|record| record.id);
        all
    }

    fn records(&self) -> MutexGuard<'_, HashMap<u64, Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
