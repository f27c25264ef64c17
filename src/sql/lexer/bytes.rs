//! What each byte may be in a text.

use super::Kind;

/// Blanks.
pub(super) const SPACE: u8 = 1;
pub(super) const WORD_START: u8 = 2;
pub(super) const DIGIT: u8 = 4;
pub(super) const OPERATOR: u8 = 8;
/// What follows in a word: a word's start, a digit, a dollar.
pub(super) const WORD: u8 = 16;
/// Operator characters that allow an operator to end in `+` or `-`.
pub(super) const OPERATOR_SIGN: u8 = 32;
/// Letters that introduce a literal or quoted name if a quote follows: see `Lexer::prefixed`.
pub(super) const PREFIX: u8 = 64;
/// A token of its own, whatever follows.
pub(super) const SINGLE: u8 = 128;

/// For each byte what comes of it.
macro_rules! table {
    ($zero:expr, $byte:ident => $value:expr) => {{
        let mut table = [$zero; 256];
        let mut $byte = 0_u8;
        let mut index = 0;
        while index < 256 {
            #[expect(
                clippy::indexing_slicing,
                reason = "the compiler evaluates it; out of range does not build"
            )]
            {
                table[index] = $value;
            }
            $byte = $byte.wrapping_add(1);
            index += 1;
        }
        table
    }};
}

/// The classes of each byte. `\v` is a blank from version 16 on, an error before.
const CLASSES: [u8; 256] = table!(0, byte => match byte {
    b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
    b'B' | b'E' | b'N' | b'U' | b'X' | b'b' | b'e' | b'n' | b'u' | b'x' => {
        WORD_START | WORD | PREFIX
    }
    b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..=0xff => WORD_START | WORD,
    b'0'..=b'9' => DIGIT | WORD,
    b'$' => WORD,
    b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%' => {
        OPERATOR | OPERATOR_SIGN
    }
    b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' => OPERATOR,
    b'\'' | b'"' | b'.' | b':' => 0,
    _ => SINGLE,
});

#[inline]
pub(super) fn class(byte: u8) -> u8 {
    static TABLE: [u8; 256] = CLASSES;
    TABLE.get(usize::from(byte)).copied().unwrap_or(0)
}

/// What each byte is as a token of its own.
static KINDS: [Kind; 256] = table!(Kind::Other, byte => match byte {
    b'(' => Kind::Open,
    b')' => Kind::Close,
    b',' => Kind::Comma,
    b';' => Kind::Semicolon,
    b'.' => Kind::Dot,
    _ if CLASSES[byte as usize] & OPERATOR != 0 => Kind::Operator,
    _ => Kind::Other,
});

#[inline]
pub(super) fn kind(byte: u8) -> Kind {
    KINDS.get(usize::from(byte)).copied().unwrap_or(Kind::Other)
}

#[inline]
pub(super) fn is(byte: u8, of: u8) -> bool {
    class(byte) & of != 0
}
