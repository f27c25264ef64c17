//! Bytes on their way to a peer that could not be written at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes that may wait for a peer before its other side is no longer read: back-pressure. Enough
/// to keep a fast peer busy, little enough for ten thousand slow ones.
pub(super) const BACKLOG_BYTES_MAX: usize = 64 * 1024;

/// Capacity kept between requests of an active connection.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// A queue of bytes; empty almost always, because [`Outbox::poll_send`] writes past it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    data: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// Bytes that the peer took and nobody has counted yet.
    pub(super) written: u64,
}

impl Outbox {
    /// For appending.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.data.len() && !self.unflushed
    }

    /// Whether more may be added: see [`BACKLOG_BYTES_MAX`].
    pub(super) fn has_room(&self) -> bool {
        self.data.len() - self.sent < BACKLOG_BYTES_MAX
    }

    /// Sends `bytes` behind what is queued: straight from the caller's buffer when nothing is, and
    /// what the peer does not take is queued.
    pub(super) fn send<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut rest = bytes;
        if self.sent == self.data.len() {
            while !rest.is_empty() {
                match Pin::new(&mut *io).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => {
                        self.unflushed = true;
                        self.written += count as u64;
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.data.extend_from_slice(rest);
        Ok(())
    }

    /// Writes and flushes what is queued; ready when nothing is left.
    pub(super) fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.data.get(self.sent..)
            && !rest.is_empty()
        {
            let count = ready!(Pin::new(&mut *io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.written += count as u64;
            self.sent += count;
        }
        self.data.clear();
        self.data.shrink_to(KEPT_BYTES_MAX);
        self.sent = 0;
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Frees the memory of an idle connection.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.data = Vec::new();
            self.sent = 0;
        }
    }
}
