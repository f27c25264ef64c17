//! Clients that did not get in, counted by reason.
//!
//! Nothing is kept of what they said of themselves: the user's name is a stranger's word until the
//! password has been checked, and people type passwords where names belong. Nor is a wrong password
//! told apart from an unknown user here, as it is not in the answer: whoever reads the metrics could
//! find out who exists.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::wire::error::field;
use crate::wire::frame::HEADER_BYTES;
use crate::wire::trouble::{self, Trouble};

/// Why a client did not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Password,
    Certificate,
    Address,
    Tls,
    Timeout,
    Protocol,
    Limit,
    Console,
    Upstream,
    Lost,
    Refused,
}

impl Failure {
    /// All of them, in the order of the declaration.
    pub const ALL: [Self; 11] = [
        Self::Password,
        Self::Certificate,
        Self::Address,
        Self::Tls,
        Self::Timeout,
        Self::Protocol,
        Self::Limit,
        Self::Console,
        Self::Upstream,
        Self::Lost,
        Self::Refused,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Certificate => "certificate",
            Self::Address => "address",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::Console => "console",
            Self::Upstream => "upstream",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }

    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Password => "the password is wrong, or there is no such user",
            Self::Certificate => "there is no client certificate, or it is another user's",
            Self::Address => "auth.allow, or the list of the user or database, leaves it out",
            Self::Tls => "TLS failed, or is asked for by listen.tls.mode and was not there",
            Self::Timeout => "the login took longer than listen.login_timeout",
            Self::Protocol => "it does not speak the protocol as clients of Postgres do",
            Self::Limit => "listen.clients_max, pool.queue_max or another limit is reached",
            Self::Console => "admin.users and admin.stats_users leave it out",
            Self::Upstream => "Postgres was not reached, or refused",
            Self::Lost => "the connection broke",
            Self::Refused => "the database is disabled, or cannot be had in this way",
        }
    }

    /// Of one of our own errors.
    pub fn of(trouble: &'static Trouble) -> Self {
        let found = OURS.iter().find(|(list, _)| list.contains(&trouble));
        found.map_or(Self::Refused, |(_, failure)| *failure)
    }

    /// Of what the client was told, an ErrorResponse as a whole frame: what is not ours is the
    /// upstream's.
    pub fn of_frame(frame: &[u8]) -> Self {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let ours = field(body, field::ROUTINE).and_then(trouble::find);
        ours.map_or(Self::Upstream, Self::of)
    }
}

/// The rest is [`Failure::Refused`].
static OURS: [(&[&Trouble], Failure); 6] = [
    (
        &[
            &trouble::TOO_MANY_CLIENTS,
            &trouble::WAITED_IN_VAIN,
            &trouble::QUEUE_FULL,
            &trouble::TOO_MANY_POOLS,
            &trouble::CONSOLE_FULL,
        ],
        Failure::Limit,
    ),
    (
        &[&trouble::TLS_REQUIRED, &trouble::PASSTHROUGH_IN_CLEAR],
        Failure::Tls,
    ),
    (&[&trouble::NOT_FROM_HERE], Failure::Address),
    (
        &[&trouble::PASSWORD_NOT_UTF8, &trouble::NAME_NOT_UTF8],
        Failure::Protocol,
    ),
    (
        &[&trouble::CONSOLE_CLOSED, &trouble::CONSOLE_CANNOT],
        Failure::Console,
    ),
    (
        &[
            &trouble::UNREACHABLE,
            &trouble::CONNECT_TIMED_OUT,
            &trouble::UPSTREAM_TLS,
            &trouble::WRONG_KIND_OF_SERVER,
            &trouble::NO_POSTGRES,
            &trouble::UPSTREAM_LOGIN,
            &trouble::UPSTREAM_TLS_FILES,
            &trouble::LOST_AT_START,
        ],
        Failure::Upstream,
    ),
];

/// One count for each reason.
#[derive(Debug, Default)]
pub struct Logins {
    counts: [AtomicU64; Failure::ALL.len()],
}

impl Logins {
    /// A client did not get in.
    pub fn count(&self, why: Failure) {
        if let Some(count) = self.counts.get(why as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many did not, for each reason.
    pub fn snapshot(&self) -> Vec<(Failure, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        Failure::ALL.into_iter().zip(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::PgError;

    #[test]
    fn every_reason_is_counted_and_has_a_word_of_its_own() {
        let logins = Logins::default();
        for (times, why) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, times);
            for _ in 0..times {
                logins.count(why);
            }
        }
        let counts = logins.snapshot();
        assert!(counts.iter().map(|(_, count)| *count).eq(0..11));
        let mut words: Vec<_> = counts.iter().map(|(why, _)| why.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Failure::ALL.len());
    }

    #[test]
    fn docs_list_the_reasons() {
        let mut text = "| reason | meaning |\n|---|---|\n".to_owned();
        for why in Failure::ALL {
            text += &format!("| `{}` | {} |\n", why.as_str(), why.sentence());
        }
        crate::docs::same("metrics.md", "logins", &text);
    }

    #[test]
    fn a_refusal_is_known_by_its_code() {
        let of = |error: PgError| {
            let mut frame = Vec::new();
            error.encode(&mut frame);
            Failure::of_frame(&frame)
        };
        let ours = |trouble: &'static Trouble| of(PgError::fatal(trouble, "x"));
        assert_eq!(ours(&trouble::QUEUE_FULL), Failure::Limit);
        assert_eq!(ours(&trouble::DISABLED), Failure::Refused);
        assert_eq!(ours(&trouble::UNREACHABLE), Failure::Upstream);
        assert_eq!(of(PgError::fatal("3D000", "x")), Failure::Upstream);
        assert_eq!(Failure::of_frame(b"E"), Failure::Upstream);
    }
}
