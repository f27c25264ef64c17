//! What the console can say: the configuration and the databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use crate::admin::view::{Detail, View};
use crate::admin::{Facts, Purge, Table, show};
use crate::config::{Database, Host, Loaded, Reload, Secret, Target, Word};
use crate::pool::pools::{Plan, Pools};
use crate::reason::Reason;
use crate::session::caching::Shared;
use crate::wire::error::PgError;
use crate::wire::trouble;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) pools: Arc<Pools>,
    pub(super) caching: Option<Arc<Shared>>,
    /// `SHOW CONFIG`, which changes with each reload.
    settings: ArcSwap<Table>,
    pub(super) started: SystemTime,
    /// The process is stopping.
    pub(super) draining: Arc<AtomicBool>,
    /// How many connections there are.
    pub(super) running: watch::Receiver<usize>,
    pub(super) clients_max: AtomicUsize,
    pub(super) cache_bytes_max: u64,
    /// What allows changes by HTTP.
    pub(super) token: ArcSwapOption<Secret>,
}

impl Known {
    pub(super) fn new(
        (pools, caching): (Arc<Pools>, Option<Arc<Shared>>),
        (draining, running): (Arc<AtomicBool>, watch::Receiver<usize>),
        loaded: &Loaded,
    ) -> Self {
        let config = &loaded.config;
        Self {
            pools,
            caching,
            settings: ArcSwap::from_pointee(settings(loaded)),
            started: SystemTime::now(),
            draining,
            running,
            clients_max: AtomicUsize::new(config.listen.clients_max),
            cache_bytes_max: config.cache.bytes_max.0,
            token: ArcSwapOption::from(config.admin.token.clone().map(Arc::new)),
        }
    }

    pub(super) fn reload(&self, loaded: &Loaded) {
        let config = &loaded.config;
        let clients_max = config.listen.clients_max;
        self.clients_max.store(clients_max, Ordering::Relaxed);
        self.token.store(config.admin.token.clone().map(Arc::new));
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
        let mut table = Table::of(show::CACHE);
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
        add("compared", audited.compared.to_string());
        add("differed", audited.differed.to_string());
        table
    }

    fn queries(&self) -> Table {
        let mut table = Table::of(show::QUERIES);
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
        let mut table = Table::of(show::TABLES);
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
        let mut table = Table::of(show::BYPASSES);
        for (reason, count) in self.pools.metrics().total().not_hits() {
            table.rows.push(vec![
                Some(reason.as_str().to_owned()),
                Some(count.to_string()),
                Some(reason.sentence().to_owned()),
            ]);
        }
        table
    }

    fn config(&self) -> Table {
        Table::clone(&self.settings.load())
    }

    fn databases(&self) -> Table {
        databases(&self.pools.plan())
    }

    fn view(&self, detail: Detail) -> View {
        super::view::view(self, detail)
    }

    fn purge(&self, what: &Purge) -> Result<u64, PgError> {
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
            PgError::error(
                &trouble::CONSOLE_NO_SUCH,
                format!("nothing is known of the {kind} \"{name}\""),
            )
        })
    }
}
