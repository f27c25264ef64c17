//! The listener: who may come in, and what becomes of each connection.

mod facts;
mod upstreams;
mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use self::facts::Known;
use self::upstreams::Questions;
use crate::admin::console::Console;
use crate::admin::http;
use crate::cache;
use crate::cache::generation::WriteSet;
use crate::config::{Admin, AuthMode, Config, Listen, Loaded};
use crate::limits::{Counted, Counts, Kind};
use crate::pool::pools::{Plan, Pools};
use crate::pool::{LeaseError, upstream};
use crate::session::Session;
use crate::session::caching::Shared;
use crate::session::cancel::{DRAIN, KILL, Registered, Registry};
use crate::session::end::End;
use crate::session::greet::{self, Gate, GreetError, Greeting, Login, Users};
use crate::session::open::Refused;
use crate::session::replication;
use crate::stream::Stream;
use crate::tls::server::Acceptor;
use crate::wire::error::PgError;
use crate::wire::startup::Replication;
use crate::wire::trouble;

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

/// How long a connection that is turned away may take to read why.
const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

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
    counts: Arc<Counts>,
    cancels: Semaphore,
    consoles: Semaphore,
    facts: Arc<Known>,
    turned_away: Arc<Semaphore>,
    draining: Arc<AtomicBool>,
    /// The cache, unless it is off.
    caching: Option<Arc<Shared>>,
    /// How many connections have a task.
    running: watch::Sender<usize>,
}

/// Why the listener cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen.tls: {0}")]
    Tls(#[from] crate::tls::Error),
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

impl Door {
    /// Takes up to a tenth of a second, because passwords are hashed.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(loaded: &Loaded) -> Result<Arc<Self>, Error> {
        let config = &loaded.config;
        let pools = Arc::new(Pools::new(plan(config)));
        let caching = caching(config);
        let draining = Arc::<AtomicBool>::default();
        let running = watch::Sender::new(0);
        let shared = (Arc::clone(&pools), caching.clone());
        let process = (Arc::clone(&draining), running.subscribe());
        Ok(Arc::new(Self {
            rules: ArcSwap::from_pointee(Rules::new(config, &pools, None)?),
            tls: Acceptor::new(&config.listen.tls)?,
            facts: Arc::new(Known::new(shared, process, loaded)),
            pools,
            caching,
            registry: Arc::default(),
            counts: Arc::default(),
            cancels: Semaphore::new(CANCELS_MAX),
            consoles: Semaphore::new(CONSOLES_MAX),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            draining,
            running,
        }))
    }

    /// New connections live by this configuration; those that run keep their pool.
    ///
    /// # Errors
    /// See [`Error`]; then everything stays as it was.
    pub fn reload(&self, loaded: &Loaded) -> Result<(), Error> {
        let config = &loaded.config;
        let rules = Rules::new(config, &self.pools, Some(&self.rules.load().users))?;
        self.tls.reload(&config.listen.tls)?;
        self.pools.replan(rules.plan.clone());
        let policy = config.policy();
        match &self.caching {
            Some(shared) => shared.policy.store(Arc::new(policy)),
            // What sessions wrote until now was not followed.
            None if !policy.is_off() => {
                tracing::warn!("the cache was off from the start: only a restart switches it on");
            }
            None => {}
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

    /// Opens the pools that have a minimum, so that the first client finds them warm.
    pub fn warm_up(&self) {
        self.pools.warm_up();
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
        if let Err(error) = tune(&tcp) {
            tracing::debug!(%peer, %error, "socket options not set");
        }
        let listen = self.rules.load().listen.clone();
        let address = Kind::Address(peer.ip().to_canonical());
        let all = self
            .counts
            .enter(Kind::All, listen.clients_max, "listen.clients_max");
        let counted = all.and_then(|all| {
            let most = listen.clients_per_address_max;
            let setting = "listen.clients_per_address_max";
            Ok([all, self.counts.enter(address, most, setting)?])
        });
        match counted {
            Ok(counted) => {
                let running = Running::new(&self.running);
                let door = Arc::clone(self);
                tokio::spawn(async move {
                    door.connection(tcp, peer).await;
                    drop((counted, running));
                });
            }
            Err(error) => self.turn_away(tcp, peer, error),
        }
    }

    /// Tells a connection why it cannot be served, if not too many are being told already.
    fn turn_away(&self, mut tcp: TcpStream, peer: SocketAddr, error: PgError) {
        tracing::warn!(%peer, reason = %error, "connection turned away");
        let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let mut words = Vec::new();
            error.encode(&mut words);
            // Whoever is gone already does not need to know.
            let tell =
                async { tcp.write_all(&words).await.is_ok() && tcp.shutdown().await.is_ok() };
            let _told = tokio::time::timeout(TURNED_AWAY_TIMEOUT, tell).await;
            drop(permit);
        });
    }

    async fn connection(&self, tcp: TcpStream, peer: SocketAddr) {
        let rules = self.rules.load_full();
        let gate = Gate {
            tls: &self.tls,
            users: &rules.users,
            databases: &rules.plan.databases,
            upstreams: &rules.questions,
            login_timeout: rules.listen.login_timeout,
        };
        match Box::pin(greet::greet(tcp, peer, &gate)).await {
            Ok(Greeting::Client(login)) => {
                let who = format!("{}@{}", login.user, login.database);
                let end = self.serve(login, rules).await;
                self.ended(peer, &who, &end);
            }
            Ok(Greeting::Cancel { pid, key, stream }) => {
                if let Ok(_permit) = self.cancels.acquire().await {
                    self.registry.cancel(pid, &key).await;
                }
                drop(stream);
            }
            Err(GreetError::HungUp) => tracing::debug!(%peer, "hung up before logging in"),
            Err(error) => tracing::warn!(%peer, %error, "not logged in"),
        }
    }

    fn ended(&self, peer: SocketAddr, who: &str, end: &End) {
        if end.is_ordinary() {
            tracing::info!(%peer, who, reason = %end, "session ended");
        } else {
            tracing::warn!(%peer, who, reason = %end, "session ended");
        }
    }

    /// A session's whole life. The rules are held only while it starts.
    async fn serve(&self, login: Box<Login>, rules: Arc<Rules>) -> End {
        if rules.admin.is_console(&login.database) {
            return Box::pin(self.console(login, rules)).await;
        }
        if login.replication != Replication::Off {
            return Box::pin(self.replicate(login, rules)).await;
        }
        match Box::pin(self.open(login, rules)).await {
            Ok((session, counted)) => {
                let end = session.run().await;
                drop(counted);
                end
            }
            Err(end) => end,
        }
    }

    async fn open(
        &self,
        login: Box<Login>,
        rules: Arc<Rules>,
    ) -> Result<(Box<Session>, [Counted; 2]), End> {
        let Login {
            stream,
            pending,
            user,
            database,
            settings,
            minor,
            credential,
            ..
        } = *login;
        let prepared = self
            .count(&user, &database, &rules)
            .and_then(|counted| Ok((counted, self.pools.find(&database, &user, &credential)?)))
            .and_then(|(counted, found)| {
                let registered = self.register(minor)?;
                Ok((counted, found, registered))
            });
        let (counted, found, registered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(refuse(stream, pending, error.into()).await),
        };
        let draining = self.draining.load(Ordering::Acquire);
        let caching = self.caching.as_ref();
        let caching = caching.map(|shared| shared.join(&found.pool, &database, &user));
        let found = (found, caching);
        match Session::open((stream, pending), &settings, found, registered).await {
            Ok(session) if draining => {
                session.drain();
                Ok((session, counted))
            }
            Ok(session) => Ok((session, counted)),
            Err((stream, refused)) => Err(refuse(stream, Vec::new(), refused).await),
        }
    }

    /// The whole life of a client of the console.
    async fn console(&self, login: Box<Login>, rules: Arc<Rules>) -> End {
        let (user, database) = (&login.user, &login.database);
        let full = || {
            let text = format!("{CONSOLES_MAX} clients are using the console already");
            PgError::fatal(&trouble::CONSOLE_FULL, text)
        };
        let prepared = self.count(user, database, &rules).and_then(|counted| {
            let role = rules.admin.role(user, rules.auth_mode);
            let role = role.ok_or_else(|| not_for_you(user))?;
            if login.replication != Replication::Off {
                return Err(PgError::fatal(
                    &trouble::CONSOLE_CANNOT,
                    "the console cannot be replicated",
                ));
            }
            let permit = self.consoles.try_acquire().map_err(|_none| full())?;
            Ok((counted, permit, role, self.register(login.minor)?))
        });
        let (counted, permit, role, registered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return refuse(login.stream, login.pending, error.into()).await,
        };
        drop(rules);
        if self.draining.load(Ordering::Acquire) {
            registered.handle().raise(DRAIN);
        }
        let facts = Arc::<Known>::clone(&self.facts);
        let client = (login.stream, login.pending);
        let console = Console::new(client, registered, facts, (login.user, role));
        let end = console.run().await;
        drop((counted, permit));
        end
    }

    /// A replication connection's whole life: it has an upstream of its own.
    async fn replicate(&self, login: Box<Login>, rules: Arc<Rules>) -> End {
        let (user, database) = (&login.user, &login.database);
        let prepared = self.count(user, database, &rules).and_then(|counted| {
            let registered = self.register(login.minor)?;
            let pools = &self.pools;
            let upstream = pools.replication_login(database, user, &login.credential)?;
            Ok((counted, registered, upstream))
        });
        let (_counted, registered, mut upstream) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return refuse(login.stream, login.pending, error.into()).await,
        };
        let mode: &[u8] = match login.replication {
            Replication::Database => b"database",
            Replication::Off | Replication::Physical => b"true",
        };
        let replication = (b"replication".as_slice().into(), mode.into());
        upstream.parameters.push(replication);
        upstream.parameters.extend(login.settings);
        match upstream::connect(&upstream).await {
            Ok(upstream) => {
                let client = (login.stream, login.pending);
                // With a database it takes SQL as well, which nobody reads: as long as it is there,
                // nothing of the database is answered from memory.
                let pid = i32::from_be_bytes(upstream.cancel.pid.to_be_bytes());
                let _until_it_is_gone = (login.replication == Replication::Database).then(|| {
                    let generations = self.pools.generations(database);
                    generations.mark(&WriteSet::Everything, generations.epoch(), pid)
                });
                replication::pass_through(client, upstream, &registered).await
            }
            Err(error) => {
                let refused = LeaseError::Connect(Arc::new(error)).into();
                refuse(login.stream, login.pending, refused).await
            }
        }
    }

    fn register(&self, minor: u16) -> Result<Registered, PgError> {
        let no_key =
            |_unspecified| PgError::fatal(&trouble::NO_RANDOM, "no random bytes for a cancel key");
        self.registry.enter(minor >= 2).map_err(no_key)
    }

    fn count(&self, user: &str, database: &str, rules: &Rules) -> Result<[Counted; 2], PgError> {
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

    /// Lets running transactions end, at most for `patience`; idle clients are told to go.
    pub async fn drain(&self, patience: Duration) {
        self.draining.store(true, Ordering::Release);
        self.registry.raise_all(DRAIN);
        let mut running = self.running.subscribe();
        let all_gone = running.wait_for(|running| *running == 0);
        if tokio::time::timeout(patience, all_gone).await.is_ok() {
            return;
        }
        tracing::warn!("listen.shutdown_timeout is over: ending the remaining sessions");
        self.registry.raise_all(KILL);
        let all_gone = running.wait_for(|running| *running == 0);
        // Those that still do not end are ended with the process.
        let _ended = tokio::time::timeout(Duration::from_secs(5), all_gone).await;
    }
}

/// What a client is told that may not even look.
fn not_for_you(user: &str) -> PgError {
    let text = format!("user \"{user}\" may not use the console");
    PgError::fatal(&trouble::CONSOLE_CLOSED, text)
}

/// Tells a client that has logged in why there is no session for it.
async fn refuse(mut stream: Stream, mut words: Vec<u8>, refused: Refused) -> End {
    words.extend_from_slice(&refused.frame);
    let tell = async { stream.write_all(&words).await.is_ok() && stream.shutdown().await.is_ok() };
    let _told = tokio::time::timeout(TURNED_AWAY_TIMEOUT, tell).await;
    End::Refused(Box::new(refused))
}

/// A connection's task, counted while it runs.
struct Running(watch::Sender<usize>);

impl Running {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|running| *running += 1);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// Small answers must not wait for more to come, and a client whose machine has vanished must be
/// noticed in the end.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))
}

/// Binds `address`.
///
/// # Errors
/// The system's.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
