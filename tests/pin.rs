//! What holds a session to its upstream, and what ends that. The pool has one upstream and no room for pins beside
//! it: while a session is pinned, nobody else can work.

use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, bind, execute, parse, query, sync};

struct World {
    postgres: Postgres,
    proxy: Proxy,
}

impl World {
    fn new() -> Self {
        let postgres = Postgres::start();
        postgres.admin().run("create sequence seq");
        let text = "pool.size_max = 1\npool.pins_max = 0\nruntime.workers = 1\n";
        let proxy = Proxy::configured(postgres.address, text);
        Self { postgres, proxy }
    }

    /// After `make` another client has to wait, also behind each of `keep`, and after `end` not any more.
    fn check(&self, make: &str, keep: &[&str], end: &str) {
        let (mut client, mut other) = (self.proxy.client(), self.proxy.client());
        client.run(make);
        other.send(&query("select 'other'")).unwrap();
        for sql in keep.iter().chain(&["select 1", "select 2"]) {
            client.run(sql);
            // Were there no pin, `other` would have stood in front of `client`.
            assert!(!other.has_answer(), "{make}; {sql}: not pinned");
        }
        client.run(end);
        let answer = other.until(b'Z').unwrap();
        assert_eq!(answer.value().as_deref(), Some("other"), "{make}; {end}");
        self.check_free(&mut client, &format!("{make}; {end}"));
        self.check_free(&mut other, &format!("{make}; {end}"));
    }

    /// The only upstream can be had, and knows nothing of anybody.
    fn check_free(&self, client: &mut Client, context: &str) {
        let left = "select (select count(*) from pg_listening_channels()) \
                    + (select count(*) from pg_locks where locktype = 'advisory') \
                    + (select count(*) from pg_cursors) \
                    + (select count(*) from pg_prepared_statements where from_sql) \
                    + (select count(*) from pg_class where relnamespace = pg_my_temp_schema())";
        assert_eq!(client.value(left), "0", "{context}");
        let mut third = self.proxy.client();
        assert_eq!(third.value("select 'free'"), "free", "{context}");
    }
}

#[test]
fn temporary_tables() {
    let world = World::new();
    let make = "create temp table t (a int)";
    world.check(make, &["insert into t values (1)"], "drop table t");
    world.check(make, &["begin; savepoint s; rollback"], "discard temp");
    world.check(make, &["discard sequences"], "discard all");
    world.check("select 1 as a into temp t", &["table t"], "drop table t");
    world.check(
        "create temp table t (a int); create temp table u (a int)",
        &["drop table t"],
        "drop table u",
    );
}

/// A table that goes with its transaction does not outlive it as a pin.
#[test]
fn temporary_tables_of_a_transaction() {
    let world = World::new();
    for sql in [
        "create temp table t (a int) on commit drop; commit",
        "create temp table t (a int); rollback",
        "listen c; rollback",
        "declare c cursor with hold for select 1; rollback",
        "declare c cursor for select 1; commit",
        "select pg_advisory_xact_lock(1); commit",
    ] {
        let mut client = world.proxy.client();
        client.run("begin");
        for sql in sql.split("; ") {
            client.run(sql);
        }
        world.check_free(&mut world.proxy.client(), sql);
        assert_eq!(client.value("select 3"), "3");
    }
}

#[test]
fn listen() {
    let world = World::new();
    world.check("listen c", &["unlisten other"], "unlisten c");
    world.check("listen c; listen d", &["unlisten c"], "unlisten *");
    world.check("begin; listen c; commit", &[], "discard all");
    // It works, too.
    let mut client = world.proxy.client();
    client.run("listen c");
    world.postgres.admin().run("notify c, 'hello'");
    let notification = client.until(b'A').unwrap();
    assert!(notification.0[0].body.ends_with(b"c\0hello\0"));
}

/// In a way that only the server understands. What is reset comes back when that is rolled back.
#[test]
fn settings() {
    let world = World::new();
    let make = "select set_config('app.x', 'a' || 'b', false)";
    let keep = [
        "begin; reset all; rollback",
        "begin",
        "savepoint s",
        "reset all",
        "rollback to s",
        "commit",
    ];
    world.check(make, &keep, "reset all");
    world.check(make, &[], "begin; reset all; commit");
    // More than can follow a client about.
    let long = format!("set app.x = '{}'", "x".repeat(70_000));
    world.check(&long, &["set app.x = 'short'"], "reset all");
    // Without a word of it: a query is one transaction.
    let (mut client, mut other) = (world.proxy.client(), world.proxy.client());
    client.run(make);
    other.send(&query("show app.x")).unwrap();
    let failed = client.query("reset all; select 1 / 0").unwrap();
    assert_eq!(failed.sqlstate(), "22012");
    assert_eq!(client.value("show app.x"), "ab");
    assert!(!other.has_answer());
    drop(client);
    assert_ne!(other.until(b'Z').unwrap().value().as_deref(), Some("ab"));
}

#[test]
fn advisory_locks() {
    let world = World::new();
    let lock = "select pg_advisory_lock(7)";
    world.check(lock, &[], "select pg_advisory_unlock(7)");
    world.check(
        lock,
        &[lock, "select pg_advisory_unlock(7)"],
        "select pg_advisory_unlock(7)",
    );
    world.check(
        lock,
        &["select pg_advisory_unlock_shared(7)"],
        "select pg_advisory_unlock_all()",
    );
    world.check(
        "select pg_try_advisory_lock_shared(1, 2)",
        &[],
        "discard all",
    );
    // A lock survives the rollback of its transaction.
    world.check(
        &format!("begin; {lock}; rollback"),
        &[],
        "select pg_advisory_unlock(7)",
    );
}

#[test]
fn cursors_with_hold() {
    let world = World::new();
    let declare = "declare c cursor with hold for select generate_series(1, 9)";
    world.check(declare, &["fetch 2 from c"], "close c");
    world.check(declare, &["move 1 in c"], "close all");
    world.check(
        &format!("begin; {declare}; commit"),
        &["fetch c"],
        "discard all",
    );
}

#[test]
fn statements_prepared_in_sql() {
    let world = World::new();
    let prepare = "prepare p as select 42";
    world.check(prepare, &["execute p"], "deallocate p");
    world.check(
        &format!("{prepare}; prepare q as select 1"),
        &["deallocate q"],
        "deallocate all",
    );
    world.check(prepare, &["begin; execute p; commit"], "discard all");
    // PREPARE is not undone by a rollback.
    world.check(
        &format!("begin; {prepare}; rollback"),
        &["execute p"],
        "deallocate p",
    );
}

#[test]
fn sequences() {
    let world = World::new();
    let next = "select nextval('seq')";
    world.check(
        next,
        &["select currval('seq')", "select lastval()"],
        "discard sequences",
    );
    world.check(next, &[next], "discard all");
    // Whoever never asked for a value is not told another's.
    let mut client = world.proxy.client();
    assert_eq!(
        client.query("select currval('seq')").unwrap().sqlstate(),
        "55000"
    );
    assert_eq!(
        client.query("select lastval()").unwrap().sqlstate(),
        "55000"
    );
}

#[test]
fn states_of_the_extended_protocol() {
    let world = World::new();
    let (mut client, mut other) = (world.proxy.client(), world.proxy.client());
    let whole = |sql: &str| [parse("", sql), bind("", "", &[]), execute("", 0), sync()].concat();
    client.send(&whole("create temp table t (a int)")).unwrap();
    assert!(!client.until(b'Z').unwrap().failed());
    other.send(&query("select 'other'")).unwrap();
    client.run("table t");
    assert!(!other.has_answer());
    client.send(&whole("drop table t")).unwrap();
    assert!(!client.until(b'Z').unwrap().failed());
    assert_eq!(other.until(b'Z').unwrap().value().unwrap(), "other");
}

/// A library cannot be unloaded: its upstream is never anybody else's.
#[test]
fn loaded_libraries() {
    let world = World::new();
    let ours = "select count(*) from pg_settings where name like 'auto_explain.%'";
    for end in ["discard all", "select 1"] {
        let mut client = world.proxy.client();
        client.run("load 'auto_explain'");
        assert_ne!(client.value(ours), "0");
        client.run(end);
        let mut other = world.proxy.client();
        other.send(&query(ours)).unwrap();
        drop(client);
        assert_eq!(other.until(b'Z').unwrap().value().unwrap(), "0", "{end}");
    }
}

#[test]
fn the_seed_of_random() {
    let world = World::new();
    let mut client = world.proxy.client();
    client.run("select setseed(0.5)");
    let pid = client.value("select pg_backend_pid()");
    client.run("discard all");
    let mut other = world.proxy.client();
    other.send(&query("select pg_backend_pid()")).unwrap();
    drop(client);
    assert_ne!(other.until(b'Z').unwrap().value().unwrap(), pid);
}

/// Leaving takes all of it away.
#[test]
fn what_a_client_leaves_behind() {
    let world = World::new();
    for make in [
        "create temp table t (a int)",
        "listen c",
        "select pg_advisory_lock(7)",
        "declare c cursor with hold for select 1",
        "prepare p as select 1",
        "select nextval('seq')",
    ] {
        let mut client = world.proxy.client();
        client.run(make);
        drop(client);
        let mut next = world.proxy.client();
        world.check_free(&mut next, make);
        assert_eq!(
            next.query("select lastval()").unwrap().sqlstate(),
            "55000",
            "{make}"
        );
    }
}

/// H97: settings, named statements, transaction locks and cursors belong to no upstream.
#[test]
fn what_does_not_pin() {
    let postgres = Postgres::start();
    let text = "pool.size_max = 4\npool.pins_max = 0\nlog.level = \"debug\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let mut clients: Vec<Client> = (0..100).map(|_| proxy.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let set = query(&format!("set app.own = 'client {number}'"));
        client
            .send(&[set, parse("s", "select current_setting('app.own')"), sync()].concat())
            .unwrap();
    }
    for client in &mut clients {
        assert!(!client.until(b'Z').unwrap().failed());
        assert!(!client.until(b'Z').unwrap().failed());
    }
    for client in &mut clients {
        client.run(
            "begin; set local work_mem = '1MB'; select pg_advisory_xact_lock_shared(1); \
                    declare c cursor for select 1; commit",
        );
        client
            .send(&[bind("", "s", &[]), execute("", 0), sync()].concat())
            .unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let own = client.until(b'Z').unwrap().value().unwrap();
        assert_eq!(own, format!("client {number}"));
    }
    let mut admin = postgres.admin();
    assert!(Postgres::upstreams(&mut admin, "true") <= 4);
    let pinned: Vec<String> = proxy
        .log_lines()
        .into_iter()
        .filter(|l| l.contains("pinned"))
        .collect();
    assert!(pinned.is_empty(), "{pinned:?}");
}

/// What cannot be asked may still be there: the session keeps its upstream, and is not ended for it.
#[test]
fn a_question_that_is_refused_ends_no_session() {
    let world = World::new();
    let mut admin = world.postgres.admin();
    admin.run("revoke select on pg_catalog.pg_prepared_statements from public");
    let mut client = world.proxy.client_as("app");
    let mut other = world.proxy.client_as("app");
    client.run("create temp table t (a int)");
    client.run("drop table t");
    other.send(&query("select 'other'")).unwrap();
    for _ in 0..2 {
        assert_eq!(client.value("select 'mine'"), "mine");
        assert!(!other.has_answer());
    }
    drop(client);
    assert_eq!(other.until(b'Z').unwrap().value().unwrap(), "other");
}
