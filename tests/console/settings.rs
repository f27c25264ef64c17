//! RELOAD and SET.

use super::actions::cell;
use super::{console, psql, start};
use crate::support::postgres::Postgres;
use crate::support::wire::Client;

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
