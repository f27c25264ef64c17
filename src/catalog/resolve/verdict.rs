//! Each name of a class with what is thought of it: for people who ask why.
//!
//! It goes the way of [`Snapshot::resolve`], step by step, so the two cannot disagree.

use std::collections::BTreeSet;

use super::sum::{Item, Sum};
use super::{Named, Refusal, Shown};
use crate::catalog::facts::{FIRST_USER, Relation, Routine, Stored};
use crate::catalog::known::{Known, Node, Trust};
use crate::catalog::snapshot::Snapshot;
use crate::sql::class::{Call, Class, QName};

/// What a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    Relation,
    Function,
    Operator,
    Type,
    /// A column whose text becomes a date.
    Column,
    /// Something that no name stands for.
    Other,
}

impl Object {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relation => "relation",
            Self::Function => "function",
            Self::Operator => "operator",
            Self::Type => "type",
            Self::Column => "column",
            Self::Other => "other",
        }
    }
}

/// What is thought of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub object: Object,
    /// Relations have their schema, if there are any of the name.
    pub name: String,
    /// What brings it: a view, say. `None`: the text names it.
    pub within: Option<String>,
    /// Why nothing that uses it is cached.
    pub refusal: Option<Refusal>,
    /// A sentence for people: what it is, and why it is fine or not.
    pub why: String,
    /// It may write anything.
    pub opaque: bool,
}

impl Verdict {
    /// Whether results may be cached as far as this is concerned.
    pub fn is_fine(&self) -> bool {
        self.refusal.is_none()
    }
}

impl Snapshot {
    /// What is thought of everything that `class` names, and of what views bring. For people: slower
    /// than [`resolve`](Self::resolve), and nothing is remembered of it.
    pub fn explain(&self, class: &Class) -> Vec<Verdict> {
        let known = &*self.known;
        let mut list = List {
            known,
            verdicts: Vec::new(),
            seen: BTreeSet::new(),
        };
        let mut sum = Sum::new(known);
        sum.each(&class.uses, &mut |sum, item| list.item(sum, item));
        list.verdicts
    }

    /// What kind of relation it is: "table", "view".
    pub fn relation_kind(&self, oid: u32) -> Option<&'static str> {
        let node = self.known.nodes.get(&oid);
        node.map(|node| kind(&node.relation))
    }
}

struct List<'k> {
    known: &'k Known,
    verdicts: Vec<Verdict>,
    /// What is listed already, for what views bring.
    seen: BTreeSet<(Object, String, Option<String>)>,
}

impl List<'_> {
    fn item(&mut self, sum: &mut Sum<'_>, item: Item<'_>) {
        let (refusal, opaque) = (sum.refusal.take(), sum.opaque.take());
        let refused = refusal.is_some() || opaque.is_some();
        let (object, name, why) = match item {
            Item::Relation(name) => return self.relations(name, refusal.as_ref(), opaque.as_ref()),
            Item::Everywhere => (
                Object::Other,
                "casts and comparisons of built-in types".to_owned(),
                String::new(),
            ),
            Item::Times | Item::Declared | Item::Field(_) if !refused => return,
            Item::Times => (Object::Other, "time zones".to_owned(), String::new()),
            Item::Declared => (
                Object::Other,
                "what declared functions read".to_owned(),
                String::new(),
            ),
            Item::Field(name) => (Object::Function, name.to_owned(), String::new()),
            Item::Type(name) => (Object::Type, shown(name), self.known.about_type(name)),
            Item::Call(call) => (
                Object::Function,
                shown(&call.name),
                self.known.about_call(call),
            ),
            Item::Operator(name) => (
                Object::Operator,
                shown(name),
                self.known.about_operator(name),
            ),
            Item::Cast(name) => (
                Object::Column,
                name.to_owned(),
                "it is cast to a date, and its type cannot say today".to_owned(),
            ),
        };
        self.put(object, (name, None), (refusal, opaque.is_some()), why);
    }

    fn put(
        &mut self,
        object: Object,
        (name, within): (String, Option<String>),
        (refusal, opaque): (Option<Refusal>, bool),
        fine: String,
    ) {
        if self.seen.insert((object, name.clone(), within.clone())) {
            self.verdicts.push(Verdict {
                object,
                name,
                within,
                why: match &refusal {
                    Some(refusal) => refusal.object.to_string(),
                    None => fine,
                },
                refusal,
                opaque,
            });
        }
    }

    /// The relations that a name stands for, and what is behind them.
    fn relations(&mut self, name: &QName, refusal: Option<&Refusal>, opaque: Option<&Refusal>) {
        let known = self.known;
        let nodes = match known.named(name) {
            Named::Relations(nodes) => nodes,
            Named::System | Named::Temporary => Vec::new(),
        };
        if nodes.is_empty() {
            let verdict = (refusal.cloned(), opaque.is_some());
            self.put(
                Object::Relation,
                (shown(name), None),
                verdict,
                "a relation".to_owned(),
            );
        }
        for node in nodes {
            let full = node.relation.full.to_string();
            let mut sum = Sum::new(known);
            sum.relation(node);
            self.relation(node, None, &mut sum);
            for oid in &*known.reads_of(node).deps {
                let Some(behind) = known.nodes.get(oid) else {
                    continue;
                };
                if behind.relation.oid != node.relation.oid {
                    let mut sum = Sum::new(known);
                    sum.node(behind);
                    self.relation(behind, Some(full.clone()), &mut sum);
                }
                self.code(behind);
            }
        }
    }

    fn relation(&mut self, node: &Node, within: Option<String>, sum: &mut Sum<'_>) {
        let relation = &node.relation;
        let mut why = format!("a {}", kind(relation));
        if relation.row_security {
            why.push_str(
                ", under row security, whose policies ask for nothing but what the key has",
            );
        }
        let verdict = (sum.refusal.take(), sum.opaque.is_some());
        let name = relation.full.to_string();
        self.put(Object::Relation, (name, within), verdict, why);
    }

    /// The functions and operators of a view's query, and of policies.
    fn code(&mut self, node: &Node) {
        let views = node.rules.iter().filter(|rule| rule.event == b'1');
        for rule in views {
            self.stored(&rule.stored, &node.relation.full, false);
        }
        let keyed = self.known.declared.keyed_rls;
        for policy in &node.policies {
            self.stored(&policy.stored, &node.relation.full, keyed);
        }
    }

    fn stored(&mut self, stored: &Stored, within: &str, keyed: bool) {
        let known = self.known;
        let functions = stored.functions.iter();
        let functions = functions.filter_map(|oid| {
            let (routine, _) = known.routines.get(oid)?;
            Some((Object::Function, routine.name.to_string(), *oid))
        });
        let operators = stored.operators.iter().filter_map(|oid| {
            let operator = known.operators.get(oid)?;
            Some((
                Object::Operator,
                operator.name.to_string(),
                operator.function,
            ))
        });
        for (object, name, function) in functions.chain(operators) {
            let mut sum = Sum::new(known);
            sum.function(function, keyed);
            let verdict = (sum.refusal.take(), sum.opaque.is_some());
            let why = known.about([function].iter());
            self.put(object, (name, Some(within.to_owned())), verdict, why);
        }
    }
}

impl Known {
    fn about_call(&self, call: &Call) -> String {
        let routines = self.routines_of(call);
        let numbers: Vec<u32> = routines.iter().map(|(routine, _)| routine.oid).collect();
        if numbers.is_empty() {
            return "a cast to the type of that name".to_owned();
        }
        self.about(numbers.iter())
    }

    fn about_operator(&self, name: &QName) -> String {
        let schema = name.schema.as_deref();
        let all = self.operator_names.get(&name.name).into_iter().flatten();
        let all = all.filter_map(|oid| self.operators.get(oid));
        let all = all.filter(|operator| schema.is_none_or(|schema| operator.schema.is(schema)));
        let numbers: Vec<u32> = all
            .filter(|operator| operator.function != 0 && !operator.bound)
            .map(|operator| operator.function)
            .collect();
        self.about(numbers.iter())
    }

    /// Why functions that may be cached are fine.
    fn about<'f>(&self, functions: impl Iterator<Item = &'f u32>) -> String {
        let known = functions.filter_map(|oid| self.routines.get(oid));
        let words: BTreeSet<String> = known
            .filter_map(|(routine, trust)| self.praise(routine, *trust))
            .collect();
        words.into_iter().collect::<Vec<_>>().join("; ")
    }

    fn praise(&self, routine: &Routine, trust: Trust) -> Option<String> {
        let extension = self.extensions.get(&routine.extension);
        Some(match trust {
            Trust::Refused(_) | Trust::Opaque(_) => return None,
            Trust::Declared => "declared in [cache.functions]".to_owned(),
            Trust::Safe if routine.oid >= FIRST_USER => format!(
                "of the well-known extension {}, and not volatile",
                extension.map_or("?", |name| name)
            ),
            Trust::Extension(_) => format!(
                "of the well-known extension {}, and reads that one's tables at most",
                extension.map_or("?", |name| name)
            ),
            Trust::Safe if routine.volatility == b'i' => {
                "built in, depends on its arguments alone".to_owned()
            }
            Trust::Safe => "built in, depends on its arguments and on what the key has".to_owned(),
        })
    }

    fn about_type(&self, name: &QName) -> String {
        let schema = name.schema.as_deref();
        let all = self.type_names.get(&name.name).into_iter().flatten();
        let all = all.filter_map(|oid| self.types.get(oid));
        let all = all.filter(|type_| schema.is_none_or(|schema| type_.schema.is(schema)));
        let words: BTreeSet<String> = all
            .map(|type_| {
                if type_.oid < FIRST_USER {
                    return "built in".to_owned();
                }
                match (self.extensions.get(&type_.extension), type_.kind) {
                    (Some(extension), _) => format!("of the well-known extension {extension}"),
                    (None, b'e') => "an enum".to_owned(),
                    (None, b'd') => "a domain without code of yours".to_owned(),
                    (None, b'r') => "a range without code of yours".to_owned(),
                    (None, _) => "made of types that are fine".to_owned(),
                }
            })
            .collect();
        if words.is_empty() {
            return "the rows of a relation".to_owned();
        }
        words.into_iter().collect::<Vec<_>>().join("; ")
    }
}

fn kind(relation: &Relation) -> &'static str {
    match relation.kind {
        b'r' => "table",
        b'p' => "partitioned table",
        b'v' => "view",
        b'm' => "materialized view",
        b'f' => "foreign table",
        b'S' => "sequence",
        _ => "relation of another kind",
    }
}

fn shown(name: &QName) -> String {
    Shown(name).to_string()
}
