//! Roles belong to the whole server: what is done to them through one database concerns all.

use super::{World, assert_reason};
use crate::support::eventually;
use crate::support::wire::Client;

fn alice(world: &World) -> Client {
    let who = [
        ("user", "alice"),
        ("database", "postgres"),
        ("pgweir.explain", "on"),
    ];
    Client::connect(world.proxy.address, &who).unwrap()
}

fn settled(client: &mut Client, sql: &str) {
    eventually("the catalog is read again", || {
        let reply = client.query(sql).unwrap();
        let again = client.query(sql).unwrap();
        let hit = super::reasons(&again) == ["hit"];
        (hit || reply.failed()).then_some(())
    });
}

#[test]
fn a_membership_that_is_taken_away_through_another_database() {
    let mut world = World::new(2, "");
    world.admin.run("create database second");
    world.admin.run(
        "create role readers; create table secret (a int); \
         grant select on secret to readers",
    );
    let who = [("user", "postgres"), ("database", "second")];
    let mut elsewhere = Client::connect(world.proxy.address, &who).unwrap();
    elsewhere.run("grant readers to alice");
    let mut alice = alice(&world);
    let sql = "select count(*) from secret";
    for taken in ["revoke readers from alice", "alter role alice noinherit"] {
        elsewhere.run("grant readers to alice");
        settled(&mut alice, sql);
        assert_reason(&alice.run(sql), "hit");
        elsewhere.run(taken);
        assert_eq!(alice.query(sql).unwrap().sqlstate(), "42501", "{taken}");
    }
}

#[test]
fn what_is_set_for_a_role_reaches_the_next_client() {
    let mut world = World::new(2, "");
    world.admin.run(
        "create schema s; create table s.kv as select 1 as k, 99 as v; grant usage on schema s to alice; \
         grant select on s.kv to alice",
    );
    let sql = "select v from kv where k = 1";
    let mut before = alice(&world);
    settled(&mut before, sql);
    assert_eq!(before.value(sql), "0");
    let mut admin = world.client();
    admin.run("alter role alice set search_path = s");
    admin.run("alter role alice set timezone = 'Asia/Tokyo'");
    let mut after = alice(&world);
    assert_eq!(after.value(sql), "99");
    assert_eq!(after.value("show timezone"), "Asia/Tokyo");
    settled(&mut after, sql);
    assert_eq!(after.value(sql), "99");
    // Set where the proxy does not see it: with the next look at the catalog.
    world.admin.run("alter role alice set search_path = public");
    eventually("it is noticed", || {
        let mut next = alice(&world);
        (next.value(sql) == "0").then_some(())
    });
}
