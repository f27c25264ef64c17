//! How upstreams come and go: the reason when there is none, the warm minimum, idle time and lifetime.

use std::collections::HashMap;
use std::thread;

use tokio::time::Instant;

use crate::support::eventually;
use crate::support::postgres::{Login, Options, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, Reply, query};

/// Longer than a test has patience: whoever waits for so long has not been told at once.
const TIMEOUT: &str = "1m";

/// So many clients at the same time, each with what it was told.
fn refusals(proxy: &Proxy, count: usize) -> Vec<Reply> {
    thread::scope(|scope| {
        let ask = || Client::log_in(proxy.address, ("postgres", "postgres"), "").unwrap_err();
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn an_upstream_that_is_not_there_is_named_at_once() {
    let mut postgres = Postgres::start();
    postgres.shut_down();
    let proxy = Proxy::start(&postgres, 2, &["--pool-timeout", TIMEOUT]);
    let port = postgres.address.port().to_string();
    for refusal in refusals(&proxy, 6) {
        assert_eq!(refusal.sqlstate(), "08001");
        let text = refusal.error_text();
        assert!(text.contains(&port) && text.contains("refused"), "{text}");
    }
    postgres.start_again();
    assert_eq!(proxy.client().value("select 1"), "1");
}

#[test]
fn all_who_wait_are_told_why_the_upstream_refuses() {
    let mut options = Options::new(installs().swap_remove(0));
    options.login = Login::Scram;
    let postgres = Postgres::start_with(&options);
    postgres.admin().run("create database other");
    let url = format!("postgres://app:wrong@{}/other", postgres.address);
    let text =
        format!("upstream.url = \"{url}\"\npool.size_max = 1\npool.timeout = \"{TIMEOUT}\"\n");
    let proxy = Proxy::configured(postgres.address, &text);
    let answers: Vec<Reply> = thread::scope(|scope| {
        let ask = || Client::log_in(proxy.address, ("app", "other"), "").unwrap_err();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for refusal in answers {
        let wanted = "28P01 password authentication failed for user \"app\"";
        assert_eq!(refusal.error_text(), wanted);
    }
    postgres.admin().run("alter role app password 'wrong'");
    let mut client = Client::log_in(proxy.address, ("app", "other"), "").unwrap();
    assert_eq!(client.value("select current_user"), "app");
}

/// Clients that are in already, and wait when the upstreams come to their end.
#[test]
fn waiting_clients_are_told_when_the_upstream_goes_away() {
    let mut postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &["--pool-timeout", TIMEOUT]);
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    clients[0].run("select 1");
    postgres.shut_down();
    for client in &mut clients {
        client.send(&query("select 1")).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.until(b'E').unwrap().sqlstate(), "08001");
    }
}

#[test]
fn a_database_that_does_not_exist_is_said_to_be_missing() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &[]);
    let refusal = Client::log_in(proxy.address, ("postgres", "nowhere"), "").unwrap_err();
    let wanted = "3D000 database \"nowhere\" does not exist";
    assert_eq!(refusal.error_text(), wanted);
    postgres.admin().run("create database nowhere");
    let mut client = Client::log_in(proxy.address, ("postgres", "nowhere"), "").unwrap();
    assert_eq!(client.value("select current_database()"), "nowhere");
}

#[test]
fn the_minimum_is_there_before_any_client() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 5, &["--pool-min-idle", "3"]);
    let mut admin = postgres.admin();
    eventually("three warm upstreams", || {
        (Postgres::upstreams(&mut admin, "state = 'idle'") == 3).then_some(())
    });
    let pids = admin.run("select pid from pg_stat_activity").values();
    let own = proxy.client().value("select pg_backend_pid()");
    assert!(pids.contains(&own), "its client waited for another one");
}

#[test]
fn upstreams_that_nobody_uses_are_closed() {
    let postgres = Postgres::start();
    let arguments = ["--pool-idle-timeout", "200ms", "--pool-min-idle", "1"];
    let proxy = Proxy::start(&postgres, 4, &arguments);
    let mut admin = postgres.admin();
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.run("begin");
        client.run("select 1");
    }
    assert_eq!(Postgres::upstreams(&mut admin, "true"), 4);
    for client in &mut clients {
        client.run("commit");
    }
    eventually("only the minimum to be left", || {
        (Postgres::upstreams(&mut admin, "true") == 1).then_some(())
    });
    assert_eq!(clients[3].value("select 1"), "1");
}

/// What a client's upstream is, in a transaction that stays open: its process and its age.
fn upstream_of(client: &mut Client) -> (String, f64) {
    client.run("begin");
    let age = "extract(epoch from clock_timestamp() - backend_start)";
    let ask =
        format!("select pid || ' ' || {age} from pg_stat_activity where pid = pg_backend_pid()");
    let answer = client.value(&ask);
    let (pid, age) = answer.split_once(' ').unwrap();
    (pid.to_owned(), age.parse().unwrap())
}

/// All upstreams at once.
fn all_upstreams(clients: &mut [Client]) -> HashMap<String, f64> {
    let all = clients.iter_mut().map(upstream_of).collect();
    for client in clients {
        client.run("commit");
    }
    all
}

/// Each upstream is replaced a little before the limit: not earlier, and not later than at its next use.
#[test]
fn upstreams_have_a_lifetime() {
    const LIFETIME: f64 = 2.0;
    // Of logging in, which is not counted.
    const LOGIN_MAX: f64 = 1.0;
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 8, &["--pool-max-lifetime", "2s"]);
    let mut clients: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    let since = Instant::now();
    let first = all_upstreams(&mut clients);
    assert_eq!(first.len(), 8);
    eventually("all of the first ones to be replaced", || {
        let begun = Instant::now();
        let now = all_upstreams(&mut clients);
        let (took, passed) = (begun.elapsed(), since.elapsed().as_secs_f64());
        for (pid, age) in &now {
            // It may have been taken in its last moment.
            let most = LIFETIME + LOGIN_MAX + took.as_secs_f64();
            assert!(*age < most, "{pid} is {age} s old");
        }
        for (pid, age) in first.iter().filter(|(pid, _)| !now.contains_key(*pid)) {
            // It was this old at most: its age was asked for after the clock was read.
            let reached = age + passed;
            assert!(reached > 0.85 * LIFETIME, "{pid} ended at {reached} s");
        }
        let left = first.keys().any(|pid| now.contains_key(pid));
        (!left).then_some(())
    });
}
