//! Calls and operators by name.

use super::Shown;
use super::sum::{Item, Sum};
use crate::catalog::allow;
use crate::catalog::facts::{FIRST_USER, Routine};
use crate::catalog::known::{Known, Trust};
use crate::reason::Reason;
use crate::sql::class::{Call, QName, Uses};

/// `time` and `timetz`.
const TIMES: [u32; 2] = [1083, 1266];

impl Known {
    /// The functions that a call may mean: those of its name that take so many arguments. Of
    /// aggregates, arguments before and after WITHIN GROUP count together, so all are meant; and
    /// if none fits, the count is not what it seems, and all are.
    pub(super) fn routines_of(&self, call: &Call) -> Vec<(&Routine, Trust)> {
        let schema = call.name.schema.as_deref();
        let named = self
            .routine_names
            .get(&call.name.name)
            .into_iter()
            .flatten();
        let named = named.filter_map(|oid| self.routines.get(oid));
        let all: Vec<(&Routine, Trust)> = named
            .filter(|(routine, _)| schema.is_none_or(|schema| routine.schema.is(schema)))
            .map(|(routine, trust)| (routine, *trust))
            .collect();
        let Some(count) = call.arguments else {
            return all;
        };
        let fits = |routine: &Routine| {
            let (least, most) = routine.arguments;
            routine.kind == b'a' || (least..=most).contains(&count)
        };
        let fitting: Vec<_> = all
            .iter()
            .filter(|(routine, _)| fits(routine))
            .copied()
            .collect();
        if fitting.is_empty() { all } else { fitting }
    }
}

impl Sum<'_> {
    /// All calls of a query. Its relations and types have been seen.
    pub(super) fn calls<'u>(
        &mut self,
        uses: &'u Uses,
        after: &mut impl FnMut(&mut Self, Item<'u>),
    ) {
        let known = self.known;
        for call in &uses.functions {
            // What makes a time brings it to where `AT TIME ZONE` may take it.
            if &*call.name.name != "timezone" {
                let makes = known.routines_of(call);
                self.seen.time |= makes.iter().any(|(r, _)| TIMES.contains(&r.returns));
            }
        }
        if self.seen.timetz && self.seen.time {
            self.refuse(Reason::Volatile, || {
                "a time compared with a zone's time: the zone is today's".to_owned()
            });
        }
        after(self, Item::Times);
        for call in &uses.functions {
            self.call(call);
            after(self, Item::Call(call));
        }
        for name in &uses.fields {
            self.field(name);
            after(self, Item::Field(name));
        }
        for name in &uses.attributes {
            self.attribute(name);
            after(self, Item::Field(name));
        }
    }

    /// `(x).f` is a field if `x` is a row; otherwise it calls `f`, or casts to `f`.
    fn field(&mut self, name: &str) {
        let call = Call {
            name: QName {
                schema: None,
                name: name.into(),
            },
            arguments: Some(1),
        };
        if self.is_type(&call.name) || !self.known.routines_of(&call).is_empty() {
            self.call(&call);
        }
    }

    /// `x.f` is usually a column, but may be a call of `f` with a row.
    fn attribute(&mut self, name: &str) {
        let known = self.known;
        let named = known.routine_names.get(name).into_iter().flatten();
        for (routine, _) in named.filter_map(|oid| known.routines.get(oid)) {
            let (least, most) = routine.arguments;
            if least <= 1 && most >= 1 && known.is_of_rows(routine.first) {
                self.function(routine.oid, false);
            }
        }
    }

    fn call(&mut self, call: &Call) {
        let known = self.known;
        let name = &*call.name.name;
        let routines = known.routines_of(call);
        let one = call.arguments.is_none_or(|count| count == 1);
        let as_type = one && self.is_type(&call.name);
        if routines.is_empty() && !as_type {
            self.opaque(Reason::UserFunction, || {
                format!("function {} is not known", Shown(&call.name))
            });
        }
        if as_type {
            // `date(x)` may be a cast of text. Of built-in types the columns in it are listed.
            self.named_type(&call.name);
            if self.is_own_moment(&call.name) {
                self.refuse(Reason::Volatile, || {
                    format!("{name}() of a text that may say today")
                });
            }
        }
        if allow::fills_records(name) && self.seen.moment {
            self.refuse(Reason::Volatile, || {
                format!("{name}() fills a record with dates, which may say today")
            });
        }
        let times = self.seen.time || self.seen.timetz;
        for (routine, trust) in routines {
            // `AT TIME ZONE` of a time with zone counts only if there can be one.
            let idle = name == "timezone" && !times && TIMES.contains(&routine.returns);
            if !idle || matches!(trust, Trust::Opaque(_) | Trust::Declared) {
                self.function(routine.oid, false);
            }
            if routine.oid >= FIRST_USER {
                let shape = known.shape(routine.returns);
                self.held(&shape);
            }
        }
    }

    /// Whether a type that is not built in but holds dates has this name.
    fn is_own_moment(&self, name: &QName) -> bool {
        let known = self.known;
        let types = known.type_names.get(&name.name).into_iter().flatten();
        let own = types.copied().filter(|&oid| oid >= FIRST_USER);
        let rows = known.relation_names.get(&name.name).into_iter().flatten();
        let rows = rows.filter_map(|oid| known.nodes.get(oid));
        own.chain(rows.map(|node| node.relation.row_type))
            .any(|oid| known.shape(oid).seen.moment)
    }

    fn is_type(&self, name: &QName) -> bool {
        let known = self.known;
        let schema = name.schema.as_deref();
        let mut types = known.type_names.get(&name.name).into_iter().flatten();
        let mut rows = known.relation_names.get(&name.name).into_iter().flatten();
        types.any(|oid| {
            let type_ = known.types.get(oid);
            type_.is_some_and(|type_| schema.is_none_or(|schema| type_.schema.is(schema)))
        }) || rows.any(|oid| {
            let node = known.nodes.get(oid);
            node.is_some_and(|node| schema.is_none_or(|s| *node.relation.schema == *s))
        })
    }

    /// An operator by its symbol: all operators of that symbol.
    pub(super) fn operator(&mut self, name: &QName) {
        let known = self.known;
        let schema = name.schema.as_deref();
        let mut found = false;
        for oid in known.operator_names.get(&name.name).into_iter().flatten() {
            let Some(operator) = known.operators.get(oid) else {
                continue;
            };
            if operator.function != 0 && schema.is_none_or(|schema| operator.schema.is(schema)) {
                found = true;
                if operator.bound && schema.is_none() {
                    continue;
                }
                // Those of privileges need a value of their type, which is refused already.
                if known.trust(operator.function) != Trust::Refused(Reason::Catalog) {
                    self.function(operator.function, false);
                }
            }
        }
        if !found {
            self.opaque(Reason::UserFunction, || {
                format!("operator {} is not known", Shown(name))
            });
        }
    }
}
