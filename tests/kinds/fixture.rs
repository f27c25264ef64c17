//! What the statements find, and what changes every table of it.

/// Relations that generated queries read: all have the same columns.
pub(crate) const RELATIONS: [&str; 14] = [
    "t", "kv", "part", "part_1", "inh_p", "inh_c", "child", "log2", "ul", "v_t", "v_t2", "v_join",
    "mv", "other.t",
];

/// In a new database, as the superuser.
pub(crate) const FIXTURE: &str = r#"
create table t (id int primary key, v text default 'new', n int default 1, q numeric default 1.5, b bool default true,
    d date default '2024-02-29', ts timestamptz default '2024-07-01 12:00Z', j jsonb default '{"k": 1, "a": [1, 2]}',
    a int[] default '{1,2,3}');
insert into t (id, v, n, b, j, a) values (1, 'one', 1, true, '{"k": 1}', '{1}'), (2, 'two', 2, false, null, '{2,3}'),
    (3, 'Three', 3, null, '{"k": 3, "a": []}', null), (4, 'now', 2, true, '[1, 2]', '{}');
create table kv (like t including all);
insert into kv select * from t where id < 4;
create table part (like t including all) partition by range (id);
create table part_1 partition of part for values from (0) to (100);
create table part_2 partition of part for values from (100) to (200);
insert into part select * from t;
insert into part (id, v) values (101, 'far');
create table inh_p (like t including all);
create table inh_c (primary key (id)) inherits (inh_p);
insert into inh_p select * from t where id < 3;
insert into inh_c select * from t where id >= 3;
create table parent (id int primary key);
insert into parent values (1), (2), (3), (4);
create table child (like t including all, foreign key (id) references parent on update cascade on delete cascade);
insert into child select * from t;
create table log (n bigint generated always as identity primary key, what text);
create table log2 (like t including all);
insert into log2 select * from t where id = 1;
create unlogged table ul (like t including all);
insert into ul select * from t;
create view v_t as select * from t where id < 1000;
create view v_t2 as select * from v_t where n is not null;
create view v_join as select t.id, t.v, kv.n, t.q, t.b, t.d, kv.ts, t.j, kv.a from t join kv using (id);
create view v_now as select clock_timestamp() as at, count(*) as n from t;
create materialized view mv as select * from t;
create unique index on mv (id);
create schema other;
create table other.t (like t including all);
insert into other.t (id, v) values (1, 'other');
create table docs (id int, v text);
alter table docs enable row level security;
create sequence sq;
create type rgb as (r int, g int, b int);
create function f_reads(int) returns text language plpgsql stable as 'begin return (select v from t where id = $1); end';
create function f_lies(int) returns text language plpgsql immutable as 'begin return (select v from t where id = $1); end';
create function f_writes(text) returns bigint language sql volatile as 'insert into log (what) values ($1) returning n';
create function f_rows() returns setof t language sql stable as 'select * from t order by id';
create function f_stable() returns text language sql stable as 'select ''s''::text';
create function int_rgb(int) returns rgb language sql immutable as 'select row($1, $1, $1)::rgb';
create function rgb_text(rgb) returns text language sql volatile as 'select ($1).r || clock_timestamp()::text';
create cast (rgb as text) with function rgb_text(rgb) as assignment;
create function eqv(text, text) returns bool language sql volatile as 'select f_writes($1) > 0';
create operator === (leftarg = text, rightarg = text, function = eqv);
create domain dvol as text check (f_writes(value) > 0);
create function tg_log() returns trigger language plpgsql as
    $$ begin insert into log (what) values (tg_op); return null; end $$;
create function tg_event() returns event_trigger language plpgsql as $$ begin null; end $$;
create function tg_log2() returns trigger language plpgsql as
    $$ begin update log2 set n = n + 1; return null; end $$;
create trigger tr after update on kv for each statement execute function tg_log2();
create rule ru as on update to inh_p where old.id = 1 do also update other.t set n = other.t.n + 1;
create procedure p_writes(text) language sql as 'insert into log (what) values ($1)';
create procedure p_commits(text) language plpgsql as
    $$ begin insert into log (what) values ($1); commit; insert into log (what) values ($1); end $$;
grant select on all tables in schema public to r_fix;
"#;

/// Each changes something that some relation shows: through it, or through what the database makes of it.
pub(crate) const CHANGES: [&str; 17] = [
    "update t set n = n + 1, v = v || '.'",
    "update kv set n = n + 1",
    "update part set n = n + 1",
    "update part_1 set n = n + 1",
    "update part_2 set v = v || '.'",
    "update inh_p set n = n + 1",
    "update only inh_p set v = v || '.'",
    "update inh_c set n = n + 1",
    "update parent set id = -id",
    "update child set n = n + 1",
    "update v_t set q = q + 1",
    "with w as (update ul set n = n + 1 returning id) select count(*) from w",
    "insert into log2 (id, n) values (1, 5) on conflict (id) do update set n = log2.n + 5",
    "do $$ begin update other.t set n = n + 1; end $$",
    "refresh materialized view mv",
    "begin; delete from ul where id = 1; insert into ul (id, n) values (1, 77); update ul set n = n + 1; commit",
    "merge into t using (values (1)) s (id) on t.id = s.id when matched then update set v = 'merged' || t.n",
];
