//! Literals that may mean a moment that moves on: `now`, `today` and their like.

use super::super::lexer::{Kind, eight};

/// The server reads a date from at most 153 bytes (`MAXDATELEN` and `MAXDATEFIELDS`), blanks and
/// punctuation not counted.
const DATE_MAX: usize = 160;

/// The longest word for a moment: `yesterday`.
const WORD_MAX: usize = 9;

/// Whether a literal may mean a moment.
pub(super) fn is_in_literal(kind: Kind, raw: &[u8], backslash: bool) -> bool {
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
    if !may_matter(inner) {
        return false;
    }
    let escapes = kind == Kind::TextEscape || (kind == Kind::Text && backslash);
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

/// Whether a literal has a letter that each of the words for a moment has, or a byte that may hide one:
/// most have none.
fn may_matter(literal: &[u8]) -> bool {
    (0..literal.len()).step_by(8).any(|at| {
        let bytes = eight::at(literal, at);
        let folded = bytes | eight::every(0x20);
        let letters = eight::first(folded, b'w') | eight::first(folded, b'y');
        letters | eight::first(bytes, b'\'') | eight::first(bytes, b'\\') != 0
    })
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
