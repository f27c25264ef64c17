//! What a class of queries means in one database: what its result depends on, and what it writes.
//!
//! A name without schema stands for every relation, function, operator or type of that name,
//! whatever the session's `search_path`: a read is cacheable only if it would be with each of
//! them, and depends on all. Of functions only those with a fitting number of arguments count
//! (H2, H3).

mod functions;
pub(super) mod reads;
pub(super) mod sum;
mod types;
mod verdict;

pub use self::verdict::{Object, Verdict};

use self::sum::Sum;
use super::closure::{Closure, Mark};
use super::known::{Known, Node};
use super::snapshot::Snapshot;
use crate::reason::Reason;
use crate::sql::class::{Class, Kind, QName, Verb};

/// What a class means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The relations that the result depends on, or why it may not be cached.
    pub read: Result<Box<[u32]>, Refusal>,
    pub writes: WriteSet,
}

/// Why something is not cached, or counts as a write of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// What it is about, and why: a sentence for people.
    pub object: Box<str>,
}

impl Refusal {
    pub(super) fn new(reason: Reason, object: impl Into<Box<str>>) -> Self {
        Self {
            reason,
            object: object.into(),
        }
    }
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteSet {
    Nothing,
    Relations(Box<[u32]>),
    /// It cannot be told, or is too much to list.
    Everything(Refusal),
    /// The catalog itself.
    Definitions,
}

impl Snapshot {
    /// What `class` means here. Once per shape and snapshot: some tens of microseconds.
    pub fn resolve(&self, class: &Class) -> Meaning {
        self.known.resolve(class)
    }
}

/// The relations that a name may stand for.
enum Named<'k> {
    Relations(Vec<&'k Node>),
    /// Of the system's own schemas.
    System,
    Temporary,
}

impl Known {
    fn resolve(&self, class: &Class) -> Meaning {
        let refuse = |reason: Reason| Refusal::new(reason, reason.sentence());
        match class.kind {
            Kind::Definition => Meaning {
                read: Err(refuse(Reason::Definition)),
                writes: WriteSet::Definitions,
            },
            Kind::Everything(reason) => Meaning {
                read: Err(refuse(reason)),
                writes: WriteSet::Everything(refuse(reason)),
            },
            Kind::Read | Kind::NoCache(_) | Kind::Write => {
                let mut sum = Sum::new(self);
                sum.uses(&class.uses);
                let writes = self.writes(class, &mut sum);
                let refused = match class.kind {
                    Kind::NoCache(reason) | Kind::Everything(reason) => Some(refuse(reason)),
                    Kind::Definition => Some(refuse(Reason::Definition)),
                    Kind::Read if class.writes.is_empty() => None,
                    Kind::Read | Kind::Write => Some(refuse(Reason::Write)),
                };
                Meaning {
                    read: match refused.or_else(|| sum.refusal.take()) {
                        Some(refusal) => Err(refusal),
                        None => Ok(sorted(std::mem::take(&mut sum.deps))),
                    },
                    writes,
                }
            }
        }
    }

    /// What it writes: what it says, and what is behind what it uses.
    fn writes(&self, class: &Class, sum: &mut Sum<'_>) -> WriteSet {
        let mut found = Vec::new();
        let mut definitions = false;
        let mut everything = sum.opaque.take();
        for write in &class.writes {
            match self.named(&write.relation) {
                Named::System => definitions = true,
                Named::Temporary => {
                    let name = write.relation.name.to_string();
                    everything = everything.or(Some(Refusal::new(
                        Reason::TempTable,
                        format!(
                            "{name} is written, a temporary table whose triggers are not known"
                        ),
                    )));
                }
                Named::Relations(nodes) if nodes.is_empty() => {
                    let object =
                        format!("{} is written, which is not known", Shown(&write.relation));
                    everything = everything.or(Some(Refusal::new(Reason::UnknownRelation, object)));
                }
                Named::Relations(nodes) => {
                    for node in nodes {
                        let closure = self.closure(node, Mark::of(write.verb, write.only));
                        everything = everything.or(closure.add_to(&mut found));
                    }
                }
            }
        }
        for oid in std::mem::take(&mut sum.writes) {
            everything = everything.or(self.declared_write(oid, &mut found));
        }
        match everything {
            Some(refusal) => WriteSet::Everything(refusal),
            None if definitions => WriteSet::Definitions,
            None if found.is_empty() => WriteSet::Nothing,
            None => WriteSet::Relations(sorted(found)),
        }
    }

    /// Adds what changes when a function that the configuration speaks for writes to a relation.
    fn declared_write(&self, oid: u32, found: &mut Vec<u32>) -> Option<Refusal> {
        let node = self.nodes.get(&oid)?;
        let mut everything = None;
        for verb in [Verb::Insert, Verb::Update, Verb::Delete] {
            let closure = self.closure(node, Mark::of(verb, false));
            everything = everything.or(closure.add_to(found));
        }
        everything
    }

    /// What a relation's name may stand for.
    fn named(&self, name: &QName) -> Named<'_> {
        match name.schema.as_deref() {
            Some("pg_catalog" | "information_schema" | "pg_toast") => return Named::System,
            Some(schema)
                if schema.starts_with("pg_temp") || schema.starts_with("pg_toast_temp") =>
            {
                return Named::Temporary;
            }
            None if name.name.starts_with("pg_") => return Named::System,
            _ => {}
        }
        let oids = self.relation_names.get(&name.name);
        let nodes = oids
            .into_iter()
            .flatten()
            .filter_map(|oid| self.nodes.get(oid));
        let schema = name.schema.as_deref();
        Named::Relations(
            nodes
                .filter(|node| schema.is_none_or(|schema| *node.relation.schema == *schema))
                .collect(),
        )
    }
}

impl Closure {
    /// Adds what is written, or says why that is everything.
    fn add_to(&self, found: &mut Vec<u32>) -> Option<Refusal> {
        match self {
            Self::Relations(relations) => {
                found.extend_from_slice(relations);
                None
            }
            Self::Everything(refusal) => Some(refusal.clone()),
        }
    }
}

/// Each once.
fn sorted(mut oids: Vec<u32>) -> Box<[u32]> {
    oids.sort_unstable();
    oids.dedup();
    oids.into()
}

/// A name as people write it.
struct Shown<'n>(&'n QName);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(schema) = &self.0.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.0.name)
    }
}
