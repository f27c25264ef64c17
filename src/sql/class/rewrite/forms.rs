//! Clauses that are written in another way for sqlparser, or left out.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some twenty kinds of token, each place knows a few"
)]

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::{Group, Rewriter, mark};
use crate::reason::Reason;
use crate::sql::class::pieces::Piece;
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
            "rows" if self.word(1) == "from" && self.is(2, Kind::Open) && self.in_from() => {
                self.at += 2;
                self.open();
                self.keyword(Keyword::SELECT, "select");
            }
            "tablesample" => {
                // The rows are chance (H11).
                self.refuse(Reason::Volatile);
                self.at += 1;
                self.cross_join("tablesample")?;
            }
            "repeatable" if self.is(1, Kind::Open) => self.cross_join("repeatable")?,
            "variadic" => self.variadic(),
            _ => return self.expression_form(word),
        }
        Ok(true)
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
            self.quoted("?", mark::NAME);
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

    /// `TABLE t` is `SELECT * FROM t`.
    fn table(&mut self) {
        self.keyword(Keyword::SELECT, "select");
        self.write(Token::Mul);
        self.keyword(Keyword::FROM, "from");
        self.at += 1;
    }

    /// Whether a table is expected: behind a comma, perhaps.
    fn in_from(&self) -> bool {
        matches!(
            self.word_before(1),
            "from" | "join" | "update" | "into" | "using" | "table" | "lateral"
        ) || self.is_before(Kind::Comma)
            || self.is_before(Kind::Open)
    }

    /// ONLY before a table is left out and remembered; behind FETCH it stays.
    fn only(&mut self) -> Result<(), Reason> {
        if matches!(self.word_before(1), "row" | "rows") {
            self.put_keyword();
            return Ok(());
        }
        let name = self.pieces.get(self.at + 1).is_some_and(Piece::is_name);
        if !self.in_from() || !(name || self.is(1, Kind::Open)) {
            return Err(Reason::ParseError);
        }
        self.at += 1;
        self.only = true;
        if name {
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
        let target = self.is(2, Kind::Open) || matches!(self.word(2), "on" | "do");
        if self.word(1) != "conflict" || !self.made.inserts || !target {
            self.put_keyword();
            return Ok(());
        }
        let mut ahead = 2;
        if (self.word(2), self.word(3)) == ("on", "constraint") {
            ahead = 5;
        }
        let mut depth = 0_usize;
        loop {
            match self.kind(ahead) {
                None => return Err(Reason::ParseError),
                Some(Kind::Open) => depth += 1,
                Some(Kind::Close) => depth = depth.saturating_sub(1),
                Some(_) if depth == 0 && self.word(ahead) == "do" => break,
                Some(_) => {}
            }
            // A join on a column of that name, and the clause itself further on.
            if matches!(
                self.word(ahead),
                "select" | "from" | "join" | "on" | "conflict"
            ) {
                return Err(Reason::ParseError);
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

    fn default(&mut self) {
        if self.word(1) == "values" {
            self.put_keyword();
        } else {
            self.value();
            self.at += 1;
        }
    }

    /// The name at hand and its parenthesis as a table that is joined, so that the arguments of
    /// TABLESAMPLE are walked as those of a call.
    fn cross_join(&mut self, name: &str) -> Result<(), Reason> {
        self.keyword(Keyword::CROSS, "cross");
        self.keyword(Keyword::JOIN, "join");
        let start = self.at;
        self.take_qualified()?;
        if !self.is(0, Kind::Open) {
            return Err(Reason::ParseError);
        }
        let end = std::mem::replace(&mut self.at, start);
        self.quoted(name, mark::FORM);
        self.at = end;
        Ok(())
    }
}
