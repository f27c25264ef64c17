//! An upstream in use.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::time::Instant;

use super::Slot;
use super::line::Permit;
use super::manager::Warm;
use super::record::Doing;
use crate::moment;

/// The right to one upstream. It ends by [`Lease::give_back`] when the upstream is proven clean,
/// else by [`Lease::discard`]; merely dropping it discards too.
#[derive(Debug)]
pub struct Lease {
    warm: Option<Box<Warm>>,
    // Declared, so dropped, in this order: the slot is free before the next in line may take it.
    slot: Option<Slot>,
    permit: Permit,
}

impl Lease {
    /// Takes the upstream out of bb8's slot; `None` when the slot is empty.
    pub(super) fn new(mut slot: Slot, permit: Permit) -> Option<Self> {
        let warm = slot.take()?;
        let lease = Self {
            warm: Some(warm),
            slot: Some(slot),
            permit,
        };
        lease.begins();
        Some(lease)
    }

    fn begins(&self) {
        self.record.taken(moment::number(self.taken_at));
        self.record.does(Doing::Active);
    }

    /// From one client's hands to another's; the bare right when the upstream is no longer good.
    pub(super) fn renewed(mut self, now: Instant) -> Result<Self, Permit> {
        if self.is_current() && self.is_good(now) {
            self.begins();
            return Ok(self);
        }
        self.warm = None;
        self.slot = None;
        Err(self.permit)
    }

    /// Back to the pool, or to whoever waits. The caller vouches that it is idle, owes nothing, and is
    /// proven clean.
    pub fn give_back(mut self) {
        let pool = Arc::clone(&self.permit.pool);
        self.record.has_statements(self.prepared.len());
        self.record.does(Doing::Idle);
        if self.slot.is_some() && !pool.is_closing(&self.record) {
            pool.put_at_hand(self);
        } else {
            let warm = self.warm.take();
            match self.slot.take() {
                Some(mut slot) => *slot = warm,
                None => pool.adopt(warm),
            }
        }
        pool.came_back();
    }

    /// Takes it apart: bb8's slot with the upstream in it, and the permit.
    pub(super) fn rest(mut self) -> (Option<Slot>, Permit) {
        let slot = self.slot.take().map(|mut slot| {
            *slot = self.warm.take();
            slot
        });
        (slot, self.permit)
    }

    /// It is being reset.
    pub fn resets(&self) {
        self.record.does(Doing::Tested);
    }

    /// Whether the upstream still is what one that is made now would be.
    pub fn is_current(&self) -> bool {
        let warm = self.warm.as_deref();
        warm.is_some_and(|warm| self.permit.pool.source.is_current(&warm.record))
    }

    /// Closes the upstream, because of `why`.
    pub fn discard(self, why: &'static str) {
        tracing::debug!(why, "upstream discarded");
    }

    /// Moves the upstream out of the pool's count, so that a pinned one does not keep others from
    /// working; false when there are too many such already, and it keeps its place in the pool.
    pub fn detach(&mut self) -> bool {
        if self.slot.is_none() {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.permit.pool.pins).try_acquire_owned() else {
            return false;
        };
        self.slot = None;
        self.permit.pins(permit);
        self.record.does(Doing::Pinned);
        true
    }
}

impl Deref for Lease {
    type Target = Warm;

    fn deref(&self) -> &Warm {
        #[expect(
            clippy::expect_used,
            reason = "only give_back and drop take it, and both end self"
        )]
        self.warm.as_deref().expect("a lease has its upstream")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Warm {
        #[expect(
            clippy::expect_used,
            reason = "only give_back and drop take it, and both end self"
        )]
        self.warm.as_deref_mut().expect("a lease has its upstream")
    }
}
