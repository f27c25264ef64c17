//! Levels, lifetimes, rules, purging, and the two ways to check the cache against the database.

use std::time::Duration;

use super::{World, assert_reason, reasons};
use crate::support::eventually;
use crate::support::wire::Client;

const SQL: &str = "select v from kv where k = 1";

/// A figure of `SHOW CACHE`.
fn figure(console: &mut Client, name: &str) -> u64 {
    let reply = console.run("show cache");
    let rows = reply.0.iter().filter(|frame| frame.tag == b'D');
    let texts = rows.map(|row| String::from_utf8_lossy(&row.body).into_owned());
    let figures = texts.filter_map(|text| {
        let (_, value) = text.split_once(name)?;
        let digits = value.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok()
    });
    figures.max().unwrap()
}

fn console(world: &World) -> Client {
    let who = [("user", "postgres"), ("database", "pgweir")];
    Client::connect(world.proxy.address, &who).unwrap()
}

#[test]
fn shadow_mode_answers_from_the_database_and_tells_what_would_have_been_wrong() {
    let mut world = World::new(1, "cache.mode = \"shadow\"\n");
    let mut client = world.client();
    assert_reason(&client.run(SQL), "miss");
    assert_reason(&client.run(SQL), "shadow");
    let mut console = console(&world);
    assert_eq!(
        (
            figure(&mut console, "compared"),
            figure(&mut console, "differed")
        ),
        (1, 0)
    );
    // A write that nobody here sees.
    world.admin.run("update kv set v = 5 where k = 1");
    assert_eq!(client.value(SQL), "5");
    assert_eq!(
        (
            figure(&mut console, "compared"),
            figure(&mut console, "differed")
        ),
        (2, 1)
    );
}

#[test]
fn the_auditor_finds_answers_that_the_database_gives_otherwise() {
    let mut world = World::new(2, "cache.audit = \"100%\"\n");
    let mut client = world.client();
    client.run(SQL);
    let mut console = console(&world);
    assert_reason(&client.run(SQL), "hit");
    eventually("a hit is checked", || {
        (figure(&mut console, "compared") > 0).then_some(())
    });
    assert_eq!(figure(&mut console, "differed"), 0);
    world.admin.run("update kv set v = 5 where k = 1");
    eventually("the difference is found", || {
        assert_eq!(client.value(SQL), "0");
        (figure(&mut console, "differed") > 0).then_some(())
    });
    world.proxy.wait_for_log("differs from the database's", 0);
}

#[test]
fn at_level_ttl_only_age_counts() {
    let settings = "cache.ttl = \"5s\"\ncache.stale_while_revalidate = \"0s\"\n\
        [[cache.rules]]\ndatabase = \"postgres\"\nlevel = \"ttl\"\n";
    let world = World::new(1, settings);
    let mut client = world.client();
    client.run(SQL);
    client.run("update kv set v = 5 where k = 1");
    assert_eq!(client.value(SQL), "0");
    eventually("its time is over", || {
        (client.value(SQL) == "5").then_some(())
    });
}

#[test]
fn an_old_answer_is_renewed_while_it_is_given() {
    let mut world = World::new(
        2,
        "cache.ttl = \"300ms\"\ncache.stale_while_revalidate = \"1h\"\n",
    );
    let mut client = world.client();
    client.run(SQL);
    world.admin.run("update kv set v = 5 where k = 1");
    // Never a miss: the first that finds it old has it renewed, and gets the old one.
    eventually("it is renewed", || {
        let reply = client.run(SQL);
        assert_reason(&reply, "hit");
        (reply.value().as_deref() == Some("5")).then_some(())
    });
    // Age is no excuse for what was written through us.
    std::thread::sleep(Duration::from_millis(400));
    client.run("update kv set v = 6 where k = 1");
    assert_eq!(client.value(SQL), "6");
}

#[test]
fn what_is_purged_is_asked_for_again() {
    let mut world = World::new(1, "");
    let mut client = world.client();
    let mut console = console(&world);
    let other = "select name from other";
    let prime = |client: &mut Client| {
        for sql in [SQL, other] {
            client.run(sql);
            assert_reason(&client.run(sql), "hit");
        }
    };
    prime(&mut client);
    world.admin.run("update kv set v = 5 where k = 1");
    console.run("purge table kv");
    assert_eq!(client.value(SQL), "5");
    assert_reason(&client.run(other), "hit");
    console.run("purge");
    assert_reason(&client.run(other), "miss");
    prime(&mut client);
    let shapes = console.run("show queries").values();
    for shape in shapes {
        console.run(&format!("purge shape {shape}"));
    }
    assert_reason(&client.run(SQL), "miss");
    console.run("purge database postgres");
    eventually("it is filled again", || {
        (reasons(&client.run(SQL)) == ["hit"]).then_some(())
    });
}

#[test]
fn rules_lower_and_raise() {
    let rules = "
[[cache.rules]]
table = \"other\"
never = true
[[cache.rules]]
user = \"alice\"
level = \"off\"
";
    let world = World::new(1, rules);
    let mut client = world.client();
    for _ in 0..2 {
        assert_reason(&client.run("select name from other"), "disabled");
    }
    client.run(SQL);
    assert_reason(&client.run(SQL), "hit");
    let who = [
        ("user", "alice"),
        ("database", "postgres"),
        ("pgweir.explain", "on"),
    ];
    let mut alice = Client::connect(world.proxy.address, &who).unwrap();
    assert_reason(&alice.run(SQL), "disabled");
    // What she writes counts all the same.
    client.run("grant update on kv to alice");
    eventually("it is filled again", || {
        (reasons(&client.run(SQL)) == ["hit"]).then_some(())
    });
    alice.run("update kv set v = 5 where k = 1");
    assert_eq!(client.value(SQL), "5");
}

#[test]
fn many_who_ask_the_same_at_once_ask_the_database_once() {
    let world = World::new(8, "");
    let slow = "select count(*) from kv a, kv b, kv c, kv d, kv e, kv f, kv g where a.v + b.v + c.v + d.v + e.v + f.v + g.v >= 0";
    let mut clients: Vec<Client> = (0..8).map(|_| world.client()).collect();
    for client in &mut clients {
        client.send(&crate::support::wire::query(slow)).unwrap();
    }
    let replies: Vec<_> = clients.iter_mut().map(|c| c.until(b'Z').unwrap()).collect();
    let values: Vec<_> = replies.iter().map(|reply| reply.value()).collect();
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    let hits = replies
        .iter()
        .filter(|reply| reasons(reply) == ["hit"])
        .count();
    assert_eq!(hits, 7);
}

/// A notice names what in particular, and what would help; both were asked for by whoever reads it.
#[test]
fn notices_name_what_stands_in_the_way() {
    let rules = "[[cache.rules]]\ntable = \"other\"\nnever = true\n";
    let world = World::new(1, rules);
    let mut client = world.client();
    let mut check = |sql: &str, fields: &[&str]| {
        let reply = client.run(sql);
        let notice = reply.0.iter().find(|frame| frame.tag == b'N').unwrap();
        let body = String::from_utf8_lossy(&notice.body).into_owned();
        for wanted in fields {
            assert!(body.contains(wanted), "{sql}: {wanted}: {body}");
        }
        body
    };
    check("select name from other", &["by rule 1 of [[cache.rules]]"]);
    let said = check("select now()", &["function now", "\0HLet the application"]);
    assert!(!said.contains("Nothing"), "{said}");
    let said = check("update kv set v = 1 where k = 1", &["write, it writes"]);
    assert_eq!(said.matches("it writes").count(), 1, "{said}");
    check("set pgweir.ttl = '0s'", &[]);
    check(SQL, &["disabled", "by the session's own SET"]);
    check("reset pgweir.ttl", &[]);
    check("prepare p as select 1", &[]);
    let pinned = ["pinned", "because of: prepared", "\0HAvoid"];
    check(SQL, &pinned);
}
