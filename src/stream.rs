//! One socket, whatever it is made of: TCP, Unix, or TLS over TCP, from either side.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A connection's bytes. An enum, not a trait object: the data path polls it several times a query.
#[derive(Debug)]
pub enum Stream {
    /// TCP in clear.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS in which we are the server: a client's connection.
    Accepted(Box<server::TlsStream<TcpStream>>),
    /// TLS in which we are the client: an upstream's connection.
    Dialled(Box<client::TlsStream<TcpStream>>),
    /// TCP in clear, of which more has been read than was asked for.
    Ahead(Box<Ahead>),
}

/// A connection, and what was read of it ahead: that comes first.
#[derive(Debug)]
pub struct Ahead {
    tcp: TcpStream,
    bytes: Vec<u8>,
    used: usize,
}

impl Ahead {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }
}

macro_rules! each {
    ($self:expr, $io:ident => $body:expr) => {
        match $self {
            Stream::Tcp($io) => $body,
            Stream::Unix($io) => $body,
            Stream::Accepted($io) => $body,
            Stream::Dialled($io) => $body,
            Stream::Ahead(ahead) => {
                let $io = &mut ahead.tcp;
                $body
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if let Self::Ahead(ahead) = stream
            && !ahead.rest().is_empty()
        {
            let count = ahead.rest().len().min(buf.remaining());
            buf.put_slice(ahead.rest().get(..count).unwrap_or_default());
            ahead.used += count;
            if ahead.rest().is_empty() {
                // It lives as long as its client, who may have sent a lot.
                ahead.bytes = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        each!(stream, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_) | Self::Ahead(_))
    }
}

impl Stream {
    /// A connection in clear of which `bytes` have been read, and not been used.
    pub fn ahead(tcp: TcpStream, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Tcp(tcp);
        }
        Self::Ahead(Box::new(Ahead {
            tcp,
            bytes: bytes.to_vec(),
            used: 0,
        }))
    }

    /// Whether the socket has bytes, or its end, to be read: asked of the system itself, which may
    /// know of more than the runtime has been told.
    pub fn has_input(&self) -> bool {
        let mut byte = [MaybeUninit::uninit(); 1];
        let peeked = match self {
            Self::Tcp(tcp) => SockRef::from(tcp).peek(&mut byte),
            Self::Unix(unix) => SockRef::from(unix).peek(&mut byte),
            Self::Accepted(tls) => SockRef::from(tls.get_ref().0).peek(&mut byte),
            Self::Dialled(tls) => SockRef::from(tls.get_ref().0).peek(&mut byte),
            Self::Ahead(ahead) if ahead.rest().is_empty() => {
                SockRef::from(&ahead.tcp).peek(&mut byte)
            }
            Self::Ahead(_) => return true,
        };
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits until the peer has gone. One that says something instead is there, and is not watched
    /// any further; what it says is still to be read.
    pub async fn closed(&mut self) {
        let is_there = match self {
            Self::Tcp(tcp) => speaks(tcp).await,
            // Inside TLS there are a good-bye and tickets, which only look like words from outside.
            Self::Accepted(tls) => has_words(tls).await,
            Self::Dialled(tls) => has_words(tls).await,
            Self::Ahead(ahead) if ahead.rest().is_empty() => speaks(&ahead.tcp).await,
            Self::Unix(_) | Self::Ahead(_) => true,
        };
        if is_there {
            std::future::pending().await
        }
    }

    /// Our end's address; nothing of a Unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    /// The peer's address; nothing of a Unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Unix(_) => None,
            Self::Accepted(tls) => Some(tls.get_ref().0),
            Self::Dialled(tls) => Some(tls.get_ref().0),
            Self::Ahead(ahead) => Some(&ahead.tcp),
        }
    }

    /// Protocol and cipher, if the bytes are encrypted.
    pub fn tls(&self) -> Option<Box<str>> {
        let (protocol, suite) = match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Ahead(_) => return None,
            Self::Accepted(tls) => {
                let tls = tls.get_ref().1;
                (tls.protocol_version(), tls.negotiated_cipher_suite())
            }
            Self::Dialled(tls) => {
                let tls = tls.get_ref().1;
                (tls.protocol_version(), tls.negotiated_cipher_suite())
            }
        };
        let protocol = protocol
            .and_then(|protocol| protocol.as_str())
            .unwrap_or("TLS");
        let suite = suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown");
        Some(format!("{}/{suite}", protocol.replace('_', ".")).into())
    }

    /// Whether the bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Dialled(_))
    }
}

/// Waits for the peer's next bytes, or its end; whether there are any.
async fn speaks(tcp: &TcpStream) -> bool {
    matches!(tcp.peek(&mut [0; 1]).await, Ok(1..))
}

/// The same of what was encrypted.
async fn has_words<T: AsyncBufRead + Unpin>(tls: &mut T) -> bool {
    tls.fill_buf().await.is_ok_and(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_comes_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut peer = TcpStream::connect(address).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = Stream::ahead(tcp, b"read ");
        assert!(
            stream.has_input(),
            "nothing has come, but something is here"
        );
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"re");
        peer.write_all(b"later").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "ad later");
        let Stream::Ahead(ahead) = stream else {
            panic!("{stream:?}")
        };
        assert_eq!(ahead.bytes.capacity(), 0, "what has been used is kept");
    }
}
