//! The first stage: TLS in its two ways, other requests, and the start-up packet.

use std::io;
use std::mem::MaybeUninit;

use pgwire::messages::startup::NegotiateProtocolVersion;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::GreetError;
use super::client::{Client, refuse};
use crate::stream::Stream;
use crate::tls::server::{Acceptor, Identity, has_alpn};
use crate::wire::error::PgError;
use crate::wire::startup::{self, MINOR_MAX, Packet, Startup};

/// The first byte of a TLS ClientHello; no start-up packet is long enough to begin with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request for encryption, with its length.
const REQUEST_BYTES: usize = 8;
const REQUEST_PREFIX: [u8; 4] = [0, 0, 0, 8];

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
        None => read_packet(&mut stream).await?,
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

/// Direct TLS, or SSLRequest and GSSENCRequest, each at most once and in either order.
async fn unwrap_tls(
    mut tcp: TcpStream,
    identity: Option<&Identity>,
) -> Result<Negotiated, GreetError> {
    let mut first = [0; REQUEST_BYTES + 1];
    let seen = tcp.peek(&mut first).await?;
    if seen == 0 {
        return Err(GreetError::HungUp);
    }
    if first.starts_with(&[TLS_HANDSHAKE]) {
        let identity = identity.ok_or(GreetError::Nonsense(
            "a client began with TLS, but there is no certificate for it",
        ))?;
        let stream = identity.accept(tcp).await.map_err(GreetError::Tls)?;
        if !has_alpn(&stream) {
            // Without it the client may be a browser, led here to speak with us (ALPACA attack).
            return Err(GreetError::Nonsense(
                "direct TLS without ALPN \"postgresql\"",
            ));
        }
        let stream = Stream::Accepted(Box::new(stream));
        return Ok(Negotiated {
            stream,
            packet: None,
        });
    }
    let mut request = None;
    if seen == REQUEST_BYTES && first.starts_with(&REQUEST_PREFIX) {
        // The usual request for TLS. Read with room to spare, which tells that nothing follows it, and
        // saves the runtime a read in vain.
        let read = tcp.read(&mut first).await?;
        let body = first.get(REQUEST_PREFIX.len()..REQUEST_BYTES);
        let packet = parse(&mut tcp, body.unwrap_or_default()).await?;
        if read > REQUEST_BYTES {
            return Err(refuse(&mut tcp, injected(&packet)).await);
        }
        request = Some(packet);
    }
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        let (packet, alone) = match request.take() {
            Some(packet) => (packet, true),
            None => (read_packet(&mut tcp).await?, false),
        };
        let asked = match packet {
            Packet::SslRequest => &mut asked_tls,
            Packet::GssEncRequest => &mut asked_gss,
            Packet::Cancel { .. } | Packet::Startup(_) => &mut true,
        };
        if *asked {
            let stream = Stream::Tcp(tcp);
            let packet = Some(packet);
            return Ok(Negotiated { stream, packet });
        }
        *asked = true;
        if !alone && has_more(&tcp)? {
            return Err(refuse(&mut tcp, injected(&packet)).await);
        }
        match (&packet, identity) {
            (Packet::SslRequest, Some(identity)) => {
                tcp.write_all(b"S").await?;
                let stream = identity.accept(tcp).await.map_err(GreetError::Tls)?;
                let stream = Stream::Accepted(Box::new(stream));
                return Ok(Negotiated {
                    stream,
                    packet: None,
                });
            }
            _ => tcp.write_all(b"N").await?,
        }
    }
}

/// Whether bytes wait behind the request. Nobody honest sends any before the answer; in clear text
/// they would be taken for the client's own words inside TLS (CVE-2021-23214). Since nothing is
/// read beyond a packet they could not pass anyway, but the attempt deserves its error.
fn has_more(tcp: &TcpStream) -> io::Result<bool> {
    let mut byte = [MaybeUninit::uninit()];
    match SockRef::from(tcp).peek(&mut byte) {
        Ok(count) => Ok(count > 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
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

/// One packet, and not a byte more. A client that sends nonsense has been told.
async fn read_packet<S>(stream: &mut S) -> Result<Packet, GreetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut prefix = [0; 4];
    match stream.read_exact(&mut prefix).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(GreetError::HungUp);
        }
        Err(error) => return Err(error.into()),
    }
    let length = startup::body_length(prefix).ok_or(GreetError::Nonsense(
        "invalid length of startup packet (no Postgres client?)",
    ))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse(stream, &body).await
}

async fn parse<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8]) -> Result<Packet, GreetError> {
    match startup::parse(body) {
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
