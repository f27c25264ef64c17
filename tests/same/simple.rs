//! The simple protocol, and what is neither simple nor extended.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, execute, flush, function_call, parse, query, raw, sync, terminate,
};

#[test]
fn simple_queries() {
    check(&[queries(), odd_messages(), goodbyes()].concat());
}

fn queries() -> Vec<Script> {
    vec![
        script("one row").query("select 1, 'two', null::text, 2.5, true"),
        script("no rows").query("select * from item where false"),
        script("rows of a table").query("select * from item order by id"),
        script("many rows").query("select g, repeat('x', g % 50) from generate_series(1, 5000) g"),
        script("a huge row").query("select repeat('y', 3000000), 1"),
        script("columns without a name").query("select 1 as \"\", 2 as \"ä\""),
        script("several statements")
            .query("select 1; select 2; insert into log (line) values ('x')"),
        script("several, one fails").query("select 1; select 1/0; select 3"),
        script("several with a transaction").query("begin; select 1; commit; select 2"),
        script("several that leave a transaction open")
            .query("select 1; begin; select 2")
            .query("commit"),
        script("empty").queries(&["", ";", " ; ; ", "-- nothing", "/* nothing */"]),
        script("writes").queries(&[
            "insert into item values (4, 'four', 4)",
            "update item set name = 'x' where id > 2",
            "delete from item where id = 1 returning *",
            "select count(*) from item",
            "truncate log",
        ]),
        script("errors").queries(&[
            "select 1/0",
            "selec 1",
            "select 'unclosed",
            "select nothing from item",
            "select * from nowhere",
            "insert into item values (1, 'again', 1)",
            "insert into item values (null, null, null)",
            "select 1",
        ]),
        script("notices")
            .query("select warn('x')")
            .query("drop table if exists nowhere"),
        script("notices below the client's level").queries(&[
            "set client_min_messages = error",
            "select warn('x')",
            "reset client_min_messages",
        ]),
        script("an error raised with everything").query(
            "do $$ begin raise exception 'm' using errcode = 'P1234', detail = 'd', hint = 'h', \
             column = 'c', constraint = 'k', datatype = 't', table = 'b', schema = 's'; end $$",
        ),
        script("a procedure that commits")
            .query("call two_steps()")
            .query("select line from log order by n"),
        script("explain").query("explain (costs off) select * from item where id = 1"),
        script("a comment in front").query("/* a */ -- b\n select 1"),
        script("text that is no ASCII").query("select 'straße', '日本語', E'\\u00e9' as \"né\""),
        script("a byte that is no UTF-8")
            .send(&[raw(b'Q', b"select '\xff'\0")])
            .ready(),
        script("a long text").query(&format!("select '{}'", "long ".repeat(50_000))),
        script("utility statements").queries(&[
            "show server_encoding",
            "checkpoint",
            "analyze item",
        ]),
        script("values and table")
            .query("values (1, 'a'), (2, 'b')")
            .query("table item"),
    ]
}

fn odd_messages() -> Vec<Script> {
    vec![
        script("pipelined simple queries")
            .send(&[query("select 1"), query("select 2"), query("")])
            .readies(3),
        script("pipelined, the first fails")
            .send(&[query("select 1/0"), query("select 2")])
            .readies(2),
        script("byte by byte")
            .dribble(&[query("select 'slowly'")])
            .ready(),
        script("sync alone")
            .send(&[sync()])
            .ready()
            .send(&[sync(), sync(), sync()])
            .readies(3),
        script("flush alone")
            .send(&[flush(), query("select 1")])
            .ready(),
        // 1598 is random(), 870 lower(text), 177 int4pl, 2 no function.
        script("function call")
            .send(&[function_call(870, &["ABC"])])
            .ready(),
        script("function call in a transaction")
            .query("begin")
            .send(&[function_call(177, &["40", "2"])])
            .ready()
            .query("commit"),
        script("function call fails")
            .send(&[function_call(2, &[])])
            .ready()
            .query("select 1"),
        script("an unknown message").send(&[raw(b'y', b"?")]).end(),
        script("a length below four")
            .send(&[b"Q\0\0\0\x03".to_vec()])
            .end(),
        script("a negative length")
            .send(&[b"Q\xff\xff\xff\xff".to_vec()])
            .end(),
        script("a query without its zero")
            .send(&[raw(b'Q', b"select 1")])
            .ready()
            .query("select 2"),
        script("a query with bytes behind its zero")
            .send(&[raw(b'Q', b"select 1\0\0")])
            .ready()
            .query("select 2"),
        script("copy messages outside of a copy")
            .send(&[
                raw(b'd', b"x"),
                raw(b'c', b""),
                raw(b'f', b"x\0"),
                query("select 1"),
            ])
            .ready(),
        script("a password message after login")
            .send(&[raw(b'p', b"x\0")])
            .end(),
    ]
}

fn goodbyes() -> Vec<Script> {
    vec![
        script("terminate")
            .query("select 1")
            .send(&[terminate()])
            .end(),
        script("terminate in a transaction")
            .query("begin")
            .send(&[terminate()])
            .end(),
        script("a query, and goodbye in one write")
            .send(&[query("insert into log (line) values ('last')"), terminate()])
            .end(),
        script("a request, and goodbye in one write")
            .send(&[
                parse("", "insert into log (line) values ('last')"),
                bind("", "", &[]),
                execute("", 0),
                flush(),
            ])
            .until(b'C')
            .send(&[sync(), terminate()])
            .end(),
        script("a query behind terminate")
            .send(&[terminate(), query("select 1")])
            .end(),
    ]
}
