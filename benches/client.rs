//! A client of raw frames: it sends what it is told, and reads until it is its turn again.

use std::io;

use bytes::{Buf, BytesMut};
use pgweir::config::Target;
use pgweir::demo::{Error, measure};
use pgweir::pool::upstream;
use pgweir::stream::Stream;
use pgweir::wire::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One that is logged in.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Stream,
    read: BytesMut,
}

impl Client {
    /// As somebody who has never been here: no TLS session, no keys derived before.
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        let login = measure::login(&Target::parse(url)?)?;
        let upstream = upstream::connect(&login).await?;
        Ok(Self {
            stream: upstream.stream,
            read: BytesMut::new(),
        })
    }

    /// Sends `request` and reads up to the last of so many ReadyForQuery.
    pub(crate) async fn ask(&mut self, request: &[u8], readies: usize) -> Result<(), Error> {
        let ended = self.exchange(request, readies).await;
        ended.map_err(|error| Error::io("a query failed", error))
    }

    async fn exchange(&mut self, request: &[u8], mut readies: usize) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut failure = None;
        while readies > 0 {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(failure.unwrap_or(closed));
            }
            let mut rest: &[u8] = &self.read;
            while let Some(header) = frame::header(rest).map_err(io::Error::other)? {
                let Some((frame, behind)) = rest.split_at_checked(header.bytes) else {
                    break;
                };
                match header.tag {
                    b'Z' => readies = readies.saturating_sub(1),
                    b'E' => failure = Some(io::Error::other(text(frame))),
                    _ => {}
                }
                rest = behind;
            }
            let used = self.read.len() - rest.len();
            self.read.advance(used);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        // Whoever has hung up before need not be told.
        self.stream.write_all(b"X\0\0\0\x04").await.ok();
        self.stream.shutdown().await.ok();
    }
}

/// An error's fields, for people.
fn text(frame: &[u8]) -> String {
    let body = frame.get(frame::HEADER_BYTES..).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    text.replace('\0', " ").trim_end().to_owned()
}
