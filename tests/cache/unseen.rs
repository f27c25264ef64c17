//! What a text does not show: code of types, other protocols, settings that policies ask for.

use super::{World, ask, assert_reason, reasons};
use crate::support::eventually;
use crate::support::wire::{Client, bind, execute, parse_typed, sync};

fn settled(client: &mut Client, sql: &str) {
    eventually("the catalog is read again", || {
        (reasons(&client.run(sql)) == ["hit"]).then_some(())
    });
}

#[test]
fn the_check_of_a_parameters_domain_may_write() {
    let mut world = World::new(2, "");
    world.admin.run(
        "create function seen(int) returns bool language plpgsql as \
         $$ begin update kv set v = $1 where k = 7; return true; end $$; \
         create domain watched as int check (seen(value))",
    );
    let oid = world.admin.value("select 'watched'::regtype::oid");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select v from kv where k = 7";
    settled(&mut b, sql);
    let steps = [
        parse_typed("", "select 1 where $1 is null", &[oid.parse().unwrap()]),
        bind("", "", &["5"]),
        execute("", 0),
        sync(),
    ];
    assert!(!ask(&mut a, &steps).failed());
    assert_eq!(b.value(sql), "5");
}

#[test]
fn what_is_written_over_a_replication_connection_is_seen() {
    let world = World::new(
        2,
        "pool.mode = \"session\"\n[databases.shared]\ndbname = \"postgres\"\npool.mode = \"transaction\"\n",
    );
    let who = [
        ("user", "postgres"),
        ("database", "shared"),
        ("pgweir.explain", "on"),
    ];
    let mut reader = Client::connect(world.proxy.address, &who).unwrap();
    let sql = "select v from kv where k = 8";
    settled(&mut reader, sql);
    let who = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("replication", "database"),
    ];
    let mut writer = Client::connect(world.proxy.address, &who).unwrap();
    for n in 1..4 {
        writer.run(&format!("update kv set v = {n} where k = 8"));
        assert_eq!(reader.value(sql), n.to_string());
        reader.run(sql);
    }
    drop(writer);
    settled(&mut reader, sql);
    assert_eq!(reader.value(sql), "3");
}

#[test]
fn a_policy_may_ask_for_any_setting() {
    let mut world = World::new(2, "cache.row_security = \"keyed\"\n");
    world.admin.run(
        "create table doc (n int, tenant text); insert into doc values (1, 'a'), (2, 'b'); \
         alter table doc enable row level security; grant select on doc to alice; \
         create policy own on doc using (tenant = current_setting('application_name'))",
    );
    let sql = "select n from doc";
    let connect = |name| {
        let who = [
            ("user", "alice"),
            ("database", "postgres"),
            ("pgweir.explain", "on"),
            ("application_name", name),
        ];
        Client::connect(world.proxy.address, &who).unwrap()
    };
    let (mut a, mut b) = (connect("a"), connect("b"));
    settled(&mut a, sql);
    assert_reason(&b.run(sql), "miss");
    assert_eq!(
        (a.value(sql), b.value(sql)),
        ("1".to_owned(), "2".to_owned())
    );
}

#[test]
fn row_locks_show_in_xmax() {
    let world = World::new(2, "");
    let mut client = world.client();
    for sql in [
        "select xmax from kv where k = 1",
        "select kv.xmax, v from kv",
    ] {
        assert_reason(&client.run(sql), "volatile");
    }
}
