//! The queue: first come, first served; its end in time and in length.

use std::time::Duration;

use tokio::time::Instant;

use super::seen_by_now;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, cancel, parse, query, sync};

/// Notes who is served, in order.
fn serve(who: &str) -> Vec<u8> {
    query(&format!(
        "insert into served values ('{who}', clock_timestamp())"
    ))
}

fn served(admin: &mut Client) -> Vec<String> {
    admin.run("select who from served order by at").values()
}

struct World {
    postgres: Postgres,
    admin: Client,
    proxy: Proxy,
    onlooker: Client,
    /// In a transaction on the only upstream.
    holder: Client,
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        let postgres = Postgres::start();
        let mut admin = postgres.admin();
        admin.run("create table served (who text, at timestamptz)");
        let arguments = [&["--workers", "1"], arguments].concat();
        let proxy = Proxy::start(&postgres, 1, &arguments);
        let (onlooker, mut holder) = (proxy.client(), proxy.client());
        holder.run("begin");
        holder.run("select 1");
        Self {
            postgres,
            admin,
            proxy,
            onlooker,
            holder,
        }
    }

    /// A client that has sent this and stands behind all others in the queue.
    fn queued(&mut self, request: &[u8]) -> Client {
        let mut client = self.proxy.client();
        client.send(request).unwrap();
        seen_by_now(&mut self.onlooker);
        client
    }
}

/// An error skips the query that stands behind it in a series: then nothing is answered before the Sync.
#[test]
fn a_query_that_is_skipped_does_not_end_a_turn() {
    let mut world = World::new(&[]);
    let request = [parse("", "selec"), query("select 1"), sync()].concat();
    let mut first = world.queued(&request);
    let mut second = world.queued(&query("select 'second'"));
    world.holder.run("commit");
    assert_eq!(first.until(b'Z').unwrap().sqlstate(), "42601");
    assert_eq!(second.until(b'Z').unwrap().value().unwrap(), "second");
    assert_eq!(first.value("select 'still here'"), "still here");
}

#[test]
fn waiters_are_served_in_the_order_they_came() {
    let mut world = World::new(&[]);
    let names: Vec<String> = (0..12).map(|n| format!("client {n}")).collect();
    let mut clients: Vec<Client> = names.iter().map(|n| world.queued(&serve(n))).collect();
    assert!(clients.iter().all(|client| !client.has_answer()));
    world.holder.run("commit");
    for client in &mut clients {
        assert!(!client.until(b'Z').unwrap().failed());
    }
    assert_eq!(served(&mut world.admin), names);
    assert_eq!(world.postgres.admin().value("select 1"), "1");
}

/// Whoever comes again stands at the end, also if the request was there before the others came.
#[test]
fn who_has_been_served_stands_behind_those_who_wait() {
    let mut world = World::new(&[]);
    let mut first = world.queued(&serve("first"));
    let mut second = world.queued(&serve("second"));
    world.holder.run("commit; select 1");
    first.until(b'Z').unwrap();
    first.send(&serve("first again")).unwrap();
    second.until(b'Z').unwrap();
    first.until(b'Z').unwrap();
    assert_eq!(served(&mut world.admin), ["first", "second", "first again"]);
}

/// A client that always has its next transactions under way does not keep the upstream for ever.
#[test]
fn a_pipeline_without_end_lets_others_through() {
    let mut world = World::new(&["--pool-timeout", "5s"]);
    let slow = query("insert into served select 'hog', clock_timestamp() from pg_sleep(0.003)");
    let mut hog = world.queued(&slow.repeat(5));
    world.holder.run("commit");
    let mut others: Vec<(String, Client)> = Vec::new();
    for round in 0..200 {
        hog.until(b'Z').unwrap();
        hog.send(&slow).unwrap();
        if round % 4 == 0 && others.len() < 8 {
            let name = format!("client {}", others.len());
            let client = world.queued(&serve(&name));
            others.push((name, client));
        }
    }
    for (name, client) in &mut others {
        assert!(client.has_answer(), "{name} was not served");
        assert!(!client.until(b'Z').unwrap().failed(), "{name}");
    }
    let order = served(&mut world.admin);
    let order: Vec<&String> = order.iter().filter(|who| *who != "hog").collect();
    assert_eq!(
        order,
        others.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
}

/// Unless the last thing it did holds the upstream.
#[test]
fn a_pipeline_goes_on_where_it_may_not_let_go() {
    let mut world = World::new(&[]);
    for (make, end) in [
        ("create temp table own (a int)", "drop table own"),
        ("begin", "commit"),
        ("listen c", "unlisten c"),
    ] {
        let requests = ["select 1", make, "select 2", end, "select 3"].map(query);
        let mut client = world.queued(&requests.concat());
        let mut other = world.queued(&query("select 'other'").repeat(10));
        world.holder.run("commit");
        for _ in 0..requests.len() {
            assert!(!client.until(b'Z').unwrap().failed(), "{make}");
        }
        for _ in 0..10 {
            assert_eq!(other.until(b'Z').unwrap().value().unwrap(), "other");
        }
        world.holder.run("begin");
        world.holder.run("select 1");
    }
}

#[test]
fn a_wait_that_runs_out_says_for_what_and_how_long() {
    let mut world = World::new(&["--pool-timeout", "2s"]);
    let start = Instant::now();
    let refusal = world.queued(&query("select 1")).until(b'E').unwrap();
    let waited = start.elapsed();
    assert_eq!(refusal.sqlstate(), "53300");
    let text = refusal.error_text();
    for part in [
        "pool \"postgres\"",
        "user \"postgres\"",
        "has 1,",
        "within 2s",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let hint = refusal.error_field(b'H').unwrap();
    assert!(hint.contains("pool.size_max") && hint.contains("pool.timeout"));
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(10));
    world.holder.run("commit");
    assert_eq!(world.proxy.client().value("select 2"), "2");
}

#[test]
fn a_queue_that_is_full_refuses_at_once() {
    let postgres = Postgres::start();
    // Whoever waits does so for longer than the test has patience.
    let text =
        "pool.size_max = 1\npool.queue_max = 2\nruntime.workers = 1\npool.timeout = \"1m\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let mut onlooker = proxy.client();
    let mut holder = proxy.client();
    holder.run("begin");
    holder.run("select 1");
    let mut waiting: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(&query("select 'served'")).unwrap();
        seen_by_now(&mut onlooker);
    }
    let mut late = proxy.client();
    late.send(&query("select 1")).unwrap();
    let refusal = late.until(b'E').unwrap();
    assert_eq!(refusal.sqlstate(), "53300");
    assert!(refusal.error_text().contains("2 clients already wait"));
    assert!(
        refusal
            .error_field(b'H')
            .unwrap()
            .contains("pool.queue_max")
    );
    holder.run("commit");
    for client in &mut waiting {
        assert_eq!(client.until(b'Z').unwrap().value().unwrap(), "served");
    }
}

/// Those who cancel, vanish, or are cut off leave no hole: the upstream goes past them.
#[test]
fn who_leaves_the_line_is_passed_over() {
    let mut world = World::new(&[]);
    let mut clients: Vec<Client> = (0..6)
        .map(|n| world.queued(&serve(&format!("client {n}"))))
        .collect();
    let gone = clients.remove(2);
    drop(gone);
    // Client 4, and then client 0, which is the first in line.
    for at in [3, 0] {
        cancel(world.proxy.address, &clients[at].key()).unwrap();
        assert_eq!(clients[at].until(b'Z').unwrap().sqlstate(), "57014");
        clients.remove(at);
    }
    seen_by_now(&mut world.onlooker);
    world.holder.run("commit");
    for client in &mut clients {
        assert!(!client.until(b'Z').unwrap().failed());
    }
    assert_eq!(
        served(&mut world.admin),
        ["client 1", "client 3", "client 5"]
    );
}

/// A pause stops the line and keeps its order, and the time that it takes does not count.
#[test]
fn the_line_outlasts_a_pause_in_order() {
    let mut world = World::new(&["--pool-timeout", "2s"]);
    let mut console = Client::connect(
        world.proxy.address,
        &[("user", "postgres"), ("database", "pgweir")],
    )
    .unwrap();
    let names: Vec<String> = (0..6).map(|n| format!("client {n}")).collect();
    let mut clients: Vec<Client> = names.iter().map(|_| world.proxy.client()).collect();
    for (name, client) in names.iter().zip(&mut clients).take(3) {
        client.send(&serve(name)).unwrap();
        seen_by_now(&mut world.onlooker);
    }
    console.send(&query("pause")).unwrap();
    seen_by_now(&mut world.onlooker);
    world.holder.run("commit");
    assert!(!console.until(b'Z').unwrap().failed());
    for (name, client) in names.iter().zip(&mut clients).skip(3) {
        client.send(&serve(name)).unwrap();
        seen_by_now(&mut world.onlooker);
    }
    // Longer than anybody may wait, by the database's clock.
    world.admin.run("select pg_sleep(2.2)");
    assert!(clients.iter().all(|client| !client.has_answer()));
    console.run("resume");
    for client in &mut clients {
        let reply = client.until(b'Z').unwrap();
        assert!(!reply.failed(), "{reply:?}");
    }
    assert_eq!(served(&mut world.admin), names);
}
