//! RELOAD and SET.

use super::actions::cell;
use super::{console, psql, start};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, bind, execute, parse, sync};

fn setting(admin: &mut Client, key: &str) -> (String, String) {
    let column =
        |admin: &mut Client, column| cell(admin, "SHOW CONFIG", ("key", key), column).unwrap();
    (column(admin, "value"), column(admin, "origin"))
}

#[test]
fn what_is_set_lasts_until_it_is_taken_back() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 7\n");
    let mut admin = console(&proxy);
    let (out, err) = psql(&proxy, "SET pool.size_max = 8;");
    assert_eq!(out, "SET\n");
    assert!(err.contains("NOTICE:  pool.size_max has changed"), "{err}");
    let expected = ("8".to_owned(), "SET in the console".to_owned());
    assert_eq!(setting(&mut admin, "pool.size_max"), expected);
    let size = cell(
        &mut admin,
        "SHOW DATABASES",
        ("name", "postgres"),
        "pool_size",
    );
    assert_eq!(size.as_deref(), Some("8"));
    // PgBouncer's name for another, and both hold.
    admin.run("SET max_client_conn = 2000");
    assert_eq!(setting(&mut admin, "listen.clients_max").0, "2000");
    assert_eq!(setting(&mut admin, "pool.size_max").0, "8");
    admin.run("SET listen.clients_max = DEFAULT");
    assert_eq!(setting(&mut admin, "listen.clients_max").0, "10000");
    let reply = admin.run("RELOAD");
    assert_eq!(setting(&mut admin, "pool.size_max").0, "7");
    assert_eq!(reply.0.iter().filter(|f| f.tag == b'N').count(), 1);
    for (sql, code, hint) in [
        (
            "SET cache.bytes_max = '1MiB'",
            "55P02",
            "start pgweir again",
        ),
        ("SET pool.size_max = many", "F0000", "pgweir check"),
        (
            "SET pool.size_mx = 3",
            "42704",
            "Did you mean pool.size_max?",
        ),
    ] {
        let reply = admin.query(sql).unwrap();
        assert_eq!(reply.sqlstate(), code, "{sql}");
        let said = reply.error_field(b'H').unwrap();
        assert!(said.contains(hint), "{sql}: {said}");
    }
    assert_eq!(setting(&mut admin, "pool.size_max").0, "7");
    proxy.stop();
}

#[test]
fn the_level_of_the_log_is_set() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 7\n");
    let mut admin = console(&proxy);
    admin.run("SET log.level = debug");
    drop(Client::open(proxy.address).unwrap());
    proxy.wait_for_log("hung up before logging in", 0);
    proxy.stop();
}

#[test]
fn what_is_set_is_not_logged() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 7\n");
    let mut admin = console(&proxy);
    admin.run("SET admin.token = 'geheim4711'");
    let url = format!("postgres://app:geheim4712@{}/postgres", postgres.address);
    admin.run(&format!("SET upstream.url = '{url}'"));
    proxy.wait_for_log("upstream.url", 0);
    let log = proxy.stop().join("\n");
    assert!(
        log.contains("admin.token") && !log.contains("geheim"),
        "{log}"
    );
}

#[test]
fn reload_says_what_changed_and_what_has_to_wait() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 7\n");
    let file = proxy.file("proxy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut client = proxy.client();
    let changed = text.replace("size_max = 7", "size_max = 9") + "cache.bytes_max = \"1MiB\"\n";
    std::fs::write(&file, changed).unwrap();
    let (out, err) = psql(&proxy, "RELOAD");
    assert_eq!(out, "RELOAD\n");
    assert!(err.contains("NOTICE:  pool.size_max has changed"), "{err}");
    let waits = "WARNING:  cache.bytes_max has changed, but only a restart applies it";
    assert!(err.contains(waits), "{err}");
    std::fs::write(&file, "nonsense").unwrap();
    let (_, err) = psql(&proxy, "RELOAD");
    assert!(
        err.contains("nothing was changed") && err.contains("proxy.toml:1"),
        "{err}"
    );
    assert_eq!(client.value("select 1"), "1");
    proxy.stop();
}

/// Sessions that run live by the new configuration from their next transaction on: upstreams of the
/// old one are closed as they come back, also when the database is somewhere else now.
#[test]
fn a_reload_reaches_the_sessions_that_run() {
    let (old, new) = (Postgres::start(), Postgres::start());
    let name = |postgres: &Postgres, name: &str| {
        let mut admin = postgres.admin();
        admin.run("create table place (name text)");
        admin.run(&format!("insert into place values ('{name}')"));
    };
    name(&old, "old");
    name(&new, "new");
    let cached = "cache.level = \"ryw\"\n";
    let proxy = Proxy::configured(old.address, &format!("{cached}pool.size_max = 1\n"));
    let (mut idle, mut busy) = (proxy.client(), proxy.client());
    let place = "select name from place";
    let ask = [bind("", "s", &[]), execute("", 0), sync()].concat();
    idle.send(&[parse("s", place), sync()].concat()).unwrap();
    idle.until(b'Z').unwrap();
    let prepared = |client: &mut Client| {
        client.send(&ask).unwrap();
        client.until(b'Z').unwrap().value().unwrap()
    };
    assert_eq!(prepared(&mut idle), "old");
    busy.run("begin");
    assert_eq!(busy.value(place), "old");
    // Another size: there is room for a second one, for clients that are there already.
    proxy.reconfigure(old.address, &format!("{cached}pool.size_max = 2\n"));
    assert_eq!(idle.value("select 1"), "1");
    let mut admin = console(&proxy);
    eventually("one upstream in use", || {
        (cell(
            &mut admin,
            "SHOW POOLS",
            ("database", "postgres"),
            "sv_active",
        )
        .as_deref()
            == Some("1"))
        .then_some(())
    });
    // Another server.
    proxy.reconfigure(new.address, &format!("{cached}pool.size_max = 2\n"));
    assert_eq!(prepared(&mut idle), "new");
    assert_eq!(idle.value(place), "new");
    assert_eq!(prepared(&mut idle), "new");
    // The transaction ends where it began.
    assert_eq!(busy.value(place), "old");
    busy.run("commit");
    assert_eq!(busy.value(place), "new");
    let mut admin = old.admin();
    eventually("no upstream of the old one", || {
        (Postgres::upstreams(&mut admin, "true") == 0).then_some(())
    });
    proxy.stop();
}
