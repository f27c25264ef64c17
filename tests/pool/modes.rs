//! Session mode, statement mode, pins refused, replication.

use super::is_closed;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, Reply, parse, query, startup, sync};

fn in_mode(mode: &str) -> (Postgres, Proxy) {
    let postgres = Postgres::start();
    let arguments = ["--pool-mode", mode, "--workers", "1"];
    let proxy = Proxy::start(&postgres, 1, &arguments);
    (postgres, proxy)
}

#[test]
fn in_session_mode_an_upstream_is_the_clients_until_it_leaves() {
    let (_postgres, proxy) = in_mode("session");
    let (mut client, mut next) = (proxy.client(), proxy.client());
    client.run("create temp table own (a int)");
    client.run("set timezone = 'Asia/Tokyo'; set app.x = 'mine'");
    let pid = client.value("select pg_backend_pid()");
    next.send(&query("select to_regclass('own')::text, 1"))
        .unwrap();
    for _ in 0..5 {
        assert_eq!(client.value("select pg_backend_pid()"), pid);
        assert_eq!(client.value("select count(*) from own"), "0");
    }
    assert!(!next.has_answer());
    drop(client);
    assert_eq!(next.until(b'Z').unwrap().value().unwrap(), "");
    assert_eq!(next.value("show timezone"), "UTC");
    let custom = "select coalesce(current_setting('app.x', true), '')";
    assert_eq!(next.value(custom), "");
}

#[test]
fn in_session_mode_transactions_and_prepared_statements_work() {
    let (_postgres, proxy) = in_mode("session");
    let mut client = proxy.client();
    client.run("prepare p as select 42");
    client.run("begin");
    assert_eq!(client.value("execute p"), "42");
    assert_eq!(client.run("rollback").status(), Some('I'));
    assert_eq!(client.value("execute p"), "42");
    drop(client);
    assert_eq!(
        proxy.client().query("execute p").unwrap().sqlstate(),
        "26000"
    );
}

fn extended(client: &mut Client, sql: &str) -> Reply {
    client.send(&[parse("", sql), sync()].concat()).unwrap();
    client.until(b'Z').unwrap()
}

#[test]
fn in_statement_mode_transactions_are_refused_and_the_session_goes_on() {
    let (postgres, proxy) = in_mode("statement");
    postgres.admin().run("create table mark (a int)");
    let mut client = proxy.client();
    for sql in [
        "begin",
        "start transaction",
        "/* c */ BEGIN isolation level serializable",
        "begin; insert into mark values (1); commit",
        "insert into mark values (1); begin",
    ] {
        for reply in [client.query(sql).unwrap(), extended(&mut client, sql)] {
            let multiple = reply.sqlstate() == "42601";
            assert!(reply.sqlstate() == "0A000" || multiple, "{sql}: {reply:?}");
            assert_eq!(reply.status(), Some('I'), "{sql}");
        }
        assert_eq!(client.value("select 1"), "1");
    }
    assert_eq!(client.value("select count(*) from mark"), "0");
    client.run("insert into mark values (1); insert into mark values (2)");
    assert_eq!(proxy.client().value("select count(*) from mark"), "2");
}

#[test]
fn pins_are_refused_where_the_pool_says_so() {
    let postgres = Postgres::start();
    postgres.admin().run("create sequence seq");
    let text = "pool.size_max = 1\npool.pin = \"error\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let mut client = proxy.client();
    for (sql, state) in [
        ("listen c", "listen"),
        ("create temp table t (a int)", "temp_table"),
        ("select 1 as a into temp t", "temp_table"),
        ("select pg_advisory_lock(1)", "advisory_lock"),
        ("prepare p as select 1", "prepared"),
        ("declare c cursor with hold for select 1", "hold_cursor"),
        ("select nextval('seq')", "sequence"),
        ("load 'auto_explain'", "load"),
    ] {
        for reply in [client.query(sql).unwrap(), extended(&mut client, sql)] {
            assert_eq!(reply.sqlstate(), "0A000", "{sql}");
            assert!(
                reply.error_text().contains(state),
                "{sql}: {}",
                reply.error_text()
            );
            assert_eq!(reply.status(), Some('I'), "{sql}");
        }
        assert_eq!(client.value("select 1"), "1", "{sql}");
    }
    client.run("begin; set timezone = 'Asia/Tokyo'; select pg_advisory_xact_lock(1); commit");
    client.run("begin; declare c cursor for select 1; commit");
    assert_eq!(proxy.client().value("show timezone"), "UTC");
    // In a transaction the refusal is an error like any other.
    client.run("begin");
    assert_eq!(client.query("listen c").unwrap().status(), Some('E'));
    assert_eq!(client.query("select 1").unwrap().sqlstate(), "25P02");
    client.run("rollback");
}

#[test]
fn replication_is_refused_in_transaction_mode() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &[]);
    for replication in ["true", "database", "on", "1"] {
        let mut client = Client::open(proxy.address).unwrap();
        let settings = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("replication", replication),
        ];
        client.send(&startup((3, 0), &settings)).unwrap();
        let refusal = client.until(b'E').unwrap();
        assert_eq!(refusal.sqlstate(), "0A000", "replication={replication}");
        assert!(refusal.error_field(b'H').unwrap().contains("session"));
        assert!(is_closed(&mut client));
    }
    let settings = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("replication", "false"),
    ];
    let mut client = Client::connect(proxy.address, &settings).unwrap();
    assert_eq!(client.value("select 1"), "1");
}

#[test]
fn in_session_mode_replication_passes_through() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &["--pool-mode", "session"]);
    for (replication, database) in [("database", "postgres"), ("true", "")] {
        let settings = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("replication", replication),
        ];
        let mut client = Client::connect(proxy.address, &settings).unwrap();
        // A command that only a replication connection knows; the fourth column is its database.
        let reply = client.query("IDENTIFY_SYSTEM").unwrap();
        assert!(!reply.failed(), "{}", reply.error_text());
        let row = reply.0.iter().find(|frame| frame.tag == b'D').unwrap();
        let named = String::from_utf8_lossy(&row.body).ends_with("postgres");
        assert_eq!(named, database == "postgres", "{replication}: {row:?}");
    }
    // They are nobody's pool: the one upstream is still free.
    assert_eq!(proxy.client().value("select 1"), "1");
    proxy.stop();
}
