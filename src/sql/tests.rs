//! What statements do, by example.

use super::analyze;
use super::effect::{Analysis, Effect, Hidden, Statement, Value};
use crate::catalog::Snapshot;

/// A database with a few built-ins, the functions `f_ok` and `t`, and the unsafe `f_bad`.
fn catalog() -> Snapshot {
    Snapshot::of(
        &[
            "set_config",
            "nextval",
            "setval",
            "currval",
            "lastval",
            "setseed",
            "count",
            "upper",
            "left",
            "substring",
            "generate_series",
            "unnest",
            "now",
            "sum",
            "query_to_xml",
            "pg_advisory_lock",
            "pg_try_advisory_lock_shared",
            "pg_advisory_xact_lock",
            "pg_advisory_unlock",
            "random",
            "json_object",
            "f_ok",
            "abs",
            "jsonb_to_recordset",
        ],
        &["f_bad", "f Bad"],
    )
}

/// The statements in short: effects in Debug's spelling, then the reason if it is not clean.
fn say(analysis: &Analysis) -> String {
    let Analysis::Listed(list) = analysis else {
        return "plain".into();
    };
    let one = |statement: &Statement| {
        let mut words: Vec<String> = statement.effects.iter().map(effect).collect();
        words.extend(
            statement
                .hidden
                .map(|hidden| format!("!{}", hidden.as_str())),
        );
        words.join(" ")
    };
    let all: Vec<String> = list.iter().map(one).collect();
    all.join("; ")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn effect(effect: &Effect) -> String {
    let value = |value: &Value| match value {
        Value::Text(value) => text(value),
        Value::Param(number) => format!("${number}"),
    };
    match effect {
        Effect::Set { name, sql } => format!("{name}<{}>", text(sql)),
        Effect::SetConfig {
            name,
            value: v,
            local,
        } => {
            format!("config({},{},{local})", value(name), value(v))
        }
        Effect::Savepoint(name) => format!("savepoint({})", text(name)),
        Effect::RollbackTo(name) => format!("to({})", text(name)),
        Effect::Release(name) => format!("release({})", text(name)),
        Effect::Execute(name) => format!("execute({})", text(name)),
        Effect::Prepare(name) => format!("prepare({})", text(name)),
        Effect::Deallocate(Some(name)) => format!("deallocate({})", text(name)),
        Effect::PrepareTransaction(gid) => format!("prepare transaction({})", text(gid)),
        Effect::Pin(state) => format!("pin:{}", state.as_str()),
        Effect::MayRelease(state) => format!("may:{}", state.as_str()),
        Effect::SetLocal(_) => "SetLocal".to_owned(),
        Effect::Reset(_)
        | Effect::ResetAll
        | Effect::DiscardAll
        | Effect::DiscardTemp
        | Effect::DiscardSequences
        | Effect::DiscardPlans
        | Effect::Begin
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Deallocate(None)
        | Effect::ReadsSequence
        | Effect::Ddl
        | Effect::Roles => format!("{effect:?}"),
    }
}

#[track_caller]
fn known(sql: &str, expected: &str) {
    let catalog = catalog();
    assert_eq!(
        say(&analyze(sql.as_bytes(), true, Some(&catalog))),
        expected,
        "{sql}"
    );
}

#[track_caller]
fn unknown(sql: &str, expected: &str) {
    assert_eq!(say(&analyze(sql.as_bytes(), true, None)), expected, "{sql}");
}

#[test]
fn settings_by_their_own_words() {
    for (sql, expected) in [
        ("SET work_mem = '1MB'", "work_mem<SET work_mem = '1MB'>"),
        (
            "set session TimeZone TO 'UTC' ;",
            "timezone<SET TimeZone TO 'UTC'>",
        ),
        (
            "SET search_path=a , /* ; */ b -- c",
            "search_path<SET search_path=a , /* ; */ b>",
        ),
        ("SET x.Y TO -1", "x.y<SET x.Y TO -1>"),
        ("SET x=-1", "x<SET x=-1>"),
        (
            "SET \"DateStyle\" = ISO, MDY",
            "datestyle<SET \"DateStyle\" = ISO, MDY>",
        ),
        (
            "SET TIME ZONE 'Asia/Tokyo'",
            "timezone<SET TIME ZONE 'Asia/Tokyo'>",
        ),
        ("SET TIME ZONE LOCAL", "Reset(\"timezone\")"),
        (
            "SET TIME ZONE INTERVAL '1' HOUR",
            "timezone<SET TIME ZONE INTERVAL '1' HOUR>",
        ),
        ("SET NAMES 'latin1'", "client_encoding<SET NAMES 'latin1'>"),
        ("SET NAMES; SELECT 1", "Reset(\"client_encoding\"); "),
        ("SET SCHEMA 'ten'", "search_path<SET SCHEMA 'ten'>"),
        ("SET ROLE hz_b", "role<SET ROLE hz_b>"),
        ("SET ROLE = hz_b", "role<SET ROLE = hz_b>"),
        ("SET role TO 'x'", "role<SET role TO 'x'>"),
        ("SET ROLE NONE", "role<SET ROLE NONE>"),
        ("SET SESSION ROLE x", "role<SET ROLE x>"),
        (
            "SET SESSION AUTHORIZATION x",
            "session_authorization<SET SESSION AUTHORIZATION x>",
        ),
        (
            "SET SESSION SESSION AUTHORIZATION x",
            "session_authorization<SET SESSION AUTHORIZATION x>",
        ),
        (
            "SET SESSION AUTHORIZATION DEFAULT",
            "Reset(\"session_authorization\")",
        ),
    ] {
        known(sql, expected);
        unknown(sql, expected);
    }
}

#[test]
fn settings() {
    for (sql, expected) in [
        (
            "SET XML OPTION DOCUMENT",
            "xmloption<SET XML OPTION DOCUMENT>",
        ),
        ("SET sort_mem TO DEFAULT", "Reset(\"work_mem\")"),
        (
            "SET search_path = pg_temp, a",
            "search_path<SET search_path = pg_temp, a> pin:temp_table",
        ),
        (
            "SET search_path = a, pg_temp",
            "search_path<SET search_path = a, pg_temp>",
        ),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "plain"),
        ("SET CONSTRAINTS ALL DEFERRED", "plain"),
        ("SET transaction_read_only = on", "plain"),
        ("SET LOCAL TRANSACTION READ ONLY", "plain"),
        ("SET LOCAL a = 1", "SetLocal"),
        ("SET LOCAL SESSION AUTHORIZATION x", "SetLocal"),
        ("SET LOCAL a TO DEFAULT", "SetLocal"),
        ("SET seed = 0.5", "pin:seed"),
        ("SET a FROM CURRENT", "pin:setting"),
        ("SET", "pin:setting"),
        ("SET U&\"a\" = 1", "pin:setting"),
        ("SET é = 1", "pin:setting"),
        ("RESET ALL", "ResetAll"),
        ("RESET Time Zone", "Reset(\"timezone\")"),
        (
            "RESET SESSION AUTHORIZATION",
            "Reset(\"session_authorization\")",
        ),
        ("RESET ROLE", "Reset(\"role\")"),
        ("RESET a.B", "Reset(\"a.b\")"),
        ("RESET TRANSACTION ISOLATION LEVEL", "plain"),
        ("SHOW timezone", "plain"),
        ("DISCARD ALL; DISCARD TEMP", "DiscardAll; DiscardTemp"),
    ] {
        known(sql, expected);
        unknown(sql, expected);
    }
    known(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY NOT DEFERRABLE",
        "default_transaction_isolation<SET default_transaction_isolation TO 'repeatable read'> \
         default_transaction_read_only<SET default_transaction_read_only TO 'on'> \
         default_transaction_deferrable<SET default_transaction_deferrable TO 'off'>",
    );
}

#[test]
fn settings_replay_under_either_string_rule() {
    known(r"SET app.x = 'a\b'''", r"app.x<SET app.x =  E'a\\b'''>");
    let off = analyze(br"SET app.x = 'a\'b', 'c'", false, None);
    assert_eq!(say(&off), r"app.x<SET app.x =  E'a\'b', 'c'>");
    known(r"SET app.x = E'a\n'", r"app.x<SET app.x = E'a\n'>");
}

#[test]
fn set_config() {
    let path = "config(search_path,,false)";
    unknown(
        "SELECT pg_catalog.set_config('search_path', '', false);",
        path,
    );
    known("select set_config('Search_Path', '', 'off') as x", path);
    known(
        "SELECT set_config($1, $2::text, true), set_config('a.b', $$it's$$, false)",
        "config($1,$2,true) config(a.b,it's,false)",
    );
    known(
        "SELECT set_config('a', 'it''s', false)",
        "config(a,it's,false)",
    );
    known("SELECT set_config('a', 'b', $1)", "pin:setting");
    known("SELECT set_config('a', 'b', false) FROM t", "pin:setting");
    known("SELECT 1, set_config('a', 'b' || 'c', true)", "SetLocal");
    known(
        "SELECT set_config('a', f(1, 2), false)",
        "pin:setting !function",
    );
    known(
        "INSERT INTO t SELECT set_config(a, b, false) FROM c",
        "pin:setting",
    );
    known("SELECT set_config('a','b',is_local => true)", "pin:setting");
    known("SELECT \"set_config\"('a','b',false)", "pin:setting");
    known("SELECT U&\"set\\005fconfig\"('a','b',false)", "!function");
    known(
        "SELECT set_config/**/('search_path',E'a\\n',false)",
        "pin:setting",
    );
    known(
        "SELECT set_config('search_path','pg_temp',false)",
        "config(search_path,pg_temp,false) pin:temp_table",
    );
}

#[test]
fn transactions() {
    known(
        "BEGIN; COMMIT AND CHAIN; ROLLBACK AND NO CHAIN; END WORK; ABORT TRANSACTION",
        "Begin; Commit { chain: true }; Rollback { chain: false }; Commit { chain: false }; Rollback { chain: false }",
    );
    known("START TRANSACTION READ ONLY", "Begin");
    known(
        "SAVEPOINT a; ROLLBACK TO SAVEPOINT A; rollback work to \"A\"; RELEASE savepoint a; RELEASE savepoint",
        "savepoint(a); to(a); to(A); release(a); release(savepoint)",
    );
    known("PREPARE TRANSACTION 'x'", "prepare transaction(x)");
    known("PREPARE TRANSACTION E'x\\y'", "prepare transaction()");
    known("COMMIT PREPARED 'x'", "plain");
    known("ROLLBACK PREPARED 'x'", "plain");
    unknown("BEGIN;SELECT 1;COMMIT", "Begin; ; Commit { chain: false }");
}

#[test]
fn pins() {
    for (sql, expected) in [
        ("CREATE TEMP TABLE t AS SELECT 1 AS id", "pin:temp_table"),
        ("create local temporary table t(a int)", "pin:temp_table"),
        ("CREATE TEMP TABLE t(a int) ON COMMIT DROP", "plain"),
        ("CREATE TABLE pg_temp.t(a int)", "pin:temp_table"),
        ("CREATE TABLE \"pg_temp\".t(a int)", "pin:temp_table"),
        ("CREATE TEMP VIEW v AS SELECT 1", "pin:temp_table Ddl"),
        ("CREATE TEMP SEQUENCE s", "pin:temp_table"),
        ("SELECT 1 INTO TEMP t", "pin:temp_table"),
        ("SELECT * INTO pg_temp.x FROM y", "pin:temp_table"),
        ("DROP TABLE t", "may:temp_table"),
        ("DROP TABLE pg_temp.t", "may:temp_table"),
        ("LISTEN x", "pin:listen"),
        ("UNLISTEN *", "may:listen"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "pin:hold_cursor"),
        (
            "DECLARE c CURSOR WITHOUT HOLD FOR SELECT f_bad()",
            "!function",
        ),
        ("CLOSE c", "may:hold_cursor"),
        ("LOAD 'pg_trgm'", "pin:load"),
        ("PREPARE p AS SELECT f_bad()", "pin:prepared prepare(p)"),
        (
            "PREPARE transaction (int) AS SELECT 1",
            "pin:prepared prepare(transaction)",
        ),
        ("EXECUTE p(1)", "execute(p) !opaque"),
        (
            "DEALLOCATE PREPARE \"P\"; DEALLOCATE ALL; DEALLOCATE prepare",
            "deallocate(P); Deallocate(None); deallocate(prepare)",
        ),
        ("SELECT pg_advisory_lock(1)", "pin:advisory_lock"),
        (
            "SELECT pg_catalog.PG_TRY_ADVISORY_LOCK_SHARED(1)",
            "pin:advisory_lock",
        ),
        ("SELECT pg_advisory_xact_lock(1)", "plain"),
        ("SELECT pg_advisory_unlock(1)", "may:advisory_lock"),
        (
            "SELECT nextval('s'), setseed(1), nextval('s')",
            "pin:sequence pin:seed",
        ),
        ("SELECT currval('s')", "ReadsSequence"),
        ("CREATE TABLE t (a int DEFAULT nextval('s'))", "plain"),
        ("EXPLAIN SELECT nextval('s')", "plain"),
        (
            "EXPLAIN ANALYZE VERBOSE SELECT nextval('s')",
            "pin:sequence",
        ),
        ("EXPLAIN (VERBOSE, ANALYZE) SELECT f_bad()", "!function"),
        ("EXPLAIN SELECT f_bad()", "!function"),
        ("NOTIFY x", "plain"),
    ] {
        known(sql, expected);
    }
}

#[test]
fn definitions() {
    for (sql, expected) in [
        (
            "CREATE OR REPLACE FUNCTION f(a int) RETURNS TABLE (x int) LANGUAGE sql AS $$SET a=1; SELECT$$; SELECT 1",
            "Ddl; ",
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2 AS end; END; SELECT 1",
            "Ddl; ",
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SET a = 1",
            "Ddl !opaque",
        ),
        (
            "CREATE TRIGGER x AFTER INSERT OR UPDATE ON t EXECUTE FUNCTION g()",
            "Ddl",
        ),
        (
            "CREATE RULE r AS ON UPDATE TO t DO ALSO (INSERT INTO a VALUES (1); SET x = 1); SELECT 1",
            "Ddl; ",
        ),
        ("CREATE EXTENSION pg_trgm", "Ddl !opaque"),
        ("CREATE VIEW v(a, b) AS SELECT f_bad(), nextval('x')", "Ddl"),
        (
            "CREATE TABLE t (a numeric(10,2), b varchar(5) REFERENCES x(y), CHECK (a > abs(1)), PRIMARY KEY (a)) PARTITION BY LIST (a)",
            "plain",
        ),
        (
            "CREATE TABLE IF NOT EXISTS s.t (a int GENERATED ALWAYS AS IDENTITY (START 1))",
            "plain",
        ),
        ("CREATE TABLE t (a int DEFAULT f_bad())", "Ddl !function"),
        (
            "CREATE TABLE p PARTITION OF t FOR VALUES FROM (1) TO (2)",
            "plain",
        ),
        ("CREATE TABLE t AS EXECUTE p", "Ddl !opaque"),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (upper(a)) INCLUDE (b)",
            "plain",
        ),
        (
            "CREATE INDEX ON t USING btree (a, f_bad(b))",
            "Ddl !function",
        ),
        (
            "ALTER TABLE t ALTER a TYPE int USING f_bad(a)",
            "Ddl !function",
        ),
        ("ALTER TABLE t ENABLE TRIGGER x", "Ddl"),
        ("ALTER FUNCTION f(int) STABLE", "Ddl"),
        ("DROP FUNCTION f(int)", "may:temp_table Ddl"),
        ("CREATE SCHEMA s CREATE VIEW v AS SELECT 1", "Ddl"),
        ("VACUUM (FULL) t (a)", "plain"),
        ("DO $$BEGIN END$$", "!opaque"),
        ("CALL p()", "!opaque"),
        ("FROBNICATE", "!opaque"),
        (
            "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z",
            "Ddl !opaque",
        ),
    ] {
        // CALL's procedure is opaque whether it is known or not.
        known(sql, expected);
    }
}

#[test]
fn roles() {
    for (sql, expected) in [
        ("CREATE ROLE x", "plain"),
        ("ALTER ROLE x SET search_path = a", "Roles"),
        ("ALTER DATABASE d RESET ALL", "Roles"),
        ("REVOKE a FROM b", "Roles"),
        ("GRANT a TO b WITH ADMIN OPTION", "Roles"),
        ("DROP OWNED BY x", "Roles may:temp_table Ddl"),
        ("GRANT SELECT (a), INSERT ON t TO x", "plain"),
    ] {
        known(sql, expected);
    }
}

#[test]
fn what_looks_like_a_call_but_is_none() {
    for sql in [
        "INSERT INTO s.t (a, b) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET (a, b) = (1, 2) RETURNING (a)",
        "INSERT INTO t AS x (a) SELECT 1",
        "WITH RECURSIVE a (x) AS (SELECT 1), b(y, z) AS NOT MATERIALIZED (VALUES (1, 2)) SELECT * FROM a JOIN b USING (x)",
        "SELECT * FROM (VALUES (1, 2)) AS v(a, b), unnest(ARRAY[1]) u(x), generate_series(1, 2) WITH ORDINALITY AS g(n, o)",
        "SELECT count(*) FILTER (WHERE a IN (1, 2)) OVER (PARTITION BY b), sum(a) OVER w FROM t WINDOW w AS (ORDER BY a)",
        "SELECT a::numeric(10, 2), b::my.type(3), CAST(c AS geometry(Point, 4326)), d::character varying(3), left('a', 1)",
        "SELECT EXISTS (SELECT 1), a = ANY ($1), b > ALL (SELECT 1), ROW(1, 2), ARRAY(SELECT 1), COALESCE(a, b), GREATEST(1, 2), NULLIF(a, b)",
        "SELECT EXTRACT(year FROM now()), POSITION('a' IN b), SUBSTRING(a FROM 1), TRIM(BOTH FROM a), XMLELEMENT(NAME x), JSON_OBJECT('a': 1)",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ROLLUP (a, b), CUBE (a)) HAVING (a > 1)",
        "SELECT * FROM jsonb_to_recordset($1) AS (a int, b text)",
        "SELECT * FROM ONLY (t) TABLESAMPLE bernoulli (10) REPEATABLE (1) WHERE NOT (a) AND (b) OR (c)",
        "UPDATE t SET (a, b) = (SELECT 1, 2) WHERE a BETWEEN (1) AND (2) AND b LIKE ('x')",
        "COPY t (a, b) FROM STDIN",
        "COPY (SELECT upper(a) FROM t) TO STDOUT WITH (FORMAT csv)",
        "SELECT CASE WHEN (a) THEN (b) ELSE (c) END, interval(3) '1s', timestamp(3) '2020-01-01'",
        "MERGE INTO t USING s ON (a = b) WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
        "SELECT f_ok(a), public.f_ok(b), \"f_ok\"(c) FROM t OPERATOR(pg_catalog.+) (1)",
        "SELECT 'f_bad()' AS \"f_bad()\", $$ f_bad() $$ -- f_bad()\n /* f_bad() */",
        "LOCK TABLE t",
        "TRUNCATE a, b",
        "SELECT * FROM t FOR UPDATE OF t",
    ] {
        known(sql, "plain");
    }
}

#[test]
fn calls_are_found() {
    for sql in [
        "SELECT f_bad()",
        "SELECT public . F_Bad /* */ ()",
        "SELECT \"f Bad\"()",
        "SELECT nowhere()",
        "SELECT \"f_ok2\"(1)",
        "SELECT DISTINCT ON (a) nowhere(b) FROM t",
        "SELECT 1 OPERATOR(pg_catalog.+) nowhere()",
        "UPDATE t SET a = nowhere()",
        "SELECT * FROM nowhere() AS x(a)",
        "SELECT * FROM a, nowhere() x",
        "WITH a AS (SELECT 1), b AS (SELECT 2) SELECT 1, nowhere()",
        "WITH a AS (SELECT 1) (SELECT 2) ORDER BY 1, nowhere()",
        "SELECT a AS with, nowhere()",
        "SELECT a WITH, nowhere()",
        "DELETE FROM t USING nowhere() x",
        "INSERT INTO t VALUES (nowhere())",
        "SELECT (1) f_bad()",
        "SELECT query_to_xml('select set_config(...)', true, true, '')",
        "SELECT upper(f_bad(1))",
        "SELECT é()",
        "SELECT EXISTS (SELECT nowhere())",
        "SELECT 1else_(2)",
    ] {
        known(sql, "!function");
    }
}

#[test]
fn reach_of_triggers_and_everything() {
    let trigger = catalog().reaching("trigger");
    let with = |sql: &str, catalog: &Snapshot| say(&analyze(sql.as_bytes(), true, Some(catalog)));
    for sql in [
        "INSERT INTO t VALUES (1)",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "WITH x AS (SELECT 1) UPDATE t SET a = 1",
        "COPY t FROM STDIN",
        "TRUNCATE t",
        "MERGE INTO t USING s ON true WHEN MATCHED THEN DO NOTHING",
    ] {
        assert_eq!(with(sql, &trigger), "!trigger", "{sql}");
    }
    for sql in [
        "SELECT * FROM t FOR NO KEY UPDATE",
        "COPY t TO STDOUT",
        "GRANT INSERT ON t TO x",
        "BEGIN",
    ] {
        assert!(!with(sql, &trigger).contains('!'), "{sql}");
    }
    let everywhere = catalog().reaching("everywhere");
    assert_eq!(with("SELECT 1", &everywhere), "!function");
    assert_eq!(with("SET a = 1", &everywhere), "a<SET a = 1>");
    assert_eq!(with("COMMIT", &everywhere), "Commit { chain: false }");
    let event = catalog().reaching("event");
    assert_eq!(with("CREATE TABLE t (a int)", &event), "!trigger");
    assert_eq!(with("SELECT 1 INTO t", &event), "!trigger");
    assert_eq!(with("INSERT INTO t VALUES (1)", &event), "plain");
}

#[test]
fn without_a_catalog() {
    for sql in [
        "SELECT 1",
        "SELECT 'a' AS x, NULL, $1",
        "VALUES (1), (2)",
        "",
        " ; ;",
        "SELECT",
        "SELECT current_user",
    ] {
        unknown(sql, "plain");
    }
    for sql in [
        "SELECT now()",
        "SELECT * FROM t",
        "TABLE t",
        "SELECT 1 + 1",
        "SELECT 'x'::dvol",
        "SELECT dvol 'x'",
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "COPY t TO STDOUT",
        "CREATE TABLE t (a int)",
        "TRUNCATE t",
    ] {
        unknown(sql, "!catalog_unknown");
    }
}

#[test]
fn statements_are_told_apart() {
    known(
        ";SELECT 1;;SET a=1; -- x\n;INSERT INTO t VALUES (';');",
        "; a<SET a=1>; ",
    );
    known("SELECT 'a;\nSET b=1'", "plain");
    known("SELECT 1; SELECT 'unterminated", "; !opaque");
    known("/* SET a=1 */ SELECT 1;", "plain");
    assert_eq!(
        say(&analyze(
            br"SELECT '\'; SET a=1; --'",
            true,
            Some(&catalog())
        )),
        "; a<SET a=1>"
    );
    assert_eq!(
        say(&analyze(
            br"SELECT '\'; SET a=1; --'",
            false,
            Some(&catalog())
        )),
        "plain"
    );
}

#[test]
fn large_texts() {
    let catalog = catalog();
    for part in [
        "(",
        "SELECT set_config(",
        "a;",
        "SET a=1;",
        "WITH a AS (",
        "EXPLAIN ",
        "f_ok(",
        "x.",
        "SELECT set_config('a','b',",
    ] {
        let sql = part.repeat(200_000);
        let analysis = analyze(sql.as_bytes(), true, Some(&catalog));
        if let Analysis::Listed(list) = analysis {
            assert!(list.len() <= 4096);
        }
    }
    let many = "SELECT 1;".repeat(5000);
    let Analysis::Listed(list) = analyze(many.as_bytes(), true, None) else {
        panic!("not listed")
    };
    assert_eq!(list.last().unwrap().hidden, Some(Hidden::Opaque));
}

#[test]
fn any_bytes_end() {
    let catalog = catalog();
    let words: [&[u8]; 24] = [
        b"SET ",
        b"SELECT ",
        b"set_config",
        b"(",
        b")",
        b",",
        b";",
        b"'a'",
        b"CREATE ",
        b"TEMP ",
        b"TABLE ",
        b"WITH ",
        b"AS ",
        b"x ",
        b".",
        b"EXPLAIN ",
        b"=",
        b"\xff",
        b"\"",
        b"LOCAL ",
        b"SESSION ",
        b"BEGIN ",
        b"TO ",
        b"FUNCTION ",
    ];
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut sql = Vec::new();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            sql.extend_from_slice(words[(state >> 33) as usize % words.len()]);
        }
        for known in [Some(&catalog), None] {
            drop(analyze(&sql, state & (1 << 40) == 0, known));
        }
    }
}
