//! Connection URLs, as libpq reads them (PostgreSQL manual, "Connection URIs" and "Parameter Key
//! Words"), into a [`Target`]; `show` is the way back.

use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Fault, did_you_mean};
use super::target::{ChannelBinding, Host, SessionAttrs, SslMode, SslNegotiation};
use super::word::Word;
use super::{Secret, Target, UpstreamTls};

/// Where Postgres listens unless the URL says otherwise.
const PORT: u16 = 5432;

/// Hosts in one URL: each is tried in turn at every connect, so more would only hide a mistake.
const HOSTS_MAX: usize = 64;

const ESCAPE: &str = "in user and password write `@` as %40, `/` as %2F, `:` as %3A, `%` as %25";

impl Target {
    /// Reads a `postgres://` or `postgresql://` URL.
    ///
    /// Differs from libpq in that a host must be named, that an absent user stays empty, that a
    /// verifying `sslmode` without `sslrootcert` trusts the system's roots, and that an absent (or
    /// zero) `connect_timeout` leaves [`Target::connect_timeout`] zero for the caller to fill in.
    pub fn parse(url: &str) -> Result<Self, Fault> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or_else(|| {
                Fault::new(
                    "the URL does not begin with `postgres://`",
                    "write postgres://user:password@host:port/database",
                )
            })?;
        let mut draft = Draft::default();
        // libpq's rule: the login ends at the first `@` that stands before any `/`.
        let head = rest.split('/').next().unwrap_or_default();
        let rest = if let Some((login, _)) = head.split_once('@') {
            draft.login(login)?;
            rest.strip_prefix(login)
                .and_then(|rest| rest.strip_prefix('@'))
                .unwrap_or_default()
        } else {
            rest
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        if authority.contains('@') || database.contains('@') {
            // Part of a password, then: it must not be shown as a host.
            return Err(Fault::new("the URL has an `@` too many", ESCAPE));
        }
        draft.authority(authority)?;
        draft.database = filled(decode(database)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            draft.pair(pair)?;
        }
        draft.finish()
    }
}

/// What the URL said so far; query keys replace what stood before, as in libpq.
#[derive(Default)]
struct Draft {
    /// Hosts and ports are lists joined by commas until the end, since `?host=` and `?port=` are.
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    mode: Option<SslMode>,
    negotiation: SslNegotiation,
    root_cert: Option<PathBuf>,
    system_roots: bool,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    channel_binding: ChannelBinding,
    session_attrs: SessionAttrs,
    connect_timeout: Duration,
    options: Option<String>,
    application_name: Option<String>,
}

type Set = fn(&mut Draft, String) -> Result<(), Fault>;

/// The query keys we read.
const KEYS: &[(&str, Set)] = &[
    ("host", |d, v| store(&mut d.host, filled(v))),
    ("port", |d, v| store(&mut d.port, filled(v))),
    ("user", |d, v| store(&mut d.user, filled(v))),
    ("password", |d, v| store(&mut d.password, filled(v))),
    ("dbname", |d, v| store(&mut d.database, filled(v))),
    ("sslmode", |d, v| {
        store(&mut d.mode, Some(SslMode::from_word(&v)?))
    }),
    ("sslnegotiation", |d, v| {
        store(&mut d.negotiation, Word::from_word(&v)?)
    }),
    ("sslrootcert", |d, v| {
        d.system_roots = v == "system";
        store(
            &mut d.root_cert,
            filled(v).filter(|v| v != "system").map(PathBuf::from),
        )
    }),
    ("sslcert", |d, v| {
        store(&mut d.cert, filled(v).map(PathBuf::from))
    }),
    ("sslkey", |d, v| {
        store(&mut d.key, filled(v).map(PathBuf::from))
    }),
    ("channel_binding", |d, v| {
        store(&mut d.channel_binding, Word::from_word(&v)?)
    }),
    ("target_session_attrs", |d, v| {
        store(&mut d.session_attrs, Word::from_word(&v)?)
    }),
    ("connect_timeout", |d, v| {
        store(&mut d.connect_timeout, seconds(&v)?)
    }),
    ("options", |d, v| store(&mut d.options, filled(v))),
    ("application_name", |d, v| {
        store(&mut d.application_name, filled(v))
    }),
];

/// libpq's other keys, so that they are not called misspelt.
const OTHER_KEYS: &str = "client_encoding fallback_application_name gssdelegation gssencmode gsslib hostaddr \
    keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname \
    load_balance_hosts max_protocol_version min_protocol_version passfile replication \
    require_auth requirepeer scram_client_key scram_server_key service \
    ssl_max_protocol_version ssl_min_protocol_version sslcertmode sslcompression sslcrl \
    sslcrldir sslkeylogfile sslpassword sslsni tcp_user_timeout";

impl Draft {
    fn login(&mut self, login: &str) -> Result<(), Fault> {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        self.user = filled(decode(user)?);
        self.password = filled(decode(password)?);
        Ok(())
    }

    /// `host:port,[::1]:port,...`
    fn authority(&mut self, authority: &str) -> Result<(), Fault> {
        if authority.is_empty() {
            return Ok(());
        }
        let mut hosts = Vec::new();
        let mut ports = Vec::new();
        for place in authority.split(',') {
            let (host, port) = match place.strip_prefix('[').map(|six| six.split_once(']')) {
                None => place.split_once(':').unwrap_or((place, "")),
                Some(Some((host, ""))) => (host, ""),
                Some(Some((host, rest))) if rest.starts_with(':') => {
                    (host, rest.trim_start_matches(':'))
                }
                Some(_) => {
                    return Err(Fault::new(
                        "an IPv6 address in the URL lacks its `]`, or something stands behind it",
                        "write it as [::1]:5432",
                    ));
                }
            };
            hosts.push(decode(host)?);
            ports.push(decode(port)?);
        }
        self.host = filled(hosts.join(",")).filter(|hosts| hosts.contains(|c| c != ','));
        self.port = Some(ports.join(","));
        Ok(())
    }

    /// `key=value`
    fn pair(&mut self, pair: &str) -> Result<(), Fault> {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Fault::new(
                "the URL has a query key without `=`",
                "write ?key=value&key=value",
            )
        })?;
        let key = decode(key)?;
        let value = decode(value)?;
        // libpq's courtesy to JDBC.
        if key == "ssl" && value == "true" {
            return store(&mut self.mode, Some(SslMode::Require));
        }
        match KEYS.iter().find(|(known, _)| *known == key) {
            Some((_, set)) => set(self, value).map_err(|fault| {
                Fault::new(format!("`{key}` in the URL: {}", fault.what), fault.advice)
            }),
            None => Err(unknown(&key)),
        }
    }

    fn finish(self) -> Result<Target, Fault> {
        let mode = self.mode()?;
        self.check_tls(mode)?;
        let hosts = self.hosts()?;
        let parameters = [
            ("options", self.options),
            ("application_name", self.application_name),
        ];
        Ok(Target {
            hosts,
            user: self.user.unwrap_or_default(),
            password: self.password.map(Secret::new),
            database: self.database,
            tls: UpstreamTls {
                mode,
                negotiation: self.negotiation,
                root_cert: self.root_cert,
                cert: self.cert,
                key: self.key,
            },
            channel_binding: self.channel_binding,
            session_attrs: self.session_attrs,
            connect_timeout: self.connect_timeout,
            parameters: parameters
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
        })
    }

    /// libpq's rule: `sslrootcert=system` goes with `verify-full` alone, and brings it about.
    fn mode(&self) -> Result<SslMode, Fault> {
        match (self.system_roots, self.mode) {
            (false, mode) => Ok(mode.unwrap_or_default()),
            (true, None | Some(SslMode::VerifyFull)) => Ok(SslMode::VerifyFull),
            (true, Some(weak)) => Err(Fault::new(
                format!(
                    "sslmode={} is too weak for sslrootcert=system",
                    weak.as_str()
                ),
                "use sslmode=verify-full, or name a certificate file",
            )),
        }
    }

    fn check_tls(&self, mode: SslMode) -> Result<(), Fault> {
        let weak = matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if weak && self.negotiation == SslNegotiation::Direct {
            return Err(Fault::new(
                format!(
                    "sslmode={} is too weak for sslnegotiation=direct",
                    mode.as_str()
                ),
                "use sslmode=require, verify-ca or verify-full",
            ));
        }
        if mode == SslMode::Disable && self.channel_binding == ChannelBinding::Require {
            return Err(Fault::new(
                "channel_binding=require cannot hold with sslmode=disable",
                "use sslmode=require or stronger, or drop channel_binding",
            ));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err(Fault::new(
                "sslcert and sslkey go together, and the URL has only one of them",
                "name both files",
            ));
        }
        Ok(())
    }

    fn hosts(&self) -> Result<Vec<Host>, Fault> {
        let Some(hosts) = &self.host else {
            return Err(Fault::new(
                "the URL names no host",
                "write postgres://user:password@host:port/database, or ?host=/directory for a Unix socket",
            ));
        };
        let hosts: Vec<&str> = hosts.split(',').collect();
        let ports: Vec<&str> = self
            .port
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .collect();
        if hosts.len() > HOSTS_MAX {
            return Err(Fault::new(
                format!("the URL names more than {HOSTS_MAX} hosts"),
                "name fewer",
            ));
        }
        if ports.len() != 1 && ports.len() != hosts.len() {
            return Err(Fault::new(
                format!(
                    "the URL has {} ports for {} hosts",
                    ports.len(),
                    hosts.len()
                ),
                "name one port for all hosts, or one for each",
            ));
        }
        let ports = ports.iter().cycle();
        hosts
            .iter()
            .zip(ports)
            .map(|(host, text)| place(host, text))
            .collect()
    }
}

fn place(host: &str, port_text: &str) -> Result<Host, Fault> {
    let port = match port_text {
        "" => PORT,
        text => text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            // Not shown: an unescaped password ends up here.
            Fault::new(
                "a port in the URL is not a number from 1 to 65535",
                format!("write host:5432, an IPv6 address as [::1]:5432, and {ESCAPE}"),
            )
        })?,
    };
    // The brackets are needed before `:port` only, but `?host=[::1]` is clear enough.
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() {
        return Err(Fault::new(
            "one of the URL's hosts is empty",
            "name each host",
        ));
    }
    if host.starts_with('@') {
        return Err(Fault::new(
            "abstract Unix sockets are not supported",
            "name the socket's directory, beginning with `/`",
        ));
    }
    Ok(if host.starts_with('/') {
        Host::Unix {
            directory: PathBuf::from(host),
            port,
        }
    } else {
        Host::Tcp {
            host: host.to_owned(),
            port,
        }
    })
}

fn unknown(key: &str) -> Fault {
    if OTHER_KEYS.split(' ').any(|other| other == key) {
        return Fault::new(
            format!("pgweir does not read libpq's `{key}`"),
            "leave it out of the URL",
        );
    }
    let known = KEYS.iter().map(|(known, _)| *known);
    // Something else than a word may be the tail of an unescaped password.
    if !key
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    {
        return Fault::new("the URL has a query key that is none", ESCAPE);
    }
    Fault::new(
        format!("the URL has an unknown key `{key}`"),
        did_you_mean(key, known),
    )
}

fn store<T>(slot: &mut T, value: T) -> Result<(), Fault> {
    *slot = value;
    Ok(())
}

/// An empty value is an absent one, as in libpq.
fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// libpq counts whole seconds; zero and less mean "not said".
fn seconds(text: &str) -> Result<Duration, Fault> {
    // A day: more is a typing error, and less than any clock overflows at.
    match text.trim().parse::<i64>() {
        Ok(count) if count <= 86_400 => Ok(Duration::from_secs(
            u64::try_from(count).unwrap_or_default(),
        )),
        _ => Err(Fault::new(
            "not a number of seconds up to 86400",
            "write whole seconds, such as connect_timeout=5",
        )),
    }
}

/// Undoes percent-encoding. `+` stays itself, as in libpq.
fn decode(text: &str) -> Result<String, Fault> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) if high + low > 0 => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
            }
            _ => {
                return Err(Fault::new(
                    "a `%` in the URL is not followed by two hexadecimal digits (other than 00)",
                    ESCAPE,
                ));
            }
        }
    }
    String::from_utf8(decoded).map_err(|error| {
        Fault::new(
            format!("the URL is not UTF-8 once decoded: {}", error.utf8_error()),
            ESCAPE,
        )
    })
}

mod show;
#[cfg(test)]
mod tests;
