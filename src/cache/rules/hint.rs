//! `/* pgweir: nocache */`: what a comment in front of a text asks for.

use std::time::Duration;

use super::{Because, Decision, Level};
use crate::amount::read_duration;

/// How much of a word that is not understood is repeated to the client.
const REPEATED_MAX: usize = 40;

/// What a hint asks for. It can only lower what the configuration gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    level: Option<Level>,
    age: Option<Duration>,
    /// What was not understood, to be told as a notice; the hint then counts as `nocache`.
    pub complaint: Option<String>,
}

impl Hint {
    /// Reads what stands between `pgweir:` and the comment's end: `nocache`, `ttl=5s`, `level=off`,
    /// with blanks or commas between.
    pub fn read(body: &[u8]) -> Self {
        let mut hint = Self::default();
        let words = body
            .split(|byte| byte.is_ascii_whitespace() || *byte == b',')
            .filter(|word| !word.is_empty());
        let mut empty = true;
        for word in words {
            empty = false;
            if hint.take(word).is_none() {
                return Self::refused(&format!("`{}` is not known", shown(word)));
            }
        }
        if empty {
            return Self::refused("it says nothing");
        }
        hint
    }

    fn refused(why: &str) -> Self {
        Self {
            level: Some(Level::Off),
            age: None,
            complaint: Some(format!(
                "pgweir hint: {why}; write nocache, ttl=5s or level=off (the cache was not used)"
            )),
        }
    }

    /// Of several words for one thing the lowest counts.
    fn take(&mut self, word: &[u8]) -> Option<()> {
        let word = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
        match word.split_once('=') {
            None if word == "nocache" => self.lower_to(Level::Off),
            Some(("level", level)) => self.lower_to(read_level(level)?),
            Some(("ttl", age)) => {
                let age = read_duration(age)?;
                self.age = Some(self.age.map_or(age, |before| before.min(age)));
            }
            Some(_) | None => return None,
        }
        Some(())
    }

    fn lower_to(&mut self, level: Level) {
        self.level = Some(self.level.map_or(level, |before| before.min(level)));
    }

    /// What is left of `decision` under the hint. With `ttl=5s` nothing older than five seconds is
    /// served, so it bounds ttl and swr together.
    pub fn lower(&self, decision: Decision) -> Decision {
        let lowered = match self.level {
            Some(level) => decision.at_most(level, Because::Hint),
            None => decision,
        };
        match self.age {
            Some(age) => lowered.not_older_than(age, Because::Hint),
            None => lowered,
        }
    }
}

/// The level that a client names.
pub(super) fn read_level(word: &str) -> Option<Level> {
    match word {
        "off" => Some(Level::Off),
        "ryw" => Some(Level::Ryw),
        "ttl" => Some(Level::Ttl),
        _ => None,
    }
}

/// The beginning of what a client wrote, as it may stand in a message.
pub(super) fn shown(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let mut shown: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(REPEATED_MAX)
        .collect();
    if text.chars().count() > REPEATED_MAX {
        shown.push_str("...");
    }
    shown
}
