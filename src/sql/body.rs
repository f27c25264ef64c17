//! Reads the body of a function in SQL or PL/pgSQL for what it could do to its caller's session.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some two hundred keywords and kinds of token, each place knows a few"
)]

use super::cursor::{Cursor, NAME_MAX, Tok};
use super::define;
use super::effect::Effect;
use super::lexer::Kind;
use super::settings;
use super::special::{Special, runs_text};
use super::words::Word;

/// What a function's body does by itself, and whom it calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// It changes the session, or runs SQL that it puts together.
    pub(crate) taints: bool,
    /// It writes to tables, and so fires triggers.
    pub(crate) writes: bool,
    /// The names in front of parentheses, each once: functions among them, and other things.
    pub(crate) calls: Vec<Box<[u8]>>,
}

impl Body {
    /// Reads a body, over-cautiously: a word that is dangerous in some place is so in all.
    ///
    /// `SET LOCAL` and `set_config(.., true)` end with the transaction, and so leave nothing. A
    /// `SET` clause of the function itself does not protect: what the body sets stays.
    pub(crate) fn read(text: &[u8]) -> Self {
        let mut body = Self::default();
        let mut cursor = Cursor::new(text, true);
        let mut prev = Tok::START;
        let mut before = Tok::START;
        while let Some(kind) = cursor.peek().kind {
            let token = cursor.peek();
            if token.is_name() && !prev.is(Kind::Dot) {
                before = prev;
                body.word(&cursor, prev);
            }
            match kind {
                Kind::Open if prev.is_name() => body.call(&cursor, prev),
                Kind::Dot if makes(before.word) => {
                    body.taints |= settings::starts_temp(cursor.slice(prev));
                }
                // Also what is only unterminated because the session reads strings otherwise.
                Kind::Unterminated => body.taints = true,
                _ => {}
            }
            prev = token;
            cursor.advance();
        }
        body.calls.sort_unstable();
        body.calls.dedup();
        body
    }

    /// A word, not behind a dot.
    fn word(&mut self, cursor: &Cursor<'_>, prev: Tok) {
        let starts = starts_statement(cursor, prev);
        match cursor.peek().word {
            Word::Set if starts => {
                let mut ahead = cursor.clone();
                ahead.advance();
                let effects = settings::set(&mut ahead);
                self.taints |= effects
                    .iter()
                    .any(|effect| !matches!(effect, Effect::SetLocal(_)));
            }
            Word::Reset
            | Word::Discard
            | Word::Listen
            | Word::Load
            | Word::Prepare
            | Word::Deallocate
            | Word::Do
                if starts =>
            {
                self.taints = true;
            }
            // Dynamic SQL.
            Word::Execute => self.taints = true,
            Word::Hold if prev.word == Word::With => self.taints = true,
            Word::Temp | Word::Temporary
                if matches!(
                    prev.word,
                    Word::Create | Word::Replace | Word::Local | Word::Global | Word::Into
                ) =>
            {
                self.taints |= prev.word == Word::Into || !define::drops_on_commit(cursor);
            }
            Word::Insert
            | Word::Update
            | Word::Delete
            | Word::Merge
            | Word::Copy
            | Word::Truncate => self.writes = true,
            _ => {}
        }
    }

    /// A parenthesis behind a name.
    fn call(&mut self, cursor: &Cursor<'_>, name: Tok) {
        let mut buffer = [0; NAME_MAX];
        let Some(name) = cursor.name(name, &mut buffer) else {
            self.taints = true;
            return;
        };
        self.taints |= runs_text(name);
        self.taints |= match Special::of(name) {
            Some(Special::SetConfig) => !settings::is_local(cursor),
            Some(special) => special.taints(),
            None => false,
        };
        self.calls.push(name.into());
    }
}

/// Whether the next token starts a statement, behind the words of PL/pgSQL too.
fn starts_statement(cursor: &Cursor<'_>, prev: Tok) -> bool {
    prev.kind.is_none()
        || prev.is(Kind::Semicolon)
        || matches!(
            prev.word,
            Word::Begin | Word::Then | Word::Else | Word::Loop | Word::Atomic
        )
        // A PL/pgSQL label.
        || prev.is(Kind::Operator) && cursor.slice(prev).ends_with(b">>")
}

/// Whether a name behind this word may be that of something new.
fn makes(word: Word) -> bool {
    matches!(
        word,
        Word::Table | Word::Exists | Word::View | Word::Into | Word::Function | Word::Sequence
    )
}

#[cfg(test)]
mod tests {
    use super::Body;

    #[test]
    fn what_taints() {
        for text in [
            "BEGIN PERFORM set_config('search_path','evil,public',false); END",
            "BEGIN PERFORM set_config('a', $1, local); END",
            "BEGIN SET work_mem = '1MB'; END",
            "BEGIN IF a THEN RESET ALL; END IF; END",
            "<<x>> SET a = 1",
            "BEGIN EXECUTE format('x'); END",
            "BEGIN RETURN QUERY EXECUTE q; END",
            "CREATE TEMP TABLE x (a int)",
            "CREATE TABLE pg_temp.x (a int)",
            "SELECT 1 INTO TEMP x",
            "SELECT pg_advisory_lock(1)",
            "SELECT query_to_xml('x', true, true, '')",
            "LISTEN x",
            "BEGIN x := 'a",
            "SELECT U&\"\\0066\"()",
        ] {
            assert!(Body::read(text.as_bytes()).taints, "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        for text in [
            "BEGIN UPDATE t SET a = 1; INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2; END",
            "BEGIN SET LOCAL work_mem = '1MB'; PERFORM set_config('a', 'b', true); END",
            "CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1",
            "SELECT nextval('s'), pg_advisory_xact_lock(1), pg_advisory_unlock(1)",
            "BEGIN RAISE NOTICE 'SET a = 1; EXECUTE'; -- EXECUTE\nEND",
            "DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; END",
        ] {
            assert!(!Body::read(text.as_bytes()).taints, "{text}");
        }
    }

    #[test]
    fn writes_and_calls() {
        let body = Body::read(b"INSERT INTO a.T (x) SELECT F(g(1)), f(2), \"G\"(3)");
        assert!(body.writes);
        let calls: Vec<_> = body.calls.iter().map(|name| &**name).collect();
        assert_eq!(calls, [b"G".as_slice(), b"f", b"g", b"t"]);
        assert!(!Body::read(b"SELECT a FROM t").writes);
    }
}
