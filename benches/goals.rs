//! The goals, and what of them was reached in this run.

use std::fmt::Write;

use crate::contestant::{Entry, Who};
use crate::far::{STEPS, Way};
use crate::plan::{FAR, Results};
use crate::report::{CPU, P50, P99, RATE, Spread, Take};
use crate::rows::Part;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) work: &'static str,
    pub(crate) aim: &'static str,
    pub(crate) found: String,
    /// `None` when something that it needs was not measured.
    pub(crate) is_reached: Option<bool>,
}

/// At these numbers of clients processors are busy, and figures mean what they say.
const BUSY: [usize; 2] = [16, 64];

/// What a second worker thread has to add where the load itself leaves it a processor. The two
/// share the machine with what makes the load and, on a miss, with Postgres.
const SCALES: f64 = 1.5;

/// Strict order gives all clients the same number of turns, but for those under way at both ends.
const EVEN: f64 = 0.8;

/// Hyperdrive's own figures at its launch, in times faster than direct.
pub(crate) const HYPERDRIVE: &str =
    "Hyperdrive at its launch: 6 to 8 times uncached, 17 to 25 cached";

/// Worst and best of the medians of several rows.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: f64,
    most: f64,
}

impl Range {
    fn of(spreads: impl IntoIterator<Item = Spread>) -> Option<Self> {
        let all = Spread::of(spreads.into_iter().map(|spread| spread.median))?;
        Some(Self {
            least: all.least,
            most: all.most,
        })
    }

    fn text(range: Option<Self>) -> String {
        range.map_or_else(
            || "n/a".to_owned(),
            |range| format!("{:.2} to {:.2}", range.least, range.most),
        )
    }
}

impl Results {
    /// In all rows of these parts with so many clients.
    fn range(
        &self,
        parts: &[Part],
        clients: &[usize],
        of: (Who, Who),
        take: Take,
    ) -> Option<Range> {
        let cells = parts.iter().flat_map(|part| self.cells(*part));
        let cells = cells.filter(|cell| clients.contains(&cell.load.clients));
        Range::of(cells.filter_map(|cell| cell.ratio(of.0, of.1, take)))
    }
}

pub(crate) fn goals(results: &Results) -> Vec<Goal> {
    let mut all = vec![hits(results), misses(results), throughput(results)];
    all.extend([
        waits(results),
        connections(results),
        crowd(results),
        idle(results),
    ]);
    all.extend([distance(results), transaction(results), shapes(results)]);
    all
}

fn hits(results: &Results) -> Goal {
    let range = results.range(&[Part::Hits], &BUSY, (Who::Pgweir, Who::Canned), CPU);
    Goal {
        work: "CPU per hit, 16 and 64 clients",
        aim: "at most 1.35 times the canned responder",
        found: Range::text(range),
        is_reached: range.map(|range| range.most <= 1.35),
    }
}

fn misses(results: &Results) -> Goal {
    let parts = [Part::Misses, Part::Writes];
    let range = |who, to| results.range(&parts, &BUSY, (who, to), CPU);
    let relay = range(Who::Pgweir, Who::Relay);
    let peer = range(Who::Pgweir, Who::PgBouncer);
    Goal {
        work: "CPU per miss or write, 16 and 64 clients",
        aim: "at most 1.10 times the bare relay, below PgBouncer's in each row",
        found: format!(
            "{} times the relay, {} times PgBouncer (cache off: {}, {}; one worker: {}, {})",
            Range::text(relay),
            Range::text(peer),
            Range::text(range(Who::Uncached, Who::Relay)),
            Range::text(range(Who::Uncached, Who::PgBouncer)),
            Range::text(range(Who::OneWorker, Who::Relay)),
            Range::text(range(Who::OneWorker, Who::PgBouncer))
        ),
        is_reached: relay
            .zip(peer)
            .map(|(relay, peer)| relay.most <= 1.10 && peer.most < 1.0),
    }
}

fn throughput(results: &Results) -> Goal {
    let direct = results.range(&[Part::Hits], &[16], (Who::Pgweir, Who::Direct), RATE);
    let workers = (Who::Pgweir, Who::OneWorker);
    let plain = results.range(&[Part::Hits], &[16], workers, RATE);
    let mut batches = results.cells(Part::Batches);
    let batch = batches.find(|cell| cell.load.name == "hits");
    let batch = batch.and_then(|cell| cell.ratio(workers.0, workers.1, RATE));
    let batch_text = batch.map_or_else(|| "n/a".to_owned(), |b| format!("{:.2}", b.median));
    Goal {
        work: "throughput of hits, 16 clients",
        aim: "at least 3 times direct, scaling with the second core",
        found: format!(
            "{} times direct; all workers {} times one ({batch_text} in batches)",
            Range::text(direct),
            Range::text(plain)
        ),
        is_reached: direct
            .zip(batch)
            .map(|(d, b)| d.least >= 3.0 && b.median >= SCALES),
    }
}

fn waits(results: &Results) -> Goal {
    let range = |who, take| results.range(&[Part::Latency], &[16], (who, Who::Relay), take);
    let [p50, p99] = [P50, P99].map(|take| range(Who::Pgweir, take));
    let [one_p50, one_p99] = [P50, P99].map(|take| Range::text(range(Who::OneWorker, take)));
    Goal {
        work: "p50 and p99 of a miss, 16 clients",
        aim: "at most 1.10 and 1.20 times the bare relay",
        found: format!(
            "{} and {} (one worker: {one_p50} and {one_p99})",
            Range::text(p50),
            Range::text(p99)
        ),
        is_reached: p50
            .zip(p99)
            .map(|(p50, p99)| p50.most <= 1.10 && p99.most <= 1.20),
    }
}

fn connections(results: &Results) -> Goal {
    let clients: Vec<usize> = results
        .cells(Part::Connect)
        .map(|c| c.load.clients)
        .collect();
    let range = |take| {
        results.range(
            &[Part::Connect],
            &clients,
            (Who::Uncached, Who::PgBouncer),
            take,
        )
    };
    let (rate, cpu) = (range(RATE), range(CPU));
    Goal {
        work: "a connection per transaction, clear and TLS+SCRAM",
        aim: "more per second and less CPU each than PgBouncer",
        found: format!(
            "{} times as many, {} times the CPU",
            Range::text(rate),
            Range::text(cpu)
        ),
        is_reached: rate
            .zip(cpu)
            .map(|(rate, cpu)| rate.least > 1.0 && cpu.most < 1.0),
    }
}

fn crowd(results: &Results) -> Goal {
    let cells = || results.cells(Part::Crowd);
    let p99 = |who| Range::of(cells().filter_map(|cell| cell.ratio(who, Who::PgBouncer, P99)));
    let even = cells().filter_map(|cell| cell.spread(Who::Pgweir, |sample| sample.evenness));
    let one = Range::text(p99(Who::OneWorker));
    let (p99, even) = (p99(Who::Pgweir), Range::of(even).map(|range| range.least));
    let text = |figure: Option<f64>| figure.map_or_else(|| "n/a".to_owned(), |f| format!("{f:.2}"));
    Goal {
        work: "p99, 1,000 active clients on 16 upstreams",
        aim: "below PgBouncer's; first-come order holds",
        found: format!(
            "{} times PgBouncer's (one worker: {one}); fewest turns of a client {} of the most",
            Range::text(p99),
            text(even)
        ),
        is_reached: p99
            .zip(even)
            .map(|(p99, even)| p99.most < 1.0 && even >= EVEN),
    }
}

fn idle(results: &Results) -> Goal {
    let pairs = [Entry::Clear, Entry::Tls].map(|entry| {
        let own = results.each_kib(Who::Pgweir, entry);
        own.zip(results.each_kib(Who::PgBouncer, entry))
    });
    let text = pairs.map(|pair| {
        pair.map_or_else(
            || "n/a".to_owned(),
            |(own, other)| format!("{own:.1} to {other:.1} KiB"),
        )
    });
    let below = |pair: Option<(f64, f64)>| pair.map(|(own, other)| own < other);
    let [clear, tls] = pairs.map(below);
    Goal {
        work: "memory per idle client, clear and TLS",
        aim: "below PgBouncer's",
        found: text.join(", "),
        is_reached: clear.zip(tls).map(|(clear, tls)| clear && tls),
    }
}

/// Milliseconds of each way at the goals' distance.
fn far(results: &Results, step: usize, way: Way) -> Option<f64> {
    let distance = results
        .far
        .iter()
        .find(|distance| distance.round_trip == FAR)?;
    Some(distance.millis(way, step)?.median)
}

fn distance(results: &Results) -> Goal {
    let way = |way| far(results, 0, way);
    let limit = FAR.as_secs_f64() * 1e3;
    let found = (|| {
        Some((
            way(Way::Direct)?,
            way(Way::Pooled)?,
            way(Way::First)?,
            way(Way::Cached)?,
        ))
    })();
    Goal {
        work: "connect + query over 70 ms",
        aim: "uncached at least 0.95 of the limit (about 6.7 times direct), cached more than 100 times direct",
        found: found.map_or_else(
            || "n/a".to_owned(),
            |(direct, pooled, first, cached)| {
                format!(
                    "{:.2} of the limit (cache off: {:.2}), {:.1} times direct; cached {:.0} times. {HYPERDRIVE}",
                    limit / first,
                    limit / pooled,
                    direct / first,
                    direct / cached
                )
            },
        ),
        is_reached: found.map(|(direct, pooled, first, cached)| {
            limit / pooled.max(first) >= 0.95 && direct / cached > 100.0
        }),
    }
}

fn transaction(results: &Results) -> Goal {
    let step = STEPS.iter().position(|name| name.starts_with("BEGIN"));
    let trips = |way| Some(far(results, step?, way)? / (FAR.as_secs_f64() * 1e3));
    let found = (|| {
        let (first, pooled) = (trips(Way::First)?, trips(Way::Pooled)?);
        Some((first, pooled, trips(Way::Cached)?))
    })();
    Goal {
        work: "BEGIN, read, read, COMMIT over 70 ms",
        aim: "cached no round trip, uncached 3 instead of 4",
        found: found.map_or_else(
            || "n/a".to_owned(),
            |(first, pooled, cached)| {
                format!("cached {cached:.1}, asked first {first:.1}, cache off {pooled:.1}")
            },
        ),
        // Some milliseconds of a round trip may go to the machine.
        is_reached: found.map(|(first, pooled, cached)| first.max(pooled) < 3.5 && cached < 0.5),
    }
}

fn shapes(results: &Results) -> Goal {
    let shapes = results.shapes.as_ref();
    let nanos = shapes.and_then(|shapes| Spread::of(shapes.nanos.iter().copied()));
    let known = shapes.and_then(|shapes| shapes.known.as_ref().ok());
    let found = nanos.zip(known);
    Goal {
        work: "texts that differ only in literals",
        aim: "shape found in under 0.5 µs for 200 bytes, parsed once",
        found: found.map_or_else(
            || "n/a".to_owned(),
            |(nanos, (count, calls))| {
                let micros = nanos.median / 1e3;
                format!("{micros:.2} µs; {calls} texts are {count} shape(s)")
            },
        ),
        is_reached: found.map(|(nanos, (count, _))| nanos.median < 500.0 && *count == 1),
    }
}

/// As Markdown, which is readable as it is.
pub(crate) fn table(goals: &[Goal]) -> String {
    let mut text = "| work | goal | found | |\n|---|---|---|---|\n".to_owned();
    for goal in goals {
        let verdict = match goal.is_reached {
            Some(true) => "reached",
            Some(false) => "not reached",
            None => "not measured",
        };
        let (work, aim) = (goal.work, goal.aim);
        let has_figure = goal.found.contains(|c: char| c.is_ascii_digit());
        let found = if has_figure { &goal.found } else { "n/a" };
        // A String takes everything.
        let _written = writeln!(text, "| {work} | {aim} | {found} | {verdict} |");
    }
    text
}
