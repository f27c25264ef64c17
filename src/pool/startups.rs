//! What start-up parameters come to, so that it is asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::state::{Reported, Settings};

/// Combinations of start-up parameters whose effect a pool remembers. Each application has one.
const STARTUPS_MAX: usize = 256;

/// The settings that differ from the defaults, and what is reported under them.
pub type Effect = (Arc<Settings>, Arc<Reported>);

/// What start-up parameters came to: by the parameters, those that differ from the defaults, and
/// what an upstream reported under them.
#[derive(Debug, Default)]
pub struct Startups {
    known: Mutex<HashMap<Vec<u8>, Effect, RandomState>>,
}

impl Startups {
    /// What these parameters, as bytes, came to.
    pub fn find(&self, key: &[u8]) -> Option<Effect> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned()
    }

    /// They came to this.
    pub fn remember(&self, key: Vec<u8>, settings: &Arc<Settings>, reported: &Arc<Reported>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= STARTUPS_MAX {
            known.clear();
        }
        known.insert(key, (Arc::clone(settings), Arc::clone(reported)));
    }

    /// The defaults of the upstream changed.
    pub fn forget(&self) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
