//! A PostgreSQL server of a test's own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::{Client, NoTls};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server of its own on a free port; it and its files go when this is dropped.
pub(super) struct Server {
    directory: tempfile::TempDir,
    pub(super) port: u16,
}

impl Server {
    /// `None`, with a word on it, where PostgreSQL is not installed.
    pub(super) fn start() -> Option<Self> {
        if !Path::new(BIN).exists() {
            eprintln!("skipped: no PostgreSQL in {BIN}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let server = Self { directory, port };
        if is_root() {
            run(Command::new("chown")
                .arg("postgres")
                .arg(server.directory.path()));
        }
        let data = server.data();
        run(as_owner("initdb")
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
            .arg(&data));
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k ''");
        run(as_owner("pg_ctl")
            .args(["-w", "-l", "/dev/null", "-o", &options, "-D"])
            .arg(&data)
            .arg("start"));
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(super) async fn connect(port: u16) -> Result<Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={port} user=postgres");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        drop(tokio::spawn(connection));
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(as_owner("pg_ctl")
            .args(["-m", "immediate", "-D"])
            .arg(self.data())
            .arg("stop"));
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

/// A program of PostgreSQL's, as a user that it accepts.
fn as_owner(program: &str) -> Command {
    let program = format!("{BIN}/{program}");
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
}
