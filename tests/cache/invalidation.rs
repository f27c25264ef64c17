//! A write that went through the proxy is seen by every later read.

use super::{World, ask, assert_reason, reasons};
use crate::support::eventually;
use crate::support::wire::{Client, bind, execute, parse, query, sync};

#[test]
fn a_write_is_seen_at_once_and_touches_nothing_else() {
    let world = World::new(2, "");
    let (mut a, mut b) = (world.client(), world.client());
    let (kv, other) = ("select sum(v) from kv", "select name from other");
    for sql in [kv, other] {
        a.run(sql);
        assert_reason(&b.run(sql), "hit");
    }
    a.run("update kv set v = 1 where k = 1");
    let reply = b.run(kv);
    assert_reason(&reply, "stale");
    assert_eq!(reply.value().as_deref(), Some("1"));
    assert_reason(&b.run(other), "hit");
    // Through a view, and a prepared statement.
    assert_reason(&b.run("select v from seen where k = 2"), "miss");
    assert_reason(&b.run("select v from seen where k = 2"), "hit");
    ask(
        &mut a,
        &[parse("w", "update kv set v = 7 where k = $1::int"), sync()],
    );
    ask(&mut a, &[bind("", "w", &["2"]), execute("", 0), sync()]);
    assert_eq!(
        b.run("select v from seen where k = 2").value().as_deref(),
        Some("7")
    );
}

#[test]
fn what_a_transaction_writes_is_seen_when_it_commits() {
    let world = World::new(2, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select v from kv where k = 3";
    b.run(sql);
    a.run("begin");
    a.run("update kv set v = 3 where k = 3");
    assert_reason(&b.run(sql), "hit");
    assert_eq!(a.value(sql), "3");
    a.run("rollback");
    assert_eq!(b.value(sql), "0");
    a.run("begin; update kv set v = 4 where k = 3");
    a.run("commit and chain");
    assert_eq!(b.value(sql), "4");
    a.run("rollback");
}

/// The upstream has to be brought to the writer's settings first, in the same round trip.
#[test]
fn what_a_transaction_writes_under_other_settings_is_seen_as_well() {
    let world = World::new(2, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select v from kv where k = 4";
    a.run("set work_mem = '5MB'");
    for n in 1..4 {
        b.run(sql);
        assert_reason(&b.run(sql), "hit");
        a.run("begin");
        a.run(&format!("update kv set v = {n} where k = 4"));
        assert_eq!(b.value(sql), (n - 1).to_string());
        a.run("commit");
        assert_eq!(b.value(sql), n.to_string());
    }
}

#[test]
fn ddl_and_privileges_empty_it() {
    let world = World::new(2, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select * from other";
    let settled = |client: &mut Client| {
        eventually("the catalog is read again", || {
            client.run(sql);
            (reasons(&client.run(sql)) == ["hit"]).then_some(())
        });
    };
    settled(&mut b);
    a.run("alter table other add column more int");
    let reply = b.run(sql);
    assert_ne!(reasons(&reply), ["hit"]);
    settled(&mut b);
    let mut alice = world.client_as("alice");
    settled(&mut alice);
    a.run("revoke select on other from alice");
    assert_eq!(alice.query(sql).unwrap().sqlstate(), "42501");
}

#[test]
fn a_backend_that_is_lost_in_a_commit_keeps_its_tables_out_of_the_cache() {
    let mut world = World::new(4, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select v from kv where k = 5";
    b.run(sql);
    // A write that takes its time, and whose client goes away in the middle of it.
    a.send(&query(
        "update kv set v = 5 + 0 * length(pg_sleep(1)::text) where k = 5",
    ))
    .unwrap();
    eventually("it runs", || {
        let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        (world.admin.value(sleeping) == "1").then_some(())
    });
    drop(a);
    // The cancel may come too late or in time; what counts is that nobody sees an older value after
    // a newer one, and that the table is cached again in the end.
    let mut last = 0;
    eventually("the table is cached again", || {
        let reply = b.run(sql);
        let value: i64 = reply.value().unwrap().parse().unwrap();
        assert!(value >= last, "{value} after {last}");
        last = value;
        let hit = reasons(&reply) == ["hit"];
        (hit && world.admin.value(sql) == value.to_string()).then_some(())
    });
}

#[test]
fn two_phase_commit_is_in_doubt_until_anybody_ends_it() {
    let mut world = World::new(2, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select v from kv where k = 6";
    b.run(sql);
    a.run("begin");
    a.run("update kv set v = 6 where k = 6");
    if a.query("prepare transaction 'six'").unwrap().failed() {
        eprintln!("NOT CHECKED: this server has no prepared transactions");
        return;
    }
    assert_reason(&b.run(sql), "dirty");
    world.admin.run("commit prepared 'six'");
    eventually("it is noticed", || {
        (reasons(&b.run(sql)) == ["hit"]).then_some(())
    });
    assert_eq!(b.value(sql), "6");
}

/// With `standard_conforming_strings` off a backslash hides a quote, and the call behind it.
const HIDDEN: &str = "select 'a\\'', tick() --'";

#[test]
fn a_text_is_read_as_the_server_will_read_it() {
    let mut world = World::new(2, "");
    world.admin.run(
        "create function tick() returns int language plpgsql as \
         $$ begin update kv set v = v + 1 where k = 6; return 1; end $$",
    );
    let mut reader = world.client();
    let sql = "select v from kv where k = 6";
    eventually("the catalog is read again", || {
        (reasons(&reader.run(sql)) == ["hit"]).then_some(())
    });
    let mut seen = 0;
    let mut ticked = |reader: &mut Client, how: &str| {
        seen += 1;
        assert_eq!(reader.value(sql), seen.to_string(), "{how}");
        reader.run(sql);
    };
    // From the start.
    let off = [("options", "-c standard_conforming_strings=off")];
    let mut a = world.client_with(&off);
    reader.run(sql);
    a.run(HIDDEN);
    ticked(&mut reader, "at start-up");
    // Set, taken back to what it was at the start, set behind a text in one write.
    a.run("set standard_conforming_strings = on");
    a.run("reset standard_conforming_strings");
    a.run(HIDDEN);
    ticked(&mut reader, "reset");
    let mut b = world.client();
    for set in [
        "set standard_conforming_strings = off",
        "select set_config('standard_conforming_strings', 'off', false)",
        "do $$ begin perform set_config('standard_conforming_strings', 'off', false); end $$",
    ] {
        b.run("reset standard_conforming_strings");
        reader.run(sql);
        b.send(&[query(set), query(HIDDEN)].concat()).unwrap();
        b.until(b'Z').unwrap();
        assert!(!b.until(b'Z').unwrap().failed(), "{set}");
        ticked(&mut reader, set);
    }
    // Taken back by the end of a transaction, in one write with it.
    a.run("begin");
    a.run("set local standard_conforming_strings = on");
    reader.run(sql);
    a.send(&[query("commit"), query(HIDDEN)].concat()).unwrap();
    a.until(b'Z').unwrap();
    assert!(!a.until(b'Z').unwrap().failed());
    ticked(&mut reader, "set local, commit");
}
