//! Small applications, written as their frameworks' tutorials have it, played directly and through the proxy:
//! every page must be the same, and most of what they read must come from memory.
//!
//! The programs stand in `drivers/` (`shop_*`); `scripts/apps.sh` installs what they need and prints the figures.

mod console;
mod visits;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use self::console::Figures;
use self::visits::Accounts;
use crate::drivers::installed;
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::Client;

/// Upstreams in the pool; the applications have eight workers.
const SIZE: usize = 4;

/// Of the reads of an application, so many must be answered from memory, though everything is read for a first
/// time, and though a sixth of Django's reads carry the time of day.
const RATIO_MIN: f64 = 0.4;

/// And no more than so many may not even be looked up: what meets a write under way, and what stands behind it in
/// a transaction. One shape of an application's reads makes more than that.
const BYPASSED_MAX: f64 = 0.07;

/// Visits in a run: a longer one tells more of what a running application would see.
fn length() -> usize {
    let given = std::env::var("PGWEIR_APPS_VISITS").ok();
    given.map_or(1000, |given| given.parse().unwrap())
}

/// An application as it is started.
struct App {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
    variant: &'static str,
    accounts: Accounts,
}

impl App {
    fn python(script: &str, variant: &'static str, accounts: Accounts) -> Option<Self> {
        let arguments = vec!["-B".into(), sources().join("python").join(script)];
        Some(Self {
            name: if script.contains("django") {
                "Django"
            } else {
                "SQLAlchemy"
            },
            program: installed()?.join("venv/bin/python"),
            arguments,
            variant,
            accounts,
        })
    }

    fn drizzle(variant: &'static str) -> Option<Self> {
        installed()?;
        Some(Self {
            name: "Drizzle",
            program: "node".into(),
            arguments: vec![sources().join("node/shop_drizzle.mjs")],
            variant,
            accounts: Accounts::None,
        })
    }

    fn command(&self, port: u16, database: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).envs([
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &port.to_string()),
            ("PGUSER", "postgres"),
            ("PGDATABASE", database),
            ("PGSSLMODE", "disable"),
            ("SHOP_VARIANT", self.variant),
        ]);
        command
    }

    /// The pages, one JSON object a line.
    fn play(&self, port: u16, database: &str, folder: &Path) -> Vec<Value> {
        let pages = folder.join(database);
        let mut command = self.command(port, database);
        command.arg("play").arg(folder.join("visits"));
        command.stdout(File::create(&pages).unwrap());
        run(&mut command);
        let text = fs::read_to_string(pages).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers")
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// Plays an application both ways; the figures of the way through the proxy.
fn check(app: Option<App>) {
    let Some(app) = app else { return };
    let postgres = Postgres::start();
    let mut admin = postgres.admin();
    admin.run("create database shop");
    run(app.command(postgres.address.port(), "shop").arg("setup"));
    admin.run("create database direct template shop");
    admin.run("create database cached template shop");

    let folder = TempDir::new().unwrap();
    let visits = visits::script(app.accounts, length());
    fs::write(folder.path().join("visits"), &visits).unwrap();
    let proxy = Proxy::cached_to(postgres.address, SIZE, "");
    catalog_is_read(&proxy, "cached");
    let direct = app.play(postgres.address.port(), "direct", folder.path());
    let cached = app.play(proxy.address.port(), "cached", folder.path());
    assert_eq!(direct.len(), visits.lines().count());
    compare(&direct, &cached);

    let figures = Figures::of(proxy.address);
    eprintln!("{}", figures.table(app.name, app.variant, direct.len()));
    assert!(figures.ratio() >= RATIO_MIN, "{:.2}", figures.ratio());
    assert!(
        figures.bypassed() <= BYPASSED_MAX,
        "{:.2}",
        figures.bypassed()
    );
    proxy.stop();
}

fn compare(direct: &[Value], cached: &[Value]) {
    assert_eq!(direct.len(), cached.len());
    for (at, (direct, cached)) in direct.iter().zip(cached).enumerate() {
        assert_eq!(direct, cached, "page {at}");
        let status = direct["status"].as_u64().unwrap();
        assert!(status < 400, "page {at}: {direct}");
    }
}

/// What comes before would be asked of the database alone.
fn catalog_is_read(proxy: &Proxy, database: &str) {
    let settings = [
        ("user", "postgres"),
        ("database", database),
        ("pgweir.explain", "on"),
    ];
    let mut client = Client::connect(proxy.address, &settings).unwrap();
    eventually("the catalog is read", || {
        let reply = client.run("select 1");
        let unknown = |body: &[u8]| String::from_utf8_lossy(body).contains("catalogunknown");
        let notices = reply.0.iter().filter(|frame| frame.tag == b'N');
        (!notices.into_iter().any(|notice| unknown(&notice.body))).then_some(())
    });
}

fn django(variant: &'static str) {
    check(App::python("shop_django.py", variant, Accounts::Some));
}

fn sqlalchemy(variant: &'static str) {
    check(App::python("shop_sqlalchemy.py", variant, Accounts::None));
}

/// Runs a program that reads everything twice and is told what became of it.
fn read(script: &str, variant: &'static str) {
    let Some(app) = App::python(script, variant, Accounts::None) else {
        return;
    };
    let kind = script.trim_start_matches("reads_");
    let setup = if kind == "django.py" {
        kind
    } else {
        "sqlalchemy.py"
    };
    let tables = App::python(&format!("shop_{setup}"), "", Accounts::None).unwrap();
    let postgres = Postgres::start();
    let mut admin = postgres.admin();
    admin.run("create database cached");
    run(tables
        .command(postgres.address.port(), "cached")
        .arg("setup"));
    let proxy = Proxy::cached_to(postgres.address, SIZE, "");
    catalog_is_read(&proxy, "cached");
    run(&mut app.command(proxy.address.port(), "cached"));
    proxy.stop();
}

#[test]
fn reads_of_django() {
    read("reads_django.py", "client");
}

#[test]
fn reads_of_django_bound_by_the_server() {
    read("reads_django.py", "binding");
}

#[test]
fn reads_of_sqlalchemy() {
    read("reads_sqlalchemy.py", "");
}

#[test]
fn reads_of_others() {
    read("reads_others.py", "");
}

#[test]
fn django_autocommit() {
    django("autocommit");
}

#[test]
fn django_a_transaction_per_request() {
    django("atomic");
}

#[test]
fn django_parameters_bound_by_the_server() {
    django("binding");
}

#[test]
fn django_a_connection_per_request() {
    django("fresh");
}

#[test]
fn django_sessions_in_cookies() {
    django("cookies");
}

#[test]
fn sqlalchemy_psycopg() {
    sqlalchemy("psycopg");
}

#[test]
fn sqlalchemy_asyncpg() {
    sqlalchemy("asyncpg");
}

#[test]
fn sqlalchemy_autocommit() {
    sqlalchemy("autocommit");
}

#[test]
fn drizzle_node_postgres() {
    check(App::drizzle("pg"));
}

#[test]
fn drizzle_postgres_js() {
    check(App::drizzle("postgres"));
}
