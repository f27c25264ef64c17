//! Eight bytes of a text at a time, as one number: its lowest byte is the first. The answers have the
//! highest bit of each byte set that is meant, and no other bit, so the first one is found by counting zeros.

/// The highest bit of each byte.
pub(crate) const HIGH: u64 = every(0x80);

/// A byte, eight times.
pub(crate) const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The eight bytes at `at`; zeros stand for what the text does not have.
#[inline]
pub(crate) fn at(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => last(text, at),
    }
}

/// The same at the end of the text.
#[inline(never)]
fn last(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    match text.last_chunk() {
        Some(bytes) if !rest.is_empty() => {
            u64::from_le_bytes(*bytes) >> (8 * (8 - rest.len().min(8)))
        }
        _ => word(rest),
    }
}

/// How many bytes stand before the first that is meant: 8 if none is.
#[inline]
pub(crate) fn before(meant: u64) -> usize {
    usize::try_from(meant.trailing_zeros() / 8).unwrap_or(8)
}

/// Which bytes are `byte`, up to the first of them; behind it others may be told as well.
#[inline]
pub(crate) fn first(bytes: u64, byte: u8) -> u64 {
    let differ = bytes ^ every(byte);
    differ.wrapping_sub(every(1)) & !differ & HIGH
}

/// Which bytes are no digits.
#[inline]
pub(crate) fn no_digits(bytes: u64) -> u64 {
    let value = bytes ^ every(b'0');
    (((value & !HIGH) + every(0x80 - 10)) | value) & HIGH
}

/// The bytes with the letters of ASCII in lower case.
#[inline]
pub(crate) fn lower(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    let capital = (low + every(0x80 - b'A')) & !(low + every(0x7f - b'Z')) & !bytes & HIGH;
    bytes | (capital >> 2)
}

/// The lowest bit of the byte behind the first `length`, of at most seven.
#[inline]
pub(crate) const fn behind(length: usize) -> u64 {
    1 << (length % 8 * 8)
}

/// A word of at most eight bytes, with zeros behind it.
pub(crate) const fn word(bytes: &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        value |= (*byte as u64) << shift;
        shift += 8;
        rest = tail;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{at, before, behind, every, first, lower, no_digits, word};

    /// Each byte with each other one behind it, in each place: nothing is carried over from byte to byte.
    fn pairs() -> impl Iterator<Item = (usize, [u8; 8])> {
        let bytes = || 0..=u8::MAX;
        bytes().flat_map(move |byte| {
            bytes().map(move |next| {
                let mut all = [next; 8];
                let place = usize::from(byte ^ next) % 8;
                all[place] = byte;
                (place, all)
            })
        })
    }

    #[test]
    fn each_byte_is_judged_as_alone() {
        for (place, bytes) in pairs() {
            let number = u64::from_le_bytes(bytes);
            let digits = bytes.iter().position(|byte| !byte.is_ascii_digit());
            assert_eq!(before(no_digits(number)), digits.unwrap_or(8), "{bytes:?}");
            let lowered = bytes.map(|byte| byte.to_ascii_lowercase());
            assert_eq!(lower(number).to_le_bytes(), lowered, "{bytes:?}");
            let found = bytes.iter().position(|byte| *byte == bytes[place]);
            assert_eq!(before(first(number, bytes[place])), found.unwrap_or(8));
            for absent in [0, b'\'', 0x0b, b'w'] {
                let found = bytes.iter().position(|byte| *byte == absent);
                let meant = first(number, absent);
                assert_eq!(before(meant), found.unwrap_or(8), "{bytes:?}");
            }
        }
        assert_eq!(every(7).to_le_bytes(), [7; 8]);
    }

    #[test]
    fn zeros_stand_behind_the_end() {
        let text = b"abcdefghij";
        for start in 0..12 {
            let rest = text.get(start..).unwrap_or_default();
            let mut expected = [0; 8];
            for (place, byte) in expected.iter_mut().zip(rest) {
                *place = *byte;
            }
            assert_eq!(at(text, start).to_le_bytes(), expected);
        }
        for length in 0..8 {
            let letters = &text[..length];
            assert_eq!(at(text, 0) & (behind(length) - 1), word(letters));
        }
    }
}
