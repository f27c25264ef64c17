//! Cutting a stream at message headers (protocol manual, "Message Formats").
//!
//! A frame's body is never decoded here: most frames are forwarded as they came.

use thiserror::Error;

/// Bytes of a header: the tag and the length, which counts itself but not the tag.
pub const HEADER_BYTES: usize = 5;

/// Longest message Postgres accepts of the kinds that carry data: `PQ_LARGE_MESSAGE_LIMIT`,
/// one less than its largest allocation.
pub const LARGE_BYTES_MAX: usize = 0x3fff_ffff;

/// Longest message of the kinds that carry names only: `PQ_SMALL_MESSAGE_LIMIT`.
pub const SMALL_BYTES_MAX: usize = 10_000;

/// A frame's tag and its length in bytes, tag and header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub tag: u8,
    pub bytes: usize,
}

/// What is wrong with a peer's bytes. Each ends the connection: after it, nobody knows where the
/// next frame starts.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("invalid message length")]
    Length,
    #[error("invalid frontend message type {0}")]
    FrontendType(u8),
    #[error("invalid message format")]
    Format,
}

/// Reads the header at the start of `bytes`; `None` when there are fewer than [`HEADER_BYTES`].
///
/// # Errors
/// [`FrameError::Length`] for a length below four or above [`LARGE_BYTES_MAX`].
pub fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let [tag, a, b, c, d, ..] = *bytes else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=LARGE_BYTES_MAX).contains(&length) {
        return Err(FrameError::Length);
    }
    Ok(Some(Header {
        tag,
        bytes: length + 1,
    }))
}

/// As [`header`], for the frontend: the kinds of message a client may send once it is logged in,
/// each with its own longest length (`SocketBackend` in Postgres' source has the same list).
///
/// # Errors
/// [`FrameError::FrontendType`] for any other tag, [`FrameError::Length`] for a length out of range.
pub fn frontend_header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some(header) = header(bytes)? else {
        // The tag alone is enough to refuse.
        return match bytes.first() {
            Some(&tag) if frontend_bytes_max(tag).is_none() => Err(FrameError::FrontendType(tag)),
            _ => Ok(None),
        };
    };
    match frontend_bytes_max(header.tag) {
        None => Err(FrameError::FrontendType(header.tag)),
        Some(most) if header.bytes > most + 1 => Err(FrameError::Length),
        Some(_) => Ok(Some(header)),
    }
}

fn frontend_bytes_max(tag: u8) -> Option<usize> {
    match tag {
        b'Q' | b'F' | b'B' | b'P' | b'd' => Some(LARGE_BYTES_MAX),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => Some(SMALL_BYTES_MAX),
        _ => None,
    }
}

/// Splits a zero-terminated string off the front of `body`; the rest follows the zero.
pub fn split_cstr(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = body.split_at_checked(memchr::memchr(0, body)?)?;
    Some((text, rest.get(1..)?))
}

/// Splits a big-endian 16-bit count off the front of `body`.
pub fn split_u16(body: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = body.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

/// Splits a big-endian 32-bit number off the front of `body`.
pub fn split_i32(body: &[u8]) -> Option<(i32, &[u8])> {
    let (head, rest) = body.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*head), rest))
}

/// Appends a whole frame whose body is the concatenation of `parts`.
///
/// Parts come from frames that were themselves within [`LARGE_BYTES_MAX`] plus a name of ours, so
/// the length fits; a longer one is cut off at the limit by the peer's own check.
pub fn push(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(HEADER_BYTES + body);
    push_header(out, tag, body);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a header for a body of `body` bytes that the caller appends, or streams, after it.
pub fn push_header(out: &mut Vec<u8>, tag: u8, body: usize) {
    let length = u32::try_from(body + 4).unwrap_or(u32::MAX);
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_waits_for_five_bytes() {
        let frame = b"Q\0\0\0\x0dselect 1\0";
        for cut in 0..HEADER_BYTES {
            assert_eq!(header(&frame[..cut]), Ok(None), "cut at {cut}");
        }
        let found = header(frame).unwrap().unwrap();
        assert_eq!((found.tag, found.bytes), (b'Q', 14));
    }

    #[test]
    fn lengths_out_of_range_are_refused() {
        assert_eq!(header(b"Q\0\0\0\x03"), Err(FrameError::Length));
        assert_eq!(header(b"Q\xff\xff\xff\xff"), Err(FrameError::Length));
        assert_eq!(frontend_header(b"S\0\0\xff\xff"), Err(FrameError::Length));
        assert!(frontend_header(b"Q\0\0\xff\xff").unwrap().is_some());
    }

    #[test]
    fn unknown_types_are_refused_at_the_first_byte() {
        assert_eq!(frontend_header(b"G"), Err(FrameError::FrontendType(b'G')));
        assert_eq!(frontend_header(b"S"), Ok(None));
    }

    #[test]
    fn push_counts_its_parts() {
        let mut out = Vec::new();
        push(&mut out, b'P', &[b"a\0", b"select 1\0", b"\0\0"]);
        assert_eq!(header(&out).unwrap().unwrap().bytes, out.len());
        assert_eq!(&out[..7], b"P\0\0\0\x11a\0");
    }

    #[test]
    fn splits_stop_at_the_end() {
        assert_eq!(split_cstr(b"ab\0c"), Some((&b"ab"[..], &b"c"[..])));
        assert_eq!(split_cstr(b"ab"), None);
        assert_eq!(split_u16(b"\0"), None);
        assert_eq!(split_i32(b"\0\0\x01\0x"), Some((256, &b"x"[..])));
    }
}
