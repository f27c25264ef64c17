//! The configuration, checked: what the program uses, whoever said it.

mod cache;
mod check;
#[cfg(test)]
mod example;
mod fault;
mod file;
mod flags;
mod load;
mod origin;
mod pgpass;
#[cfg(test)]
mod reference;
pub mod reload;
mod secret;
mod setting;
mod show;
pub mod table;
mod target;
mod telemetry;
mod url;
mod value;
mod word;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use cache::{Cache, Effects, Footprint, ForeignTables, RowSecurity};
pub use fault::Fault;
pub(crate) use fault::nearest;
pub use flags::{Environment, Flags, environment};
pub use load::{Loaded, load, load_text};
pub use origin::{ConfigError, Origin, Origins};
pub use pgpass::PgPass;
pub use secret::Secret;
pub use setting::{Fallback, Reload, Setting};
pub use show::Line;
pub use target::{
    ChannelBinding, Host, SessionAttrs, SslMode, SslNegotiation, Target, UpstreamTls,
};
pub use telemetry::{Endpoint, Telemetry};
pub use value::{Kind, Perhaps, read_duration};
pub use word::Word;

use crate::admin::Role;
use crate::cache::rules::Level;

/// Everything that can be set. Only `main` and [`reload`] see it whole; each room gets its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub listen: Listen,
    /// The upstream of every database that [`Config::databases`] does not name.
    pub upstream: Target,
    pub auth: Auth,
    pub pool: Pool,
    pub cache: Cache,
    pub admin: Admin,
    pub databases: BTreeMap<String, Database>,
    pub log: Log,
    pub telemetry: Telemetry,
    /// Runtime worker threads.
    pub workers: usize,
}

/// Our own side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `host:port`.
    pub address: String,
    /// Clients connected at once, logging in included.
    pub clients_max: usize,
    /// The same per user, database and peer address; 0 is no limit of its own.
    pub clients_per_user_max: usize,
    pub clients_per_database_max: usize,
    pub clients_per_address_max: usize,
    /// From accept to AuthenticationOk.
    pub login_timeout: Duration,
    /// Other processes may listen on the same address (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Where processes meet that clients may take for each other, to hand on cancels.
    pub peers: Option<PathBuf>,
    /// After SIGTERM, how long running transactions may take to end.
    pub shutdown_timeout: Duration,
    pub tls: ListenTls,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    pub mode: TlsMode,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Whom a client certificate must come from; without it none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// Whether clients may or must use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Allow,
    Require,
}

/// Who gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub mode: AuthMode,
    /// The user table; the URL's user and password are an entry of it.
    pub users: BTreeMap<String, User>,
    /// Asks the upstream for a user's verifier: one parameter, two columns (name, verifier).
    pub query: Option<String>,
    /// The database that `query` runs in; the client's own when absent.
    pub query_database: Option<String>,
    /// Networks clients may come from; empty means any.
    pub allow: Vec<Network>,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    Trust,
    Password,
    Md5,
    Scram,
    Cert,
    Passthrough,
}

/// One entry of the user table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// In clear, `md5...`, or `SCRAM-SHA-256$...`, as pg_authid stores them.
    pub password: Option<Secret>,
    /// Networks this user may come from; empty means any.
    pub allow: Vec<Network>,
    pub clients_max: Option<usize>,
    pub pool_size_max: Option<usize>,
    /// The cache's level for this user, instead of the database's.
    pub cache: Option<Level>,
}

/// An address range in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    /// Leading bits that must agree.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` lies in the range; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32u32.saturating_sub(u32::from(self.prefix));
                shift >= 32 || (u32::from(net) >> shift) == (u32::from(ip) >> shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128u32.saturating_sub(u32::from(self.prefix));
                shift >= 128 || (u128::from(net) >> shift) == (u128::from(ip) >> shift)
            }
            _ => false,
        }
    }
}

/// The console, and the HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where the HTTP server listens, if it does.
    pub address: Perhaps,
    /// What a client of the HTTP server has to show before it may change anything; without one
    /// nobody may.
    pub token: Option<Secret>,
    /// Who may do everything.
    pub users: Vec<String>,
    /// Who may look.
    pub stats_users: Vec<String>,
    /// The names of databases that lead to the console; none for no console.
    pub databases: Vec<String>,
}

impl Admin {
    /// What a logged-in user may do; with `trust` everybody may look, since nobody can be told apart.
    pub fn role(&self, user: &str, mode: AuthMode) -> Option<Role> {
        if self.users.iter().any(|name| name == user) {
            Some(Role::Acts)
        } else if mode == AuthMode::Trust || self.stats_users.iter().any(|name| name == user) {
            Some(Role::Looks)
        } else {
            None
        }
    }

    /// Whether a client that names this database means the console.
    pub fn is_console(&self, database: &str) -> bool {
        self.databases.iter().any(|name| name == database)
    }
}

/// When an upstream is tied to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    Statement,
}

/// What to do when a statement makes session state that cannot move between upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinPolicy {
    /// Keep the upstream for that client until the state is gone.
    Pin,
    /// Refuse the statement.
    Error,
}

/// Pools, one per database and user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub mode: PoolMode,
    pub size_max: usize,
    pub idle_min: usize,
    /// How long a client may wait for an upstream.
    pub timeout: Duration,
    /// When a client that waits is told so; zero is never.
    pub wait_notice: Duration,
    pub idle_timeout: Duration,
    /// Each upstream's own limit is drawn from the last tenth before it.
    pub lifetime_max: Duration,
    pub connect_timeout: Duration,
    /// Clients that may wait at once.
    pub queue_max: usize,
    /// Prepared statements kept on one upstream.
    pub statements_max: usize,
    /// Pinned upstreams that do not count against `size_max`.
    pub pins_max: usize,
    pub pin: PinPolicy,
    /// How often the catalog is asked whether functions or triggers changed behind our back.
    pub catalog_poll: Duration,
}

/// One `[databases.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Where it is, when not at [`Config::upstream`].
    pub target: Option<Target>,
    /// Its name over there.
    pub dbname: Option<String>,
    /// The one upstream user of all its clients.
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub pool_mode: Option<PoolMode>,
    pub pool_size_max: Option<usize>,
    pub pool_idle_min: Option<usize>,
    pub clients_max: Option<usize>,
    pub allow: Vec<Network>,
    /// The cache's level for this database, instead of `cache.level`.
    pub cache: Option<Level>,
}

/// Events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// A tracing filter: `info`, or `pgweir=debug,info`.
    pub level: String,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
