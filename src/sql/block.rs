//! Texts that only begin or end a transaction block, in forms that cannot fail.

use super::lexer::{Kind, Lexer};

/// What such a text does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// `BEGIN` or `START TRANSACTION`; its command tag is the one given.
    Begin(&'static str),
    /// `COMMIT` or `END`.
    Commit,
    /// `ROLLBACK` or `ABORT`.
    Rollback,
}

/// Longer texts are not looked at: all that this file knows, spelled out, is shorter.
const BYTES_MAX: usize = 128;

/// Words are compared in lower case; none that matters is longer.
const WORD_BYTES_MAX: usize = 16;

/// What the text does, if that is all it does. Transaction modes are known as the manual's "BEGIN"
/// has them, except isolation levels and `READ WRITE`, which a standby may refuse.
pub fn block(text: &[u8]) -> Option<Block> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut words = Words(Lexer::new(text, true), text);
    let block = match words.next()?.as_str() {
        "begin" => begin(&mut words, "BEGIN")?,
        "start" => match words.next()?.as_str() {
            "transaction" => modes(&mut words, None, "START TRANSACTION")?,
            _ => return None,
        },
        "commit" | "end" => end(&mut words, Block::Commit)?,
        "rollback" | "abort" => end(&mut words, Block::Rollback)?,
        _ => return None,
    };
    Some(block)
}

fn begin(words: &mut Words<'_>, tag: &'static str) -> Option<Block> {
    match words.next()?.as_str() {
        "work" | "transaction" => modes(words, None, tag),
        other => modes(words, Some(other), tag),
    }
}

fn end(words: &mut Words<'_>, block: Block) -> Option<Block> {
    let after = match words.next()?.as_str() {
        "work" | "transaction" => words.next()?,
        "" => return Some(block),
        _ => return None,
    };
    after.as_str().is_empty().then_some(block)
}

/// `READ ONLY`, `[NOT] DEFERRABLE`, with or without commas between them.
fn modes(words: &mut Words<'_>, first: Option<&str>, tag: &'static str) -> Option<Block> {
    let mut word = match first {
        Some(first) => Small::of(first.as_bytes())?,
        None => words.next()?,
    };
    loop {
        match word.as_str() {
            "" => return Some(Block::Begin(tag)),
            "read" if words.next()?.as_str() == "only" => {}
            "not" if words.next()?.as_str() == "deferrable" => {}
            "deferrable" => {}
            _ => return None,
        }
        word = words.next()?;
        if word.as_str() == "," {
            word = words.next()?;
            if word.as_str().is_empty() {
                return None;
            }
        }
    }
}

/// A word in lower case; empty at the end of the text.
struct Small([u8; WORD_BYTES_MAX], usize);

impl Small {
    fn of(word: &[u8]) -> Option<Self> {
        let mut small = [0; WORD_BYTES_MAX];
        for (to, from) in small.get_mut(..word.len())?.iter_mut().zip(word) {
            *to = from.to_ascii_lowercase();
        }
        Some(Self(small, word.len()))
    }

    fn as_str(&self) -> &str {
        let word = self.0.get(..self.1).unwrap_or_default();
        // What is not ASCII is no keyword.
        std::str::from_utf8(word).unwrap_or("?")
    }
}

struct Words<'a>(Lexer<'a>, &'a [u8]);

impl Words<'_> {
    /// The next word or comma; empty at the end of the text, which one semicolon may precede. `None`
    /// for anything else.
    fn next(&mut self) -> Option<Small> {
        let Some(token) = self.0.next() else {
            return Small::of(b"");
        };
        if token.kind == Kind::Word || token.kind == Kind::Comma {
            return Small::of(self.1.get(token.start..token.end)?);
        }
        let ends = token.kind == Kind::Semicolon && self.0.next().is_none();
        ends.then(|| Small::of(b"")).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_texts_that_cannot_fail_are_known() {
        let begin = Some(Block::Begin("BEGIN"));
        for (text, expected) in [
            ("BEGIN", begin),
            (" begin ; ", begin),
            ("begin work", begin),
            (
                "/* trace */ Begin Transaction Read Only, not deferrable;",
                begin,
            ),
            ("begin read only deferrable", begin),
            ("START TRANSACTION", Some(Block::Begin("START TRANSACTION"))),
            ("commit", Some(Block::Commit)),
            ("end transaction;", Some(Block::Commit)),
            ("ROLLBACK WORK", Some(Block::Rollback)),
            ("abort", Some(Block::Rollback)),
            ("begin;;", None),
            ("begin; select 1", None),
            ("begin isolation level serializable", None),
            ("begin read write", None),
            ("begin read only,", None),
            ("begin nonsense", None),
            ("start", None),
            ("commit and chain", None),
            ("rollback to a", None),
            ("commit prepared 'x'", None),
            ("\"begin\"", None),
            ("", None),
            ("begin 'x", None),
        ] {
            assert_eq!(block(text.as_bytes()), expected, "{text}");
        }
    }
}
