//! Many clients on few upstreams, each checking that every answer is its own, while clients vanish, queries are
//! cancelled and upstreams are terminated. `scripts/soak.sh SECONDS` runs it for longer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::eventually;
use crate::support::postgres::{Options, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::wire::{
    Client, Reply, bind, cancel, close_statement, execute, parse, query, sync,
};

const CLIENTS: usize = 500;
const UPSTREAMS: usize = 8;

/// What the clients have in common.
struct Soak {
    address: SocketAddr,
    until: Instant,
    faults: Mutex<Vec<String>>,
    answers: AtomicUsize,
    cancelled: AtomicUsize,
    terminated: AtomicUsize,
    vanished: AtomicUsize,
}

/// Why a client does not go on with its connection.
enum Broken {
    /// The upstream was terminated: that is part of the game.
    Terminated,
    /// Something that must not happen.
    Fault(String),
}

impl From<io::Error> for Broken {
    /// A connection may be closed behind a terminated upstream; silence is a hang.
    fn from(error: io::Error) -> Self {
        let closed = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ];
        if closed.contains(&error.kind()) {
            Self::Terminated
        } else {
            Self::Fault(format!("hang or worse: {error}"))
        }
    }
}

/// One of the clients.
struct Worker<'a> {
    soak: &'a Soak,
    client: Client,
    number: usize,
    count: usize,
    /// What this connection has set, to be found again.
    setting: Option<String>,
}

impl Worker<'_> {
    fn token(&mut self) -> String {
        self.count += 1;
        format!("{}-{}-{}", self.number, self.count, fastrand::u64(..))
    }

    /// Reads a reply and checks that these are its values.
    fn expect(&mut self, wanted: &[&str]) -> Result<(), Broken> {
        let reply = self.client.until(b'Z')?;
        self.check(&reply, wanted)
    }

    fn check(&self, reply: &Reply, wanted: &[&str]) -> Result<(), Broken> {
        let state = reply.sqlstate();
        if state.starts_with("57P") || state.starts_with("08") {
            return Err(Broken::Terminated);
        }
        if !state.is_empty() || reply.values() != wanted {
            let got = (reply.error_text(), reply.values());
            return Err(Broken::Fault(format!("wanted {wanted:?}, got {got:?}")));
        }
        self.soak.answers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Something at random; false when the client has left.
    fn act(&mut self) -> Result<bool, Broken> {
        let token = self.token();
        match fastrand::usize(..100) {
            0..50 => self.simple(&token)?,
            50..70 => self.prepared(&token)?,
            70..85 => self.transaction(&token)?,
            85..92 => self.settings(token)?,
            92..94 => self.cancelled(&token)?,
            94..95 => self.cancelled_early(&token)?,
            95..97 => return self.vanish(&token),
            97..98 => self.pinned(&token)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn simple(&mut self, token: &str) -> Result<(), Broken> {
        self.client.send(&query(&format!("select '{token}'")))?;
        self.expect(&[token])
    }

    /// A name that all clients use, each for another text, and two rounds in one write.
    fn prepared(&mut self, token: &str) -> Result<(), Broken> {
        let text = format!("select $1 || ' of {}'", self.number);
        let ask = |value: &str| [bind("", "s1", &[value]), execute("", 0), sync()].concat();
        let define = [parse("s1", &text), sync()].concat();
        let forget = [close_statement("s1"), sync()].concat();
        self.client
            .send(&[define, ask(token), ask("again"), forget].concat())?;
        let own = |value: &str| format!("{value} of {}", self.number);
        let (first, second) = (own(token), own("again"));
        self.expect(&[])?;
        self.expect(&[&first])?;
        self.expect(&[&second])?;
        self.expect(&[])
    }

    fn transaction(&mut self, token: &str) -> Result<(), Broken> {
        self.client.send(&query("begin"))?;
        self.expect(&[])?;
        let note = format!("select set_config('app.note', '{token}', true)");
        self.client.send(&query(&note))?;
        self.expect(&[token])?;
        self.client
            .send(&query("select current_setting('app.note')"))?;
        self.expect(&[token])?;
        self.client.send(&query("commit"))?;
        self.expect(&[])
    }

    fn settings(&mut self, token: String) -> Result<(), Broken> {
        if let Some(own) = self.setting.clone() {
            self.client.send(&query("show app.own"))?;
            self.expect(&[&own])?;
        }
        self.client
            .send(&query(&format!("set app.own = '{token}'")))?;
        self.expect(&[])?;
        self.client.send(&query("show app.own"))?;
        self.setting = Some(token.clone());
        self.expect(&[&token])
    }

    /// Cancels its own query while it surely runs: that must work.
    fn cancelled(&mut self, token: &str) -> Result<(), Broken> {
        let sleep = format!("do $$ begin raise warning '{token}'; perform pg_sleep(10); end $$");
        self.client.send(&query(&sleep))?;
        let begun = loop {
            let frame = self.client.next()?;
            if frame.tag == b'N' {
                break Reply(Vec::new());
            }
            if frame.tag == b'E' {
                break Reply(vec![frame]);
            }
        };
        self.check(&begun, &[])?;
        cancel(self.soak.address, &self.client.key())?;
        let reply = self.client.until(b'Z')?;
        if reply.sqlstate() == "57014" {
            self.soak.cancelled.fetch_add(1, Ordering::Relaxed);
            return self.simple(token);
        }
        self.check(&reply, &[])?;
        Err(Broken::Fault("a cancel was lost".to_owned()))
    }

    /// Cancels at once: it may hit or miss this query, but none after it.
    fn cancelled_early(&mut self, token: &str) -> Result<(), Broken> {
        self.client
            .send(&query(&format!("select '{token}', pg_sleep(0.05)")))?;
        cancel(self.soak.address, &self.client.key())?;
        let reply = self.client.until(b'Z')?;
        if reply.sqlstate() != "57014" {
            self.check(&reply, &[token])?;
        }
        self.simple(token)
    }

    /// A temporary table of a name that all clients use.
    fn pinned(&mut self, token: &str) -> Result<(), Broken> {
        self.client.send(&query(&format!(
            "create temp table own as select '{token}' as t"
        )))?;
        self.expect(&[])?;
        self.client.send(&query("select t from own"))?;
        self.expect(&[token])?;
        self.client.send(&query("drop table own"))?;
        self.expect(&[])
    }

    /// Goes in the middle of something, without a word: its connection closes when the caller replaces it.
    fn vanish(&mut self, token: &str) -> Result<bool, Broken> {
        match fastrand::u8(..4) {
            0 => self
                .client
                .send(&query("begin; set timezone = 'Asia/Tokyo'; select 1"))?,
            1 => self
                .client
                .send(&query(&format!("select '{token}', pg_sleep(0.05)")))?,
            2 => self
                .client
                .send(&query(&format!("select '{token}'"))[..9])?,
            _ => self.client.send(&parse("s1", "select 'unfinished'"))?,
        }
        self.soak.vanished.fetch_add(1, Ordering::Relaxed);
        self.client.reset_on_close();
        Ok(false)
    }
}

fn connect(address: SocketAddr) -> Result<Client, Broken> {
    let mut client = Client::open(address)?;
    let settings = [("user", "app"), ("database", "postgres")];
    client.send(&crate::support::wire::startup((3, 0), &settings))?;
    let refused = |error: io::Error| {
        let terminated = error.to_string().starts_with("57P");
        if terminated {
            Broken::Terminated
        } else {
            Broken::from(error)
        }
    };
    client.greet().map_err(refused)?;
    Ok(client)
}

/// One client's life: connection after connection.
fn live(soak: &Soak, number: usize) {
    let mut count = 0;
    while Instant::now() < soak.until {
        let ended = connect(soak.address).and_then(|client| {
            let mut worker = Worker {
                soak,
                client,
                number,
                count,
                setting: None,
            };
            while Instant::now() < soak.until && worker.act()? {}
            count = worker.count;
            Ok(())
        });
        match ended {
            Ok(()) => {}
            Err(Broken::Terminated) => {
                soak.terminated.fetch_add(1, Ordering::Relaxed);
            }
            Err(Broken::Fault(fault)) => {
                let mut faults = soak.faults.lock().unwrap_or_else(PoisonError::into_inner);
                faults.push(format!("client {number}: {fault}"));
                return;
            }
        }
    }
}

/// Ends one upstream after another, about five a second, until the time is over.
fn terminate(admin: &mut Client, until: Instant) {
    while Instant::now() < until {
        admin.run(
            "select pg_terminate_backend(pid), pg_sleep(0.2) from pg_stat_activity \
             where usename = 'app' order by random() limit 1", // the control connection too
        );
        thread::sleep(Duration::from_millis(1)); // when there was nobody to terminate
    }
}

/// How long it runs.
fn duration() -> Duration {
    let said = std::env::var("PGWEIR_SOAK_SECONDS").ok();
    Duration::from_secs(said.map_or(10, |text| text.parse().unwrap()))
}

#[test]
fn five_hundred_clients() {
    let mut options = Options::new(installs().swap_remove(0));
    options.conf = "max_connections = 600".to_owned(); // for the control without a proxy
    let postgres = Postgres::start_with(&options);
    let proxy = Proxy::start(&postgres, UPSTREAMS, &[]);
    let soak = Arc::new(Soak {
        address: proxy.address,
        until: Instant::now() + duration(),
        faults: Mutex::default(),
        answers: AtomicUsize::default(),
        cancelled: AtomicUsize::default(),
        terminated: AtomicUsize::default(),
        vanished: AtomicUsize::default(),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let soak = Arc::clone(&soak);
            let small = thread::Builder::new().stack_size(256 * 1024);
            small.spawn(move || live(&soak, number)).unwrap()
        })
        .collect();
    terminate(&mut postgres.admin(), soak.until);
    for client in clients {
        client.join().unwrap();
    }
    report(&soak);
    check_pool(&postgres, &proxy);
    proxy.stop();
}

fn report(soak: &Soak) {
    let said = |number: &AtomicUsize| number.load(Ordering::Relaxed);
    eprintln!(
        "{} answers, {} cancelled, {} lost their upstream, {} vanished",
        said(&soak.answers),
        said(&soak.cancelled),
        said(&soak.terminated),
        said(&soak.vanished)
    );
    let faults = soak.faults.lock().unwrap();
    let first = faults.get(..faults.len().min(10));
    assert!(
        faults.is_empty(),
        "{} faults, the first: {first:#?}",
        faults.len()
    );
    assert!(said(&soak.answers) > CLIENTS, "hardly anything happened");
    assert!(
        said(&soak.cancelled) > 0 && said(&soak.terminated) > 0,
        "nothing was disturbed"
    );
}

/// Every slot can be used at the same time, no upstream is busy or too many.
fn check_pool(postgres: &Postgres, proxy: &Proxy) {
    let mut all: Vec<_> = (0..UPSTREAMS).map(|_| proxy.client_as("app")).collect();
    for client in &mut all {
        assert_eq!(client.run("begin; select 'mine'").values(), ["mine"]);
    }
    let mut admin = postgres.admin();
    let open = "select count(*) from pg_stat_activity where usename = 'app' \
                and state = 'idle in transaction'";
    assert_eq!(admin.value(open), UPSTREAMS.to_string());
    drop(all);
    let settled = "select count(*) filter (where state <> 'idle') || ' ' || (count(*) <= 8) \
                   from pg_stat_activity where usename = 'app' \
                   and application_name <> 'pgweir control'";
    eventually("the pool to settle", || {
        (admin.value(settled) == "0 true").then_some(())
    });
}
