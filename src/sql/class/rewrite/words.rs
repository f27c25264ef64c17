//! Which words are keywords where they stand (gram.y of versions 13 to 18).

use super::{Group, Rewriter};
use crate::reason::Reason;
use crate::sql::lexer::Kind;

impl Rewriter<'_> {
    /// Handles a word that has a meaning here; `false` if it is a name.
    pub(super) fn keyword_or_form(&mut self, word: &str) -> Result<bool, Reason> {
        if self.noise(word) || self.reserved(word) || self.clock_or_session(word) {
            return Ok(true);
        }
        if self.in_its_place(word) {
            self.put_keyword();
            return Ok(true);
        }
        if self.change(word) {
            self.made.changes += 1;
            self.made.inserts |= word == "insert";
            self.put_keyword();
            return Ok(true);
        }
        self.form(word)
    }

    /// Words that are nothing but keywords, and that sqlparser reads as the server does.
    fn reserved(&mut self, word: &str) -> bool {
        match word {
            "select" => {
                self.put_keyword();
                let empty = matches!(
                    self.word(0),
                    "from"
                        | "where"
                        | "union"
                        | "except"
                        | "intersect"
                        | "group"
                        | "order"
                        | "limit"
                        | "offset"
                        | "having"
                );
                if empty || matches!(self.kind(0), None | Some(Kind::Close)) {
                    self.value();
                }
            }
            "where" | "group" | "having" | "order" | "limit" | "offset" | "fetch" | "union"
            | "intersect" | "except" | "distinct" | "and" | "or" | "case" | "when" | "then"
            | "else" | "any" | "some" | "all" | "join" | "inner" | "cross" | "natural" | "full"
            | "lateral" | "returning" | "window" | "values" | "do" => self.put_keyword(),
            "end" => {
                self.put_keyword();
                self.operand = true;
            }
            "null" | "true" | "false" => {
                self.value();
                self.at += 1;
            }
            _ => return false,
        }
        true
    }

    /// Words that change nothing about what a text names.
    fn noise(&mut self, word: &str) -> bool {
        let before = |word, back| self.word_before(back) == word;
        let length = match (word, self.word(1)) {
            ("distinct", _) if before("by", 1) && before("group", 2) => 1,
            ("asc" | "desc" | "symmetric" | "asymmetric", _) => 1,
            ("nulls", "first" | "last") | ("with", "ordinality") => 2,
            ("exclude", next)
                if matches!(self.word_before(1), "row" | "preceding" | "following") =>
            {
                match (next, self.word(2)) {
                    ("group" | "ties", _) => 2,
                    ("current", "row") | ("no", "others") => 3,
                    _ => 0,
                }
            }
            ("overriding", "system" | "user") if self.word(2) == "value" => 3,
            // OFFSET 5 ROWS
            ("row" | "rows", _) if self.word_before(2) == "offset" && self.operand => 1,
            _ => 0,
        };
        self.at += length;
        length > 0
    }

    /// Values that are read from the clock or the session (H5, H6).
    fn clock_or_session(&mut self, word: &str) -> bool {
        let reason = match word {
            "current_date" | "current_time" | "current_timestamp" | "localtime"
            | "localtimestamp" => Some(Reason::Volatile),
            "current_user" | "current_role" | "session_user" | "user" | "current_schema"
            | "system_user" => Some(Reason::Session),
            "current_catalog" => None,
            _ => return false,
        };
        if let Some(reason) = reason {
            self.refuse(reason);
        }
        self.value();
        self.at += 1;
        let precision = usize::from(self.is(1, Kind::Number));
        if self.is(0, Kind::Open) && self.is(1 + precision, Kind::Close) {
            self.at += 2 + precision;
        }
        true
    }

    /// Whether a word that can also be a name is a keyword here.
    fn in_its_place(&self, word: &str) -> bool {
        let before = self.word_before(1);
        let next = self.word(1);
        let call = self.is(1, Kind::Open);
        match word {
            "left" | "right" => !call,
            "outer" => matches!(before, "left" | "right" | "full"),
            "with" => true,
            "recursive" => before == "with",
            "by" => matches!(before, "group" | "order" | "partition" | "matched"),
            "source" | "target" => before == "by" && self.word_before(2) == "matched",
            "matched" => matches!(before, "when" | "not"),
            "partition" => next == "by",
            "over" => self.is_before(Kind::Close),
            "filter" => call && self.is_before(Kind::Close),
            "within" => next == "group",
            "range" | "rows" | "groups" if self.frame_bound() => true,
            "row" | "rows" => matches!(next, "only" | "with") || before == "current",
            "unbounded" => matches!(next, "preceding" | "following"),
            "preceding" | "following" => self.operand || before == "unbounded",
            "current" => next == "row",
            "first" | "next" => before == "fetch",
            "ties" => before == "with",
            "nothing" => before == "do",
            "set" => self.operand || before == "update",
            "exists" => call,
            "array" => !call,
            "rollup" | "cube" => call && (before == "by" || self.is_before(Kind::Comma)),
            "grouping" => next == "sets",
            "sets" => before == "grouping",
            "between" => true,
            "not" => !matches!(next, "like" | "ilike" | "similar"),
            _ => false,
        }
    }

    /// Whether the bound of a window's frame follows.
    fn frame_bound(&self) -> bool {
        matches!(self.word(1), "between" | "unbounded" | "current")
            || matches!(self.word(2), "preceding" | "following")
    }

    /// Whether a word begins a change of a table.
    fn change(&self, word: &str) -> bool {
        match word {
            "insert" | "update" | "delete" | "merge" => {
                let starts = match self.before(1) {
                    None => true,
                    Some(piece) => matches!(piece.kind, Kind::Open | Kind::Close),
                };
                starts || matches!(self.word_before(1), "do" | "then")
            }
            _ => false,
        }
    }

    /// Whether commas stand for the words of this parenthesis.
    pub(super) fn worded(&self) -> bool {
        matches!(self.group(), Group::Worded | Group::Position)
    }
}

/// Whether the word cannot be a name: what stands before it may be the label of a result, however
/// much it looks like a keyword (`SELECT v COLLATE FROM t`).
pub(super) fn ends_a_label(word: &str) -> bool {
    matches!(
        word,
        "from"
            | "where"
            | "group"
            | "having"
            | "order"
            | "union"
            | "intersect"
            | "except"
            | "limit"
            | "offset"
            | "fetch"
            | "for"
            | "into"
            | "on"
            | "window"
            | "with"
            | "returning"
            | "as"
    )
}
