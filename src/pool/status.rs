//! How a pool is doing, for people.

use super::Pool;

/// Numbers of one moment; they are read one after the other, so they need not add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Upstreams that there may be.
    pub size_max: usize,
    /// Leased upstreams that count against it.
    pub active: usize,
    /// Upstreams that nobody uses.
    pub idle: usize,
    /// Upstreams that their sessions keep, beyond the pool's size.
    pub pinned: usize,
    /// How many there may be of those.
    pub pins_max: usize,
    /// Clients that wait for an upstream.
    pub waiting: usize,
    /// All upstreams that are open.
    pub live: usize,
    /// Why connecting failed, if it did since an upstream was last there.
    pub failure: Option<String>,
}

impl Pool {
    /// How it is doing.
    pub fn status(&self) -> Status {
        let (size_max, pins_max) = (self.limits.size_max.max(1), self.limits.pins_max);
        let live = self.live.count();
        let failure = self.failures.borrow();
        let failure = failure.as_ref().filter(|_| live == 0);
        let rested = usize::try_from(self.inner.state().idle_connections).unwrap_or(0);
        Status {
            size_max,
            active: size_max.saturating_sub(self.line.free()),
            idle: self.line.count_at_hand() + rested,
            pinned: pins_max.saturating_sub(self.pins.available_permits()),
            pins_max,
            waiting: self.line.length(),
            live,
            failure: failure.map(ToString::to_string),
        }
    }
}
