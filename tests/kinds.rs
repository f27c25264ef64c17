//! Statements of every kind: no one of them makes the proxy crash, hang, or answer another SQLSTATE than Postgres,
//! and none is taken for something that may be remembered when it may not.
//!
//! What the statements are is not asked of any classifier. The server's own locks and transaction ids say what
//! writes, two executions in two sessions say what is not the same twice, and the server's log says what was
//! executed and what was not: statements that must be executed each time must be in it each time. Everything else
//! is compared with Postgres before and after each of the fixture's tables has been changed through the proxy.

mod ask;
mod expressions;
mod fixture;
mod generator;
mod ground;
mod statements;

use std::net::SocketAddr;
use std::process::Command;

use ask::{Ask, Form, Seen};
use fixture::CHANGES;
use generator::Generator;
use ground::{CONTROL, Ground, connect};

use crate::support::naive::Naive;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::Client;

/// Queries at random, unless `PGWEIR_KINDS_QUERIES` says otherwise.
const QUERIES: usize = 150;

/// Faults that are told.
const TOLD_MAX: usize = 40;

/// A statement must have failed to be shown as this.
fn short(sql: &str) -> &str {
    let end = sql.char_indices().nth(300).map_or(sql.len(), |(at, _)| at);
    sql.get(..end).unwrap_or_default()
}

/// Whether it takes a lock that a read does not, or a transaction id; `None` when it fails.
fn writes(client: &mut Client, sql: &str) -> Option<bool> {
    client.run("begin");
    let done = Ask::new(sql, Form::Simple).of(client).unwrap();
    let stronger = "select pg_current_xact_id_if_assigned() is not null or exists (select from pg_locks \
                    where pid = pg_backend_pid() and locktype in ('relation', 'advisory', 'object') \
                    and mode <> 'AccessShareLock')";
    let found = match done.state.as_str() {
        "" => Some(client.value(stronger) == "t"),
        // What cannot run in a transaction is no read.
        "25001" => Some(true),
        _ => None,
    };
    client.query("rollback").unwrap();
    found
}

/// It writes, or it is not the same in two sessions.
fn must_be_executed(sessions: &mut [Client; 2], sql: &str) -> bool {
    match writes(&mut sessions[0], sql) {
        None => false,
        Some(true) => true,
        Some(false) => {
            let looks = sessions.each_mut().map(|client| {
                let seen = Ask::new(sql, Form::Simple).of(client).unwrap();
                (seen.rows, seen.done)
            });
            looks[0] != looks[1]
        }
    }
}

/// The two sides of a comparison: through whoever is tested, and straight on Postgres.
struct Sides {
    /// Each side's database.
    names: (String, String),
    through: Client,
    direct: Client,
    /// Of the side that is tested.
    address: SocketAddr,
}

impl Sides {
    /// Two databases of the same content.
    fn twins(ground: &mut Ground, address: SocketAddr) -> Self {
        let names = (ground.database(), ground.database());
        Self {
            through: connect(address, &names.0, ""),
            direct: connect(ground.postgres.address, &names.1, CONTROL),
            names,
            address,
        }
    }

    /// A side that does not answer any more has failed, and both begin anew.
    fn compare(&mut self, ground: &mut Ground, (mine, its): (Ask<'_>, Ask<'_>), mark: &str) {
        let wanted = its.of(&mut self.direct).unwrap();
        let shown = format!("{:?} {}", mine.form, short(mine.sql));
        let got = match mine.of(&mut self.through) {
            Ok(got) => got,
            Err(error) => {
                ground.fault(format!("{error}: {shown}"));
                self.through = connect(self.address, &self.names.0, "");
                self.direct = connect(ground.postgres.address, &self.names.1, CONTROL);
                return;
            }
        };
        if got.state.is_empty() {
            ground.answered(mark);
        }
        if let Some(what) = difference(&wanted, &got) {
            ground.fault(format!("{what}: {shown}"));
        }
    }
}

/// Each statement of the list twice, on either side.
fn each_statement(ground: &mut Ground, address: SocketAddr, form: Form) {
    let mut sides = Sides::twins(ground, address);
    let probe = |name| connect(ground.postgres.address, &sides.names.1, name);
    let mut probes = [probe(CONTROL), probe("control 2")];
    for (number, line) in statements::STATEMENTS.trim().lines().enumerate() {
        let sql = line.trim_start_matches(['~', '!']);
        let mine = sql.replace("{db}", &sides.names.0);
        let its = sql.replace("{db}", &sides.names.1);
        let must = match line.chars().next() {
            Some('~') => false,
            Some('!') => true,
            _ => must_be_executed(&mut probes, &its),
        };
        let (mine, mark) = ground.mark(&mine, must);
        let name = format!("k{number}");
        for again in [false, true] {
            let ask = |sql| Ask {
                sql,
                form,
                name: (&name, again),
            };
            sides.compare(ground, (ask(&mine), ask(&its)), &mark);
        }
    }
}

/// What hardly is a statement, on either side.
fn each_oddity(ground: &mut Ground, address: SocketAddr, form: Form) {
    let mut sides = Sides::twins(ground, address);
    for sql in statements::oddities() {
        let (_, mark) = ground.mark("", false);
        let ask = Ask::new(&sql, form);
        sides.compare(ground, (ask, ask), &mark);
    }
}

/// As far as it must be the same in another database.
fn difference(wanted: &Seen, got: &Seen) -> Option<String> {
    let shape = |seen: &Seen| {
        (
            seen.state.clone(),
            seen.done.clone(),
            seen.columns.clone(),
            seen.rows.len(),
            seen.status,
        )
    };
    let (wanted, got) = (shape(wanted), shape(got));
    (wanted != got).then(|| format!("wanted {wanted:?}, got {got:?}"))
}

/// What is not the same from one moment, session or look to the next: its values are not compared.
const UNSTEADY: [&str; 22] = [
    "random",
    "clock",
    "timeofday",
    "nextval",
    "last_value",
    "txid",
    "pg_",
    "f_writes",
    "===",
    "dvol",
    "rgb",
    "now()",
    "'now'::",
    "today",
    "tomorrow",
    "current_",
    "statement_timestamp",
    "tablesample",
    "inet_",
    "v_now",
    "uuid",
    "application_name",
];

/// A query made at random, and everything that is asked of it.
struct Trial<'a> {
    ground: &'a mut Ground,
    sql: String,
    form: Form,
    mark: String,
}

/// One database, seen from both sides.
struct Round {
    address: SocketAddr,
    database: String,
    through: [Client; 2],
    writer: Client,
    direct: [Client; 2],
}

impl Trial<'_> {
    fn through(&mut self, client: &mut Client) -> Option<Seen> {
        match Ask::new(&self.sql, self.form).of(client) {
            Ok(seen) => {
                if seen.state.is_empty() {
                    self.ground.answered(&self.mark);
                }
                Some(seen)
            }
            Err(error) => {
                let shown = short(&self.sql).to_owned();
                self.ground.fault(format!("{error}: {shown}"));
                None
            }
        }
    }

    /// The same through the proxy, twice, as straight on Postgres.
    fn agrees(&mut self, round: &mut Round, when: &str, steady: bool) -> bool {
        let mut wanted = Ask::new(&self.sql, self.form)
            .of(&mut round.direct[0])
            .unwrap();
        for client in 0..2 {
            let Some(mut got) = self.through(&mut round.through[client]) else {
                round.through[client] = connect(round.address, &round.database, "");
                return false;
            };
            if !steady {
                for seen in [&mut wanted, &mut got] {
                    seen.rows.clear();
                    seen.done.clear();
                }
            }
            if got != wanted {
                let shown = short(&self.sql).to_owned();
                let form = self.form;
                self.ground
                    .fault(format!("{when} {form:?} differs: {shown}"));
                return false;
            }
        }
        true
    }
}

/// Queries made at random: each before and after every change of what it may depend on.
fn at_random(ground: &mut Ground, address: SocketAddr, seed: u64, count: usize) -> usize {
    let database = ground.database();
    let direct = ground.postgres.address;
    let mut round = Round {
        through: [
            connect(address, &database, ""),
            connect(address, &database, ""),
        ],
        writer: connect(address, &database, ""),
        direct: [
            connect(direct, &database, CONTROL),
            connect(direct, &database, "control 2"),
        ],
        address,
        database,
    };
    let (mut generator, mut valid) = (Generator::new(seed), 0);
    for number in 0..count {
        let sql = generator.query();
        let wrote = writes(&mut round.direct[0], &sql);
        let must = must_be_executed(&mut round.direct, &sql);
        let steady = !must && !UNSTEADY.iter().any(|word| sql.contains(word));
        let (sql, mark) = ground.mark(&sql, must);
        let form = Form::ALL[number % 3];
        let mut trial = Trial {
            ground: &mut *ground,
            sql,
            form,
            mark,
        };
        let agreed = trial.agrees(&mut round, "at first", steady);
        if wrote.is_some() {
            valid += 1;
        }
        if !agreed || !steady || wrote.is_none() {
            continue;
        }
        for change in CHANGES {
            // It is of the schema, and everything is forgotten with it.
            if change.starts_with("refresh") && number % 8 != 0 {
                continue;
            }
            round.writer.run(change);
            if !trial.agrees(&mut round, change, true) {
                break;
            }
        }
    }
    valid
}

fn judge(mut ground: Ground) -> Vec<String> {
    ground.check_log();
    let marks = ground.marks.values();
    let must = marks.clone().filter(|(_, sql)| !sql.is_empty()).count();
    let worked = marks.filter(|(times, _)| *times > 0).count();
    let all = ground.marks.len();
    eprintln!("{worked} of {all} statements worked, {must} had to be executed each time");
    ground.faults
}

fn assert_none(faults: &[String]) {
    let told = faults.get(..faults.len().min(TOLD_MAX)).unwrap_or_default();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        told.join("\n")
    );
}

/// Everything, in front of whoever stands before this server.
fn all(mut ground: Ground, address: SocketAddr) -> Vec<String> {
    let seed = fastrand::u64(..);
    let said = std::env::var("PGWEIR_KINDS_QUERIES").ok();
    let count = said.map_or(QUERIES, |text| text.parse().unwrap());
    for form in Form::ALL {
        each_statement(&mut ground, address, form);
        each_oddity(&mut ground, address, form);
    }
    let valid = at_random(&mut ground, address, seed, count);
    eprintln!("seed {seed}: {valid} of {count} queries were valid");
    assert!(valid * 2 > count, "the generator makes too much nonsense");
    judge(ground)
}

#[test]
fn through_the_proxy() {
    let ground = Ground::new();
    let proxy = Proxy::cached_to(ground.postgres.address, 4, "");
    assert_none(&all(ground, proxy.address));
}

/// Whatever is found here is a fault of the test.
#[test]
fn straight_on_postgres() {
    let ground = Ground::new();
    let address = ground.postgres.address;
    assert_none(&all(ground, address));
}

/// The negative control: a test that finds nothing here tests nothing.
#[test]
fn through_a_naive_proxy() {
    for mode in ["ttl", "table"] {
        let mut ground = Ground::new();
        let Some(naive) = Naive::start(ground.postgres.address, mode) else {
            return;
        };
        each_statement(&mut ground, naive.address, Form::Simple);
        let listed = ground.faults.len();
        at_random(&mut ground, naive.address, 1, 40);
        let random = ground.faults.len() - listed;
        let faults = judge(ground);
        let missing = faults.len() - listed - random;
        eprintln!("{mode}: {listed} of the list, {random} at random, {missing} not executed");
        for fault in faults.iter().rev().take(5) {
            eprintln!("    {fault}");
        }
        assert!(random > 0 && missing > 10, "{faults:#?}");
    }
}

/// As psql knows them.
#[test]
fn every_command_has_a_statement() {
    let postgres = Postgres::start();
    let port = postgres.address.port().to_string();
    let mut psql = Command::new("psql");
    psql.args([
        "-X",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-p",
        &port,
        "-d",
        "postgres",
    ]);
    let output = psql.args(["-c", r"\h"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // The longest one fills its column.
    let said = said.replace("CONFIGURATION ", "CONFIGURATION  ");
    let commands = said.lines().skip(1).flat_map(|line| line.split("  "));
    let commands: Vec<&str> = commands.map(str::trim).filter(|c| !c.is_empty()).collect();
    assert!(commands.len() > 150, "{said}");
    let has = |command: &str| {
        statements::STATEMENTS.lines().any(|line| {
            let text = line.trim_start_matches(['~', '!']).to_uppercase();
            match command {
                "CREATE TABLE AS" => text.starts_with("CREATE TABLE") && text.contains(" AS "),
                "SELECT INTO" => text.starts_with("SELECT") && text.contains(" INTO "),
                _ => text.starts_with(command),
            }
        })
    };
    let missing: Vec<_> = commands.iter().filter(|command| !has(command)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
