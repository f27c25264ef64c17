//! What a client of the console asks for. Pure: text in, commands out.

use super::action::{Action, FORMS};
use super::driver::Driver;
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
    Act(Action),
    /// What drivers say without being asked to, and do not mean.
    Driver(Driver),
}

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Help,
    Version,
    Pools,
    Clients,
    Servers,
    Databases,
    Users,
    Lists,
    Config,
    Sockets,
    ActiveSockets,
    Mem,
    State,
    Pins,
    Stats,
    StatsTotals,
    StatsAverages,
    Cache,
    Queries,
    Tables,
    Bypasses,
}

impl Show {
    /// Each with its word and a line for help.
    pub const ALL: [(&'static str, Self, &'static str); 21] = [
        ("HELP", Self::Help, "This list"),
        ("VERSION", Self::Version, "Which pgweir this is"),
        ("POOLS", Self::Pools, "Each pool: its clients and upstreams"),
        ("CLIENTS", Self::Clients, "Each client, and what it does"),
        ("SERVERS", Self::Servers, "Each upstream, and what it does"),
        ("DATABASES", Self::Databases, "What clients can connect to"),
        ("USERS", Self::Users, "Who can connect, and who has"),
        ("LISTS", Self::Lists, "How many there are of each"),
        ("CONFIG", Self::Config, "Each setting, and who set it"),
        ("SOCKETS", Self::Sockets, "Clients and upstreams together"),
        (
            "ACTIVE_SOCKETS",
            Self::ActiveSockets,
            "Those of them at work",
        ),
        ("MEM", Self::Mem, "Where memory goes"),
        ("STATE", Self::State, "Whether everything is paused"),
        ("PINS", Self::Pins, "Who keeps an upstream, and why"),
        (
            "STATS",
            Self::Stats,
            "What each database did, in all and lately",
        ),
        ("STATS_TOTALS", Self::StatsTotals, "The same: in all"),
        (
            "STATS_AVERAGES",
            Self::StatsAverages,
            "The same: a second, and for each",
        ),
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
    ];
}

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
pub(super) struct Statement<'a> {
    text: &'a [u8],
    tokens: &'a [Token],
}

impl Statement<'_> {
    fn read(self) -> Result<Command, PgError> {
        if let Some(driver) = Driver::read(self) {
            return Ok(Command::Driver(driver));
        }
        if self.word(0) == "SHOW" && self.len() == 2 {
            return self.show(&self.word(1));
        }
        match Action::read(self)? {
            Some(action) => Ok(Command::Act(action)),
            None => Err(self.refused()),
        }
    }

    fn show(self, word: &str) -> Result<Command, PgError> {
        let found = Show::ALL.iter().find(|(name, ..)| *name == word);
        let (_, show, _) = found.ok_or_else(|| self.refused())?;
        Ok(Command::Show(*show))
    }

    /// How many tokens there are.
    pub(super) fn len(self) -> usize {
        self.tokens.len()
    }

    /// All words in capitals, with a blank between; nothing when there is anything but words.
    pub(super) fn words(self) -> String {
        let words: Vec<String> = (0..self.len()).map(|at| self.word(at)).collect();
        if words.iter().any(String::is_empty) {
            return String::new();
        }
        words.join(" ")
    }

    /// The name that begins at that place and goes on to `end`, qualified perhaps; folded as the
    /// server folds names.
    pub(super) fn name(self, from: usize, end: usize) -> Result<String, PgError> {
        let mut name = String::new();
        let tokens = self.tokens.get(from..end).unwrap_or_default();
        for (at, token) in tokens.iter().enumerate() {
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
        if name.is_empty() {
            return Err(self.refused());
        }
        Ok(name)
    }

    /// The text from that token to the last, as it stands, but without the quotes around it.
    pub(super) fn rest(self, from: usize) -> String {
        let ends = self.tokens.get(from).zip(self.tokens.last());
        let span = ends.and_then(|(first, last)| self.text.get(first.start..last.end));
        let text = String::from_utf8_lossy(span.unwrap_or_default());
        for quote in ['\'', '"'] {
            let inner = text
                .strip_prefix(quote)
                .and_then(|text| text.strip_suffix(quote));
            if let Some(inner) = inner {
                return inner.replace(&format!("{quote}{quote}"), &quote.to_string());
            }
        }
        text.into_owned()
    }

    fn slice(self, token: Token) -> String {
        let bytes = self.text.get(token.start..token.end);
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }

    /// The token at that place as it stands.
    pub(super) fn token(self, at: usize) -> String {
        let token = self.tokens.get(at);
        token.map_or_else(String::new, |token| self.slice(*token))
    }

    /// The word at that place in capitals; nothing where there is no word.
    pub(super) fn word(self, at: usize) -> String {
        let is_word = self
            .tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::Word);
        if is_word {
            self.token(at).to_ascii_uppercase()
        } else {
            String::new()
        }
    }

    /// What the client is told of a command that is none.
    pub(super) fn refused(self) -> PgError {
        let words: Vec<String> = (0..self.len().min(4)).map(|at| self.token(at)).collect();
        let said = shortened(&words.join(" "));
        let near = if self.word(0) == "SHOW" && self.len() > 1 {
            // All begin alike, so only the rest tells them apart.
            let words = Show::ALL.iter().map(|(word, ..)| *word);
            nearest(&self.word(1), words).map(|word| format!("SHOW {word}"))
        } else if self.word(0) == "SHOW" {
            None
        } else {
            nearest_form(&said.to_uppercase())
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

/// The form that is most like this; its words count by themselves, too, without what they stand before.
fn nearest_form(said: &str) -> Option<String> {
    let shows = Show::ALL.map(|(word, ..)| format!("SHOW {word}"));
    let forms = FORMS.iter().map(|(form, _)| *form);
    let forms: Vec<&str> = shows.iter().map(String::as_str).chain(forms).collect();
    let words = |form: &str| {
        let is_word = |word: &&str| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let words: Vec<&str> = form.split(' ').take_while(is_word).collect();
        words.join(" ")
    };
    let words: Vec<String> = forms.iter().map(|form| words(form)).collect();
    let near = nearest(
        said,
        words
            .iter()
            .map(String::as_str)
            .chain(forms.iter().copied()),
    )?;
    let mut all = words.iter().zip(&forms);
    let found = all.find(|(words, form)| *words == near || **form == near);
    found.map(|(_, form)| (*form).to_owned())
}

/// The beginning of what a client wrote.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(REPEATED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::super::action::Purge;
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
        let two = [
            Command::Show(Show::Cache),
            Command::Act(Action::Purge(Purge::All)),
        ];
        assert_eq!(read(b"show cache; purge"), Ok(two.to_vec()));
    }

    #[test]
    fn names_are_folded_as_the_server_folds_them() {
        let table = |name: &str| Ok(Command::Act(Action::Purge(Purge::Table(name.to_owned()))));
        assert_eq!(one("PURGE TABLE Orders"), table("orders"));
        assert_eq!(
            one("purge table Shop.\"Or\"\"ders\";"),
            table("shop.Or\"ders")
        );
        let database = Purge::Database("My-DB".to_owned());
        assert_eq!(
            one("PURGE DATABASE \"My-DB\""),
            Ok(Command::Act(Action::Purge(database)))
        );
        assert_eq!(
            one("PURGE ALL"),
            Ok(Command::Act(Action::Purge(Purge::All)))
        );
        for id in [
            "5f1d0c2a9be84763",
            "'1234567890123456'",
            "\"ABCDEF0123456789\"",
            "12e4567890abcdef",
        ] {
            let shape = id.trim_matches(['"', '\'']).to_lowercase();
            let purge = Command::Act(Action::Purge(Purge::Shape(shape)));
            assert_eq!(one(&format!("PURGE SHAPE {id}")), Ok(purge), "{id}");
        }
    }

    #[test]
    fn whatever_else_names_the_nearest() {
        for (text, code, hint) in [
            ("SHOW CACH", "42601", "Did you mean SHOW CACHE?"),
            ("shw queries", "42601", "Did you mean SHOW QUERIES?"),
            ("SHOW", "42601", "not a database: SHOW HELP lists"),
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
