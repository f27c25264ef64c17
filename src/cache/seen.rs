//! Which keys were asked for lately, roughly and in little room: for questions that hardly ever come
//! twice, of which only those that do are worth an entry.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// For so many bytes of entries one key is remembered: about as many as small entries have room.
const BYTES_PER_KEY: u64 = 1024;

/// The fewest and the most keys. Four bytes each, they shall stay in the processor's own cache: in one
/// megabyte the one look was 38 % of a lookup that finds nothing. One answer that is served from memory
/// is enough for a whole shape to be kept again, so it does no harm to overlook some.
const KEYS_MIN: u64 = 1 << 10;
const KEYS_MAX: u64 = 1 << 16;

/// A mark for each key that was asked for, where its hash says; the next key of the same place takes
/// it over. To forget one, or to take one for another, costs an entry made late or in vain.
#[derive(Debug)]
pub(super) struct Seen {
    keys: u64,
    /// None as long as nobody is asked.
    marks: OnceLock<Box<[AtomicU32]>>,
}

impl Seen {
    /// For a cache of this size.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            keys: (bytes_max / BYTES_PER_KEY).clamp(KEYS_MIN, KEYS_MAX),
            marks: OnceLock::new(),
        }
    }

    /// Remembers the key of this hash; whether it was remembered.
    pub(super) fn again(&self, hash: u64) -> bool {
        let marks = self
            .marks
            .get_or_init(|| (0..self.keys).map(|_| AtomicU32::new(0)).collect());
        // The upper half for the place, the lower for the mark; 0 is no mark.
        let place = usize::try_from((hash >> 32) % self.keys).unwrap_or(0);
        let [_, _, _, _, a, b, c, d] = hash.to_be_bytes();
        let mark = u32::from_be_bytes([a, b, c, d]) | 1;
        let Some(slot) = marks.get(place) else {
            return false;
        };
        if slot.load(Relaxed) == mark {
            return true;
        }
        slot.store(mark, Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_another_takes_its_place() {
        let seen = Seen::new(0);
        let (one, other) = (7 << 32 | 1000, 8 << 32 | 1000);
        assert!(!seen.again(one));
        assert!(!seen.again(other));
        assert!(seen.again(one) && seen.again(one) && seen.again(other));
        let same_place = (7 + KEYS_MIN) << 32 | 2000;
        assert!(!seen.again(same_place));
        assert!(!seen.again(one));
        assert!(!seen.again(0), "an empty place is no key");
    }
}
