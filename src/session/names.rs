//! What a client has by its names: most clients have nothing, and pay a pointer for it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

type Table<V> = HashMap<Box<[u8]>, V, RandomState>;

/// A table by name that is not there as long as it is empty.
#[derive(Debug)]
pub(super) struct Names<V>(Option<Box<Table<V>>>);

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V> Names<V> {
    pub(super) fn get(&self, name: &[u8]) -> Option<&V> {
        self.0.as_ref()?.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        self.0.as_mut()?.get_mut(name)
    }

    pub(super) fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.len())
    }

    pub(super) fn insert(&mut self, name: Box<[u8]>, value: V) {
        self.0.get_or_insert_default().insert(name, value);
    }

    /// Unless there is one of that name.
    pub(super) fn insert_new(&mut self, name: Box<[u8]>, value: V) {
        self.0.get_or_insert_default().entry(name).or_insert(value);
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<V> {
        let table = self.0.as_mut()?;
        let removed = table.remove(name);
        if table.is_empty() {
            self.0 = None;
        }
        removed
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().flat_map(|table| table.values_mut())
    }
}
