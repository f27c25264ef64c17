//! What drivers and connection pools say on their own. There is no transaction to take back and no
//! session to reset here, but they go away when they are refused.

use super::command::Statement;
use super::{Kind, Table};

/// Such a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    Begin,
    Commit,
    Rollback,
    /// Anything that only wants to hear its tag.
    Tag(&'static str),
    /// One value.
    Value(&'static str, &'static str),
}

/// What the console reports of itself at the start. Drivers choose their dialect by the version, and
/// psql warns of one that is far from its own, so it is a recent Postgres's.
pub(super) const REPORTED: [(&str, &str); 8] = [
    (
        "server_version",
        concat!("17.0 (pgweir ", env!("CARGO_PKG_VERSION"), ")"),
    ),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
];

/// Settings of Postgres that drivers set as soon as they are connected. Any value does.
const SETTINGS: [&str; 18] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "names",
    "search_path",
    "session",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
];

impl Driver {
    pub(super) fn read(statement: Statement<'_>) -> Option<Self> {
        let (first, second) = (statement.word(0), statement.word(1));
        Some(match (first.as_str(), second.as_str()) {
            ("BEGIN", _) | ("START", "TRANSACTION") => Self::Begin,
            ("COMMIT" | "END", _) => Self::Commit,
            ("ROLLBACK" | "ABORT", _) => Self::Rollback,
            ("SET", "TRANSACTION" | "TIME") => Self::Tag("SET"),
            ("SET", name) if is_theirs(name) => Self::Tag("SET"),
            ("SET", "LOCAL") if is_theirs(&statement.word(2)) => Self::Tag("SET"),
            ("RESET", "ALL" | "SESSION" | "ROLE") => Self::Tag("RESET"),
            ("RESET", name) if is_theirs(name) => Self::Tag("RESET"),
            ("DISCARD", "ALL") => Self::Tag("DISCARD ALL"),
            ("DEALLOCATE", _) => Self::Tag("DEALLOCATE"),
            ("CLOSE", "ALL") => Self::Tag("CLOSE CURSOR ALL"),
            ("UNLISTEN", _) => Self::Tag("UNLISTEN"),
            ("SELECT", _) => return select(statement),
            ("SHOW", _) => return show(statement),
            _ => return None,
        })
    }

    /// What is shown, for those that show anything.
    pub(super) fn table(&self) -> Option<Table> {
        let Self::Value(name, value) = self else {
            return None;
        };
        let mut table = Table::of(&[(name, Kind::Text)]);
        table.rows.push(vec![Some((*value).to_owned())]);
        Some(table)
    }
}

fn is_theirs(name: &str) -> bool {
    SETTINGS.contains(&name.to_ascii_lowercase().as_str())
}

/// What pools ask to see whether the connection works, and how they clean it.
fn select(statement: Statement<'_>) -> Option<Driver> {
    let text = statement.rest(1).to_ascii_lowercase();
    match text.as_str() {
        "1" => Some(Driver::Value("?column?", "1")),
        "pg_advisory_unlock_all()" | "pg_catalog.pg_advisory_unlock_all()" => {
            Some(Driver::Value("pg_advisory_unlock_all", ""))
        }
        _ => None,
    }
}

fn show(statement: Statement<'_>) -> Option<Driver> {
    match statement.words().as_str() {
        "SHOW TRANSACTION ISOLATION LEVEL" | "SHOW TRANSACTION_ISOLATION" => {
            Some(Driver::Value("transaction_isolation", "read committed"))
        }
        words => {
            let name = words.strip_prefix("SHOW ")?;
            let mut reported = REPORTED.iter();
            let (name, value) = reported.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some(Driver::Value(name, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, read};
    use super::*;

    #[test]
    fn drivers_hear_what_they_want() {
        for (text, tag) in [
            ("SET extra_float_digits = 3", "SET"),
            ("SET application_name = 'PostgreSQL JDBC Driver'", "SET"),
            ("SET client_encoding TO 'UTF8'", "SET"),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                "SET",
            ),
            ("SET datestyle TO 'ISO'", "SET"),
            ("RESET ALL", "RESET"),
            ("DISCARD ALL", "DISCARD ALL"),
            ("UNLISTEN *", "UNLISTEN"),
            ("CLOSE ALL", "CLOSE CURSOR ALL"),
        ] {
            let command = Command::Driver(Driver::Tag(tag));
            assert_eq!(read(text.as_bytes()), Ok(vec![command]), "{text}");
        }
        for (text, value) in [
            ("SELECT 1", "1"),
            ("SHOW TRANSACTION ISOLATION LEVEL", "read committed"),
            ("show Standard_Conforming_Strings;", "on"),
        ] {
            let Command::Driver(driver) = read(text.as_bytes()).unwrap().remove(0) else {
                panic!("{text}");
            };
            let shown = driver.table().unwrap().rows;
            assert_eq!(shown, [[Some(value.to_owned())]], "{text}");
        }
        let reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
        assert_eq!(read(reset.as_bytes()).unwrap().len(), 4);
        assert!(read(b"SELECT 2").is_err());
    }
}
