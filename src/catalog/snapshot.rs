//! What is known of a database at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use super::known::Known;

/// The functions of a database, each with a verdict, and what could call an unsafe one without
/// naming it. A function is unsafe if it could change the session that calls it (H90).
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts the loads of this process, from 1.
    pub(super) generation: u64,
    /// Counts the catalogs that differed from the one before.
    pub(super) edition: u64,
    /// By name, without schema: a name is safe only if each function of that name is (H2, H3).
    pub(super) functions: HashMap<Box<[u8]>, bool, foldhash::fast::RandomState>,
    pub(super) unsafe_everywhere: Option<Box<str>>,
    pub(super) unsafe_trigger: Option<Box<str>>,
    pub(super) unsafe_event_trigger: Option<Box<str>>,
    /// What [`resolve`](Self::resolve) asks.
    pub(super) known: Arc<Known>,
}

impl Snapshot {
    /// Which load this is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Which catalog this is: loads of one that has not changed have the same number.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    /// The cache's epoch under which it was loaded; what is cached is stamped with it.
    pub fn epoch(&self) -> u64 {
        self.known.epoch
    }

    /// Set when the database's own defaults forbid caching: which, in words.
    pub fn forbids(&self) -> Option<&str> {
        self.known.forbids.as_deref()
    }

    /// A relation's name for people: `public.t`.
    pub fn relation_name(&self, oid: u32) -> Option<&str> {
        let node = self.known.nodes.get(&oid);
        node.map(|node| &*node.relation.full)
    }

    /// The relations of a name as people write it: `t`, in any schema, or `s.t`.
    pub fn relations_named(&self, name: &str) -> Vec<u32> {
        self.known.relations_named(name)
    }

    /// Whether all functions of this name (folded, without schema) leave the session alone; `None`
    /// if there are none.
    pub fn is_safe(&self, name: &[u8]) -> Option<bool> {
        self.functions.get(name).copied()
    }

    /// A view, rule, operator, cast, type, default, check, policy or index that reaches an unsafe
    /// function: then no statement that evaluates anything is proven clean.
    pub fn unsafe_everywhere(&self) -> Option<&str> {
        self.unsafe_everywhere.as_deref()
    }

    /// An unsafe function that a table's trigger calls: then no write is proven clean.
    pub fn unsafe_trigger(&self) -> Option<&str> {
        self.unsafe_trigger.as_deref()
    }

    /// An unsafe function that an event trigger calls: then no DDL is proven clean.
    pub fn unsafe_event_trigger(&self) -> Option<&str> {
        self.unsafe_event_trigger.as_deref()
    }
}

#[cfg(test)]
impl Snapshot {
    /// A snapshot of a database that has these functions.
    pub(crate) fn of(safe: &[&str], unsafe_: &[&str]) -> Self {
        let verdict = |names: &[&str], safe| -> Vec<(Box<[u8]>, bool)> {
            let names = names.iter();
            names.map(|name| (name.as_bytes().into(), safe)).collect()
        };
        let mut functions = verdict(safe, true);
        functions.extend(verdict(unsafe_, false));
        Self {
            generation: 1,
            functions: functions.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The same with something unsafe in reach: of `everywhere`, `trigger`, `event`.
    pub(crate) fn reaching(mut self, what: &str) -> Self {
        let named = |place: &str| (place == what).then(|| "f_bad".into());
        self.unsafe_everywhere = named("everywhere");
        self.unsafe_trigger = named("trigger");
        self.unsafe_event_trigger = named("event");
        self
    }
}
