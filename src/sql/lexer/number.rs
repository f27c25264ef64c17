//! Numbers, in any notation.

use super::bytes::WORD;
use super::{Lexer, eight};

impl Lexer<'_> {
    /// The end of digits that single underscores may separate, or `at` if there are none.
    fn digits(&self, at: usize, digit: fn(&u8) -> bool) -> usize {
        let mut at = at;
        while self.text.get(at).is_some_and(digit) {
            at += 1;
            if self.byte(at) == Some(b'_') && self.text.get(at + 1).is_some_and(digit) {
                at += 1;
            }
        }
        at
    }

    /// The end of the number that starts at `start` with a digit, or a dot and a digit.
    pub(super) fn number_end(&self, start: usize) -> usize {
        let end = self.first(start + 1, eight::no_digits);
        if self.byte(end) == Some(b'.') || self.byte_is(end, WORD) {
            self.odd_number_end(start)
        } else {
            end
        }
    }

    /// The same, of a number that may be more than digits.
    fn odd_number_end(&self, start: usize) -> usize {
        if self.byte(start) == Some(b'0') {
            let digit: Option<fn(&u8) -> bool> = match self.byte(start + 1) {
                Some(b'x' | b'X') => Some(u8::is_ascii_hexdigit),
                Some(b'o' | b'O') => Some(|byte| matches!(byte, b'0'..=b'7')),
                Some(b'b' | b'B') => Some(|byte| matches!(byte, b'0' | b'1')),
                _ => None,
            };
            if let Some(digit) = digit {
                let mut first = start + 2;
                if self.byte(first) == Some(b'_') {
                    first += 1;
                }
                let end = self.digits(first, digit);
                if end > first {
                    return end;
                }
            }
        }
        let mut end = self.digits(start, u8::is_ascii_digit);
        // `1..2` is a range: the dots are not the number's.
        if self.byte(end) == Some(b'.') && self.byte(end + 1) != Some(b'.') {
            end = self.digits(end + 1, u8::is_ascii_digit);
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let mut exponent = end + 1;
            if matches!(self.byte(exponent), Some(b'+' | b'-')) {
                exponent += 1;
            }
            let exponent_end = self.digits(exponent, u8::is_ascii_digit);
            if exponent_end > exponent {
                end = exponent_end;
            }
        }
        end
    }
}
