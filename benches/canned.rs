//! The floor of a hit: reads requests and answers each with the same bytes, knowing nothing of them.
//!
//! The bytes are what [`crate::script::HIT`] is answered with, so that reading, writing and waking
//! cost what they must cost anybody; everything above it is the cache's own.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request and its answer fit many times.
const CHUNK_BYTES: usize = 16 << 10;

/// AuthenticationOk, what drivers ask of ParameterStatus, BackendKeyData, ReadyForQuery.
const GREETING: &[u8] =
    b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0015.0\0S\0\0\0\x19client_encoding\0UTF8\0\
    S\0\0\0\x23standard_conforming_strings\0on\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";

/// One column of type int4, as the table pgbench_accounts has it.
const DESCRIPTION: &[u8] =
    b"T\0\0\0\x21\0\x01abalance\0\0\0\0\x40\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";

/// One row: 0.
const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x010C\0\0\0\x0dSELECT 1\0";

const READY: &[u8] = b"Z\0\0\0\x05I";

/// Answers every connection of `listener`, one task for each.
pub(crate) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // A connection's end is its client's business.
        tokio::spawn(async move { answer(stream).await.ok() });
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    greet(&mut stream).await?;
    let mut unread = Vec::with_capacity(CHUNK_BYTES);
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    while stream.read_buf(&mut unread).await? > 0 {
        let mut rest = unread.as_slice();
        while let Some((tag, behind)) = frame(rest) {
            let (first, second): (&[u8], &[u8]) = match tag {
                b'Q' => {
                    out.extend_from_slice(DESCRIPTION);
                    (ROW, READY)
                }
                b'P' => (b"1\0\0\0\x04", b""),
                b'B' => (b"2\0\0\0\x04", b""),
                b'C' => (b"3\0\0\0\x04", b""),
                b'D' => (DESCRIPTION, b""),
                b'E' => (ROW, b""),
                b'S' => (READY, b""),
                b'X' => return Ok(()),
                _ => (b"", b""),
            };
            out.extend_from_slice(first);
            out.extend_from_slice(second);
            rest = behind;
        }
        let used = unread.len() - rest.len();
        unread.drain(..used);
        if out.ends_with(READY) {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
    Ok(())
}

/// The start-up packet, and nothing of it.
async fn greet(stream: &mut TcpStream) -> io::Result<()> {
    let size = stream.read_u32().await?.saturating_sub(4);
    let mut packet = vec![0; usize::try_from(size).unwrap_or_default().min(CHUNK_BYTES)];
    stream.read_exact(&mut packet).await?;
    stream.write_all(GREETING).await
}

/// The tag of the first frame, and what comes behind it.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (size, _) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
    Some((*tag, rest.get(size..)?))
}

/// The lengths are right, or drivers wait for what does not come.
const fn is_whole(bytes: &[u8], frames: usize) -> bool {
    let (mut rest, mut seen) = (bytes, 0);
    // All of them are shorter than 256 bytes.
    while let [_, _, _, _, size, ..] = rest {
        let Some((_, behind)) = rest.split_at_checked(1 + *size as usize) else {
            return false;
        };
        rest = behind;
        seen += 1;
    }
    rest.is_empty() && seen == frames
}

const _: () = assert!(is_whole(GREETING, 6) && is_whole(DESCRIPTION, 1));
const _: () = assert!(is_whole(ROW, 2) && is_whole(READY, 1));
