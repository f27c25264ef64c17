//! What the databases of one server share: its roles, who is a member of which, and what is set for
//! them.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Catalog;

/// A server, as far as its databases have clients here.
#[derive(Debug, Default)]
pub struct Server {
    /// How often it was noticed that sessions which begin now differ from those which run.
    changes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that are in use. As many as there are databases with pools.
    catalogs: Vec<Weak<Catalog>>,
    /// What was last set for roles and databases, as the digest tells it.
    settings: Option<String>,
}

impl Server {
    /// A number that moves when roles or their settings may have changed: an upstream that logged in
    /// under another one may run under other defaults than the next one.
    pub fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// A database of it.
    pub(super) fn join(&self, catalog: &Arc<Catalog>) {
        let mut state = self.state();
        state.catalogs.retain(|known| known.strong_count() > 0);
        state.catalogs.push(Arc::downgrade(catalog));
    }

    /// Roles, memberships or their settings were changed through one of its databases: privileges
    /// and defaults in all of them may be others.
    pub fn changed(&self) {
        let mut state = self.state();
        // What the next digest shows is this change.
        state.settings = None;
        let catalogs: Vec<_> = state.catalogs.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        self.changes.fetch_add(1, SeqCst);
        for catalog in catalogs {
            catalog.invalidate();
        }
    }

    /// A digest shows these settings of roles and databases. (Each database notices for itself that
    /// its catalog has changed.)
    pub(super) fn saw(&self, settings: &str) {
        let mut state = self.state();
        match &mut state.settings {
            Some(known) if known == settings => {}
            Some(known) => {
                settings.clone_into(known);
                self.changes.fetch_add(1, SeqCst);
            }
            none => *none = Some(settings.to_owned()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::generation::Generations;

    #[test]
    fn a_change_of_roles_concerns_every_database() {
        let server = Arc::new(Server::default());
        let catalog = || Catalog::new(Generations::new(), Arc::default(), Arc::clone(&server));
        let (one, two) = (catalog(), catalog());
        let epochs = || [one.generations().epoch(), two.generations().epoch()];
        let before = epochs();
        server.changed();
        let after = epochs();
        assert!(after[0] > before[0] && after[1] > before[1]);
        assert_eq!(server.changes(), 1);
    }

    #[test]
    fn settings_that_are_seen_again_are_no_change() {
        let server = Server::default();
        for (settings, changes) in [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("a", 2)] {
            server.saw(settings);
            assert_eq!(server.changes(), changes, "{settings}");
        }
        // It shows only what was noticed otherwise.
        server.changed();
        server.saw("c");
        assert_eq!(server.changes(), 3);
    }
}
