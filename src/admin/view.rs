//! All that is counted and measured, at one moment: what `/metrics`, JSON and the history are made of.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::cache::Usage;
use crate::export::span::Exported;
use crate::metrics::Snapshot;
use crate::metrics::errors::Told;
use crate::metrics::logins::Failure;
use crate::pool::status::Status;
use crate::session::report::{Audited, QueryReport, TableReport};

/// How much of it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Without shapes and tables: made in microseconds.
    Sums,
    /// With them: as long as there are shapes known.
    All,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct View {
    pub at: SystemTime,
    /// When the process started.
    pub started: SystemTime,
    /// Why new clients should go elsewhere; none when they should not.
    pub unready: Vec<Unready>,
    /// Client connections, those that are logging in included.
    pub clients: usize,
    pub clients_max: usize,
    /// By database and user. Counts stay when a pool goes.
    pub counts: Vec<(Name, Snapshot)>,
    pub pools: Vec<(Name, Status)>,
    /// What clients were told last, the newest first.
    pub last_errors: Vec<(Name, Told)>,
    /// Clients that did not get in, for each reason.
    pub logins: Vec<(Failure, u64)>,
    /// Whether whoever shows a token may change something.
    pub changeable: bool,
    /// None when the cache is off.
    pub cache: Option<CacheView>,
    /// What became of the spans; none at all when there is no collector.
    pub exported: Exported,
    /// The most frequent first.
    pub queries: Vec<QueryReport>,
    /// By database and name.
    pub tables: BTreeMap<(String, String), TableReport>,
}

/// Whose pool or counts they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub database: String,
    pub user: String,
}

/// The cache as a whole.
#[derive(Clone, Debug)]
pub struct CacheView {
    pub level: &'static str,
    pub mode: &'static str,
    pub usage: Usage,
    pub bytes_max: u64,
    pub audited: Audited,
}

/// Why new clients should go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The process is stopping.
    Draining,
    /// An administrator said PAUSE, of everything.
    Paused,
    /// No upstream can be had: what connecting said, for the first pool that has none.
    NoUpstream(String),
}

impl Unready {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Paused => "paused",
            Self::NoUpstream(_) => "noupstream",
        }
    }

    /// A sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Draining => "the process is stopping".to_owned(),
            Self::Paused => "everything is paused; RESUME in the console ends it".to_owned(),
            Self::NoUpstream(why) => format!("no upstream connection can be made: {why}"),
        }
    }
}

impl View {
    /// What all databases and users did together.
    pub fn total(&self) -> Snapshot {
        let mut total = Snapshot::default();
        for (_, counts) in &self.counts {
            total.merge(counts);
        }
        total
    }

    /// What all pools have together; limits are added up as well.
    pub fn upstreams(&self) -> Status {
        let mut sum = Status::default();
        for (_, status) in &self.pools {
            sum.size_max += status.size_max;
            sum.active += status.active;
            sum.idle += status.idle;
            sum.pinned += status.pinned;
            sum.pins_max += status.pins_max;
            sum.waiting += status.waiting;
            sum.live += status.live;
        }
        sum
    }

    /// How long the process runs.
    pub fn uptime(&self) -> Duration {
        self.at.duration_since(self.started).unwrap_or_default()
    }
}
