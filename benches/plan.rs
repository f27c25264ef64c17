//! What is measured in which order: every row once a round, the contestants in turn.

use std::io::Write;
use std::time::Duration;

use pgweir::config::Target;
use pgweir::demo::postgres::{ADMIN, Install, Options as ServerOptions, Server};
use pgweir::demo::scratch::Scratch;
use pgweir::demo::{Error, measure, password};
use pgweir::pool::control::control;
use tokio_postgres::types::Type;

use crate::Options;
use crate::contestant::{Contestant, DATABASE, Entry, Ground, PROVEN, TRUSTED, Who};
use crate::far::{self, Distance};
use crate::idle::{self, Memory};
use crate::rows::{self, By, Load, Part};
use crate::sample::{self, Outcome};
use crate::script;
use crate::shapes::{self, Shapes};
use crate::{cpu, peers, pgbench};

/// The distance that the goals speak of.
pub(crate) const FAR: Duration = Duration::from_millis(70);

/// Long enough for all upstream connections and a hundred queries.
const WARM_UP: Duration = Duration::from_millis(150);

/// How long to look what others do with the machine.
const LISTENING: Duration = Duration::from_secs(1);

/// One load, and what came out for each contestant, a round after another.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) outcomes: Vec<(Who, Vec<Outcome>)>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) postgres: String,
    /// Names and versions.
    pub(crate) peers: Vec<(Who, String)>,
    pub(crate) workers: usize,
    pub(crate) processors: usize,
    pub(crate) rounds: usize,
    /// How busy the machine was before anything was started, 0 to 1.
    pub(crate) busy_before: Option<f64>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) far: Vec<Distance>,
    pub(crate) shapes: Option<Shapes>,
    /// Who did not start, and why not.
    pub(crate) absent: Vec<(Who, String)>,
}

/// The tables beside pgbench's, and who may read them.
const TABLES: &str = "
CREATE TABLE large (part int, id int, filler text);
INSERT INTO large SELECT n % 10 + 1, n, repeat(chr(97 + n % 26), 1000) FROM generate_series(1, 1000) n;
CREATE INDEX ON large (part);
VACUUM ANALYZE large;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO app;
";

/// Measures what the options ask for.
pub(crate) async fn run(options: &Options) -> Result<Results, Error> {
    let busy_before = busy().await;
    let install = Install::find()?;
    let scratch = Scratch::new("pgweir-bench")?;
    let password = password()?;
    let server = ServerOptions {
        hba: "host all bench 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        conf: "max_connections = 400\nshared_buffers = 128MB\n",
        password: &password,
    };
    let server = Server::start(&install, &scratch, server).await?;
    let (postgres, verifier) = make(&server, &password).await?;
    let secrets = (password, verifier);
    let ground = Ground::new(scratch, server, secrets, options.workers, peers::find());
    pgbench::prepare(&install, &ground).await?;
    fill(&ground).await?;

    let wants = |part| options.only.is_empty() || options.only.contains(&part);
    let mut results = Results {
        postgres,
        peers: Vec::new(),
        workers: ground.workers(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        rounds: options.rounds(),
        busy_before,
        cells: Vec::new(),
        memory: Vec::new(),
        far: Vec::new(),
        shapes: None,
        absent: Vec::new(),
    };
    let peers = ground.peers.iter();
    results.peers = peers.map(|p| (p.who, p.version.clone())).collect();
    if wants(Part::Idle) {
        memory(&ground, options, &mut results).await;
    }
    if wants(Part::Far) {
        distances(&ground, options, &mut results).await?;
    }
    if wants(Part::Shapes) {
        say("shapes");
        results.shapes = Some(shapes::shapes(&ground, results.rounds.max(3)).await);
    }
    interleave(&install, &ground, rows::rows(options), &mut results).await;
    Ok(results)
}

/// What others do with the machine.
async fn busy() -> Option<f64> {
    let before = cpu::Machine::now()?;
    tokio::time::sleep(LISTENING).await;
    Some(cpu::Machine::now()?.busy_since(before))
}

async fn distances(ground: &Ground, options: &Options, results: &mut Results) -> Result<(), Error> {
    for round_trip in options.round_trips() {
        say(&format!("{} ms away", round_trip.as_millis()));
        // Only the goals' own distance is measured often.
        let rounds = match (options.quick, round_trip == FAR) {
            (false, true) => 5,
            (true, _) | (false, false) => 1,
        };
        results
            .far
            .push(far::measure(ground, round_trip, rounds).await?);
    }
    Ok(())
}

async fn memory(ground: &Ground, options: &Options, results: &mut Results) {
    let counts: &[usize] = if options.quick {
        &[0, 1000]
    } else {
        &[0, 1, 1000, 10_000]
    };
    for entry in [Entry::Clear, Entry::Tls] {
        for who in ground.all() {
            if matches!(who, Who::Pgweir | Who::PgBouncer | Who::Other(_)) {
                say(&format!("idle clients: {}, {entry:?}", who.as_str()));
                match idle::memory(ground, who, entry, counts).await {
                    Ok(found) => results.memory.extend(found),
                    Err(error) => results.absent.push((who, error.to_string())),
                }
            }
        }
    }
}

/// Every load once a round, by every contestant in turn; every other round the other way round, so
/// that nobody always comes after the same one.
async fn interleave(install: &Install, ground: &Ground, loads: Vec<Load>, results: &mut Results) {
    let mut started = Vec::new();
    for entry in [Entry::Clear, Entry::Secure] {
        started.extend(start(ground, entry, &loads, &mut results.absent).await);
    }
    for contestant in &started {
        warm_up(install, ground, contestant, &loads).await;
    }
    let outcomes: Vec<_> = ground.all().iter().map(|who| (*who, Vec::new())).collect();
    let cells = loads.into_iter().map(|load| Cell {
        load,
        outcomes: outcomes.clone(),
    });
    results.cells = cells.collect();
    for round in 1..=results.rounds {
        for cell in &mut results.cells {
            let load = &cell.load;
            let (part, name, clients) = (load.part.as_str(), load.name, load.clients);
            say(&format!("round {round}: {part}, {name}, {clients} clients"));
            let asked = |c: &&Contestant| c.entry == load.entry && load.is_for(c.who);
            for contestant in started.iter().filter(asked) {
                let outcome = sample::measure(install, ground, contestant, load).await;
                let mut of = cell.outcomes.iter_mut();
                if let Some((_, outcomes)) = of.find(|(who, _)| *who == contestant.who) {
                    outcomes.push(outcome);
                }
            }
        }
        started.reverse();
    }
}

/// Those whom these loads are for.
async fn start(
    ground: &Ground,
    entry: Entry,
    loads: &[Load],
    absent: &mut Vec<(Who, String)>,
) -> Vec<Contestant> {
    let mut started = Vec::new();
    for who in ground.all() {
        let mut of_entry = loads.iter().filter(|load| load.entry == entry);
        if of_entry.any(|load| load.is_for(who)) {
            match Contestant::start(ground, who, ground.near(entry)).await {
                Ok(contestant) => started.extend(contestant),
                Err(error) => absent.push((who, error.to_string())),
            }
        }
    }
    started
}

/// All start warm: pools filled, statements seen, answers remembered by those who do.
async fn warm_up(install: &Install, ground: &Ground, contestant: &Contestant, loads: &[Load]) {
    let mut seen: Vec<&str> = Vec::new();
    let asked = |load: &&Load| load.entry == contestant.entry && load.is_for(contestant.who);
    for load in loads.iter().filter(asked) {
        let name = load.scripts.first().map_or("", |(script, _)| script.name);
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let load = Load {
            by: By::Ourselves,
            clients: rows::SOME * 2,
            protocol: script::Protocol::Simple,
            time: WARM_UP,
            ..*load
        };
        // What fails here fails again where it is counted.
        sample::measure(install, ground, contestant, &load).await;
    }
}

/// Makes the database and its users; tells the server's version, and what it keeps of the password.
async fn make(server: &Server, password: &str) -> Result<(String, String), Error> {
    let address = server.address;
    let url = format!("postgres://{ADMIN}:{password}@{address}/postgres?sslmode=require");
    let login = measure::login(&Target::parse(&url)?)?;
    let (client, _) = control(&login).await?;
    for statement in [
        format!("CREATE ROLE {TRUSTED} LOGIN"),
        format!("CREATE ROLE {PROVEN} LOGIN PASSWORD '{password}'"),
        format!("CREATE DATABASE {DATABASE} OWNER {TRUSTED}"),
    ] {
        client.batch_execute(&statement).await?;
    }
    let sql = "SELECT split_part(version(), ' ', 2), rolpassword FROM pg_authid WHERE rolname = $1";
    let row = client
        .query_typed_one(sql, &[(&PROVEN, Type::TEXT)])
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn fill(ground: &Ground) -> Result<(), Error> {
    let url = ground.url(ground.server.address, Entry::Clear);
    let (client, _) = control(&measure::login(&Target::parse(&url)?)?).await?;
    for statement in TABLES.split_terminator(";\n") {
        client.batch_execute(statement).await?;
    }
    Ok(())
}

/// On stderr: stdout is for the table.
fn say(text: &str) {
    // Where progress cannot be shown the bench goes on.
    let _written = writeln!(std::io::stderr().lock(), "bench: {text}");
}
