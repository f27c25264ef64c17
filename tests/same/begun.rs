//! A BEGIN that is held back: what the transaction is, when it is opened, and reads that run before it is.

use super::check;
use super::reads::{ITEMS, ONE, bare, whole};
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, bind_formats, close_statement, describe_portal, describe_statement, execute, flush,
    parse, query, sync,
};

#[test]
fn held_back_begins() {
    check(&[reads(), steps(), errors(), modes(), parts(), pipelines()].concat());
}

fn reads() -> Vec<Script> {
    vec![
        script("begin, reads, commit")
            .queries(&["begin", ITEMS, ITEMS, "select 1", "commit", ITEMS]),
        script("begin, reads, rollback").queries(&["begin", ITEMS, "rollback", ITEMS]),
        script("begin, read, write, read").queries(&[
            "begin",
            ITEMS,
            "update item set name = 'new' where id = 1",
            ITEMS,
            "commit",
            ITEMS,
        ]),
        script("begin, read, write, rollback, read").queries(&[
            "begin",
            ITEMS,
            "delete from item where id = 1",
            ITEMS,
            "rollback",
            ITEMS,
        ]),
        script("begin read only").queries(&[
            "begin read only",
            ITEMS,
            "insert into log (line) values ('x')",
            ITEMS,
            "rollback",
        ]),
        script("a large read behind begin").queries(&[
            "begin",
            "select repeat('z', 2000000), count(*) from item",
            "select repeat('z', 2000000), count(*) from item",
            "commit",
        ]),
        script("nothing and a notice behind begin").queries(&[
            "begin",
            "",
            "select warn('x')",
            "select name from item where false",
            "commit",
        ]),
    ]
}

fn steps() -> Vec<Script> {
    let two = [
        parse("", ONE),
        bind("", "", &["1"]),
        execute("", 0),
        bind("", "", &["2"]),
        execute("", 0),
    ];
    vec![
        script("an extended read behind begin")
            .query("begin")
            .round(&whole(ONE, &["1"]))
            .round(&bare(ONE, &["2"]))
            .round(&whole(ONE, &["1"]))
            .query("commit"),
        script("a prepared read behind begin")
            .round(&[parse("one", ONE), describe_statement("one")])
            .query("begin")
            .round(&[bind("", "one", &["3"]), execute("", 0)])
            .round(&[bind("", "one", &["3"]), describe_portal(""), execute("", 0)])
            .round(&[
                bind_formats("", "one", &[], &[Some(b"3")], &[1]),
                describe_portal(""),
                execute("", 0),
            ])
            .query("commit")
            .round(&[close_statement("one")]),
        script("parse and describe behind begin")
            .query("begin")
            .round(&[parse("two", ONE), describe_statement("two")])
            .round(&[bind("", "two", &["1"]), execute("", 0)])
            .query("commit")
            .round(&[bind("", "two", &["1"]), execute("", 0)]),
        script("two executes in one request behind begin")
            .query("begin")
            .round(&two)
            .query("commit"),
        script("a row at a time behind begin")
            .query("begin")
            .round(&[parse("", ITEMS), bind("", "", &[]), execute("", 1)])
            .query("commit"),
        script("begin in the extended protocol")
            .round(&bare("begin", &[]))
            .round(&whole(ONE, &["1"]))
            .round(&bare("commit", &[])),
    ]
}

fn errors() -> Vec<Script> {
    vec![
        script("the first statement fails").queries(&[
            "begin",
            "select 1 / (id - 1) from item",
            ITEMS,
            "commit",
            ITEMS,
        ]),
        script("the first statement is no SQL").queries(&["begin", "selec 1", ITEMS, "rollback"]),
        script("the first extended statement fails")
            .query("begin")
            .round(&whole("select 1 / (id - $1::int) from item", &["1"]))
            .round(&whole(ONE, &["1"]))
            .query("commit")
            .round(&whole(ONE, &["1"])),
        script("a parameter that is no number")
            .query("begin")
            .round(&whole(ONE, &["x"]))
            .query(ITEMS)
            .query("rollback"),
        script("an unknown table behind begin").queries(&[
            "begin",
            "select * from nowhere",
            "savepoint a",
            "rollback",
        ]),
        script("errors in begin").queries(&[
            "begin isolation level nonsense",
            "begin read only read",
            "begin transaction isolation",
            ITEMS,
        ]),
        script("a table too many").queries(&["begin", ITEMS, "begin", ITEMS, "commit", "commit"]),
    ]
}

fn modes() -> Vec<Script> {
    [modes_first(), modes_late()].concat()
}

fn modes_first() -> Vec<Script> {
    vec![
        script("isolation levels").queries(&[
            "begin isolation level repeatable read",
            ITEMS,
            "show transaction_isolation",
            "commit",
            "begin transaction isolation level serializable, read only",
            ITEMS,
            "show transaction_isolation",
            "show transaction_read_only",
            "rollback",
            "begin isolation level read committed",
            ITEMS,
            "show transaction_isolation",
            "end",
        ]),
        // On another upstream what is described is parsed anew, and for that Postgres takes a snapshot.
        script("set transaction behind what reads nothing")
            .alone()
            .round(&[parse("s1", ITEMS), describe_statement("s1")])
            .round(&[parse("s2", ITEMS), describe_statement("s2")])
            .query("begin")
            .round(&[describe_statement("s1")])
            .round(&[close_statement("s2")])
            .query("set transaction isolation level repeatable read")
            .queries(&[ITEMS, "show transaction_isolation", "commit"]),
        script("set transaction first").queries(&[
            "begin",
            "set transaction isolation level repeatable read",
            ITEMS,
            "show transaction_isolation",
            "commit",
        ]),
    ]
}

fn modes_late() -> Vec<Script> {
    vec![
        script("set transaction after a read").queries(&[
            "begin",
            "select count(*) from pg_class where relname = 'item'",
            "set transaction isolation level serializable",
            "rollback",
        ]),
        script("an isolation level that comes too late").queries(&[
            "begin",
            ITEMS,
            "set transaction isolation level serializable",
            "rollback",
            "begin",
            ITEMS,
            "set local transaction_isolation = 'repeatable read'",
            "rollback",
            "begin",
            ITEMS,
            "savepoint a",
            "set transaction isolation level serializable",
            "rollback",
            "begin",
            ITEMS,
            "lock table item",
            "set transaction deferrable",
            "rollback",
        ]),
        script("read only at last").queries(&[
            "begin",
            ITEMS,
            "set transaction read only",
            "insert into log (line) values ('x')",
            "rollback",
        ]),
        script("session characteristics").queries(&[
            "set session characteristics as transaction isolation level repeatable read",
            "begin",
            ITEMS,
            "show transaction_isolation",
            ITEMS,
            "commit",
            "set default_transaction_isolation to default",
        ]),
        script("chains").queries(&[
            "begin",
            ITEMS,
            "commit and chain",
            ITEMS,
            "rollback and chain",
            ITEMS,
            "commit",
            "begin read only",
            "rollback and chain",
            "show transaction_read_only",
            "commit",
        ]),
    ]
}

fn parts() -> Vec<Script> {
    vec![
        script("one time for all").queries(&[
            "begin",
            ITEMS,
            "create temp table moment on commit drop as select now() as then",
            "select then = now(), then = transaction_timestamp(), then = current_timestamp from moment",
            "select now() <= clock_timestamp(), now() <= statement_timestamp()",
            "commit",
        ]),
        script("a savepoint first").queries(&[
            "begin",
            "savepoint a",
            ITEMS,
            "select 1 / 0",
            "rollback to a",
            ITEMS,
            "release a",
            "commit",
        ]),
        script("a savepoint after a read").queries(&[
            "begin",
            ITEMS,
            "savepoint a",
            "update item set name = 'x'",
            "rollback to savepoint a",
            ITEMS,
            "commit",
        ]),
        script("a cursor").queries(&[
            "begin",
            ITEMS,
            "declare c cursor for select id from item order by id",
            "fetch 2 from c",
            ITEMS,
            "fetch 2 from c",
            "close c",
            "commit",
        ]),
        script("a lock after a read").queries(&[
            "begin",
            ITEMS,
            "select pg_advisory_xact_lock(4711)",
            "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711",
            "select id from item where id = 1 for update",
            "commit",
        ]),
        script("set local after a read").queries(&[
            "begin",
            ITEMS,
            "set local timezone = 'Asia/Tokyo'",
            "select timestamptz '2024-01-02 03:04Z'",
            "commit",
            "select timestamptz '2024-01-02 03:04Z'",
        ]),
        script("settings before begin").queries(&[
            "set search_path = tenant",
            "begin",
            "select * from item",
            "select * from public.item order by id",
            "rollback",
            "select * from item",
            "reset search_path",
        ]),
        script("prepared for two phases").queries(&[
            "begin",
            ITEMS,
            "prepare transaction 'begun'",
            "rollback prepared 'begun'",
        ]),
    ]
}

fn pipelines() -> Vec<Script> {
    let mut several = bare(ONE, &["1"]).to_vec();
    several.push(sync());
    several.extend(bare(
        "update item set name = 'p' where id = $1::int",
        &["1"],
    ));
    several.push(sync());
    several.extend(whole(ONE, &["1"]));
    several.push(sync());
    vec![
        script("begin, read, commit in one write")
            .send(&[query("begin"), query(ITEMS), query("commit"), query(ITEMS)])
            .readies(4),
        script("begin, read, write, read, commit in one write")
            .send(&[
                query("begin"),
                query(ITEMS),
                query("insert into log (line) values ('in')"),
                query("select count(*) from log"),
                query("commit"),
            ])
            .readies(5),
        script("begin, failure, read, rollback in one write")
            .send(&[
                query("begin"),
                query("select 1 / (id - 2) from item"),
                query(ITEMS),
                query("rollback"),
                query(ITEMS),
            ])
            .readies(5),
        script("extended requests behind begin in one write")
            .query("begin")
            .send(&several)
            .readies(3)
            .query("commit"),
        script("a flush behind begin")
            .query("begin")
            .send(&[
                parse("", ONE),
                bind("", "", &["1"]),
                describe_portal(""),
                flush(),
            ])
            .until(b'T')
            .send(&[execute("", 0), sync()])
            .ready()
            .query("commit"),
        script("begin and more in one text").queries(&[
            "begin; select count(*) from item",
            ITEMS,
            "commit; select count(*) from item",
        ]),
    ]
}
