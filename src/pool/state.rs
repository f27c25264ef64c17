//! What is known of an upstream's session: its settings, and the values it reports.
//!
//! A client's settings follow it from upstream to upstream as the difference between two vectors:
//! the client's and what the upstream last ran under (H89 to H92).

use std::sync::{Arc, LazyLock};

use super::upstream::Parameter;

/// How a setting is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A complete `SET` statement, as the client wrote it.
    Sql(Box<[u8]>),
    /// The value itself (a start-up parameter, `set_config`), unquoted.
    Value(Box<[u8]>),
}

impl Setting {
    /// How long its text is.
    fn bytes(&self) -> usize {
        let (Self::Sql(text) | Self::Value(text)) = self;
        text.len()
    }
}

/// The settings that differ from the upstream user's defaults, sorted by lower-case name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings(Vec<(Box<str>, Setting)>);

/// The setting of which a value may say only a part, so that the other stays: style and order of dates.
pub const IN_PARTS: &str = "datestyle";

/// Names that change who is asking. They are left first and entered last, because under another
/// role the others may not be settable.
const IDENTITY: [&str; 2] = ["session_authorization", "role"];

static DEFAULTS: LazyLock<Arc<Settings>> = LazyLock::new(Arc::default);

impl Settings {
    /// The vector of a fresh upstream; shared, so that equal means same in the usual case.
    pub fn defaults() -> Arc<Self> {
        Arc::clone(&DEFAULTS)
    }

    /// Whether nothing differs from the defaults.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The setting of this name.
    pub fn find(&self, name: &str) -> Option<&Setting> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, setting)| setting)
    }

    /// The same, by a name as it stands in a message.
    pub fn find_bytes(&self, name: &[u8]) -> Option<&Setting> {
        self.find(std::str::from_utf8(name).ok()?)
    }

    /// Each name with its setting, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0
            .iter()
            .map(|(name, setting)| (name.as_ref(), setting))
    }

    /// Sets `name`. A new session authorization drops the role, as in Postgres.
    pub fn set(&mut self, name: &str, setting: Setting) {
        if name == "session_authorization" {
            self.remove("role");
        }
        match self.position(name) {
            Ok(at) => {
                if let Some(slot) = self.0.get_mut(at) {
                    slot.1 = setting;
                }
            }
            Err(at) => self.0.insert(at, (name.into(), setting)),
        }
    }

    /// How long they would be together, names and texts, with `name` set to this.
    pub fn bytes_with(&self, name: &str, setting: &Setting) -> usize {
        let others = self.iter().filter(|(other, _)| *other != name);
        let others = others.map(|(name, setting)| name.len() + setting.bytes());
        others.sum::<usize>() + name.len() + setting.bytes()
    }

    /// Back to the default.
    pub fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            self.0.remove(at);
        }
        if name == "session_authorization" {
            self.remove("role");
        }
    }

    /// `RESET ALL`: everything but who is asking.
    pub fn reset_all(&mut self) {
        self.0.retain(|(name, _)| IDENTITY.contains(&name.as_ref()));
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(candidate, _)| candidate.as_ref().cmp(name))
    }

    /// The statements that bring a session from `self` to `to`, each ended by `;`; empty when there
    /// is nothing to do.
    pub fn difference(&self, to: &Self) -> Vec<u8> {
        let mut sql = Vec::new();
        if self == to {
            return sql;
        }
        if self.find("session_authorization").is_some() {
            sql.extend_from_slice(b"RESET SESSION AUTHORIZATION;");
        } else if self.find("role").is_some() {
            sql.extend_from_slice(b"RESET ROLE;");
        }
        // First the encoding, because the others' text is written in it.
        if let Some(setting) = changed(self, to, "client_encoding") {
            make(&mut sql, "client_encoding", setting);
        }
        for (name, _) in self.iter() {
            if !IDENTITY.contains(&name) && to.find(name).is_none() {
                sql.extend_from_slice(b"RESET ");
                push_name(&mut sql, name);
                sql.push(b';');
            }
        }
        for (name, _) in to.iter() {
            if !IDENTITY.contains(&name)
                && name != "client_encoding"
                && let Some(setting) = changed(self, to, name)
            {
                if name == IN_PARTS && self.find(name).is_some() {
                    sql.extend_from_slice(b"RESET datestyle;");
                }
                make(&mut sql, name, setting);
            }
        }
        for name in IDENTITY {
            if let Some(setting) = to.find(name) {
                make(&mut sql, name, setting);
            }
        }
        sql
    }
}

fn changed<'a>(from: &Settings, to: &'a Settings, name: &str) -> Option<&'a Setting> {
    let wanted = to.find(name)?;
    (from.find(name) != Some(wanted)).then_some(wanted)
}

fn make(sql: &mut Vec<u8>, name: &str, setting: &Setting) {
    match setting {
        Setting::Sql(text) => sql.extend_from_slice(text),
        Setting::Value(value) => {
            // Not SET: only set_config takes a list (search_path) as one text.
            sql.extend_from_slice(b"SELECT pg_catalog.set_config(");
            push_literal(sql, name.as_bytes());
            sql.push(b',');
            push_literal(sql, value);
            sql.extend_from_slice(b",false)");
        }
    }
    sql.push(b';');
}

/// A literal that means the same whatever `standard_conforming_strings` is.
fn push_literal(sql: &mut Vec<u8>, text: &[u8]) {
    if text.contains(&b'\\') {
        sql.push(b'E');
    }
    sql.push(b'\'');
    for &byte in text {
        if byte == b'\'' || byte == b'\\' {
            sql.push(byte);
        }
        sql.push(byte);
    }
    sql.push(b'\'');
}

/// A setting's name, quoted part by part: `my app.x` cannot be written bare.
fn push_name(sql: &mut Vec<u8>, name: &str) {
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            sql.push(b'.');
        }
        sql.push(b'"');
        sql.extend_from_slice(part.replace('"', "\"\"").as_bytes());
        sql.push(b'"');
    }
}

/// The values an upstream reports by ParameterStatus, in the order of its start-up.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reported {
    parameters: Vec<Parameter>,
    /// `standard_conforming_strings` is off: asked for with every query.
    escapes: bool,
}

impl Reported {
    /// From what the start-up reported.
    pub fn new(parameters: Vec<Parameter>) -> Self {
        let mut reported = Self {
            parameters,
            escapes: false,
        };
        reported.note_escapes();
        reported
    }

    fn note_escapes(&mut self) {
        self.escapes = self.find(b"standard_conforming_strings") == Some(b"off");
    }

    /// Each name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let parameters = self.parameters.iter();
        parameters.map(|(name, value)| (&**name, &**value))
    }

    /// The value of `name`, whatever the case of its letters.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.find_entry(name).map(|(_, value)| value)
    }

    /// The same, with the name as it is reported.
    pub fn find_entry(&self, name: &[u8]) -> Option<(&[u8], &[u8])> {
        self.iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
    }

    /// A ParameterStatus arrived.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        match self
            .parameters
            .iter_mut()
            .find(|(candidate, _)| &**candidate == name)
        {
            Some(slot) => slot.1 = value.into(),
            None => self.parameters.push((name.into(), value.into())),
        }
        self.note_escapes();
    }

    /// Whether string literals are read by the standard: backslashes are just backslashes.
    pub fn standard_conforming(&self) -> bool {
        !self.escapes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(list: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in list {
            settings.set(name, Setting::Value(value.as_bytes().into()));
        }
        settings
    }

    fn text(from: &Settings, to: &Settings) -> String {
        String::from_utf8(from.difference(to)).unwrap()
    }

    #[test]
    fn they_are_as_long_as_their_names_and_texts() {
        let a = settings(&[("timezone", "UTC"), ("app.x", "12")]);
        let three = Setting::Value(b"123".as_slice().into());
        assert_eq!(a.bytes_with("app.x", &three), 11 + 8);
        assert_eq!(a.bytes_with("app.y", &three), 11 + 7 + 8);
    }

    #[test]
    fn equal_vectors_need_nothing() {
        let a = settings(&[("timezone", "UTC")]);
        assert_eq!(text(&a, &a.clone()), "");
    }

    #[test]
    fn a_difference_sets_and_resets() {
        let from = settings(&[("timezone", "UTC"), ("app.tenant", "red")]);
        let mut to = settings(&[("timezone", "Asia/Tokyo")]);
        to.set(
            "work_mem",
            Setting::Sql(b"SET work_mem = '1MB'".as_slice().into()),
        );
        assert_eq!(
            text(&from, &to),
            "RESET \"app\".\"tenant\";\
             SELECT pg_catalog.set_config('timezone','Asia/Tokyo',false);\
             SET work_mem = '1MB';"
        );
    }

    #[test]
    fn a_role_is_left_first_and_entered_last() {
        let from = settings(&[("role", "a"), ("timezone", "UTC")]);
        let to = settings(&[("role", "b"), ("work_mem", "1MB")]);
        assert_eq!(
            text(&from, &to),
            "RESET ROLE;RESET \"timezone\";\
             SELECT pg_catalog.set_config('work_mem','1MB',false);\
             SELECT pg_catalog.set_config('role','b',false);"
        );
        // The same role, but something else to set: it may not be settable under the role.
        let to = settings(&[("role", "a"), ("timezone", "PST")]);
        assert!(text(&from, &to).ends_with("set_config('role','a',false);"));
    }

    #[test]
    fn literals_survive_any_string_setting() {
        let to = settings(&[("app.x", r"it's a \ b")]);
        assert_eq!(
            text(&Settings::default(), &to),
            r"SELECT pg_catalog.set_config('app.x',E'it''s a \\ b',false);"
        );
    }

    #[test]
    fn session_authorization_takes_the_role_with_it() {
        let mut a = settings(&[("role", "x")]);
        a.set(
            "session_authorization",
            Setting::Value(b"y".as_slice().into()),
        );
        assert_eq!(a.find("role"), None);
    }
}
