//! A process takes over from another under load, and no query is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, terminate};

/// Clients that connect for each transaction.
const CLIENTS: usize = 8;

/// Transactions before, between and after.
const ENOUGH: usize = 200;

struct Load {
    address: SocketAddr,
    done: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    fn run(&self) {
        let who = [("user", "postgres"), ("database", "postgres")];
        while !self.over.load(Ordering::Relaxed) {
            // A connection may be reset while a listener closes; nothing has been asked on it.
            let Ok(mut client) = Client::connect(self.address, &who) else {
                continue;
            };
            client.run("begin");
            client.run("insert into mark values (1)");
            client.run("commit");
            client.send(&terminate()).unwrap();
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_for_more(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("more transactions", || {
            (self.done.load(Ordering::Relaxed) >= before + ENOUGH).then_some(())
        });
    }
}

#[test]
fn a_successor_takes_over_without_losing_a_query() {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let old = Proxy::configured(
        postgres.address,
        "listen.reuse_port = true\npool.size_max = 4\n",
    );
    let load = Load {
        address: old.address,
        done: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    let mut stays = old.client();
    stays.run("begin");
    stays.run("insert into mark values (2)");
    let _new = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| load.run());
        }
        load.wait_for_more();
        let new = old.successor();
        load.wait_for_more();
        old.signal("USR1");
        old.wait_for_log("until all have left", 0);
        load.wait_for_more();
        // One that was there goes on until it leaves.
        stays.run("insert into mark values (2)");
        stays.run("commit");
        assert_eq!(stays.value("select count(*) from mark where a = 2"), "2");
        drop(stays);
        old.ended();
        load.wait_for_more();
        load.over.store(true, Ordering::Relaxed);
        new
    });
    let committed = postgres
        .admin()
        .value("select count(*) from mark where a = 1");
    assert_eq!(committed, load.done.load(Ordering::Relaxed).to_string());
}
