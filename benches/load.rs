//! A load of our own: for a thousand clients, for batches, and to know how long each request takes.
//!
//! All clients share the one thread of the bench. Each asks again when it is answered.

use std::sync::Arc;
use std::time::Duration;

use pgweir::demo::Error;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::contestant::{Contestant, Ground};
use crate::rows::{BATCH, Load, Pace};
use crate::sample::{self, Figures};
use crate::script::{self, Protocol};

/// Logins at once: beyond them a listener's queue would overflow.
const AT_ONCE: usize = 50;

/// Requests that a client has ready where it may ask the same again: to write them anew each time
/// would cost more than to answer them.
const COMPOSED: usize = 16;

/// What all clients of a load share.
#[derive(Debug)]
struct Shared {
    url: String,
    load: Load,
    logins: Semaphore,
    /// Opened once all are logged in, and the bench is ready to count.
    start: Barrier,
}

/// Runs it: all log in, ask once, and are then counted.
pub(crate) async fn run(
    ground: &Ground,
    contestant: &Contestant,
    load: &Load,
) -> Result<Figures, Error> {
    let shared = Arc::new(Shared {
        url: ground.url(contestant.address, load.entry),
        load: *load,
        logins: Semaphore::new(AT_ONCE),
        start: Barrier::new(load.clients + 1),
    });
    let mut clients = JoinSet::new();
    for _ in 0..load.clients {
        clients.spawn(client(Arc::clone(&shared)));
    }
    tokio::select! {
        _all = shared.start.wait() => {}
        // One that ends before the start has failed, and the others would wait for it for ever.
        Some(ended) = clients.join_next() => {
            ended.map_err(joining)??;
        }
    }
    let before = sample::used(contestant);
    let start = Instant::now();
    sleep(load.time).await;
    let used = sample::used(contestant).since(before);
    let took = start.elapsed();
    let mut waits = Vec::new();
    let (mut least, mut most) = (usize::MAX, 0);
    while let Some(ended) = clients.join_next().await {
        let own = ended.map_err(joining)??;
        (least, most) = (least.min(own.len()), most.max(own.len()));
        waits.extend(own);
    }
    waits.sort_unstable();
    let each = match load.pace {
        Pace::OneByOne | Pace::Fresh => 1,
        Pace::Joined | Pace::Apart => BATCH,
    };
    let count = (waits.len() * each) as f64;
    Ok(Figures {
        count,
        per_second: count / took.as_secs_f64(),
        used,
        waits,
        evenness: (most > 0).then(|| least as f64 / most as f64),
    })
}

fn joining(error: tokio::task::JoinError) -> Error {
    Error::io("a client broke", std::io::Error::other(error))
}

/// One client's life: how long each of its requests took that was answered in time.
async fn client(shared: Arc<Shared>) -> Result<Vec<u32>, Error> {
    let load = &shared.load;
    if load.pace == Pace::Fresh {
        shared.start.wait().await;
        return fresh(&shared).await;
    }
    let mut client = {
        // Never closed.
        let _turn = shared.logins.acquire().await;
        Client::connect(&shared.url).await?
    };
    let mut request = Vec::new();
    for (script, _) in load.scripts {
        request.clear();
        script.prepare(load.protocol, &mut request);
        let prepares = usize::from(!request.is_empty());
        client.ask(&request, prepares).await?;
    }
    let mut requests = Vec::new();
    for _ in 0..if load.repeats() { COMPOSED } else { 1 } {
        let readies = compose(load, &mut request);
        client.ask(&request, readies).await?;
        requests.push((request.clone(), readies));
    }
    shared.start.wait().await;
    let end = Instant::now() + load.time;
    let mut waits = Vec::new();
    for n in 0.. {
        let at = n % requests.len();
        let Some((request, readies)) = requests.get_mut(at) else {
            break;
        };
        if !load.repeats() {
            *readies = compose(load, request);
        }
        let asked = Instant::now();
        client.ask(request, *readies).await?;
        if Instant::now() > end {
            break;
        }
        waits.push(micros(asked.elapsed()));
    }
    client.leave().await;
    Ok(waits)
}

/// A connection for each.
async fn fresh(shared: &Shared) -> Result<Vec<u32>, Error> {
    let load = &shared.load;
    let end = Instant::now() + load.time;
    let (mut waits, mut request) = (Vec::new(), Vec::new());
    loop {
        let asked = Instant::now();
        let mut client = Client::connect(&shared.url).await?;
        let readies = compose(load, &mut request);
        client.ask(&request, readies).await?;
        client.leave().await;
        if Instant::now() > end {
            return Ok(waits);
        }
        waits.push(micros(asked.elapsed()));
    }
}

/// The next request; how many ReadyForQuery answer it.
fn compose(load: &Load, request: &mut Vec<u8>) -> usize {
    request.clear();
    let count = match load.pace {
        Pace::OneByOne | Pace::Fresh => 1,
        Pace::Joined | Pace::Apart => BATCH,
    };
    let mut readies = 0;
    for n in 1..=count {
        draw(load).request(load.protocol, request);
        if load.protocol == Protocol::Simple {
            readies += 1;
        } else if load.pace != Pace::Joined || n == count {
            script::sync(request);
            readies += 1;
        }
    }
    readies
}

/// One of the scripts, by their shares of ten.
fn draw(load: &Load) -> &'static script::Script {
    let mut left = fastrand::usize(0..10);
    for (script, share) in load.scripts {
        if left < *share {
            return script;
        }
        left -= share;
    }
    &script::ONE
}

fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}
