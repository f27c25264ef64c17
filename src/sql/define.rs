//! CREATE, ALTER and DROP: what they leave in the session, and whether the catalog snapshot
//! outlives them.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some two hundred keywords and kinds of token, each place knows a few"
)]

use super::cursor::{Cursor, Tok};
use super::effect::{Effect, SessionState};
use super::scan::{Place, Scan};
use super::words::Word;

/// Objects of the whole server: no event trigger fires for them.
fn is_shared(kind: Word) -> bool {
    matches!(
        kind,
        Word::Role | Word::User | Word::Group | Word::Database | Word::Tablespace | Word::System
    )
}

/// Objects that say who may do what, or under which defaults, in every database. (A new one takes
/// nothing away from others.)
fn is_role(kind: Word) -> bool {
    matches!(
        kind,
        Word::Role | Word::User | Word::Group | Word::Database | Word::System | Word::Owned
    )
}

/// `GRANT` and `REVOKE`: without ON it is of a role.
pub(super) fn grant(scan: &mut Scan<'_>, cursor: &Cursor<'_>) {
    let mut ahead = cursor.clone();
    while !ahead.at_end() {
        if ahead.advance().word == Word::On {
            return;
        }
    }
    scan.effect(Effect::Roles);
}

/// Objects that bring no function into reach.
fn is_inert(kind: Word) -> bool {
    is_shared(kind)
        || matches!(
            kind,
            Word::Sequence
                | Word::Server
                | Word::Publication
                | Word::Subscription
                | Word::Statistics
                | Word::Privileges
                | Word::Large
        )
}

/// Takes the words between the verb and the kind of object. Tells the kind, and which of the words
/// TEMP and MATERIALIZED stood there.
fn kind(cursor: &mut Cursor<'_>) -> (Word, bool, bool) {
    let mut temporary = false;
    let mut materialized = false;
    loop {
        let word = cursor.advance().word;
        match word {
            Word::Temp | Word::Temporary => temporary = true,
            Word::Materialized => materialized = true,
            Word::Or
            | Word::Replace
            | Word::Local
            | Word::Global
            | Word::Unlogged
            | Word::Unique
            | Word::Constraint
            | Word::Trusted
            | Word::Procedural
            | Word::Recursive
            | Word::Foreign
            | Word::Event
            | Word::Default => {}
            _ => return (word, temporary, materialized),
        }
    }
}

/// `CREATE ...`
pub(super) fn create(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    let verb = cursor.advance();
    let (kind, temporary, materialized) = kind(cursor);
    if temporary && !(kind == Word::Table && drops_on_commit(cursor)) {
        scan.pin(SessionState::TempTable);
    }
    if !is_shared(kind) {
        scan.defines();
    }
    let object = Tok { word: kind, ..verb };
    match kind {
        Word::Table | Word::Index => {
            let place = if kind == Word::Table {
                Place::Table
            } else {
                Place::Index
            };
            scan.run(cursor, object, place);
            // A default or check that calls it brings it into everyone's reach.
            if scan.calls_unsafe() {
                scan.effect(Effect::Ddl);
            }
        }
        Word::View if materialized => {
            scan.run(cursor, object, Place::Table);
            scan.effect(Effect::Ddl);
        }
        Word::Function | Word::Procedure => {
            scan.run(cursor, object, Place::Routine);
            scan.effect(Effect::Ddl);
        }
        Word::Extension => {
            scan.opaque();
            scan.effect(Effect::Ddl);
        }
        kind if is_inert(kind) => scan.run(cursor, object, Place::Definition),
        _ => {
            scan.run(cursor, object, Place::Definition);
            scan.effect(Effect::Ddl);
        }
    }
}

/// Whether a temporary table that is being made is gone with its transaction.
pub(super) fn drops_on_commit(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    // The three words stand behind the columns, or before AS; parentheses cannot hold them.
    let mut before = (Word::Other, Word::Other);
    while !ahead.at_end() {
        let word = ahead.advance().word;
        if before == (Word::On, Word::Commit) && word == Word::Drop {
            return true;
        }
        before = (before.1, word);
    }
    false
}

/// `ALTER ...`
pub(super) fn alter(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    let verb = cursor.advance();
    let (kind, ..) = kind(cursor);
    if !is_shared(kind) {
        scan.defines();
    }
    if is_role(kind) {
        scan.effect(Effect::Roles);
    }
    let object = Tok { word: kind, ..verb };
    match kind {
        Word::Table | Word::Domain => {
            // A new type, default or check is evaluated for the rows there are.
            scan.run(cursor, object, Place::Table);
            scan.effect(Effect::Ddl);
        }
        Word::Extension => {
            scan.opaque();
            scan.effect(Effect::Ddl);
        }
        kind if is_inert(kind) || matches!(kind, Word::Index | Word::Schema) => {}
        _ => {
            scan.run(cursor, object, Place::Definition);
            scan.effect(Effect::Ddl);
        }
    }
}

/// `DROP ...`
pub(super) fn drop(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    cursor.advance();
    let (kind, ..) = kind(cursor);
    if !is_shared(kind) {
        scan.defines();
    }
    if is_role(kind) {
        scan.effect(Effect::Roles);
    }
    if !is_inert(kind) || kind == Word::Sequence {
        // Of the rest some may be temporary, or be dropped in cascade.
        scan.effect(Effect::MayRelease(SessionState::TempTable));
    }
    if !is_inert(kind) && !matches!(kind, Word::Table | Word::Index) {
        scan.effect(Effect::Ddl);
    }
}
