//! Other poolers: which of them are on this machine, and the least configuration that each needs.
//!
//! All get 16 upstream connections for each database and user, transaction mode, and as many
//! threads as pgweir where they have more than one.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgweir::demo::Error;

use crate::contestant::{DATABASE, Entry, Ground, POOL_SIZE, PROVEN, Setting, TRUSTED, Who};

/// The first PgBouncer with prepared statements in transaction mode.
const PREPARED_SINCE: (u32, u32) = (1, 21);

/// A pooler that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) who: Who,
    kind: Kind,
    pub(crate) version: String,
    pub(crate) has_prepared: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    PgBouncer(PathBuf),
    PgDoorman(PathBuf),
    PgDog(PathBuf),
    Odyssey(PathBuf),
    /// A shell's command with `{port}`, `{upstream}` and `{dir}`.
    Other(String),
}

/// A variable, the peer's name, and what it makes of the program.
type Known = (&'static str, &'static str, fn(PathBuf) -> Kind);

const KNOWN: [Known; 3] = [
    ("PEER_PG_DOORMAN", "pg_doorman", Kind::PgDoorman),
    ("PEER_PGDOG", "pgdog", Kind::PgDog),
    ("PEER_ODYSSEY", "odyssey", Kind::Odyssey),
];

/// PgBouncer: what `PEER_PGBOUNCER` names, or Debian's package; and those that other variables name.
pub(crate) fn find() -> Vec<Peer> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let program = named("PEER_PGBOUNCER").unwrap_or_else(|| "/usr/sbin/pgbouncer".into());
    let mut found = Vec::from_iter(pgbouncer_at(program));
    for (variable, name, kind) in KNOWN {
        found.extend(named(variable).map(|program| Peer {
            who: Who::Other(name),
            version: version(&program).unwrap_or_else(|| "of unknown version".to_owned()),
            kind: kind(program),
            has_prepared: true,
        }));
    }
    let other = std::env::var("PEER_OTHER").ok();
    let other = other.as_deref().and_then(|text| text.split_once('='));
    found.extend(other.map(|(name, command)| Peer {
        // One text for the life of the process.
        who: Who::Other(Box::leak(Box::from(name))),
        version: String::new(),
        kind: Kind::Other(command.to_owned()),
        has_prepared: true,
    }));
    found
}

fn pgbouncer_at(program: PathBuf) -> Option<Peer> {
    let version = version(&program)?;
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (parts.next()?, parts.next()?);
    Some(Peer {
        who: Who::PgBouncer,
        kind: Kind::PgBouncer(program),
        version,
        has_prepared: found >= PREPARED_SINCE,
    })
}

/// The last word of the first line that `--version` prints.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.rsplit(' ').next()?.to_owned())
}

impl Peer {
    /// How it is started; `None` where it cannot take part: others than PgBouncer come in clear
    /// only, their TLS and passwords are not configured here.
    pub(crate) fn command(
        &self,
        ground: &Ground,
        setting: Setting,
        address: SocketAddr,
    ) -> Result<Option<Command>, Error> {
        if setting.entry != Entry::Clear && self.who != Who::PgBouncer {
            return Ok(None);
        }
        let name = format!("{}-{}", self.who.as_str(), address.port());
        let base = ground.scratch.path().join(name);
        let ports = (address.port(), setting.upstream.port());
        let configured = |program: &Path, ending: &str, text: &str| -> Result<Command, Error> {
            let file = base.with_extension(ending);
            write(&file, text)?;
            let mut command = ground.scratch.command(program);
            command.arg(file);
            Ok(command)
        };
        let command = match &self.kind {
            Kind::PgBouncer(program) => {
                let text = self.pgbouncer(ground, setting, address, &base)?;
                configured(program, "ini", &text)?
            }
            Kind::PgDoorman(program) => {
                configured(program, "toml", &pg_doorman(ports, ground.workers()))?
            }
            Kind::Odyssey(program) => configured(program, "conf", &odyssey(ground, ports))?,
            Kind::PgDog(program) => {
                let (file, users) = (base.with_extension("toml"), base.with_extension("users"));
                write(&file, &pgdog(ports, ground.workers()))?;
                write(&users, &pgdog_users())?;
                let mut command = ground.scratch.command(program);
                command.arg("--config").arg(file).arg("--users").arg(users);
                command
            }
            Kind::Other(text) => {
                let text = text.replace("{port}", &ports.0.to_string());
                let text = text.replace("{upstream}", &setting.upstream.to_string());
                let directory = ground.scratch.path().display().to_string();
                let text = text.replace("{dir}", &directory);
                let mut command = ground.scratch.command(Path::new("sh"));
                command.arg("-c").arg(format!("exec {text}"));
                command
            }
        };
        Ok(Some(command))
    }

    /// Its settings. It refuses to be root, and so runs as the owner of the scratch directory.
    fn pgbouncer(
        &self,
        ground: &Ground,
        setting: Setting,
        address: SocketAddr,
        base: &Path,
    ) -> Result<String, Error> {
        let users = base.with_extension("users");
        // The verifier and not the password, from which it would derive the keys for each login.
        let verifier = &ground.verifier;
        let lines = format!("\"{TRUSTED}\" \"\"\n\"{PROVEN}\" \"{verifier}\"\n");
        write(&users, &lines)?;
        let tls = format!(
            "client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
            ground.server.certificate.display(),
            ground.server.key.display()
        );
        let login = match setting.entry {
            Entry::Clear => "auth_type = trust\n".to_owned(),
            Entry::Tls => format!("auth_type = trust\n{tls}"),
            Entry::Secure => format!("auth_type = scram-sha-256\n{tls}"),
        };
        let prepared = if self.has_prepared {
            "max_prepared_statements = 200\n"
        } else {
            ""
        };
        Ok(format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             pool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\nmax_client_conn = 12000\n\
             server_tls_sslmode = {}\nauth_file = {}\n{login}{prepared}",
            setting.upstream.port(),
            address.port(),
            setting.upstream_mode(),
            users.display()
        ))
    }
}

/// Where to listen, and where Postgres does.
type Ports = (u16, u16);

fn pg_doorman((listen, upstream): Ports, workers: usize) -> String {
    format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {listen}\nworker_threads = {workers}\n\
         max_connections = 12000\nadmin_username = \"admin\"\nadmin_password = \"admin\"\n\
         pool_mode = \"transaction\"\n\
         pg_hba = {{ content = \"host all all 127.0.0.1/32 trust\" }}\n\
         [pools.{DATABASE}]\nserver_host = \"127.0.0.1\"\nserver_port = {upstream}\n\
         [[pools.{DATABASE}.users]]\nusername = \"{TRUSTED}\"\npassword = \"\"\n\
         pool_size = {POOL_SIZE}\n"
    )
}

fn pgdog((listen, upstream): Ports, workers: usize) -> String {
    format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {listen}\nworkers = {workers}\n\
         default_pool_size = {POOL_SIZE}\npooler_mode = \"transaction\"\nauth_type = \"trust\"\n\
         [[databases]]\nname = \"{DATABASE}\"\nhost = \"127.0.0.1\"\nport = {upstream}\n"
    )
}

/// It wants a password for everybody, and has no use for it where all are trusted.
fn pgdog_users() -> String {
    format!("[[users]]\nname = \"{TRUSTED}\"\ndatabase = \"{DATABASE}\"\npassword = \"unused\"\n")
}

fn odyssey(ground: &Ground, (listen, upstream): Ports) -> String {
    let directory = ground.scratch.path().display();
    let workers = ground.workers();
    format!(
        "daemonize no\nlog_format \"%l %m\\n\"\nlog_to_stdout yes\nlog_session no\nlog_stats no\n\
         locks_dir \"{directory}\"\nworkers {workers}\n\
         listen {{ host \"127.0.0.1\"\n port {listen}\n}}\n\
         storage \"upstream\" {{ type \"remote\"\n host \"127.0.0.1\"\n port {upstream}\n}}\n\
         database default {{ user default {{ authentication \"none\"\n storage \"upstream\"\n \
         pool \"transaction\"\n pool_size {POOL_SIZE}\n pool_reserve_prepared_statement yes\n}} }}\n"
    )
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written = fs::write(path, text);
    written.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
}
