//! The buffer that a shape is written to, in steps of eight bytes: their length is checked once for all of
//! them, and what is too much is written over by the next step.

/// What is added at once when there is no room left, beside what is needed.
const GROWTH: usize = 256;

/// A line of bytes that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What is behind `used` has no meaning.
    bytes: Vec<u8>,
    used: usize,
}

impl Line {
    /// Takes everything out, and gives memory back beyond `keep_max`.
    pub(super) fn clear(&mut self, keep_max: usize) {
        self.used = 0;
        if self.bytes.capacity() > keep_max {
            self.bytes.truncate(keep_max);
            self.bytes.shrink_to(keep_max);
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.used
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Takes out what is behind the first `length` bytes.
    #[inline]
    pub(super) fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
    }

    /// Adds the first `length` bytes, of at most eight.
    #[inline]
    pub(super) fn put(&mut self, bytes: u64, length: usize) {
        let rest = self.bytes.get_mut(self.used..);
        match rest.and_then(|rest| rest.first_chunk_mut()) {
            Some(place) => {
                *place = bytes.to_le_bytes();
                self.used += length;
            }
            None => self.grow(bytes, length),
        }
    }

    /// The same, if there may be no room left.
    #[inline(never)]
    fn grow(&mut self, bytes: u64, length: usize) {
        self.extend(bytes.to_le_bytes().get(..length).unwrap_or_default());
    }

    /// Adds all of them.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end + end / 2 + GROWTH, 0);
        }
        if let Some(place) = self.bytes.get_mut(self.used..end) {
            place.copy_from_slice(bytes);
        }
        self.used = end;
    }
}
