//! Where an upstream is and how to reach it: the checked form of a connection URL.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::word::{Word, words};

/// One place to try, in the order of the URL (libpq: "multiple hosts").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address, and a port.
    Tcp { host: String, port: u16 },
    /// The socket `<directory>/.s.PGSQL.<port>`.
    Unix { directory: PathBuf, port: u16 },
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// In clear; with TLS when the server insists.
    Allow,
    /// TLS; in clear when the server has none.
    #[default]
    Prefer,
    /// TLS, whoever answers; checks the chain when a root certificate is given, as libpq does.
    Require,
    /// TLS, and the chain must lead to a root certificate.
    VerifyCa,
    /// As [`SslMode::VerifyCa`], and the certificate must carry the host's name.
    VerifyFull,
}

/// libpq's `sslnegotiation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SslNegotiation {
    /// SSLRequest first.
    #[default]
    Postgres,
    /// The TLS handshake at once, ALPN `postgresql` (PostgreSQL 17 and later).
    Direct,
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never SCRAM-SHA-256-PLUS.
    Disable,
    /// When the server offers it.
    #[default]
    Prefer,
    /// Refuse a login without it.
    Require,
}

/// libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SessionAttrs {
    /// The first host that lets us in.
    #[default]
    Any,
    /// Accepts writes: neither in hot standby nor read-only by default.
    ReadWrite,
    /// Does not accept writes by default.
    ReadOnly,
    /// Not in hot standby.
    Primary,
    /// In hot standby.
    Standby,
    /// A standby if there is one, else any.
    PreferStandby,
}

/// What TLS towards an upstream asks for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UpstreamTls {
    /// `sslmode`.
    pub mode: SslMode,
    /// `sslnegotiation`.
    pub negotiation: SslNegotiation,
    /// `sslrootcert`: a PEM file; `None` with a verifying mode means the system's roots.
    pub root_cert: Option<PathBuf>,
    /// `sslcert`: our certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// `sslkey`: the certificate's key, PEM.
    pub key: Option<PathBuf>,
}

/// A connection URL, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The hosts to try, at least one.
    pub hosts: Vec<Host>,
    /// The URL's user.
    pub user: String,
    /// The URL's password, or what `PGPASSWORD` or `.pgpass` had for it.
    pub password: Option<Secret>,
    /// The URL's database; the client's own database name prevails.
    pub database: Option<String>,
    /// TLS.
    pub tls: UpstreamTls,
    /// `channel_binding`.
    pub channel_binding: ChannelBinding,
    /// `target_session_attrs`.
    pub session_attrs: SessionAttrs,
    /// How long one host may take from TCP connect to ReadyForQuery.
    pub connect_timeout: Duration,
    /// Further start-up parameters of the URL (`options`, `application_name`, ...), as sent.
    pub parameters: Vec<(String, String)>,
}

words! {
    SslMode {
        Disable = "disable",
        Allow = "allow",
        Prefer = "prefer",
        Require = "require",
        VerifyCa = "verify-ca",
        VerifyFull = "verify-full",
    }
    SslNegotiation {
        Postgres = "postgres",
        Direct = "direct",
    }
    ChannelBinding {
        Disable = "disable",
        Prefer = "prefer",
        Require = "require",
    }
    SessionAttrs {
        Any = "any",
        ReadWrite = "read-write",
        ReadOnly = "read-only",
        Primary = "primary",
        Standby = "standby",
        PreferStandby = "prefer-standby",
    }
}
