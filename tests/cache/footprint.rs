//! `cache.footprint`: what triggers and functions write, told by the server's locks.

use super::{World, ask, assert_reason, reasons};
use crate::support::eventually;
use crate::support::wire::{Client, bind, execute, parse, query, sync};

/// Tables with a trigger that writes another one, functions, a partitioned table, a deferred trigger.
const CODE: &str = "
create table log (line text);
create function note() returns trigger language plpgsql
    as $$ begin insert into log values ('x'); return new; end $$;
create trigger noted after update on kv for each row execute function note();
create function hidden(int) returns int language plpgsql
    as $$ begin update other set name = name || '!' where id = $1; return $1; end $$;
create function nothing(int) returns int language plpgsql as $$ begin return $1; end $$;
create function redefined() returns int language plpgsql
    as $$ begin execute 'create or replace view seen as select k, v + 1 as v from kv where k < 5'; return 1; end $$;
create type mood as enum ('sad', 'fine');
create table moods (m mood);
insert into moods values ('sad');
create function renames() returns int language plpgsql as $$ begin
    alter type mood rename value 'sad' to 'blue';
    insert into log values ('renamed');
    return 1;
end $$;
create function views() returns int language plpgsql as $$ begin
    execute 'create or replace view shown as select name from other where id = 1';
    insert into log values ('viewed');
    return 1;
end $$;
create view shown as select line as name from log where false;
create function grants() returns int language plpgsql as $$ begin
    revoke select on other from alice;
    insert into log values ('revoked');
    return 1;
end $$;
create table part (k int) partition by list (k);
create table part_1 partition of part for values in (1);
create function leaf() returns int language plpgsql as $$ begin insert into part_1 values (1); return 1; end $$;
create function late() returns trigger language plpgsql
    as $$ begin update other set name = 'late'; return new; end $$;
create table slow (n int);
create constraint trigger late after insert on slow deferrable initially deferred
    for each row execute function late();
";

const KV: &str = "select v from kv where k = 1";
const OTHER: &str = "select name from other where id = 1";
const LOG: &str = "select count(*) from log";
const PART: &str = "select count(*) from part";
const ALL: [&str; 4] = [KV, OTHER, LOG, PART];

fn world(size: usize) -> (World, Client, Client) {
    let mut world = World::new(size, "cache.footprint = \"on\"\n");
    world.admin.run(CODE);
    let (mut writer, mut reader) = (world.client(), world.client());
    // It counts as a change of the schema, so that the catalog is read again at once, and is none, which the
    // server would count with what is written next.
    writer.run("do $$ begin end $$");
    eventually("the catalog is read again", || {
        (ALL.map(|sql| reasons(&reader.run(sql))) == [["hit"]; 4]).then_some(())
    });
    (world, writer, reader)
}

/// These reads are out of date, and the others still come from memory.
#[track_caller]
fn assert_changed(reader: &mut Client, changed: &[&str]) {
    for sql in ALL {
        let reason = if changed.contains(&sql) {
            "stale"
        } else {
            "hit"
        };
        assert_reason(&reader.run(sql), reason);
    }
}

fn extended(client: &mut Client, sql: &str) {
    let reply = ask(
        client,
        &[parse("", sql), bind("", "", &[]), execute("", 0), sync()],
    );
    assert!(!reply.failed(), "{reply:?}");
    let tags: Vec<u8> = reply
        .0
        .iter()
        .map(|frame| frame.tag)
        .filter(|tag| *tag != b'N')
        .collect();
    assert!(matches!(&tags[..], b"12CZ" | b"12DCZ"), "{reply:?}");
}

#[test]
fn statements_of_the_extended_protocol() {
    for size in [1, 4] {
        let (_world, mut writer, mut reader) = world(size);
        extended(&mut writer, "update kv set v = v + 1 where k = 1");
        assert_changed(&mut reader, &[KV, LOG]);
        assert_eq!(reader.value(LOG), "1");
        extended(&mut writer, "select hidden(1)");
        assert_changed(&mut reader, &[OTHER]);
        assert_eq!(reader.value(OTHER), "one!");
        extended(&mut writer, "select nothing(1)");
        assert_changed(&mut reader, &[]);
        extended(&mut writer, "select leaf()");
        assert_changed(&mut reader, &[PART]);
        assert_eq!(reader.value(PART), "1");
    }
}

#[test]
fn transactions() {
    for size in [1, 4] {
        let (_world, mut writer, mut reader) = world(size);
        for commit in ["commit", "end work"] {
            writer.run("begin");
            writer.run("update kv set v = v + 1 where k = 1");
            writer.run("select nothing(1)");
            writer.run(commit);
            assert_changed(&mut reader, &[KV, LOG]);
        }
        // With a transaction's end in the other protocol, and one that is taken back.
        extended(&mut writer, "begin");
        extended(&mut writer, "select hidden(1)");
        extended(&mut writer, "commit");
        assert_changed(&mut reader, &[OTHER]);
        writer.run("begin");
        writer.run("select leaf()");
        writer.run("rollback");
        assert_changed(&mut reader, &ALL);
    }
}

#[test]
fn what_locks_do_not_tell_is_everything() {
    let (_world, mut writer, mut reader) = world(2);
    // A simple query has committed before anybody could ask.
    writer.run("select nothing(1)");
    assert_changed(&mut reader, &ALL);
    // What a deferred trigger writes is written in the commit.
    extended(&mut writer, "insert into slow values (1)");
    assert_changed(&mut reader, &ALL);
    assert_eq!(reader.value(OTHER), "late");
    writer.run("begin");
    writer.run("insert into slow values (1)");
    writer.run("commit");
    assert_changed(&mut reader, &ALL);
    // A change of the schema.
    extended(&mut writer, "select redefined()");
    for sql in ALL {
        assert_ne!(reasons(&reader.run(sql)), ["hit"]);
    }
}

#[test]
fn a_question_that_fails_leaves_nothing_behind() {
    let (_world, mut writer, mut reader) = world(1);
    // The statement fails, and the question behind it is skipped.
    let steps = [
        parse("", "select hidden(1) / 0"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    for _ in 0..2 {
        assert_eq!(ask(&mut writer, &steps).sqlstate(), "22012");
        extended(&mut writer, "select hidden(1)");
    }
    reader.run(OTHER);
    assert_reason(&reader.run(OTHER), "hit");
    assert_eq!(reader.value(OTHER), "one!!");
    // Several in one group, of which the last writes.
    let both = [
        parse("a", "select nothing(1)"),
        bind("p", "a", &[]),
        execute("p", 0),
        parse("", "select hidden(1)"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert!(!ask(&mut writer, &both).failed());
    assert_eq!(reader.value(OTHER), "one!!!");
    // The unnamed statement is still the client's.
    let again = [bind("", "", &[]), execute("", 0), sync()];
    assert!(!ask(&mut writer, &again).failed());
    assert_eq!(reader.value(OTHER), "one!!!!");
}

/// What the locks told in front of a commit is no word about what comes behind it.
#[test]
fn a_transaction_behind_a_commit_in_one_group() {
    let (_world, mut writer, mut reader) = world(2);
    writer.run("begin");
    writer.run("select nothing(1)");
    let both = [
        parse("", "commit"),
        bind("", "", &[]),
        execute("", 0),
        parse("", "select hidden(1)"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert!(!ask(&mut writer, &both).failed());
    assert_eq!(reader.value(OTHER), "one!");
}

/// What is said of types, rights and functions lets go of its locks at once.
#[test]
fn a_change_of_the_catalog_shows_beside_the_tables() {
    let (world, mut writer, mut reader) = world(2);
    let moods = "select m from moods";
    assert_eq!(reader.value(moods), "sad");
    reader.run(moods);
    assert_reason(&reader.run(moods), "hit");
    extended(&mut writer, "select renames()");
    assert_eq!(reader.value(moods), "blue");
    // Read with the old meaning of the view, it would not be known what it depends on.
    let seen = "select name from shown";
    eventually("the catalog is read again", || {
        (reasons(&reader.run(seen)) == ["hit"]).then_some(())
    });
    extended(&mut writer, "select views()");
    for n in 1..4 {
        reader.run(seen);
        writer.run(&format!("update other set name = 'n{n}' where id = 1"));
        assert_eq!(reader.value(seen), format!("n{n}"));
    }
    let mut alice = world.client_as("alice");
    writer.run("grant select on other to alice");
    eventually("the catalog is read again", || {
        (reasons(&alice.run(OTHER)) == ["hit"]).then_some(())
    });
    extended(&mut writer, "select grants()");
    assert_eq!(ask(&mut alice, &[query(OTHER)]).sqlstate(), "42501");
}
