//! One measurement: a load for a while, and what it cost the contestant.

use std::time::Duration;

use pgweir::demo::postgres::Install;

use crate::contestant::{Contestant, Ground};
use crate::cpu::Used;
use crate::rows::{By, Load, Pace};
use crate::script::Protocol;
use crate::{load, pgbench};

/// Beyond the time that it was given, a load may need so long to connect and to end.
const GRACE: Duration = Duration::from_secs(20);

/// What one query cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Processor time of the contestant, and the part in user mode. None of Postgres itself.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) user_us: Option<f64>,
    pub(crate) per_second: f64,
    /// How long a client waited, where that was measured.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Turns of the client that had fewest, of those of the one that had most.
    pub(crate) evenness: Option<f64>,
}

/// A measurement, or why there is none.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Measured(Sample),
    Missing,
    Failed(String),
}

/// What a load reports.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Queries, also where several went out at once.
    pub(crate) count: f64,
    pub(crate) per_second: f64,
    /// What the contestant used meanwhile, and in user mode, in microseconds.
    pub(crate) used: (f64, f64),
    /// Of each request, in microseconds, sorted.
    pub(crate) waits: Vec<u32>,
    pub(crate) evenness: Option<f64>,
}

/// Measures one contestant under one load.
pub(crate) async fn measure(
    install: &Install,
    ground: &Ground,
    contestant: &Contestant,
    load: &Load,
) -> Outcome {
    if load.protocol == Protocol::Prepared && !ground.has_prepared(contestant.who) {
        return Outcome::Missing;
    }
    let work = async {
        match (load.by, load.pace) {
            (By::Pgbench, Pace::OneByOne | Pace::Fresh) => {
                pgbench::run(install, ground, contestant, load).await
            }
            (By::Ourselves, _) | (By::Pgbench, Pace::Joined | Pace::Apart) => {
                load::run(ground, contestant, load).await
            }
        }
    };
    match tokio::time::timeout(GRACE + load.time, work).await {
        Ok(Ok(figures)) => {
            let each = |micros: f64| {
                let is_process = contestant.pid().is_some();
                is_process.then(|| micros / figures.count.max(1.0))
            };
            Outcome::Measured(Sample {
                cpu_us: each(figures.used.0),
                user_us: each(figures.used.1),
                per_second: figures.per_second,
                p50_us: percentile(&figures.waits, 50),
                p99_us: percentile(&figures.waits, 99),
                evenness: figures.evenness,
            })
        }
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_elapsed) => Outcome::Failed("the load does not end".to_owned()),
    }
}

/// What the process has used so far.
pub(crate) fn used(contestant: &Contestant) -> Used {
    contestant.pid().and_then(Used::by).unwrap_or_default()
}

fn percentile(sorted: &[u32], percent: usize) -> Option<f64> {
    let at = sorted.len().saturating_mul(percent) / 100;
    sorted.get(at).map(|micros| f64::from(*micros))
}
