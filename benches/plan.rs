//! What is measured in which order: everything once a round, the contestants in turn.

use std::io::Write;

use pgweir::config::Target;
use pgweir::demo::postgres::{ADMIN, Install, Options as ServerOptions, Server};
use pgweir::demo::scratch::Scratch;
use pgweir::demo::{Error, measure, password};
use pgweir::pool::control::control;
use tokio_postgres::types::Type;

use crate::Options;
use crate::contestant::{Contestant, DATABASE, Entry, Ground, PROVEN, Peer, TRUSTED, Who};
use crate::cpu;
use crate::idle;
use crate::load::{self, Load, Outcome, PROTOCOLS, Workload};

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Processor time for each query
    Cpu,
    /// Processor time for each query that was asked before, and what the cache costs a write
    Hits,
    /// Connections
    Connect,
    /// Resident memory
    Memory,
}

/// Clients that connect at once.
const CONNECTING: usize = 8;

/// All contestants start warm: pools filled, statements seen, answers remembered by those who do.
const WARM_UP: [Load; 2] = [warm_up(Workload::Simple), warm_up(Workload::Hit("simple"))];

const fn warm_up(workload: Workload) -> Load {
    Load {
        workload,
        clients: 64,
        seconds: 1,
    }
}

/// One load, and what came out for each contestant, a round after another.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) outcomes: Vec<(Who, Vec<Outcome>)>,
}

/// Resident memory with so many idle clients.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) who: Who,
    pub(crate) clients: usize,
    pub(crate) resident: Result<u64, String>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) postgres: String,
    pub(crate) pgbouncer: String,
    pub(crate) workers: String,
    pub(crate) rounds: usize,
    pub(crate) cells: Vec<Cell>,
    pub(crate) memory: Vec<Memory>,
}

/// Measures what the options ask for.
pub(crate) async fn run(options: &Options) -> Result<Results, Error> {
    let install = Install::find()?;
    let scratch = Scratch::new("pgweir-bench")?;
    let peer = Peer::find(&scratch);
    let password = password()?;
    let server = ServerOptions {
        hba: "host all bench 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        conf: "max_connections = 300\nshared_buffers = 128MB\n",
        password: &password,
    };
    let server = Server::start(&install, &scratch, server).await?;
    let (postgres, verifier) = fill(&server, &password).await?;
    let ground = Ground {
        scratch,
        server,
        password,
        verifier,
        workers: options.workers,
        peer,
    };
    load::prepare(&install, &ground).await?;

    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 3 });
    let wants = |part| options.only.is_none_or(|only| only == part);
    let mut loads = Vec::new();
    if wants(Part::Cpu) {
        loads.extend(query_loads(options));
    }
    if wants(Part::Hits) {
        loads.extend(hit_loads(options));
    }
    if wants(Part::Connect) {
        loads.extend(connect_loads(options));
    }
    let mut memory = Vec::new();
    if wants(Part::Memory) {
        say("memory");
        for who in [Who::Pgweir, Who::PgBouncer] {
            memory.extend(idle_memory(&ground, who, options.quick).await?);
        }
    }
    let cells = interleave(&install, &ground, &loads, rounds).await?;
    Ok(Results {
        postgres,
        pgbouncer: ground.peer.map_or("none".to_owned(), |peer| peer.version),
        workers: workers(options.workers),
        rounds,
        cells,
        memory,
    })
}

fn workers(given: Option<usize>) -> String {
    let own = std::thread::available_parallelism().map_or(1, usize::from);
    given.unwrap_or(own).to_string()
}

fn query_loads(options: &Options) -> Vec<Load> {
    loads_of(
        &[Workload::Simple, Workload::Extended, Workload::Prepared],
        options,
    )
}

fn hit_loads(options: &Options) -> Vec<Load> {
    let mut loads = loads_of(&PROTOCOLS.map(Workload::Hit), options);
    loads.extend(loads_of(
        &[Workload::Write("simple"), Workload::Write("prepared")],
        options,
    ));
    loads
}

/// Each of these with each number of clients.
fn loads_of(workloads: &[Workload], options: &Options) -> Vec<Load> {
    let all = if options.quick {
        vec![16]
    } else {
        vec![1, 16, 64]
    };
    let all = options.clients.clone().unwrap_or(all);
    workloads
        .iter()
        .flat_map(|workload| all.iter().map(|clients| (*workload, *clients)))
        .map(|(workload, clients)| Load {
            workload,
            clients,
            seconds: options.seconds,
        })
        .collect()
}

fn connect_loads(options: &Options) -> Vec<Load> {
    [Entry::Clear, Entry::Secure]
        .map(|entry| Load {
            workload: Workload::Connect(entry),
            clients: CONNECTING,
            seconds: options.seconds,
        })
        .to_vec()
}

/// Every load once a round, by every contestant in turn; every other round the other way round, so
/// that nobody always comes after the same one.
async fn interleave(
    install: &Install,
    ground: &Ground,
    loads: &[Load],
    rounds: usize,
) -> Result<Vec<Cell>, Error> {
    let mut clear = start(ground, Entry::Clear, loads).await?;
    let mut secure = start(ground, Entry::Secure, loads).await?;
    for contestant in &clear {
        for warm_up in WARM_UP {
            load::measure(install, ground, contestant, warm_up).await;
        }
    }
    let outcomes = || Who::ALL.map(|who| (who, Vec::new())).to_vec();
    let mut cells: Vec<Cell> = loads
        .iter()
        .map(|load| Cell {
            load: *load,
            outcomes: outcomes(),
        })
        .collect();
    for round in 1..=rounds {
        for cell in &mut cells {
            let (load, workload) = (cell.load, cell.load.workload);
            say(&format!(
                "round {round}: {}, {} clients",
                workload.as_str(),
                load.clients
            ));
            let contestants = match workload.entry() {
                Entry::Clear => &clear,
                Entry::Secure => &secure,
            };
            let asked = workload.contestants();
            for contestant in contestants.iter().filter(|c| asked.contains(&c.who)) {
                let outcome = load::measure(install, ground, contestant, load).await;
                let mut of = cell.outcomes.iter_mut();
                if let Some((_, outcomes)) = of.find(|(who, _)| *who == contestant.who) {
                    outcomes.push(outcome);
                }
            }
        }
        clear.reverse();
        secure.reverse();
    }
    Ok(cells)
}

/// Those whom these loads are for.
async fn start(ground: &Ground, entry: Entry, loads: &[Load]) -> Result<Vec<Contestant>, Error> {
    let mut started = Vec::new();
    let of_entry = loads.iter().filter(|load| load.workload.entry() == entry);
    let asked: Vec<Who> = of_entry
        .flat_map(|load| load.workload.contestants())
        .copied()
        .collect();
    for who in Who::ALL.into_iter().filter(|who| asked.contains(who)) {
        started.extend(Contestant::start(ground, who, entry).await?);
    }
    Ok(started)
}

/// Of a process that has done nothing before.
async fn idle_memory(ground: &Ground, who: Who, quick: bool) -> Result<Vec<Memory>, Error> {
    let Some(contestant) = Contestant::start(ground, who, Entry::Clear).await? else {
        return Ok(Vec::new());
    };
    let counts: &[usize] = if quick {
        &[0, 1000]
    } else {
        &[0, 1000, 10_000]
    };
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for clients in counts {
        let opened = idle::open(&mut open, contestant.address, *clients).await;
        let resident = opened.map_err(|error| error.to_string()).and_then(|()| {
            let resident = contestant.pid().and_then(cpu::resident_kib);
            resident.ok_or_else(|| "the process is gone".to_owned())
        });
        found.push(Memory {
            who,
            clients: *clients,
            resident,
        });
    }
    Ok(found)
}

/// Makes the database and its users; tells the server's version, and what it keeps of the password.
async fn fill(server: &Server, password: &str) -> Result<(String, String), Error> {
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

/// On stderr: stdout is for the table.
fn say(text: &str) {
    // Where progress cannot be shown the bench goes on.
    let _written = writeln!(std::io::stderr().lock(), "bench: {text}");
}
