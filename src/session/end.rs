//! Why a session ended, and what its client is told.

use std::io;

use thiserror::Error;

use super::open::Refused;
use crate::wire::error::PgError;
use crate::wire::frame::FrameError;
use crate::wire::replies::Unexpected;
use crate::wire::trouble;

/// Each way a session ends.
#[derive(Debug, Error)]
pub enum End {
    /// The client said good-bye.
    #[error("client terminated")]
    Terminated,
    /// The client closed its connection without a word.
    #[error("client closed the connection")]
    ClientClosed,
    #[error("client connection lost: {0}")]
    Client(#[source] io::Error),
    #[error("client broke the protocol: {0}")]
    ClientProtocol(#[from] FrameError),
    /// The upstream closed its connection; `told` when its own last words reached the client.
    #[error("upstream closed the connection")]
    UpstreamClosed { told: bool },
    #[error("upstream connection lost: {0}")]
    Upstream(#[source] io::Error),
    #[error("upstream broke the protocol: {0}")]
    UpstreamProtocol(#[source] UpstreamFault),
    /// The process is stopping.
    #[error("shutting down")]
    Drained,
    /// A transaction block in a pool of statement mode.
    #[error("transaction block in statement mode")]
    TransactionBlock,
    /// Asked for by an administrator.
    #[error("killed")]
    Killed,
    /// There is no upstream for it.
    #[error("{}", .0.message)]
    Refused(Box<Refused>),
}

/// What was wrong with an upstream's bytes.
#[derive(Clone, Copy, Debug, Error)]
pub enum UpstreamFault {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl<T: Into<UpstreamFault>> From<(T,)> for End {
    fn from((fault,): (T,)) -> Self {
        Self::UpstreamProtocol(fault.into())
    }
}

impl End {
    /// The last words to the client, in the form that Postgres has for the same: whole frames.
    pub fn farewell(&self, out: &mut Vec<u8>) {
        if let Self::Refused(refused) = self {
            out.extend_from_slice(&refused.frame);
        } else if let Some(error) = self.error() {
            error.encode(out);
        }
    }

    fn error(&self) -> Option<PgError> {
        let lost = |what: &str| {
            PgError::fatal(
                &trouble::UPSTREAM_LOST,
                format!("the upstream connection was lost {what}"),
            )
        };
        match self {
            Self::Terminated | Self::ClientClosed | Self::Client(_) | Self::Refused(_) => None,
            Self::UpstreamClosed { told: true } => None,
            Self::UpstreamClosed { told: false } => Some(lost("while it served this session")),
            Self::Upstream(error) => Some(lost("").detail(error.to_string())),
            Self::UpstreamProtocol(fault) => Some(lost("").detail(fault.to_string())),
            // As Postgres: after a length that cannot be, nothing is said.
            Self::ClientProtocol(FrameError::Length) => None,
            Self::ClientProtocol(fault) => Some(PgError::fatal("08P01", fault.to_string())),
            Self::Drained | Self::Killed => Some(PgError::fatal(
                "57P01",
                "terminating connection due to administrator command",
            )),
            Self::TransactionBlock => Some(PgError::fatal(
                &trouble::NO_TRANSACTIONS,
                "transaction blocks are not allowed in statement mode",
            )),
        }
    }

    /// Whether this is how sessions usually end.
    pub fn is_ordinary(&self) -> bool {
        matches!(
            self,
            Self::Terminated | Self::ClientClosed | Self::Drained | Self::Client(_)
        )
    }
}
