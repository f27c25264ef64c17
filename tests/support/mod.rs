//! What the tests share: throw-away servers, the proxy as a process, a client of raw frames, scripts.

pub(crate) mod certificates;
pub(crate) mod install;
pub(crate) mod login;
pub(crate) mod naive;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod script;
pub(crate) mod web;
pub(crate) mod wire;

use std::net::TcpListener;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take before the test calls it a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Asks again and again until `probe` has an answer. For conditions nobody tells us about.
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that was free a moment ago. Whoever uses it tries again with another when it was taken.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
