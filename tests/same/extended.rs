//! Statements, portals, pipelines.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, bind_formats, close_portal, close_statement, describe_portal, describe_statement,
    execute, flush, parse, parse_typed, query, raw, sync,
};

#[test]
fn statements() {
    check(&[unnamed(), unnamed_skipped(), formats(), wrong()].concat());
}

#[test]
fn pipelines_and_portals() {
    check(&[pipelines(), pipelines_odd(), portals(), cursors()].concat());
}

fn unnamed() -> Vec<Script> {
    let whole = |sql, values: &[&str]| {
        [
            parse("", sql),
            bind("", "", values),
            describe_portal(""),
            execute("", 0),
        ]
    };
    vec![
        script("unnamed").round(&whole("select $1::int + 1", &["41"])),
        script("unnamed again and again")
            .round(&whole("select 1", &[]))
            .round(&whole("select 2", &[])),
        script("unnamed survives Sync")
            .round(&[parse("", "select $1::text")])
            .round(&[bind("", "", &["a"]), execute("", 0)])
            .round(&[bind("", "", &["b"]), execute("", 0)]),
        script("unnamed dies with a simple query")
            .round(&[parse("", "select 1")])
            .query("select 2")
            .round(&[bind("", "", &[]), execute("", 0)]),
        script("unnamed after a failed Parse")
            .round(&[parse("", "select 1")])
            .round(&[parse("", "selec 2")])
            .round(&[bind("", "", &[]), execute("", 0)]),
        script("unnamed described").round(&[
            parse("", "select $1::int as a, name from item where id = $2"),
            describe_statement(""),
        ]),
        script("unnamed, no result").round(&whole("insert into log (line) values ($1)", &["x"])),
        script("unnamed, empty").round(&whole("", &[])),
        script("unnamed, many rows").round(&whole(
            "select g from generate_series(1, $1::int) g",
            &["3000"],
        )),
        script("unnamed, byte by byte")
            .dribble(&[whole("select $1::int", &["7"]).concat(), sync()])
            .ready(),
        script("execute twice").round(&[
            parse("", "select * from item order by id"),
            bind("", "", &[]),
            execute("", 0),
            execute("", 0),
        ]),
        script("notice").round(&whole("select warn($1)", &["extended"])),
    ]
}

/// What is skipped leaves the unnamed statement as it was.
fn unnamed_skipped() -> Vec<Script> {
    vec![
        script("unnamed parsed behind an error")
            .round(&[parse("", "select $1::text")])
            .round(&[bind("", "nope", &[]), parse("", "select 1")])
            .round(&[bind("", "", &["a"]), execute("", 0)])
            .round(&[parse("", "select 2"), parse("", "selec")])
            .round(&[bind("", "", &[]), execute("", 0)]),
        script("unnamed parsed behind an error that was seen")
            .round(&[parse("", "select $1::text")])
            .send(&[bind("", "nope", &[]), flush()])
            .until(b'E')
            .round(&[parse("", "select 1"), close_statement("")])
            .round(&[bind("", "", &["a"]), execute("", 0)]),
        script("unnamed closed behind an error")
            .round(&[parse("", "select $1::text")])
            .round(&[bind("", "nope", &[]), close_statement("")])
            .round(&[bind("", "", &["a"]), execute("", 0)]),
        script("unnamed parsed behind one that fails, at once")
            .send(&[
                parse("", "selec"),
                sync(),
                parse("", "select $1::text"),
                sync(),
            ])
            .readies(2)
            .round(&[bind("", "", &["a"]), execute("", 0)]),
    ]
}

fn formats() -> Vec<Script> {
    let number = 300_i32.to_be_bytes();
    let all: &[Option<&[u8]>] = &[Some(&number), None, Some(b"")];
    let sql = "select $1::int4 as a, $2::text as b, $3::bytea as c";
    vec![
        script("binary parameters").round(&[
            parse("", sql),
            bind_formats("", "", &[1], all, &[]),
            describe_portal(""),
            execute("", 0),
        ]),
        script("binary results").round(&[
            parse("", sql),
            bind_formats("", "", &[1, 0, 1], all, &[1]),
            describe_portal(""),
            execute("", 0),
        ]),
        script("mixed results").round(&[
            parse("", sql),
            bind_formats("", "", &[1, 1, 1], all, &[1, 0, 1]),
            describe_portal(""),
            execute("", 0),
        ]),
        script("declared types")
            .round(&[
                parse_typed("", "select $1, $2, pg_typeof($1), pg_typeof($2)", &[23, 0]),
                describe_statement(""),
            ])
            .round(&[bind("", "", &["1", "x"]), execute("", 0)]),
        script("an array and a record in binary").round(&[
            parse("", "select '{1,2}'::int[], row(1, 'a')"),
            bind_formats("", "", &[], &[], &[1]),
            execute("", 0),
        ]),
        script("a large parameter").round(&[
            parse("", "select length($1)"),
            bind("", "", &["z".repeat(2_000_000).as_str()]),
            execute("", 0),
        ]),
        script("the most parameters").round(&[
            parse(
                "",
                &format!(
                    "select 1 where 1 in ({})",
                    (1..=9999)
                        .map(|n| format!("${n}"))
                        .collect::<Vec<_>>()
                        .join(",")
                ),
            ),
            bind("", "", &vec!["1"; 9999]),
            execute("", 0),
        ]),
    ]
}

fn wrong() -> Vec<Script> {
    vec![
        script("a portal bound anew behind an error is the old one")
            .query("select line from log")
            .query("begin")
            .round(&[
                parse("w", "insert into log (line) values ('x')"),
                parse("r", "select 1"),
                bind("p", "w", &[]),
            ])
            .query("savepoint a")
            .round(&[
                bind("", "nope", &[]),
                close_portal("p"),
                bind("p", "r", &[]),
            ])
            .query("rollback to a")
            .round(&[execute("p", 0)])
            .query("commit")
            .query("select line from log"),
        script("too few values").round(&[
            parse("", "select $1::int, $2::int"),
            bind("", "", &["1"]),
            execute("", 0),
        ]),
        script("too many values").round(&[
            parse("", "select 1"),
            bind("", "", &["1"]),
            execute("", 0),
        ]),
        script("a bad value")
            .round(&[
                parse("", "select $1::int"),
                bind("", "", &["x"]),
                execute("", 0),
            ])
            .query("select 1"),
        script("several statements in Parse").round(&[parse("", "select 1; select 2")]),
        script("a transaction by Execute")
            .round(&[parse("", "begin"), bind("", "", &[]), execute("", 0)])
            .round(&[
                parse("", "insert into log (line) values ('x')"),
                bind("", "", &[]),
                execute("", 0),
            ])
            .round(&[parse("", "rollback"), bind("", "", &[]), execute("", 0)])
            .query("select count(*) from log"),
        script("an undetermined type").round(&[parse("", "select $1 is null")]),
        script("Describe of nonsense")
            .send(&[raw(b'D', b"Xname\0"), sync()])
            .ready()
            .query("select 1"),
        script("a truncated Bind")
            .send(&[raw(b'B', b"\0\0\0"), sync()])
            .ready()
            .query("select 1"),
        script("a Parse without its end")
            .send(&[raw(b'P', b"s1\0select 1"), sync()])
            .ready()
            .query("select 1"),
    ]
}

fn select(n: &str) -> Vec<u8> {
    [
        parse("", "select $1::text"),
        bind("", "", &[n]),
        execute("", 0),
    ]
    .concat()
}

fn fail() -> Vec<u8> {
    [parse("", "select 1/0"), bind("", "", &[]), execute("", 0)].concat()
}

fn insert(v: &str) -> Vec<u8> {
    let sql = "insert into log (line) values ($1)";
    [parse("", sql), bind("", "", &[v]), execute("", 0)].concat()
}

fn pipelines() -> Vec<Script> {
    vec![
        script("pipeline with one Sync").round(&[select("1"), select("2"), select("3")]),
        script("pipeline with many Syncs")
            .send(&[
                select("1"),
                sync(),
                select("2"),
                sync(),
                select("3"),
                sync(),
            ])
            .readies(3),
        script("pipeline is one transaction")
            .round(&[insert("a"), insert("b"), fail(), insert("c")])
            .query("select count(*) from log"),
        script("each Sync its own transaction")
            .send(&[insert("a"), sync(), fail(), sync(), insert("c"), sync()])
            .readies(3)
            .query("select line from log order by n"),
        script("error skips to Sync")
            .send(&[fail(), select("skipped"), sync(), select("next"), sync()])
            .readies(2),
        script("error skips Flush and Query too")
            .send(&[fail(), flush(), query("select 'skipped'"), sync()])
            .ready()
            .query("select 1"),
        script("many Syncs, all of a kind")
            .send(&vec![[select("x"), sync()].concat(); 200])
            .readies(200),
        script("many statements, one Sync").round(&vec![select("y"); 500]),
    ]
}

fn pipelines_odd() -> Vec<Script> {
    vec![
        script("Flush")
            .send(&[parse("", "select 1"), describe_statement(""), flush()])
            .until(b'T')
            .send(&[bind("", "", &[]), flush()])
            .until(b'2')
            .send(&[execute("", 0), flush()])
            .until(b'C')
            .send(&[sync()])
            .ready(),
        script("Flush, then an error")
            .send(&[fail(), flush()])
            .until(b'E')
            .send(&[select("skipped"), sync()])
            .ready(),
        script("simple query inside a pipeline")
            .send(&[select("1"), query("select 2"), select("3"), sync()])
            .readies(2),
        script("names within one pipeline").round(&[
            parse("s1", "select 1"),
            bind("", "s1", &[]),
            execute("", 0),
            close_statement("s1"),
            parse("s1", "select 2"),
            bind("", "s1", &[]),
            execute("", 0),
            close_statement("s1"),
        ]),
        script("a pipeline that sets")
            .round(&[
                parse("", "set timezone = 'Asia/Tokyo'"),
                bind("", "", &[]),
                execute("", 0),
                select("x"),
            ])
            .query("show timezone"),
        script("a pipeline that sets and fails")
            .round(&[
                parse("", "set timezone = 'Asia/Tokyo'"),
                bind("", "", &[]),
                execute("", 0),
                bind("", "nope", &[]),
            ])
            .query("show timezone"),
        script("a pipeline that begins")
            .send(&[
                parse("", "begin"),
                bind("", "", &[]),
                execute("", 0),
                sync(),
                select("in"),
                sync(),
            ])
            .readies(2)
            .query("commit"),
    ]
}

fn portals() -> Vec<Script> {
    let rows = parse("", "select g from generate_series(1, 10) g");
    vec![
        script("row limit").round(&[
            rows.clone(),
            bind("", "", &[]),
            execute("", 4),
            execute("", 4),
            execute("", 4),
        ]),
        script("row limit met exactly").round(&[
            rows.clone(),
            bind("", "", &[]),
            execute("", 10),
            execute("", 1),
        ]),
        script("suspended at Sync")
            .round(&[rows.clone(), bind("", "", &[]), execute("", 4)])
            .round(&[execute("", 4)]),
        script("named portals in a transaction")
            .query("begin")
            .round(&[
                rows.clone(),
                bind("p1", "", &[]),
                bind("p2", "", &[]),
                execute("p1", 3),
                execute("p2", 2),
            ])
            .round(&[execute("p1", 3), describe_portal("p2"), execute("p2", 0)])
            .round(&[close_portal("p1"), execute("p1", 3)])
            .query("rollback"),
        script("a named portal twice")
            .query("begin")
            .round(&[rows.clone(), bind("p1", "", &[]), bind("p1", "", &[])])
            .query("rollback"),
        script("a portal dies with its transaction")
            .query("begin")
            .round(&[rows.clone(), bind("p1", "", &[])])
            .query("commit")
            .round(&[execute("p1", 0)]),
        script("a failed Bind and a simple query before Sync")
            .round(&[bind("", "nope", &[]), query("select 1")])
            .query("select 2"),
        script("a portal and Flush")
            .send(&[rows, bind("", "", &[]), execute("", 2), flush()])
            .until(b's')
            .send(&[execute("", 2), flush()])
            .until(b's')
            .send(&[sync()])
            .ready(),
    ]
}

fn cursors() -> Vec<Script> {
    vec![
        script("cursors").queries(&[
            "begin",
            "declare c cursor for select * from item order by id",
            "fetch 1 from c",
            "fetch all from c",
            "move backward all in c",
            "fetch next from c",
            "close c",
            "fetch c",
            "rollback",
        ]),
        script("a portal of a cursor")
            .query("begin")
            .query("declare c cursor for select id from item order by id")
            .round(&[describe_portal("c"), execute("c", 2)])
            .query("commit"),
        script("a cursor with hold").pins().queries(&[
            "declare c cursor with hold for select id from item order by id",
            "fetch 2 from c",
            "fetch 2 from c",
            "close c",
            "fetch c",
        ]),
        script("a cursor outside of a transaction").query("declare c cursor for select 1"),
    ]
}
