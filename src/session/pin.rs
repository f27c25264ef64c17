//! Why a session keeps its upstream beyond the transaction (H96).

use crate::sql::effect::SessionState;

/// The reasons that hold a session to its upstream. Most can be asked for: [`PROBE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    reasons: u16,
    /// Something ran that may have ended a reason.
    pub(super) ask: bool,
    /// The lease has been told.
    pub(super) settled: bool,
}

/// Asks an upstream for what is left of the states that can be asked for; one row, one bit mask as
/// in [`bit`]. Runs under the client's settings, so every name says where it is from (H110).
pub(super) const PROBE: &[u8] = b"SELECT \
    (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) THEN 1 ELSE 0 END) \
    OPERATOR(pg_catalog.+) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) THEN 2 ELSE 0 END) \
    OPERATOR(pg_catalog.+) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) THEN 4 ELSE 0 END) \
    OPERATOR(pg_catalog.+) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors s WHERE s.is_holdable) THEN 8 ELSE 0 END) \
    OPERATOR(pg_catalog.+) (CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statements p WHERE NOT pg_catalog.starts_with(p.name, 'pgweir_')) THEN 16 ELSE 0 END)";

/// The pool is in session mode: the upstream is the client's until it leaves.
const SESSION_MODE: u16 = 1 << 15;

/// Settings are a reason until the transaction commits only: all were reset in it, which a rollback takes back.
/// Never without that reason.
const RESET: u16 = 1 << 14;

/// The states that [`PROBE`] sees.
const ASKABLE: u16 = 1 | 2 | 4 | 8 | 16;

/// The states that nothing but the end of the connection is sure to end, not even `DISCARD ALL`.
const LASTING: [SessionState; 5] = [
    SessionState::Seed,
    SessionState::Load,
    SessionState::ReplicationSlot,
    SessionState::ReplicationOrigin,
    SessionState::Backup,
];

fn bit(state: SessionState) -> u16 {
    match state {
        SessionState::TempTable => 1,
        SessionState::Listen => 2,
        SessionState::AdvisoryLock => 4,
        SessionState::HoldCursor => 8,
        SessionState::Prepared => 16,
        SessionState::Sequence => 32,
        SessionState::Seed => 64,
        SessionState::Load => 128,
        SessionState::Setting => 256,
        SessionState::ReplicationSlot => 512,
        SessionState::ReplicationOrigin => 1024,
        SessionState::Backup => 2048,
    }
}

/// The reasons of a [`Pins::mask`] in words.
pub(super) fn reasons(mask: u16) -> Vec<&'static str> {
    let states = SessionState::ALL.into_iter();
    let states = states.filter(|state| mask & bit(*state) != 0);
    let session = (mask & SESSION_MODE != 0).then_some("session mode");
    session
        .into_iter()
        .chain(states.map(SessionState::as_str))
        .collect()
}

impl Pins {
    /// The pins of a session-mode pool.
    pub(super) fn session_mode() -> Self {
        Self {
            reasons: SESSION_MODE,
            ask: false,
            settled: true,
        }
    }

    /// A statement made this state.
    pub(super) fn add(&mut self, state: SessionState) {
        if state == SessionState::Setting {
            self.reasons &= !RESET;
        }
        if self.reasons & bit(state) == 0 {
            tracing::debug!(reason = state.as_str(), "session pinned to its upstream");
            self.reasons |= bit(state);
            self.settled = self.reasons & SESSION_MODE != 0;
        }
    }

    /// This state is gone.
    pub(super) fn remove(&mut self, state: SessionState) {
        self.reasons &= !bit(state);
        self.ask = true;
    }

    /// `RESET ALL`: settings are no reason any more, if the transaction commits.
    pub(super) fn reset_settings(&mut self) {
        if self.has(SessionState::Setting) {
            self.reasons |= RESET;
        }
    }

    /// The transaction, explicit or implicit, committed.
    pub(super) fn commit(&mut self) {
        if self.reasons & RESET != 0 {
            self.reasons &= !RESET;
            self.remove(SessionState::Setting);
        }
    }

    /// It rolled back, perhaps to a savepoint only: whether that was before, nobody has kept.
    pub(super) fn rollback(&mut self) {
        self.reasons &= !RESET;
    }

    /// `DISCARD ALL` and the like: gone is every state that it ends.
    pub(super) fn clear(&mut self) {
        self.reasons &= SESSION_MODE | LASTING.into_iter().map(bit).fold(0, |all, bit| all | bit);
        self.ask = false;
    }

    pub(super) fn has(&self, state: SessionState) -> bool {
        self.reasons & bit(state) != 0
    }

    /// All reasons, for [`reasons`].
    pub(super) fn mask(&self) -> u16 {
        self.reasons & !RESET
    }

    /// Whether there is none, of any kind.
    pub(super) fn is_empty(&self) -> bool {
        self.reasons == 0
    }

    /// Whether a state is left that only the end of the session, or a reset, ends.
    pub(super) fn any_state(&self) -> bool {
        self.reasons & !SESSION_MODE != 0
    }

    /// Whether a reset would leave some of it, so that only closing the upstream ends it.
    pub(super) fn survives_reset(&self) -> bool {
        self.has(SessionState::Prepared) || LASTING.into_iter().any(|state| self.has(state))
    }

    /// Whether asking the upstream may end a reason.
    pub(super) fn worth_asking(&self) -> bool {
        self.ask && self.reasons & ASKABLE != 0
    }

    /// What the upstream answered to [`PROBE`].
    pub(super) fn told(&mut self, mask: u16) {
        self.ask = false;
        self.reasons &= !ASKABLE | mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_no_longer_a_reason() {
        let mut pins = Pins::default();
        pins.add(SessionState::TempTable);
        pins.add(SessionState::Sequence);
        assert!(!pins.worth_asking());
        pins.ask = true;
        assert!(pins.worth_asking());
        pins.told(0);
        assert!(!pins.is_empty() && !pins.has(SessionState::TempTable));
        pins.remove(SessionState::Sequence);
        assert!(pins.is_empty() && !pins.worth_asking());
        assert!(!Pins::session_mode().is_empty());
    }

    #[test]
    fn settings_are_reset_when_that_commits() {
        let mut pins = Pins::default();
        pins.add(SessionState::Setting);
        pins.reset_settings();
        pins.rollback();
        pins.commit();
        assert!(pins.has(SessionState::Setting));
        pins.reset_settings();
        pins.add(SessionState::Setting);
        pins.commit();
        assert!(pins.has(SessionState::Setting));
        pins.reset_settings();
        pins.commit();
        assert!(pins.is_empty());
    }

    #[test]
    fn discard_all_does_not_unload() {
        let mut pins = Pins::default();
        pins.add(SessionState::Listen);
        pins.add(SessionState::Load);
        pins.clear();
        assert!(pins.has(SessionState::Load) && !pins.has(SessionState::Listen));
        assert!(pins.survives_reset());
    }
}
