//! What the configuration says of code that cannot be seen through.

use std::collections::BTreeMap;

/// What is to be believed of a database. It is asked when a snapshot is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// By `name`, meaning all functions of that name, or `schema.name`.
    pub functions: BTreeMap<String, Effects>,
    /// By `trigger`, `table.trigger` or `schema.table.trigger`.
    pub triggers: BTreeMap<String, Effects>,
    /// Relations under row security may be cached if their policies depend on nothing but tables,
    /// the roles and the settings, all of which are in the key.
    pub keyed_rls: bool,
    /// Foreign tables may be cached, for as long as the time to live.
    pub foreign_tables: bool,
}

/// What a function or trigger does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Tables that it writes, as `table` or `schema.table`; none: it writes nothing.
    pub writes: Vec<String>,
    /// Set: it may be cached, and its result depends on these tables and its arguments.
    pub reads: Option<Vec<String>>,
}
