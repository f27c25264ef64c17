//! Lists of plain values: however long, they are one shape.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some twenty kinds of token, a list knows a few"
)]

use super::super::lexer::{Kind, eight};
use super::line::Line;

/// Cuts lists of plain values to one, as `class` does.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a list and a row may both be open"
)]
pub(super) struct Lists {
    /// The next token matters.
    pub(super) armed: bool,
    /// What the last token was to a list.
    before: Part,
    /// Inside a list of single values.
    list: bool,
    /// Inside a row of VALUES that held only plain values so far.
    row: bool,
    /// Where the last comma stands.
    comma: usize,
    /// Where the last row of plain values ended.
    row_end: Option<usize>,
}

/// What a token is to a list.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Other,
    /// IN or ARRAY.
    ListWord,
    Values,
    Comma,
    Atom,
}

impl Lists {
    /// Looks at the last token, which stands at `place` of the shape. `word` is what it begins with, if it is one.
    #[inline(never)]
    pub(super) fn shorten(&mut self, kind: Kind, word: u64, place: usize, shape: &mut Line) {
        self.look(kind, word, place, shape);
        self.armed = self.before != Part::Other || self.list || self.row || self.row_end.is_some();
    }

    fn look(&mut self, kind: Kind, word: u64, place: usize, shape: &mut Line) {
        let before = std::mem::take(&mut self.before);
        match kind {
            Kind::Open | Kind::Other
                if matches!(shape.as_slice().get(place), Some(b'(' | b'[')) =>
            {
                let next_row = before == Part::Comma && self.row_end == Some(self.comma);
                self.list = before == Part::ListWord;
                self.row = kind == Kind::Open && (before == Part::Values || next_row);
                if !(self.row && next_row) {
                    self.row_end = None;
                }
            }
            Kind::Close if self.row => {
                self.row = false;
                match self.row_end {
                    Some(end) => shape.truncate(end),
                    None => self.row_end = Some(shape.len()),
                }
            }
            Kind::Comma => {
                self.comma = place;
                self.before = Part::Comma;
            }
            Kind::Text
            | Kind::TextEscape
            | Kind::TextUnicode
            | Kind::TextDollar
            | Kind::Bits
            | Kind::Number
            | Kind::Param => self.atom(before, shape),
            Kind::Word => {
                let part = part(word);
                if part == Part::Atom {
                    self.atom(before, shape);
                } else {
                    self.before = part;
                    self.end();
                }
            }
            _ => self.end(),
        }
    }

    fn atom(&mut self, before: Part, shape: &mut Line) {
        self.before = Part::Atom;
        if self.list && before == Part::Comma {
            shape.truncate(self.comma);
        }
    }

    fn end(&mut self) {
        self.list = false;
        self.row = false;
    }
}

/// The words in front of lists.
const IN: u64 = eight::word(b"in");
const ARRAY: u64 = eight::word(b"array");
const VALUES: u64 = eight::word(b"values");
/// The words that are plain values.
const NULL: u64 = eight::word(b"null");
const TRUE: u64 = eight::word(b"true");
const FALSE: u64 = eight::word(b"false");
const DEFAULT: u64 = eight::word(b"default");

/// Whether a word, in lower case and with zeros behind it, stands in front of a list.
#[inline]
pub(super) fn opens_list(word: u64) -> bool {
    matches!(word, IN | ARRAY | VALUES)
}

#[inline]
fn part(word: u64) -> Part {
    match word {
        IN | ARRAY => Part::ListWord,
        VALUES => Part::Values,
        NULL | TRUE | FALSE | DEFAULT => Part::Atom,
        _ => Part::Other,
    }
}
