//! Reads a statement for what it calls: each `name(` is looked at, and the few that matter are
//! found without a grammar. A doubt costs a reset, never a leak.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some two hundred keywords and kinds of token, each place knows a few"
)]

use super::cursor::{Cursor, NAME_MAX, Tok};
use super::effect::{Effect, Hidden, SessionState, Statement};
use super::lexer::Kind;
use super::settings;
use super::special::{self, Special};
use super::words::{Call, Word};
use crate::catalog::snapshot::Snapshot;

/// What a statement is besides its words; decides how names before a parenthesis are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A query or a statement that writes.
    Query,
    /// CREATE or ALTER TABLE: columns, types and constraints, with expressions among them.
    Table,
    /// CREATE INDEX.
    Index,
    /// A definition that is stored and not run.
    Definition,
    /// CREATE FUNCTION or PROCEDURE, which may hold statements between BEGIN ATOMIC and END.
    Routine,
    /// The rest of a statement that has been read as far as it matters.
    Rest,
}

/// A name, and what stands around it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The token before the one that is next: the name's last part, if that is a name.
    prev: Tok,
    /// What stands before the whole of the dotted name.
    before: Tok,
    /// Whether the name has more than one part.
    dotted: bool,
    /// How many parentheses are open.
    depth: usize,
}

/// What is found in a statement.
#[derive(Debug)]
pub(super) struct Scan<'c> {
    catalog: Option<&'c Snapshot>,
    pub(super) effects: Vec<Effect>,
    /// Why it is not proven clean by itself.
    found: Option<Hidden>,
    /// What of the catalog could reach it: see [`Scan::finish`].
    reach: u8,
    place: Place,
    /// The parentheses (up to 64 deep) in which a WITH list is being read.
    with_lists: u64,
    /// Whether an expression may follow a closing parenthesis directly: behind `DISTINCT ON (..)`,
    /// `OPERATOR(..)`, `RETURNING WITH (..)`.
    call_may_follow_close: bool,
}

/// It evaluates expressions or touches relations.
const RUNS: u8 = 1;
/// It can fire table triggers.
const WRITES: u8 = 2;
/// It can fire event triggers.
const DEFINES: u8 = 4;
/// It updates something.
const UPDATES: u8 = 8;

impl<'c> Scan<'c> {
    pub(super) fn new(catalog: Option<&'c Snapshot>) -> Self {
        Self {
            catalog,
            effects: Vec::new(),
            found: None,
            reach: 0,
            place: Place::Query,
            with_lists: 0,
            call_may_follow_close: false,
        }
    }

    /// Adds an effect, once.
    pub(super) fn effect(&mut self, effect: Effect) {
        // There are few kinds, so this stays short whatever the text repeats.
        if !self.effects.contains(&effect) {
            if self.effects.is_empty() {
                self.effects.reserve_exact(1);
            }
            self.effects.push(effect);
        }
    }

    pub(super) fn pin(&mut self, state: SessionState) {
        self.effect(Effect::Pin(state));
    }

    /// The statement runs code that is not looked at, or is not understood.
    pub(super) fn opaque(&mut self) {
        self.found = Some(Hidden::Opaque);
    }

    fn function(&mut self) {
        self.found = self.found.or(Some(Hidden::Function));
    }

    /// Whether a call was found that could change the session.
    pub(super) fn calls_unsafe(&self) -> bool {
        self.found.is_some()
    }

    /// The statement fires table triggers.
    pub(super) fn writes(&mut self) {
        self.reach |= WRITES;
    }

    /// The statement fires event triggers.
    pub(super) fn defines(&mut self) {
        self.reach |= DEFINES;
    }

    /// The statement's text, for what no keyword tells: an UPDATE of the view `pg_settings` is a SET
    /// (its rule calls `set_config`), and so is one of a view on it, which cannot be seen here.
    pub(super) fn text(&mut self, text: &[u8]) {
        const VIEW: &[u8] = b"pg_settings";
        if self.reach & UPDATES != 0
            && text
                .windows(VIEW.len())
                .any(|window| window.eq_ignore_ascii_case(VIEW))
        {
            self.pin(SessionState::Setting);
        }
    }

    /// What the statement comes to.
    pub(super) fn finish(self) -> Statement {
        let reaches = |what: u8| self.reach & what != 0;
        let hidden = self.found.or_else(|| {
            let Some(catalog) = self.catalog else {
                return (self.reach & !UPDATES != 0).then_some(Hidden::CatalogUnknown);
            };
            if reaches(RUNS | WRITES) && catalog.unsafe_everywhere().is_some() {
                Some(Hidden::Function)
            } else if reaches(WRITES) && catalog.unsafe_trigger().is_some()
                || reaches(DEFINES) && catalog.unsafe_event_trigger().is_some()
            {
                Some(Hidden::Trigger)
            } else {
                None
            }
        });
        Statement {
            effects: self.effects.into_boxed_slice(),
            hidden,
        }
    }

    /// Takes the rest of a statement without looking.
    pub(super) fn skip(&mut self, cursor: &mut Cursor<'_>) {
        if !cursor.at_end() {
            self.run(cursor, Tok::START, Place::Rest);
        }
    }

    /// Reads up to the end of the statement. `first` is the token before.
    pub(super) fn run(&mut self, cursor: &mut Cursor<'_>, first: Tok, place: Place) {
        self.place = place;
        let evaluates = matches!(place, Place::Query | Place::Table | Place::Index);
        if self.catalog.is_some() && evaluates {
            self.reach |= RUNS;
        }
        let mut atomic = 0_usize;
        let mut seen = Seen {
            prev: first,
            before: Tok::START,
            dotted: false,
            depth: 0,
        };
        loop {
            let token = cursor.peek();
            let Some(kind) = token.kind else { break };
            match kind {
                Kind::Semicolon if seen.depth == 0 && atomic == 0 => break,
                Kind::Word | Kind::Quoted | Kind::QuotedUnicode => {
                    seen.dotted = seen.prev.is(Kind::Dot);
                    if !seen.dotted {
                        seen.before = seen.prev;
                        if token.word != Word::Other && evaluates {
                            self.word(token.word, seen);
                        }
                        if place == Place::Routine {
                            atomic = in_body(cursor, seen.prev.word, atomic);
                        }
                    }
                    if self.catalog.is_none() && evaluates {
                        self.needs_catalog(token, seen.prev);
                    }
                }
                Kind::Open => {
                    if seen.prev.is(Kind::Close) {
                        self.end_with_list(seen.depth);
                    } else if seen.prev.is_name() && evaluates {
                        self.open(cursor, seen);
                    }
                    seen.depth += 1;
                }
                Kind::Close => {
                    self.end_with_list(seen.depth);
                    seen.depth = seen.depth.saturating_sub(1);
                }
                Kind::Dot if seen.prev.is_name() => self.dot(cursor, seen),
                Kind::Unterminated => self.opaque(),
                Kind::Operator | Kind::Typecast if self.catalog.is_none() && evaluates => {
                    self.reach |= RUNS;
                }
                _ => {}
            }
            seen.prev = token;
            cursor.step();
        }
        // A body that does not end as it should has swallowed what follows it.
        if atomic > 0 {
            self.opaque();
        }
    }

    /// Without a catalog, only literals are known to call nothing.
    fn needs_catalog(&mut self, token: Tok, prev: Tok) {
        let literal = matches!(
            token.word,
            Word::Select
                | Word::As
                | Word::Null
                | Word::True
                | Word::False
                | Word::Values
                | Word::CurrentDate
                | Word::CurrentUser
                | Word::SessionUser
                | Word::CurrentRole
                | Word::CurrentCatalog
        );
        if !literal && prev.word != Word::As {
            self.reach |= RUNS;
        }
    }

    /// A keyword, not behind a dot.
    fn word(&mut self, word: Word, Seen { prev, depth, .. }: Seen) {
        if word == Word::With {
            if prev.kind.is_none() || prev.is(Kind::Open) {
                self.with_lists |= with_bit(depth);
            }
            return;
        }
        if matches!(word, Word::Insert | Word::Delete | Word::Merge) {
            self.reach |= WRITES;
        } else if word == Word::Update && !matches!(prev.word, Word::For | Word::Key) {
            self.reach |= WRITES | UPDATES;
        } else if matches!(word, Word::Distinct | Word::Operator | Word::Returning) {
            self.call_may_follow_close = true;
        } else if matches!(word, Word::Temp | Word::Temporary) {
            if matches!(prev.word, Word::Into | Word::Local | Word::Global) {
                self.pin(SessionState::TempTable);
            }
        } else if word == Word::Into && !matches!(prev.word, Word::Insert | Word::Merge) {
            // SELECT INTO makes a table.
            self.reach |= DEFINES;
        } else if word == Word::Execute && prev.word == Word::As && self.place == Place::Table {
            self.opaque();
        }
        if !matches!(
            word,
            Word::As | Word::Not | Word::Materialized | Word::Recursive
        ) {
            self.end_with_list(depth);
        }
    }

    fn end_with_list(&mut self, depth: usize) {
        self.with_lists &= !with_bit(depth);
    }

    /// A dot behind a name: is something made in the schema of temporary objects?
    fn dot(&mut self, cursor: &Cursor<'_>, Seen { prev, before, .. }: Seen) {
        let makes = match self.place {
            Place::Query => before.word == Word::Into,
            Place::Table | Place::Index | Place::Definition | Place::Routine => true,
            Place::Rest => false,
        };
        if makes && settings::starts_temp(cursor.slice(prev)) {
            self.pin(SessionState::TempTable);
        }
    }

    /// A parenthesis behind a name.
    fn open(&mut self, cursor: &Cursor<'_>, seen: Seen) {
        let Seen {
            prev: name, before, ..
        } = seen;
        let by_word = if seen.dotted {
            Call::Likely
        } else {
            name.word.call()
        };
        let call = match by_word {
            Call::Likely if self.names_no_call(before, seen.depth) => Call::Hardly,
            Call::Never | Call::Hardly | Call::Likely => by_word,
        };
        if call == Call::Never {
            return;
        }
        let mut buffer = [0; NAME_MAX];
        let known = cursor
            .name(name, &mut buffer)
            // Beyond ASCII the catalog's encoding may be another than the client's.
            .filter(|name| name.is_ascii());
        let Some(known) = known else {
            if call == Call::Likely {
                self.function();
            }
            return;
        };
        // A default is stored, not evaluated.
        if let Some(special) = Special::of(known).filter(|_| before.word != Word::Default) {
            self.special(special, cursor);
        }
        match self.catalog {
            Some(catalog) => {
                let safe = match catalog.is_safe(known) {
                    Some(true) => !special::runs_text(known),
                    Some(false) => false,
                    None => call == Call::Hardly,
                };
                if !safe {
                    self.function();
                }
            }
            None => self.reach |= RUNS,
        }
    }

    /// Whether what stands before a name tells that it is a relation, a type, or a new name.
    fn names_no_call(&self, before: Tok, depth: usize) -> bool {
        match before.kind {
            // `(VALUES ...) v(a, b)`
            Some(Kind::Close) => !self.call_may_follow_close,
            Some(Kind::Typecast) => true,
            Some(Kind::Comma) => self.with_lists & with_bit(depth) != 0,
            _ => match before.word {
                Word::As
                | Word::Into
                | Word::Table
                | Word::View
                | Word::References
                | Word::Exists
                | Word::Only
                | Word::Of
                | Word::Copy
                | Word::Tablesample
                | Word::Function
                | Word::Procedure
                | Word::Routine
                | Word::Aggregate => true,
                Word::With | Word::Recursive => self.with_lists & with_bit(depth) != 0,
                Word::On => self.place == Place::Index,
                Word::Using => self.place == Place::Index,
                // `PARTITION BY LIST (`
                Word::By => self.place == Place::Table,
                _ => false,
            },
        }
    }

    /// A call of a function whose effect is known.
    fn special(&mut self, special: Special, cursor: &Cursor<'_>) {
        match special {
            Special::Pin(state) => self.pin(state),
            Special::MayRelease(state) => self.effect(Effect::MayRelease(state)),
            Special::ReadsSequence => self.effect(Effect::ReadsSequence),
            Special::SetConfig => {
                if settings::is_local(cursor) {
                    self.effect(Effect::SetLocal(None));
                } else {
                    self.pin(SessionState::Setting);
                }
            }
        }
    }
}

fn with_bit(depth: usize) -> u64 {
    u32::try_from(depth)
        .ok()
        .and_then(|depth| 1_u64.checked_shl(depth))
        .unwrap_or(0)
}

/// How deep in BEGIN ATOMIC and CASE a routine's body is behind the next word.
fn in_body(cursor: &Cursor<'_>, prev: Word, depth: usize) -> usize {
    let word = cursor.peek().word;
    if prev == Word::As {
        return depth;
    }
    let opens = word == Word::Case && depth > 0
        || word == Word::Begin && depth == 0 && {
            let mut ahead = cursor.clone();
            ahead.advance();
            ahead.peek().word == Word::Atomic
        };
    if opens {
        depth + 1
    } else if word == Word::End {
        depth.saturating_sub(1)
    } else {
        depth
    }
}
