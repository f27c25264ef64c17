//! The client's stream while it logs in: single frames, read to the byte and no further.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use pgwire::messages::Message;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::GreetError;
use crate::stream::Stream;
use crate::wire::error::PgError;
use crate::wire::scram::server::EndPoint;

/// Longest password or SASL message. Passwords that are cloud tokens have a few kilobytes; nobody
/// has logged in yet, so every byte here is lent to a stranger.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// How long a client may take to accept its own refusal.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

/// A client's stream and what is to be sent on it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) out: Vec<u8>,
    /// The channel binding of the certificate that this very client was shown.
    pub(super) end_point: EndPoint,
}

impl Client {
    pub(super) fn new(stream: Stream, end_point: EndPoint) -> Self {
        Self {
            stream,
            out: Vec::new(),
            end_point,
        }
    }

    /// Queues a message; pgwire writes those of the start-up phase.
    pub(super) fn queue(&mut self, message: &impl Message) -> Result<(), GreetError> {
        let mut buffer = BytesMut::new();
        message
            .encode(&mut buffer)
            .map_err(|error| PgError::fatal("XX000", error.to_string()))?;
        self.out.extend_from_slice(&buffer);
        Ok(())
    }

    /// Sends what is queued.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        self.stream.flush().await
    }

    /// The body of the next message, which must be a `p`: a password or a SASL message, called
    /// `what` in Postgres's complaint.
    pub(super) async fn receive(&mut self, what: &str) -> Result<Vec<u8>, GreetError> {
        let mut header = [0; 5];
        match self.stream.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(GreetError::HungUp);
            }
            Err(error) => return Err(error.into()),
        }
        let [tag, a, b, c, d] = header;
        if tag != b'p' {
            let text = format!("expected {what} response, got message type {tag}");
            return Err(PgError::fatal("08P01", text).into());
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let length = length
            .checked_sub(4)
            .filter(|length| *length <= FRAME_BYTES_MAX)
            .ok_or_else(|| PgError::fatal("08P01", "invalid message length"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }

    /// Sends a last message and closes.
    pub(super) async fn tell(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.out);
        Box::pin(tell(&mut self.stream, &self.out)).await;
    }
}

/// Sends last bytes and closes, without waiting long for a client that does not listen.
async fn tell<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) {
    let sending = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    // Nothing is left to do for a client that cannot even be told.
    drop(tokio::time::timeout(TELL_TIMEOUT, sending).await);
}

/// Tells a client why it is refused.
pub(super) async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, error: PgError) -> GreetError {
    let mut out = Vec::new();
    error.encode(&mut out);
    // Boxed, or those who are not refused would carry it.
    Box::pin(tell(stream, &out)).await;
    GreetError::Refused(error)
}
