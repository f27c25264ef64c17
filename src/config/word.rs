//! Values that are one word out of a few: `sslmode`, `pool.mode`, `log.format`.

use super::fault::{Fault, did_you_mean};

/// An enum that is written as one of a few words.
pub trait Word: Copy + 'static {
    /// Every value, in the order in which help lists them.
    const ALL: &'static [Self];

    /// The word.
    fn as_str(self) -> &'static str;

    /// The value that `text` names.
    fn from_word(text: &str) -> Result<Self, Fault> {
        let words = Self::ALL.iter().map(|value| value.as_str());
        Self::ALL
            .iter()
            .find(|value| value.as_str() == text)
            .copied()
            .ok_or_else(|| {
                let list: Vec<&str> = words.clone().collect();
                Fault::new(
                    format!("`{text}` is none of {}", list.join(", ")),
                    did_you_mean(text, words),
                )
            })
    }
}

/// Implements [`Word`]; the `match` inside fails to compile when a variant is forgotten.
macro_rules! words {
    ($($type:ty { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        impl Word for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    )+};
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use super::super::SslMode;
    use super::*;

    #[test]
    fn words_are_read_back_and_typos_corrected() {
        for mode in SslMode::ALL {
            assert_eq!(SslMode::from_word(mode.as_str()), Ok(*mode));
        }
        let fault = SslMode::from_word("verify_full").unwrap_err();
        assert!(fault.what.contains("disable, allow, prefer"), "{fault}");
        assert_eq!(fault.advice, "did you mean `verify-full`?");
    }
}
