//! One setting: its key, its flag, its default, and how it is read and shown.

use super::fault::Fault;
use super::value::{Kind, Value};

/// A row of a table of settings for the struct `T`.
#[derive(Debug)]
pub struct Setting<T: 'static> {
    /// The key in the file.
    pub key: &'static str,
    /// The flag without dashes, and what `--help` calls its value.
    pub flag: Option<(&'static str, &'static str)>,
    /// What holds when nobody says anything.
    pub default: Fallback<T>,
    /// Whether a running process can change it.
    pub reload: Reload,
    /// A line for `--help`.
    pub help: &'static str,
    /// How it stands in the file.
    pub kind: Kind,
    /// Reads text into the struct.
    pub set: fn(&mut T, &str) -> Result<(), Fault>,
    /// The value as text; `None` when absent, passwords masked.
    pub show: fn(&T) -> Option<String>,
    /// Whether two structs agree in it.
    pub same: fn(&T, &T) -> bool,
    /// Takes it from the second struct into the first.
    pub copy: fn(&mut T, &T),
}

/// What holds when nobody says anything.
#[derive(Debug)]
pub enum Fallback<T: 'static> {
    /// This text, read like any other.
    Is(&'static str),
    /// What the function works out once everything else is known.
    Computed(&'static str, fn(&mut T)),
    /// Nothing: the setting stays absent.
    Unset,
    /// There has to be a value.
    Required,
}

impl<T> Fallback<T> {
    /// The default in words, for help.
    pub fn describe(&self) -> Option<&'static str> {
        match self {
            Self::Is(text) | Self::Computed(text, _) => Some(text),
            Self::Required => Some("required"),
            Self::Unset => None,
        }
    }
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// On SIGHUP.
    Live,
    /// When the process is started again.
    Restart,
}

impl<T> Setting<T> {
    /// The environment variable: named after the flag, or the key where there is none.
    pub fn variable(&self) -> String {
        let name = self.flag.map_or(self.key, |(flag, _)| flag);
        format!("PGWEIR_{}", name.replace(['-', '.'], "_").to_uppercase())
    }
}

/// The kind of the field that `_field` points at.
pub(super) const fn kind_of<T, V: Value>(_field: fn(&T) -> &V) -> Kind {
    V::KIND
}

/// Rows: `"key" ["flag", "VALUE"], default, reload => field: "help";`
macro_rules! settings {
    ($owner:ty; $(
        $key:literal $([$flag:literal, $value:literal])?, $default:expr, $reload:ident
        => $($field:ident).+ : $help:literal;
    )+) => {
        &[$(Setting {
            key: $key,
            flag: $crate::config::setting::flag!($($flag, $value)?),
            default: $default,
            reload: Reload::$reload,
            help: $help,
            kind: kind_of(|owner: &$owner| &owner.$($field).+),
            set: |owner, text| Value::read(text).map(|value| owner.$($field).+ = value),
            show: |owner| Value::write(&owner.$($field).+),
            same: |one, other| one.$($field).+ == other.$($field).+,
            copy: |to, from| to.$($field).+.clone_from(&from.$($field).+),
        }),+]
    };
}

macro_rules! flag {
    () => {
        None
    };
    ($flag:literal, $value:literal) => {
        Some(($flag, $value))
    };
}

pub(super) use {flag, settings};
