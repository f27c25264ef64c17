//! The console: a database that does not exist, whose tables are what the proxy knows of itself.
//!
//! [`command`] reads what a client asks, [`console`] talks with it, [`show`] turns tables into
//! frames. What there is to show, and what can be done, comes from elsewhere, through [`Facts`]. The
//! [`http`] server tells the same to programs: it sees all of it at one moment, as a [`view`].

pub mod action;
pub mod columns;
pub mod command;
pub mod console;
pub mod driver;
mod extended;
pub mod http;
pub mod show;
pub mod view;

use std::future::Future;
use std::pin::Pin;

pub use action::{Action, Purge, Shutdown};
pub use command::Show;

use crate::wire::error::PgError;

/// What the console shows and does.
pub trait Facts: std::fmt::Debug + Send + Sync {
    /// Asked for each command anew; must not block, and must bound what it returns, for a client that
    /// reads slowly keeps it in memory.
    fn show(&self, what: Show, dialect: Dialect) -> Table;

    /// The rows of SHOW CLIENTS and SHOW PINS that matter most, at most so many of each.
    fn people(&self, most: usize) -> People;

    /// All that is counted and measured, for programs.
    fn view(&self, detail: view::Detail) -> view::View;

    /// Does it, and waits until it is done. Dropping the future takes back what can be taken back.
    fn act<'a>(&'a self, action: &'a Action) -> Doing<'a>;

    /// Forgets results; how many.
    ///
    /// # Errors
    /// What the client is told, when nothing is known of what it named.
    fn purge(&self, what: &Purge) -> Result<u64, PgError>;
}

/// Who is there, the most urgent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    pub clients: Listed,
    pub pins: Listed,
}

/// The first rows of a longer table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many there are in all.
    pub count: usize,
    pub table: Table,
}

/// An action under way.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<Done, PgError>> + Send + 'a>>;

/// What came of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Stands behind the command tag.
    pub count: Option<u64>,
    /// What else there is to say.
    pub notices: Vec<PgError>,
}

/// For whom tables are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Everything.
    Whole,
    /// Who asks for the database `pgbouncer` gets no column where its exporters count them.
    PgBouncer,
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
