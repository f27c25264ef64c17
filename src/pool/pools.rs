//! All pools of the process, made when their first client comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Pool;
use super::home::Home;
use super::upstream::{Credential, Login};
use super::valve::Valve;
use crate::cache::generation::Generations;
use crate::catalog::Server;
use crate::config::{PinPolicy, PoolMode, UpstreamTls};
use crate::metrics::Metrics;
use crate::tls::client::Connector;
use crate::wire::error::PgError;
use crate::wire::trouble;

pub use super::home::Kept;
pub use super::plan::Plan;

/// Pools at a time. Each has a timer and, while it is used, upstreams; a user name for each of a
/// million customers would be better served by one forced upstream user.
const POOLS_MAX: usize = 1_000;

/// See the module's text.
#[derive(Debug)]
pub struct Pools {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    metrics: Arc<Metrics>,
    pub(super) plan: Arc<Plan>,
    pub(super) pools: HashMap<(Box<str>, Box<str>), Arc<Pool>>,
    /// Of an earlier plan, as long as sessions use them.
    pub(super) retired: Vec<Weak<Pool>>,
    /// By the clients' name of the database; those that stop nothing and nobody uses are forgotten.
    pub(super) valves: HashMap<Box<str>, Arc<Valve>>,
    /// Everything is paused, also what nobody has asked for yet.
    pub(super) paused: bool,
    /// Kept by the pools that use them.
    pub(super) catalogs: HashMap<Home, Weak<Kept>>,
    /// Outlive a plan as long as a catalog of an earlier one is in use: what sessions of one plan
    /// write, those of the next must not have from the cache.
    pub(super) generations: HashMap<Home, Weak<Generations>>,
    /// Kept by the catalogs of their databases.
    pub(super) servers: HashMap<Box<[String]>, Weak<Server>>,
    /// One for each way to use TLS, so that pools of one target resume each other's sessions.
    pub(super) connectors: Vec<(UpstreamTls, Arc<Connector>)>,
}

/// A pool and the rules its sessions live by.
#[derive(Clone, Debug)]
pub struct Found {
    pub pool: Arc<Pool>,
    pub mode: PoolMode,
    pub pin: PinPolicy,
}

impl Pools {
    /// Counting for itself.
    pub fn new(plan: Plan) -> Self {
        Self::counting(plan, Arc::default())
    }

    /// Counting there.
    pub fn counting(plan: Plan, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(&metrics),
            state: Mutex::new(State {
                metrics,
                plan: Arc::new(plan),
                pools: HashMap::new(),
                retired: Vec::new(),
                valves: HashMap::new(),
                paused: false,
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

    /// What new pools are made after.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.state().plan)
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
        let mode = plan.mode(database);
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
        let pool = state.make((database, upstream_user), credential)?;
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
        if plan.mode(database) != PoolMode::Session {
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
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

    /// A new pool of this database and upstream user. Its limits are that user's: who asks for it first is
    /// only one of those who share it.
    pub(super) fn make(
        &mut self,
        name: (&str, &str),
        credential: Credential,
    ) -> Result<Arc<Pool>, PgError> {
        let (database, user) = name;
        let login = self.login(database, user, credential.clone())?;
        let catalog = self.catalog(database, user, credential)?;
        let limits = self.plan.limits(self.plan.databases.get(database), user);
        let known = (catalog, self.valve(database));
        let metrics = self.metrics.handle(database, user);
        Ok(Pool::new(metrics, name, limits, login, known))
    }

    pub(super) fn login(
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
        url = 'postgres://u:p@127.0.0.1:2/main'
        [databases.shared]
        user = 'one'
        password = 'p'
        [[users]]
        name = 'one'
        pool_size_max = 3
        [[users]]
        name = 'guest'
        pool_size_max = 1";

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

    fn plan() -> Plan {
        let config = config();
        Plan {
            upstream: config.upstream,
            pool: config.pool,
            databases: config.databases,
            users: config.auth.users,
            declared: Arc::default(),
        }
    }

    /// Whoever came first would decide for all, until the next reload.
    #[tokio::test]
    async fn a_shared_pool_has_the_limits_of_its_own_user() {
        for first in ["guest", "anybody", "one"] {
            let pools = Pools::new(plan());
            let found = pools.find("shared", first, &Credential::None).unwrap();
            assert_eq!(found.pool.limits.size_max, 3, "{first}");
        }
    }

    /// Certificates are renewed under the same names, and the configuration stays as it is.
    #[tokio::test]
    async fn pools_follow_the_files_of_their_tls() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("ca.crt");
        let renew = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            std::fs::write(&root, params.self_signed(&key).unwrap().pem()).unwrap();
        };
        renew();
        let mut plan = plan();
        plan.upstream.tls.mode = crate::config::SslMode::VerifyCa;
        plan.upstream.tls.root_cert = Some(root.clone());
        let pools = Pools::new(plan.clone());
        let find = || pools.find("main", "u", &Credential::None).unwrap().pool;
        let replan = || pools.replan(plan.clone(), pools.renewed(&plan).unwrap());
        let first = find();
        replan();
        assert!(Arc::ptr_eq(&first, &find()));
        renew();
        replan();
        let next = find();
        assert!(!Arc::ptr_eq(&first, &next));
        assert!(!Arc::ptr_eq(&first.catalog, &next.catalog));
        std::fs::write(&root, "no certificate").unwrap();
        assert!(pools.renewed(&plan).is_err());
    }

    #[tokio::test]
    async fn names_of_one_database_share_its_catalog() {
        let plan = plan();
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
        let renewed = pools.renewed(&next).unwrap();
        pools.replan(next, renewed);
        let later = find("main", "u");
        assert!(!Arc::ptr_eq(&main, &later));
        assert!(Arc::ptr_eq(main.generations(), later.generations()));
    }
}
