//! A client's settings are its own, wherever it is served. The pool has one upstream, so every other client's
//! statement in between is one on the same backend.

mod hidden;
mod refused;
mod reported;

use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, Reply, bind, execute, parse, sync};

struct World {
    postgres: Postgres,
    admin: Client,
    proxy: Proxy,
}

impl World {
    fn new() -> Self {
        let postgres = Postgres::start();
        let mut admin = postgres.admin();
        admin.run("create table mark (who text default current_user); grant all on mark to public");
        let proxy = Proxy::start(&postgres, 1, &[]);
        Self {
            postgres,
            admin,
            proxy,
        }
    }

    fn client(&self, settings: &[(&str, &str)]) -> Client {
        let who = [("user", "postgres"), ("database", "postgres")];
        Client::connect(self.proxy.address, &[&who, settings].concat()).unwrap()
    }

    /// A client that has never set anything finds everything as at its login.
    fn check_stranger(&self, stranger: &mut Client, context: &str) {
        for (sql, wanted) in [
            ("show timezone", "UTC"),
            (
                "select current_user || ' ' || session_user",
                "postgres postgres",
            ),
            ("show role", "none"),
            ("show search_path", "\"$user\", public"),
            ("show statement_timeout", "0"),
            ("select coalesce(current_setting('app.x', true), '')", ""),
        ] {
            assert_eq!(stranger.value(sql), wanted, "{context}: {sql}");
        }
    }
}

fn with_parameters(client: &mut Client, sql: &str, values: &[&str]) -> Reply {
    let whole = [parse("", sql), bind("", "", values), execute("", 0), sync()].concat();
    client.send(&whole).unwrap();
    client.until(b'Z').unwrap()
}

/// It cannot be prepared any more, which rolls it back, settings included.
#[test]
fn a_failed_transaction_is_not_prepared() {
    let world = World::new();
    let (mut client, mut stranger) = (world.client(&[]), world.client(&[]));
    client.run("begin");
    client.run("set app.x = 'mine'");
    assert_eq!(client.query("select 1 / 0").unwrap().sqlstate(), "22012");
    assert_eq!(client.run("prepare transaction 'g'").status(), Some('I'));
    for _ in 0..2 {
        let own = "select coalesce(current_setting('app.x', true), '')";
        assert_eq!(client.value(own), "");
        world.check_stranger(&mut stranger, "a failed transaction");
    }
}

#[test]
fn reset_goes_back_to_the_clients_own_start() {
    let world = World::new();
    let mut tokyo = world.client(&[
        ("timezone", "Asia/Tokyo"),
        ("options", "-c app.x=tokyo -c statement_timeout=7s"),
    ]);
    let mut berlin = world.client(&[("timezone", "Europe/Berlin"), ("app.x", "berlin")]);
    let mut stranger = world.client(&[]);
    let change =
        "set timezone = 'Asia/Kolkata'; set app.x = 'changed'; set statement_timeout = '9s'";
    let each = "reset timezone; reset app.x; reset statement_timeout";
    let default = "set timezone to default; set app.x to default; set statement_timeout = default";
    let zone = "set time zone default; reset app.x; reset statement_timeout";
    for reset in [each, default, zone, "reset all", "discard all"] {
        for client in [&mut tokyo, &mut berlin] {
            client.run(change);
            assert_eq!(client.value("show timezone"), "Asia/Kolkata");
        }
        for client in [&mut tokyo, &mut berlin] {
            client.run(reset);
        }
        world.check_stranger(&mut stranger, reset);
        for (client, zone, own, timeout) in [
            (&mut tokyo, "Asia/Tokyo", "tokyo", "7s"),
            (&mut berlin, "Europe/Berlin", "berlin", "0"),
        ] {
            assert_eq!(client.value("show timezone"), zone, "{reset}");
            assert_eq!(client.value("show app.x"), own, "{reset}");
            assert_eq!(client.value("show statement_timeout"), timeout, "{reset}");
        }
    }
}

#[test]
fn whoever_asks_as_another_is_alone_with_that() {
    let mut world = World::new();
    world
        .admin
        .run("create role other; create role third login; grant other to third");
    let (mut client, mut stranger) = (world.client(&[]), world.client(&[]));
    for (enter, current, session, leave) in [
        ("set role app", "app", "postgres", "reset role"),
        ("set role app", "app", "postgres", "set role none"),
        ("set role to 'app'", "app", "postgres", "set role = default"),
        (
            "set session authorization app",
            "app",
            "app",
            "reset session authorization",
        ),
        (
            "set session authorization app",
            "app",
            "app",
            "set session authorization default",
        ),
        (
            "set session authorization third; set role other",
            "other",
            "third",
            "reset session authorization",
        ),
        (
            "select set_config('role', 'app', false)",
            "app",
            "postgres",
            "select set_config('role', 'none', false)",
        ),
        ("set role app", "app", "postgres", "discard all"),
        ("set session authorization app", "app", "app", "discard all"),
    ] {
        client.run(enter);
        for _ in 0..2 {
            let who = "select current_user || ' ' || session_user";
            assert_eq!(client.value(who), format!("{current} {session}"), "{enter}");
            world.check_stranger(&mut stranger, enter);
        }
        // RESET ALL leaves both alone, as in Postgres.
        client.run("reset all");
        world.check_stranger(&mut stranger, enter);
        assert_eq!(
            client.value("select current_user"),
            current,
            "{enter}; reset all"
        );
        client.run(leave);
        world.check_stranger(&mut client, leave);
    }
}

/// What an error, a rollback or a vanished client undid is not replayed either.
#[test]
fn a_role_of_a_transaction_that_failed_is_gone() {
    let world = World::new();
    let mut stranger = world.client(&[]);
    for end in [
        "rollback",
        "select 1/0",
        "commit prepared 'none'",
        "savepoint s",
    ] {
        let mut client = world.client(&[]);
        client.run("begin");
        client.run("set role app");
        client.run("set session authorization app");
        client.query(end).unwrap();
        client.query("rollback").unwrap();
        world.check_stranger(&mut stranger, end);
        world.check_stranger(&mut client, end);
        client.run("begin; set role app");
        drop(client);
        world.check_stranger(&mut stranger, end);
    }
    let mut client = world.client(&[]);
    assert!(
        client
            .query("set timezone = 'Asia/Tokyo'; select 1/0")
            .unwrap()
            .failed()
    );
    assert!(
        client
            .query("set role app; set timezone = 'No/Such'")
            .unwrap()
            .failed()
    );
    world.check_stranger(&mut client, "an implicit transaction that failed");
}

#[test]
fn set_config_follows_its_client_with_its_parameters() {
    let world = World::new();
    let (mut client, mut stranger) = (world.client(&[]), world.client(&[]));
    let set = "select set_config($1, $2, false)";
    for (name, value) in [
        ("TimeZone", "Asia/Tokyo"),
        ("app.x", "it's \\ \"quoted\""),
        ("search_path", "a, \"B\", pg_temp"),
        ("app.x", ""),
    ] {
        assert!(!with_parameters(&mut client, set, &[name, value]).failed());
        let show = format!("select current_setting('{name}')");
        for _ in 0..2 {
            world.check_stranger(&mut stranger, name);
            assert_eq!(client.value(&show), value, "{name}");
        }
    }
    client.run("discard all");
    world.check_stranger(&mut client, "discard all");
    // Only for the transaction.
    client.run("begin");
    with_parameters(
        &mut client,
        "select set_config($1, $2, true)",
        &["app.x", "local"],
    );
    assert_eq!(client.value("show app.x"), "local");
    client.run("commit");
    world.check_stranger(&mut client, "local");
    // A named statement, bound again with other values.
    client.send(&[parse("s", set), sync()].concat()).unwrap();
    client.until(b'Z').unwrap();
    for value in ["first", "second"] {
        let bound = [bind("", "s", &["app.x", value]), execute("", 0), sync()].concat();
        client.send(&bound).unwrap();
        assert_eq!(client.until(b'Z').unwrap().value().unwrap(), value);
        world.check_stranger(&mut stranger, value);
        assert_eq!(client.value("show app.x"), value);
    }
    // Bound, but never executed.
    client
        .send(&[bind("", "s", &["app.x", "third"]), sync()].concat())
        .unwrap();
    client.until(b'Z').unwrap();
    world.check_stranger(&mut stranger, "third");
    assert_eq!(client.value("show app.x"), "second");
}

#[test]
fn rollback_restores() {
    let world = World::new();
    let (mut client, mut stranger) = (world.client(&[]), world.client(&[]));
    client.run("set app.x = '1'");
    for (transaction, wanted) in [
        ("begin; set app.x = '2'; rollback", "1"),
        ("begin; set app.x = '2'; commit", "2"),
        (
            "begin; set app.x = '3'; savepoint s; set app.x = '4'; rollback to s; commit",
            "3",
        ),
        (
            "begin; savepoint s; set app.x = '4'; release s; rollback",
            "3",
        ),
        (
            "begin; savepoint s; set app.x = '5'; savepoint s; set app.x = '6'; rollback to s; commit",
            "5",
        ),
        ("begin; set local app.x = '7'; commit", "5"),
        ("begin; set app.x = '8'; set local app.x = '9'; commit", "8"),
        (
            "begin; savepoint s; reset app.x; rollback to s; commit",
            "8",
        ),
        (
            "begin; set app.x = '10'; commit and chain; set app.x = '11'; rollback",
            "10",
        ),
        (
            "begin; savepoint \"S 1\"; set app.x = '12'; rollback to savepoint \"S 1\"; commit",
            "10",
        ),
        ("start transaction; set app.x = '13'; abort", "10"),
    ] {
        for whole in [true, false] {
            client.run(&format!("set app.x = '{wanted}'"));
            if whole {
                client.run(transaction);
            } else {
                for statement in transaction.split("; ") {
                    client.run(statement);
                }
            }
            world.check_stranger(&mut stranger, transaction);
            let as_wanted = transaction.matches("app.x").count() > 0;
            assert!(
                as_wanted && client.value("show app.x") == wanted,
                "{transaction} ({whole})"
            );
        }
    }
}
