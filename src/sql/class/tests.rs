//! Texts and what they mean, hostile texts, and random ones.

#![expect(
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "the lexer's places are in the text"
)]

use std::time::{Duration, SystemTime};

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use proptest::sample::select;

use super::{Class, Kind, QName, Verb, classify};
use crate::reason::Reason;
use crate::sql::lexer::{Kind as Token, Lexer};
use crate::sql::shape::Shaper;

fn class(text: &str) -> Class {
    classify(text.as_bytes(), true)
}

fn name(name: &QName) -> String {
    match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    }
}

fn names(list: &[QName]) -> String {
    list.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn calls(class: &Class) -> String {
    let call = |call: &super::Call| match call.arguments {
        Some(count) => format!("{}/{count}", name(&call.name)),
        None => name(&call.name),
    };
    class
        .uses
        .functions
        .iter()
        .map(call)
        .collect::<Vec<_>>()
        .join(" ")
}

fn writes(class: &Class) -> String {
    let write = |write: &super::Write| {
        let verb = match write.verb {
            Verb::Insert => "+",
            Verb::Update => "~",
            Verb::Delete => "-",
            Verb::Truncate { cascade: false } => "0",
            Verb::Truncate { cascade: true } => "00",
        };
        let only = if write.only { "!" } else { "" };
        format!("{verb}{only}{}", name(&write.relation))
    };
    class.writes.iter().map(write).collect::<Vec<_>>().join(" ")
}

/// The text only reads these relations and calls these functions.
#[track_caller]
fn reads(text: &str, relations: &str, functions: &str) {
    let class = class(text);
    assert_eq!(class.kind, Kind::Read, "{text}");
    assert_eq!(names(&class.uses.relations), relations, "{text}");
    assert_eq!(calls(&class), functions, "{text}");
    assert!(class.writes.is_empty());
}

#[track_caller]
fn writes_to(text: &str, relations: &str, written: &str) {
    let class = class(text);
    assert_eq!(class.kind, Kind::Write, "{text}");
    assert_eq!(names(&class.uses.relations), relations, "{text}");
    assert_eq!(writes(&class), written, "{text}");
}

#[track_caller]
fn is(text: &str, kind: Kind) {
    assert_eq!(class(text).kind, kind, "{text}");
}

fn no(reason: Reason) -> Kind {
    Kind::NoCache(reason)
}

/// Every line of the corpus of hazards. Where the catalog decides, the name must be listed.
#[test]
fn the_corpus_is_classified_as_it_should_be() {
    reads("select id, v from t where id = 1;", "t", "");
    reads(
        "with a as (select id from t) select a.id, count(*) over () from a \
         left join kv on kv.k = a.id union all select 1, 2 order by 1;",
        "kv t",
        "count/0",
    );
    reads("values (1,'a'),(2,'b');", "", "");
    reads(
        "select json_agg(t order by id), concat(v,'x'), format('%s',id), \
         to_char(12.3,'99.9') from t group by v, id;",
        "t",
        "concat/2 format/2 json_agg/1 to_char/2",
    );
    reads(
        "/* now() random() */ select id from t -- nextval('x')\n;",
        "t",
        "",
    );
    reads("select 'now()' as now, id as random from t;", "t", "");
    reads(
        "select g from generate_series(1,3) g;",
        "",
        "generate_series/2",
    );
}

#[test]
fn the_corpus_that_the_catalog_must_judge() {
    for (text, functions) in [
        ("select now();", "now/0"),
        ("select age(timestamp '2020-01-01');", "age/1"),
        (
            "select random(), gen_random_uuid();",
            "gen_random_uuid/0 random/0",
        ),
        (
            "select pg_backend_pid(), inet_client_addr(), pg_current_xact_id_if_assigned();",
            "inet_client_addr/0 pg_backend_pid/0 pg_current_xact_id_if_assigned/0",
        ),
        ("select f_reads(1);", "f_reads/1"),
        ("select f_lies(1);", "f_lies/1"),
        (
            "select pg_try_advisory_xact_lock(1);",
            "pg_try_advisory_xact_lock/1",
        ),
        ("select pg_notify('x','y');", "pg_notify/2"),
        ("select nextval('audit_n_seq');", "nextval/1"),
        ("select f_writes('x');", "f_writes/1"),
        ("select set_config('app.tenant','x',false);", "set_config/3"),
        (
            "select 't'::regclass::oid, pg_relation_size('t'), \
             has_table_privilege('t','select'), obj_description(1);",
            "has_table_privilege/2 obj_description/1 pg_relation_size/1",
        ),
    ] {
        reads(text, "", functions);
    }
    for (text, relation) in [
        ("select count(*) from pg_class;", "pg_class"),
        (
            "select count(*) from information_schema.tables;",
            "information_schema.tables",
        ),
    ] {
        reads(text, relation, "count/0");
    }
    reads("select age(ts) from tz;", "tz", "age/1");
    for relation in ["part", "inh_p", "ul"] {
        reads(&format!("select * from {relation};"), relation, "");
    }
    reads("select last_value from audit_n_seq;", "audit_n_seq", "");
    let regclass = class("select 't'::regclass;");
    assert_eq!(names(&regclass.uses.types), "regclass");
    let user_operator = class("select 'a' === 'b'::text;");
    assert_eq!(names(&user_operator.uses.operators), "===");
    let user_cast = class("select row(1,2,3)::rgb::text;");
    assert_eq!(names(&user_cast.uses.types), "rgb text");
    // A literal that means a moment is the shape's to see.
    assert!(
        Shaper::default()
            .read(b"select ' Tomorrow '::date;", true)
            .moment
    );
    is(
        "select current_user, session_user, user, current_role;",
        no(Reason::Session),
    );
}

#[test]
fn the_corpus_that_writes_or_is_no_query() {
    for text in [
        "declare cc cursor for select * from t;",
        "declare hh cursor with hold for select 1;",
        "explain select * from t;",
        "copy t to stdout;",
        "set timezone = 'UTC';",
        "listen x;",
        "prepare zz4 as select 1;",
        "discard plans;",
        "begin",
        "commit",
        "rollback to savepoint a",
        "prepare transaction 'x'",
        "lock table t",
        "fetch 10 from c",
        "show all",
        "",
        " ; ; -- nothing\n",
    ] {
        is(text, no(Reason::NotAQuery));
    }
    for text in [
        "select 1 as a into zz1;",
        "create table zz2 as select 1;",
        "alter table plan_t add b1 int;",
        "refresh materialized view mv_t;",
        "grant select on kv to hz_b;",
        "create policy pq on docs using (true);",
        "vacuum full t",
        "select * into temp x from (select 1) y",
        "with a as (select 1) select * into b from a",
    ] {
        is(text, Kind::Definition);
    }
    is("select * from t for update;", no(Reason::Locks));
    writes_to(
        "with x as (insert into audit(what) values ('q') returning n) select 1;",
        "audit",
        "+audit",
    );
    writes_to(
        "with x as (delete from kv where k = 8 returning k) \
         insert into audit(what) select k::text from x;",
        "audit kv",
        "+audit -kv",
    );
    writes_to("update only kv set v = v where k = 1;", "kv", "~!kv");
    writes_to(
        "delete from child using parent where parent.id = child.pid and false;",
        "child parent",
        "-child",
    );
    writes_to(
        "explain analyze update kv set v = v where k = 1;",
        "kv",
        "~kv",
    );
    for text in [
        "do $$begin execute 'update kv set v=v where k=1'; end$$;",
        "call p(1)",
        "execute q(1)",
        "explain analyze execute q",
        "commit prepared 'x'",
        "rollback prepared 'x'",
    ] {
        is(text, Kind::Everything(Reason::Opaque));
    }
}

#[test]
fn words_that_read_the_clock_or_the_session() {
    for word in [
        "current_date",
        "current_time",
        "CURRENT_TIMESTAMP",
        "current_timestamp(3)",
        "localtime",
        "localtimestamp(0)",
    ] {
        is(
            &format!("select a from t where b < {word} - 1"),
            no(Reason::Volatile),
        );
    }
    for word in [
        "current_user",
        "user",
        "session_user",
        "current_role",
        "current_schema",
        "current_schema()",
    ] {
        is(&format!("select {word}"), no(Reason::Session));
    }
    reads("select current_catalog", "", "");
    reads(
        "select u.user, x as current_date, \"user\" from \"user\" u",
        "user",
        "",
    );
    is(
        "select * from (select * from t tablesample system (10)) x",
        no(Reason::Volatile),
    );
    let sampled = class("select * from t tablesample bernoulli (f(x)) repeatable (g())");
    assert_eq!(calls(&sampled), "f/1 g/0");
    for lock in [
        "for update",
        "for no key update of t nowait",
        "for share skip locked",
        "for key share of t, u",
    ] {
        is(&format!("select * from t, u {lock}"), no(Reason::Locks));
        is(
            &format!("select * from (select * from t, u {lock}) x limit 1"),
            no(Reason::Locks),
        );
    }
}

#[test]
fn names_of_ctes_stay_in_their_scope() {
    reads("with a as (select 1) select * from a, s.a, b", "b s.a", "");
    // Without RECURSIVE a CTE does not see itself or the later ones.
    reads("with a as (select * from a) select * from a", "a", "");
    reads(
        "with a as (select * from b), b as (select 1) select * from a, b",
        "b",
        "",
    );
    reads(
        "with recursive a as (select * from b), b as (select * from a) select * from a, b",
        "",
        "",
    );
    reads(
        "select * from (with a as (select 1) select * from a) x, a",
        "a",
        "",
    );
    reads("with \"A\" as (select 1) select * from a", "a", "");
    reads(
        "with a as (select 1) (with b as (table a) table b) union table b",
        "b",
        "",
    );
    writes_to("with a as (select 1) update a set x = 1", "a", "~a");
}

#[test]
fn only_and_table_and_rows_from() {
    reads(
        "select * from only t, only (s.u) x join only \"v\" on true",
        "t v s.u",
        "",
    );
    reads("select 1 union table t except all (table s.u)", "t s.u", "");
    reads("table only s.t", "s.t", "");
    reads("with x as (table y) table x", "y", "");
    reads(
        "select * from rows from (f(1), unnest(x)) with ordinality as q(a, b, c), t",
        "t",
        "f/1 unnest/1",
    );
    writes_to("delete from only (s.t) where true", "s.t", "-!s.t");
    writes_to("insert into t table u", "t u", "+t");
    writes_to(
        "truncate table only a, b.c restart identity cascade",
        "a b.c",
        "00!a 00b.c",
    );
    writes_to("truncate a", "a", "0a");
}

#[test]
fn functions_in_from_are_no_relations() {
    reads(
        "select * from t1, lateral f(t1.x) as y(a, b), s.g() z, unnest(arr, b) with ordinality u, \
         json_to_recordset(j) as w(a int, b text), h() as (c int4)",
        "t1",
        "f/1 h/0 json_to_recordset/1 unnest/2 s.g/0",
    );
    // Text in the JSON may say 'today'.
    is(
        "select * from json_to_recordset(j) as w(a date)",
        no(Reason::Volatile),
    );
}

#[test]
fn calls_with_a_syntax_of_their_own() {
    reads(
        "select extract(epoch from a), position('a' in b), substring(a from 1 for 2), \
         substring(a similar b escape c), overlay(a placing b from 1), trim(both ' ' from a), \
         trim(leading from a), trim(trailing 'x' from a), ceil(x), a at time zone 'utc', \
         a at local, a is nfc normalized, (a, b) overlaps (c, d), collation for (a), \
         a like b escape c from t",
        "t",
        "btrim ceil/1 date_part/2 extract is_normalized like_escape/2 ltrim overlaps/4 overlay \
         pg_collation_for/1 position rtrim similar_to_escape/2 substring timezone/1 timezone/2",
    );
    reads(
        "select f(variadic array[1]), g(variadic a), mode() within group (order by x), \
         sum(x) filter (where y) over (partition by z order by w rows between unbounded preceding \
         and 1 following exclude no others), count(distinct a), h(a => 1, b := 2) from t",
        "t",
        "count/1 f g h/2 mode sum/1",
    );
    reads(
        "select coalesce(a, f(b)), nullif(a, b), greatest(a), least(b), row(a, b), array[a], \
         array(select g()), cast(a as text), exists(select from h()) from t",
        "t",
        "f/1 g/0 h/0",
    );
}

#[test]
fn operators_and_types_are_listed() {
    let class = class(
        "select a is distinct from b, a between b and c, a in (1, 2), a not ilike b, \
         a similar to b, a operator(s.+) b, - a, a -> 'x' ->> 'y', a != b, a = any(b), \
         case a when b then c end from t order by a using >",
    );
    assert_eq!(class.kind, Kind::Read);
    assert_eq!(
        names(&class.uses.operators),
        "!~ !~~* - -> ->> < <= <> = > >= ~ ~~* s.+"
    );
    let types = classify(
        b"select a::int, b::timestamp(3) with time zone, cast(c as double precision), \
          date '2020-01-01', interval '1' year to month, \"char\" 'x', d::s.e[], f::varchar(3)[], \
          g::\"E\", time with time zone '10:00', bit varying(3) '1', $1::uuid[]",
        true,
    );
    assert_eq!(types.kind, Kind::Read);
    assert_eq!(
        names(&types.uses.types),
        "E char date float8 int4 interval timestamptz timetz uuid varbit varchar s.e"
    );
}

#[test]
fn casts_to_a_moment_name_their_columns() {
    let casts = |text: &str| {
        let class = class(text);
        (class.kind, class.uses.datetime_casts.join(" "))
    };
    let read = |columns: &str| (Kind::Read, columns.to_owned());
    let moving = |columns: &str| (no(Reason::Volatile), columns.to_owned());
    assert_eq!(
        casts("select a::text, b::date, t.c::timestamptz from t"),
        read("b c")
    );
    assert_eq!(
        casts("select coalesce(a, b)::date, date_trunc('day', c)::date from t"),
        read("a b c")
    );
    assert_eq!(
        casts("select date(a), timestamptz(b), pg_catalog.date(c) from t"),
        read("a b c")
    );
    assert_eq!(casts("select (select max(d) from x)::date"), read("d"));
    // A cast in another dress.
    assert_eq!(casts("select (a).date, (b).city from t"), read("a"));
    // A domain may be a date.
    assert_eq!(casts("select a::mood from t"), read("a"));
    // Text made up from constants, and results whose names lie.
    assert_eq!(casts("select ('to' || 'day')::date"), moving(""));
    assert_eq!(casts("select concat('to', 'day')::date"), moving(""));
    assert_eq!(
        casts("select d::date from (select note as d from t) s"),
        moving("d")
    );
    assert_eq!(
        casts("with s(d) as (select note from t) select d::date from s"),
        moving("d")
    );
    assert_eq!(
        casts("select value::date from t, json_each_text(j)"),
        moving("value")
    );
}

#[test]
fn what_orms_write_is_understood() {
    reads(
        r#"SELECT COUNT(*) FROM (SELECT DISTINCT ON ("a"."id") "a"."id" AS "col1" FROM "a" INNER JOIN "b" ON ("a"."id" = "b"."a_id") WHERE UPPER("a"."name"::text) LIKE UPPER('%x%')) subquery"#,
        "a b",
        "count/0 upper/1",
    );
    reads(
        "SELECT users.id AS users_id, anon_1.count_1 FROM users LEFT OUTER JOIN (SELECT addresses.user_id AS user_id, count(*) AS count_1 FROM addresses GROUP BY addresses.user_id) AS anon_1 ON users.id = anon_1.user_id WHERE users.name IN ($1::VARCHAR, $2::VARCHAR) ORDER BY users.id LIMIT $3::INTEGER OFFSET $4",
        "addresses users",
        "count/0",
    );
    reads(
        r#"select "users"."id", "users_posts"."data" as "posts" from "users" left join lateral (select coalesce(json_agg(json_build_array("users_posts"."id")), '[]'::json) as "data" from (select * from "posts" "users_posts" where "users_posts"."author_id" = "users"."id" limit $1) "users_posts") "users_posts" on true where "users"."id" = $2 limit $3"#,
        "posts users",
        "json_agg/1 json_build_array/1",
    );
    reads(
        r#"SELECT "public"."User"."id", "public"."User"."role"::text FROM "public"."User" WHERE ("public"."User"."id" IN ($1,$2,$3) AND 1=1) OFFSET $4"#,
        "public.User",
        "",
    );
    reads(
        r#"SELECT "posts".* FROM "posts" WHERE "posts"."user_id" = $1 ORDER BY "posts"."created_at" DESC NULLS LAST LIMIT $2"#,
        "posts",
        "",
    );
    reads(
        "SELECT * FROM orders WHERE id = ANY($1) AND status <> ALL($2::text[])",
        "orders",
        "",
    );
    reads(
        r#"SELECT "p"."C1" FROM "dbo"."T" AS "p" ORDER BY "p"."x" ASC NULLS FIRST OFFSET 10 ROWS FETCH NEXT 20 ROWS ONLY"#,
        "dbo.T",
        "",
    );
    reads(
        r"select u.id from users u where u.name like $1 escape '\' offset $2 rows fetch first $3 rows with ties",
        "users",
        "like_escape/2 similar_to_escape/2",
    );
    reads(
        "select a, b c, d name, e type, key, first, last, value, data, text, year, rows, range, set, of, \
         no, action, current, left(a, 1), replace(a, b, c), time from t where key + 1 > first - 2",
        "t",
        "left/2 replace/3",
    );
}

#[test]
fn what_orms_write_to_is_understood() {
    writes_to(
        r#"INSERT INTO "public"."User" ("email","name") VALUES ($1,$2) RETURNING "public"."User"."id""#,
        "public.User",
        "+public.User",
    );
    writes_to(
        "INSERT INTO users (name) SELECT p0::VARCHAR FROM (VALUES ($1, 0), ($2, 1)) AS imp_sen(p0, n) ORDER BY n RETURNING users.id, users.id AS id__1",
        "users",
        "+users",
    );
    writes_to(
        r#"INSERT INTO "w" ("k","v") VALUES ('a', 1), ('b', 2) ON CONFLICT ("k") DO UPDATE SET "at"=(CASE WHEN ("w"."v" IS NOT DISTINCT FROM excluded."v") THEN "w".at ELSE CURRENT_TIMESTAMP END),"v"=excluded."v" RETURNING "id""#,
        "w",
        "+w ~w",
    );
    writes_to(
        "insert into t as x (a) overriding system value select 1 on conflict (lower(a)) where d is null do nothing returning (xmax = 0)",
        "t",
        "+t",
    );
    writes_to(
        "update t set (a, b) = (select x, y from u), c = default, e[1] = 5, f.g = 3 from v join w on true where v.id = t.id returning *",
        "t u v w",
        "~t",
    );
    writes_to("update t as x set a = 1 where current of cur", "t", "~t");
}

#[test]
fn merges_write_what_their_clauses_say() {
    writes_to(
        "merge into t using s on t.id = s.id when matched and s.del then delete \
         when matched then update set v = s.v when not matched then insert (id, v) values (s.id, s.v)",
        "s t",
        "+t ~t -t",
    );
    writes_to(
        "merge into only t using (select * from s) x on true when not matched then do nothing \
         when matched then update set v = 1",
        "s t",
        "~!t",
    );
    writes_to(
        "with m as (merge into t using s on true when matched then delete returning *) select * from m",
        "s t",
        "-t",
    );
}

#[test]
fn statements_in_one_text_are_taken_together() {
    is("select 1; select 2", no(Reason::MultipleStatements));
    is("select f(); commit", no(Reason::MultipleStatements));
    writes_to(
        "begin; update t set a = 1; insert into u values (1); commit",
        "t u",
        "~t +u",
    );
    is("update t set a = 1; create table x ()", Kind::Definition);
    is(
        "update t set a = 1; do 'x'",
        Kind::Everything(Reason::Opaque),
    );
    let both = class("select f() from a; select g() from b");
    assert_eq!(
        (names(&both.uses.relations), calls(&both)),
        ("a b".to_owned(), "f/0 g/0".to_owned())
    );
    // The lexer's settings move the end of a literal (H16).
    let text = br"select 'a\'; delete from t; --'";
    assert_eq!(classify(text, true).kind, Kind::Write);
    assert_eq!(classify(text, false).kind, Kind::Read);
}

#[test]
fn copies_cursors_and_plans_count_what_they_run() {
    writes_to("copy t (a, b) from stdin with (format csv)", "t", "+t");
    writes_to("copy (delete from t returning *) to stdout", "t", "-t");
    let cursor = class("declare c no scroll cursor for select f(x) from t for update");
    assert_eq!(
        (cursor.kind, calls(&cursor)),
        (no(Reason::NotAQuery), "f/1".to_owned())
    );
    let plan = class("explain (format json) delete from t where f()");
    assert_eq!(
        (plan.kind, calls(&plan)),
        (no(Reason::NotAQuery), "f/0".to_owned())
    );
    assert!(plan.writes.is_empty());
    writes_to("explain (analyze, verbose) delete from t", "t", "-t");
    is("explain analyze select * from t", no(Reason::NotAQuery));
    is(
        "explain analyze create table x as select 1",
        Kind::Definition,
    );
    is("explain (select 1)", no(Reason::NotAQuery));
}

#[test]
fn what_is_not_understood_writes_everything() {
    for text in [
        "selec 1",
        "select 'a' 'b'",
        "select 1 select 2",
        "select * from",
        "select (1",
        "select 'x",
        "select u&\"x\"",
        "select * from t for nothing",
        "select xmlelement(name a)",
        "insert into t set a = 1",
        "replace into t values (1)",
        "select a from t qualify x",
        "from t",
        "select top 5 a from t",
        "select * from t pivot (a for b in (c))",
        "update a, b set x = 1",
        "delete a from b",
        "delete from a, b",
    ] {
        let kind = class(text).kind;
        assert!(matches!(kind, Kind::Everything(_)), "{text}: {kind:?}");
    }
    assert_eq!(
        classify(b"select '\xff'", true).kind,
        Kind::Everything(Reason::ParseError)
    );
    // In an encoding of one byte for each letter the server folds them too.
    is("select * from Ärger", Kind::Everything(Reason::ParseError));
    reads("select * from \"Ärger\", ärger", "Ärger ärger", "");
    let long = "x".repeat(80);
    reads(&format!("select * from {long}"), &long[..63], "");
}

/// Words that look like keywords may be labels of results, and columns may have their names. Such
/// a text may be refused, but nothing it names may be lost.
#[test]
fn labels_that_look_like_keywords_hide_nothing() {
    for text in [
        "select v and from t",
        "select v collate from t",
        "select 'a' uescape from t",
        "select v similar from t",
        "select v escape from t",
        "select v overlaps from t",
        "select v like from t",
        "select v in from t",
        "select v between from t",
        "select v tablesample from t",
        "select v only from t",
        "select v table from t",
        "select v using from t",
        "select v default from t",
        "select v select from t",
        "select v not from t",
        "select v is from t",
        "select v exclude from t exclude group by v",
        "select rows from (select * from t) u",
        "select conflict from s join t on conflict where f() union select 1 do from u",
    ] {
        let class = class(text);
        let held = names(&class.uses.relations)
            .split(' ')
            .any(|name| name == "t");
        let refused = matches!(class.kind, Kind::Everything(_));
        assert!(held || refused, "{text}: {class:?}");
    }
    let class = class("with q as (select 1 only) delete from t");
    assert!(class.writes.iter().all(|write| !write.only), "{class:?}");
    // What we write in another way must not be taken for a CTE.
    let trimmed = classify(b"with trim (a) as (select 1) select * from btrim", true);
    assert!(matches!(trimmed.kind, Kind::Everything(_)), "{trimmed:?}");
}

/// Runs it on a small stack and not for long, as a worker would.
fn on_a_workers_stack(text: String) -> Class {
    let worker = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let started = SystemTime::now();
    let class = worker
        .spawn(move || classify(text.as_bytes(), true))
        .unwrap()
        .join()
        .unwrap();
    let took = started.elapsed().unwrap();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    class
}

#[test]
fn hostile_texts_take_bounded_time_and_stack() {
    for text in [
        format!("select 1{}", "+1".repeat(33_000)),
        format!("select 1{}", "+1".repeat(1_900)),
        format!("select a{}", " and b".repeat(1_990)),
        format!("select a{}", "::int".repeat(1_300)),
        format!("select a{}", " is null".repeat(1_300)),
        format!("select a{}", " collate c".repeat(1_300)),
        format!("select 1{}", " union select 1".repeat(595)),
        format!("select 1{}", " union select 1".repeat(1_300)),
        format!("select {}", "not ".repeat(3_900)),
        format!("select {}1", "-".repeat(3_900)),
        format!("select {}1{}", "position(".repeat(45), " in 1)".repeat(45)),
        format!("select {}1{}", "(".repeat(50), ")".repeat(50)),
        format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!(
            "select {}1{}",
            "case when ".repeat(900),
            " then 1 end".repeat(900)
        ),
        format!("select * from {}t{}", "(".repeat(49), ")".repeat(49)),
        format!(
            "select * from {}t{}",
            "(select * from ".repeat(49),
            ") x".repeat(49)
        ),
        format!(
            "select * from {}t{}",
            "(t join ".repeat(49),
            " on true)".repeat(49)
        ),
        format!("select {}1{}", "f(".repeat(49), ")".repeat(49)),
        format!("select {}1{}", "array[".repeat(49), "]".repeat(49)),
        format!("select {}1{}", "exists(select ".repeat(49), ")".repeat(49)),
        format!("select {}1{}", "cast(".repeat(49), " as int)".repeat(49)),
        format!(
            "{}select 1{}",
            "with a as (".repeat(49),
            ") select 1".repeat(49)
        ),
        format!("select * from t{}", " join t on true".repeat(990)),
        format!("{}select 1", "explain ".repeat(5_000)),
        format!("{}select 1", "declare c cursor for ".repeat(900)),
        ";select 1".repeat(1_900),
        "(".repeat(100_000),
        "'".repeat(100_001),
        "/*".repeat(100_000),
    ] {
        on_a_workers_stack(text);
    }
    let chain = on_a_workers_stack(format!("select a{}", " or b = 1".repeat(900)));
    assert_eq!(chain.kind, Kind::Read);
    is(
        &"x".repeat(300_000),
        Kind::Everything(Reason::OversizedQuery),
    );
}

#[test]
fn lists_of_values_may_be_long() {
    let rows = ", ($1, 'x', default)".repeat(5_000);
    writes_to(
        &format!("insert into t values (1, 'x', null){rows} returning id"),
        "t",
        "+t",
    );
    let ids = ", 12345".repeat(15_000);
    reads(
        &format!("select * from t where id in (1{ids}) and b = any(array[1{ids}])"),
        "t",
        "",
    );
    // Rows that name something are not passed over.
    let class = class("insert into t values (1), (2), (f(x)), (3), (g()), (4), (5)");
    assert_eq!(calls(&class), "f/1 g/0");
    reads(
        "select * from t where id in (1, 2, h(3), 4) or a in (5, x.y)",
        "t",
        "h/1",
    );
    reads("select f(1, 2), f((1, 2), (3, 4))", "", "f/2");
}

const SEEDS: &[&str] = &[
    "select id, v from t where id = 1 and name like 'x%' order by v desc limit 5",
    "with a as (delete from t returning id) select * from a join b using (id) for update of b",
    "insert into t (a, b) values (1, 'x'), ($1, default) on conflict (a) do update set b = 'y' returning *",
    "update only s.t x set a = (select max(b) from u), c = array[1, 2] from v where x.id = v.id",
    "merge into t using s on t.id = s.id when matched then delete when not matched then insert values (1)",
    "select extract(year from d), cast(e as date), trim(both from f), g(variadic h) from rows from (i(1)) as j",
    "select 1 union all table t; truncate only a, b cascade; copy t (a) from stdin",
    "select \"a\"\"b\", e'\\n', $$x$$, u&'a', b'1', x.y[1:2], (z).w, - 3 operator(s.+) 4 from \"Q\".r tablesample system (1)",
];

/// A token of the seeds, or something that does not belong there.
fn token() -> impl Strategy<Value = String> {
    let mut tokens: Vec<String> = Vec::new();
    for seed in SEEDS {
        for token in Lexer::new(seed.as_bytes(), true) {
            tokens.push(seed[token.start..token.end].to_owned());
        }
    }
    tokens.extend(
        [
            "'", "\"", "/*", "--", "\u{e9}", "$q$", "(", ")", "only", "as", ".",
        ]
        .map(str::to_owned),
    );
    select(tokens)
}

/// A seed with some of its tokens dropped, doubled, swapped or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, token()), 0..6);
    (select(SEEDS), changes, any::<bool>()).prop_map(|(seed, changes, close)| {
        let mut tokens: Vec<String> = Lexer::new(seed.as_bytes(), true)
            .map(|token| seed[token.start..token.end].to_owned())
            .collect();
        for (index, change, token) in changes {
            let at = index.index(tokens.len());
            match change {
                0 => drop(tokens.remove(at)),
                1 => tokens.insert(at, token),
                2 => tokens[at] = token,
                _ => {
                    let other = (at * 7 + 3) % tokens.len();
                    tokens.swap(at, other);
                }
            }
            if tokens.is_empty() {
                tokens.push(token_of_last_resort());
            }
        }
        tokens.join(if close { "" } else { " " })
    })
}

fn token_of_last_resort() -> String {
    "select".to_owned()
}

/// Whether a word that changes tables stands where the server must take it for one, or may.
fn may_change(text: &str) -> bool {
    let tokens: Vec<_> = Lexer::new(text.as_bytes(), true).collect();
    tokens.iter().enumerate().any(|(at, token)| {
        let word = text[token.start..token.end].to_ascii_lowercase();
        let before = at.checked_sub(1).map(|at| tokens[at]);
        let label = before.is_some_and(|before| {
            before.kind == Token::Dot || text[before.start..before.end].eq_ignore_ascii_case("as")
        });
        token.kind == Token::Word
            && !label
            && matches!(
                word.as_str(),
                "insert" | "update" | "delete" | "merge" | "truncate" | "copy"
            )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn mutated_statements_never_pass_for_reads(text in mutated(), standard in any::<bool>()) {
        let first = classify(text.as_bytes(), standard);
        assert_eq!(first, classify(text.as_bytes(), standard));
        if standard && first.kind == Kind::Read && may_change(&text) {
            // A column or table of that name: then the tree holds it as a name.
            let uses = &first.uses;
            let plain = uses.relations.iter().any(|r| may_change(&r.name)) || text_names(&text);
            assert!(plain, "{text}");
        }
    }

    #[test]
    fn texts_of_one_shape_mean_the_same(text in mutated(), word in "[a-z']{0,3}", number in 0..999_u32) {
        let text = text.as_str();
        let mut other = String::new();
        for token in Lexer::new(text.as_bytes(), true) {
            other.push_str("\n /**/ ");
            match token.kind {
                Token::Text => other.push_str(&format!("'{}'", word.replace('\'', "''"))),
                Token::Number => other.push_str(&number.to_string()),
                Token::Word => other.push_str(&text[token.start..token.end].to_ascii_uppercase()),
                _ => other.push_str(&text[token.start..token.end]),
            }
        }
        let (mut one, mut two) = (Shaper::default(), Shaper::default());
        let (one, two) = (one.read(text.as_bytes(), true), two.read(other.as_bytes(), true));
        if !one.broken && text.is_ascii() {
            assert_eq!(String::from_utf8_lossy(one.shape), String::from_utf8_lossy(two.shape));
            assert_eq!(classify(text.as_bytes(), true), classify(other.as_bytes(), true));
            assert_eq!(classify(text.as_bytes(), true), classify(one.text, true));
        }
    }

    #[test]
    fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..200)) {
        classify(&text, true);
        Shaper::default().read(&text, false);
    }
}

/// Whether the word is a plain name in the text: `select update from t`.
fn text_names(text: &str) -> bool {
    let tokens: Vec<_> = Lexer::new(text.as_bytes(), true).collect();
    tokens.iter().enumerate().all(|(at, token)| {
        let word = &text[token.start..token.end];
        if token.kind != Token::Word || !may_change(word) {
            return true;
        }
        let before = |n: usize| at.checked_sub(n).and_then(|at| tokens.get(at));
        // A statement starts the text, or the parenthesis of a CTE; in one behind a function's name a
        // column may have that name.
        before(1).is_some_and(|one| match one.kind {
            Token::Semicolon => false,
            Token::Open => before(2).is_some_and(|two| {
                let word = text[two.start..two.end].to_ascii_lowercase();
                word != "as" && word != "materialized"
            }),
            _ => true,
        })
    })
}
