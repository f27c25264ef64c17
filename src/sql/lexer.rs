//! The lexical rules of PostgreSQL (scan.l of versions 13 to 18), over bytes.
//!
//! The text is what the client sent, in any encoding in which every byte below 128 is ASCII; bytes
//! from 128 up are letters, as in scan.l. Nothing is allocated, nothing panics, and each byte is
//! looked at no more than some ten times, whatever the text.
//!
//! Where versions differ (numbers with junk behind them, `1_000`, `0x1F`), the newer reading is
//! taken; the older server refuses such a text or reads an identifier where we read a number.

mod bytes;
pub(super) mod eight;
mod number;
#[cfg(test)]
pub(super) mod tests;

use self::bytes::{
    DIGIT, OPERATOR, OPERATOR_SIGN, PREFIX, SINGLE, SPACE, WORD, WORD_START, class, is, kind,
};

/// What a token is. Keywords are words: the grammar, not the lexer, knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword without quotes.
    Word,
    /// `"x"`; a quote inside is doubled.
    Quoted,
    /// `U&"x"`: an identifier with Unicode escapes, which are not decoded here.
    QuotedUnicode,
    /// `'x'` or `N'x'`; whether a backslash escapes depends on `standard_conforming_strings`.
    Text,
    /// `E'x'`: a backslash escapes.
    TextEscape,
    /// `U&'x'`.
    TextUnicode,
    /// `$tag$x$tag$`.
    TextDollar,
    /// `B'01'` or `X'1F'`.
    Bits,
    /// A number in any notation, without sign.
    Number,
    /// `$1`.
    Param,
    /// One or more operator characters.
    Operator,
    /// `::`
    Typecast,
    /// `:=`
    Assign,
    /// `..`
    DotDot,
    /// `.`
    Dot,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`, `]`, `:` or a byte that scan.l has no rule for.
    Other,
    /// A literal, quoted name or comment that the text ends in the middle of. The server refuses
    /// the whole text.
    Unterminated,
}

/// A token's place in the text: `start` is its first byte, `end` the byte after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// Cuts a text into tokens; comments and blanks are skipped. What stands before the first token,
/// `text[..token.start]`, is the leading comment.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    backslash_escapes: bool,
}

/// How a quoted literal may hold its own quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// By doubling it.
    Doubled,
    /// By doubling it or behind a backslash.
    Backslash,
    /// Not at all (bit strings).
    Never,
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`. `standard_conforming` is the session's
    /// `standard_conforming_strings`.
    pub fn new(text: &'a [u8], standard_conforming: bool) -> Self {
        Self {
            text,
            at: 0,
            backslash_escapes: !standard_conforming,
        }
    }

    /// Whether a backslash escapes in a plain literal: `standard_conforming_strings` is off.
    pub fn backslash_escapes(&self) -> bool {
        self.backslash_escapes
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    #[inline]
    fn byte_is(&self, at: usize, of: u8) -> bool {
        self.byte(at).is_some_and(|byte| is(byte, of))
    }

    /// The end of the run of bytes of class `of` that starts at `at`.
    fn run(&self, at: usize, of: u8) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest
            .iter()
            .position(|&byte| !is(byte, of))
            .unwrap_or(rest.len())
    }

    /// The end of the word of which `at` is a part. Most words are short: a processor guesses their ends
    /// better than it waits for what eight bytes at once say.
    #[inline]
    fn word_end(&self, at: usize) -> usize {
        let mut at = at;
        let mut rest = self.text.get(at..).unwrap_or_default();
        while let Some((bytes, behind)) = rest.split_first_chunk::<8>() {
            for (index, &byte) in bytes.iter().enumerate() {
                if !is(byte, WORD) {
                    return at + index;
                }
            }
            at += 8;
            rest = behind;
        }
        let end = rest.iter().position(|&byte| !is(byte, WORD));
        at + end.unwrap_or(rest.len())
    }

    /// The first byte at or behind `at` that `meant` means, which must mean zero bytes.
    #[inline]
    fn first(&self, at: usize, meant: fn(u64) -> u64) -> usize {
        let mut at = at;
        loop {
            let found = eight::before(meant(eight::at(self.text, at)));
            at += found;
            if found < 8 {
                return at;
            }
        }
    }

    /// The place of `byte` at or behind `at`.
    fn find(&self, at: usize, wanted: u8) -> Option<usize> {
        // Most literals end here; a call of memchr pays from a dozen bytes on.
        let found = eight::before(eight::first(eight::at(self.text, at), wanted));
        if found < 8 {
            return (at + found < self.text.len()).then_some(at + found);
        }
        let at = at + 8;
        Some(at + memchr::memchr(wanted, self.text.get(at..)?)?)
    }

    /// The end of the line comment that starts at `at`; its newline is not part of it.
    fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len())
    }

    /// The end of the comment whose `/*` stands at `at`; comments nest.
    fn comment_end(&self, at: usize) -> Option<usize> {
        let mut depth = 1_usize;
        let mut at = at + 2;
        loop {
            let rest = self.text.get(at..)?;
            at += rest.iter().position(|byte| matches!(byte, b'*' | b'/'))?;
            match (self.byte(at), self.byte(at + 1)) {
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
    }

    /// The end of a literal whose first byte behind the opening quote is `at`, with the parts that
    /// continue it on later lines.
    fn literal_end(&self, at: usize, quoting: Quoting) -> Option<usize> {
        let mut at = at;
        loop {
            at = match quoting {
                Quoting::Backslash => {
                    let rest = self.text.get(at..)?;
                    at + rest.iter().position(|byte| matches!(byte, b'\'' | b'\\'))?
                }
                Quoting::Doubled | Quoting::Never => self.find(at, b'\'')?,
            };
            if self.byte(at) == Some(b'\\') {
                at += 2;
                continue;
            }
            at += 1;
            if quoting != Quoting::Never && self.byte(at) == Some(b'\'') {
                at += 1;
                continue;
            }
            match self.continuation(at) {
                Some(next) => at = next,
                None => return Some(at),
            }
        }
    }

    /// The byte behind the quote that continues a literal which was closed before `at`: blanks and
    /// line comments with at least one newline, then a quote (`quotecontinue` of scan.l).
    fn continuation(&self, at: usize) -> Option<usize> {
        let mut at = at;
        let mut newline = false;
        loop {
            match self.byte(at)? {
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                b' ' | b'\t' | 0x0b | 0x0c => at += 1,
                b'-' if self.byte(at + 1) == Some(b'-') => at = self.line_end(at),
                b'\'' if newline => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// The end of a quoted name whose first byte behind the opening quote is `at`.
    fn name_end(&self, at: usize) -> Option<usize> {
        let mut at = at;
        loop {
            at = self.find(at, b'"')? + 1;
            if self.byte(at) != Some(b'"') {
                return Some(at);
            }
            at += 1;
        }
    }

    /// What starts with a dollar: a parameter, a dollar-quoted literal, or nothing known.
    fn dollar(&self, start: usize) -> (Kind, Option<usize>) {
        let after = start + 1;
        if self.byte_is(after, DIGIT) {
            return (Kind::Param, Some(self.run(after, DIGIT)));
        }
        // A tag is a word without dollars.
        let mut tag_end = after;
        if self.byte_is(after, WORD_START) {
            tag_end = self.run(after, WORD_START | DIGIT);
        }
        if self.byte(tag_end) != Some(b'$') {
            return (Kind::Other, Some(after));
        }
        let tag = self.text.get(start..=tag_end).unwrap_or_default();
        let mut at = tag_end + 1;
        loop {
            // A tag holds a dollar at its ends only, so each byte is compared once.
            let Some(found) = self.find(at, b'$') else {
                return (Kind::TextDollar, None);
            };
            if self.text.get(found..).is_some_and(|t| t.starts_with(tag)) {
                return (Kind::TextDollar, Some(found + tag.len()));
            }
            at = found + 1;
        }
    }

    /// The end of the operator that starts at `start`: the longest run of operator characters that
    /// holds no comment's start, and ends in `+` or `-` only if it also holds one of ``~!@#%^&|`?``.
    fn operator_end(&self, start: usize) -> usize {
        if !self.byte_is(start + 1, OPERATOR) {
            return start + 1;
        }
        let end = self.run(start, OPERATOR);
        let mut operator = self.text.get(start..end).unwrap_or_default();
        if let Some(comment) = operator
            .windows(2)
            .position(|pair| pair == b"--" || pair == b"/*")
        {
            operator = operator.get(..comment).unwrap_or_default();
        }
        if !operator.iter().any(|&byte| is(byte, OPERATOR_SIGN)) {
            while let [rest @ .., b'+' | b'-'] = operator {
                if rest.is_empty() {
                    break;
                }
                operator = rest;
            }
        }
        start + operator.len().max(1)
    }

    /// A literal or quoted name that one of the letters B, E, N, U, X introduces.
    fn prefixed(&self, start: usize, letter: u8) -> Option<(Kind, Option<usize>)> {
        let plain = if self.backslash_escapes {
            Quoting::Backslash
        } else {
            Quoting::Doubled
        };
        let (kind, quoting) = match (letter | 0x20, self.byte(start + 1)?) {
            (b'e', b'\'') => (Kind::TextEscape, Quoting::Backslash),
            (b'n', b'\'') => (Kind::Text, plain),
            (b'b' | b'x', b'\'') => (Kind::Bits, Quoting::Never),
            (b'u', b'&') => {
                return match self.byte(start + 2)? {
                    b'\'' => {
                        let end = self.literal_end(start + 3, Quoting::Doubled);
                        Some((Kind::TextUnicode, end))
                    }
                    b'"' => Some((Kind::QuotedUnicode, self.name_end(start + 3))),
                    _ => None,
                };
            }
            _ => return None,
        };
        Some((kind, self.literal_end(start + 2, quoting)))
    }

    /// Whether what follows leaves the operator character or dot at `start` alone.
    #[inline]
    fn is_alone(&self, byte: u8, bits: u8, start: usize) -> bool {
        let next = self.byte(start + 1).unwrap_or_default();
        if bits & OPERATOR != 0 {
            !is(next, OPERATOR)
        } else {
            byte == b'.' && is(next, WORD_START)
        }
    }

    /// Whether one of the letters that introduce literals does so at `start`, or seems to.
    #[inline]
    fn is_prefix(&self, start: usize) -> bool {
        matches!(self.byte(start + 1), Some(b'\'' | b'&'))
    }

    /// The end of the comment that starts at `start`, with `byte`; `None` if there is no whole one.
    fn comment(&self, start: usize, byte: u8) -> Option<usize> {
        match (byte, self.byte(start + 1)) {
            (b'-', Some(b'-')) => Some(self.line_end(start)),
            (b'/', Some(b'*')) => self.comment_end(start),
            _ => None,
        }
    }

    /// What starts at `start` with `byte` and is not told by that byte and the next one alone: its kind (`None` for
    /// a comment) and its end.
    fn symbol(&self, start: usize, byte: u8) -> (Option<Kind>, usize) {
        if let Some(end) = self.comment(start, byte) {
            return (None, end);
        }
        let next = self.byte(start + 1);
        let (kind, end) = match byte {
            b'.' if next.is_some_and(|next| next.is_ascii_digit()) => {
                (Kind::Number, Some(self.number_end(start)))
            }
            b'.' if next == Some(b'.') => (Kind::DotDot, Some(start + 2)),
            b'.' => (Kind::Dot, Some(start + 1)),
            b'0'..=b'9' => (Kind::Number, Some(self.number_end(start))),
            b'\'' if self.backslash_escapes => {
                let end = self.literal_end(start + 1, Quoting::Backslash);
                (Kind::Text, end)
            }
            b'\'' => (Kind::Text, self.literal_end(start + 1, Quoting::Doubled)),
            b'"' => (Kind::Quoted, self.name_end(start + 1)),
            b'$' => self.dollar(start),
            b':' if next == Some(b':') => (Kind::Typecast, Some(start + 2)),
            b':' if next == Some(b'=') => (Kind::Assign, Some(start + 2)),
            b':' => (Kind::Other, Some(start + 1)),
            b'/' if next == Some(b'*') => (Kind::Unterminated, None),
            _ if is(byte, OPERATOR) => (Kind::Operator, Some(self.operator_end(start))),
            _ => self
                .prefixed(start, byte)
                .unwrap_or_else(|| (Kind::Word, Some(self.word_end(start)))),
        };
        match end {
            Some(end) => (Some(kind), end),
            None => (Some(Kind::Unterminated), self.text.len()),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    // One of the two places where texts are read; a call and its result cost as much as a short token.
    #[inline(always)]
    fn next(&mut self) -> Option<Token> {
        loop {
            let start = self.at;
            let byte = self.byte(start)?;
            let bits = class(byte);
            if bits & SPACE != 0 {
                self.at = start + 1;
            } else if bits & WORD_START != 0 && (bits & PREFIX == 0 || !self.is_prefix(start)) {
                let end = self.word_end(start + 1);
                self.at = end;
                let kind = Kind::Word;
                return Some(Token { kind, start, end });
            } else if bits & SINGLE != 0 || self.is_alone(byte, bits, start) {
                let end = start + 1;
                self.at = end;
                let kind = kind(byte);
                return Some(Token { kind, start, end });
            } else {
                // Of a copy, so that this one can stay in registers.
                let (kind, end) = self.clone().symbol(start, byte);
                self.at = end;
                if let Some(kind) = kind {
                    return Some(Token { kind, start, end });
                }
            }
        }
    }
}
