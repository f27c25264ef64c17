//! The NOTICE that `SET pgweir.explain = on` adds to each result.

use std::fmt::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::caching::Caching;
use super::shapes::{Known, Resolved};
use crate::reason::Reason;
use crate::wire::error::{PgError, Severity};

/// What is told of a request that an upstream answered.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) reason: Reason,
    /// What in particular, when there is something to name.
    pub(super) object: Option<Box<str>>,
    pub(super) asked: Instant,
    pub(super) leased: Instant,
}

impl Explained {
    /// Appends the NOTICE; the answer has just ended.
    pub(super) fn notice(&self, out: &mut Vec<u8>) {
        let queue = self.leased.saturating_duration_since(self.asked);
        let mut detail = format!(
            "{} in the queue, {} at the upstream and on the way to it",
            milliseconds(queue),
            milliseconds(self.leased.elapsed())
        );
        if let Some(object) = &self.object {
            let _infallible = write!(detail, "; {object}");
        }
        let message = format!(
            "pgweir: {}, {}",
            self.reason.as_str(),
            self.reason.sentence()
        );
        send(message, detail, out);
    }
}

/// The NOTICE of an answer from memory, or of one that was made for this client apart from its
/// transaction.
pub(super) fn hit(
    caching: &Caching,
    resolved: &Resolved,
    reason: Reason,
    age: Duration,
    out: &mut Vec<u8>,
) {
    let snapshot = caching.database.catalog.current();
    let tables: Vec<&str> = match (&resolved.meaning.read, snapshot.as_deref()) {
        (Ok(relations), Some(snapshot)) => relations
            .iter()
            .filter_map(|oid| snapshot.relation_name(*oid))
            .collect(),
        _ => Vec::new(),
    };
    let of = if tables.is_empty() {
        "of no table".to_owned()
    } else {
        format!("of {}", tables.join(", "))
    };
    let message = format!("pgweir: {}, {}", reason.as_str(), reason.sentence());
    send(message, format!("{} old, {of}", milliseconds(age)), out);
}

/// What in particular keeps a query from being cached.
pub(super) fn object(caching: &Caching, known: &Known, reason: Reason) -> Option<Box<str>> {
    let snapshot = caching.database.catalog.current();
    let resolved = known.resolve(snapshot.as_deref()?, caching.database.catalog.generations());
    let refusal = resolved.meaning.read.as_ref().err()?;
    (refusal.reason == reason).then(|| refusal.object.clone())
}

/// The NOTICE of a hint or a switch that is not understood.
pub(super) fn complain(complaint: String, out: &mut Vec<u8>) {
    PgError::new(Severity::Notice, "00000", complaint).encode(out);
}

fn send(message: String, detail: String, out: &mut Vec<u8>) {
    PgError::new(Severity::Notice, "00000", message)
        .detail(detail)
        .encode(out);
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
