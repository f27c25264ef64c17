//! Bytes on their way to a peer that could not be written at once.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes that may wait for a peer before its other side is no longer read: back-pressure. Enough
/// to keep a fast peer busy, little enough for ten thousand slow ones.
pub(super) const BACKLOG_BYTES_MAX: usize = 64 * 1024;

/// Capacity kept for the next connection.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Queues each thread keeps for the next connection.
const SPARE_MAX: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "a box is what is lent")]
    static SPARE: RefCell<Vec<Box<Queue>>> = const { RefCell::new(Vec::new()) };
}

/// `data[sent..]` is still to be written.
#[derive(Debug, Default)]
struct Queue {
    data: Vec<u8>,
    sent: usize,
    unflushed: bool,
}

impl Queue {
    fn borrow() -> Box<Self> {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        spare.unwrap_or_default()
    }

    fn give_back(mut self: Box<Self>) {
        self.data.clear();
        self.data.shrink_to(KEPT_BYTES_MAX);
        self.sent = 0;
        self.unflushed = false;
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }
}

/// A queue of bytes, borrowed while there are any; empty almost always, because [`Outbox::send`]
/// writes past it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Option<Box<Queue>>,
    /// Bytes that the peer took and nobody has counted yet.
    pub(super) written: u64,
}

impl Outbox {
    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_with(Queue::borrow)
    }

    /// For appending.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.queue().data
    }

    pub(super) fn is_empty(&self) -> bool {
        let queue = self.queue.as_ref();
        queue.is_none_or(|queue| queue.sent == queue.data.len() && !queue.unflushed)
    }

    /// Whether more may be added: see [`BACKLOG_BYTES_MAX`].
    pub(super) fn has_room(&self) -> bool {
        let queue = self.queue.as_ref();
        queue.is_none_or(|queue| queue.data.len() - queue.sent < BACKLOG_BYTES_MAX)
    }

    /// Sends `bytes` behind what is queued: straight from the caller's buffer when nothing is, and
    /// what the peer does not take is queued.
    pub(super) fn send<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let queue = self.queue.get_or_insert_with(Queue::borrow);
        let mut rest = bytes;
        if queue.sent == queue.data.len() {
            while !rest.is_empty() {
                match Pin::new(&mut *io).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => {
                        queue.unflushed = true;
                        self.written += count as u64;
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        queue.data.extend_from_slice(rest);
        Ok(())
    }

    /// Writes and flushes what is queued; ready when nothing is left.
    pub(super) fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(queue) = self.queue.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        while let Some(rest) = queue.data.get(queue.sent..)
            && !rest.is_empty()
        {
            let count = ready!(Pin::new(&mut *io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            queue.unflushed = true;
            self.written += count as u64;
            queue.sent += count;
        }
        queue.data.clear();
        queue.data.shrink_to(KEPT_BYTES_MAX);
        queue.sent = 0;
        if queue.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            queue.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Lends the memory to others; only an empty queue is lent.
    pub(super) fn release(&mut self) {
        if self.is_empty()
            && let Some(queue) = self.queue.take()
        {
            queue.give_back();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.give_back();
        }
    }
}
