//! Who is there, over HTTP: what SHOW CLIENTS and SHOW PINS say, the most urgent first, and no more.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::console::actions::{cell, table};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::web::{Events, get};
use crate::support::wire::{Client, query};

/// What no answer may have in it.
const SECRET: &str = "geheim4711";

/// So many upstreams as there are transactions in these tests, and a web server.
const SETTINGS: &str = "pool.size_max = 2\nadmin.token = \"t\"\ncache.level = \"ryw\"\n";

fn named(proxy: &Proxy, name: &str) -> Client {
    let settings = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("application_name", name),
    ];
    Client::connect(proxy.address, &settings).unwrap()
}

fn list(web: SocketAddr, what: &str) -> Vec<Value> {
    let mut json = get(web, &format!("/api/v1/{what}")).json();
    serde_json::from_value(json[what].take()).unwrap()
}

fn names(list: &[Value]) -> Vec<&str> {
    let rows = list.iter();
    rows.filter_map(|row| row["application_name"].as_str())
        .collect()
}

/// The rows are the console's, but for what goes on by itself.
fn same_rows(clients: &[Value], rows: &[Vec<Option<String>>]) {
    let (columns, rows) = rows.split_first().unwrap();
    let columns: Vec<&str> = columns.iter().flatten().map(String::as_str).collect();
    let id = columns.iter().position(|column| *column == "id").unwrap();
    for client in clients {
        let number = client["id"].to_string();
        let mut rows = rows.iter();
        let row = rows.find(|row| row[id].as_ref() == Some(&number)).unwrap();
        assert_eq!(client.as_object().unwrap().len(), columns.len());
        for (name, cell) in columns.iter().zip(row) {
            let moves = ["wait", "wait_us", "xact_age", "xact_idle"].contains(name);
            let value = &client[*name];
            let said = value.as_str().map(str::to_owned);
            let said = said.or_else(|| (!value.is_null()).then(|| value.to_string()));
            assert!(moves || said == *cell, "{name}: {said:?}, {cell:?}");
        }
    }
}

#[test]
fn clients_and_pins_are_those_of_the_console() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, SETTINGS);
    let web = proxy.web();
    // What they call themselves is tried on an upstream: none may be gone yet.
    let mut waits = named(&proxy, "waits");
    let mut second = named(&proxy, "second");
    let mut idle = named(&proxy, "idle");
    idle.run("select 1");
    let mut pinned = named(&proxy, "pinned");
    pinned.run("create temp table t (i int)");
    pinned.run("listen l");
    let mut first = named(&proxy, "first");
    first.run("begin");
    first.run(&format!("select '{SECRET}' from pg_sleep(0.2)"));
    second.run("begin");
    second.run("select 2 from pg_sleep(0)");
    waits.send(&query(&format!("select '{SECRET}'"))).unwrap();
    let clients = eventually("a client that waits", || {
        let clients = list(web, "clients");
        (clients[0]["state"] == "waiting").then_some(clients)
    });
    assert_eq!(
        names(&clients),
        ["waits", "first", "second", "pinned", "idle"]
    );
    let age = |row: &Value, what: &str| row[what].as_f64();
    assert!(age(&clients[1], "xact_age") > age(&clients[2], "xact_age"));
    for client in &clients[1..3] {
        // It waits for its client, and not since the beginning.
        let (all, idle) = (age(client, "xact_age"), age(client, "xact_idle"));
        assert!(idle.is_some() && idle < all, "{client}");
    }
    assert!(clients[3]["xact_age"].is_null());
    let who = [("user", "postgres"), ("database", "pgweir")];
    let mut console = Client::connect(proxy.address, &who).unwrap();
    same_rows(&clients, &table(&mut console, "SHOW CLIENTS"));
    let pins = get(web, "/api/v1/pins").json();
    assert_eq!(pins["count"], 1);
    assert_eq!(pins["pins"][0]["reasons"], "temp_table, listen");
    let pid = cell(
        &mut console,
        "SHOW PINS",
        ("application_name", "pinned"),
        "remote_pid",
    );
    assert_eq!(Some(pins["pins"][0]["remote_pid"].to_string()), pid);
    // The pinned one's transaction counts from its own beginning, and ends.
    pinned.run("begin");
    pinned.run("insert into t values (1)");
    assert_eq!(names(&list(web, "clients"))[3], "pinned");
    assert!(list(web, "clients")[3]["xact_age"].is_f64());
    pinned.run("rollback");
    assert!(list(web, "clients")[3]["xact_age"].is_null());
    for path in ["clients", "pins", "overview", "dashboard", "queries"] {
        let body = get(web, &format!("/api/v1/{path}")).body;
        assert!(!body.contains(SECRET), "{path}: {body}");
    }
    first.run("rollback");
    waits.until(b'Z').unwrap();
}

#[test]
fn lists_are_short_and_come_as_events() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, SETTINGS);
    let web = proxy.web();
    let crowd: Vec<Client> = (0..105).map(|n| named(&proxy, &n.to_string())).collect();
    let clients = get(web, "/api/v1/clients").json();
    assert_eq!(clients["count"], 105);
    assert_eq!(clients["clients"].as_array().unwrap().len(), 100);
    assert_eq!(
        get(web, "/api/v1/pins").json(),
        json!({"count": 0, "pins": []})
    );
    let (status, mut events) = Events::listen(web, "/api/v1/events");
    assert_eq!(status, 200);
    let mut people = || {
        loop {
            let event = events.next();
            if event["clients"]["clients"].is_array() {
                return event;
            }
        }
    };
    let event = people();
    assert_eq!(event["clients"]["count"], 105);
    assert_eq!(event["clients"]["clients"].as_array().unwrap().len(), 20);
    let mut one = crowd.into_iter().next().unwrap();
    one.run("listen l");
    // The others have left meanwhile.
    while people()["clients"]["count"] != 1 {}
    let pins = people()["pins"].take();
    assert_eq!(
        (&pins["count"], &pins["pins"][0]["user"]),
        (&json!(1), &json!("postgres"))
    );
}
