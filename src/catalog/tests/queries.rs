//! Whole queries, from their text to what they mean, in the database of [`super::meaning`].

use super::meaning::{known, shown};
use crate::catalog::{Snapshot, WriteSet};
use crate::sql::class::classify;

/// What an application reads. All of it may be cached.
const READS: &[(&str, &str)] = &[
    ("select id, name from users where id = $1", "users"),
    (
        "SELECT u.name, count(*), sum(o.total), avg(o.total), min(o.at), max(o.at) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.name HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 10",
        "orders users",
    ),
    (
        "select json_agg(u order by u.id), array_agg(u.id), string_agg(u.name, ','), bool_or(u.id > 1) from users u",
        "users",
    ),
    (
        "select coalesce(name, 'x'), nullif(name, ''), greatest(id, 1), least(id, 2) from users",
        "users",
    ),
    (
        "select lower(name), upper(name), length(name), trim(name), substring(name from 1 for 2), concat(name, 'x'), format('%s', id), replace(name, 'a', 'b') from users",
        "users",
    ),
    (
        "select to_char(seen, 'YYYY'), date_trunc('day', seen), extract(year from seen), seen at time zone 'UTC', seen::date, date(seen) from users",
        "users",
    ),
    (
        "select row_number() over (partition by user_id order by at), rank() over w, lag(total, 1) over w from orders window w as (order by id)",
        "orders",
    ),
    (
        "select g, unnest(array[1, 2]) from generate_series(1, 3) g",
        "",
    ),
    (
        "select * from users where id = any($1) and name ilike 'a%' and name ~ '^a' and not name like all (array['x'])",
        "users",
    ),
    (
        "select data->>'a', data->'b'->>0, data @> '{}', data ? 'x', data #>> '{a,b}', jsonb_array_length(data) from users",
        "users",
    ),
    (
        "select tags && array['a'], tags || 'b', cardinality(tags), 'x' = any(tags) from users",
        "users",
    ),
    (
        "select ts_rank(search, q) from users, to_tsquery('english', $1) q where search @@ q",
        "users",
    ),
    (
        "select id::text, name::varchar(10), uid::text, $1::int, $2::uuid, $3::jsonb, $4::timestamptz, m::text, 'ok'::mood from users",
        "users",
    ),
    (
        "select * from users where m = 'ok' and email = 'A@b.c' and similarity(name, 'x') > 0.3 and digest(name, 'md5') is not null",
        "users",
    ),
    (
        "with recursive t as (select id, up from tree where up is null union all select c.id, c.up from tree c join t on c.up = t.id) select * from t",
        "tree",
    ),
    (
        "select (select count(*) from items i where i.order_id = o.id), exists (select from notes) from orders o where o.id in (select order_id from items)",
        "items notes orders",
    ),
    (
        "select x.* from users u cross join lateral (select total from orders where user_id = u.id order by at desc limit 1) x",
        "orders users",
    ),
    ("values (1, 'a'), (2, 'b')", ""),
    ("select name::short, m::text::mood from users", "users"),
    ("table users", "users"),
    ("select * from only animals", "animals"),
    (
        "select * from events where at between '2020-01-01' and '2020-12-31'",
        "events",
    ),
    (
        "select count(distinct name) filter (where id > 1), percentile_cont(0.5) within group (order by id) from users",
        "users",
    ),
    (
        "select case m when 'ok' then 1 else 2 end, id is distinct from 1, (id, name) = (1, 'a') from users",
        "users",
    ),
    ("select p.first, p.last from people p", "people"),
    (
        "select * from jsonb_to_recordset($1) as x(id int, name text)",
        "",
    ),
    (
        "select seen + interval '1 day', age(seen, born), born + 1, seen > born from users",
        "users",
    ),
    ("select attrs->'a', attrs ? 'b' from users", "users"),
];

/// What may not be cached, with a word of the reason; `!`: and counts as a write of everything.
const REFUSED: &[(&str, &str)] = &[
    ("select now()", "volatile"),
    ("select current_date", "volatile"),
    ("select current_user", "session"),
    ("select age(seen) from users", "volatile"),
    ("select (seen).age from users", "volatile"),
    ("select * from v_clock", "volatile"),
    ("select name === 'x' from users", "!userfunction"),
    ("select p.full_name from people p", "!userfunction"),
    ("select full_name(p) from people p", "!userfunction"),
    ("select initcap(name) from users", "!userfunction"),
    ("select f_lies(1)", "!userfunction"),
    ("select what::date from log", "volatile"),
    ("select date(what) from log", "volatile"),
    ("select (data->>'d')::date from users", "volatile"),
    ("select 'x'::logged", "!userfunction"),
    ("select row(1, 2)::pair::text", "!userfunction"),
    ("select 'users'::regclass", "catalog"),
    ("select * from pg_class", "catalog"),
    ("select t at time zone 'UTC' from times", "volatile"),
    ("select query_to_xml('select 1', true, true, '')", "!opaque"),
    ("select * from users for update", "locks"),
    ("select * from far", "foreign"),
    ("select * from docs", "rowsecurity"),
];

const WRITES: &[(&str, &str)] = &[
    (
        "insert into users (name) values ('a') returning id",
        "users",
    ),
    (
        "insert into users (name) values ('a') on conflict (id) do update set name = excluded.name",
        "users",
    ),
    (
        "with gone as (delete from users where id = 1 returning id) insert into log (what) select 'x' from gone",
        "items log orders users",
    ),
    (
        "update items set n = n + 1 from orders o where o.id = order_id",
        "items",
    ),
    ("update only animals set name = 'x'", "animals"),
    (
        "merge into orders o using users u on u.id = o.user_id when matched then delete when not matched then insert (user_id) values (u.id)",
        "items orders",
    ),
    ("truncate orders cascade", "items notes orders"),
    ("copy log (what) from stdin", "log"),
    (
        "delete from users; insert into log (what) values ('x')",
        "items log orders users",
    ),
];

fn said(snapshot: &Snapshot, sql: &str) -> String {
    let meaning = snapshot.resolve(&classify(sql.as_bytes(), true));
    match (&meaning.read, &meaning.writes) {
        (Ok(deps), WriteSet::Nothing) => shown(snapshot, deps),
        (Err(refusal), WriteSet::Nothing) => refusal.reason.as_str().to_owned(),
        (Err(refusal), WriteSet::Everything(_)) => format!("!{}", refusal.reason.as_str()),
        (Err(_), WriteSet::Relations(oids)) => shown(snapshot, oids),
        _ => format!("{meaning:?}"),
    }
}

#[tokio::test]
async fn queries_in_a_real_database() {
    let Some((_server, plain, _told)) = known().await else {
        return;
    };
    let mut wrong = Vec::new();
    for (sql, expected) in READS.iter().chain(REFUSED).chain(WRITES) {
        let said = said(&plain, sql);
        if said != *expected {
            let class = classify(sql.as_bytes(), true);
            wrong.push(format!(
                "{sql}: {said}\n  {:?}\n  {class:?}",
                plain.resolve(&class).read
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
