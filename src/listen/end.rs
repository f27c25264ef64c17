//! How the listener's clients end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::Door;
use crate::session::cancel::{DRAIN, KILL, LEAVE};
use crate::session::census::Purpose;

/// How long sessions may take that were told to end at once: last words, and a cancel of what an
/// upstream still does.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// How long a client that has just come may take to ask its first question once the process drains:
/// a round trip across an ocean, with some patience. Whoever connects for each transaction has it done.
const FIRST_QUESTION_MAX: Duration = Duration::from_secs(1);

/// How long the console's clients may take to read that it is over.
const CONSOLES_MAX: Duration = Duration::from_secs(1);

/// A connection's task, counted while it runs.
pub(super) struct Running(watch::Sender<usize>);

impl Running {
    pub(super) fn new(count: &watch::Sender<usize>) -> Self {
        // Only those who wait for none to be left are waiting.
        let _told = count.send_if_modified(|running| {
            *running += 1;
            false
        });
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _told = self.0.send_if_modified(|running| {
            *running -= 1;
            *running == 0
        });
    }
}

impl Door {
    /// Lets running transactions end, at most for `patience`; idle clients are told to go, those that
    /// have just come not before they had time for one transaction.
    pub async fn drain(&self, patience: Duration) {
        self.draining.store(true, Ordering::Release);
        self.registry.raise(DRAIN, |handle| {
            is_client(handle.purpose()) && !handle.is_new(FIRST_QUESTION_MAX)
        });
        let all_told = async {
            let left = tokio::time::timeout(FIRST_QUESTION_MAX, none(&self.running)).await;
            if left.is_err() {
                self.last_call.store(true, Ordering::Release);
                self.registry.raise_all(DRAIN, is_client);
                none(&self.running).await;
            }
        };
        if tokio::time::timeout(patience, all_told).await.is_err() {
            tracing::warn!("listen.shutdown_timeout is over: ending the remaining sessions");
            self.registry.raise_all(KILL, is_client);
            // Those that still do not end are ended with the process.
            let _ended = tokio::time::timeout(LAST_WORDS_MAX, none(&self.running)).await;
        }
    }

    /// The same without limit, and who waits for an upstream has to go, too.
    pub async fn servers_free(&self) {
        self.draining.store(true, Ordering::Release);
        self.last_call.store(true, Ordering::Release);
        self.registry.raise_all(DRAIN | LEAVE, is_client);
        none(&self.running).await;
    }

    /// Waits until all clients have left by themselves; those of the console do not count.
    pub async fn clients_gone(&self) {
        none(&self.running).await;
    }

    /// Ends all sessions now.
    pub async fn kill(&self) {
        self.registry.raise_all(KILL, is_client);
        let _ended = tokio::time::timeout(LAST_WORDS_MAX, none(&self.running)).await;
    }

    /// Tells the console's clients that the process ends.
    pub async fn close_consoles(&self) {
        let is_console = |purpose| purpose == Purpose::Console;
        self.registry.raise_all(DRAIN, is_console);
        let _ended = tokio::time::timeout(CONSOLES_MAX, none(&self.consoles_running)).await;
    }
}

/// Those of the console stay until the end, so that somebody can look.
fn is_client(purpose: Purpose) -> bool {
    purpose != Purpose::Console
}

async fn none(running: &watch::Sender<usize>) {
    // The sender lives as long as the door, so waiting cannot fail.
    let _none = running
        .subscribe()
        .wait_for(|running| *running == 0)
        .await
        .is_ok();
}
