//! From a host to a socket, encrypted or not: no word of the session yet.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::error::ConnectError;
use crate::config::{Host, SslMode, SslNegotiation};
use crate::stream::Stream;
use crate::tls::client::Connector;
use crate::wire::startup;

/// A silent upstream is probed after a minute, and given up a minute later; the kernel's own
/// settings would take over two hours, in which each lease of it hangs.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

/// One place where a [`Host`] may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What one attempt does about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// In clear.
    Clear,
    /// With TLS or not at all.
    Tls,
    /// With TLS, or in clear where the upstream says that it has none.
    Offered,
}

/// A host, and the address of it that is being tried; prints as libpq does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a>(pub(super) &'a Host, pub(super) Option<&'a Address>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Host::Tcp { host, port }, address) => {
                write!(f, "server at \"{host}\"")?;
                if let Some(Address::Tcp(socket)) = address
                    && socket.ip().to_string() != *host
                {
                    write!(f, " ({})", socket.ip())?;
                }
                write!(f, ", port {port}")
            }
            Self(Host::Unix { directory, port }, _) => {
                let path = directory.join(socket_name(*port));
                write!(f, "server on socket \"{}\"", path.display())
            }
        }
    }
}

fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

/// All addresses of a host, in the resolver's order; at least one.
///
/// # Errors
/// [`ConnectError::Io`] when the name is not known.
pub async fn resolve(host: &Host) -> Result<Vec<Address>, ConnectError> {
    match host {
        Host::Unix { directory, port } => {
            Ok(vec![Address::Unix(directory.join(socket_name(*port)))])
        }
        Host::Tcp { host: name, port } => {
            let place = Place(host, None).to_string();
            let found = tokio::net::lookup_host((name.as_str(), *port))
                .await
                .map_err(|error| ConnectError::io(&place, &error))?;
            let addresses: Vec<Address> = found.map(Address::Tcp).collect();
            if addresses.is_empty() {
                let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                return Err(ConnectError::io(&place, &error));
            }
            Ok(addresses)
        }
    }
}

/// Opens a connection to one address of a host. The caller limits the time.
///
/// Not cancel safe, and needs not be: a dropped attempt closes its socket.
///
/// # Errors
/// [`ConnectError::Io`], [`ConnectError::Tls`], [`ConnectError::Protocol`].
pub async fn open(
    host: &Host,
    address: &Address,
    connector: &Connector,
    encryption: Encryption,
) -> Result<Stream, ConnectError> {
    let place = Place(host, Some(address)).to_string();
    let socket = match address {
        // libpq never uses TLS on a Unix socket, whatever sslmode says.
        Address::Unix(path) => {
            let unix = UnixStream::connect(path).await;
            return Ok(Stream::Unix(
                unix.map_err(|error| ConnectError::io(&place, &error))?,
            ));
        }
        Address::Tcp(socket) => *socket,
    };
    let mut tcp = open_tcp(socket)
        .await
        .map_err(|error| ConnectError::io(&place, &error))?;
    if encryption == Encryption::Clear {
        return Ok(Stream::Tcp(tcp));
    }
    if connector.negotiation() == SslNegotiation::Postgres {
        match request_tls(&mut tcp).await {
            Ok(b'S') => {}
            Ok(b'N') if encryption == Encryption::Offered => return Ok(Stream::Tcp(tcp)),
            Ok(b'N') => {
                let reason = "server does not support TLS, but TLS was required".to_owned();
                return Err(ConnectError::Tls { place, reason });
            }
            // Not even an ErrorResponse is shown: nobody has proven to be the server yet (CVE-2024-10977).
            Ok(_) => {
                let reason = "the answer to SSLRequest is neither S nor N";
                return Err(ConnectError::protocol(&place, reason));
            }
            Err(error) => return Err(ConnectError::io(&place, &error)),
        }
    }
    let name = match host {
        Host::Tcp { host, .. } => host.as_str(),
        Host::Unix { .. } => "",
    };
    match connector.connect(tcp, name, socket.ip()).await {
        Ok(tls) => Ok(Stream::Dialled(Box::new(tls))),
        Err(error) => Err(ConnectError::Tls {
            place,
            reason: error.to_string(),
        }),
    }
}

/// What to try in turn at an address (libpq: the table under `sslmode`). A later attempt is only
/// worth it after a failure that has to do with TLS.
pub(super) fn attempts(mode: SslMode, address: &Address) -> &'static [Encryption] {
    match (mode, address) {
        (SslMode::Disable, _) | (_, Address::Unix(_)) => &[Encryption::Clear],
        (SslMode::Allow, _) => &[Encryption::Clear, Encryption::Tls],
        (SslMode::Prefer, _) => &[Encryption::Offered, Encryption::Clear],
        (SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull, _) => &[Encryption::Tls],
    }
}

async fn open_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    Ok(tcp)
}

/// Exactly one byte is read, so nothing that an attacker put behind it in clear can be taken for a
/// part of the encrypted session (CVE-2021-23222).
async fn request_tls(tcp: &mut TcpStream) -> io::Result<u8> {
    tcp.write_all(&startup::encode_ssl_request()).await?;
    tcp.read_u8().await
}
