//! Greeting over loopback.
