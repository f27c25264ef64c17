//! Where entries lie: a bounded map that forgets what is asked for least.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use super::Limits;
use super::entry::Entry;

/// An entry's key as the map holds it: the same bytes as the entry's own, not a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(Arc<[u8]>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `Borrow` demands: like the bytes.
        self.0.hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// The map. Whoever finds an entry has compared all bytes of its key; hashes only place it (H39).
pub(super) struct Store<S> {
    map: moka::sync::Cache<Key, Arc<Entry>, S>,
}

impl<S> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what is in it.
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Store<S> {
    pub(super) fn new(limits: &Limits, hasher: S) -> Self {
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
            .build_with_hasher(hasher);
        Self { map }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.map.get(key)
    }

    pub(super) fn put(&self, entry: &Arc<Entry>) {
        self.map
            .insert(Key(Arc::clone(&entry.key)), Arc::clone(entry));
    }

    pub(super) fn remove(&self, key: &[u8]) {
        self.map.invalidate(key);
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
