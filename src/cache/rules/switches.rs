//! `SET pgweir.cache = off` and its like: what a session asks for itself.

use std::time::Duration;

use super::hint::{read_level, shown};
use super::{Because, Decision, Level};
use crate::amount::read_duration;

/// What a session's settings under `pgweir.` ask for. As with hints, the cache is only ever lowered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    level: Option<Level>,
    age: Option<Duration>,
    /// `pgweir.explain`: a notice with each result.
    pub explain: bool,
    /// What was not understood, to be told as notices; the cache is off then.
    pub complaints: Vec<String>,
}

impl Switches {
    /// Reads the session's settings, of which all but those under `pgweir.` are passed over. Names
    /// are in lower case, values without their quotes.
    ///
    /// An empty value is no value: a custom setting that was reset reads as `''` in Postgres.
    pub fn read<'a>(settings: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut switches = Self::default();
        for (name, value) in settings {
            let Some(name) = name.strip_prefix("pgweir.") else {
                continue;
            };
            let word = String::from_utf8_lossy(value).trim().to_ascii_lowercase();
            if !word.is_empty() && switches.take(name, &word).is_none() {
                switches.refuse(name, value);
            }
        }
        switches
    }

    fn take(&mut self, name: &str, word: &str) -> Option<()> {
        match name {
            "cache" => match read_bool(word) {
                Some(true) => {}
                Some(false) => self.level = Some(Level::Off),
                // Whoever writes the level's name gets at most that.
                None => self.level = Some(read_level(word)?),
            },
            "explain" => self.explain = read_bool(word)?,
            "ttl" => self.age = Some(read_duration(word)?),
            _ => return None,
        }
        Some(())
    }

    fn refuse(&mut self, name: &str, value: &[u8]) {
        let advice = match name {
            "cache" | "explain" => "write on or off",
            "ttl" => "write a duration such as '5s'",
            _ => "known are pgweir.cache, pgweir.explain and pgweir.ttl",
        };
        let (name, value) = (shown(name.as_bytes()), shown(value));
        self.complaints.push(format!(
            "pgweir.{name} = '{value}' is not understood; {advice} (the cache is off for this session)"
        ));
    }

    /// Whether they ask for nothing, as nearly always.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is left of `decision` under them.
    pub fn lower(&self, decision: Decision) -> Decision {
        let off = !self.complaints.is_empty();
        let level = if off { Some(Level::Off) } else { self.level };
        let lowered = match level {
            Some(level) => decision.at_most(level, Because::Session),
            None => decision,
        };
        match self.age {
            Some(age) => lowered.not_older_than(age, Because::Session),
            None => lowered,
        }
    }
}

/// The words that Postgres takes for a boolean (`parse_bool`), abbreviations aside.
fn read_bool(word: &str) -> Option<bool> {
    match word {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}
