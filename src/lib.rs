//! pgweir: a transparent Postgres pooler.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
pub mod limits;
pub mod listen;
pub mod pool;
pub mod relay;
pub mod session;
pub mod sql;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod wire;
