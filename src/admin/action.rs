//! What somebody who may act can do in the console.

use super::command::{Statement, shortened};
use crate::cache::rules::FINGERPRINT_DIGITS;
use crate::config::{Secret, nearest, table};
use crate::migrate::names;
use crate::wire::error::PgError;
use crate::wire::trouble;

/// Something that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Of this database, or of all: the same for those below.
    Pause(Option<String>),
    Resume(Option<String>),
    Disable(String),
    Enable(String),
    Reconnect(Option<String>),
    WaitClose(Option<String>),
    Kill(Option<String>),
    KillClient(u64),
    Reload,
    /// A setting by its key; without a value, as it was before. Some settings hold a password, and what
    /// is done is logged.
    Set(&'static str, Option<Secret>),
    Purge(Purge),
    Shutdown(Shutdown),
}

/// What is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    All,
    /// All results that read it: `schema.table`, or `table` in any schema, as the catalog spells it.
    Table(String),
    /// All results of that shape, by its fingerprint.
    Shape(String),
    /// All results of that database, as clients name it.
    Database(String),
}

/// When the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    Now,
    /// When no upstream is in use.
    WaitForServers,
    /// When all clients have left by themselves.
    WaitForClients,
}

/// The forms of all actions, each with a line for help.
pub(super) const FORMS: [(&str, &str); 18] = [
    (
        "PAUSE [db]",
        "Wait until transactions have ended, close upstreams, let clients wait",
    ),
    ("RESUME [db]", "Go on after PAUSE or KILL"),
    ("DISABLE db", "Refuse new clients"),
    ("ENABLE db", "Let them in again"),
    ("RECONNECT [db]", "Close each upstream once it is free"),
    (
        "WAIT_CLOSE [db]",
        "Wait until RECONNECT or RELOAD have closed what they had to",
    ),
    (
        "KILL [db]",
        "Drop all clients and upstreams at once, and pause",
    ),
    (
        "KILL_CLIENT id",
        "Drop one client (its id is in SHOW CLIENTS)",
    ),
    ("RELOAD", "Read the configuration again"),
    ("SET key = value", "Change a setting until the next RELOAD"),
    ("SET key = DEFAULT", "Take a SET back"),
    ("PURGE", "Forget all results"),
    ("PURGE TABLE name", "Forget the results that read a table"),
    (
        "PURGE SHAPE id",
        "Forget the results of a shape (its id is in SHOW QUERIES)",
    ),
    ("PURGE DATABASE name", "Forget the results of a database"),
    ("SHUTDOWN", "End the process at once"),
    (
        "SHUTDOWN WAIT_FOR_SERVERS",
        "End it when transactions have ended",
    ),
    (
        "SHUTDOWN WAIT_FOR_CLIENTS",
        "End it when all clients have left",
    ),
];

impl Action {
    /// The action; nothing when it is no form of any.
    pub(super) fn read(statement: Statement<'_>) -> Result<Option<Self>, PgError> {
        let len = statement.len();
        let (first, second) = (statement.word(0), statement.word(1));
        let one = || statement.name(1, len);
        let perhaps = || (len > 1).then(one).transpose();
        Ok(Some(match (first.as_str(), second.as_str(), len) {
            ("PAUSE", _, 1 | 2) => Self::Pause(perhaps()?),
            ("RESUME", _, 1 | 2) => Self::Resume(perhaps()?),
            ("DISABLE", _, 2) => Self::Disable(one()?),
            ("ENABLE", _, 2) => Self::Enable(one()?),
            ("RECONNECT", _, 1 | 2) => Self::Reconnect(perhaps()?),
            ("WAIT_CLOSE", _, 1 | 2) => Self::WaitClose(perhaps()?),
            ("KILL", _, 1 | 2) => Self::Kill(perhaps()?),
            ("KILL_CLIENT", _, 2) => Self::KillClient(client(statement)?),
            ("RELOAD", _, 1) => Self::Reload,
            ("SET", ..) => set(statement)?,
            ("SHUTDOWN", _, 1) => Self::Shutdown(Shutdown::Now),
            ("SHUTDOWN", "WAIT_FOR_SERVERS", 2) => Self::Shutdown(Shutdown::WaitForServers),
            ("SHUTDOWN", "WAIT_FOR_CLIENTS", 2) => Self::Shutdown(Shutdown::WaitForClients),
            ("PURGE", _, 1) | ("PURGE", "ALL", 2) => Self::Purge(Purge::All),
            ("PURGE", "TABLE", 3 | 5) => Self::Purge(Purge::Table(statement.name(2, len)?)),
            ("PURGE", "DATABASE", 3) => Self::Purge(Purge::Database(statement.name(2, len)?)),
            ("PURGE", "SHAPE", 3..) => Self::Purge(shape(statement)?),
            _ => return Ok(None),
        }))
    }

    /// The word that it begins with: its command tag.
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Pause(_) => "PAUSE",
            Self::Resume(_) => "RESUME",
            Self::Disable(_) => "DISABLE",
            Self::Enable(_) => "ENABLE",
            Self::Reconnect(_) => "RECONNECT",
            Self::WaitClose(_) => "WAIT_CLOSE",
            Self::Kill(_) => "KILL",
            Self::KillClient(_) => "KILL_CLIENT",
            Self::Reload => "RELOAD",
            Self::Set(..) => "SET",
            Self::Purge(_) => "PURGE",
            Self::Shutdown(_) => "SHUTDOWN",
        }
    }
}

/// A client's number.
fn client(statement: Statement<'_>) -> Result<u64, PgError> {
    let id = statement.rest(1);
    id.parse()
        .map_err(|_not_a_number: std::num::ParseIntError| {
            let text = format!("\"{}\" is not the id of a client", shortened(&id));
            PgError::error(&trouble::CONSOLE_VALUE, text)
                .hint("SHOW CLIENTS lists the ids, in its last column.")
        })
}

/// A fingerprint is hexadecimal, so without quotes it may look like a number, a word, or both.
fn shape(statement: Statement<'_>) -> Result<Purge, PgError> {
    let id = statement.rest(2).to_ascii_lowercase();
    if id.len() != FINGERPRINT_DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let text = format!("\"{}\" is not the id of a shape", shortened(&id));
        return Err(PgError::error(&trouble::CONSOLE_VALUE, text));
    }
    Ok(Purge::Shape(id))
}

/// `SET key = value`, with TO for the sign, or nothing.
fn set(statement: Statement<'_>) -> Result<Action, PgError> {
    let mut end = 2;
    while statement.token(end) == "." {
        end += 2;
    }
    let key = statement.name(1, end.min(statement.len()))?;
    let sign = matches!(statement.token(end).as_str(), "=" | ":=") || statement.word(end) == "TO";
    let from = if sign { end + 1 } else { end };
    if from >= statement.len() {
        return Err(PgError::error(
            &trouble::CONSOLE_UNKNOWN,
            format!("no value for \"{}\"", shortened(&key)),
        )
        .hint("Write SET key = value, or SET key = DEFAULT to take it back."));
    }
    let known = table::all().find(|setting| setting.key == key);
    let Some(key) = known
        .map(|setting| setting.key)
        .or_else(|| names::ours(&key))
    else {
        let keys = table::all().map(|setting| setting.key);
        let hint = match nearest(&key, keys) {
            Some(near) => format!("Did you mean {near}? SHOW CONFIG lists all settings."),
            None => "SHOW CONFIG lists all settings.".to_owned(),
        };
        let text = format!("there is no setting \"{}\"", shortened(&key));
        return Err(PgError::error(&trouble::CONSOLE_NO_SUCH, text).hint(hint));
    };
    let is_default = from + 1 == statement.len() && statement.word(from) == "DEFAULT";
    Ok(Action::Set(
        key,
        (!is_default).then(|| Secret::new(statement.rest(from))),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, read};
    use super::*;

    fn one(text: &str) -> Result<Action, PgError> {
        let command = read(text.as_bytes())?.remove(0);
        let Command::Act(action) = command else {
            panic!("{text}: {command:?}");
        };
        Ok(action)
    }

    #[test]
    fn every_form_is_read() {
        let db = || Some("db".to_owned());
        for (text, action) in [
            ("pause", Action::Pause(None)),
            ("PAUSE DB;", Action::Pause(db())),
            ("RESUME db", Action::Resume(db())),
            ("DISABLE db", Action::Disable("db".to_owned())),
            ("ENABLE \"Db\"", Action::Enable("Db".to_owned())),
            ("RECONNECT", Action::Reconnect(None)),
            ("WAIT_CLOSE db", Action::WaitClose(db())),
            ("KILL db", Action::Kill(db())),
            ("KILL_CLIENT 12", Action::KillClient(12)),
            ("reload", Action::Reload),
            ("SHUTDOWN", Action::Shutdown(Shutdown::Now)),
            (
                "shutdown wait_for_clients",
                Action::Shutdown(Shutdown::WaitForClients),
            ),
            (
                "SHUTDOWN WAIT_FOR_SERVERS",
                Action::Shutdown(Shutdown::WaitForServers),
            ),
        ] {
            assert_eq!(one(text), Ok(action), "{text}");
        }
    }

    #[test]
    fn settings_are_set_in_several_spellings() {
        let set = |key, value: &str| Ok(Action::Set(key, Some(Secret::new(value))));
        assert_eq!(one("SET pool.size_max = 7"), set("pool.size_max", "7"));
        assert_eq!(one("set Pool.Size_Max to '7'"), set("pool.size_max", "7"));
        assert_eq!(one("SET cache.ttl = 5s"), set("cache.ttl", "5s"));
        assert_eq!(one("SET cache.ttl '1m 5s'"), set("cache.ttl", "1m 5s"));
        assert_eq!(one("SET admin.users = a,b"), set("admin.users", "a,b"));
        // PgBouncer's names, where there is a setting like it.
        assert_eq!(one("SET default_pool_size = 3"), set("pool.size_max", "3"));
        assert_eq!(
            one("SET cache.ttl = DEFAULT"),
            Ok(Action::Set("cache.ttl", None))
        );
        for (text, code, hint) in [
            ("SET pool.size = 1", "42704", "pool.size_max"),
            ("SET pool.size_max", "42601", "SET key = value"),
            ("SET pool.size_max =", "42601", "SET key = value"),
            ("KILL_CLIENT x", "22023", "SHOW CLIENTS"),
            ("PAUS", "42601", "PAUSE"),
            ("SHUTDOWN WAIT", "42601", "SHUTDOWN"),
            ("SUSPEND", "42601", "SHOW HELP"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert_eq!(error.code, code, "{text}");
            assert!(error.hint.unwrap().contains(hint), "{text}");
        }
    }
}
