//! Settings that cannot be made again: nothing runs without them.

use super::World;
use crate::support::wire::{Client, bind, execute, parse, query, sync};

/// A client whose role was dropped while another one, who comes back too, had the upstream.
fn without_role() -> (World, Client, Client) {
    let mut world = World::new();
    world
        .admin
        .run("create role brief; grant all on mark to brief");
    let (mut client, mut stranger) = (world.client(&[]), world.client(&[]));
    client.run("set role brief");
    assert_eq!(client.value("select current_user"), "brief");
    world.check_stranger(&mut stranger, "set role brief");
    world.admin.run("drop owned by brief; drop role brief");
    (world, client, stranger)
}

const INSERT: &str = "insert into mark default values";

fn nothing_was_done(world: &mut World) {
    assert_eq!(world.admin.value("select count(*) from mark"), "0");
}

/// The messages of the extended protocol that run this.
fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

#[test]
fn each_statement_fails() {
    let (mut world, mut client, mut stranger) = without_role();
    for request in [
        query(INSERT),
        query(&format!("{INSERT}; commit; {INSERT}")),
        query(&format!("begin; {INSERT}; commit")),
        query(&format!("commit; {INSERT}")),
        query("rollback"),
        [run(INSERT), sync()].concat(),
        [run("commit"), run(INSERT), sync()].concat(),
    ] {
        client.send(&request).unwrap();
        let reply = client.until(b'Z').unwrap();
        assert_eq!(reply.sqlstate(), "22023", "{reply:?}");
        assert_eq!(reply.status(), Some('I'));
        let errors = reply.0.iter().filter(|f| f.tag == b'E').count();
        let done = reply.0.iter().filter(|f| f.tag == b'C').count();
        assert_eq!((errors, done), (1, 0), "{reply:?}");
        world.check_stranger(&mut stranger, "a role that was dropped");
    }
    nothing_was_done(&mut world);
}

/// Also where everything was sent before the first error came.
#[test]
fn a_pipeline_fails_throughout() {
    let (mut world, mut client, mut stranger) = without_role();
    let requests = [INSERT, "commit", INSERT, "rollback", INSERT].map(query);
    client.send(&requests.concat()).unwrap();
    for _ in 0..requests.len() {
        assert_eq!(client.until(b'Z').unwrap().sqlstate(), "22023");
    }
    let groups = ["rollback", INSERT, "commit", INSERT].map(|sql| [run(sql), sync()].concat());
    client.send(&groups.concat()).unwrap();
    for _ in 0..groups.len() {
        assert_eq!(client.until(b'Z').unwrap().sqlstate(), "22023");
    }
    world.check_stranger(&mut stranger, "a role that was dropped");
    nothing_was_done(&mut world);
}

/// Its BEGIN was held back and has been answered: then it is a transaction that has failed.
#[test]
fn a_transaction_fails() {
    let (mut world, mut client, mut stranger) = without_role();
    for end in ["rollback", "commit"] {
        assert_eq!(client.run("begin").status(), Some('T'));
        for _ in 0..2 {
            let reply = client.query(INSERT).unwrap();
            assert_eq!(
                (reply.sqlstate().as_str(), reply.status()),
                ("22023", Some('E'))
            );
            assert_eq!(reply.0.len(), 2, "{reply:?}");
            world.check_stranger(&mut stranger, "a role that was dropped");
        }
        assert_eq!(client.run(end).status(), Some('I'));
    }
    nothing_was_done(&mut world);
}

#[test]
fn a_role_that_comes_back_serves_again() {
    let (mut world, mut client, _stranger) = without_role();
    assert_eq!(client.query(INSERT).unwrap().sqlstate(), "22023");
    world
        .admin
        .run("create role brief; grant all on mark to brief");
    client.run(INSERT);
    assert_eq!(world.admin.value("select who from mark"), "brief");
    assert_eq!(
        world.postgres.admin().value("select count(*) from mark"),
        "1"
    );
}
