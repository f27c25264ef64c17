//! Clients that have asked once and then only stay: what they cost in memory.

use std::time::Duration;

use pgweir::demo::Error;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::contestant::{Contestant, Entry, Ground, Who};
use crate::cpu;
use crate::script::{HIT, Protocol};

/// Logins at once.
const AT_ONCE: usize = 50;

/// How long one client may take to log in and to be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before memory is read: what is given back late is given back.
const SETTLE: Duration = Duration::from_secs(1);

/// Resident memory with so many idle clients.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) who: Who,
    pub(crate) entry: Entry,
    pub(crate) clients: usize,
    pub(crate) resident_kib: Result<u64, String>,
}

/// Of a process that has done nothing before, with each of these numbers in turn.
pub(crate) async fn memory(
    ground: &Ground,
    who: Who,
    entry: Entry,
    counts: &[usize],
) -> Result<Vec<Memory>, Error> {
    let Some(contestant) = Contestant::start(ground, who, ground.near(entry)).await? else {
        return Ok(Vec::new());
    };
    let url = ground.url(contestant.address, entry);
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for clients in counts {
        let opened = fill(&mut open, &url, *clients).await;
        let resident_kib = opened.map_err(|error| error.to_string()).and_then(|()| {
            let resident = contestant.pid().and_then(cpu::resident_kib);
            resident.ok_or_else(|| "the process is gone".to_owned())
        });
        found.push(Memory {
            who,
            entry,
            clients: *clients,
            resident_kib,
        });
    }
    Ok(found)
}

/// Opens connections until there are `count`.
async fn fill(clients: &mut Vec<Client>, url: &str, count: usize) -> Result<(), Error> {
    let mut opening = JoinSet::new();
    let mut started = clients.len();
    loop {
        while opening.len() < AT_ONCE && started < count {
            started += 1;
            opening.spawn(timeout(PATIENCE, client(url.to_owned())));
        }
        let Some(ended) = opening.join_next().await else {
            break;
        };
        let failed = |error| Error::io(format!("idle client {}", clients.len()), error);
        let ended = ended.map_err(|error| failed(std::io::Error::other(error)))?;
        clients.push(ended.map_err(|late| failed(late.into()))??);
    }
    if count > 0 {
        sleep(SETTLE).await;
    }
    Ok(())
}

async fn client(url: String) -> Result<Client, Error> {
    let mut client = Client::connect(&url).await?;
    let mut request = Vec::new();
    HIT.request(Protocol::Simple, &mut request);
    client.ask(&request, 1).await?;
    Ok(client)
}
