//! Whole files, as people have them.

use std::fs;
use std::path::Path;

use super::settings::{self, Goes};
use super::{Translated, from_pgbouncer};
use crate::config::{self, AuthMode, PoolMode};

fn translate(ini: &str, users: &str) -> Translated {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("userlist.txt"), users).unwrap();
    let path = folder.path().join("pgbouncer.ini");
    fs::write(&path, ini).unwrap();
    from_pgbouncer(&path).unwrap()
}

fn loaded(translated: &Translated) -> config::Config {
    assert_eq!(translated.unusable, None, "{}", translated.toml);
    config::load_text(Path::new("p"), &translated.toml)
        .unwrap()
        .config
}

fn notes(translated: &Translated) -> String {
    let notes = translated.notes.iter().map(ToString::to_string);
    notes.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_smallest_file_keeps_pgbouncers_defaults() {
    let it = translate(
        "[databases]\nshop = host=db.example\n[pgbouncer]\nauth_file = userlist.txt\nlisten_addr = *\n",
        "\"app\" \"secret\"\n",
    );
    let config = loaded(&it);
    assert_eq!(config.listen.address, "0.0.0.0:6432");
    assert_eq!(config.listen.clients_max, 100);
    assert_eq!(config.auth.mode, AuthMode::Md5);
    assert_eq!(config.pool.mode, PoolMode::Session);
    assert_eq!(config.pool.timeout.as_secs(), 120);
    assert_eq!(config.pool.connect_timeout.as_secs(), 15);
    assert_eq!(
        config.auth.users["app"].password.as_ref().unwrap().expose(),
        "secret"
    );
    assert!(config.databases.contains_key("shop") && config.admin.users.is_empty());
    assert!(
        notes(&it).contains("a database that is not listed"),
        "{}",
        notes(&it)
    );
}

#[test]
fn a_large_file_is_taken_over_and_the_rest_is_named() {
    let verifier = "SCRAM-SHA-256$4096:5tLzGjFXSKYzBi4/2fOBGg==$9UnKK2WpW7aNwvgXhKwz7Sfkks0gxx4IEIhTFAbK2gs=:HvSEB6ZCjgMfFwBbT4PbPkjvkhVcgHsCmDbVvvlbJjE=";
    let it = translate(
        "[databases]\n\
         shop = host=10.0.0.5 port=5433 dbname=shop_v2 user=owner password='it''s' pool_size=7 connect_query='set x to 1'\n\
         \"odd name\" = host=::1 timezone='Europe/Vienna' pool_mode=session max_db_client_connections=9\n\
         * = host=10.0.0.1,10.0.0.2\n\
         [users]\nbatch = pool_size=3 max_user_client_connections=4 pool_mode=session\n\
         [pgbouncer]\n\
         listen_addr = 10.1.1.1, ::1\nlisten_port = 7000\n\
         auth_type = scram-sha-256\nauth_file = userlist.txt\nauth_user = looker\nauth_dbname = postgres\n\
         pool_mode = transaction\ndefault_pool_size = 50\nmin_pool_size = 5\nmax_client_conn = 20000\n\
         query_wait_timeout = 0.5\nserver_idle_timeout = 0\nmax_prepared_statements = 100\n\
         server_tls_sslmode = require\nadmin_users = looker, root\nstats_users = batch\n\
         query_timeout = 30\nidle_transaction_timeout = 0\nreserve_pool_size = 5\n\
         server_reset_query = DISCARD ALL\npidfile = /run/p.pid\nverbose = 1\nnonsense = 1\n",
        &format!("\"looker\" \"p@ss\"\n\"app\" \"{verifier}\"\n"),
    );
    let config = loaded(&it);
    assert_eq!(config.listen.address, "10.1.1.1:7000");
    assert_eq!(config.listen.clients_max, 20_000);
    assert_eq!(config.pool.queue_max, 20_000);
    assert_eq!((config.pool.size_max, config.pool.idle_min), (50, 5));
    assert_eq!(config.pool.timeout.as_millis(), 500);
    assert_eq!(config.pool.statements_max, 100);
    assert_eq!(config.upstream.hosts.len(), 2);
    assert_eq!(config.upstream.user, "looker");
    assert_eq!(config.upstream.password.as_ref().unwrap().expose(), "p@ss");
    assert!(config.auth.query.as_ref().unwrap().contains("pg_authid"));
    assert_eq!(config.auth.query_database.as_deref(), Some("postgres"));
    assert_eq!(config.admin.users, ["looker", "root"]);
    let shop = &config.databases["shop"];
    assert_eq!(shop.dbname.as_deref(), Some("shop_v2"));
    assert_eq!(shop.password.as_ref().unwrap().expose(), "it's");
    assert_eq!(
        (shop.pool_size_max, shop.user.as_deref()),
        (Some(7), Some("owner"))
    );
    let odd = &config.databases["odd name"];
    assert_eq!(
        (odd.clients_max, odd.pool_mode),
        (Some(9), Some(PoolMode::Session))
    );
    let target = odd.target.as_ref().unwrap();
    assert!(target.parameters[0].1.contains("timezone=Europe/Vienna"));
    let batch = &config.auth.users["batch"];
    assert_eq!((batch.clients_max, batch.pool_size_max), (Some(4), Some(3)));
    let notes = notes(&it);
    for wanted in [
        "no equivalent: query_timeout = 30",
        "no equivalent: reserve_pool_size = 5",
        "no equivalent: [databases] shop: connect_query = set x to 1",
        "no equivalent: [users] batch: pool_mode = session",
        "no equivalent: nonsense = 1",
        "not needed: server_reset_query = DISCARD ALL",
        "not needed: pidfile = /run/p.pid",
        "differs: of listen_addr",
        "differs: hosts of a list",
    ] {
        assert!(notes.contains(wanted), "{wanted}\n{notes}");
    }
    assert!(!notes.contains("idle_transaction_timeout"), "{notes}");
    assert!(
        !notes.contains("p@ss") && !notes.contains("it's"),
        "{notes}"
    );
}

#[test]
fn what_pgbouncer_would_refuse_is_refused() {
    let refused = |ini: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.ini");
        fs::write(&path, ini).unwrap();
        from_pgbouncer(&path).unwrap_err()
    };
    assert!(refused("[pgbouncer]\n").contains("[databases]"));
    assert!(refused("[databases]\na = host\n").contains("p.ini:2"));
    let count = "[databases]\na=\n[pgbouncer]\nmax_client_conn = many\n";
    assert!(refused(count).contains("p.ini:4: max_client_conn: `many`"));
    assert!(refused("[data]\na=\n").contains("[data]"));
    assert!(from_pgbouncer(Path::new("/nowhere.ini")).is_err());
}

#[test]
fn a_translation_that_cannot_start_says_so() {
    let it = translate(
        "[databases]\na = host=b\n[pgbouncer]\nauth_file = gone.txt\n",
        "",
    );
    assert!(it.unusable.is_some());
    assert!(notes(&it).contains("auth_file"), "{}", notes(&it));
    let it = translate(
        "[databases]\na = host=b\n[pgbouncer]\nauth_type = hba\n",
        "\"a\" \"b\"",
    );
    assert!(notes(&it).contains("auth_type = hba"));
}

/// The file that Debian's package installs, and its example with everything in it.
#[test]
fn debians_own_files_are_read() {
    for path in [
        "/etc/pgbouncer/pgbouncer.ini",
        "/usr/share/doc/pgbouncer/examples/pgbouncer.ini",
    ] {
        if !Path::new(path).exists() {
            eprintln!("NOT CHECKED: {path} is not there");
            continue;
        }
        match from_pgbouncer(Path::new(path)) {
            Ok(_) => {}
            Err(error) => assert!(error.contains("[databases]"), "{error}"),
        }
    }
}

fn rows(table: &[(&str, Goes)]) -> String {
    let mut text = String::from("| PgBouncer | pgweir |\n|---|---|\n");
    for (name, goes) in table {
        text += &match goes {
            Goes::To(ours) => format!("| `{name}` | `{ours}` |\n"),
            Goes::Nowhere(advice) => format!("| `{name}` | none: {advice} |\n"),
            Goes::Needless(why) => format!("| `{name}` | not needed: {why} |\n"),
        };
    }
    text
}

#[test]
fn docs_from_pgbouncer_has_the_table() {
    for (mark, table) in [
        ("pgbouncer", settings::PGBOUNCER),
        ("databases", settings::DATABASES),
        ("users", settings::USERS),
    ] {
        crate::docs::same("from-pgbouncer.md", mark, &rows(table));
    }
}
