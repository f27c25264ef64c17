//! Real drivers and a real exporter at the console: who knows PgBouncer's finds it there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{check_on, installed};
use crate::support::postgres::{Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::web::{get, sample};
use crate::support::{eventually, free_port};

/// The console is the same in front of every version of Postgres.
fn check(program: impl Fn(&Path, &Path) -> Command) {
    check_on(
        installs().split_off(installs().len() - 1),
        |installed, sources| {
            let mut command = program(installed, sources);
            command.env("CONSOLE", "pgbouncer");
            command
        },
    );
}

fn python(script: &str) {
    check(|installed, sources| {
        let mut command = Command::new(installed.join("venv/bin/python"));
        command.arg("-B").arg(sources.join("python").join(script));
        command
    });
}

#[test]
fn console_psycopg() {
    python("console_psycopg.py");
}

#[test]
fn console_asyncpg() {
    python("console_asyncpg.py");
}

#[test]
fn console_node_postgres() {
    check(|_, sources| {
        let mut command = Command::new("node");
        command.arg(sources.join("node/console_pg.mjs"));
        command
    });
}

#[test]
fn console_pgjdbc() {
    check(|_, sources| {
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1"]);
        command.args(["-cp", "/usr/share/java/postgresql.jar"]);
        command.arg(sources.join("java/Console.java"));
        command
    });
}

/// Ended with the test.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The exporter of PyPI asks all that it knows, once for each scrape, and says whether it succeeded.
#[test]
fn console_exporter() {
    let Some(installed) = installed() else { return };
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 7, &[]);
    let mut client = proxy.client();
    for _ in 0..5 {
        client.run("select 1");
    }
    let web = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yml");
    let settings = format!(
        "exporter_host: 127.0.0.1\nexporter_port: {}\npgbouncers:\n  - dsn: postgresql://postgres:x@{}/pgbouncer\n",
        web.port(),
        proxy.address
    );
    fs::write(&file, settings).unwrap();
    let _exporter = Exporter(
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(installed.join("exporter/bin/pgbouncer-exporter"))
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually("the exporter", || {
        std::net::TcpStream::connect(web).is_ok().then_some(())
    });
    let page = get(web, "/metrics").body;
    let database = "database=\"postgres\"";
    let pool = format!("{{{database},user=\"postgres\"}}");
    let own = format!("{{backend_database=\"postgres\",{database}}}");
    for (name, value) in [
        ("pgbouncer_up".to_owned(), 1.0),
        (format!("pgbouncer_stats_queries_total{{{database}}}"), 5.0),
        (
            format!("pgbouncer_stats_transactions_total{{{database}}}"),
            5.0,
        ),
        (
            format!("pgbouncer_pools_client_active_connections{pool}"),
            1.0,
        ),
        (format!("pgbouncer_pools_client_maxwait_seconds{pool}"), 0.0),
        (
            format!("pgbouncer_pools_server_idle_connections{pool}"),
            1.0,
        ),
        (format!("pgbouncer_databases_database_pool_size{own}"), 7.0),
        ("pgbouncer_config_max_client_conn".to_owned(), 10_000.0),
    ] {
        assert!(page.contains(&name), "{name}: {page}");
        assert_eq!(
            sample(&page, &name).to_string(),
            value.to_string(),
            "{name}"
        );
    }
}
