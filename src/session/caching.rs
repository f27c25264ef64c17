//! What all sessions share of the cache, and what those of one database do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::context::Context;
use super::shapes::{Known, Resolved, Shapes};
use super::state::State;
use crate::cache::Cache;
use crate::cache::entry::Entry;
use crate::cache::key::Contexts;
use crate::cache::rules::{Policy, Standing};
use crate::catalog::Snapshot;
use crate::pool::Pool;
use crate::pool::pools::Kept;

/// The process's cache and the rules it is used by.
#[derive(Debug)]
pub struct Shared {
    pub cache: Arc<Cache>,
    pub policy: ArcSwap<Policy>,
    pub contexts: Contexts,
    /// Answers compared with the database's own, and those that differed.
    pub compared: AtomicU64,
    pub differed: AtomicU64,
    audits: Arc<Semaphore>,
    joined: Mutex<Joined>,
}

/// The number of a catalog, and a client's names of its database and itself.
type PartOf = (u64, Arc<str>, Arc<str>);

/// The databases that had sessions, and what sessions have in common: see [`Shared::join`].
#[derive(Debug, Default)]
struct Joined {
    databases: HashMap<u64, Arc<Database>>,
    parts: HashMap<PartOf, Arc<Caching>, RandomState>,
    /// How many parts there may be before those that nobody has any more are looked for.
    parts_max: usize,
}

/// Parts that are kept for the next session, whether anybody has them or not.
const PARTS_KEPT: usize = 64;

/// Hits that are checked at once. Each takes an upstream for as long as its query runs, and clients
/// come first.
const AUDITS_MAX: usize = 2;

/// What is known of the texts of one upstream database.
#[derive(Debug)]
pub struct Database {
    /// The client's name of it, of the first who came.
    pub name: Box<str>,
    /// The number of its catalog: what makes keys of different databases different.
    pub id: u64,
    pub(super) shapes: Shapes,
    pub catalog: Arc<Kept>,
    /// What texts that cannot be read are taken for.
    pub(super) unreadable: Arc<Known>,
}

/// A session's part in it; one for all sessions of a user on a database.
#[derive(Debug)]
pub struct Caching {
    pub shared: Arc<Shared>,
    pub database: Arc<Database>,
    /// As the client calls itself and its database: what rules are written in.
    client_user: Arc<str>,
    client_database: Arc<str>,
    standing: ArcSwap<Standing>,
    /// The latest that a session had: the next one will most likely have the same.
    context: ArcSwapOption<Context>,
}

impl Shared {
    /// An empty cache.
    pub fn new(cache: Arc<Cache>, policy: Policy) -> Arc<Self> {
        Arc::new(Self {
            cache,
            policy: ArcSwap::from_pointee(policy),
            contexts: Contexts::default(),
            compared: AtomicU64::new(0),
            differed: AtomicU64::new(0),
            audits: Arc::new(Semaphore::new(AUDITS_MAX)),
            joined: Mutex::default(),
        })
    }

    /// The part of a session of `user` on `database`, whose upstreams are this pool's.
    pub fn join(
        self: &Arc<Self>,
        pool: &Pool,
        (database, user): (Arc<str>, Arc<str>),
    ) -> Arc<Caching> {
        let key = (pool.catalog.id(), database, user);
        let mut joined = self.joined();
        if let Some(part) = joined.parts.get(&key) {
            return Arc::clone(part);
        }
        joined.tidy();
        let (id, database, user) = key;
        let standing = Standing::new(self.policy.load_full(), &database, &user);
        let part = Arc::new(Caching {
            shared: Arc::clone(self),
            database: joined.database(pool, &database),
            client_user: Arc::clone(&user),
            client_database: Arc::clone(&database),
            standing: ArcSwap::from_pointee(standing),
            context: ArcSwapOption::empty(),
        });
        let key = (id, database, user);
        joined.parts.insert(key, Arc::clone(&part));
        part
    }

    /// All databases that had sessions, in no order.
    pub fn known_databases(&self) -> Vec<Arc<Database>> {
        self.joined().databases.values().map(Arc::clone).collect()
    }

    fn joined(&self) -> MutexGuard<'_, Joined> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Joined {
    fn database(&mut self, pool: &Pool, name: &str) -> Arc<Database> {
        let id = pool.catalog.id();
        if let Some(known) = self.databases.get(&id) {
            return Arc::clone(known);
        }
        let database = Arc::new(Database {
            name: name.into(),
            id,
            shapes: Shapes::default(),
            catalog: Arc::clone(&pool.catalog),
            unreadable: Known::broken(),
        });
        // What no pool uses any more was of another configuration. So there are never more than
        // pools and sessions.
        self.forget_parts();
        self.databases.retain(|_, known| {
            Arc::strong_count(&known.catalog) > 1 || Arc::strong_count(known) > 1
        });
        self.databases.insert(id, Arc::clone(&database));
        database
    }

    /// Keeps parts from becoming many more than sessions.
    fn tidy(&mut self) {
        if self.parts.len() >= self.parts_max.max(PARTS_KEPT) {
            self.forget_parts();
            self.parts_max = self.parts.len() * 2;
        }
    }

    fn forget_parts(&mut self) {
        self.parts.retain(|_, part| Arc::strong_count(part) > 1);
    }
}

impl Caching {
    /// As the client calls its database and itself.
    pub(super) fn client(&self) -> (Arc<str>, Arc<str>) {
        let (database, user) = (&self.client_database, &self.client_user);
        (Arc::clone(database), Arc::clone(user))
    }

    /// What goes into the cache keys of a session in this state, whose upstream's user this is.
    pub(super) fn context(&self, state: &State, user: &str) -> Arc<Context> {
        let keyed = self.database.catalog.keys_row_security();
        let latest = self.context.load_full();
        if let Some(latest) = latest.filter(|latest| latest.fits(state, user, keyed)) {
            return latest;
        }
        let contexts = &self.shared.contexts;
        let made = Context::new(state, contexts, (self.database.id, user), keyed);
        let made = Arc::new(made);
        self.context.store(Some(Arc::clone(&made)));
        made
    }

    /// The policy as it meets this session.
    pub(super) fn standing(&self) -> Guard<Arc<Standing>> {
        let standing = self.standing.load();
        if standing.is_of(&self.shared.policy.load()) {
            return standing;
        }
        let policy = self.shared.policy.load_full();
        let renewed = Standing::new(policy, &self.client_database, &self.client_user);
        self.standing.store(Arc::new(renewed));
        self.standing.load()
    }

    /// The qualified names of what a query reads, for rules.
    pub(super) fn tables(resolved: &Resolved, snapshot: &Snapshot) -> Vec<String> {
        let relations = resolved.meaning.read.as_deref().unwrap_or_default();
        let names = relations
            .iter()
            .filter_map(|oid| snapshot.relation_name(*oid));
        names.map(str::to_owned).collect()
    }

    /// The right to check this hit against the database, if it is one of those that are checked and
    /// not too many are being checked.
    pub(super) fn audit(&self) -> Option<OwnedSemaphorePermit> {
        let share = self.standing().policy().audit;
        if !share.takes(fastrand::u32(..)) {
            return None;
        }
        Arc::clone(&self.shared.audits).try_acquire_owned().ok()
    }

    /// The cache's answer was compared with the database's own.
    pub(super) fn compared(&self, known: &Known, cached: &Entry, same: bool) {
        self.shared.compared.fetch_add(1, Relaxed);
        if same {
            return;
        }
        self.shared.differed.fetch_add(1, Relaxed);
        known.differed.fetch_add(1, Relaxed);
        let age = cached.sent.elapsed();
        let shape = known.fingerprint();
        if known.depends_on_nothing(&self.database.catalog) {
            tracing::error!(
                shape,
                ?age,
                "cache: a result that depends on no table has changed"
            );
        } else {
            tracing::warn!(
                shape,
                ?age,
                "cache: a cached result differs from the database's: a write elsewhere, or a defect"
            );
        }
    }
}
