//! SET, RESET and `SELECT set_config(...)`: the settings that a client takes with it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of some two hundred keywords and kinds of token, each place knows a few"
)]

use super::cursor::{Cursor, NAME_MAX, Tok};
use super::effect::{Effect, SessionState, Value};
use super::lexer::Kind;
use super::words::Word;

/// What SET could not be read as: the session then keeps its upstream.
const NOT_UNDERSTOOD: Effect = Effect::Pin(SessionState::Setting);

/// The effects of the SET statement behind its first word; the rest of it is taken.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Vec<Effect> {
    let local = cursor.eat(Word::Local);
    if !local {
        let mut ahead = cursor.clone();
        if ahead.eat(Word::Session)
            && !matches!(
                ahead.peek().word,
                Word::Authorization | Word::Characteristics
            )
        {
            *cursor = ahead;
        }
    }
    // These hold up to the transaction's end, whatever is said before them.
    if matches!(
        cursor.peek().word,
        Word::Transaction | Word::Constraints | Word::Catalog
    ) {
        skip(cursor);
        return Vec::new();
    }
    let effects = assignment(cursor).unwrap_or_else(|| vec![NOT_UNDERSTOOD]);
    skip(cursor);
    if !local || effects.is_empty() {
        return effects;
    }
    let name = effects.into_iter().find_map(|effect| {
        if let Effect::Set { name, .. } | Effect::Reset(name) = effect {
            Some(name)
        } else {
            None
        }
    });
    vec![Effect::SetLocal(name)]
}

/// The effects of the RESET statement behind its first word; the rest of it is taken.
pub(super) fn reset(cursor: &mut Cursor<'_>) -> Vec<Effect> {
    let effect = if cursor.eat(Word::All) {
        Some(Effect::ResetAll)
    } else if cursor.eat(Word::Session) {
        Some(Effect::Reset("session_authorization".into()))
    } else if cursor.eat(Word::Time) {
        Some(Effect::Reset("timezone".into()))
    } else if cursor.eat(Word::Transaction) {
        skip(cursor);
        return Vec::new();
    } else {
        name(cursor).map(Effect::Reset)
    };
    skip(cursor);
    match effect {
        Some(Effect::Reset(name)) if ends_with_transaction(&name) => Vec::new(),
        other => vec![other.unwrap_or(NOT_UNDERSTOOD)],
    }
}

/// Takes the rest of the statement.
fn skip(cursor: &mut Cursor<'_>) {
    while !cursor.at_end() {
        cursor.advance();
    }
}

/// What follows `SET [SESSION | LOCAL]` (`set_rest` of gram.y). `None` if it is not understood.
fn assignment(cursor: &mut Cursor<'_>) -> Option<Vec<Effect>> {
    let tail = cursor.peek().start;
    let mut ahead = cursor.clone();
    let first = ahead.advance().word;
    let special = match (first, ahead.peek().word) {
        (Word::Time, Word::Zone) => {
            ahead.advance();
            Some("timezone")
        }
        (Word::Session, Word::Authorization) => {
            ahead.advance();
            Some("session_authorization")
        }
        (Word::Session, Word::Characteristics) => return characteristics(cursor),
        (Word::Xml, Word::Option) => {
            ahead.advance();
            Some("xmloption")
        }
        (Word::Names | Word::Schema | Word::Role, Word::To) => None,
        _ if ahead.clone().eat_operator(b"=") => None,
        (Word::Names, _) => Some("client_encoding"),
        (Word::Schema, _) => Some("search_path"),
        (Word::Role, _) => Some("role"),
        _ => None,
    };
    let name: Box<str> = if let Some(name) = special {
        *cursor = ahead;
        // `SET TIME ZONE LOCAL` and a bare `SET NAMES` are spellings of DEFAULT.
        let nothing = cursor.at_end() && name == "client_encoding";
        if nothing || cursor.eat(Word::Default) || name == "timezone" && cursor.eat(Word::Local) {
            return cursor.at_end().then(|| vec![Effect::Reset(name.into())]);
        }
        name.into()
    } else {
        let name = name(cursor)?;
        if !cursor.eat(Word::To) && !cursor.eat_operator(b"=") {
            return None;
        }
        if cursor.eat(Word::Default) {
            let effect = Effect::Reset(name);
            return cursor.at_end().then(|| vec![effect]);
        }
        name
    };
    let first_value = cursor.peek();
    if cursor.at_end() {
        return None;
    }
    let sql = replay(cursor, tail)?;
    Some(match &*name {
        // The same as setseed().
        "seed" => vec![Effect::Pin(SessionState::Seed)],
        name if ends_with_transaction(name) => Vec::new(),
        "search_path" if names_temp(cursor, first_value) => {
            let pin = Effect::Pin(SessionState::TempTable);
            vec![Effect::Set { name, sql }, pin]
        }
        _ => vec![Effect::Set { name, sql }],
    })
}

/// Settings that each transaction starts anew.
fn ends_with_transaction(name: &str) -> bool {
    matches!(
        name,
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable"
    )
}

/// Whether the first schema of a search path is that of the temporary objects: then a plain CREATE
/// makes temporary ones.
fn names_temp(cursor: &Cursor<'_>, value: Tok) -> bool {
    let text = cursor.slice(value);
    let start = text
        .iter()
        .position(|byte| !matches!(byte, b'\'' | b'"' | b' '))
        .unwrap_or(0);
    starts_temp(text.get(start..).unwrap_or_default())
}

/// Whether a search path starts with `pg_temp` or `pg_temp_3`.
pub(super) fn starts_temp(path: &[u8]) -> bool {
    let path = path.trim_ascii_start();
    let path = path.strip_prefix(b"\"").unwrap_or(path);
    path.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"pg_temp"))
}

/// A setting's name, in lower case: settings are found without regard to case, even when quoted.
/// The two old spellings that PostgreSQL still takes are brought to the new one.
fn name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let mut name = Vec::new();
    loop {
        let mut buffer = [0; NAME_MAX];
        let part = cursor.name(cursor.peek(), &mut buffer)?;
        name.extend_from_slice(part);
        cursor.advance();
        if !cursor.eat_kind(Kind::Dot) {
            break;
        }
        name.push(b'.');
    }
    canonical(&name)
}

/// The spelling of a setting's name that tells it from all others.
fn canonical(name: &[u8]) -> Option<Box<str>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
    if name.is_empty() || !name.iter().all(plain) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    Some(match name.as_str() {
        "sort_mem" => "work_mem".into(),
        "vacuum_mem" => "maintenance_work_mem".into(),
        _ => name.into_boxed_str(),
    })
}

/// Takes the rest of the statement and makes `SET ` and all from `tail` on into a statement that
/// means the same under any `standard_conforming_strings`.
fn replay(cursor: &mut Cursor<'_>, tail: usize) -> Option<Box<[u8]>> {
    let mut sql = b"SET ".to_vec();
    let mut copied = tail;
    let escapes = cursor.backslash_escapes();
    while !cursor.at_end() {
        let token = cursor.advance();
        match token.kind {
            Some(Kind::Text) if cursor.slice(token).contains(&b'\\') => {
                let text = cursor.slice(token);
                // N'...' is too rare to be worth a rule.
                if !text.starts_with(b"'") {
                    return None;
                }
                sql.extend_from_slice(cursor.between(copied, token.start));
                sql.extend_from_slice(b" E");
                for &byte in text {
                    if byte == b'\\' && !escapes {
                        sql.push(b'\\');
                    }
                    sql.push(byte);
                }
                copied = token.end;
            }
            Some(Kind::TextUnicode | Kind::QuotedUnicode | Kind::Unterminated) => return None,
            _ => {}
        }
    }
    // Up to the last token: a comment behind it could swallow what is sent behind this.
    sql.extend_from_slice(cursor.between(copied, cursor.last_end()));
    Some(sql.into_boxed_slice())
}

/// `SESSION CHARACTERISTICS AS TRANSACTION modes`: three settings in other words.
fn characteristics(cursor: &mut Cursor<'_>) -> Option<Vec<Effect>> {
    cursor.advance();
    cursor.advance();
    if !cursor.eat(Word::As) || !cursor.eat(Word::Transaction) || cursor.at_end() {
        return None;
    }
    let mut effects = Vec::new();
    // A mode given twice takes its last value; a handful is all there is.
    while !cursor.at_end() && effects.len() < 8 {
        cursor.eat_kind(Kind::Comma);
        let first = cursor.advance().word;
        let second = cursor.peek().word;
        let (name, value) = match (first, second) {
            (Word::Isolation, Word::Level) => {
                cursor.advance();
                let value = match (cursor.advance().word, cursor.peek().word) {
                    (Word::Serializable, _) => "serializable",
                    (Word::Repeatable, Word::Read) => "repeatable read",
                    (Word::Read, Word::Other) => {
                        match cursor.slice(cursor.peek()).to_ascii_lowercase().as_slice() {
                            b"committed" => "read committed",
                            b"uncommitted" => "read uncommitted",
                            _ => return None,
                        }
                    }
                    _ => return None,
                };
                if value.contains(' ') {
                    cursor.advance();
                }
                ("default_transaction_isolation", value)
            }
            (Word::Read, Word::Only | Word::Write) => {
                cursor.advance();
                let value = if second == Word::Only { "on" } else { "off" };
                ("default_transaction_read_only", value)
            }
            (Word::Deferrable, _) => ("default_transaction_deferrable", "on"),
            (Word::Not, Word::Deferrable) => {
                cursor.advance();
                ("default_transaction_deferrable", "off")
            }
            _ => return None,
        };
        effects.push(Effect::Set {
            name: name.into(),
            sql: format!("SET {name} TO '{value}'").into_bytes().into(),
        });
    }
    cursor.at_end().then_some(effects)
}

/// Reads `set_config(...)[, ...]` up to the statement's end, behind SELECT. `None`, with the cursor
/// anywhere, if the statement is more than that.
pub(super) fn set_configs(cursor: &mut Cursor<'_>) -> Option<Vec<Effect>> {
    let mut effects = Vec::new();
    loop {
        if cursor.eat(Word::PgCatalog) && !cursor.eat_kind(Kind::Dot) {
            return None;
        }
        if !cursor.eat(Word::SetConfig) || !cursor.eat_kind(Kind::Open) {
            return None;
        }
        let name = match argument(cursor)? {
            Value::Text(name) => Value::Text(
                canonical(&name)?
                    .into_string()
                    .into_bytes()
                    .into_boxed_slice(),
            ),
            Value::Param(number) => Value::Param(number),
        };
        if !cursor.eat_kind(Kind::Comma) {
            return None;
        }
        let value = argument(cursor)?;
        if !cursor.eat_kind(Kind::Comma) {
            return None;
        }
        let local = boolean(cursor)?;
        if !cursor.eat_kind(Kind::Close) {
            return None;
        }
        let pins = set_config_pins(&name, &value);
        effects.push(Effect::SetConfig { name, value, local });
        effects.extend(pins);
        if cursor.eat(Word::As) {
            if !cursor.peek().is_name() {
                return None;
            }
            cursor.advance();
        }
        if cursor.at_end() {
            return Some(effects);
        }
        if !cursor.eat_kind(Kind::Comma) {
            return None;
        }
    }
}

/// The value in a SET statement as an effect has it, if it is one word, number or literal.
pub fn value(sql: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(sql, true);
    if !cursor.eat(Word::Set) {
        return None;
    }
    name(&mut cursor)?;
    if !cursor.eat(Word::To) && !cursor.eat_operator(b"=") {
        return None;
    }
    let token = cursor.advance();
    let value = match token.kind? {
        Kind::Word | Kind::Number => cursor.slice(token).to_vec(),
        Kind::Quoted => {
            let mut buffer = [0; NAME_MAX];
            cursor.name(token, &mut buffer)?.to_vec()
        }
        _ => cursor.literal(token)?,
    };
    cursor.at_end().then_some(value)
}

/// What else a `set_config` does than to set.
fn set_config_pins(name: &Value, value: &Value) -> Option<Effect> {
    let (Value::Text(name), Value::Text(value)) = (name, value) else {
        return None;
    };
    match &**name {
        b"seed" => Some(Effect::Pin(SessionState::Seed)),
        b"search_path" if starts_temp(value) => Some(Effect::Pin(SessionState::TempTable)),
        _ => None,
    }
}

/// A text or parameter, with or without a cast to text.
fn argument(cursor: &mut Cursor<'_>) -> Option<Value> {
    let token = cursor.advance();
    let value = if token.is(Kind::Param) {
        let digits = cursor.slice(token).get(1..)?;
        Value::Param(std::str::from_utf8(digits).ok()?.parse().ok()?)
    } else {
        Value::Text(cursor.literal(token)?.into_boxed_slice())
    };
    if cursor.eat_kind(Kind::Typecast) && !cursor.eat(Word::Text) && !cursor.eat(Word::Varchar) {
        return None;
    }
    Some(value)
}

/// A truth value, in the spellings of `boolin`.
fn boolean(cursor: &mut Cursor<'_>) -> Option<bool> {
    let token = cursor.advance();
    match token.word {
        Word::True => return Some(true),
        Word::False => return Some(false),
        _ => {}
    }
    let value = cursor.literal(token)?.to_ascii_lowercase();
    match value.trim_ascii() {
        b"true" | b"t" | b"on" | b"yes" | b"1" => Some(true),
        b"false" | b"f" | b"off" | b"no" | b"0" => Some(false),
        _ => None,
    }
}

/// How far a `set_config` is read for its third argument. Nested ones would otherwise be read
/// again and again.
const LOOKAHEAD_MAX: usize = 64;

/// Whether the arguments that open here (at the parenthesis) end in the literal true.
pub(super) fn is_local(cursor: &Cursor<'_>) -> bool {
    let mut cursor = cursor.clone();
    let mut depth = 0_usize;
    let mut commas = 0;
    for _ in 0..LOOKAHEAD_MAX {
        match cursor.advance().kind {
            Some(Kind::Open) => depth += 1,
            Some(Kind::Close) if depth <= 1 => return false,
            Some(Kind::Close) => depth -= 1,
            Some(Kind::Comma) if depth == 1 => commas += 1,
            Some(Kind::Other) => return false,
            None => return false,
            Some(_) => {}
        }
        if depth == 1 && commas == 2 {
            return boolean(&mut cursor) == Some(true) && cursor.peek().is(Kind::Close);
        }
    }
    false
}
