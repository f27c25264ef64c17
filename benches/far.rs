//! A database that is far away: what a client waits for, in milliseconds and in round trips.
//!
//! The distance is [`relay`]'s: it delays every byte, TCP's own handshake included, and limits no
//! bandwidth. Clients are beside the pooler. Everybody logs in by TLS and SCRAM-SHA-256, the poolers
//! upstream too.

use std::time::Duration;

use pgweir::demo::Error;
use pgweir::relay;
use pgweir::wire::frame;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::client::Client;
use crate::contestant::{Contestant, Entry, Ground, Setting, Who};
use crate::script;

/// What is timed, in this order, by each client.
pub(crate) const STEPS: [&str; 5] = [
    "connect + query",
    "query",
    "Parse+Describe, Bind+Execute",
    "BEGIN, read, read, COMMIT",
    "the same read again",
];

pub(crate) type Life = [Duration; STEPS.len()];

/// How a client comes to its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    PgBouncer,
    /// pgweir without its cache.
    Pooled,
    /// pgweir, asked what nobody has asked before.
    First,
    /// pgweir, asked what another client has asked.
    Cached,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [
        Self::Direct,
        Self::PgBouncer,
        Self::Pooled,
        Self::First,
        Self::Cached,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::PgBouncer => "pgbouncer",
            Self::Pooled => "cache off",
            Self::First => "asked first",
            Self::Cached => "asked before",
        }
    }

    fn who(self) -> Who {
        match self {
            Self::Direct => Who::Direct,
            Self::PgBouncer => Who::PgBouncer,
            Self::Pooled => Who::Uncached,
            Self::First | Self::Cached => Who::Pgweir,
        }
    }
}

/// What came out at one distance.
#[derive(Debug)]
pub(crate) struct Distance {
    pub(crate) round_trip: Duration,
    pub(crate) lives: Vec<(Way, Vec<Life>)>,
    pub(crate) failures: Vec<String>,
}

/// Clients of each way in turn, after one that does not count.
pub(crate) async fn measure(
    ground: &Ground,
    round_trip: Duration,
    rounds: usize,
) -> Result<Distance, Error> {
    let failed = |error| Error::io("cannot listen on 127.0.0.1", error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let upstream = listener.local_addr().map_err(failed)?;
    let line = relay::Line { round_trip };
    let relay = tokio::spawn(relay::serve(listener, ground.server.address, line));
    let setting = Setting {
        entry: Entry::Secure,
        upstream,
        is_far: true,
    };
    let mut distance = Distance {
        round_trip,
        lives: Way::ALL.map(|way| (way, Vec::new())).to_vec(),
        failures: Vec::new(),
    };
    let mut started = Vec::new();
    for who in [Who::Direct, Who::PgBouncer, Who::Uncached, Who::Pgweir] {
        match Contestant::start(ground, who, setting).await {
            Ok(contestant) => started.extend(contestant),
            Err(error) => distance.failures.push(format!("{}: {error}", who.as_str())),
        }
    }
    for round in 0..=rounds {
        for (n, (way, lives)) in distance.lives.iter_mut().enumerate() {
            let Some(contestant) = started.iter().find(|c| c.who == way.who()) else {
                continue;
            };
            // What was asked first is asked again by the next way, and by nobody else.
            let n = if *way == Way::Cached { n - 1 } else { n };
            let url = ground.url(contestant.address, Entry::Secure);
            match life(&url, round * Way::ALL.len() + n).await {
                Ok(life) if round > 0 => lives.push(life),
                Ok(_) => {}
                Err(error) => distance.failures.push(format!("{}: {error}", way.as_str())),
            }
        }
    }
    relay.abort();
    distance.failures.dedup();
    Ok(distance)
}

/// One client's life. Another `n` asks for other rows.
async fn life(url: &str, n: usize) -> Result<Life, Error> {
    let read = |step: usize| {
        let aid = 1 + (n * STEPS.len() + step) % 100_000;
        query(&format!(
            "SELECT abalance FROM pgbench_accounts WHERE aid = {aid}"
        ))
    };
    let mut clock = Clock(Instant::now());
    let mut client = Client::connect(url).await?;
    client.ask(&read(0), 1).await?;
    let connect = clock.lap();
    client.ask(&read(1), 1).await?;
    let one = clock.lap();
    let (describe, execute) = described(n);
    client.ask(&describe, 1).await?;
    client.ask(&execute, 1).await?;
    let two = clock.lap();
    for request in [query("BEGIN"), read(2), read(3), query("COMMIT")] {
        client.ask(&request, 1).await?;
    }
    let transaction = clock.lap();
    client.ask(&read(0), 1).await?;
    let again = clock.lap();
    client.leave().await;
    Ok([connect, one, two, transaction, again])
}

struct Clock(Instant);

impl Clock {
    /// Since the lap before.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}

fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(&mut out, b'Q', &[text.as_bytes(), b"\0"]);
    out
}

/// What most drivers do with a statement: ask what it is, wait, and run it with a value.
fn described(n: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut describe, mut execute) = (Vec::new(), Vec::new());
    let text: &[u8] = b"\0SELECT bbalance FROM pgbench_branches WHERE bid = $1\0\0\0";
    frame::push(&mut describe, b'P', &[text]);
    frame::push(&mut describe, b'D', &[b"S\0"]);
    script::sync(&mut describe);
    let value = format!("{n:08}");
    // No names; text in, eight bytes of it, text out.
    let head: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    frame::push(&mut execute, b'B', &[head, value.as_bytes(), &[0, 0]]);
    frame::push(&mut execute, b'E', &[b"\0", &[0; 4]]);
    script::sync(&mut execute);
    (describe, execute)
}
