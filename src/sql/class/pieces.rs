//! A text as pieces: tokens with their names folded, lists of literals cut to one element.

use super::{DEPTH_MAX, PIECES_MAX, TEXT_MAX};
use crate::reason::Reason;
use crate::sql::cursor::NAME_MAX;
use crate::sql::lexer::{Kind, Lexer, Token};

/// A token. `name` is the folded word, the name between the quotes, or the symbol of an operator
/// or bracket; empty for all else.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl Piece {
    /// The word, if it is one without quotes.
    pub(super) fn word(&self) -> &str {
        if self.kind == Kind::Word {
            &self.name
        } else {
            ""
        }
    }

    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }

    pub(super) fn is_literal(&self) -> bool {
        matches!(
            self.kind,
            Kind::Text | Kind::TextEscape | Kind::TextUnicode | Kind::TextDollar | Kind::Bits
        )
    }

    /// A value that names nothing.
    fn is_atom(&self) -> bool {
        self.is_literal()
            || matches!(self.kind, Kind::Number | Kind::Param)
            || matches!(self.word(), "default" | "null" | "true" | "false")
    }
}

/// The pieces of a text, or why it is not looked at.
pub(super) fn read(text: &[u8], standard_conforming: bool) -> Result<Vec<Piece>, Reason> {
    if text.len() > TEXT_MAX {
        return Err(Reason::OversizedQuery);
    }
    let text = std::str::from_utf8(text).map_err(|_error| Reason::ParseError)?;
    let mut pieces = Vec::with_capacity(64);
    let mut lists = Lists::default();
    let mut depth = 0_usize;
    for token in Lexer::new(text.as_bytes(), standard_conforming) {
        let piece = piece(text, token)?;
        match (piece.kind, piece.name.as_str()) {
            (Kind::Open, _) | (Kind::Other, "[") => depth += 1,
            (Kind::Close, _) | (Kind::Other, "]") => depth = depth.saturating_sub(1),
            _ => {}
        }
        pieces.push(piece);
        lists.shorten(&mut pieces);
        if depth > DEPTH_MAX || pieces.len() > PIECES_MAX {
            return Err(Reason::OversizedQuery);
        }
    }
    Ok(pieces)
}

fn piece(text: &str, token: Token) -> Result<Piece, Reason> {
    let raw = text.get(token.start..token.end).ok_or(Reason::ParseError)?;
    let name = match token.kind {
        Kind::Word => {
            // The server folds other letters too if its encoding has one byte for each.
            if !raw.is_ascii() && raw.to_lowercase() != raw.to_ascii_lowercase() {
                return Err(Reason::ParseError);
            }
            cut(raw.to_ascii_lowercase())
        }
        Kind::Quoted => {
            let inner = raw.get(1..raw.len().saturating_sub(1));
            cut(inner.ok_or(Reason::ParseError)?.replace("\"\"", "\""))
        }
        Kind::Operator | Kind::Other => raw.to_owned(),
        Kind::QuotedUnicode | Kind::Unterminated | Kind::DotDot => return Err(Reason::ParseError),
        Kind::Text
        | Kind::TextEscape
        | Kind::TextUnicode
        | Kind::TextDollar
        | Kind::Bits
        | Kind::Number
        | Kind::Param
        | Kind::Typecast
        | Kind::Assign
        | Kind::Dot
        | Kind::Comma
        | Kind::Semicolon
        | Kind::Open
        | Kind::Close => String::new(),
    };
    Ok(Piece {
        kind: token.kind,
        name,
    })
}

/// The name as the server keeps it.
fn cut(mut name: String) -> String {
    let mut end = name.len().min(NAME_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// Cuts lists of plain values behind IN, ARRAY and VALUES to one element or row, so that a bulk
/// insert costs no more than a small one. Such elements name nothing.
#[derive(Debug, Default)]
struct Lists {
    /// Inside a list of single values.
    list: bool,
    /// Inside a row of VALUES that held only plain values so far.
    row: bool,
    /// Where the last row of plain values ended.
    row_end: Option<usize>,
}

impl Lists {
    /// Looks at the last piece.
    fn shorten(&mut self, pieces: &mut Vec<Piece>) {
        let [.., before, last] = pieces.as_slice() else {
            return;
        };
        let opens = last.kind == Kind::Open || last.name == "[";
        if opens {
            let next_row = self.row_end == Some(pieces.len().saturating_sub(2));
            self.list = matches!(before.word(), "in" | "array");
            self.row = last.kind == Kind::Open
                && (before.word() == "values" || (before.kind == Kind::Comma && next_row));
            if !(self.row && next_row) {
                self.row_end = None;
            }
        } else if last.kind == Kind::Close && self.row {
            self.row = false;
            self.row_end = Some(match self.row_end {
                Some(end) => {
                    pieces.truncate(end);
                    end
                }
                None => pieces.len(),
            });
        } else if last.is_atom() {
            let comma = before.kind == Kind::Comma;
            if self.list && comma && pieces.len() > 3 {
                pieces.truncate(pieces.len().saturating_sub(2));
            }
        } else if last.kind != Kind::Comma {
            self.list = false;
            self.row = false;
        }
    }
}
