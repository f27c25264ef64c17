//! Read buffers, borrowed while a connection is active: an idle one holds none.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// A buffer's usual size: room for several small requests or replies a read, and small enough
/// that 64 of them for each thread are of no account.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// What a client that waits may keep of a buffer that it does not fill: most requests are shorter.
const TUCKED_MAX: usize = 2 * 1024;

/// Room that it gets beside its request, to see whether it sends more, or ends.
const TUCKED_ROOM: usize = 64;

/// Buffers each thread keeps for the next connection.
const SPARE_MAX: usize = 64;

thread_local! {
    /// The one that was given back last: most reads find nothing and give theirs back at once.
    static LAST: Cell<Option<Box<Chunk>>> = const { Cell::new(None) };

    // Boxed where they lie, so that borrowing one moves a pointer.
    #[expect(clippy::vec_box, reason = "a box is what is lent")]
    static SPARE: RefCell<Vec<Box<Chunk>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes read and not yet used up: `data[start..end]`.
#[derive(Debug)]
struct Chunk {
    data: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Chunk {
    fn borrow() -> Box<Self> {
        LAST.take().unwrap_or_else(Self::spare)
    }

    #[cold]
    fn spare() -> Box<Self> {
        SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Self {
                data: vec![0; CHUNK_BYTES].into_boxed_slice(),
                start: 0,
                end: 0,
            })
        })
    }

    fn give_back(mut self: Box<Self>) {
        if self.data.len() == CHUNK_BYTES {
            self.start = 0;
            self.end = 0;
            if let Some(other) = LAST.replace(Some(self)) {
                other.put_by();
            }
        }
    }

    fn put_by(self: Box<Self>) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }

    fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Moves what is there to the front.
    fn compact(&mut self) {
        self.data.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    fn reserve(&mut self, bytes: usize) {
        if bytes <= self.data.len() - self.start {
            return;
        }
        if bytes <= self.data.len() {
            self.compact();
            return;
        }
        let used = self.end - self.start;
        let mut larger = vec![0; bytes.max(CHUNK_BYTES)].into_boxed_slice();
        if let Some(room) = larger.get_mut(..used) {
            room.copy_from_slice(self.bytes());
        }
        self.data = larger;
        self.start = 0;
        self.end = used;
    }

    /// The same bytes in a buffer of the usual size, into which they have to fit.
    fn untucked(&self) -> Box<Self> {
        let mut whole = Self::borrow();
        let used = self.bytes().len();
        if let Some(room) = whole.data.get_mut(..used) {
            room.copy_from_slice(self.bytes());
            whole.end = used;
        }
        whole
    }

    /// The same bytes in memory of their own size.
    fn tucked(&self) -> Box<Self> {
        let mut data = self.bytes().to_vec();
        let end = data.len();
        data.resize(end + TUCKED_ROOM, 0);
        Box::new(Self {
            data: data.into_boxed_slice(),
            start: 0,
            end,
        })
    }
}

/// Bytes read and not yet used up.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    chunk: Option<Box<Chunk>>,
    /// Bytes read into it that nobody has counted yet.
    pub(super) filled: u64,
}

impl Inbox {
    /// What has been read and not used up.
    pub(super) fn bytes(&self) -> &[u8] {
        self.chunk.as_ref().map_or(&[], |chunk| chunk.bytes())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Whether a read would have room.
    pub(super) fn has_room(&self) -> bool {
        let chunk = self.chunk.as_ref();
        chunk.is_none_or(|chunk| chunk.end - chunk.start < chunk.data.len().max(CHUNK_BYTES))
    }

    /// Its client waits: lends the memory to others but for a short request's bytes. A thousand who wait
    /// would each keep a buffer that the processor has forgotten when their turn comes.
    pub(super) fn tuck(&mut self) {
        if let Some(chunk) = self.chunk.as_mut()
            && chunk.data.len() == CHUNK_BYTES
            && chunk.bytes().len() <= TUCKED_MAX
        {
            let tucked = chunk.tucked();
            std::mem::replace(chunk, tucked).give_back();
        }
    }

    /// Uses up the first `count` bytes.
    pub(super) fn advance(&mut self, count: usize) {
        if let Some(chunk) = self.chunk.as_mut() {
            chunk.advance(count);
        }
    }

    /// The bytes for changing one in place.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let chunk = self.chunk.as_mut();
        let bytes = chunk.and_then(|chunk| chunk.data.get_mut(chunk.start..chunk.end));
        bytes.unwrap_or_default()
    }

    /// Puts `bytes` in front of what is there, to be used up again.
    pub(super) fn prepend(&mut self, bytes: &[u8]) {
        let chunk = self.chunk.get_or_insert_with(Chunk::borrow);
        let rest = chunk.bytes().to_vec();
        chunk.advance(rest.len());
        chunk.reserve(bytes.len() + rest.len());
        for part in [bytes, &rest] {
            let at = chunk.end..chunk.end + part.len();
            if let Some(room) = chunk.data.get_mut(at) {
                room.copy_from_slice(part);
                chunk.end += part.len();
            }
        }
    }

    /// Makes room for a frame of `bytes` bytes in all. The caller has checked it against its limit.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.chunk.get_or_insert_with(Chunk::borrow).reserve(bytes);
    }

    /// Lends the memory to others; only an empty inbox has any to lend.
    pub(super) fn release(&mut self) {
        if self.is_empty()
            && let Some(chunk) = self.chunk.take()
        {
            chunk.give_back();
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
        let chunk = self.chunk.get_or_insert_with(Chunk::borrow);
        let full = chunk.end == chunk.data.len();
        if chunk.data.len() < CHUNK_BYTES && (full || chunk.start == chunk.end) {
            *chunk = chunk.untucked();
        } else if full && chunk.start > 0 {
            chunk.compact();
        }
        if chunk.end == chunk.data.len() {
            // The caller asks for room before it reads into a full inbox.
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        let mut room = ReadBuf::new(chunk.data.get_mut(chunk.end..).unwrap_or_default());
        match Pin::new(io).poll_read(cx, &mut room) {
            Poll::Ready(Ok(())) => {
                let count = room.filled().len();
                chunk.end += count;
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
        if let Some(chunk) = self.chunk.take() {
            chunk.give_back();
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
    async fn who_waits_keeps_its_bytes_and_may_send_more() {
        let mut inbox = Inbox::default();
        let mut input: &[u8] = b"xwords";
        fill(&mut inbox, &mut input).await;
        inbox.advance(1);
        inbox.tuck();
        assert_eq!(inbox.bytes(), b"words");
        assert!(inbox.has_room());
        let held = |inbox: &Inbox| inbox.chunk.as_ref().unwrap().data.len();
        assert!(held(&inbox) < 100);
        let more: Vec<u8> = (0..CHUNK_BYTES - 5).map(|n| n.to_le_bytes()[0]).collect();
        let mut input = &more[..];
        while inbox.has_room() {
            assert!(fill(&mut inbox, &mut input).await > 0);
        }
        assert_eq!(inbox.bytes(), [b"words", &more[..]].concat());
        // Once it has been used up, reads are as large as any.
        let mut next = Inbox::default();
        fill(&mut next, &mut &b"one"[..]).await;
        next.tuck();
        next.advance(3);
        assert_eq!(fill(&mut next, &mut &more[..]).await, more.len());
        // A long one stays where it is.
        inbox.tuck();
        assert_eq!(held(&inbox), CHUNK_BYTES);
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
        assert!(inbox.chunk.is_none());
        assert_eq!(fill(&mut inbox, &mut input).await, 0);
    }
}
