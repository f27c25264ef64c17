//! Upstream connections: a pool for each database and user.
//!
//! bb8 keeps their life (connect, minimum, idle time); in front of it stands a fair [`mod@line`] with one
//! place for each upstream, because bb8 alone serves its waiters in no order, and keeps the reason
//! why connecting failed to itself.

pub mod cancel;
pub mod control;
pub mod dial;
pub mod error;
mod handshake;
mod home;
pub mod lease;
pub mod line;
pub mod manager;
mod pace;
mod pause;
mod plan;
pub mod pools;
pub mod record;
mod replan;
pub mod startups;
pub mod state;
pub mod statements;
pub mod status;
mod steer;
pub mod upstream;
pub mod valve;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use bb8::PooledConnection;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use self::error::ConnectError;
use self::lease::Lease;
use self::line::{Given, Line, Permit};
use self::manager::{Failures, Greeting, Manager, OneOf, Source, Warm};
use self::pools::{Found, Kept};
use self::record::Live;
use self::startups::Startups;
use self::state::Reported;
use self::statements::Interner;
use self::upstream::{Credential, Login};
use self::valve::Valve;
use crate::metrics::Handle;
use crate::wire::error::{PgError, Severity};
use crate::wire::trouble;

/// How often bb8 looks for upstreams that have been idle too long or are fewer than the minimum.
const REAP_EVERY: Duration = Duration::from_secs(5);

/// bb8 wakes one waiter per returned connection with a single stored permit, so two that return
/// between a waiter's look and its sleep can leave it asleep beside an idle connection; it looks
/// again after this. So does who waits for idle ones to be closed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The limits of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub size_max: usize,
    pub idle_min: usize,
    pub timeout: Duration,
    pub wait_notice: Duration,
    pub idle_timeout: Duration,
    pub lifetime_max: Duration,
    pub queue_max: usize,
    pub statements_max: usize,
    pub pins_max: usize,
}

/// The upstreams of one database and user.
#[derive(Debug)]
pub struct Pool {
    database: Box<str>,
    user: Box<str>,
    limits: Limits,
    inner: bb8::Pool<Manager>,
    source: Arc<Source>,
    line: Line,
    pins: Arc<Semaphore>,
    live: Arc<Live>,
    /// Shared with all pools of its database.
    valve: Arc<Valve>,
    /// What has taken its place, if it is of an earlier configuration.
    successor: OnceLock<Found>,
    failures: watch::Sender<Option<Arc<ConnectError>>>,
    greeting: watch::Sender<Option<Greeting>>,
    pub statements: Interner,
    /// What is known of the database's functions.
    pub catalog: Arc<Kept>,
    /// What is counted of its sessions.
    pub metrics: Arc<Handle>,
}

/// bb8's hold on an upstream.
type Slot = PooledConnection<'static, Manager>;

/// Why there is no lease.
#[derive(Clone, Debug)]
pub enum LeaseError {
    /// The upstream's own reason.
    Connect(Arc<ConnectError>),
    /// Nothing became free in time, or too many wait already.
    Exhausted(PgError),
}

impl Pool {
    /// A pool with no upstream yet; it starts to open its minimum at once.
    pub fn new(
        metrics: Arc<Handle>,
        (database, user): (&str, &str),
        limits: Limits,
        login: Login,
        (catalog, valve): (Arc<Kept>, Arc<Valve>),
    ) -> Arc<Self> {
        let live = Arc::<Live>::default();
        let failures = watch::Sender::new(None);
        let greeting = watch::Sender::new(None);
        let source = Arc::new(Source {
            login: ArcSwap::from_pointee(login),
            pace: pace::Pace::default(),
            reconnects: AtomicU64::new(0),
            server: Arc::clone(catalog.server()),
            live: Arc::clone(&live),
            valve: Arc::clone(&valve),
            connecting: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            lifetime_max: limits.lifetime_max,
            statements_max: limits.statements_max,
            startups: Startups::default(),
            greeting: greeting.clone(),
            metrics: Arc::clone(&metrics),
        });
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let size_max = count(limits.size_max.max(1));
        let inner = bb8::Pool::builder()
            .max_size(size_max)
            .min_idle(count(limits.idle_min).min(size_max))
            .idle_timeout(limits.idle_timeout.max(Duration::from_millis(1)))
            // Each upstream has its own, jittered, end of life.
            .max_lifetime(None)
            .connection_timeout(limits.timeout.max(Duration::from_millis(1)))
            .retry_connection(false)
            .test_on_check_out(false)
            .reaper_rate(REAP_EVERY)
            .queue_strategy(bb8::QueueStrategy::Lifo)
            .error_sink(Box::new(Failures(failures.clone())))
            .build_unchecked(Manager(Arc::clone(&source)));
        Arc::new(Self {
            database: database.into(),
            user: user.into(),
            line: Line::new(limits.size_max.max(1)),
            pins: Arc::new(Semaphore::new(limits.pins_max)),
            limits,
            inner,
            source,
            live,
            valve,
            successor: OnceLock::new(),
            failures,
            greeting,
            statements: Interner::default(),
            catalog,
            metrics,
        })
    }

    /// The clients' name of its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The user that its upstreams log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What the latest upstream reported when it started; `None` before there was one, and when the
    /// next may report something else.
    pub fn greeting(&self) -> Option<Arc<Reported>> {
        let greeting = self.greeting.borrow();
        let (generation, reported) = greeting.as_ref()?;
        (*generation == self.source.generation()).then(|| Arc::clone(reported))
    }

    /// What start-up parameters came to on this pool's upstreams.
    pub fn startups(&self) -> &Startups {
        &self.source.startups
    }

    /// What it logs in with.
    pub(super) fn credential(&self) -> Credential {
        self.source.login.load().credential.clone()
    }

    /// Whether it logs in otherwise than with this.
    pub fn knows_other(&self, credential: &Credential) -> bool {
        match (&self.source.login.load().credential, credential) {
            (Credential::Password(ours), Credential::Password(theirs)) => ours != theirs,
            (Credential::None, Credential::None) => false,
            _ => true,
        }
    }

    /// Logs new upstreams in with this from now on.
    pub fn replace_login(&self, login: Login) {
        self.source.login.store(Arc::new(login));
    }

    /// Whether anybody waits for an upstream.
    pub fn is_awaited(&self) -> bool {
        self.line.length() > 0
    }

    /// An upstream that is idle now, if nobody waits for one: without what waiting costs.
    pub fn lease_at_once(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let permit = self.permit_at_once()?;
        Lease::new(self.idle(now)?, permit)
    }

    /// An upstream, first come first served. While the database is paused everybody waits, and that
    /// time does not count.
    ///
    /// # Errors
    /// See [`LeaseError`]. Cancel safe: a caller that gives up leaves the line.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, LeaseError> {
        let waiting = self.wait(Instant::now())?;
        let given = poll_fn(|cx| waiting.poll(cx)).await;
        match self.accept(given, Instant::now())? {
            Ok(lease) => Ok(lease),
            Err(permit) => self.connect(permit).await,
        }
    }

    /// What one who waited was given: an upstream that can be used, or the right to another one.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub fn accept(&self, given: Given, now: Instant) -> Result<Result<Lease, Permit>, LeaseError> {
        match given {
            Given::Lease(lease) => Ok(lease.renewed(now)),
            Given::Permit(permit) => Ok(Err(permit)),
            Given::Failed(error) => Err(error),
        }
    }

    /// For one who has the right to it: bb8 has an idle upstream, or room for a new one.
    ///
    /// # Errors
    /// See [`LeaseError`]. Cancel safe: the right goes to the next in line.
    pub async fn connect(self: &Arc<Self>, permit: Permit) -> Result<Lease, LeaseError> {
        // Nothing is held while a pause waits for all upstreams to be closed.
        let idle = self.idle(Instant::now());
        let slot = match idle.filter(|_slot| !self.valve.is_paused()) {
            Some(slot) => slot,
            None => self.new_slot().await?,
        };
        Lease::new(slot, permit).ok_or_else(|| self.timed_out())
    }

    /// An idle upstream that can be taken, if there is one.
    fn idle(&self, now: Instant) -> Option<Slot> {
        loop {
            let mut slot = self.look()?;
            if self.can_take(&mut slot, now) {
                return Some(slot);
            }
        }
    }

    /// An idle upstream, good or not: one look, without what waiting costs.
    fn look(&self) -> Option<Slot> {
        self.line.at_hand().or_else(|| self.look_behind())
    }

    /// One of those that have rested.
    fn look_behind(&self) -> Option<Slot> {
        let get = std::pin::pin!(self.inner.get_owned());
        match get.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => slot.ok(),
            Poll::Pending => None,
        }
    }

    /// Whether it is good; what is not is closed. Age is looked at here only: a clock costs more than
    /// all else on the way back.
    fn can_take(&self, slot: &mut Slot, now: Instant) -> bool {
        let good = |warm: &mut Box<Warm>| self.source.is_current(&warm.record) && warm.is_good(now);
        let can = slot.as_mut().is_some_and(good);
        if !can {
            **slot = None;
            tracing::debug!("idle upstream closed or expired");
        }
        can
    }

    async fn new_slot(self: &Arc<Self>) -> Result<Slot, LeaseError> {
        let mut failures = self.failures.subscribe();
        let mut place = None;
        let _wanted = OneOf::new(&self.source.wanted);
        let mut started = Instant::now();
        loop {
            if self.valve.is_paused() {
                // With what it may have been given: a pause waits for that to be closed.
                place = None;
                self.valve.opened().await;
                started = Instant::now();
            }
            if started.elapsed() >= self.limits.timeout {
                return Err(self.timed_out());
            }
            let beside = place.get_or_insert_with(|| self.wait_beside());
            // One that was put at hand while we came here.
            if let Some(mut slot) = self.line.at_hand()
                && self.can_take(&mut slot, Instant::now())
            {
                return Ok(slot);
            }
            tokio::select! {
                biased;
                given = poll_fn(|cx| beside.poll(cx)) => {
                    place = None;
                    // Its own permit goes to the next in line.
                    if let Given::Lease(lease) = given
                        && let (Some(mut slot), _permit) = lease.rest()
                        && self.can_take(&mut slot, Instant::now())
                    {
                        return Ok(slot);
                    }
                }
                slot = self.inner.get_owned() => if let Ok(mut slot) = slot
                    && self.can_take(&mut slot, Instant::now())
                {
                    return Ok(slot);
                },
                Ok(()) = failures.changed() => {
                    let failure = failures.borrow_and_update().clone();
                    if let Some(error) = failure.filter(|error| !self.can_wait(error)) {
                        return Err(LeaseError::Connect(error));
                    }
                }
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Whether waiting helps although no new upstream can be had: the server has no connection left
    /// for us, but some that we have will be free.
    fn can_wait(&self, error: &ConnectError) -> bool {
        error.sqlstate() == "53300" && self.live.count() > 0
    }

    /// An upstream that was pinned comes back, if there is room for it.
    fn adopt(&self, warm: Option<Box<Warm>>) {
        if self.inner.add(warm).is_err() {
            tracing::debug!("no room for an upstream that was pinned");
        }
    }

    /// After how long a client that waits is told so.
    pub fn wait_notice(&self) -> Option<Duration> {
        Some(self.limits.wait_notice).filter(|after| !after.is_zero())
    }

    /// What it is told.
    pub fn still_waiting(&self) -> PgError {
        let (size, waiting) = (self.limits.size_max, self.line.length());
        let waiting = match waiting {
            0 | 1 => "1 client waits".to_owned(),
            more => format!("{more} clients wait"),
        };
        PgError::new(
            Severity::Notice,
            &trouble::STILL_WAITING,
            format!(
                "still waiting for an upstream connection: pool \"{}\" of user \"{}\" has {size}, and {waiting}",
                self.database, self.user
            ),
        )
    }

    fn timed_out(&self) -> LeaseError {
        let size = self.limits.size_max;
        LeaseError::Exhausted(PgError::fatal(
            &trouble::WAITED_IN_VAIN,
            format!(
                "no upstream connection became free within {:?}: pool \"{}\" of user \"{}\" has {size}, all in use",
                self.limits.timeout, self.database, self.user
            ),
        ))
    }

    fn queue_full(&self) -> LeaseError {
        LeaseError::Exhausted(PgError::fatal(
            &trouble::QUEUE_FULL,
            format!(
                "{} clients already wait for the {} upstream connections of pool \"{}\" of user \"{}\"",
                self.limits.queue_max, self.limits.size_max, self.database, self.user
            ),
        ))
    }
}
