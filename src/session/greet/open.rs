//! The first stage: TLS in its two ways, other requests, and the start-up packet.

use std::future::poll_fn;
use std::io;

use pgwire::messages::startup::NegotiateProtocolVersion;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::GreetError;
use super::client::{Client, refuse};
use crate::session::buffer::Inbox;
use crate::stream::Stream;
use crate::tls::server::{Acceptor, Identity, has_alpn};
use crate::wire::error::PgError;
use crate::wire::startup::{self, MINOR_MAX, Packet, Startup};

/// The first byte of a TLS ClientHello; no start-up packet is long enough to begin with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The length word of a start-up packet.
const PREFIX_BYTES: usize = 4;

/// How the first stage ends.
#[derive(Debug)]
pub(super) enum Opened {
    Cancel {
        pid: u32,
        key: Box<[u8]>,
        stream: Stream,
    },
    /// With NegotiateProtocolVersion queued where the client asked for more than we speak.
    Startup { client: Client, startup: Startup },
}

/// Takes everything up to the start-up packet.
///
/// # Errors
/// Why there is none; the client has been told.
pub(super) async fn open(tcp: TcpStream, tls: &Acceptor) -> Result<Opened, GreetError> {
    let identity = tls.current().identity.clone();
    let Negotiated { mut stream, packet } = unwrap_tls(tcp, identity.as_deref()).await?;
    let packet = match packet {
        Some(packet) => packet,
        None => Box::pin(read_packet(&mut stream)).await?,
    };
    match packet {
        Packet::Cancel { pid, key } => Ok(Opened::Cancel { pid, key, stream }),
        Packet::Startup(startup) => {
            let end_point = identity
                .filter(|_| stream.is_tls())
                .and_then(|identity| identity.end_point().map(Into::into));
            let mut client = Client::new(stream, end_point);
            negotiate(&mut client, &startup)?;
            Ok(Opened::Startup { client, startup })
        }
        // A second request of the same kind: Postgres takes its code for a version.
        Packet::SslRequest => Err(refuse(&mut stream, unsupported(5679)).await),
        Packet::GssEncRequest => Err(refuse(&mut stream, unsupported(5680)).await),
    }
}

fn unsupported(minor: u16) -> PgError {
    let text =
        format!("unsupported frontend protocol 1234.{minor}: server supports 3.0 to 3.{MINOR_MAX}");
    PgError::fatal("0A000", text)
}

/// A stream behind all negotiation of encryption, and the packet that ended it, if read already.
struct Negotiated {
    stream: Stream,
    packet: Option<Packet>,
}

impl From<TlsStream<TcpStream>> for Negotiated {
    fn from(tls: TlsStream<TcpStream>) -> Self {
        Self {
            stream: Stream::Accepted(Box::new(tls)),
            packet: None,
        }
    }
}

/// Direct TLS, or SSLRequest and GSSENCRequest, each at most once and in either order.
async fn unwrap_tls(tcp: TcpStream, identity: Option<&Identity>) -> Result<Negotiated, GreetError> {
    let mut clear = Clear::new(tcp);
    if !clear.has(1).await? {
        return Err(GreetError::HungUp);
    }
    if clear.inbox.bytes().starts_with(&[TLS_HANDSHAKE]) {
        return Box::pin(direct_tls(clear, identity)).await;
    }
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        let packet = clear.packet().await?;
        let asked = match packet {
            Packet::SslRequest => &mut asked_tls,
            Packet::GssEncRequest => &mut asked_gss,
            Packet::Cancel { .. } | Packet::Startup(_) => &mut true,
        };
        if *asked {
            let stream = Stream::ahead(clear.tcp, clear.inbox.bytes());
            let packet = Some(packet);
            return Ok(Negotiated { stream, packet });
        }
        *asked = true;
        // Nobody honest sends anything behind a request before its answer; in clear text it would be
        // taken for the client's own words inside TLS (CVE-2021-23214).
        if !clear.inbox.is_empty() {
            return Err(refuse(&mut clear.tcp, injected(&packet)).await);
        }
        match (&packet, identity) {
            (Packet::SslRequest, Some(identity)) => {
                clear.tcp.write_all(b"S").await?;
                let accepted = Box::pin(identity.accept(clear.tcp, &[])).await;
                return Ok(accepted.map_err(GreetError::Tls)?.into());
            }
            _ => clear.tcp.write_all(b"N").await?,
        }
    }
}

/// A client that begins with TLS.
async fn direct_tls(clear: Clear, identity: Option<&Identity>) -> Result<Negotiated, GreetError> {
    let identity = identity.ok_or(GreetError::Nonsense(
        "a client began with TLS, but there is no certificate for it",
    ))?;
    let accepted = identity.accept(clear.tcp, clear.inbox.bytes()).await;
    let stream = accepted.map_err(GreetError::Tls)?;
    if !has_alpn(&stream) {
        // Without it the client may be a browser, led here to speak with us (ALPACA attack).
        return Err(GreetError::Nonsense(
            "direct TLS without ALPN \"postgresql\"",
        ));
    }
    Ok(stream.into())
}

/// A connection in clear, and what has been read of it. It is read with room to spare: that needs one
/// system call, and tells the runtime that nothing more is there, which would ask in vain otherwise.
struct Clear {
    tcp: TcpStream,
    /// Has room for the longest packet.
    inbox: Inbox,
}

impl Clear {
    fn new(tcp: TcpStream) -> Self {
        let inbox = Inbox::default();
        Self { tcp, inbox }
    }

    /// Reads until there are `bytes` bytes; whether there are, or the client has ended before.
    async fn has(&mut self, bytes: usize) -> io::Result<bool> {
        while self.inbox.bytes().len() < bytes {
            let Self { tcp, inbox } = self;
            if poll_fn(|cx| inbox.poll_fill(tcp, cx)).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One packet. A client that sends nonsense has been told.
    async fn packet(&mut self) -> Result<Packet, GreetError> {
        if !self.has(PREFIX_BYTES).await? {
            return Err(GreetError::HungUp);
        }
        let prefix = self.inbox.bytes().first_chunk();
        let length = body_length(prefix.copied().unwrap_or_default())?;
        let end = PREFIX_BYTES + length;
        if !self.has(end).await? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let body = self.inbox.bytes().get(PREFIX_BYTES..end);
        let parsed = startup::parse(body.unwrap_or_default());
        self.inbox.advance(end);
        match parsed {
            Ok(packet) => Ok(packet),
            Err(error) => Err(refuse(&mut self.tcp, error).await),
        }
    }
}

fn body_length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, GreetError> {
    startup::body_length(prefix).ok_or(GreetError::Nonsense(
        "invalid length of startup packet (no Postgres client?)",
    ))
}

fn injected(request: &Packet) -> PgError {
    let what = match request {
        Packet::GssEncRequest => "GSSAPI encryption",
        Packet::SslRequest | Packet::Cancel { .. } | Packet::Startup(_) => "SSL",
    };
    PgError::fatal("08P01", format!("received unencrypted data after {what} request")).detail(
        "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
    )
}

/// The packet inside TLS, and not a byte more. A client that sends nonsense has been told.
async fn read_packet(stream: &mut Stream) -> Result<Packet, GreetError> {
    let mut prefix = [0; PREFIX_BYTES];
    match stream.read_exact(&mut prefix).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(GreetError::HungUp);
        }
        Err(error) => return Err(error.into()),
    }
    let mut body = vec![0; body_length(prefix)?];
    stream.read_exact(&mut body).await?;
    match startup::parse(&body) {
        Ok(packet) => Ok(packet),
        Err(error) => Err(refuse(stream, error).await),
    }
}

/// Answers a later minor version, or options of it, by what we have instead (Postgres 18 takes 3.1,
/// which was never used, without a word).
fn negotiate(client: &mut Client, startup: &Startup) -> Result<(), GreetError> {
    if startup.minor <= MINOR_MAX && startup.protocol_options.is_empty() {
        return Ok(());
    }
    let newest = 3 << 16 | i32::from(startup.minor.min(MINOR_MAX));
    let message = NegotiateProtocolVersion::new(newest, startup.protocol_options.clone());
    client.queue(&message)
}
