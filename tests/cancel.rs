//! Cancel requests: each reaches the query of the client that asked, or none.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::support::eventually;
use crate::support::postgres::{Options, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, Frame, cancel, query, startup};

const CANCELLED: &str = "57014 canceling statement due to user request";

fn world(size: usize) -> (Postgres, Proxy) {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, size, &["--workers", "1"]);
    (postgres, proxy)
}

/// Runs until it is let go.
const HELD_UP: &str = "select 'held up' from pg_advisory_xact_lock(1)";
const LET_GO: &str = "select pg_advisory_unlock(1)";

/// Who holds up what is to run for as long as a test wants.
fn held_up(postgres: &Postgres) -> Client {
    let mut admin = postgres.admin();
    admin.run("select pg_advisory_lock(1)");
    admin
}

fn wait_for_sleepers(admin: &mut Client, count: usize) {
    eventually("queries to be running", || {
        let sleeping = "wait_event in ('PgSleep', 'advisory')";
        (Postgres::upstreams(admin, sleeping) == count).then_some(())
    });
}

/// Returns when the proxy, on its single worker, has seen what was sent before.
fn seen_by_now(proxy: &Proxy) {
    proxy.client().run("begin");
}

#[test]
fn a_cancel_reaches_only_the_query_of_its_client() {
    let (postgres, proxy) = world(2);
    let (mut client, mut other) = (proxy.client(), proxy.client());
    let mut admin = held_up(&postgres);
    other.send(&query(HELD_UP)).unwrap();
    client.send(&query("select pg_sleep(60)")).unwrap();
    wait_for_sleepers(&mut admin, 2);
    cancel(proxy.address, &client.key()).unwrap();
    let reply = client.until(b'Z').unwrap();
    assert_eq!(
        (reply.error_text().as_str(), reply.status()),
        (CANCELLED, Some('I'))
    );
    admin.run(LET_GO);
    assert_eq!(other.until(b'Z').unwrap().value().unwrap(), "held up");
    assert_eq!(client.value("select 1"), "1");
}

/// The client that holds the last place can still cancel its query.
#[test]
fn a_cancel_comes_through_when_there_are_too_many_clients() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &["--max-clients", "1"]);
    let mut client = proxy.client();
    client.send(&query("select pg_sleep(60)")).unwrap();
    wait_for_sleepers(&mut postgres.admin(), 1);
    cancel(proxy.address, &client.key()).unwrap();
    let reply = client.until(b'Z').unwrap();
    assert_eq!(
        (reply.error_text().as_str(), reply.status()),
        (CANCELLED, Some('I'))
    );
}

#[test]
fn a_cancel_in_a_transaction_fails_it() {
    let (postgres, proxy) = world(1);
    let mut client = proxy.client();
    client.run("begin");
    client.send(&query("select pg_sleep(60)")).unwrap();
    wait_for_sleepers(&mut postgres.admin(), 1);
    cancel(proxy.address, &client.key()).unwrap();
    let reply = client.until(b'Z').unwrap();
    assert_eq!(
        (reply.error_text().as_str(), reply.status()),
        (CANCELLED, Some('E'))
    );
    client.run("rollback");
    assert_eq!(client.value("select 1"), "1");
}

/// An idle client's cancel, and keys that are not quite right, do nothing to whoever has the upstream now.
#[test]
fn a_cancel_without_a_query_reaches_nobody() {
    let (postgres, proxy) = world(1);
    let (mut idle, mut busy) = (proxy.client(), proxy.client());
    idle.run("select 1");
    let mut admin = held_up(&postgres);
    busy.send(&query(HELD_UP)).unwrap();
    wait_for_sleepers(&mut admin, 1);
    let mut wrong_secret = busy.key();
    wrong_secret[7] ^= 1;
    let short = busy.key()[..7].to_vec();
    let long = [busy.key(), vec![0]].concat();
    let gone = proxy.client().key();
    for key in [idle.key(), wrong_secret, short, long, gone] {
        cancel(proxy.address, &key).unwrap();
    }
    assert!(!busy.has_answer(), "a cancel came through");
    admin.run(LET_GO);
    assert_eq!(busy.until(b'Z').unwrap().value().unwrap(), "held up");
    assert_eq!(idle.value("select 2"), "2");
}

#[test]
fn a_cancel_takes_a_client_out_of_the_queue() {
    let (_postgres, proxy) = world(1);
    let (mut holder, mut client, mut next) = (proxy.client(), proxy.client(), proxy.client());
    holder.run("begin");
    holder.run("select 1");
    client.send(&query("select 'mine'")).unwrap();
    seen_by_now(&proxy);
    next.send(&query("select 'next'")).unwrap();
    seen_by_now(&proxy);
    cancel(proxy.address, &client.key()).unwrap();
    let reply = client.until(b'Z').unwrap();
    assert_eq!(
        (reply.error_text().as_str(), reply.status()),
        (CANCELLED, Some('I'))
    );
    assert!(!next.has_answer());
    holder.run("commit");
    assert_eq!(next.until(b'Z').unwrap().value().unwrap(), "next");
    assert_eq!(client.value("select 'again'"), "again");
}

/// The BEGIN was answered and is not known upstream: the transaction has failed all the same.
#[test]
fn a_cancel_in_the_queue_fails_a_transaction_that_was_held_back() {
    let (postgres, proxy) = world(1);
    postgres.admin().run("create table mark (a int)");
    let (mut holder, mut client) = (proxy.client(), proxy.client());
    for end in ["rollback", "commit"] {
        holder.run("begin");
        holder.run("select 1");
        assert_eq!(client.run("begin").status(), Some('T'));
        client.send(&query("insert into mark values (1)")).unwrap();
        seen_by_now(&proxy);
        cancel(proxy.address, &client.key()).unwrap();
        let reply = client.until(b'Z').unwrap();
        assert_eq!(
            (reply.error_text().as_str(), reply.status()),
            (CANCELLED, Some('E'))
        );
        holder.run("commit");
        let ignored = client.query("insert into mark values (2)").unwrap();
        assert_eq!(
            (ignored.sqlstate().as_str(), ignored.status()),
            ("25P02", Some('E'))
        );
        let ended = client.run(end);
        assert_eq!(ended.status(), Some('I'));
        assert!(ended.0.contains(&Frame {
            tag: b'C',
            body: b"ROLLBACK\0".to_vec()
        }));
        assert_eq!(client.value("select count(*) from mark"), "0");
    }
}

/// Cancels without end for one client; nobody else on the same upstream ever sees one.
#[test]
fn a_storm_of_cancels_hits_nobody_else() {
    let (_postgres, proxy) = world(1);
    let mut target = proxy.client();
    let key = target.key();
    let over = AtomicBool::new(false);
    let hits = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    cancel(proxy.address, &key).unwrap();
                }
            });
        }
        let others: Vec<_> = (0..3)
            .map(|number| {
                let mut client = proxy.client();
                scope.spawn(move || {
                    for round in 0..25 {
                        let own = format!("{number} in {round}");
                        let ask = format!("select '{own}' from pg_sleep(0.02)");
                        let reply = client.query(&ask).unwrap();
                        assert_eq!(reply.value(), Some(own), "{}", reply.error_text());
                    }
                })
            })
            .collect();
        let mut hits = 0;
        while others.iter().any(|other| !other.is_finished()) {
            let reply = target.query("select pg_sleep(0.02)").unwrap();
            hits += usize::from(reply.sqlstate() == "57014");
        }
        over.store(true, Ordering::Relaxed);
        for other in others {
            other.join().unwrap();
        }
        hits
    });
    assert!(hits > 5, "the storm hit its own client only {hits} times");
    // The last cancels may still be on their way to their own client, and to no one else.
    assert_eq!(
        proxy.client().value("select 'calm' from pg_sleep(0.1)"),
        "calm"
    );
}

/// 32 bytes of secret for clients of protocol 3.2, whatever the upstream gives; four for the others.
#[test]
fn keys_are_as_long_as_the_protocol_says() {
    for install in installs() {
        let postgres = Postgres::start_with(&Options::new(install));
        let proxy = Proxy::start(&postgres, 1, &[]);
        for (minor, bytes) in [(0, 8), (2, 36)] {
            let mut client = Client::open(proxy.address).unwrap();
            let settings = [("user", "postgres"), ("database", "postgres")];
            client.send(&startup((3, minor), &settings)).unwrap();
            client.greet().unwrap();
            assert_eq!(client.key().len(), bytes, "3.{minor} on {}", postgres.major);
            client.send(&query("select pg_sleep(60)")).unwrap();
            wait_for_sleepers(&mut postgres.admin(), 1);
            let mut wrong = client.key();
            wrong[bytes - 1] ^= 1;
            cancel(proxy.address, &wrong).unwrap();
            cancel(proxy.address, &client.key()[..bytes - 1]).unwrap();
            assert!(!client.has_answer());
            cancel(proxy.address, &client.key()).unwrap();
            assert_eq!(client.until(b'Z').unwrap().error_text(), CANCELLED);
        }
    }
}

/// A way to Postgres on which cancel requests are held up until all may pass.
struct Slow {
    address: SocketAddr,
    /// Cancel requests that have come.
    held: Arc<AtomicUsize>,
    opened: Arc<(Mutex<bool>, Condvar)>,
}

impl Slow {
    fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let slow = Self {
            address: listener.local_addr().unwrap(),
            held: Arc::default(),
            opened: Arc::default(),
        };
        let (held, opened) = (Arc::clone(&slow.held), Arc::clone(&slow.opened));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let (held, opened) = (Arc::clone(&held), Arc::clone(&opened));
                thread::spawn(move || pass(near, upstream, &held, &opened));
            }
        });
        slow
    }

    fn open(&self) {
        *self.opened.0.lock().unwrap() = true;
        self.opened.1.notify_all();
    }
}

fn pass(
    mut near: TcpStream,
    upstream: SocketAddr,
    held: &AtomicUsize,
    opened: &(Mutex<bool>, Condvar),
) -> io::Result<()> {
    let mut first = [0; 8];
    near.read_exact(&mut first)?;
    if first[4..] == 80_877_102_u32.to_be_bytes() {
        held.fetch_add(1, Ordering::Relaxed);
        let guard = opened.0.lock().unwrap();
        drop(opened.1.wait_while(guard, |opened| !*opened).unwrap());
    }
    let mut far = TcpStream::connect(upstream)?;
    far.write_all(&first)?;
    let (mut back, mut to) = (far.try_clone()?, near.try_clone()?);
    let answers = thread::spawn(move || {
        io::copy(&mut back, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
    });
    io::copy(&mut near, &mut far).ok();
    far.shutdown(Shutdown::Write).ok();
    answers.join().ok();
    Ok(())
}

/// The server takes so long to hear of a cancel that nobody waits for it any more: whoever comes after
/// has another upstream.
#[test]
fn a_cancel_that_comes_late_reaches_nobody_else() {
    let postgres = Postgres::start();
    let slow = Slow::start(postgres.address);
    let proxy = Proxy::start_to(slow.address, 1, &[]);
    let (mut client, mut next) = (proxy.client(), proxy.client());
    let mut admin = held_up(&postgres);
    client.send(&query(HELD_UP)).unwrap();
    wait_for_sleepers(&mut admin, 1);
    let (address, key) = (proxy.address, client.key());
    let asks = thread::spawn(move || cancel(address, &key));
    eventually("the cancel to be on its way", || {
        (slow.held.load(Ordering::Relaxed) == 1).then_some(())
    });
    next.send(&query("select 'next' from pg_sleep(1.5)"))
        .unwrap();
    admin.run(LET_GO);
    assert_eq!(client.until(b'Z').unwrap().value().unwrap(), "held up");
    wait_for_sleepers(&mut admin, 1);
    slow.open();
    let reply = next.until(b'Z').unwrap();
    assert_eq!(
        reply.value(),
        Some("next".to_owned()),
        "{}",
        reply.error_text()
    );
    asks.join().unwrap().unwrap();
}
