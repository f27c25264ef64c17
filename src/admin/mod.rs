//! The console: a database that does not exist, whose tables are what the proxy knows of itself.
//!
//! [`command`] reads what a client asks, [`console`] talks with it, [`show`] turns tables into
//! frames. What there is to show comes from elsewhere, through [`Facts`]. The [`http`] server tells
//! the same to programs: it sees all of it at one moment, as a [`view`].

pub mod command;
pub mod console;
mod extended;
pub mod http;
pub mod show;
pub mod view;

pub use command::Purge;

use crate::wire::error::PgError;

/// What the console shows and does. Asked for each command anew; must not block, and must bound what
/// it returns, for a client that reads slowly keeps it in memory.
pub trait Facts: std::fmt::Debug + Send + Sync {
    /// The cache as a whole.
    fn cache(&self) -> Table;
    /// One row for each shape of query.
    fn queries(&self) -> Table;
    /// One row for each table that is read or written.
    fn tables(&self) -> Table;
    /// One row for each reason why queries were not answered from memory.
    fn bypasses(&self) -> Table;
    /// Every setting with its origin, secrets masked.
    fn config(&self) -> Table;
    /// Every database that clients can name.
    fn databases(&self) -> Table;

    /// All that is counted and measured, for programs.
    fn view(&self, detail: view::Detail) -> view::View;

    /// Forgets results; how many.
    ///
    /// # Errors
    /// What the client is told, when nothing is known of what it named.
    fn purge(&self, what: &Purge) -> Result<u64, PgError>;
}

/// A result of the console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    /// Values as text, `None` for NULL; each row has a value for each column.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A column of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `bigint`: digits, with a sign perhaps.
    Int,
    /// `double precision`: what Rust writes for an `f64`.
    Float,
}

impl Table {
    /// Without rows so far.
    pub fn of(columns: &[(&'static str, Kind)]) -> Self {
        let column = |(name, kind): &(&'static str, Kind)| Column { name, kind: *kind };
        Self {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }
}

/// What somebody may do in the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// SHOW.
    Looks,
    /// Everything.
    Acts,
}
