//! Clients, upstreams and pools as the console shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::facts::{Known, int, text};
use crate::admin::{Listed, People, Table, columns};
use crate::config::Word as _;
use crate::limits::Kind;
use crate::moment;
use crate::pool::Pool;
use crate::pool::record::{Doing, Record};
use crate::session::Session;
use crate::session::census::{Purpose, Seen};
use crate::wire::startup::Replication;

type Row = Vec<Option<String>>;

/// Clients and upstreams of one database and user, counted: of its pool, and of what is left of those
/// of earlier configurations.
#[derive(Default)]
struct Counts {
    active: usize,
    waiting: usize,
    cancels: usize,
    /// Those that have let go of their upstream but for cancels under way.
    being_cancelled: usize,
    longest: Duration,
    upstreams: Vec<Doing>,
    connecting: usize,
}

impl Counts {
    fn client(&mut self, client: &Seen) {
        match client.queued_at {
            Some(since) => {
                self.waiting += 1;
                self.longest = self.longest.max(moment::age(since));
            }
            None => self.active += 1,
        }
        self.cancels += client.cancels;
        if client.upstream.is_none() && client.cancels > 0 {
            self.being_cancelled += 1;
        }
    }

    fn pool(&mut self, pool: &Pool) {
        let upstreams = pool.upstreams();
        self.upstreams.extend(upstreams.iter().map(|u| u.doing()));
        self.connecting += pool.connecting();
    }

    fn of(&self, what: Doing) -> usize {
        self.upstreams
            .iter()
            .filter(|doing| **doing == what)
            .count()
    }
}

impl Known {
    pub(super) fn pools(&self) -> Table {
        let (pools, census) = (self.pools.all(), self.registry.census());
        let mut all: BTreeMap<(&str, &str), Counts> = BTreeMap::new();
        for pool in &pools {
            let counts = all.entry((pool.database(), pool.user())).or_default();
            counts.pool(pool);
        }
        for client in &census {
            let pool = client.pool.as_deref();
            let counts = pool.and_then(|pool| all.get_mut(&(pool.database(), pool.user())));
            if let Some(counts) = counts {
                counts.client(client);
            }
        }
        let plan = self.pools.plan();
        let mut table = Table::of(columns::POOLS);
        for ((database, user), counts) in all {
            let pinned = counts.of(Doing::Pinned);
            table.rows.push(vec![
                text(database),
                text(user),
                int(counts.active),
                int(counts.waiting),
                int(counts.cancels),
                int(0),
                int(counts.of(Doing::Active) + pinned),
                int(counts.cancels),
                int(counts.being_cancelled),
                int(counts.of(Doing::Idle)),
                int(0),
                int(counts.of(Doing::Tested)),
                int(counts.connecting),
                int(counts.longest.as_secs()),
                int(counts.longest.subsec_micros()),
                text(plan.mode(database).as_str()),
                int(pinned),
            ]);
        }
        table
    }

    pub(super) fn clients(&self) -> Table {
        let mut table = Table::of(columns::SOCKETS);
        table.rows = self.registry.census().iter().map(client).collect();
        table
    }

    pub(super) fn servers(&self) -> Table {
        let mut table = Table::of(columns::SOCKETS);
        let census = self.registry.census();
        let names = census
            .iter()
            .map(|client| (client.id(), client.who().application_name()));
        let names: BTreeMap<u64, String> = names.collect();
        for pool in self.pools.all() {
            let upstreams = pool.upstreams();
            let rows = upstreams.iter().map(|u| server(&pool, u, &names));
            table.rows.extend(rows);
        }
        table
    }

    /// Clients and upstreams.
    pub(super) fn sockets(&self) -> Table {
        let mut table = self.clients();
        table.rows.extend(self.servers().rows);
        table
    }

    /// Those at work.
    pub(super) fn active_sockets(&self) -> Table {
        let mut table = self.sockets();
        let state = table.columns.iter().position(|c| c.name == "state");
        let idle = |row: &Row| {
            let state = state.and_then(|at| row.get(at));
            state.and_then(Option::as_deref) == Some("idle")
        };
        table.rows.retain(|row| !idle(row));
        table
    }

    pub(super) fn users(&self) -> Table {
        let plan = self.pools.plan();
        let census = self.registry.census();
        let mut clients: BTreeMap<&str, usize> = BTreeMap::new();
        for client in &census {
            *clients.entry(&client.who().user).or_default() += 1;
        }
        let mut upstreams: BTreeMap<String, usize> = BTreeMap::new();
        for pool in self.pools.all() {
            *upstreams.entry(pool.user().to_owned()).or_default() += pool.upstreams().len();
        }
        let configured = plan.users.keys().map(String::as_str);
        let names: BTreeSet<&str> = configured
            .chain(clients.keys().copied())
            .chain(upstreams.keys().map(String::as_str))
            .collect();
        let most = self.listen.load().clients_per_user_max;
        let mut table = Table::of(columns::USERS);
        for name in names {
            let user = plan.users.get(name);
            table.rows.push(vec![
                text(name),
                user.and_then(|user| user.pool_size_max).and_then(int),
                None,
                None,
                int(0),
                int(upstreams.get(name).copied().unwrap_or(0)),
                int(user.and_then(|user| user.clients_max).unwrap_or(most)),
                int(clients.get(name).copied().unwrap_or(0)),
            ]);
        }
        table
    }

    pub(super) fn lists(&self) -> Table {
        let pools = self.pools.all();
        let clients = self.registry.census().len();
        // Each connection is counted from the moment that it is accepted.
        let connections = self.counts.of(&Kind::All);
        let servers: usize = pools.iter().map(|pool| pool.upstreams().len()).sum();
        let mut table = Table::of(columns::LISTS);
        for (list, items) in [
            ("databases", self.pools.databases().len()),
            ("users", self.users().rows.len()),
            ("pools", self.pools().rows.len()),
            // What is closed is not kept for the next, and names are resolved by the system.
            ("free_clients", 0),
            ("used_clients", clients),
            ("login_clients", connections.saturating_sub(clients)),
            ("free_servers", 0),
            ("used_servers", servers),
            ("dns_names", 0),
            ("dns_zones", 0),
            ("dns_queries", 0),
            ("dns_pending", 0),
        ] {
            table.rows.push(vec![text(list), int(items)]);
        }
        table
    }

    pub(super) fn mem(&self) -> Table {
        let mut table = Table::of(columns::MEM);
        let mut add = |name: &str, size: usize, used: usize, total: u64| {
            let row = vec![text(name), int(size), int(used), int(0), int(total)];
            table.rows.push(row);
        };
        let total = |size: usize, used: usize| (size * used) as u64;
        let clients = self.registry.census().len();
        let size = size_of::<Session>();
        add("client_cache", size, clients, total(size, clients));
        let pools = self.pools.all();
        let servers = pools.iter().map(|pool| pool.upstreams().len()).sum();
        let size = size_of::<crate::pool::manager::Warm>();
        add("server_cache", size, servers, total(size, servers));
        let size = size_of::<Pool>();
        add("pool_cache", size, pools.len(), total(size, pools.len()));
        if let Some(shared) = &self.caching {
            let usage = shared.usage();
            let entries = usize::try_from(usage.entries).unwrap_or(usize::MAX);
            let bytes = usage.bytes.checked_div(usage.entries).unwrap_or(0);
            let size = usize::try_from(bytes).unwrap_or(usize::MAX);
            add("result_cache", size, entries, usage.bytes);
        }
        add("process", 0, 1, resident());
        table
    }

    pub(super) fn pins(&self) -> Table {
        let mut table = Table::of(columns::PINS);
        table.rows = self.registry.census().iter().filter_map(pin).collect();
        table
    }

    /// The same clients and pins, those first that an operator looks for: who waits longest, then whose
    /// transaction is oldest, then who asked last; of pins the oldest.
    pub(super) fn people(&self, most: usize) -> People {
        let mut census = self.registry.census();
        census.sort_by_cached_key(urgency);
        let mut clients = Table::of(columns::SOCKETS);
        clients.rows = census.iter().take(most).map(client).collect();
        let mut pinned: Vec<&Seen> = census.iter().filter(|seen| seen.is_pinned()).collect();
        pinned.sort_by_key(|seen| seen.pins().1);
        let mut pins = Table::of(columns::PINS);
        pins.rows = pinned
            .iter()
            .filter_map(|seen| pin(seen))
            .take(most)
            .collect();
        People {
            clients: Listed {
                count: census.len(),
                table: clients,
            },
            pins: Listed {
                count: pinned.len(),
                table: pins,
            },
        }
    }
}

/// The smaller, the sooner somebody should look.
fn urgency(client: &Seen) -> (u8, u64) {
    let upstream = client.upstream.as_ref();
    match (
        client.queued_at,
        upstream.map(|upstream| upstream.in_transaction()),
    ) {
        (Some(since), _) => (0, since),
        (None, Some((Some(begun), _))) => (1, begun),
        (None, Some((None, _))) => (2, client.asked_at()),
        (None, None) => (3, u64::MAX - client.asked_at()),
    }
}

/// Seconds since then.
fn age(since: Option<u64>) -> Option<String> {
    since.map(|since| moment::age(since).as_secs_f64().to_string())
}

/// None of who holds no upstream beyond the transaction.
fn pin(client: &Seen) -> Option<Row> {
    let (reasons, since) = client.pins();
    let upstream = client.upstream.as_ref().filter(|_| !reasons.is_empty())?;
    let who = client.who();
    Some(vec![
        int(client.id()),
        text(&*who.user),
        text(&*who.database),
        text(reasons.join(", ")),
        text(moment::written(since)),
        age(Some(since)),
        int(upstream.id),
        int(upstream.cancel.pid),
        text(who.application_name()),
    ])
}

fn client(client: &Seen) -> Row {
    let who = client.who();
    let (local, peer) = who.addresses;
    let wait = client.queued_at.map_or(Duration::ZERO, moment::age);
    let replication = match who.purpose {
        Purpose::Queries | Purpose::Console | Purpose::Replication(Replication::Off) => "none",
        Purpose::Replication(Replication::Physical) => "physical",
        Purpose::Replication(Replication::Database) => "logical",
    };
    let [address, port, local_address, local_port] = addresses(peer, local);
    let link = client.upstream.as_ref();
    let (begun, rested) = link.map_or((None, None), |upstream| upstream.in_transaction());
    vec![
        text("C"),
        text(&*who.user),
        text(&*who.database),
        text(replication),
        text(client.state()),
        address,
        port,
        local_address,
        local_port,
        text(moment::written(who.connected_at)),
        text(moment::written(client.asked_at())),
        int(wait.as_secs()),
        int(wait.subsec_micros()),
        int(0),
        text(format!("C{}", client.id())),
        text(link.map_or_else(String::new, |upstream| format!("S{}", upstream.id))),
        int(0),
        text(who.tls.as_deref().unwrap_or_default()),
        text(who.application_name()),
        int(client.statements()),
        int(client.id()),
        age(begun),
        age(rested),
    ]
}

fn server(pool: &Pool, upstream: &Record, names: &BTreeMap<u64, String>) -> Row {
    let (local, peer) = upstream.addresses;
    let [address, port, local_address, local_port] = addresses(peer, local);
    let client = upstream.client();
    // What is left of its last client's is nobody's.
    let transaction = Some(upstream.in_transaction()).filter(|_| client != 0);
    let (begun, rested) = transaction.unwrap_or_default();
    let state = match upstream.doing() {
        Doing::Idle => "idle",
        Doing::Active | Doing::Pinned => "active",
        Doing::Tested => "tested",
    };
    vec![
        text("S"),
        text(pool.user()),
        text(pool.database()),
        text("none"),
        text(state),
        address,
        port,
        local_address,
        local_port,
        text(moment::written(upstream.connected_at)),
        text(moment::written(upstream.taken_at())),
        int(0),
        int(0),
        int(usize::from(!pool.is_current(upstream))),
        text(format!("S{}", upstream.id)),
        text(if client == 0 {
            String::new()
        } else {
            format!("C{client}")
        }),
        int(upstream.cancel.pid),
        text(upstream.tls.as_deref().unwrap_or_default()),
        text(names.get(&client).cloned().unwrap_or_default()),
        int(upstream.statements()),
        int(upstream.id),
        age(begun),
        age(rested),
    ]
}

fn addresses(peer: Option<SocketAddr>, local: Option<SocketAddr>) -> [Option<String>; 4] {
    let address = |end: Option<SocketAddr>| match end {
        Some(end) => text(end.ip().to_canonical().to_string()),
        None => text("unix"),
    };
    let port = |end: Option<SocketAddr>| int(end.map_or(0, |end| end.port()));
    [address(peer), port(peer), address(local), port(local)]
}

/// Bytes of memory that the process has, as the system counts them; 0 where it does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
