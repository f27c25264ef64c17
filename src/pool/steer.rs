//! What an administrator does to pools: PAUSE, RESUME, DISABLE, ENABLE, RECONNECT.
//!
//! Databases go by the names that clients have for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pool;
use super::pools::{Pools, State};
use super::valve::Valve;
use crate::config::nearest;
use crate::wire::error::PgError;
use crate::wire::trouble;

impl Pools {
    /// All pools, also those of an earlier plan that sessions still use.
    pub fn all(&self) -> Vec<Arc<Pool>> {
        let state = self.state();
        let retired = state.retired.iter().filter_map(std::sync::Weak::upgrade);
        let mut all: Vec<Arc<Pool>> = state
            .pools
            .values()
            .map(Arc::clone)
            .chain(retired)
            .collect();
        drop(state);
        all.sort_by(|a, b| (a.database(), a.user()).cmp(&(b.database(), b.user())));
        all
    }

    /// What is stopped of this database.
    pub fn valve(&self, database: &str) -> Arc<Valve> {
        self.state().valve(database)
    }

    /// The databases that are configured or in use.
    pub fn databases(&self) -> BTreeSet<String> {
        let plan = self.plan();
        let mut names: BTreeSet<String> = plan.databases.keys().cloned().collect();
        names.extend(plan.upstream.database.clone());
        names.extend(self.all().iter().map(|pool| pool.database().to_owned()));
        let state = self.state();
        let stopped = state.valves.iter().filter(|(_, valve)| !valve.is_idle());
        names.extend(stopped.map(|(name, _)| name.to_string()));
        names
    }

    /// Whether everything is paused.
    pub fn is_paused(&self) -> bool {
        self.state().paused
    }

    /// The pools of this database, or all.
    ///
    /// # Errors
    /// There is no such database; the nearest is named.
    pub fn of(&self, database: Option<&str>) -> Result<Vec<Arc<Pool>>, PgError> {
        self.check(database)?;
        let mut pools = self.all();
        pools.retain(|pool| database.is_none_or(|name| name == pool.database()));
        Ok(pools)
    }

    /// No leases any more of this database, or of any.
    ///
    /// # Errors
    /// There is no such database.
    pub fn stop(&self, database: Option<&str>) -> Result<(), PgError> {
        self.pause(database, true)
    }

    /// Leases again.
    ///
    /// # Errors
    /// There is no such database.
    pub fn resume(&self, database: Option<&str>) -> Result<(), PgError> {
        self.pause(database, false)
    }

    fn pause(&self, database: Option<&str>, paused: bool) -> Result<(), PgError> {
        self.check(database)?;
        let mut state = self.state();
        match database {
            Some(database) => state.valve(database).pause(paused),
            None => {
                state.paused = paused;
                state.valves.values().for_each(|valve| valve.pause(paused));
            }
        }
        Ok(())
    }

    /// Refuses new clients of this database, or lets them in again.
    ///
    /// # Errors
    /// There is no such database.
    pub fn disable(&self, database: &str, disabled: bool) -> Result<(), PgError> {
        self.check(Some(database))?;
        self.valve(database).disable(disabled);
        Ok(())
    }

    /// Whether a new client of this database may come in.
    ///
    /// # Errors
    /// What it is told when it may not.
    pub fn admit(&self, database: &str) -> Result<(), PgError> {
        let state = self.state();
        let valve = state.valves.get(database);
        if valve.is_some_and(|valve| valve.is_disabled()) {
            let text = format!("database \"{database}\" is disabled");
            return Err(PgError::fatal(&trouble::DISABLED, text));
        }
        Ok(())
    }

    fn check(&self, database: Option<&str>) -> Result<(), PgError> {
        let Some(database) = database else {
            return Ok(());
        };
        let known = self.databases();
        if known.contains(database) {
            return Ok(());
        }
        let near = nearest(database, known.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("Did you mean \"{near}\"? "));
        let text = format!("there is no database \"{database}\"");
        Err(
            PgError::error(&trouble::CONSOLE_NO_DATABASE, text).hint(format!(
                "{near}SHOW DATABASES lists those that are configured or in use."
            )),
        )
    }
}

impl State {
    /// What is stopped of this database.
    pub(super) fn valve(&mut self, database: &str) -> Arc<Valve> {
        if let Some(valve) = self.valves.get(database) {
            return Arc::clone(valve);
        }
        // What stops something is kept, and there are only as many names of it as were typed.
        let paused = self.paused;
        self.valves.retain(|_, valve| {
            Arc::strong_count(valve) > 1 || valve.is_disabled() || valve.is_paused() != paused
        });
        let valve = Arc::new(Valve::new(paused));
        self.valves.insert(database.into(), Arc::clone(&valve));
        valve
    }
}
