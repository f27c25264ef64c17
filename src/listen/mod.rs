//! The listener: who may come in, and what becomes of each connection.

mod actions;
mod end;
mod facts;
mod lives;
pub mod orders;
mod peers;
mod people;
mod sockets;
mod stats;
mod upstreams;
mod view;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use self::end::Running;
use self::facts::Known;
use self::lives::Alive;
use self::orders::{Desk, Orders};
use self::peers::Peers;
pub use self::sockets::{Passed, PassedError};
use self::upstreams::Questions;
use crate::admin::http;
use crate::cache;
use crate::config::{Admin, AuthMode, Config, Listen, Loaded, Telemetry};
use crate::export::span::Queue;
use crate::export::thread::Exporter;
use crate::limits::{Counted, Counts, Kind};
use crate::metrics::Metrics;
use crate::metrics::logins::Failure;
use crate::pool::pools::{Plan, Pools};
use crate::session::caching::Shared;
use crate::session::cancel::Registry;
use crate::session::greet::{self, Gate, GreetError, Greeting, Users};
use crate::tls::server::Acceptor;
use crate::wire::error::PgError;

/// Cancel requests under way at once: each opens a connection to an upstream, and anybody can send
/// one. Those beyond the limit wait.
const CANCELS_MAX: usize = 64;

/// Connections that are told that there are too many, at once; more are closed without a word.
const TURNED_AWAY_MAX: usize = 64;

/// Clients of the console at once. Each may hold a table of some megabytes while it reads, so these
/// are few, whatever listen.clients_max says.
const CONSOLES_MAX: usize = 64;

/// How long a client may be silent before the system asks whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// How long a connection that is turned away may take to say what it is and to read why: a TLS
/// handshake over a far link. Longer, and those that say nothing would keep others from being told.
const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(2);

/// After a failed accept (usually no file descriptors left) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The part of the configuration that a reload can change, in the form in which it is used.
#[derive(Debug)]
struct Rules {
    listen: Listen,
    plan: Plan,
    users: Users,
    questions: Questions,
    admin: Admin,
    auth_mode: AuthMode,
}

/// Everything that connections share.
#[derive(Debug)]
pub struct Door {
    rules: ArcSwap<Rules>,
    tls: Acceptor,
    pools: Arc<Pools>,
    registry: Arc<Registry>,
    peers: Option<Peers>,
    counts: Arc<Counts>,
    cancels: Semaphore,
    consoles: Semaphore,
    facts: Arc<Known>,
    turned_away: Arc<Semaphore>,
    draining: Arc<AtomicBool>,
    /// While draining: clients that come from now on are told to go as soon as they are in.
    last_call: AtomicBool,
    /// The cache, unless it is off.
    caching: Option<Arc<Shared>>,
    /// How many connections have a task, those of the console aside.
    running: watch::Sender<usize>,
    consoles_running: watch::Sender<usize>,
}

/// Why the listener cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen.tls: {0}")]
    Tls(#[from] crate::tls::Error),
    #[error("TLS to the upstream: {0}")]
    UpstreamTls(#[source] crate::tls::Error),
    #[error("listen.peers = {0}: {1}")]
    Peers(PathBuf, io::Error),
    #[error("{0}")]
    Users(#[from] greet::NoRandom),
}

impl Rules {
    fn new(config: &Config, pools: &Arc<Pools>, before: Option<&Users>) -> Result<Self, Error> {
        let auth = &config.auth;
        Ok(Self {
            listen: config.listen.clone(),
            plan: plan(config),
            users: Users::new(auth, before)?,
            questions: Questions::new(Arc::clone(pools), auth, &config.admin),
            admin: config.admin.clone(),
            auth_mode: auth.mode,
        })
    }
}

/// What pools are made of.
pub(crate) fn plan(config: &Config) -> Plan {
    Plan {
        upstream: config.upstream.clone(),
        pool: config.pool.clone(),
        databases: config.databases.clone(),
        users: config.auth.users.clone(),
        declared: Arc::new(config.cache.declared()),
    }
}

/// The process's cache, unless nobody may use it.
fn caching(config: &Config) -> Option<Arc<Shared>> {
    let policy = config.policy();
    if policy.is_off() {
        return None;
    }
    let limits = cache::Limits {
        bytes_max: config.cache.bytes_max.0,
        result_bytes_max: usize::try_from(config.cache.result_bytes_max.0).unwrap_or(usize::MAX),
        entries_max: config.cache.entries_max.map(|entries| entries as u64),
    };
    Some(Shared::new(cache::Cache::new(limits), policy))
}

/// Takes this process's place among its peers, if it may have any, and answers them from now on.
fn meet_peers(listen: &Listen) -> Result<(Option<Peers>, Arc<Registry>), Error> {
    let Some(folder) = &listen.peers else {
        return Ok((None, Arc::default()));
    };
    let (peers, listener) =
        Peers::join(folder).map_err(|error| Error::Peers(folder.clone(), error))?;
    let registry = Arc::new(Registry::new(Some(peers.number())));
    tokio::spawn(peers::serve(listener, Arc::clone(&registry)));
    Ok((Some(peers), registry))
}

impl Door {
    /// Takes up to a tenth of a second, because passwords are hashed.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(loaded: &Loaded) -> Result<(Arc<Self>, Orders), Error> {
        let config = &loaded.config;
        let spans = config.telemetry.endpoint.as_ref();
        let spans = spans.map(|_| Queue::new(config.telemetry.sample));
        let metrics = Arc::new(Metrics::new(spans));
        let pools = Arc::new(Pools::counting(plan(config), metrics));
        let caching = caching(config);
        let (peers, registry) = meet_peers(&config.listen)?;
        let counts = Arc::<Counts>::default();
        let draining = Arc::<AtomicBool>::default();
        let running = watch::Sender::new(0);
        let (desk, orders) = Desk::new();
        let known = Known::new(
            loaded,
            (Arc::clone(&pools), caching.clone()),
            (Arc::clone(&registry), Arc::clone(&counts)),
            (Arc::clone(&draining), running.subscribe(), desk),
        );
        let known = Arc::new(known);
        stats::follow(&known);
        let door = Self {
            rules: ArcSwap::from_pointee(Rules::new(config, &pools, None)?),
            tls: Acceptor::new(&config.listen.tls)?,
            facts: known,
            pools,
            caching,
            registry,
            peers,
            counts,
            cancels: Semaphore::new(CANCELS_MAX),
            consoles: Semaphore::new(CONSOLES_MAX),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            draining,
            last_call: AtomicBool::new(false),
            running,
            consoles_running: watch::Sender::new(0),
        };
        Ok((Arc::new(door), orders))
    }

    /// New connections live by this configuration; those that run keep their pool.
    ///
    /// # Errors
    /// See [`Error`]; then everything stays as it was.
    pub fn reload(&self, loaded: &Loaded) -> Result<(), Error> {
        let config = &loaded.config;
        let rules = Rules::new(config, &self.pools, Some(&self.rules.load().users))?;
        let renewed = self.pools.renewed(&rules.plan);
        let renewed = renewed.map_err(Error::UpstreamTls)?;
        self.tls.reload(&config.listen.tls)?;
        self.pools.replan(rules.plan.clone(), renewed);
        let policy = config.policy();
        match &self.caching {
            Some(shared) => shared.policy.store(Arc::new(policy)),
            // What sessions wrote until now was not followed.
            None if !policy.is_off() => {
                tracing::warn!("the cache was off from the start: only a restart switches it on");
            }
            None => {}
        }
        if let Some(spans) = self.pools.metrics().spans() {
            spans.sample.store(Arc::new(config.telemetry.sample));
        }
        self.rules.store(Arc::new(rules));
        self.facts.reload(loaded);
        Ok(())
    }

    /// Serves HTTP on this listener for as long as the process lives.
    ///
    /// # Errors
    /// See [`http::start`].
    pub fn serve_http(&self, listener: std::net::TcpListener) -> io::Result<SocketAddr> {
        http::start(listener, Arc::<Known>::clone(&self.facts))
    }

    /// Sends spans and metrics to the collector, if there is one.
    ///
    /// # Errors
    /// See [`Exporter::start`].
    pub fn export(&self, telemetry: &Telemetry) -> io::Result<Option<Exporter>> {
        let spans = self.pools.metrics().spans().map(Arc::clone);
        let Some((endpoint, spans)) = telemetry.endpoint.as_ref().zip(spans) else {
            return Ok(None);
        };
        let source = Arc::<Known>::clone(&self.facts);
        Exporter::start((endpoint, telemetry), spans, source).map(Some)
    }

    /// Opens the pools that have a minimum, so that the first client finds them warm.
    pub fn warm_up(&self) {
        self.pools.warm_up();
    }

    /// Accepts what waits to be accepted: once the listener is closed the system would reset it.
    pub async fn accept_queued(self: &Arc<Self>, listener: &TcpListener) {
        let next = || {
            poll_fn(|cx| {
                Poll::Ready(match listener.poll_accept(cx) {
                    Poll::Ready(accepted) => accepted.ok(),
                    Poll::Pending => None,
                })
            })
        };
        for _ in 0..BACKLOG {
            let Some((tcp, peer)) = next().await else {
                return;
            };
            self.admit(tcp, peer);
        }
    }

    /// Accepts connections until the future is dropped.
    pub async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => self.admit(tcp, peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        match self.count_in(peer) {
            Ok(counted) => {
                let running = Running::new(&self.running);
                // Boxed, and gone once the client is in: a task has the room of its longest way for
                // all its life, and an idle client should have little.
                let meeting = Box::pin(Arc::clone(self).meet(tcp, peer, running));
                tokio::spawn(lives::live(meeting, counted));
            }
            Err(error) => self.turn_away(tcp, peer, error),
        }
    }

    /// Counts a connection, among all and among those from its address.
    fn count_in(&self, peer: SocketAddr) -> Result<[Counted; 2], PgError> {
        let rules = self.rules.load();
        let listen = &rules.listen;
        let most = listen.clients_max;
        let all = self.counts.enter(Kind::All, most, "listen.clients_max")?;
        let address = Kind::Address(peer.ip().to_canonical());
        let most = listen.clients_per_address_max;
        let setting = "listen.clients_per_address_max";
        Ok([all, self.counts.enter(address, most, setting)?])
    }

    /// Tells a connection why it cannot be served, if not too many are being told already.
    fn turn_away(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr, error: PgError) {
        tracing::warn!(%peer, reason = %error, "connection turned away");
        self.pools.metrics().logins.count(Failure::Limit);
        let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() else {
            return;
        };
        let door = Arc::clone(self);
        tokio::spawn(async move {
            let told = greet::turn_away(tcp, &door.tls, error);
            let cancel = tokio::time::timeout(TURNED_AWAY_TIMEOUT, told).await;
            if let Ok(Some(Greeting::Cancel { pid, key, stream })) = cancel {
                // It keeps its place until its turn comes: nothing else limits those who wait for that.
                if let Ok(_turn) = door.cancels.acquire().await {
                    drop(permit);
                    door.cancel(pid, &key).await;
                }
                drop(stream);
            }
        });
    }

    /// Everything until the client is in, and the whole life of what is no session.
    async fn meet(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        running: Running,
    ) -> Option<Alive> {
        let rules = self.rules.load_full();
        let gate = Gate {
            tls: &self.tls,
            users: &rules.users,
            databases: &rules.plan.databases,
            upstreams: &rules.questions,
            login_timeout: rules.listen.login_timeout,
        };
        match greet::greet(tcp, peer, &gate).await {
            Ok(Greeting::Client(login)) => return self.serve(login, rules, running).await,
            Ok(Greeting::Cancel { pid, key, stream }) => {
                if let Ok(_permit) = self.cancels.acquire().await {
                    // Boxed, for it is a connection of its own, and clients are not to carry it.
                    Box::pin(self.cancel(pid, &key)).await;
                }
                drop(stream);
            }
            Err(GreetError::HungUp) => tracing::debug!(%peer, "hung up before logging in"),
            Err(error) => {
                let failure = error.failure();
                failure.inspect(|why| self.pools.metrics().logins.count(*why));
                tracing::warn!(%peer, %error, "not logged in");
            }
        }
        None
    }

    /// Acts on a CancelRequest, whosever client sent it.
    async fn cancel(&self, pid: u32, key: &[u8]) {
        let peers = self.peers.as_ref();
        match peers.and_then(|peers| Some((peers, peers.other(pid)?))) {
            Some((peers, other)) => peers.hand_on(other, pid, key).await,
            None => self.registry.cancel(pid, key).await,
        }
    }

    fn count(&self, user: &str, database: &str, rules: &Rules) -> Result<[Counted; 2], PgError> {
        self.pools.admit(database)?;
        let listen = &rules.listen;
        let own = rules.plan.users.get(user).and_then(|u| u.clients_max);
        let users = self.counts.enter(
            Kind::User(user.into()),
            own.unwrap_or(listen.clients_per_user_max),
            "listen.clients_per_user_max, or clients_max of the user",
        )?;
        let own = rules
            .plan
            .databases
            .get(database)
            .and_then(|d| d.clients_max);
        let databases = self.counts.enter(
            Kind::Database(database.into()),
            own.unwrap_or(listen.clients_per_database_max),
            "listen.clients_per_database_max, or clients_max of the database",
        )?;
        Ok([users, databases])
    }
}

/// Connections that wait to be accepted: as many as the system allows.
const BACKLOG: u32 = 4096;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::config::{Environment, Flags, load};
    use crate::wire::startup::encode_cancel;

    /// Anybody can send cancel requests, and those who are too many are not counted.
    #[tokio::test]
    async fn cancels_of_those_who_are_turned_away_have_a_limit_too() {
        let url = "postgres://u:p@127.0.0.1:1/main".to_owned();
        let env: Environment = [("PGWEIR_UPSTREAM".to_owned(), url)].into();
        let loaded = load(&Flags::default(), &env).unwrap();
        let (door, _orders) = Door::new(&loaded).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let come = async || {
            let address = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&encode_cancel(1, &[7; 4])).await.unwrap();
            let (tcp, peer) = listener.accept().await.unwrap();
            door.turn_away(tcp, peer, PgError::fatal("53300", "too many"));
            client
        };
        // Nobody's turn comes.
        let turns = u32::try_from(CANCELS_MAX).unwrap();
        let turns = door.cancels.acquire_many(turns).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..TURNED_AWAY_MAX {
            waiting.push(come().await);
        }
        let free = Arc::clone(&door.turned_away).acquire_owned();
        let free = tokio::time::timeout(Duration::from_millis(300), free).await;
        assert!(free.is_err(), "one that waits has left its place");
        // A reset is an end as well.
        let told = come().await.read(&mut [0]).await;
        assert_eq!(told.unwrap_or(0), 0);
        drop(turns);
        for mut client in waiting {
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
    }
}
