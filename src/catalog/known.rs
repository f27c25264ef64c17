//! The facts of a snapshot, with the ways to look them up.

use std::sync::{Arc, OnceLock};

use super::Declared;
use super::allow;
use super::closure::Closure;
use super::facts::{
    FIRST_USER, Facts, ForeignKey, Map, Operator, Part, Policy, Relation, Routine, Rule, Trigger,
    Type, Used,
};
use super::resolve::reads::Reads;
use crate::reason::Reason;

/// What may be thought of a function, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Its result depends on its arguments and the key alone.
    Safe,
    /// The same, and on the tables of its extension.
    Extension(u32),
    /// Built in, or of a well-known extension: it depends on something else, but writes no
    /// relation.
    Refused(Reason),
    /// It may do anything.
    Opaque(Reason),
    /// The configuration tells.
    Declared,
}

/// A relation with what hangs on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) relation: Relation,
    pub(super) children: Vec<u32>,
    pub(super) parents: Vec<u32>,
    /// Foreign keys that point here.
    pub(super) keys: Vec<ForeignKey>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) rules: Vec<Rule>,
    pub(super) policies: Vec<Policy>,
    pub(super) parts: Vec<Part>,
    /// What reading it means, once it was asked for.
    pub(super) reads: OnceLock<Arc<Reads>>,
    /// What writing it means, by verb: insert, update, delete, truncate, truncate cascade; then
    /// the same with ONLY.
    pub(super) closures: [OnceLock<Arc<Closure>>; 10],
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) epoch: u64,
    pub(super) forbids: Option<Box<str>>,
    pub(super) declared: Arc<Declared>,
    pub(super) nodes: Map<u32, Node>,
    pub(super) relation_names: Map<Box<str>, Vec<u32>>,
    pub(super) routines: Map<u32, (Routine, Trust)>,
    pub(super) routine_names: Map<Box<str>, Vec<u32>>,
    pub(super) operators: Map<u32, Operator>,
    pub(super) operator_names: Map<Box<str>, Vec<u32>>,
    pub(super) types: Map<u32, Type>,
    pub(super) type_names: Map<Box<str>, Vec<u32>>,
    /// Arrays, by what they are of.
    pub(super) elements: Map<u32, u32>,
    /// Tables and views by the type of their rows.
    pub(super) rows: Map<u32, u32>,
    /// Types with code in question behind their casts, operators or ranges, and a function of it.
    pub(super) tainted: Map<u32, u32>,
    /// Domains with such code in their checks or default.
    pub(super) checked: Map<u32, u32>,
    /// Such a function behind a cast between built-in types, or behind a comparison of these.
    pub(super) everywhere: Option<u32>,
    pub(super) extensions: Map<u32, Box<str>>,
    pub(super) extension_tables: Map<u32, Vec<u32>>,
    /// See [`super::snapshot::Snapshot::locks_tell`].
    pub(super) locks_tell: bool,
}

impl Known {
    pub(super) fn new(mut facts: Facts, declared: Arc<Declared>, epoch: u64) -> Self {
        let mut known = Self {
            epoch,
            forbids: facts.forbids.take(),
            declared,
            extensions: std::mem::take(&mut facts.extensions),
            ..Self::default()
        };
        for &(extension, table) in &facts.extension_tables {
            known
                .extension_tables
                .entry(extension)
                .or_default()
                .push(table);
        }
        known.put_routines(&mut facts);
        known.put_types(&mut facts);
        known.put_relations(&mut facts);
        known.put_taints(&facts);
        known.locks_tell = facts.locks_readable && known.are_locks_telling();
        known
    }

    fn put_routines(&mut self, facts: &mut Facts) {
        let mut searching = None;
        let user = facts.routines.iter().filter(|r| r.oid >= FIRST_USER);
        let user: Map<u32, u32> = user.map(|r| (r.oid, r.extension)).collect();
        for (function, _) in &facts.text_search {
            let extension = user.get(function).and_then(|e| self.extensions.get(e));
            if !extension.is_some_and(|e| allow::is_well_known(e)) {
                searching = Some(*function);
            }
        }
        for routine in std::mem::take(&mut facts.routines) {
            let mut trust = self.judge(&routine);
            if searching.is_some() && allow::searches_text(&routine.name) {
                trust = Trust::Opaque(Reason::UserFunction);
            }
            let names = self.routine_names.entry(routine.name.clone());
            names.or_default().push(routine.oid);
            self.routines.insert(routine.oid, (routine, trust));
        }
        for operator in std::mem::take(&mut facts.operators) {
            let names = self.operator_names.entry(operator.name.clone());
            names.or_default().push(operator.oid);
            self.operators.insert(operator.oid, operator);
        }
    }

    /// What a function's own row tells of it.
    fn judge(&self, routine: &Routine) -> Trust {
        if routine.oid < FIRST_USER {
            return match allow::builtin(routine) {
                _ if allow::is_opaque(&routine.name) => Trust::Opaque(Reason::Opaque),
                Some(reason) => Trust::Refused(reason),
                None => Trust::Safe,
            };
        }
        if self.declared_function(routine).is_some() {
            return Trust::Declared;
        }
        if allow::is_opaque(&routine.name) {
            return Trust::Opaque(Reason::Opaque);
        }
        let extension = self.extensions.get(&routine.extension);
        if !extension.is_some_and(|name| allow::is_well_known(name)) {
            // What an extension has in C, and does not call volatile, may read anything but is
            // believed to write nothing: its types could not be used otherwise.
            let quiet = routine.is_c && routine.extension != 0 && routine.volatility != b'v';
            return if quiet {
                Trust::Refused(Reason::UserFunction)
            } else {
                Trust::Opaque(Reason::UserFunction)
            };
        }
        match routine.volatility {
            b'v' if routine.is_c => Trust::Refused(Reason::Volatile),
            b'v' => Trust::Opaque(Reason::UserFunction),
            _ if self.extension_tables.contains_key(&routine.extension) => {
                Trust::Extension(routine.extension)
            }
            _ => Trust::Safe,
        }
    }

    /// What the configuration says of a function.
    pub(super) fn declared_function(&self, routine: &Routine) -> Option<&super::Effects> {
        let functions = &self.declared.functions;
        if functions.is_empty() {
            return None;
        }
        let named = functions.get(&routine.qualified());
        named.or_else(|| functions.get(&*routine.name))
    }

    fn put_types(&mut self, facts: &mut Facts) {
        for type_ in std::mem::take(&mut facts.types) {
            self.type_names
                .entry(type_.name.clone())
                .or_default()
                .push(type_.oid);
            if type_.array != 0 {
                self.elements.insert(type_.array, type_.oid);
            }
            self.types.insert(type_.oid, type_);
        }
    }

    fn put_relations(&mut self, facts: &mut Facts) {
        for relation in std::mem::take(&mut facts.relations) {
            // Sequences have none, from version 14 on.
            if relation.row_type != 0 {
                self.rows.insert(relation.row_type, relation.oid);
            }
            if relation.row_array != 0 {
                self.elements.insert(relation.row_array, relation.row_type);
            }
            // A composite type is no relation that a query could name.
            if relation.kind != b'c' {
                let names = self.relation_names.entry(relation.name().into());
                names.or_default().push(relation.oid);
            }
            let node = Node {
                relation,
                ..Node::default()
            };
            self.nodes.insert(node.relation.oid, node);
        }
        for &(child, parent) in &facts.inherits {
            if self.nodes.contains_key(&child) && self.nodes.contains_key(&parent) {
                self.on(child, |node| node.parents.push(parent));
                self.on(parent, |node| node.children.push(child));
            }
        }
        for key in std::mem::take(&mut facts.foreign_keys) {
            self.on(key.referenced, |node| node.keys.push(key));
        }
        for trigger in std::mem::take(&mut facts.triggers) {
            self.on(trigger.relation, |node| node.triggers.push(trigger));
        }
        for rule in std::mem::take(&mut facts.rules) {
            self.on(rule.relation, |node| node.rules.push(rule));
        }
        for policy in std::mem::take(&mut facts.policies) {
            self.on(policy.relation, |node| node.policies.push(policy));
        }
        for part in std::mem::take(&mut facts.parts) {
            self.on(part.relation, |node| node.parts.push(part));
        }
    }

    fn on(&mut self, relation: u32, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(&relation) {
            change(node);
        }
    }

    /// Code that is reached without being named.
    fn put_taints(&mut self, facts: &Facts) {
        for cast in &facts.casts {
            if self.is_questionable(cast.function) {
                // To run it takes a value, column or name of the type that is not built in.
                for end in [cast.source, cast.target] {
                    self.taint(end, cast.function);
                }
                if cast.source.max(cast.target) < FIRST_USER {
                    self.everywhere = Some(cast.function);
                }
            }
        }
        for &(type_oid, function) in facts.ranges.iter().chain(&facts.classes) {
            // Support in C, by an extension, compares and does no more.
            let routine = self.routines.get(&function);
            let compares = routine.is_some_and(|(r, _)| r.is_c && r.extension != 0);
            if self.is_questionable(function) && !compares {
                self.tainted.insert(type_oid, function);
            }
        }
        self.put_bound(&facts.implicit);
        self.put_checked(&facts.checked);
    }

    fn taint(&mut self, type_oid: u32, function: u32) {
        let element = self.elements.get(&type_oid).copied().unwrap_or(type_oid);
        if element >= FIRST_USER {
            self.tainted.insert(element, function);
        }
    }

    /// Operators in foreign code: those with an operand of a type that is not built in are told by
    /// that type, if there is a built-in operator of their symbol that all else would lead to.
    /// Syntax reaches some without their symbol: IN, BETWEEN, CASE, NULLIF, USING, GREATEST,
    /// DISTINCT, ORDER BY.
    fn put_bound(&mut self, implicit: &[u32]) {
        let mut bound = Vec::new();
        for operator in self.operators.values() {
            if operator.oid < FIRST_USER || !self.is_questionable(operator.function) {
                continue;
            }
            let element = |type_oid: u32| self.elements.get(&type_oid).copied().unwrap_or(type_oid);
            let own = operator.operands.map(element);
            let own = own.into_iter().find(|&operand| operand >= FIRST_USER);
            let named = self
                .operator_names
                .get(&operator.name)
                .into_iter()
                .flatten();
            let arity = |operands: [u32; 2]| operands.map(|operand| operand == 0);
            let rivals = named
                .filter_map(|oid| self.operators.get(oid))
                .any(|rival| {
                    rival.oid < FIRST_USER && arity(rival.operands) == arity(operator.operands)
                });
            match own {
                Some(own) if rivals && !implicit.contains(&own) => {
                    bound.push((operator.oid, own, operator.function));
                }
                _ if matches!(&*operator.name, "=" | "<>" | "<" | "<=" | ">" | ">=") => {
                    self.everywhere = Some(operator.function);
                }
                _ => {}
            }
        }
        for (oid, own, function) in bound {
            self.tainted.insert(own, function);
            if let Some(operator) = self.operators.get_mut(&oid) {
                operator.bound = true;
            }
        }
    }

    /// Domains whose checks or default run code in question, also by way of other domains.
    fn put_checked(&mut self, checked: &[(u32, Used)]) {
        loop {
            let before = self.checked.len();
            for &(domain, used) in checked {
                if let Some(function) = self.questionable(used) {
                    self.checked.insert(domain, function);
                }
            }
            if self.checked.len() == before {
                return;
            }
        }
    }

    /// Whether `x.f` could call a function whose first argument has this type: a row's, or any.
    pub(super) fn is_of_rows(&self, type_oid: u32) -> bool {
        let base = match self.types.get(&type_oid) {
            Some(type_) if type_.kind == b'd' => type_.base,
            _ => type_oid,
        };
        let composite = |type_: &Type| type_.kind == b'c';
        // record, anyelement, "any", anynonarray, anycompatible, anycompatiblenonarray
        matches!(base, 2249 | 2283 | 2276 | 2776 | 5077 | 5079)
            || self.rows.contains_key(&base)
            || self.types.get(&base).is_some_and(composite)
    }

    /// Whether a function does more than to compute something of its arguments.
    fn is_questionable(&self, function: u32) -> bool {
        // An operator without a function is a shell; it cannot be called.
        function != 0 && !matches!(self.trust(function), Trust::Safe | Trust::Extension(_))
    }

    pub(super) fn trust(&self, function: u32) -> Trust {
        let known = self.routines.get(&function);
        known.map_or(Trust::Opaque(Reason::UserFunction), |(_, trust)| *trust)
    }

    /// The function in question behind a part of an expression.
    pub(super) fn questionable(&self, used: Used) -> Option<u32> {
        let function = match used {
            Used::Function(function) => function,
            Used::Operator(operator) => self.operators.get(&operator).map_or(0, |o| o.function),
            Used::Type(type_oid) => {
                let shape = self.shape(type_oid);
                return shape.checked.or(shape.tainted);
            }
        };
        self.is_questionable(function).then_some(function)
    }

    /// The relations of a name as people write it: `table` or `schema.table`.
    pub(super) fn relations_named(&self, name: &str) -> Vec<u32> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, name),
        };
        let oids = self.relation_names.get(table).into_iter().flatten();
        let in_schema = |oid: &&u32| {
            let node = self.nodes.get(oid);
            node.is_some_and(|node| schema.is_none_or(|schema| *node.relation.schema == *schema))
        };
        oids.filter(in_schema).copied().collect()
    }
}
