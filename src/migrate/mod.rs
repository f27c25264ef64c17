//! Coming from another pooler: `pgweir check --from-pgbouncer pgbouncer.ini` reads what PgBouncer
//! reads, and writes the `proxy.toml` that does the same.

mod entries;
mod ini;
pub mod names;
mod output;
pub mod settings;
mod translate;
mod upstream;

use std::fmt;
use std::path::Path;

use crate::config;

/// What came of a PgBouncer's configuration.
#[derive(Clone, Debug)]
pub struct Translated {
    /// The file to be.
    pub toml: String,
    /// What is not in it, or in another way.
    pub notes: Vec<Note>,
    /// Why pgweir would not start with it.
    pub unusable: Option<String>,
}

/// Something that a person has to know or decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It was asked for, and nothing here does it.
    NoEquivalent {
        what: String,
        place: String,
        advice: String,
    },
    /// It is in the file, but means something else than it did.
    Differs(String),
    /// It needs no setting here.
    Needless { what: String, why: String },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEquivalent {
                what,
                place,
                advice,
            } => write!(f, "no equivalent: {what} ({place}): {advice}"),
            Self::Differs(text) => write!(f, "differs: {text}"),
            Self::Needless { what, why } => write!(f, "not needed: {what}: {why}"),
        }
    }
}

/// Translates the file at `path` and what it includes.
///
/// # Errors
/// A file cannot be read, or a line is not what PgBouncer takes.
pub fn from_pgbouncer(path: &Path) -> Result<Translated, String> {
    let lines = ini::read(path)?;
    let (toml, notes) = translate::translate(lines, path)?;
    let loaded = config::load_text(Path::new("proxy.toml"), &toml);
    let mut notes = notes;
    let unusable = match loaded {
        Ok(loaded) => {
            notes.extend(loaded.warnings.into_iter().map(Note::Differs));
            None
        }
        Err(error) => Some(error.to_string()),
    };
    notes.sort_by_key(|note| match note {
        Note::NoEquivalent { .. } => 0,
        Note::Differs(_) => 1,
        Note::Needless { .. } => 2,
    });
    Ok(Translated {
        toml,
        notes,
        unusable,
    })
}

#[cfg(test)]
mod tests;
