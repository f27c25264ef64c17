//! What the cache answers, what it leaves to the database, and what it says about it.

mod folded;
mod footprint;
mod groups;
mod invalidation;
mod modes;
mod roles;
mod unseen;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{
    Client, Reply, bind, bind_formats, close_portal, close_statement, describe_portal,
    describe_statement, execute, flush, parse, parse_typed, sync,
};

const FIXTURE: &str = "
create table kv (k int primary key, v bigint not null);
insert into kv select n, 0 from generate_series(1, 8) n;
create table other (id int primary key, name text);
insert into other values (1, 'one');
create view seen as select k, v from kv where k < 5;
create table mine (id int, owner text default current_user);
alter table mine enable row level security;
create policy own on mine using (owner = current_user);
create role alice login;
grant select on kv, other, seen, mine to alice;
";

struct World {
    admin: Client,
    proxy: Proxy,
    _postgres: Postgres,
}

impl World {
    fn new(size: usize, settings: &str) -> Self {
        let postgres = Postgres::start();
        let mut admin = postgres.admin();
        admin.run(FIXTURE);
        let world = Self {
            proxy: Proxy::cached_to(postgres.address, size, settings),
            admin,
            _postgres: postgres,
        };
        let mut client = world.client();
        eventually("the catalog is read", || {
            let reasons = reasons(&client.run("select 1"));
            (reasons != ["catalogunknown"]).then_some(())
        });
        world
    }

    /// A client that is told what became of each of its queries.
    fn client(&self) -> Client {
        self.client_with(&[])
    }

    fn client_with(&self, settings: &[(&str, &str)]) -> Client {
        self.connect("postgres", settings)
    }

    fn client_as(&self, user: &str) -> Client {
        self.connect(user, &[])
    }

    fn connect(&self, user: &str, settings: &[(&str, &str)]) -> Client {
        let who = [("user", user), ("database", "postgres")];
        let explain = [("pgweir.explain", "on")];
        let settings = [&who[..], &explain, settings].concat();
        Client::connect(self.proxy.address, &settings).unwrap()
    }
}

/// What the notices of a reply say became of its queries.
fn reasons(reply: &Reply) -> Vec<String> {
    let notices = reply.0.iter().filter(|frame| frame.tag == b'N');
    let messages = notices.filter_map(|notice| {
        let body = String::from_utf8_lossy(&notice.body).into_owned();
        let field = body.split('\0').find_map(|f| f.strip_prefix("Mpgweir: "))?;
        Some(field.split(',').next().unwrap().to_owned())
    });
    messages.collect()
}

#[track_caller]
fn assert_reason(reply: &Reply, reason: &str) {
    assert_eq!(reasons(reply), [reason], "{:?}", reply.0);
}

fn ask(client: &mut Client, messages: &[Vec<u8>]) -> Reply {
    client.send(&messages.concat()).unwrap();
    client.until(b'Z').unwrap()
}

/// The tags of a reply without notices.
fn tags(reply: &Reply) -> String {
    let frames = reply.0.iter().filter(|frame| frame.tag != b'N');
    frames.map(|frame| char::from(frame.tag)).collect()
}

/// After a thousand entries of a shape that nobody asked for, one is made for a question that comes a
/// second time; the first answer from memory makes it a shape like any other again.
#[test]
fn of_questions_that_hardly_ever_come_twice_only_those_that_do_are_kept() {
    let world = World::new(2, "");
    let mut client = world.client();
    let text = |n: usize| format!("select v from kv where k = 1 and v < {n}");
    for n in 0..1_000 {
        assert_reason(&client.run(&text(n)), "miss");
    }
    let who = [("user", "postgres"), ("database", "pgweir")];
    let mut console = Client::connect(world.proxy.address, &who).unwrap();
    let said = |reply: &Reply| {
        let rows = reply
            .0
            .iter()
            .map(|frame| String::from_utf8_lossy(&frame.body));
        rows.filter(|row| row.contains("hardly ever asked twice"))
            .count()
    };
    assert_eq!(said(&console.run("SHOW QUERIES")), 1);
    for reason in ["miss", "miss", "hit"] {
        assert_reason(&client.run(&text(2_000)), reason);
    }
    for reason in ["miss", "hit"] {
        assert_reason(&client.run(&text(2_001)), reason);
    }
    assert_eq!(said(&console.run("SHOW QUERIES")), 0);
}

#[test]
fn one_entry_serves_every_form_of_the_protocol() {
    let world = World::new(1, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select k, v from kv where k = 1";
    assert_reason(&a.run(sql), "miss");
    assert_reason(&a.run(sql), "hit");
    let reply = b.run("/* trace 7 */ select k, v from kv where k = 1; -- more");
    assert_reason(&reply, "hit");
    assert_eq!(tags(&reply), "TDCZ");
    // Comments and case of nothing else: other bytes are another query.
    assert_reason(&b.run("SELECT k, v from kv where k = 1"), "miss");

    let whole = [
        parse("", sql),
        bind("", "", &[]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    let reply = ask(&mut b, &whole);
    assert_reason(&reply, "hit");
    assert_eq!(tags(&reply), "12TDCZ");
    let bare = [
        parse("", sql),
        bind("", "", &[]),
        execute("", 0),
        close_portal(""),
        sync(),
    ];
    let reply = ask(&mut b, &bare);
    assert_reason(&reply, "hit");
    assert_eq!(tags(&reply), "12DC3Z");

    // A named statement, parsed and described elsewhere before, is made without a trip and works.
    let prepare = [parse("s", sql), describe_statement("s"), sync()];
    assert_eq!(tags(&ask(&mut a, &prepare)), "1tTZ");
    assert_eq!(tags(&ask(&mut b, &prepare)), "1tTZ");
    let run = [bind("", "s", &[]), execute("", 0), sync()];
    assert_reason(&ask(&mut b, &run), "hit");
    // And when the database is needed, it is prepared there.
    a.run("update kv set v = v + 1 where k = 1");
    let reply = ask(&mut b, &run);
    assert_reason(&reply, "stale");
    assert_eq!(tags(&reply), "2DCZ");
    assert_eq!(tags(&ask(&mut b, &[close_statement("s"), sync()])), "3Z");
}

/// Parameter types, parameter formats, the value, result formats.
type Form<'a> = (&'a [u32], &'a [i16], &'a [u8], &'a [i16]);

#[test]
fn parameters_types_and_formats_are_told_apart() {
    let world = World::new(1, "");
    let mut client = world.client();
    let run = |client: &mut Client, types: &[u32], formats: &[i16], value: &[u8], out: &[i16]| {
        let sql = "select v, $1::int4 from kv where k = $1";
        let values = [Some(value)];
        let messages = [
            parse_typed("", sql, types),
            bind_formats("", "", formats, &values, out),
            describe_portal(""),
            execute("", 0),
            sync(),
        ];
        ask(client, &messages)
    };
    let one = 1_i32.to_be_bytes();
    let forms: [Form<'_>; 6] = [
        (&[], &[], b"1", &[]),
        (&[], &[], b"2", &[]),
        (&[23], &[], b"1", &[]),
        (&[23], &[1], &one, &[]),
        (&[23], &[1], &one, &[1]),
        (&[23], &[1], &one, &[0, 1]),
    ];
    let mut first = Vec::new();
    for (types, formats, value, out) in forms {
        let reply = run(&mut client, types, formats, value, out);
        assert_reason(&reply, "miss");
        first.push(reply);
    }
    for ((types, formats, value, out), before) in forms.into_iter().zip(first) {
        let reply = run(&mut client, types, formats, value, out);
        assert_reason(&reply, "hit");
        let bodies = |reply: &Reply| -> Vec<Vec<u8>> {
            let frames = reply.0.iter().filter(|frame| frame.tag != b'N');
            frames.map(|frame| frame.body.clone()).collect()
        };
        assert_eq!(bodies(&reply), bodies(&before));
    }
}

#[test]
fn a_description_before_the_query_needs_no_trip_the_second_time() {
    let world = World::new(1, "");
    let (mut a, mut b) = (world.client(), world.client());
    let sql = "select name from other where id = $1";
    let prepare = [parse("", sql), describe_statement(""), flush()].concat();
    for client in [&mut a, &mut b] {
        client.send(&prepare).unwrap();
        client.until(b'T').unwrap();
        let reply = ask(client, &[bind("", "", &["1"]), execute("", 0), sync()]);
        assert_eq!(reply.value().as_deref(), Some("one"));
    }
    assert_reason(
        &ask(
            &mut b,
            &[parse("", sql), bind("", "", &["1"]), execute("", 0), sync()],
        ),
        "hit",
    );
}

#[test]
fn the_description_of_a_statement_is_not_that_of_its_portal() {
    let world = World::new(1, "");
    let mut client = world.client();
    let sql = "select k from kv where k = 4";
    let start = [parse("", sql), bind_formats("", "", &[], &[], &[1])];
    let run = |client: &mut Client, describe: Vec<u8>| {
        let whole = [start.concat(), describe, execute("", 0), sync()];
        ask(client, &whole)
    };
    let format = |reply: &Reply| {
        let frame = reply.0.iter().find(|frame| frame.tag == b'T').unwrap();
        frame.body.last().copied()
    };
    // As tokio-postgres asks: text is what the statement says, whatever the portal will give.
    assert_eq!(format(&run(&mut client, describe_statement(""))), Some(0));
    let again = run(&mut client, describe_statement(""));
    assert_reason(&again, "hit");
    assert_eq!(
        (tags(&again).as_str(), format(&again)),
        ("12tTDCZ", Some(0))
    );
    for reason in ["miss", "hit"] {
        let reply = run(&mut client, describe_portal(""));
        assert_reason(&reply, reason);
        assert_eq!(format(&reply), Some(1));
    }
}

#[test]
fn what_is_not_cached_and_why() {
    let world = World::new(1, "");
    let mut client = world.client();
    for (sql, reason) in [
        ("select now()", "volatile"),
        ("select current_user", "session"),
        ("select 1; select 2", "multiplestatements"),
        ("select count(*) from pg_class", "catalog"),
        ("select * from kv where k = 1 for update", "locks"),
        ("select date 'today'", "moment"),
        ("select count(*) from mine", "rowsecurity"),
        ("show timezone", "notaquery"),
        ("update kv set v = v where k = 1", "write"),
        ("/* pgweir: nocache */ select k from kv", "hint"),
        ("/* pgweir: gibberish */ select k from kv", "hint"),
    ] {
        for _ in 0..2 {
            let reply = client.query(sql).unwrap();
            assert!(
                reasons(&reply).contains(&reason.to_owned()),
                "{sql}: {:?}",
                reasons(&reply)
            );
        }
    }
    let told = |reply: &Reply| {
        let notices = reply.0.iter().filter(|frame| frame.tag == b'N');
        notices
            .map(|n| String::from_utf8_lossy(&n.body).into_owned())
            .collect::<String>()
    };
    let reply = client.run("/* pgweir: gibberish */ select k from kv");
    assert!(told(&reply).contains("gibberish"), "{}", told(&reply));
    client.run("set pgweir.cache = perhaps");
    assert!(told(&client.run("select k from kv")).contains("perhaps"));
    assert!(!told(&client.run("select k from kv")).contains("perhaps"));
    client.run("set pgweir.cache = off");
    assert_reason(&client.run("select k from kv"), "disabled");
    client.run("set pgweir.cache = on");
    client.run("select k from kv");
    assert_reason(&client.run("select k from kv"), "hit");
}

#[test]
fn settings_and_roles_keep_results_apart() {
    let world = World::new(1, "");
    let mut first = world.client();
    let sql = "select timestamptz '2024-07-01 12:00+00', count(*) from kv";
    first.run(sql);
    for (set, reason) in [
        ("set application_name = 'pod-7'", "hit"),
        ("set statement_timeout = '1min'", "hit"),
        ("set timezone = 'Asia/Tokyo'", "miss"),
        ("reset timezone", "hit"),
        ("set app.tenant = 'x'", "miss"),
        (
            "set default_transaction_isolation = 'serializable'",
            "settings",
        ),
        ("reset all", "hit"),
    ] {
        first.run(set);
        // RESET ALL takes the wish for notices with it only if SET made it.
        assert_reason(&first.run(sql), reason);
    }
    let who = [
        ("user", "alice"),
        ("database", "postgres"),
        ("pgweir.explain", "on"),
    ];
    let mut alice = Client::connect(world.proxy.address, &who).unwrap();
    assert_reason(&alice.run(sql), "miss");
}

#[test]
fn a_transaction_of_hits_never_leaves_the_proxy() {
    let mut world = World::new(1, "");
    let mut client = world.client();
    let sql = "select v from kv where k = 2";
    client.run(sql);
    world.admin.run("update kv set v = 9 where k = 2");
    client.run("begin");
    let reply = client.run(sql);
    assert_reason(&reply, "hit");
    assert_eq!(
        (reply.value().as_deref(), reply.status()),
        (Some("0"), Some('T'))
    );
    // From the first statement that needs the database, everything is the database's.
    client.run("select v from kv where k = 3 for share");
    let reply = client.run(sql);
    assert_reason(&reply, "transaction");
    assert_eq!(reply.value().as_deref(), Some("9"));
    client.run("commit");
    client.run("begin isolation level repeatable read");
    assert_reason(&client.run(sql), "transaction");
}

/// What frameworks do that open a transaction around each request.
#[test]
fn a_read_behind_a_held_back_begin_makes_an_entry() {
    let world = World::new(1, "");
    let mut client = world.client();
    let sql = "select v from kv where k = 5";
    client.run("begin");
    let reply = client.run(sql);
    assert_reason(&reply, "miss");
    assert_eq!(
        (reply.value().as_deref(), reply.status()),
        (Some("0"), Some('T'))
    );
    assert_reason(&client.run(sql), "hit");
    // Still no upstream knows of the transaction: the only one serves another.
    let mut other = world.client();
    other.run("update kv set v = 6 where k = 5");
    let reply = client.run(sql);
    assert_reason(&reply, "stale");
    assert_eq!(reply.value().as_deref(), Some("6"));
    let steps = [
        parse("", sql),
        bind("", "", &[]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    let reply = ask(&mut client, &steps);
    assert_reason(&reply, "hit");
    assert_eq!(reply.status(), Some('T'));
    // The transaction is opened with its first statement that is no such read.
    client.run("update kv set v = v + 1 where k = 5");
    let reply = client.run(sql);
    assert_reason(&reply, "transaction");
    assert_eq!(reply.value().as_deref(), Some("7"));
    client.run("rollback");
    assert_eq!(client.run(sql).value().as_deref(), Some("6"));
}

/// It is run a second time, where its error belongs, and the shape is not tried again at once.
#[test]
fn a_read_that_cannot_be_kept_fails_inside_of_its_transaction() {
    let world = World::new(1, "");
    let mut client = world.client();
    for reason in ["transaction", "transaction"] {
        client.run("begin");
        let reply = client
            .query("select 1 / (v - v) from kv where k = 1")
            .unwrap();
        assert_eq!(reply.sqlstate(), "22012");
        assert_eq!(reply.status(), Some('E'));
        let reply = client.query("select v from kv where k = 1").unwrap();
        assert_eq!(reply.sqlstate(), "25P02");
        client.run("rollback");
        client.run("begin");
        let large = "select repeat('x', 3000000) || v from kv where k = 1";
        assert_reason(&client.run(large), reason);
        client.run("commit");
    }
}
