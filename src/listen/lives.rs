//! The whole life of a connection that has logged in: a session, replication, or the console.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use super::end::Running;
use super::facts::Known;
use super::{CONSOLES_MAX, Door, Rules, TURNED_AWAY_TIMEOUT};
use crate::admin::Dialect;
use crate::admin::console::Console;
use crate::cache::generation::WriteSet;
use crate::limits::Counted;
use crate::metrics::logins::Failure;
use crate::pool::startups::Effect;
use crate::pool::valve::Valve;
use crate::pool::{LeaseError, Pool, upstream};
use crate::session::Session;
use crate::session::cancel::{DRAIN, Handle, KILL, LEAVE, Registered, Waits};
use crate::session::census::{Purpose, Who};
use crate::session::end::End;
use crate::session::greet::Login;
use crate::session::open::{Refused, effect_of, known_effect};
use crate::session::replication;
use crate::stream::Stream;
use crate::wire::error::PgError;
use crate::wire::startup::Replication;
use crate::wire::trouble;

/// A client that is in, and what it counts as.
pub(super) struct Alive {
    session: Box<Session>,
    counted: [Counted; 2],
    running: Running,
}

/// The whole life of a connection. Not split further: each future within another would keep room of
/// its own, for as long as a client is idle.
pub(super) async fn live(
    meeting: Pin<Box<impl Future<Output = Option<Alive>>>>,
    counted: [Counted; 2],
) {
    let Some(alive) = meeting.await else {
        return;
    };
    let handle = Arc::clone(alive.session.handle());
    let end = alive.session.run().await;
    drop((alive.counted, alive.running, counted));
    let who = handle.who();
    ended(handle.peer(), (&who.user, &who.database), &end);
}

/// The one line about an end.
fn ended(peer: Option<SocketAddr>, (user, database): (&str, &str), end: &End) {
    let peer = peer.map(tracing::field::display);
    let who = format_args!("{user}@{database}");
    if end.is_ordinary() {
        tracing::info!(peer, %who, reason = %end, "session ended");
    } else {
        tracing::warn!(peer, %who, reason = %end, "session ended");
    }
}

impl Door {
    /// Takes in a client that has logged in; `None` when it has gone already, with what came of it
    /// told. The rules are held only while a session starts.
    pub(super) async fn serve(
        &self,
        login: Box<Login>,
        rules: Arc<Rules>,
        running: Running,
    ) -> Option<Alive> {
        let is_console = rules.admin.is_console(&login.database);
        if !is_console && login.replication == Replication::Off {
            return self.open(login, rules, running).await;
        }
        let peer = Some(login.peer);
        let (user, database) = (login.user.clone(), login.database.clone());
        // Boxed, as these are rare, and every client would have to carry them.
        let end = if is_console {
            // Nobody waits for the console's clients when the process ends.
            let _running = Running::new(&self.consoles_running);
            drop(running);
            Box::pin(self.console(login, rules)).await
        } else {
            Box::pin(self.replicate(login, rules)).await
        };
        ended(peer, (&user, &database), &end);
        None
    }

    /// Starts a client's session.
    async fn open(
        &self,
        mut login: Box<Login>,
        rules: Arc<Rules>,
        running: Running,
    ) -> Option<Alive> {
        let (user, database) = (&login.user, &login.database);
        let prepared = self.count(user, database, &rules).and_then(|counted| {
            let found = self.pools.find(database, user, &login.credential)?;
            let registered = self.register(&login, &counted, Purpose::Queries)?;
            registered.handle().joins(&found.pool);
            Ok((counted, found, registered))
        });
        drop(rules);
        let (counted, found, registered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Box::pin(self.turned_down(login, error.into())).await,
        };
        let handle = registered.handle();
        let effect = match self.effect(&mut login, &found.pool, handle).await {
            Ok(effect) => effect,
            Err(End::Refused(refused)) => {
                found.pool.metrics.errors.count_frames(&refused.frame);
                return Box::pin(self.turned_down(login, *refused)).await;
            }
            Err(end) => return Box::pin(turned_out(login, end)).await,
        };
        let who = handle.who();
        let names = || (Arc::clone(&who.database), Arc::clone(&who.user));
        let caching = self.caching.as_ref();
        let caching = caching.map(|shared| shared.join(&found.pool, names()));
        let client = (login.stream, login.pending);
        Some(Alive {
            session: Session::open(client, effect, (found, caching), registered),
            counted,
            running,
        })
    }

    /// What the client's parameters come to: known for all but the first of a kind, once its database is
    /// not paused.
    async fn effect(
        &self,
        login: &mut Login,
        pool: &Arc<Pool>,
        handle: &Arc<Handle>,
    ) -> Result<Effect, End> {
        let valve = self.pools.valve(&login.database);
        if valve.is_paused() {
            Box::pin(wait_for_resume(&valve, &mut login.stream, handle)).await?;
        }
        if let Some(effect) = known_effect(pool, &login.settings) {
            return Ok(effect);
        }
        handle.waits(Waits::Queue);
        let effect = tokio::select! {
            biased;
            () = handle.raised(KILL) => return Err(End::Killed),
            // Nobody who waits for an upstream is waited for.
            () = handle.raised(LEAVE) => return Err(End::Drained),
            () = login.stream.closed() => return Err(End::ClientClosed),
            effect = Box::pin(effect_of(pool, &login.settings)) => effect,
        };
        handle.waits(Waits::No);
        effect.map_err(|refused| End::Refused(Box::new(refused)))
    }

    /// The end of a client that has logged in, and for whom there is no session.
    async fn turned_down(&self, login: Box<Login>, refused: Refused) -> Option<Alive> {
        let end = self.refuse(login.stream, login.pending, refused).await;
        ended(Some(login.peer), (&login.user, &login.database), &end);
        None
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
            let registered = self.register(&login, &counted, Purpose::Console)?;
            Ok((counted, permit, role, registered))
        });
        let (counted, permit, role, registered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.refuse(login.stream, login.pending, error.into()).await,
        };
        drop(rules);
        if self.draining.load(Ordering::Acquire) {
            registered.handle().raise(DRAIN);
        }
        let facts = Arc::<Known>::clone(&self.facts);
        let client = (login.stream, login.pending);
        let dialect = match login.database.as_str() {
            "pgbouncer" => Dialect::PgBouncer,
            _ => Dialect::Whole,
        };
        let console = Console::new(client, registered, facts, (login.user, role, dialect));
        let end = console.run().await;
        drop((counted, permit));
        end
    }

    /// A replication connection's whole life: it has an upstream of its own.
    async fn replicate(&self, mut login: Box<Login>, rules: Arc<Rules>) -> End {
        let (user, database) = (&login.user, &login.database);
        let prepared = self.count(user, database, &rules).and_then(|counted| {
            let purpose = Purpose::Replication(login.replication);
            let registered = self.register(&login, &counted, purpose)?;
            let pools = &self.pools;
            let upstream = pools.replication_login(database, user, &login.credential)?;
            Ok((counted, registered, upstream))
        });
        let (_counted, registered, mut upstream) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.refuse(login.stream, login.pending, error.into()).await,
        };
        let valve = self.pools.valve(&login.database);
        if valve.is_paused()
            && let Err(end) = wait_for_resume(&valve, &mut login.stream, registered.handle()).await
        {
            tell(login.stream, login.pending, &end).await;
            return end;
        }
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
                self.refuse(login.stream, login.pending, refused).await
            }
        }
    }

    /// The client's place among all clients; `counted` knows its name and its database's.
    fn register(
        &self,
        login: &Login,
        counted: &[Counted; 2],
        purpose: Purpose,
    ) -> Result<Registered, PgError> {
        let [user, database] = counted.each_ref().map(Counted::name);
        let application = b"application_name";
        let mut latest = login.settings.iter().rev();
        let named = latest.find(|(name, _)| name.eq_ignore_ascii_case(application));
        let name = named.map(|(_, value)| &**value).unwrap_or_default();
        let who = Who::new(&login.stream, (user, database), purpose, name);
        let no_key =
            |_unspecified| PgError::fatal(&trouble::NO_RANDOM, "no random bytes for a cancel key");
        let registered = self
            .registry
            .enter(login.minor >= 2, who, Some(login.peer))
            .map_err(no_key)?;
        // Whoever drains says so first and then looks at all who are registered: nobody is missed.
        if purpose != Purpose::Console && self.last_call.load(Ordering::Acquire) {
            registered.handle().raise(DRAIN);
        }
        Ok(registered)
    }

    /// Tells a client that has logged in why there is no session for it.
    async fn refuse(&self, stream: Stream, pending: Vec<u8>, refused: Refused) -> End {
        let why = Failure::of_frame(&refused.frame);
        self.pools.metrics().logins.count(why);
        let end = End::Refused(Box::new(refused));
        tell(stream, pending, &end).await;
        end
    }
}

/// The end of a client that has logged in and waited for its session to begin.
async fn turned_out(login: Box<Login>, end: End) -> Option<Alive> {
    tell(login.stream, login.pending, &end).await;
    ended(Some(login.peer), (&login.user, &login.database), &end);
    None
}

/// Tells a client of the end, behind what it has yet to be told.
async fn tell(mut stream: Stream, mut words: Vec<u8>, end: &End) {
    end.farewell(&mut words);
    let tell = async { stream.write_all(&words).await.is_ok() && stream.shutdown().await.is_ok() };
    let _told = tokio::time::timeout(TURNED_AWAY_TIMEOUT, tell).await;
}

/// A client of a paused database waits before it gets its greeting.
async fn wait_for_resume(valve: &Valve, stream: &mut Stream, handle: &Handle) -> Result<(), End> {
    handle.waits(Waits::Queue);
    let waited = tokio::select! {
        () = valve.opened() => Ok(()),
        () = stream.closed() => Err(End::ClientClosed),
        () = handle.raised(KILL) => Err(End::Killed),
        () = handle.raised(DRAIN) => Err(End::Drained),
    };
    handle.waits(Waits::No);
    waited
}

/// What a client is told that may not even look.
fn not_for_you(user: &str) -> PgError {
    let text = format!("user \"{user}\" may not use the console");
    PgError::fatal(&trouble::CONSOLE_CLOSED, text)
}
