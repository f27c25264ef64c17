//! Which statement it is, by its words. What is no query is decided here.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some twenty kinds of token, parentheses matter here"
)]

use super::pieces::Piece;
use super::{Found, Kind, QName, Verb, Write, walk};
use crate::reason::Reason;
use crate::sql::lexer::Kind as Token;

fn word(pieces: &[Piece], at: usize) -> &str {
    pieces.get(at).map_or("", Piece::word)
}

fn is(pieces: &[Piece], at: usize, kind: Token) -> bool {
    pieces.get(at).is_some_and(|piece| piece.kind == kind)
}

/// What one statement does; `Err` if that is not understood.
pub(super) fn statement(pieces: &[Piece], found: &mut Found) -> Result<Kind, Reason> {
    const OTHER: Result<Kind, Reason> = Ok(Kind::NoCache(Reason::NotAQuery));
    match word(pieces, 0) {
        "select" | "insert" | "update" | "delete" | "merge" | "with" | "values" | "table" => {
            walk::statement(pieces, found)
        }
        "" if is(pieces, 0, Token::Open) => walk::statement(pieces, found),
        "commit" | "rollback" if word(pieces, 1) == "prepared" => Err(Reason::Opaque),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            OTHER
        }
        "set" | "reset" | "show" | "discard" | "listen" | "unlisten" | "notify" | "deallocate"
        | "close" | "fetch" | "move" | "lock" | "checkpoint" | "load" | "prepare" => OTHER,
        "execute" | "call" | "do" => Err(Reason::Opaque),
        "truncate" => truncate(pieces, found),
        "copy" => copy(pieces, found),
        "explain" => explain(pieces, found),
        "declare" => declare(pieces, found),
        "create" | "alter" | "drop" | "grant" | "revoke" | "comment" | "security" | "reassign"
        | "refresh" | "reindex" | "cluster" | "vacuum" | "analyze" | "analyse" | "import" => {
            Ok(Kind::Definition)
        }
        // What a later version may bring.
        _ => Err(Reason::ParseError),
    }
}

/// The statement that starts at `at`, which does not run as a query of its own: never a read.
fn inner(pieces: &[Piece], at: usize, found: &mut Found) -> Result<Kind, Reason> {
    let rest = pieces.get(at..).unwrap_or_default();
    if matches!(word(rest, 0), "explain" | "declare" | "copy" | "prepare")
        && word(pieces, 0) != "explain"
    {
        return Err(Reason::ParseError);
    }
    Ok(match statement(rest, found)? {
        Kind::Read | Kind::NoCache(_) => Kind::NoCache(Reason::NotAQuery),
        kind @ (Kind::Write | Kind::Definition | Kind::Everything(_)) => kind,
    })
}

/// EXPLAIN plans, and planning may call functions; with ANALYZE it also runs.
fn explain(pieces: &[Piece], found: &mut Found) -> Result<Kind, Reason> {
    let mut at = 1;
    let mut runs = false;
    if is(pieces, at, Token::Open)
        && !query_word(word(pieces, at + 1))
        && !is(pieces, at + 1, Token::Open)
    {
        while let Some(piece) = pieces.get(at) {
            runs |= matches!(piece.name.as_str(), "analyze" | "analyse");
            at += 1;
            if piece.kind == Token::Close {
                break;
            }
        }
    }
    while matches!(word(pieces, at), "analyze" | "analyse" | "verbose") {
        runs |= word(pieces, at) != "verbose";
        at += 1;
    }
    if word(pieces, at) == "explain" {
        return Err(Reason::ParseError);
    }
    let mut planned = Found::default();
    let target = if runs { &mut *found } else { &mut planned };
    let kind = inner(pieces, at, target)?;
    if runs {
        return Ok(kind);
    }
    planned.writes.clear();
    found.take(planned);
    Ok(match kind {
        Kind::Everything(reason) => Kind::Everything(reason),
        Kind::Read | Kind::NoCache(_) | Kind::Write | Kind::Definition => {
            Kind::NoCache(Reason::NotAQuery)
        }
    })
}

fn query_word(word: &str) -> bool {
    matches!(
        word,
        "select" | "with" | "values" | "table" | "insert" | "update" | "delete" | "merge"
    )
}

/// DECLARE runs nothing yet, but its functions run in this transaction.
fn declare(pieces: &[Piece], found: &mut Found) -> Result<Kind, Reason> {
    let mut at = 2;
    while let Some(piece) = pieces.get(at) {
        at += 1;
        if piece.word() == "for" {
            return inner(pieces, at, found);
        }
    }
    Err(Reason::ParseError)
}

/// COPY of a table or of a query's result.
fn copy(pieces: &[Piece], found: &mut Found) -> Result<Kind, Reason> {
    let mut at = 1;
    if word(pieces, at) == "binary" && !is(pieces, at + 1, Token::Dot) {
        at += 1;
    }
    if is(pieces, at, Token::Open) {
        let end = close(pieces, at).ok_or(Reason::ParseError)?;
        let query = pieces.get(at + 1..end).unwrap_or_default();
        let kind = inner(query, 0, found)?;
        return if word(pieces, end + 1) == "to" {
            Ok(kind)
        } else {
            Err(Reason::ParseError)
        };
    }
    let (relation, end) = qualified(pieces, at)?;
    at = end;
    if is(pieces, at, Token::Open) {
        at = close(pieces, at).ok_or(Reason::ParseError)? + 1;
    }
    found.relations.insert(relation.clone());
    match word(pieces, at) {
        "to" => Ok(Kind::NoCache(Reason::NotAQuery)),
        "from" => {
            found.writes.insert(Write {
                relation,
                verb: Verb::Insert,
                only: false,
            });
            Ok(Kind::Write)
        }
        _ => Err(Reason::ParseError),
    }
}

fn truncate(pieces: &[Piece], found: &mut Found) -> Result<Kind, Reason> {
    let mut at = 1;
    if word(pieces, at) == "table" {
        at += 1;
    }
    let cascade = pieces.last().is_some_and(|last| last.word() == "cascade");
    loop {
        let only = word(pieces, at) == "only";
        let parens = only && is(pieces, at + 1, Token::Open);
        at += usize::from(only) + usize::from(parens);
        let (relation, end) = qualified(pieces, at)?;
        at = end + usize::from(parens);
        if pieces
            .get(at)
            .is_some_and(|piece| piece.name == "*" && piece.kind == Token::Operator)
        {
            at += 1;
        }
        found.relations.insert(relation.clone());
        found.writes.insert(Write {
            relation,
            verb: Verb::Truncate { cascade },
            only,
        });
        if !is(pieces, at, Token::Comma) {
            break;
        }
        at += 1;
    }
    let rest = pieces.get(at..).unwrap_or_default();
    let known = |piece: &Piece| {
        matches!(
            piece.word(),
            "restart" | "continue" | "identity" | "cascade" | "restrict"
        )
    };
    if rest.iter().all(known) {
        Ok(Kind::Write)
    } else {
        Err(Reason::ParseError)
    }
}

/// A relation's name, and the place behind it.
fn qualified(pieces: &[Piece], at: usize) -> Result<(QName, usize), Reason> {
    let mut at = at;
    let mut schema = None;
    loop {
        let piece = pieces.get(at).filter(|piece| piece.is_name());
        let name: Box<str> = piece.ok_or(Reason::ParseError)?.name.as_str().into();
        at += 1;
        if !is(pieces, at, Token::Dot) {
            return Ok((QName { schema, name }, at));
        }
        schema = Some(name);
        at += 1;
    }
}

/// The parenthesis that closes the one at `at`.
fn close(pieces: &[Piece], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, piece) in pieces.iter().enumerate().skip(at) {
        match piece.kind {
            Token::Open => depth += 1,
            Token::Close if depth == 1 => return Some(place),
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
