//! What a snapshot is made of: plain data, as the catalog has it.

use std::collections::HashMap;

/// A map with the fast hasher.
pub(super) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The first number that is not the server's own (`FirstNormalObjectId`).
pub(super) const FIRST_USER: u32 = 16_384;

/// A table, view, materialized view, foreign table, sequence or composite type outside of the
/// system's schemas; temporary ones are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: Box<str>,
    /// `schema.name`, for people; the name is what follows `schema.len() + 1`.
    pub(super) full: Box<str>,
    /// `pg_class.relkind`.
    pub(super) kind: u8,
    /// Of its rows, and of arrays of these.
    pub(super) row_type: u32,
    pub(super) row_array: u32,
    pub(super) row_security: bool,
    pub(super) columns: Box<[Column]>,
}

impl Relation {
    /// Its name without schema.
    pub(super) fn name(&self) -> &str {
        self.full.get(self.schema.len() + 1..).unwrap_or_default()
    }
}

/// A column that is not dropped.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: Box<str>,
    pub(super) type_oid: u32,
}

/// A foreign key, by the relation that it points to.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignKey {
    pub(super) referenced: u32,
    pub(super) referencing: u32,
    /// `confdeltype` and `confupdtype`.
    pub(super) on_delete: u8,
    pub(super) on_update: u8,
}

/// A trigger that is not disabled and not of a foreign key.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) relation: u32,
    pub(super) name: Box<str>,
    pub(super) function: u32,
    /// `pg_trigger.tgtype`.
    pub(super) bits: i16,
    /// It may run as late as in the commit.
    pub(super) deferrable: bool,
}

/// A rule that is not disabled; a view's own is one, on SELECT.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) relation: u32,
    /// `pg_rewrite.ev_type`: '1' select, '2' update, '3' insert, '4' delete.
    pub(super) event: u8,
    pub(super) stored: Stored,
}

/// A row security policy.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) relation: u32,
    pub(super) stored: Stored,
}

/// What a stored query or expression makes use of.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) relations: Vec<u32>,
    pub(super) functions: Vec<u32>,
    pub(super) operators: Vec<u32>,
    /// Types that values have.
    pub(super) types: Vec<u32>,
    /// Types that values are made of by reading their text, or by a domain's checks.
    pub(super) read_as: Vec<u32>,
    /// Column types of functions and XMLTABLE or JSON_TABLE, read from text or JSON.
    pub(super) listed: Vec<u32>,
    /// Nodes that depend on more than data.
    pub(super) odd: Odd,
}

/// Nodes of a stored query that depend on more than data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Odd {
    /// `current_date` and its like, TABLESAMPLE, an identity column's next value, a locking clause.
    pub(super) volatile: bool,
    /// `current_user` and its like.
    pub(super) identity: bool,
}

/// Something with user code in an expression that writing to `relation` evaluates: a default,
/// generated column, check, index, policy or WHEN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) relation: u32,
    /// Of a policy or trigger: evaluated also when rows go.
    pub(super) always: bool,
    pub(super) used: Used,
}

/// What it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    Function(u32),
    Operator(u32),
    Type(u32),
}

/// A function, aggregate or window function.
#[derive(Clone, Debug)]
pub(super) struct Routine {
    pub(super) oid: u32,
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    /// `pg_proc.provolatile` and `prokind`.
    pub(super) volatility: u8,
    pub(super) kind: u8,
    /// Least and most arguments.
    pub(super) arguments: (u16, u16),
    pub(super) returns: u32,
    /// The first argument's type.
    pub(super) first: u32,
    /// Written in C.
    pub(super) is_c: bool,
    pub(super) extension: u32,
}

impl Routine {
    /// `schema.name`.
    pub(super) fn qualified(&self) -> String {
        match &self.schema {
            Schema::Catalog => format!("pg_catalog.{}", self.name),
            Schema::Other(schema) => format!("{schema}.{}", self.name),
        }
    }
}

/// A schema, kept short because thousands of objects have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    Catalog,
    Other(Box<str>),
}

impl Schema {
    pub(super) fn new(name: &str) -> Self {
        match name {
            "pg_catalog" => Self::Catalog,
            _ => Self::Other(name.into()),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Self::Catalog => name == "pg_catalog",
            Self::Other(own) => &**own == name,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) oid: u32,
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) function: u32,
    /// The types on its left and right; 0: none.
    pub(super) operands: [u32; 2],
    /// Only values of a type that is not built in can lead to it.
    pub(super) bound: bool,
}

/// A type other than an array and a table's row.
#[derive(Clone, Debug)]
pub(super) struct Type {
    pub(super) oid: u32,
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    /// `pg_type.typtype`.
    pub(super) kind: u8,
    /// A domain's base type, a range's subtype.
    pub(super) base: u32,
    /// A composite type's relation.
    pub(super) relation: u32,
    pub(super) array: u32,
    pub(super) extension: u32,
}

/// A cast by a function that is not built in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    pub(super) source: u32,
    pub(super) target: u32,
    pub(super) function: u32,
}

/// All of it, as loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) relations: Vec<Relation>,
    /// (child, parent)
    pub(super) inherits: Vec<(u32, u32)>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) rules: Vec<Rule>,
    pub(super) policies: Vec<Policy>,
    pub(super) parts: Vec<Part>,
    pub(super) routines: Vec<Routine>,
    pub(super) operators: Vec<Operator>,
    pub(super) types: Vec<Type>,
    pub(super) casts: Vec<Cast>,
    /// User types that built-in ones become without being asked to.
    pub(super) implicit: Vec<u32>,
    /// Domains whose checks or default use user code.
    pub(super) checked: Vec<(u32, Used)>,
    /// Ranges with functions that are not built in.
    pub(super) ranges: Vec<(u32, u32)>,
    /// Types that operator classes are for that are not built in, and a support function of theirs.
    pub(super) classes: Vec<(u32, u32)>,
    pub(super) extensions: Map<u32, Box<str>>,
    /// (extension, table)
    pub(super) extension_tables: Vec<(u32, u32)>,
    /// Functions of text search templates and parsers, with the name of these.
    pub(super) text_search: Vec<(u32, Box<str>)>,
    pub(super) forbids: Option<Box<str>>,
    /// Everybody may read `pg_locks`.
    pub(super) locks_readable: bool,
}
