//! What is wrong with a value and what to do about it, before it is known who gave the value.

use std::fmt;

/// A refused value. [`super::ConfigError`] adds where it came from.
///
/// Both texts are for people and never hold a password, nor any part of a URL that could be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Fault {
    /// A fault with its remedy.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.advice)
    }
}

impl std::error::Error for Fault {}

/// The known name that `given` was most likely meant to be; `None` when all are far from it.
pub(crate) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = given.chars().count();
    let (distance, name) = known
        .into_iter()
        .map(|name| {
            let edits = distance(given, name);
            // What is merely left off (`pool.size`) is the likelier slip, also where there is a typing
            // error in what is there (`pool_size`): a third counts.
            let head: String = name.chars().take(length).collect();
            let slips = distance(given, &head);
            let left_off = name.chars().count().saturating_sub(length);
            let is_head = slips == 0 || (slips == 1 && length > 3);
            if left_off > 0 && is_head {
                (edits.min(slips + (left_off / 3).max(1)), name)
            } else {
                (edits, name)
            }
        })
        .min()?;
    // Half of it wrong is a guess no longer.
    (distance <= length.div_ceil(2)).then_some(name)
}

/// "did you mean `x`?", or the whole list when nothing is near.
pub(super) fn did_you_mean<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    nearest(given, known.clone()).map_or_else(
        || {
            let names: Vec<&str> = known.into_iter().collect();
            format!("known are {}", names.join(", "))
        },
        |name| format!("did you mean `{name}`?"),
    )
}

/// Levenshtein's distance, by characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("pool.sizemax", "pool.size_max", 1),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn nearest_is_silent_when_nothing_is_near() {
        let known = ["sslmode", "sslcert", "connect_timeout"];
        assert_eq!(nearest("ssl_mode", known), Some("sslmode"));
        assert_eq!(nearest("zzzzzz", known), None);
        assert_eq!(
            nearest("pool.size", ["pool.mode", "pool.size_max"]),
            Some("pool.size_max")
        );
        for slip in ["pool.siz", "pool_size"] {
            assert_eq!(
                nearest(slip, ["pool.mode", "pool.pin", "pool.size_max"]),
                Some("pool.size_max")
            );
        }
        assert_eq!(nearest("x", []), None);
        assert!(did_you_mean("zzzzzz", known).starts_with("known are sslmode, "));
    }
}
