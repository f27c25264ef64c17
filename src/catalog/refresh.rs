//! The catalog snapshot that everyone reads, and the task that keeps it up to date.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::Client;
use tracing::{debug, info, warn};

use super::load::Digest;
use super::server::Server;
use super::snapshot::Snapshot;
use super::{Declared, load, settle};
use crate::cache::generation::Generations;

/// How long an invalidation waits for further ones: a migration is a burst of DDL.
const SETTLE: Duration = Duration::from_millis(50);
/// The first and the longest wait before a control connection is tried again.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between looks at what is under way: writes that the new snapshot has to wait for, upstreams
/// whose last commit is in doubt, prepared transactions.
const SETTLE_POLL: Duration = Duration::from_millis(50);
const DOUBT_POLL: Duration = Duration::from_millis(200);
/// A server that does not answer within this is as good as gone.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One database's catalog snapshot, while there is one.
#[derive(Debug)]
pub struct Catalog {
    snapshot: ArcSwapOption<Snapshot>,
    /// The database's generations: what is cached dies with the epoch.
    generations: Arc<Generations>,
    declared: Arc<Declared>,
    server: Arc<Server>,
    /// Counts the invalidations. Held while the snapshot is replaced, so that a load that began
    /// before an invalidation is never published after it.
    invalidations: Mutex<u64>,
    wake: Notify,
}

/// Why a control connection was given up.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("{}", spelled(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("no answer within {} seconds", ANSWER_MAX.as_secs())]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// An error with the server's own words, which its `Display` leaves out.
fn spelled(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} ({})", server.message(), server.code().code()),
        None => error.to_string(),
    }
}

/// Reads the catalog once, for who only has a question: nothing keeps it up to date.
///
/// # Errors
/// When the database fails, or does not answer.
pub async fn load_once(client: &Client, declared: &Arc<Declared>) -> Result<Snapshot, Lost> {
    Ok(timeout(ANSWER_MAX, load::load(client, 1, 0, declared)).await??)
}

impl Catalog {
    /// A catalog of which nothing is known until [`keep`](Self::keep) runs.
    pub fn new(
        generations: Arc<Generations>,
        declared: Arc<Declared>,
        server: Arc<Server>,
    ) -> Arc<Self> {
        let catalog = Arc::new(Self {
            snapshot: ArcSwapOption::default(),
            generations,
            declared,
            server,
            invalidations: Mutex::default(),
            wake: Notify::default(),
        });
        catalog.server.join(&catalog);
        catalog
    }

    /// Whether results under row security are kept, by whatever its policies may ask for.
    pub fn keys_row_security(&self) -> bool {
        self.declared.keyed_rls
    }

    /// The server that the database is on.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The database's generations.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// The snapshot, if there is one that holds.
    pub fn current(&self) -> Guard<Option<Arc<Snapshot>>> {
        self.snapshot.load()
    }

    /// The number of the catalog as far as it is known ([`Snapshot::edition`]). While it is not, one that
    /// no known catalog has, and another one after each change.
    pub fn edition(&self) -> u64 {
        let current = self.current();
        let unknown = || u64::MAX - self.generations.epoch();
        current.as_deref().map_or_else(unknown, Snapshot::edition)
    }

    /// Says that anything in the catalog may have changed: there is no snapshot until it has been
    /// read again, and all that is cached is stale. DDL that is not committed needs a second call
    /// when it is.
    pub fn invalidate(&self) {
        let mut count = self.lock();
        *count += 1;
        self.generations.bump_epoch();
        self.snapshot.store(None);
        drop(count);
        self.wake.notify_one();
    }

    /// Whether there is no snapshot, or the epoch has moved since: by a statement that counts as DDL
    /// and changed nothing that is read here (VACUUM), say. Nothing is cached until it is read anew.
    fn is_outdated(&self) -> bool {
        let current = self.current();
        let epoch = current.as_deref().map(Snapshot::epoch);
        epoch != Some(self.generations.epoch())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, u64> {
        // The count cannot be half written.
        self.invalidations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `snapshot` the current one, unless there was an invalidation since `seen`.
    fn publish(&self, snapshot: Snapshot, seen: u64) -> bool {
        let count = self.lock();
        let holds = *count == seen;
        if holds {
            self.snapshot.store(Some(Arc::new(snapshot)));
        }
        drop(count);
        holds
    }

    /// Loads the catalog, looks every `poll` whether it changed, and loads it again when it did or
    /// was invalidated. Without a connection for longer than `poll` there is no snapshot.
    ///
    /// Runs until it is dropped; that is safe at any time. `dial` opens a connection that carries
    /// no client's settings, and runs it.
    pub async fn keep<D, F, E>(self: Arc<Self>, dial: D, poll: Duration)
    where
        D: Fn() -> F,
        F: Future<Output = Result<Client, E>> + Send,
        E: Display,
    {
        let mut state = Followed {
            generation: 0,
            edition: 0,
            digest: None,
            checked: Instant::now(),
        };
        let mut wait = RETRY_MIN;
        loop {
            match timeout(ANSWER_MAX, dial()).await {
                Ok(Ok(client)) => {
                    let began = state.checked;
                    let lost = self.follow(&client, poll, &mut state).await;
                    // What happens until the next connection is not seen: it may lead to another
                    // server, or the same one with other contents.
                    self.generations.bump_epoch();
                    state.digest = None;
                    warn!(%lost, "catalog: control connection lost");
                    if state.checked > began {
                        wait = RETRY_MIN;
                    }
                }
                Ok(Err(error)) => debug!(%error, "catalog: cannot connect"),
                Err(_elapsed) => debug!("catalog: no answer to connect"),
            }
            if state.checked.elapsed() > poll && self.current().is_some() {
                let count = self.lock();
                self.snapshot.store(None);
                drop(count);
                warn!("catalog: unknown until the database is reached again");
            }
            sleep(wait.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// Keeps up with the database over one connection, until that fails.
    async fn follow(&self, client: &Client, poll: Duration, state: &mut Followed) -> Lost {
        loop {
            if let Err(lost) = self.check(client, state).await {
                return lost;
            }
            let until = Instant::now() + poll;
            loop {
                let doubts = match settle::settle(client, &self.generations).await {
                    Ok(doubts) => doubts,
                    Err(lost) => return lost,
                };
                let pause = if doubts { DOUBT_POLL.min(poll) } else { poll };
                let waited = tokio::select! {
                    () = self.wake.notified() => {
                        sleep(SETTLE).await;
                        break;
                    }
                    () = self.generations.wake.notified() => false,
                    () = sleep_until(until.min(Instant::now() + pause)) => true,
                };
                if waited && Instant::now() >= until || self.is_outdated() {
                    break;
                }
            }
        }
    }

    /// Loads a snapshot if there is none or the database has changed.
    async fn check(&self, client: &Client, state: &mut Followed) -> Result<(), Lost> {
        let seen = *self.lock();
        // Before the load: a change during it shows in the next digest.
        let digest = timeout(ANSWER_MAX, load::digest(client)).await??;
        let changed = state.digest.as_ref() != Some(&digest);
        if changed && state.digest.is_some() {
            // What is cached was made of the catalog as it was. The old snapshot goes on telling
            // which functions are safe; what it says of relations is void with its epoch.
            self.generations.bump_epoch();
        }
        self.server.saw(&digest.settings);
        if changed || self.is_outdated() {
            let generation = state.generation + 1;
            let epoch = self.generations.epoch();
            let load = load::load(client, generation, epoch, &self.declared);
            let mut snapshot = timeout(ANSWER_MAX, load).await??;
            state.generation = generation;
            state.edition += u64::from(changed);
            snapshot.edition = state.edition;
            info!(
                generation,
                epoch,
                relations = snapshot.known.nodes.len(),
                functions = snapshot.functions.len(),
                everywhere = snapshot.unsafe_everywhere(),
                trigger = snapshot.unsafe_trigger(),
                event_trigger = snapshot.unsafe_event_trigger(),
                forbids = snapshot.forbids(),
                "catalog: loaded"
            );
            if self.wait_for_writes(client, epoch, seen).await? && self.publish(snapshot, seen) {
                state.digest = Some(digest);
            }
            // If not, the invalidation has left a wake-up, and the next check finds no snapshot.
        }
        state.checked = Instant::now();
        Ok(())
    }

    /// Waits until no write is under way whose relations were told by an older snapshot: it may
    /// write more than it is known to. False: there was an invalidation.
    async fn wait_for_writes(&self, client: &Client, epoch: u64, seen: u64) -> Result<bool, Lost> {
        while self.generations.in_flight_before(epoch) {
            self.snapshot.store(None);
            // Those of upstreams that are gone would never end by themselves.
            settle::settle(client, &self.generations).await?;
            sleep(SETTLE_POLL).await;
            if *self.lock() != seen {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the keeper knows of the database.
struct Followed {
    generation: u64,
    /// Of the last snapshot.
    edition: u64,
    /// The digest at the load of the current snapshot.
    digest: Option<Digest>,
    /// When the database last answered.
    checked: Instant,
}

#[cfg(test)]
mod tests {
    use super::{Arc, Catalog, Generations, Snapshot};

    #[test]
    fn an_invalidation_during_a_load_wins() {
        let catalog = Catalog::new(Generations::new(), Arc::default(), Arc::default());
        let seen = *catalog.lock();
        catalog.invalidate();
        assert!(!catalog.publish(Snapshot::default(), seen));
        assert!(catalog.current().is_none());
        let seen = *catalog.lock();
        assert!(catalog.publish(Snapshot::default(), seen));
        assert!(catalog.current().is_some());
        catalog.invalidate();
        assert!(catalog.current().is_none());
    }
}
