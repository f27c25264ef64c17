//! Logging in over TLS: by certificate, and by a password that is bound to the connection.

use std::process::Command;

use tempfile::TempDir;

use super::asking;
use crate::support::certificates;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::proxy::Proxy;
use crate::support::wire::Client;

/// What psql says with these connection parameters: a client that knows TLS.
fn psql(proxy: &Proxy, parameters: &str) -> Result<String, String> {
    let address = proxy.address;
    let target = format!(
        "host={} port={} dbname=postgres {parameters}",
        address.ip(),
        address.port()
    );
    let mut command = Command::new("psql");
    command.args(["-XAtc", "select current_user", &target]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PGPASSWORD", PASSWORD);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[test]
fn by_certificate() {
    let postgres = Postgres::start();
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    certificates::make(ours.path());
    certificates::make(theirs.path());
    let file = |folder: &TempDir, name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "auth.mode = \"cert\"\nlisten.tls.cert = \"{}\"\nlisten.tls.key = \"{}\"\nlisten.tls.client_ca = \"{}\"\n",
        file(&ours, "server.crt"),
        file(&ours, "server.key"),
        file(&ours, "ca.crt")
    );
    let proxy = Proxy::configured(postgres.address, &text);
    let root = format!("sslmode=verify-full sslrootcert={}", file(&ours, "ca.crt"));
    let with = |folder: &TempDir, user: &str| {
        let (cert, key) = (file(folder, "client.crt"), file(folder, "client.key"));
        psql(
            &proxy,
            &format!("user={user} {root} sslcert={cert} sslkey={key}"),
        )
    };
    assert_eq!(with(&ours, "app").unwrap(), "app");
    let other = with(&ours, "postgres").unwrap_err();
    assert!(
        other.contains("certificate authentication failed for user \"postgres\""),
        "{other}"
    );
    let foreign = with(&theirs, "app").unwrap_err();
    assert!(!foreign.contains("FATAL"), "{foreign}");
    let none = psql(
        &proxy,
        &format!("user=app {root} sslcert=/none sslkey=/none"),
    )
    .unwrap_err();
    assert!(
        none.contains("requires a valid client certificate"),
        "{none}"
    );
    let clear = psql(&proxy, "user=app sslmode=disable").unwrap_err();
    assert!(
        clear.contains("requires a valid client certificate"),
        "{clear}"
    );
}

/// libpq shows nothing that comes before the answer to its request for TLS.
#[test]
fn one_too_many_reads_why() {
    let postgres = Postgres::start();
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path());
    let text = format!(
        "listen.clients_max = 1\nlisten.tls.cert = \"{0}/server.crt\"\nlisten.tls.key = \"{0}/server.key\"\n",
        folder.path().display()
    );
    let proxy = Proxy::configured(postgres.address, &text);
    let _inside = Client::log_in(proxy.address, ("app", "postgres"), "").unwrap();
    for mode in ["require", "prefer", "disable"] {
        let said = psql(&proxy, &format!("user=app sslmode={mode}")).unwrap_err();
        assert!(
            said.contains("sorry, there is 1 client already"),
            "{mode}: {said}"
        );
        assert!(
            said.contains("PW0101: Raise listen.clients_max"),
            "{mode}: {said}"
        );
    }
}

/// TLS that is required, and SCRAM that is bound to it.
#[test]
fn by_password_over_tls() {
    let postgres = asking();
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("{}?sslmode=disable", postgres.url("app"));
    let text = format!(
        "upstream.url = \"{url}\"\nauth.mode = \"scram\"\nlisten.tls.mode = \"require\"\n\
         listen.tls.cert = \"{}\"\nlisten.tls.key = \"{}\"\n",
        file("server.crt"),
        file("server.key")
    );
    let proxy = Proxy::configured(postgres.address, &text);
    let root = format!("sslmode=verify-full sslrootcert={}", file("ca.crt"));
    let bound = format!("user=app {root} channel_binding=require");
    assert_eq!(psql(&proxy, &bound).unwrap(), "app");
    let wrong = psql(&proxy, &format!("{bound} password=wrong")).unwrap_err();
    assert!(
        wrong.contains("password authentication failed for user \"app\""),
        "{wrong}"
    );
    let clear = psql(&proxy, "user=app sslmode=disable").unwrap_err();
    assert!(
        clear.contains("connections without TLS are not allowed"),
        "{clear}"
    );
}
