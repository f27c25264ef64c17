//! One upstream connection: how to get it, and what it is.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

pub use super::cancel::CancelTarget;
pub use super::error::ConnectError;
pub use super::handshake::Parameter;

use super::dial::{self, Address, Encryption, Place};
use super::handshake::{self, Session, Wire};
use crate::config::{ChannelBinding, Host, Secret, SessionAttrs, Target};
use crate::stream::Stream;
use crate::tls::client::Connector;
use crate::wire::scram::Keys;
use crate::wire::startup::MINOR_MAX;

/// What proves to the upstream who we are.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing: the upstream trusts us, or knows our certificate.
    None,
    /// A password, or a stored md5 hash where the upstream asks for md5.
    Password(Secret),
    /// What a client's own SCRAM exchange with us gave away (pass-through).
    Keys(Arc<Keys>),
}

/// How to log in as one user to one database of one target; one for each pool.
#[derive(Debug)]
pub struct Login {
    /// At least one.
    pub hosts: Vec<Host>,
    pub connector: Arc<Connector>,
    pub user: String,
    pub database: String,
    pub credential: Credential,
    /// Further start-up parameters, as sent.
    pub parameters: Vec<Parameter>,
    pub channel_binding: ChannelBinding,
    pub session_attrs: SessionAttrs,
    /// From TCP connect to ReadyForQuery, for each address of each host (as in libpq).
    pub connect_timeout: Duration,
    /// The keys derived last. Held while deriving, so that twenty connections at once derive once.
    keys: Mutex<Option<Arc<Keys>>>,
    /// The minor version to ask for; 0 once an upstream has refused to hear of 3.2.
    minor: AtomicU16,
}

/// A session that is ready for its first query, with nothing of it left in any buffer.
#[derive(Debug)]
pub struct Upstream {
    pub stream: Stream,
    /// The ParameterStatus messages, in order, each name once.
    pub parameters: Vec<Parameter>,
    pub cancel: CancelTarget,
    pub connected_at: Instant,
    /// For logs and errors: `server at "db" (10.0.0.1), port 5432`.
    pub place: String,
    /// The protocol is 3.`minor`.
    pub minor: u16,
}

impl Upstream {
    /// The value that was reported for a parameter at start-up.
    pub fn parameter(&self, name: &[u8]) -> Option<&[u8]> {
        reported(&self.parameters, name)
    }
}

fn reported<'p>(parameters: &'p [Parameter], name: &[u8]) -> Option<&'p [u8]> {
    let mut all = parameters.iter();
    all.find_map(|(n, value)| (**n == *name).then_some(&**value))
}

impl Login {
    /// A login at a configured target.
    pub fn new(
        target: &Target,
        connector: Arc<Connector>,
        user: String,
        database: String,
        credential: Credential,
    ) -> Self {
        let bytes = |text: &String| -> Box<[u8]> { text.as_bytes().into() };
        let parameters = target.parameters.iter();
        Self {
            hosts: target.hosts.clone(),
            connector,
            user,
            database,
            credential,
            parameters: parameters.map(|(n, v)| (bytes(n), bytes(v))).collect(),
            channel_binding: target.channel_binding,
            session_attrs: target.session_attrs,
            connect_timeout: target.connect_timeout,
            keys: Mutex::new(None),
            minor: AtomicU16::new(MINOR_MAX),
        }
    }

    /// What to look for in turn.
    pub(super) fn passes(&self) -> &[SessionAttrs] {
        if self.session_attrs == SessionAttrs::PreferStandby {
            &[SessionAttrs::Standby, SessionAttrs::Any]
        } else {
            std::slice::from_ref(&self.session_attrs)
        }
    }

    /// Keys for that salt and iteration count: remembered, given, or derived off the runtime's
    /// threads.
    ///
    /// # Errors
    /// What is missing, as a text for [`ConnectError::Login`].
    pub(super) async fn scram_keys(
        &self,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Arc<Keys>, String> {
        let password = match &self.credential {
            Credential::None => return Err(format!("no password for user \"{}\"", self.user)),
            Credential::Keys(keys) if keys.fit(salt, iterations) => return Ok(Arc::clone(keys)),
            Credential::Keys(_) => {
                let text =
                    "the upstream's SCRAM verifier is not the one that the client logged in with";
                return Err(text.to_owned());
            }
            Credential::Password(password) => password,
        };
        let mut remembered = self.keys.lock().await;
        if let Some(keys) = remembered.as_ref().filter(|k| k.fit(salt, iterations)) {
            return Ok(Arc::clone(keys));
        }
        let (password, salt) = (password.clone(), salt.to_vec());
        let derive = move || Keys::derive(password.expose().as_bytes(), &salt, iterations);
        let keys = tokio::task::spawn_blocking(derive)
            .await
            .map_err(|error| error.to_string())?;
        let keys = Arc::new(keys);
        *remembered = Some(Arc::clone(&keys));
        Ok(keys)
    }
}

/// What can be opened at an upstream: a session for clients, or a connection of our own. Both are
/// looked for in the same way.
pub(super) trait Open: Sized + Send {
    /// At this address of a host, in this way, if that is such as `wanted`.
    fn open(
        login: &Login,
        host: &Host,
        address: &Address,
        encryption: Encryption,
        wanted: SessionAttrs,
    ) -> impl Future<Output = Result<Self, ConnectError>> + Send;
}

/// Opens a session at the first host and address that gives one such as `target_session_attrs`
/// wants.
///
/// Not cancel safe, and needs not be: a dropped attempt closes its socket.
///
/// # Errors
/// The most telling failure: a server's own words before ours.
pub async fn connect(login: &Login) -> Result<Upstream, ConnectError> {
    first(login).await
}

/// The same of whatever can be opened there.
pub(super) async fn first<T: Open>(login: &Login) -> Result<T, ConnectError> {
    let mut failure = None;
    for wanted in login.passes() {
        for host in &login.hosts {
            match first_of_host(login, host, *wanted).await {
                Ok(opened) => return Ok(opened),
                Err(error) if error.tries_next() => failure = worse(failure, error),
                Err(error) => return Err(error),
            }
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::protocol("no host", "the URL names no host")))
}

/// All addresses of a host.
async fn first_of_host<T: Open>(
    login: &Login,
    host: &Host,
    wanted: SessionAttrs,
) -> Result<T, ConnectError> {
    let addresses = tokio::time::timeout(login.connect_timeout, dial::resolve(host))
        .await
        .map_err(|_elapsed| timed_out(login, Place(host, None)))??;
    first_of(login, host, &addresses, wanted).await
}

fn timed_out(login: &Login, place: Place<'_>) -> ConnectError {
    ConnectError::TimedOut {
        place: place.to_string(),
        after: login.connect_timeout,
    }
}

/// These addresses of a host, each with the whole time.
pub(super) async fn first_of<T: Open>(
    login: &Login,
    host: &Host,
    addresses: &[Address],
    wanted: SessionAttrs,
) -> Result<T, ConnectError> {
    let mut failure = None;
    for address in addresses {
        let attempt = Box::pin(first_way(login, host, address, wanted));
        match tokio::time::timeout(login.connect_timeout, attempt).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) if error.tries_next() => failure = worse(failure, error),
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) => {
                failure = worse(failure, timed_out(login, Place(host, Some(address))));
            }
        }
    }
    Err(failure.unwrap_or_else(|| timed_out(login, Place(host, None))))
}

/// Of two failures the one to report: a server that answered before one that did not, else the later.
fn worse(old: Option<ConnectError>, new: ConnectError) -> Option<ConnectError> {
    let told = |error: &ConnectError| match error {
        ConnectError::Refused { .. } => 2,
        ConnectError::Attributes { .. } => 1,
        ConnectError::Io { .. }
        | ConnectError::TimedOut { .. }
        | ConnectError::Tls { .. }
        | ConnectError::Login { .. }
        | ConnectError::Protocol { .. } => 0,
    };
    match old {
        Some(old) if told(&old) > told(&new) => Some(old),
        _ => Some(new),
    }
}

/// One address, in the ways that `sslmode` allows.
async fn first_way<T: Open>(
    login: &Login,
    host: &Host,
    address: &Address,
    wanted: SessionAttrs,
) -> Result<T, ConnectError> {
    let mut failure = None;
    for encryption in dial::attempts(login.connector.mode(), address) {
        match T::open(login, host, address, *encryption, wanted).await {
            Ok(opened) => return Ok(opened),
            Err(error) if is_about_tls(&error) => {
                // The first refusal stands: the second attempt was only a guess.
                failure = failure.or(Some(error));
            }
            Err(error) => return Err(failure.unwrap_or(error)),
        }
    }
    Err(failure.unwrap_or_else(|| {
        ConnectError::protocol(&Place(host, Some(address)).to_string(), "no way to connect")
    }))
}

/// Whether the other way of `allow` and `prefer` is worth an attempt: TLS failed, or pg_hba.conf has
/// no line for this way (28000). libpq tries again after any refusal, wrong passwords included,
/// which only doubles the load and shows the login to more people.
fn is_about_tls(error: &ConnectError) -> bool {
    match error {
        ConnectError::Tls { .. } => true,
        ConnectError::Refused { .. } => error.sqlstate() == "28000",
        ConnectError::Io { .. }
        | ConnectError::TimedOut { .. }
        | ConnectError::Login { .. }
        | ConnectError::Protocol { .. }
        | ConnectError::Attributes { .. } => false,
    }
}

impl Open for Upstream {
    /// With protocol 3.2, or 3.0 for upstreams that cannot bear being asked.
    async fn open(
        login: &Login,
        host: &Host,
        address: &Address,
        encryption: Encryption,
        wanted: SessionAttrs,
    ) -> Result<Self, ConnectError> {
        let mut minor = login.minor.load(Ordering::Relaxed);
        let mut ended = false;
        loop {
            let stream = dial::open(host, address, &login.connector, encryption).await?;
            let encryption = match &stream {
                Stream::Dialled(_) | Stream::Accepted(_) => Encryption::Tls,
                Stream::Tcp(_) | Stream::Unix(_) | Stream::Ahead(_) => Encryption::Clear,
            };
            let place = Place(host, Some(address)).to_string();
            let mut wire = Wire::new(stream, place.clone());
            let session = match handshake::start(&mut wire, login, minor).await {
                Err(error) if minor > 0 && !wire.has_answered && is_about_version(&error) => {
                    minor = 0;
                    continue;
                }
                other => other?,
            };
            if login.minor.swap(minor, Ordering::Relaxed) != minor {
                // Or it only broke off the first attempt: there is no telling these apart, and all that is
                // lost is the longer cancel key.
                tracing::info!(upstream = %place, "protocol 3.2 was not answered: 3.0 from now on");
            }
            check_attributes(&mut wire, &session, wanted).await?;
            let stream = match wire.into_stream().await {
                // An administrator ended all sessions there were, this one among them: all who wait would be
                // told so, although nobody has used it. The next one may live.
                Err(_) if !ended => {
                    ended = true;
                    continue;
                }
                other => other?,
            };
            return Ok(Self {
                stream,
                parameters: session.parameters,
                cancel: CancelTarget {
                    host: host.clone(),
                    address: address.clone(),
                    connector: Arc::clone(&login.connector),
                    encryption,
                    pid: session.pid,
                    key: session.key,
                },
                connected_at: Instant::now(),
                place,
                minor: session.minor,
            });
        }
    }
}

/// PostgreSQL 11 and later negotiate; older ones and some poolers refuse, or just close.
fn is_about_version(error: &ConnectError) -> bool {
    match error {
        ConnectError::Refused { .. } => matches!(error.sqlstate(), "0A000" | "08P01"),
        ConnectError::Io { .. } | ConnectError::Protocol { .. } => true,
        ConnectError::TimedOut { .. }
        | ConnectError::Tls { .. }
        | ConnectError::Login { .. }
        | ConnectError::Attributes { .. } => false,
    }
}

/// `target_session_attrs`, from what PostgreSQL 14 and later report, or by asking.
async fn check_attributes(
    wire: &mut Wire,
    session: &Session,
    wanted: SessionAttrs,
) -> Result<(), ConnectError> {
    let on = |name: &[u8]| reported(&session.parameters, name).map(|value| value == b"on");
    let standby = on(b"in_hot_standby");
    let read_only = on(b"default_transaction_read_only");
    let fits = match wanted {
        SessionAttrs::Any => true,
        SessionAttrs::ReadWrite | SessionAttrs::ReadOnly => {
            let closed = match (standby, read_only) {
                (Some(standby), Some(read_only)) => standby || read_only,
                _ => wire.query("SHOW transaction_read_only").await?.as_deref() == Some(b"on"),
            };
            closed == (wanted == SessionAttrs::ReadOnly)
        }
        SessionAttrs::Primary | SessionAttrs::Standby | SessionAttrs::PreferStandby => {
            let standby = match standby {
                Some(standby) => standby,
                None => {
                    let sql = "SELECT pg_catalog.pg_is_in_recovery()";
                    wire.query(sql).await?.as_deref() == Some(b"t")
                }
            };
            standby == (wanted != SessionAttrs::Primary)
        }
    };
    if fits {
        return Ok(());
    }
    Err(ConnectError::Attributes {
        place: wire.place().to_owned(),
        wanted,
    })
}
