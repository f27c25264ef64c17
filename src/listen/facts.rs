//! What the console can say: the configuration, the databases, the cache. Clients and upstreams are
//! in [`people`](super::people), what it can do in [`actions`](super::actions).

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::orders::Desk;
use crate::admin::{Action, Dialect, Doing, Facts, Show, Table, columns};
use crate::config::{Database, Host, Listen, Loaded, Reload, Target, Word, pgbouncer};
use crate::limits::{Counts, Kind};
use crate::pool::pools::{Plan, Pools};
use crate::reason::Reason;
use crate::session::caching::Shared;
use crate::session::cancel::Registry;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) pools: Arc<Pools>,
    pub(super) caching: Option<Arc<Shared>>,
    pub(super) registry: Arc<Registry>,
    pub(super) counts: Arc<Counts>,
    pub(super) desk: Desk,
    pub(super) listen: ArcSwap<Listen>,
    /// `SHOW CONFIG`, which changes with each reload.
    settings: ArcSwap<Table>,
}

impl Known {
    pub(super) fn new(
        loaded: &Loaded,
        (pools, caching): (Arc<Pools>, Option<Arc<Shared>>),
        (registry, counts): (Arc<Registry>, Arc<Counts>),
        desk: Desk,
    ) -> Self {
        Self {
            pools,
            caching,
            registry,
            counts,
            desk,
            listen: ArcSwap::from_pointee(loaded.config.listen.clone()),
            settings: ArcSwap::from_pointee(settings(loaded)),
        }
    }

    pub(super) fn reload(&self, loaded: &Loaded) {
        self.listen.store(Arc::new(loaded.config.listen.clone()));
        self.settings.store(Arc::new(settings(loaded)));
    }
}

/// A value.
pub(super) fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

/// A number.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is a value among others that may be NULL"
)]
pub(super) fn int(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// The rows of `SHOW CONFIG`.
fn settings(loaded: &Loaded) -> Table {
    let mut table = Table::of(columns::CONFIG);
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

/// The same with PgBouncer's columns, and with its names for what it has, too.
fn for_pgbouncer(settings: &Table) -> Table {
    let mut table = Table::of(columns::CONFIG);
    let origin = table.columns.pop();
    for row in &settings.rows {
        let [Some(key), rest @ .., _] = row.as_slice() else {
            continue;
        };
        for key in [key.as_str()].into_iter().chain(pgbouncer::theirs(key)) {
            let key = std::iter::once(text(key));
            table.rows.push(key.chain(rest.iter().cloned()).collect());
        }
    }
    debug_assert!(origin.is_some_and(|origin| origin.name == "origin"));
    // There is none, and its exporter asks for it.
    let none = ["max_user_connections", "0", "0", "no"];
    table.rows.push(none.map(text).to_vec());
    table
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

impl Known {
    fn cache(&self) -> Table {
        let mut table = Table::of(columns::CACHE);
        let mut add = |name: &str, value: String| {
            table.rows.push(vec![Some(name.to_owned()), Some(value)]);
        };
        let Some(shared) = &self.caching else {
            add("level", "off".to_owned());
            return table;
        };
        let (policy, usage, audited) = (shared.policy.load(), shared.usage(), shared.audited());
        add("level", policy.level.as_str().to_owned());
        add("mode", policy.mode.as_str().to_owned());
        add("entries", usage.entries.to_string());
        add("bytes", usage.bytes.to_string());
        for (reason, count) in shared.stats.snapshot() {
            if matches!(
                reason,
                Reason::Hit | Reason::Miss | Reason::Expired | Reason::Stale
            ) {
                add(reason.as_str(), count.to_string());
            }
        }
        add("compared", audited.compared.to_string());
        add("differed", audited.differed.to_string());
        table
    }

    fn queries(&self) -> Table {
        let mut table = Table::of(columns::QUERIES);
        for report in self.caching.iter().flat_map(|shared| shared.queries()) {
            table.rows.push(vec![
                Some(report.shape),
                Some(report.database),
                Some(report.calls.to_string()),
                Some(report.hits.to_string()),
                Some(report.misses.to_string()),
                Some(report.bypasses.to_string()),
                report.reason,
                Some(report.text),
            ]);
        }
        table
    }

    fn tables(&self) -> Table {
        let mut table = Table::of(columns::TABLES);
        let reports = self.caching.iter().flat_map(|shared| shared.tables());
        for ((database, name), report) in reports {
            table.rows.push(vec![
                Some(database),
                Some(name),
                Some(report.reads.to_string()),
                Some(report.hits.to_string()),
                Some(report.writes.to_string()),
                Some(report.invalidations.to_string()),
            ]);
        }
        table
    }

    fn bypasses(&self) -> Table {
        let mut table = Table::of(columns::BYPASSES);
        for (reason, count) in self.caching.iter().flat_map(|shared| shared.bypasses()) {
            table.rows.push(vec![
                Some(reason.as_str().to_owned()),
                Some(count.to_string()),
                Some(reason.sentence().to_owned()),
            ]);
        }
        table
    }

    /// Those with a section of their own, the one in the URL, and those in use.
    fn databases(&self) -> Table {
        let plan = self.pools.plan();
        let mut table = Table::of(columns::DATABASES);
        for name in self.pools.databases() {
            table.rows.push(self.database(&plan, &name));
        }
        table
    }

    fn database(&self, plan: &Plan, name: &str) -> Vec<Option<String>> {
        let entry = plan.databases.get(name);
        let of_entry = |field: fn(&Database) -> Option<usize>| entry.and_then(field);
        let (host, port) = place(plan.target(entry));
        let pools = self.pools.of(Some(name)).unwrap_or_default();
        let upstreams: usize = pools.iter().map(|pool| pool.upstreams().len()).sum();
        let clients = self.counts.of(&Kind::Database(name.into()));
        let clients_max = self.listen.load().clients_per_database_max;
        let valve = self.pools.valve(name);
        vec![
            text(name),
            host,
            port,
            text(plan.dbname(name)),
            entry.and_then(|e| e.user.clone()),
            int(of_entry(|e| e.pool_size_max).unwrap_or(plan.pool.size_max)),
            int(of_entry(|e| e.pool_idle_min).unwrap_or(plan.pool.idle_min)),
            int(0),
            text(plan.mode(name).as_str()),
            // No limit over the pools of all users.
            int(0),
            int(upstreams),
            int(of_entry(|e| e.clients_max).unwrap_or(clients_max)),
            int(clients),
            int(u8::from(valve.is_paused())),
            int(u8::from(valve.is_disabled())),
        ]
    }

    fn state(&self) -> Table {
        let mut table = Table::of(columns::STATE);
        let paused = self.pools.is_paused();
        for (key, is) in [
            ("active", !paused),
            ("paused", paused),
            ("suspended", false),
        ] {
            let value = if is { "yes" } else { "no" };
            table.rows.push(vec![text(key), text(value)]);
        }
        table
    }
}

impl Facts for Known {
    fn show(&self, what: Show, dialect: Dialect) -> Table {
        match what {
            // Those need no facts.
            Show::Help | Show::Version => Table::default(),
            Show::Pools => self.pools(),
            Show::Clients => self.clients(),
            Show::Servers => self.servers(),
            Show::Sockets => self.sockets(),
            Show::ActiveSockets => self.active_sockets(),
            Show::Databases => self.databases(),
            Show::Users => self.users(),
            Show::Lists => self.lists(),
            Show::Config => match dialect {
                Dialect::Whole => Table::clone(&self.settings.load()),
                Dialect::PgBouncer => for_pgbouncer(&self.settings.load()),
            },
            Show::Mem => self.mem(),
            Show::State => self.state(),
            Show::Pins => self.pins(),
            Show::Cache => self.cache(),
            Show::Queries => self.queries(),
            Show::Tables => self.tables(),
            Show::Bypasses => self.bypasses(),
        }
    }

    fn act<'a>(&'a self, action: &'a Action) -> Doing<'a> {
        Box::pin(self.perform(action))
    }
}
