//! The protocol, apart from I/O: no tokio, no sockets, no clock, no policy.
//!
//! **frontend** and **backend** are directions of a message, as in the protocol manual; a **frame**
//! is a tag with its raw bytes, a **message** is decoded.

pub mod auth;
pub mod condition;
pub mod error;
pub mod frame;
pub mod replies;
pub mod scram;
pub mod startup;
pub mod trouble;
