//! What statements that were executed do to the session (H98: executed, not sent).

use super::held::Held;
use super::names::NAMES_MAX;
use super::state::State;
use crate::pool::state::{IN_PARTS, Setting, Settings};
use crate::sql::effect::{Effect, Hidden, SessionState, Statement, Value};

/// How long a client's settings may be together to follow it: they are sent to each other upstream that it
/// gets, and remembered for each savepoint. Whoever sets more keeps its upstream.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// A statement completed with this command tag.
pub(super) fn completed(held: &mut Held, state: &mut State, statement: &Statement, tag: &[u8]) {
    for effect in &statement.effects {
        apply(held, state, effect, tag);
    }
}

/// A statement completed that was not really run: it concerned only what the session keeps itself.
pub(super) fn pretended(held: &mut Held, state: &mut State, statement: &Statement) {
    for effect in &statement.effects {
        if let Effect::Deallocate(Some(name)) = effect {
            state.statements.remove(name);
        } else if matches!(effect, Effect::Deallocate(None)) {
            state.statements.clear();
        } else if matches!(effect, Effect::DiscardAll) {
            state.discard_all();
            // The upstream is reset before anyone gets it again, and keeps its statements.
            held.hide(Hidden::Function);
            held.pins.clear();
        }
    }
}

/// Code that was not looked at ran, and this value was reported: it set it. The others that it may
/// have set are not reported, and end with the reset.
pub(super) fn reported(held: &mut Held, state: &mut State, name: &[u8], value: &[u8]) {
    const NOT_SETTINGS: [&str; 6] = [
        "in_hot_standby",
        "integer_datetimes",
        "is_superuser",
        "server_encoding",
        "server_version",
        "session_authorization",
    ];
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let name = name.to_ascii_lowercase();
    if !NOT_SETTINGS.contains(&name.as_str()) {
        set(held, state, &name, &Setting::Value(value.into()));
    }
}

/// A statement failed. Its settings roll back with it, but locks taken before the error stay.
pub(super) fn failed(held: &mut Held, statement: &Statement) {
    let pins = |effect: &Effect| matches!(effect, Effect::Pin(_) | Effect::SetConfig { .. });
    if statement.effects.iter().any(pins) {
        held.hide(Hidden::Function);
    }
}

fn apply(held: &mut Held, state: &mut State, effect: &Effect, tag: &[u8]) {
    match effect {
        Effect::Set { name, sql } => set(held, state, name, &Setting::Sql(sql.clone())),
        Effect::SetConfig { name, value, local } => {
            if !local {
                set_config(held, state, name, value);
            }
        }
        Effect::Reset(name) => reset(held, state, name),
        Effect::ResetAll => reset_all(held, state),
        Effect::DiscardAll => discard_all(held, state),
        Effect::DiscardTemp => ask(held),
        Effect::DiscardSequences => held.pins.remove(SessionState::Sequence),
        Effect::Deallocate(name) => deallocate(held, state, name.as_deref()),
        Effect::Prepare(name) => prepare(held, name),
        Effect::Pin(reason) => held.pins.add(*reason),
        Effect::MayRelease(_) => ask(held),
        Effect::Ddl => held.changed_catalog = true,
        Effect::Roles => held.changed_roles = true,
        Effect::Commit { .. } if tag.starts_with(b"COMMIT") => {
            commit(held, state);
            ask(held);
        }
        Effect::Commit { .. } | Effect::Rollback { .. } => {
            rollback(held, state);
            ask(held);
        }
        // A transaction that had failed is rolled back instead.
        Effect::PrepareTransaction(_) if !tag.starts_with(b"PREPARE") => rollback(held, state),
        Effect::PrepareTransaction(gid) => {
            if let Some(writes) = held.writes.as_mut()
                && !gid.is_empty()
            {
                writes.prepared(gid);
            }
        }
        Effect::Savepoint(name) => {
            state.settings.savepoint(name);
            held.settings.savepoint(name);
        }
        Effect::RollbackTo(name) => {
            held.pins.rollback();
            if !state.settings.rollback_to(name) || !held.settings.rollback_to(name) {
                held.pins.add(SessionState::Setting);
            }
        }
        Effect::Release(name) => {
            state.settings.release(name);
            held.settings.release(name);
        }
        Effect::SetLocal(_)
        | Effect::DiscardPlans
        | Effect::Begin
        | Effect::Execute(_)
        | Effect::ReadsSequence => {}
    }
}

/// The transaction, explicit or implicit, committed.
pub(super) fn commit(held: &mut Held, state: &mut State) {
    state.settings.commit();
    held.settings.commit();
    held.pins.commit();
}

/// It rolled back.
pub(super) fn rollback(held: &mut Held, state: &mut State) {
    state.settings.rollback();
    held.settings.rollback();
    held.pins.rollback();
}

/// What was set in parts has come to this, which is what other upstreams have to be brought to.
pub(super) fn restyled(held: &mut Held, state: &mut State) {
    if let Some(value) = held.lease.reported.find(b"DateStyle") {
        let setting = Setting::Value(value.into());
        state.settings.change(|s| s.set(IN_PARTS, setting.clone()));
        held.settings.change(|s| s.set(IN_PARTS, setting));
    }
}

fn set(held: &mut Held, state: &mut State, name: &str, setting: &Setting) {
    if state.settings.now().bytes_with(name, setting) > SETTINGS_BYTES_MAX {
        held.pins.add(SessionState::Setting);
        return;
    }
    held.restyled |= name == IN_PARTS;
    state.settings.change(|s| s.set(name, setting.clone()));
    held.settings.change(|s| s.set(name, setting.clone()));
}

fn set_config(held: &mut Held, state: &mut State, name: &Value, value: &Value) {
    // Parameters were filled in when the portal was bound.
    if let (Value::Text(name), Value::Text(value)) = (name, value)
        && let Ok(name) = std::str::from_utf8(name)
    {
        let name = name.to_ascii_lowercase();
        set(held, state, &name, &Setting::Value(value.clone()));
    } else {
        held.pins.add(SessionState::Setting);
    }
}

/// To the client's start-up value, which the upstream knows nothing of: the two vectors part here,
/// and the difference goes out before the next request.
fn reset(held: &mut Held, state: &mut State, name: &str) {
    held.settings.change(|s| s.remove(name));
    let startup = state.startup.find(name).cloned();
    state.settings.change(|s| match startup {
        Some(setting) => s.set(name, setting),
        None => s.remove(name),
    });
}

fn reset_all(held: &mut Held, state: &mut State) {
    held.settings.change(Settings::reset_all);
    let startup = std::sync::Arc::clone(&state.startup);
    state.settings.change(|s| {
        s.reset_all();
        for (name, setting) in startup.iter() {
            if s.find(name).is_none() {
                s.set(name, setting.clone());
            }
        }
    });
    held.pins.reset_settings();
}

/// `DISCARD ALL` really ran on the upstream.
fn discard_all(held: &mut Held, state: &mut State) {
    state.discard_all();
    held.settings.change(|s| *s = Settings::default());
    // It stands outside of any transaction: what fails behind it in a pipeline does not undo it.
    commit(held, state);
    held.lease.prepared.clear();
    held.by_name.clear();
    held.lease.unnamed = 0;
    held.pins.clear();
}

/// SQL and the protocol share their names (H14): this one is taken. Beyond the limit of names that a session
/// may have it is not remembered.
fn prepare(held: &mut Held, name: &[u8]) {
    if held.by_name.len() < NAMES_MAX && !held.by_name.iter().any(|known| **known == *name) {
        held.by_name.push(name.into());
    }
}

fn deallocate(held: &mut Held, state: &mut State, name: Option<&[u8]>) {
    match name {
        Some(name) => {
            state.statements.remove(name);
            held.by_name.retain(|known| **known != *name);
        }
        None => {
            state.statements.clear();
            held.lease.prepared.clear();
            held.by_name.clear();
        }
    }
    ask(held);
}

fn ask(held: &mut Held) {
    held.pins.ask = true;
}
