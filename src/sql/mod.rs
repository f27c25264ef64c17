//! What a query's text means, as far as the proxy must know it. No I/O.
//!
//! [`lexer`] cuts a text into tokens as the server does. [`analyze`](analyze()) says what its
//! statements do to the session that runs them ([`effect`]), and why one of them could do more
//! than its text shows. [`shape`] takes the literals out of a text, and [`class`] says what texts
//! of one shape mean to the cache. [`comment`] reads what comments say to programs.

mod analyze;
pub mod block;
pub(crate) mod body;
pub mod class;
pub mod comment;
mod cursor;
mod define;
pub mod effect;
pub mod lexer;
mod scan;
mod settings;
pub mod shape;
pub(crate) mod special;
mod words;

#[cfg(test)]
mod tests;

pub use analyze::analyze;
pub use settings::value as set_value;
