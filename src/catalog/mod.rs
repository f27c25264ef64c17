//! What the database says of names: which functions could change a session's state unseen.

pub mod snapshot;

pub use snapshot::Snapshot;
