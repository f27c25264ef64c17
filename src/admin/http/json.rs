//! The same facts as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::admin::view::{CacheView, Name, Unready, View};
use crate::admin::{Kind, Listed, People, Table};
use crate::metrics::errors::Told;
use crate::metrics::histogram::Counted;
use crate::metrics::logins::Failure;
use crate::metrics::{Snapshot, Sum};
use crate::pool::status::Status;
use crate::reason::Reason;
use crate::session::report::{QueryReport, TableReport};

/// Seconds since 1970.
pub(super) fn instant(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// `/readyz`.
pub(super) fn readiness(unready: &[Unready]) -> Value {
    let reasons: Vec<Value> = unready
        .iter()
        .map(|why| json!({"reason": why.as_str(), "message": why.sentence()}))
        .collect();
    json!({"ready": unready.is_empty(), "reasons": reasons})
}

/// `/api/v1/overview`, and each event of `/api/v1/events`.
pub(super) fn overview(view: &View) -> Value {
    let total = view.total();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": instant(view.at),
        "started": instant(view.started),
        "uptime_seconds": view.uptime().as_secs_f64(),
        "ready": readiness(&view.unready),
        "clients": {"connected": view.clients, "max": view.clients_max},
        "total": counts(&total),
        "upstreams": status(&view.upstreams()),
        "cache": view.cache.as_ref().map(cache),
        "changeable": view.changeable,
    })
}

/// `/api/v1/pools`: each pool, and what its clients did.
pub(super) fn pools(view: &View) -> Value {
    let mut list = Vec::new();
    for (name, of) in &view.counts {
        let pool = view.pools.iter().find(|(pool, _)| pool == name);
        list.push(json!({
            "database": name.database,
            "user": name.user,
            // None: all its clients are gone, and its counts are left.
            "upstreams": pool.map(|(_, of)| status(of)),
            "counts": counts(of),
        }));
    }
    Value::Array(list)
}

/// `/api/v1/bypasses`: why queries were not answered from memory.
pub(super) fn bypasses(view: &View) -> Value {
    let list = view.total().not_hits();
    let one = |(reason, count): (Reason, u64)| json!({"reason": reason.as_str(), "queries": count, "meaning": reason.sentence(), "remedy": reason.remedy()});
    list.into_iter().map(one).collect()
}

/// `/api/v1/errors`: by database, user and class.
pub(super) fn errors(view: &View) -> Value {
    let mut list = Vec::new();
    for (Name { database, user }, counts) in &view.counts {
        for (class, count) in &counts.errors {
            list.push(json!({"database": database, "user": user, "class": class, "errors": count}));
        }
    }
    Value::Array(list)
}

/// Rows of each list of the page: what a person looks at.
pub(super) const SHOWN_MAX: usize = 20;

/// `/api/v1/dashboard`: the lists of the page at one moment, what matters most first.
pub(super) fn dashboard(view: &View) -> Value {
    let mut costly: Vec<&QueryReport> = view.queries.iter().collect();
    costly.sort_by_key(|report| std::cmp::Reverse(report.counts.split.upstream));
    let mut moved: Vec<_> = view.tables.iter().collect();
    moved.sort_by_key(|(_, report)| std::cmp::Reverse((report.invalidations, report.writes)));
    let shapes: Value = costly.into_iter().take(SHOWN_MAX).map(query).collect();
    let tables: Value = moved
        .into_iter()
        .take(SHOWN_MAX)
        .map(table_report)
        .collect();
    json!({
        "pools": pools(view),
        "shapes": shapes,
        "tables": tables,
        "bypasses": bypasses(view),
        "errors": errors(view),
        "last_errors": last_errors(view),
        "logins": logins(view),
    })
}

/// `/api/v1/errors/last`: the latest kinds, without a word of the errors' own.
pub(super) fn last_errors(view: &View) -> Value {
    let one = |(Name { database, user }, told): &(Name, Told)| json!({"at": instant(told.at), "database": database, "user": user, "severity": told.severity, "sqlstate": told.sqlstate, "code": told.trouble.map(|trouble| trouble.id), "what": told.what(), "hint": told.trouble.map(|trouble| trouble.hint), "times": told.times});
    view.last_errors.iter().map(one).collect()
}

/// `/api/v1/logins`: clients that did not get in, by reason.
pub(super) fn logins(view: &View) -> Value {
    let happened = view.logins.iter().filter(|(_, count)| *count > 0);
    let one = |(why, count): &(Failure, u64)| json!({"reason": why.as_str(), "failures": count, "meaning": why.sentence()});
    happened.map(one).collect()
}

/// `/api/v1/tables`.
pub(super) fn tables(view: &View) -> Value {
    view.tables.iter().map(table_report).collect()
}

fn table_report(((database, table), report): (&(String, String), &TableReport)) -> Value {
    json!({
        "database": database,
        "table": table,
        "reads": report.reads,
        "hits": report.hits,
        "writes": report.writes,
        "invalidations": report.invalidations,
    })
}

/// `/api/v1/queries`: one for each shape, the most frequent first.
pub(super) fn queries(view: &View) -> Value {
    view.queries.iter().map(query).collect()
}

fn query(report: &QueryReport) -> Value {
    let counts = &report.counts;
    let split = counts.split;
    let reasons = Reason::ALL.into_iter().map(|why| (why, counts.of(why)));
    let last = counts.last;
    json!({
        "shape": report.shape,
        "database": report.database,
        "text": report.text,
        "calls": report.calls,
        "hits": report.hits,
        "misses": report.misses,
        "bypasses": report.bypasses,
        "reasons": by_reason(reasons),
        "last_reason": report.reason,
        "last_meaning": last.map(Reason::sentence),
        "remedy": last.map(Reason::remedy),
        "rows": counts.rows,
        "bytes": counts.bytes,
        "invalidations": counts.invalidated,
        "invalidated_by": report.invalidated_by,
        "first_byte_seconds": quantiles(report.to_first),
        "last_byte_seconds": quantiles(report.to_last),
        "seconds": {
            "queue": split.queue.as_secs_f64(),
            "upstream": split.upstream.as_secs_f64(),
            "client": split.client.as_secs_f64(),
        },
    })
}

/// A table of the console: a list of objects, numbers as numbers.
pub(super) fn table(table: &Table) -> Value {
    let row = |row: &Vec<Option<String>>| {
        let cells = table.columns.iter().zip(row);
        let cells = cells.map(|(column, cell)| (column.name.to_owned(), value(column.kind, cell)));
        Value::Object(cells.collect())
    };
    table.rows.iter().map(row).collect()
}

fn value(kind: Kind, cell: &Option<String>) -> Value {
    let Some(cell) = cell else {
        return Value::Null;
    };
    let number = match kind {
        Kind::Text => None,
        Kind::Int => cell.parse::<i64>().ok().map(|number| json!(number)),
        Kind::Float => cell.parse::<f64>().ok().map(|number| json!(number)),
    };
    number.unwrap_or_else(|| json!(cell))
}

/// `/api/v1/clients`.
pub(super) fn clients(people: &People) -> Value {
    listed("clients", &people.clients)
}

/// `/api/v1/pins`.
pub(super) fn pins(people: &People) -> Value {
    listed("pins", &people.pins)
}

/// The rows, and how many there are in all.
fn listed(name: &str, list: &Listed) -> Value {
    json!({"count": list.count, name: table(&list.table)})
}

/// Each event `people` of `/api/v1/events`.
pub(super) fn people(people: &People) -> Value {
    json!({"clients": clients(people), "pins": pins(people)})
}

/// What a handle, or all of them, counted.
pub(super) fn counts(counts: &Snapshot) -> Value {
    let reasons = Reason::ALL.into_iter().map(|why| (why, counts.of(why)));
    let errors = counts.errors.iter();
    let errors: Map<String, Value> = errors
        .map(|(class, count)| ((*class).to_owned(), json!(count)))
        .collect();
    let time = |sum| seconds(counts.time(sum));
    json!({
        "queries": counts.queries(),
        "hits": counts.of(Reason::Hit),
        "misses": counts.misses(),
        "bypasses": counts.bypasses(),
        "reasons": by_reason(reasons),
        "transactions": counts.transactions(),
        "received_bytes": counts.sum(Sum::BytesIn),
        "sent_bytes": counts.sum(Sum::BytesOut),
        "pins": counts.sum(Sum::Pins),
        "errors": errors,
        "connect_failures": counts.connects_failed,
        "seconds": {
            "memory": seconds(counts.from_memory.total),
            "queue": seconds(counts.queue.total),
            "upstream": time(Sum::UpstreamTime),
            "client": time(Sum::ClientTime),
            "transactions": time(Sum::TransactionTime),
        },
        "times": {
            "memory": histogram(&counts.from_memory),
            "first_byte": histogram(&counts.to_first),
            "last_byte": histogram(&counts.to_last),
            "queue": histogram(&counts.queue),
            "connect": histogram(&counts.connect),
        },
    })
}

fn by_reason(reasons: impl Iterator<Item = (Reason, u64)>) -> Map<String, Value> {
    let happened = reasons.filter(|(_, count)| *count > 0);
    happened
        .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
        .collect()
}

/// Count, sum and quantiles; without the buckets, which `/metrics` has.
pub(super) fn histogram(counted: &Counted) -> Value {
    let of = |share| counted.quantile(share);
    json!({
        "count": counted.count(),
        "sum": seconds(counted.total),
        "p50": of(0.5),
        "p95": of(0.95),
        "p99": of(0.99),
    })
}

fn quantiles(found: Option<[f64; 3]>) -> Option<Value> {
    found.map(|[p50, p95, p99]| json!({"p50": p50, "p95": p95, "p99": p99}))
}

pub(super) fn status(status: &Status) -> Value {
    json!({
        "size_max": status.size_max,
        "active": status.active,
        "idle": status.idle,
        "pinned": status.pinned,
        "pins_max": status.pins_max,
        "waiting": status.waiting,
        "live": status.live,
        "failure": status.failure,
    })
}

fn cache(cache: &CacheView) -> Value {
    json!({
        "level": cache.level,
        "mode": cache.mode,
        "entries": cache.usage.entries,
        "bytes": cache.usage.bytes,
        "bytes_max": cache.bytes_max,
        "filling_bytes": cache.usage.filling,
        "compared": cache.audited.compared,
        "differed": cache.audited.differed,
    })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
