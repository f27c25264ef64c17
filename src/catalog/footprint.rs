//! What was written by code that cannot be seen through: the server's own locks tell (H62).
//!
//! A transaction keeps a lock on each table that it has written until it ends, whoever wrote it: a
//! trigger, a function, a cascade. So `pg_locks`, read just before the end, is the exact write set, unless
//! something happens after it (deferred triggers) or elsewhere (other connections, foreign tables).

use super::allow;
use super::facts::FIRST_USER;
use super::known::{Known, Node};
use super::snapshot::Snapshot;

impl Snapshot {
    /// Whether everybody may ask for locks, and these tell all that code of this database writes. Not when
    /// there is an extension or a C function that might write over a connection of its own, as `dblink`
    /// does.
    pub fn locks_tell(&self) -> bool {
        self.known.locks_tell
    }

    /// What changes when these relations, which a transaction has locked, have been written. `None`: it
    /// cannot be told.
    pub fn locked(&self, relations: &[u32]) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        for oid in relations {
            let node = self.known.nodes.get(oid)?;
            if !is_told_by_its_lock(node) {
                return None;
            }
            found.push(*oid);
            found.extend(self.known.ancestors(node));
        }
        Some(found)
    }
}

/// A foreign table changes elsewhere, and a deferred trigger may write when nobody can ask any more.
fn is_told_by_its_lock(node: &Node) -> bool {
    node.relation.kind != b'f' && !node.triggers.iter().any(|trigger| trigger.deferrable)
}

impl Known {
    /// See [`Snapshot::locks_tell`].
    pub(super) fn are_locks_telling(&self) -> bool {
        let trusted = |name: &str| name == "plpgsql" || allow::is_well_known(name);
        let own_c = |oid: u32| {
            let routine = self.routines.get(&oid);
            routine.is_some_and(|(routine, _)| routine.is_c && routine.extension == 0)
        };
        self.extensions.values().all(|name| trusted(name))
            && !self
                .routines
                .keys()
                .any(|&oid| oid >= FIRST_USER && own_c(oid))
    }
}
