//! Messages and results of any size pass in bounded memory, as fast as the slower side takes them.

use std::fs;
use std::io::{ErrorKind, Write};

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, execute, parse, query, sync};

const MIB: usize = 1 << 20;

/// What the process may grow by.
const GROWTH_MAX: usize = 16 * MIB;

/// How much to move: `PGWEIR_TEST_STREAM_MIB`, or a quarter of what the promise names.
fn size() -> usize {
    let said = std::env::var("PGWEIR_TEST_STREAM_MIB").ok();
    said.map_or(256, |text| text.parse().unwrap()) * MIB
}

/// A proxy whose memory is watched.
struct Watched {
    proxy: Proxy,
    before: usize,
}

impl Watched {
    /// Starts watching once a first query has been answered and the catalog has been read.
    fn start(postgres: &Postgres) -> Self {
        let proxy = Proxy::start(postgres, 2, &[]);
        proxy.client().run("select 1");
        proxy.wait_for_log("catalog: loaded", 0);
        let before = proxy.pid().map_or(0, |pid| memory(pid, "VmRSS:"));
        Self { proxy, before }
    }

    /// The most it ever had may not be much more than at the start.
    fn check(&self) {
        let Some(pid) = self.proxy.pid() else { return };
        let grown = memory(pid, "VmHWM:").saturating_sub(self.before);
        assert!(grown < GROWTH_MAX, "grown by {} KiB", grown / 1024);
    }
}

fn memory(pid: u32, field: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Reads frames without keeping them: bytes of DataRow or CopyData seen up to ReadyForQuery.
fn drain(client: &mut Client) -> usize {
    let mut bytes = 0;
    let mut chunk = vec![0; 256 * 1024];
    let mut head = Vec::with_capacity(5);
    let mut body = 0;
    loop {
        let n = client.read_some(&mut chunk).unwrap();
        assert!(n > 0, "closed after {bytes} bytes");
        let mut rest = &chunk[..n];
        while !rest.is_empty() {
            if body > 0 {
                let step = rest.len().min(body);
                bytes += step;
                body -= step;
                rest = &rest[step..];
                if body == 0 && head.first() == Some(&b'Z') {
                    return bytes;
                }
                continue;
            }
            if head.len() == 5 {
                assert_ne!(head[0], b'E', "an error after {bytes} bytes");
                head.clear();
            }
            head.push(rest[0]);
            rest = &rest[1..];
            if head.len() == 5 {
                let size = u32::from_be_bytes(head[1..5].try_into().unwrap());
                body = usize::try_from(size).unwrap() - 4;
            }
        }
    }
}

#[test]
fn a_large_result_of_many_rows() {
    let postgres = Postgres::start();
    let watched = Watched::start(&postgres);
    let rows = size() / 65536;
    let mut client = watched.proxy.client();
    let sql = format!("select repeat('x', 65536) from generate_series(1, {rows})");
    client.send(&query(&sql)).unwrap();
    assert!(drain(&mut client) > size());
    watched.check();
}

#[test]
fn a_large_result_of_one_row() {
    let postgres = Postgres::start();
    let watched = Watched::start(&postgres);
    let mut client = watched.proxy.client();
    client
        .send(&query(&format!("select repeat('x', {})", size() / 2)))
        .unwrap();
    assert!(drain(&mut client) > size() / 2);
    watched.check();
}

#[test]
fn a_large_copy_out() {
    let postgres = Postgres::start();
    let watched = Watched::start(&postgres);
    let rows = size() / 4096;
    let mut client = watched.proxy.client();
    let sql = format!("copy (select repeat('x', 4096) from generate_series(1, {rows})) to stdout");
    client.send(&query(&sql)).unwrap();
    assert!(drain(&mut client) > size());
    watched.check();
}

#[test]
fn a_large_parameter() {
    let postgres = Postgres::start();
    let watched = Watched::start(&postgres);
    let mut client = watched.proxy.client();
    let size = size() / 2;
    client.send(&parse("", "select length($1::bytea)")).unwrap();
    // Bind by hand: unnamed portal and statement, one binary parameter, text result.
    let mut head = vec![b'B'];
    head.extend(u32::try_from(size + 18).unwrap().to_be_bytes());
    head.extend([0, 0, 0, 1, 0, 1, 0, 1]);
    head.extend(u32::try_from(size).unwrap().to_be_bytes());
    client.send(&head).unwrap();
    let chunk = vec![b'p'; MIB];
    for _ in 0..size / MIB {
        client.send(&chunk).unwrap();
    }
    client
        .send(&[&[0, 0], execute("", 0).as_slice(), &sync()].concat())
        .unwrap();
    let reply = client.until(b'Z').unwrap();
    assert_eq!(
        reply.value(),
        Some(size.to_string()),
        "{}",
        reply.error_text()
    );
    watched.check();
}

#[test]
fn a_client_that_does_not_read_stops_postgres() {
    let postgres = Postgres::start();
    let watched = Watched::start(&postgres);
    let mut client = watched.proxy.client();
    client
        .send(&query(
            "select repeat('x', 1000) from generate_series(1, 200000)",
        ))
        .unwrap();
    let mut admin = postgres.admin();
    let stuck = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
    eventually("Postgres to wait for us", || {
        (admin.value(stuck) == "1").then_some(())
    });
    watched.check();
    assert!(drain(&mut client) > 200_000_000);
    watched.check();
}

#[test]
fn a_postgres_that_does_not_read_stops_the_client() {
    let postgres = Postgres::start();
    let watched = Watched::start(&postgres);
    let mut admin = postgres.admin();
    admin.run("select pg_advisory_lock(1)");
    let mut client = watched.proxy.client();
    client
        .send(&query(
            "select pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)",
        ))
        .unwrap();
    let one = query(&format!("select length('{}')", "x".repeat(MIB)));
    let (whole, sent) = fill(&client, &one);
    watched.check();
    admin.run("select pg_advisory_unlock(1)");
    client.send(&one[sent..]).unwrap();
    for number in 0..=whole + 1 {
        let reply = client.until(b'Z').unwrap();
        assert!(
            number == 0 || reply.value() == Some(MIB.to_string()),
            "{}",
            reply.error_text()
        );
    }
    watched.check();
}

/// Writes the message over and over until nothing goes any more: how many went whole, how much of the last.
fn fill(client: &Client, message: &[u8]) -> (usize, usize) {
    let mut stream = client.stream();
    stream
        .set_write_timeout(Some(std::time::Duration::from_secs(1)))
        .unwrap();
    let mut total = 0;
    loop {
        let at = total % message.len();
        match stream.write(&message[at..]) {
            Ok(n) => total += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
        assert!(total < 64 * MIB, "nothing holds the client back");
    }
    stream
        .set_write_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    (total / message.len(), total % message.len())
}

/// A text too large to be held whole, whose first bytes come alone, as over any real network.
#[test]
fn a_large_text_in_pieces() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 2, &[]);
    let mut client = proxy.client();
    let bytes = query(&format!("select length('{}')", "x".repeat(3 * MIB)));
    for piece in [
        &bytes[..3],
        &bytes[3..20],
        &bytes[20..9_000],
        &bytes[9_000..],
    ] {
        client.send(piece).unwrap();
        // Another client's answer says that this piece has been read.
        assert_eq!(proxy.client().value("select 1"), "1");
    }
    let reply = client.until(b'Z').unwrap();
    assert_eq!(reply.value(), Some((3 * MIB).to_string()));
    proxy.stop();
}

/// A session keeps 64 MiB of statements.
#[test]
fn statements_have_a_limit_of_bytes() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, "cache.level = \"ryw\"\n");
    let mut client = proxy.client();
    let text = format!("select 1 -- {}", "x".repeat(1_000_000));
    let mut prepare = |name: usize| {
        let frames = [parse(&format!("s{name}"), &text), sync()].concat();
        client.send(&frames).unwrap();
        client.until(b'Z').unwrap()
    };
    let refused = (0..100).map(&mut prepare).enumerate();
    let (kept, refused) = { refused }.find(|(_, reply)| reply.failed()).unwrap();
    assert_eq!((kept, &*refused.sqlstate()), (68, "53400"));
    client.run("deallocate s0");
    client.run("deallocate s1");
    let frames = [parse("again", "select 1"), sync()].concat();
    client.send(&frames).unwrap();
    assert!(!client.until(b'Z').unwrap().failed());
    assert_eq!(client.value("select 'still here'"), "still here");
    proxy.stop();
}
