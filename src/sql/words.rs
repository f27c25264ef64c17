//! The keywords that decide what a statement does, found by value.

use super::lexer::eight;

/// A word of at most 15 bytes, as a number that is the same in either case, in two halves. Blanks and
/// punctuation cannot stand in a word, so setting one bit folds letters without merging words.
type Folded = (u64, u64);

const fn fold(word: &[u8]) -> Folded {
    match word.split_at_checked(8) {
        Some((first, rest)) => (eight::word(first) | CASE, fold_half(rest)),
        None => (fold_half(word), 0),
    }
}

/// The bit in which the two cases of a letter differ.
const CASE: u64 = eight::every(0x20);

const fn fold_half(word: &[u8]) -> u64 {
    (eight::word(word) | CASE) & (eight::behind(word.len()) - 1)
}

/// The longest word that is looked up.
const WORD_MAX: usize = 15;
const SLOT_BITS: u32 = 10;
const SLOTS: usize = 1 << SLOT_BITS;

const fn slot((first, rest): Folded) -> usize {
    let mixed = first ^ rest.rotate_left(29);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOT_BITS)) as usize
}

/// How sure it is that a name before a parenthesis is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// It cannot be.
    Never,
    /// It should not be; a function that is known to change the session counts even so.
    Hardly,
    /// It is, or nothing tells that it is not.
    Likely,
}

macro_rules! words {
    ($($call:ident { $($name:ident $text:literal,)* })*) => {
        /// A keyword, or [`Word::Other`]. Whether it is one in its place, the reader decides.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Word {
            /// Not a word that matters here.
            Other,
            $($($name,)*)*
        }

        const LIST: &[(Folded, Word)] = &[$($((fold($text.as_bytes()), Word::$name),)*)*];

        #[cfg(test)]
        const TEXTS: &[(&str, Word)] = &[$($(($text, Word::$name),)*)*];

        impl Word {
            /// What a parenthesis behind it makes of it, by its class in kwlist.h.
            pub(super) fn call(self) -> Call {
                match self {
                    Self::Other => Call::Likely,
                    $($(Self::$name => Call::$call,)*)*
                }
            }
        }
    };
}

words! {
    // Reserved, or a column's name at most: no function can be called so without quotes.
    Never {
        All "all", Analyse "analyse", Analyze "analyze", And "and", Any "any", Array "array",
        As "as", Between "between", Bit "bit", Case "case", Cast "cast", Char "char",
        Character "character", Check "check", Coalesce "coalesce", Dec "dec", Decimal "decimal",
        Default "default", Distinct "distinct", Else "else", Except "except", Exists "exists",
        Extract "extract", Float "float", For "for", From "from", Greatest "greatest",
        Group "group", Grouping "grouping", Having "having", In "in", Intersect "intersect",
        Interval "interval", Into "into", Lateral "lateral", Least "least", Limit "limit",
        Nchar "nchar", Normalize "normalize", Not "not", Null "null", Nullif "nullif",
        Numeric "numeric", Offset "offset", On "on", Only "only", Or "or", Position "position",
        References "references", Returning "returning", Row "row", Select "select", Some "some",
        Symmetric "symmetric", Table "table", Then "then", Time "time", Timestamp "timestamp",
        To "to", Trim "trim", Union "union", Unique "unique", Using "using", Values "values",
        Varchar "varchar", When "when", Where "where", With "with", Xmlattributes "xmlattributes",
        Xmlconcat "xmlconcat", Xmlelement "xmlelement", Xmlexists "xmlexists",
        Xmlforest "xmlforest", Xmlnamespaces "xmlnamespaces", Xmlparse "xmlparse", Xmlpi "xmlpi",
        Xmlroot "xmlroot", Xmlserialize "xmlserialize", Xmltable "xmltable",
    }
    // The grammar puts a parenthesis behind it, but a function may have the name.
    Hardly {
        By "by", Columns "columns", Conflict "conflict", Constraint "constraint", Copy "copy", Cube "cube",
        Do "do", Filter "filter", Ilike "ilike", Include "include", Inherits "inherits", Insert "insert", Is "is",
        Join "join", JsonArray "json_array", JsonArrayagg "json_arrayagg",
        JsonExists "json_exists", JsonObject "json_object", JsonObjectagg "json_objectagg",
        JsonQuery "json_query", JsonScalar "json_scalar", JsonSerialize "json_serialize",
        JsonTable "json_table", JsonValue "json_value", Key "key", Like "like",
        Materialized "materialized", MergeAction "merge_action", Operator "operator", Over "over",
        Range "range", Repeatable "repeatable", Rollup "rollup", Set "set", Sets "sets",
        Similar "similar", Varying "varying", Within "within",
    }
    Likely {
        Abort "abort", Access "access", Aggregate "aggregate", Alter "alter", Atomic "atomic",
        Authorization "authorization", Begin "begin", Call "call", Catalog "catalog",
        Chain "chain", Characteristics "characteristics", Checkpoint "checkpoint", Close "close",
        Cluster "cluster", Collation "collation", Comment "comment", Commit "commit",
        Constraints "constraints", Conversion "conversion", Create "create",
        Current "current", CurrentCatalog "current_catalog", CurrentDate "current_date",
        CurrentRole "current_role", CurrentUser "current_user", Cursor "cursor",
        Database "database", Deallocate "deallocate", Declare "declare", Deferrable "deferrable",
        Delete "delete", Discard "discard", Domain "domain", Drop "drop", End "end",
        Event "event", Exclude "exclude", Execute "execute", Explain "explain",
        Extension "extension", False "false", Fetch "fetch", First "first", Foreign "foreign",
        Function "function", Generated "generated", Global "global", Grant "grant", Hold "hold",
        If "if", Import "import", Index "index", Isolation "isolation",
        Language "language", Large "large", Last "last", Level "level", Listen "listen",
        Load "load", Local "local", Lock "lock", Loop "loop", Mapping "mapping",
        Matched "matched", Merge "merge", Method "method", Move "move", Names "names",
        National "national", Next "next", No "no", None "none", Notify "notify", Of "of",
        Option "option", Order "order", Overriding "overriding", Owned "owned",
        Partition "partition", PgCatalog "pg_catalog", PgTemp "pg_temp", Plans "plans",
        Policy "policy", Prepare "prepare", Prepared "prepared", Primary "primary",
        Privileges "privileges", Procedural "procedural", Procedure "procedure",
        Publication "publication", Read "read", Reassign "reassign", Recursive "recursive",
        Refresh "refresh", Reindex "reindex", Release "release", Replace "replace", Reset "reset",
        Restrict "restrict", Return "return", Returns "returns", Revoke "revoke", Role "role",
        Rollback "rollback", Routine "routine", Rows "rows", Rule "rule", Savepoint "savepoint",
        Schema "schema", Security "security", Sequence "sequence", Sequences "sequences",
        Serializable "serializable", Server "server", Session "session",
        SessionUser "session_user", SetConfig "set_config", Setof "setof", Show "show",
        Start "start", Statistics "statistics", Subscription "subscription", System "system",
        Tablesample "tablesample", Tablespace "tablespace", Temp "temp", Temporary "temporary",
        Text "text", Transaction "transaction", Transform "transform", Trigger "trigger",
        True "true", Truncate "truncate", Trusted "trusted", Type "type", Unlisten "unlisten",
        Unlogged "unlogged", Update "update", User "user", Vacuum "vacuum", View "view",
        Window "window", Work "work", Wrapper "wrapper", Write "write", Xml "xml",
        Xmlagg "xmlagg", Zone "zone",
    }
}

/// The words by [`slot`], with linear probing.
static TABLE: [(Folded, Word); SLOTS] = {
    let mut table = [((0, 0), Word::Other); SLOTS];
    let mut rest = LIST;
    while let [entry, tail @ ..] = rest {
        let mut at = slot(entry.0);
        #[expect(
            clippy::indexing_slicing,
            reason = "the compiler evaluates it; out of range does not build"
        )]
        {
            while table[at].0.0 != 0 {
                at = (at + 1) % SLOTS;
            }
            table[at] = *entry;
        }
        rest = tail;
    }
    table
};

impl Word {
    /// The keyword that stands at `text[start..end]`.
    #[inline]
    pub(super) fn at(text: &[u8], start: usize, end: usize) -> Self {
        let length = end.saturating_sub(start);
        if length > WORD_MAX {
            return Self::Other;
        }
        let first = eight::at(text, start) | CASE;
        let value = if length < 8 {
            (first & (eight::behind(length) - 1), 0)
        } else {
            let rest = eight::at(text, start + 8) | CASE;
            (first, rest & (eight::behind(length - 8) - 1))
        };
        let mut at = slot(value);
        loop {
            match TABLE.get(at) {
                Some(&(found, word)) if found == value => return word,
                Some(&((0, _), _)) | None => return Self::Other,
                Some(_) => at = (at + 1) % SLOTS,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SLOTS, TEXTS, Word};

    #[test]
    fn each_word_is_found_in_either_case_at_either_end() {
        assert!(TEXTS.len() * 100 < SLOTS * 60, "the table is too full");
        for &(text, word) in TEXTS {
            assert!(text.len() <= super::WORD_MAX);
            let upper = text.to_uppercase();
            assert_eq!(Word::at(text.as_bytes(), 0, text.len()), word);
            let padded = format!("{upper}                  ");
            assert_eq!(Word::at(padded.as_bytes(), 0, text.len()), word);
            let longer = format!("{text}x                 ");
            assert_ne!(Word::at(longer.as_bytes(), 0, text.len() + 1), word);
        }
        assert_eq!(Word::at(b"", 0, 0), Word::Other);
        assert_eq!(
            Word::at(b"abalance FROM pgbench_accounts", 0, 8),
            Word::Other
        );
        assert_eq!(Word::at(b"authorization_of_x", 0, 18), Word::Other);
    }
}
