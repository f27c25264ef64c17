//! Why a query was or was not answered from the cache: one vocabulary for logs, metrics, the
//! console, `explain` and notices. It contains the eleven words that Hyperdrive uses.

/// What became of a query, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Answered from memory.
    Hit,
    /// Looked up and not there.
    Miss,
    /// There, but older than its time to live: a miss.
    Expired,
    /// There, but something it depends on was written since: a miss.
    Stale,
    /// The level is `off`, or a rule or the session switched the cache off.
    Disabled,
    /// A hint in front of the text asked for the database.
    Hint,
    /// Not to be cached for a reason that has no word of its own.
    Uncacheable,
    /// More than one statement in one text.
    MultipleStatements,
    /// Not a query: transaction control, settings, COPY, cursors, EXPLAIN.
    NotAQuery,
    /// It writes.
    Write,
    /// It changes the schema or privileges.
    Definition,
    /// It locks rows.
    Locks,
    /// The text is larger than is looked at.
    OversizedQuery,
    /// The result is larger than is kept.
    OversizedResult,
    /// The text is not understood.
    ParseError,
    /// Inside a transaction, or in a pipeline with other statements.
    Transaction,
    /// It depends on the clock, on chance, on sequences or on statistics.
    Volatile,
    /// It depends on who asks or on the session's state.
    Session,
    /// A function, operator, cast or type that is neither built in nor of a well-known extension.
    UserFunction,
    /// It reads the system catalogs.
    Catalog,
    /// It names a relation that the catalog snapshot does not have.
    UnknownRelation,
    /// A relation under row security.
    RowSecurity,
    /// A foreign table.
    Foreign,
    /// A temporary table, or a session that may have some.
    TempTable,
    /// It runs text that the query does not show (DO, EXECUTE, SQL in strings).
    Opaque,
    /// A literal or parameter that may mean a moment: `now`, `today`.
    Moment,
    /// The session runs under settings with which nothing is cached.
    Settings,
    /// The session holds its upstream (a pin, or session mode).
    Pinned,
    /// A named portal, a row limit, or another form of the protocol that is not cached.
    Protocol,
    /// The catalog has not been read, or is being read again.
    CatalogUnknown,
    /// A write to something it depends on is under way.
    Dirty,
    /// The result came with a notice, a parameter report, or an error.
    NotClean,
    /// The database's defaults forbid caching.
    Defaults,
    /// The cache is only watched (`cache.mode = "shadow"`).
    Shadow,
}

impl Reason {
    /// All of them, in the order of the declaration.
    pub const ALL: [Self; 34] = [
        Self::Hit,
        Self::Miss,
        Self::Expired,
        Self::Stale,
        Self::Disabled,
        Self::Hint,
        Self::Uncacheable,
        Self::MultipleStatements,
        Self::NotAQuery,
        Self::Write,
        Self::Definition,
        Self::Locks,
        Self::OversizedQuery,
        Self::OversizedResult,
        Self::ParseError,
        Self::Transaction,
        Self::Volatile,
        Self::Session,
        Self::UserFunction,
        Self::Catalog,
        Self::UnknownRelation,
        Self::RowSecurity,
        Self::Foreign,
        Self::TempTable,
        Self::Opaque,
        Self::Moment,
        Self::Settings,
        Self::Pinned,
        Self::Protocol,
        Self::CatalogUnknown,
        Self::Dirty,
        Self::NotClean,
        Self::Defaults,
        Self::Shadow,
    ];

    /// Whether it was looked up in vain. The others but a hit were not looked up.
    pub fn is_miss(self) -> bool {
        matches!(self, Self::Miss | Self::Expired | Self::Stale | Self::Dirty)
    }

    /// Its place in [`Reason::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Expired => "expired",
            Self::Stale => "stale",
            Self::Disabled => "disabled",
            Self::Hint => "hint",
            Self::Uncacheable => "uncacheable",
            Self::MultipleStatements => "multiplestatements",
            Self::NotAQuery => "notaquery",
            Self::Write => "write",
            Self::Definition => "definition",
            Self::Locks => "locks",
            Self::OversizedQuery => "oversizedquery",
            Self::OversizedResult => "oversizedresult",
            Self::ParseError => "parseerror",
            Self::Transaction => "transaction",
            Self::Volatile => "volatile",
            Self::Session => "session",
            Self::UserFunction => "userfunction",
            Self::Catalog => "catalog",
            Self::UnknownRelation => "unknownrelation",
            Self::RowSecurity => "rowsecurity",
            Self::Foreign => "foreign",
            Self::TempTable => "temptable",
            Self::Opaque => "opaque",
            Self::Moment => "moment",
            Self::Settings => "settings",
            Self::Pinned => "pinned",
            Self::Protocol => "protocol",
            Self::CatalogUnknown => "catalogunknown",
            Self::Dirty => "dirty",
            Self::NotClean => "notclean",
            Self::Defaults => "defaults",
            Self::Shadow => "shadow",
        }
    }

    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Hit => "it was answered from the cache",
            Self::Miss => "it was not in the cache",
            Self::Expired => "what the cache had was too old",
            Self::Stale => "something it depends on was written since it was cached",
            Self::Disabled => "the cache is off for it",
            Self::Hint => "a hint in front of it asks for the database",
            Self::Uncacheable => "it cannot be cached",
            Self::MultipleStatements => "the text has more than one statement",
            Self::NotAQuery => "it is not a query",
            Self::Write => "it writes",
            Self::Definition => "it changes the schema or privileges",
            Self::Locks => "it locks rows",
            Self::OversizedQuery => "the text is too large to be looked at",
            Self::OversizedResult => "the result is larger than cache.result_bytes_max",
            Self::ParseError => "the text is not understood",
            Self::Transaction => "it runs inside a transaction",
            Self::Volatile => "it depends on the clock, on chance, on sequences or on statistics",
            Self::Session => "it depends on who asks or on the session",
            Self::UserFunction => "it uses code that cannot be seen through",
            Self::Catalog => "it reads the system catalogs",
            Self::UnknownRelation => "it names a relation that is not known",
            Self::RowSecurity => "a relation is under row security",
            Self::Foreign => "a foreign table changes where nobody sees it",
            Self::TempTable => "temporary tables belong to one session",
            Self::Opaque => "it runs SQL that its text does not show",
            Self::Moment => "a literal or parameter may mean a moment, as 'today' does",
            Self::Settings => "the session runs under settings with which nothing is cached",
            Self::Pinned => "the session holds its upstream",
            Self::Protocol => "a named portal, a row limit or such is not cached",
            Self::CatalogUnknown => "the catalog is being read",
            Self::Dirty => "a write to something it depends on is under way",
            Self::NotClean => "the result came with a notice or a parameter report",
            Self::Defaults => "the database's defaults forbid caching",
            Self::Shadow => "the cache is only watched",
        }
    }

    /// What an application's author or an operator can do about it: a sentence for people.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Hit => "Nothing is left to do.",
            Self::Miss => "The next query of the same text and values can be a hit.",
            Self::Expired => {
                "A longer cache.ttl keeps it longer; at level ryw a write ends it at once all the same."
            }
            Self::Stale => {
                "Writes to its tables make it stale; reading fewer tables, or others than those that are written most, makes it last."
            }
            Self::Disabled => {
                "Set cache.level, or change the rule or setting that switched it off."
            }
            Self::Hint => "Take the hint out of the query's text.",
            Self::Uncacheable => "Look with explain at what stands in the way.",
            Self::MultipleStatements => "Send each statement by itself.",
            Self::NotAQuery | Self::Write | Self::Definition => {
                "Nothing: this is work that only the database can do."
            }
            Self::Locks => "Leave out FOR UPDATE or FOR SHARE where no lock is needed.",
            Self::OversizedQuery => "Send long lists as one array parameter: = any($1).",
            Self::OversizedResult => {
                "Ask for fewer rows or columns, or raise cache.result_bytes_max."
            }
            Self::ParseError => "Try the text in psql; if Postgres takes it, report it as a gap.",
            Self::Transaction => "Send reads that need no transaction outside of BEGIN and COMMIT.",
            Self::Volatile => {
                "Let the application compute what changes, such as the time, and send it as a parameter."
            }
            Self::Session => {
                "Pass what differs between users as a parameter instead of reading it from the session."
            }
            Self::UserFunction => {
                "Say in [cache.functions] or [cache.triggers] what it does, or write that out in the query."
            }
            Self::Catalog => "Nothing: the catalogs change without a trace. Ask them less often.",
            Self::UnknownRelation => {
                "Check the name, the search_path and the database; new tables are seen soon."
            }
            Self::RowSecurity => {
                "With cache.row_security = \"keyed\" it is cached for each user apart, where its policies can be seen through."
            }
            Self::Foreign => {
                "With cache.foreign_tables = \"ttl\" it is cached for as long as cache.ttl says, whatever others write."
            }
            Self::TempTable => "Use a common table expression in place of the temporary table.",
            Self::Opaque => "Send the inner statement itself.",
            Self::Moment => "Send a date or time in figures instead of a word such as 'today'.",
            Self::Settings => {
                "Leave default_transaction_isolation, zero_damaged_pages and their like as Postgres has them."
            }
            Self::Pinned => {
                "Avoid what holds the upstream: LISTEN, temporary tables, session locks, open cursors, and pool.mode = \"session\"."
            }
            Self::Protocol => "Read the whole result at once, without a named portal or row limit.",
            Self::CatalogUnknown => "Nothing: it passes by itself in a moment.",
            Self::Dirty => "Nothing: it ends with the write. Shorter transactions make it rarer.",
            Self::NotClean => "Avoid what raises the notice.",
            Self::Defaults => {
                "Take the setting out of the defaults: ALTER DATABASE ... RESET, ALTER ROLE ... RESET."
            }
            Self::Shadow => "Set cache.mode to \"on\" when the comparisons have convinced you.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn words_are_different_and_hyperdrives_are_among_them() {
        let mut words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let theirs = [
            "hit",
            "miss",
            "disabled",
            "uncacheable",
            "multiplestatements",
            "notaquery",
            "oversizedquery",
            "oversizedresult",
            "parseerror",
            "transaction",
            "volatile",
        ];
        assert!(theirs.iter().all(|word| words.contains(word)));
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at);
            assert!(reason.remedy().ends_with('.'), "{}", reason.as_str());
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    #[test]
    fn docs_reasons_are_made_from_the_table() {
        let mut made = "| word | a | meaning |\n|---|---|---|\n".to_owned();
        for reason in Reason::ALL {
            let kind = if reason == Reason::Hit {
                "hit"
            } else if reason.is_miss() {
                "miss"
            } else {
                "bypass"
            };
            let (word, meaning) = (reason.as_str(), reason.sentence());
            made.push_str(&format!("| `{word}` | {kind} | {meaning} |\n"));
        }
        crate::docs::same("metrics.md", "reasons", &made);
    }
}
