//! What lives as long as a session: temporary tables, locks, sequences, DISCARD.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{bind, execute, parse, sync};

#[test]
fn session_state() {
    check(&[kept(), discarded()].concat());
}

fn kept() -> Vec<Script> {
    vec![
        script("temporary table").pins().queries(&[
            "create temp table t as select 1 as a",
            "select a + 0 from t",
            "drop table t",
            "select a + 0 from t",
        ]),
        script("temporary table on commit").pins().queries(&[
            "begin",
            "create temp table t (a int) on commit drop",
            "insert into t values (1)",
            "commit",
            "select * from t",
        ]),
        script("temporary table rolled back").pins().queries(&[
            "begin",
            "create temp table t (a int)",
            "rollback",
            "select * from t",
        ]),
        script("temporary view and sequence").pins().queries(&[
            "create temp view v as select 1 as a",
            "select a + 0 from v",
            "create temp sequence q",
            "select nextval('q'), currval('q')",
        ]),
        script("session lock").pins().queries(&[
            "select pg_try_advisory_lock(1, 2)",
            "select pg_try_advisory_lock(1, 2)",
            "select pg_advisory_unlock(1, 2)",
            "select pg_advisory_unlock(1, 2)",
            "select pg_advisory_unlock(1, 2)",
        ]),
        script("currval").pins().queries(&[
            "select currval('log_n_seq')",
            // From here on its upstream is its own; a sequence that only an INSERT used would be
            // forgotten between two transactions.
            "select nextval('log_n_seq')",
            "insert into log (line) values ('x')",
            "select currval('log_n_seq'), lastval()",
            "select lastval()",
        ]),
        script("setseed").pins().queries(&[
            "select setseed(0.25)",
            "select random()",
            "select random()",
        ]),
        script("load").pins().queries(&[
            "load 'plpgsql'",
            "set plpgsql.extra_warnings = 'all'",
            "show plpgsql.extra_warnings",
        ]),
        script("set kept over a temporary table").pins().queries(&[
            "set timezone = 'Asia/Tokyo'",
            "create temp table t (a int)",
            "show timezone",
            "drop table t",
            "show timezone",
        ]),
        script("own locks and cursors are seen").pins().queries(&[
            "select pg_advisory_lock(3)",
            "select objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
            "select pg_advisory_unlock_all()",
        ]),
        script("prepared statements are seen")
            .pins()
            .query("prepare mine as select 1")
            .query(
                "select name, statement, from_sql from pg_prepared_statements where name = 'mine'",
            ),
    ]
}

fn discarded() -> Vec<Script> {
    let s1 = || [bind("", "s1", &[]), execute("", 0)];
    vec![
        script("discard all")
            .round(&[parse("s1", "select 1")])
            .query("set timezone = 'Asia/Tokyo'")
            .query("discard all")
            .query("show timezone")
            .round(&s1()),
        script("discard all, and a failure in the same pipeline")
            .query("set search_path = tenant")
            .send(&[
                parse("", "discard all"),
                bind("", "", &[]),
                execute("", 0),
                parse("", "select 1 / 0"),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ])
            .ready()
            .query("show search_path"),
        script("discard all in a transaction").queries(&["begin", "discard all", "rollback"]),
        script("discard all among others").query("select 1; discard all"),
        script("discard all, extended")
            .query("set timezone = 'Asia/Tokyo'")
            .round(&[parse("", "discard all"), bind("", "", &[]), execute("", 0)])
            .query("show timezone"),
        script("discard all twice").queries(&["discard all", "discard all"]),
        script("discard parts")
            .pins()
            .round(&[parse("s1", "select 1")])
            .queries(&[
                "create temp table t (a int)",
                "discard temp",
                "select * from t",
                "discard plans",
                "discard sequences",
                "select lastval()",
            ])
            .round(&s1()),
        script("close all").pins().queries(&[
            "declare c cursor with hold for select 1",
            "close all",
            "fetch c",
        ]),
        script("unlisten all").query("unlisten *"),
        script("what psql asks at first")
            .query("select pg_catalog.set_config('search_path', '', false)")
            .query("select count(*) from public.item")
            .query("select count(*) from item"),
    ]
}
