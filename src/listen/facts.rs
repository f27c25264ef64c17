//! What the console can say: the configuration and the databases.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::admin::{Facts, Purge, Table, show};
use crate::config::{Database, Host, Loaded, Reload, Target, Word};
use crate::pool::pools::{Plan, Pools};
use crate::wire::error::PgError;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Known {
    pools: Arc<Pools>,
    /// `SHOW CONFIG`, which changes with each reload.
    settings: ArcSwap<Table>,
}

impl Known {
    pub(super) fn new(pools: Arc<Pools>, loaded: &Loaded) -> Self {
        Self {
            pools,
            settings: ArcSwap::from_pointee(settings(loaded)),
        }
    }

    pub(super) fn reload(&self, loaded: &Loaded) {
        self.settings.store(Arc::new(settings(loaded)));
    }
}

/// The rows of `SHOW CONFIG`.
fn settings(loaded: &Loaded) -> Table {
    let mut table = Table::of(show::CONFIG);
    for line in loaded.lines() {
        let changeable = match line.reload {
            Reload::Live => "yes",
            Reload::Restart => "no",
        };
        table.rows.push(vec![
            Some(line.key),
            line.value,
            line.default.map(str::to_owned),
            Some(changeable.to_owned()),
            Some(line.origin),
        ]);
    }
    table
}

/// The rows of `SHOW DATABASES`: those with a section of their own, and the one in the URL.
fn databases(plan: &Plan) -> Table {
    let mut table = Table::of(show::DATABASES);
    let from_url = plan.upstream.database.as_deref();
    let from_url = from_url.filter(|name| !plan.databases.contains_key(*name));
    let named = plan.databases.iter();
    let all = named.map(|(name, entry)| (name.as_str(), Some(entry)));
    for (name, entry) in all.chain(from_url.map(|name| (name, None))) {
        table.rows.push(database(plan, name, entry));
    }
    table
}

fn database(plan: &Plan, name: &str, entry: Option<&Database>) -> Vec<Option<String>> {
    let of_entry = |field: fn(&Database) -> Option<usize>| entry.and_then(field);
    let target = entry.and_then(|e| e.target.as_ref());
    let dbname = entry
        .and_then(|e| e.dbname.as_deref())
        .or(target.and_then(|target| target.database.as_deref()))
        .unwrap_or(name);
    let (host, port) = place(target.unwrap_or(&plan.upstream));
    let mode = entry.and_then(|e| e.pool_mode).unwrap_or(plan.pool.mode);
    let size = of_entry(|e| e.pool_size_max).unwrap_or(plan.pool.size_max);
    let idle = of_entry(|e| e.pool_idle_min).unwrap_or(plan.pool.idle_min);
    vec![
        Some(name.to_owned()),
        host,
        port,
        Some(dbname.to_owned()),
        entry.and_then(|e| e.user.clone()),
        Some(size.to_string()),
        Some(idle.to_string()),
        Some(mode.as_str().to_owned()),
    ]
}

/// All hosts, and the first one's port.
fn place(target: &Target) -> (Option<String>, Option<String>) {
    let host = |host: &Host| match host {
        Host::Tcp { host, .. } => host.clone(),
        Host::Unix { directory, .. } => directory.display().to_string(),
    };
    let hosts: Vec<String> = target.hosts.iter().map(host).collect();
    let port = target.hosts.first().map(|host| match host {
        Host::Tcp { port, .. } | Host::Unix { port, .. } => port.to_string(),
    });
    (Some(hosts.join(",")), port)
}

impl Facts for Known {
    fn cache(&self) -> Table {
        Table::of(show::CACHE)
    }

    fn queries(&self) -> Table {
        Table::of(show::QUERIES)
    }

    fn tables(&self) -> Table {
        Table::of(show::TABLES)
    }

    fn bypasses(&self) -> Table {
        Table::of(show::BYPASSES)
    }

    fn config(&self) -> Table {
        Table::clone(&self.settings.load())
    }

    fn databases(&self) -> Table {
        databases(&self.pools.plan())
    }

    fn purge(&self, _what: &Purge) -> Result<u64, PgError> {
        Err(PgError::error(
            "0A000",
            "this version keeps no results that could be purged",
        ))
    }
}
