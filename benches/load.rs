//! One measurement: pgbench for a while, and what it cost the contestant.

use std::time::Duration;

use pgweir::demo::Error;
use pgweir::demo::postgres::Install;
use pgweir::demo::process::{Process, Stop};

use crate::contestant::{Contestant, DATABASE, Entry, Ground, PROVEN, TRUSTED, Who};
use crate::cpu::Used;

/// Beyond the time that it was given, pgbench may need so long to connect and to end.
const GRACE: Duration = Duration::from_secs(10);

/// How the clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Simple,
    Extended,
    Prepared,
    /// A connection for each query.
    Connect(Entry),
    /// What was asked before, in this protocol of pgbench's.
    Hit(&'static str),
    /// Changes one row, in this protocol.
    Write(&'static str),
}

/// The protocols in which hits are measured.
pub(crate) const PROTOCOLS: [&str; 3] = ["simple", "extended", "prepared"];

/// Rows that hits are about: all of them are soon in any cache.
const HIT: &str =
    "\\set aid random(1, 100)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";

impl Workload {
    /// Its name in the table; of a hit that of the protocol.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
            Self::Connect(Entry::Clear) => "connect in clear",
            Self::Connect(Entry::Secure) => "connect TLS+SCRAM",
            Self::Hit(protocol) | Self::Write(protocol) => protocol,
        }
    }

    /// The part of the whole that it belongs to.
    pub(crate) fn part(self) -> &'static str {
        match self {
            Self::Simple | Self::Extended | Self::Prepared => "cpu",
            Self::Connect(_) => "connect",
            Self::Hit(_) => "hits",
            Self::Write(_) => "writes",
        }
    }

    /// Who is measured with it.
    pub(crate) fn contestants(self) -> &'static [Who] {
        match self {
            Self::Simple | Self::Extended | Self::Prepared | Self::Connect(_) => &Who::POOLS,
            Self::Hit(_) => &Who::HITS,
            Self::Write(_) => &Who::WRITES,
        }
    }

    pub(crate) fn entry(self) -> Entry {
        match self {
            Self::Simple | Self::Extended | Self::Prepared | Self::Hit(_) | Self::Write(_) => {
                Entry::Clear
            }
            Self::Connect(entry) => entry,
        }
    }

    fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Simple => vec!["-S", "-M", "simple"],
            Self::Extended => vec!["-S", "-M", "extended"],
            Self::Prepared => vec!["-S", "-M", "prepared"],
            Self::Connect(_) => vec!["-C", "-f", "one.sql"],
            Self::Hit(protocol) => vec!["-f", "hit.sql", "-M", protocol],
            Self::Write(protocol) => vec!["-f", "write.sql", "-M", protocol],
        }
    }

    /// What cannot be asked of this contestant.
    fn is_missing(self, ground: &Ground, who: Who) -> bool {
        let peer = ground.peer.as_ref();
        who == Who::PgBouncer && self == Self::Prepared && !peer.is_some_and(|p| p.has_prepared)
    }
}

/// What one query cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Processor time of the contestant, and the part in user mode. Nothing for Postgres itself.
    pub(crate) cpu_us: f64,
    pub(crate) user_us: f64,
    pub(crate) per_second: f64,
}

/// A measurement, or why there is none.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Measured(Sample),
    Missing,
    Failed(String),
}

/// Where pgbench finds its tables and scripts.
pub(crate) async fn prepare(install: &Install, ground: &Ground) -> Result<(), Error> {
    for (name, text) in [
        ("one.sql", "SELECT 1;\n"),
        ("hit.sql", HIT),
        ("write.sql", WRITE),
    ] {
        let written = std::fs::write(ground.scratch.path().join(name), text);
        written.map_err(|error| Error::io(format!("cannot write {name}"), error))?;
    }
    let mut command = ground.scratch.command(&install.program("pgbench"));
    command.args([
        "-i",
        "-q",
        "-s",
        "1",
        "-h",
        "127.0.0.1",
        "-U",
        TRUSTED,
        "-p",
    ]);
    command.arg(ground.server.address.port().to_string());
    command.arg(DATABASE);
    let log = ground.scratch.path().join("pgbench.log");
    let process = Process::spawn(&mut command, "pgbench", &log, Stop::Term)?;
    process.finish().await?;
    Ok(())
}

/// Rows enough that clients seldom wait for each other.
const WRITE: &str = "\\set aid random(1, 100000)\n\
    UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n";

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) workload: Workload,
    pub(crate) clients: usize,
    pub(crate) seconds: u32,
}

/// Measures one contestant under one load.
pub(crate) async fn measure(
    install: &Install,
    ground: &Ground,
    contestant: &Contestant,
    load: Load,
) -> Outcome {
    if load.workload.is_missing(ground, contestant.who) {
        return Outcome::Missing;
    }
    let used = || contestant.pid().and_then(Used::by).unwrap_or_default();
    let before = used();
    let patience = GRACE + Duration::from_secs(load.seconds.into());
    let ended = tokio::time::timeout(patience, pgbench(install, ground, contestant, load)).await;
    let (micros, user) = used().since(before);
    match ended {
        Ok(Ok((count, per_second))) => Outcome::Measured(Sample {
            cpu_us: micros / count.max(1.0),
            user_us: user / count.max(1.0),
            per_second,
        }),
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_elapsed) => Outcome::Failed("pgbench does not end".to_owned()),
    }
}

/// Runs pgbench; gives the number of transactions, and how many a second.
async fn pgbench(
    install: &Install,
    ground: &Ground,
    contestant: &Contestant,
    load: Load,
) -> Result<(f64, f64), Error> {
    let mut command = ground.scratch.command(&install.program("pgbench"));
    let (user, mode) = match load.workload.entry() {
        Entry::Clear => (TRUSTED, "disable"),
        Entry::Secure => (PROVEN, "require"),
    };
    command
        .env("PGPASSWORD", &ground.password)
        .env("PGSSLMODE", mode)
        .args(["-n", "-h", "127.0.0.1", "-U", user, "-p"])
        .arg(contestant.address.port().to_string())
        .args(["-c", &load.clients.to_string()])
        .args(["-T", &load.seconds.to_string()])
        .args(load.workload.arguments())
        .arg(DATABASE);
    let log = ground.scratch.path().join("pgbench.log");
    let process = Process::spawn(&mut command, "pgbench", &log, Stop::Term)?;
    let said = process.finish().await?;
    let number = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let count = number("number of transactions actually processed: ");
    let per_second = number("tps = ");
    count.zip(per_second).ok_or(Error::Ended {
        name: "pgbench",
        log: said.clone(),
    })
}
