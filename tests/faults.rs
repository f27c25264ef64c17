//! Connections that break at every frame, on either side of the proxy. Afterwards the pool is whole, nothing
//! was done twice or by halves, and nobody has received what was not theirs.

use std::net::SocketAddr;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::relay::{Cut, Direction, Relay};
use crate::support::script::{Script, Seen, script};
use crate::support::wire::{
    Client, bind, copy_data, copy_done, describe_portal, execute, parse, query, sync,
};

/// Upstreams in the pool.
const SIZE: usize = 3;

/// Breaks off at every frame until the script runs to its end undisturbed.
const CUTS_MAX: usize = 200;

/// The bytes of the shortest frame: a cut this far in may be behind its end.
const SHORTEST: usize = 5;

/// A conversation that marks what it writes and reads with a token.
struct Case {
    script: Script,
    /// The rows that it writes: all of them or none.
    rows: usize,
    /// Of its frames, the first that can commit; the start-up packet is number 0.
    commits_at: usize,
}

fn cases(token: &str) -> Vec<Case> {
    let (insert, select) = (insert(token), format!("select '{token}'"));
    let whole = |sql: &str| [parse("", sql), bind("", "", &[]), execute("", 0)].concat();
    let temporary = "create temp table t (a int)";
    vec![
        case(1, 1, script("simple").query(&insert).query(&select)),
        case(
            2,
            5,
            script("transaction").queries(&["begin", &insert, &insert, &select, "commit", &select]),
        ),
        case(1, 4, script("pipeline").round(&[whole(&insert)])),
        case(
            1,
            6,
            script("syncs")
                .send(&[whole(&select), sync(), query(&select), query(&insert)])
                .readies(3),
        ),
        case(
            0,
            9,
            script("settings")
                .query("set timezone = 'Asia/Tokyo'")
                .query(&select),
        ),
        case(
            1,
            3,
            script("pinned")
                .query(temporary)
                .query(&select)
                .query(&insert),
        ),
        case(0, 9, named(token)),
        case(2, 4, copy_in(token)),
        case(
            0,
            9,
            many(&format!(
                "copy ({select} from generate_series(1, 20)) to stdout"
            )),
        ),
        case(
            0,
            9,
            many(&format!("{select}, g from generate_series(1, 40) g")),
        ),
    ]
}

fn insert(token: &str) -> String {
    format!("insert into mark values ('{token}')")
}

fn many(sql: &str) -> Script {
    script("many rows").query(sql)
}

fn named(token: &str) -> Script {
    let ask = [
        bind("", "s1", &[token]),
        describe_portal(""),
        execute("", 0),
    ]
    .concat();
    let define = parse("s1", "select $1::text");
    script("named")
        .round(&[define])
        .round(std::slice::from_ref(&ask))
        .round(&[ask])
}

fn copy_in(token: &str) -> Script {
    let line = copy_data(format!("{token}\n").as_bytes());
    let start = script("copy in")
        .send(&[query("copy mark from stdin")])
        .until(b'G');
    start.send(&[line.clone(), line, copy_done()]).ready()
}

fn case(rows: usize, commits_at: usize, script: Script) -> Case {
    Case {
        script,
        rows,
        commits_at,
    }
}

struct World {
    postgres: Postgres,
    admin: Client,
    proxy: Proxy,
    relay: Relay,
    runs: usize,
}

/// Where the relay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

impl World {
    fn new(side: Side) -> Self {
        let postgres = Postgres::start();
        let mut admin = postgres.admin();
        admin.run("create table mark (token text)");
        let (relay, proxy) = match side {
            Side::Upstream => {
                let relay = Relay::start(postgres.address);
                let proxy = Proxy::start_to(relay.address, SIZE, &[]);
                (relay, proxy)
            }
            Side::Client => {
                let proxy = Proxy::start(&postgres, SIZE, &[]);
                (Relay::start(proxy.address), proxy)
            }
        };
        Self {
            postgres,
            admin,
            proxy,
            relay,
            runs: 0,
        }
    }

    /// Where the script's client connects.
    fn door(&self, side: Side) -> SocketAddr {
        match side {
            Side::Client => self.relay.address,
            Side::Upstream => self.proxy.address,
        }
    }

    /// Cuts the case at each frame of this direction.
    fn cut_everywhere(&mut self, side: Side, number: usize, direction: Direction, bytes: usize) {
        for frames in 0..CUTS_MAX {
            self.runs += 1;
            let token = format!("token-{}", self.runs);
            let case = cases(&token).swap_remove(number);
            let cut = Cut {
                direction,
                frames,
                bytes,
                reset: self.runs.is_multiple_of(2),
            };
            let context = format!("{} {side:?} {cut:?}", case.script.name);
            self.relay.arm(cut);
            let seen = match case
                .script
                .play(self.door(side), &mut self.admin, &mut |_| {})
            {
                Ok(seen) => seen,
                Err(why) => panic!("{context}: {why}"),
            };
            let happened = self.relay.disarm();
            check_rows(&context, &token, &seen);
            self.check_pool(&context);
            let too_early = side == Side::Client
                && direction == Direction::Frontend
                && happened
                && frames + usize::from(bytes >= SHORTEST) <= case.commits_at;
            self.check_marks(&context, &token, &case, too_early);
            if !happened {
                assert_eq!(self.marks(&token), case.rows, "{context}: undisturbed");
                return;
            }
        }
        panic!("the script never got to its end");
    }

    fn marks(&mut self, token: &str) -> usize {
        let count = format!("select count(*) from mark where token = '{token}'");
        self.admin.value(&count).parse().unwrap()
    }

    fn check_marks(&mut self, context: &str, token: &str, case: &Case, too_early: bool) {
        let marks = self.marks(token);
        assert!(
            marks == 0 || marks == case.rows,
            "{context}: {marks} rows written"
        );
        assert!(
            !(too_early && marks > 0),
            "{context}: committed what was never finished"
        );
    }

    /// As many clients as there are upstreams are in a transaction at the same time.
    fn check_pool(&self, context: &str) {
        let mut clients: Vec<Client> = (0..SIZE).map(|_| self.proxy.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let sql = format!("begin; select 'slot {number}', current_setting('timezone')");
            let reply = match client.query(&sql) {
                Ok(reply) => reply,
                Err(error) => panic!("{context}: slot {number}: {error}"),
            };
            let value = reply.value().unwrap_or_else(|| reply.error_text());
            assert_eq!(value, format!("slot {number}"), "{context}");
        }
        let zones: Vec<_> = clients
            .iter_mut()
            .map(|c| c.value("show timezone"))
            .collect();
        assert!(
            zones.iter().all(|zone| zone == "UTC"),
            "{context}: a setting leaked: {zones:?}"
        );
        for mut client in clients {
            client.run("rollback");
        }
    }

    /// No upstream is left behind that the pool does not know of.
    fn check_count(&mut self) {
        let idle = "select count(*) from pg_stat_activity \
                    where backend_type = 'client backend' and pid <> pg_backend_pid() \
                    and application_name <> 'pgweir control'";
        eventually("the upstreams to be at most as many as allowed", || {
            let count: usize = self.admin.value(idle).parse().unwrap();
            (count <= SIZE).then_some(())
        });
        assert_eq!(self.postgres.admin().value("select 1"), "1");
    }
}

/// Every row received belongs to this run.
fn check_rows(context: &str, token: &str, seen: &[Seen]) {
    for seen in seen {
        let Seen::Frame(frame) = seen else { continue };
        if frame.tag == b'D' || frame.tag == b'd' {
            let own = frame
                .body
                .windows(token.len())
                .any(|part| part == token.as_bytes());
            assert!(own, "{context}: received {frame:?}");
        }
    }
}

fn cut_all(side: Side) {
    let mut world = World::new(side);
    for number in 0..cases("").len() {
        for direction in [Direction::Frontend, Direction::Backend] {
            for bytes in [0, 3, 7] {
                world.cut_everywhere(side, number, direction, bytes);
            }
        }
    }
    world.check_count();
    let scripts = cases("").len();
    assert!(
        world.runs > 40 * scripts,
        "only {} runs: the relay cut nothing",
        world.runs
    );
    world.proxy.stop();
}

#[test]
fn the_client_breaks_off_at_every_frame() {
    cut_all(Side::Client);
}

#[test]
fn the_upstream_breaks_off_at_every_frame() {
    cut_all(Side::Upstream);
}

/// Clients between two transactions notice nothing when their upstreams end.
#[test]
fn idle_clients_outlive_their_upstreams() {
    let world = World::new(Side::Client);
    let mut clients: Vec<Client> = (0..2 * SIZE).map(|_| world.proxy.client()).collect();
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            let token = format!("{round} of {number}");
            client.run(&format!("set app.own = '{token}'"));
        }
        world.postgres.end_all();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.value("show app.own"), format!("{round} of {number}"));
        }
    }
    world.proxy.stop();
}
