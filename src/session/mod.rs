//! A client's session, from its first byte to its last.

pub mod greet;
