//! What else changes when a relation is written (H62, H63): partitions both ways, what foreign
//! keys cascade to, rules, views, triggers, and the code in defaults and checks.

use std::sync::Arc;

use super::allow;
use super::facts::{Map, Stored, Trigger};
use super::known::{Known, Node};
use super::resolve::Refusal;
use super::resolve::sum::Sum;
use crate::reason::Reason;
use crate::sql::class::Verb;

/// Relations that one write may reach: more are everything. Each costs some counters on each
/// write.
const RELATIONS_MAX: usize = 4_096;

/// What writing to a relation changes.
#[derive(Clone, Debug)]
pub(super) enum Closure {
    Relations(Box<[u32]>),
    Everything(Refusal),
}

/// A verb, and whether it has ONLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    action: Action,
    only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Insert,
    Update,
    Delete,
    Truncate,
    Cascade,
}

impl Mark {
    pub(super) fn of(verb: Verb, only: bool) -> Self {
        let action = match verb {
            Verb::Insert => Action::Insert,
            Verb::Update => Action::Update,
            Verb::Delete => Action::Delete,
            Verb::Truncate { cascade: false } => Action::Truncate,
            Verb::Truncate { cascade: true } => Action::Cascade,
        };
        Self { action, only }
    }

    /// Its place in [`Node::closures`].
    fn slot(self) -> usize {
        self.action as usize + if self.only { 5 } else { 0 }
    }
}

impl Action {
    /// The bit of `pg_trigger.tgtype`.
    fn trigger_bit(self) -> i16 {
        match self {
            Self::Insert => 4,
            Self::Delete => 8,
            Self::Update => 16,
            Self::Truncate | Self::Cascade => 32,
        }
    }

    /// `pg_rewrite.ev_type`.
    fn rule_event(self) -> Option<u8> {
        match self {
            Self::Update => Some(b'2'),
            Self::Insert => Some(b'3'),
            Self::Delete => Some(b'4'),
            Self::Truncate | Self::Cascade => None,
        }
    }
}

/// The three that rules, and functions that the configuration speaks for, may do.
const ANY: [Action; 3] = [Action::Insert, Action::Update, Action::Delete];

impl Known {
    /// What a write to `node` changes.
    pub(super) fn closure(&self, node: &Node, mark: Mark) -> Arc<Closure> {
        let compute = || {
            let mut walk = Walk::new(self);
            walk.queue.push((node.relation.oid, mark));
            Arc::new(walk.run())
        };
        match node.closures.get(mark.slot()) {
            Some(memo) => Arc::clone(memo.get_or_init(compute)),
            None => compute(),
        }
    }
}

/// A walk from one write to all that follow from it.
struct Walk<'k> {
    known: &'k Known,
    queue: Vec<(u32, Mark)>,
    /// Which slots of which relation have been seen to.
    done: Map<u32, u16>,
    found: Map<u32, ()>,
    everything: Option<Refusal>,
}

impl<'k> Walk<'k> {
    fn new(known: &'k Known) -> Self {
        Self {
            known,
            queue: Vec::new(),
            done: Map::default(),
            found: Map::default(),
            everything: None,
        }
    }

    fn run(mut self) -> Closure {
        while let Some((oid, mark)) = self.queue.pop() {
            let done = self.done.entry(oid).or_default();
            let bit = 1 << mark.slot();
            if *done & bit != 0 {
                continue;
            }
            *done |= bit;
            match self.known.nodes.get(&oid) {
                Some(node) => self.write(node, mark),
                None => self.give_up(Reason::UnknownRelation, || format!("relation {oid}")),
            }
            if self.found.len() > RELATIONS_MAX {
                self.give_up(Reason::Opaque, || {
                    format!("it reaches more than {RELATIONS_MAX} relations")
                });
            }
            if self.everything.is_some() {
                break;
            }
        }
        match self.everything {
            Some(refusal) => Closure::Everything(refusal),
            None => {
                let mut found: Vec<u32> = self.found.into_keys().collect();
                found.sort_unstable();
                Closure::Relations(found.into())
            }
        }
    }

    fn give_up(&mut self, reason: Reason, object: impl FnOnce() -> String) {
        if self.everything.is_none() {
            self.everything = Some(Refusal::new(reason, object()));
        }
    }

    /// One verb on one relation.
    fn write(&mut self, node: &'k Node, mark: Mark) {
        let known = self.known;
        self.rules(node, mark.action);
        match node.relation.kind {
            b'r' | b'p' => {
                let own = node.relation.kind == b'r';
                let mut affected = vec![node.relation.oid];
                // Rows are inserted into a table itself, and into a partitioned one's partitions.
                if !(mark.only || own && mark.action == Action::Insert) {
                    affected.extend(known.descendants(node));
                }
                for oid in affected {
                    if let Some(node) = known.nodes.get(&oid) {
                        self.table(node, mark.action);
                    }
                }
                // An update may move a row to another partition: it is deleted and inserted.
                if node.relation.kind == b'p' && mark.action == Action::Update {
                    for action in [Action::Delete, Action::Insert] {
                        self.queue.push((
                            node.relation.oid,
                            Mark {
                                action,
                                only: mark.only,
                            },
                        ));
                    }
                }
            }
            b'v' => self.view(node, mark.action),
            b'f' => self.give_up(Reason::Foreign, || {
                format!("{} is a foreign table", node.relation.full)
            }),
            // A sequence or materialized view: the server refuses.
            _ => {
                self.found.insert(node.relation.oid, ());
            }
        }
    }

    /// A table or partition whose rows change.
    fn table(&mut self, node: &'k Node, action: Action) {
        let known = self.known;
        self.found.insert(node.relation.oid, ());
        self.follow_keys(node, action);
        for oid in known.ancestors(node) {
            self.found.insert(oid, ());
            // Keys that point to a partitioned table are its partitions' too.
            if let Some(parent) = known.nodes.get(&oid)
                && parent.relation.kind == b'p'
            {
                self.follow_keys(parent, action);
            }
        }
        if node.relation.kind == b'f' {
            self.give_up(Reason::Foreign, || {
                format!("{} is a foreign table", node.relation.full)
            });
        }
        self.triggers(node, action);
        self.parts(node, action);
    }

    fn follow_keys(&mut self, node: &Node, action: Action) {
        for key in &node.keys {
            let rule = match action {
                Action::Insert | Action::Truncate => continue,
                Action::Cascade => {
                    let mark = Mark {
                        action,
                        only: false,
                    };
                    self.queue.push((key.referencing, mark));
                    continue;
                }
                Action::Delete => key.on_delete,
                Action::Update => key.on_update,
            };
            let then = match (rule, action) {
                (b'c', Action::Delete) => Action::Delete,
                (b'c' | b'n' | b'd', _) => Action::Update,
                _ => continue,
            };
            let mark = Mark {
                action: then,
                only: false,
            };
            self.queue.push((key.referencing, mark));
        }
    }

    fn triggers(&mut self, node: &Node, action: Action) {
        for trigger in &node.triggers {
            if trigger.bits & action.trigger_bit() != 0 {
                self.trigger(node, trigger);
            }
        }
    }

    fn trigger(&mut self, node: &Node, trigger: &Trigger) {
        let known = self.known;
        let relation = &node.relation;
        let triggers = &known.declared.triggers;
        let declared = triggers
            .get(&format!("{}.{}", relation.full, trigger.name))
            .or_else(|| triggers.get(&format!("{}.{}", relation.name(), trigger.name)))
            .or_else(|| triggers.get(&*trigger.name));
        if let Some(effects) = declared {
            let mut sum = Sum::new(known);
            sum.declared(effects, &trigger.name);
            return self.take(sum);
        }
        if let Some((routine, _)) = known.routines.get(&trigger.function) {
            let extension = known.extensions.get(&routine.extension);
            if extension.is_some_and(|e| allow::is_harmless_trigger(e, &routine.name)) {
                return;
            }
            if let Some(effects) = known.declared_function(routine) {
                let mut sum = Sum::new(known);
                sum.declared(effects, &routine.name);
                return self.take(sum);
            }
        }
        self.give_up(Reason::UserFunction, || {
            format!(
                "trigger {} on {} may write anything",
                trigger.name, relation.full
            )
        });
    }

    /// Code that is evaluated for each row.
    fn parts(&mut self, node: &Node, action: Action) {
        let known = self.known;
        let rows = matches!(action, Action::Insert | Action::Update);
        for part in &node.parts {
            if !(part.always || rows) {
                continue;
            }
            if let Some(function) = known.questionable(part.used) {
                let mut sum = Sum::new(known);
                sum.function(function, false);
                self.take(sum);
            }
        }
        let mut sum = Sum::new(known);
        for policy in &node.policies {
            sum.stored(&policy.stored, &node.relation.full, false);
        }
        self.take(sum);
        if !rows {
            return;
        }
        for column in &node.relation.columns {
            let shape = known.shape(column.type_oid);
            for function in [shape.checked, shape.tainted].into_iter().flatten() {
                let mut sum = Sum::new(known);
                sum.function(function, false);
                self.take(sum);
            }
        }
    }

    fn rules(&mut self, node: &'k Node, action: Action) {
        let Some(event) = action.rule_event() else {
            return;
        };
        for rule in node.rules.iter().filter(|rule| rule.event == event) {
            self.stored(&rule.stored, &node.relation.full);
            for &oid in &rule.stored.relations {
                for action in ANY {
                    self.queue.push((
                        oid,
                        Mark {
                            action,
                            only: false,
                        },
                    ));
                }
            }
        }
    }

    /// A view: what is written to it goes to the tables it is made of.
    fn view(&mut self, node: &'k Node, action: Action) {
        self.found.insert(node.relation.oid, ());
        self.triggers(node, action);
        self.parts(node, action);
        for rule in node.rules.iter().filter(|rule| rule.event == b'1') {
            self.stored(&rule.stored, &node.relation.full);
            for &oid in &rule.stored.relations {
                // Before version 16 a view's query lists the view itself.
                if oid != node.relation.oid {
                    self.queue.push((
                        oid,
                        Mark {
                            action,
                            only: false,
                        },
                    ));
                }
            }
        }
    }

    fn stored(&mut self, stored: &Stored, within: &str) {
        let mut sum = Sum::new(self.known);
        sum.stored(stored, within, false);
        self.take(sum);
    }

    /// What was found of code: it may write anything, or what the configuration says.
    fn take(&mut self, sum: Sum<'_>) {
        if let Some(refusal) = sum.opaque {
            self.everything.get_or_insert(refusal);
        }
        for oid in sum.writes {
            for action in ANY {
                self.queue.push((
                    oid,
                    Mark {
                        action,
                        only: false,
                    },
                ));
            }
        }
    }
}
