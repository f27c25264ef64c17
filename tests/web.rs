//! The web server: what it counts equals what happened, and who may do what.

mod failures;
mod judges;
mod page;
mod people;

use std::io::{Read, Write};

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::{ADMIN, ANYWHERE, LEVEL, Proxy};
use crate::support::web::{Events, ask, connect, get, sample};
use crate::support::wire::{Client, bind, execute, parse, query, sync};

/// With a web server, and a cache at this level.
fn at_level(postgres: &Postgres, level: &str) -> Proxy {
    let url = format!(
        "postgres://postgres@{}/postgres?sslmode=disable",
        postgres.address
    );
    let upstream = ["--upstream", &url, "--auth", "trust"];
    let arguments = [&upstream[..], &["--cache", level, ADMIN, ANYWHERE]];
    Proxy::run(&arguments.concat())
}

fn cached(postgres: &Postgres) -> Proxy {
    at_level(postgres, LEVEL)
}

const DU: &str = r#"database="postgres",user="postgres""#;

/// The sum over all reasons of one result.
fn queries(page: &str, result: &str) -> f64 {
    let with = format!(r#"result="{result}""#);
    let lines = page
        .lines()
        .filter(|line| line.starts_with("pgweir_queries_total") && line.contains(&with));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}

const READ: &str = "select name from item where id = 7";

/// A table, and a query of it that is a hit from now on.
fn with_a_hit(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.run("create table item (id int primary key, name text)");
    client.run("insert into item select i, 'n' || i from generate_series(1, 100) i");
    // The catalog has to be read again first.
    eventually("a hit", || {
        client.run(READ);
        let page = get(proxy.web(), "/metrics").body;
        (queries(&page, "hit") > 0.0).then_some(())
    });
    client
}

/// Hits, writes, errors, a transaction, and both forms of the protocol.
fn traffic(client: &mut Client) {
    for _ in 0..50 {
        client.run(READ);
    }
    for _ in 0..10 {
        client.run("update item set name = name where id = 8");
    }
    // The first of these is a miss, since the table was written.
    for _ in 0..20 {
        client.run(READ);
    }
    let text = "select * from item where id < 11";
    let frames = [parse("", text), bind("", "", &[]), execute("", 0), sync()];
    client.send(&frames.concat()).unwrap();
    client.until(b'Z').unwrap();
    for _ in 0..5 {
        assert_eq!(client.query("select 1 / 0").unwrap().sqlstate(), "22012");
    }
    // A transaction of three, and the time that its client takes.
    client.run("begin");
    client.run("update item set name = 'x' where id = 1");
    std::thread::sleep(std::time::Duration::from_millis(120));
    client.run("commit");
}

#[test]
fn counts_equal_the_traffic() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let mut client = with_a_hit(&proxy);
    let before = get(proxy.web(), "/metrics").body;
    traffic(&mut client);
    let after = get(proxy.web(), "/metrics").body;
    let grown = |name: &str| sample(&after, name) - sample(&before, name);
    let result = |result: &str| queries(&after, result) - queries(&before, result);
    // Misses: one after the writes, the one with parameters, and the errors, which leave nothing.
    assert_eq!((result("hit"), result("miss")), (69.0, 7.0));
    // Ten updates; begin, update, commit.
    assert_eq!(result("bypass"), 13.0);
    let transactions = grown(&format!("pgweir_transactions_total{{{DU}}}"));
    assert_eq!(transactions, 70.0 + 10.0 + 1.0 + 5.0 + 1.0);
    let errors = format!(r#"pgweir_errors_total{{{DU},class="22"}}"#);
    assert_eq!(grown(&errors), 5.0);
    let count = |from: &str| {
        grown(&format!(
            r#"pgweir_query_seconds_count{{{DU},from="{from}"}}"#
        ))
    };
    // BEGIN was answered here, and needed neither.
    assert_eq!(
        (count("memory"), count("upstream")),
        (69.0, 7.0 + 10.0 + 2.0)
    );
    let first = format!("pgweir_first_byte_seconds_count{{{DU}}}");
    assert_eq!(grown(&first), count("upstream"));
    let thought = grown(&format!("pgweir_client_wait_seconds_total{{{DU}}}"));
    assert!((0.12..5.0).contains(&thought), "{thought}");
    let taken = grown(&format!("pgweir_transaction_seconds_total{{{DU}}}"));
    assert!(taken > thought, "{taken}");
    let received = grown(&format!("pgweir_received_bytes_total{{{DU}}}"));
    assert!(received >= 70.0 * query(READ).len() as f64, "{received}");
    // It goes back just after its client has been answered.
    let idle = format!(r#"pgweir_pool_upstreams{{{DU},state="idle"}}"#);
    eventually("an idle upstream", || {
        let page = get(proxy.web(), "/metrics").body;
        (sample(&page, &idle) == 1.0).then_some(())
    });
    assert_eq!(sample(&after, "pgweir_clients"), 1.0);
}

#[test]
fn json_says_the_same() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let mut client = with_a_hit(&proxy);
    traffic(&mut client);
    let web = proxy.web();
    let page = get(web, "/metrics").body;
    let list = get(web, "/api/v1/queries").json();
    let text = |shape: &serde_json::Value| shape["text"].as_str().unwrap().to_owned();
    let mut shapes = list.as_array().unwrap().iter();
    let shape = shapes
        .find(|shape| text(shape).contains("name from item"))
        .unwrap();
    assert_eq!(shape["reasons"]["stale"], 1);
    assert_eq!(shape["invalidated_by"], "public.item");
    assert!(shape["rows"].as_f64().unwrap() >= 70.0, "{shape}");
    assert!(shape["last_byte_seconds"]["p50"].as_f64().unwrap() > 0.0);
    let id = shape["shape"].as_str().unwrap();
    let hits =
        format!(r#"pgweir_shape_queries_total{{database="postgres",shape="{id}",result="hit"}}"#);
    assert_eq!(sample(&page, &hits), shape["hits"].as_f64().unwrap());
    let total = &get(web, "/api/v1/overview").json()["total"];
    assert_eq!(total["hits"].as_f64().unwrap(), queries(&page, "hit"));
    assert_eq!(total["errors"]["22"], 5);
    let tables = get(web, "/api/v1/tables").json();
    assert_eq!(tables[0]["table"], "public.item");
    assert_eq!(tables[0]["invalidations"], 1);
    assert_eq!(get(web, "/api/v1/errors").json()[0]["class"], "22");
    let pool = &eventually("an idle upstream", || {
        let pool = get(web, "/api/v1/pools").json()[0].take();
        (pool["upstreams"]["idle"] == 1).then_some(pool)
    });
    assert_eq!(
        (&pool["database"], &pool["upstreams"]["idle"]),
        (&"postgres".into(), &1.into())
    );
    let bypasses = get(web, "/api/v1/bypasses").json();
    let mut bypasses = bypasses.as_array().unwrap().iter();
    let writes = bypasses.find(|bypass| bypass["reason"] == "write").unwrap();
    let writes = writes["queries"].as_f64().unwrap();
    assert_eq!(Some(writes), total["reasons"]["write"].as_f64());
    assert!(writes >= 11.0, "{writes}");
}

#[test]
fn without_a_cache_queries_are_counted_all_the_same() {
    let postgres = Postgres::start();
    let proxy = at_level(&postgres, "off");
    let mut client = proxy.client();
    for _ in 0..10 {
        client.run("select generate_series(1, 100)");
    }
    client.run("begin");
    client.run("rollback");
    let page = get(proxy.web(), "/metrics").body;
    let name = format!(r#"pgweir_queries_total{{{DU},result="bypass",reason="disabled"}}"#);
    assert_eq!(sample(&page, &name), 12.0);
    assert_eq!(
        sample(&page, &format!("pgweir_transactions_total{{{DU}}}")),
        11.0
    );
    assert!(sample(&page, &format!("pgweir_sent_bytes_total{{{DU}}}")) > 10.0 * 1000.0);
    assert_eq!(
        sample(&page, &format!("pgweir_connect_seconds_count{{{DU}}}")),
        1.0
    );
}

#[test]
fn readiness_follows_the_upstream() {
    let mut postgres = Postgres::start();
    let proxy = cached(&postgres);
    let web = proxy.web();
    assert_eq!(get(web, "/healthz").status, 200);
    let first = get(web, "/readyz");
    assert_eq!((first.status, &first.json()["ready"]), (200, &true.into()));
    proxy.client().run("select 1");
    postgres.shut_down();
    let refused = eventually("not ready", || {
        let mut client = Client::connect(
            proxy.address,
            &[("user", "postgres"), ("database", "postgres")],
        )
        .ok();
        let _failed = client.as_mut().map(|client| client.query("select 2"));
        let answer = get(web, "/readyz");
        (answer.status == 503).then_some(answer)
    });
    let reason = &refused.json()["reasons"][0];
    assert_eq!(reason["reason"], "noupstream");
    assert!(
        reason["message"].as_str().unwrap().contains("refused"),
        "{reason}"
    );
    assert_eq!(sample(&get(web, "/metrics").body, "pgweir_ready"), 0.0);
    assert_eq!(get(web, "/healthz").status, 200);
    postgres.start_again();
    eventually("ready", || {
        (get(web, "/readyz").status == 200).then_some(())
    });
}

#[test]
fn a_process_that_stops_is_not_ready() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let web = proxy.web();
    let mut client = proxy.client();
    client.run("begin");
    client.run("create temporary table t (i int)");
    proxy.signal("TERM");
    let answer = eventually("not ready", || {
        let answer = get(web, "/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(answer.json()["reasons"][0]["reason"], "draining");
    client.run("commit");
    proxy.ended();
}

#[test]
fn events_come_and_listeners_are_few() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let web = proxy.web();
    let (status, mut events) = Events::listen(web, "/api/v1/events");
    assert_eq!(status, 200);
    assert_eq!(events.next()["total"]["queries"], 0);
    let mut client = proxy.client();
    for _ in 0..7 {
        client.run("select 1");
    }
    while events.next()["total"]["queries"] != 7 {}
    let mut others = Vec::new();
    for _ in 0..15 {
        let (status, other) = Events::listen(web, "/api/v1/events");
        assert_eq!(status, 200);
        others.push(other);
    }
    assert_eq!(get(web, "/api/v1/events").status, 503);
    drop(others.pop());
    eventually("a place", || {
        (Events::listen(web, "/api/v1/events").0 == 200).then_some(())
    });
    let history = get(web, "/api/v1/history").json();
    assert_eq!(history["step_seconds"], 10);
    assert!(!history["gauges"]["clients"].as_array().unwrap().is_empty());
}

/// The places are few: nobody keeps one by a request that does not end, least of all a stranger.
#[test]
fn who_sends_half_a_request_is_answered() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, "admin.token = \"geheim123\"\n");
    for (token, status) in [("geheim", "401"), ("geheim123", "408")] {
        let mut stream = connect(proxy.web());
        write!(
            stream,
            "POST /api/v1/purge HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\nAuthorization: Bearer {token}\r\n\r\n{{"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
}

#[test]
fn changes_need_the_token_and_secrets_stay_secret() {
    let postgres = Postgres::start();
    let settings = format!("admin.token = \"geheim123\"\ncache.level = \"{LEVEL}\"\n");
    let proxy = Proxy::configured(postgres.address, &settings);
    let web = proxy.web();
    let purge = |headers: &[&str], body: &str| ask(web, "POST", "/api/v1/purge", headers, body);
    assert_eq!(purge(&[], "").status, 401);
    assert_eq!(purge(&["Authorization: Bearer geheim12"], "").status, 401);
    let token = "Authorization: Bearer geheim123";
    let mut client = proxy.client();
    client.run("create table kept (i int)");
    let entries = || {
        get(web, "/api/v1/overview").json()["cache"]["entries"]
            .as_u64()
            .unwrap()
    };
    eventually("an entry", || {
        client.run("select * from kept");
        (entries() > 0).then_some(())
    });
    let purged = purge(&[token], r#"{"table": "kept"}"#);
    assert_eq!(purged.status, 200, "{purged:?}");
    assert!(purged.json()["purged"].as_u64().unwrap() > 0);
    assert_eq!(purge(&[token], r#"{"table": "unkept"}"#).status, 404);
    assert_eq!(purge(&[token], r#"{"tables": "kept"}"#).status, 400);
    assert_eq!(purge(&[token], &"x".repeat(5000)).status, 413);
    let config = get(web, "/api/v1/config");
    let list = config.json();
    let token = list
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["key"] == "admin.token");
    assert_eq!(token.unwrap()["value"], "********");
    assert!(!config.body.contains("geheim"));
    assert_eq!(get(web, "/nothing").status, 404);
    assert_eq!(ask(web, "DELETE", "/metrics", &[], "").status, 405);
}

#[test]
fn idle_connections_do_not_keep_others_out_for_ever() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let web = proxy.web();
    let mut idle: Vec<_> = (0..64).map(|_| connect(web)).collect();
    let mut waiting = connect(web);
    waiting
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    // All places are taken; the proxy itself does not mind.
    assert_eq!(proxy.client().value("select 41 + 1"), "42");
    drop(idle.pop());
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
