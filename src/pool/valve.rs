//! What an administrator can stop of a database: leases (PAUSE), and new clients (DISABLE).

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// One for each name that clients have for a database; all its pools look at it.
#[derive(Debug)]
pub struct Valve {
    /// Paused or not, for those who wait for a change.
    turned: watch::Sender<bool>,
    /// The same for those who only look, which every lease does.
    paused: AtomicBool,
    disabled: AtomicBool,
}

impl Valve {
    /// Open, unless everything is paused.
    pub fn new(paused: bool) -> Self {
        Self {
            turned: watch::Sender::new(paused),
            paused: AtomicBool::new(paused),
            disabled: AtomicBool::new(false),
        }
    }

    /// Whether there are no leases at the moment.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// From now on there are no leases, or there are again.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
        self.turned.send_replace(paused);
    }

    /// Hears of every pause, and of its end.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.turned.subscribe()
    }

    /// Waits until there are leases.
    pub async fn opened(&self) {
        self.turned_to(false).await;
    }

    /// Waits until there are none.
    pub async fn closed(&self) {
        self.turned_to(true).await;
    }

    async fn turned_to(&self, paused: bool) {
        // The sender lives as long as this, so waiting cannot fail.
        let _turned = self
            .turned
            .subscribe()
            .wait_for(|now| *now == paused)
            .await
            .is_ok();
    }

    /// Whether new clients are refused.
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// Refuses new clients, or lets them in again.
    pub fn disable(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Relaxed);
    }

    /// Whether nothing is stopped, so that forgetting it changes nothing.
    pub fn is_idle(&self) -> bool {
        !self.is_paused() && !self.is_disabled()
    }
}
