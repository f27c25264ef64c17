//! What reading a relation means: views seen through, policies, partitions.

use std::sync::Arc;

use super::sum::{Seen, Sum};
use super::{Refusal, sorted};
use crate::catalog::facts::Map;
use crate::catalog::known::{Known, Node};
use crate::reason::Reason;

/// Relations that one may bring: a view over more is not looked through.
const RELATIONS_MAX: usize = 1_000;

/// What reading one relation means.
#[derive(Clone, Debug, Default)]
pub(in crate::catalog) struct Reads {
    refusal: Option<Refusal>,
    opaque: Option<Refusal>,
    pub(super) deps: Box<[u32]>,
    writes: Box<[u32]>,
    seen: Seen,
}

impl Sum<'_> {
    /// A relation is read.
    pub(super) fn relation(&mut self, node: &Node) {
        let reads = self.known.reads_of(node);
        if self.refusal.is_none() {
            self.refusal.clone_from(&reads.refusal);
        }
        if self.opaque.is_none() {
            self.opaque.clone_from(&reads.opaque);
        }
        self.deps.extend_from_slice(&reads.deps);
        self.writes.extend_from_slice(&reads.writes);
        self.seen.add(reads.seen);
    }
}

impl Known {
    /// What reading a relation means.
    pub(super) fn reads_of<'n>(&self, node: &'n Node) -> &'n Reads {
        node.reads.get_or_init(|| Arc::new(self.reads(node)))
    }

    /// Walks from a relation to all that is behind it.
    fn reads(&self, node: &Node) -> Reads {
        let mut sum = Sum::new(self);
        let mut visited: Map<u32, ()> = Map::default();
        sum.reads.push(node.relation.oid);
        while let Some(oid) = sum.reads.pop() {
            if visited.insert(oid, ()).is_some() {
                continue;
            }
            if visited.len() > RELATIONS_MAX {
                sum.opaque(Reason::Opaque, || {
                    format!(
                        "{} brings more than {RELATIONS_MAX} relations",
                        node.relation.full
                    )
                });
                break;
            }
            match self.nodes.get(&oid) {
                Some(node) => sum.node(node),
                None if oid < crate::catalog::facts::FIRST_USER => {
                    sum.refuse(Reason::Catalog, || {
                        format!("{} reads a system catalog", node.relation.full)
                    });
                }
                None => sum.refuse(Reason::UnknownRelation, || format!("relation number {oid}")),
            }
        }
        Reads {
            refusal: sum.refusal,
            opaque: sum.opaque,
            deps: sorted(sum.deps),
            writes: sorted(sum.writes),
            seen: sum.seen,
        }
    }

    /// All partitions or children of a relation, at any depth, without itself.
    pub(in crate::catalog) fn descendants(&self, node: &Node) -> Vec<u32> {
        self.along(node, |node| &node.children)
    }

    /// All that it is a partition or child of.
    pub(in crate::catalog) fn ancestors(&self, node: &Node) -> Vec<u32> {
        self.along(node, |node| &node.parents)
    }

    fn along(&self, node: &Node, way: impl Fn(&Node) -> &Vec<u32>) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        let mut visited: Map<u32, ()> = Map::default();
        let mut open: Vec<u32> = way(node).clone();
        while let Some(oid) = open.pop() {
            if visited.insert(oid, ()).is_none() {
                found.push(oid);
                open.extend(self.nodes.get(&oid).map(&way).into_iter().flatten());
            }
        }
        found
    }
}

impl Sum<'_> {
    /// One relation of the walk; what is behind it is left in `reads`.
    pub(super) fn node(&mut self, node: &Node) {
        let known = self.known;
        let relation = &node.relation;
        let name = || relation.full.to_string();
        self.deps.push(relation.oid);
        match relation.kind {
            b'r' | b'p' | b'm' => {}
            b'v' => {
                for rule in node.rules.iter().filter(|rule| rule.event == b'1') {
                    self.stored(&rule.stored, &relation.full, false);
                    self.reads.extend_from_slice(&rule.stored.relations);
                }
            }
            b'f' if known.declared.foreign_tables => {}
            b'f' => self.refuse(Reason::Foreign, name),
            b'S' => self.refuse(Reason::Volatile, || format!("{} is a sequence", name())),
            _ => self.refuse(Reason::Uncacheable, name),
        }
        if relation.row_security {
            self.policies(node);
        }
        for child in known.descendants(node) {
            let child = known.nodes.get(&child).map(|node| &node.relation);
            if let Some(child) = child.filter(|child| child.kind == b'f')
                && !known.declared.foreign_tables
            {
                self.refuse(Reason::Foreign, || child.full.to_string());
            }
        }
        for column in &relation.columns {
            let shape = known.shape(column.type_oid);
            if shape.is_catalog {
                self.refuse(Reason::Catalog, || {
                    format!("column {} of {} reads the catalog", column.name, name())
                });
            }
            self.held(&shape);
        }
        self.rows(node);
    }

    /// What a cast of a whole row runs, also as a row of what it inherits from.
    fn rows(&mut self, node: &Node) {
        let known = self.known;
        let ancestors = known.ancestors(node);
        let nodes = ancestors.iter().filter_map(|oid| known.nodes.get(oid));
        for node in nodes.chain([node]) {
            let row_type = node.relation.row_type;
            if let Some(&function) = known.tainted.get(&row_type) {
                self.function(function, false);
            }
        }
    }

    /// Row security: refused, or seen through when the key holds what policies ask for (H20).
    fn policies(&mut self, node: &Node) {
        let keyed = self.known.declared.keyed_rls;
        if !keyed {
            self.refuse(Reason::RowSecurity, || {
                format!("{} is under row security", node.relation.full)
            });
        }
        for policy in &node.policies {
            self.stored(&policy.stored, &node.relation.full, keyed);
            self.reads.extend_from_slice(&policy.stored.relations);
        }
    }
}
