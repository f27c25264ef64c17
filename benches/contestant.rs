//! Who is measured, and how each is started: as processes of their own, all with the same Postgres.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgweir::demo::Error;
use pgweir::demo::postgres::{Server, free_address};
use pgweir::demo::process::{Process, Stop};
use pgweir::demo::scratch::Scratch;

/// The user that everybody lets in without a password, and the one who has to prove itself.
pub(crate) const TRUSTED: &str = "bench";
pub(crate) const PROVEN: &str = "app";
pub(crate) const DATABASE: &str = "bench";

/// Upstream connections for each pool.
const POOL_SIZE: &str = "20";

/// The first PgBouncer with prepared statements in transaction mode.
const PREPARED_SINCE: (u32, u32) = (1, 21);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Direct,
    Relay,
    /// Without its cache.
    Pgweir,
    PgBouncer,
    /// Answers without knowing what was asked: the floor of a hit.
    Canned,
    /// pgweir with its cache.
    Cached,
}

impl Who {
    pub(crate) const ALL: [Self; 6] = [
        Self::Direct,
        Self::Relay,
        Self::Pgweir,
        Self::PgBouncer,
        Self::Canned,
        Self::Cached,
    ];

    /// Those who are asked what the database has to find each time.
    pub(crate) const POOLS: [Self; 4] = [Self::Direct, Self::Relay, Self::Pgweir, Self::PgBouncer];

    /// Those who show what the cache costs a write.
    pub(crate) const WRITES: [Self; 3] = [Self::Direct, Self::Pgweir, Self::Cached];

    /// Those who are asked what was asked before.
    pub(crate) const HITS: [Self; 4] = [Self::Direct, Self::Pgweir, Self::Canned, Self::Cached];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Pgweir => "pgweir",
            Self::PgBouncer => "pgbouncer",
            Self::Canned => "canned",
            Self::Cached => "cached",
        }
    }
}

/// How clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// In clear, and trusted.
    Clear,
    /// TLS and SCRAM-SHA-256.
    Secure,
}

/// What all have in common.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) scratch: Scratch,
    pub(crate) server: Server,
    pub(crate) password: String,
    /// What Postgres keeps of it.
    pub(crate) verifier: String,
    pub(crate) workers: Option<usize>,
    pub(crate) peer: Option<Peer>,
}

/// A PgBouncer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    program: PathBuf,
    pub(crate) version: String,
    pub(crate) has_prepared: bool,
}

impl Peer {
    /// What `PEER_PGBOUNCER` names, or Debian's package.
    pub(crate) fn find(scratch: &Scratch) -> Option<Self> {
        let named = std::env::var_os("PEER_PGBOUNCER").map(PathBuf::from);
        let program = named.unwrap_or_else(|| PathBuf::from("/usr/sbin/pgbouncer"));
        let output = scratch.command(&program).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.lines().next()?.rsplit(' ').next()?.to_owned();
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        let found = (parts.next()?, parts.next()?);
        Some(Self {
            program,
            version,
            has_prepared: found >= PREPARED_SINCE,
        })
    }
}

/// One that is ready.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) who: Who,
    pub(crate) address: SocketAddr,
    /// None for Postgres itself.
    process: Option<Process>,
}

impl Contestant {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// `None` when there is no such thing on this machine.
    pub(crate) async fn start(
        ground: &Ground,
        who: Who,
        entry: Entry,
    ) -> Result<Option<Self>, Error> {
        let address = free_address()?;
        let (mut command, ready) = match who {
            Who::Direct => {
                return Ok(Some(Self {
                    who,
                    address: ground.server.address,
                    process: None,
                }));
            }
            Who::Relay => (relay(ground, address)?, "listening on"),
            Who::Pgweir => (pgweir(ground, address, entry, "off"), "listening on"),
            Who::Cached => (pgweir(ground, address, entry, "ryw"), "listening on"),
            Who::Canned => (canned(ground, address)?, "listening on"),
            Who::PgBouncer => match &ground.peer {
                Some(peer) => (pgbouncer(ground, peer, address, entry)?, "process up"),
                None => return Ok(None),
            },
        };
        let name = format!("{}-{}.log", who.as_str(), address.port());
        let log = ground.scratch.path().join(name);
        let mut process = Process::spawn(&mut command, who.as_str(), &log, Stop::Term)?;
        process.wait_for(ready).await?;
        Ok(Some(Self {
            who,
            address,
            process: Some(process),
        }))
    }
}

/// This program, to be something else.
fn own() -> Result<Command, Error> {
    let own = std::env::current_exe().map_err(|e| Error::io("cannot find myself", e))?;
    let mut command = Command::new(own);
    command.env_clear();
    Ok(command)
}

fn canned(ground: &Ground, address: SocketAddr) -> Result<Command, Error> {
    let mut command = own()?;
    command.args(["--canned", &address.to_string()]);
    workers(&mut command, ground);
    Ok(command)
}

fn relay(ground: &Ground, address: SocketAddr) -> Result<Command, Error> {
    let mut command = own()?;
    let upstream = ground.server.address.to_string();
    command.args(["--relay", &address.to_string(), &upstream]);
    workers(&mut command, ground);
    Ok(command)
}

fn pgweir(ground: &Ground, address: SocketAddr, entry: Entry, cache: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.env_clear();
    command.args([
        "serve",
        "--listen",
        &address.to_string(),
        "--admin-listen",
        "",
    ]);
    command.args(["--pool-size", POOL_SIZE, "--max-clients", "12000"]);
    command.args(["--cache", cache]);
    let upstream = ground.server.address;
    let user = match entry {
        Entry::Clear => {
            command.args(["--auth", "trust"]);
            TRUSTED.to_owned()
        }
        Entry::Secure => {
            command.args(["--auth", "scram", "--tls", "require"]);
            command.arg("--tls-cert").arg(&ground.server.certificate);
            command.arg("--tls-key").arg(&ground.server.key);
            format!("{PROVEN}:{}", ground.password)
        }
    };
    let url = format!("postgres://{user}@{upstream}/{DATABASE}?sslmode=disable");
    command.env("PGWEIR_UPSTREAM", url);
    workers(&mut command, ground);
    command
}

fn workers(command: &mut Command, ground: &Ground) {
    if let Some(workers) = ground.workers {
        command.args(["--workers", &workers.to_string()]);
    }
}

/// It refuses to be root, and so runs as the owner of the scratch directory.
fn pgbouncer(
    ground: &Ground,
    peer: &Peer,
    address: SocketAddr,
    entry: Entry,
) -> Result<Command, Error> {
    let base = ground
        .scratch
        .path()
        .join(format!("pgbouncer-{}", address.port()));
    let users = base.with_extension("users");
    // The verifier and not the password, from which it would derive the keys anew for each login.
    let (verifier, upstream) = (&ground.verifier, ground.server.address);
    write(
        &users,
        &format!("\"{TRUSTED}\" \"\"\n\"{PROVEN}\" \"{verifier}\"\n"),
    )?;
    let login = match entry {
        Entry::Clear => "auth_type = trust\n".to_owned(),
        Entry::Secure => format!(
            "auth_type = scram-sha-256\nclient_tls_sslmode = require\n\
             client_tls_cert_file = {}\nclient_tls_key_file = {}\n",
            ground.server.certificate.display(),
            ground.server.key.display()
        ),
    };
    let prepared = if peer.has_prepared {
        "max_prepared_statements = 200\n"
    } else {
        ""
    };
    let settings = base.with_extension("ini");
    write(
        &settings,
        &format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             pool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\nmax_client_conn = 12000\n\
             server_tls_sslmode = disable\nauth_file = {}\n{login}{prepared}",
            upstream.port(),
            address.port(),
            users.display()
        ),
    )?;
    let mut command = ground.scratch.command(&peer.program);
    command.arg(settings);
    Ok(command)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written = fs::write(path, text);
    written.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
}
