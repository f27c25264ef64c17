//! What may stand between two reads of the same: other groups of a pipeline, portals, settings, transactions,
//! writes, changes of the schema.

use super::check;
use super::reads::{ITEMS, ONE, whole};
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, close_portal, close_statement, describe_portal, describe_statement, execute, parse,
    query, sync,
};

#[test]
fn reads_among_other_things() {
    check(&scripts());
}

pub(super) fn scripts() -> Vec<Script> {
    [
        pipelines(),
        pipelines_odd(),
        portals(),
        named_portals(),
        between(),
        between_odd(),
        transactions(),
        own_writes(),
        writes(),
        definitions(),
    ]
    .concat()
}

/// Its result depends on settings.
const TIME: &str =
    "select timestamptz '2024-01-02 03:04Z' as t, 0.1::float8 + 0.2 as f, '\\x01'::bytea as b";

fn pipelines() -> Vec<Script> {
    let ask = |value: &str| [whole(ONE, &[value]).concat(), sync()].concat();
    vec![
        script("several groups in one write")
            .send(&[ask("1"), ask("2"), ask("1"), ask("1")])
            .readies(4)
            .send(&[ask("1"), query(ITEMS), ask("2"), query(ITEMS)])
            .readies(4),
        script("hits and misses in one write")
            .query(ITEMS)
            .send(&[
                query(ITEMS),
                query("select count(*) from item"),
                query(ITEMS),
                ask("3"),
            ])
            .readies(4),
        script("two reads in one group")
            .round(&[whole(ONE, &["1"]).concat(), whole(ONE, &["2"]).concat()])
            .round(&[whole(ONE, &["1"]).concat(), whole(ONE, &["2"]).concat()]),
        script("a read and an error in one group")
            .round(&whole(ONE, &["1"]))
            .round(&[
                whole(ONE, &["1"]).concat(),
                whole("select 1/0", &[]).concat(),
                whole(ONE, &["1"]).concat(),
            ])
            .round(&whole(ONE, &["1"])),
        script("an error in front of groups")
            .send(&[
                parse("", "selec"),
                sync(),
                ask("1"),
                query("select 1/0"),
                ask("1"),
            ])
            .readies(4),
    ]
}

fn pipelines_odd() -> Vec<Script> {
    let ask = |value: &str| [whole(ONE, &[value]).concat(), sync()].concat();
    vec![
        script("a write and a read in one group")
            .round(&whole(ONE, &["1"]))
            .round(&[
                whole("update item set name = 'new' where id = $1", &["1"]).concat(),
                whole(ONE, &["1"]).concat(),
            ])
            .round(&whole(ONE, &["1"])),
        script("a write and reads behind it in one write")
            .round(&whole(ONE, &["1"]))
            .send(&[
                query("update item set name = 'new' where id = 1"),
                ask("1"),
                ask("1"),
                query("delete from item where id = 1"),
                ask("1"),
                ask("1"),
            ])
            .readies(6),
        script("empty groups between")
            .send(&[sync(), ask("1"), sync(), sync(), ask("1")])
            .readies(5),
        script("Execute twice of a remembered one")
            .round(&whole(ONE, &["1"]))
            .round(&[
                parse("", ONE),
                bind("", "", &["1"]),
                execute("", 0),
                execute("", 0),
            ])
            .round(&whole(ONE, &["1"])),
        script("Bind twice, Execute once")
            .round(&whole(ONE, &["1"]))
            .round(&[
                parse("", ONE),
                bind("", "", &["1"]),
                bind("", "", &["2"]),
                describe_portal(""),
                execute("", 0),
            ])
            .round(&whole(ONE, &["1"])),
    ]
}

fn portals() -> Vec<Script> {
    let limited = |rows| {
        [
            parse("", ITEMS),
            bind("", "", &[]),
            describe_portal(""),
            execute("", rows),
        ]
    };
    vec![
        script("row limits of a remembered read")
            .round(&whole(ITEMS, &[]))
            .round(&limited(1))
            .round(&limited(2))
            .round(&limited(3))
            .round(&limited(4))
            .round(&limited(0))
            .round(&whole(ITEMS, &[])),
        script("row limits first")
            .round(&limited(1))
            .round(&limited(1))
            .round(&whole(ITEMS, &[])),
        script("a portal fetched in pieces")
            .round(&whole(ITEMS, &[]))
            .round(&[
                parse("", ITEMS),
                bind("", "", &[]),
                execute("", 2),
                execute("", 2),
                execute("", 2),
            ])
            .round(&whole(ITEMS, &[])),
    ]
}

fn named_portals() -> Vec<Script> {
    vec![
        script("named portals")
            .round(&whole(ITEMS, &[]))
            .round(&[
                parse("", ITEMS),
                bind("p", "", &[]),
                describe_portal("p"),
                execute("p", 0),
            ])
            .round(&[
                parse("", ITEMS),
                bind("p", "", &[]),
                describe_portal("p"),
                execute("p", 0),
                close_portal("p"),
            ])
            .round(&[execute("p", 0)])
            .round(&whole(ITEMS, &[])),
        script("a named portal across groups of a transaction")
            .query("begin")
            .round(&[parse("", ITEMS), bind("p", "", &[]), execute("p", 1)])
            .round(&[execute("p", 1)])
            .query("commit")
            .round(&[execute("p", 1)]),
        script("Close of the unnamed ones")
            .round(&whole(ITEMS, &[]))
            .round(&[
                parse("", ITEMS),
                bind("", "", &[]),
                close_portal(""),
                execute("", 0),
            ])
            .round(&[
                parse("", ITEMS),
                close_statement(""),
                bind("", "", &[]),
                execute("", 0),
            ])
            .round(&[bind("", "", &[]), execute("", 0)]),
        script("cursors again").queries(&[
            "begin",
            "declare c cursor for select name from item order by id",
            "fetch 2 from c",
            "fetch 2 from c",
            "commit",
            "fetch 2 from c",
        ]),
    ]
}

fn between() -> Vec<Script> {
    let time = TIME;
    vec![
        script("settings between reads").queries(&[
            time,
            "set timezone = 'Asia/Tokyo'",
            time,
            "set datestyle = 'German'",
            time,
            "set extra_float_digits = 0",
            time,
            "set bytea_output = 'escape'",
            time,
            "set intervalstyle = 'iso_8601'",
            "select interval '1 day 2 hours'",
            "reset intervalstyle",
            "select interval '1 day 2 hours'",
            "reset all",
            time,
        ]),
        script("settings of a transaction between reads").queries(&[
            time,
            "begin",
            "set local timezone = 'Asia/Tokyo'",
            time,
            "commit",
            time,
            "begin",
            "set timezone = 'Asia/Tokyo'",
            time,
            "rollback",
            time,
        ]),
        script("settings in one text with a read").queries(&[
            time,
            &format!("set timezone = 'Asia/Tokyo'; {time}"),
            time,
            "select set_config('timezone', 'UTC', false)",
            time,
        ]),
        script("settings behind the scenes").queries(&[time, "select hidden_set()", time]),
    ]
}

fn between_odd() -> Vec<Script> {
    let time = TIME;
    vec![
        script("settings for a described read")
            .round(&whole(time, &[]))
            .query("set timezone = 'Asia/Tokyo'")
            .round(&whole(time, &[]))
            .query("set application_name = 'other'")
            .round(&whole(time, &[])),
        script("start-up settings and reads")
            .with(&[("options", "-c timezone=Asia/Tokyo -c extra_float_digits=0")])
            .queries(&[time, time, "reset timezone", time]),
        script("an encoding between reads").queries(&[
            "select 'straße' as s",
            "set client_encoding = 'LATIN1'",
            "select 'stra' || chr(223) || 'e' as s",
            "select 'stra' || chr(223) || 'e' as s",
            "reset client_encoding",
            "select 'stra' || chr(223) || 'e' as s",
        ]),
        script("roles between reads").queries(&[
            "select count(*) from item",
            "set role app",
            "select count(*) from item",
            "select count(*) from item",
            "reset role",
            "select count(*) from item",
        ]),
        script("several statements with a read").queries(&[
            "select 1; select name from item where id = 1",
            "select 1; select name from item where id = 1",
            "select name from item where id = 1",
            "select name from item where id = 1; ",
            "select name from item where id = 1;;",
        ]),
        script("EXPLAIN, SHOW and COPY of a read").queries(&[
            "explain (costs off) select * from item where id = 1",
            "explain (costs off) select * from item where id = 1",
            "show timezone",
            "show timezone",
            "copy (select name from item order by id) to stdout",
            "copy (select name from item order by id) to stdout",
        ]),
        script("a temporary table of that name").pins().queries(&[
            "select count(*) from item",
            "create temp table item (a int)",
            "select count(*) from item",
            "select count(*) from public.item",
            "drop table pg_temp.item",
            "select count(*) from item",
        ]),
    ]
}

fn transactions() -> Vec<Script> {
    vec![
        script("reads in a transaction").queries(&[ITEMS, "begin", ITEMS, ITEMS, "commit", ITEMS]),
        script("reads in an extended transaction")
            .round(&whole("begin", &[]))
            .round(&whole(ITEMS, &[]))
            .round(&whole(ONE, &["1"]))
            .round(&whole("commit", &[]))
            .round(&whole(ITEMS, &[])),
        script("reads in stricter transactions").queries(&[
            ITEMS,
            "begin isolation level repeatable read",
            ITEMS,
            "commit",
            "begin isolation level serializable, read only, deferrable",
            ITEMS,
            "commit",
            "start transaction read only",
            ITEMS,
            "update item set name = 'x'",
            ITEMS,
            "rollback",
            ITEMS,
        ]),
        script("reads in a failed transaction").queries(&[
            ITEMS,
            "begin",
            "select 1/0",
            ITEMS,
            ITEMS,
            "commit",
            ITEMS,
        ]),
        script("reads in a failed transaction, extended")
            .round(&whole(ITEMS, &[]))
            .query("begin")
            .round(&whole("select 1/0", &[]))
            .round(&whole(ITEMS, &[]))
            .round(&[parse("", ITEMS), describe_statement("")])
            .query("rollback")
            .round(&whole(ITEMS, &[])),
    ]
}

fn own_writes() -> Vec<Script> {
    vec![
        script("own writes in a transaction").queries(&[
            ITEMS,
            "begin",
            "update item set name = 'mine' where id = 1",
            ITEMS,
            "rollback",
            ITEMS,
            "begin",
            "update item set name = 'mine' where id = 1",
            ITEMS,
            "commit",
            ITEMS,
        ]),
        script("savepoints and reads").queries(&[
            ITEMS,
            "begin",
            "savepoint a",
            "delete from item where id = 1",
            ITEMS,
            "rollback to a",
            ITEMS,
            "commit",
            ITEMS,
        ]),
        script("chains and reads").queries(&[
            "begin",
            "update item set name = 'chained' where id = 2",
            "commit and chain",
            ITEMS,
            "commit",
            ITEMS,
        ]),
        script("BEGIN twice and COMMIT twice")
            .queries(&["begin", "begin", ITEMS, "commit", "commit", ITEMS]),
    ]
}

/// Without the oid of a table that is made anew each time.
const FLEETING: &str = "select * from fleeting union all select * from fleeting";

fn writes() -> Vec<Script> {
    vec![
        script("writes between reads").queries(&[
            ITEMS, "insert into item values (4, 'four', 4)", ITEMS,
            "update item set price = 9 where id = 4 returning *", ITEMS,
            "delete from item where id = 4", ITEMS, "truncate item", ITEMS, "select count(*) from item",
        ]),
        script("writes in every dress between reads")
            .query(ITEMS)
            .query("with w as (update item set name = 'w' where id = 1 returning id) select id from w")
            .query(ITEMS)
            .query("do $$ begin update item set name = 'do' where id = 1; end $$")
            .query(ITEMS)
            .query("merge into item using (values (1)) v (id) on item.id = v.id when matched then update set name = 'm'")
            .query(ITEMS)
            .query("explain (analyze, buffers off, costs off, timing off, summary off) delete from item where id = 1")
            .query(ITEMS)
            .round(&whole("insert into item values ($1, $2, null) on conflict (id) do update set name = excluded.name", &["2", "up"]))
            .round(&whole(ITEMS, &[]))
            .since(15),
        script("a procedure between reads").queries(&[
            "select line from log order by n", "call two_steps()", "select line from log order by n",
            "select line from log order by n",
        ]),
        script("locking reads").queries(&[
            "select * from item where id = 1 for update", "select * from item where id = 1 for update",
            "select * from item where id = 1 for share", "select * from item where id = 1",
        ]),
    ]
}

fn definitions() -> Vec<Script> {
    vec![
        script("the schema between reads").queries(&[
            "create table fleeting (a int)",
            "insert into fleeting values (1)",
            FLEETING,
            FLEETING,
            "alter table fleeting add b int default 2",
            FLEETING,
            FLEETING,
            "alter table fleeting rename a to c",
            FLEETING,
            "drop table fleeting",
            FLEETING,
        ]),
        script("a view between reads").queries(&[
            "create view fleeting_view as select 1 as a",
            "select a from fleeting_view union select 7",
            "select a from fleeting_view union select 7",
            "create or replace view fleeting_view as select 2 as a",
            "select a from fleeting_view union select 7",
            "drop view fleeting_view",
            "select a from fleeting_view union select 7",
        ]),
        script("rights between reads").queries(&[
            "grant select on item to app",
            "set role app",
            "select count(*) from item",
            "select count(*) from item",
            "reset role",
            "revoke select on item from app",
            "set role app",
            "select count(*) from item",
            "reset role",
            "select count(*) from item",
        ]),
    ]
}
