//! What the database says of names: what a query depends on, what a write changes, and which
//! functions could change a session's state unseen.
//!
//! A [`Snapshot`] is plain data for [`sql`](crate::sql) and the session to ask; [`Catalog`] keeps
//! one up to date over a control connection. Between a change made elsewhere and the next poll the
//! snapshot is out of date: a function made unsafe in that time is taken for safe until then, and
//! what a new trigger writes is not known.

mod allow;
mod closure;
mod declared;
mod facts;
mod footprint;
mod functions;
mod known;
mod load;
mod refresh;
mod resolve;
mod server;
mod settle;
pub mod snapshot;

#[cfg(test)]
mod tests;

pub use declared::{Declared, Effects};
pub use refresh::{Catalog, Lost, load_once};
pub use resolve::{Meaning, Object, Refusal, Verdict, WriteSet};
pub use server::Server;
pub use snapshot::Snapshot;
