//! An upstream that holds as many prepared statements as it may.

use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, bind, describe_statement, execute, parse, sync};

/// Each new statement puts an old one out, and every answer still reaches the client, in order.
#[test]
fn a_full_upstream_answers_every_message() {
    let postgres = Postgres::start();
    let (upstream, text) = (postgres.address, "[pool]\nstatements_max = 2\n");
    let proxy = Proxy::configured(upstream, text);
    let mut client = proxy.client();
    for round in 0..4 {
        let mut series = Vec::new();
        let mut wanted = Vec::new();
        for number in 0..5 {
            let name = format!("s{round}_{number}");
            series.extend(parse(&name, &format!("select {round} + {number}")));
            series.extend(describe_statement(&name));
            wanted.extend(b"1tT");
        }
        for number in 0..5 {
            let name = format!("s{round}_{number}");
            series.extend(
                [
                    describe_statement(&name),
                    bind("", &name, &[]),
                    execute("", 0),
                ]
                .concat(),
            );
            wanted.extend(b"tT2DC");
        }
        series.extend(sync());
        wanted.push(b'Z');
        client.send(&series).unwrap();
        let reply = client.until(b'Z').unwrap();
        let tags: Vec<u8> = reply.0.iter().map(|frame| frame.tag).collect();
        assert_eq!(tags, wanted, "round {round}");
    }
    let held = "select (count(*) <= 2)::text from pg_prepared_statements";
    assert_eq!(client.value(held), "true");
    proxy.stop();
}

/// What was skipped behind an error was neither prepared nor put out.
#[test]
fn what_an_error_skips_changes_nothing() {
    let postgres = Postgres::start();
    let text = "[pool]\nsize_max = 1\nstatements_max = 2\n";
    let proxy = Proxy::configured(postgres.address, text);
    let (mut one, mut other) = (proxy.client(), proxy.client());
    let run = |client: &mut Client, series: &[Vec<u8>]| {
        client.send(&[series.concat(), sync()].concat()).unwrap();
        client.until(b'Z').unwrap()
    };
    let fails = || parse("", "nonsense");
    let uses = |name: &str| [bind("", name, &[]), execute("", 0)].concat();
    assert!(!run(&mut one, &[parse("a", "select 1"), parse("b", "select 2")]).failed());
    // The upstream has both: one is asked for behind an error, then one more that needs room.
    assert!(run(&mut other, &[fails(), parse("a", "select 1")]).failed());
    assert!(run(&mut other, &[fails(), parse("c", "select 3")]).failed());
    for (name, text) in [("a", "select 1"), ("c", "select 3"), ("b", "select 2")] {
        let reply = run(&mut other, &[parse(name, text), uses(name)]);
        assert!(!reply.failed(), "{name}: {}", reply.error_text());
        let reply = run(&mut one, &[uses("a"), uses("b")]);
        assert!(!reply.failed(), "{}", reply.error_text());
    }
    proxy.stop();
}

/// A statement that SQL named stays with its client, though the upstream is asked what is left.
#[test]
fn a_statement_by_its_own_name_never_reaches_another() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &[]);
    let mut client = proxy.client();
    client
        .send(&[parse("mine", "select 7"), sync()].concat())
        .unwrap();
    assert!(!client.until(b'Z').unwrap().failed());
    // Named by SQL, but not run: no reset will clean up behind it.
    client
        .send(&[parse("", "deallocate mine"), sync()].concat())
        .unwrap();
    assert!(!client.until(b'Z').unwrap().failed());
    client.run("begin");
    client.run("select 1");
    client.run("commit");
    let mut other = proxy.client();
    assert_eq!(other.query("execute mine").unwrap().sqlstate(), "26000");
    assert_eq!(client.value("execute mine"), "7");
    proxy.stop();
}
