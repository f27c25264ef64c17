//! How fast a pool connects: a database that comes back must not be stampeded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Handshakes a pool has under way at once: a login costs the server a fork and, with SCRAM,
/// milliseconds of hashing.
const HANDSHAKES_MAX: usize = 8;

/// The first pause after a failure, and the longest. A client that comes in between waits for the
/// next try, so the longest is also what it may wait to be told that the database is still away.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// While connecting fails, one try at a time and a growing, jittered pause between them.
#[derive(Debug)]
pub(super) struct Pace<E> {
    handshakes: Semaphore,
    probe: Semaphore,
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    failures: u32,
    /// Counts failures for ever, to see whether one came while waiting.
    count: u64,
    again_at: Instant,
    last: Option<Arc<E>>,
}

/// The right to try. Dropping it lets the next one try.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _handshake: SemaphorePermit<'a>,
    _probe: Option<SemaphorePermit<'a>>,
}

impl<E> Default for Pace<E> {
    fn default() -> Self {
        Self {
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            probe: Semaphore::new(1),
            state: Mutex::new(State {
                failures: 0,
                count: 0,
                again_at: Instant::now(),
                last: None,
            }),
        }
    }
}

impl<E> Pace<E> {
    /// Waits for its turn.
    ///
    /// # Errors
    /// The failure of another try that was made meanwhile: this one would only repeat it.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Arc<E>> {
        let seen = self.state().count;
        // Neither semaphore is ever closed, so acquiring cannot fail.
        let handshake = acquire(&self.handshakes).await;
        if self.state().failures == 0 {
            return Ok(Turn {
                _handshake: handshake,
                _probe: None,
            });
        }
        let probe = acquire(&self.probe).await;
        let again_at = {
            let state = self.state();
            if state.failures > 0
                && state.count != seen
                && let Some(last) = &state.last
            {
                return Err(Arc::clone(last));
            }
            (state.failures > 0).then_some(state.again_at)
        };
        if let Some(again_at) = again_at {
            tokio::time::sleep_until(again_at).await;
        }
        Ok(Turn {
            _handshake: handshake,
            _probe: Some(probe),
        })
    }

    /// The try succeeded.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.last = None;
    }

    /// The try failed; the next one has to wait.
    pub(super) fn failed(&self, error: Arc<E>) {
        let mut state = self.state();
        let doublings = state.failures.min(8);
        let pause = (PAUSE_MIN * 2u32.pow(doublings)).min(PAUSE_MAX);
        state.failures = state.failures.saturating_add(1);
        state.count += 1;
        state.again_at = Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        state.last = Some(error);
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn acquire(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    loop {
        if let Ok(permit) = semaphore.acquire().await {
            return permit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_slow_down_and_a_success_ends_it() {
        let pace: Pace<&str> = Pace::default();
        let start = Instant::now();
        drop(pace.turn().await.unwrap());
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            pace.failed(Arc::new("refused"));
        }
        drop(pace.turn().await.unwrap());
        assert!(start.elapsed() >= PAUSE_MAX / 2 && start.elapsed() <= PAUSE_MAX);
        pace.succeeded();
        let start = Instant::now();
        drop(pace.turn().await.unwrap());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_waited_for_a_failed_try_share_its_reason() {
        let pace: Arc<Pace<&str>> = Arc::default();
        pace.failed(Arc::new("first"));
        let turn = pace.turn().await.unwrap();
        let other = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.turn().await.err() }
        });
        tokio::task::yield_now().await;
        pace.failed(Arc::new("second"));
        drop(turn);
        assert_eq!(other.await.unwrap().as_deref(), Some(&"second"));
    }
}
