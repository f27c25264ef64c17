//! The columns of the console's tables. Where PgBouncer has the table, its names stand first and mean
//! what they mean there, because exporters, dashboards and scripts know them.

use super::Kind;
use super::Kind::{Float, Int, Text};

/// A table's columns.
pub type Columns = &'static [(&'static str, Kind)];

/// One row for each fact.
pub const CACHE: Columns = &[("name", Text), ("value", Text)];

/// One row for each shape. Times are in milliseconds: to the first byte of upstreams' answers and to
/// the last byte of all, and where the time of those went that upstreams answered.
pub const QUERIES: Columns = &[
    ("shape", Text),
    ("database", Text),
    ("calls", Int),
    ("hits", Int),
    ("misses", Int),
    ("bypasses", Int),
    ("reason", Text),
    ("reasons", Text),
    ("rows", Int),
    ("bytes", Int),
    ("first_p50", Float),
    ("first_p95", Float),
    ("first_p99", Float),
    ("last_p50", Float),
    ("last_p95", Float),
    ("last_p99", Float),
    ("queue_time", Float),
    ("upstream_time", Float),
    ("client_time", Float),
    ("invalidated_by", Text),
    ("text", Text),
];

/// Totals since the start, and averages of the last minute or two; times are in microseconds.
pub const STATS: Columns = &[
    ("database", Text),
    ("total_server_assignment_count", Int),
    ("total_xact_count", Int),
    ("total_query_count", Int),
    ("total_received", Int),
    ("total_sent", Int),
    ("total_xact_time", Int),
    ("total_query_time", Int),
    ("total_wait_time", Int),
    ("avg_server_assignment_count", Int),
    ("avg_xact_count", Int),
    ("avg_query_count", Int),
    ("avg_recv", Int),
    ("avg_sent", Int),
    ("avg_xact_time", Int),
    ("avg_query_time", Int),
    ("avg_wait_time", Int),
];

pub const STATS_TOTALS: Columns = &[
    ("database", Text),
    ("server_assignment_count", Int),
    ("xact_count", Int),
    ("query_count", Int),
    ("bytes_received", Int),
    ("bytes_sent", Int),
    ("xact_time", Int),
    ("query_time", Int),
    ("wait_time", Int),
];

pub const STATS_AVERAGES: Columns = STATS_TOTALS;

pub const TABLES: Columns = &[
    ("database", Text),
    ("table", Text),
    ("reads", Int),
    ("hits", Int),
    ("writes", Int),
    ("invalidations", Int),
    ("hit_ratio", Float),
];

pub const BYPASSES: Columns = &[
    ("reason", Text),
    ("queries", Int),
    ("meaning", Text),
    ("remedy", Text),
];

/// For who came as to PgBouncer without the last one: its exporter counts the columns.
pub const CONFIG: Columns = &[
    ("key", Text),
    ("value", Text),
    ("default", Text),
    ("changeable", Text),
    ("origin", Text),
];

pub const DATABASES: Columns = &[
    ("name", Text),
    ("host", Text),
    ("port", Int),
    ("database", Text),
    ("force_user", Text),
    ("pool_size", Int),
    ("min_pool_size", Int),
    ("reserve_pool", Int),
    ("pool_mode", Text),
    ("max_connections", Int),
    ("current_connections", Int),
    ("max_client_connections", Int),
    ("current_client_connections", Int),
    ("paused", Int),
    ("disabled", Int),
];

pub const POOLS: Columns = &[
    ("database", Text),
    ("user", Text),
    ("cl_active", Int),
    ("cl_waiting", Int),
    ("cl_active_cancel_req", Int),
    ("cl_waiting_cancel_req", Int),
    ("sv_active", Int),
    ("sv_active_cancel", Int),
    ("sv_being_canceled", Int),
    ("sv_idle", Int),
    ("sv_used", Int),
    ("sv_tested", Int),
    ("sv_login", Int),
    ("maxwait", Int),
    ("maxwait_us", Int),
    ("pool_mode", Text),
    ("sv_pinned", Int),
];

/// Of clients and upstreams, and of both together. The last two are ours: seconds since the transaction
/// began, and since it waits for its client.
pub const SOCKETS: Columns = &[
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("replication", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int),
    ("local_addr", Text),
    ("local_port", Int),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int),
    ("wait_us", Int),
    ("close_needed", Int),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int),
    ("tls", Text),
    ("application_name", Text),
    ("prepared_statements", Int),
    ("id", Int),
    ("xact_age", Float),
    ("xact_idle", Float),
];

pub const USERS: Columns = &[
    ("name", Text),
    ("pool_size", Int),
    ("reserve_pool_size", Int),
    ("pool_mode", Text),
    ("max_user_connections", Int),
    ("current_connections", Int),
    ("max_user_client_connections", Int),
    ("current_client_connections", Int),
];

pub const LISTS: Columns = &[("list", Text), ("items", Int)];

pub const MEM: Columns = &[
    ("name", Text),
    ("size", Int),
    ("used", Int),
    ("free", Int),
    ("memtotal", Int),
];

pub const STATE: Columns = &[("key", Text), ("value", Text)];

/// Clients that keep an upstream beyond the transaction.
pub const PINS: Columns = &[
    ("client", Int),
    ("user", Text),
    ("database", Text),
    ("reasons", Text),
    ("since", Text),
    ("age", Float),
    ("server", Int),
    ("remote_pid", Int),
    ("application_name", Text),
];
