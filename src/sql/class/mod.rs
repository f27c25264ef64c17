//! What a text means to the cache: whether it only reads, what it names, what it writes.
//!
//! Names only: whether a function is safe, what a view hides and which trigger fires is the
//! catalog's business. The path of a text: `pieces` cuts it with our own lexer, `utility`
//! tells its statements apart by their words, `rewrite` turns a query into tokens that sqlparser
//! understands (it never sees the text itself, so the two cannot disagree about a quote),
//! `query`, `expr` and `dml` walk the tree, and `walk` checks at the end that every name of
//! the text was met in it. What is not understood writes everything (I2, H9, H16).

mod dml;
mod expr;
mod pieces;
mod query;
mod rewrite;
mod typename;
mod utility;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use self::pieces::Piece;
use crate::reason::Reason;
use crate::sql::lexer::Kind as Token;

/// Longer texts are not looked at: lexing this much takes well under a millisecond, and what a
/// text may hold besides rows of literals is bounded by `PIECES_MAX`.
const TEXT_MAX: usize = 256 * 1024;

/// Tokens of a text, lists of literals counted once. The tree of a longer chain of operators
/// could not be dropped on a worker's stack.
const PIECES_MAX: usize = 4000;

/// Parentheses and brackets inside each other. Real texts stay below twenty.
const DEPTH_MAX: usize = 50;

/// What the text of one shape means to the cache. Owned, small, no literals in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// What becomes of it.
    pub kind: Kind,
    /// What it names.
    pub uses: Uses,
    /// What its statements write by themselves.
    pub writes: Box<[Write]>,
}

/// What becomes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One statement that only reads, as far as its text shows.
    Read,
    /// Forwarded, not stored; writes nothing unless a function in `uses` does.
    NoCache(Reason),
    /// Writes `writes`, and what functions in `uses` do. Of several statements: their union.
    Write,
    /// DDL, privileges, REFRESH, VACUUM: the catalog changes, everything is stale.
    Definition,
    /// Dynamic or not understood: counts as a write of everything.
    Everything(Reason),
}

/// A name as the server folds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QName {
    /// `None`: found by the search path.
    pub schema: Option<Box<str>>,
    /// The name itself.
    pub name: Box<str>,
}

impl QName {
    /// A name without a schema.
    pub fn bare(name: &str) -> Self {
        Self {
            schema: None,
            name: name.into(),
        }
    }
}

/// A function that is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Its name.
    pub name: QName,
    /// With how many arguments; `None`: VARIADIC, WITHIN GROUP, or a syntax of its own.
    pub arguments: Option<u16>,
}

/// The names in a text, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Relations read or written, without names of CTEs and functions in FROM.
    pub relations: Box<[QName]>,
    /// Functions called, also by a syntax of their own (`extract`, `AT TIME ZONE`), aggregates and
    /// window functions among them.
    pub functions: Box<[Call]>,
    /// Operators by symbol. LIKE and its kin under `~~`, `!~~`, `~~*`, `!~~*`, `~`, `!~`; BETWEEN,
    /// IN, NULLIF, CASE and IS DISTINCT FROM under the comparisons that they stand for.
    pub operators: Box<[QName]>,
    /// Types named in casts and typed literals, by the server's short name; an array by its
    /// element.
    pub types: Box<[QName]>,
    /// Columns inside an expression that is cast to a date or time, or to a type that is not known
    /// here: text in such a column could say `today` (H5). JSON columns count as text.
    pub datetime_casts: Box<[Box<str>]>,
    /// Names behind a table's name and a dot: columns, but if there is no such column, `t.f` calls
    /// `f(t)` (computed columns). A user function of one argument with such a name may be called.
    pub attributes: Box<[Box<str>]>,
    /// Names behind `(x).`: a field if `x` is a row; else a call of any function of one argument,
    /// built in or not, or a cast to a type of that name. What is known by neither is a field.
    pub fields: Box<[Box<str>]>,
}

/// How a relation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// INSERT, COPY FROM.
    Insert,
    /// UPDATE, ON CONFLICT DO UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// TRUNCATE.
    Truncate {
        /// With the tables that reference it.
        cascade: bool,
    },
}

/// A relation that is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Write {
    /// Which.
    pub relation: QName,
    /// How.
    pub verb: Verb,
    /// Not its descendants.
    pub only: bool,
}

/// What has been found out about a text so far.
#[derive(Debug, Default)]
struct Found {
    relations: BTreeSet<QName>,
    functions: BTreeSet<Call>,
    operators: BTreeSet<QName>,
    types: BTreeSet<QName>,
    datetime_casts: BTreeSet<Box<str>>,
    attributes: BTreeSet<Box<str>>,
    fields: BTreeSet<Box<str>>,
    writes: BTreeSet<Write>,
}

impl Found {
    fn call(&mut self, name: &str, arguments: Option<u16>) {
        self.functions.insert(Call {
            name: QName::bare(name),
            arguments,
        });
    }

    fn operator(&mut self, symbol: &str) {
        self.operators.insert(QName::bare(symbol));
    }

    fn compares(&mut self, symbols: &[&str]) {
        for symbol in symbols {
            self.operator(symbol);
        }
    }

    fn take(&mut self, mut other: Self) {
        self.relations.append(&mut other.relations);
        self.functions.append(&mut other.functions);
        self.operators.append(&mut other.operators);
        self.types.append(&mut other.types);
        self.datetime_casts.append(&mut other.datetime_casts);
        self.attributes.append(&mut other.attributes);
        self.fields.append(&mut other.fields);
        self.writes.append(&mut other.writes);
    }

    fn class(self, kind: Kind) -> Class {
        let list = |names: BTreeSet<QName>| names.into_iter().collect();
        Class {
            kind,
            uses: Uses {
                relations: list(self.relations),
                functions: self.functions.into_iter().collect(),
                operators: list(self.operators),
                types: list(self.types),
                datetime_casts: self.datetime_casts.into_iter().collect(),
                attributes: self.attributes.into_iter().collect(),
                fields: self.fields.into_iter().collect(),
            },
            writes: self.writes.into_iter().collect(),
        }
    }
}

/// What `text` means. Literals in it do not matter. Takes bounded time and stack on any input.
///
/// `standard_conforming` is the session's `standard_conforming_strings`.
pub fn classify(text: &[u8], standard_conforming: bool) -> Class {
    let mut found = Found::default();
    let kind = match pieces::read(text, standard_conforming) {
        Ok(pieces) => statements(&pieces, &mut found),
        Err(reason) => Kind::Everything(reason),
    };
    found.class(kind)
}

fn statements(pieces: &[Piece], found: &mut Found) -> Kind {
    let mut whole: Option<Kind> = None;
    for statement in pieces.split(|piece| piece.kind == Token::Semicolon) {
        if statement.is_empty() {
            continue;
        }
        let kind = utility::statement(statement, found).unwrap_or_else(Kind::Everything);
        whole = Some(match whole {
            None => kind,
            Some(before) => both(before, kind),
        });
    }
    whole.unwrap_or(Kind::NoCache(Reason::NotAQuery))
}

/// Of two statements in one text: what either needs. Definitions stale all that a write of
/// everything does, and more.
fn both(one: Kind, other: Kind) -> Kind {
    match (one, other) {
        (Kind::Definition, _) | (_, Kind::Definition) => Kind::Definition,
        (Kind::Everything(reason), _) | (_, Kind::Everything(reason)) => Kind::Everything(reason),
        (Kind::Write, _) | (_, Kind::Write) => Kind::Write,
        (Kind::Read | Kind::NoCache(_), Kind::Read | Kind::NoCache(_)) => {
            Kind::NoCache(Reason::MultipleStatements)
        }
    }
}
