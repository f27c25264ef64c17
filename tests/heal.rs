//! A statement shared between clients, whose table changes under it (H95).

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{bind, describe_statement, execute, parse, sync};

/// A client that parses a text for the first time is never told that its plan is out of date.
#[test]
fn a_fresh_parse_of_a_changed_table_works() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 1, &[]);
    let mut admin = postgres.admin();
    admin.run("create table changed (a int)");
    let text = "select * from changed";
    let mut first = proxy.client();
    first
        .send(&[parse("s", text), bind("", "s", &[]), execute("", 0), sync()].concat())
        .unwrap();
    assert!(!first.until(b'Z').unwrap().failed());
    let prepared = "select count(*) from pg_prepared_statements";
    eventually("the statement to be shared", || {
        (first.value(prepared) == "1").then_some(())
    });
    admin.run("alter table changed add b int");
    let mut second = proxy.client();
    second
        .send(&[parse("s", text), describe_statement("s"), sync()].concat())
        .unwrap();
    let reply = second.until(b'Z').unwrap();
    let tags: Vec<u8> = reply.0.iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, b"1tTZ", "{:?}", reply.0);
    // Two columns: the description is of the table as it is now.
    assert_eq!(reply.0[2].body[..2], [0, 2]);
    second
        .send(&[bind("", "s", &[]), execute("", 0), sync()].concat())
        .unwrap();
    assert!(!second.until(b'Z').unwrap().failed());
    // The other's statement is older than the change, and heals after one error, as documented.
    let mut use_again = || {
        first
            .send(&[bind("", "s", &[]), execute("", 0), sync()].concat())
            .unwrap();
        first.until(b'Z').unwrap().failed()
    };
    use_again();
    assert!(!use_again());
    proxy.stop();
}
