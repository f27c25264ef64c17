//! What a query's text means, as far as the proxy must know it. No I/O.

pub mod lexer;
