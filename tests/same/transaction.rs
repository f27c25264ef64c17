//! Transactions, and what rolls back with them.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::query;

#[test]
fn transactions() {
    check(&[blocks(), settings(), notifications()].concat());
}

fn blocks() -> Vec<Script> {
    vec![
        script("commit").queries(&["begin", "insert into log (line) values ('x')", "commit", "select count(*) from log"]),
        script("rollback").queries(&["start transaction", "insert into log (line) values ('x')", "rollback", "select count(*) from log"]),
        script("begin with modes").queries(&[
            "begin isolation level serializable read only deferrable", "show transaction_isolation", "insert into log (line) values ('x')", "end",
        ]),
        script("empty transactions").queries(&["begin", "commit", "begin", "rollback", "begin; commit"]),
        script("begin twice").queries(&["begin", "begin", "commit", "commit", "rollback", "abort"]),
        script("begin, then set transaction").queries(&["begin", "set transaction isolation level repeatable read", "show transaction_isolation", "commit"]),
        script("chain").queries(&[
            "begin isolation level repeatable read", "select 1", "commit and chain", "show transaction_isolation", "rollback and chain", "show transaction_isolation", "commit", "commit and chain",
        ]),
        script("failed").queries(&["begin", "select 1/0", "select 1", "commit", "select 1"]),
        script("failed, rolled back").queries(&["begin", "select 1/0", "", "show timezone", "rollback", "select 1"]),
        script("savepoints").queries(&[
            "begin", "savepoint a", "select 1/0", "rollback to a", "select 1", "release a", "release a", "rollback",
        ]),
        script("savepoint outside").queries(&["savepoint a", "release a", "rollback to a"]),
        script("deferred constraint").queries(&["begin", "insert into later values (1), (1)", "commit", "select count(*) from later"]),
        script("two-phase").queries(&["begin", "insert into log (line) values ('x')", "prepare transaction 'p'", "commit prepared 'p'", "select count(*) from log"]),
        script("commit in the middle of a query").query("begin; insert into log (line) values ('a'); commit; insert into log (line) values ('b'); select 1/0").query("select line from log order by n"),
        script("begin and a query at once").send(&[query("begin"), query("insert into log (line) values ('p')"), query("commit")]).readies(3).query("select count(*) from log"),
        script("not in a transaction").queries(&["begin", "vacuum item", "rollback", "vacuum item", "select 1; vacuum item"]),
        script("advisory lock of the transaction").queries(&["begin", "select pg_advisory_xact_lock(7)", "commit"]),
        script("read only").queries(&["set default_transaction_read_only = on", "insert into log (line) values ('x')", "set default_transaction_read_only = off", "insert into log (line) values ('x')"]),
        script("lock").queries(&["lock item", "begin", "lock item in share mode", "commit"]),
    ]
}

fn settings() -> Vec<Script> {
    vec![
        script("set and show").queries(&["set timezone = 'Asia/Tokyo'", "show timezone", "select 1", "show timezone", "reset timezone", "show timezone"]),
        script("set several").query("set timezone = 'Asia/Tokyo'; set datestyle = 'German, DMY'; set intervalstyle = iso_8601; set application_name = 'me'").query("select timestamptz '2024-01-02 03:04Z', interval '1 day', current_setting('application_name')"),
        script("set time zone").queries(&["set time zone 'Europe/Berlin'", "show timezone", "set time zone -3", "show timezone", "set time zone local", "show timezone"]),
        script("set a custom name").queries(&["set app.tenant = 'red'", "show app.tenant", "select current_setting('app.tenant')"]),
        script("set to default").queries(&["set work_mem = '65kB'", "show work_mem", "set work_mem to default", "show work_mem"]),
        script("set nonsense").queries(&["set nothing_known = 1", "set timezone = 'Nowhere'", "set work_mem = 'x'", "show nothing_known", "show timezone"]),
        script("set what cannot be set").queries(&["set server_version = 'x'", "set is_superuser = off", "set port = 1"]),
        script("dates in parts").queries(&["set datestyle = 'dmy'", "set datestyle = 'sql'", "show datestyle", "select date '2024-02-01', date '03/04/2024'", "set datestyle = 'german'", "begin", "set datestyle = 'ymd'", "select date '2024-02-01'", "rollback", "select date '2024-02-01', date '03.04.2024'"]),
        script("dates in parts from the start").with(&[("options", "-c datestyle=dmy")]).queries(&["set datestyle = 'sql'", "select date '2024-02-01', date '03/04/2024'", "reset datestyle", "select date '2024-02-01', date '03/04/2024'"]),
        script("set local").queries(&["begin", "set local timezone = 'Asia/Tokyo'", "show timezone", "commit", "show timezone", "set local timezone = 'Asia/Tokyo'", "show timezone"]),
        script("set rolled back").queries(&["set timezone = 'Europe/Berlin'", "begin", "set timezone = 'Asia/Tokyo'", "rollback", "show timezone"]),
        script("set committed").queries(&["begin", "set timezone = 'Asia/Tokyo'", "commit", "show timezone"]),
        script("set in a savepoint").queries(&[
            "begin", "set timezone = 'Europe/Berlin'", "savepoint a", "set timezone = 'Asia/Tokyo'", "rollback to a", "show timezone", "commit", "show timezone",
        ]),
        script("set in a failed transaction").queries(&["begin", "set timezone = 'Asia/Tokyo'", "select 1/0", "commit", "show timezone"]),
        script("set_config").queries(&["select set_config('timezone', 'Asia/Tokyo', false)", "show timezone", "select set_config('timezone', 'UTC', true)", "show timezone"]),
        script("set by a function").queries(&["select hidden_set()", "show timezone"]),
        script("set by do").queries(&["do $$ begin perform set_config('datestyle', 'German', false); end $$", "show datestyle"]),
        script("set by update").queries(&["update pg_settings set setting = 'Asia/Tokyo' where name = 'TimeZone'", "show timezone"]),
        script("set among others").query("select 1; set timezone = 'Asia/Tokyo'; select 2").query("show timezone"),
        script("set, and an error after it").query("set timezone = 'Asia/Tokyo'; select 1/0").query("show timezone"),
        script("reset all").queries(&["set timezone = 'Asia/Tokyo'; set work_mem = '65kB'", "reset all", "show timezone", "show work_mem"]),
        script("search_path").queries(&["set search_path = tenant", "select * from item", "set search_path = tenant, public", "show search_path", "reset search_path", "select count(*) from item"]),
        script("standard_conforming_strings").queries(&["set standard_conforming_strings = off", "select 'a\\'b'", "set standard_conforming_strings = on", "select 'a\\b'"]),
        script("role").queries(&["set role app", "select current_user, session_user", "select * from item", "reset role", "select current_user", "set role nobody"]),
        script("session authorization").queries(&["set session authorization app", "select current_user, session_user", "set session authorization default", "select current_user, session_user"]),
        script("statement_timeout").queries(&["set statement_timeout = 150", "select pg_sleep(5)", "reset statement_timeout", "select 1"]),
        script("transaction defaults").queries(&["set session characteristics as transaction isolation level serializable", "begin", "show transaction_isolation", "commit"]),
    ]
}

fn notifications() -> Vec<Script> {
    vec![
        script("notify without listening").query("notify c, 'x'"),
        script("own notification").pins().queries(&[
            "listen c",
            "notify c, 'hello'",
            "select pg_notify('c', 'again')",
            "unlisten c",
            "notify c, 'unheard'",
        ]),
        script("own notification at commit").pins().queries(&[
            "listen c",
            "begin",
            "notify c, 'x'",
            "notify c, 'x'",
            "notify c, 'y'",
            "commit",
            "unlisten *",
        ]),
        script("another's notification")
            .pins()
            .query("listen c")
            .other("notify c, 'from afar'")
            .until(b'A')
            .query("select 1"),
        script("another's in a transaction")
            .pins()
            .queries(&["listen c", "begin"])
            .other("notify c, 'kept'")
            .query("select 1")
            .query("commit")
            .query("select pg_listening_channels()"),
        script("listen rolled back")
            .queries(&["begin", "listen c", "rollback"])
            .other("notify c, 'x'")
            .query("select 1"),
    ]
}
