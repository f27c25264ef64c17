//! What was answered once is answered again from memory, as long as it is still true.
//!
//! This room knows no SQL, no sockets and no clock: it is told what a result depends on, what a
//! write touches, and what time it is.

pub mod generation;
mod held;
