//! A process takes over from another under load, and no query is lost.

mod sockets;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, cancel, query, terminate};

/// Clients that connect for each transaction.
const CLIENTS: usize = 8;

/// Transactions before, between and after.
const ENOUGH: usize = 200;

struct Load {
    address: SocketAddr,
    done: AtomicUsize,
    /// Connections that broke before anything was asked on them.
    resets: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        Self {
            address,
            done: AtomicUsize::new(0),
            resets: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// A client; whatever keeps it out is a failure, but for a reset while a listener closes.
    fn connect(&self) -> Client {
        let who = [("user", "postgres"), ("database", "postgres")];
        loop {
            match Client::connect(self.address, &who) {
                Ok(client) => return client,
                Err(error) => assert!(broken(&error), "not let in: {error}"),
            }
            self.resets.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connects for each transaction. Each statement must succeed.
    fn run(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let mut client = self.connect();
            client.run("begin");
            client.run("insert into mark values (1)");
            client.run("commit");
            client.send(&terminate()).unwrap();
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps its connection, as a driver's pool does: where it ends between transactions there is another.
    /// How often that was.
    fn run_pooled(&self) -> usize {
        let (mut client, mut moves) = (self.connect(), 0);
        while !self.over.load(Ordering::Relaxed) {
            match client.query("begin") {
                Ok(reply) if reply.status() == Some('T') => {
                    client.run("insert into mark values (1)");
                    client.run("commit");
                    self.done.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok(reply) => assert_eq!(reply.sqlstate(), "57P01"),
                Err(error) => assert!(broken(&error), "{error}"),
            }
            client = self.connect();
            moves += 1;
        }
        moves
    }

    fn wait_for_more(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("more transactions", || {
            (self.done.load(Ordering::Relaxed) >= before + ENOUGH).then_some(())
        });
    }
}

/// Nobody is there any more, with or without a word.
fn broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

#[test]
fn a_successor_takes_over_without_losing_a_query() {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let old = Proxy::configured(
        postgres.address,
        "listen.reuse_port = true\npool.size_max = 4\n",
    );
    let load = Load::on(old.address);
    let mut stays = old.client();
    stays.run("begin");
    stays.run("insert into mark values (2)");
    let _new = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| load.run());
        }
        load.wait_for_more();
        let new = old.successor();
        load.wait_for_more();
        old.signal("USR1");
        old.wait_for_log("until all have left", 0);
        load.wait_for_more();
        // One that was there goes on until it leaves.
        stays.run("insert into mark values (2)");
        stays.run("commit");
        assert_eq!(stays.value("select count(*) from mark where a = 2"), "2");
        drop(stays);
        old.ended();
        load.wait_for_more();
        load.over.store(true, Ordering::Relaxed);
        new
    });
    let committed = postgres
        .admin()
        .value("select count(*) from mark where a = 1");
    assert_eq!(committed, load.done.load(Ordering::Relaxed).to_string());
}

/// As a service manager ends it: clients that hold a connection are told between transactions, those that
/// connect for each transaction see nothing, and the one with a long transaction ends it.
#[test]
fn sigterm_to_the_old_one_loses_no_query() {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let old = Proxy::configured(
        postgres.address,
        "listen.reuse_port = true\npool.size_max = 6\n",
    );
    let load = Load::on(old.address);
    let mut long = old.client();
    long.run("begin");
    long.run("insert into mark values (2)");
    let (_new, moves) = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| load.run());
        }
        let pooled: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| load.run_pooled()))
            .collect();
        load.wait_for_more();
        let new = old.successor();
        load.wait_for_more();
        old.signal("TERM");
        old.wait_for_log("running transactions may end", 0);
        load.wait_for_more();
        long.run("insert into mark values (2)");
        assert_eq!(long.run("commit").status(), Some('I'));
        old.ended();
        load.wait_for_more();
        load.over.store(true, Ordering::Relaxed);
        let moves = pooled.into_iter().map(|client| client.join().unwrap());
        (new, moves.collect::<Vec<_>>())
    });
    assert_eq!(moves, [1; CLIENTS], "each moved once");
    let mut admin = postgres.admin();
    let committed = admin.value("select count(*) from mark where a = 1");
    assert_eq!(committed, load.done.load(Ordering::Relaxed).to_string());
    assert_eq!(admin.value("select count(*) from mark where a = 2"), "2");
    let resets = load.resets.load(Ordering::Relaxed);
    // Each client may have met the closing listener once.
    assert!(resets <= 2 * CLIENTS, "{resets} connections were reset");
}

/// Two processes that meet in a folder, and a query that runs in the first.
fn peers() -> (Postgres, TempDir, Proxy, Proxy, Client) {
    let postgres = Postgres::start();
    let folder = TempDir::new().unwrap();
    let text = format!("listen.peers = {:?}\n", folder.path());
    let first = Proxy::configured(postgres.address, &text);
    let second = Proxy::configured(postgres.address, &text);
    let mut client = first.client();
    client.send(&query("select pg_sleep(60)")).unwrap();
    let running = "state = 'active' and query like '%pg_sleep%'";
    eventually("the query to run", || {
        (Postgres::upstreams(&mut postgres.admin(), running) == 1).then_some(())
    });
    (postgres, folder, first, second, client)
}

const CANCELLED: &str = "57014 canceling statement due to user request";

#[test]
fn a_cancel_that_reaches_the_wrong_process_is_handed_on() {
    let (_postgres, folder, first, second, mut client) = peers();
    let key = client.key();
    let mut wrong_secret = key.clone();
    wrong_secret[7] ^= 1;
    let mut of_nobody = key.clone();
    // Another process's number.
    of_nobody[0] ^= 0x2a;
    for key in [wrong_secret, of_nobody] {
        cancel(second.address, &key).unwrap();
    }
    assert!(!client.has_answer(), "a wrong key was good enough");
    cancel(second.address, &key).unwrap();
    assert_eq!(client.until(b'Z').unwrap().error_text(), CANCELLED);
    assert_eq!(client.value("select 1"), "1");
    drop(client);
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files(), 2);
    for proxy in [first, second] {
        proxy.stop();
    }
    assert_eq!(files(), 0, "they leave nothing behind");
}

/// Its listener is closed: only the other one can be asked.
#[test]
fn a_process_that_drains_still_hears_of_cancels() {
    let (_postgres, _folder, first, second, mut client) = peers();
    first.signal("TERM");
    eventually("the listener to be closed", || {
        Client::open(first.address).is_err().then_some(())
    });
    cancel(second.address, &client.key()).unwrap();
    assert_eq!(client.until(b'E').unwrap().error_text(), CANCELLED);
    first.ended();
}
