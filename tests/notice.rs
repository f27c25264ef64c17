//! What a client hears that waits long for an upstream.

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::web::{get, sample};
use crate::support::wire::{Client, Reply, bind, execute, parse, query, sync};

fn tags(reply: &Reply) -> String {
    reply.0.iter().map(|f| char::from(f.tag)).collect()
}

/// The only upstream, in a transaction.
fn occupy(proxy: &Proxy) -> Client {
    let mut holder = proxy.client();
    holder.run("begin");
    holder.run("select 1");
    holder
}

#[test]
fn a_client_that_waits_long_is_told_once_and_goes_on() {
    let postgres = Postgres::start();
    let text = "pool.size_max = 1\npool.wait_notice = \"50ms\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let mut waiter = proxy.client();
    let mut holder = occupy(&proxy);
    // In the middle of a pipeline, in the extended protocol, behind a BEGIN that is held back.
    let frames = [
        query("begin"),
        parse("", "select 42"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    waiter.send(&frames.concat()).unwrap();
    let begun = waiter.until(b'Z').unwrap();
    assert_eq!(tags(&begun), "CZ");
    let notice = waiter.next().unwrap();
    assert_eq!(notice.tag, b'N');
    let body = String::from_utf8_lossy(&notice.body).into_owned();
    for wanted in [
        "SNOTICE\0",
        "C00000\0",
        "RPW0205\0",
        "HPW0205: ",
        "pool \"postgres\"",
    ] {
        assert!(body.contains(wanted), "{wanted}: {body}");
    }
    holder.run("commit");
    let rest = waiter.until(b'Z').unwrap();
    assert_eq!(tags(&rest), "12DCZ");
    assert_eq!(waiter.value("select 7"), "7");
    waiter.run("commit");
    // The next wait is another one.
    let mut holder = occupy(&proxy);
    waiter.send(&query("select 1")).unwrap();
    assert_eq!(waiter.next().unwrap().tag, b'N');
    holder.run("commit");
    assert_eq!(tags(&waiter.until(b'Z').unwrap()), "TDCZ");
}

/// Somebody has waited for longer than the notice takes: another, who hears it, has heard it.
#[test]
fn who_wants_no_notices_gets_none() {
    let postgres = Postgres::start();
    let text = "pool.size_max = 1\npool.wait_notice = \"50ms\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let (mut quiet, mut loud) = (proxy.client(), proxy.client());
    quiet.run("set client_min_messages = warning");
    let mut holder = occupy(&proxy);
    quiet.send(&query("select 1")).unwrap();
    loud.send(&query("select 1")).unwrap();
    assert_eq!(loud.next().unwrap().tag, b'N');
    holder.run("commit");
    assert_eq!(tags(&quiet.until(b'Z').unwrap()), "TDCZ");
    assert_eq!(tags(&loud.until(b'Z').unwrap()), "TDCZ");
}

#[test]
fn no_time_is_never() {
    let postgres = Postgres::start();
    let text = "pool.size_max = 1\npool.timeout = \"2s\"\npool.wait_notice = \"0s\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let mut waiter = proxy.client();
    let _holder = occupy(&proxy);
    waiter.send(&query("select 1")).unwrap();
    let refused = waiter.next().unwrap();
    assert_eq!(refused.tag, b'E');
    assert!(String::from_utf8_lossy(&refused.body).contains("RPW0201\0"));
    eventually("it has gone", || waiter.next().is_err().then_some(()));
}

/// Its turn has come, but the upstream is gone, and another has to be connected first: it has waited all
/// the same.
#[test]
fn a_wait_that_ends_with_a_new_connection_counts_from_its_beginning() {
    let postgres = Postgres::start();
    let text = "pool.size_max = 1\npool.wait_notice = \"500ms\"\nadmin.token = \"t\"\n";
    let proxy = Proxy::configured(postgres.address, text);
    let mut waiter = proxy.client();
    let _holder = occupy(&proxy);
    waiter.send(&query("select 1")).unwrap();
    assert_eq!(waiter.next().unwrap().tag, b'N');
    let end = "select pg_terminate_backend(pid) from pg_stat_activity";
    let held = "where state = 'idle in transaction'";
    postgres.admin().run(&format!("{end} {held}"));
    assert_eq!(tags(&waiter.until(b'Z').unwrap()), "TDCZ");
    let page = get(proxy.web(), "/metrics").body;
    let waited = "pgweir_queue_seconds_sum{database=\"postgres\",user=\"postgres\"}";
    assert!(sample(&page, waited) >= 0.5, "{page}");
}
