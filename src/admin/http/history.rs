//! The last hour in steps, for charts: a ring of what was counted in each.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::json::instant;
use crate::admin::view::View;
use crate::metrics::histogram::Counted;
use crate::metrics::{Snapshot, Sum};
use crate::reason::Reason;

/// How long a step is.
pub const STEP: Duration = Duration::from_secs(10);

/// Steps that are kept: an hour of them, some hundred kilobytes.
pub const STEPS_MAX: usize = 360;

/// What was counted in one step, and what stood at its end.
#[derive(Clone, Debug)]
struct Step {
    at: SystemTime,
    counters: [u64; COUNTERS.len()],
    times: [f64; TIMES.len()],
    quantiles: [Option<[f64; 3]>; QUANTILES.len()],
    gauges: [u64; GAUGES.len()],
}

/// A series' name, and where its values come from.
type Row<From, To> = (&'static str, fn(&From) -> To);

/// The same, for what is looked at only.
type RowOf<From, To> = (&'static str, fn(&From) -> &To);

/// What grows: how much more it is than at the step before.
const COUNTERS: [Row<Snapshot, u64>; 9] = [
    ("queries", Snapshot::queries),
    ("hits", |counts| counts.of(Reason::Hit)),
    ("misses", Snapshot::misses),
    ("bypasses", Snapshot::bypasses),
    ("transactions", Snapshot::transactions),
    ("received_bytes", |counts| counts.sum(Sum::BytesIn)),
    ("sent_bytes", |counts| counts.sum(Sum::BytesOut)),
    ("pins", |counts| counts.sum(Sum::Pins)),
    ("errors", |counts| {
        counts.errors.iter().map(|(_, count)| count).sum()
    }),
];

/// Seconds that were spent, likewise.
const TIMES: [Row<Snapshot, Duration>; 4] = [
    ("memory", |counts| counts.from_memory.total),
    ("queue", |counts| counts.queue.total),
    ("upstream", |counts| counts.time(Sum::UpstreamTime)),
    ("client", |counts| counts.time(Sum::ClientTime)),
];

/// Of what came in the step: p50, p95 and p99 in seconds.
const QUANTILES: [RowOf<Snapshot, Counted>; 4] = [
    ("memory", |counts| &counts.from_memory),
    ("first_byte", |counts| &counts.to_first),
    ("last_byte", |counts| &counts.to_last),
    ("queue", |counts| &counts.queue),
];

/// What stands at its end.
const GAUGES: [Row<View, u64>; 7] = [
    ("clients", |view| view.clients as u64),
    ("active", |view| view.upstreams().active as u64),
    ("idle", |view| view.upstreams().idle as u64),
    ("pinned", |view| view.upstreams().pinned as u64),
    ("waiting", |view| view.upstreams().waiting as u64),
    ("cache_bytes", |view| {
        view.cache.as_ref().map_or(0, |cache| cache.usage.bytes)
    }),
    ("cache_entries", |view| {
        view.cache.as_ref().map_or(0, |cache| cache.usage.entries)
    }),
];

/// See the module's text.
#[derive(Debug, Default)]
pub struct History {
    steps: VecDeque<Step>,
    last: Snapshot,
}

impl History {
    /// A step has ended with this.
    pub fn push(&mut self, view: &View) {
        let now = view.total();
        let last = std::mem::replace(&mut self.last, now.clone());
        let step = Step {
            at: view.at,
            counters: COUNTERS.map(|(_, of)| of(&now).saturating_sub(of(&last))),
            times: TIMES.map(|(_, of)| of(&now).saturating_sub(of(&last)).as_secs_f64()),
            quantiles: QUANTILES.map(|(_, of)| {
                let came = of(&now).since(of(&last));
                Some([
                    came.quantile(0.5)?,
                    came.quantile(0.95)?,
                    came.quantile(0.99)?,
                ])
            }),
            gauges: GAUGES.map(|(_, of)| of(view)),
        };
        if self.steps.len() >= STEPS_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// A list for each series, the oldest step first; `null` where nothing was counted.
    pub fn json(&self) -> Value {
        let series = |of: &dyn Fn(&Step) -> Value| -> Value { self.steps.iter().map(of).collect() };
        let mut counters = serde_json::Map::new();
        for (at, (name, _)) in COUNTERS.iter().enumerate() {
            let values = series(&|step| json!(step.counters.get(at)));
            counters.insert((*name).to_owned(), values);
        }
        let mut seconds = serde_json::Map::new();
        for (at, (name, _)) in TIMES.iter().enumerate() {
            let values = series(&|step| json!(step.times.get(at)));
            seconds.insert((*name).to_owned(), values);
        }
        let mut gauges = serde_json::Map::new();
        for (at, (name, _)) in GAUGES.iter().enumerate() {
            let values = series(&|step| json!(step.gauges.get(at)));
            gauges.insert((*name).to_owned(), values);
        }
        let mut quantiles = serde_json::Map::new();
        for (at, (name, _)) in QUANTILES.iter().enumerate() {
            let mut of = serde_json::Map::new();
            for (which, share) in ["p50", "p95", "p99"].into_iter().enumerate() {
                let found = |step: &Step| {
                    let found = step.quantiles.get(at).copied().flatten();
                    found.and_then(|found| found.get(which).copied())
                };
                of.insert(share.to_owned(), series(&|step| json!(found(step))));
            }
            quantiles.insert((*name).to_owned(), Value::Object(of));
        }
        json!({
            "step_seconds": STEP.as_secs(),
            "at": series(&|step| json!(instant(step.at))),
            "counters": counters,
            "seconds": seconds,
            "times": quantiles,
            "gauges": gauges,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::http::tests::view;
    use crate::metrics::Metrics;

    #[test]
    fn a_step_has_what_came_in_it() {
        let metrics = Metrics::default();
        let handle = metrics.handle("d", "u");
        let mut history = History::default();
        history.push(&view(&metrics));
        handle.count(Reason::Hit);
        handle.from_memory.record(Duration::from_millis(3));
        handle.count(Reason::Write);
        history.push(&view(&metrics));
        handle.count(Reason::Stale);
        history.push(&view(&metrics));
        let json = history.json();
        assert_eq!(json["counters"]["queries"], json!([0, 2, 1]));
        assert_eq!(json["counters"]["hits"], json!([0, 1, 0]));
        assert_eq!(json["counters"]["misses"], json!([0, 0, 1]));
        assert_eq!(json["seconds"]["memory"], json!([0.0, 0.003, 0.0]));
        let p50 = &json["times"]["memory"]["p50"];
        assert!(
            p50[0].is_null() && p50[1].as_f64().unwrap() >= 0.003,
            "{p50}"
        );
        assert_eq!(json["at"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn it_forgets_what_is_older_than_an_hour() {
        let metrics = Metrics::default();
        let mut history = History::default();
        for _ in 0..STEPS_MAX + 5 {
            metrics.handle("d", "u").count(Reason::Hit);
            history.push(&view(&metrics));
        }
        let json = history.json();
        let hits = json["counters"]["hits"].as_array().unwrap();
        assert_eq!(hits.len(), STEPS_MAX);
        assert_eq!(u64::try_from(STEPS_MAX).unwrap() * STEP.as_secs(), 3600);
    }
}
