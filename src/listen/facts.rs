//! What the console can say: the configuration, the databases, the cache. Clients and upstreams are
//! in [`people`](super::people), what it can do in [`actions`](super::actions).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::orders::Desk;
use super::stats::{Notes, Stats};
use crate::admin::view::{Detail, View};
use crate::admin::{Action, Dialect, Doing, Facts, People, Purge, Show, Table, columns};
use crate::config::{Database, Host, Listen, Loaded, Reload, Secret, Target, Word};
use crate::limits::{Counts, Kind};
use crate::metrics::shape::ShapeCounts;
use crate::migrate::names;
use crate::pool::pools::{Plan, Pools};
use crate::reason::Reason;
use crate::session::caching::Shared;
use crate::session::cancel::Registry;
use crate::wire::error::PgError;

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
    pub(super) started: SystemTime,
    /// The process is stopping.
    pub(super) draining: Arc<AtomicBool>,
    /// How many connections there are.
    pub(super) running: watch::Receiver<usize>,
    pub(super) cache_bytes_max: u64,
    pub(super) notes: Notes,
    /// What allows changes by HTTP.
    pub(super) token: ArcSwapOption<Secret>,
}

impl Known {
    pub(super) fn new(
        loaded: &Loaded,
        (pools, caching): (Arc<Pools>, Option<Arc<Shared>>),
        (registry, counts): (Arc<Registry>, Arc<Counts>),
        (draining, running, desk): (Arc<AtomicBool>, watch::Receiver<usize>, Desk),
    ) -> Self {
        let config = &loaded.config;
        Self {
            pools,
            caching,
            registry,
            counts,
            desk,
            listen: ArcSwap::from_pointee(loaded.config.listen.clone()),
            settings: ArcSwap::from_pointee(settings(loaded)),
            started: SystemTime::now(),
            notes: Notes::default(),
            draining,
            running,
            cache_bytes_max: config.cache.bytes_max.0,
            token: ArcSwapOption::from(config.admin.token.clone().map(Arc::new)),
        }
    }

    pub(super) fn reload(&self, loaded: &Loaded) {
        let config = &loaded.config;
        self.listen.store(Arc::new(config.listen.clone()));
        self.token.store(config.admin.token.clone().map(Arc::new));
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

/// Seconds in milliseconds.
fn millis(seconds: f64) -> Option<String> {
    text(format!("{:.3}", seconds * 1_000.0))
}

/// A part of the whole, from 0 to 1; nothing of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "it is rounded for people anyway"
)]
fn ratio(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| format!("{:.3}", part as f64 / whole as f64))
}

/// How often which reason was one, the most frequent first.
fn reasons(counts: &ShapeCounts) -> String {
    let all = Reason::ALL
        .into_iter()
        .map(|reason| (reason, counts.of(reason)));
    let mut all: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words = all
        .iter()
        .map(|(reason, count)| format!("{}: {count}", reason.as_str()));
    words.collect::<Vec<_>>().join(", ")
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
        for key in [key.as_str()].into_iter().chain(names::theirs(key)) {
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
        let total = self.pools.metrics().total();
        for reason in [Reason::Hit, Reason::Miss, Reason::Expired, Reason::Stale] {
            add(reason.as_str(), total.of(reason).to_string());
        }
        // Of all queries, as on the page and in the metrics.
        let queries = Reason::ALL.iter().map(|reason| total.of(*reason)).sum();
        let share = ratio(total.of(Reason::Hit), queries);
        add("hit_ratio", share.unwrap_or_default());
        add("compared", audited.compared.to_string());
        add("differed", audited.differed.to_string());
        table
    }

    fn queries(&self) -> Table {
        let mut table = Table::of(columns::QUERIES);
        for report in self.caching.iter().flat_map(|shared| shared.queries()) {
            let split = report.counts.split;
            let quantiles =
                |of: Option<[f64; 3]>| of.map_or([const { None }; 3], |q| q.map(millis));
            let mut row = vec![
                text(report.shape),
                text(report.database),
                int(report.calls),
                int(report.hits),
                int(report.misses),
                int(report.bypasses),
                report.reason,
                text(reasons(&report.counts)),
                int(report.counts.rows),
                int(report.counts.bytes),
            ];
            row.extend(quantiles(report.to_first));
            row.extend(quantiles(report.to_last));
            let times = [split.queue, split.upstream, split.client];
            row.extend(times.map(|time| millis(time.as_secs_f64())));
            row.extend([report.invalidated_by, text(report.text)]);
            table.rows.push(row);
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
                ratio(report.hits, report.reads),
            ]);
        }
        table
    }

    fn bypasses(&self) -> Table {
        let mut table = Table::of(columns::BYPASSES);
        for (reason, count) in self.pools.metrics().total().not_hits() {
            table.rows.push(vec![
                Some(reason.as_str().to_owned()),
                Some(count.to_string()),
                Some(reason.sentence().to_owned()),
                Some(reason.remedy().to_owned()),
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
            Show::Stats => self.stats(Stats::Both),
            Show::StatsTotals => self.stats(Stats::Totals),
            Show::StatsAverages => self.stats(Stats::Averages),
            Show::Cache => self.cache(),
            Show::Queries => self.queries(),
            Show::Tables => self.tables(),
            Show::Bypasses => self.bypasses(),
        }
    }

    fn people(&self, most: usize) -> People {
        Self::people(self, most)
    }

    fn act<'a>(&'a self, action: &'a Action) -> Doing<'a> {
        Box::pin(self.perform(action))
    }

    fn view(&self, detail: Detail) -> View {
        super::view::view(self, detail)
    }

    fn purge(&self, what: &Purge) -> Result<u64, PgError> {
        self.forget(what)
    }
}
