//! The table. Ratios come first: the machine's speed is in both of their parts.

use std::fmt::Write;

use crate::contestant::{Entry, Who};
use crate::far::{Distance, STEPS, Way};
use crate::goals::HYPERDRIVE;
use crate::idle::Memory;
use crate::plan::{Cell, FAR, Results};
use crate::rows::Part;
use crate::sample::{Outcome, Sample};

/// The median of some figures, the least and the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = figures.into_iter().collect();
        all.sort_by(f64::total_cmp);
        let at = |n: usize| all.get(n).copied();
        let upper = at(all.len() / 2)?;
        let lower = at((all.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            least: at(0)?,
            most: *all.last()?,
        })
    }

    fn with_range(self) -> String {
        format!("{:.2} ({:.2}-{:.2})", self.median, self.least, self.most)
    }
}

/// A figure of a sample.
pub(crate) type Take = fn(&Sample) -> Option<f64>;

pub(crate) const CPU: Take = |sample| sample.cpu_us;
pub(crate) const RATE: Take = |sample| Some(sample.per_second);
pub(crate) const P50: Take = |sample| sample.p50_us;
pub(crate) const P99: Take = |sample| sample.p99_us;

impl Cell {
    /// Round by round; `None` for a round without a figure.
    pub(crate) fn rounds(&self, who: Who, take: Take) -> impl Iterator<Item = Option<f64>> {
        let of = self.outcomes.iter().find(|(of, _)| *of == who);
        let outcomes = of.map_or(&[][..], |(_, outcomes)| outcomes);
        outcomes.iter().map(move |outcome| match outcome {
            Outcome::Measured(sample) => take(sample),
            Outcome::Missing | Outcome::Failed(_) => None,
        })
    }

    pub(crate) fn spread(&self, who: Who, take: Take) -> Option<Spread> {
        Spread::of(self.rounds(who, take).flatten())
    }

    /// Round by round, and then the median: whatever slowed a round down slowed both.
    pub(crate) fn ratio(&self, who: Who, to: Who, take: Take) -> Option<Spread> {
        let pairs = self.rounds(who, take).zip(self.rounds(to, take));
        Spread::of(pairs.filter_map(|(own, other)| Some(own? / other?)))
    }

    fn label(&self) -> String {
        format!("{} {}", self.load.name, self.load.clients)
    }
}

impl Results {
    pub(crate) fn cells(&self, part: Part) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.load.part == part)
    }

    /// What each client more costs beyond a thousand: what the first ones have taken and left free
    /// is used up by then.
    pub(crate) fn each_kib(&self, who: Who, entry: Entry) -> Option<f64> {
        let of = |memory: &&Memory| memory.who == who && memory.entry == entry;
        let last = self.memory.iter().rfind(of)?;
        (last.clients > 1000).then(|| self.each_more_kib(last))?
    }

    /// Since the number before; what the first client brings, the process needs once.
    fn each_more_kib(&self, memory: &Memory) -> Option<f64> {
        let alike = |m: &&Memory| m.who == memory.who && m.entry == memory.entry;
        let mut fewer = self.memory.iter().filter(alike);
        let before = fewer.rfind(|m| m.clients < memory.clients && m.clients > 0)?;
        let less = *before.resident_kib.as_ref().ok()?;
        let kib = memory.resident_kib.as_ref().ok()?.saturating_sub(less);
        Some(kib as f64 / (memory.clients - before.clients) as f64)
    }
}

impl Distance {
    /// In milliseconds.
    pub(crate) fn millis(&self, way: Way, step: usize) -> Option<Spread> {
        let (_, lives) = self.lives.iter().find(|(of, _)| *of == way)?;
        let took = lives.iter().filter_map(|life| life.get(step));
        Spread::of(took.map(|took| took.as_secs_f64() * 1e3))
    }
}

/// Everything, for a person.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::new();
    let peers = results.peers.iter();
    let peers: Vec<String> = peers
        .map(|(who, v)| format!("{} {v}", who.as_str()))
        .collect();
    // A String takes everything.
    let _written = writeln!(
        text,
        "PostgreSQL {}, {}; {} processors, {} workers; medians of {} rounds (least-most)",
        results.postgres,
        peers.join(", "),
        results.processors,
        results.workers,
        results.rounds
    );
    if let Some(busy) = results.busy_before {
        let percent = busy * 100.0;
        let _written = writeln!(
            text,
            "before the run others kept the machine {percent:.0} % busy"
        );
    }
    for part in Part::LOADS {
        text += &loads(results, part);
    }
    if !results.memory.is_empty() {
        let _written = write!(text, "\n{}\n{}", Part::Idle.title(), residents(results));
    }
    if !results.far.is_empty() {
        let _written = writeln!(text, "\n{}", Part::Far.title());
        for distance in &results.far {
            text += &far(distance);
            text += &faster(distance);
        }
    }
    if let Some(shapes) = &results.shapes {
        let _written = writeln!(text, "\n{}", Part::Shapes.title());
        if let Some(nanos) = Spread::of(shapes.nanos.iter().copied()) {
            let bytes = shapes.text_bytes;
            let _written = writeln!(text, "{bytes} bytes: {} ns", nanos.with_range());
        }
    }
    text + &failures(results)
}

/// The tables of one part.
fn loads(results: &Results, part: Part) -> String {
    let cells: Vec<&Cell> = results.cells(part).collect();
    let mut text = String::new();
    if cells.is_empty() {
        return text;
    }
    let floor = part.floor();
    let all: Vec<Who> = columns(&cells);
    let others = |who: &Who| *who != floor && *who != Who::Direct;
    let judged: Vec<Who> = all.iter().copied().filter(others).collect();
    let proxies: Vec<Who> = all
        .iter()
        .copied()
        .filter(|who| *who != Who::Direct)
        .collect();
    let _written = writeln!(text, "\n{}", part.title());
    let mut add = |title: &str, grid: Option<String>| {
        if let Some(grid) = grid {
            let _written = write!(text, "  {title}\n{grid}");
        }
    };
    let against = |what: &str| format!("{what}, against the {}", floor.as_str());
    let ratio =
        |take: Take| move |cell: &Cell, who| Some(cell.ratio(who, floor, take)?.with_range());
    if matches!(part, Part::Latency) {
        add(&against("p50"), grid(&cells, &judged, ratio(P50)));
        add(&against("p99"), grid(&cells, &judged, ratio(P99)));
    }
    add(
        &against("processor time"),
        grid(&cells, &judged, ratio(CPU)),
    );
    add(
        "processor time in µs, and in user mode",
        grid(&cells, &proxies, |cell, who| {
            let user = cell.spread(who, |sample| sample.user_us)?.median;
            Some(format!("{:.1}, {user:.1}", cell.spread(who, CPU)?.median))
        }),
    );
    add(
        "a second",
        grid(&cells, &all, |cell, who| {
            Some(format!("{:.0}", cell.spread(who, RATE)?.median))
        }),
    );
    add(
        "p50 and p99 in ms",
        grid(&cells, &all, |cell, who| {
            let p50 = cell.spread(who, P50)?.median / 1e3;
            Some(format!(
                "{p50:.3}, {:.3}",
                cell.spread(who, P99)?.median / 1e3
            ))
        }),
    );
    if part == Part::Crowd {
        add(
            "turns of the client with the fewest, of those of the one with the most",
            grid(&cells, &all, |cell, who| {
                let even = cell.spread(who, |sample| sample.evenness)?;
                Some(format!("{:.2}", even.median))
            }),
        );
    }
    text
}

/// Those of whom there is any figure.
fn columns(cells: &[&Cell]) -> Vec<Who> {
    let all = cells.first().map_or(&[][..], |cell| &cell.outcomes);
    let all = all.iter().map(|(who, _)| *who);
    all.filter(|who| cells.iter().any(|cell| cell.spread(*who, RATE).is_some()))
        .collect()
}

const NONE: &str = "n/a";

/// What a program said before it failed may be long.
const FAILURE_CHARS_MAX: usize = 200;

/// A row for each cell that has something to show; `None` when none has.
fn grid(
    cells: &[&Cell],
    columns: &[Who],
    show: impl Fn(&Cell, Who) -> Option<String>,
) -> Option<String> {
    let mut rows = Vec::new();
    for cell in cells {
        let shown: Vec<_> = columns.iter().map(|who| show(cell, *who)).collect();
        if shown.iter().any(Option::is_some) {
            let none = || NONE.to_owned();
            let shown = shown.into_iter().map(|text| text.unwrap_or_else(none));
            rows.push(std::iter::once(cell.label()).chain(shown).collect());
        }
    }
    let names = columns.iter().map(|who| who.as_str().to_owned());
    (!rows.is_empty()).then(|| lines(names.collect(), &rows))
}

/// Columns under their names, the first to the left.
fn lines(names: Vec<String>, rows: &[Vec<String>]) -> String {
    let mut head = vec![String::new()];
    head.extend(names);
    let mut text = String::new();
    let all = || std::iter::once(&head).chain(rows);
    let width = |n: usize| {
        let cells = all().filter_map(|row| row.get(n));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in all() {
        for (n, cell) in row.iter().enumerate() {
            let wide = width(n);
            let _written = if n == 0 {
                write!(text, "    {cell:wide$}")
            } else {
                write!(text, "  {cell:>wide$}")
            };
        }
        text.push('\n');
    }
    text
}

fn residents(results: &Results) -> String {
    let mut rows = Vec::new();
    for memory in &results.memory {
        let Ok(kib) = memory.resident_kib else {
            continue;
        };
        let each = results.each_more_kib(memory);
        let how = match memory.entry {
            Entry::Clear => "in clear",
            Entry::Tls | Entry::Secure => "TLS",
        };
        rows.push(vec![
            format!("{}, {how}", memory.who.as_str()),
            memory.clients.to_string(),
            format!("{:.1}", kib as f64 / 1024.0),
            each.map_or_else(String::new, |each| format!("{each:.2}")),
        ]);
    }
    let names = ["clients", "MiB", "KiB for each more"];
    lines(names.map(str::to_owned).to_vec(), &rows)
}

/// Milliseconds, and round trips where there is a distance.
fn far(distance: &Distance) -> String {
    let round_trip = distance.round_trip.as_secs_f64() * 1e3;
    let rows: Vec<Vec<String>> = STEPS
        .iter()
        .enumerate()
        .map(|(step, name)| {
            let ways = Way::ALL.into_iter().map(|way| {
                let Some(took) = distance.millis(way, step) else {
                    return NONE.to_owned();
                };
                let (least, most) = (took.least, took.most);
                let trips = took.median / round_trip;
                let trips = if round_trip > 0.0 {
                    format!(", {trips:.1}")
                } else {
                    String::new()
                };
                format!("{:.1} ({least:.1}-{most:.1}){trips}", took.median)
            });
            std::iter::once((*name).to_owned()).chain(ways).collect()
        })
        .collect();
    let names = Way::ALL.map(|way| way.as_str().to_owned()).to_vec();
    format!(
        "  {round_trip} ms away: ms, round trips\n{}",
        lines(names, &rows)
    )
}

/// Beside the figures that a hosted service of the kind gave for itself.
fn faster(distance: &Distance) -> String {
    let times = Way::ALL.into_iter().filter_map(|way| {
        let times = distance.millis(Way::Direct, 0)?.median / distance.millis(way, 0)?.median;
        (way != Way::Direct).then(|| format!("{} {times:.1}", way.as_str()))
    });
    let times: Vec<String> = times.collect();
    if times.is_empty() || distance.round_trip != FAR {
        return String::new();
    }
    let times = times.join(", ");
    format!("    connect + query, times as fast as direct: {times}. {HYPERDRIVE}\n")
}

/// What could not be measured, and why: once for each reason.
fn failures(results: &Results) -> String {
    // Once, however often it was tried.
    let mut seen: Vec<Who> = Vec::new();
    let absent = results.absent.iter().filter(|(who, _)| {
        let is_new = !seen.contains(who);
        seen.push(*who);
        is_new
    });
    let mut all: Vec<String> = absent
        .map(|(who, why)| format!("{}: {why}", who.as_str()))
        .collect();
    for cell in &results.cells {
        for (who, outcomes) in &cell.outcomes {
            all.extend(outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Failed(why) => {
                    let (who, part) = (who.as_str(), cell.load.part.as_str());
                    Some(format!("{who}, {part}, {}: {why}", cell.label()))
                }
                Outcome::Measured(_) | Outcome::Missing => None,
            }));
        }
    }
    all.extend(results.memory.iter().filter_map(|memory| {
        let why = memory.resident_kib.as_ref().err()?;
        Some(format!(
            "{}, {} idle clients: {why}",
            memory.who.as_str(),
            memory.clients
        ))
    }));
    for distance in &results.far {
        let millis = distance.round_trip.as_millis();
        all.extend(
            distance
                .failures
                .iter()
                .map(|why| format!("{millis} ms away, {why}")),
        );
    }
    if let Some(Err(why)) = results.shapes.as_ref().map(|shapes| &shapes.known) {
        all.push(format!("shapes: {why}"));
    }
    // One line for each; the file has all of it.
    for why in &mut all {
        *why = why
            .replace('\n', " ")
            .chars()
            .take(FAILURE_CHARS_MAX)
            .collect();
    }
    all.dedup();
    if all.is_empty() {
        return String::new();
    }
    format!("\nNot measured\n    {}\n", all.join("\n    "))
}
