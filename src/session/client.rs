//! The client's side of the relay.

use std::io;
use std::task::Poll;

use super::buffer::Inbox;
use super::outbox::Outbox;
use crate::stream::Stream;
use crate::wire::frame::{self, FrameError};

/// The largest frame that is held whole so that it can be read: a text of a megabyte is not a query
/// that anyone wrote. Larger ones pass in pieces, and count as able to do anything.
pub(super) const FRAME_BUFFERED_MAX: usize = 1024 * 1024;

/// How much of a frame too large to be held is looked at: names are in its first bytes, and Postgres
/// cuts identifiers at 63.
pub(super) const PREFIX_BYTES: usize = 8 * 1024;

/// How many bytes of a frame have to be here before anything is done with it.
pub(super) fn looked_at(bytes: usize) -> usize {
    if bytes <= FRAME_BUFFERED_MAX {
        bytes
    } else {
        PREFIX_BYTES
    }
}

/// Bytes of a request that may be held before an upstream is asked for: a client that pipelines
/// more than this without a Sync is served piece by piece.
const REQUEST_HELD_MAX: usize = 16 * 1024;

/// The client's connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) inbox: Inbox,
    pub(super) out: Outbox,
    /// Bytes still to come of a frame that is forwarded in pieces.
    pub(super) rest: usize,
    /// Bytes that the frame at the front of the inbox needs before anything can be done with it.
    pub(super) need: usize,
    /// It said good-bye.
    pub(super) leaving: bool,
}

/// What stands at the front of an idle client's inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// Not a whole request yet: the inbox has to have this many bytes before it can be one.
    Partial(usize),
    /// Something that an upstream has to answer.
    Request,
    /// A Sync with nothing before it.
    Sync,
    /// A frame without an answer, of so many bytes: Flush, or copy data nobody asked for.
    Idle(usize),
    /// Good-bye.
    Terminate,
}

impl Client {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            inbox: Inbox::default(),
            out: Outbox::default(),
            rest: 0,
            need: 0,
            leaving: false,
        }
    }

    /// Looks at the front of the inbox, up to the end of the first request: Query, Sync, Flush or
    /// FunctionCall. A client that dawdles in the middle of one holds no upstream.
    pub(super) fn front(&self) -> Result<Front, FrameError> {
        let bytes = self.inbox.bytes();
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(header) = frame::frontend_header(rest)? else {
                return Ok(Front::Partial(at + frame::HEADER_BYTES));
            };
            let idle = matches!(header.tag, b'H' | b'd' | b'c' | b'f');
            if rest.len() < header.bytes {
                let enough = header.bytes > FRAME_BUFFERED_MAX && rest.len() >= PREFIX_BYTES;
                if enough || at > REQUEST_HELD_MAX {
                    return Ok(Front::Request);
                }
                return Ok(Front::Partial(at + looked_at(header.bytes)));
            }
            match header.tag {
                b'X' if at == 0 => return Ok(Front::Terminate),
                b'S' if at == 0 => return Ok(Front::Sync),
                _ if at == 0 && idle => return Ok(Front::Idle(header.bytes)),
                b'Q' | b'S' | b'H' | b'F' | b'X' => return Ok(Front::Request),
                _ if at > REQUEST_HELD_MAX => return Ok(Front::Request),
                _ => at += header.bytes,
            }
        }
    }

    /// Whether the next frame is Terminate.
    pub(super) fn says_good_bye(&self) -> bool {
        !self.leaving && self.rest == 0 && self.inbox.bytes().first() == Some(&b'X')
    }

    /// Writes what is queued for the client.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.out.poll_drain(&mut self.stream, cx)).await
    }

    /// As [`Client::flush`], but only as far as it goes at once.
    pub(super) fn try_flush(&mut self, cx: &mut std::task::Context<'_>) -> io::Result<()> {
        match self.out.poll_drain(&mut self.stream, cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }
}
