//! The shape of a text: what is left of it without its literals; and the text as a cache's key
//! holds it.
//!
//! One pass with the exact lexer, for every query that a client sends. Nothing is allocated once
//! the buffers are warm.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some twenty kinds of token, a list knows a few"
)]

mod line;
mod lists;
pub mod memo;
mod moment;
#[cfg(test)]
mod tests;

use self::line::Line;
use self::lists::Lists;
pub use self::moment::is_moment;
use super::lexer::{Kind, Lexer, Token, eight};

/// What a buffer may keep between texts; one long text must not hold its memory for ever.
const KEEP_MAX: usize = 64 * 1024;

/// Stands behind each token.
const BLANK: u64 = b' ' as u64;

/// How the comment that holds a hint begins.
const HINT: &[u8] = b"pgweir:";

/// Takes texts to their shapes. Has buffers, so it is kept.
#[derive(Debug, Default)]
pub struct Shaper {
    shape: Line,
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
        self.shape.clear(KEEP_MAX);
        self.text.clear();
        self.text.shrink_to(KEEP_MAX);
        let mut pass = Pass {
            shape: std::mem::take(&mut self.shape),
            text,
            key: &mut self.text,
            backslash: !standard_conforming,
            start: None,
            copied: 0,
            kept: Kept::default(),
            end: 0,
            last_end: 0,
            between: true,
            statements: 0,
            moment: false,
            broken: is_odd(text),
            lists: Lists::default(),
        };
        for token in Lexer::new(text, standard_conforming) {
            pass.token(token);
        }
        let end = pass.end();
        let (kept, copied) = pass.kept();
        let Pass {
            shape,
            start,
            statements,
            moment,
            broken,
            ..
        } = pass;
        self.shape = shape;
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
            shape: self.shape.as_slice(),
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
    /// A blank from version 16 on, and an error before.
    const VERTICAL_TAB: u8 = 0x0b;
    let (chunks, rest) = text.as_chunks::<8>();
    // The last bytes may be looked at twice; blanks stand for bytes that a short text does not have.
    let last = text.last_chunk().copied().unwrap_or_else(|| {
        let mut last = [b' '; 8];
        for (place, &byte) in last.iter_mut().zip(rest) {
            *place = byte;
        }
        last
    });
    let look = |(all, odd): (u64, u64), chunk: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*chunk);
        let found = eight::first(bytes, 0) | eight::first(bytes, VERTICAL_TAB);
        (all | bytes, odd | found)
    };
    let (all, odd) = look(chunks.iter().fold((0, 0), look), &last);
    odd != 0 || (all & eight::HIGH != 0 && std::str::from_utf8(text).is_err())
}

/// One pass over a text.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is found out on its own, on the way"
)]
struct Pass<'a> {
    shape: Line,
    text: &'a [u8],
    key: &'a mut Vec<u8>,
    /// A backslash escapes in plain literals.
    backslash: bool,
    /// Where the first statement starts.
    start: Option<usize>,
    /// Up to where the text has been copied to the key, if a comment was left out.
    copied: usize,
    /// The key before the last comment was left out of it.
    kept: Kept,
    /// Where the last token before a semicolon ends: see [`Pass::end`].
    end: usize,
    /// Where the last token ends.
    last_end: usize,
    /// No statement has begun since the start or the last semicolon.
    between: bool,
    statements: u8,
    moment: bool,
    broken: bool,
    lists: Lists,
}

/// The key as it was behind a token that a comment follows.
#[derive(Debug, Default)]
struct Kept {
    /// Where the token ends.
    end: usize,
    /// The key's length.
    length: usize,
    copied: usize,
}

impl Pass<'_> {
    #[inline]
    fn token(&mut self, token: Token) {
        let Token { kind, start, end } = token;
        // On its own from the first step: most tokens are words, and what a word needs not is left out.
        if kind == Kind::Word {
            self.reach(kind, start, end);
            let place = self.shape.len();
            let word = self.word(start, end);
            // Most tokens have nothing to do with a list.
            if self.lists.armed || lists::opens_list(word) {
                self.lists.shorten(kind, word, place, &mut self.shape);
            }
            return;
        }
        self.reach(kind, start, end);
        if kind == Kind::Semicolon {
            return;
        }
        let place = self.shape.len();
        if end - start == 1 && !matches!(kind, Kind::Number | Kind::Unterminated) {
            let byte = self.text.get(start).copied().unwrap_or_default();
            self.shape.put(u64::from(byte) | (BLANK << 8), 2);
        } else {
            self.long(kind, start, end);
        }
        if self.lists.armed {
            self.lists.shorten(kind, 0, place, &mut self.shape);
        }
    }

    /// Goes to the token that starts at `start` and ends at `end`.
    #[inline(always)]
    fn reach(&mut self, kind: Kind, start: usize, end: usize) {
        // A comment takes two bytes at least.
        if start > self.last_end + 1 {
            self.gap(start);
        }
        if self.between || kind == Kind::Semicolon {
            self.border(kind, start);
        }
        self.last_end = end;
    }

    /// A word, in lower case. Gives it, if it is shorter than eight bytes.
    #[inline]
    fn word(&mut self, start: usize, end: usize) -> u64 {
        let length = end - start;
        let first = eight::lower(eight::at(self.text, start));
        if length < 8 {
            let behind = eight::behind(length);
            let word = first & (behind - 1);
            self.shape.put(word | (behind * BLANK), length + 1);
            return word;
        }
        self.shape.put(first, 8);
        let mut at = start + 8;
        while at < end {
            let bytes = eight::lower(eight::at(self.text, at));
            self.shape.put(bytes, (end - at).min(8));
            at += 8;
        }
        self.shape.put(BLANK, 1);
        0
    }

    /// A token of more than one byte that is no word.
    #[inline(never)]
    fn long(&mut self, kind: Kind, start: usize, end: usize) {
        let raw = self.text.get(start..end).unwrap_or_default();
        let sign = match kind {
            Kind::Number => b'0',
            Kind::Param => b'$',
            Kind::Bits => b'\'',
            Kind::Text | Kind::TextEscape | Kind::TextUnicode | Kind::TextDollar => {
                self.moment = self.moment
                    || moment::is_in_literal(kind, raw, self.backslash)
                    || kind == Kind::TextUnicode && self.uescape(end);
                b'\''
            }
            Kind::Unterminated => {
                self.broken = true;
                self.shape.put(BLANK, 1);
                return;
            }
            _ => {
                self.shape.extend(raw);
                self.shape.put(BLANK, 1);
                return;
            }
        };
        self.shape.put(u64::from(sign) | (BLANK << 8), 2);
    }

    /// Whether the literal that ends at `end` is told another character than `\` for its escapes.
    fn uescape(&self, end: usize) -> bool {
        let rest = self.text.get(end..).unwrap_or_default();
        let next = Lexer::new(rest, !self.backslash).next();
        next.is_some_and(|next| {
            let word = rest.get(next.start..next.end).unwrap_or_default();
            next.kind == Kind::Word && word.eq_ignore_ascii_case(b"uescape")
        })
    }

    /// What stands between the last token and the next one at `start`. A comment is left out of
    /// the key.
    fn gap(&mut self, start: usize) {
        let gap = self.text.get(self.last_end..start).unwrap_or_default();
        if self.start.is_none() || !gap.iter().any(|byte| matches!(byte, b'-' | b'/')) {
            return;
        }
        let (length, copied) = self.kept();
        self.kept = Kept {
            end: self.end(),
            length,
            copied,
        };
        let from = self.copied.max(self.start.unwrap_or_default());
        let part = self.text.get(from..self.last_end).unwrap_or_default();
        self.key.extend_from_slice(part);
        self.key.push(b' ');
        self.copied = start;
    }

    /// A statement begins or ends.
    #[inline(never)]
    fn border(&mut self, kind: Kind, start: usize) {
        if kind == Kind::Semicolon {
            if !self.between {
                self.end = self.last_end;
                self.between = true;
            }
            return;
        }
        self.between = false;
        self.statements = self.statements.saturating_add(1).min(2);
        if self.start.is_none() {
            self.start = Some(start);
        } else {
            self.shape.put(u64::from(b';') | (BLANK << 8), 2);
        }
    }

    /// Where the last token that is no semicolon ends.
    fn end(&self) -> usize {
        if self.between {
            self.end
        } else {
            self.last_end
        }
    }

    /// The key's length and `copied` at the last token that is no semicolon.
    fn kept(&self) -> (usize, usize) {
        if self.kept.end == self.end() {
            (self.kept.length, self.kept.copied)
        } else {
            (self.key.len(), self.copied)
        }
    }
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
