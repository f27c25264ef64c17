//! Who the clients are, and what they are doing: what the console shows of them.
//!
//! A session writes into a few atomics of its own, and nobody locks anything for a query.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::cancel::{Handle, KILL, Registry};
use super::pin;
use crate::moment;
use crate::pool::Pool;
use crate::pool::record::Record;
use crate::stream::Stream;
use crate::wire::startup::Replication;

/// Postgres cuts names there as well.
const NAME_BYTES_MAX: usize = 63;

/// What a client came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Queries,
    Replication(Replication),
    Console,
}

/// What is known of a client once it has logged in.
#[derive(Debug)]
pub struct Who {
    pub purpose: Purpose,
    /// As the client calls itself and its database.
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// Our end's address, and its own.
    pub addresses: (Option<SocketAddr>, Option<SocketAddr>),
    /// Protocol and cipher.
    pub tls: Option<Box<str>>,
    /// As it calls itself.
    application_name: Mutex<Box<str>>,
    pub connected_at: u64,
}

impl Who {
    /// Whoever is at the other end of this.
    pub fn new(stream: &Stream, user: Arc<str>, database: Arc<str>, purpose: Purpose) -> Self {
        Self {
            purpose,
            user,
            database,
            addresses: stream.addresses(),
            tls: stream.tls(),
            application_name: Mutex::default(),
            connected_at: moment::now(),
        }
    }

    /// The same, under this name.
    #[must_use]
    pub fn named(self, application: &[u8]) -> Self {
        self.rename(application);
        self
    }

    /// It is called this now.
    pub(super) fn rename(&self, application: &[u8]) {
        let name = application.get(..NAME_BYTES_MAX).unwrap_or(application);
        let name = String::from_utf8_lossy(name).into();
        *self.name() = name;
    }

    /// As it calls itself.
    pub fn application_name(&self) -> String {
        self.name().to_string()
    }

    fn name(&self) -> MutexGuard<'_, Box<str>> {
        let name = self.application_name.lock();
        name.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session notes while it works.
#[derive(Debug, Default)]
pub(super) struct Activity {
    asked_at: AtomicU64,
    statements: AtomicUsize,
    /// As in [`pin::reasons`].
    pins: AtomicU16,
    pinned_at: AtomicU64,
}

impl Activity {
    /// It has a request.
    pub(super) fn asked(&self, at: Instant) {
        self.asked_at.store(moment::number(at), Relaxed);
    }

    pub(super) fn holds(&self, taken_at: u64, statements: usize) {
        self.asked_at.store(taken_at, Relaxed);
        self.statements.store(statements, Relaxed);
    }

    pub(super) fn lets_go(&self) {
        self.pins.store(0, Relaxed);
    }
}

/// One client at one moment.
#[derive(Debug)]
pub struct Seen {
    pub(super) handle: Arc<Handle>,
    /// What it holds.
    pub upstream: Option<Arc<Record>>,
    /// Where that comes from.
    pub pool: Option<Arc<Pool>>,
    /// Since when it waits for an upstream.
    pub queued_at: Option<u64>,
    /// Cancel requests under way for it.
    pub cancels: usize,
}

impl Handle {
    pub(crate) fn purpose(&self) -> Purpose {
        self.who.purpose
    }

    /// Whether its client has come only this long ago, and has not asked for anything yet.
    pub(crate) fn is_new(&self, within: Duration) -> bool {
        self.activity.asked_at.load(Relaxed) == 0 && moment::age(self.who.connected_at) < within
    }

    /// The session keeps its upstream, for these reasons.
    pub(super) fn pinned(&self, mask: u16) {
        if self.activity.pins.swap(mask, Relaxed) == 0 {
            self.activity.pinned_at.store(moment::now(), Relaxed);
        }
    }
}

impl Seen {
    pub fn id(&self) -> u64 {
        self.handle.id
    }

    pub fn who(&self) -> &Who {
        &self.handle.who
    }

    /// When it last asked for something, as far as that is noted: at the beginning of a transaction,
    /// and with each request that might have been answered from memory.
    pub fn asked_at(&self) -> u64 {
        self.handle.activity.asked_at.load(Relaxed)
    }

    /// Prepared statements that it had when it last got an upstream.
    pub fn statements(&self) -> usize {
        self.handle.activity.statements.load(Relaxed)
    }

    /// Why it keeps its upstream beyond the transaction, and since when.
    pub fn pins(&self) -> (Vec<&'static str>, u64) {
        let activity = &self.handle.activity;
        let reasons = pin::reasons(activity.pins.load(Relaxed));
        (reasons, activity.pinned_at.load(Relaxed))
    }

    /// Whether it keeps its upstream beyond the transaction.
    pub fn is_pinned(&self) -> bool {
        self.upstream.is_some() && self.handle.activity.pins.load(Relaxed) != 0
    }

    /// As PgBouncer calls it.
    pub fn state(&self) -> &'static str {
        match (&self.upstream, self.queued_at) {
            (_, Some(_)) => "waiting",
            (Some(_), None) => "active",
            (None, None) => "idle",
        }
    }

    /// Ends its session now.
    pub fn kill(&self) {
        self.handle.raise(KILL);
    }
}

impl Registry {
    /// All clients, the oldest first.
    pub fn census(&self) -> Vec<Seen> {
        let mut all: Vec<Seen> = self.all().iter().map(Handle::seen).collect();
        all.sort_unstable_by_key(Seen::id);
        all
    }
}
