//! Where a value came from, and the error that says so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::fault::Fault;

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag, without its dashes.
    Flag(&'static str),
    /// An environment variable.
    Environment(String),
    /// A line of the configuration file, counted from 1.
    File { path: PathBuf, line: usize },
    /// libpq's password file.
    PasswordFile(PathBuf),
    /// Taken from the value of another key.
    Key(&'static str),
    /// SET in the console of the running process.
    Console,
    /// A listening socket that whoever started the process has opened.
    Socket,
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::PasswordFile(path) => write!(f, "password file {}", path.display()),
            Self::Key(key) => write!(f, "from {key}"),
            Self::Console => f.write_str("SET in the console"),
            Self::Socket => f.write_str("socket passed at start, LISTEN_FDS"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The origin of every value, by its key: `pool.size_max`, `users.NAME.password`,
/// `databases.NAME.url`; the passwords that targets were given later stand under
/// `upstream.password` and `databases.NAME.url.password`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Who said `key`.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Notes who said `key`; the last to speak is the one who counts.
    pub(super) fn note(&mut self, key: impl Into<String>, origin: Origin) {
        self.0.insert(key.into(), origin);
    }
}

/// Why there is no configuration: what is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value was given.
    pub origin: Origin,
    /// The file's key for it; empty when the fault is of no single key.
    pub key: String,
    /// What is wrong and what to do.
    pub fault: Fault,
}

impl ConfigError {
    pub(super) fn new(origin: Origin, key: impl Into<String>, fault: Fault) -> Self {
        Self {
            origin,
            key: key.into(),
            fault,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.fault)
    }
}

impl std::error::Error for ConfigError {}
