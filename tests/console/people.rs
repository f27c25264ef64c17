//! SHOW CLIENTS, SERVERS, POOLS, USERS, LISTS, MEM and PINS say what is the case.

use super::actions::{cell, pool, table};
use super::{console, start};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::wire::{Client, query};

#[test]
fn clients_and_upstreams_point_at_each_other() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 1\n");
    let settings = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("application_name", "web"),
    ];
    let mut busy = Client::connect(proxy.address, &settings).unwrap();
    let mut waiting = proxy.client();
    busy.run("prepare p as select 1");
    busy.run("deallocate p");
    busy.run("begin");
    let pid = busy.value("select pg_backend_pid()");
    waiting.send(&query("select 1")).unwrap();
    let mut admin = console(&proxy);
    eventually("a client that waits", || {
        (pool(&mut admin, "cl_waiting") == 1).then_some(())
    });
    for (column, count) in [
        ("cl_active", 1),
        ("sv_active", 1),
        ("sv_idle", 0),
        ("sv_login", 0),
    ] {
        assert_eq!(pool(&mut admin, column), count, "{column}");
    }
    let client = |admin: &mut Client, column: &str| {
        cell(admin, "SHOW CLIENTS", ("application_name", "web"), column).unwrap()
    };
    let server = |admin: &mut Client, column: &str| {
        cell(admin, "SHOW SERVERS", ("remote_pid", &pid), column).unwrap()
    };
    assert_eq!(client(&mut admin, "state"), "active");
    assert_eq!(client(&mut admin, "link"), server(&mut admin, "ptr"));
    assert_eq!(server(&mut admin, "link"), client(&mut admin, "ptr"));
    assert_eq!(server(&mut admin, "application_name"), "web");
    assert_eq!(server(&mut admin, "addr"), "127.0.0.1");
    assert_eq!(
        server(&mut admin, "port"),
        postgres.address.port().to_string()
    );
    assert_eq!(
        client(&mut admin, "local_port"),
        proxy.address.port().to_string()
    );
    for moment in ["connect_time", "request_time"] {
        assert!(client(&mut admin, moment).ends_with(" UTC"), "{moment}");
    }
    let port = waiting.stream().local_addr().unwrap().port().to_string();
    let state = cell(&mut admin, "SHOW CLIENTS", ("port", &port), "state");
    assert_eq!(state.as_deref(), Some("waiting"));
    busy.run("commit");
    waiting.until(b'Z').unwrap();
    eventually("nobody at work", || {
        (pool(&mut admin, "sv_idle") == 1).then_some(())
    });
    assert_eq!(client(&mut admin, "state"), "idle");
    assert_eq!(client(&mut admin, "link"), "");
    // Both kinds together, and those at work.
    assert_eq!(table(&mut admin, "SHOW SOCKETS").len(), 1 + 4);
    assert_eq!(table(&mut admin, "SHOW ACTIVE_SOCKETS").len(), 1);
    let list = |admin: &mut Client, name| cell(admin, "SHOW LISTS", ("list", name), "items");
    assert_eq!(list(&mut admin, "used_clients").as_deref(), Some("3"));
    assert_eq!(list(&mut admin, "used_servers").as_deref(), Some("1"));
    assert_eq!(list(&mut admin, "pools").as_deref(), Some("1"));
    let user = ("name", "postgres");
    let clients = cell(&mut admin, "SHOW USERS", user, "current_client_connections");
    assert_eq!(clients.as_deref(), Some("3"));
    proxy.stop();
}

#[test]
fn memory_is_counted() {
    let proxy = super::without_postgres();
    let mut admin = console(&proxy);
    let used = cell(&mut admin, "SHOW MEM", ("name", "client_cache"), "used");
    assert_eq!(used.as_deref(), Some("1"));
    let resident = cell(&mut admin, "SHOW MEM", ("name", "process"), "memtotal");
    assert!(resident.unwrap().parse::<u64>().unwrap() > 1 << 20);
    proxy.stop();
}

#[test]
fn pins_name_their_reasons() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "");
    let mut client = proxy.client();
    client.run("create temp table t (i int)");
    client.run("listen l");
    let mut admin = console(&proxy);
    let pins = |admin: &mut Client, column| cell(admin, "SHOW PINS", ("user", "postgres"), column);
    let reasons = pins(&mut admin, "reasons").unwrap();
    assert_eq!(reasons, "temp_table, listen");
    assert!(pins(&mut admin, "since").unwrap().ends_with(" UTC"));
    assert_eq!(
        pins(&mut admin, "remote_pid").unwrap(),
        client.value("select pg_backend_pid()")
    );
    assert_eq!(pool(&mut admin, "sv_pinned"), 1);
    client.run("discard all");
    client.run("select 1");
    eventually("no pin", || {
        pins(&mut admin, "reasons").is_none().then_some(())
    });
    proxy.stop();
}
