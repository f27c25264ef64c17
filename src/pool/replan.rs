//! A new configuration reaches the pools that run.
//!
//! A pool that would be made the same way again stays. Another one gets a successor, and sessions go
//! over to that with their next transaction.

use std::sync::{Arc, Weak};

use super::Pool;
use super::pools::{Found, Plan, Pools, State};
use crate::config::UpstreamTls;
use crate::tls::Error;
use crate::tls::client::Connector;

impl Pools {
    /// From now on pools are made after this plan, and with the TLS that [`Pools::renewed`] has found.
    pub fn replan(&self, plan: Plan, Renewed(connectors): Renewed) {
        let mut state = self.state();
        let same = |(_, now): &(_, Arc<Connector>)| {
            let mut known = state.connectors.iter();
            known.any(|(_, known)| Arc::ptr_eq(known, now))
        };
        let same_files = connectors.iter().all(same);
        if *state.plan == plan && same_files {
            return;
        }
        state.connectors = connectors;
        let before = std::mem::replace(&mut state.plan, Arc::new(plan));
        state.keep_catalogs(&before, same_files);
        state.retired.retain(|pool| pool.strong_count() > 0);
        for ((database, user), pool) in std::mem::take(&mut state.pools) {
            if state.stays(&before, &pool) {
                state.pools.insert((database, user), pool);
            } else if Arc::strong_count(&pool) > 1 {
                state.succeed(&pool);
            }
        }
    }

    /// The ways to use TLS that are known and wanted, those made anew whose files are others under the
    /// same names.
    ///
    /// # Errors
    /// A file that cannot be used any more.
    pub fn renewed(&self, plan: &Plan) -> Result<Renewed, Error> {
        // Nobody waits for the files.
        let mut connectors = self.state().connectors.clone();
        connectors.retain(|(tls, _)| plan.uses(tls));
        for (tls, connector) in &mut connectors {
            let now = Connector::new(tls)?;
            if !now.is_like(connector) {
                *connector = Arc::new(now);
            }
        }
        Ok(Renewed(connectors))
    }
}

/// What [`Pools::renewed`] has found.
#[derive(Debug)]
pub struct Renewed(Vec<(UpstreamTls, Arc<Connector>)>);

impl State {
    /// Forgets the catalogs that would not be kept the same way again; so do those that may have been
    /// reached by TLS that is another now.
    fn keep_catalogs(&mut self, before: &Plan, same_files: bool) {
        let now = Arc::clone(&self.plan);
        let stays = now.believes(before) && same_files;
        self.catalogs.retain(|_, kept| {
            let kept = kept.upgrade().filter(|_| stays);
            kept.is_some_and(|kept| now.logs_in_as(before, &kept.database, &kept.user))
        });
    }

    /// Whether a pool is as it would be made now.
    fn stays(&self, before: &Plan, pool: &Pool) -> bool {
        let (database, user, now) = (pool.database(), pool.user(), &self.plan);
        let catalogs = self.catalogs.values().filter_map(Weak::upgrade);
        now.logs_in_as(before, database, user)
            && now.mode(database) == before.mode(database)
            && now.pool.pin == before.pool.pin
            && now.limits(now.databases.get(database), user)
                == before.limits(before.databases.get(database), user)
            && catalogs
                .into_iter()
                .any(|kept| Arc::ptr_eq(&kept, &pool.catalog))
    }

    /// Another one takes this pool's place.
    fn succeed(&mut self, pool: &Arc<Pool>) {
        let (database, user) = (pool.database(), pool.user());
        let plan = Arc::clone(&self.plan);
        let credential = plan.credential(plan.databases.get(database), user, &pool.credential());
        match self.make((database, user), credential) {
            Ok(made) => {
                let key = (database.into(), user.into());
                self.pools.insert(key, Arc::clone(&made));
                pool.retire(Found {
                    pool: made,
                    mode: plan.mode(database),
                    pin: plan.pool.pin,
                });
            }
            Err(error) => {
                tracing::error!(database, user, %error, "sessions keep the pool that they have");
            }
        }
        self.retired.push(Arc::downgrade(pool));
    }
}
