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

/// Until the run is over.
pub(crate) fn strike(nemesis: Nemesis, run: &Arc<Run>, postgres: &Postgres, relay: &Relay) {
    let mut admin = postgres.admin();
    while !run.is_over() {
        let times = match nemesis {
            Nemesis::Kill => kill(&mut admin),
            Nemesis::Cut => cut(relay),
            Nemesis::Cancel => cancel_one(run),
        };
        run.strikes.fetch_add(times, Ordering::Relaxed);
    }
}

/// A few at once, and then a while in which everything can come to rest and be remembered again.
fn kill(admin: &mut Client) -> usize {
    thread::sleep(pause());
    // What is lost with the control connection is everything: not too often.
    let who = if fastrand::u8(..10) == 0 {
        "application_name = 'pgweir control'"
    } else {
        "usename = 'app' and application_name <> 'pgweir control'"
    };
    let sql = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where {who} order by random() limit 1"
    );
    admin.run(&sql).values().len()
}

fn pause() -> Duration {
    let long = fastrand::u8(..4) == 0;
    Duration::from_millis(fastrand::u64(if long { 200..600 } else { 2..12 }))
}

fn cut(relay: &Relay) -> usize {
    relay.arm(Cut {
        direction: [Direction::Frontend, Direction::Backend][fastrand::usize(..2)],
        frames: fastrand::usize(..30),
        bytes: fastrand::usize(..12),
        reset: fastrand::bool(),
    });
    thread::sleep(Duration::from_millis(10));
    let struck = relay.disarm();
    thread::sleep(pause());
    usize::from(struck)
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
