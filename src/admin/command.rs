//! What a client of the console asks for. Pure: text in, commands out.

use crate::cache::rules::FINGERPRINT_DIGITS;
use crate::config::nearest;
use crate::sql::lexer::{Kind, Lexer, Token};
use crate::wire::error::PgError;
use crate::wire::trouble;

/// Longest text: the longest command is a PURGE with two names, and a script of many fits too.
pub const TEXT_BYTES_MAX: usize = 16 << 10;

/// How much of what was not understood is compared and repeated.
const REPEATED_MAX: usize = 40;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Show(Show),
    Purge(Purge),
    /// Drivers open and close transactions without being asked to. There is nothing to take back,
    /// so these only say what drivers want to hear.
    Begin,
    Commit,
    Rollback,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Help,
    Version,
    Cache,
    Queries,
    Tables,
    Bypasses,
    Config,
    Databases,
}

/// What is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    All,
    /// All results that read it: `schema.table`, or `table` in any schema, as the catalog spells it.
    Table(String),
    /// All results of that shape, by its fingerprint.
    Shape(String),
    /// All results of that database, as clients name it.
    Database(String),
}

impl Show {
    /// Each with its word and a line for help.
    pub const ALL: [(&'static str, Self, &'static str); 8] = [
        ("HELP", Self::Help, "This list"),
        ("VERSION", Self::Version, "Which pgweir this is"),
        ("CACHE", Self::Cache, "The cache as a whole"),
        (
            "QUERIES",
            Self::Queries,
            "Each shape of query: calls, hits, and why not",
        ),
        (
            "TABLES",
            Self::Tables,
            "Each table: reads, writes, invalidations",
        ),
        (
            "BYPASSES",
            Self::Bypasses,
            "Why queries were not answered from memory",
        ),
        ("CONFIG", Self::Config, "Each setting, and who set it"),
        ("DATABASES", Self::Databases, "What clients can connect to"),
    ];
}

/// The forms of PURGE with a line for help.
pub(super) const PURGES: [(&str, &str); 4] = [
    ("PURGE", "Forget all results"),
    ("PURGE TABLE name", "Forget the results that read a table"),
    (
        "PURGE SHAPE id",
        "Forget the results of a shape (its id is in SHOW QUERIES)",
    ),
    ("PURGE DATABASE name", "Forget the results of a database"),
];

/// Reads a text: no command, one, or several with semicolons between.
///
/// # Errors
/// What the client is told about the first that is not understood. Nothing of the text is done then.
pub fn read(text: &[u8]) -> Result<Vec<Command>, PgError> {
    let tokens: Vec<Token> = Lexer::new(text, true).collect();
    tokens
        .split(|token| token.kind == Kind::Semicolon)
        .filter(|statement| !statement.is_empty())
        .map(|tokens| Statement { text, tokens }.read())
        .collect()
}

/// The tokens of one command.
#[derive(Clone, Copy)]
struct Statement<'a> {
    text: &'a [u8],
    tokens: &'a [Token],
}

impl Statement<'_> {
    fn read(self) -> Result<Command, PgError> {
        let words = (self.word(0), self.word(1));
        match (words.0.as_str(), words.1.as_str(), self.tokens.len()) {
            ("SHOW", word, 2) => self.show(word),
            ("PURGE", _, 1) | ("PURGE", "ALL", 2) => Ok(Command::Purge(Purge::All)),
            ("PURGE", "TABLE", 3 | 5) => Ok(Command::Purge(Purge::Table(self.name()?))),
            ("PURGE", "DATABASE", 3) => Ok(Command::Purge(Purge::Database(self.name()?))),
            ("PURGE", "SHAPE", 3..) => self.shape(),
            ("BEGIN", ..) | ("START", "TRANSACTION", _) => Ok(Command::Begin),
            ("COMMIT" | "END", ..) => Ok(Command::Commit),
            ("ROLLBACK" | "ABORT", ..) => Ok(Command::Rollback),
            _ => Err(self.refused()),
        }
    }

    fn show(self, word: &str) -> Result<Command, PgError> {
        let found = Show::ALL.iter().find(|(name, ..)| *name == word);
        let (_, show, _) = found.ok_or_else(|| self.refused())?;
        Ok(Command::Show(*show))
    }

    /// The name behind two words, qualified perhaps; folded as the server folds names.
    fn name(self) -> Result<String, PgError> {
        let mut name = String::new();
        for (at, token) in self.tokens.iter().enumerate().skip(2) {
            match (at % 2, token.kind) {
                (0, Kind::Word) => name.push_str(&self.slice(*token).to_ascii_lowercase()),
                (0, Kind::Quoted) => {
                    let quoted = self.slice(*token);
                    name.push_str(&quoted.trim_matches('"').replace("\"\"", "\""));
                }
                (1, Kind::Dot) => name.push('.'),
                _ => return Err(self.refused()),
            }
        }
        Ok(name)
    }

    /// A fingerprint is hexadecimal, so without quotes it may look like a number, a word, or both.
    fn shape(self) -> Result<Command, PgError> {
        let ends = self.tokens.get(2).zip(self.tokens.last());
        let span = ends.and_then(|(first, last)| self.text.get(first.start..last.end));
        let id = String::from_utf8_lossy(span.unwrap_or_default());
        let id = id.trim_matches(['"', '\'']).to_ascii_lowercase();
        if id.len() != FINGERPRINT_DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let text = format!("\"{}\" is not the id of a shape", shortened(&id));
            return Err(PgError::error(&trouble::CONSOLE_VALUE, text));
        }
        Ok(Command::Purge(Purge::Shape(id)))
    }

    fn slice(self, token: Token) -> String {
        let bytes = self.text.get(token.start..token.end);
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }

    /// The word at that place in capitals; nothing where there is no word.
    fn word(self, at: usize) -> String {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Word);
        token.map_or_else(String::new, |token| self.slice(*token).to_ascii_uppercase())
    }

    fn refused(self) -> PgError {
        let words: Vec<String> = self.tokens.iter().take(4).map(|t| self.slice(*t)).collect();
        let said = shortened(&words.join(" "));
        let near = if self.word(0) == "SHOW" && self.tokens.len() > 1 {
            // All begin alike, so only the rest tells them apart.
            let words = Show::ALL.iter().map(|(word, ..)| *word);
            nearest(&self.word(1), words).map(|word| format!("SHOW {word}"))
        } else {
            let shows = Show::ALL.map(|(word, ..)| format!("SHOW {word}"));
            let purges = PURGES.map(|(form, _)| form.to_owned());
            let known = shows.iter().chain(&purges).map(String::as_str);
            nearest(&said.to_uppercase(), known).map(str::to_owned)
        };
        let hint = match near {
            Some(near) => format!("Did you mean {near}? SHOW HELP lists what there is."),
            None => "This is the console of pgweir, not a database: SHOW HELP lists what there is."
                .to_owned(),
        };
        PgError::error(
            &trouble::CONSOLE_UNKNOWN,
            format!("the console does not know \"{said}\""),
        )
        .hint(hint)
    }
}

/// The beginning of what a client wrote.
fn shortened(text: &str) -> String {
    text.chars().take(REPEATED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Command, PgError> {
        let mut commands = read(text.as_bytes())?;
        assert_eq!(commands.len(), 1, "{text}");
        Ok(commands.remove(0))
    }

    #[test]
    fn case_semicolons_and_comments_do_not_matter() {
        for (word, show, _) in Show::ALL {
            for text in [
                format!("SHOW {word}"),
                format!("show {};", word.to_lowercase()),
                format!("/* x */ Show\n\t{word} ; ; -- y"),
            ] {
                assert_eq!(one(&text), Ok(Command::Show(show)), "{text}");
            }
        }
        assert_eq!(read(b" ; -- nothing"), Ok(Vec::new()));
        let two = [Command::Show(Show::Cache), Command::Purge(Purge::All)];
        assert_eq!(read(b"show cache; purge"), Ok(two.to_vec()));
    }

    #[test]
    fn names_are_folded_as_the_server_folds_them() {
        let table = |name: &str| Ok(Command::Purge(Purge::Table(name.to_owned())));
        assert_eq!(one("PURGE TABLE Orders"), table("orders"));
        assert_eq!(
            one("purge table Shop.\"Or\"\"ders\";"),
            table("shop.Or\"ders")
        );
        let database = Purge::Database("My-DB".to_owned());
        assert_eq!(
            one("PURGE DATABASE \"My-DB\""),
            Ok(Command::Purge(database))
        );
        assert_eq!(one("PURGE ALL"), Ok(Command::Purge(Purge::All)));
        for id in [
            "5f1d0c2a9be84763",
            "'1234567890123456'",
            "\"ABCDEF0123456789\"",
            "12e4567890abcdef",
        ] {
            let shape = id.trim_matches(['"', '\'']).to_lowercase();
            let purge = Command::Purge(Purge::Shape(shape));
            assert_eq!(one(&format!("PURGE SHAPE {id}")), Ok(purge), "{id}");
        }
    }

    #[test]
    fn whatever_else_names_the_nearest() {
        for (text, code, hint) in [
            ("SHOW CACH", "42601", "Did you mean SHOW CACHE?"),
            ("shw queries", "42601", "Did you mean SHOW QUERIES?"),
            ("SHOW", "42601", "SHOW HELP lists"),
            ("SHOW NOPE", "42601", "SHOW HELP lists"),
            ("PURGE TABLES x", "42601", "Did you mean PURGE TABLE name?"),
            ("PURGE TABLE", "42601", "Did you mean PURGE TABLE name?"),
            (
                "PURGE TABLE a b c",
                "42601",
                "Did you mean PURGE TABLE name?",
            ),
            (
                "PURGE TABLE a.b.c",
                "42601",
                "Did you mean PURGE TABLE name?",
            ),
            ("PURGE SHAPE 12", "22023", "SHOW QUERIES"),
            ("PURGE SHAPE 5f1d 0c2a9be84763", "22023", "SHOW QUERIES"),
            ("select 1 from pg_class", "42601", "not a database"),
            ("\"SHOW\" CACHE", "42601", "SHOW CACHE"),
            ("'unterminated", "42601", "SHOW HELP"),
            ("SHOW CACHE PLEASE", "42601", "SHOW CACHE"),
        ] {
            let error = one(text).unwrap_err();
            assert_eq!(error.code, code, "{text}");
            let said = error.hint.unwrap();
            assert!(said.contains(hint), "{text}: {said}");
        }
        // Nothing of a text is done that is not understood whole.
        assert!(read(b"PURGE; PORGE").is_err());
        let long = format!("SHOW {}", "x".repeat(TEXT_BYTES_MAX));
        assert!(one(&long).unwrap_err().message.len() < 100);
        assert!(read(b"\xff\xfe\0").is_err());
    }
}
