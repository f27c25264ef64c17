//! Bytes on their way to a peer that could not be written at once.

use std::cell::{Cell, RefCell};
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
    /// The one that was given back last.
    static LAST: Cell<Option<Box<Queue>>> = const { Cell::new(None) };

    #[expect(clippy::vec_box, reason = "a box is what is lent")]
    static SPARE: RefCell<Vec<Box<Queue>>> = const { RefCell::new(Vec::new()) };
}

/// `data[sent..]` is still to be written.
#[derive(Debug, Default)]
struct Queue {
    data: Vec<u8>,
    sent: usize,
}

impl Queue {
    fn empty(&mut self) {
        self.data.clear();
        if self.data.capacity() > KEPT_BYTES_MAX {
            self.data.shrink_to(KEPT_BYTES_MAX);
        }
        self.sent = 0;
    }

    /// Lets go of what is written. A peer that always has something left to take would otherwise have
    /// the queue grow by all that it is ever sent. Only what is less than that is moved, and not for
    /// little: so each byte is moved once at most.
    fn compact(&mut self) {
        if self.sent >= BACKLOG_BYTES_MAX && self.sent >= self.data.len() - self.sent {
            self.data.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn borrow() -> Box<Self> {
        LAST.take().unwrap_or_else(Self::spare)
    }

    #[cold]
    fn spare() -> Box<Self> {
        SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    fn give_back(mut self: Box<Self>) {
        self.empty();
        if let Some(other) = LAST.replace(Some(self)) {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_MAX {
                    spare.push(other);
                }
            });
        }
    }
}

/// A queue of bytes, borrowed while there are any; empty almost always, because [`Outbox::send`]
/// writes past it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Option<Box<Queue>>,
    /// Bytes that the peer took and nobody has counted yet: those of one poll.
    written: u32,
    unflushed: bool,
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
        !self.unflushed && queue.is_none_or(|queue| queue.sent == queue.data.len())
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
        let mut rest = bytes;
        let queue = self.queue.as_ref();
        if queue.is_none_or(|queue| queue.sent == queue.data.len()) {
            while !rest.is_empty() {
                match Pin::new(&mut *io).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => {
                        self.wrote(count);
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        if !rest.is_empty() {
            self.buffer().extend_from_slice(rest);
        }
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        self.unflushed = true;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.written = self.written.saturating_add(count);
    }

    /// How much was written since the last time.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written).into()
    }

    /// Writes and flushes what is queued; ready when nothing is left.
    pub(super) fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(queue) = self.queue.as_mut()
            && let Some(rest) = queue.data.get(queue.sent..)
            && !rest.is_empty()
        {
            let Poll::Ready(count) = Pin::new(&mut *io).poll_write(cx, rest)? else {
                queue.compact();
                return Poll::Pending;
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            queue.sent += count;
            self.wrote(count);
        }
        if let Some(queue) = self.queue.as_mut() {
            queue.empty();
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a little each time it is asked, and then has no room.
    struct Slow {
        room: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A result far larger than the backlog, to a peer that never takes all that is there.
    #[test]
    fn a_peer_that_lags_behind_all_the_time_does_not_fill_the_memory() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut out, mut sent) = (Outbox::default(), Vec::new());
        let (mut slow, mut most) = (
            Slow {
                room: 0,
                taken: Vec::new(),
            },
            0,
        );
        for step in 0..1_000_u32 {
            if out.has_room() {
                let chunk = step.to_le_bytes().repeat(4 * 1024);
                out.send(&mut slow, &mut cx, &chunk).unwrap();
                sent.extend_from_slice(&chunk);
            }
            slow.room = 10_000;
            assert!(out.poll_drain(&mut slow, &mut cx).is_pending());
            most = most.max(out.queue().data.capacity());
        }
        slow.room = usize::MAX;
        assert!(out.poll_drain(&mut slow, &mut cx).is_ready());
        assert!(slow.taken == sent);
        assert!(most <= 4 * BACKLOG_BYTES_MAX, "{most} bytes");
    }
}
