//! What the database says of names: which functions could change a session's state unseen.
//!
//! A [`Snapshot`] is plain data for [`sql`](crate::sql) to ask; [`Catalog`] keeps one up to date
//! over a control connection. Between a change made elsewhere and the next poll the snapshot is
//! out of date: a function made unsafe in that time is taken for safe until then.

mod functions;
mod load;
mod refresh;
pub mod snapshot;

#[cfg(test)]
mod tests;

pub use refresh::Catalog;
pub use snapshot::Snapshot;
