//! Why an upstream could not be had, in the form in which a client is told.

use std::io;
use std::time::Duration;

use crate::config::SessionAttrs;
use crate::wire::error::{PgError, field, fields};
use crate::wire::frame;
use crate::wire::trouble::{self, Trouble};

/// Why there is no upstream. Cloned, because all clients that wait for one get the same reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No name, no route, nobody listening, or the connection broke off.
    #[error("connection to {place} failed: {reason}")]
    Io {
        place: String,
        kind: io::ErrorKind,
        reason: String,
    },
    /// `connect_timeout` has passed.
    #[error("connection to {place} failed: no session within {}", seconds(*after))]
    TimedOut { place: String, after: Duration },
    /// No TLS, or not with that certificate.
    #[error("connection to {place} failed: TLS: {reason}")]
    Tls { place: String, reason: String },
    /// The upstream's own ErrorResponse: the body without type and length.
    #[error("connection to {place} failed: {}", message(body))]
    Refused { place: String, body: Box<[u8]> },
    /// The login needs something that we do not have or do not do.
    #[error("login at {place} failed: {reason}")]
    Login { place: String, reason: String },
    /// Whoever answered does not speak the protocol.
    #[error("connection to {place} failed: {reason}")]
    Protocol { place: String, reason: String },
    /// A session, but not such as `target_session_attrs` wants.
    #[error("connection to {place} failed: {}", unwanted(*wanted))]
    Attributes { place: String, wanted: SessionAttrs },
}

impl ConnectError {
    pub(super) fn io(place: &str, error: &io::Error) -> Self {
        Self::Io {
            place: place.to_owned(),
            kind: error.kind(),
            reason: error.to_string(),
        }
    }

    pub(super) fn protocol(place: &str, reason: impl Into<String>) -> Self {
        Self::Protocol {
            place: place.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn login(place: &str, reason: impl ToString) -> Self {
        Self::Login {
            place: place.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// The upstream's SQLSTATE where it gave one, else one of class 08 (connection exceptions) or 28.
    pub fn sqlstate(&self) -> &str {
        match self {
            Self::Refused { body, .. } => field(body, field::CODE)
                .and_then(|code| std::str::from_utf8(code).ok())
                .unwrap_or("08004"),
            Self::Io { .. }
            | Self::TimedOut { .. }
            | Self::Tls { .. }
            | Self::Attributes { .. }
            | Self::Protocol { .. }
            | Self::Login { .. } => self.trouble().sqlstate,
        }
    }

    /// Which of our errors it is, where it is not the upstream's own refusal.
    fn trouble(&self) -> &'static Trouble {
        match self {
            Self::TimedOut { .. } => &trouble::CONNECT_TIMED_OUT,
            Self::Tls { .. } => &trouble::UPSTREAM_TLS,
            Self::Login { .. } => &trouble::UPSTREAM_LOGIN,
            Self::Protocol { .. } => &trouble::NO_POSTGRES,
            Self::Attributes { .. } => &trouble::WRONG_KIND_OF_SERVER,
            Self::Io { .. } | Self::Refused { .. } => &trouble::UNREACHABLE,
        }
    }

    /// What to do about it; of its own refusal the upstream says that itself.
    pub fn hint(&self) -> Option<&'static str> {
        let ours = !matches!(self, Self::Refused { .. });
        ours.then(|| self.trouble().hint)
    }

    /// Appends the ErrorResponse for a client: the upstream's own as it is, or one of ours.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Refused { body, .. } => {
                out.push(b'E');
                let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(body);
            }
            Self::Io { .. }
            | Self::TimedOut { .. }
            | Self::Tls { .. }
            | Self::Attributes { .. }
            | Self::Protocol { .. }
            | Self::Login { .. } => PgError::fatal(self.trouble(), self.to_string()).encode(out),
        }
    }

    /// Appends the ErrorResponse for a client whom we have let in, and who would take a refused login
    /// for its own: there it says who refused whom.
    pub fn encode_for_known(&self, out: &mut Vec<u8>) {
        let Self::Refused { body, .. } = self else {
            return self.encode(out);
        };
        if self.sqlstate() != "28P01" {
            return self.encode(out);
        }
        let Trouble { id, hint, .. } = &trouble::UPSTREAM_REFUSED;
        let mut whole = Vec::with_capacity(body.len() + hint.len());
        let theirs = fields(body).filter(|(kind, _)| ![field::HINT, field::ROUTINE].contains(kind));
        for (kind, text) in theirs {
            whole.push(kind);
            whole.extend_from_slice(text);
            whole.push(0);
        }
        for (kind, text) in [
            (field::HINT, format!("{id}: {hint}")),
            (field::ROUTINE, (*id).to_owned()),
        ] {
            whole.push(kind);
            whole.extend_from_slice(text.as_bytes());
            whole.push(0);
        }
        frame::push(out, b'E', &[&whole, b"\0"]);
    }

    /// Whether the next host of the URL may do better. As in libpq, a host that answers and refuses
    /// ends the search, unless it is only starting up or shutting down (57P03).
    pub(super) fn tries_next(&self) -> bool {
        match self {
            Self::Refused { .. } => self.sqlstate() == "57P03",
            Self::Login { .. } => false,
            Self::Io { .. }
            | Self::TimedOut { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. }
            | Self::Attributes { .. } => true,
        }
    }
}

fn message(body: &[u8]) -> String {
    let text = field(body, field::MESSAGE).unwrap_or(b"refused without a message");
    String::from_utf8_lossy(text).into_owned()
}

fn seconds(after: Duration) -> String {
    format!("{} s", after.as_secs_f32())
}

fn unwanted(wanted: SessionAttrs) -> &'static str {
    match wanted {
        SessionAttrs::ReadWrite => "session is read-only",
        SessionAttrs::ReadOnly => "session is not read-only",
        SessionAttrs::Primary => "server is in hot standby mode",
        SessionAttrs::Standby | SessionAttrs::PreferStandby => "server is not in hot standby mode",
        SessionAttrs::Any => "session is not as wanted",
    }
}
