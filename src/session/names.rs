//! What a client has by its names: most clients have nothing, and pay a pointer for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

/// Named statements and named portals a client may have at a time. Real applications have hundreds;
/// the limit keeps one that never closes any from taking all memory.
pub(super) const NAMES_MAX: usize = 20_000;

/// And how long they may be together, names and texts: one of three kilobytes each, on average.
const BYTES_MAX: usize = 64 << 20;

/// What can have a name, and takes room.
pub(super) trait Weighed {
    /// How long it is, without its name.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct Table<V> {
    values: HashMap<Box<[u8]>, V, RandomState>,
    /// Of all of them, names included.
    bytes: usize,
}

/// A table by name that is not there as long as it is empty.
#[derive(Debug)]
pub(super) struct Names<V>(Option<Box<Table<V>>>);

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V: Weighed> Names<V> {
    pub(super) fn get(&self, name: &[u8]) -> Option<&V> {
        self.0.as_ref()?.values.get(name)
    }

    /// What is changed keeps its length.
    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        self.0.as_mut()?.values.get_mut(name)
    }

    pub(super) fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.values.len())
    }

    /// Names and what they stand for.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.bytes)
    }

    /// There must not be more of them.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= NAMES_MAX || self.bytes() >= BYTES_MAX
    }

    /// Takes the place of what had that name.
    pub(super) fn insert(&mut self, name: Box<[u8]>, value: V) {
        let table = self.0.get_or_insert_default();
        let length = name.len();
        table.bytes += length + value.bytes();
        if let Some(before) = table.values.insert(name, value) {
            table.bytes -= length + before.bytes();
        }
    }

    /// Unless there is one of that name.
    pub(super) fn insert_new(&mut self, name: Box<[u8]>, value: V) {
        let table = self.0.get_or_insert_default();
        if let Entry::Vacant(place) = table.values.entry(name) {
            table.bytes += place.key().len() + value.bytes();
            place.insert(value);
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<V> {
        let table = self.0.as_mut()?;
        let removed = table.values.remove(name);
        if let Some(value) = &removed {
            table.bytes -= name.len() + value.bytes();
        }
        if table.values.is_empty() {
            self.0 = None;
        }
        removed
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0
            .iter_mut()
            .flat_map(|table| table.values.values_mut())
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            values: HashMap::default(),
            bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighed for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    #[test]
    fn it_is_full_by_number_and_by_length() {
        let mut names = Names::<usize>::default();
        for name in 0..NAMES_MAX {
            assert!(!names.is_full(), "{name}");
            names.insert(name.to_string().into_bytes().into(), 1);
        }
        assert!(names.is_full());
        names.remove(b"0");
        assert!(!names.is_full());
        names.clear();
        names.insert(b"long".as_slice().into(), BYTES_MAX);
        assert!(names.is_full());
        // In its place, and not a second time.
        names.insert(b"long".as_slice().into(), 3);
        names.insert_new(b"long".as_slice().into(), BYTES_MAX);
        assert_eq!((names.len(), names.bytes()), (1, 7));
        names.remove(b"long");
        assert_eq!((names.len(), names.bytes()), (0, 0));
    }
}
