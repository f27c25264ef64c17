//! A session's settings through its transactions: `ROLLBACK` takes back what was set since `BEGIN`.

use std::sync::Arc;

use crate::pool::state::Settings;

/// Savepoints whose settings are remembered, per transaction. A session that nests deeper and then
/// rolls back to a forgotten one is pinned, because nobody knows its settings then.
const SAVEPOINTS_MAX: usize = 1_000;

/// A session's settings through transactions: `ROLLBACK` takes back what was set since `BEGIN`.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    now: Arc<Settings>,
    committed: Arc<Settings>,
    /// Few sessions have any.
    savepoints: Option<Box<Savepoints>>,
}

#[derive(Clone, Debug, Default)]
struct Savepoints(Vec<Savepoint>);

type Savepoint = (Box<[u8]>, Arc<Settings>);

impl Staged {
    /// Settings with no transaction running.
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            committed: Arc::clone(&settings),
            now: settings,
            savepoints: None,
        }
    }

    /// As the session sees them now.
    pub(super) fn now(&self) -> &Arc<Settings> {
        &self.now
    }

    /// Changes them; the change lasts if the transaction commits.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.now));
        if self.now.is_empty() {
            self.now = Settings::defaults();
        }
    }

    /// As another's are now.
    pub(super) fn follow(&mut self, other: &Self) {
        self.now = Arc::clone(&other.now);
    }

    /// The transaction, explicit or implicit, committed.
    pub(super) fn commit(&mut self) {
        if !Arc::ptr_eq(&self.committed, &self.now) {
            self.committed = Arc::clone(&self.now);
        }
        self.savepoints = None;
    }

    /// It rolled back.
    pub(super) fn rollback(&mut self) {
        if !Arc::ptr_eq(&self.committed, &self.now) {
            self.now = Arc::clone(&self.committed);
        }
        self.savepoints = None;
    }

    /// `SAVEPOINT name`.
    pub(super) fn savepoint(&mut self, name: &[u8]) {
        let savepoints = &mut self.savepoints.get_or_insert_default().0;
        if savepoints.len() < SAVEPOINTS_MAX {
            savepoints.push((name.into(), Arc::clone(&self.now)));
        }
    }

    /// `ROLLBACK TO name`; false when that savepoint is not remembered.
    #[must_use]
    pub(super) fn rollback_to(&mut self, name: &[u8]) -> bool {
        let Some((savepoints, at)) = self.find(name) else {
            return false;
        };
        savepoints.truncate(at + 1);
        if let Some((_, settings)) = savepoints.last() {
            self.now = Arc::clone(settings);
        }
        true
    }

    /// `RELEASE name`.
    pub(super) fn release(&mut self, name: &[u8]) {
        if let Some((savepoints, at)) = self.find(name) {
            savepoints.truncate(at);
        }
    }

    fn find(&mut self, name: &[u8]) -> Option<(&mut Vec<Savepoint>, usize)> {
        let savepoints = &mut self.savepoints.as_mut()?.0;
        let named = |(candidate, _): &Savepoint| **candidate == *name;
        let at = savepoints.iter().rposition(named)?;
        Some((savepoints, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::state::Setting;

    fn settings(list: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in list {
            settings.set(name, Setting::Value(value.as_bytes().into()));
        }
        settings
    }

    #[test]
    fn rollback_and_savepoints_take_back() {
        let mut staged = Staged::new(Settings::defaults());
        let set = |staged: &mut Staged, value: &str| {
            let value = Setting::Value(value.as_bytes().into());
            staged.change(|s| s.set("x", value));
        };
        set(&mut staged, "1");
        staged.commit();
        set(&mut staged, "2");
        staged.savepoint(b"a");
        set(&mut staged, "3");
        staged.savepoint(b"b");
        set(&mut staged, "4");
        assert!(staged.rollback_to(b"a"));
        assert_eq!(staged.now(), &Arc::new(settings(&[("x", "2")])));
        assert!(!staged.rollback_to(b"b"));
        staged.rollback();
        assert_eq!(staged.now(), &Arc::new(settings(&[("x", "1")])));
        staged.change(|s| s.remove("x"));
        assert!(Arc::ptr_eq(staged.now(), &Settings::defaults()));
    }
}
