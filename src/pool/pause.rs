//! Closing upstreams on purpose: PAUSE and RECONNECT.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::pools::Found;
use super::record::Record;
use super::{LOOK_AGAIN, Pool};

impl Pool {
    /// Upstreams made so far are closed: the idle ones now, the others when they come back
    /// (PgBouncer's RECONNECT).
    pub fn reconnect(&self) {
        self.source.reconnects.fetch_add(1, Ordering::Release);
        self.sweep();
    }

    /// Sessions are to use another pool from now on. Those that are in line already are served.
    pub(super) fn retire(&self, successor: Found) {
        self.source.retired.store(true, Ordering::SeqCst);
        // Another one cannot have been set: a pool is retired when it leaves the map of pools.
        let _first = self.successor.set(successor).is_ok();
        self.reconnect();
    }

    /// The pool to use instead of this one, if it is of an earlier configuration.
    pub fn successor(&self) -> Option<&Found> {
        self.successor.get()
    }

    /// Closes idle upstreams, and waits until those in use have come back and been closed, too. The
    /// valve is closed already, so nobody gets a new one.
    pub async fn drain(&self) {
        self.sweep_until(HashMap::is_empty).await;
    }

    /// Closes idle upstreams until this is true of all that are left. bb8 does not say when one comes to
    /// rest that was being connected meanwhile, so they are looked for again.
    async fn sweep_until(&self, enough: impl Fn(&HashMap<u64, Arc<Record>>) -> bool) {
        loop {
            self.sweep();
            let enough = self.live.until(&enough);
            if timeout(LOOK_AGAIN, enough).await.is_ok() {
                return;
            }
        }
    }

    /// An upstream was given back: if that was while the pause began, nobody else closes it.
    pub(super) fn came_back(&self) {
        if self.valve.is_paused() || self.successor.get().is_some() {
            self.sweep();
        }
    }

    /// Whether an upstream that comes back is to be closed.
    pub(super) fn is_closing(&self, record: &Record) -> bool {
        !self.is_current(record) || self.valve.is_paused()
    }

    /// Closes the idle upstreams that nobody may have any more.
    fn sweep(&self) {
        let mut kept = Vec::new();
        // Asked when it has none, bb8 would connect one.
        let rested = || self.inner.state().idle_connections > 0;
        let behind = || rested().then(|| self.look_behind()).flatten();
        while let Some(mut slot) = self.line.at_hand().or_else(behind) {
            let warm = slot.as_ref();
            if warm.is_some_and(|warm| !self.is_closing(&warm.record)) {
                kept.push(slot);
            } else {
                *slot = None;
            }
        }
    }

    /// Waits until those that have to be closed have been.
    pub async fn renewed(&self) {
        self.sweep_until(|all| all.values().all(|record| self.is_current(record)))
            .await;
    }

    /// All upstreams, pinned ones too.
    pub fn upstreams(&self) -> Vec<Arc<Record>> {
        self.live.all()
    }

    /// Logins under way.
    pub fn connecting(&self) -> usize {
        self.source.connecting.load(Ordering::Relaxed)
    }

    /// Whether it stays when it comes back.
    pub fn is_current(&self, record: &Record) -> bool {
        self.source.is_current(record) && self.successor.get().is_none()
    }

    /// Upstreams there may be, pinned ones aside.
    pub fn size_max(&self) -> usize {
        self.limits.size_max
    }
}
