//! Who the clients are, and what they are doing: what the console shows of them.
//!
//! A session writes into a few atomics of its own, and nobody locks anything for a query.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Queries,
    Replication(Replication),
    Console,
}

/// What is known of a client once it has logged in, and is the same for many: see [`Registry`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Who {
    pub purpose: Purpose,
    /// As the client calls itself and its database.
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// Our end's address.
    pub local: Option<SocketAddr>,
    /// Protocol and cipher.
    pub tls: Option<Box<str>>,
    /// As it called itself at the start.
    pub application_name: Box<str>,
}

impl Who {
    /// Whoever is at the other end of this, by its user's and its database's name.
    pub fn new(
        stream: &Stream,
        (user, database): (Arc<str>, Arc<str>),
        purpose: Purpose,
        application: &[u8],
    ) -> Self {
        Self {
            purpose,
            user,
            database,
            local: stream.local(),
            tls: stream.tls(),
            application_name: shortened(application),
        }
    }
}

/// An application's name as Postgres keeps it.
fn shortened(application: &[u8]) -> Box<str> {
    let name = application.get(..NAME_BYTES_MAX).unwrap_or(application);
    String::from_utf8_lossy(name).into()
}

/// A client's own address, in little room: those of IPv6 are large.
#[derive(Debug)]
pub(super) enum Peer {
    Unix,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Peer {
    pub(super) fn new(address: Option<SocketAddr>) -> Self {
        match address {
            None => Self::Unix,
            Some(SocketAddr::V4(address)) => Self::V4(address),
            Some(SocketAddr::V6(address)) => Self::V6(Box::new(address)),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix => None,
            Self::V4(address) => Some(SocketAddr::V4(*address)),
            Self::V6(address) => Some(SocketAddr::V6(**address)),
        }
    }
}

/// What a session notes while it works.
#[derive(Debug, Default)]
pub(super) struct Activity {
    asked_at: AtomicU64,
    statements: AtomicU32,
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
        let statements = u32::try_from(statements).unwrap_or(u32::MAX);
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
    /// As it calls itself, if that is not what it said when it came.
    pub(super) application_name: Option<Box<str>>,
    /// Since when it waits for an upstream.
    pub queued_at: Option<u64>,
    /// Cancel requests under way for it.
    pub cancels: u32,
}

impl Handle {
    /// Whose session it is.
    pub(crate) fn who(&self) -> &Who {
        &self.who
    }

    /// Where its client is.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer.address()
    }

    pub(crate) fn purpose(&self) -> Purpose {
        self.who.purpose
    }

    /// Its client calls itself this now.
    pub(super) fn rename(&self, application: &[u8]) {
        self.target().application_name = Some(shortened(application));
    }

    /// Whether its client has come only this long ago, and has not asked for anything yet.
    pub(crate) fn is_new(&self, within: Duration) -> bool {
        self.activity.asked_at.load(Relaxed) == 0 && moment::age(self.connected_at) < within
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

    /// As it calls itself.
    pub fn application_name(&self) -> &str {
        let now = self.application_name.as_ref();
        now.unwrap_or(&self.handle.who.application_name)
    }

    /// Our end's address, and the client's own.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.handle.who.local, self.handle.peer())
    }

    /// When it logged in.
    pub fn connected_at(&self) -> u64 {
        self.handle.connected_at
    }

    /// When it last asked for something, as far as that is noted: at the beginning of a transaction,
    /// and with each request that might have been answered from memory.
    pub fn asked_at(&self) -> u64 {
        self.handle.activity.asked_at.load(Relaxed)
    }

    /// Prepared statements that it had when it last got an upstream.
    pub fn statements(&self) -> u32 {
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
