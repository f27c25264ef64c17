//! What a cache could get wrong: the same read again in every form of the protocol.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, bind_formats, close_statement, describe_portal, describe_statement, execute, flush,
    parse, parse_typed, sync,
};

#[test]
fn repeated_reads() {
    check(&scripts());
}

pub(super) fn scripts() -> Vec<Script> {
    [
        simple(),
        simple_odd(),
        extended(),
        described(),
        unnamed(),
        formats(),
        types(),
        named(),
        closed(),
    ]
    .concat()
}

pub(super) const ITEMS: &str = "select id, name, price from item order by id";
pub(super) const ONE: &str = "select id, name, price from item where id = $1";

fn simple() -> Vec<Script> {
    vec![
        script("a simple read again").queries(&[ITEMS, ITEMS, ITEMS]),
        script("a simple read in other words").queries(&[
            ITEMS,
            "SELECT id, name, price FROM item ORDER BY id",
            "select id, name, price from item order by id;",
            " select id, name, price from item order by id ; ",
            "/* trace 1 */ select id, name, price from item order by id",
            "/* trace 2 */ select id, name, price from item order by id -- and out",
            "select id,name,price/**/from item order by id",
            "select id as name, name as id, price from item order by id",
        ]),
        script("nothing found, again").queries(&[
            "select * from item where id = 77",
            "select * from item where id = 77",
            "select name from item where false",
            "select from item",
            "select from item",
        ]),
        script("values and tables again").queries(&[
            "values (1, 'a'), (2, null)",
            "values (1, 'a'), (2, null)",
            "table item",
            "table item",
            "(select 1)",
            "(select 1)",
            "select 1",
            "select '1'",
            "select 1 as one",
        ]),
        script("many rows again").queries(&[
            "select g, repeat('x', g % 50) from generate_series(1, 5000) g",
            "select g, repeat('x', g % 50) from generate_series(1, 5000) g",
        ]),
        script("a result too large to keep, again").queries(&[
            "select repeat('y', 3000000), 1",
            "select repeat('y', 3000000), 1",
        ]),
    ]
}

fn simple_odd() -> Vec<Script> {
    vec![
        script("the same names in another schema").queries(&[
            "select * from item",
            "set search_path = tenant",
            "select * from item",
            "select * from public.item",
            "reset search_path",
            "select * from item",
        ]),
        script("empty again").queries(&["", "", ";", " ; ", "-- nothing", "-- nothing"]),
        script("errors again").queries(&[
            "select 1/0",
            "select 1/0",
            "selec 1",
            "selec 1",
            "select * from nowhere",
            "select * from nowhere",
            "select name from item where id = 'x'",
        ]),
        script("notices again").queries(&[
            "select warn('again')",
            "select warn('again')",
            "drop table if exists nowhere",
            "drop table if exists nowhere",
        ]),
        script("clocks and chance")
            .queries(&[
                "select now() = now(), random() < 2, current_date = current_date",
                "select now() > '2000-01-01', current_user, current_schema",
                "select nextval('log_n_seq')",
                "select nextval('log_n_seq')",
                "select currval('log_n_seq')",
            ])
            .pins(),
    ]
}

/// Parse, Bind, Describe, Execute.
pub(super) fn whole(sql: &str, values: &[&str]) -> [Vec<u8>; 4] {
    [
        parse("", sql),
        bind("", "", values),
        describe_portal(""),
        execute("", 0),
    ]
}

/// Without Describe.
pub(super) fn bare(sql: &str, values: &[&str]) -> [Vec<u8>; 3] {
    [parse("", sql), bind("", "", values), execute("", 0)]
}

fn extended() -> Vec<Script> {
    vec![
        script("an extended read again")
            .round(&whole(ITEMS, &[]))
            .round(&whole(ITEMS, &[])),
        script("simple, then extended, then simple")
            .query(ITEMS)
            .round(&whole(ITEMS, &[]))
            .round(&bare(ITEMS, &[]))
            .query(ITEMS),
        script("extended without Describe first")
            .round(&bare(ITEMS, &[]))
            .round(&whole(ITEMS, &[]))
            .query(ITEMS),
        script("parameters again")
            .round(&whole(ONE, &["1"]))
            .round(&whole(ONE, &["2"]))
            .round(&whole(ONE, &["1"]))
            .round(&whole(ONE, &["77"]))
            .round(&whole(ONE, &["2"])),
        script("parameters that run into each other")
            .round(&bare("select $1::text, $2::text", &["ab", "c"]))
            .round(&bare("select $1::text, $2::text", &["a", "bc"]))
            .round(&bare("select $1::text, $2::text", &["", "abc"])),
        script("null, empty and the word")
            .round(&[
                parse("", "select $1::text is null, $1::text"),
                bind_formats("", "", &[], &[None], &[]),
                execute("", 0),
            ])
            .round(&bare("select $1::text is null, $1::text", &[""]))
            .round(&bare("select $1::text is null, $1::text", &["NULL"])),
    ]
}

fn described() -> Vec<Script> {
    vec![
        script("a statement described, then used")
            .round(&[parse("", ONE), describe_statement("")])
            .round(&[bind("", "", &["1"]), execute("", 0)])
            .round(&[parse("", ONE), describe_statement("")])
            .round(&[bind("", "", &["1"]), describe_portal(""), execute("", 0)]),
        script("described only")
            .round(&[parse("", ONE), describe_statement("")])
            .round(&[parse("", ONE), describe_statement("")])
            .round(&[
                parse("", ONE),
                describe_statement(""),
                bind("", "", &["1"]),
                describe_portal(""),
            ])
            .round(&[
                parse("", "insert into log (line) values ($1)"),
                describe_statement(""),
            ])
            .round(&[
                parse("", "insert into log (line) values ($1)"),
                describe_statement(""),
            ])
            .round(&[parse("", ""), describe_statement("")]),
        script("described both ways")
            .round(&[
                parse("", ONE),
                describe_statement(""),
                bind("", "", &["2"]),
                describe_portal(""),
                execute("", 0),
            ])
            .round(&[
                parse("", ONE),
                describe_statement(""),
                bind("", "", &["2"]),
                describe_portal(""),
                execute("", 0),
            ]),
        script("described, then Flush")
            .send(&[parse("", ONE), describe_statement(""), flush()])
            .until(b'T')
            .round(&[bind("", "", &["3"]), execute("", 0)])
            .send(&[parse("", ONE), describe_statement(""), flush()])
            .until(b'T')
            .round(&[bind("", "", &["3"]), execute("", 0)]),
        script("Flush behind everything")
            .send(&[whole(ITEMS, &[]).concat(), flush()])
            .until(b'C')
            .round(&[])
            .send(&[whole(ITEMS, &[]).concat(), flush()])
            .until(b'C')
            .round(&[]),
    ]
}

fn unnamed() -> Vec<Script> {
    vec![
        script("unnamed survives Sync, again")
            .round(&bare(ONE, &["1"]))
            .round(&[bind("", "", &["2"]), execute("", 0)])
            .round(&[bind("", "", &["1"]), execute("", 0)]),
        script("unnamed dies with a simple query, remembered or not")
            .query("select 2")
            .round(&bare(ONE, &["1"]))
            .query("select 2")
            .round(&[bind("", "", &["1"]), execute("", 0)]),
        script("byte by byte, again")
            .dribble(&[whole(ONE, &["1"]).concat(), sync()])
            .ready()
            .dribble(&[whole(ONE, &["1"]).concat(), sync()])
            .ready(),
        script("errors and then the same read")
            .round(&whole(ONE, &["1"]))
            .round(&whole(ONE, &["x"]))
            .round(&whole(ONE, &["1"]))
            .round(&[parse("", "selec"), bind("", "", &["1"]), execute("", 0)])
            .round(&whole(ONE, &["1"])),
    ]
}

fn formats() -> Vec<Script> {
    let asked = |formats: &[i16], value: &[u8], results: &[i16]| {
        [
            parse("", ONE),
            bind_formats("", "", formats, &[Some(value)], results),
            describe_portal(""),
            execute("", 0),
        ]
    };
    let one = 1_i32.to_be_bytes();
    vec![
        script("text and binary results in turn")
            .round(&asked(&[], b"1", &[]))
            .round(&asked(&[], b"1", &[1]))
            .round(&asked(&[], b"1", &[0]))
            .round(&asked(&[], b"1", &[0, 0, 0]))
            .round(&asked(&[], b"1", &[1, 1, 1]))
            .round(&asked(&[], b"1", &[1, 0, 1]))
            .round(&asked(&[], b"1", &[0, 1, 0]))
            .round(&asked(&[], b"1", &[]))
            .round(&asked(&[], b"1", &[1, 0, 1])),
        script("wrong numbers of formats")
            .round(&asked(&[], b"1", &[1, 0]))
            .round(&asked(&[], b"1", &[]))
            .round(&asked(&[], b"1", &[1, 0]))
            .round(&asked(&[0, 0], b"1", &[]))
            .round(&asked(&[7], b"1", &[]))
            .round(&asked(&[], b"1", &[7])),
        script("text and binary parameters in turn")
            .round(&asked(&[0], b"1", &[]))
            .round(&asked(&[1], &one, &[]))
            .round(&asked(&[], b"1", &[]))
            .round(&asked(&[1], &one, &[1])),
    ]
}

fn types() -> Vec<Script> {
    vec![
        script("the same bytes as text and as binary")
            .round(&[
                parse_typed("", "select $1", &[23]),
                bind_formats("", "", &[0], &[Some(b"1234")], &[]),
                execute("", 0),
            ])
            .round(&[
                parse_typed("", "select $1", &[23]),
                bind_formats("", "", &[1], &[Some(b"1234")], &[]),
                execute("", 0),
            ]),
        script("other declared types")
            .round(&[
                parse_typed("", "select $1, pg_typeof($1)::text", &[23]),
                bind("", "", &["5"]),
                describe_portal(""),
                execute("", 0),
            ])
            .round(&[
                parse_typed("", "select $1, pg_typeof($1)::text", &[25]),
                bind("", "", &["5"]),
                describe_portal(""),
                execute("", 0),
            ])
            .round(&[
                parse_typed("", "select $1 as a", &[23]),
                bind("", "", &["5"]),
                describe_portal(""),
                execute("", 0),
            ])
            .round(&[
                parse_typed("", "select $1 as a", &[20]),
                bind("", "", &["5"]),
                describe_portal(""),
                execute("", 0),
            ])
            .round(&[
                parse_typed("", "select $1 as a", &[0]),
                bind("", "", &["5"]),
                describe_portal(""),
                execute("", 0),
            ]),
    ]
}

fn named() -> Vec<Script> {
    let make = || parse("s1", ONE);
    let ask = |value: &str| {
        [
            bind("", "s1", &[value]),
            describe_portal(""),
            execute("", 0),
        ]
    };
    let bare = |value: &str| [bind("", "s1", &[value]), execute("", 0)];
    vec![
        script("a named read again")
            .round(&[make(), describe_statement("s1")])
            .round(&ask("1"))
            .round(&ask("1"))
            .round(&bare("1"))
            .round(&ask("2"))
            .round(&[describe_statement("s1")])
            .round(&bare("2")),
        script("a named read, a simple one, the same")
            .round(&[make()])
            .round(&ask("1"))
            .query("select id, name, price from item where id = 1")
            .round(&whole(ONE, &["1"]))
            .round(&ask("1")),
        script("a duplicate name after hits")
            .round(&[make()])
            .round(&ask("1"))
            .round(&[make()])
            .round(&ask("1"))
            .round(&[parse("s1", ITEMS)])
            .round(&ask("1")),
    ]
}

fn closed() -> Vec<Script> {
    let make = || parse("s1", ONE);
    let ask = |value: &str| {
        [
            bind("", "s1", &[value]),
            describe_portal(""),
            execute("", 0),
        ]
    };
    vec![
        script("closed and asked again")
            .round(&[make()])
            .round(&ask("1"))
            .round(&[close_statement("s1")])
            .round(&ask("1"))
            .round(&[make()])
            .round(&ask("1")),
        script("closed and defined otherwise")
            .round(&[make()])
            .round(&ask("1"))
            .round(&[
                close_statement("s1"),
                parse("s1", "select name from item where id = $1"),
            ])
            .round(&ask("1"))
            .round(&ask("1")),
        script("deallocated after hits")
            .round(&[make()])
            .round(&ask("1"))
            .query("deallocate s1")
            .round(&ask("1"))
            .round(&[make()])
            .round(&ask("1"))
            .query("deallocate all")
            .round(&ask("1"))
            .round(&[describe_statement("s1")]),
        script("DISCARD ALL after hits")
            .round(&[make()])
            .round(&ask("1"))
            .query("discard all")
            .round(&ask("1"))
            .round(&whole(ONE, &["1"])),
        script("two names for one text")
            .round(&[make(), parse("s2", ONE)])
            .round(&ask("1"))
            .round(&[bind("", "s2", &["1"]), describe_portal(""), execute("", 0)])
            .round(&[close_statement("s1")])
            .round(&[bind("", "s2", &["1"]), execute("", 0)]),
        script("SQL PREPARE and EXECUTE again").pins().queries(&[
            "prepare p(int) as select name from item where id = $1",
            "execute p(1)",
            "execute p(1)",
            "execute p(2)",
            "deallocate p",
            "execute p(1)",
        ]),
    ]
}
