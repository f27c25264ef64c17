//! The table. Ratios come first: the machine's speed is in both of their parts.

use std::fmt::Write;

use crate::contestant::Who;
use crate::load::{Outcome, Sample};
use crate::plan::{Cell, Results};

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
}

impl Cell {
    pub(crate) fn samples(&self, who: Who) -> impl Iterator<Item = Sample> {
        self.rounds(who).flatten()
    }

    /// Round by round; `None` for a round without a figure.
    fn rounds(&self, who: Who) -> impl Iterator<Item = Option<Sample>> {
        let of = self.outcomes.iter().find(|(of, _)| *of == who);
        let outcomes = of.map_or(&[][..], |(_, outcomes)| outcomes);
        outcomes.iter().map(|outcome| match outcome {
            Outcome::Measured(sample) => Some(*sample),
            Outcome::Missing | Outcome::Failed(_) => None,
        })
    }

    fn cpu(&self, who: Who) -> Option<Spread> {
        Spread::of(self.samples(who).map(|sample| sample.cpu_us))
    }

    fn label(&self) -> String {
        format!("{:18}{:>3}", self.load.workload.as_str(), self.load.clients)
    }
}

impl Results {
    /// Everything, for a person.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "PostgreSQL {}, PgBouncer {}; pgweir and relay with {} workers; medians of {} rounds (least to most)\n",
            self.postgres, self.pgbouncer, self.workers, self.rounds
        );
        let pools = Section {
            floor: Who::Relay,
            judged: &[Who::Pgweir, Who::PgBouncer],
            all: &Who::POOLS,
        };
        let hits = Section {
            floor: Who::Canned,
            judged: &[Who::Cached],
            all: &Who::HITS,
        };
        let writes = Section {
            floor: Who::Pgweir,
            judged: &[Who::Cached],
            all: &Who::WRITES,
        };
        for (part, of, title) in [
            (
                "cpu",
                &pools,
                "Processor time of the process for a query, against the bare relay's",
            ),
            (
                "hits",
                &hits,
                "Hits: processor time for a query that was asked before, against the canned answer's",
            ),
            (
                "writes",
                &writes,
                "Writes: processor time with the cache on, against the same with the cache off",
            ),
            (
                "connect",
                &pools,
                "A connection for each query: processor time, against the bare relay's",
            ),
        ] {
            let cells: Vec<&Cell> = self
                .cells
                .iter()
                .filter(|c| c.load.workload.part() == part)
                .collect();
            if !cells.is_empty() {
                let _written = write!(
                    text,
                    "\n{title}\n{}\nIn µs, and in user mode\n{}\nA second\n{}",
                    of.ratios(&cells),
                    of.costs(&cells),
                    of.rates(&cells)
                );
            }
        }
        if !self.memory.is_empty() {
            text += "\nResident memory with idle clients that have asked once\n";
            text += &self.residents();
        }
        text + &self.failures()
    }

    fn residents(&self) -> String {
        let mut text = format!(
            "{:12}{:>10}{:>12}{:>22}\n",
            "", "clients", "MiB", "KiB for each client"
        );
        for memory in &self.memory {
            let (who, clients) = (memory.who, memory.clients);
            let Ok(kib) = memory.resident else {
                continue;
            };
            let alone = self.memory.iter().find(|m| m.who == who && m.clients == 0);
            let alone = alone.and_then(|m| m.resident.as_ref().ok());
            let each = alone
                .filter(|_| clients > 0)
                .map_or(String::new(), |alone| {
                    let more = kib.saturating_sub(*alone) as f64;
                    format!("{:.2}", more / clients as f64)
                });
            let mib = kib as f64 / 1024.0;
            let name = who.as_str();
            // A String takes everything.
            let _written = writeln!(text, "{name:12}{clients:>10}{mib:>12.1}{each:>22}");
        }
        text
    }

    /// What could not be measured, and why: once for each reason.
    fn failures(&self) -> String {
        let failed = self.cells.iter().flat_map(|cell| {
            cell.outcomes.iter().flat_map(move |(who, outcomes)| {
                outcomes.iter().filter_map(move |outcome| match outcome {
                    Outcome::Failed(why) => Some(format!(
                        "\n{} {} failed: {why}\n",
                        who.as_str(),
                        cell.label()
                    )),
                    Outcome::Measured(_) | Outcome::Missing => None,
                })
            })
        });
        let mut all: Vec<String> = failed.collect();
        all.extend(self.memory.iter().filter_map(|memory| {
            let why = memory.resident.as_ref().err()?;
            let (who, clients) = (memory.who.as_str(), memory.clients);
            Some(format!("\n{who} {clients} idle clients failed: {why}\n"))
        }));
        all.dedup();
        all.concat()
    }
}

const NONE: &str = "n/a";

fn table(
    cells: &[&Cell],
    columns: &[Who],
    width: usize,
    show: impl Fn(&Cell, Who) -> Option<String>,
) -> String {
    let mut text = format!("{:21}", "");
    for who in columns {
        let _written = write!(text, "{:>width$}", who.as_str());
    }
    text.push('\n');
    for cell in cells {
        text += &cell.label();
        for who in columns {
            let shown = show(cell, *who);
            let _written = write!(text, "{:>width$}", shown.as_deref().unwrap_or(NONE));
        }
        text.push('\n');
    }
    text
}

/// Who is compared with whom.
struct Section {
    /// Less is hardly possible.
    floor: Who,
    judged: &'static [Who],
    all: &'static [Who],
}

impl Section {
    /// Round by round, and then the median: whatever slowed a round down slowed both.
    fn ratios(&self, cells: &[&Cell]) -> String {
        table(cells, self.judged, 20, |cell, who| {
            let pairs = cell.rounds(who).zip(cell.rounds(self.floor));
            let ratios = pairs.filter_map(|(own, floor)| Some(own?.cpu_us / floor?.cpu_us));
            let ratio = Spread::of(ratios)?;
            Some(format!(
                "{:.2} ({:.2}-{:.2})",
                ratio.median, ratio.least, ratio.most
            ))
        })
    }

    /// Of all but Postgres itself, whose processes are not the one that is measured.
    fn costs(&self, cells: &[&Cell]) -> String {
        let proxies: Vec<Who> = self
            .all
            .iter()
            .copied()
            .filter(|who| *who != Who::Direct)
            .collect();
        table(cells, &proxies, 32, |cell, who| {
            let cpu = cell.cpu(who)?;
            let user = Spread::of(cell.samples(who).map(|sample| sample.user_us))?;
            Some(format!(
                "{:.1} ({:.1}-{:.1}) {:.1}",
                cpu.median, cpu.least, cpu.most, user.median
            ))
        })
    }

    fn rates(&self, cells: &[&Cell]) -> String {
        table(cells, self.all, 12, |cell, who| {
            let rate = Spread::of(cell.samples(who).map(|sample| sample.per_second))?;
            Some(format!("{:.0}", rate.median))
        })
    }
}
