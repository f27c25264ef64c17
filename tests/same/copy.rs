//! COPY in all its ways of going well and badly.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{
    bind, copy_data, copy_done, copy_fail, execute, flush, parse, query, sync,
};

#[test]
fn copies() {
    check(&[out(), simple_in(), simple_in_odd(), extended_in()].concat());
}

fn out() -> Vec<Script> {
    vec![
        script("copy out").query("copy item to stdout"),
        script("copy out in binary")
            .query("copy (select id, name from item order by id) to stdout (format binary)"),
        script("copy out csv").query("copy item to stdout (format csv, header)"),
        script("copy out, many rows")
            .query("copy (select g, repeat('c', 100) from generate_series(1, 20000) g) to stdout"),
        script("copy out fails midway")
            .query("copy (select 10 / (5 - g) from generate_series(1, 9) g) to stdout")
            .query("select 1"),
        script("copy out among others").query("select 1; copy item to stdout; select 2"),
        script("copy out, extended").round(&[
            parse("", "copy item to stdout"),
            bind("", "", &[]),
            execute("", 0),
        ]),
        script("copy to a file").query("copy item to '/nowhere/x'"),
    ]
}

/// Up to CopyInResponse.
fn start(name: &'static str) -> Script {
    script(name)
        .send(&[query("copy item from stdin")])
        .until(b'G')
}

fn rows() -> Vec<u8> {
    copy_data(b"10\tten\t1\n11\televen\t2\n")
}

fn simple_in() -> Vec<Script> {
    vec![
        start("copy in")
            .send(&[rows(), copy_done()])
            .ready()
            .query("select * from item order by id"),
        start("copy in nothing").send(&[copy_done()]).ready(),
        start("copy in, cut at odd places")
            .send(&[
                copy_data(b"10\tt"),
                copy_data(b"en\t1\n1"),
                copy_data(b""),
                copy_data(b"1\tx\t2\n"),
                copy_done(),
            ])
            .ready(),
        start("copy in, byte by byte")
            .dribble(&[rows(), copy_done()])
            .ready(),
        start("copy in with its end marker")
            .send(&[rows(), copy_data(b"\\.\n"), copy_done()])
            .ready(),
        start("copy in refused by the client")
            .send(&[rows(), copy_fail("changed my mind")])
            .ready()
            .query("select count(*) from item"),
        start("copy in, bad data")
            .send(&[copy_data(b"x\ty\tz\n"), rows(), copy_done()])
            .ready()
            .query("select count(*) from item"),
        start("copy in, duplicate key")
            .send(&[copy_data(b"1\tagain\t1\n"), copy_done()])
            .ready()
            .query("select 1"),
        start("copy in, bad data, then CopyFail")
            .send(&[copy_data(b"x\ty\tz\n")])
            .until(b'Z')
            .send(&[copy_fail("late"), query("select 1")])
            .ready(),
        start("copy in with Flush and Sync within")
            .send(&[rows(), flush(), sync(), copy_done()])
            .ready()
            .query("select count(*) from item"),
    ]
}

fn simple_in_odd() -> Vec<Script> {
    vec![
        start("a query within copy in")
            .send(&[rows(), query("select 1")])
            .ready()
            .query("select 2"),
        script("copy in without waiting")
            .send(&[
                query("copy item from stdin"),
                rows(),
                copy_done(),
                query("select count(*) from item"),
            ])
            .readies(2),
        script("copy in without waiting, no such table")
            .send(&[query("copy nowhere from stdin"), rows(), copy_done()])
            .ready()
            .query("select 1"),
        script("two copies in one query")
            .send(&[query(
                "copy item from stdin; copy log (line) from stdin; select count(*) from item",
            )])
            .until(b'G')
            .send(&[rows(), copy_done()])
            .until(b'G')
            .send(&[copy_data(b"line\n"), copy_done()])
            .ready(),
        script("copy in within a transaction")
            .query("begin")
            .send(&[query("copy item from stdin")])
            .until(b'G')
            .send(&[rows(), copy_done()])
            .ready()
            .query("rollback")
            .query("select count(*) from item"),
        script("copy in binary, bad signature")
            .send(&[query("copy item from stdin (format binary)")])
            .until(b'G')
            .send(&[copy_data(b"nonsense"), copy_done()])
            .ready()
            .query("select 1"),
        script("copy in of much")
            .send(&[query("copy log (line) from stdin")])
            .until(b'G')
            .send(&vec![
                copy_data(&b"a line of some length\n".repeat(400));
                200
            ])
            .send(&[copy_done()])
            .ready()
            .query("select count(*) from log"),
    ]
}

fn extended_in() -> Vec<Script> {
    let start = || {
        [
            parse("", "copy item from stdin"),
            bind("", "", &[]),
            execute("", 0),
        ]
        .concat()
    };
    let rows = || copy_data(b"20\ttwenty\t1\n");
    vec![
        script("copy in, extended")
            .send(&[start(), flush()])
            .until(b'G')
            .send(&[rows(), copy_done(), sync()])
            .ready()
            .query("select count(*) from item"),
        // The manual: a Sync that arrives while copying is ignored; the one behind CopyDone counts.
        script("copy in, extended, Sync at once")
            .send(&[start(), sync()])
            .until(b'G')
            .send(&[rows(), copy_done(), sync()])
            .ready()
            .query("select count(*) from item"),
        script("copy in, extended, pipelined")
            .send(&[start(), rows(), copy_done(), sync()])
            .ready()
            .query("select count(*) from item"),
        script("copy in, extended, pipelined, early Sync")
            .send(&[start(), sync(), rows(), copy_done(), sync()])
            .ready()
            .query("select count(*) from item"),
        script("copy in, extended, refused")
            .send(&[start(), flush()])
            .until(b'G')
            .send(&[copy_fail("no"), sync()])
            .ready()
            .query("select 1"),
        script("copy in, extended, bad data")
            .send(&[start(), flush()])
            .until(b'G')
            .send(&[
                copy_data(b"x\ty\tz\n"),
                copy_data(b"more\n"),
                copy_done(),
                sync(),
            ])
            .ready()
            .query("select 1"),
        script("copy in, extended, and more in the pipeline")
            .send(&[
                start(),
                rows(),
                copy_done(),
                parse("", "select count(*) from item"),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ])
            .ready(),
    ]
}
