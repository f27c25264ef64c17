//! One statement of every command of PostgreSQL 15, and more where a command has several faces.
//!
//! They run in this order, each twice, in a database of their own: what one makes the next ones change, and what
//! fails the second time fails with Postgres too. A line that begins with `~` is about the session or about
//! transactions: the proxy may deal with it by itself; `!` must be executed each time although neither locks nor
//! results show it. `{db}` makes names unique where they are not the database's.

/// See the module's text.
pub(crate) const STATEMENTS: &str = r#"
select 1
select id, v from t order by id
select * from v_t
(select 1)
values (1, 'a'), (2, 'b')
table t
with a as (select id from t) select count(*) from a
with recursive r (n) as (values (1) union all select n + 1 from r where n < 5) select * from r
select * from t where id = 1 for update
select * from t where id = 1 for no key update
select * from (select * from t where id = 1 for share) x
select * from t where id = 1 for key share skip locked
with l as (select * from t for update) select count(*) from l
select * from t tablesample system (100)
select count(*) from (select * from t tablesample bernoulli (100)) x
!select now()
select current_timestamp, localtime, current_date
select clock_timestamp(), random()
select * from v_now
select 'now'::timestamp
!select ' Tomorrow '::date
!select age(ts) from t
!select current_user, session_user, user, current_role, current_schema
select pg_backend_pid()
select nextval('sq')
~select currval('sq')
~select lastval()
select setval('sq', 100)
select last_value from sq
select pg_advisory_xact_lock(4711)
select pg_try_advisory_xact_lock_shared(4711)
!select pg_notify('c', 'x')
!select set_config('app.x', 'y', true)
select current_setting('app.x', true)
select txid_current()
select pg_current_xact_id()
select pg_current_xact_id_if_assigned()
select pg_logical_emit_message(true, 'p', 'm')
!select pg_sleep(0.001)
select gen_random_uuid()
!select 't'::regclass
!select count(*) from pg_class
select count(*) from information_schema.tables
select pg_relation_size('t')
select has_table_privilege('t', 'select')
select query_to_xml('select 1', true, false, '')
select query_to_xml('select f_writes(''x'')', true, false, '')
!select * from ts_stat('select to_tsvector(v) from t')
select lo_create(424242)
select lo_from_bytea(0, 'x')
select lo_get(424242)
select lo_put(424242, 0, 'abc')
alter large object 424242 owner to r_fix
comment on large object 424242 is 'x'
select lo_unlink(424242)
select f_reads(1)
select f_lies(1)
select f_writes('x')
select * from f_rows()
select id, f_writes(v) from t
select id from t where f_writes(v) > 0
select id from t order by f_writes(v)
select count(*) filter (where f_writes('agg') > 0) from t
select count(*) over (partition by f_writes('w')) from t
select case when true then f_writes('case') end
select coalesce(null, f_writes('coalesce'))
select array[f_writes('array')], row(f_writes('row'))
select (select f_writes('scalar'))
select exists (select f_writes('exists'))
select 1 where 1 in (select f_writes('in'))
select x.* from (values (f_writes('values'))) x
select * from t, lateral f_writes(v) l
select * from t left join lateral (select f_writes(v)) l on true
select 1 union all select f_writes('union')
select 1 limit (select f_writes('limit'))
select 1 offset (select f_writes('offset') * 0)
select generate_series(1, f_writes('srf') - f_writes('srf') + 2)
select 'a' === 'b'::text
select 'x'::dvol
select cast('x' as dvol)
select dvol 'x'
select row(1, 2, 3)::rgb::text
select v::dvol from t
select from t
select distinct on (n) n, id from t order by n, id
select n, count(*), grouping(n) from t group by rollup (n)
select x from unnest(array[1, 2]) with ordinality u (x, o)
select * from rows from (generate_series(1, 2), generate_series(1, 3)) as z (a, b)
select * from json_to_recordset('[{"a":1}]') as x (a int)
select * from xmltable('/a/b' passing '<a><b>1</b></a>' columns b int path '.')
select id as "select", v as "from" from t
select 'it''s', E'a\nb', U&'d\0061t\+000061', $$dollar$$, $tag$a$b$tag$, B'101', X'1F', 1e3, .5
select 1 /* a /* nested */ comment */ + 1 -- and another
select 1; select 2
select 1; insert into log (what) values ('multi')
insert into log (what) values ('m1'); delete from log where what = 'm1'
select id into into_t from t
select id into temp into_temp from t
create table as_t as select * from t
create table as_t2 as values (1)
create table as_t3 as execute nothing
insert into t (id, v) values (50, 'fifty')
insert into t (id, v) values (51, 'x') on conflict (id) do nothing
insert into t (id, v) values (50, 'x') on conflict (id) do update set v = excluded.v returning *
insert into log (what) select v from t
insert into log default values
insert into v_t (id, v) values (52, 'view')
insert into part (id, v) values (60, 'p')
update t set n = n + 1 where id = 1
update t set n = n where false
update only inh_p set n = n + 1
update v_t set n = 5 where id = 50
update t set n = k.n from kv k where k.id = t.id
update t set (v, n) = (select 'a', 2) where id = 50
update parent set id = id + 1000 where id = 2
update inh_p set v = 'rule'
delete from t where id = 50
delete from t using kv where kv.id = t.id and false
delete from parent where id = 1
delete from v_t where id = 52
merge into t using (values (1), (70)) s (id) on t.id = s.id when matched then update set v = 'merged' when not matched then insert (id, v) values (s.id, 'new')
merge into t using kv on kv.id = t.id when matched then delete
with x as (insert into log (what) values ('cte') returning n) select 1
with x as (delete from log where what = 'cte' returning n) insert into log (what) select n::text from x
with x as (update t set n = n + 1 returning id) select count(*) from x
with x as (select 1) update t set n = 2 where id = (select * from x)
select * from (with y as (select 1 as a) select * from y) z
truncate log
truncate table part, only kv restart identity
truncate parent cascade
copy t to stdout
copy (select v from t order by id) to stdout with (format csv, header)
copy log (what) from stdin
copy (insert into log (what) values ('copied') returning n) to stdout
!copy t to program 'cat >/dev/null'
copy t to '/dev/null'
!explain select * from t
explain analyze select * from t
explain (analyze, timing off) insert into log (what) values ('explained')
explain (analyze) create table explained as select 1 as a
!explain analyze execute nothing
call p_writes('called')
call p_commits('called')
do $$ begin insert into log (what) values ('done'); end $$
do $$ begin execute 'upd' || 'ate t set n = n + 1'; end $$
do $$ begin perform 1; end $$
refresh materialized view mv
refresh materialized view concurrently mv
refresh materialized view mv with no data
refresh materialized view mv with data
lock table t in access exclusive mode
!checkpoint
!analyze t
analyze
vacuum t
vacuum (full, analyze) log
cluster t using t_pkey
reindex table t
reindex index concurrently t_pkey
~begin
~insert into log (what) values ('in a transaction')
~savepoint a
~update t set n = n + 1
~rollback to savepoint a
~rollback to a
~savepoint b
~release savepoint b
~set transaction isolation level repeatable read
~set constraints all deferred
~declare c cursor for select * from t order by id
~fetch 1 from c
~move 1 in c
~close c
~commit
~start transaction isolation level serializable read only deferrable
~select count(*) from t
~end
~begin work
~abort
~begin
~insert into log (what) values ('chained')
~commit and chain
~rollback and no chain
~begin
~insert into log (what) values ('two-phase')
~prepare transaction 'g_{db}'
~commit prepared 'g_{db}'
~begin
~delete from log
~prepare transaction 'h_{db}'
~rollback prepared 'h_{db}'
~set timezone = 'Asia/Tokyo'
~select ts from t order by id
~show timezone
~reset timezone
~reset all
~set session characteristics as transaction isolation level read committed
~set role r_fix
~select count(*) from kv
~reset role
~set session authorization r_fix
~reset session authorization
~set local timezone = 'UTC'
~set search_path = other, public
~select v from t order by id
~reset search_path
~listen c
~notify c, 'x'
~unlisten *
~prepare pr (int) as select v from t where id = $1
~execute pr (1)
~prepare pw as insert into log (what) values ('prepared') returning n
~execute pw
~create table from_execute as execute pr (1)
~deallocate pr
~deallocate all
~declare h cursor with hold for select 1
~fetch all from h
~close all
~load 'plpgsql'
~discard plans
~discard sequences
~discard temp
~discard all
create schema s2
create schema s3 create table in_s3 (a int) create view v_s3 as select * from in_s3
alter schema s2 rename to s4
create table c1 (a int primary key, b int generated always as (a * 2) stored, c int generated by default as identity, d text default f_stable(), check (a > 0))
create temp table tmp1 (a int) on commit drop
create unlogged table ul1 (a int)
create table c2 (like c1 including all)
create table c3 () inherits (c1)
create table c4 partition of part for values from (1000) to (2000)
create table c5 of rgb
alter table c1 add column e int default 7
alter table c1 drop column e
alter table c1 alter column d type varchar(50), alter column d set default 'x', alter column d set not null
alter table c1 rename column d to dd
alter table c1 rename to c1x
alter table c1x rename to c1
alter table part detach partition c4
alter table part attach partition c4 for values from (1000) to (2000)
alter table c1 enable row level security
alter table c1 owner to r_fix
alter table c1 set (fillfactor = 70)
alter table c1 cluster on c1_pkey
alter table c1 replica identity full
alter table t disable trigger all
alter table t enable trigger all
insert into c1 (a) values (1)
select * from c1
comment on table c1 is 'a comment'
security label on table c1 is 'x'
create index i1 on c1 (a)
create unique index concurrently i2 on c1 (a)
alter index i1 rename to i1x
alter index i1x set (fillfactor = 80)
drop index i1x
drop index concurrently i2
create view v1 as select * from t where id < 3
create or replace view v1 as select * from t where id < 4
create view v2 with (security_invoker = true) as select * from t
create recursive view v3 (n) as values (1) union all select n + 1 from v3 where n < 3
alter view v1 rename to v1x
alter view v1x alter column v set default 'd'
select * from v1x order by id
drop view v1x, v2, v3
create materialized view m1 as select count(*) as n from t
alter materialized view m1 rename to m1x
drop materialized view m1x
create sequence q1
alter sequence q1 restart with 10
drop sequence q1
create function f1 (int) returns int language sql immutable as 'select $1 + 1'
create or replace function f1 (int) returns int language sql volatile as 'select $1 + 2'
select f1(1)
alter function f1 (int) stable
alter function f1 (int) rename to f1x
alter routine f1x (int) rename to f1
drop function f1 (int)
create procedure p1 () language sql as 'insert into log (what) values (''p1'')'
call p1()
alter procedure p1 () rename to p1x
drop procedure p1x ()
drop routine if exists p1 ()
create aggregate ag1 (int) (sfunc = int4pl, stype = int, initcond = '0')
select ag1(n) from t
alter aggregate ag1 (int) rename to ag1x
drop aggregate ag1x (int)
create function neq (text, text) returns bool language sql as 'select $1 <> $2'
create operator ##= (leftarg = text, rightarg = text, function = neq)
select 'a' ##= 'b'::text
alter operator ##= (text, text) owner to r_fix
create operator family of1 using btree
alter operator family of1 using btree rename to of1x
create operator class oc1 for type int using btree as operator 1 <, operator 3 =, operator 5 >, function 1 btint4cmp (int, int)
alter operator class oc1 using btree rename to oc1x
drop operator class oc1x using btree
drop operator family of1x using btree
drop operator ##= (text, text)
create type ty1 as (a int, b text)
create type en1 as enum ('a', 'b')
create type ra1 as range (subtype = float8)
alter type en1 add value 'c'
alter type ty1 add attribute c int
alter type ty1 rename to ty1x
drop type ty1x, en1, ra1
create domain do1 as int check (value > 0)
alter domain do1 add constraint less check (value < 100)
drop domain do1
create cast (int as rgb) with function int_rgb (int) as assignment
drop cast (int as rgb)
create collation co1 (locale = 'C')
alter collation co1 rename to co1x
drop collation co1x
create conversion cv1 for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8
alter conversion cv1 rename to cv1x
drop conversion cv1x
create rule ru1 as on delete to kv do also insert into log (what) values ('ru1')
alter rule ru1 on kv rename to ru1x
drop rule ru1x on kv
create trigger tr1 after update on kv for each row execute function tg_log()
alter trigger tr1 on kv rename to tr1x
update kv set n = n + 1
drop trigger tr1x on kv
create constraint trigger tr2 after insert on kv deferrable initially deferred for each row execute function tg_log()
drop trigger tr2 on kv
create policy po1 on docs using (true)
alter policy po1 on docs using (false)
drop policy po1 on docs
create statistics st1 on n, b from t
alter statistics st1 set statistics 50
drop statistics st1
create event trigger et1 on ddl_command_end execute function tg_event()
alter event trigger et1 disable
drop event trigger et1
create text search configuration tc1 (copy = simple)
alter text search configuration tc1 rename to tc1x
drop text search configuration tc1x
create text search dictionary td1 (template = simple)
alter text search dictionary td1 (accept = false)
drop text search dictionary td1
create text search parser tp1 (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)
alter text search parser tp1 rename to tp1x
drop text search parser tp1x
create text search template tt1 (lexize = dsimple_lexize)
alter text search template tt1 rename to tt1x
drop text search template tt1x
create transform for int language sql (from sql with function prsd_lextype(internal))
drop transform for int language sql
create access method am1 type index handler gisthandler
drop access method am1
create language pl1 handler plpgsql_call_handler validator plpgsql_validator
alter language pl1 rename to pl1x
drop language pl1x
create extension pg_trgm
alter extension pg_trgm set schema other
drop extension pg_trgm
create foreign data wrapper fw1
alter foreign data wrapper fw1 options (add a 'b')
create server se1 foreign data wrapper fw1
alter server se1 options (add host 'x')
create user mapping for current_user server se1
alter user mapping for current_user server se1 options (add user 'x')
create foreign table ft1 (a int) server se1
alter foreign table ft1 add column b int
select * from ft1
import foreign schema x from server se1 into public
drop foreign table ft1
drop user mapping for current_user server se1
drop server se1
drop foreign data wrapper fw1
create publication pu1 for table t
alter publication pu1 add table kv
drop publication pu1
create subscription su_{db} connection 'dbname=nowhere' publication x with (connect = false)
alter subscription su_{db} set (slot_name = none)
drop subscription su_{db}
create role ro_{db}
create user us_{db}
create group gr_{db}
alter role ro_{db} set timezone = 'UTC'
alter user us_{db} with createdb
alter group gr_{db} add user us_{db}
grant select on t to ro_{db}
grant ro_{db} to us_{db}
revoke select on t from ro_{db}
revoke ro_{db} from us_{db}
alter default privileges in schema public grant select on tables to ro_{db}
alter default privileges in schema public revoke select on tables from ro_{db}
reassign owned by ro_{db} to postgres
drop owned by ro_{db}
drop group gr_{db}
drop user us_{db}
drop role ro_{db}
create tablespace sp_{db} location '/nonexistent/{db}'
alter tablespace sp_{db} rename to sp2_{db}
drop tablespace if exists sp2_{db}
create database da_{db} template template0
alter database da_{db} set timezone = 'UTC'
drop database da_{db}
alter system set log_rotation_age = '1d'
alter system reset all
drop table c1 cascade
drop table if exists c2, c3, c4, c5, ul1, as_t, as_t2, into_t cascade
drop schema s3, s4 cascade
"#;

/// What is no statement, or hardly one.
pub(crate) fn oddities() -> Vec<String> {
    let deep = |n: usize, open: &str, middle: &str, close: &str| {
        format!("{}{middle}{}", open.repeat(n), close.repeat(n))
    };
    let chain = |n: usize, part: &str| format!("select 1{}", part.repeat(n));
    let mut all: Vec<String> = [
        "", " ", ";", ";;", "--", "/*", "/* /* */", "selec", "select", "select 'open", "select \"open", "select $$open",
        "select $tag$open$tag", "select E'open\\'", "select U&'\\", "select U&'\\00g0'", "select 1 from", "select (",
        "select )", "select ]", "select 1,,2", "select '\u{7f}\u{85}\u{a0}'", "select\u{a0}1", "\u{feff}select 1",
        "select 1 \u{2014} 2", "select \"\"", "select 1 as \"", "select * from t where", "with", "with a as () select",
        "insert", "update t", "delete t", "explain", "explain explain select 1", "prepare", "execute", "copy", "begin;;commit",
        "select 1;;select 2;", "select 1e", "select 0x1F", "select 1_000", "select 1..2", "select a.b.c.d.e.f from t",
        "select ~@#^&|`?1", "select :x", "select $0", "select $1", "select $99999999999", "select 'a' 'b'", "select 'a'\n'b'",
        "select \"T\".* from t", "select t from t", "select t.* from t t", "select 1 where 1 = any (array[])",
        "select current_date 'x'", "select interval '1' day", "select - - - 1", "select not not true", "select 1 is not distinct from 2",
        "select array[[1],[2]][1:2][1]", "select row(1,2).f1", "select (row(1,2)).f1", "select t.v.x from t", "select (t).v from t",
        "select position('a' in 'b'), substring('abc' from 2 for 1), trim(both 'x' from 'xax'), overlay('abc' placing 'x' from 2)",
        "select extract(year from now()), cast(1 as text), treat(1 as text), collation for ('x'), xmlelement(name a, 1)",
        "select * from t as x (a, b) join kv using (id)", "select * from only t", "select * from t *", "table only t",
        "select 1 fetch first row with ties", "select 1 order by 1 using <", "select count(*) within group (order by 1) from t",
        "select percentile_disc(0.5) within group (order by n) from t", "select 1 operator(pg_catalog.+) 2", "select 1 at time zone 'x'",
        "select lower(v) collate \"C\" from t group by grouping sets ((1), ())", "select * from t natural join kv window w as ()",
        "delete from t where current of nothing", "select nothing()", "select nothing from t", "select * from nowhere",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend([
        deep(200, "select (", "1", ")"),
        format!("select {}", deep(3000, "(", "1", ")")),
        format!("select {}", deep(30_000, "(", "1", ")")),
        format!("select {}1", " - ".repeat(3000)),
        format!("select {}", deep(500, "(select ", "1", ")")),
        format!("select {}", deep(2000, "array[", "1", "]")),
        format!("select {}", deep(800, "case when true then ", "1", " end")),
        format!("select {}", deep(1000, "f(", "1", ")")),
        format!("select {}true", "not ".repeat(5000)),
        format!("select {}", deep(5000, "/*", "", "*/") + " 1"),
        deep(60, "explain ", "select 1", ""),
        format!("{} select 1", deep(60, "with a as (", "select 1", ") ")),
        deep(300, "select * from (", "select 1", ") x"),
        chain(3000, " + 1"),
        chain(2000, " union all select 1"),
        chain(300, ", position('a' in 'b')"),
        format!("select 1 where true{}", " or false".repeat(5000)),
        format!("select 1 where 1 in ({}1)", "1, ".repeat(20_000)),
        format!("values {}(1)", "(1), ".repeat(5000)),
        format!("select '{}'", "x".repeat(1_000_000)),
        format!("select 1 as {}", "a".repeat(100_000)),
        format!("select {}1", "/* x */ ".repeat(20_000)),
        "select 1;".repeat(1000),
        format!("select {}1", "(((((((((( ".repeat(10)),
        "(".repeat(50_000),
        "[".repeat(50_000),
        "select ".repeat(10_000),
        "'".repeat(9_999),
        "$$".repeat(9_999),
    ]);
    all
}
