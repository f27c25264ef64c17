//! A result on its way to its client and, copied on the way, into the cache.

use std::sync::Arc;

use tokio::time::Instant;

use super::caching::Caching;
use super::shapes::Known;
use crate::cache::Fill;
use crate::cache::entry::Entry;
use crate::cache::generation::Live;
use crate::pool::lease::Lease;
use crate::reason::Reason;
use crate::wire::frame::{self, HEADER_BYTES};
use crate::wire::replies::Status;

/// The one request whose answers are kept: the first that its upstream was asked.
#[derive(Debug)]
pub(super) struct Filling {
    known: Arc<Known>,
    into: Into,
    /// ParameterDescription came: the next RowDescription is the statement's, not the portal's, and
    /// has no formats.
    of_statement: bool,
}

/// What the answers are for.
#[derive(Debug)]
enum Into {
    /// An entry.
    Entry(Fill),
    /// To be compared with an entry.
    Comparison {
        expected: Arc<Entry>,
        /// Not more than a little beyond the expected.
        rows: Vec<u8>,
        spoilt: bool,
    },
}

impl Filling {
    /// The answers make an entry.
    pub(super) fn new(known: Arc<Known>, fill: Fill) -> Self {
        let into = Into::Entry(fill);
        Self {
            known,
            into,
            of_statement: false,
        }
    }

    /// The answers are compared with an entry.
    pub(super) fn watching(known: Arc<Known>, expected: Arc<Entry>) -> Self {
        let into = Into::Comparison {
            expected,
            rows: Vec::new(),
            spoilt: false,
        };
        Self {
            known,
            into,
            of_statement: false,
        }
    }

    /// The shape of what is asked.
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// The request is about to be sent. The entry's age counts from here (H44).
    pub(super) fn started(&mut self, now: Instant) {
        if let Into::Entry(fill) = &mut self.into {
            fill.started(now);
        }
    }

    /// A frame that the client sees, or the first part of one; header and body.
    pub(super) fn frame(&mut self, raw: &[u8]) {
        let Some((&tag, _)) = raw.split_first() else {
            return;
        };
        let body = raw.get(HEADER_BYTES..).unwrap_or_default();
        match (tag, &mut self.into) {
            (b'D', _) => self.row(raw),
            (b't', _) => self.of_statement = true,
            (b'T', _) if self.of_statement => self.of_statement = false,
            (b'T', Into::Entry(fill)) => fill.description(body),
            (b'C', Into::Entry(fill)) => fill.tag(body),
            // ParseComplete, BindComplete, CloseComplete, ReadyForQuery.
            (b'1' | b'2' | b'3' | b'Z' | b'T' | b'C', _) => {}
            // An error, a notice, a parameter's new value, a suspended portal, COPY, no data.
            _ => self.spoil(Reason::NotClean),
        }
    }

    /// The rest of a frame that passes in pieces; `tag` is that frame's.
    pub(super) fn more(&mut self, tag: u8, bytes: &[u8]) {
        if tag == b'D' {
            self.row(bytes);
        } else {
            self.spoil(Reason::NotClean);
        }
    }

    fn row(&mut self, bytes: &[u8]) {
        match &mut self.into {
            Into::Entry(fill) => fill.row(bytes),
            Into::Comparison { expected, rows, .. } => {
                if rows.len() <= expected.rows.len() {
                    rows.extend_from_slice(bytes);
                }
            }
        }
    }

    /// Nothing of this will be stored.
    pub(super) fn spoil(&mut self, why: Reason) {
        match &mut self.into {
            Into::Entry(fill) => fill.spoil(why),
            Into::Comparison { spoilt, .. } => *spoilt = true,
        }
    }

    /// The client does not read as fast as the upstream answers: others do not wait for it (H46).
    pub(super) fn slow(&mut self) {
        if let Into::Entry(fill) = &mut self.into {
            fill.let_go();
        }
    }

    /// The request's ReadyForQuery, from this upstream, which came by now.
    ///
    /// # Errors
    /// Why nothing was stored.
    pub(super) fn finish(
        self,
        status: Status,
        lease: &Lease,
        (caching, now): (&Caching, Instant),
    ) -> Result<(), Reason> {
        match self.into {
            // It may run under defaults that others do not have any more.
            Into::Entry(_) if !lease.is_current() => Err(Reason::Stale),
            // What a transaction sees may be its own.
            Into::Entry(_) if status != Status::Idle => Err(Reason::Transaction),
            Into::Entry(fill) => fill.commit(now).map(|_entry| ()),
            Into::Comparison {
                expected,
                rows,
                spoilt,
            } => {
                // Written meanwhile, it may well differ.
                if !spoilt && expected.stamp.state() == Live::Live {
                    caching.compared(&self.known, &expected, same_rows(&expected.rows, &rows));
                }
                Ok(())
            }
        }
    }
}

/// Whether two results are the same, whatever the order of their rows: without ORDER BY it is open.
fn same_rows(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    fn sorted(rows: &[u8]) -> Option<Vec<&[u8]>> {
        let mut list = Vec::new();
        let mut rest = rows;
        while !rest.is_empty() {
            let header = frame::header(rest).ok().flatten()?;
            let (row, after) = rest.split_at_checked(header.bytes)?;
            list.push(row);
            rest = after;
        }
        list.sort_unstable();
        Some(list)
    }
    a.len() == b.len() && sorted(a).is_some_and(|a| Some(a) == sorted(b))
}
