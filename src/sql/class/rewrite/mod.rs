//! From pieces to tokens that sqlparser understands.
//!
//! sqlparser is handed no text but tokens, so it cannot read a quote or comment differently from
//! us. Only words that PostgreSQL's grammar takes for keywords in their place are keywords; all
//! other names are quoted, so that no other dialect's syntax is ever found in them. Literals become
//! the number 1. Operators are noted here and become one of three; their binding does not matter to
//! what a text names. What sqlparser cannot read and what names nothing is left out; what it cannot
//! read and what does name something is written in another way ([`forms`], [`values`]).
//!
//! Each token carries the place of its piece, so that the walk can tell which names it has met.

mod forms;
mod values;
mod words;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Word};

use super::pieces::Piece;
use super::typename::{self, Family, TypeName};
use super::{Found, QName};
use crate::reason::Reason;
use crate::sql::lexer::Kind;

/// What a name is. Told by the column of its token's place, as its line tells the piece.
pub(super) mod mark {
    /// A name.
    pub(in crate::sql::class) const NAME: u64 = 1;
    /// A relation behind ONLY.
    pub(in crate::sql::class) const ONLY: u64 = 2;
    /// Looks like a call but is none: COALESCE, ROW.
    pub(in crate::sql::class) const FORM: u64 = 3;
    /// A function whose arguments cannot be counted.
    pub(in crate::sql::class) const VARIADIC: u64 = 4;
    /// The type of a cast: `moment`, `plain` or `unknown`.
    pub(in crate::sql::class) const TYPE: u64 = 5;
}

/// A statement for sqlparser, and what its words already told.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is found out on its own, on the way"
)]
pub(super) struct Rewritten {
    pub(super) tokens: Vec<TokenWithSpan>,
    /// The places of names that the tree must hold.
    pub(super) names: Vec<usize>,
    /// How many INSERT, UPDATE, DELETE and MERGE the tree must hold.
    pub(super) changes: usize,
    /// An INSERT is among them.
    inserts: bool,
    /// FOR UPDATE and its kin.
    pub(super) locks: bool,
    /// Why it is not cached even if it only reads.
    pub(super) refused: Option<Reason>,
    /// SELECT INTO.
    pub(super) defines: bool,
}

/// What a parenthesis is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Plain,
    /// `CAST(`: AS stands before a type.
    Cast,
    /// A function whose arguments words separate.
    Worded,
    /// `POSITION(`: so does IN.
    Position,
}

#[derive(Debug)]
struct Frame {
    group: Group,
    /// The token that is the called function's name.
    call: Option<usize>,
}

/// A reader of pieces and writer of tokens.
#[derive(Debug)]
struct Rewriter<'a> {
    pieces: &'a [Piece],
    at: usize,
    frames: Vec<Frame>,
    /// What the next parenthesis is part of.
    next_group: Group,
    /// The token that is called if a parenthesis follows.
    call: Option<usize>,
    /// Whether the last token ends a value: the next operator is infix.
    operand: bool,
    /// ONLY stands before the next name.
    only: bool,
    found: &'a mut Found,
    made: Rewritten,
}

/// The tokens of one query or data-modifying statement.
pub(super) fn rewrite(pieces: &[Piece], found: &mut Found) -> Result<Rewritten, Reason> {
    let mut rewriter = Rewriter {
        pieces,
        at: 0,
        frames: Vec::new(),
        next_group: Group::Plain,
        call: None,
        operand: false,
        only: false,
        found,
        made: Rewritten::default(),
    };
    while let Some(piece) = pieces.get(rewriter.at) {
        rewriter.piece(piece)?;
        if rewriter.made.defines {
            break;
        }
    }
    Ok(rewriter.made)
}

impl<'a> Rewriter<'a> {
    /// The unquoted word `ahead` pieces from here, or nothing.
    fn word(&self, ahead: usize) -> &'a str {
        self.pieces.get(self.at + ahead).map_or("", Piece::word)
    }

    fn kind(&self, ahead: usize) -> Option<Kind> {
        self.pieces.get(self.at + ahead).map(|piece| piece.kind)
    }

    fn is(&self, ahead: usize, kind: Kind) -> bool {
        self.kind(ahead) == Some(kind)
    }

    /// The piece `back` pieces before this one.
    fn before(&self, back: usize) -> Option<&'a Piece> {
        self.pieces.get(self.at.checked_sub(back)?)
    }

    fn word_before(&self, back: usize) -> &'a str {
        self.before(back).map_or("", Piece::word)
    }

    fn is_before(&self, kind: Kind) -> bool {
        self.before(1).is_some_and(|piece| piece.kind == kind)
    }

    fn group(&self) -> Group {
        self.frames.last().map_or(Group::Plain, |frame| frame.group)
    }

    fn refuse(&mut self, reason: Reason) {
        self.made.refused.get_or_insert(reason);
    }

    /// Writes a token for the piece at hand and goes on to the next.
    fn put(&mut self, token: Token) {
        self.write(token);
        self.at += 1;
    }

    /// Writes a token and stays.
    fn write(&mut self, token: Token) {
        self.mark(token, mark::NAME);
    }

    fn mark(&mut self, token: Token, column: u64) {
        let line = u64::try_from(self.at).unwrap_or(u64::MAX).saturating_add(1);
        let place = Location { line, column };
        let span = Span::new(place, place);
        self.made.tokens.push(TokenWithSpan { token, span });
    }

    fn keyword(&mut self, keyword: Keyword, value: &str) {
        self.write(Token::Word(Word {
            value: value.to_owned(),
            quote_style: None,
            keyword,
        }));
        self.operand = false;
    }

    /// The word at hand, as the keyword of that name.
    fn put_keyword(&mut self) {
        let word = self.word(0);
        self.write(Token::make_word(word, None));
        self.at += 1;
        self.operand = false;
    }

    fn quoted(&mut self, value: &str, mark: u64) {
        let word = Token::Word(Word {
            value: value.to_owned(),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        });
        self.mark(word, mark);
        self.operand = true;
    }

    /// A value that names nothing.
    fn value(&mut self) {
        self.write(Token::Number("1".to_owned(), false));
        self.operand = true;
    }

    /// A name that the tree must hold, in place of the piece at hand.
    fn put_name(&mut self, value: &str, mark: u64) {
        self.made.names.push(self.at);
        self.quoted(value, mark);
        self.call = Some(self.made.tokens.len().saturating_sub(1));
        self.at += 1;
    }

    fn piece(&mut self, piece: &'a Piece) -> Result<(), Reason> {
        match piece.kind {
            Kind::Word | Kind::Quoted => return self.name(piece),
            Kind::Text
            | Kind::TextEscape
            | Kind::TextUnicode
            | Kind::TextDollar
            | Kind::Bits
            | Kind::Number => {
                self.value();
                self.at += 1;
                let escape = self.pieces.get(self.at + 1).is_some_and(Piece::is_literal);
                if piece.kind == Kind::TextUnicode && self.word(0) == "uescape" && escape {
                    self.at += 2;
                }
            }
            Kind::Param => {
                self.put(Token::Placeholder("$1".to_owned()));
                self.operand = true;
            }
            Kind::Operator => self.operator(&piece.name),
            Kind::Typecast => self.typecast()?,
            Kind::Assign => {
                self.put(Token::RArrow);
                self.operand = false;
            }
            Kind::Dot => {
                self.put(Token::Period);
                self.operand = false;
            }
            Kind::Comma => {
                self.put(Token::Comma);
                self.operand = false;
            }
            Kind::Open => self.open(),
            Kind::Close => {
                self.frames.pop();
                self.put(Token::RParen);
                self.operand = true;
            }
            Kind::Other => self.bracket(&piece.name)?,
            Kind::QuotedUnicode | Kind::DotDot | Kind::Semicolon | Kind::Unterminated => {
                return Err(Reason::ParseError);
            }
        }
        Ok(())
    }

    fn open(&mut self) {
        let called = self.call.filter(|&call| call + 1 == self.made.tokens.len());
        self.frames.push(Frame {
            group: std::mem::replace(&mut self.next_group, Group::Plain),
            call: called,
        });
        self.put(Token::LParen);
        self.operand = false;
    }

    fn bracket(&mut self, symbol: &str) -> Result<(), Reason> {
        if symbol == "[" && self.operand && self.plain_subscript() {
            return Ok(());
        }
        let token = match symbol {
            "[" => Token::LBracket,
            "]" => Token::RBracket,
            ":" => Token::Colon,
            _ => return Err(Reason::ParseError),
        };
        self.operand = symbol == "]";
        self.put(token);
        Ok(())
    }

    /// `[1]` names nothing and is passed over; sqlparser does not know it in SET.
    fn plain_subscript(&mut self) -> bool {
        let plain = |piece: &&Piece| {
            piece.is_literal()
                || matches!(piece.kind, Kind::Number | Kind::Param)
                || piece.name == ":"
        };
        let rest = self.pieces.get(self.at + 1..).unwrap_or_default();
        let length = rest.iter().take_while(plain).count();
        let closed = rest.get(length).is_some_and(|piece| piece.name == "]");
        if closed {
            self.at += length + 2;
        }
        closed
    }

    /// A name, or a word with a meaning.
    fn name(&mut self, piece: &'a Piece) -> Result<(), Reason> {
        let label = self.is_before(Kind::Dot) || self.word_before(1) == "as";
        if !label && piece.kind == Kind::Word && self.keyword_or_form(piece.word())? {
            return Ok(());
        }
        if self.definition_list(0)? || (!label && self.typed_literal()) {
            return Ok(());
        }
        let mark = if std::mem::take(&mut self.only) {
            mark::ONLY
        } else {
            mark::NAME
        };
        // ONLY is said of the last part of a name, which the walk looks at.
        self.only = mark == mark::ONLY && self.is(1, Kind::Dot);
        if self.is_before(Kind::Dot)
            && self
                .made
                .tokens
                .last()
                .is_none_or(|t| t.token != Token::Period)
        {
            return Err(Reason::ParseError);
        }
        if self.only {
            // The dot and the next part follow.
            self.put_name(&piece.name, mark::NAME);
        } else {
            self.put_name(&piece.name, mark);
        }
        Ok(())
    }

    /// `date '2020-01-01'`: the literal stays, the type is noted.
    fn typed_literal(&mut self) -> bool {
        if self.operand {
            return false;
        }
        let Some(name) = typename::read(self.pieces, self.at) else {
            return false;
        };
        if name.array || !self.pieces.get(name.end).is_some_and(Piece::is_literal) {
            return false;
        }
        self.at = name.end;
        self.value();
        self.at += 1;
        if &*name.name.name == "interval" {
            self.at = typename::interval_fields(self.pieces, self.at);
        }
        self.found.types.insert(name.name);
        true
    }

    /// Notes the type at hand and passes over it.
    fn take_type(&mut self) -> Result<TypeName, Reason> {
        let name = typename::read(self.pieces, self.at).ok_or(Reason::ParseError)?;
        self.at = name.end;
        self.found.types.insert(name.name.clone());
        Ok(name)
    }

    /// The type of a cast; the walk learns only whether it may be a moment.
    fn cast_type(&mut self) -> Result<(), Reason> {
        let name = self.take_type()?;
        let family = match typename::family(&name.name) {
            Family::Moment => "moment",
            Family::Plain => "plain",
            Family::Unknown => "unknown",
        };
        self.quoted(family, mark::TYPE);
        Ok(())
    }

    fn typecast(&mut self) -> Result<(), Reason> {
        self.put(Token::DoubleColon);
        self.cast_type()
    }

    fn operator(&mut self, symbol: &str) {
        if symbol == "*" && !self.operand {
            self.star();
            return;
        }
        if symbol == "=>" {
            self.put(Token::RArrow);
            self.operand = false;
            return;
        }
        // The server's lexer makes them one.
        let symbol = if symbol == "!=" { "<>" } else { symbol };
        self.found.operator(symbol);
        self.at += 1;
        self.operation(symbol);
    }

    /// `*` that is no multiplication.
    fn star(&mut self) {
        let tokens = &mut self.made.tokens;
        let row = matches!(tokens.as_slice(), [.., before, last]
            if last.token == Token::Period
                && matches!(before.token, Token::RParen | Token::RBracket));
        if row {
            // `(f(x)).*`
            tokens.pop();
            self.at += 1;
        } else {
            self.put(Token::Mul);
        }
        self.operand = true;
    }

    /// An operator that has been noted and passed: three infix ones tell apart what the tree must
    /// know, prefix ones are left out.
    fn operation(&mut self, symbol: &str) {
        if !self.operand {
            return;
        }
        let quantified = matches!(self.word(0), "any" | "some" | "all") && self.is(1, Kind::Open);
        let token = match symbol {
            _ if quantified => Token::Eq,
            "=" | "<" | ">" | "<=" | ">=" | "<>" => Token::Eq,
            "+" | "-" | "*" | "/" | "%" | "^" => Token::Plus,
            // May make a text that neither side holds.
            _ => Token::StringConcat,
        };
        self.write(token);
        self.operand = false;
    }

    /// A call that the syntax makes without naming it.
    fn calls(&mut self, function: &str, arguments: Option<u16>) {
        self.found.call(function, arguments);
    }

    /// A name with dots, passed over.
    fn take_qualified(&mut self) -> Result<QName, Reason> {
        let mut schema = None;
        loop {
            let piece = self.pieces.get(self.at).filter(|piece| piece.is_name());
            let piece = piece.ok_or(Reason::ParseError)?;
            if schema.is_none() && words::ends_a_label(piece.word()) {
                return Err(Reason::ParseError);
            }
            let name: Box<str> = piece.name.as_str().into();
            self.at += 1;
            if !self.is(0, Kind::Dot) {
                return Ok(QName { schema, name });
            }
            schema = Some(name);
            self.at += 1;
        }
    }
}
