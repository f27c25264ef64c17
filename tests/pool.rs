//! Pools: who is served when, and what becomes of upstreams and of clients that lose each other.

mod loss;
mod modes;
mod queue;
mod upstream;

use crate::support::wire::Client;

/// Returns when the proxy, on its single worker, has seen everything that was sent before: a BEGIN is answered
/// without an upstream.
fn seen_by_now(onlooker: &mut Client) {
    onlooker.run("begin");
    onlooker.run("rollback");
}

/// Reads what is left; true when the other side then closes the connection.
fn is_closed(client: &mut Client) -> bool {
    while client.next().is_ok() {}
    client.query("select 1").is_err()
}
