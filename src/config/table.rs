//! Every setting, one row each: flags, variables, the file's keys, defaults, `--help`, `check`,
//! reload and the test of `proxy.toml.example` all come from here.

use std::collections::BTreeMap;
use std::time::Duration;

use Fallback::{Computed, Is, Required, Unset};

use super::setting::{Fallback, Reload, Setting, kind_of, settings};
use super::target::{ChannelBinding, SessionAttrs, Target, UpstreamTls};
use super::telemetry;
use super::value::{Perhaps, Value};
use super::word::{Word, words};
use super::{
    Admin, Auth, AuthMode, Cache, Config, Database, Footprint, ForeignTables, Listen, ListenTls,
    Log, LogFormat, PinPolicy, Pool, PoolMode, RowSecurity, TlsMode, User,
};
use crate::amount::{Share, Size};
use crate::cache::rules::{Level, Mode, Rule};

/// The settings of the whole process. `--help` lists them in this order.
pub static SETTINGS: &[Setting<Config>] = settings! { Config;
    "listen.address" ["listen", "HOST:PORT"], Is("127.0.0.1:6432"), Restart
        => listen.address: "Where clients connect";
    "upstream.url" ["upstream", "URL"], Required, Live
        => upstream: "postgres://user:password@host:port/db";
    "auth.mode" ["auth", "MODE"], Is("scram"), Live
        => auth.mode: "Login: trust, password, md5, scram, cert, passthrough";
    "auth.query", Unset, Live
        => auth.query: "Asks the upstream for a user's verifier ($1 is the name)";
    "auth.query_database", Unset, Live
        => auth.query_database: "The database auth.query runs in";
    "auth.allow", Is(""), Live
        => auth.allow: "Networks clients may come from; none means any";
    "listen.tls.cert" ["tls-cert", "FILE"], Unset, Live
        => listen.tls.cert: "Our certificate chain, PEM";
    "listen.tls.key" ["tls-key", "FILE"], Unset, Live
        => listen.tls.key: "Its private key, PEM";
    "listen.tls.client_ca" ["tls-client-ca", "FILE"], Unset, Live
        => listen.tls.client_ca: "Who signs client certificates, PEM";
    "listen.tls.mode" ["tls", "MODE"],
        Computed("allow with a certificate", tls_mode), Live
        => listen.tls.mode: "disable, allow or require TLS";
    "listen.clients_max" ["max-clients", "N"], Is("10000"), Live
        => listen.clients_max: "Clients at once";
    "listen.clients_per_user_max", Is("0"), Live
        => listen.clients_per_user_max: "Clients at once per user; 0 is no limit";
    "listen.clients_per_database_max", Is("0"), Live
        => listen.clients_per_database_max: "Clients at once per database; 0 is no limit";
    "listen.clients_per_address_max", Is("0"), Live
        => listen.clients_per_address_max: "Clients at once per peer address; 0 is no limit";
    "listen.login_timeout", Is("15s"), Live
        => listen.login_timeout: "From accept to the end of the login";
    "listen.reuse_port", Is("false"), Restart
        => listen.reuse_port: "Let a second process listen on the same address, to take over";
    "listen.peers", Unset, Restart
        => listen.peers: "Folder where such processes meet, to hand on each other's cancels";
    "listen.shutdown_timeout", Is("30s"), Live
        => listen.shutdown_timeout: "How long running transactions may take after SIGTERM";
    "pool.mode" ["pool-mode", "MODE"], Is("transaction"), Live
        => pool.mode: "Upstream per session, transaction or statement";
    "pool.size_max" ["pool-size", "N"], Is("20"), Live
        => pool.size_max: "Upstreams per database and user";
    "pool.idle_min" ["pool-min-idle", "N"], Is("0"), Live
        => pool.idle_min: "Upstreams kept ready";
    "pool.timeout" ["pool-timeout", "D"], Is("10s"), Live
        => pool.timeout: "Longest wait for an upstream";
    "pool.wait_notice", Is("5s"), Live
        => pool.wait_notice: "Tell a client that it waits after this long; 0s is never";
    "pool.idle_timeout" ["pool-idle-timeout", "D"], Is("10m"), Live
        => pool.idle_timeout: "Close an upstream unused this long";
    "pool.lifetime_max" ["pool-max-lifetime", "D"], Is("1h"), Live
        => pool.lifetime_max: "Close an upstream this old";
    "pool.connect_timeout", Is("5s"), Live
        => pool.connect_timeout: "Longest login to one upstream host, unless the URL says";
    "pool.queue_max", Is("10000"), Live
        => pool.queue_max: "Clients that may wait for one pool";
    "pool.statements_max", Is("200"), Live
        => pool.statements_max: "Prepared statements kept on one upstream";
    "pool.pins_max", Is("20"), Live
        => pool.pins_max: "Pinned upstreams beyond size_max";
    "pool.pin", Is("pin"), Live
        => pool.pin: "What to do about session state that cannot move";
    "pool.catalog_poll", Is("2s"), Live
        => pool.catalog_poll: "How often to look for changed functions and triggers";
    "cache.level" ["cache", "LEVEL"], Is("ryw"), Live
        => cache.level: "What may be answered from memory: off, ttl, ryw";
    "cache.ttl" ["cache-ttl", "D"], Is("60s"), Live
        => cache.ttl: "How old an answer from memory may be";
    "cache.stale_while_revalidate" ["cache-swr", "D"], Is("15s"), Live
        => cache.stale_while_revalidate: "How much older while it is refreshed";
    "cache.bytes_max" ["cache-memory", "SIZE"], Is("256MiB"), Restart
        => cache.bytes_max: "Memory for results, keys and bookkeeping included";
    "cache.result_bytes_max" ["cache-max-result", "SIZE"], Is("1MiB"), Restart
        => cache.result_bytes_max: "Largest result that is kept";
    "cache.entries_max", Unset, Restart
        => cache.entries_max: "Results kept, whatever their size";
    "cache.mode", Is("on"), Live
        => cache.mode: "on, or shadow: compare, but always answer from the database";
    "cache.audit", Is("0%"), Live
        => cache.audit: "The part of all hits that is asked again, to compare";
    "cache.row_security", Is("refuse"), Live
        => cache.row_security: "refuse or keyed: tables under row security";
    "cache.foreign_tables", Is("refuse"), Live
        => cache.foreign_tables: "refuse or ttl: tables that others change";
    "cache.footprint", Is("off"), Live
        => cache.footprint: "on: ask the server what triggers and functions wrote";
    "admin.address" ["admin-listen", "HOST:PORT"], Is("127.0.0.1:6433"), Restart
        => admin.address: "HTTP: /metrics, /healthz, /readyz, /api/v1; \"\" is off";
    "admin.token", Unset, Live
        => admin.token: "Who shows it may purge the cache by HTTP";
    "admin.users", Computed("the user of upstream.url", admin_users), Live
        => admin.users: "Who may do everything in the console";
    "admin.stats_users", Is(""), Live
        => admin.stats_users: "Who may look at what the console shows";
    "admin.databases", Is("pgweir,pgbouncer"), Live
        => admin.databases: "Names of databases that lead to the console";
    "runtime.workers" ["workers", "N"], Computed("number of CPUs", workers), Restart
        => workers: "Worker threads";
    "log.format" ["log-format", "FORMAT"], Is("text"), Restart
        => log.format: "text or json";
    "log.level" ["log-level", "LEVEL"], Is("info"), Live
        => log.level: "error, warn, info, debug, trace, or a filter";
    "telemetry.endpoint", Unset, Restart
        => telemetry.endpoint: "An OpenTelemetry collector, OTLP over HTTP";
    "telemetry.sample", Is("100%"), Live
        => telemetry.sample: "The part of all queries that have a span";
    "telemetry.service_name", Is("pgweir"), Restart
        => telemetry.service_name: "What this process is called there";
    "telemetry.metrics_interval", Is("15s"), Restart
        => telemetry.metrics_interval: "How often metrics are sent";
};

/// Every setting that is not part of a list.
pub fn all() -> impl Iterator<Item = &'static Setting<Config>> + Clone {
    SETTINGS.iter()
}

/// One of `[[users]]`, apart from its `name`.
pub static USER: &[Setting<User>] = settings! { User;
    "password", Unset, Live => password: "In clear, md5..., or SCRAM-SHA-256$...";
    "allow", Unset, Live => allow: "Networks this user may come from; none means any";
    "clients_max", Unset, Live => clients_max: "Clients of this user at once";
    "pool_size_max", Unset, Live => pool_size_max: "Upstreams per database of this user";
    "cache", Unset, Live => cache: "As cache.level; comes before the database's";
};

/// One of `[databases.NAME]`.
pub static DATABASE: &[Setting<Database>] = settings! { Database;
    "url", Unset, Live => target: "Where it is, when not at upstream.url";
    "dbname", Unset, Live => dbname: "Its name over there";
    "user", Unset, Live => user: "The one upstream user of all its clients";
    "password", Unset, Live => password: "That user's password";
    "pool.mode", Unset, Live => pool_mode: "As pool.mode";
    "pool.size_max", Unset, Live => pool_size_max: "As pool.size_max";
    "pool.idle_min", Unset, Live => pool_idle_min: "As pool.idle_min";
    "clients_max", Unset, Live => clients_max: "Clients of this database at once";
    "allow", Unset, Live => allow: "Networks its clients may come from; none means any";
    "cache", Unset, Live => cache: "As cache.level";
};

/// One of `[[cache.rules]]`.
pub static RULE: &[Setting<Rule>] = settings! { Rule;
    "database", Unset, Live => database: "Clients of this database";
    "user", Unset, Live => user: "Clients of this user";
    "table", Unset, Live => table: "Queries that read this table";
    "shape", Unset, Live => shape: "Queries of this shape";
    "level", Unset, Live => level: "As cache.level";
    "ttl", Unset, Live => ttl: "As cache.ttl; cuts cache.stale_while_revalidate to it";
    "never", Unset, Live => never: "Not from memory, whatever later rules say";
};

words! {
    TlsMode { Disable = "disable", Allow = "allow", Require = "require" }
    AuthMode {
        Trust = "trust",
        Password = "password",
        Md5 = "md5",
        Scram = "scram",
        Cert = "cert",
        Passthrough = "passthrough",
    }
    PoolMode { Session = "session", Transaction = "transaction", Statement = "statement" }
    PinPolicy { Pin = "pin", Error = "error" }
    LogFormat { Text = "text", Json = "json" }
    Level { Off = "off", Ttl = "ttl", Ryw = "ryw" }
    Mode { On = "on", Shadow = "shadow" }
    RowSecurity { Refuse = "refuse", Keyed = "keyed" }
    ForeignTables { Refuse = "refuse", Ttl = "ttl" }
    Footprint { Off = "off", On = "on" }
}

fn tls_mode(config: &mut Config) {
    let tls = &mut config.listen.tls;
    tls.mode = if tls.cert.is_some() {
        TlsMode::Allow
    } else {
        TlsMode::Disable
    };
}

fn admin_users(config: &mut Config) {
    let user = config.upstream.user.clone();
    config.admin.users = Vec::from_iter((!user.is_empty()).then_some(user));
}

fn workers(config: &mut Config) {
    config.workers = std::thread::available_parallelism().map_or(1, usize::from);
}

/// The struct before any row is applied; [`SETTINGS`] fills every field, defaults first.
pub(super) fn blank() -> Config {
    Config {
        listen: Listen {
            address: String::new(),
            clients_max: 0,
            clients_per_user_max: 0,
            clients_per_database_max: 0,
            clients_per_address_max: 0,
            login_timeout: Duration::ZERO,
            reuse_port: false,
            peers: None,
            shutdown_timeout: Duration::ZERO,
            tls: ListenTls {
                mode: TlsMode::Disable,
                cert: None,
                key: None,
                client_ca: None,
            },
        },
        upstream: Target {
            hosts: Vec::new(),
            user: String::new(),
            password: None,
            database: None,
            tls: UpstreamTls::default(),
            channel_binding: ChannelBinding::default(),
            session_attrs: SessionAttrs::default(),
            connect_timeout: Duration::ZERO,
            parameters: Vec::new(),
        },
        auth: Auth {
            mode: AuthMode::Scram,
            users: BTreeMap::new(),
            query: None,
            query_database: None,
            allow: Vec::new(),
        },
        pool: Pool {
            mode: PoolMode::Transaction,
            size_max: 0,
            idle_min: 0,
            timeout: Duration::ZERO,
            wait_notice: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            lifetime_max: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            queue_max: 0,
            statements_max: 0,
            pins_max: 0,
            pin: PinPolicy::Pin,
            catalog_poll: Duration::ZERO,
        },
        cache: blank_cache(),
        admin: Admin {
            address: Perhaps(None),
            token: None,
            users: Vec::new(),
            stats_users: Vec::new(),
            databases: Vec::new(),
        },
        databases: BTreeMap::new(),
        log: Log {
            format: LogFormat::Text,
            level: String::new(),
        },
        telemetry: telemetry::blank(),
        workers: 0,
    }
}

fn blank_cache() -> Cache {
    Cache {
        level: Level::Off,
        ttl: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        bytes_max: Size(0),
        result_bytes_max: Size(0),
        entries_max: None,
        mode: Mode::On,
        audit: Share::default(),
        row_security: RowSecurity::Refuse,
        foreign_tables: ForeignTables::Refuse,
        footprint: Footprint::Off,
        functions: BTreeMap::new(),
        triggers: BTreeMap::new(),
        rules: Vec::new(),
    }
}
