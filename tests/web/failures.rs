//! What went wrong, over HTTP: kinds of errors and failed logins, without a word of anybody's data.

use std::io::Write as _;

use pgweir::wire::condition::CONDITIONS;
use pgweir::wire::trouble;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::postgres::{Options, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::web::{connect, get, sample};
use crate::support::wire::Client;

/// What no answer may have in it: parameters, rows, texts, names of those who did not get in.
const SECRET: &str = "geheim4711";

/// The kinds of errors, the latest first: severity, SQLSTATE, code, meaning, times.
fn last(proxy: &Proxy) -> Vec<Value> {
    let list = get(proxy.web(), "/api/v1/errors/last").json();
    let fields = ["severity", "sqlstate", "code", "what", "times"];
    let one = |error: &Value| fields.map(|field| error[field].clone()).to_vec().into();
    list.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn errors_are_named_and_not_quoted() {
    let postgres = Postgres::start();
    let settings = "pool.pin = \"error\"\nadmin.token = \"t\"\n";
    let proxy = Proxy::configured(postgres.address, settings);
    let mut client = proxy.client();
    client.run("create table kept (name text primary key)");
    let insert = format!("insert into kept values ('{SECRET}')");
    client.run(&insert);
    for _ in 0..3 {
        let reply = client.query(&insert).unwrap();
        assert!(format!("{reply:?}").contains("23505"), "{reply:?}");
    }
    let raise = format!("do $$ begin raise '{SECRET}' using errcode = 'AB123'; end $$");
    assert!(client.query(&raise).unwrap().failed());
    assert!(client.query("listen l").unwrap().failed());
    let expected = json!([
        ["ERROR", "0A000", "PW0402", trouble::WOULD_PIN.what, 1],
        ["ERROR", "AB123", null, "a code of the application's own", 1],
        ["ERROR", "23505", null, "unique violation", 3],
    ]);
    assert_eq!(Value::Array(last(&proxy)), expected);
    for path in ["errors/last", "errors", "dashboard", "queries", "overview"] {
        let body = get(proxy.web(), &format!("/api/v1/{path}")).body;
        assert!(!body.contains(SECRET), "{path}: {body}");
    }
}

/// A session that cannot begin is an error of its pool, and a login that failed.
#[test]
fn what_a_login_is_told_counts() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, "admin.token = \"t\"\n");
    let nowhere = [("user", "postgres"), ("database", SECRET)];
    assert!(Client::connect(proxy.address, &nowhere).is_err());
    let expected = json!(["FATAL", "3D000", null, "invalid catalog name", 1]);
    assert_eq!(last(&proxy), [expected]);
    let failures = "pgweir_login_failures_total{reason=\"upstream\"}";
    assert_eq!(sample(&get(proxy.web(), "/metrics").body, failures), 1.0);
}

/// A proxy that asks for passwords, and one place.
fn guarded(postgres: &Postgres) -> Proxy {
    let settings = [
        "auth.mode = \"scram\"",
        "databases.closed.allow = [\"10.0.0.0/8\"]",
        "listen.login_timeout = \"4s\"",
        "listen.clients_per_user_max = 1",
        "admin.token = \"t\"",
        "admin.users = [\"postgres\"]",
        "[[users]]\nname = \"postgres\"\npassword = \"right\"",
        "[[users]]\nname = \"guest\"\npassword = \"right\"",
    ];
    Proxy::configured(postgres.address, &settings.join("\n"))
}

#[test]
fn failed_logins_are_counted_by_reason() {
    let postgres = Postgres::start();
    let proxy = guarded(&postgres);
    let web = proxy.web();
    let refused = |user: &str, database: &str, password: &str| {
        let tried = Client::log_in(proxy.address, (user, database), password);
        assert!(tried.is_err(), "{user} {database}");
    };
    // Whoever waits too long waits meanwhile, and a port scan is no login.
    let slow = connect(proxy.address);
    drop(connect(proxy.address));
    refused("postgres", "postgres", SECRET);
    refused(SECRET, "postgres", "right");
    refused("postgres", "closed", "right");
    let first = Client::log_in(proxy.address, ("postgres", "postgres"), "right").unwrap();
    refused("postgres", "postgres", "right");
    drop(first);
    refused("guest", "pgweir", "right");
    let mut nonsense = connect(proxy.address);
    nonsense.write_all(&[0, 0, 0, 8, 0, 9, 0, 0]).unwrap();
    let expected = [
        ("password", 2),
        ("address", 1),
        ("timeout", 1),
        ("protocol", 1),
        ("limit", 1),
        ("console", 1),
    ];
    let counted = eventually("all counted", || {
        let list = get(web, "/api/v1/logins").json();
        let list = list.as_array().unwrap().iter();
        let list: Vec<(String, u64)> = list
            .map(|one| {
                let reason = one["reason"].as_str().unwrap().to_owned();
                (reason, one["failures"].as_u64().unwrap())
            })
            .collect();
        (list.len() == expected.len()).then_some(list)
    });
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(counted, expected);
    drop(slow);
    let page = get(web, "/metrics").body;
    for (reason, count) in expected {
        let name = format!("pgweir_login_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(sample(&page, &name).to_string(), count.to_string());
    }
    // Those that never happened are there, so that a rate can be made of the first.
    assert!(page.contains("pgweir_login_failures_total{reason=\"tls\"} 0"));
    for path in ["/metrics", "/api/v1/logins", "/api/v1/dashboard"] {
        assert!(!get(web, path).body.contains(SECRET), "{path}");
    }
}

/// Postgres itself knows each by that name; those of other versions are few.
#[test]
fn conditions_are_those_of_postgres() {
    for install in installs() {
        let postgres = Postgres::start_with(&Options::new(install));
        let mut client = postgres.admin();
        let mut unknown = 0;
        for (code, name) in CONDITIONS {
            let raise = format!("do $$ begin raise using errcode = '{name}'; end $$");
            let told = client.query(&raise).unwrap().sqlstate();
            let same = |other: &&(&str, &str)| other.1 == *name && other.0 == told;
            // A name may stand for two codes, and 42704 is a name that it does not know.
            let known = told == *code || CONDITIONS.iter().any(|other| same(&other));
            assert!(known || told == "42704", "{code} {name}: {told}");
            unknown += usize::from(!known);
        }
        assert!(unknown <= 5, "{unknown}");
    }
}
