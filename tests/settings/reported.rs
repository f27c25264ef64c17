//! What clients are told of settings, and what holds.

use std::collections::BTreeMap;

use super::World;
use crate::support::wire::{Client, Reply};

/// A client that believes what ParameterStatus tells it.
struct Believer {
    client: Client,
    believed: BTreeMap<String, String>,
}

impl Believer {
    fn new(client: Client) -> Self {
        let greeting = Reply(client.greeting.clone());
        let mut believer = Self {
            client,
            believed: BTreeMap::new(),
        };
        believer.hear(&greeting);
        believer
    }

    fn hear(&mut self, reply: &Reply) {
        for status in reply.0.iter().filter(|frame| frame.tag == b'S') {
            let mut parts = status.body.split(|byte| *byte == 0);
            let mut part = || String::from_utf8(parts.next().unwrap().to_vec()).unwrap();
            let (name, value) = (part(), part());
            self.believed.insert(name, value);
        }
    }

    fn run(&mut self, sql: &str) {
        let reply = self.client.query(sql).unwrap();
        self.hear(&reply);
        if reply.status() == Some('E') {
            return self.run("rollback");
        }
        for name in [
            "TimeZone",
            "DateStyle",
            "application_name",
            "client_encoding",
            "IntervalStyle",
        ] {
            let shown = self.client.query(&format!("show {name}")).unwrap();
            self.hear(&shown);
            let (shown, believed) = (shown.value().unwrap(), &self.believed[name]);
            assert_eq!(&shown, believed, "after {sql}: {name}");
        }
    }
}

#[test]
fn what_is_reported_is_what_holds() {
    let world = World::new();
    let mut clients = [
        world.client(&[("application_name", "first"), ("timezone", "Asia/Tokyo")]),
        world.client(&[
            ("application_name", "second"),
            ("client_encoding", "LATIN1"),
        ]),
        world.client(&[]),
    ]
    .map(Believer::new);
    for sql in [
        "select 1",
        "set timezone = 'Europe/Berlin'",
        "set datestyle = 'German'; set application_name = 'other'",
        "begin; set timezone = 'Asia/Kolkata'; rollback",
        "begin; set intervalstyle = 'iso_8601'; savepoint s; set timezone = 'UTC'; rollback to s; commit",
        "begin; set local timezone = 'Asia/Kolkata'; select 1/0",
        "set client_encoding = 'UTF8'",
        "select set_config('timezone', 'Pacific/Auckland', false)",
        "reset all",
        "set timezone = 'Asia/Seoul'",
        "discard all",
    ] {
        for client in &mut clients {
            client.run(sql);
        }
        clients.reverse();
    }
}
