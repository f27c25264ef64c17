#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::panic, reason = "a failed check is a failed test")]
#![expect(clippy::indexing_slicing, reason = "a short reply is a failed test")]
//! Everything that needs the real binary and a real Postgres. One binary, so that it links once.

mod apps;
mod auth;
mod cache;
mod cancel;
mod console;
mod demo;
mod documents;
mod drivers;
mod evict;
mod explain;
mod faults;
mod hazards;
mod heal;
mod kinds;
mod life;
mod login;
mod meter;
mod notice;
mod packaging;
mod pin;
mod pool;
mod same;
mod settings;
mod soak;
mod stream;
mod support;
mod telemetry;
mod tidy;
mod upgrade;
mod web;
