//! A new configuration reaches the pools that run.
//!
//! A pool that would be made the same way again stays. Another one gets a successor, and sessions go
//! over to that with their next transaction.

use std::sync::{Arc, Weak};

use super::Pool;
use super::pools::{Found, Plan, Pools, State};

impl Pools {
    /// From now on pools are made after this plan.
    pub fn replan(&self, plan: Plan) {
        let mut state = self.state();
        if *state.plan == plan {
            return;
        }
        let before = std::mem::replace(&mut state.plan, Arc::new(plan));
        state.keep_catalogs(&before);
        // Their certificates may be others under the same names.
        state.connectors.clear();
        state.retired.retain(|pool| pool.strong_count() > 0);
        for ((database, user), pool) in std::mem::take(&mut state.pools) {
            if state.stays(&before, &pool) {
                state.pools.insert((database, user), pool);
            } else if Arc::strong_count(&pool) > 1 {
                state.succeed(&pool);
            }
        }
    }
}

impl State {
    /// Forgets the catalogs that would not be kept the same way again.
    fn keep_catalogs(&mut self, before: &Plan) {
        let now = Arc::clone(&self.plan);
        let stays = now.believes(before);
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
        match self.make((database, user), user, credential) {
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
