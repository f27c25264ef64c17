//! A key with its hash, which is computed once for a question however often it is looked up.

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::Equivalent;

/// A key that somebody asks by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) hash: u64,
    pub(super) bytes: &'a [u8],
}

/// A key that is kept. It is compared whole; the hash only places it (H39).
#[derive(Clone, Debug)]
pub struct Key {
    hash: u64,
    bytes: Arc<[u8]>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(bytes: &'a [u8], hasher: &RandomState) -> Self {
        let hash = hasher.hash_one(bytes);
        Self { hash, bytes }
    }
}

impl Key {
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            hash: self.hash,
            bytes: &self.bytes,
        }
    }
}

impl From<Asked<'_>> for Key {
    fn from(asked: Asked<'_>) -> Self {
        Self {
            hash: asked.hash,
            bytes: asked.bytes.into(),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.bytes == *key.bytes
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes on the hash that a key brings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known(u64);

impl BuildHasher for Known {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for Known {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys write one number; anything else would still be placed somehow.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
