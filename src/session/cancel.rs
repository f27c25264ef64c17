//! Cancel keys: ours to the upstream's, valid only while the upstream is held (H102, H103); and what
//! else others may ask of a running session, or know of it.

mod key;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use foldhash::fast::RandomState;
use ring::error::Unspecified;

use self::key::{Key, Random};
use super::census::{Activity, Peer, Purpose, Seen, Who};
use crate::moment;
use crate::pool::Pool;
use crate::pool::record::Record;

/// How long a cancel connection to the upstream may take. Its upstream waits for it, so not long.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What others may ask of a running session. Its task looks at the flags whenever it is polled.
#[derive(Debug)]
pub struct Handle {
    /// Another number for each, small enough to be typed.
    pub(super) id: u64,
    /// What BackendKeyData tells the client.
    pid: u32,
    key: Key,
    pub(super) who: Arc<Who>,
    pub(super) peer: Peer,
    pub(super) connected_at: u64,
    pub(super) activity: Activity,
    flags: AtomicU8,
    target: Mutex<Target>,
}

/// The session's task has left its waker.
const REGISTERED: u8 = 16;
/// Leave when idle: the process is stopping.
pub(crate) const DRAIN: u8 = 1;
/// Leave now.
pub(crate) const KILL: u8 = 2;
/// A cancel came while the session waited for an upstream.
pub(crate) const CANCELLED: u8 = 4;
/// Leave instead of waiting for an upstream.
pub(crate) const LEAVE: u8 = 8;

/// What a session waits for, besides its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Waits {
    #[default]
    No,
    /// An upstream, or what an administrator asked for.
    Queue,
    /// Another client's answer.
    Follow,
}

#[derive(Debug, Default)]
pub(super) struct Target {
    /// The session's task.
    waker: Option<Waker>,
    upstream: Option<Arc<Record>>,
    /// Where its upstreams come from.
    pool: Option<Arc<Pool>>,
    /// What its client calls itself, once that is another than at the start.
    pub(super) application_name: Option<Box<str>>,
    waits: Waits,
    /// Since when.
    since: u64,
    /// Cancel connections that may still reach the upstream.
    under_way: u32,
    /// One was given up after its request had been sent: the upstream may still be cancelled, whoever
    /// has it then.
    astray: bool,
}

impl Target {
    fn wake(&self) {
        if let Some(waker) = self.waker.as_ref() {
            waker.wake_by_ref();
        }
    }
}

impl Handle {
    fn new(pid: u32, key: Key, who: Arc<Who>, peer: Peer) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            pid,
            key,
            who,
            peer,
            connected_at: moment::now(),
            activity: Activity::default(),
            flags: AtomicU8::new(0),
            target: Mutex::default(),
        }
    }

    /// Takes the waker of the session's task, the first time: it stays the same for a task's life.
    pub(crate) fn register(&self, waker: &Waker) {
        if !self.has(REGISTERED) {
            // Under the lock: a flag that is raised meanwhile is seen, or its raiser finds the waker.
            self.target().waker = Some(waker.clone());
            self.flags.fetch_or(REGISTERED, Ordering::Release);
        }
    }

    /// Whether all of `flags` are up.
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flags == flags
    }

    /// Raises `flag` and wakes the session.
    pub(crate) fn raise(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        self.target().wake();
    }

    /// Waits until `flag` is up.
    pub(crate) async fn raised(&self, flag: u8) {
        poll_fn(|cx| {
            self.register(cx.waker());
            if self.has(flag) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Takes `flag` down; whether it was up.
    pub(crate) fn lower(&self, flag: u8) -> bool {
        self.has(flag) && self.flags.fetch_and(!flag, Ordering::Acquire) & flag != 0
    }

    /// The session's upstreams come from this pool.
    pub(crate) fn joins(&self, pool: &Arc<Pool>) {
        self.target().pool = Some(Arc::clone(pool));
    }

    /// The session holds this upstream from now on.
    pub(super) fn hold(&self, upstream: &Arc<Record>, statements: usize) {
        upstream.serves(self.id);
        self.activity.holds(upstream.taken_at(), statements);
        let mut target = self.target();
        target.upstream = Some(Arc::clone(upstream));
        target.astray = false;
        self.waited(&mut target);
    }

    /// The session waits for an upstream since this moment.
    pub(super) fn queues(&self, since: u64) {
        let mut target = self.target();
        target.since = since;
        target.waits = Waits::Queue;
    }

    /// The session begins or ends to wait.
    pub(crate) fn waits(&self, waits: Waits) {
        let mut target = self.target();
        if waits == Waits::No {
            self.waited(&mut target);
        } else {
            target.since = moment::now();
            target.waits = waits;
        }
    }

    /// The wait is over. A cancel that comes to nothing with it must not hit a later one.
    fn waited(&self, target: &mut Target) {
        target.waits = Waits::No;
        self.lower(CANCELLED);
    }

    /// What the session is doing.
    pub(super) fn seen(self: &Arc<Self>) -> Seen {
        let target = self.target();
        Seen {
            handle: Arc::clone(self),
            upstream: target.upstream.clone(),
            pool: target.pool.clone(),
            application_name: target.application_name.clone(),
            queued_at: (target.waits == Waits::Queue).then_some(target.since),
            cancels: target.under_way,
        }
    }

    /// The session lets go of its upstream: no cancel starts any more, and those under way are
    /// waited for, so that none of them hits whoever is next. False when one may still do so: nobody
    /// else can have the upstream.
    pub(super) async fn let_go(&self) -> bool {
        if self.try_let_go() {
            return true;
        }
        let wait = poll_fn(|cx| {
            self.register(cx.waker());
            if self.target().under_way == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let ended = tokio::time::timeout(CANCEL_TIMEOUT * 2, wait).await;
        ended.is_ok() && !self.target().astray
    }

    /// Whether [`Handle::let_go`] would return at once; if so, it has been done.
    pub(super) fn try_let_go(&self) -> bool {
        let mut target = self.target();
        self.lets_go(&mut target);
        target.under_way == 0 && !target.astray
    }

    fn lets_go(&self, target: &mut Target) {
        if let Some(upstream) = target.upstream.take() {
            upstream.serves(0);
            self.activity.lets_go();
        }
    }

    /// A CancelRequest with this session's key came.
    async fn cancel(&self) {
        let upstream = {
            let mut target = self.target();
            if target.waits != Waits::No {
                // Under the lock, as its end is: it concerns this wait and no other.
                self.flags.fetch_or(CANCELLED, Ordering::Release);
                target.wake();
                return;
            }
            let Some(upstream) = target.upstream.clone() else {
                return;
            };
            target.under_way += 1;
            upstream
        };
        let mut under_way = UnderWay {
            handle: self,
            astray: true,
        };
        let ended = upstream.cancel.cancel(CANCEL_TIMEOUT).await;
        under_way.astray = ended.as_ref().is_err_and(|failed| failed.sent);
        if let Err(failed) = ended {
            tracing::warn!(error = %failed.error, "the upstream has not acknowledged a cancel request");
        }
    }

    pub(super) fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct UnderWay<'a> {
    handle: &'a Handle,
    /// Whether it is, if it ends now.
    astray: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut target = self.handle.target();
        target.under_way -= 1;
        target.astray |= self.astray;
        drop(target);
        self.handle.wake();
    }
}

/// The bits of a process id that tell sessions of one process apart, where there are several: four
/// times the open files that Linux lets a process have (fs.nr_open).
const SESSION_BITS: u32 = 22;

/// The highest number of a process: a process id is positive, which leaves nine bits.
pub(crate) const NUMBER_MAX: u16 = (1 << (31 - SESSION_BITS)) - 1;

/// Which process has told its client this process id, if it has a number.
pub(crate) fn number_of(pid: u32) -> Option<NonZeroU16> {
    let number = u16::try_from(pid >> SESSION_BITS).ok()?;
    NonZeroU16::new(number).filter(|number| number.get() <= NUMBER_MAX)
}

/// The sessions of this process by the process id we told their clients.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<Sessions>,
    /// This process among its peers, if it may have any: part of its process ids.
    number: Option<NonZeroU16>,
}

#[derive(Debug, Default)]
struct Sessions {
    by_pid: HashMap<u32, Arc<Handle>, RandomState>,
    /// What is the same for many, and how many: never more than there are sessions.
    sorts: HashMap<Arc<Who>, (Arc<Who>, usize), RandomState>,
    random: Random,
}

impl Sessions {
    /// One copy for all of them.
    fn share(&mut self, who: Who) -> Arc<Who> {
        if let Some((known, count)) = self.sorts.get_mut(&who) {
            *count += 1;
            return Arc::clone(known);
        }
        let who = Arc::new(who);
        self.sorts.insert(Arc::clone(&who), (Arc::clone(&who), 1));
        who
    }

    fn leave(&mut self, handle: &Handle) {
        self.by_pid.remove(&handle.pid);
        if let Some((_, count)) = self.sorts.get_mut(&handle.who) {
            *count -= 1;
            if *count == 0 {
                self.sorts.remove(&handle.who);
            }
        }
    }
}

/// A session's place in the [`Registry`]; leaving it is dropping this.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<Registry>,
    handle: Arc<Handle>,
}

impl Registered {
    /// What BackendKeyData tells the client.
    pub(crate) fn key_data(&self) -> (u32, &[u8]) {
        (self.handle.pid, self.handle.key.bytes())
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.sessions().leave(&self.handle);
    }
}

impl Registry {
    /// For the process that has this number among its peers.
    pub fn new(number: Option<NonZeroU16>) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// Enters a session. `long` keys are for protocol 3.2.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn enter(
        self: &Arc<Self>,
        long: bool,
        who: Who,
        peer: Option<SocketAddr>,
    ) -> Result<Registered, Unspecified> {
        let peer = Peer::new(peer);
        let mut sessions = self.sessions();
        let key = Key::new(long, &mut sessions.random)?;
        let pid = loop {
            // No secret, that is the key. Positive, as some drivers read it as signed.
            let any = fastrand::u32(..) >> 1;
            let pid = match self.number {
                None => any,
                Some(number) => {
                    u32::from(number.get()) << SESSION_BITS | any & ((1 << SESSION_BITS) - 1)
                }
            };
            if pid != 0 && !sessions.by_pid.contains_key(&pid) {
                break pid;
            }
        };
        let handle = Arc::new(Handle::new(pid, key, sessions.share(who), peer));
        sessions.by_pid.insert(pid, Arc::clone(&handle));
        drop(sessions);
        Ok(Registered {
            registry: Arc::clone(self),
            handle,
        })
    }

    /// Acts on a CancelRequest. There is never an answer, right key or wrong.
    pub async fn cancel(&self, pid: u32, key: &[u8]) {
        let found = self.sessions().by_pid.get(&pid).map(Arc::clone);
        let Some(handle) = found else {
            return;
        };
        // Constant time: the key is a secret that anybody may guess at.
        #[expect(
            deprecated,
            reason = "ring has no other comparison, and no timing claim is lost"
        )]
        let same = ring::constant_time::verify_slices_are_equal(handle.key.bytes(), key).is_ok();
        if same {
            handle.cancel().await;
        }
    }

    /// Raises `flags` on the sessions of clients that came for this.
    pub(crate) fn raise_all(&self, flags: u8, of: impl Fn(Purpose) -> bool) {
        self.raise(flags, |handle| of(handle.purpose()));
    }

    /// Raises `flags` on these sessions.
    pub(crate) fn raise(&self, flags: u8, on: impl Fn(&Handle) -> bool) {
        for handle in self.all() {
            if on(&handle) {
                handle.raise(flags);
            }
        }
    }

    /// Every session, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Handle>> {
        let sessions = self.sessions();
        sessions.by_pid.values().map(Arc::clone).collect()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
