//! What the console does to pools and clients.

use super::facts::Known;
use super::orders::Order;
use crate::admin::{Action, Done, Purge};
use crate::pool::pools::Pools;
use crate::session::census::Purpose;
use crate::wire::error::PgError;
use crate::wire::trouble;

/// A pause that is not complete yet. Whoever gives up on it takes it back.
struct Pausing<'a> {
    pools: &'a Pools,
    database: Option<&'a str>,
    /// It was paused before, or it is complete now: nothing is taken back.
    stays: bool,
}

impl<'a> Pausing<'a> {
    fn new(pools: &'a Pools, database: Option<&'a str>) -> Result<Self, PgError> {
        let stays = match database {
            Some(database) => pools.valve(database).is_paused(),
            None => pools.is_paused(),
        };
        pools.stop(database)?;
        Ok(Self {
            pools,
            database,
            stays,
        })
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        if !self.stays {
            // The database was there when the pause began.
            let _resumed = self.pools.resume(self.database);
        }
    }
}

impl Known {
    /// See [`Facts::act`](crate::admin::Facts::act).
    pub(super) async fn perform(&self, action: &Action) -> Result<Done, PgError> {
        let pools = &self.pools;
        let mut done = Done::default();
        match action {
            Action::Pause(database) => self.pause(database.as_deref()).await?,
            Action::Resume(database) => pools.resume(database.as_deref())?,
            Action::Disable(database) => pools.disable(database, true)?,
            Action::Enable(database) => pools.disable(database, false)?,
            Action::Reconnect(database) => {
                let named = pools.of(database.as_deref())?;
                named.iter().for_each(|pool| pool.reconnect());
            }
            Action::WaitClose(database) => {
                for pool in pools.of(database.as_deref())? {
                    pool.renewed().await;
                }
            }
            Action::Kill(database) => self.kill(database.as_deref()).await?,
            Action::KillClient(id) => self.kill_client(*id)?,
            Action::Reload => done.notices = self.desk.ask(Order::Reload).await?,
            Action::Set(key, value) => {
                let value = value.as_ref().map(|value| value.expose().to_owned());
                let order = |reply| Order::Set(key, value, reply);
                done.notices = self.desk.ask(order).await?;
            }
            Action::Purge(what) => done.count = Some(self.forget(what)?),
            Action::Shutdown(when) => self.desk.tell(Order::Shutdown(*when)).await?,
        }
        Ok(done)
    }

    async fn pause(&self, database: Option<&str>) -> Result<(), PgError> {
        let mut pausing = Pausing::new(&self.pools, database)?;
        for pool in self.pools.of(database)? {
            pool.drain().await;
        }
        pausing.stays = true;
        Ok(())
    }

    /// Clients of the console are not clients of a database.
    async fn kill(&self, database: Option<&str>) -> Result<(), PgError> {
        self.pools.stop(database)?;
        for client in self.registry.census() {
            let who = client.who();
            if who.purpose != Purpose::Console && database.is_none_or(|name| *name == *who.database)
            {
                client.kill();
            }
        }
        for pool in self.pools.of(database)? {
            pool.drain().await;
        }
        Ok(())
    }

    fn kill_client(&self, id: u64) -> Result<(), PgError> {
        let clients = self.registry.census();
        match clients.iter().find(|client| client.id() == id) {
            Some(client) => {
                client.kill();
                Ok(())
            }
            None => Err(PgError::error(
                &trouble::CONSOLE_NO_SUCH,
                format!("there is no client {id}"),
            )
            .hint("SHOW CLIENTS lists the ids, in its last column.")),
        }
    }

    /// Forgets results; how many.
    pub(super) fn forget(&self, what: &Purge) -> Result<u64, PgError> {
        let Some(shared) = &self.caching else {
            return Ok(0);
        };
        let (purged, kind, name) = match what {
            Purge::All => return Ok(shared.purge_all()),
            Purge::Table(name) => (shared.purge_table(name), "table", name),
            Purge::Shape(name) => (shared.purge_shape(name), "shape", name),
            Purge::Database(name) => (shared.purge_database(name), "database", name),
        };
        purged.ok_or_else(|| {
            let text = format!("nothing is known of the {kind} \"{name}\"");
            PgError::error(&trouble::CONSOLE_NO_SUCH, text)
        })
    }
}
