//! Named statements: defined, used, closed, deallocated.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, close_portal, close_statement, describe_portal, describe_statement, execute, flush, parse,
};

#[test]
fn named_statements() {
    check(
        &[
            named(),
            named_errors(),
            deallocated(),
            of_sql(),
            named_odd(),
        ]
        .concat(),
    );
}

fn use_s1(value: &str) -> Vec<Vec<u8>> {
    vec![bind("", "s1", &[value]), execute("", 0)]
}

fn add() -> Vec<u8> {
    parse("s1", "select $1::int + 1 as more")
}

fn named() -> Vec<Script> {
    let add = add();
    vec![
        script("named")
            .round(&[add.clone(), describe_statement("s1")])
            .round(&use_s1("1"))
            .round(&use_s1("2")),
        script("named in transactions")
            .round(std::slice::from_ref(&add))
            .query("begin")
            .round(&use_s1("1"))
            .query("commit")
            .round(&use_s1("3")),
        script("named prepared in a transaction that rolls back")
            .query("begin")
            .round(std::slice::from_ref(&add))
            .query("rollback")
            .round(&use_s1("1")),
        script("two names, one text")
            .round(&[add.clone(), parse("s2", "select $1::int + 1 as more")])
            .round(&use_s1("1"))
            .round(&[
                bind("", "s2", &["5"]),
                execute("", 0),
                close_statement("s1"),
            ])
            .round(&[bind("", "s2", &["6"]), execute("", 0)])
            .round(&use_s1("7")),
        script("a known text parsed in a failed transaction")
            .round(std::slice::from_ref(&add))
            .round(&[parse("out", "rollback")])
            .query("begin")
            .query("select 1/0")
            .round(&[
                parse("s2", "select $1::int + 1 as more"),
                describe_statement("s2"),
            ])
            .round(&[parse("out2", "rollback"), describe_statement("out2")])
            .round(&[bind("", "out2", &[]), execute("", 0)])
            .round(&[bind("", "s2", &["5"]), execute("", 0)])
            .round(&use_s1("1")),
        script("a name that is closed and given again behind an error")
            .round(std::slice::from_ref(&add))
            .round(&[
                parse("", "select 1/0"),
                bind("", "", &[]),
                execute("", 0),
                close_statement("s1"),
                parse("s1", "select 'another'"),
            ])
            .round(&use_s1("1")),
        script("duplicate Parse")
            .round(std::slice::from_ref(&add))
            .round(&[parse("s1", "select 5")])
            .round(&use_s1("1")),
        script("unknown Bind").round(&[bind("", "nope", &[]), execute("", 0)]),
        script("unknown Describe")
            .round(&[describe_statement("nope")])
            .round(&[describe_portal("nope")]),
        script("unknown Execute").round(&[execute("nope", 0)]),
        script("Close")
            .round(std::slice::from_ref(&add))
            .round(&[close_statement("s1")])
            .round(&use_s1("1")),
        script("Close and Parse again")
            .round(std::slice::from_ref(&add))
            .round(&[close_statement("s1"), parse("s1", "select $1::text || '!'")])
            .round(&use_s1("1")),
    ]
}

fn named_errors() -> Vec<Script> {
    let add = add();
    vec![
        script("Close of unknown").round(&[close_statement("nope"), close_portal("nope")]),
        script("a failed Parse defines nothing")
            .round(&[parse("s1", "selec")])
            .round(&use_s1("1"))
            .round(std::slice::from_ref(&add))
            .round(&use_s1("1")),
        script("Parse behind an error defines nothing")
            .round(&[bind("", "nope", &[]), add.clone()])
            .round(&use_s1("1"))
            .round(std::slice::from_ref(&add))
            .round(&use_s1("1")),
        script("what is sent behind an error that was seen")
            .round(std::slice::from_ref(&add))
            .send(&[bind("", "nope", &[]), flush()])
            .until(b'E')
            .round(&[
                close_statement("s1"),
                parse("s2", "select 'nobody else has this'"),
                describe_statement("s2"),
            ])
            .round(&use_s1("1"))
            .round(&[bind("", "s2", &[]), execute("", 0)])
            .round(&[
                parse("s2", "select 'nobody else has this'"),
                bind("", "s2", &[]),
                execute("", 0),
            ]),
        script("Close behind an error closes nothing")
            .round(std::slice::from_ref(&add))
            .round(&[bind("", "nope", &[]), close_statement("s1")])
            .round(&use_s1("1")),
    ]
}

fn deallocated() -> Vec<Script> {
    let add = add();
    vec![
        script("DEALLOCATE of a protocol statement")
            .round(std::slice::from_ref(&add))
            .query("deallocate s1")
            .round(&use_s1("1"))
            .round(std::slice::from_ref(&add)),
        script("DEALLOCATE among others")
            .pins()
            .round(&[add.clone(), parse("s2", "select 2")])
            .query("select 1; deallocate s1; deallocate s2")
            .round(&use_s1("1"))
            .round(std::slice::from_ref(&add))
            .query("begin; deallocate s1; prepare s1 as select 8; execute s1; rollback")
            .query("execute s1")
            .query("deallocate s1")
            .round(&use_s1("1")),
        script("DEALLOCATE ALL")
            .round(&[add.clone(), parse("s2", "select 2")])
            .query("deallocate all")
            .round(&use_s1("1")),
        script("DEALLOCATE of unknown").query("deallocate nope"),
        script("DEALLOCATE by a bound statement")
            .round(std::slice::from_ref(&add))
            .round(&[
                parse("", "deallocate s1"),
                bind("", "", &[]),
                execute("", 0),
            ])
            .round(&use_s1("1")),
    ]
}

/// SQL and the protocol have one set of names.
fn of_sql() -> Vec<Script> {
    let add = add();
    vec![
        script("SQL EXECUTE of a protocol statement")
            .pins()
            .round(std::slice::from_ref(&add))
            .query("execute s1(8)"),
        script("SQL EXECUTE of a protocol statement in a failed transaction")
            .pins()
            .round(std::slice::from_ref(&add))
            .query("begin")
            .query("select 1/0")
            .query("execute s1(8)")
            .query("execute s1(8); select 1")
            .query("rollback")
            .query("execute s1(8)"),
        script("Bind of an SQL statement")
            .pins()
            .query("prepare s1(int) as select $1 * 2")
            .round(&use_s1("4"))
            .query("deallocate s1")
            .round(&use_s1("4")),
        script("a protocol statement over an SQL name")
            .pins()
            .query("prepare s1(int) as select $1 * 2")
            .round(std::slice::from_ref(&add))
            .round(&use_s1("4"))
            .query("execute s1(5)")
            .query("deallocate s1")
            .round(std::slice::from_ref(&add))
            .round(&use_s1("4"))
            .query("execute s1(5)"),
        script("SQL PREPARE over a protocol name")
            .round(std::slice::from_ref(&add))
            .query("prepare s1 as select 1")
            .round(&use_s1("1")),
        script("SQL PREPARE").pins().queries(&[
            "prepare p(int) as select $1 + 1",
            "execute p(1)",
            "prepare p as select 1",
            "deallocate p",
            "execute p(1)",
        ]),
    ]
}

fn named_odd() -> Vec<Script> {
    vec![
        script("many names")
            .round(
                &(0..300)
                    .map(|n| parse(&format!("n{n}"), &format!("select {n}")))
                    .collect::<Vec<_>>(),
            )
            .round(&[
                bind("", "n0", &[]),
                execute("", 0),
                bind("", "n299", &[]),
                execute("", 0),
            ]),
        script("a long name").round(&[
            parse(&"n".repeat(300), "select 9"),
            bind("", &"n".repeat(300), &[]),
            execute("", 0),
        ]),
        script("a statement over changed settings")
            .round(&[parse(
                "s1",
                "select timestamptz '2024-01-02 03:04Z', current_setting('search_path'), $1",
            )])
            .round(&use_s1("1"))
            .query("set timezone = 'Asia/Tokyo'")
            .round(&use_s1("2")),
        // On another upstream it is parsed anew, and then there is no cached plan to complain of.
        script("a statement over a changed table")
            .alone()
            .query("create table changed (a int)")
            .round(&[parse("s1", "select * from changed where $1 = 'x'")])
            .round(&use_s1("x"))
            .query("alter table changed add b int")
            .round(&use_s1("x"))
            .query("drop table changed")
            .round(&use_s1("x")),
    ]
}
