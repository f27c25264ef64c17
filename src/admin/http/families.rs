//! Every metric there is: its name, what it means, and where its values come from.

use std::time::SystemTime;

use crate::admin::view::{Name, View};
use crate::metrics::histogram::Counted;
use crate::metrics::{Snapshot, Sum};
use crate::pool::status::Status;
use crate::reason::Reason;
use crate::session::report::TableReport;

/// Shapes of queries that have metrics of their own, the most frequent: each is some dozen series, and
/// the rest is in `/api/v1/queries`.
pub const SHAPES_MAX: usize = 50;

/// Tables that have.
pub const TABLES_MAX: usize = 100;

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// The word of the text formats.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, whatever its labels' values.
#[derive(Debug)]
pub struct Family {
    /// Without the `_total` of a counter.
    pub name: &'static str,
    pub kind: Kind,
    /// The labels of each of its samples, in order.
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// Appends its samples.
    collect: fn(&View, &mut Samples),
}

impl Family {
    /// As queries name it: counters end in `_total`.
    pub fn sample_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }

    /// What it is measured in, if the name says so.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| self.name.ends_with(unit))
    }

    /// Its samples now.
    pub fn samples(&self, view: &View) -> Vec<Sample> {
        let mut samples = Samples(Vec::new());
        (self.collect)(view, &mut samples);
        samples.0
    }
}

/// One value with its labels' values, which are as many as the family has labels.
#[derive(Debug)]
pub struct Sample {
    pub labels: Vec<String>,
    pub value: Value,
}

/// What a sample says.
#[derive(Debug)]
pub enum Value {
    Count(u64),
    Number(f64),
    Histogram(Counted),
}

/// Samples in the making.
struct Samples(Vec<Sample>);

impl Samples {
    fn add<const N: usize>(&mut self, labels: [&str; N], value: Value) {
        self.0.push(Sample {
            labels: labels.map(str::to_owned).to_vec(),
            value,
        });
    }

    fn count<const N: usize>(&mut self, labels: [&str; N], count: u64) {
        self.add(labels, Value::Count(count));
    }

    fn size<const N: usize>(&mut self, labels: [&str; N], count: usize) {
        self.add(labels, Value::Count(count as u64));
    }

    fn number<const N: usize>(&mut self, labels: [&str; N], number: f64) {
        self.add(labels, Value::Number(number));
    }

    /// One for each database and user.
    fn each(&mut self, view: &View, value: impl Fn(&Snapshot) -> Value) {
        for (name, counts) in &view.counts {
            self.add([&name.database, &name.user], value(counts));
        }
    }

    /// One for each pool.
    fn pools(&mut self, view: &View, value: impl Fn(&Status) -> usize) {
        for (Name { database, user }, status) in &view.pools {
            self.size([database, user], value(status));
        }
    }
}

/// The tables that are read and written most.
fn busiest(view: &View) -> impl Iterator<Item = (&(String, String), &TableReport)> {
    let mut all: Vec<_> = view.tables.iter().collect();
    all.sort_by_key(|(_, report)| std::cmp::Reverse(report.reads + report.writes));
    all.into_iter().take(TABLES_MAX)
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

const DU: &[&str] = &["database", "user"];
const SHAPE: &[&str] = &["database", "shape"];
const TABLE: &[&str] = &["database", "table"];

/// Rows: `Kind "name" [labels], "help" => collect;`
macro_rules! families {
    ($($kind:ident $name:literal $labels:expr, $help:literal => $collect:expr;)*) => {
        &[$(Family {
            name: $name,
            kind: Kind::$kind,
            labels: $labels,
            help: $help,
            collect: $collect,
        }),*]
    };
}

/// All of them, in the order of `/metrics` and of docs/metrics.md.
pub static FAMILIES: &[Family] = families! {
    Gauge "pgweir_build" &["version"], "Always 1; the version is in the label" => |_, to| {
        to.count([env!("CARGO_PKG_VERSION")], 1);
    };
    Gauge "pgweir_start_time_seconds" &[], "When the process started, in seconds since 1970" => |view, to| {
        to.number([], seconds(view.started));
    };
    Gauge "pgweir_ready" &[], "1 when /readyz says that clients are welcome, else 0" => |view, to| {
        to.count([], u64::from(view.unready.is_empty()));
    };
    Gauge "pgweir_clients" &[], "Client connections, those that are logging in included" => |view, to| {
        to.size([], view.clients);
    };
    Gauge "pgweir_clients_limit" &[], "How many there may be (listen.clients_max)" => |view, to| {
        to.size([], view.clients_max);
    };
    Counter "pgweir_queries" &["database", "user", "result", "reason"],
        "Queries by what became of them: hit, miss or bypass, and the reason in one word" => |view, to| {
        for (name, counts) in &view.counts {
            for reason in Reason::ALL.into_iter().filter(|reason| counts.of(*reason) > 0) {
                let labels = [name.database.as_str(), &name.user, reason.result(), reason.as_str()];
                to.count(labels, counts.of(reason));
            }
        }
    };
    Counter "pgweir_transactions" DU, "Transactions that ended; a query outside of one is one" => |view, to| {
        to.each(view, |counts| Value::Count(counts.transactions()));
    };
    Counter "pgweir_errors" &["database", "user", "class"],
        "Errors that clients were told, by the first two characters of their SQLSTATE" => |view, to| {
        for (name, counts) in &view.counts {
            for (class, count) in &counts.errors {
                to.count([&name.database, &name.user, class], *count);
            }
        }
    };
    Counter "pgweir_login_failures" &["reason"], "Clients that did not get in, by reason in one word" => |view, to| {
        for (why, count) in &view.logins {
            to.count([why.as_str()], *count);
        }
    };
    Counter "pgweir_received_bytes" DU, "Bytes from clients, after their login" => |view, to| {
        to.each(view, |counts| Value::Count(counts.sum(Sum::BytesIn)));
    };
    Counter "pgweir_sent_bytes" DU, "Bytes to clients, after their login" => |view, to| {
        to.each(view, |counts| Value::Count(counts.sum(Sum::BytesOut)));
    };
    Histogram "pgweir_query_seconds" &["database", "user", "from"],
        "Time from a request to the last byte of its answer, from memory or from an upstream" => |view, to| {
        for (name, counts) in &view.counts {
            for (from, histogram) in [("memory", &counts.from_memory), ("upstream", &counts.to_last)] {
                to.add([&name.database, &name.user, from], Value::Histogram(histogram.clone()));
            }
        }
    };
    Histogram "pgweir_first_byte_seconds" DU,
        "Time from a request to the first byte of its answer from an upstream" => |view, to| {
        to.each(view, |counts| Value::Histogram(counts.to_first.clone()));
    };
    Histogram "pgweir_queue_seconds" DU,
        "Time that requests waited for an upstream to be free or to be connected" => |view, to| {
        to.each(view, |counts| Value::Histogram(counts.queue.clone()));
    };
    Histogram "pgweir_connect_seconds" DU, "Time that connecting to upstreams took, login included" => |view, to| {
        to.each(view, |counts| Value::Histogram(counts.connect.clone()));
    };
    Counter "pgweir_connect_failures" DU, "Upstream connections that could not be made" => |view, to| {
        to.each(view, |counts| Value::Count(counts.connects_failed));
    };
    Counter "pgweir_upstream_busy_seconds" DU,
        "Time in which upstreams worked on requests, the way to them included" => |view, to| {
        to.each(view, |counts| Value::Number(counts.time(Sum::UpstreamTime).as_secs_f64()));
    };
    Counter "pgweir_client_wait_seconds" DU,
        "Time in which upstreams waited inside of a transaction for their client to go on" => |view, to| {
        to.each(view, |counts| Value::Number(counts.time(Sum::ClientTime).as_secs_f64()));
    };
    Counter "pgweir_transaction_seconds" DU,
        "Time that transactions on upstreams took, from their first request to their end" => |view, to| {
        to.each(view, |counts| Value::Number(counts.time(Sum::TransactionTime).as_secs_f64()));
    };
    Counter "pgweir_pins" DU, "Sessions that came to hold their upstream beyond the transaction" => |view, to| {
        to.each(view, |counts| Value::Count(counts.sum(Sum::Pins)));
    };
    Counter "pgweir_spans" &["outcome"],
        "Spans of queries: sent to telemetry.endpoint, dropped because the queue was full, or failed to be sent" => |view, to| {
        let spans = view.exported;
        for (outcome, count) in [
            ("sent", spans.sent),
            ("dropped", spans.dropped),
            ("failed", spans.failed),
        ] {
            to.count([outcome], count);
        }
    };
    Gauge "pgweir_pool_upstreams" &["database", "user", "state"],
        "Upstream connections: active (leased), idle, or pinned beyond the pool's size" => |view, to| {
        for (Name { database, user }, status) in &view.pools {
            for (state, count) in [
                ("active", status.active),
                ("idle", status.idle),
                ("pinned", status.pinned),
            ] {
                to.size([database, user, state], count);
            }
        }
    };
    Gauge "pgweir_pool_limit" DU, "Upstream connections that a pool may have (pool.size_max)" => |view, to| {
        to.pools(view, |status| status.size_max);
    };
    Gauge "pgweir_pool_pins_limit" DU, "Pinned ones that it may have besides (pool.pins_max)" => |view, to| {
        to.pools(view, |status| status.pins_max);
    };
    Gauge "pgweir_pool_waiting" DU, "Clients that wait for an upstream" => |view, to| {
        to.pools(view, |status| status.waiting);
    };
    Gauge "pgweir_cache_bytes" &[], "Memory that results take, keys and bookkeeping included" => |view, to| {
        if let Some(cache) = &view.cache {
            to.count([], cache.usage.bytes);
        }
    };
    Gauge "pgweir_cache_limit_bytes" &[], "How much they may take (cache.bytes_max)" => |view, to| {
        if let Some(cache) = &view.cache {
            to.count([], cache.bytes_max);
        }
    };
    Gauge "pgweir_cache_entries" &[], "Results in memory" => |view, to| {
        if let Some(cache) = &view.cache {
            to.count([], cache.usage.entries);
        }
    };
    Counter "pgweir_cache_compared" &[],
        "Answers from memory that were compared with the database's own (cache.audit, cache.mode)" => |view, to| {
        if let Some(cache) = &view.cache {
            to.count([], cache.audited.compared);
        }
    };
    Counter "pgweir_cache_differed" &[], "Those of them that differed" => |view, to| {
        if let Some(cache) = &view.cache {
            to.count([], cache.audited.differed);
        }
    };
    Counter "pgweir_table_reads" TABLE, "Queries of the shapes in memory that read the table" => |view, to| {
        for ((database, table), report) in busiest(view) {
            to.count([database, table], report.reads);
        }
    };
    Counter "pgweir_table_hits" TABLE, "Those of them that were answered from memory" => |view, to| {
        for ((database, table), report) in busiest(view) {
            to.count([database, table], report.hits);
        }
    };
    Counter "pgweir_table_writes" TABLE, "Queries of the shapes in memory that write to it" => |view, to| {
        for ((database, table), report) in busiest(view) {
            to.count([database, table], report.writes);
        }
    };
    Counter "pgweir_table_invalidations" TABLE,
        "Lookups that found a result out of date because something it reads was written" => |view, to| {
        for ((database, table), report) in busiest(view) {
            to.count([database, table], report.invalidations);
        }
    };
    Counter "pgweir_shape_queries" &["database", "shape", "result"],
        "Queries of a shape, of the most frequent shapes; the console's SHOW QUERIES has their texts" => |view, to| {
        for query in view.queries.iter().take(SHAPES_MAX) {
            for (result, count) in [
                ("hit", query.hits),
                ("miss", query.misses),
                ("bypass", query.bypasses),
            ] {
                to.count([&query.database, &query.shape, result], count);
            }
        }
    };
    Counter "pgweir_shape_rows" SHAPE, "Rows that its queries returned or changed" => |view, to| {
        for query in view.queries.iter().take(SHAPES_MAX) {
            to.count([&query.database, &query.shape], query.counts.rows);
        }
    };
    Counter "pgweir_shape_sent_bytes" SHAPE, "Bytes that its clients were sent" => |view, to| {
        for query in view.queries.iter().take(SHAPES_MAX) {
            to.count([&query.database, &query.shape], query.counts.bytes);
        }
    };
    Counter "pgweir_shape_seconds" &["database", "shape", "part"],
        "Where the time of those went that upstreams answered: queue, upstream, client" => |view, to| {
        for query in view.queries.iter().take(SHAPES_MAX) {
            let split = query.counts.split;
            for (part, time) in [
                ("queue", split.queue),
                ("upstream", split.upstream),
                ("client", split.client),
            ] {
                to.number([&query.database, &query.shape, part], time.as_secs_f64());
            }
        }
    };
};
