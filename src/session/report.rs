//! What the console tells of the cache: sums over the shapes that are known.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use super::caching::{Database, Shared};
use super::shapes::Known;
use crate::cache::Usage;
use crate::cache::entry::Entry;
use crate::cache::generation::{Live, Moved};
use crate::catalog::WriteSet;
use crate::metrics::shape::ShapeCounts;
use crate::reason::Reason;

/// Rows of a report: more than anybody reads, and little enough to be kept for a slow reader.
const ROWS_MAX: usize = 2_000;

/// What is said of a shape whose questions hardly ever come twice.
const RARE: &str = "hardly ever asked twice, kept when it is";

/// How much of a shape is shown.
const SHAPE_SHOWN_MAX: usize = 1_000;

/// One shape of query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryReport {
    pub shape: String,
    pub database: String,
    pub calls: u64,
    pub hits: u64,
    pub misses: u64,
    /// Not looked up.
    pub bypasses: u64,
    /// Why the database last had to answer, and what in particular.
    pub reason: Option<String>,
    /// The shape itself.
    pub text: String,
    pub counts: ShapeCounts,
    /// Of upstreams' answers: the seconds within which half, 95 and 99 in a hundred had begun.
    pub to_first: Option<[f64; 3]>,
    /// Of all answers: within which as many had ended.
    pub to_last: Option<[f64; 3]>,
    /// What made its results stale last: a table, or `everything`, or `the catalog`.
    pub invalidated_by: Option<String>,
}

/// The shares of [`QueryReport::to_first`] and [`QueryReport::to_last`].
pub const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReport {
    pub reads: u64,
    pub hits: u64,
    pub writes: u64,
    /// Looked up and found out of date.
    pub invalidations: u64,
}

/// What asked for again would have been wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audited {
    pub compared: u64,
    pub differed: u64,
}

impl Shared {
    /// Each shape, the most frequent first.
    pub fn queries(&self) -> Vec<QueryReport> {
        let mut reports = Vec::new();
        for database in self.known_databases() {
            for known in database.shapes.all() {
                reports.push(query(&database, &known));
            }
        }
        reports.retain(|report| report.calls > 0);
        reports.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.shape.cmp(&b.shape)));
        reports.truncate(ROWS_MAX);
        reports
    }

    /// Each table that was read or written, by database and name.
    pub fn tables(&self) -> BTreeMap<(String, String), TableReport> {
        let mut reports: BTreeMap<(String, String), TableReport> = BTreeMap::new();
        for database in self.known_databases() {
            let snapshot = database.catalog.current();
            let Some(snapshot) = snapshot.as_deref() else {
                continue;
            };
            let mut add = |relations: &[u32], note: &dyn Fn(&mut TableReport)| {
                for name in relations
                    .iter()
                    .filter_map(|oid| snapshot.relation_name(*oid))
                {
                    if reports.len() < ROWS_MAX {
                        let key = (database.name.to_string(), name.to_owned());
                        note(reports.entry(key).or_default());
                    }
                }
            };
            for known in database.shapes.all() {
                let meaning = &known
                    .resolve(snapshot, database.catalog.generations())
                    .meaning;
                let counts = known.stats.counts();
                if let Ok(relations) = &meaning.read {
                    add(relations, &|report| {
                        report.reads += counts.calls;
                        report.hits += counts.hits;
                        report.invalidations += counts.invalidated;
                    });
                }
                if let WriteSet::Relations(relations) = &meaning.writes {
                    add(relations, &|report| report.writes += counts.calls);
                }
            }
        }
        reports
    }

    /// What is in the cache.
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }

    /// What the auditor and shadow mode found.
    pub fn audited(&self) -> Audited {
        Audited {
            compared: self.compared.load(Relaxed),
            differed: self.differed.load(Relaxed),
        }
    }

    /// Forgets all results.
    pub fn purge_all(&self) -> u64 {
        self.cache.purge(|_| false)
    }

    /// Forgets the results of the databases of that name; `None` when there is none.
    pub fn purge_database(&self, name: &str) -> Option<u64> {
        let mut found = false;
        for database in self.known_databases().iter().filter(|d| &*d.name == name) {
            found = true;
            database.catalog.generations().bump_epoch();
        }
        found.then(|| self.purge_stale())
    }

    /// Forgets the results that read a table (`t`, or `s.t`); `None` when there is none.
    pub fn purge_table(&self, name: &str) -> Option<u64> {
        let mut found = false;
        for database in self.known_databases() {
            let snapshot = database.catalog.current();
            let relations = snapshot.as_deref().map(|s| s.relations_named(name));
            let relations = relations.unwrap_or_default();
            found |= !relations.is_empty();
            database.catalog.generations().bump(&relations);
        }
        found.then(|| self.purge_stale())
    }

    /// Forgets the results of a shape; `None` when there is none.
    pub fn purge_shape(&self, fingerprint: &str) -> Option<u64> {
        let databases = self.known_databases();
        let shapes = databases.iter().flat_map(|database| database.shapes.all());
        let named = shapes.filter(|known| known.fingerprint() == fingerprint);
        let groups: Vec<u64> = named.map(|known| known.begin_group()).collect();
        let of_others = |entry: &Entry| {
            let group = entry
                .key
                .last_chunk()
                .map(|bytes| u64::from_be_bytes(*bytes));
            entry.parameters.is_some() || group.is_none_or(|group| !groups.contains(&group))
        };
        (!groups.is_empty()).then(|| self.cache.purge(of_others))
    }

    fn purge_stale(&self) -> u64 {
        self.cache.purge(|entry| entry.stamp.state() != Live::Stale)
    }
}

/// What made the shape's results stale last, if anything did.
fn invalidated_by(database: &Database, known: &Known) -> Option<String> {
    if known.stats.counts().invalidated == 0 {
        return None;
    }
    let snapshot = database.catalog.current();
    let snapshot = snapshot.as_deref()?;
    let resolved = known.resolve(snapshot, database.catalog.generations());
    let relations = resolved.meaning.read.as_deref().unwrap_or_default();
    Some(
        match database.catalog.generations().last_moved(relations)? {
            Moved::Relation(oid) => snapshot.relation_name(oid)?.to_owned(),
            Moved::Everything => "everything".to_owned(),
            Moved::Catalog => "the catalog".to_owned(),
        },
    )
}

fn query(database: &Database, known: &Known) -> QueryReport {
    let counts = known.stats.counts();
    let reason = counts.last.map(|reason| {
        let snapshot = database.catalog.current();
        let object = snapshot.as_deref().and_then(|snapshot| {
            let resolved = known.resolve(snapshot, database.catalog.generations());
            let refusal = resolved.meaning.read.as_ref().err()?;
            (refusal.reason == reason).then(|| refusal.object.to_string())
        });
        match object {
            Some(object) => format!("{}: {object}", reason.as_str()),
            // Its first question was not even meant to make the second a hit.
            None if reason == Reason::Miss && known.is_rare() => {
                format!("{}: {RARE}", reason.as_str())
            }
            None => reason.as_str().to_owned(),
        }
    });
    let text = String::from_utf8_lossy(&known.shape);
    QueryReport {
        shape: known.fingerprint().to_owned(),
        database: database.name.to_string(),
        calls: counts.calls,
        hits: counts.hits,
        misses: counts.misses,
        bypasses: counts.bypasses,
        reason,
        text: text.chars().take(SHAPE_SHOWN_MAX).collect(),
        counts,
        to_first: known.stats.to_first(QUANTILES),
        to_last: known.stats.to_last(QUANTILES),
        invalidated_by: invalidated_by(database, known),
    }
}
