//! Where entries lie: a bounded map that forgets what is asked for least.

use std::fmt;
use std::sync::Arc;

use super::Limits;
use super::entry::Entry;
use super::hashed::{Asked, Key, Known};

/// The map. Whoever finds an entry has compared all bytes of its key; hashes only place it (H39).
pub(super) struct Store {
    map: moka::sync::Cache<Key, Arc<Entry>, Known>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what is in it.
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    pub(super) fn new(limits: &Limits) -> Self {
        // So many entries at most: then each weighs at least its share.
        let least = limits
            .entries_max
            .map_or(0, |most| limits.bytes_max / most.max(1));
        let least = u32::try_from(least).unwrap_or(u32::MAX);
        let map = moka::sync::Cache::builder()
            .max_capacity(limits.bytes_max)
            .weigher(move |_: &Key, entry: &Arc<Entry>| {
                u32::try_from(entry.weight()).unwrap_or(u32::MAX).max(least)
            })
            .build_with_hasher(Known::default());
        Self { map }
    }

    pub(super) fn get(&self, key: Asked<'_>) -> Option<Arc<Entry>> {
        self.map.get(&key)
    }

    pub(super) fn put(&self, entry: &Arc<Entry>) {
        // The same bytes as the entry's own, not a copy.
        self.map.insert(entry.key.clone(), Arc::clone(entry));
    }

    pub(super) fn remove(&self, key: Asked<'_>) {
        self.map.invalidate(&key);
    }

    pub(super) fn each(&self, mut see: impl FnMut(&Arc<Entry>)) {
        for (_, entry) in &self.map {
            see(&entry);
        }
    }

    /// How many entries there are, and what they weigh.
    pub(super) fn usage(&self) -> (u64, u64) {
        // Both numbers are of the last time that the map was tidied.
        self.map.run_pending_tasks();
        (self.map.entry_count(), self.map.weighted_size())
    }
}
