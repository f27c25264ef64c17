//! What bb8 needs to know of upstreams: how one is made, and when it is no longer good.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::ConnectError;
use super::pace::Pace;
use super::record::{Live, Record};
use super::startups::Startups;
use super::state::{Reported, Settings};
use super::statements::Prepared;
use super::upstream::{self, Login};
use super::valve::Valve;
use crate::catalog::Server;
use crate::metrics::Handle;
use crate::stream::Stream;

/// An upstream that was taken longer ago than this is asked of the system, not only of the runtime,
/// whether it is still there: its end may be too fresh for the runtime to know. A busy one never is
/// that old, and is spared the system call.
const RESTED: Duration = Duration::from_millis(10);

/// A logged-in upstream with what is known of its session.
#[derive(Debug)]
pub struct Warm {
    pub stream: Stream,
    /// What others may know of it, and how they cancel what it does.
    pub record: Arc<Record>,
    /// What its session runs under.
    pub settings: Arc<Settings>,
    pub reported: Arc<Reported>,
    pub prepared: Prepared,
    /// Whose unnamed statement it has: 0 nobody's, else a number of the session's.
    pub unnamed: u64,
    expires_at: Instant,
    /// When it was taken last.
    pub(super) taken_at: Instant,
    live: Arc<Live>,
}

impl Warm {
    /// Whether it can be taken: not past its lifetime, and silent (H105).
    pub(super) fn is_good(&mut self, now: Instant) -> bool {
        let rested = now.duration_since(self.taken_at) >= RESTED;
        self.taken_at = now;
        now < self.expires_at && !self.spoke() && !(rested && self.stream.has_input())
    }

    /// Whether something arrived that nobody asked for. An idle upstream says nothing but good-bye
    /// (H105), so any byte, and the end of the stream, means that it is of no use.
    fn spoke(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut room = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream)
            .poll_read(&mut cx, &mut room)
            .is_ready()
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        self.live.leave(&self.record);
        // Terminate, so that the server does not log a lost connection; it may not be taken.
        let mut cx = Context::from_waker(Waker::noop());
        let write =
            tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.stream), &mut cx, b"X\0\0\0\x04");
        if let Poll::Ready(Ok(_)) = write {
            tracing::trace!("upstream closed");
        }
    }
}

/// Why the manager did not make an upstream.
#[derive(Clone, Debug)]
pub enum Refusal {
    Connect(Arc<ConnectError>),
    /// Another pool has taken the place of this one, and nobody waits here any more.
    Retired,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Retired => f.write_str("the pool is of an earlier configuration"),
        }
    }
}

/// Where a pool's upstreams come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) login: ArcSwap<Login>,
    pub(super) pace: Pace<ConnectError>,
    /// How often all were to be made anew.
    pub(super) reconnects: AtomicU64,
    /// Whose changes of roles and their settings have the same effect.
    pub(super) server: Arc<Server>,
    pub(super) live: Arc<Live>,
    /// Nothing is connected while it is closed.
    pub(super) valve: Arc<Valve>,
    /// Logins under way.
    pub(super) connecting: AtomicUsize,
    /// Leases that wait for a new one.
    pub(super) wanted: AtomicUsize,
    /// Another pool has taken the place of this one.
    pub(super) retired: AtomicBool,
    pub(super) lifetime_max: Duration,
    pub(super) statements_max: usize,
    /// What start-up parameters came to on these upstreams.
    pub(super) startups: Startups,
    pub(super) greeting: watch::Sender<Option<Greeting>>,
    pub(super) metrics: Arc<Handle>,
}

/// What the latest upstream reported at its start-up, which is the greeting of the next client, and
/// its generation.
pub(super) type Greeting = (u64, Arc<Reported>);

impl Source {
    /// A new upstream; waits as long as the database is paused.
    async fn make(&self) -> Result<Warm, Arc<ConnectError>> {
        loop {
            self.valve.opened().await;
            let warm = self.connect().await?;
            // One that was connected while the pause began: whoever pauses may have looked already.
            if !self.valve.is_paused() {
                return Ok(warm);
            }
        }
    }

    async fn connect(&self) -> Result<Warm, Arc<ConnectError>> {
        let generation = self.generation();
        let _turn = self.pace.turn().await?;
        let login = self.login.load_full();
        let connecting = OneOf::new(&self.connecting);
        let started = Instant::now();
        let upstream = match upstream::connect(&login).await {
            Ok(upstream) => upstream,
            Err(error) => {
                self.metrics.connects_failed.fetch_add(1, Ordering::Relaxed);
                let error = Arc::new(error);
                self.pace.failed(Arc::clone(&error));
                return Err(error);
            }
        };
        drop(connecting);
        self.pace.succeeded();
        self.metrics.connect.record(started.elapsed());
        let record = Record::new(upstream.cancel, &upstream.stream, generation);
        self.live.enter(&record);
        let reported = self.shared(Reported::new(upstream.parameters), generation);
        let greeting = (generation, Arc::clone(&reported));
        self.greeting.send_replace(Some(greeting));
        let lifetime = lifetime(self.lifetime_max);
        Ok(Warm {
            stream: upstream.stream,
            record,
            settings: Settings::defaults(),
            reported,
            prepared: Prepared::new(self.statements_max),
            unnamed: 0,
            expires_at: Instant::now() + lifetime,
            taken_at: Instant::now(),
            live: Arc::clone(&self.live),
        })
    }

    /// Upstreams that report the same share one list, so that comparing them is comparing pointers.
    fn shared(&self, reported: Reported, generation: u64) -> Arc<Reported> {
        let greeting = self.greeting.borrow();
        let known = greeting.as_ref();
        let known_reported = known.filter(|(_, known)| **known == reported);
        if known_reported.is_none() || known.is_some_and(|(of, _)| *of != generation) {
            // The server's defaults may have changed, and with them what start-up parameters come to.
            self.startups.forget();
        }
        known_reported.map_or_else(|| Arc::new(reported), |(_, known)| Arc::clone(known))
    }

    /// Both numbers only grow: their sum is the same as long as both are.
    pub(super) fn generation(&self) -> u64 {
        self.reconnects.load(Ordering::Acquire) + self.server.changes()
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub(super) fn is_current(&self, record: &Record) -> bool {
        record.generation == self.generation()
    }
}

/// How long an upstream lives: a little less than `most`, and each another time, so that those that were
/// made together do not end together.
fn lifetime(most: Duration) -> Duration {
    most.mul_f64(0.9 + fastrand::f64() / 10.0)
}

/// One of those that this number counts, as long as it lives.
pub(super) struct OneOf<'a>(&'a AtomicUsize);

impl<'a> OneOf<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for OneOf<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// bb8's view of where upstreams come from. A slot without an upstream counts as broken: that is how a lease
/// takes its upstream out of the pool.
#[derive(Debug)]
pub struct Manager(pub(super) Arc<Source>);

impl bb8::ManageConnection for Manager {
    type Connection = Option<Box<Warm>>;
    type Error = Refusal;

    async fn connect(&self) -> Result<Self::Connection, Self::Error> {
        if self.0.is_retired() && self.0.wanted.load(Ordering::Relaxed) == 0 {
            return Err(Refusal::Retired);
        }
        match self.0.make().await {
            Ok(warm) => Ok(Some(Box::new(warm))),
            Err(error) => Err(Refusal::Connect(error)),
        }
    }

    /// Never asked: the pool itself looks at what it is given, because it also has to be able to take
    /// what is no longer good.
    async fn is_valid(&self, _: &mut Self::Connection) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, conn: &mut Self::Connection) -> bool {
        let current = |warm: &Warm| self.0.is_current(&warm.record);
        !conn.as_deref().is_some_and(current) || self.0.valve.is_paused() || self.0.is_retired()
    }
}

/// Tells all who wait why connecting failed; bb8 itself would let them wait for its time-out.
#[derive(Debug)]
pub(super) struct Failures(pub(super) watch::Sender<Option<Arc<ConnectError>>>);

impl bb8::ErrorSink<Refusal> for Failures {
    fn sink(&self, refusal: Refusal) {
        if let Refusal::Connect(error) = refusal {
            tracing::warn!(%error, "connecting to the upstream failed");
            self.0.send_replace(Some(error));
        }
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<Refusal>> {
        Box::new(Self(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_end_a_little_before_the_limit_each_at_its_own_time() {
        let most = Duration::from_secs(1000);
        let mut lives: Vec<Duration> = (0..100).map(|_| lifetime(most)).collect();
        lives.sort_unstable();
        assert!(lives[0] >= most * 9 / 10 && lives[99] <= most, "{lives:?}");
        assert!(lives[99] - lives[0] > most / 100, "{lives:?}");
    }
}
