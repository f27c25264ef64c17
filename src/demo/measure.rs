//! What a client sees: how long connecting, querying and leaving take.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Error;
use crate::config::Target;
use crate::pool::control::control;
use crate::pool::upstream::{Credential, Login};
use crate::tls::client::Connector;

/// Ten round trips of a second each fit in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// One client's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// From nothing to a session that takes queries: TCP, TLS, login.
    pub connect: Duration,
    /// The session's first query.
    pub first: Duration,
    /// And another.
    pub second: Duration,
    /// Until the socket is closed.
    pub disconnect: Duration,
}

/// Lives one client's life at `target`, asking for the products `id` and the next.
///
/// # Errors
/// When a step fails, or an answer is wrong.
pub async fn round(target: &Target, id: i32) -> Result<Round, Error> {
    // Anew for each round: a client that has never been here has no TLS session to resume.
    let login = login(target)?;
    let start = Instant::now();
    let (client, connection) = control(&login).await?;
    let connected = Instant::now();
    ask(&client, id).await?;
    let first = Instant::now();
    ask(&client, id + 1).await?;
    let second = Instant::now();
    drop(client);
    // Ends with the socket; a task that cannot be joined has ended too.
    let _joined = connection.await;
    Ok(Round {
        connect: connected - start,
        first: first - connected,
        second: second - first,
        disconnect: second.elapsed(),
    })
}

/// How `target` is logged in to.
///
/// # Errors
/// When its TLS settings do not hold together.
pub fn login(target: &Target) -> Result<Login, Error> {
    let connector = Connector::new(&target.tls)?;
    let credential = target.password.clone();
    let mut login = Login::new(
        target,
        Arc::new(connector),
        target.user.clone(),
        target.database.clone().unwrap_or_default(),
        credential.map_or(Credential::None, Credential::Password),
    );
    login.connect_timeout = CONNECT_TIMEOUT;
    Ok(login)
}

/// A query as drivers send it, with a parameter, in one round trip.
async fn ask(client: &Client, id: i32) -> Result<(), Error> {
    let sql = "SELECT name FROM products WHERE id = $1";
    let row = client.query_typed_one(sql, &[(&id, Type::INT4)]).await?;
    let name: &str = row.try_get(0)?;
    if name == format!("product {id}") {
        return Ok(());
    }
    Err(Error::WrongAnswer {
        asked: id,
        got: name.to_owned(),
    })
}
