//! From a text to its statements' effects: which statement it is, and who reads it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some two hundred keywords and kinds of token, each place knows a few"
)]

use super::cursor::{Cursor, Tok};
use super::define;
use super::effect::{Analysis, Effect, SessionState, Statement};
use super::lexer::Kind;
use super::scan::{Place, Scan};
use super::settings;
use super::words::Word;
use crate::catalog::snapshot::Snapshot;

/// How many statements of a text are told apart: a text of semicolons would otherwise take many
/// times its size. The last one stands for the rest and is taken for anything.
const STATEMENTS_MAX: usize = 4096;

/// What the statements of `text` do to the session that runs them, and whether that is all.
///
/// `standard_conforming` is the session's `standard_conforming_strings`; `catalog` what is known
/// of the database, if anything. A text that the server cannot parse does nothing at all, so it
/// does not matter what is said of one. The rules are H14, H16, H89, H90, H96 and H97.
pub fn analyze(text: &[u8], standard_conforming: bool, catalog: Option<&Snapshot>) -> Analysis {
    let mut cursor = Cursor::new(text, standard_conforming);
    let mut statements = Vec::new();
    loop {
        while cursor.eat_kind(Kind::Semicolon) {}
        if cursor.at_end() {
            break;
        }
        let statement = statement(&mut cursor, catalog);
        if statements.is_empty() && statement.is_plain() {
            while cursor.eat_kind(Kind::Semicolon) {}
            if cursor.at_end() {
                return Analysis::Plain;
            }
        }
        if statements.is_empty() {
            statements.reserve_exact(1);
        }
        statements.push(statement);
        if statements.len() == STATEMENTS_MAX {
            statements.pop();
            let mut rest = Scan::new(catalog);
            rest.opaque();
            rest.pin(SessionState::Setting);
            statements.push(rest.finish());
            break;
        }
    }
    if statements.is_empty() {
        return Analysis::Plain;
    }
    Analysis::Listed(statements.into_boxed_slice())
}

fn statement(cursor: &mut Cursor<'_>, catalog: Option<&Snapshot>) -> Statement {
    let mut scan = Scan::new(catalog);
    let start = cursor.peek().start;
    read(&mut scan, cursor);
    // What a reader left over; of a well-formed statement nothing.
    scan.skip(cursor);
    scan.text(cursor.between(start, cursor.last_end()));
    scan.finish()
}

/// Finds out which statement it is.
fn read(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    let first = cursor.peek();
    match first.word {
        Word::Select => select(scan, cursor),
        Word::Insert
        | Word::Update
        | Word::Delete
        | Word::Merge
        | Word::With
        | Word::Values
        | Word::Table => scan.run(cursor, Tok::START, Place::Query),
        _ if first.is(Kind::Open) => scan.run(cursor, Tok::START, Place::Query),
        Word::Begin
        | Word::Start
        | Word::Commit
        | Word::End
        | Word::Rollback
        | Word::Abort
        | Word::Savepoint
        | Word::Release => transaction(scan, cursor),
        Word::Set | Word::Reset | Word::Show | Word::Discard => session(scan, cursor),
        Word::Prepare | Word::Execute | Word::Deallocate => prepared(scan, cursor),
        Word::Explain => explain(scan, cursor),
        Word::Copy => copy(scan, cursor),
        Word::Declare => declare(scan, cursor),
        Word::Create => define::create(scan, cursor),
        Word::Alter => define::alter(scan, cursor),
        Word::Drop => define::drop(scan, cursor),
        Word::Close => scan.effect(Effect::MayRelease(SessionState::HoldCursor)),
        Word::Listen => scan.pin(SessionState::Listen),
        Word::Unlisten => scan.effect(Effect::MayRelease(SessionState::Listen)),
        Word::Load => scan.pin(SessionState::Load),
        Word::Call => {
            scan.opaque();
            scan.run(cursor, Tok::START, Place::Query);
        }
        Word::Truncate => scan.writes(),
        // They run index expressions and views with settings that are put back (vacuum.c,
        // index.c, matview.c: NewGUCNestLevel).
        Word::Vacuum | Word::Analyze | Word::Analyse | Word::Cluster | Word::Lock => {}
        Word::Fetch | Word::Move | Word::Notify | Word::Checkpoint => {}
        Word::Grant | Word::Revoke => {
            scan.defines();
            define::grant(scan, cursor);
        }
        Word::Reindex | Word::Refresh | Word::Comment | Word::Security | Word::Reassign => {
            scan.defines()
        }
        Word::Import => {
            scan.effect(Effect::Ddl);
            scan.opaque();
        }
        // DO, and what a later version may bring.
        _ => scan.opaque(),
    }
}

fn select(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    let first = cursor.advance();
    if matches!(cursor.peek().word, Word::SetConfig | Word::PgCatalog) {
        let mut ahead = cursor.clone();
        if let Some(effects) = settings::set_configs(&mut ahead) {
            scan.effects = effects;
            *cursor = ahead;
            return;
        }
    }
    scan.run(cursor, first, Place::Query);
}

fn transaction(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    let first = cursor.advance().word;
    match first {
        Word::Begin | Word::Start => scan.effect(Effect::Begin),
        Word::Savepoint => named(scan, cursor, Effect::Savepoint),
        Word::Release => {
            savepoint_word(cursor);
            named(scan, cursor, Effect::Release);
        }
        // COMMIT PREPARED and ROLLBACK PREPARED end no transaction of this session.
        _ if cursor.eat(Word::Prepared) => {}
        _ => {
            if !cursor.eat(Word::Work) {
                cursor.eat(Word::Transaction);
            }
            let rollback = matches!(first, Word::Rollback | Word::Abort);
            if rollback && cursor.eat(Word::To) {
                savepoint_word(cursor);
                named(scan, cursor, Effect::RollbackTo);
                return;
            }
            let chain = cursor.eat(Word::And) && !cursor.eat(Word::No);
            scan.effect(if rollback {
                Effect::Rollback { chain }
            } else {
                Effect::Commit { chain }
            });
        }
    }
}

/// Takes the word SAVEPOINT where it may stand before a savepoint's name.
fn savepoint_word(cursor: &mut Cursor<'_>) {
    let mut ahead = cursor.clone();
    if ahead.eat(Word::Savepoint) && ahead.peek().is_name() {
        *cursor = ahead;
    }
}

/// An effect on the name that follows.
fn named(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>, effect: fn(Box<[u8]>) -> Effect) {
    match cursor.take_name() {
        Some(name) => scan.effect(effect(name)),
        None => scan.opaque(),
    }
}

fn session(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    match cursor.advance().word {
        Word::Set => scan.effects = settings::set(cursor),
        Word::Reset => scan.effects = settings::reset(cursor),
        Word::Discard => match cursor.advance().word {
            Word::All => scan.effect(Effect::DiscardAll),
            Word::Plans => scan.effect(Effect::DiscardPlans),
            Word::Sequences => scan.effect(Effect::DiscardSequences),
            Word::Temp | Word::Temporary => scan.effect(Effect::DiscardTemp),
            _ => scan.opaque(),
        },
        // SHOW.
        _ => {}
    }
}

fn prepared(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    match cursor.advance().word {
        Word::Prepare => {
            let mut ahead = cursor.clone();
            let names_transaction = ahead.eat(Word::Transaction)
                && !ahead.peek().is_name()
                && !ahead.peek().is(Kind::Open);
            if names_transaction {
                let gid = ahead.literal(ahead.peek()).unwrap_or_default();
                scan.effect(Effect::PrepareTransaction(gid.into()));
            } else {
                // Its own effects come when it is executed, and are opaque then.
                scan.pin(SessionState::Prepared);
                named(scan, cursor, Effect::Prepare);
            }
        }
        Word::Execute => {
            named(scan, cursor, Effect::Execute);
            scan.opaque();
        }
        // DEALLOCATE.
        _ => {
            let mut ahead = cursor.clone();
            if ahead.eat(Word::Prepare) && !ahead.at_end() {
                *cursor = ahead;
            }
            if cursor.eat(Word::All) {
                scan.effect(Effect::Deallocate(None));
            } else {
                named(scan, cursor, |name| Effect::Deallocate(Some(name)));
            }
        }
    }
}

/// EXPLAIN plans, and so may evaluate what is declared immutable; with ANALYZE it executes.
fn explain(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    cursor.advance();
    let mut executes = false;
    if cursor.eat_kind(Kind::Open) {
        while !cursor.at_end() && !cursor.eat_kind(Kind::Close) {
            executes |= matches!(cursor.advance().word, Word::Analyze | Word::Analyse);
        }
    } else {
        loop {
            let option = cursor.peek();
            let analyze = matches!(option.word, Word::Analyze | Word::Analyse);
            if !analyze && !cursor.slice(option).eq_ignore_ascii_case(b"verbose") {
                break;
            }
            executes |= analyze;
            cursor.advance();
        }
    }
    if cursor.peek().word == Word::Explain {
        scan.opaque();
        return;
    }
    read(scan, cursor);
    if !executes {
        scan.effects.clear();
    }
}

fn copy(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    let first = cursor.advance();
    let mut ahead = cursor.clone();
    if !ahead.peek().is(Kind::Open) {
        // `COPY t (a, b) FROM ...`: FROM comes soon, if it comes.
        while !ahead.at_end() && ahead.peek().word != Word::To {
            if ahead.advance().word == Word::From {
                scan.writes();
                break;
            }
        }
    }
    scan.run(cursor, first, Place::Query);
}

fn declare(scan: &mut Scan<'_>, cursor: &mut Cursor<'_>) {
    while !cursor.at_end() && cursor.peek().word != Word::For {
        if cursor.advance().word == Word::With && cursor.peek().word == Word::Hold {
            scan.pin(SessionState::HoldCursor);
        }
    }
    cursor.advance();
    scan.run(cursor, Tok::START, Place::Query);
}
