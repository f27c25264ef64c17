//! The rows of the table: which load, for whom, compared with what.

use std::time::Duration;

use crate::Options;
use crate::contestant::{Entry, Who};
use crate::script::{self, Protocol, Script};

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Queries that nobody has asked before
    Misses,
    /// Queries that were asked before
    Hits,
    /// One row changed
    Writes,
    /// Nine queries that were asked before, and a write
    Mixes,
    /// Results of 100 KiB
    Large,
    /// Many queries in one go
    Batches,
    /// A connection for each query
    Connect,
    /// How long 16 clients wait for a miss
    Latency,
    /// A thousand clients, all asking, on 16 upstream connections
    Crowd,
    /// Resident memory with idle clients
    Idle,
    /// A database that is far away
    Far,
    /// How long a text's shape takes to be found
    Shapes,
}

impl Part {
    /// The parts that consist of loads, in the order of the table.
    pub(crate) const LOADS: [Self; 9] = [
        Self::Misses,
        Self::Hits,
        Self::Writes,
        Self::Mixes,
        Self::Large,
        Self::Batches,
        Self::Connect,
        Self::Latency,
        Self::Crowd,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Misses => "misses",
            Self::Hits => "hits",
            Self::Writes => "writes",
            Self::Mixes => "mixes",
            Self::Large => "large",
            Self::Batches => "batches",
            Self::Connect => "connect",
            Self::Latency => "latency",
            Self::Crowd => "crowd",
            Self::Idle => "idle",
            Self::Far => "far",
            Self::Shapes => "shapes",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Misses => "Misses: a query that nobody has asked before",
            Self::Hits => "Hits: a query that was asked before",
            Self::Writes => "Writes: one row changed",
            Self::Mixes => "Nine queries that were asked before, and a write",
            Self::Large => "Results of 100 KiB",
            Self::Batches => "Batches of ten queries in one go, for each query",
            Self::Connect => "A connection for each query",
            Self::Latency => "How long a client waits for a miss",
            Self::Crowd => "All clients asking, on 16 upstream connections",
            Self::Idle => "Resident memory with idle clients that have asked once",
            Self::Far => "A database that is far away, with TLS and SCRAM",
            Self::Shapes => "The shape of a text",
        }
    }

    /// Less is hardly possible.
    pub(crate) fn floor(self) -> Who {
        match self {
            Self::Hits => Who::Canned,
            Self::Misses
            | Self::Writes
            | Self::Mixes
            | Self::Large
            | Self::Batches
            | Self::Connect
            | Self::Latency
            | Self::Crowd
            | Self::Idle
            | Self::Far
            | Self::Shapes => Who::Relay,
        }
    }
}

/// Who makes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Pgbench,
    /// Our own client: where pgbench would be the bottleneck, cannot do it, or does not say what
    /// is asked of it.
    Ourselves,
}

/// How queries go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Each when the one before is answered.
    OneByOne,
    /// Ten at a time, with one Sync behind them, or with one behind each.
    Joined,
    Apart,
    /// Each over a connection of its own.
    Fresh,
}

/// How many queries a batch has.
pub(crate) const BATCH: usize = 10;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) part: Part,
    pub(crate) name: &'static str,
    /// How often each in ten.
    pub(crate) scripts: &'static [(&'static Script, usize)],
    pub(crate) protocol: Protocol,
    pub(crate) pace: Pace,
    pub(crate) clients: usize,
    pub(crate) entry: Entry,
    pub(crate) by: By,
    pub(crate) time: Duration,
    pub(crate) asked: &'static [Who],
}

const MISS: &[(&Script, usize)] = &[(&script::MISS, 10)];
const HIT: &[(&Script, usize)] = &[(&script::HIT, 10)];
const WRITE: &[(&Script, usize)] = &[(&script::WRITE, 10)];
const MIX: &[(&Script, usize)] = &[(&script::HIT, 9), (&script::WRITE, 1)];
const MIX_APART: &[(&Script, usize)] = &[(&script::HIT, 9), (&script::APART, 1)];
const LARGE_MISS: &[(&Script, usize)] = &[(&script::LARGE_MISS, 10)];
const LARGE_HIT: &[(&Script, usize)] = &[(&script::LARGE_HIT, 10)];
const ONE: &[(&Script, usize)] = &[(&script::ONE, 10)];

/// Those who are asked what the database has to find each time.
const POOLS: &[Who] = &[
    Who::Direct,
    Who::Relay,
    Who::Pgweir,
    Who::Uncached,
    // PgBouncer has one, too.
    Who::OneWorker,
    Who::PgBouncer,
];
/// Those who are asked what was asked before.
const HITS: &[Who] = &[Who::Direct, Who::Canned, Who::Pgweir];
const HITS_WORKERS: &[Who] = &[Who::Direct, Who::Canned, Who::Pgweir, Who::OneWorker];
const LARGE: &[Who] = &[Who::Direct, Who::Relay, Who::Pgweir, Who::PgBouncer];
const BATCHES: &[Who] = &[Who::Direct, Who::Relay, Who::Pgweir, Who::PgBouncer];
const BATCHES_WORKERS: &[Who] = &[
    Who::Direct,
    Who::Canned,
    Who::Relay,
    Who::Pgweir,
    Who::OneWorker,
    Who::PgBouncer,
];

/// Clients that connect at once.
const CONNECTING: usize = 8;

/// More than Postgres has connections for those who need one for each client.
const CROWD: usize = 1000;

/// Clients where nothing else is said.
pub(crate) const SOME: usize = 16;

/// All that the options ask for.
pub(crate) fn rows(options: &Options) -> Vec<Load> {
    let wanted = |part: &Part| options.only.is_empty() || options.only.contains(part);
    let parts = Part::LOADS.into_iter().filter(wanted);
    let rows = parts.flat_map(|part| rows_of(part, options));
    if options.quick {
        // pgbench counts in whole seconds.
        return rows
            .map(|row| Load {
                by: By::Ourselves,
                ..row
            })
            .collect();
    }
    rows.collect()
}

fn rows_of(part: Part, options: &Options) -> Vec<Load> {
    let base = Load {
        part,
        name: "",
        scripts: MISS,
        protocol: Protocol::Simple,
        pace: Pace::OneByOne,
        clients: SOME,
        entry: Entry::Clear,
        by: By::Ourselves,
        time: options.time(),
        asked: POOLS,
    };
    let ours = |name, scripts, protocol| Load {
        name,
        scripts,
        protocol,
        ..base
    };
    match part {
        Part::Misses => by_clients(base, &Protocol::ALL, options),
        Part::Hits => by_clients(
            Load {
                scripts: HIT,
                asked: HITS,
                ..base
            },
            &Protocol::ALL,
            options,
        ),
        Part::Writes => {
            let protocols = [Protocol::Simple, Protocol::Extended];
            let mut rows = by_clients(
                Load {
                    scripts: WRITE,
                    ..base
                },
                &protocols,
                options,
            );
            // One client says nothing of a write that it does not say of a query.
            rows.retain(|row| row.clients > 1);
            rows
        }
        Part::Mixes => vec![
            ours("one table", MIX, Protocol::Extended),
            ours("two tables", MIX_APART, Protocol::Extended),
        ],
        Part::Large => large(base),
        Part::Batches => batches(base),
        Part::Connect => connections(base),
        Part::Latency => [Protocol::Simple, Protocol::Extended]
            .map(|protocol| Load {
                time: base.time * 2,
                ..ours(protocol.as_str(), MISS, protocol)
            })
            .to_vec(),
        Part::Crowd => [Protocol::Simple, Protocol::Extended]
            .map(|protocol| Load {
                clients: CROWD,
                time: base.time * 2,
                ..ours(protocol.as_str(), MISS, protocol)
            })
            .to_vec(),
        Part::Idle | Part::Far | Part::Shapes => Vec::new(),
    }
}

fn large(base: Load) -> Vec<Load> {
    let rows = [("miss", LARGE_MISS), ("hit", LARGE_HIT)];
    rows.map(|(name, scripts)| Load {
        name,
        scripts,
        protocol: Protocol::Extended,
        asked: LARGE,
        ..base
    })
    .to_vec()
}

fn batches(base: Load) -> Vec<Load> {
    let rows = [
        ("misses, one Sync", MISS, Pace::Joined),
        ("misses", MISS, Pace::Apart),
        ("hits, one Sync", HIT, Pace::Joined),
        ("hits", HIT, Pace::Apart),
    ];
    rows.map(|(name, scripts, pace)| Load {
        name,
        scripts,
        protocol: Protocol::Extended,
        pace,
        // The second core shows where the load leaves it to pgweir.
        asked: if name == "hits" {
            BATCHES_WORKERS
        } else {
            BATCHES
        },
        ..base
    })
    .to_vec()
}

fn connections(base: Load) -> Vec<Load> {
    let rows = [("in clear", Entry::Clear), ("TLS+SCRAM", Entry::Secure)];
    rows.map(|(name, entry)| Load {
        name,
        scripts: ONE,
        entry,
        pace: Pace::Fresh,
        clients: CONNECTING,
        by: By::Pgbench,
        ..base
    })
    .to_vec()
}

/// `base` in each of these protocols, each with each number of clients.
fn by_clients(base: Load, protocols: &[Protocol], options: &Options) -> Vec<Load> {
    let mut rows = Vec::new();
    for protocol in protocols {
        for clients in options.clients() {
            let asked = if base.part == Part::Hits && clients == SOME {
                HITS_WORKERS
            } else {
                base.asked
            };
            rows.push(Load {
                name: protocol.as_str(),
                protocol: *protocol,
                clients,
                by: if clients < CROWD {
                    By::Pgbench
                } else {
                    By::Ourselves
                },
                asked,
                ..base
            });
        }
    }
    // At the ends one protocol is enough; of misses the crowd tells the rest.
    rows.retain(|row| match row.clients {
        clients if clients >= CROWD => row.part == Part::Hits && row.protocol == Protocol::Extended,
        clients => clients >= SOME || row.protocol == Protocol::Extended,
    });
    rows
}

impl Load {
    /// Whether all that is asked may have been asked before.
    pub(crate) fn repeats(&self) -> bool {
        let mut scripts = self.scripts.iter();
        scripts.all(|(script, _)| script.name == script::HIT.name)
    }

    /// Whether it is for `who`. Other poolers come where PgBouncer does, in clear.
    pub(crate) fn is_for(&self, who: Who) -> bool {
        let alike = match who {
            Who::Other(_) if self.entry == Entry::Clear => Who::PgBouncer,
            Who::Other(_) => return false,
            Who::Direct
            | Who::Canned
            | Who::Relay
            | Who::Pgweir
            | Who::Uncached
            | Who::OneWorker
            | Who::PgBouncer => who,
        };
        let needs_many = matches!(who, Who::Direct | Who::Relay) && self.clients >= CROWD;
        self.asked.contains(&alike) && !needs_many
    }
}
