//! From a socket to a session: start-up packet, login, parameters, ReadyForQuery.

use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::error::ConnectError;
use super::upstream::{Credential, Login};
use crate::config::ChannelBinding;
use crate::stream::Stream;
use crate::tls;
use crate::wire::auth;
use crate::wire::scram::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS, client};
use crate::wire::startup::{self, CANCEL_KEY_BYTES};

/// Longest message of the start-up phase. The longest that Postgres sends is a ParameterStatus
/// (search_path), which no one fills with more than a few kilobytes.
const FRAME_BYTES_MAX: usize = 256 << 10;
/// Most ParameterStatus: Postgres 18 reports 15 and extensions add a few.
const PARAMETERS_MAX: usize = 256;

/// A raw ParameterStatus: name and value.
pub type Parameter = (Box<[u8]>, Box<[u8]>);

/// What the start-up phase says.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) parameters: Vec<Parameter>,
    pub(super) pid: u32,
    pub(super) key: Box<[u8]>,
    /// The protocol is 3.`minor`.
    pub(super) minor: u16,
}

/// A stream read frame by frame. Keeps what was read too far, which at the end must be nothing.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
    place: String,
    /// Whether the upstream has said anything that is no error.
    pub(super) has_answered: bool,
}

/// A message's type and body.
type Frame = (u8, Vec<u8>);

impl Wire {
    pub(super) fn new(stream: Stream, place: String) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            place,
            has_answered: false,
        }
    }

    /// Gives the stream back.
    ///
    /// # Errors
    /// When the upstream has sent something behind its last ReadyForQuery: its own words, if it was to end.
    pub(super) async fn into_stream(mut self) -> Result<Stream, ConnectError> {
        match self.buffer.first() {
            None => Ok(self.stream),
            Some(b'E') => {
                let (_, body) = self.receive_any().await?;
                Err(self.refused(body))
            }
            Some(_) => Err(self.broken("unexpected bytes behind ReadyForQuery")),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn broken(&self, reason: &str) -> ConnectError {
        ConnectError::protocol(&self.place, reason)
    }

    fn refused(&self, body: Vec<u8>) -> ConnectError {
        ConnectError::Refused {
            place: self.place.clone(),
            body: body.into(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await
            .map_err(|error| ConnectError::io(&self.place, &error))
    }

    /// The next frame that is neither a notice nor an error.
    async fn receive(&mut self) -> Result<Frame, ConnectError> {
        loop {
            let (tag, body) = self.receive_any().await?;
            match tag {
                b'N' => {}
                b'E' => return Err(self.refused(body)),
                _ => {
                    self.has_answered = true;
                    return Ok((tag, body));
                }
            }
        }
    }

    async fn receive_any(&mut self) -> Result<Frame, ConnectError> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(frame);
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            let count = read.map_err(|error| ConnectError::io(&self.place, &error))?;
            if count == 0 {
                let error = std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    "server closed the connection unexpectedly",
                );
                return Err(ConnectError::io(&self.place, &error));
            }
        }
    }

    fn cut(&mut self) -> Result<Option<Frame>, ConnectError> {
        let Some((&[tag, a, b, c, d], rest)) = self.buffer.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(length) = length.checked_sub(4).filter(|len| *len <= FRAME_BYTES_MAX) else {
            return Err(self.broken("a message of impossible length"));
        };
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.buffer.drain(..length + 5);
        Ok(Some((tag, body)))
    }

    /// The first column of the first row of a query that has one; `None` is NULL or no row.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Option<Vec<u8>>, ConnectError> {
        let mut out = bytes::BytesMut::new();
        frontend::query(sql, &mut out).map_err(|error| self.broken(&error.to_string()))?;
        self.send(&out).await?;
        let mut value = None;
        loop {
            match self.receive().await? {
                (b'Z', _) => return Ok(value),
                (b'D', row) if value.is_none() => value = first_column(&row),
                _ => {}
            }
        }
    }
}

fn first_column(row: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = row.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    rest.get(..length).map(<[u8]>::to_vec)
}

/// Starts a session with protocol 3.`minor` or an older one.
///
/// # Errors
/// Everything that [`ConnectError`] knows but TLS and time-out.
pub(super) async fn start(
    wire: &mut Wire,
    login: &Login,
    minor: u16,
) -> Result<Session, ConnectError> {
    let mut parameters: Vec<(&[u8], &[u8])> = vec![
        (b"user", login.user.as_bytes()),
        (b"database", login.database.as_bytes()),
    ];
    let further = login.parameters.iter();
    parameters.extend(further.map(|(name, value)| (&**name, &**value)));
    wire.send(&startup::encode_startup(minor, &parameters))
        .await?;
    let minor = authenticate(wire, login, minor).await?;
    settle(wire, minor).await
}

/// Up to AuthenticationOk; returns the minor version agreed on.
async fn authenticate(wire: &mut Wire, login: &Login, mut minor: u16) -> Result<u16, ConnectError> {
    let mut bound = false;
    loop {
        let (tag, body) = wire.receive().await?;
        if tag == b'v' {
            minor = negotiated(wire, minor, &body)?;
            continue;
        }
        let (code, data) = match (tag, body.split_first_chunk::<4>()) {
            (b'R', Some((code, data))) => (u32::from_be_bytes(*code), data),
            _ => return Err(wire.broken("expected an authentication request")),
        };
        let unbound = || login.channel_binding == ChannelBinding::Require && !bound;
        match code {
            // A server that skips the proof could be anyone: that is what binding is to prevent.
            0 | 3 | 5 if unbound() => {
                let reason = "channel binding is required, but the server asked for another login";
                return Err(ConnectError::login(&wire.place, reason));
            }
            0 => return Ok(minor),
            3 => {
                not_md5(wire, login)?;
                let password = password(wire, login)?;
                send_password(wire, password.as_bytes()).await?;
            }
            5 => {
                let salt = <[u8; 4]>::try_from(data)
                    .map_err(|_slice| wire.broken("an md5 salt that is not 4 bytes"))?;
                let password = password(wire, login)?;
                let hash = md5_of(login.user.as_bytes(), password);
                send_password(wire, auth::md5_salted(&hash, salt).as_bytes()).await?;
            }
            10 => {
                not_md5(wire, login)?;
                bound = scram(wire, login, data).await?;
            }
            other => return Err(ConnectError::login(&wire.place, unsupported(other))),
        }
    }
}

fn unsupported(code: u32) -> String {
    let name = match code {
        2 => "Kerberos V5",
        6 => "SCM credentials",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => return format!("the server asks for authentication method {code}, unknown to pgweir"),
    };
    format!("the server asks for {name} authentication, which pgweir does not do")
}

/// PostgreSQL says the whole version, older descriptions of the message only the minor.
fn negotiated(wire: &Wire, asked: u16, body: &[u8]) -> Result<u16, ConnectError> {
    let version = body.first_chunk::<4>().map(|v| u32::from_be_bytes(*v));
    let unknown = body.get(4..8);
    match version.map(|version| u16::try_from(version & 0xffff).unwrap_or(u16::MAX)) {
        Some(minor) if minor <= asked && unknown == Some(&[0; 4]) => Ok(minor),
        _ => Err(wire.broken("an impossible NegotiateProtocolVersion")),
    }
}

fn password<'l>(wire: &Wire, login: &'l Login) -> Result<&'l str, ConnectError> {
    match &login.credential {
        Credential::Password(secret) => Ok(secret.expose()),
        Credential::None => Err(ConnectError::login(
            &wire.place,
            format!("no password for user \"{}\"", login.user),
        )),
        Credential::Keys(_) => Err(ConnectError::login(
            &wire.place,
            "the server asks for the password itself, but only SCRAM keys are known",
        )),
    }
}

/// An md5 hash is no password: sent as one it would only be called wrong.
fn not_md5(wire: &Wire, login: &Login) -> Result<(), ConnectError> {
    let Credential::Password(secret) = &login.credential else {
        return Ok(());
    };
    if let Ok(auth::Verifier::Md5(_)) = auth::Verifier::parse(secret.expose()) {
        let user = &login.user;
        let reason = format!(
            "the server asks for SCRAM or the password itself, and of user \"{user}\" only an MD5 hash is known"
        );
        return Err(ConnectError::login(&wire.place, reason));
    }
    Ok(())
}

/// A stored md5 hash is as good as the password where md5 is asked for.
fn md5_of(user: &[u8], password: &str) -> String {
    match auth::Verifier::parse(password) {
        Ok(auth::Verifier::Md5(hash)) => hash.into(),
        Ok(auth::Verifier::Clear(_) | auth::Verifier::Scram(_)) | Err(_) => {
            auth::md5_hash(user, password.as_bytes())
        }
    }
}

async fn send_password(wire: &mut Wire, password: &[u8]) -> Result<(), ConnectError> {
    let mut out = bytes::BytesMut::new();
    frontend::password_message(password, &mut out)
        .map_err(|error| ConnectError::login(&wire.place, error))?;
    wire.send(&out).await
}

/// The SASL exchange up to the server's signature; returns whether it was bound to the channel.
async fn scram(wire: &mut Wire, login: &Login, offer: &[u8]) -> Result<bool, ConnectError> {
    let binding = choose_binding(wire, login, offer)?;
    let bound = matches!(binding, client::Binding::EndPoint(_));
    let failed = |place: &str, failure: client::Failure| ConnectError::login(place, failure);
    let exchange =
        client::Exchange::new(binding).map_err(|failure| failed(&wire.place, failure))?;
    let mut out = bytes::BytesMut::new();
    frontend::sasl_initial_response(exchange.mechanism(), &exchange.first(), &mut out)
        .map_err(|error| ConnectError::login(&wire.place, error))?;
    wire.send(&out).await?;
    let message = sasl(wire, 11).await?;
    let challenge = exchange
        .server_first(&message)
        .map_err(|failure| failed(&wire.place, failure))?;
    let keys = login
        .scram_keys(&challenge.salt, challenge.iterations)
        .await
        .map_err(|reason| ConnectError::login(&wire.place, reason))?;
    let (response, signature) = challenge.respond(&keys);
    out.clear();
    frontend::sasl_response(&response, &mut out)
        .map_err(|error| ConnectError::login(&wire.place, error))?;
    wire.send(&out).await?;
    let message = sasl(wire, 12).await?;
    signature
        .finish(&message)
        .map_err(|failure| failed(&wire.place, failure))?;
    Ok(bound)
}

/// libpq's choice (`pg_SASL_init`): bind where both sides can.
fn choose_binding(
    wire: &Wire,
    login: &Login,
    offer: &[u8],
) -> Result<client::Binding, ConnectError> {
    let offers = |mechanism: &str| offer.split(|b| *b == 0).any(|m| m == mechanism.as_bytes());
    let end_point = match &wire.stream {
        Stream::Dialled(stream) => tls::client::end_point(stream),
        Stream::Tcp(_) | Stream::Unix(_) | Stream::Accepted(_) | Stream::Ahead(_) => None,
    };
    let plus = offers(SCRAM_SHA_256_PLUS);
    if plus && !wire.stream.is_tls() {
        return Err(wire.broken("SCRAM-SHA-256-PLUS offered over a connection without TLS"));
    }
    match (login.channel_binding, end_point) {
        (ChannelBinding::Prefer | ChannelBinding::Require, Some(hash)) if plus => {
            Ok(client::Binding::EndPoint(hash))
        }
        (ChannelBinding::Require, _) => {
            let reason = "channel binding is required, but not possible with this server";
            Err(ConnectError::login(&wire.place, reason))
        }
        _ if !offers(SCRAM_SHA_256) => {
            let reason = "none of the server's SASL mechanisms is known to pgweir";
            Err(ConnectError::login(&wire.place, reason))
        }
        (ChannelBinding::Prefer, Some(_)) => Ok(client::Binding::NotOffered),
        (ChannelBinding::Prefer | ChannelBinding::Disable, _) => Ok(client::Binding::Unsupported),
    }
}

/// The data of the next authentication message, which must have that code.
async fn sasl(wire: &mut Wire, expected: u32) -> Result<Vec<u8>, ConnectError> {
    let (tag, body) = wire.receive().await?;
    match body.split_first_chunk::<4>() {
        Some((code, data)) if tag == b'R' && u32::from_be_bytes(*code) == expected => {
            Ok(data.to_vec())
        }
        _ => Err(wire.broken("the SASL exchange was cut short")),
    }
}

/// From AuthenticationOk to ReadyForQuery.
async fn settle(wire: &mut Wire, minor: u16) -> Result<Session, ConnectError> {
    let mut session = Session {
        parameters: Vec::new(),
        pid: 0,
        key: Box::default(),
        minor,
    };
    loop {
        let (tag, body) = wire.receive().await?;
        match tag {
            b'S' => {
                let (name, value) =
                    parameter(&body).ok_or_else(|| wire.broken("a malformed ParameterStatus"))?;
                if !report(&mut session.parameters, name, value) {
                    return Err(wire.broken("too many ParameterStatus"));
                }
            }
            b'K' => {
                let (pid, key) = body
                    .split_first_chunk::<4>()
                    .filter(|(_, key)| CANCEL_KEY_BYTES.contains(&key.len()))
                    .ok_or_else(|| wire.broken("a malformed BackendKeyData"))?;
                session.pid = u32::from_be_bytes(*pid);
                session.key = key.into();
            }
            b'Z' if body == b"I" => return Ok(session),
            _ => return Err(wire.broken("an unexpected message before ReadyForQuery")),
        }
    }
}

/// Keeps each name once, at its first place; `false` when there are too many.
fn report(parameters: &mut Vec<Parameter>, name: Box<[u8]>, value: Box<[u8]>) -> bool {
    if let Some((_, old)) = parameters.iter_mut().find(|(known, _)| *known == name) {
        *old = value;
        return true;
    }
    let fits = parameters.len() < PARAMETERS_MAX;
    if fits {
        parameters.push((name, value));
    }
    fits
}

/// Name and value, each with its zero byte.
fn parameter(body: &[u8]) -> Option<Parameter> {
    let text = body.strip_suffix(&[0])?;
    let zero = text.iter().position(|byte| *byte == 0)?;
    let (name, value) = text.split_at_checked(zero)?;
    Some((name.into(), value.get(1..)?.into()))
}
