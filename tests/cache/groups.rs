//! What our own messages in front of a client's do to its marks: nothing.

use super::{World, ask, assert_reason};
use crate::support::eventually;
use crate::support::wire::{
    Client, Reply, bind, copy_data, copy_done, describe_portal, execute, parse, query, sync,
};

const KV: &str = "select v from kv where k = 1";

fn wait_for_sleep(world: &mut World) {
    eventually("it runs", || {
        let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        (world.admin.value(sleeping) == "1").then_some(())
    });
}

/// Somebody reads while this is being written, and again when the writer has been told.
#[track_caller]
fn assert_noticed(world: &mut World, writer: &mut Client, write: &str) {
    let mut reader = world.client();
    reader.run(KV);
    assert_reason(&reader.run(KV), "hit");
    writer.send(&query(write)).unwrap();
    wait_for_sleep(world);
    while !writer.has_answer() {
        reader.run(KV);
    }
    let reply = writer.until(b'Z').unwrap();
    assert!(!reply.failed(), "{reply:?}");
    assert_eq!(reader.value(KV), "1");
}

/// A query that reads a sequence has one of ours in front of it, which ends before it begins.
#[test]
fn a_write_behind_a_query_of_our_own() {
    let mut world = World::new(3, "");
    world.admin.run("create sequence numbers");
    let mut writer = world.client();
    let write = "select nextval('numbers'); select pg_sleep(1); \
        update kv set v = currval('numbers') where k = 1";
    assert_noticed(&mut world, &mut writer, write);
}

/// One that SQL executes by the name that the protocol gave it.
#[test]
fn a_write_behind_a_statement_put_there_for_it() {
    let mut world = World::new(3, "");
    let mut writer = world.client();
    let text = "update kv set v = 1 + 0 * length(pg_sleep(1)::text) where k = 1";
    ask(&mut writer, &[parse("w", text), sync()]);
    assert_noticed(&mut world, &mut writer, "execute w");
}

/// Behind a ROLLBACK that was sent with it the block is over: whatever becomes of the client or its upstream,
/// it may have committed.
#[test]
fn a_write_behind_a_rollback() {
    let mut world = World::new(3, "");
    let (mut writer, mut reader) = (world.client(), world.client());
    let write = "update kv set v = v + 1 + 0 * length(pg_sleep(1)::text) where k = 1";
    for texts in [&["rollback", write][..], &[&format!("rollback; {write}")]] {
        writer.run("begin; lock table other");
        reader.run(KV);
        assert_reason(&reader.run(KV), "hit");
        let texts: Vec<_> = texts.iter().map(|text| query(text)).collect();
        writer.send(&texts.concat()).unwrap();
        wait_for_sleep(&mut world);
        assert_reason(&reader.run(KV), "dirty");
        for _ in texts {
            assert!(!writer.until(b'Z').unwrap().failed());
        }
        assert_reason(&reader.run(KV), "stale");
    }
    assert_eq!(reader.value(KV), "2");
}

/// In copy mode the server ignores the Sync that the client sent with its Execute.
#[test]
fn a_copy_of_the_extended_protocol_in_a_transaction() {
    let world = World::new(2, "");
    let (mut writer, mut reader) = (world.client(), world.client());
    reader.run(KV);
    assert_reason(&reader.run(KV), "hit");
    writer.run("begin");
    let copy = [
        parse("", "copy other from stdin"),
        bind("", "", &[]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    writer.send(&copy.concat()).unwrap();
    writer.until(b'G').unwrap();
    let data = [copy_data(b"7\tseven\n"), copy_done(), sync()];
    assert_eq!(ask(&mut writer, &data).status(), Some('T'));
    writer.run("update kv set v = v + 1 where k = 1");
    assert!(!writer.run("commit").failed());
    drop(writer);
    assert_eq!(reader.value(KV), "1");
    eventually("it is kept again", || {
        (super::reasons(&reader.run(KV)) == ["hit"]).then_some(())
    });
}

/// An errand leaves no statement behind that the next client could run.
#[test]
fn nobody_else_runs_the_statement_of_an_errand() {
    let world = World::new(1, "");
    let (mut one, mut other) = (world.client(), world.client());
    one.run("begin");
    assert_eq!(one.value("select name from other where id = 1"), "one");
    one.run("commit");
    let reply = ask(&mut other, &[bind("", "", &[]), execute("", 0), sync()]);
    assert_eq!(reply.sqlstate(), "26000", "{reply:?}");
}

/// The server was given another time zone: an upstream that knows it does not answer for those who do not.
#[test]
fn an_answer_is_kept_for_those_who_were_told_the_same() {
    let mut world = World::new(1, "");
    let (mut one, mut two, mut three) = (world.client(), world.client(), world.client());
    let sql = "select '2024-01-01 00:00+00'::timestamptz as at, v from kv where k = 1";
    world.admin.run("alter system set timezone = 'Asia/Tokyo'");
    world.admin.run("select pg_reload_conf()");
    eventually("it is told", || {
        let told = |reply: Reply| reply.0.iter().any(|frame| frame.tag == b'S');
        told(one.run("/* pgweir: nocache */ select 1")).then_some(())
    });
    for client in [&mut two, &mut three] {
        let reply = client.run(sql);
        let told = reply
            .0
            .iter()
            .any(|frame| frame.body.starts_with(b"TimeZone\0Asia"));
        assert_eq!(told, reply.value().unwrap().ends_with("+09"), "{reply:?}");
    }
}
