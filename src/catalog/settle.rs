//! Commits whose outcome nobody told: of upstreams that were lost, and of prepared transactions.

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::refresh::{ANSWER_MAX, Lost};
use crate::cache::generation::Generations;

/// Of these backends, those that are still there. Everybody may see their numbers.
const ALIVE: &str = "SELECT a.pid FROM pg_catalog.pg_stat_activity a \
     WHERE a.pid OPERATOR(pg_catalog.=) ANY ($1)";

/// All prepared transactions of the server; their names are unique in it.
const PREPARED: &str = "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p";

/// Tells `generations` which lost backends are gone (H68) and which prepared transactions are
/// finished (H67). True: some are left.
pub(super) async fn settle(client: &Client, generations: &Generations) -> Result<bool, Lost> {
    let lost = generations.lost();
    let prepared = generations.prepared_gids();
    if !lost.is_empty() {
        let ask = async {
            client
                .query_typed(ALIVE, &[(&lost, Type::INT4_ARRAY)])
                .await
        };
        let rows = timeout(ANSWER_MAX, ask).await??;
        let alive: Result<Vec<i32>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let alive = alive?;
        for pid in lost.iter().filter(|pid| !alive.contains(pid)) {
            generations.bury(*pid);
        }
    }
    if !prepared.is_empty() {
        let rows = timeout(ANSWER_MAX, client.query_typed(PREPARED, &[])).await??;
        let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let names = names?;
        for gid in &prepared {
            // Beyond ASCII a client may have spelled it in another encoding than this session's.
            let finished = if gid.is_ascii() {
                !names.iter().any(|name| name.as_bytes() == &**gid)
            } else {
                names.is_empty()
            };
            if finished {
                generations.finish_prepared(gid);
            }
        }
    }
    Ok(!generations.lost().is_empty() || !generations.prepared_gids().is_empty())
}
