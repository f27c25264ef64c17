//! The start-up phase: packets without a type byte, before a session exists.
//!
//! Manual: "Frontend/Backend Protocol", sections "Start-up" and "Message Formats".

mod options;
mod packet;

pub use packet::{Packet, Replication, Setting, Startup, body_length, parse};

/// The request code of SSLRequest.
pub const SSL_REQUEST: u32 = 80_877_103;
/// The request code of GSSENCRequest.
pub const GSSENC_REQUEST: u32 = 80_877_104;
/// The request code of CancelRequest.
pub const CANCEL_REQUEST: u32 = 80_877_102;
/// The newest minor of protocol 3 that we speak, on both sides (PostgreSQL 18).
pub const MINOR_MAX: u16 = 2;
/// Lengths of a cancel key: 4 bytes in protocol 3.0, up to 256 in 3.2.
pub const CANCEL_KEY_BYTES: std::ops::RangeInclusive<usize> = 4..=256;

/// A StartupMessage for protocol 3.`minor`. Names and values must hold no zero byte: the part of
/// one behind it would become another parameter, so such a pair is left out.
pub fn encode_startup(minor: u16, parameters: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut body = (3 << 16 | u32::from(minor)).to_be_bytes().to_vec();
    for (name, value) in parameters {
        if name.is_empty() || name.contains(&0) || value.contains(&0) {
            continue;
        }
        for text in [name, value] {
            body.extend_from_slice(text);
            body.push(0);
        }
    }
    body.push(0);
    with_length(&body)
}

/// A CancelRequest, with a key of 4 bytes or a longer one.
pub fn encode_cancel(pid: u32, key: &[u8]) -> Vec<u8> {
    let mut body = CANCEL_REQUEST.to_be_bytes().to_vec();
    body.extend_from_slice(&pid.to_be_bytes());
    body.extend_from_slice(key);
    with_length(&body)
}

/// An SSLRequest.
pub fn encode_ssl_request() -> Vec<u8> {
    with_length(&SSL_REQUEST.to_be_bytes())
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut packet = length.to_be_bytes().to_vec();
    packet.extend_from_slice(body);
    packet
}

#[cfg(test)]
mod tests;
