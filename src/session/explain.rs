//! The NOTICE that `SET pgweir.explain = on` adds to each result.

use std::fmt::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::caching::Caching;
use super::pin::{self, Pins};
use super::shapes::{Known, Resolved};
use crate::cache::rules::{Because, Level};
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
        // What is no more than the message says again is left out.
        let object = self.object.as_deref();
        if let Some(object) = object.filter(|object| *object != self.reason.sentence()) {
            let _infallible = write!(detail, "; {object}");
        }
        let message = format!(
            "pgweir: {}, {}",
            self.reason.as_str(),
            self.reason.sentence()
        );
        send(message, detail, remedy(self.reason), out);
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
    send(
        message,
        format!("{} old, {of}", milliseconds(age)),
        None,
        out,
    );
}

/// What to do about it, where something can be done; a miss may be a hit the next time.
fn remedy(reason: Reason) -> Option<&'static str> {
    let remedy = reason.remedy();
    (!reason.is_miss() && !remedy.starts_with("Nothing")).then_some(remedy)
}

/// What in particular keeps a query from being cached.
pub(super) fn object(
    caching: &Caching,
    known: &Known,
    reason: Reason,
    pins: Pins,
) -> Option<Box<str>> {
    if reason == Reason::Pinned {
        let pins = pin::reasons(pins.mask());
        return Some(format!("because of: {}", pins.join(", ")).into());
    }
    let snapshot = caching.database.catalog.current();
    let snapshot = snapshot.as_deref()?;
    let resolved = known.resolve(snapshot, caching.database.catalog.generations());
    if reason == Reason::Disabled {
        let tables = Caching::tables(&resolved, snapshot);
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        let decision = caching.standing().decide(&tables, known.fingerprint());
        let by = match decision.level {
            Level::Off => decision.because,
            Level::Ryw | Level::Ttl => Because::Session,
        };
        return Some(format!("by {by}").into());
    }
    let refusal = resolved.meaning.read.as_ref().err()?;
    (refusal.reason == reason).then(|| refusal.object.clone())
}

/// The NOTICE of a hint or a switch that is not understood.
pub(super) fn complain(complaint: String, out: &mut Vec<u8>) {
    PgError::new(Severity::Notice, "00000", complaint).encode(out);
}

fn send(message: String, detail: String, hint: Option<&str>, out: &mut Vec<u8>) {
    let mut notice = PgError::new(Severity::Notice, "00000", message).detail(detail);
    notice.hint = hint.map(str::to_owned);
    notice.encode(out);
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
