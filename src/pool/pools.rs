//! All pools of the process, made when their first client comes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::task::JoinHandle;

use super::control::control;
use super::upstream::{Credential, Login};
use super::{Limits, Pool};
use crate::cache::generation::Generations;
use crate::catalog::{Catalog, Declared, Server};
use crate::config::{self, Database, PinPolicy, PoolMode, SessionAttrs, Target, UpstreamTls, User};
use crate::metrics::Metrics;
use crate::tls::client::Connector;
use crate::wire::auth::Verifier;
use crate::wire::error::PgError;
use crate::wire::trouble;

/// Pools at a time. Each has a timer and, while it is used, upstreams; a user name for each of a
/// million customers would be better served by one forced upstream user.
const POOLS_MAX: usize = 1_000;

/// What pools are made of: the configuration's part that concerns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub upstream: Target,
    pub pool: config::Pool,
    pub databases: BTreeMap<String, Database>,
    pub users: BTreeMap<String, User>,
    /// What is to be believed of functions and triggers.
    pub declared: Arc<Declared>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Pools {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: Arc<Plan>,
    pools: HashMap<(Box<str>, Box<str>), Arc<Pool>>,
    /// Kept by the pools that use them.
    catalogs: HashMap<Home, Weak<Kept>>,
    /// Outlive a plan as long as a catalog of an earlier one is in use: what sessions of one plan
    /// write, those of the next must not have from the cache.
    generations: HashMap<Home, Weak<Generations>>,
    /// Kept by the catalogs of their databases.
    servers: HashMap<Box<[String]>, Weak<Server>>,
    /// One for each way to use TLS, so that pools of one target resume each other's sessions.
    connectors: Vec<(UpstreamTls, Arc<Connector>)>,
}

/// An upstream database, whatever clients call it and whoever logs in: what is written by one name
/// must be noticed by the others. Two spellings of one host are two databases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Home {
    /// Sorted.
    hosts: Box<[String]>,
    session_attrs: SessionAttrs,
    dbname: Box<str>,
}

impl Home {
    fn new(target: &Target, dbname: &str) -> Self {
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

/// A pool and the rules its sessions live by.
#[derive(Clone, Debug)]
pub struct Found {
    pub pool: Arc<Pool>,
    pub mode: PoolMode,
    pub pin: PinPolicy,
}

impl Pools {
    pub fn new(plan: Plan) -> Self {
        Self {
            metrics: Arc::default(),
            state: Mutex::new(State {
                plan: Arc::new(plan),
                pools: HashMap::new(),
                catalogs: HashMap::new(),
                generations: HashMap::new(),
                servers: HashMap::new(),
                connectors: Vec::new(),
            }),
        }
    }

    /// What is counted of the sessions of all pools, those that are gone included.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// All pools of now, by database and user.
    pub fn all(&self) -> Vec<Arc<Pool>> {
        let mut all: Vec<_> = self.state().pools.values().cloned().collect();
        all.sort_by(|a, b| (a.database(), a.user()).cmp(&(b.database(), b.user())));
        all
    }

    /// What new pools are made after.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.state().plan)
    }

    /// New sessions get pools after this plan. Those that run keep what they have.
    pub fn replan(&self, plan: Plan) {
        let mut state = self.state();
        if *state.plan != plan {
            state.plan = Arc::new(plan);
            state.pools.clear();
            state.catalogs.clear();
            state.connectors.clear();
        }
    }

    /// The pool for clients that call themselves `user` and want `database`.
    ///
    /// # Errors
    /// What the client is told: too many pools, or an upstream that cannot even be tried.
    pub fn find(
        &self,
        database: &str,
        user: &str,
        credential: &Credential,
    ) -> Result<Found, PgError> {
        let mut state = self.state();
        let plan = Arc::clone(&state.plan);
        let entry = plan.databases.get(database);
        let upstream_user = entry.and_then(|e| e.user.as_deref()).unwrap_or(user);
        let mode = entry.and_then(|e| e.pool_mode).unwrap_or(plan.pool.mode);
        let found = |pool: &Arc<Pool>| Found {
            pool: Arc::clone(pool),
            mode,
            pin: plan.pool.pin,
        };
        let key = (Box::from(database), Box::from(upstream_user));
        let credential = plan.credential(entry, upstream_user, credential);
        if let Some(pool) = state.pools.get(&key).map(Arc::clone) {
            if pool.knows_other(&credential) {
                pool.replace_login(state.login(database, upstream_user, credential)?);
            }
            return Ok(found(&pool));
        }
        state.make_room()?;
        let login = state.login(database, upstream_user, credential.clone())?;
        let catalog = state.catalog(database, upstream_user, credential)?;
        let limits = plan.limits(entry, user);
        let metrics = self.metrics.handle(database, upstream_user);
        let name = (database, upstream_user);
        let pool = Pool::new(metrics, name, limits, login, catalog);
        state.pools.insert(key, Arc::clone(&pool));
        Ok(found(&pool))
    }

    /// How `user` itself logs in to `database`, for pass-through: only the upstream can tell whether
    /// the credential is right.
    ///
    /// # Errors
    /// As [`Pools::find`].
    pub fn client_login(
        &self,
        database: &str,
        user: &str,
        credential: Credential,
    ) -> Result<Login, PgError> {
        self.state().login(database, user, credential)
    }

    /// How a client's replication connection logs in, if its database's pool is in session mode.
    ///
    /// # Errors
    /// 0A000 in the other modes; else as [`Pools::find`].
    pub fn replication_login(
        &self,
        database: &str,
        user: &str,
        credential: &Credential,
    ) -> Result<Login, PgError> {
        let mut state = self.state();
        let plan = Arc::clone(&state.plan);
        let entry = plan.databases.get(database);
        if entry.and_then(|e| e.pool_mode).unwrap_or(plan.pool.mode) != PoolMode::Session {
            return Err(PgError::fatal(
                &trouble::REPLICATION,
                "replication connections need a pool in session mode",
            ));
        }
        let user = entry.and_then(|e| e.user.as_deref()).unwrap_or(user);
        let credential = plan.credential(entry, user, credential);
        state.login(database, user, credential)
    }

    /// What is written in `database` counts here, also while no pool of it exists.
    pub fn generations(&self, database: &str) -> Arc<Generations> {
        let mut state = self.state();
        let plan = Arc::clone(&state.plan);
        let target = plan.target(plan.databases.get(database));
        state.generations(&Home::new(target, plan.dbname(database)))
    }

    /// How questions of our own log in to `database`: with the URL's user.
    ///
    /// # Errors
    /// As [`Pools::find`].
    pub fn control_login(&self, database: &str) -> Result<Login, PgError> {
        let mut state = self.state();
        let plan = Arc::clone(&state.plan);
        let entry = plan.databases.get(database);
        let user = entry.and_then(|e| e.user.as_deref());
        let user = user.unwrap_or(&plan.target(entry).user);
        let credential = plan.credential(entry, user, &Credential::None);
        state.login(database, user, credential)
    }

    /// Opens the pools that are known before any client comes and have a minimum: those of the URL's
    /// and the databases' own users.
    pub fn warm_up(&self) {
        let plan = self.plan();
        let named = plan.databases.iter().filter_map(|(name, entry)| {
            let user = entry
                .user
                .as_ref()
                .unwrap_or(&plan.target(Some(entry)).user);
            Some((name.clone(), user.clone())).filter(|(_, user)| !user.is_empty())
        });
        let from_url = plan.upstream.database.clone();
        let from_url = from_url.map(|name| (name, plan.upstream.user.clone()));
        for (database, user) in named.chain(from_url) {
            let entry = plan.databases.get(&database);
            let idle_min = plan.limits(entry, &user).idle_min;
            if idle_min > 0
                && let Err(error) = self.find(&database, &user, &Credential::None)
            {
                tracing::warn!(database, user, %error, "the pool cannot be warmed up");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops pools that nobody uses when there are too many.
    fn make_room(&mut self) -> Result<(), PgError> {
        if self.pools.len() < POOLS_MAX {
            return Ok(());
        }
        self.pools.retain(|_, pool| Arc::strong_count(pool) > 1);
        if self.pools.len() < POOLS_MAX {
            return Ok(());
        }
        Err(PgError::fatal(
            &trouble::TOO_MANY_POOLS,
            format!("{POOLS_MAX} pools (one for each database and user) are in use"),
        ))
    }

    fn login(
        &mut self,
        database: &str,
        user: &str,
        credential: Credential,
    ) -> Result<Login, PgError> {
        let plan = Arc::clone(&self.plan);
        let entry = plan.databases.get(database);
        let target = plan.target(entry);
        let dbname = plan.dbname(database);
        let connector = self.connector(&target.tls)?;
        let (user, dbname) = (user.to_owned(), dbname.to_owned());
        Ok(Login::new(target, connector, user, dbname, credential))
    }

    fn connector(&mut self, tls: &UpstreamTls) -> Result<Arc<Connector>, PgError> {
        if let Some((_, connector)) = self.connectors.iter().find(|(known, _)| known == tls) {
            return Ok(Arc::clone(connector));
        }
        let connector = Connector::new(tls).map_err(|error| {
            PgError::fatal(
                &trouble::UPSTREAM_TLS_FILES,
                format!("the upstream cannot be used: {error}"),
            )
        })?;
        let connector = Arc::new(connector);
        self.connectors.push((tls.clone(), Arc::clone(&connector)));
        Ok(connector)
    }

    fn generations(&mut self, home: &Home) -> Arc<Generations> {
        let known = self.generations.get(home).and_then(Weak::upgrade);
        let generations = known.unwrap_or_else(Generations::new);
        self.generations.retain(|_, kept| kept.strong_count() > 0);
        self.generations
            .insert(home.clone(), Arc::downgrade(&generations));
        generations
    }

    /// The catalog of a database, kept over a connection with the login of its first pool.
    fn catalog(
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
        let keeper = Arc::clone(&catalog).keep(dial, self.plan.pool.catalog_poll);
        static LAST: AtomicU64 = AtomicU64::new(0);
        let kept = Arc::new(Kept {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            catalog,
            keeper: tokio::spawn(keeper),
        });
        self.catalogs.retain(|_, kept| kept.strong_count() > 0);
        self.catalogs.insert(home, Arc::downgrade(&kept));
        Ok(kept)
    }
}

impl Plan {
    fn target<'a>(&'a self, entry: Option<&'a Database>) -> &'a Target {
        entry
            .and_then(|e| e.target.as_ref())
            .unwrap_or(&self.upstream)
    }

    /// What the upstream calls the database that clients call `database`.
    fn dbname<'a>(&'a self, database: &'a str) -> &'a str {
        let entry = self.databases.get(database);
        let named = entry.and_then(|e| e.dbname.as_deref());
        let from_url = entry.and_then(|e| e.target.as_ref()?.database.as_deref());
        named.or(from_url).unwrap_or(database)
    }

    /// What logs `user` in upstream: the configuration's password for it, else the client's own.
    fn credential(&self, entry: Option<&Database>, user: &str, own: &Credential) -> Credential {
        let target = self.target(entry);
        let forced = entry.filter(|e| e.user.is_some());
        let password = match forced {
            Some(entry) => entry.password.clone(),
            None if user == target.user => target.password.clone(),
            // A SCRAM verifier is no password: the login left the keys that open the upstream.
            None => self
                .users
                .get(user)
                .and_then(|u| u.password.clone())
                .filter(|p| !matches!(Verifier::parse(p.expose()), Ok(Verifier::Scram(_)))),
        };
        match (forced, password) {
            (_, Some(password)) => Credential::Password(password),
            (Some(_), None) => Credential::None,
            (None, None) => own.clone(),
        }
    }

    fn limits(&self, entry: Option<&Database>, user: &str) -> Limits {
        let user = self.users.get(user);
        let pool = &self.pool;
        let size_max = user
            .and_then(|u| u.pool_size_max)
            .or(entry.and_then(|e| e.pool_size_max))
            .unwrap_or(pool.size_max);
        Limits {
            size_max,
            idle_min: entry
                .and_then(|e| e.pool_idle_min)
                .unwrap_or(pool.idle_min)
                .min(size_max),
            timeout: pool.timeout,
            wait_notice: pool.wait_notice,
            idle_timeout: pool.idle_timeout,
            lifetime_max: pool.lifetime_max,
            queue_max: pool.queue_max,
            statements_max: pool.statements_max,
            pins_max: pool.pins_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Flags, load};

    const FILE: &str = "
        upstream.url = 'postgres://u:p@127.0.0.1:1/main'
        [databases.same]
        dbname = 'main'
        [databases.spelled]
        url = 'postgres://other:p@127.0.0.1:1/main'
        [databases.another]
        dbname = 'second'
        [databases.elsewhere]
        url = 'postgres://u:p@127.0.0.1:2/main'";

    fn config() -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.toml");
        std::fs::write(&path, FILE).unwrap();
        let variable = (
            "PGWEIR_CONFIG".to_owned(),
            path.to_str().unwrap().to_owned(),
        );
        let env: Environment = [variable].into_iter().collect();
        load(&Flags::default(), &env).unwrap().config
    }

    #[tokio::test]
    async fn names_of_one_database_share_its_catalog() {
        let config = config();
        let plan = Plan {
            upstream: config.upstream,
            pool: config.pool,
            databases: config.databases,
            users: config.auth.users,
            declared: Arc::default(),
        };
        let pools = Pools::new(plan.clone());
        let find = |name: &str, user: &str| {
            let found = pools.find(name, user, &Credential::None).unwrap();
            Arc::clone(&found.pool.catalog)
        };
        let main = find("main", "u");
        for (name, user) in [("main", "v"), ("same", "u"), ("spelled", "u")] {
            assert!(Arc::ptr_eq(&main, &find(name, user)), "{name}");
        }
        for name in ["another", "elsewhere"] {
            assert!(!Arc::ptr_eq(
                main.generations(),
                find(name, "u").generations()
            ));
        }
        // Sessions of an earlier plan write to what those of the next one read.
        let mut next = plan;
        next.pool.catalog_poll *= 2;
        pools.replan(next);
        let later = find("main", "u");
        assert!(!Arc::ptr_eq(&main, &later));
        assert!(Arc::ptr_eq(main.generations(), later.generations()));
    }
}
