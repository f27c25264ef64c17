//! Types: what their text may say, and whose code is behind them.

use super::Shown;
use super::sum::{Item, Seen, Sum};
use crate::catalog::allow;
use crate::catalog::facts::{FIRST_USER, Relation, Stored};
use crate::catalog::known::Known;
use crate::reason::Reason;
use crate::sql::class::{QName, Uses};

/// Types within types that are looked at: deeper ones are not understood.
const DEPTH_MAX: u8 = 16;

/// What a type is like, with all that it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::catalog) struct Shape {
    pub(in crate::catalog) seen: Seen,
    /// Its text is read from the catalog.
    pub(in crate::catalog) is_catalog: bool,
    /// A type of it that is not built in nor of a well-known extension.
    pub(in crate::catalog) foreign: Option<u32>,
    /// A function with user code that its casts or comparisons run.
    pub(in crate::catalog) tainted: Option<u32>,
    /// A function with user code that runs when a value is made.
    pub(in crate::catalog) checked: Option<u32>,
}

impl Known {
    pub(in crate::catalog) fn shape(&self, type_oid: u32) -> Shape {
        let mut shape = Shape::default();
        self.shape_into(type_oid, &mut shape, DEPTH_MAX);
        shape
    }

    fn shape_into(&self, type_oid: u32, shape: &mut Shape, depth: u8) {
        let Some(depth) = depth.checked_sub(1) else {
            shape.foreign = Some(type_oid);
            return;
        };
        if let Some(&function) = self.tainted.get(&type_oid) {
            shape.tainted = Some(function);
        }
        if let Some(&element) = self.elements.get(&type_oid) {
            return self.shape_into(element, shape, depth);
        }
        if type_oid < FIRST_USER {
            shape.seen.add(seen(type_oid));
            // The rows of system catalogs are no types of ours.
            shape.is_catalog |= allow::is_reg(type_oid) || !self.types.contains_key(&type_oid);
            return;
        }
        if let Some(node) = self.rows.get(&type_oid).and_then(|oid| self.nodes.get(oid)) {
            return self.columns_into(&node.relation, shape, depth);
        }
        let Some(type_) = self.types.get(&type_oid) else {
            shape.foreign = Some(type_oid);
            return;
        };
        let extension = self.extensions.get(&type_.extension);
        let known = extension.is_some_and(|name| allow::is_well_known(name));
        match type_.kind {
            b'e' => {}
            b'd' => {
                if let Some(&function) = self.checked.get(&type_oid) {
                    shape.checked = Some(function);
                }
                self.shape_into(type_.base, shape, depth);
            }
            b'r' => self.shape_into(type_.base, shape, depth),
            b'c' => match self.nodes.get(&type_.relation) {
                Some(node) => self.columns_into(&node.relation, shape, depth),
                None => shape.foreign = Some(type_oid),
            },
            _ if known => {}
            _ => shape.foreign = Some(type_oid),
        }
    }

    fn columns_into(&self, relation: &Relation, shape: &mut Shape, depth: u8) {
        for column in &relation.columns {
            self.shape_into(column.type_oid, shape, depth);
        }
    }

    pub(in crate::catalog) fn type_name(&self, type_oid: u32) -> String {
        match self.types.get(&type_oid) {
            Some(type_) => format!("type {}", type_.name),
            None => format!("type number {type_oid}"),
        }
    }

    /// Whether a text that says "today" cannot come from a column of this type alone.
    fn says_no_moment(&self, type_oid: u32) -> bool {
        let element = self.elements.get(&type_oid).copied().unwrap_or(type_oid);
        let base = match self.types.get(&element) {
            Some(type_) if type_.kind == b'd' => type_.base,
            _ => element,
        };
        // bool, int8, int2, int4, float4, float8, money, interval, numeric, uuid
        seen(base).moment
            || matches!(
                base,
                16 | 20 | 21 | 23 | 700 | 701 | 790 | 1186 | 1700 | 2950
            )
    }
}

/// What a built-in type is of: times, dates, their ranges and multiranges.
fn seen(type_oid: u32) -> Seen {
    Seen {
        moment: matches!(
            type_oid,
            1082 | 1083 | 1114 | 1184 | 1266 | 3908 | 3910 | 3912 | 4533..=4535
        ),
        time: type_oid == 1083,
        timetz: type_oid == 1266,
    }
}

impl Sum<'_> {
    /// A type that a cast, a typed literal or a list of columns names.
    pub(super) fn named_type(&mut self, name: &QName) {
        let known = self.known;
        let schema = name.schema.as_deref();
        let mut found = false;
        for oid in known.type_names.get(&name.name).into_iter().flatten() {
            let Some(type_) = known.types.get(oid) else {
                continue;
            };
            if schema.is_none_or(|schema| type_.schema.is(schema)) {
                found = true;
                self.made(*oid);
            }
        }
        for oid in known.relation_names.get(&name.name).into_iter().flatten() {
            let Some(node) = known.nodes.get(oid) else {
                continue;
            };
            if schema.is_none_or(|schema| *node.relation.schema == *schema) {
                found = true;
                self.made(node.relation.row_type);
            }
        }
        if !found {
            self.opaque(Reason::UserFunction, || {
                format!("type {} is not known", Shown(name))
            });
        }
    }

    /// Values of this type are made, maybe of text.
    fn made(&mut self, type_oid: u32) {
        let shape = self.known.shape(type_oid);
        let name = || self.known.type_name(type_oid);
        if let Some(function) = shape.checked {
            self.function(function, false);
        }
        if shape.is_catalog {
            self.refuse(Reason::Catalog, || format!("{} reads the catalog", name()));
        }
        if shape.seen.timetz {
            self.refuse(Reason::Volatile, || {
                format!("{}: the zone of a time is today's", name())
            });
        }
        self.makes_moments |= shape.seen.moment;
        self.held(&shape);
    }

    /// Values of this type are around.
    pub(in crate::catalog) fn held(&mut self, shape: &Shape) {
        if let Some(function) = shape.tainted {
            self.function(function, false);
        }
        if let Some(foreign) = shape.foreign {
            self.refuse(Reason::UserFunction, || {
                format!("{} is not built in", self.known.type_name(foreign))
            });
        }
        self.seen.add(shape.seen);
    }

    /// Text in a column that is cast to a date could say "today" (H5).
    pub(super) fn datetime_casts<'u>(
        &mut self,
        uses: &'u Uses,
        after: &mut impl FnMut(&mut Self, Item<'u>),
    ) {
        let known = self.known;
        if !self.makes_moments {
            return;
        }
        for name in &uses.datetime_casts {
            let mut found = false;
            let mut doubt = false;
            for relation in &uses.relations {
                let super::Named::Relations(nodes) = known.named(relation) else {
                    continue;
                };
                for column in nodes.iter().flat_map(|node| &node.relation.columns) {
                    if column.name == *name {
                        found = true;
                        doubt |= !known.says_no_moment(column.type_oid);
                    }
                }
            }
            if !found || doubt {
                self.refuse(Reason::Volatile, || {
                    format!("the text of column {name}, cast to a date, may say today")
                });
            }
            after(self, Item::Cast(name));
        }
    }

    /// The types in a stored query.
    pub(super) fn stored_types(&mut self, stored: &Stored, within: &str) {
        let mut held = Seen::default();
        for &type_oid in &stored.types {
            let shape = self.known.shape(type_oid);
            held.add(shape.seen);
            if shape.is_catalog {
                let name = self.known.type_name(type_oid);
                self.refuse(Reason::Catalog, || {
                    format!("{within}: {name} reads the catalog")
                });
            }
            self.held(&shape);
        }
        for &type_oid in stored.read_as.iter().chain(&stored.listed) {
            let before = self.seen;
            self.made(type_oid);
            self.seen = before;
            if self.known.shape(type_oid).seen.moment {
                self.refuse(Reason::Volatile, || {
                    format!("{within}: a text that is read as a date may say today")
                });
            }
        }
        let fills = stored.functions.iter().any(|function| {
            let routine = self.known.routines.get(function);
            routine.is_some_and(|(routine, _)| allow::fills_records(&routine.name))
        });
        if fills && held.moment {
            self.refuse(Reason::Volatile, || {
                format!("{within}: a record is filled with dates, which may say today")
            });
        }
    }
}
