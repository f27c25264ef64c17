//! Secret keys, by which a client's cancel is known to be its own.

use std::fmt;

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of our secret keys for protocol 3.2; 3.0 has room for four.
const LONG_KEY_BYTES: usize = 32;

/// Random bytes kept for the next keys: as many as the system gives without being interrupted.
const RANDOM_BYTES: usize = 256;

/// A secret key: that of protocol 3.0, or of 3.2.
#[derive(Debug)]
pub(super) enum Key {
    Short([u8; 4]),
    Long(Box<[u8; LONG_KEY_BYTES]>),
}

impl Key {
    pub(super) fn new(long: bool, random: &mut Random) -> Result<Self, Unspecified> {
        if long {
            let mut key = Box::new([0; LONG_KEY_BYTES]);
            random.fill(&mut *key)?;
            return Ok(Self::Long(key));
        }
        let mut key = [0; 4];
        random.fill(&mut key)?;
        Ok(Self::Short(key))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(key) => key,
            Self::Long(key) => &**key,
        }
    }
}

/// The system's random bytes, asked for some keys at once: a system call for each client would be
/// felt. What has been taken is wiped.
pub(super) struct Random {
    bytes: [u8; RANDOM_BYTES],
    used: usize,
}

impl Random {
    fn fill(&mut self, key: &mut [u8]) -> Result<(), Unspecified> {
        let fits = |used: usize| used..used + key.len();
        if self.bytes.get(fits(self.used)).is_none() {
            SystemRandom::new().fill(&mut self.bytes)?;
            self.used = 0;
        }
        let taken = self.bytes.get_mut(fits(self.used)).ok_or(Unspecified)?;
        key.copy_from_slice(taken);
        taken.fill(0);
        self.used += key.len();
        Ok(())
    }
}

impl Default for Random {
    fn default() -> Self {
        Self {
            bytes: [0; RANDOM_BYTES],
            used: RANDOM_BYTES,
        }
    }
}

impl fmt::Debug for Random {
    // What is left are the keys to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_byte_is_given_twice() {
        let mut random = Random::default();
        let mut seen = HashSet::new();
        // Both lengths in turn do not fit into what is asked for at once.
        for round in 0..64 {
            let mut key = vec![0; if round % 2 == 0 { 4 } else { LONG_KEY_BYTES }];
            random.fill(&mut key).unwrap();
            let used = random.used;
            assert!(random.bytes[..used].iter().all(|byte| *byte == 0));
            assert!(key.iter().any(|byte| *byte != 0) && seen.insert(key));
        }
        assert!(random.fill(&mut [0; RANDOM_BYTES + 1]).is_err());
    }
}
