//! Upstreams that end under their clients, and clients that vanish from their upstreams.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::is_closed;
use crate::console::actions::cell;
use crate::console::console;
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, bind, copy_data, execute, parse, query, terminate};

struct World {
    postgres: Postgres,
    admin: Client,
    proxy: Proxy,
}

impl World {
    fn new(size: usize) -> Self {
        let postgres = Postgres::start();
        let mut admin = postgres.admin();
        admin.run("create table mark (a int)");
        let proxy = Proxy::start(&postgres, size, &[]);
        Self {
            postgres,
            admin,
            proxy,
        }
    }

    fn terminate(&mut self, pid: &str) {
        self.admin
            .run(&format!("select pg_terminate_backend({pid})"));
        self.wait_for(0, &format!("pid = {pid}"));
        // It strikes itself off the list before its connection is closed.
        eventually("the process to end", || {
            (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(())
        });
    }

    fn wait_for(&mut self, count: usize, which: &str) {
        eventually(which, || {
            (Postgres::upstreams(&mut self.admin, which) == count).then_some(())
        });
    }

    /// The pool is whole: as many transactions at a time as it has upstreams.
    fn check_pool(&mut self, size: usize) {
        let mut clients: Vec<Client> = (0..size).map(|_| self.proxy.client()).collect();
        for client in &mut clients {
            client.run("begin");
            client.run("select 1");
        }
        self.wait_for(size, "state = 'idle in transaction'");
    }
}

/// What its client hears of a terminated backend: Postgres' own words, then the end.
fn check_end(client: &mut Client) {
    let last = client.until(b'E').unwrap();
    assert_eq!(
        last.error_text(),
        "57P01 terminating connection due to administrator command"
    );
    assert!(is_closed(client));
}

#[test]
fn idle_clients_do_not_notice_a_restart() {
    let mut world = World::new(2);
    let mut clients: Vec<Client> = (0..6).map(|_| world.proxy.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.run(&format!("set app.own = 'client {number}'"));
        let define = [parse("s", "select current_setting('app.own')")].concat();
        client
            .send(&[define, b"S\0\0\0\x04".to_vec()].concat())
            .unwrap();
        client.until(b'Z').unwrap();
    }
    world.postgres.shut_down();
    world.postgres.start_again();
    for (number, client) in clients.iter_mut().enumerate() {
        assert!(!client.has_answer(), "client {number} was told something");
        let ask = [bind("", "s", &[]), execute("", 0), b"S\0\0\0\x04".to_vec()].concat();
        client.send(&ask).unwrap();
        let answer = client.until(b'Z').unwrap();
        assert_eq!(answer.value().unwrap(), format!("client {number}"));
    }
}

#[test]
fn a_backend_that_ends_in_the_pool_is_not_missed() {
    let mut world = World::new(1);
    let mut client = world.proxy.client();
    for _ in 0..5 {
        let pid = client.value("select pg_backend_pid()");
        world.terminate(&pid);
        // One that was in use just now is not asked whether it is still there.
        std::thread::sleep(Duration::from_millis(20));
        assert_ne!(client.value("select pg_backend_pid()"), pid);
    }
    world.check_pool(1);
}

#[test]
fn a_backend_that_ends_in_a_query_ends_its_client() {
    let mut world = World::new(1);
    let (mut client, mut other) = (world.proxy.client(), world.proxy.client());
    let pid = client.value("select pg_backend_pid()");
    client.send(&query("select pg_sleep(60)")).unwrap();
    world.wait_for(1, "state = 'active'");
    other.send(&query("select 'after'")).unwrap();
    world.terminate(&pid);
    check_end(&mut client);
    assert_eq!(other.until(b'Z').unwrap().value().unwrap(), "after");
}

/// A server process of a pool of one, which does not get to what it is told before it goes on.
struct Stopped {
    pid: String,
    console: Client,
}

impl Stopped {
    /// The pool's only one, once it is at rest.
    fn new(world: &World) -> Self {
        let pid = world.proxy.client().value("select pg_backend_pid()");
        let mut stopped = Self {
            pid,
            console: console(&world.proxy),
        };
        stopped.wait_for("sv_idle");
        stopped.signal("STOP");
        stopped
    }

    fn wait_for(&mut self, column: &str) {
        let pool = ("database", "postgres");
        eventually(column, || {
            let count = cell(&mut self.console, "SHOW POOLS", pool, column);
            (count.as_deref() == Some("1")).then_some(())
        });
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.pid]).status();
        assert!(kill.unwrap().success());
    }

    /// A cancel has come to it, and waits with all else.
    fn wait_for_cancel(&self) {
        eventually("a cancel", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
            let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
            let pending = u64::from_str_radix(pending.unwrap().trim(), 16).unwrap();
            // SIGINT.
            (pending & 2 != 0).then_some(())
        });
    }
}

/// It ends while it is being brought to its client's settings, or begins its transaction.
#[test]
fn a_backend_that_ends_before_the_query_tells_its_client() {
    let mut world = World::new(1);
    for first in ["set work_mem = '9MB'", "begin"] {
        let mut client = world.proxy.client();
        client.run(first);
        let mut backend = Stopped::new(&world);
        let end = format!("select pg_terminate_backend({})", backend.pid);
        world.admin.run(&end);
        client.send(&query("select 1")).unwrap();
        backend.wait_for("sv_active");
        backend.signal("CONT");
        check_end(&mut client);
    }
    world.check_pool(1);
}

/// The server hears of the cancel while it is idle still, and ignores it.
#[test]
fn a_cancel_that_overtakes_an_abandoned_query_is_sent_again() {
    let mut world = World::new(1);
    let mut client = world.proxy.client();
    let mut backend = Stopped::new(&world);
    client.send(&query("select pg_sleep(60)")).unwrap();
    backend.wait_for("sv_active");
    drop(client);
    backend.wait_for_cancel();
    backend.signal("CONT");
    assert_eq!(world.proxy.client().value("select 7"), "7");
    world.wait_for(0, "state = 'active'");
    world.check_pool(1);
}

/// In a transaction, between two statements: nothing of it may go on elsewhere.
#[test]
fn a_backend_that_ends_in_a_transaction_ends_its_client() {
    let mut world = World::new(2);
    let mut client = world.proxy.client();
    client.run("begin");
    client.run("insert into mark values (1)");
    let pid = client.value("select pg_backend_pid()");
    world.terminate(&pid);
    // It may be on its way already; whatever it does, the transaction is over.
    client.send(&query("insert into mark values (2)")).ok();
    client.send(&query("commit")).ok();
    check_end(&mut client);
    assert_eq!(world.admin.value("select count(*) from mark"), "0");
    world.check_pool(2);
}

/// The ways to vanish.
#[derive(Clone, Copy, Debug)]
enum Vanish {
    Terminate,
    Close,
    Reset,
}

#[test]
fn a_client_that_vanishes_in_a_transaction_leaves_nothing() {
    let mut world = World::new(1);
    for how in [Vanish::Terminate, Vanish::Close, Vanish::Reset] {
        let mut client = world.proxy.client();
        client.run("begin");
        client.run("insert into mark values (1)");
        client.run("set timezone = 'Asia/Tokyo'");
        match how {
            Vanish::Terminate => client.send(&terminate()).unwrap(),
            Vanish::Close => {}
            Vanish::Reset => client.reset_on_close(),
        }
        drop(client);
        let mut next = world.proxy.client();
        assert_eq!(next.value("show timezone"), "UTC", "{how:?}");
        world.wait_for(0, "state <> 'idle'");
        assert_eq!(
            world.admin.value("select count(*) from mark"),
            "0",
            "{how:?}"
        );
    }
    world.check_pool(1);
}

/// What a client that has gone left running is cancelled.
#[test]
fn a_client_that_vanishes_in_a_query_does_not_keep_the_upstream() {
    let mut world = World::new(1);
    for how in [Vanish::Terminate, Vanish::Close, Vanish::Reset] {
        let mut client = world.proxy.client();
        client.run("begin");
        client.run("insert into mark values (1)");
        client.send(&query("select pg_sleep(60)")).unwrap();
        world.wait_for(1, "state = 'active'");
        match how {
            Vanish::Terminate => client.send(&terminate()).unwrap(),
            Vanish::Close => {}
            Vanish::Reset => client.reset_on_close(),
        }
        drop(client);
        assert_eq!(world.proxy.client().value("select 7"), "7", "{how:?}");
        world.wait_for(0, "state <> 'idle'");
        assert_eq!(
            world.admin.value("select count(*) from mark"),
            "0",
            "{how:?}"
        );
    }
    world.check_pool(1);
}

/// What it sent before it said good-bye is done, as Postgres would do it, and not cut short.
#[test]
fn what_may_commit_outlives_the_good_bye() {
    let mut world = World::new(1);
    for begun in [false, true] {
        world.admin.run("truncate mark");
        let mut client = world.proxy.client();
        let mut work = "insert into mark select 1 from pg_sleep(1.5)".to_owned();
        if begun {
            client.run("begin");
            work += "; commit";
        }
        client.send(&query(&work)).unwrap();
        world.wait_for(1, "state = 'active'");
        client.send(&terminate()).unwrap();
        drop(client);
        assert_eq!(world.proxy.client().value("select 7"), "7");
        let count = world.admin.value("select count(*) from mark");
        assert_eq!(count, "1", "begun: {begun}");
    }
    world.check_pool(1);
}

/// The upstream waits for data that nobody will send.
#[test]
fn a_client_that_ends_in_a_copy_does_not_keep_the_upstream() {
    let mut world = World::new(1);
    let mut client = world.proxy.client();
    client.send(&query("copy mark from stdin")).unwrap();
    client.until(b'G').unwrap();
    client
        .send(&[copy_data(b"1\n"), terminate()].concat())
        .unwrap();
    assert_eq!(world.proxy.client().value("select 7"), "7");
    assert_eq!(world.admin.value("select count(*) from mark"), "0");
    world.check_pool(1);
}

/// Half a message never reaches an upstream that another client may get.
#[test]
fn a_client_that_vanishes_in_a_message_leaves_nothing() {
    let mut world = World::new(1);
    let whole = query("insert into mark values (1)");
    for cut in [1, 4, 5, 9, whole.len() - 1] {
        let mut client = world.proxy.client();
        client.run("begin");
        client.run("select 1");
        client.send(&whole[..cut]).unwrap();
        drop(client);
        assert_eq!(world.proxy.client().value("select 7"), "7", "cut at {cut}");
    }
    assert_eq!(world.admin.value("select count(*) from mark"), "0");
    world.check_pool(1);
}
