//! What happens to the clients and to the servers behind them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::worker::Run;
use crate::support::postgres::Postgres;
use crate::support::relay::{Cut, Direction, Relay};
use crate::support::wire::{Client, cancel};

/// Something that goes wrong all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nemesis {
    /// Backends are terminated.
    Kill,
    /// Links to Postgres are cut at any frame, in the midst of a commit too.
    Cut,
    /// Clients' queries are cancelled.
    Cancel,
}

/// Until the run is over; how often it struck.
pub(crate) fn strike(
    nemesis: Nemesis,
    run: &Arc<Run>,
    postgres: &Postgres,
    relay: &Relay,
) -> usize {
    let mut admin = postgres.admin();
    let mut times = 0;
    while !run.is_over() {
        times += match nemesis {
            Nemesis::Kill => kill(&mut admin),
            Nemesis::Cut => cut(relay),
            Nemesis::Cancel => cancel_one(run),
        };
    }
    times
}

/// The control connection is among them now and then.
fn kill(admin: &mut Client) -> usize {
    thread::sleep(Duration::from_millis(fastrand::u64(2..12)));
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
               where usename = 'app' or application_name = 'pgweir control' order by random() limit 1";
    admin.run(sql).values().len()
}

fn cut(relay: &Relay) -> usize {
    relay.arm(Cut {
        direction: [Direction::Frontend, Direction::Backend][fastrand::usize(..2)],
        frames: fastrand::usize(..30),
        bytes: fastrand::usize(..12),
        reset: fastrand::bool(),
    });
    thread::sleep(Duration::from_millis(fastrand::u64(4..15)));
    usize::from(relay.disarm())
}

fn cancel_one(run: &Run) -> usize {
    thread::sleep(Duration::from_millis(fastrand::u64(1..6)));
    let key = run.keys[fastrand::usize(..run.keys.len())]
        .lock()
        .unwrap()
        .clone();
    if key.is_empty() {
        return 0;
    }
    cancel(run.address, &key).ok();
    1
}

/// Dead rows slow everything down, and nobody else removes them: tests run without autovacuum.
pub(crate) fn sweep(run: &Run, postgres: &Postgres) {
    let mut admin = postgres.admin();
    let mut naps = 0_u32;
    while !run.over.load(Ordering::Relaxed) && !run.is_over() {
        thread::sleep(Duration::from_millis(100));
        naps += 1;
        if naps.is_multiple_of(30) && admin.query("vacuum").is_err() {
            admin = postgres.admin();
        }
    }
}
