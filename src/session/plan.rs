//! What is to be done with a request, once it has been looked at.

use std::sync::Arc;

use tokio::time::Instant;

use super::filling::Filling;
use super::shapes::{Known, Resolved};
use super::state::Reading;
use crate::cache::Follow;
use crate::reason::Reason;

/// What is to be done with the request at the front.
pub(super) enum Plan {
    /// It is answered.
    Answered,
    /// Another client is getting the same answer, or it is being got beside this session.
    Wait(Waited),
    /// The upstream answers it, and the answer may be kept.
    Upstream(Asking),
}

/// An answer in the making that a request waits for, or has waited for.
#[derive(Debug)]
pub(super) struct Waited {
    pub(super) follow: Follow,
    /// When the request was first looked at.
    pub(super) since: Instant,
    /// It is made for this request, apart from its transaction: why it was not there before.
    pub(super) apart: Option<Reason>,
}

/// A request that an upstream answers, and why the cache does not.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) reason: Option<Reason>,
    /// When it was looked at.
    pub(super) at: Option<Instant>,
    /// What the client asked of the cache and was not understood.
    pub(super) complaints: Option<Box<Complaints>>,
    pub(super) filling: Option<Box<Filling>>,
    /// What its text was found to be, so that it need not be cut to its shape a second time.
    pub(super) foreseen: Option<Foreseen>,
    /// What its shape meant, until that is foreseen.
    pub(super) resolved: Option<Arc<Resolved>>,
}

/// What the client asked of the cache and was not understood; most never do.
#[derive(Debug)]
pub(super) struct Complaints(pub(super) Vec<String>);

/// What a text was found to be when it was looked up: its one Query, or its Parse.
#[derive(Debug)]
pub(super) struct Foreseen {
    pub(super) known: Arc<Known>,
    /// Of a Parse.
    pub(super) reading: Option<Arc<Reading>>,
    /// What its shape meant, if it was looked up.
    pub(super) resolved: Option<Arc<Resolved>>,
}

impl Foreseen {
    /// Whether both are of one text.
    pub(super) fn is(&self, other: &Self) -> bool {
        let text = |seen: &Self| seen.reading.as_ref().map(|reading| reading.text.clone());
        self.known.shape == other.known.shape && text(self) == text(other)
    }
}

impl Plan {
    /// The same, with what was found out about the text if an upstream is asked.
    pub(super) fn foreseeing(
        mut self,
        foreseen: impl FnOnce(Option<Arc<Resolved>>) -> Foreseen,
    ) -> Self {
        if let Self::Upstream(asking) = &mut self {
            asking.foreseen = Some(foreseen(asking.resolved.take()));
        }
        self
    }
}

impl Asking {
    /// Nothing is kept of it.
    pub(super) fn because(reason: Option<Reason>) -> Self {
        Self {
            reason,
            at: None,
            complaints: None,
            filling: None,
            foreseen: None,
            resolved: None,
        }
    }

    pub(super) fn keeping(reason: Reason, filling: Filling) -> Self {
        Self {
            filling: Some(Box::new(filling)),
            ..Self::because(Some(reason))
        }
    }
}

/// The upstream answers, and nothing is kept.
pub(super) fn upstream(reason: Reason) -> Plan {
    Plan::Upstream(Asking::because(Some(reason)))
}
