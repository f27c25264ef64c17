//! A client that waits long for an upstream is told so, while it waits.

use std::pin::Pin;
use std::task::Context;

use tokio::time::{Sleep, sleep};

use super::Session;
use super::end::End;
use crate::pool::state::Setting;

/// The levels of `client_min_messages` at which Postgres would send no notice.
const QUIET: [&[u8]; 2] = [b"warning", b"error"];

/// How long a client waits without a word. A client that gets its upstream at once costs nothing here.
#[derive(Debug, Default)]
pub(super) enum Patience {
    /// It has not had to wait yet.
    #[default]
    Untried,
    Running(Pin<Box<Sleep>>),
    /// It was told, or is not to be.
    Over,
}

impl Session {
    /// Sends the notice when it is time. No upstream is held, so what is queued for the client are
    /// whole frames, and behind them a notice may stand, as anywhere between messages.
    pub(super) fn poll_notice(
        &mut self,
        patience: &mut Patience,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        if matches!(patience, Patience::Untried) {
            *patience = match self.pool.wait_notice().filter(|_| self.hears_notices()) {
                Some(after) => Patience::Running(Box::pin(sleep(after))),
                None => Patience::Over,
            };
        }
        if let Patience::Running(timer) = patience
            && timer.as_mut().poll(cx).is_ready()
        {
            *patience = Patience::Over;
            self.pool.still_waiting().encode(self.client.out.buffer());
        }
        self.client.try_flush(cx).map_err(End::Client)
    }

    /// Whether its `client_min_messages` lets notices through.
    fn hears_notices(&self) -> bool {
        let settings = self.state.settings.now();
        match settings.find("client_min_messages") {
            // `SET client_min_messages TO 'warning'`: the level is the last word.
            Some(Setting::Sql(text) | Setting::Value(text)) => !is_quiet(text),
            None => true,
        }
    }
}

fn is_quiet(text: &[u8]) -> bool {
    let mut words = text.rsplit(|byte| !byte.is_ascii_alphabetic());
    let last = words.find(|word| !word.is_empty()).unwrap_or_default();
    QUIET.iter().any(|quiet| last.eq_ignore_ascii_case(quiet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_last_word() {
        for quiet in [
            "warning",
            "SET client_min_messages = 'ERROR' ;",
            "set x to Warning",
        ] {
            assert!(is_quiet(quiet.as_bytes()), "{quiet}");
        }
        for loud in [
            "notice",
            "SET client_min_messages = log;",
            "",
            "warning_or_less x",
        ] {
            assert!(!is_quiet(loud.as_bytes()), "{loud}");
        }
    }
}
