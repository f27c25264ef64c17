//! An upstream that holds as many prepared statements as it may.

use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{bind, describe_statement, execute, parse, sync};

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
