//! Reading what a client says first. Follows Postgres's `ProcessStartupPacket`.

use super::options;
use super::{CANCEL_KEY_BYTES, CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST};
use crate::wire::error::PgError;
use crate::wire::trouble;

/// Longest start-up packet without its length word (Postgres: `MAX_STARTUP_PACKET_LENGTH`): whoever
/// sends more is no Postgres client, and nobody has logged in yet.
const BODY_BYTES_MAX: usize = 10_000;
/// Longest name of a user or database: longer ones are cut, as Postgres cuts them (`NAMEDATALEN`).
const NAME_BYTES_MAX: usize = 63;

/// A setting as bytes: it may be in any encoding.
pub type Setting = (Box<[u8]>, Box<[u8]>);

/// What a client may say first.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    SslRequest,
    GssEncRequest,
    /// The key has 4 to 256 bytes.
    Cancel {
        pid: u32,
        key: Box<[u8]>,
    },
    Startup(Startup),
}

/// A StartupMessage of protocol 3.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup {
    /// As asked for; may be more than we speak.
    pub minor: u16,
    pub user: String,
    /// The user's name where the client gave none; empty for physical replication.
    pub database: String,
    /// First those of `options`, then the others, in order: where a name comes twice, the last counts.
    pub settings: Vec<Setting>,
    pub replication: Replication,
    /// Names of `_pq_.` options, none of which exists yet.
    pub protocol_options: Vec<String>,
}

/// The `replication` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replication {
    Off,
    /// `true`: physical.
    Physical,
    /// `database`: logical.
    Database,
}

/// How many bytes follow a packet's length word; `None` when no client would send so many or few.
pub fn body_length(prefix: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).ok()?;
    let body = length.checked_sub(4)?;
    (4..=BODY_BYTES_MAX).contains(&body).then_some(body)
}

/// Reads a packet's body.
///
/// # Errors
/// What Postgres would send: an unknown protocol, a malformed packet, no user.
pub fn parse(body: &[u8]) -> Result<Packet, PgError> {
    let Some((code, rest)) = body.split_first_chunk::<4>() else {
        return Err(malformed("invalid length of startup packet"));
    };
    match u32::from_be_bytes(*code) {
        SSL_REQUEST => Ok(Packet::SslRequest),
        GSSENC_REQUEST => Ok(Packet::GssEncRequest),
        CANCEL_REQUEST => cancel(rest),
        version => startup(version, rest).map(Packet::Startup),
    }
}

fn cancel(rest: &[u8]) -> Result<Packet, PgError> {
    let (pid, key) = rest
        .split_first_chunk::<4>()
        .filter(|(_, key)| CANCEL_KEY_BYTES.contains(&key.len()))
        .ok_or_else(|| malformed("invalid length of cancel request packet"))?;
    Ok(Packet::Cancel {
        pid: u32::from_be_bytes(*pid),
        key: key.into(),
    })
}

fn startup(version: u32, rest: &[u8]) -> Result<Startup, PgError> {
    let [a, b, c, d] = version.to_be_bytes();
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    if major != 3 {
        let text = format!(
            "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{}",
            super::MINOR_MAX
        );
        return Err(PgError::fatal("0A000", text));
    }
    let (mut user, mut database) = (None, None);
    let mut replication = Replication::Off;
    let (mut from_options, mut settings) = (Vec::new(), Vec::new());
    let mut protocol_options = Vec::new();
    for pair in pairs(rest)? {
        match pair {
            (b"user", value) => user = Some(value),
            (b"database", value) => database = Some(value),
            (b"options", value) => from_options = options::parse(value)?,
            (b"replication", value) => replication = parse_replication(value)?,
            (name, _) if name.starts_with(b"_pq_.") => {
                protocol_options.push(String::from_utf8_lossy(name).into_owned());
            }
            (name, value) => settings.push((name.into(), value.into())),
        }
    }
    let Some(user) = user.filter(|user| !user.is_empty()) else {
        let text = "no PostgreSQL user name specified in startup packet";
        return Err(PgError::fatal("28000", text));
    };
    let database = match (replication, database) {
        (Replication::Physical, _) => b"",
        (_, None | Some(b"")) => user,
        (_, Some(database)) => database,
    };
    from_options.append(&mut settings);
    Ok(Startup {
        minor,
        user: name("user", user)?,
        database: name("database", database)?,
        settings: from_options,
        replication,
        protocol_options,
    })
}

/// A name and its value, still in the packet.
type Pair<'p> = (&'p [u8], &'p [u8]);

/// Names and values up to the zero byte that ends the packet.
fn pairs(mut rest: &[u8]) -> Result<Vec<Pair<'_>>, PgError> {
    let mut pairs = Vec::new();
    loop {
        let unterminated =
            || malformed("invalid startup packet layout: expected terminator as last byte");
        match rest {
            [0] => return Ok(pairs),
            [] | [0, ..] => return Err(unterminated()),
            _ => {}
        }
        let (name, tail) = cstring(rest).ok_or_else(unterminated)?;
        let (value, tail) = cstring(tail).ok_or_else(unterminated)?;
        pairs.push((name, value));
        rest = tail;
    }
}

fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, tail) = bytes.split_at_checked(end)?;
    Some((text, tail.get(1..)?))
}

/// The user table, the pools and the logs know names as UTF-8 only.
fn name(what: &str, bytes: &[u8]) -> Result<String, PgError> {
    let text = std::str::from_utf8(bytes).map_err(|_utf8| {
        let text = format!("the {what} name is not valid UTF-8");
        PgError::fatal(&trouble::NAME_NOT_UTF8, text)
    })?;
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(text.get(..end).unwrap_or_default().to_owned())
}

fn parse_replication(value: &[u8]) -> Result<Replication, PgError> {
    if value == b"database" {
        return Ok(Replication::Database);
    }
    match parse_bool(value) {
        Some(true) => Ok(Replication::Physical),
        Some(false) => Ok(Replication::Off),
        None => {
            let value = String::from_utf8_lossy(value);
            let text = format!("invalid value for parameter \"replication\": \"{value}\"");
            Err(PgError::fatal("22023", text)
                .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."))
        }
    }
}

/// Postgres's `parse_bool`: any unambiguous beginning of the words.
fn parse_bool(value: &[u8]) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &[u8], least: usize| value.len() >= least && word.starts_with(&value);
    if begins(b"true", 1) || begins(b"yes", 1) || begins(b"on", 2) || value == b"1" {
        Some(true)
    } else if begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) || value == b"0" {
        Some(false)
    } else {
        None
    }
}

fn malformed(message: &str) -> PgError {
    PgError::fatal("08P01", message)
}
