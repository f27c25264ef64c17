//! Other clients of the same pool, who do all they can to leave something behind.

use super::Others;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, bind, execute, parse, sync};

/// The other clients.
pub(super) struct Noise {
    clients: Vec<Client>,
    /// How many of them sit in a transaction now.
    held: usize,
    steps: usize,
    others: Others,
}

impl Noise {
    pub(super) fn new(proxy: &Proxy, others: Others) -> Self {
        let clients = match others {
            Others::Nobody => Vec::new(),
            Others::Between => vec![proxy.client()],
            Others::Holding => (0..3).map(|_| proxy.client()).collect(),
        };
        Self::with(clients, others)
    }

    pub(super) fn with(clients: Vec<Client>, others: Others) -> Self {
        Self {
            clients,
            held: 0,
            steps: 0,
            others,
        }
    }

    /// Before each step of the script. When that has the only upstream, there is nothing to be had.
    pub(super) fn step(&mut self, idle: bool) {
        if self.others == Others::Between && !idle {
            return;
        }
        for client in &mut self.clients[..self.held] {
            client.run("commit");
        }
        self.held = 0;
        for (number, client) in self.clients.iter_mut().enumerate() {
            disturb(client, number);
        }
        self.steps += 1;
        if self.others == Others::Holding {
            self.held = self.steps % 4;
            for client in &mut self.clients[..self.held] {
                client.run("begin");
                assert_eq!(client.value("select 'held'"), "held");
            }
        }
    }
}

/// Settings, statements under names that scripts use too, errors.
fn disturb(client: &mut Client, number: usize) {
    client.run("set timezone = 'Australia/Eucla'; set search_path = tenant");
    client.run("set datestyle = 'German'; set bytea_output = 'escape'");
    for name in ["", "s1", "s2"] {
        let text = format!("select 'noise {number}{name}'");
        if !name.is_empty() {
            client.run("deallocate all");
        }
        client
            .send(
                &[
                    parse(name, &text),
                    bind("", name, &[]),
                    execute("", 0),
                    sync(),
                ]
                .concat(),
            )
            .unwrap();
        let reply = client.until(b'Z').unwrap();
        assert_eq!(
            reply.values(),
            [format!("noise {number}{name}")],
            "{reply:?}"
        );
    }
    assert_eq!(client.query("select 1/0").unwrap().sqlstate(), "22012");
    assert_eq!(client.value("show timezone"), "Australia/Eucla");
}
