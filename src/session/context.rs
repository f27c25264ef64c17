//! What of a session goes into a cache key besides text and parameters: who asks, and under which
//! settings (sections 3 and 4B of the rules).

use std::sync::Arc;

use super::neutral::{forbids, is_neutral};
use super::state::State;
use super::switches::switches;
use crate::cache::key::Contexts;
use crate::cache::rules::Switches;
use crate::pool::state::{Reported, Setting, Settings};

/// The context of a session as long as its settings stay the same.
#[derive(Clone, Debug)]
pub(super) struct Context {
    settings: Arc<Settings>,
    reported: Arc<Reported>,
    /// Equal ids mean equal contexts; `None` when nothing is cached under these settings.
    pub(super) id: Option<u64>,
    pub(super) switches: Switches,
    /// See [`State::folding`].
    pub(super) folding: Box<[u8]>,
    /// The upstream's user.
    user: Box<str>,
    /// Policies may ask for any setting, so that none is neutral.
    keyed: bool,
}

impl Context {
    /// Whether it is still that of this state.
    pub(super) fn holds(&self, state: &State) -> bool {
        Arc::ptr_eq(&self.settings, state.settings.now())
            && Arc::ptr_eq(&self.reported, &state.reported)
    }

    /// Whether it is also that of another session, of the same part in the same cache: most
    /// sessions of a program have the same settings.
    pub(super) fn fits(&self, state: &State, user: &str, keyed: bool) -> bool {
        self.holds(state) && *self.user == *user && self.keyed == keyed
    }

    /// For a session of `user` (the upstream's) on the database that `database` numbers. With `keyed`,
    /// policies may ask for any setting, so that none is neutral.
    pub(super) fn new(
        state: &State,
        contexts: &Contexts,
        (database, user): (u64, &str),
        keyed: bool,
    ) -> Self {
        let settings = Arc::clone(state.settings.now());
        let reported = Arc::clone(&state.reported);
        let switches = switches(&settings);
        let forbidden = !reported.standard_conforming()
            || settings
                .iter()
                .any(|(name, setting)| forbids(name, setting));
        let id = (!forbidden).then(|| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&database.to_be_bytes());
            push(&mut bytes, user.as_bytes());
            state.push_reported(&mut bytes);
            let counts = |name: &str| !is_neutral(name) || keyed && !name.starts_with("pgweir.");
            for (name, setting) in settings.iter().filter(|(name, _)| counts(name)) {
                push(&mut bytes, name.as_bytes());
                let (kind, text) = match setting {
                    Setting::Sql(text) => (b'q', text),
                    Setting::Value(text) => (b'v', text),
                };
                bytes.push(kind);
                push(&mut bytes, text);
            }
            contexts.id(&bytes)
        });
        Self {
            settings,
            reported,
            id,
            switches,
            folding: state.folding().into(),
            user: user.into(),
            keyed,
        }
    }
}

/// Length first, so that no two lists of fields look the same (H38).
fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
    bytes.extend_from_slice(field);
}
