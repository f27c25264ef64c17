//! Expressions that are written in another way for sqlparser, or left out.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::{Group, Rewriter, mark};
use crate::reason::Reason;
use crate::sql::lexer::Kind;

impl Rewriter<'_> {
    /// Handles a word that begins a form inside an expression; `false` if it is a name.
    pub(super) fn expression_form(&mut self, word: &str) -> Result<bool, Reason> {
        match word {
            "like" => self.matches(&["~~", "!~~"]),
            "ilike" => self.matches(&["~~*", "!~~*"]),
            "similar" if self.worded() => self.separator(),
            "similar" if self.word(1) == "to" => {
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
    pub(super) fn separator(&mut self) {
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

    /// IS NULL and its kin are left out, IS DISTINCT FROM compares.
    pub(super) fn is_what(&mut self) -> Result<bool, Reason> {
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

    /// `OPERATOR(schema.+)`
    pub(super) fn operator_of_schema(&mut self) -> Result<(), Reason> {
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

    /// VARIADIC is left out, and the call remembers that its arguments cannot be counted.
    pub(super) fn variadic(&mut self) {
        self.at += 1;
        let call = self.frames.last().and_then(|frame| frame.call);
        if let Some(token) = call.and_then(|call| self.made.tokens.get_mut(call)) {
            token.span.start.column = mark::VARIADIC;
        }
    }
}
