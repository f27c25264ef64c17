//! A load made by pgbench.

use pgweir::demo::Error;
use pgweir::demo::postgres::Install;
use pgweir::demo::process::{Process, Stop};

use crate::contestant::{Contestant, DATABASE, Entry, Ground, PROVEN, TRUSTED};
use crate::rows::{Load, Pace};
use crate::sample::{self, Figures};
use crate::script;

/// Puts its tables and scripts where it finds them.
pub(crate) async fn prepare(install: &Install, ground: &Ground) -> Result<(), Error> {
    for script in script::ALL {
        let path = ground.scratch.path().join(format!("{}.sql", script.name));
        let written = std::fs::write(&path, script.pgbench());
        written.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
    }
    let mut command = ground.scratch.command(&install.program("pgbench"));
    command.args([
        "-i",
        "-q",
        "-s",
        "1",
        "-h",
        "127.0.0.1",
        "-U",
        TRUSTED,
        "-p",
    ]);
    command.arg(ground.server.address.port().to_string());
    command.arg(DATABASE);
    let log = ground.scratch.path().join("pgbench.log");
    let process = Process::spawn(&mut command, "pgbench", &log, Stop::Term)?;
    process.finish().await?;
    Ok(())
}

/// Runs it. What it costs to log in is in the figures.
pub(crate) async fn run(
    install: &Install,
    ground: &Ground,
    contestant: &Contestant,
    load: &Load,
) -> Result<Figures, Error> {
    let mut command = ground.scratch.command(&install.program("pgbench"));
    let (user, mode) = match load.entry {
        Entry::Clear => (TRUSTED, "disable"),
        Entry::Tls => (TRUSTED, "require"),
        Entry::Secure => (PROVEN, "require"),
    };
    command
        .env("PGPASSWORD", &ground.password)
        .env("PGSSLMODE", mode)
        .args(["-n", "-h", "127.0.0.1", "-U", user, "-p"])
        .arg(contestant.address.port().to_string())
        .args(["-c", &load.clients.to_string()])
        .args(["-T", &load.time.as_secs().max(1).to_string()])
        .args(["-M", load.protocol.as_str()]);
    if load.pace == Pace::Fresh {
        // A thread for each: it connects in a blocking way.
        command.args(["-C", "-j", &load.clients.to_string()]);
    }
    for (script, share) in load.scripts {
        command
            .arg("-f")
            .arg(format!("{}.sql@{share}", script.name));
    }
    command.arg(DATABASE);
    let log = ground.scratch.path().join("pgbench.log");
    let before = sample::used(contestant);
    let process = Process::spawn(&mut command, "pgbench", &log, Stop::Term)?;
    let said = process.finish().await?;
    let used = sample::used(contestant).since(before);
    let number = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let count = number("number of transactions actually processed: ");
    let per_second = number("tps = ");
    let (count, per_second) = count.zip(per_second).ok_or(Error::Ended {
        name: "pgbench",
        log: said.clone(),
    })?;
    Ok(Figures {
        count,
        per_second,
        used,
        waits: Vec::new(),
        evenness: None,
    })
}
