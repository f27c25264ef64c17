//! Who is measured, and how each is started: as processes of their own, all with the same Postgres.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use pgweir::demo::Error;
use pgweir::demo::postgres::{Server, free_address};
use pgweir::demo::process::{Process, Stop};
use pgweir::demo::scratch::Scratch;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::peers::Peer;

/// The user that everybody lets in without a password, and the one who has to prove itself.
pub(crate) const TRUSTED: &str = "bench";
pub(crate) const PROVEN: &str = "app";
pub(crate) const DATABASE: &str = "bench";

/// Upstream connections for each pool.
pub(crate) const POOL_SIZE: &str = "16";

/// How long a peer may take until it lets a client in, and how often it is tried: of programs that
/// are not ours nobody knows what they say when they are ready.
const START: Duration = Duration::from_secs(10);
const TRY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Direct,
    /// Answers without knowing what was asked: the floor of a hit.
    Canned,
    /// One socket copied to another: the floor of a miss.
    Relay,
    /// As it is by default.
    Pgweir,
    /// With `--cache off`: a pooler only.
    Uncached,
    /// By default, but with one worker thread.
    OneWorker,
    PgBouncer,
    /// One that a variable names.
    Other(&'static str),
}

impl Who {
    /// Those that are not somebody else's, and Postgres.
    pub(crate) const OWN: [Self; 6] = [
        Self::Direct,
        Self::Canned,
        Self::Relay,
        Self::Pgweir,
        Self::Uncached,
        Self::OneWorker,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Canned => "canned",
            Self::Relay => "relay",
            Self::Pgweir => "pgweir",
            Self::Uncached => "cache off",
            Self::OneWorker => "one worker",
            Self::PgBouncer => "pgbouncer",
            Self::Other(name) => name,
        }
    }
}

/// How clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// In clear, and trusted.
    Clear,
    /// TLS, and trusted.
    Tls,
    /// TLS and SCRAM-SHA-256.
    Secure,
}

/// Between whom somebody is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) entry: Entry,
    pub(crate) upstream: SocketAddr,
    /// By TLS.
    pub(crate) is_far: bool,
}

impl Setting {
    /// What `sslmode` is towards the upstream.
    pub(crate) fn upstream_mode(self) -> &'static str {
        if self.is_far { "require" } else { "disable" }
    }
}

/// What all have in common.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) scratch: Scratch,
    pub(crate) server: Server,
    pub(crate) password: String,
    /// What Postgres keeps of it.
    pub(crate) verifier: String,
    workers: Option<usize>,
    pub(crate) peers: Vec<Peer>,
}

impl Ground {
    pub(crate) fn new(
        scratch: Scratch,
        server: Server,
        (password, verifier): (String, String),
        workers: Option<usize>,
        peers: Vec<Peer>,
    ) -> Self {
        Self {
            scratch,
            server,
            password,
            verifier,
            workers,
            peers,
        }
    }

    /// Everybody who can take part.
    pub(crate) fn all(&self) -> Vec<Who> {
        let peers = self.peers.iter().map(|peer| peer.who);
        Who::OWN.into_iter().chain(peers).collect()
    }

    /// Threads of those who have several: what pgweir takes by itself, or what was asked for.
    pub(crate) fn workers(&self) -> usize {
        let own = std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or(own)
    }

    pub(crate) fn has_prepared(&self, who: Who) -> bool {
        self.peers.iter().all(|p| p.who != who || p.has_prepared)
    }

    /// Beside Postgres.
    pub(crate) fn near(&self, entry: Entry) -> Setting {
        Setting {
            entry,
            upstream: self.server.address,
            is_far: false,
        }
    }

    /// Where a client connects.
    pub(crate) fn url(&self, address: SocketAddr, entry: Entry) -> String {
        let (user, mode) = match entry {
            Entry::Clear => (TRUSTED.to_owned(), "disable"),
            Entry::Tls => (TRUSTED.to_owned(), "require"),
            Entry::Secure => (format!("{PROVEN}:{}", self.password), "require"),
        };
        format!("postgres://{user}@{address}/{DATABASE}?sslmode={mode}")
    }
}

/// One that is ready.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) who: Who,
    pub(crate) address: SocketAddr,
    pub(crate) entry: Entry,
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
        setting: Setting,
    ) -> Result<Option<Self>, Error> {
        let entry = setting.entry;
        if who == Who::Direct {
            let (address, process) = (setting.upstream, None);
            return Ok(Some(Self {
                who,
                address,
                entry,
                process,
            }));
        }
        let address = free_address()?;
        let Some(mut command) = command(ground, who, setting, address)? else {
            return Ok(None);
        };
        let log = format!("{}-{}.log", who.as_str(), address.port());
        let log = ground.scratch.path().join(log);
        let mut process = Process::spawn(&mut command, who.as_str(), &log, Stop::Term)?;
        match who {
            Who::PgBouncer | Who::Other(_) => {
                let url = ground.url(address, entry);
                let start = Instant::now();
                while let Err(error) = Client::connect(&url).await {
                    if start.elapsed() > START {
                        let said = std::fs::read_to_string(&log).unwrap_or_default();
                        let last = said.trim_end().lines().last().unwrap_or_default();
                        let error = std::io::Error::other(error);
                        return Err(Error::io(format!("its log ends with `{last}`"), error));
                    }
                    sleep(TRY).await;
                }
            }
            Who::Direct
            | Who::Canned
            | Who::Relay
            | Who::Pgweir
            | Who::Uncached
            | Who::OneWorker => process.wait_for("listening on").await?,
        }
        Ok(Some(Self {
            who,
            address,
            entry,
            process: Some(process),
        }))
    }
}

fn command(
    ground: &Ground,
    who: Who,
    setting: Setting,
    address: SocketAddr,
) -> Result<Option<Command>, Error> {
    let workers = ground.workers();
    let listen = address.to_string();
    let mut command = match who {
        Who::Direct => return Ok(None),
        Who::PgBouncer | Who::Other(_) => {
            let peer = ground.peers.iter().find(|peer| peer.who == who);
            return peer.map_or(Ok(None), |peer| peer.command(ground, setting, address));
        }
        Who::Canned => {
            let mut command = own()?;
            command.args(["--canned", &listen]);
            command
        }
        Who::Relay => {
            let mut command = own()?;
            command.args(["--relay", &listen, &setting.upstream.to_string()]);
            command
        }
        Who::Pgweir | Who::OneWorker => pgweir(ground, setting, &listen),
        Who::Uncached => {
            let mut command = pgweir(ground, setting, &listen);
            command.args(["--cache", "off"]);
            command
        }
    };
    let workers = if who == Who::OneWorker { 1 } else { workers };
    command.args(["--workers", &workers.to_string()]);
    Ok(Some(command))
}

/// This program, to be something else.
fn own() -> Result<Command, Error> {
    let own = std::env::current_exe().map_err(|e| Error::io("cannot find myself", e))?;
    let mut command = Command::new(own);
    command.env_clear();
    Ok(command)
}

fn pgweir(ground: &Ground, setting: Setting, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command.env_clear();
    command.args(["serve", "--listen", listen, "--admin-listen", ""]);
    command.args(["--pool-size", POOL_SIZE, "--max-clients", "12000"]);
    if setting.is_far {
        // As one would have it over a distance: the first client does not pay for the login.
        command.args(["--pool-min-idle", "1"]);
    }
    let user = match setting.entry {
        Entry::Clear | Entry::Tls => {
            command.args(["--auth", "trust"]);
            TRUSTED.to_owned()
        }
        Entry::Secure => {
            command.args(["--auth", "scram"]);
            format!("{PROVEN}:{}", ground.password)
        }
    };
    if setting.entry != Entry::Clear {
        command.args(["--tls", "require"]);
        command.arg("--tls-cert").arg(&ground.server.certificate);
        command.arg("--tls-key").arg(&ground.server.key);
    }
    let (upstream, mode) = (setting.upstream, setting.upstream_mode());
    let url = format!("postgres://{user}@{upstream}/{DATABASE}?sslmode={mode}");
    command.env("PGWEIR_UPSTREAM", url);
    command
}
