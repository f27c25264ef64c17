//! Who gets in: every mode with the right and the wrong password, every source of users, and the limits.

mod tls;

use std::time::Duration;

use tokio::time::Instant;

use crate::support::postgres::{Login, Options, PASSWORD, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, Reply, startup};

/// A Postgres that asks `app` for its password, by SCRAM.
fn asking() -> Postgres {
    let mut options = Options::new(installs().swap_remove(0));
    options.login = Login::Scram;
    let postgres = Postgres::start_with(&options);
    postgres.admin().run("create database shop");
    postgres
}

/// Logs in to a database where the upstream asks for passwords.
fn log_in(proxy: &Proxy, user: &str, password: &str) -> Result<Client, Reply> {
    Client::log_in(proxy.address, (user, "shop"), password)
}

fn check_in(proxy: &Proxy, user: &str, password: &str) {
    match log_in(proxy, user, password) {
        Ok(mut client) => assert_eq!(client.value("select current_user"), user),
        Err(refusal) => panic!("{user}: {}", refusal.error_text()),
    }
}

/// Refused in the words that Postgres has for a wrong password; all fields but the user's name.
fn check_out(proxy: &Proxy, user: &str, password: &str) -> String {
    let refusal = log_in(proxy, user, password).unwrap_err();
    let wanted = format!("28P01 password authentication failed for user \"{user}\"");
    assert_eq!(refusal.error_text(), wanted);
    String::from_utf8_lossy(&refusal.0[0].body).replace(user, "USER")
}

/// Nobody can tell a user that does not exist from one with another password.
fn check_strangers(proxy: &Proxy, user: &str) {
    let wrong = check_out(proxy, user, "wrong");
    assert_eq!(check_out(proxy, "nobody_at_all", "wrong"), wrong);
    assert_eq!(check_out(proxy, "nobody_at_all", PASSWORD), wrong);
}

/// Whoever comes may choose a name, and the log is read by machines.
#[test]
fn a_name_does_not_write_lines_of_the_log() {
    let postgres = asking();
    let url = format!("{}?sslmode=disable", postgres.url("app"));
    let text = format!("upstream.url = \"{url}\"\nauth.mode = \"scram\"\n");
    let proxy = Proxy::configured(postgres.address, &text);
    log_in(&proxy, "x\nforged line", "wrong").unwrap_err();
    let said = proxy.wait_for_log("not logged in", 0);
    assert!(said.contains("x\\nforged line"), "{said}");
    let mut lines = proxy.log_lines().into_iter();
    assert!(!lines.any(|line| line.starts_with("forged")));
}

#[test]
fn by_the_user_of_the_url() {
    let postgres = asking();
    let url = format!("{}?sslmode=disable", postgres.url("app"));
    for mode in ["scram", "md5", "password"] {
        let text = format!("upstream.url = \"{url}\"\nauth.mode = \"{mode}\"\n");
        let proxy = Proxy::configured(postgres.address, &text);
        check_in(&proxy, "app", PASSWORD);
        check_strangers(&proxy, "app");
        check_in(&proxy, "app", PASSWORD);
        // The operator is told what the client must not hear.
        proxy.wait_for_log("unknown user: neither in upstream.url", 0);
        let known = |line: &String| line.contains("unknown user") && line.contains("user=\"app\"");
        assert!(!proxy.log_lines().iter().any(known));
    }
}

/// What Postgres itself keeps for `role` with this password.
fn verifier(postgres: &Postgres, kind: &str, role: &str, password: &str) -> String {
    let mut admin = postgres.admin();
    admin.run(&format!("set password_encryption = '{kind}'"));
    admin.run(&format!(
        "drop role if exists {role}; create role {role} login password '{password}'"
    ));
    admin.value(&format!(
        "select rolpassword from pg_authid where rolname = '{role}'"
    ))
}

#[test]
fn by_users_of_the_file() {
    let postgres = asking();
    let md5 = verifier(&postgres, "md5", "by_md5", "second");
    let scram = verifier(&postgres, "scram-sha-256", "by_scram", "third");
    postgres
        .admin()
        .run("create role by_clear login password 'first'");
    // Upstream everybody is let in: the question here is who gets that far.
    let hba = "host all all 127.0.0.1/32 trust\n";
    std::fs::write(postgres.dir.join("pg_hba.conf"), hba).unwrap();
    postgres.admin().run("select pg_reload_conf()");
    let users = format!(
        "[[users]]\nname = \"by_clear\"\npassword = \"first\"\n\
         [[users]]\nname = \"by_md5\"\npassword = \"{md5}\"\n\
         [[users]]\nname = \"by_scram\"\npassword = \"{scram}\"\n\
         [[users]]\nname = \"without\"\n"
    );
    for (mode, kinds) in [
        ("scram", ["by_clear", "", "by_scram"]),
        ("md5", ["by_clear", "by_md5", "by_scram"]),
        ("password", ["by_clear", "by_md5", "by_scram"]),
    ] {
        let text = format!("auth.mode = \"{mode}\"\n{users}");
        let proxy = Proxy::configured(postgres.address, &text);
        for (user, password) in kinds.into_iter().zip(["first", "second", "third"]) {
            if !user.is_empty() {
                check_in(&proxy, user, password);
                check_strangers(&proxy, user);
            }
        }
        check_out(&proxy, "without", "anything");
        check_out(&proxy, "without", "x");
    }
    // As in Postgres, an md5 hash cannot serve SCRAM.
    let proxy = Proxy::configured(postgres.address, &format!("auth.mode = \"scram\"\n{users}"));
    check_out(&proxy, "by_md5", "second");
}

/// The verifier's keys log in upstream, which asks for SCRAM too.
#[test]
fn by_a_verifier_that_also_opens_the_upstream() {
    let postgres = asking();
    let scram = verifier(&postgres, "scram-sha-256", "keyed", "third");
    let text = format!(
        "auth.mode = \"scram\"\npool.size_max = 1\n[[users]]\nname = \"keyed\"\npassword = \"{scram}\"\n"
    );
    let proxy = Proxy::configured(postgres.address, &text);
    check_strangers(&proxy, "keyed");
    check_in(&proxy, "keyed", "third");
    check_in(&proxy, "keyed", "third");
}

#[test]
fn by_auth_query() {
    let postgres = asking();
    verifier(&postgres, "scram-sha-256", "asked", "third");
    let ask = "select rolname, rolpassword from pg_catalog.pg_authid where rolname = $1";
    for mode in ["scram", "password"] {
        let text = format!(
            "auth.mode = \"{mode}\"\nauth.query = \"{ask}\"\nauth.query_database = \"postgres\"\n"
        );
        let proxy = Proxy::configured(postgres.address, &text);
        check_in(&proxy, "asked", "third");
        check_strangers(&proxy, "asked");
        check_in(&proxy, "app", PASSWORD);
        check_out(&proxy, "asked' or true --", "third");
    }
}

/// H110: what a client sets at start-up never holds where auth_query runs.
#[test]
fn auth_query_runs_under_nobodys_settings() {
    let postgres = asking();
    let mut admin = postgres.admin();
    admin.run(
        "create schema evil; create table mark (a int); \
         create function evil.lied(name, text) returns bool language plpgsql as \
         $$ begin insert into public.mark values (1); return true; end $$; \
         create operator evil.= (leftarg = name, rightarg = text, function = evil.lied)",
    );
    let ask = "select rolname, rolpassword from pg_authid where rolname = $1::text";
    let text = format!(
        "auth.mode = \"scram\"\nauth.query = \"{ask}\"\nauth.query_database = \"postgres\"\n"
    );
    let proxy = Proxy::configured(postgres.address, &text);
    for user in ["app", "nobody"] {
        let mut client = Client::open(proxy.address).unwrap();
        let settings = [
            ("user", user),
            ("database", "postgres"),
            ("search_path", "evil, pg_catalog"),
            ("options", "-c search_path=evil,pg_catalog"),
        ];
        client.send(&startup((3, 0), &settings)).unwrap();
        let asked = client.next().unwrap();
        assert_eq!(asked.tag, b'R');
    }
    assert_eq!(admin.value("select count(*) from mark"), "0");
}

/// The upstream decides each time, also where the pool is open already.
#[test]
fn by_passing_through() {
    let postgres = asking();
    let proxy = Proxy::configured(postgres.address, "auth.mode = \"passthrough\"\n");
    check_out(&proxy, "app", "wrong");
    check_in(&proxy, "app", PASSWORD);
    check_strangers(&proxy, "app");
    check_in(&proxy, "app", PASSWORD);
    postgres.admin().run("alter role app password 'changed'");
    check_out(&proxy, "app", PASSWORD);
    check_in(&proxy, "app", "changed");
    postgres.admin().run("alter role app nologin");
    let refusal = log_in(&proxy, "app", "changed").unwrap_err();
    assert_eq!(refusal.sqlstate(), "28000");
}

#[test]
fn networks_that_are_not_allowed() {
    let postgres = Postgres::start();
    postgres.admin().run("create database shop");
    let not_here = "allow = [\"10.0.0.0/8\", \"fd00::/8\"]\n";
    let proxy = Proxy::configured(postgres.address, &format!("auth.{not_here}"));
    let everybody = log_in(&proxy, "postgres", "").unwrap_err();
    let users = format!("[[users]]\nname = \"app\"\n{not_here}");
    let databases = format!("[databases.shop]\n{not_here}");
    let proxy = Proxy::configured(
        postgres.address,
        &format!("{users}[databases.postgres]\nallow = [\"127.0.0.0/8\"]\n"),
    );
    assert_eq!(proxy.client().value("select 1"), "1");
    let one_user = Client::log_in(proxy.address, ("app", "postgres"), "").unwrap_err();
    let proxy = Proxy::configured(postgres.address, &databases);
    assert_eq!(proxy.client().value("select 1"), "1");
    let one_database = log_in(&proxy, "postgres", "").unwrap_err();
    for refusal in [everybody, one_user, one_database] {
        assert_eq!(refusal.sqlstate(), "28000");
        assert!(
            refusal
                .error_text()
                .contains("address not allowed for host \"127.0.0.1\"")
        );
        assert!(refusal.error_field(b'H').unwrap().contains("allow"));
    }
    // With a password to hide behind, a user from elsewhere is a stranger.
    let text =
        format!("auth.mode = \"scram\"\n[[users]]\nname = \"app\"\npassword = \"p\"\n{not_here}");
    let proxy = Proxy::configured(postgres.address, &text);
    check_out(&proxy, "app", "p");
}

/// So many clients get in, the next does not, and one does when one has left.
fn check_limit(postgres: &Postgres, text: &str, setting: &str, others: &[(&str, &str)]) {
    let proxy = Proxy::configured(postgres.address, text);
    let enter = |(user, database)| Client::log_in(proxy.address, (user, database), "");
    let mut inside: Vec<Client> = (0..2).map(|_| enter(("app", "shop")).unwrap()).collect();
    let refusal = enter(("app", "shop")).unwrap_err();
    assert_eq!(refusal.sqlstate(), "53300", "{setting}");
    assert!(
        refusal.error_text().contains("there are 2 clients"),
        "{refusal:?}"
    );
    let hint = refusal.error_field(b'H').unwrap();
    assert!(hint.contains(setting), "{hint}");
    for other in others {
        drop(enter(*other).unwrap());
    }
    for client in &mut inside {
        assert_eq!(client.value("select 1"), "1");
    }
    drop(inside.pop());
    crate::support::eventually("the place to be free", || enter(("app", "shop")).ok());
}

#[test]
fn limits_on_clients() {
    let postgres = Postgres::start();
    postgres.admin().run("create database shop");
    let other_user = [("postgres", "shop")];
    let other_database = [("app", "postgres")];
    for (text, setting, others) in [
        ("listen.clients_max = 2\n", "listen.clients_max", &[][..]),
        (
            "listen.clients_per_address_max = 2\n",
            "listen.clients_per_address_max",
            &[],
        ),
        (
            "listen.clients_per_user_max = 2\n",
            "listen.clients_per_user_max",
            &other_user,
        ),
        (
            "[[users]]\nname = \"app\"\nclients_max = 2\n",
            "clients_max of the user",
            &other_user,
        ),
        (
            "listen.clients_per_database_max = 2\n",
            "listen.clients_per_database_max",
            &other_database,
        ),
        (
            "[databases.shop]\nclients_max = 2\n",
            "clients_max of the database",
            &other_database,
        ),
    ] {
        check_limit(&postgres, text, setting, others);
    }
}

/// Whoever says nothing, or stops in the middle, is not waited for; nor does one keep others out.
#[test]
fn a_login_has_its_time() {
    let postgres = Postgres::start();
    let text = "auth.mode = \"password\"\nlisten.login_timeout = \"2s\"\n\
                [[users]]\nname = \"postgres\"\npassword = \"p\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let start = Instant::now();
    let (mut silent, mut slow) = (
        Client::open(proxy.address).unwrap(),
        Client::open(proxy.address).unwrap(),
    );
    slow.send(&startup(
        (3, 0),
        &[("user", "postgres"), ("database", "postgres")],
    ))
    .unwrap();
    assert_eq!(slow.next().unwrap().tag, b'R');
    let mut inside = Client::log_in(proxy.address, ("postgres", "postgres"), "p").unwrap();
    let refusal = slow.until(b'E').unwrap();
    assert_eq!(refusal.sqlstate(), "57014");
    assert!(
        refusal
            .error_field(b'H')
            .unwrap()
            .contains("listen.login_timeout")
    );
    assert!(slow.next().is_err() && silent.next().is_err());
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_secs(2) && waited < Duration::from_secs(14),
        "{waited:?}"
    );
    assert_eq!(inside.value("select 'still here'"), "still here");
}
