//! A [`Target`] as a URL again, its password masked: for `pgweir check` and for logs.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::word::Word;
use crate::config::{ChannelBinding, Host, SessionAttrs, SslNegotiation, Target};

/// What must be escaped in user, database and host.
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What must be escaped in a query value.
const VALUE: &AsciiSet = &NAME.remove(b'/').remove(b':');

impl fmt::Display for Host {
    /// `host:port`, `[v6]:port`, or the path of the socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { directory, port } => {
                write!(f, "{}/.s.PGSQL.{port}", directory.display())
            }
        }
    }
}

impl fmt::Display for Target {
    /// The URL that would bring about this target, its password as `********`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if !self.user.is_empty() || self.password.is_some() {
            write!(f, "{}", utf8_percent_encode(&self.user, NAME))?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match host {
                Host::Unix { directory, port } => {
                    let directory = directory.to_string_lossy();
                    write!(f, "{}:{port}", utf8_percent_encode(&directory, NAME))?;
                }
                Host::Tcp { host, port } if !host.contains(':') => {
                    write!(f, "{}:{port}", utf8_percent_encode(host, NAME))?;
                }
                Host::Tcp { host, port } => {
                    // A zone (`fe80::1%eth0`) has a `%` that needs escaping; `:` must stay.
                    write!(f, "[{}]:{port}", utf8_percent_encode(host, VALUE))?;
                }
            }
        }
        if let Some(database) = &self.database {
            write!(f, "/{}", utf8_percent_encode(database, NAME))?;
        }
        // `sslmode` is always there, and first.
        for (index, (key, value)) in self.query().into_iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            write!(f, "{mark}{key}={}", utf8_percent_encode(&value, VALUE))?;
        }
        Ok(())
    }
}

impl Target {
    /// The query part: `sslmode`, and whatever is not at its default.
    fn query(&self) -> Vec<(&str, String)> {
        let mut pairs = vec![("sslmode", self.tls.mode.as_str().to_owned())];
        let mut word = |key, value: &'static str, default: &'static str| {
            if value != default {
                pairs.push((key, value.to_owned()));
            }
        };
        let default = SslNegotiation::default();
        word(
            "sslnegotiation",
            self.tls.negotiation.as_str(),
            default.as_str(),
        );
        let default = ChannelBinding::default();
        word(
            "channel_binding",
            self.channel_binding.as_str(),
            default.as_str(),
        );
        let default = SessionAttrs::default();
        word(
            "target_session_attrs",
            self.session_attrs.as_str(),
            default.as_str(),
        );
        let files = [
            ("sslrootcert", &self.tls.root_cert),
            ("sslcert", &self.tls.cert),
            ("sslkey", &self.tls.key),
        ];
        for (key, file) in files {
            pairs.extend(file.as_ref().map(|file| (key, file.display().to_string())));
        }
        // Only whole seconds can be said in a URL.
        if !self.connect_timeout.is_zero() && self.connect_timeout.subsec_nanos() == 0 {
            pairs.push((
                "connect_timeout",
                self.connect_timeout.as_secs().to_string(),
            ));
        }
        pairs.extend(
            self.parameters
                .iter()
                .map(|(key, value)| (key.as_str(), value.clone())),
        );
        pairs
    }
}
