//! Every setting of PgBouncer, and what stands for it here. The table in docs/from-pgbouncer.md is
//! made from this one.

/// Where a setting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// To this setting of ours; `translate` knows how.
    To(&'static str),
    /// There is nothing like it: what to do instead.
    Nowhere(&'static str),
    /// It has no task here: why not.
    Needless(&'static str),
}
use Goes::{Needless, Nowhere, To};

const LOGS: &str = "pgweir writes to standard error; the service manager keeps it";
const SYSTEM: &str = "set by the operating system or the service manager";
const OWN_TLS: &str = "TLS 1.2 and 1.3 with rustls's ciphers and curves";
const RESET: &str = "an upstream is reset when its state is not known to be clean, and only then";
const DNS: &str = "names are looked up at each connect";

/// The settings of `[pgbouncer]`, in alphabetical order.
pub static PGBOUNCER: &[(&str, Goes)] = &[
    ("admin_users", To("admin.users")),
    (
        "application_name_add_host",
        Nowhere("the console's SHOW CLIENTS has the address"),
    ),
    ("auth_dbname", To("auth.query_database")),
    ("auth_file", To("[[users]]")),
    (
        "auth_hba_file",
        Nowhere("allow lists (auth.allow, users, databases) say who may come from where"),
    ),
    (
        "auth_ident_file",
        Nowhere("with auth.mode = \"cert\" the common name is the user"),
    ),
    (
        "auth_ldap_options",
        Nowhere("auth.mode = \"passthrough\" leaves the check to Postgres"),
    ),
    ("auth_query", To("auth.query")),
    ("auth_type", To("auth.mode")),
    ("auth_user", To("the user of upstream.url")),
    (
        "autodb_idle_timeout",
        Needless("a pool without connections costs next to nothing"),
    ),
    (
        "cancel_wait_timeout",
        Needless("a cancel is sent at once, over a connection of its own"),
    ),
    (
        "client_idle_timeout",
        Nowhere("an idle client holds no upstream; close it in the application"),
    ),
    ("client_login_timeout", To("listen.login_timeout")),
    ("client_tls13_ciphers", Needless(OWN_TLS)),
    ("client_tls_ca_file", To("listen.tls.client_ca")),
    ("client_tls_cert_file", To("listen.tls.cert")),
    ("client_tls_ciphers", Needless(OWN_TLS)),
    ("client_tls_dheparams", Needless(OWN_TLS)),
    ("client_tls_ecdhcurve", Needless(OWN_TLS)),
    ("client_tls_key_file", To("listen.tls.key")),
    ("client_tls_protocols", Needless(OWN_TLS)),
    ("client_tls_sslmode", To("listen.tls.mode")),
    ("conffile", Needless("the flag -c, or PGWEIR_CONFIG")),
    ("default_pool_size", To("pool.size_max")),
    (
        "disable_pqexec",
        Nowhere("the simple protocol is always served"),
    ),
    ("dns_max_ttl", Needless(DNS)),
    ("dns_nxdomain_ttl", Needless(DNS)),
    ("dns_zone_check_period", Needless(DNS)),
    (
        "idle_transaction_timeout",
        Nowhere("Postgres has it: ALTER ROLE ... SET idle_in_transaction_session_timeout"),
    ),
    (
        "ignore_startup_parameters",
        Needless("start-up parameters are settings of the client, kept for it"),
    ),
    ("job_name", Needless(LOGS)),
    ("listen_addr", To("listen.address")),
    ("listen_backlog", Needless(SYSTEM)),
    ("listen_port", To("listen.address")),
    (
        "log_connections",
        Needless("the log has the end of each session; log.level = \"debug\" has more"),
    ),
    (
        "log_disconnections",
        Needless("the log has the end of each session, with its reason"),
    ),
    (
        "log_pooler_errors",
        Needless("errors that clients are told are logged"),
    ),
    (
        "log_stats",
        Needless("the console and the metrics have them"),
    ),
    ("logfile", Needless(LOGS)),
    ("max_client_conn", To("listen.clients_max")),
    (
        "max_db_client_connections",
        To("listen.clients_per_database_max"),
    ),
    (
        "max_db_connections",
        Nowhere("pools are limited each: pool.size_max, and pool.size_max of a database or user"),
    ),
    (
        "max_packet_size",
        Needless("messages of any size are streamed"),
    ),
    ("max_prepared_statements", To("pool.statements_max")),
    (
        "max_user_client_connections",
        To("listen.clients_per_user_max"),
    ),
    (
        "max_user_connections",
        Nowhere("pool_size_max of a user limits each of its pools"),
    ),
    ("min_pool_size", To("pool.idle_min")),
    (
        "peer_id",
        Nowhere("processes of one machine number themselves, see listen.peers"),
    ),
    ("pidfile", Needless(SYSTEM)),
    (
        "pkt_buf",
        Needless("buffers grow and shrink with what they hold"),
    ),
    ("pool_mode", To("pool.mode")),
    (
        "query_timeout",
        Nowhere("Postgres has it: ALTER ROLE ... SET statement_timeout"),
    ),
    ("query_wait_notify", To("pool.wait_notice")),
    ("query_wait_timeout", To("pool.timeout")),
    (
        "reserve_pool_size",
        Nowhere("raise pool.size_max by it, if the database can take it"),
    ),
    ("reserve_pool_timeout", Nowhere("see reserve_pool_size")),
    ("resolv_conf", Needless(DNS)),
    (
        "sbuf_loopcnt",
        Needless("clients are served in turn by the runtime"),
    ),
    (
        "scram_iterations",
        Needless("verifiers in the file keep their own count"),
    ),
    (
        "server_check_delay",
        Needless("a connection that has died is noticed before it is used"),
    ),
    (
        "server_check_query",
        Needless("a connection that has died is noticed before it is used"),
    ),
    ("server_connect_timeout", To("pool.connect_timeout")),
    (
        "server_fast_close",
        Needless("after a reload clients keep their session, new ones get the new settings"),
    ),
    ("server_idle_timeout", To("pool.idle_timeout")),
    ("server_lifetime", To("pool.lifetime_max")),
    (
        "server_login_retry",
        Needless("clients that wait are told at once why Postgres cannot be reached"),
    ),
    ("server_reset_query", Needless(RESET)),
    ("server_reset_query_always", Needless(RESET)),
    (
        "server_round_robin",
        Needless("the connection used last is used next"),
    ),
    ("server_tls13_ciphers", Needless(OWN_TLS)),
    ("server_tls_ca_file", To("sslrootcert in upstream.url")),
    ("server_tls_cert_file", To("sslcert in upstream.url")),
    ("server_tls_ciphers", Needless(OWN_TLS)),
    ("server_tls_key_file", To("sslkey in upstream.url")),
    ("server_tls_protocols", Needless(OWN_TLS)),
    ("server_tls_sslmode", To("sslmode in upstream.url")),
    ("service_name", Needless(LOGS)),
    (
        "so_reuseport",
        Needless(
            "one process uses all processors (runtime.workers); to take over, listen.reuse_port",
        ),
    ),
    (
        "stats_period",
        Needless("averages are taken by whoever reads the metrics"),
    ),
    ("stats_users", To("admin.stats_users")),
    ("suspend_timeout", Nowhere("there is no SUSPEND")),
    ("syslog", Needless(LOGS)),
    ("syslog_facility", Needless(LOGS)),
    ("syslog_ident", Needless(LOGS)),
    ("tcp_defer_accept", Needless(SYSTEM)),
    ("tcp_keepalive", Needless(SYSTEM)),
    ("tcp_keepcnt", Needless(SYSTEM)),
    ("tcp_keepidle", Needless(SYSTEM)),
    ("tcp_keepintvl", Needless(SYSTEM)),
    ("tcp_socket_buffer", Needless(SYSTEM)),
    ("tcp_user_timeout", Needless(SYSTEM)),
    (
        "track_extra_parameters",
        Needless("every setting follows its client"),
    ),
    (
        "transaction_timeout",
        Nowhere("Postgres has it from 17 on: ALTER ROLE ... SET transaction_timeout"),
    ),
    ("unix_socket_dir", Nowhere("clients connect over TCP")),
    ("unix_socket_group", Nowhere("clients connect over TCP")),
    ("unix_socket_mode", Nowhere("clients connect over TCP")),
    ("user", Needless(SYSTEM)),
    ("verbose", To("log.level")),
];

/// What a connection string in `[databases]` may say.
pub static DATABASES: &[(&str, Goes)] = &[
    (
        "application_name",
        To("application_name in the database's url"),
    ),
    (
        "auth_dbname",
        Nowhere("auth.query_database is one for all databases"),
    ),
    ("auth_query", Nowhere("auth.query is one for all databases")),
    (
        "auth_user",
        Nowhere("auth.query runs as the user of upstream.url"),
    ),
    ("client_encoding", To("options in the database's url")),
    (
        "connect_query",
        Nowhere("options in the database's url, or ALTER DATABASE ... SET, for settings"),
    ),
    ("datestyle", To("options in the database's url")),
    ("dbname", To("databases.NAME.dbname")),
    ("host", To("databases.NAME.url")),
    (
        "load_balance_hosts",
        Nowhere("hosts are tried in order, as libpq does"),
    ),
    (
        "max_db_client_connections",
        To("databases.NAME.clients_max"),
    ),
    (
        "max_db_connections",
        Nowhere("pool.size_max limits each pool of the database"),
    ),
    ("min_pool_size", To("databases.NAME.pool.idle_min")),
    ("password", To("databases.NAME.password")),
    ("pool_mode", To("databases.NAME.pool.mode")),
    ("pool_size", To("databases.NAME.pool.size_max")),
    ("port", To("databases.NAME.url")),
    ("reserve_pool", Nowhere("raise pool.size_max by it")),
    ("reserve_pool_size", Nowhere("raise pool.size_max by it")),
    (
        "server_lifetime",
        Nowhere("pool.lifetime_max is one for all databases"),
    ),
    ("timezone", To("options in the database's url")),
    ("user", To("databases.NAME.user")),
];

/// What `[users]` may say of one.
pub static USERS: &[(&str, Goes)] = &[
    (
        "client_idle_timeout",
        Nowhere("an idle client holds no upstream"),
    ),
    (
        "idle_transaction_timeout",
        Nowhere("ALTER ROLE ... SET idle_in_transaction_session_timeout"),
    ),
    ("max_user_client_connections", To("users.NAME.clients_max")),
    (
        "max_user_connections",
        Nowhere("pool_size_max limits each pool of the user"),
    ),
    (
        "pool_mode",
        Nowhere("the mode is the database's: databases.NAME.pool.mode"),
    ),
    ("pool_size", To("users.NAME.pool_size_max")),
    (
        "query_timeout",
        Nowhere("ALTER ROLE ... SET statement_timeout"),
    ),
    ("reserve_pool_size", Nowhere("raise pool_size_max by it")),
    (
        "transaction_timeout",
        Nowhere("ALTER ROLE ... SET transaction_timeout"),
    ),
];

/// The row of `key`.
pub(super) fn find(table: &'static [(&'static str, Goes)], key: &str) -> Option<Goes> {
    table
        .iter()
        .find(|(name, _)| *name == key)
        .map(|(_, goes)| *goes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        for table in [PGBOUNCER, DATABASES, USERS] {
            assert!(table.is_sorted_by(|one, other| one.0 < other.0));
        }
        assert_eq!(
            find(USERS, "pool_size"),
            Some(To("users.NAME.pool_size_max"))
        );
        assert_eq!(find(USERS, "nonsense"), None);
    }
}
