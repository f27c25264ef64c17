//! What a pool's rules do not allow.

use crate::config::{PinPolicy, PoolMode};
use crate::sql::effect::{Effect, SessionState, Statement};
use crate::wire::error::PgError;
use crate::wire::trouble;

/// The rules of a pool that a session looks at with each statement.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub mode: PoolMode,
    pub pin: PinPolicy,
}

/// The error for a text that the pool's rules forbid.
pub(super) fn refusal(work: &[Statement], rules: Rules) -> Option<PgError> {
    let effects = || work.iter().flat_map(|statement| statement.effects.iter());
    if rules.mode == PoolMode::Statement && effects().any(|e| matches!(e, Effect::Begin)) {
        return Some(PgError::error(
            &trouble::NO_TRANSACTIONS,
            "transaction blocks are not allowed in statement mode",
        ));
    }
    if rules.pin == PinPolicy::Error && rules.mode != PoolMode::Session {
        return effects().find_map(|effect| {
            let Effect::Pin(state) = effect else {
                return None;
            };
            Some(would_pin(*state))
        });
    }
    None
}

fn would_pin(state: SessionState) -> PgError {
    let state = state.as_str();
    PgError::error(
        &trouble::WOULD_PIN,
        format!(
            "this statement makes session state ({state}) that would hold on to an upstream connection"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn does(effect: Effect) -> [Statement; 1] {
        [Statement {
            effects: Box::new([effect]),
            hidden: None,
        }]
    }

    #[test]
    fn statement_mode_has_no_transaction_blocks() {
        let rules = Rules {
            mode: PoolMode::Statement,
            pin: PinPolicy::Pin,
        };
        assert!(refusal(&does(Effect::Begin), rules).is_some());
        assert!(refusal(&does(Effect::SetLocal(None)), rules).is_none());
    }

    #[test]
    fn pins_are_refused_where_the_pool_says_so() {
        let mut rules = Rules {
            mode: PoolMode::Transaction,
            pin: PinPolicy::Error,
        };
        let listen = does(Effect::Pin(SessionState::Listen));
        assert!(refusal(&listen, rules).is_some());
        rules.mode = PoolMode::Session;
        assert!(refusal(&listen, rules).is_none());
    }
}
