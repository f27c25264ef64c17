//! SHOW STATS: what each database did in all, and lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::facts::{Known, int, text};
use crate::admin::Table;
use crate::admin::columns::{self, Columns};
use crate::metrics::{Metrics, Snapshot, Sum};

/// How often the counts are noted, as PgBouncer's `stats_period`. Averages are over the time since
/// the note before the last, so over one to two of these.
const PERIOD: Duration = Duration::from_secs(60);

/// What is counted of one database. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    transactions: u64,
    queries: u64,
    assignments: u64,
    received: u64,
    sent: u64,
    transaction_time: u64,
    query_time: u64,
    wait_time: u64,
}

/// Which columns are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stats {
    Both,
    Totals,
    Averages,
}

/// Every database's counts at one moment.
#[derive(Debug)]
struct Note {
    at: Instant,
    counts: BTreeMap<String, Counts>,
}

/// The last two notes.
#[derive(Debug)]
pub(super) struct Notes(Mutex<VecDeque<Note>>);

impl Default for Notes {
    fn default() -> Self {
        let start = Note {
            at: Instant::now(),
            counts: BTreeMap::new(),
        };
        Self(Mutex::new(VecDeque::from([start])))
    }
}

impl Notes {
    /// The older one: since when, and what had been counted.
    fn base(&self) -> (Instant, BTreeMap<String, Counts>) {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let base = notes.front();
        base.map_or_else(
            || (Instant::now(), BTreeMap::new()),
            |note| (note.at, note.counts.clone()),
        )
    }

    fn add(&self, note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push_back(note);
        while notes.len() > 2 {
            notes.pop_front();
        }
    }
}

/// Notes the counts every period, as long as there is anybody to show them.
pub(super) fn follow(known: &Arc<Known>) {
    let known: Weak<Known> = Arc::downgrade(known);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(known) = known.upgrade() else {
                return;
            };
            known.notes.add(Note {
                at: Instant::now(),
                counts: counts(known.pools.metrics()),
            });
        }
    });
}

fn counts(metrics: &Metrics) -> BTreeMap<String, Counts> {
    let mut all: BTreeMap<String, Counts> = BTreeMap::new();
    for handle in metrics.handles() {
        let counts = all.entry(handle.database.to_string()).or_default();
        counts.add(&handle.snapshot());
    }
    all
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Counts {
    fn add(&mut self, more: &Snapshot) {
        self.transactions += more.transactions();
        self.queries += more.queries();
        self.assignments += more.queue.count();
        self.received += more.sum(Sum::BytesIn);
        self.sent += more.sum(Sum::BytesOut);
        self.transaction_time += micros(more.time(Sum::TransactionTime));
        self.query_time += micros(more.time(Sum::UpstreamTime));
        self.wait_time += micros(more.queue.total);
    }

    /// In the order of the columns.
    fn totals(self) -> [u64; 8] {
        [
            self.assignments,
            self.transactions,
            self.queries,
            self.received,
            self.sent,
            self.transaction_time,
            self.query_time,
            self.wait_time,
        ]
    }

    /// The same a second since then, and times for each.
    fn averages(self, before: Self, since: Instant) -> [u64; 8] {
        let millis = u64::try_from(since.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = |now: u64, before: u64| now.saturating_sub(before) * 1_000 / millis;
        let each = |time: (u64, u64), count: (u64, u64)| {
            let count = count.0.saturating_sub(count.1);
            time.0
                .saturating_sub(time.1)
                .checked_div(count)
                .unwrap_or(0)
        };
        [
            rate(self.assignments, before.assignments),
            rate(self.transactions, before.transactions),
            rate(self.queries, before.queries),
            rate(self.received, before.received),
            rate(self.sent, before.sent),
            each(
                (self.transaction_time, before.transaction_time),
                (self.transactions, before.transactions),
            ),
            each(
                (self.query_time, before.query_time),
                (self.queries, before.queries),
            ),
            each(
                (self.wait_time, before.wait_time),
                (self.assignments, before.assignments),
            ),
        ]
    }
}

impl Known {
    /// `SHOW STATS`, or a half of it.
    pub(super) fn stats(&self, which: Stats) -> Table {
        let columns: Columns = match which {
            Stats::Both => columns::STATS,
            Stats::Totals => columns::STATS_TOTALS,
            Stats::Averages => columns::STATS_AVERAGES,
        };
        let (since, before) = self.notes.base();
        let mut table = Table::of(columns);
        for (database, counts) in counts(self.pools.metrics()) {
            let before = before.get(&database).copied().unwrap_or_default();
            let (totals, averages) = (counts.totals(), counts.averages(before, since));
            let mut row = vec![text(database)];
            if which != Stats::Averages {
                row.extend(totals.map(int));
            }
            if which != Stats::Totals {
                row.extend(averages.map(int));
            }
            table.rows.push(row);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn averages_are_of_the_time_since_the_note_before_the_last() {
        let notes = Notes::default();
        let of = |queries, query_time| Counts {
            queries,
            query_time,
            ..Counts::default()
        };
        let note = |counts| Note {
            at: Instant::now(),
            counts: BTreeMap::from([("d".to_owned(), counts)]),
        };
        for (at, counts) in [(60, of(600, 6_000)), (120, of(1_200, 18_000))] {
            tokio::time::advance(Duration::from_secs(60)).await;
            notes.add(note(counts));
            let (since, before) = notes.base();
            assert_eq!(since.elapsed().as_secs(), 60.min(at), "{at}");
            let averages = counts.averages(before.get("d").copied().unwrap_or_default(), since);
            assert_eq!(averages[2], 10, "{at}: a second");
            assert_eq!(averages[6], if at == 60 { 10 } else { 20 }, "{at}: each");
        }
        // With nothing done there is nothing to divide by.
        assert_eq!(Counts::default().averages(of(1, 1), Instant::now()), [0; 8]);
    }
}
