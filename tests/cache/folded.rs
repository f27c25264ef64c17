//! What a literal means is found out when its text is parsed, and for good.

use super::{World, ask, assert_reason, reasons};
use crate::support::eventually;
use crate::support::wire::{Client, bind, execute, parse, query, sync};

/// The second of January and the first of February.
const DAYS: [&str; 2] = ["8767", "8797"];

fn text(hint: &str) -> String {
    format!("{hint} select ('01/02/2024'::date - '2000-01-01'::date) + v from kv where k = 1")
}

fn named(client: &mut Client, hint: &str) {
    assert!(!ask(client, &[parse("s", &text(hint)), sync()]).failed());
}

fn run(client: &mut Client) -> String {
    let reply = ask(client, &[bind("", "s", &[]), execute("", 0), sync()]);
    reply.value().unwrap()
}

/// Another client's settings, when it had an upstream parse what it shares with others, do not reach those.
#[test]
fn a_statement_that_is_shared_means_the_same_on_each_upstream() {
    for hint in ["/* pgweir: nocache */", ""] {
        let world = World::new(2, "");
        let (mut one, mut other) = (world.client(), world.client());
        named(&mut one, hint);
        one.run("set datestyle = 'ISO, DMY'");
        // The other upstream has to parse it for this client.
        let mut holder = world.client();
        holder.run("begin");
        holder.run("lock table other");
        run(&mut one);
        named(&mut other, hint);
        assert_eq!(run(&mut other), DAYS[0]);
        assert_eq!(run(&mut other), DAYS[0]);
        holder.run("rollback");
    }
}

/// Sent together, the text is read under what was set in front of it, and shared with nobody who did not.
#[test]
fn a_statement_sent_behind_a_setting_is_not_anybody_elses() {
    let world = World::new(1, "");
    let (mut one, mut other) = (world.client(), world.client());
    let set = query("set datestyle = 'ISO, DMY'");
    let parse = parse("s", &text("/* pgweir: nocache */"));
    one.send(&[set, parse, sync()].concat()).unwrap();
    one.until(b'Z').unwrap();
    one.until(b'Z').unwrap();
    named(&mut other, "/* pgweir: nocache */");
    assert_eq!(run(&mut other), DAYS[0]);
    assert_eq!(run(&mut one), DAYS[1]);
}

/// What was parsed under other settings is not what the same text means now, nor the other way round.
#[test]
fn an_answer_is_of_a_text_as_it_was_read() {
    let world = World::new(1, "");
    let (mut one, mut other) = (world.client(), world.client());
    named(&mut one, "");
    one.run("set datestyle = 'ISO, DMY'");
    assert_eq!(run(&mut one), DAYS[0]);
    other.run("set datestyle = 'ISO, DMY'");
    named(&mut other, "");
    assert_eq!(run(&mut other), DAYS[1]);
    assert_eq!(run(&mut other), DAYS[1]);
    assert_eq!(run(&mut one), DAYS[0]);
    // Without a literal nothing is read in it.
    ask(
        &mut one,
        &[parse("plain", "select v from kv where k = 2"), sync()],
    );
    let plain = [bind("", "plain", &[]), execute("", 0), sync()];
    ask(&mut one, &plain);
    one.run("set datestyle = 'ISO, MDY'");
    ask(&mut one, &plain);
    assert_reason(&ask(&mut one, &plain), "hit");
}

fn prepare(client: &mut Client, sql: &str) {
    assert!(!ask(client, &[parse("s", sql), sync()]).failed());
}

/// Waits until the client's statement is answered from memory.
fn settled(client: &mut Client) {
    let steps = [bind("", "s", &[]), execute("", 0), sync()];
    eventually("it is answered from memory", || {
        (reasons(&ask(client, &steps)) == ["hit"]).then_some(())
    });
}

/// The label of an enum is looked up when the text is parsed, and the statement knows it by its number
/// from then on. Who prepares it later means the label as it is by then.
#[test]
fn a_label_is_what_it_is_when_the_statement_is_prepared() {
    for size in [1, 3] {
        let mut world = World::new(size, "");
        world.admin.run(
            "create type mood as enum ('sad', 'fine'); create table moods (n int, m mood); \
             insert into moods values (1, 'sad'), (2, 'fine')",
        );
        let sql = "select n from moods where m = 'sad'";
        let (mut old, mut writer) = (world.client(), world.client());
        prepare(&mut old, sql);
        settled(&mut old);
        assert_eq!(run(&mut old), "1");
        writer.run(
            "begin; alter type mood rename value 'sad' to 'x'; \
             alter type mood rename value 'fine' to 'sad'; alter type mood rename value 'x' to 'fine'; commit",
        );
        let (mut new, mut plain) = (world.client(), world.client());
        prepare(&mut new, sql);
        assert_eq!(run(&mut new), "2");
        // Whatever the old statement says, it is no answer to others.
        for _ in 0..20 {
            run(&mut old);
            assert_eq!(plain.value(sql), "2");
        }
        settled(&mut new);
        settled(&mut old);
        assert_eq!((run(&mut old), run(&mut new)), ("2".into(), "2".into()));
    }
}

/// A client that was told of other columns gets an error, as from Postgres, and no rows of a new form.
#[test]
fn a_client_does_not_get_columns_that_it_was_not_told_of() {
    let world = World::new(1, "");
    let (mut old, mut writer) = (world.client(), world.client());
    let sql = "select * from kv where k = 1";
    prepare(&mut old, sql);
    settled(&mut old);
    writer.run("alter table kv add column more int");
    eventually("it is answered from memory", || {
        (reasons(&writer.run(sql)) == ["hit"]).then_some(())
    });
    let steps = [bind("", "s", &[]), execute("", 0), sync()];
    assert_eq!(ask(&mut old, &steps).sqlstate(), "0A000");
    assert!(!ask(&mut old, &steps).failed());
    settled(&mut old);
}
