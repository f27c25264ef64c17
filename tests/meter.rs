//! The meter of staleness: few registers, many clients that write and read them through many texts, and a judge
//! who knows what each answer may have been. At level ryw there must be nothing to find.
//!
//! It must find nothing straight on Postgres either, and it must find much in a proxy that caches naively, or it
//! measures nothing: both are tests here. `scripts/meter.sh` runs it for a million reads and more.

mod draft;
mod judge;
mod line;
mod looks;
mod nemesis;
mod registers;
mod schema;
mod texts;
mod worker;
mod writes;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::hazards;
use crate::support::naive::Naive;
use crate::support::postgres::{Options, Postgres, installs};
use crate::support::proxy::{LEVEL, Proxy};
use crate::support::relay::Relay;
use crate::support::wire::Client;
use judge::{Fault, Judge};
use nemesis::Nemesis;
use worker::{Habit, Manners, Run, Worker};

/// Clients at once; one more changes the schema where that is asked for.
const CLIENTS: usize = 8;

/// Reads of a quiet run, unless `PGWEIR_METER_READS` says otherwise.
const READS: u64 = 8_000;

/// Runs with a nemesis are so much shorter, and those in which connections are lost still more.
const DISTURBED: u64 = 2;
const LOSSES: u64 = 5;

/// A nemesis that has struck less often has shown nothing.
const STRIKES_MIN: usize = 25;

/// Of how many reads at least one must have been answered from memory, where nothing disturbs.
const READS_PER_HIT_MAX: u64 = 50;

/// A run that takes longer is ended: for a whole second of so many reads.
const READS_PER_SECOND_MIN: u64 = 400;

/// One run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    manners: Manners,
    nemesis: Option<Nemesis>,
    /// One client changes the schema.
    schema: bool,
}

/// What is between the clients and Postgres.
enum Between {
    Nothing,
    Pgweir(usize, &'static str),
    Naive(&'static str),
}

fn reads(plan: &Plan) -> u64 {
    let said = std::env::var("PGWEIR_METER_READS").ok();
    let reads = said.map_or(READS, |text| text.parse().unwrap());
    match (plan.manners.losses, is_disturbed(plan)) {
        (true, _) => reads / LOSSES,
        (false, true) => reads / DISTURBED,
        (false, false) => reads,
    }
}

fn is_disturbed(plan: &Plan) -> bool {
    plan.nemesis.is_some() || plan.schema || plan.manners.habit != Habit::Vanish
}

/// Runs it; what was found is printed and returned.
fn measure(name: &str, between: &Between, plan: &Plan) -> Option<Arc<Run>> {
    let mut options = Options::new(installs().swap_remove(0));
    options.conf = "deadlock_timeout = 20ms".to_owned();
    let postgres = Postgres::start_with(&options);
    let admin = &mut postgres.admin();
    let settings = [("user", "app"), ("database", "postgres")];
    let mut owner = Client::connect(postgres.address, &settings).unwrap();
    owner.run(registers::TABLES);
    drop(owner);
    let relay = Relay::start(postgres.address);
    let upstream = if plan.nemesis == Some(Nemesis::Cut) {
        relay.address
    } else {
        postgres.address
    };
    let naive;
    let mut proxy = None;
    let address = match between {
        Between::Nothing => upstream,
        Between::Pgweir(size, settings) => {
            let started = Proxy::cached_to(upstream, *size, settings);
            proxy.insert(started).address
        }
        Between::Naive(mode) => {
            naive = Naive::start(upstream, mode)?;
            naive.address
        }
    };
    let run = Arc::new(start(address, plan));
    let (queries, begun) = (count_queries(admin), Instant::now());
    play(&run, plan, &postgres, &relay);
    let took = begun.elapsed();
    let strikes = run.strikes.load(Ordering::Relaxed);
    let done = run.judge.reads.load(Ordering::Relaxed);
    let upstream = count_queries(admin).saturating_sub(queries);
    // Without a proxy there is no console to ask.
    let proxy = proxy.filter(|proxy| proxy.pid().is_some() && LEVEL != "off");
    let hits = proxy.as_ref().map(hazards::hits);
    eprintln!(
        "{name}: {}\n    {:.0} reads/s, {hits:?} hits, {upstream} transactions upstream, {strikes} strikes, \
         {} connections, {} errors",
        run.judge.report(),
        f64::from(u32::try_from(done).unwrap()) / took.as_secs_f64(),
        run.reconnects.load(Ordering::Relaxed),
        run.refusals.load(Ordering::Relaxed),
    );
    let troubles = run.troubles.lock().unwrap().clone();
    // A naive proxy swallows more than it should.
    let naive = matches!(between, Between::Naive(_));
    assert!(naive || troubles.is_empty(), "{troubles:#?}");
    // How many fit into the time is the machine's business; too few would prove nothing.
    let enough = run.reads / 20;
    assert!(done >= enough, "only {done} reads of {}", run.reads);
    assert!(strikes >= run.strikes_min, "hardly anything was disturbed");
    // What disturbs may well leave nothing to remember on a slow machine.
    let few = hits.is_some_and(|hits| hits < done / READS_PER_HIT_MAX);
    assert!(
        is_disturbed(plan) || !few,
        "hardly anything was answered from memory"
    );
    Some(run)
}

fn start(address: SocketAddr, plan: &Plan) -> Run {
    let reads = reads(plan);
    let texts = texts::texts(plan.schema);
    let about = |register| texts::about(&texts, register);
    let patience = Duration::from_secs(20 + reads / READS_PER_SECOND_MIN);
    Run {
        address,
        judge: Judge::new(registers::names(), CLIENTS + 1),
        about: (0..registers::names().count()).map(about).collect(),
        texts,
        manners: plan.manners,
        reads,
        until: Instant::now() + patience,
        over: AtomicBool::new(false),
        troubles: Mutex::default(),
        strikes: AtomicUsize::new(0),
        strikes_min: plan.nemesis.map_or(0, |_| STRIKES_MIN),
        first_era: fastrand::usize(..1 << 20),
        keys: (0..=CLIENTS).map(|_| Mutex::default()).collect(),
        reconnects: AtomicUsize::new(0),
        refusals: AtomicUsize::new(0),
    }
}

/// All clients at once, until the run is over.
fn play(run: &Arc<Run>, plan: &Plan, postgres: &Postgres, relay: &Relay) {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    thread::scope(|scope| {
        for writer in 0..CLIENTS {
            let run = Arc::clone(run);
            scope.spawn(move || {
                let mut worker = Worker::new(Arc::clone(&run), writer, seed);
                worker.live();
            });
        }
        if plan.schema {
            let run = Arc::clone(run);
            scope.spawn(move || schema::change(run, CLIENTS, seed));
        }
        scope.spawn(|| nemesis::sweep(run, postgres));
        if let Some(nemesis) = plan.nemesis {
            nemesis::strike(nemesis, run, postgres, relay);
        }
    });
}

/// Transactions that Postgres has seen: what is missing was answered by somebody else.
fn count_queries(admin: &mut Client) -> u64 {
    thread::sleep(Duration::from_millis(1100)); // backends tell once a second
    let sql = "select xact_commit from pg_stat_database where datname = 'postgres'";
    admin.value(sql).parse().unwrap()
}

const fn manners(habit: Habit, losses: bool, refusals: &'static [&'static str]) -> Manners {
    Manners {
        losses,
        refusals,
        habit,
    }
}

const QUIET: Plan = Plan {
    manners: manners(Habit::Vanish, false, &[]),
    nemesis: None,
    schema: false,
};

const KILLED: Plan = Plan {
    manners: manners(Habit::Slow, true, &[]),
    nemesis: Some(Nemesis::Kill),
    schema: false,
};

const CUT: Plan = Plan {
    manners: manners(Habit::Slow, true, &[]),
    nemesis: Some(Nemesis::Cut),
    schema: false,
};

const CANCELLED: Plan = Plan {
    manners: manners(Habit::Slow, false, &["57014"]),
    nemesis: Some(Nemesis::Cancel),
    schema: false,
};

/// A late cancel may hit a query of pgweir's own (whether a pin is still needed), which then gives up the session.
const CANCELLED_THROUGH: Plan = Plan {
    manners: manners(Habit::Slow, true, &["57014"]),
    nemesis: Some(Nemesis::Cancel),
    schema: false,
};

/// Statements whose result has changed its shape say so.
const SCHEMA: Plan = Plan {
    manners: manners(Habit::Vanish, false, &["0A000"]),
    nemesis: None,
    schema: true,
};

const TWO_PHASE: Plan = Plan {
    manners: manners(Habit::TwoPhase, false, &[]),
    nemesis: None,
    schema: false,
};

/// Nothing may be found.
fn clean(name: &str, between: &Between, plan: &Plan) {
    let run = measure(name, between, plan).unwrap();
    assert_eq!(run.judge.faults(), 0, "{name}: {}", run.judge.report());
}

/// Straight on Postgres: whatever is found here is a fault of the meter.
mod direct {
    use super::*;

    #[test]
    fn quiet() {
        clean("direct", &Between::Nothing, &QUIET);
    }

    #[test]
    fn killed_backends() {
        clean("direct, killed backends", &Between::Nothing, &KILLED);
    }

    #[test]
    fn cut_links() {
        clean("direct, cut links", &Between::Nothing, &CUT);
    }

    #[test]
    fn cancelled() {
        clean("direct, cancels", &Between::Nothing, &CANCELLED);
    }

    #[test]
    fn changing_schema() {
        clean("direct, DDL", &Between::Nothing, &SCHEMA);
    }

    #[test]
    fn two_phase() {
        clean("direct, two-phase", &Between::Nothing, &TWO_PHASE);
    }
}

/// The negative controls: a meter that finds nothing here measures nothing.
mod naive {
    use super::*;

    fn found(mode: &'static str, plan: &Plan, faults: &[Fault]) {
        let name = format!("naive proxy, {mode}");
        let Some(run) = measure(&name, &Between::Naive(mode), plan) else {
            return;
        };
        for fault in faults {
            let count = run.judge.count(*fault);
            assert!(count > 0, "{fault:?} was not found in {name}");
        }
    }

    #[test]
    fn without_invalidation() {
        let all = [
            Fault::Ryow,
            Fault::Proxy,
            Fault::Mono,
            Fault::Seen,
            Fault::Pair,
            Fault::Fabricated,
        ];
        found("ttl", &QUIET, &all);
    }

    #[test]
    fn with_invalidation_by_name() {
        let most = [Fault::Ryow, Fault::Proxy, Fault::Mono, Fault::Seen];
        found("table", &QUIET, &most);
    }
}

/// Through the proxy, with the cache that it has.
mod through {
    use super::*;

    fn pgweir(size: usize, settings: &'static str) -> Between {
        Between::Pgweir(size, settings)
    }

    #[test]
    fn one_upstream() {
        clean("pool of 1", &pgweir(1, ""), &QUIET);
    }

    #[test]
    fn four_upstreams() {
        clean("pool of 4", &pgweir(4, ""), &QUIET);
    }

    #[test]
    fn ten_entries() {
        let few = "cache.entries_max = 10\n";
        clean("ten entries", &pgweir(4, few), &QUIET);
    }

    #[test]
    fn short_lives() {
        let short = "cache.ttl = \"30ms\"\ncache.stale_while_revalidate = \"50ms\"\n";
        clean("short lives", &pgweir(4, short), &QUIET);
    }

    #[test]
    fn killed_backends() {
        clean("killed backends", &pgweir(4, ""), &KILLED);
    }

    #[test]
    fn killed_backends_one_upstream() {
        clean("killed backends, pool of 1", &pgweir(1, ""), &KILLED);
    }

    #[test]
    fn cut_links() {
        clean("cut links", &pgweir(4, ""), &CUT);
    }

    #[test]
    fn cut_links_one_upstream() {
        clean("cut links, pool of 1", &pgweir(1, ""), &CUT);
    }

    #[test]
    fn cancelled() {
        clean("cancels", &pgweir(4, ""), &CANCELLED_THROUGH);
    }

    #[test]
    fn changing_schema() {
        clean("DDL", &pgweir(4, ""), &SCHEMA);
    }

    #[test]
    fn changing_schema_one_upstream() {
        clean("DDL, pool of 1", &pgweir(1, ""), &SCHEMA);
    }

    #[test]
    fn two_phase() {
        // What is prepared holds locks: whoever waits for them must leave an upstream to whoever commits it.
        clean("two-phase", &pgweir(CLIENTS + 1, ""), &TWO_PHASE);
    }
}
