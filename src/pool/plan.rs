//! What pools are made after.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Limits;
use super::upstream::Credential;
use crate::catalog::Declared;
use crate::config::{self, Database, PoolMode, Target, UpstreamTls, User};
use crate::wire::auth::Verifier;

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

impl Plan {
    pub(crate) fn target<'a>(&'a self, entry: Option<&'a Database>) -> &'a Target {
        entry
            .and_then(|e| e.target.as_ref())
            .unwrap_or(&self.upstream)
    }

    /// Whether upstreams are reached by this TLS.
    pub(super) fn uses(&self, tls: &UpstreamTls) -> bool {
        let own = self.databases.values().filter_map(|e| e.target.as_ref());
        own.chain([&self.upstream]).any(|target| target.tls == *tls)
    }

    /// The mode of this database's pools.
    pub fn mode(&self, database: &str) -> PoolMode {
        let entry = self.databases.get(database);
        entry.and_then(|e| e.pool_mode).unwrap_or(self.pool.mode)
    }

    /// What the upstream calls the database that clients call `database`.
    pub(crate) fn dbname<'a>(&'a self, database: &'a str) -> &'a str {
        let entry = self.databases.get(database);
        let named = entry.and_then(|e| e.dbname.as_deref());
        let from_url = entry.and_then(|e| e.target.as_ref()?.database.as_deref());
        named.or(from_url).unwrap_or(database)
    }

    /// What logs `user` in upstream: the configuration's password for it, else the client's own.
    pub(super) fn credential(
        &self,
        entry: Option<&Database>,
        user: &str,
        own: &Credential,
    ) -> Credential {
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

    /// Whether the upstreams of a pool are the same under both plans: where they are, and how `user`
    /// (the upstream's) logs in.
    pub(super) fn logs_in_as(&self, other: &Self, database: &str, user: &str) -> bool {
        let of = |plan: &Self| {
            let entry = plan.databases.get(database);
            let password = plan.users.get(user).and_then(|user| user.password.clone());
            let forced = entry.map(|entry| (entry.user.clone(), entry.password.clone()));
            (plan.target(entry).clone(), forced, password)
        };
        self.dbname(database) == other.dbname(database) && of(self) == of(other)
    }

    /// Whether the same is believed of all databases, and looked at as often.
    pub(super) fn believes(&self, other: &Self) -> bool {
        self.declared == other.declared && self.pool.catalog_poll == other.pool.catalog_poll
    }

    pub(super) fn limits(&self, entry: Option<&Database>, user: &str) -> Limits {
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
