//! Real drivers through the proxy, with TLS and SCRAM on both sides, on each version of Postgres. The programs
//! stand in `drivers/`; `scripts/drivers.sh` installs what they need and says so by `PGWEIR_TEST_DRIVERS`.

mod console;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::time::Instant;

use crate::support::install::Install;
use crate::support::postgres::{Login, Options, PASSWORD, Postgres, installs};
use crate::support::proxy::Proxy;

/// Upstreams in the pool; the programs open twelve connections at once.
const SIZE: &str = "3";

/// No driver's life takes longer than this.
const PATIENCE_SECONDS: u64 = 120;

/// What was installed for the drivers; None, loudly, when nothing was.
pub(crate) fn installed() -> Option<PathBuf> {
    let found = std::env::var_os("PGWEIR_TEST_DRIVERS").map(PathBuf::from);
    if found.is_none() {
        eprintln!("NOT CHECKED: no driver is installed, scripts/drivers.sh does that");
    }
    found
}

/// Runs the program through the proxy on each version of Postgres.
fn check(program: impl Fn(&Path, &Path) -> Command) {
    check_on(installs(), program);
}

fn check_on(installs: Vec<Install>, program: impl Fn(&Path, &Path) -> Command) {
    let Some(installed) = installed() else { return };
    let sources = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers"));
    for install in installs {
        let mut options = Options::new(install);
        (options.login, options.tls) = (Login::Scram, true);
        let postgres = Postgres::start_with(&options);
        let proxy = proxy(&postgres);
        let mut command = program(&installed, sources);
        let port = proxy.address.port().to_string();
        command.envs([
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &port),
            ("PGUSER", "app"),
            ("PGPASSWORD", PASSWORD),
            ("PGDATABASE", "postgres"),
            ("PGSSLMODE", "verify-full"),
        ]);
        command.env("PGSSLROOTCERT", postgres.dir.join("ca.crt"));
        run(&mut command, postgres.major);
        proxy.stop();
    }
}

fn proxy(postgres: &Postgres) -> Proxy {
    let file = |name| postgres.dir.join(name).display().to_string();
    let (root, certificate, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={root}",
        postgres.url("app")
    );
    let tls = [
        "--tls",
        "require",
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ];
    let common = [
        "--upstream",
        &url,
        "--auth",
        "scram",
        "--pool-size",
        SIZE,
        "--cache",
        "off",
    ];
    Proxy::run_before(postgres.address, &[&common[..], &tls].concat())
}

fn run(command: &mut Command, major: u32) {
    command.stdin(Stdio::null());
    let mut child = command
        .spawn()
        .unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed().as_secs() > PATIENCE_SECONDS {
            end(&mut child);
            panic!("{command:?} hangs on PostgreSQL {major}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(
        status.success(),
        "{command:?} on PostgreSQL {major}: {status}"
    );
}

fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}

fn shell(script: &str) {
    check(|_, sources| {
        let mut command = Command::new("bash");
        command.arg(sources.join("shell").join(script));
        command
    });
}

fn python(script: &str) {
    check(|installed, sources| {
        let mut command = Command::new(installed.join("venv/bin/python"));
        command.arg("-B").arg(sources.join("python").join(script));
        command
    });
}

fn node(script: &str) {
    check(|_, sources| {
        let mut command = Command::new("node");
        command.arg(sources.join("node").join(script));
        command
    });
}

fn rust(program: &str) {
    check(|installed, _| Command::new(installed.join("rust/debug").join(program)));
}

#[test]
fn psql() {
    shell("psql.sh");
}

#[test]
fn pgbench() {
    shell("pgbench.sh");
}

#[test]
fn psycopg() {
    python("life_psycopg.py");
}

#[test]
fn asyncpg() {
    python("life_asyncpg.py");
}

#[test]
fn sqlalchemy() {
    python("life_sqlalchemy.py");
}

#[test]
fn django() {
    python("life_django.py");
}

#[test]
fn node_postgres() {
    node("pg.mjs");
}

#[test]
fn postgres_js() {
    node("postgres.mjs");
}

#[test]
fn drizzle() {
    node("drizzle.mjs");
}

#[test]
fn tokio_postgres() {
    rust("life_tokio_postgres");
}

#[test]
fn sqlx() {
    rust("life_sqlx");
}

#[test]
fn pgjdbc() {
    check(|_, sources| {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1"]);
        command.args(["-cp", "/usr/share/java/postgresql.jar"]);
        command.arg(sources.join("java/Life.java"));
        command
    });
}
