//! The page in headless Chromium: it shows what the interfaces say, to every size and by every key.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use serde_json::Value;

use super::{cached, queries, traffic, with_a_hit};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::web::get;
use crate::support::wire::{Client, query};

/// A folder: the pictures of the documents are made anew there.
const PICTURES: &str = "PGWEIR_TEST_PICTURES";

/// How long there is traffic before they are made.
const FOR_A_PICTURE: Duration = Duration::from_secs(60);

/// A name that would be a picture, and run a script, if it were taken for markup.
const STRANGE: &str = r#"select id as "<img src=x onerror=alert(1)>" from item where id = 3"#;

/// What the browser sees once the page shows so many queries; `None` without a browser.
fn look(web: SocketAddr, queries: u64, pictures: bool) -> Option<Value> {
    if Command::new("chromium").arg("--version").output().is_err() {
        eprintln!("NOT CHECKED: the page, chromium is not there; scripts/test.sh installs it");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web/browser.py");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .args([format!("http://{web}/"), queries.to_string()]);
    if let (true, Some(folder)) = (pictures, std::env::var_os(PICTURES)) {
        command.arg(folder);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn text<'a>(seen: &'a Value, id: &str) -> &'a str {
    seen["texts"][id].as_str().unwrap_or_default()
}

/// What holds whatever it shows.
fn is_sound(seen: &Value) {
    assert_eq!(seen["said"], serde_json::json!([]), "the console");
    assert_eq!(seen["strange"], 0, "markup came in");
    for (size, wider) in seen["wide"].as_object().unwrap() {
        assert!(wider.as_i64().unwrap() <= 0, "{size} scrolls by {wider}");
    }
    assert_ne!(seen["ground"][1], seen["ground"][2], "light and dark");
    let focus = serde_json::json!(["skip", "c-queries", "c-ratio"]);
    assert_eq!(seen["focus"], focus);
}

#[test]
fn the_page_shows_what_the_interfaces_say() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let mut client = with_a_hit(&proxy);
    client.run(STRANGE);
    traffic(&mut client);
    if std::env::var_os(PICTURES).is_some() {
        // A picture has to show some minutes, as a person would see them.
        let begun = Instant::now();
        while begun.elapsed() < FOR_A_PICTURE {
            traffic(&mut client);
        }
    }
    let web = proxy.web();
    let now = get(web, "/api/v1/overview").json();
    let total = &now["total"];
    let Some(seen) = look(web, total["queries"].as_u64().unwrap(), true) else {
        return;
    };
    is_sound(&seen);
    for key in ["hits", "misses", "bypasses"] {
        assert_eq!(
            text(&seen, key).replace(',', ""),
            total[key].to_string(),
            "{key}"
        );
    }
    let metrics = get(web, "/metrics").body;
    assert_eq!(
        text(&seen, "hits").replace(',', ""),
        queries(&metrics, "hit").to_string()
    );
    assert_eq!(
        text(&seen, "misses").replace(',', ""),
        queries(&metrics, "miss").to_string()
    );
    assert_eq!(
        text(&seen, "clients"),
        now["clients"]["connected"].to_string()
    );
    let shapes = seen["shapes"].as_array().unwrap();
    assert_eq!(
        shapes.len(),
        get(web, "/api/v1/queries").json().as_array().unwrap().len()
    );
    let of = |part: &str| {
        let found = shapes
            .iter()
            .find(|shape| shape.as_str().unwrap().contains(part));
        found.unwrap().as_str().unwrap()
    };
    assert!(of("onerror=alert").contains("<img src=x"));
    let write = of("update item set name = name");
    let said = "because it writes. Nothing: this is work that only the database can do.";
    assert!(
        write.contains(said) && write.contains("not cached"),
        "{write}"
    );
    assert!(text(&seen, "errors").contains("22012division by zero"));
    assert!(text(&seen, "tables").contains("item"));
    assert!(seen["readout"].as_str().unwrap().contains("from memory"));
}

#[test]
fn the_page_reads_well_before_anything_came() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let Some(seen) = look(proxy.web(), 0, false) else {
        return;
    };
    is_sound(&seen);
    assert_eq!(text(&seen, "now-ratio"), "none yet");
    assert!(text(&seen, "pools").starts_with("No client has come yet"));
    assert_eq!(seen["shapes"], serde_json::json!([]));
    for (list, empty) in [
        ("people", "No client is connected."),
        ("pins", "No session keeps an upstream."),
        ("errors", "No client was told of an error."),
        ("logins", "Every client that came got in."),
    ] {
        assert_eq!(text(&seen, list), empty);
    }
}

#[test]
fn the_page_shows_who_waits_and_what_failed() {
    let postgres = Postgres::start();
    let settings = "pool.size_max = 1\npool.timeout = \"5m\"\nadmin.token = \"t\"\ndatabases.closed.allow = [\"10.0.0.0/8\"]\n";
    let proxy = Proxy::configured(postgres.address, settings);
    let named = |name: &str| {
        let settings = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("application_name", name),
        ];
        Client::connect(proxy.address, &settings).unwrap()
    };
    let [mut pins, mut works, mut waits] = ["<b>pins</b>", "works", "waits"].map(named);
    pins.run("listen l");
    works.run("begin");
    works.run("select 1");
    assert!(works.query("select 1 / 0").unwrap().failed());
    waits.send(&query("select 2")).unwrap();
    let closed = [("user", "postgres"), ("database", "closed")];
    assert!(Client::connect(proxy.address, &closed).is_err());
    let web = proxy.web();
    eventually("a client that waits", || {
        let clients = get(web, "/api/v1/clients").json();
        (clients["clients"][0]["state"] == "waiting").then_some(())
    });
    let now = get(web, "/api/v1/overview").json();
    let queries = now["total"]["queries"].as_u64().unwrap();
    let Some(seen) = look(web, queries, false) else {
        return;
    };
    is_sound(&seen);
    let people = text(&seen, "people");
    let at = |part: &str| {
        people
            .find(part)
            .unwrap_or_else(|| panic!("{part}: {people}"))
    };
    assert!(at("waits (") < at("works (") && at("works (") < at("<b>pins</b> ("));
    assert!(at("waits for ") < at("in a transaction for "));
    assert!(at(", idle in it for ") < at("keeps an upstream"));
    let list = text(&seen, "pins");
    assert!(
        list.contains("<b>pins</b>") && list.contains("listen"),
        "{list}"
    );
    assert!(text(&seen, "errors").contains("22012division by zero"));
    let logins = text(&seen, "logins");
    assert!(
        logins.contains("auth.allow, or the list of the user or database, leaves it out1"),
        "{logins}"
    );
    works.run("rollback");
    waits.until(b'Z').unwrap();
}

#[test]
fn the_page_runs_nothing_but_its_own() {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let page = get(proxy.web(), "/");
    assert_eq!(page.status, 200);
    for policy in [
        "content-security-policy: default-src 'none'; script-src 'self';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.head.contains(policy), "{policy}: {}", page.head);
    }
    for outside in ["http:", "https:", "style=", "onclick"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    let script = get(proxy.web(), "/page/page.js");
    for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval("] {
        assert!(!script.body.contains(markup), "{markup}");
    }
}
