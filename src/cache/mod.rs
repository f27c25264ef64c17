//! Results kept in memory, and whether they may be used.

use std::time::Duration;

pub mod rules;

/// How long a result may be used, counted from when its query was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Up to this age it is a hit.
    pub ttl: Duration,
    /// For so long after that it is still a hit while one query refreshes it in the background.
    pub swr: Duration,
}
