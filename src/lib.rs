//! pgweir: a transparent Postgres pooler and query cache.
//!
//! # The life of a query, room by room
//!
//! 1. [`listen`] accepts a connection, counts it against the [`limits`], and lets
//!    [`session::greet`] do [`tls`], start-up and authentication ([`wire::startup`],
//!    [`wire::auth`], [`wire::scram`]). A CancelRequest ends here: [`session::cancel`].
//! 2. [`session::open`] finds the client's pool ([`pool::pools`]), reports what its upstreams report,
//!    and hands out a cancel key. From here on a [`session::Session`] serves the client. One that
//!    asked for the database `pgweir` talks with the console instead: [`admin`].
//! 3. The session waits for a whole request. A `BEGIN` alone is answered and held back
//!    ([`sql::block`]). A query is cut to its shape ([`sql::shape`]); what the shape means is found out
//!    once ([`sql::class`]) and judged by the [`catalog`]; a read whose key is in the [`cache`] is
//!    answered from there. Anything else needs an upstream.
//! 4. [`pool::Pool::lease`] gives one, first come first served: a fair line ([`pool::line`]) stands in
//!    front of bb8, which keeps the upstreams' life ([`pool::manager`]); [`pool::upstream`] logs in.
//! 5. The difference between the client's settings and the upstream's ([`pool::state`]) goes out in
//!    front of the request, in the same write.
//! 6. Frames move both ways, cut by their headers ([`wire::frame`]) and otherwise unread, except
//!    for names of prepared statements ([`pool::statements`]) and texts: [`sql::analyze()`] says what
//!    a text does to its session, with what the [`catalog`] knows of functions and triggers. What
//!    the upstream still owes is in the reply queue ([`wire::replies`]).
//! 7. What it writes is marked before it is sent and settled when its outcome is known
//!    ([`invalidate`]); what it reads is copied on its way and becomes an entry ([`cache::fill`]).
//! 8. At rest, idle, and owing nothing, the upstream is proven clean or reset, and goes back;
//!    session state that cannot move pins it instead ([`sql::effect::SessionState`]).
//!
//! What happens on the way is counted by the [`metrics`], which [`admin::http`] serves; [`export`] sends
//! them to an OpenTelemetry collector, with a span for each query, when there is one.
//!
//! # Invariants
//!
//! - [`wire`] and [`sql`] know no sockets, no clock, no configuration; [`pool`] knows no sessions;
//!   only [`session`] joins rooms (a test reads the `use` lines).
//! - An upstream goes back only with an empty reply queue, idle, and proven clean; a dropped
//!   [`pool::lease::Lease`] closes it.
//! - A cancel reaches an upstream only while its session holds it, and the upstream is not given
//!   to anybody else before the cancel connection has ended.
//! - A transaction never continues on another upstream; nothing is sent twice, but a series of
//!   extended messages that failed with 0A000 before it did anything.
//! - A result is stored only if nothing it depends on was written, or was being written, since before
//!   its query was sent, and is served only while that holds ([`cache::generation`]).
//! - [`cache`] knows no SQL and no sockets; keys are compared whole.
//! - Every buffer, queue, table and wait has a limit, with its reason beside it.

pub mod admin;
pub mod amount;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
#[cfg(test)]
mod docs;
pub mod explain;
pub mod export;
pub mod few;
pub mod invalidate;
pub mod limits;
pub mod listen;
pub mod live;
pub mod metrics;
pub mod migrate;
pub mod moment;
pub mod pool;
pub mod reason;
pub mod relay;
pub mod session;
pub mod sql;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod wire;
