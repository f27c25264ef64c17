//! The databases at the upstream, each with a catalog that is kept up to date.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::task::JoinHandle;

use super::control::control;
use super::pools::State;
use super::upstream::Credential;
use crate::cache::generation::Generations;
use crate::catalog::Catalog;
use crate::config::{SessionAttrs, Target};
use crate::wire::error::PgError;

/// An upstream database, whatever clients call it and whoever logs in: what is written by one name
/// must be noticed by the others. Two spellings of one host are two databases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Home {
    /// Sorted.
    hosts: Box<[String]>,
    session_attrs: SessionAttrs,
    dbname: Box<str>,
}

impl Home {
    pub(super) fn new(target: &Target, dbname: &str) -> Self {
        let hosts = target.hosts.iter().map(ToString::to_string);
        let mut hosts: Vec<String> = hosts.collect();
        hosts.sort_unstable();
        Self {
            hosts: hosts.into(),
            session_attrs: target.session_attrs,
            dbname: dbname.into(),
        }
    }
}

/// A database's catalog, kept up to date as long as a pool uses it.
#[derive(Debug)]
pub struct Kept {
    /// Another number for each.
    id: u64,
    /// Whose login its control connection has.
    pub(super) database: Box<str>,
    pub(super) user: Box<str>,
    catalog: Arc<Catalog>,
    keeper: JoinHandle<()>,
}

impl Kept {
    /// Its number, which no other ever has in this process: two databases are two of these.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Deref for Kept {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl State {
    pub(super) fn generations(&mut self, home: &Home) -> Arc<Generations> {
        let known = self.generations.get(home).and_then(Weak::upgrade);
        let generations = known.unwrap_or_else(Generations::new);
        self.generations.retain(|_, kept| kept.strong_count() > 0);
        self.generations
            .insert(home.clone(), Arc::downgrade(&generations));
        generations
    }

    /// The catalog of a database, kept over a connection with the login of its first pool.
    pub(super) fn catalog(
        &mut self,
        database: &str,
        user: &str,
        credential: Credential,
    ) -> Result<Arc<Kept>, PgError> {
        let plan = Arc::clone(&self.plan);
        let entry = plan.databases.get(database);
        let home = Home::new(plan.target(entry), plan.dbname(database));
        if let Some(kept) = self.catalogs.get(&home).and_then(Weak::upgrade) {
            return Ok(kept);
        }
        let login = Arc::new(self.login(database, user, credential)?);
        let dial = move || {
            let login = Arc::clone(&login);
            async move { control(&login).await.map(|(client, _task)| client) }
        };
        let generations = self.generations(&home);
        let server = self.servers.get(&home.hosts).and_then(Weak::upgrade);
        let server = server.unwrap_or_default();
        self.servers.retain(|_, known| known.strong_count() > 0);
        self.servers
            .insert(home.hosts.clone(), Arc::downgrade(&server));
        let catalog = Catalog::new(generations, Arc::clone(&plan.declared), server);
        let (watched, valve) = (Arc::clone(&catalog), self.valve(database));
        let poll = self.plan.pool.catalog_poll;
        let keeper = async move {
            loop {
                // A paused database is left by us, too.
                valve.opened().await;
                tokio::select! {
                    () = Arc::clone(&watched).keep(&dial, poll) => {}
                    () = valve.closed() => watched.invalidate(),
                }
            }
        };
        static LAST: AtomicU64 = AtomicU64::new(0);
        let kept = Arc::new(Kept {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            database: database.into(),
            user: user.into(),
            catalog,
            keeper: tokio::spawn(keeper),
        });
        self.catalogs.retain(|_, kept| kept.strong_count() > 0);
        self.catalogs.insert(home, Arc::downgrade(&kept));
        Ok(kept)
    }
}
