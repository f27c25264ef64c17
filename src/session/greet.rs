//! From an accepted socket to a client that has proven who it is.
//!
//! Two stages: `open` does TLS and takes the start-up packet, `login` checks addresses and
//! passwords. Both together have one time limit. Whatever is refused, the client has been told when
//! [`greet`] returns.

mod client;
mod login;
mod open;
mod users;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

pub use users::{NoRandom, Users};

use crate::config::Database;
use crate::metrics::logins::Failure;
use crate::pool::error::ConnectError;
use crate::pool::upstream::Credential;
use crate::stream::Stream;
use crate::tls::server::Acceptor;
use crate::wire::error::PgError;
use crate::wire::startup::{Replication, Setting};
use client::Client;

/// What greeting asks of the upstream side; wired to the control connections and pools.
pub trait Upstreams: Send + Sync {
    /// Runs `auth.query` in `database` with `user` as its bound parameter, on a connection that
    /// carries no client's settings (H110): the stored verifier, or `None` for an unknown user.
    fn verifier(
        &self,
        user: &str,
        database: &str,
    ) -> impl Future<Output = Result<Option<String>, ConnectError>> + Send;

    /// Pass-through: whether the upstream lets `user` into `database` with that password. Must ask
    /// the upstream, since a pool that is already open proves nothing about this client.
    fn log_in(
        &self,
        user: &str,
        database: &str,
        credential: &Credential,
    ) -> impl Future<Output = Result<(), ConnectError>> + Send;
}

/// The parts of the configuration that greeting needs.
#[derive(Debug)]
pub struct Gate<'a, U> {
    pub tls: &'a Acceptor,
    pub users: &'a Users,
    pub databases: &'a BTreeMap<String, Database>,
    pub upstreams: &'a U,
    /// From accept to AuthenticationOk.
    pub login_timeout: Duration,
}

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Greeting {
    /// A client that is in.
    Client(Box<Login>),
    /// Asks to cancel the query of the session with that key. Nothing is answered to it; the
    /// connection is to be dropped once the cancel is done.
    Cancel {
        pid: u32,
        key: Box<[u8]>,
        stream: Stream,
    },
}

/// A client that has proven who it is.
#[derive(Debug)]
pub struct Login {
    pub stream: Stream,
    /// Queued bytes (NegotiateProtocolVersion, the end of the SASL exchange, AuthenticationOk) that
    /// go out first, in one write with the ParameterStatus that follow.
    pub pending: Vec<u8>,
    pub user: String,
    /// As the client named it; empty for physical replication.
    pub database: String,
    /// In order; where a name comes twice, the last counts.
    pub settings: Vec<Setting>,
    /// The session speaks protocol 3.`minor`; long cancel keys from 2 on.
    pub minor: u16,
    pub replication: Replication,
    /// What this client's user logs in with upstream, as far as greeting knows.
    pub credential: Credential,
    pub peer: SocketAddr,
}

impl Login {
    /// Whether the client's connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

/// Why there is no client. It has been told already, as far as it can be.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// Gone without a word: a port scan, a health check of a load balancer, or psql that will come
    /// back once its user has typed the password.
    #[error("the client hung up before it was logged in")]
    HungUp,
    #[error("the client's connection broke before it was logged in: {0}")]
    Io(#[from] io::Error),
    #[error("TLS handshake with the client failed: {0}")]
    Tls(io::Error),
    /// Something that no Postgres client sends, and that Postgres does not answer either.
    #[error("{0}")]
    Nonsense(&'static str),
    #[error("not logged in within the login timeout")]
    TimedOut,
    #[error("{0}")]
    Refused(PgError),
    /// The upstream refused on our behalf.
    #[error("{0}")]
    Upstream(ConnectError),
}

/// Greets one accepted connection.
///
/// Not cancel safe: the connection is lost with the future.
///
/// # Errors
/// Why there is no client; it has been told.
pub async fn greet<U: Upstreams>(
    tcp: TcpStream,
    peer: SocketAddr,
    gate: &Gate<'_, U>,
) -> Result<Greeting, GreetError> {
    let deadline = Instant::now() + gate.login_timeout;
    // As in Postgres, whoever is too slow for its first packet is not worth an answer.
    let opened = {
        let opening = pin!(open::open(tcp, gate.tls));
        let opened = tokio::time::timeout_at(deadline, opening).await;
        opened.map_err(|_elapsed| GreetError::TimedOut)??
    };
    let (mut client, startup) = match opened {
        open::Opened::Cancel { pid, key, stream } => {
            return Ok(Greeting::Cancel { pid, key, stream });
        }
        open::Opened::Startup { client, startup } => (client, startup),
    };
    let logging_in = {
        let logging_in = pin!(login::log_in(&mut client, &startup, peer, gate));
        tokio::time::timeout_at(deadline, logging_in).await
    };
    let result = match logging_in {
        Ok(result) => result,
        Err(_elapsed) => {
            let error = PgError::fatal("57014", "canceling authentication due to timeout")
                .hint("Raise listen.login_timeout if clients need longer.");
            client.tell(|out| error.encode(out)).await;
            return Err(GreetError::TimedOut);
        }
    };
    match result {
        Ok(credential) => Ok(Greeting::Client(Box::new(Login {
            minor: startup.minor.min(crate::wire::startup::MINOR_MAX),
            user: startup.user,
            database: startup.database,
            settings: startup.settings,
            replication: startup.replication,
            credential,
            peer,
            pending: client.out,
            stream: client.stream,
        }))),
        Err(error) => Err(Box::pin(told(client, error)).await),
    }
}

/// Refuses a connection, once it has said what it is: libpq shows no error that comes before the
/// answer to its request for TLS (CVE-2024-10977). A cancel is not refused: a client that is in, perhaps
/// one of those that are too many, is waiting for it.
pub async fn turn_away(tcp: TcpStream, tls: &Acceptor, refusal: PgError) -> Option<Greeting> {
    match open::open(tcp, tls).await {
        Ok(open::Opened::Cancel { pid, key, stream }) => {
            Some(Greeting::Cancel { pid, key, stream })
        }
        Ok(open::Opened::Startup { client, .. }) => {
            told(client, refusal.into()).await;
            None
        }
        // It has been told, or is gone.
        Err(_) => None,
    }
}

/// Sends an error to the client in its last moment.
async fn told(mut client: Client, error: GreetError) -> GreetError {
    match &error {
        GreetError::Refused(refusal) => client.tell(|out| refusal.encode(out)).await,
        GreetError::Upstream(refusal) => client.tell(|out| refusal.encode(out)).await,
        GreetError::HungUp
        | GreetError::Io(_)
        | GreetError::Tls(_)
        | GreetError::Nonsense(_)
        | GreetError::TimedOut => {}
    }
    error
}

impl GreetError {
    /// How it is counted; who hung up has not tried.
    pub fn failure(&self) -> Option<Failure> {
        Some(match self {
            Self::HungUp => return None,
            Self::Io(_) => Failure::Lost,
            Self::Tls(_) => Failure::Tls,
            Self::Nonsense(_) => Failure::Protocol,
            Self::TimedOut => Failure::Timeout,
            Self::Refused(error) => match (error.trouble, error.code) {
                (Some(trouble), _) => Failure::of(trouble),
                (None, "28P01") => Failure::Password,
                (None, "28000") => Failure::Certificate,
                (None, _) => Failure::Protocol,
            },
            // Asked on the client's behalf, with its own password.
            Self::Upstream(error @ ConnectError::Refused { .. })
                if error.sqlstate().starts_with("28") =>
            {
                Failure::Password
            }
            Self::Upstream(_) => Failure::Upstream,
        })
    }
}

impl From<PgError> for GreetError {
    fn from(error: PgError) -> Self {
        Self::Refused(error)
    }
}

#[cfg(test)]
mod tests;
