//! Connections for pgweir's own questions: catalog, auth_query, health. They never carry a client's
//! settings (H110).

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding as TheirBinding, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config};

use super::dial::{self, Address, Encryption, Place};
use super::error::ConnectError;
use super::upstream::{self, Credential, Login, Open};
use crate::config::{ChannelBinding as OurBinding, Host, SessionAttrs};
use crate::stream::Stream;
use crate::tls;
use crate::wire::error::{Severity, encode_body};

/// How control connections appear in pg_stat_activity.
pub const APPLICATION_NAME: &str = "pgweir control";

/// A tokio-postgres client at the first host and address that fits, logged in as `login` says but
/// without its start-up parameters. The task drives the connection and ends with it; dropping the
/// client ends both.
///
/// # Errors
/// As [`connect`](super::upstream::connect). Keys without a password serve only where the upstream
/// asks for neither.
pub async fn control(login: &Login) -> Result<(Client, JoinHandle<()>), ConnectError> {
    let Control(client, task) = upstream::first(login).await?;
    Ok((client, task))
}

/// A client, and the task that drives it.
pub(super) struct Control(Client, JoinHandle<()>);

impl Open for Control {
    async fn open(
        login: &Login,
        host: &Host,
        address: &Address,
        encryption: Encryption,
        wanted: SessionAttrs,
    ) -> Result<Self, ConnectError> {
        let stream = dial::open(host, address, &login.connector, encryption).await?;
        let place = Place(host, Some(address)).to_string();
        let (client, connection) = config(login, &stream)
            .connect_raw(stream, AlreadyEncrypted)
            .await
            .map_err(|error| translate(&place, &error))?;
        let at = place.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(place = at, %error, "control connection ended");
            }
        });
        check(&client, &place, wanted).await?;
        Ok(Self(client, task))
    }
}

/// The login in tokio-postgres's terms.
fn config(login: &Login, stream: &Stream) -> Config {
    let mut config = Config::new();
    config
        .user(&login.user)
        .dbname(&login.database)
        .application_name(APPLICATION_NAME)
        .channel_binding(match login.channel_binding {
            OurBinding::Disable => TheirBinding::Disable,
            OurBinding::Prefer => TheirBinding::Prefer,
            OurBinding::Require => TheirBinding::Require,
        });
    if let Credential::Password(secret) = &login.credential {
        config.password(secret.expose());
    }
    // The stream is encrypted already. "Direct" makes tokio-postgres call our connector without an
    // SSLRequest of its own, and the connector only adds what channel binding needs.
    if stream.is_tls() {
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
    } else {
        config.ssl_mode(SslMode::Disable);
    }
    config
}

async fn check(client: &Client, place: &str, wanted: SessionAttrs) -> Result<(), ConnectError> {
    let (sql, expected) = match wanted {
        SessionAttrs::Any => return Ok(()),
        SessionAttrs::ReadWrite => ("SHOW transaction_read_only", "off"),
        SessionAttrs::ReadOnly => ("SHOW transaction_read_only", "on"),
        SessionAttrs::Primary => ("SELECT pg_catalog.pg_is_in_recovery()", "f"),
        SessionAttrs::Standby | SessionAttrs::PreferStandby => {
            ("SELECT pg_catalog.pg_is_in_recovery()", "t")
        }
    };
    let answer = client.simple_query(sql).await;
    let answer = answer.map_err(|error| translate(place, &error))?;
    let fits = answer.iter().any(|message| {
        matches!(message, tokio_postgres::SimpleQueryMessage::Row(row)
            if row.try_get(0).is_ok_and(|value| value == Some(expected)))
    });
    if fits {
        return Ok(());
    }
    Err(ConnectError::Attributes {
        place: place.to_owned(),
        wanted,
    })
}

/// tokio-postgres has taken the ErrorResponse apart; what clients need of it is put together again.
fn translate(place: &str, error: &tokio_postgres::Error) -> ConnectError {
    let Some(theirs) = error.as_db_error() else {
        let mut reason = error.to_string();
        if let Some(source) = std::error::Error::source(error) {
            reason = format!("{reason}: {source}");
        }
        return ConnectError::Io {
            place: place.to_owned(),
            kind: io::ErrorKind::Other,
            reason,
        };
    };
    let texts = [
        Some(theirs.message()),
        theirs.detail(),
        theirs.hint(),
        theirs.routine(),
    ];
    let body = encode_body(Severity::Fatal, theirs.code().code(), texts);
    ConnectError::Refused {
        place: place.to_owned(),
        body: body.into(),
    }
}

/// Tells tokio-postgres that a stream of ours is TLS, and its channel binding.
struct AlreadyEncrypted;

/// A stream of ours in tokio-postgres's terms.
#[derive(Debug)]
struct Encrypted(Stream);

impl TlsConnect<Stream> for AlreadyEncrypted {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Ready<io::Result<Encrypted>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(Encrypted(stream)))
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        let end_point = match &self.0 {
            Stream::Dialled(stream) => tls::client::end_point(stream),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Accepted(_) | Stream::Ahead(_) => None,
        };
        match end_point {
            Some(hash) => ChannelBinding::tls_server_end_point(hash.into()),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
