//! Tokens with one of look-ahead, and what a reader of statements asks of them.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some two hundred keywords and kinds of token, each place knows a few"
)]

use super::lexer::{Kind, Lexer, Token};
use super::words::Word;

/// The longest name the server keeps (`NAMEDATALEN` - 1); the rest is cut off.
pub(super) const NAME_MAX: usize = 63;

/// A token, with the keyword that it may be. `kind` is `None` at the text's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tok {
    pub(super) kind: Option<Kind>,
    pub(super) word: Word,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Tok {
    /// What stands before a statement's first token.
    pub(super) const START: Self = Self {
        kind: None,
        word: Word::Other,
        start: 0,
        end: 0,
    };

    pub(super) fn is(self, kind: Kind) -> bool {
        self.kind == Some(kind)
    }

    /// Whether it can be a name, or a part of one.
    pub(super) fn is_name(self) -> bool {
        matches!(
            self.kind,
            Some(Kind::Word | Kind::Quoted | Kind::QuotedUnicode)
        )
    }
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    lexer: Lexer<'a>,
    current: Tok,
    last_end: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], standard_conforming: bool) -> Self {
        let mut cursor = Self {
            text,
            lexer: Lexer::new(text, standard_conforming),
            current: Tok::START,
            last_end: 0,
        };
        cursor.advance();
        cursor
    }

    /// The token that is next.
    #[inline]
    pub(super) fn peek(&self) -> Tok {
        self.current
    }

    /// Takes the next token.
    #[inline(never)]
    pub(super) fn advance(&mut self) -> Tok {
        let taken = self.current;
        self.step();
        taken
    }

    /// Goes behind the next token.
    #[inline(always)]
    pub(super) fn step(&mut self) {
        self.last_end = self.current.end;
        let Some(Token { kind, start, end }) = self.lexer.next() else {
            let end = self.text.len();
            self.current = Tok {
                kind: None,
                word: Word::Other,
                start: end,
                end,
            };
            return;
        };
        let word = match kind {
            Kind::Word => Word::at(self.text, start, end),
            _ => Word::Other,
        };
        self.current = Tok {
            kind: Some(kind),
            word,
            start,
            end,
        };
    }

    /// Whether a backslash escapes in a plain literal.
    pub(super) fn backslash_escapes(&self) -> bool {
        self.lexer.backslash_escapes()
    }

    /// The end of the token taken last.
    pub(super) fn last_end(&self) -> usize {
        self.last_end
    }

    /// Takes the next token if it is this keyword.
    pub(super) fn eat(&mut self, word: Word) -> bool {
        let found = self.current.word == word;
        if found {
            self.advance();
        }
        found
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn eat_kind(&mut self, kind: Kind) -> bool {
        let found = self.current.is(kind);
        if found {
            self.advance();
        }
        found
    }

    /// Takes the next token if it is this operator.
    pub(super) fn eat_operator(&mut self, operator: &[u8]) -> bool {
        let found = self.current.is(Kind::Operator) && self.slice(self.current) == operator;
        if found {
            self.advance();
        }
        found
    }

    /// Whether the statement ends here (outside of parentheses).
    pub(super) fn at_end(&self) -> bool {
        matches!(self.current.kind, None | Some(Kind::Semicolon))
    }

    /// A token's bytes.
    pub(super) fn slice(&self, token: Tok) -> &'a [u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// The bytes from `start` up to `end`.
    pub(super) fn between(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Writes the name that `token` stands for to `buffer`: folded or unquoted, cut to the
    /// server's length. `None` if it is no name or holds Unicode escapes.
    pub(super) fn name<'b>(&self, token: Tok, buffer: &'b mut [u8; NAME_MAX]) -> Option<&'b [u8]> {
        let mut length = 0;
        let mut put = |byte: u8| {
            if let Some(slot) = buffer.get_mut(length) {
                *slot = byte;
                length += 1;
            }
        };
        match token.kind {
            Some(Kind::Word) => {
                for byte in self.slice(token) {
                    put(byte.to_ascii_lowercase());
                }
            }
            Some(Kind::Quoted) => {
                let [b'"', inner @ .., b'"'] = self.slice(token) else {
                    return None;
                };
                let mut bytes = inner.iter();
                while let Some(&byte) = bytes.next() {
                    put(byte);
                    if byte == b'"' {
                        bytes.next();
                    }
                }
            }
            _ => return None,
        }
        buffer.get(..length)
    }

    /// Takes a name. `None`, with nothing taken, if the next token is none.
    pub(super) fn take_name(&mut self) -> Option<Box<[u8]>> {
        let mut buffer = [0; NAME_MAX];
        let name: Box<[u8]> = self.name(self.current, &mut buffer)?.into();
        self.advance();
        Some(name)
    }

    /// The value of a literal, if it can be told without knowing the encoding or the settings.
    pub(super) fn literal(&self, token: Tok) -> Option<Vec<u8>> {
        let text = self.slice(token);
        match token.kind? {
            Kind::Text | Kind::TextEscape => {
                let open = text.iter().position(|&byte| byte == b'\'')?;
                let [inner @ .., b'\''] = text.get(open + 1..)? else {
                    return None;
                };
                let mut value = Vec::with_capacity(inner.len());
                let mut bytes = inner.iter();
                while let Some(&byte) = bytes.next() {
                    match byte {
                        b'\\' => return None,
                        // A quote that is not doubled: the literal is continued on a later line.
                        b'\'' if bytes.next() != Some(&b'\'') => return None,
                        _ => value.push(byte),
                    }
                }
                Some(value)
            }
            Kind::TextDollar => {
                let tag = text.iter().skip(1).position(|&byte| byte == b'$')? + 2;
                Some(text.get(tag..text.len().checked_sub(tag)?)?.to_vec())
            }
            _ => None,
        }
    }
}
