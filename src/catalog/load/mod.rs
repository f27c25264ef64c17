//! What is asked of the server. Every name and operator is qualified, so that nobody's
//! `search_path` or operator decides what is asked (H110). PostgreSQL 13 to 18.
//!
//! All questions are sent at once, in one transaction with one view of the catalog: a load costs
//! two round trips, and no statement is prepared.

mod defaults;
mod digest;
mod relations;
mod routines;
mod safety;
mod tree;

use std::sync::Arc;

use tokio_postgres::{Client, Error, Row};

pub(super) use self::digest::{Digest, digest};
use super::Declared;
use super::facts::Facts;
use super::known::Known;
use super::snapshot::Snapshot;

/// Reads the catalog. What changes meanwhile shows in the next digest.
pub(super) async fn load(
    client: &Client,
    generation: u64,
    epoch: u64,
    declared: &Arc<Declared>,
) -> Result<Snapshot, Error> {
    let begin = client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    // On the heap: all these questions at once make a large future.
    let facts = Box::pin(facts(client));
    let verdicts = Box::pin(safety::load(client, generation));
    let ((), mut snapshot, facts) = tokio::try_join!(biased; begin, verdicts, facts)?;
    client.batch_execute("COMMIT").await?;
    snapshot.known = Arc::new(Known::new(facts, Arc::clone(declared), epoch));
    Ok(snapshot)
}

/// Whether everybody may ask for locks, as is usual.
const LOCKS_READABLE: &str = "SELECT pg_catalog.has_table_privilege('public', 'pg_catalog.pg_locks', 'SELECT') \
     AND pg_catalog.has_table_privilege('public', 'pg_catalog.pg_class', 'SELECT')";

async fn facts(client: &Client) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    let (relations, routines, forbids, readable) = tokio::try_join!(
        relations::load(client),
        routines::load(client),
        defaults::load(client),
        rows(client, LOCKS_READABLE, |row| row.try_get(0)),
    )?;
    relations.put(&mut facts);
    routines.put(&mut facts);
    facts.forbids = forbids;
    facts.locks_readable = readable.into_iter().all(|all: bool| all);
    Ok(facts)
}

/// The answer to a query, row by row, in one round trip.
async fn rows<T>(
    client: &Client,
    query: &str,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let rows = client.query_typed(query, &[]).await?;
    rows.iter().map(read).collect()
}

/// A text column, which is not null.
fn text(row: &Row, column: usize) -> Result<&str, Error> {
    row.try_get(column)
}

/// A column of type "char".
fn byte(row: &Row, column: usize) -> Result<u8, Error> {
    row.try_get::<_, i8>(column).map(i8::cast_unsigned)
}
