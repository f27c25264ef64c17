//! `pgweir demo`: a far Postgres on this machine, and what pgweir makes of the distance.
//!
//! A throw-away Postgres, a [`relay`] that adds a round trip in front of it, and pgweir in front of
//! that; then clients that come and go both ways. The benchmarks start their Postgres from here.

pub mod measure;
pub mod postgres;
pub mod process;
pub mod scratch;
pub mod table;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::measure::Round;
use self::postgres::{ADMIN, Install, Options, Server};
use self::process::{Process, Stop};
use self::scratch::Scratch;
use crate::config::{Fault, Target};
use crate::pool::control::control;
use crate::pool::upstream::ConnectError;
use crate::{relay, tls};

/// A transcontinental line.
pub const ROUND_TRIP: Duration = Duration::from_millis(70);

/// Measured each way, in turn, after one that does not count.
const ROUNDS: usize = 5;

/// How a shell sees a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

const USER: &str = "app";
const DATABASE: &str = "shop";

/// What the application may read, and the way in.
const DATA: &str = "
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL);
INSERT INTO products SELECT n, 'product ' || n, n % 100 FROM generate_series(1, 10000) n;
ANALYZE products;
GRANT SELECT ON products TO app;
";

/// Nobody but by TLS and SCRAM.
const HBA: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL found in PATH or /usr/lib/postgresql: install one \
         (Debian: apt install postgresql), or run scripts/demo.sh, which does"
    )]
    NoPostgres,
    #[error(
        "Postgres does not run as root, and there is no user `postgres` to run it as: \
         run this as another user"
    )]
    Root,
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{name} failed:\n{log}")]
    Ended { name: &'static str, log: String },
    #[error("{name} takes too long")]
    Slow { name: &'static str },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Url(#[from] Fault),
    #[error("a query failed: {0}")]
    Query(#[from] tokio_postgres::Error),
    #[error("asked for product {asked} and got `{got}`")]
    WrongAnswer { asked: i32, got: String },
    #[error("the system has no random numbers")]
    Random,
}

impl Error {
    /// What could not be done, and why not.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        let what = what.into();
        Self::Io { what, source }
    }
}

/// Runs the demo with that round trip. Whatever ends it, nothing of it is left.
pub fn run(round_trip: Duration) -> ExitCode {
    let mut out = io::stdout().lock();
    let mut err = io::stderr().lock();
    // One thread: the relay and the client share it, and what they do in turn takes microseconds.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(until_interrupted(show(round_trip, &mut err))),
        Err(error) => Some(Err(Error::io("cannot start", error))),
    };
    let (code, printed) = match ended {
        Some(Ok(text)) => (ExitCode::SUCCESS, write!(out, "\n{text}")),
        Some(Err(error)) => (
            ExitCode::FAILURE,
            writeln!(io::stderr().lock(), "pgweir: {error}"),
        ),
        None => (INTERRUPTED.into(), Ok(())),
    };
    // A reader that has left (`| head`) has seen what it wanted.
    printed.map_or(ExitCode::FAILURE, |()| code)
}

/// `None` when a signal came first; `work` is dropped then, and with it all that it has started.
pub async fn until_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut signals = Vec::new();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        signals.extend(signal(kind));
    }
    let any = std::future::poll_fn(|cx| {
        let came = signals.iter_mut().any(|s| s.poll_recv(cx).is_ready());
        if came {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    });
    tokio::select! {
        biased;
        () = any => None,
        ended = work => Some(ended),
    }
}

/// Sets the scene, measures, and tells.
async fn show(round_trip: Duration, progress: &mut impl Write) -> Result<String, Error> {
    // Where progress cannot be shown the demo goes on.
    let mut tell = |text: &str| drop(writeln!(progress, "{text}"));
    let install = Install::find()?;
    let scratch = Scratch::new("pgweir-demo")?;
    let password = password()?;
    tell(&format!(
        "starting a throw-away Postgres ({})",
        install.bin.display()
    ));
    let options = Options {
        hba: HBA,
        conf: "",
        password: &password,
    };
    let server = Server::start(&install, &scratch, options).await?;
    let version = fill(server.address, &password).await?;

    tell(&format!(
        "putting {} ms of round trip in front of it, and pgweir in front of that",
        round_trip.as_millis()
    ));
    let far = spawn_relay(server.address, round_trip).await?;
    let (_pgweir, near) = spawn_pgweir(&scratch, &server, &url(USER, &password, far)).await?;

    tell(&format!("measuring: {ROUNDS} clients each way, in turn"));
    let directly = Target::parse(&url(USER, &password, far))?;
    let through = Target::parse(&url(USER, &password, near))?;
    let ways = measure(&directly, &through).await?;
    let table = table::table([&ways[0], &ways[1], &ways[2]], round_trip);
    let millis = round_trip.as_millis();
    Ok(format!(
        "{table}\n\
         Medians of {ROUNDS} clients each way: TLS, SCRAM-SHA-256, PostgreSQL {version} {millis} ms away; \
         pgweir is beside the client, its pool warm. Asked before: the same two queries by another \
         client, answered from the cache.\n\
         With yours: pgweir --upstream postgres://user:password@host:5432/db, and 127.0.0.1:6432 \
         in the application.\n"
    ))
}

/// All ways in turn, so that what else the machine does meets each: directly, through pgweir, and
/// through pgweir what the client before has asked.
async fn measure(directly: &Target, through: &Target) -> Result<[Vec<Round>; 3], Error> {
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for n in 0..=ROUNDS {
        // Two products for each client, and not those of another but where that is the point.
        let id = i32::try_from(n * 4).unwrap_or(0) + 1;
        let ways = [(directly, id), (through, id + 2), (through, id + 2)];
        for ((target, id), rounds) in ways.into_iter().zip(&mut rounds) {
            let round = measure::round(target, id).await?;
            // The first is for caches that have nothing to do with the distance.
            if n > 0 {
                rounds.push(round);
            }
        }
    }
    Ok(rounds)
}

/// Makes the database and its user; tells the server's version.
async fn fill(server: SocketAddr, password: &str) -> Result<String, Error> {
    let (client, _) = control(&login(server, "postgres", password)?).await?;
    let role = format!("CREATE ROLE {USER} LOGIN PASSWORD '{password}'");
    client.batch_execute(&role).await?;
    let database = format!("CREATE DATABASE {DATABASE}");
    client.batch_execute(&database).await?;
    let (client, _) = control(&login(server, DATABASE, password)?).await?;
    client.batch_execute(DATA).await?;
    let row = client
        .query_typed_one("SELECT split_part(version(), ' ', 2)", &[])
        .await?;
    Ok(row.try_get(0)?)
}

fn login(
    server: SocketAddr,
    database: &str,
    password: &str,
) -> Result<crate::pool::upstream::Login, Error> {
    let mut target = Target::parse(&url(ADMIN, password, server))?;
    target.database = Some(database.to_owned());
    measure::login(&target)
}

fn url(user: &str, password: &str, address: SocketAddr) -> String {
    format!("postgres://{user}:{password}@{address}/{DATABASE}?sslmode=require")
}

async fn spawn_relay(upstream: SocketAddr, round_trip: Duration) -> Result<SocketAddr, Error> {
    let failed = |error| Error::io("cannot listen on 127.0.0.1", error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(relay::serve(listener, upstream, relay::Line { round_trip }));
    Ok(address)
}

/// This program again, as anyone would start it.
async fn spawn_pgweir(
    scratch: &Scratch,
    server: &Server,
    upstream: &str,
) -> Result<(Process, SocketAddr), Error> {
    let program = std::env::current_exe().map_err(|e| Error::io("cannot find myself", e))?;
    let log = scratch.path().join("pgweir.log");
    let mut failure = Error::Slow { name: "pgweir" };
    for _ in 0..postgres::STARTS_MAX {
        let address = postgres::free_address()?;
        let mut command = Command::new(&program);
        // By the environment, where `ps` does not show the password. Nothing else of it: a
        // PGWEIR_LISTEN of the user's is not meant for the demo.
        command.env_clear().env("PGWEIR_UPSTREAM", upstream);
        command.args([
            "serve",
            "--listen",
            &address.to_string(),
            "--admin-listen",
            "",
        ]);
        command.arg("--tls-cert").arg(&server.certificate);
        command.arg("--tls-key").arg(&server.key);
        command.args(["--tls", "require", "--pool-min-idle", "1"]);
        let mut process = Process::spawn(&mut command, "pgweir", &log, Stop::Term)?;
        match process.wait_for("listening on").await {
            Ok(()) => return Ok((process, address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A password that nobody can guess: the superuser's is one, and a loopback port is for everybody.
///
/// # Errors
/// When the system has no random numbers.
pub fn password() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_nothing_known| Error::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
