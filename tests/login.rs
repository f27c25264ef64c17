//! Every way in which Postgres may ask the proxy who it is.

use crate::support::postgres::{Login, Options, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::wire::Client;

/// Logs in upstream with what the URL and these parameters say, and asks who that was.
fn check(login: Login, tls: bool, parameters: &dyn Fn(&Postgres) -> String) {
    for install in installs() {
        let mut options = Options::new(install);
        (options.login, options.tls) = (login, tls);
        let postgres = Postgres::start_with(&options);
        let url = format!("{}?{}", postgres.url("app"), parameters(&postgres));
        let arguments = ["--upstream", &url, "--auth", "trust", "--cache", "off"];
        let proxy = Proxy::run_before(postgres.address, &arguments);
        let mut client = proxy.client_as("app");
        assert_eq!(client.value("select current_user"), "app", "{login:?}");
        let secure = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(client.value(secure), tls.to_string());
        proxy.stop();
    }
}

fn verified(postgres: &Postgres) -> String {
    format!(
        "sslmode=verify-full&sslrootcert={}",
        postgres.dir.join("ca.crt").display()
    )
}

#[test]
fn by_clear_text() {
    check(Login::Password, true, &verified);
}

#[test]
fn by_md5() {
    check(Login::Md5, false, &|_| "sslmode=disable".to_owned());
}

#[test]
fn by_scram() {
    check(Login::Scram, false, &|_| "sslmode=disable".to_owned());
}

#[test]
fn by_scram_with_channel_binding() {
    let parameters = |postgres: &Postgres| verified(postgres) + "&channel_binding=require";
    check(Login::Scram, true, &parameters);
}

#[test]
fn by_certificate() {
    let parameters = |postgres: &Postgres| {
        let file = |name| postgres.dir.join(name).display().to_string();
        let own = format!(
            "&sslcert={}&sslkey={}",
            file("client.crt"),
            file("client.key")
        );
        verified(postgres) + &own
    };
    check(Login::Cert, true, &parameters);
}

/// What Postgres says to a wrong password reaches the client, at once and as it is.
#[test]
fn a_refusal_is_passed_on() {
    let mut options = Options::new(installs().swap_remove(0));
    options.login = Login::Scram;
    let postgres = Postgres::start_with(&options);
    let url = format!(
        "postgres://app:wrong@{}/postgres?sslmode=disable",
        postgres.address
    );
    let arguments = ["--upstream", &url, "--auth", "trust", "--cache", "off"];
    let proxy = Proxy::run(&arguments);
    let settings = [("user", "app"), ("database", "postgres")];
    let refusal = match Client::connect(proxy.address, &settings) {
        Err(refusal) => refusal.to_string(),
        Ok(mut client) => client.query("select 1").unwrap().error_text(),
    };
    assert_eq!(
        refusal,
        "28P01 password authentication failed for user \"app\""
    );
    postgres.admin().run("alter role app password 'wrong'");
    assert_eq!(proxy.client_as("app").value("select current_user"), "app");
}
