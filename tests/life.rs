//! The life of the process: signals, reloads, what it says when it cannot start.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::certificates;
use crate::support::eventually;
use crate::support::postgres::{Options, Postgres, installs};
use crate::support::proxy::{self, Proxy};
use crate::support::wire::{Client, Reply, query};

const GOODBYE: &str = "57P01 terminating connection due to administrator command";

/// What a client is told before its connection is closed.
fn goodbye(client: &mut Client) -> String {
    let reply = client.until(b'E').unwrap();
    assert!(client.next().is_err(), "the connection goes on");
    reply.error_text()
}

/// Waits until nobody is let in any more.
fn wait_closed(proxy: &Proxy) {
    eventually("the listener to be closed", || {
        Client::open(proxy.address).is_err().then_some(())
    });
}

fn ends_well(signal: &str) {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let proxy = Proxy::start(&postgres, 4, &[]);
    let (mut idle, mut fresh, mut pinned) = (proxy.client(), proxy.client(), proxy.client());
    idle.run("select 1");
    pinned.run("listen c");
    let (mut working, mut begun, mut busy) = (proxy.client(), proxy.client(), proxy.client());
    working.run("begin");
    working.run("insert into mark values (1)");
    begun.run("begin");
    let mut admin = postgres.admin();
    admin.run("select pg_advisory_lock(1)");
    busy.send(&query("select 'done' from pg_advisory_xact_lock(1)"))
        .unwrap();
    let running = "wait_event = 'advisory'";
    eventually("the query to run", || {
        (Postgres::upstreams(&mut postgres.admin(), running) == 1).then_some(())
    });
    proxy.signal(signal);
    for client in [&mut idle, &mut fresh, &mut pinned] {
        assert_eq!(goodbye(client), GOODBYE);
    }
    wait_closed(&proxy);
    admin.run("select pg_advisory_unlock(1)");
    drop(admin);
    assert_eq!(busy.until(b'Z').unwrap().value().unwrap(), "done");
    assert_eq!(goodbye(&mut busy), GOODBYE);
    for client in [&mut working, &mut begun] {
        client.run("insert into mark values (2)");
        assert_eq!(client.run("commit").status(), Some('I'));
        assert_eq!(goodbye(client), GOODBYE);
    }
    proxy.ended();
    assert_eq!(postgres.admin().value("select count(*) from mark"), "3");
    eventually("no upstream to be left", || {
        (Postgres::upstreams(&mut postgres.admin(), "true") == 0).then_some(())
    });
}

#[test]
fn sigterm_lets_transactions_finish() {
    ends_well("TERM");
}

#[test]
fn sigint_lets_transactions_finish() {
    ends_well("INT");
}

fn in_a_transaction(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.run("begin");
    client.run("insert into mark values (1)");
    client
}

/// What is still there at the deadline is ended, and that is no failure.
#[test]
fn a_deadline_ends_the_rest() {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let text = "listen.shutdown_timeout = \"500ms\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let (mut open, mut busy) = (in_a_transaction(&proxy), in_a_transaction(&proxy));
    busy.send(&query("select pg_sleep(60)")).unwrap();
    let start = Instant::now();
    proxy.signal("TERM");
    assert_eq!(goodbye(&mut open), GOODBYE);
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert_eq!(goodbye(&mut busy), GOODBYE);
    proxy.ended();
    let mut admin = postgres.admin();
    eventually("no transaction to be left", || {
        (Postgres::upstreams(&mut admin, "true") == 0).then_some(())
    });
    assert_eq!(admin.value("select count(*) from mark"), "0");
}

/// A second signal does not wait.
#[test]
fn asked_twice_it_stops_at_once() {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let proxy = Proxy::start(&postgres, 2, &[]);
    let mut open = in_a_transaction(&proxy);
    proxy.signal("INT");
    wait_closed(&proxy);
    proxy.signal("INT");
    // Which waits for half of listen.shutdown_timeout only.
    proxy.ended();
    while open.next().is_ok() {}
    assert_eq!(postgres.admin().value("select count(*) from mark"), "0");
}

fn enter(proxy: &Proxy, user: &str, password: &str) -> Result<Client, Reply> {
    Client::log_in(proxy.address, (user, "postgres"), password)
}

#[test]
fn sighup_takes_over_users_and_pools() {
    let postgres = Postgres::start();
    postgres.admin().run("create role new login");
    let old = "auth.mode = \"scram\"\npool.size_max = 1\npool.timeout = \"2s\"\n\
               [[users]]\nname = \"app\"\npassword = \"first\"\n";
    let proxy = Proxy::configured(postgres.address, old);
    let mut client = enter(&proxy, "app", "first").unwrap();
    assert_eq!(
        enter(&proxy, "new", "second").unwrap_err().sqlstate(),
        "28P01"
    );
    client.run("set app.x = 'kept'");
    let new = "auth.mode = \"scram\"\npool.size_max = 2\npool.timeout = \"2s\"\n\
               runtime.workers = 3\nlog.format = \"json\"\nlisten.address = \"127.0.0.1:1\"\n\
               [[users]]\nname = \"app\"\npassword = \"changed\"\n\
               [[users]]\nname = \"new\"\npassword = \"second\"\n";
    let said = proxy.reconfigure(postgres.address, new).join("\n");
    for key in ["pool.size_max", "users.app", "users.new"] {
        assert!(said.contains(key), "{key} is not in: {said}");
    }
    for key in ["runtime.workers", "log.format"] {
        let line = said.lines().find(|line| line.contains(key)).unwrap();
        assert!(line.contains("restart"), "{line}");
    }
    assert_eq!(
        enter(&proxy, "app", "first").unwrap_err().sqlstate(),
        "28P01"
    );
    // Who is in stays in, with what it has.
    assert_eq!(client.value("show app.x"), "kept");
    let mut both = [
        enter(&proxy, "app", "changed").unwrap(),
        enter(&proxy, "app", "changed").unwrap(),
    ];
    for client in &mut both {
        client.run("begin");
        client.run("select 1");
    }
    let mut third = enter(&proxy, "app", "changed").unwrap();
    assert_eq!(
        third.query("select 1").and_then(|_| third.next()).ok(),
        None
    );
    assert_eq!(
        enter(&proxy, "new", "second")
            .unwrap()
            .value("select current_user"),
        "new"
    );
}

#[test]
fn a_broken_file_keeps_the_old_configuration() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, "listen.clients_per_user_max = 1\n");
    let mut client = proxy.client();
    for (broken, word) in [
        ("pool.size_maxx = 1\n", "size_max"),
        ("pool.size_max = 0\n", "pool.size_max"),
        ("pool.size_max = = \n", "TOML"),
        (
            "listen.tls.cert = \"/nowhere\"\nlisten.tls.key = \"/nowhere\"\n",
            "/nowhere",
        ),
        ("auth.mode = \"scramm\"\n", "scram"),
    ] {
        let said = proxy.reconfigure(postgres.address, broken).join("\n");
        assert!(
            said.contains("not reloaded") && said.contains(word),
            "{said}"
        );
        assert_eq!(client.value("select 1"), "1");
        // The old limit holds.
        assert_eq!(
            enter(&proxy, "postgres", "").unwrap_err().sqlstate(),
            "53300"
        );
    }
    let said = proxy.reconfigure(postgres.address, "listen.clients_per_user_max = 2\n");
    assert!(said.join("\n").contains("configuration reloaded"));
    drop(enter(&proxy, "postgres", "").unwrap());
}

/// The serial number of the certificate that it shows.
fn serial(proxy: &Proxy) -> String {
    let script = "openssl s_client -connect \"$1\" -starttls postgres </dev/null 2>/dev/null \
                  | openssl x509 -noout -serial";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(proxy.address.to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "no certificate was shown");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sighup_takes_over_a_certificate() {
    let postgres = Postgres::start();
    let folder = tempfile::TempDir::new().unwrap();
    certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "listen.tls.cert = \"{}\"\nlisten.tls.key = \"{}\"\n",
        file("server.crt"),
        file("server.key")
    );
    let proxy = Proxy::configured(postgres.address, &text);
    let first = serial(&proxy);
    assert_eq!(serial(&proxy), first);
    certificates::make(folder.path());
    assert_eq!(serial(&proxy), first, "it is read only when asked to");
    proxy.reconfigure(postgres.address, &text);
    let second = serial(&proxy);
    assert_ne!(second, first);
    // Half of a pair is no pair: the old one stays.
    fs::write(folder.path().join("server.key"), "nonsense").unwrap();
    let said = proxy.reconfigure(postgres.address, &text).join("\n");
    assert!(said.contains("not reloaded"), "{said}");
    assert_eq!(serial(&proxy), second);
}

/// The upstream's authority is renewed in its file, and nothing else changes.
#[test]
fn sighup_takes_over_what_the_upstream_is_verified_with() {
    let mut options = Options::new(installs().swap_remove(0));
    options.tls = true;
    let postgres = Postgres::start_with(&options);
    let folder = tempfile::TempDir::new().unwrap();
    certificates::make(folder.path());
    let root = folder.path().join("ca.crt");
    let text = format!(
        "upstream.url = \"{}?sslmode=verify-full&sslrootcert={}\"\n",
        postgres.url("postgres"),
        root.display()
    );
    let proxy = Proxy::configured(postgres.address, &text);
    let refused = enter(&proxy, "postgres", "").unwrap_err().error_text();
    assert!(refused.contains("certificate"), "{refused}");
    fs::copy(postgres.dir.join("ca.crt"), &root).unwrap();
    proxy.reconfigure(postgres.address, &text);
    let mut client = enter(&proxy, "postgres", "").unwrap();
    // Now the authority goes, and who is in stays.
    fs::write(&root, "nonsense").unwrap();
    let said = proxy.reconfigure(postgres.address, &text).join("\n");
    assert!(said.contains("not reloaded"), "{said}");
    assert_eq!(client.value("select 1"), "1");
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn too_few_open_files_are_said_to_be_too_few() {
    let url = "postgres://postgres@127.0.0.1:1/postgres";
    let mut command = proxy::command(&["prlimit", "--nofile=200:300"]);
    let arguments = [
        "--upstream",
        url,
        "--auth",
        "trust",
        "--admin-listen",
        "",
        "--listen",
        "127.0.0.1:0",
    ];
    let said = failed(&command.args(arguments).output().unwrap());
    for part in [
        "listen.clients_max = 10000",
        "10084 open files",
        "300",
        "ulimit -n",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

/// The soft limit is raised by itself.
#[test]
fn the_soft_limit_on_open_files_does_not_matter() {
    let mut command = proxy::command(&[
        "setpriv",
        "--pdeathsig",
        "KILL",
        "prlimit",
        "--nofile=100:2000",
    ]);
    let url = "postgres://postgres@127.0.0.1:1/postgres";
    let arguments = [
        "--upstream",
        url,
        "--auth",
        "trust",
        "--admin-listen",
        "",
        "--listen",
        "127.0.0.1:0",
    ];
    command.args(arguments).args(["--max-clients", "1500"]);
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Proxy::spawn(somewhere, command).unwrap().stop();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let postgres = Postgres::start();
    let address = postgres.address.to_string();
    let arguments = [
        "--upstream",
        "postgres://u@127.0.0.1:1/d",
        "--auth",
        "trust",
        "--admin-listen",
        "",
        "--listen",
        &address,
    ];
    for (reuse_port, advice) in [
        ("false", "ss -ltnp"),
        ("true", "with listen.reuse_port = true"),
    ] {
        let mut command = proxy::command(&[]);
        command.env("PGWEIR_LISTEN_REUSE_PORT", reuse_port);
        let said = failed(&command.args(arguments).output().unwrap());
        for wanted in [&address, "listen.address", advice] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
}

#[test]
fn check_shows_values_and_where_they_are_from() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("proxy.toml");
    let text = "upstream.url = \"postgres://app:s3cret@db/shop\"\npool.size_max = 7\n\
                [[users]]\nname = \"u\"\npassword = \"s3cret too\"\n";
    fs::write(&file, text).unwrap();
    let mut command = proxy::command(&[]);
    command
        .args(["check", "-c"])
        .arg(&file)
        .args(["--pool-timeout", "3s"]);
    command.env("PGWEIR_POOL_QUEUE_MAX", "11");
    let output = command
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    for (line, origin) in [
        ("pool.size_max = 7", "proxy.toml:2"),
        ("pool.timeout = \"3s\"", "--pool-timeout"),
        ("pool.queue_max = 11", "PGWEIR_POOL_QUEUE_MAX"),
        ("listen.address = \"127.0.0.1:6432\"", "default"),
        (
            "upstream.url = \"postgres://app:********@db",
            "proxy.toml:1",
        ),
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line));
        assert!(
            found.is_some_and(|l| l.contains(origin)),
            "{line} {origin}: {shown}"
        );
    }
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn check_names_what_is_wrong() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("proxy.toml");
    for (text, words) in [
        ("pool.size_mx = 1\n", ["size_mx", "size_max"]),
        ("pool.timeout = 10\n", ["pool.timeout", "quotes"]),
        (
            "pool.mode = \"transactions\"\n",
            ["pool.mode", "transaction"],
        ),
        ("", ["no database is named", "--upstream"]),
    ] {
        fs::write(&file, text).unwrap();
        let output = proxy::command(&[])
            .args(["check", "-c"])
            .arg(&file)
            .output()
            .unwrap();
        let said = failed(&output);
        for word in words {
            assert!(said.contains(word), "{text}: {word} is not in: {said}");
        }
    }
}

#[test]
fn check_reads_the_certificates() {
    let folder = tempfile::TempDir::new().unwrap();
    certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let check = |url: &str, key: &str| {
        let mut command = proxy::command(&[]);
        command.args(["check", "--upstream", url, "--tls-cert"]);
        command.args([&file("server.crt"), "--tls-key", &file(key)]);
        command.output().unwrap()
    };
    let url = "postgres://app:secret@db/shop";
    assert!(check(url, "server.key").status.success());
    let said = failed(&check(url, "client.key"));
    assert!(said.contains("is not the certificate's"), "{said}");
    let url = format!("{url}?sslmode=verify-ca&sslrootcert={}", file("server.key"));
    let said = failed(&check(&url, "server.key"));
    assert!(
        said.contains("upstream.url") && said.contains("server.key"),
        "{said}"
    );
}
