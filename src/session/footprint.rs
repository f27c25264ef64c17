//! What code wrote that nobody can see through, as the server's locks tell it (`cache.footprint`).
//!
//! The question goes out in front of what ends the transaction, in the same write: COMMIT, or the Sync of
//! a statement outside of a transaction block, which commits only then (protocol manual, "Pipelining"). So
//! it costs no trip of its own. Outside of a block a simple query commits before anybody could ask.

use std::sync::Arc;

use super::caching::Caching;
use super::held::{Held, Note};
use super::link::Link;
use super::shapes::Known;
use crate::catalog::{Refusal, Snapshot};
use crate::invalidate::Moment;
use crate::reason::Reason;
use crate::wire::frame;
use crate::wire::replies::{Kind, Show};

/// One row: the relations that are locked to be written, with commas between. A zero stands for what
/// cannot be told by a table's name: another lock than that of rows being written, a relation that is
/// gone, a transaction that has changed something but no row, a server that does not count. Indexes and
/// temporary tables do not count.
///
/// GRANT, ALTER TYPE, CREATE FUNCTION and their like let go of their locks at once, but the server counts the
/// rows of catalogs that a session changes: a one stands for these. They go by number, which names would have
/// to be looked up for each time: `pg_proc`, `pg_aggregate`, `pg_cast`, `pg_inherits`, `pg_opclass`,
/// `pg_operator`, `pg_rewrite`, `pg_trigger`, `pg_amop`, `pg_amproc`, `pg_enum`, `pg_range`, `pg_collation`,
/// `pg_extension`, `pg_event_trigger`, those of text search, `pg_foreign_server`, `pg_foreign_table`,
/// `pg_auth_members`, `pg_database`, `pg_authid`, `pg_db_role_setting`, `pg_policy`, and `pg_namespace` where a
/// row of it changes. `pg_class` (1259), `pg_attribute` (1249) and `pg_type` (1247) change with temporary
/// tables as well, and are a zero. What an earlier transaction has changed is counted with it, for a second
/// at most.
const LOCKS: &[u8] = b"SELECT pg_catalog.concat(COALESCE(pg_catalog.string_agg(DISTINCT (CASE \
         WHEN c.oid IS NULL OR l.mode OPERATOR(pg_catalog.<>) 'RowExclusiveLock' THEN 0::pg_catalog.oid \
         ELSE l.relation END)::pg_catalog.text, ','), \
       CASE WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NULL THEN '' ELSE '0' END), \
       CASE WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NULL THEN '' \
         WHEN pg_catalog.current_setting('track_counts') OPERATOR(pg_catalog.<>) 'on' THEN ',0' \
         WHEN EXISTS (SELECT FROM pg_catalog.unnest('{1255,2600,2605,2611,2616,2617,2618,2620,2602,2603,3501,3541,3456,3079,3466,\
3602,3603,3600,3764,3601,1417,3118,1261,1262,1260,2964,3256}'::pg_catalog.oid[]) o(o) \
           WHERE (pg_catalog.pg_stat_get_xact_tuples_inserted(o.o) OPERATOR(pg_catalog.+) \
             pg_catalog.pg_stat_get_xact_tuples_updated(o.o) OPERATOR(pg_catalog.+) \
             pg_catalog.pg_stat_get_xact_tuples_deleted(o.o)) OPERATOR(pg_catalog.>) 0) \
           OR pg_catalog.pg_stat_get_xact_tuples_updated(2615) OPERATOR(pg_catalog.>) 0 THEN ',1' \
         WHEN (pg_catalog.pg_stat_get_xact_tuples_updated(1259) OPERATOR(pg_catalog.+) \
           pg_catalog.pg_stat_get_xact_tuples_updated(1249) OPERATOR(pg_catalog.+) \
           pg_catalog.pg_stat_get_xact_tuples_inserted(1247) OPERATOR(pg_catalog.+) \
           pg_catalog.pg_stat_get_xact_tuples_updated(1247)) OPERATOR(pg_catalog.>) 0 THEN ',0' \
         ELSE '' END) \
     FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation \
     WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
       AND l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted \
       AND l.mode OPERATOR(pg_catalog.<>) ALL (ARRAY['AccessShareLock', 'RowShareLock', 'SIReadLock']) \
       AND (c.oid IS NULL OR c.relpersistence OPERATOR(pg_catalog.<>) 't' \
         AND c.relkind OPERATOR(pg_catalog.<>) ALL ('{i,I,t}'::pg_catalog.\"char\"[]))\0";

/// What stands for a change of the catalog; no relation has this number.
const CATALOG: u32 = 1;

/// The name of our statement and portal on the upstream, while the question is under way.
const NAME: &[u8] = b"pgweir_locks\0";

/// The verbs of statements that commit no earlier than at Sync, and do not want data of the client.
const VERBS: [&[u8]; 6] = [
    b"insert", b"update", b"delete", b"merge", b"select", b"with",
];

/// Whether what this writes can be asked of the server afterwards.
pub(super) fn is_told(
    known: &Known,
    why: &Refusal,
    snapshot: &Snapshot,
    caching: Option<&Arc<Caching>>,
) -> bool {
    why.reason == Reason::UserFunction
        && VERBS.iter().any(|verb| starts_with(&known.shape, verb))
        && snapshot.locks_tell()
        && caching.is_some_and(|caching| caching.standing().policy().footprint)
}

fn starts_with(shape: &[u8], verb: &[u8]) -> bool {
    let word = shape.split(u8::is_ascii_whitespace).next();
    word.is_some_and(|word| word.eq_ignore_ascii_case(verb))
}

impl Link<'_> {
    /// Asks inside of the group under way, in front of the message that ends it.
    pub(super) fn ask_locks(&mut self, moment: Moment, scratch: &mut Vec<u8>) {
        if !self.can_be_narrowed(moment) {
            return;
        }
        self.held.asks_locks = true;
        // One that an error kept from being closed would be in the way.
        self.ours(scratch, b'C', Kind::Close, &[b"S", NAME]);
        self.ours(scratch, b'P', Kind::Parse, &[NAME, LOCKS, b"\0\0"]);
        self.ours(scratch, b'B', Kind::Bind, &[NAME, NAME, &[0; 6]]);
        frame::push(scratch, b'E', &[NAME, &[0; 4]]);
        let note = Note::Locks {
            ahead: 0,
            row: None,
        };
        self.held.expect(Kind::Execute, Show::Hide, note);
        self.ours(scratch, b'C', Kind::Close, &[b"P", NAME]);
        self.ours(scratch, b'C', Kind::Close, &[b"S", NAME]);
    }

    /// Asks in front of a Query that is COMMIT.
    pub(super) fn ask_locks_apart(&mut self, scratch: &mut Vec<u8>) {
        if self.can_be_narrowed(Moment::Commit) && self.held.between_requests() {
            self.held.asks_locks = true;
            let sql = LOCKS.strip_suffix(b"\0").unwrap_or(LOCKS);
            let note = Note::Locks {
                ahead: 1,
                row: None,
            };
            self.held.query(scratch, sql, note);
        }
    }

    fn can_be_narrowed(&self, moment: Moment) -> bool {
        let writes = self.held.writes.as_ref();
        writes.is_some_and(|writes| writes.can_be_narrowed(moment)) && !self.held.replies.in_copy()
    }

    fn ours(&mut self, scratch: &mut Vec<u8>, tag: u8, kind: Kind, parts: &[&[u8]]) {
        frame::push(scratch, tag, parts);
        self.held.expect(kind, Show::Hide, Note::None);
    }

    /// A statement of a query is done: if it was the question, its answer is complete.
    pub(super) fn told_locks(&mut self) {
        if self.held.asks_locks
            && let Some(entry) = self.held.replies.front_mut()
            && let Note::Locks { ahead, row } = &mut entry.note
        {
            let (ahead, row) = (*ahead, row.take());
            self.narrow(ahead, row);
        }
    }

    /// The question is answered: less than everything was written, or the catalog as well.
    pub(super) fn narrow(&mut self, ahead: usize, row: Option<Box<[u8]>>) {
        self.held.asks_locks = false;
        let relations = row.as_deref().and_then(relations);
        if relations.as_ref().is_some_and(|r| r.contains(&CATALOG)) {
            if let Some(writes) = self.held.writes.as_mut() {
                writes.widen(ahead);
            }
            return;
        }
        let snapshot = self.pool.catalog.current();
        if let Some(relations) = relations
            && let Some(snapshot) = snapshot.as_deref().filter(|_| !self.held.changed_catalog)
            && let Some(changed) = snapshot.locked(&relations)
            && let Some(writes) = self.held.writes.as_mut()
        {
            writes.narrow(ahead, &changed);
        }
    }
}

impl Held {
    /// A row arrived: is it the answer?
    pub(super) fn tells_locks(&mut self, body: &[u8]) {
        if let Some(entry) = self.replies.front_mut()
            && let Note::Locks { row, .. } = &mut entry.note
        {
            *row = Some(body.into());
        }
    }
}

/// The numbers in a row of one column. `None`: it is something else, which counts as everything.
fn relations(row: &[u8]) -> Option<Vec<u32>> {
    let (_columns, rest) = frame::split_u16(row)?;
    let (length, text) = frame::split_i32(rest)?;
    if usize::try_from(length).ok()? != text.len() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    text.split(',')
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_numbers() {
        let row = |text: &[u8]| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [b"\0\x01", &length[..], text].concat()
        };
        assert_eq!(relations(&row(b"17000,17001")), Some(vec![17_000, 17_001]));
        assert_eq!(relations(&row(b"")), Some(vec![]));
        assert_eq!(relations(&row(b"17000,x")), None);
        assert_eq!(relations(b"\0\x01\xff\xff\xff\xff"), None);
        assert_eq!(relations(b"\0\x01\0\0\0\x05170"), None);
    }

    #[test]
    fn verbs() {
        assert!(starts_with(b"insert into t", VERBS[0]));
        assert!(!starts_with(b"copy t from stdin", VERBS[0]));
    }
}
