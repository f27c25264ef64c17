//! Settings that the text of a statement does not show.

use super::World;
use crate::support::wire::{bind, execute, parse, sync};

#[test]
fn what_a_function_sets_in_secret_stays_with_its_client() {
    let mut world = World::new();
    world.admin.run(
        "create function sets() returns int language plpgsql as \
         $$ begin perform set_config('timezone', 'Asia/Tokyo', false); \
            perform set_config('search_path', '', false); \
            perform set_config('app.x', 'secret', false); return 1; end $$; \
         create function outer_one() returns int language sql as 'select public.sets()'; \
         create function fires() returns trigger language plpgsql as \
         $$ begin perform set_config('role', 'app', false); \
            perform set_config('app.x', 'secret', false); return new; end $$; \
         create table trapped (a int); grant all on trapped to app; \
         create trigger t before insert on trapped for each row execute function fires(); \
         create view looks as select sets() as a; \
         create procedure proc() language plpgsql as $$ begin set role app; set app.x = 'secret'; end $$",
    );
    let mut stranger = world.client(&[]);
    for sql in [
        "select sets()",
        "select outer_one()",
        "select a from looks",
        "select 1 where 1 = sets()",
        "insert into trapped values (1)",
        "copy (select sets()) to stdout",
        "do $$ begin perform set_config('app.x', 'secret', false); set timezone = 'Asia/Tokyo'; end $$",
        "do $$ begin execute 'set role app'; end $$",
        "call proc()",
        "select set_config(n, 'secret', false) from (values ('app.x')) v(n)",
        "prepare p as select public.sets(); execute p; deallocate p",
        "begin; select sets(); commit",
        "begin; select public.sets(); savepoint s; select public.sets(); rollback to s; commit",
        "with w as (select sets() as a) select a from w",
        "explain analyze select sets()",
    ] {
        let mut client = world.client(&[]);
        client.run(sql);
        // While it is there, and when it is gone.
        drop(client);
        world.check_stranger(&mut stranger, sql);
        let mut client = world.client(&[]);
        let whole = [parse("", sql), bind("", "", &[]), execute("", 0), sync()].concat();
        client.send(&whole).unwrap();
        client.until(b'Z').unwrap();
        let mut late = world.client(&[]);
        drop(client);
        world.check_stranger(&mut late, sql);
    }
}
