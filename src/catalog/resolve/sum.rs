//! What has been found of a query so far.

use super::{Named, Refusal, Shown};
use crate::catalog::facts::Stored;
use crate::catalog::known::{Known, Trust};
use crate::catalog::{Effects, allow};
use crate::reason::Reason;
use crate::sql::class::{Call, QName, Uses};

/// See the module's text.
pub(in crate::catalog) struct Sum<'k> {
    pub(in crate::catalog) known: &'k Known,
    /// The first reason not to cache it.
    pub(in crate::catalog) refusal: Option<Refusal>,
    /// The first reason why it may write anything.
    pub(in crate::catalog) opaque: Option<Refusal>,
    pub(in crate::catalog) deps: Vec<u32>,
    /// Relations that are read besides, and written, for functions that the configuration speaks for.
    pub(in crate::catalog) reads: Vec<u32>,
    pub(in crate::catalog) writes: Vec<u32>,
    pub(in crate::catalog) seen: Seen,
    /// A cast makes dates.
    pub(super) makes_moments: bool,
}

/// What has just been seen to, with all that is behind it.
#[derive(Clone, Copy)]
pub(super) enum Item<'u> {
    /// Code behind casts and comparisons of built-in types.
    Everywhere,
    Relation(&'u QName),
    Type(&'u QName),
    /// Times and times with zone together.
    Times,
    Call(&'u Call),
    /// A name behind a dot.
    Field(&'u str),
    Operator(&'u QName),
    /// A column that is cast to a date.
    Cast(&'u str),
    /// What functions read that the configuration speaks for.
    Declared,
}

/// Kinds of values that are around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three flags that are independent of each other"
)]
pub(in crate::catalog) struct Seen {
    /// Dates and times, of which "today" could be read.
    pub(in crate::catalog) moment: bool,
    pub(in crate::catalog) time: bool,
    pub(in crate::catalog) timetz: bool,
}

impl Seen {
    pub(in crate::catalog) fn add(&mut self, other: Self) {
        self.moment |= other.moment;
        self.time |= other.time;
        self.timetz |= other.timetz;
    }
}

impl<'k> Sum<'k> {
    pub(in crate::catalog) fn new(known: &'k Known) -> Self {
        Self {
            known,
            refusal: None,
            opaque: None,
            deps: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            seen: Seen::default(),
            makes_moments: false,
        }
    }

    /// It may not be cached.
    pub(in crate::catalog) fn refuse(&mut self, reason: Reason, object: impl FnOnce() -> String) {
        if self.refusal.is_none() {
            self.refusal = Some(Refusal::new(reason, object()));
        }
    }

    /// It may not be cached, and may write anything.
    pub(in crate::catalog) fn opaque(&mut self, reason: Reason, object: impl FnOnce() -> String) {
        if self.opaque.is_none() {
            let refusal = Refusal::new(reason, object());
            self.opaque = Some(refusal.clone());
            self.refusal.get_or_insert(refusal);
        }
    }

    /// All that the text of a query names.
    pub(super) fn uses(&mut self, uses: &Uses) {
        self.each(uses, &mut |_, _| {});
    }

    /// The same; `after` is told of each as soon as it has been seen to.
    pub(super) fn each<'u>(&mut self, uses: &'u Uses, after: &mut impl FnMut(&mut Self, Item<'u>)) {
        if let Some(function) = self.known.everywhere {
            self.function(function, false);
            after(self, Item::Everywhere);
        }
        for name in &uses.relations {
            self.named_relation(name);
            after(self, Item::Relation(name));
        }
        for name in &uses.types {
            self.named_type(name);
            after(self, Item::Type(name));
        }
        self.calls(uses, after);
        for name in &uses.operators {
            self.operator(name);
            after(self, Item::Operator(name));
        }
        self.datetime_casts(uses, after);
        while let Some(oid) = self.reads.pop() {
            match self.known.nodes.get(&oid) {
                Some(node) => self.relation(node),
                None => self.refuse(Reason::UnknownRelation, || format!("relation {oid}")),
            }
        }
        after(self, Item::Declared);
    }

    fn named_relation(&mut self, name: &QName) {
        match self.known.named(name) {
            Named::System => {
                self.refuse(Reason::Catalog, || {
                    format!("{} is a system catalog", Shown(name))
                });
            }
            Named::Temporary => {
                self.refuse(Reason::TempTable, || {
                    format!("{} is temporary", Shown(name))
                });
            }
            Named::Relations(nodes) if nodes.is_empty() => {
                self.refuse(Reason::UnknownRelation, || {
                    format!("{} is not known", Shown(name))
                });
            }
            Named::Relations(nodes) => {
                for node in nodes {
                    self.relation(node);
                }
            }
        }
    }

    /// A call of exactly this function. `keyed`: in a policy whose settings and roles are in the
    /// key.
    pub(in crate::catalog) fn function(&mut self, function: u32, keyed: bool) {
        let known = self.known;
        let Some((routine, trust)) = known.routines.get(&function) else {
            self.opaque(Reason::UserFunction, || {
                format!("function number {function} is not known")
            });
            return;
        };
        match *trust {
            Trust::Safe => {}
            Trust::Extension(extension) => {
                let tables = known.extension_tables.get(&extension);
                self.deps.extend(tables.into_iter().flatten());
            }
            Trust::Refused(_) if keyed && allow::is_keyed(&routine.name) => {}
            Trust::Refused(reason) => self.refuse(reason, || {
                format!("function {}: {}", routine.name, reason.sentence())
            }),
            Trust::Opaque(reason) => self.opaque(reason, || {
                format!("function {}: {}", routine.name, reason.sentence())
            }),
            Trust::Declared => match known.declared_function(routine) {
                Some(effects) => self.declared(effects, &routine.name),
                None => self.opaque(Reason::UserFunction, || routine.name.to_string()),
            },
        }
    }

    /// What the configuration says of a function or trigger.
    pub(in crate::catalog) fn declared(&mut self, effects: &Effects, name: &str) {
        for table in &effects.writes {
            let found = self.known.relations_named(table);
            if found.is_empty() {
                self.opaque(Reason::UnknownRelation, || {
                    format!("{name} is declared to write {table}, which is not known")
                });
            }
            self.writes.extend(found);
        }
        let Some(reads) = &effects.reads else {
            self.refuse(Reason::UserFunction, || {
                format!("function {name} is not declared to be cacheable")
            });
            return;
        };
        for table in reads {
            let found = self.known.relations_named(table);
            if found.is_empty() {
                self.refuse(Reason::UnknownRelation, || {
                    format!("{name} is declared to read {table}, which is not known")
                });
            }
            self.reads.extend(found);
        }
    }

    /// All that a stored query or expression uses, but the relations.
    pub(in crate::catalog) fn stored(&mut self, stored: &Stored, within: &str, keyed: bool) {
        for &function in &stored.functions {
            self.function(function, keyed);
        }
        for operator in &stored.operators {
            match self.known.operators.get(operator) {
                Some(operator) => self.function(operator.function, keyed),
                None => self.opaque(Reason::UserFunction, || format!("operator {operator}")),
            }
        }
        if stored.odd.volatile {
            self.refuse(Reason::Volatile, || {
                format!("{within}: {}", Reason::Volatile.sentence())
            });
        }
        if stored.odd.identity && !keyed {
            self.refuse(Reason::Session, || {
                format!("{within}: {}", Reason::Session.sentence())
            });
        }
        self.stored_types(stored, within);
    }
}
