//! The shape of a text: what is left of it without its literals; and the text as a cache's key
//! holds it.
//!
//! One pass with the exact lexer, for every query that a client sends. Nothing is allocated once
//! the buffers are warm.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some twenty kinds of token, a list knows a few"
)]

pub mod memo;
#[cfg(test)]
mod tests;

use super::lexer::{Kind, Lexer, Token};

/// What a buffer may keep between texts; one long text must not hold its memory for ever.
const KEEP_MAX: usize = 64 * 1024;

/// The server reads a date from at most 153 bytes (`MAXDATELEN` and `MAXDATEFIELDS`), blanks and
/// punctuation not counted.
const DATE_MAX: usize = 160;

/// The longest word for a moment: `yesterday`.
const WORD_MAX: usize = 9;

/// How the comment that holds a hint begins.
const HINT: &[u8] = b"pgweir:";

/// Takes texts to their shapes. Has buffers, so it is kept.
#[derive(Debug, Default)]
pub struct Shaper {
    shape: Vec<u8>,
    text: Vec<u8>,
}

/// What a text looks like without its literals.
#[derive(Debug)]
pub struct Shape<'a> {
    /// The tokens, each behind a blank: literals and parameters by kind, unquoted words in lower
    /// case, lists of plain values behind IN, ARRAY and VALUES by their first. Texts of equal shape
    /// have equal classes.
    pub shape: &'a [u8],
    /// The text without comments and without blanks and semicolons at its ends; a comment inside,
    /// with the blanks around it, is one blank. Other bytes are as they were (H25, H34, H35).
    pub text: &'a [u8],
    /// How many statements there are; 2 stands for more.
    pub statements: u8,
    /// A literal may mean a moment: see [`is_moment`]. Also if it holds escapes (H5).
    pub moment: bool,
    /// What a leading comment `/* pgweir: ... */` holds.
    pub hint: Option<&'a [u8]>,
    /// The text ends inside a literal or comment, or is no UTF-8, or holds a zero byte: nothing
    /// else that is said here can be trusted.
    pub broken: bool,
}

impl Shaper {
    /// The shape of `text`. `standard_conforming` is the session's `standard_conforming_strings`.
    pub fn read<'a>(&'a mut self, text: &'a [u8], standard_conforming: bool) -> Shape<'a> {
        for buffer in [&mut self.shape, &mut self.text] {
            buffer.clear();
            buffer.shrink_to(KEEP_MAX);
        }
        let mut pass = Pass {
            shape: &mut self.shape,
            text,
            key: &mut self.text,
            backslash: !standard_conforming,
            start: None,
            copied: 0,
            kept: (0, 0),
            end: 0,
            last_end: 0,
            last: Kind::Semicolon,
            statements: 0,
            moment: false,
            broken: is_odd(text),
            lists: Lists::default(),
        };
        for token in Lexer::new(text, standard_conforming) {
            pass.token(token);
        }
        let Pass {
            start,
            kept: (kept, copied),
            end,
            statements,
            moment,
            broken,
            ..
        } = pass;
        let start = start.unwrap_or(end);
        let rest = text.get(copied.max(start)..end).unwrap_or_default();
        let key = if copied == 0 {
            rest
        } else {
            self.text.truncate(kept);
            self.text.extend_from_slice(rest);
            &self.text
        };
        Shape {
            shape: &self.shape,
            text: key,
            statements,
            moment,
            hint: hint(text),
            broken,
        }
    }
}

/// Whether it is no UTF-8, or holds what the server does not take for a blank in every version.
fn is_odd(text: &[u8]) -> bool {
    // A vertical tab is a blank from version 16 on, and an error before. Without a branch, so that many
    // bytes are looked at in one instruction; almost every text is done with here.
    let seen =
        |seen: u8, byte: &u8| seen | (byte & 0x80) | u8::from(*byte == 0) | u8::from(*byte == 0x0b);
    match text.iter().fold(0, seen) {
        0 => false,
        0x80 => std::str::from_utf8(text).is_err(),
        _ => true,
    }
}

/// One pass over a text.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is found out on its own, on the way"
)]
struct Pass<'a> {
    shape: &'a mut Vec<u8>,
    text: &'a [u8],
    key: &'a mut Vec<u8>,
    /// A backslash escapes in plain literals.
    backslash: bool,
    /// Where the first statement starts.
    start: Option<usize>,
    /// Up to where the text has been copied to the key, if a comment was left out.
    copied: usize,
    /// The key's length and `copied` at the last token that is no semicolon.
    kept: (usize, usize),
    /// Where the last token that is no semicolon ends.
    end: usize,
    /// Where the last token ends.
    last_end: usize,
    last: Kind,
    statements: u8,
    moment: bool,
    broken: bool,
    lists: Lists,
}

impl Pass<'_> {
    #[inline]
    fn token(&mut self, token: Token) {
        let Token { kind, start, end } = token;
        // A comment takes two bytes at least.
        if self.start.is_some() && start > self.last_end + 1 {
            self.gap(start);
        }
        self.last_end = end;
        if kind == Kind::Semicolon {
            self.last = kind;
            return;
        }
        if self.last == Kind::Semicolon {
            self.statements = self.statements.saturating_add(1).min(2);
            if self.start.is_none() {
                self.start = Some(start);
            } else {
                self.shape.extend_from_slice(b"; ");
            }
        }
        let raw = self.text.get(start..end).unwrap_or_default();
        let place = self.shape.len();
        match kind {
            Kind::Word => {
                // Most words are shorter than a call of memcpy is worth.
                self.shape.extend(raw.iter().map(u8::to_ascii_lowercase));
                self.moment |=
                    self.last == Kind::TextUnicode && raw.eq_ignore_ascii_case(b"uescape");
            }
            Kind::Text | Kind::TextEscape | Kind::TextUnicode | Kind::TextDollar => {
                self.shape.push(b'\'');
                self.moment = self.moment || self.literal(kind, raw);
            }
            Kind::Bits => self.shape.push(b'\''),
            Kind::Number => self.shape.push(b'0'),
            Kind::Param => self.shape.push(b'$'),
            Kind::Unterminated => self.broken = true,
            Kind::Quoted
            | Kind::QuotedUnicode
            | Kind::Operator
            | Kind::Typecast
            | Kind::Assign
            | Kind::DotDot
            | Kind::Dot
            | Kind::Comma
            | Kind::Semicolon
            | Kind::Open
            | Kind::Close
            | Kind::Other => self.shape.extend_from_slice(raw),
        }
        self.shape.push(b' ');
        // Most tokens have nothing to do with a list.
        let part = if kind == Kind::Word {
            word_part(self.shape.get(place..).unwrap_or_default())
        } else {
            Part::Other
        };
        if self.lists.armed || matches!(part, Part::ListWord | Part::Values) {
            self.lists.shorten(kind, part, place, self.shape);
        }
        self.last = kind;
        self.kept = (self.key.len(), self.copied);
        self.end = end;
    }

    /// What stands between the last token and the next one at `start`. A comment is left out of
    /// the key.
    fn gap(&mut self, start: usize) {
        let gap = self.text.get(self.last_end..start).unwrap_or_default();
        if !gap.iter().any(|byte| matches!(byte, b'-' | b'/')) {
            return;
        }
        let from = self.copied.max(self.start.unwrap_or_default());
        let part = self.text.get(from..self.last_end).unwrap_or_default();
        self.key.extend_from_slice(part);
        self.key.push(b' ');
        self.copied = start;
    }

    /// Whether a literal may mean a moment.
    fn literal(&self, kind: Kind, raw: &[u8]) -> bool {
        let quote = if kind == Kind::TextDollar {
            b'$'
        } else {
            b'\''
        };
        let Some(open) = raw.iter().position(|&byte| byte == quote) else {
            return true;
        };
        let open = if kind == Kind::TextDollar {
            let tag = raw.iter().skip(open + 1).position(|&byte| byte == b'$');
            tag.map_or(raw.len(), |tag| open + tag + 2)
        } else {
            open + 1
        };
        let close = if kind == Kind::TextDollar { open } else { 1 };
        let inner = raw
            .get(open..raw.len().saturating_sub(close))
            .unwrap_or_default();
        let escapes = kind == Kind::TextEscape || (kind == Kind::Text && self.backslash);
        if (escapes && !spells_no_letter(inner))
            || (kind == Kind::TextUnicode && inner.contains(&b'\\'))
        {
            return true;
        }
        // Parts that a line's end joins: 'to'<newline>'day'.
        if kind != Kind::TextDollar
            && inner.contains(&b'\'')
            && inner.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
        {
            return true;
        }
        is_moment(inner)
    }
}

/// Whether the only escapes are `\\` and `\'`: what they stand for is no letter, and neither are they, so the
/// words are those that are seen. Drivers that put parameters into the text escape every backslash so.
fn spells_no_letter(literal: &[u8]) -> bool {
    let mut bytes = literal.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' && !matches!(bytes.next(), Some(b'\\' | b'\'')) {
            return false;
        }
    }
    true
}

/// Whether the server may read a value as a moment that moves on: it holds `now`, `today`,
/// `tomorrow` or `yesterday` as a word, and is as short as a date, or may have dates in it: it
/// starts like an array, row, range or JSON, or like one of these in the binary format.
pub fn is_moment(value: &[u8]) -> bool {
    let first = value.iter().find(|byte| !byte.is_ascii_whitespace());
    let holds_more = first.is_some_and(|&byte| matches!(byte, b'{' | b'[' | b'(') || byte < b' ');
    let mut counted = 0;
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        if byte.is_ascii_alphabetic() {
            let rest = value.get(at..).unwrap_or_default();
            let length = rest
                .iter()
                .position(|byte| !byte.is_ascii_alphabetic())
                .unwrap_or(rest.len());
            if rest.get(..length).is_some_and(names_a_moment) {
                return true;
            }
            at += length;
            counted += length;
        } else {
            at += 1;
            counted += usize::from(byte.is_ascii_digit() || !byte.is_ascii());
        }
        if counted > DATE_MAX && !holds_more {
            return false;
        }
    }
    holds_more && hides_a_moment(value)
}

/// The same for words with something in them that is left out when arrays, rows and ranges are read
/// (`{n\ow}`, `[n"o"w,)`), or spelled as JSON may (`\u006eow`).
fn hides_a_moment(value: &[u8]) -> bool {
    let mut word = [0; WORD_MAX];
    let mut length = 0_usize;
    let mut bytes = value.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' if bytes.peek() == Some(&&b'u') => return true,
            b'\\' | b'"' => {}
            _ if byte.is_ascii_alphabetic() => {
                if let Some(letter) = word.get_mut(length) {
                    *letter = byte;
                }
                length += 1;
            }
            _ => {
                if word.get(..length).is_some_and(names_a_moment) {
                    return true;
                }
                length = 0;
            }
        }
    }
    word.get(..length).is_some_and(names_a_moment)
}

fn names_a_moment(word: &[u8]) -> bool {
    let name: &[u8] = match word.len() {
        3 => b"now",
        5 => b"today",
        8 => b"tomorrow",
        WORD_MAX => b"yesterday",
        _ => return false,
    };
    word.eq_ignore_ascii_case(name)
}

/// The hint in front of a text.
fn hint(text: &[u8]) -> Option<&[u8]> {
    let body = text.trim_ascii_start().strip_prefix(b"/*")?;
    let body = body.trim_ascii_start().strip_prefix(HINT)?;
    let mut pairs = body.windows(2);
    let end = pairs.position(|pair| pair == b"*/" || pair == b"/*")?;
    let nested = body.get(end) == Some(&b'/');
    if nested {
        return None;
    }
    Some(body.get(..end)?.trim_ascii())
}

/// Cuts lists of plain values to one, as `class` does.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a list and a row may both be open"
)]
struct Lists {
    /// The next token matters.
    armed: bool,
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
    /// Looks at the last token, which stands at `place` of the shape.
    fn shorten(&mut self, kind: Kind, part: Part, place: usize, shape: &mut Vec<u8>) {
        self.look(kind, part, place, shape);
        self.armed = self.before != Part::Other || self.list || self.row || self.row_end.is_some();
    }

    fn look(&mut self, kind: Kind, part: Part, place: usize, shape: &mut Vec<u8>) {
        let before = std::mem::take(&mut self.before);
        match kind {
            Kind::Open | Kind::Other
                if shape.get(place).is_some_and(|b| matches!(b, b'(' | b'[')) =>
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

    fn atom(&mut self, before: Part, shape: &mut Vec<u8>) {
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

/// What a word, with the blank behind it, is to a list.
#[inline]
fn word_part(word: &[u8]) -> Part {
    // Its length tells most words apart from these.
    match word {
        [b'i', b'n', _] => Part::ListWord,
        [b'n' | b't', b'u' | b'r', b'l' | b'u', b'l' | b'e', _] => match word {
            b"null " | b"true " => Part::Atom,
            _ => Part::Other,
        },
        [b'f', b'a', b'l', b's', b'e', _] | [b'd', b'e', b'f', b'a', b'u', b'l', b't', _] => {
            Part::Atom
        }
        [b'a', b'r', b'r', b'a', b'y', _] => Part::ListWord,
        [b'v', b'a', b'l', b'u', b'e', b's', _] => Part::Values,
        _ => Part::Other,
    }
}
