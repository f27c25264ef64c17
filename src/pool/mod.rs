//! Upstream connections.

pub mod cancel;
pub mod control;
pub mod dial;
pub mod error;
mod handshake;
pub mod upstream;
