//! Spans: whose children they are, what they say of the cache, and that their times add up.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Collector, program, python};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::web::{get, sample};
use crate::support::wire::{Client, bind, execute, flush, parse, sync};

/// A text with a parent of its own, and the trace it is then in.
fn in_trace(number: u32, text: &str, flags: &str) -> (String, String) {
    let trace = format!("{:032x}", 0xabc_0000 + number);
    let text = format!("{text} /*route='%2Fa',traceparent='00-{trace}-00f067aa0ba902b7-{flags}'*/");
    (trace, text)
}

struct Ground {
    collector: Collector,
    _postgres: Postgres,
    proxy: Proxy,
}

/// A table, and a cache that is ready for it.
fn ground(more: &str) -> Option<Ground> {
    let collector = Collector::start(&python()?);
    let postgres = Postgres::start();
    let settings = collector.settings() + more;
    let proxy = Proxy::configured(postgres.address, &settings);
    let mut client = proxy.client();
    client.run("create table item (id int primary key, name text)");
    client.run("insert into item select i, 'n' || i from generate_series(1, 100) i");
    eventually("a hit", || {
        client.run("select name from item where id = 100");
        let page = get(proxy.web(), "/metrics").body;
        let hit = |line: &str| line.starts_with("pgweir_queries_total") && line.contains("\"hit\"");
        page.lines().any(hit).then_some(())
    });
    Some(Ground {
        collector,
        _postgres: postgres,
        proxy,
    })
}

impl Ground {
    /// Sends the text in a trace of its own; its span.
    fn trace(&self, client: &mut Client, number: u32, text: &str) -> Value {
        let (trace, text) = in_trace(number, text, "01");
        // A refused one may be the end of its session.
        client.query(&text).ok();
        let span = self.collector.span(&trace);
        assert_eq!(span["parent"], "00f067aa0ba902b7");
        span
    }
}

fn cache(span: &Value) -> (&str, &str) {
    let word = |name: &str| span["attributes"][name].as_str().unwrap();
    (word("pgweir.cache.result"), word("pgweir.cache.reason"))
}

fn seconds(span: &Value) -> f64 {
    let at = |name: &str| span[name].as_u64().unwrap();
    Duration::from_nanos(at("end") - at("start")).as_secs_f64()
}

fn part(span: &Value, name: &str) -> f64 {
    let name = format!("pgweir.{name}_seconds");
    span["attributes"][name].as_f64().unwrap()
}

/// What an upstream answered was in the queue, or at the upstream.
fn adds_up(span: &Value) {
    let parts = part(span, "queue") + part(span, "upstream");
    assert!((seconds(span) - parts).abs() < 1e-6, "{span}");
}

#[test]
fn a_span_says_what_the_cache_did() {
    let Some(ground) = ground("") else { return };
    let mut client = ground.proxy.client();
    let read = "select name from item where id = 7";
    let miss = ground.trace(&mut client, 1, read);
    assert_eq!(cache(&miss), ("miss", "miss"));
    adds_up(&miss);
    assert_eq!(miss["name"], "SELECT postgres");
    assert_eq!(miss["kind"], 2);
    let attributes = &miss["attributes"];
    assert_eq!(attributes["db.system.name"], "postgresql");
    assert_eq!(attributes["db.namespace"], "postgres");
    assert_eq!(attributes["pgweir.user"], "postgres");
    assert_eq!(attributes["db.operation.name"], "SELECT");
    assert_eq!(attributes["db.response.returned_rows"], 1);
    // Another comment is no other query.
    let hit = ground.trace(&mut client, 2, read);
    assert_eq!(cache(&hit), ("hit", "hit"));
    assert_eq!(part(&hit, "upstream"), 0.0);
    assert!(part(&miss, "upstream") > 0.0);
    assert_eq!(
        hit["attributes"]["pgweir.shape"],
        attributes["pgweir.shape"]
    );
    let shapes = get(ground.proxy.web(), "/api/v1/queries").body;
    let shape = attributes["pgweir.shape"].as_str().unwrap();
    assert!(shapes.contains(shape), "{shapes}");
    let write = ground.trace(&mut client, 3, "update item set name = 'x' where id = 7");
    assert_eq!(cache(&write), ("bypass", "write"));
    let stale = ground.trace(&mut client, 4, read);
    assert_eq!(cache(&stale), ("miss", "stale"));
    let volatile = ground.trace(&mut client, 5, "select clock_timestamp()");
    assert_eq!(cache(&volatile), ("bypass", "volatile"));
    let failed = ground.trace(&mut client, 6, "select 'geheim42'::int");
    assert_eq!(failed["attributes"]["db.response.status_code"], "22P02");
    assert_eq!(failed["status"], 2);
    adds_up(&failed);
    // So long that no moment and no identifier has it by chance.
    let number = "424242424242424242";
    let text = format!("select 'geheim42', {number} from item");
    let literal = ground.trace(&mut client, 7, &text);
    assert_eq!(
        literal["attributes"]["db.query.text"],
        "select ' , 0 from item"
    );
    let all = serde_json::to_string(&ground.collector.spans()).unwrap();
    assert!(!all.contains("geheim42") && !all.contains(number), "{all}");
}

#[test]
fn a_sampled_parent_decides_and_else_the_share() {
    let Some(ground) = ground("telemetry.sample = \"0%\"\n") else {
        return;
    };
    let mut client = ground.proxy.client();
    client.run("select 1");
    let (unsampled, text) = in_trace(1, "select 2", "00");
    client.run(&text);
    ground.trace(&mut client, 2, "select 3");
    let of = |spans: &[Value], trace: &str| spans.iter().any(|span| span["trace"] == trace);
    // Those before it would be there.
    assert_eq!(ground.collector.spans().len(), 1);
    let upstream = ground._postgres.address;
    let all = ground.collector.settings() + "telemetry.sample = \"100%\"\n";
    ground.proxy.reconfigure(upstream, &all);
    client.run(&text);
    client.run("select 4");
    let spans = eventually("a span without a parent", || {
        let spans = ground.collector.spans();
        spans
            .iter()
            .any(|span| span["parent"] == "")
            .then_some(spans)
    });
    assert!(!of(&spans, &unsampled));
}

#[test]
fn times_add_up() {
    let Some(ground) = ground("pool.size_max = 1\npool.timeout = \"2s\"\n") else {
        return;
    };
    let mut client = ground.proxy.client();
    let slow = ground.trace(&mut client, 1, "select pg_sleep(0.2)");
    assert!((0.2..15.0).contains(&part(&slow, "upstream")), "{slow}");
    adds_up(&slow);
    // In a transaction the client takes its time.
    client.run("begin");
    client.run("update item set name = 'y' where id = 1");
    std::thread::sleep(Duration::from_millis(120));
    let later = ground.trace(&mut client, 2, "update item set name = 'z' where id = 1");
    assert!((0.12..15.0).contains(&part(&later, "client")), "{later}");
    adds_up(&later);
    // Meanwhile another one waits for the only upstream, in vain, and then with success.
    let mut other = ground.proxy.client();
    let refused = ground.trace(&mut other, 3, "select count(*) from item");
    assert_eq!(refused["attributes"]["db.response.status_code"], "53300");
    assert!((2.0..15.0).contains(&part(&refused, "queue")), "{refused}");
    adds_up(&refused);
    let mut other = ground.proxy.client();
    let (trace, text) = in_trace(4, "select count(*) from item", "01");
    other.send(&crate::support::wire::query(&text)).unwrap();
    eventually("one that waits", || {
        let page = get(ground.proxy.web(), "/metrics").body;
        let waiting = "pgweir_pool_waiting{database=\"postgres\",user=\"postgres\"}";
        (sample(&page, waiting) == 1.0).then_some(())
    });
    // It waits at least this long.
    std::thread::sleep(Duration::from_millis(60));
    client.run("commit");
    other.until(b'Z').unwrap();
    let waited = ground.collector.span(&trace);
    assert!((0.05..15.0).contains(&part(&waited, "queue")), "{waited}");
    adds_up(&waited);
}

/// Each query of a pipeline has a span of its own; what an error skips has none.
#[test]
fn a_pipeline_is_told_apart() {
    let Some(ground) = ground("") else { return };
    let mut client = ground.proxy.client();
    let mut frames = Vec::new();
    let texts = [
        (1, "select pg_sleep(0.1)"),
        (2, "select pg_sleep(0.2)"),
        (3, "select id / 0 from item"),
        (4, "select 4 + random()"),
    ];
    for (number, text) in texts {
        let (_, text) = in_trace(number, text, "01");
        frames.extend([parse("", &text), bind("", "", &[]), execute("", 0)].concat());
    }
    frames.extend(sync());
    client.send(&frames).unwrap();
    client.until(b'Z').unwrap();
    let after = ground.trace(&mut client, 5, "select 5 + random()");
    let trace = |number| in_trace(number, "", "01").0;
    let spans: HashMap<String, Value> = ground
        .collector
        .spans()
        .into_iter()
        .map(|span| (span["trace"].as_str().unwrap().to_owned(), span))
        .collect();
    let (first, second, third) = (&spans[&trace(1)], &spans[&trace(2)], &spans[&trace(3)]);
    assert!(!spans.contains_key(&trace(4)));
    assert_eq!(first["attributes"]["db.response.returned_rows"], 1);
    assert_eq!(third["attributes"]["db.response.status_code"], "22012");
    // Postgres answers them together, at the Sync.
    for span in [first, second, third] {
        assert!((0.3..15.0).contains(&seconds(span)), "{span}");
        adds_up(span);
    }
    // The next one's time begins when theirs is over.
    let at = |span: &Value, name: &str| span[name].as_u64().unwrap();
    assert!(at(&after, "start") >= at(third, "end"), "{after}");
}

/// With a Flush between them they are answered one by one.
#[test]
fn flushed_queries_end_one_by_one() {
    let Some(ground) = ground("") else { return };
    let mut client = ground.proxy.client();
    let mut first = Value::Null;
    for (number, seconds) in [(1, "0.05"), (2, "0.2")] {
        let (trace, text) = in_trace(number, &format!("select pg_sleep({seconds})"), "01");
        let frames = [parse("", &text), bind("", "", &[]), execute("", 0), flush()];
        client.send(&frames.concat()).unwrap();
        client.until(b'C').unwrap();
        let span = ground.collector.span(&trace);
        adds_up(&span);
        assert!(
            (seconds.parse().unwrap()..15.0).contains(&self::seconds(&span)),
            "{span}"
        );
        let at = |span: &Value, name: &str| span[name].as_u64();
        assert!(at(&first, "end") <= at(&span, "start"), "{span}");
        first = span;
    }
    client.send(&sync()).unwrap();
    client.until(b'Z').unwrap();
    assert_eq!(
        ground
            .collector
            .spans()
            .iter()
            .filter(|span| span["parent"] != "")
            .count(),
        2
    );
}

#[test]
fn an_upstream_that_is_lost_is_an_error() {
    let Some(ground) = ground("") else { return };
    let mut client = ground.proxy.client();
    let (trace, text) = in_trace(1, "select pg_terminate_backend(pg_backend_pid())", "01");
    client.send(&crate::support::wire::query(&text)).unwrap();
    let span = ground.collector.span(&trace);
    assert_eq!(span["attributes"]["db.response.status_code"], "57P01");
    // One whose client leaves in the middle was not answered by anybody.
    let mut client = ground.proxy.client();
    let (trace, text) = in_trace(2, "select pg_sleep(60)", "01");
    client.send(&crate::support::wire::query(&text)).unwrap();
    let mut admin = ground._postgres.admin();
    eventually("the query to run", || {
        let running = Postgres::upstreams(&mut admin, "wait_event = 'PgSleep'");
        (running == 1).then_some(())
    });
    drop(client);
    let span = ground.collector.span(&trace);
    assert_eq!(span["attributes"]["error.type"], "abandoned");
}

/// Without a cache the shape is known all the same.
#[test]
fn without_a_cache_there_are_spans_too() {
    let Some(ground) = ground("") else { return };
    let upstream = ground._postgres.address;
    let settings = ground.collector.settings().replace("\"ryw\"", "\"off\"");
    let proxy = Proxy::configured(upstream, &settings);
    let mut client = proxy.client();
    let (trace, text) = in_trace(1, "select 'a' || 1", "01");
    client.run(&text);
    let span = ground.collector.span(&trace);
    assert_eq!(cache(&span), ("bypass", "disabled"));
    assert_eq!(span["attributes"]["db.query.text"], "select ' || 0");
    assert_eq!(
        span["attributes"]["pgweir.shape"].as_str().unwrap().len(),
        16
    );
}

/// Two programs: OpenTelemetry's own instrumentation of psycopg writes the comments, or they are written
/// by hand for asyncpg, which prepares.
#[test]
fn real_clients_find_their_queries_again() {
    let Some(ground) = ground("") else { return };
    let url = format!("postgres://postgres@{}/postgres", ground.proxy.address);
    let output = Command::new(python().unwrap())
        .arg(program("clients.py"))
        .arg(&url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let asked: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(asked.len(), 8);
    for query in &asked {
        let span = ground.collector.span(query["trace"].as_str().unwrap());
        assert_eq!(span["parent"], query["span"], "{query}");
        adds_up(&span);
        let failed = query["query"].as_str().unwrap().contains("1 / 0");
        let status = &span["attributes"]["db.response.status_code"];
        assert_eq!(status == "22012", failed, "{span}");
    }
}
