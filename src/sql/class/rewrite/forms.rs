//! Syntax that is written in another way for sqlparser, or left out.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some twenty kinds of token, each place knows a few"
)]

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::{Group, Rewriter, mark};
use crate::reason::Reason;
use crate::sql::class::typename::{self, Family};
use crate::sql::lexer::Kind;

impl Rewriter<'_> {
    /// Handles a word that begins a form of its own; `false` if it is a name.
    pub(super) fn form(&mut self, word: &str) -> Result<bool, Reason> {
        match word {
            "from" if self.worded() => self.separator(),
            "from" => self.put_keyword(),
            "as" => return self.label().map(|()| true),
            "is" => return self.is_what(),
            "isnull" | "notnull" => self.at += 1,
            "table" => self.table(),
            "only" => self.only()?,
            "into" => self.select_into(),
            "for" => return self.for_what().map(|()| true),
            "on" => return self.on_what().map(|()| true),
            "using" => return self.using_what().map(|()| true),
            "default" => self.default(),
            "current" if self.word(1) == "of" => {
                self.value();
                self.at += 3;
            }
            "rows" if self.word(1) == "from" && self.is(2, Kind::Open) => {
                self.at += 2;
                self.open();
                self.keyword(Keyword::SELECT, "select");
            }
            "tablesample" => self.sample(),
            "repeatable" if self.is(1, Kind::Open) => self.cross_join("repeatable"),
            "variadic" => self.variadic(),
            _ => return self.expression_form(word),
        }
        Ok(true)
    }

    fn expression_form(&mut self, word: &str) -> Result<bool, Reason> {
        match word {
            "like" => self.matches(&["~~", "!~~"]),
            "ilike" => self.matches(&["~~*", "!~~*"]),
            "similar" if self.worded() => self.separator(),
            "similar" => {
                self.at += 1;
                self.calls("similar_to_escape", None);
                self.matches(&["~", "!~"]);
            }
            // In front of LIKE, which says it.
            "not" => self.at += 1,
            "escape" | "placing" if self.worded() => self.separator(),
            "escape" if self.operand => {
                self.calls("like_escape", Some(2));
                self.calls("similar_to_escape", Some(2));
                self.infix();
            }
            "in" if self.group() == Group::Position => self.separator(),
            "in" => {
                self.found.compares(&["=", "<>"]);
                self.put_keyword();
            }
            "at" if self.operand && self.word(1) == "time" && self.word(2) == "zone" => {
                self.calls("timezone", Some(2));
                self.at += 2;
                self.infix();
            }
            "at" if self.operand && self.word(1) == "local" => {
                self.calls("timezone", Some(1));
                self.at += 2;
            }
            "overlaps" if self.operand => {
                self.calls("overlaps", Some(4));
                self.infix();
            }
            "collate" => {
                self.at += 1;
                self.take_qualified()?;
            }
            "operator" if self.is(1, Kind::Open) => self.operator_of_schema()?,
            _ => return Ok(self.call_form(word)),
        }
        Ok(true)
    }

    /// The word at hand as an operator between two values.
    fn infix(&mut self) {
        self.at += 1;
        self.operation("+");
    }

    fn matches(&mut self, symbols: &[&str]) {
        self.found.compares(symbols);
        self.infix();
    }

    /// A word between arguments, as a comma.
    fn separator(&mut self) {
        if self.operand {
            self.write(Token::Comma);
        }
        self.operand = false;
        self.at += 1;
    }

    /// Calls with a syntax of their own, and forms that only look like calls.
    fn call_form(&mut self, word: &str) -> bool {
        if word == "collation" && self.word(1) == "for" && self.is(2, Kind::Open) {
            self.quoted("pg_collation_for", mark::NAME);
            self.at += 2;
            return true;
        }
        if !self.is(1, Kind::Open) {
            return false;
        }
        match word {
            "coalesce" | "greatest" | "least" | "grouping" | "row" => self.look_alike(word),
            "array" => {
                self.mark(Token::make_word(word, None), mark::FORM);
                self.at += 1;
            }
            "nullif" => {
                self.found.compares(&["="]);
                self.look_alike(word);
            }
            "cast" | "treat" => {
                self.keyword(Keyword::CAST, "cast");
                self.at += 1;
                self.next_group = Group::Cast;
            }
            "extract" => {
                self.calls("date_part", Some(2));
                self.worded_call(word, Group::Worded);
                self.open();
                // The field, which is no column.
                self.value();
                self.at += 1;
            }
            "position" => self.worded_call(word, Group::Position),
            "substring" | "overlay" => self.worded_call(word, Group::Worded),
            "trim" => {
                let (name, skip) = match self.word(2) {
                    "leading" => ("ltrim", true),
                    "trailing" => ("rtrim", true),
                    "both" => ("btrim", true),
                    _ => ("btrim", false),
                };
                self.worded_call(name, Group::Worded);
                self.open();
                self.at += usize::from(skip);
            }
            _ => return false,
        }
        true
    }

    fn look_alike(&mut self, word: &str) {
        self.quoted(word, mark::FORM);
        self.at += 1;
    }

    fn worded_call(&mut self, name: &str, group: Group) {
        self.quoted(name, mark::VARIADIC);
        self.at += 1;
        self.next_group = group;
    }

    /// AS: before a type, a query, or a name.
    fn label(&mut self) -> Result<(), Reason> {
        if self.group() == Group::Cast {
            self.put_keyword();
            return self.cast_type();
        }
        if self.is(1, Kind::Open) && !self.query_at(2) && self.is_before(Kind::Close) {
            // `f(x) AS (a int)`
            self.put_keyword();
            self.quoted("?", mark::FORM);
            return if self.definitions()? {
                Ok(())
            } else {
                Err(Reason::ParseError)
            };
        }
        self.put_keyword();
        let skip = match (self.word(0), self.word(1)) {
            ("materialized", _) if self.is(1, Kind::Open) && self.query_at(2) => 1,
            ("not", "materialized") => 2,
            _ => 0,
        };
        self.at += skip;
        if skip > 0 && !self.is(0, Kind::Open) {
            return Err(Reason::ParseError);
        }
        Ok(())
    }

    /// Whether a query may begin `ahead` pieces from here.
    fn query_at(&self, ahead: usize) -> bool {
        self.is(ahead, Kind::Open)
            || matches!(
                self.word(ahead),
                "select" | "with" | "values" | "table" | "insert" | "update" | "delete" | "merge"
            )
    }

    /// A name with a list of columns and their types behind a function in FROM. The name is
    /// `ahead` pieces from here.
    pub(super) fn definition_list(&mut self, ahead: usize) -> Result<bool, Reason> {
        let place = self.is_before(Kind::Close) || self.word_before(1) == "as";
        let list = place
            && self.is(ahead + 1, Kind::Open)
            && self
                .pieces
                .get(self.at + ahead + 2)
                .is_some_and(|piece| piece.is_name())
            && !matches!(
                self.kind(ahead + 3),
                None | Some(Kind::Comma | Kind::Close | Kind::Dot | Kind::Open | Kind::Operator)
            );
        if !list {
            return Ok(false);
        }
        let Some(piece) = self.pieces.get(self.at) else {
            return Ok(false);
        };
        self.put_name(&piece.name, mark::NAME);
        if self.definitions()? {
            Ok(true)
        } else {
            Err(Reason::ParseError)
        }
    }

    /// `(a int, b text)`, passed over. A date in it is read from text (H5).
    fn definitions(&mut self) -> Result<bool, Reason> {
        loop {
            // The parenthesis or comma, and the column's name.
            if !matches!(self.kind(0), Some(Kind::Open | Kind::Comma)) {
                return Ok(false);
            }
            self.at += 2;
            let name = self.take_type()?;
            if typename::family(&name.name) != Family::Plain {
                self.refuse(Reason::Volatile);
            }
            if self.word(0) == "collate" {
                self.at += 1;
                self.take_qualified()?;
            }
            if self.is(0, Kind::Close) {
                self.at += 1;
                self.operand = true;
                return Ok(true);
            }
        }
    }

    /// IS NULL and its kin are left out, IS DISTINCT FROM compares.
    fn is_what(&mut self) -> Result<bool, Reason> {
        let mut ahead = 1;
        if self.word(ahead) == "not" {
            ahead += 1;
        }
        match self.word(ahead) {
            "null" | "true" | "false" | "unknown" | "document" => self.at += ahead + 1,
            "distinct" if self.word(ahead + 1) == "from" => {
                self.found.compares(&["="]);
                self.at += ahead + 1;
                self.infix();
            }
            "json" => {
                self.at += ahead + 1;
                if matches!(self.word(0), "value" | "object" | "array" | "scalar") {
                    self.at += 1;
                }
                if matches!(self.word(0), "with" | "without") && self.word(1) == "unique" {
                    self.at += 2 + usize::from(self.word(2) == "keys");
                }
            }
            _ => {
                if matches!(self.word(ahead), "nfc" | "nfd" | "nfkc" | "nfkd") {
                    ahead += 1;
                }
                if self.word(ahead) != "normalized" {
                    return Err(Reason::ParseError);
                }
                self.calls("is_normalized", None);
                self.at += ahead + 1;
            }
        }
        Ok(true)
    }

    /// `TABLE t` is `SELECT * FROM t`.
    fn table(&mut self) {
        self.keyword(Keyword::SELECT, "select");
        self.write(Token::Mul);
        self.keyword(Keyword::FROM, "from");
        self.at += 1;
    }

    /// ONLY before a table is left out and remembered; behind FETCH it stays.
    fn only(&mut self) -> Result<(), Reason> {
        if matches!(self.word_before(1), "row" | "rows") {
            self.put_keyword();
            return Ok(());
        }
        self.at += 1;
        self.only = true;
        if !self.is(0, Kind::Open) {
            return Ok(());
        }
        // `ONLY (t)`
        self.at += 1;
        while let Some(piece) = self.pieces.get(self.at) {
            match piece.kind {
                Kind::Word | Kind::Quoted | Kind::Dot => self.piece(piece)?,
                Kind::Close => break,
                _ => return Err(Reason::ParseError),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// INTO belongs to INSERT and MERGE; a SELECT with one makes a table.
    fn select_into(&mut self) {
        if matches!(self.word_before(1), "insert" | "merge") {
            self.put_keyword();
        } else {
            self.made.defines = true;
        }
    }

    /// FOR UPDATE and the like are left out: the tables stand in FROM already.
    fn for_what(&mut self) -> Result<(), Reason> {
        if self.worded() {
            self.separator();
            return Ok(());
        }
        let length = match (self.word(1), self.word(2), self.word(3)) {
            ("no", "key", "update") => 4,
            ("key", "share", _) => 3,
            ("update" | "share", ..) => 2,
            _ => return Err(Reason::ParseError),
        };
        self.made.locks = true;
        self.at += length;
        if self.word(0) == "of" {
            loop {
                self.at += 1;
                self.take_qualified()?;
                if !self.is(0, Kind::Comma) {
                    break;
                }
            }
        }
        match (self.word(0), self.word(1)) {
            ("nowait", _) => self.at += 1,
            ("skip", "locked") => self.at += 2,
            _ => {}
        }
        Ok(())
    }

    /// ON CONFLICT loses its target, which names an index and reads nothing; DO NOTHING is left
    /// out with it.
    fn on_what(&mut self) -> Result<(), Reason> {
        if self.word(1) != "conflict" {
            self.put_keyword();
            return Ok(());
        }
        let mut ahead = 2;
        let mut depth = 0_usize;
        loop {
            match self.kind(ahead) {
                None => return Err(Reason::ParseError),
                Some(Kind::Open) => depth += 1,
                Some(Kind::Close) => depth = depth.saturating_sub(1),
                Some(_) if depth == 0 && self.word(ahead) == "do" => break,
                Some(_) => {}
            }
            ahead += 1;
        }
        if self.word(ahead + 1) == "nothing" {
            self.at += ahead + 2;
        } else {
            self.keyword(Keyword::ON, "on");
            self.keyword(Keyword::CONFLICT, "conflict");
            self.at += ahead;
        }
        Ok(())
    }

    /// `ORDER BY x USING <` loses the operator once it is noted.
    fn using_what(&mut self) -> Result<(), Reason> {
        let operator = self.pieces.get(self.at + 1);
        if let Some(piece) = operator.filter(|piece| piece.kind == Kind::Operator) {
            self.found.operator(&piece.name);
            self.at += 2;
        } else if self.word(1) == "operator" && self.is(2, Kind::Open) {
            self.at += 1;
            self.operand = false;
            self.operator_of_schema()?;
            self.operand = true;
        } else {
            self.put_keyword();
        }
        Ok(())
    }

    /// `OPERATOR(schema.+)`
    fn operator_of_schema(&mut self) -> Result<(), Reason> {
        self.at += 2;
        let mut schema = None;
        loop {
            let piece = self.pieces.get(self.at).ok_or(Reason::ParseError)?;
            self.at += 1;
            if piece.kind == Kind::Operator {
                let name = if piece.name == "!=" {
                    "<>"
                } else {
                    &piece.name
                };
                let name = super::QName {
                    schema,
                    name: name.into(),
                };
                self.found.operators.insert(name);
                break;
            }
            if !piece.is_name() || !self.is(0, Kind::Dot) {
                return Err(Reason::ParseError);
            }
            schema = Some(piece.name.as_str().into());
            self.at += 1;
        }
        if !self.is(0, Kind::Close) {
            return Err(Reason::ParseError);
        }
        self.at += 1;
        self.operation("");
        Ok(())
    }

    fn default(&mut self) {
        if self.word(1) == "values" {
            self.put_keyword();
        } else {
            self.value();
            self.at += 1;
        }
    }

    /// The arguments of TABLESAMPLE are walked as those of a call; the rows are chance (H11).
    fn sample(&mut self) {
        self.refuse(Reason::Volatile);
        self.at += 1;
        self.cross_join("tablesample");
    }

    /// The name at hand and its parenthesis as a table that is joined.
    fn cross_join(&mut self, name: &str) {
        self.keyword(Keyword::CROSS, "cross");
        self.keyword(Keyword::JOIN, "join");
        while self.is(1, Kind::Dot) {
            self.at += 2;
        }
        self.quoted(name, mark::FORM);
        self.at += 1;
    }

    fn variadic(&mut self) {
        self.at += 1;
        let call = self.frames.last().and_then(|frame| frame.call);
        if let Some(token) = call.and_then(|call| self.made.tokens.get_mut(call)) {
            token.span.start.column = mark::VARIADIC;
        }
    }
}
