//! Read buffers, borrowed while a connection is active: an idle one holds none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// A buffer's usual size: room for several small requests or replies a read, and small enough
/// that 64 of them for each thread are of no account.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// Buffers each thread keeps for the next connection.
const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn borrow() -> Box<[u8]> {
    SPARE
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice())
}

fn give_back(chunk: Box<[u8]>) {
    if chunk.len() == CHUNK_BYTES {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(chunk);
            }
        });
    }
}

/// Bytes read and not yet used up: `data[start..end]`.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    data: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes read into it that nobody has counted yet.
    pub(super) filled: u64,
}

impl Inbox {
    /// What has been read and not used up.
    pub(super) fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether a read would have room.
    pub(super) fn has_room(&self) -> bool {
        self.data.is_empty() || self.end - self.start < self.data.len()
    }

    /// Uses up the first `count` bytes.
    pub(super) fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// The bytes for changing one in place.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Puts `bytes` in front of what is there, to be used up again.
    pub(super) fn prepend(&mut self, bytes: &[u8]) {
        let rest = self.bytes().to_vec();
        self.advance(rest.len());
        if self.data.is_empty() {
            self.data = borrow();
        }
        self.reserve(bytes.len() + rest.len());
        for part in [bytes, &rest] {
            if let Some(room) = self.data.get_mut(self.end..self.end + part.len()) {
                room.copy_from_slice(part);
                self.end += part.len();
            }
        }
    }

    /// Makes room for a frame of `bytes` bytes in all. The caller has checked it against its limit.
    pub(super) fn reserve(&mut self, bytes: usize) {
        if bytes <= self.data.len() - self.start {
            return;
        }
        let used = self.end - self.start;
        if bytes <= self.data.len() {
            self.data.copy_within(self.start..self.end, 0);
        } else {
            let mut larger = vec![0; bytes.max(CHUNK_BYTES)].into_boxed_slice();
            if let Some(room) = larger.get_mut(..used) {
                room.copy_from_slice(self.bytes());
            }
            give_back(std::mem::replace(&mut self.data, larger));
        }
        self.start = 0;
        self.end = used;
    }

    /// Lends the memory to others; only an empty inbox has any to lend.
    pub(super) fn release(&mut self) {
        if self.is_empty() && !self.data.is_empty() {
            give_back(std::mem::take(&mut self.data));
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads once. `Ready(Ok(0))` is the end of the stream.
    ///
    /// Cancel safe: what was read is in the inbox when this returns.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.data.is_empty() {
            self.data = borrow();
        }
        if self.end == self.data.len() && self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.data.len() {
            // The caller asks for room before it reads into a full inbox.
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        let mut room = ReadBuf::new(self.data.get_mut(self.end..).unwrap_or_default());
        match Pin::new(io).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => {
                let count = room.filled().len();
                self.end += count;
                self.filled += count as u64;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.release();
                Poll::Pending
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if !self.data.is_empty() {
            give_back(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(inbox: &mut Inbox, input: &mut &[u8]) -> usize {
        std::future::poll_fn(|cx| inbox.poll_fill(input, cx))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_inbox_grows_for_a_frame_and_gives_its_memory_back() {
        let mut inbox = Inbox::default();
        let mut input: &[u8] = &[7; 40_000];
        while inbox.bytes().len() < 40_000 {
            inbox.reserve(40_000);
            assert!(fill(&mut inbox, &mut input).await > 0);
        }
        assert!(inbox.bytes().iter().all(|&b| b == 7));
        inbox.advance(39_999);
        assert_eq!(inbox.bytes(), &[7]);
        inbox.advance(1);
        inbox.release();
        assert!(inbox.data.is_empty());
        assert_eq!(fill(&mut inbox, &mut input).await, 0);
    }
}
