//! `proxy.toml`: text to values with their lines, every key checked against the tables.

mod cache;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, did_you_mean};
use super::origin::{ConfigError, Origin};
use super::setting::Setting;
use super::table;
use super::value::Kind;
pub(super) use cache::Declared;

/// Far more than any configuration; a path to something else should not fill the memory.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A value as it stood in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Values by key.
pub(super) type Values = BTreeMap<&'static str, Found>;

/// One of `[[users]]`, `[databases.NAME]` or `[[cache.rules]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) values: Values,
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) values: Values,
    pub(super) users: Vec<Section>,
    pub(super) databases: Vec<Section>,
    pub(super) functions: Vec<Declared>,
    pub(super) triggers: Vec<Declared>,
    /// Named by their places, counted from 1.
    pub(super) rules: Vec<Section>,
}

/// The keys of `[[users]]` that are not fields of the user: who it is, and where its password is.
pub(super) const USER_NAME: &str = "name";
pub(super) const USER_PASSWORD_FILE: &str = "password_file";

/// What is not a plain value.
const LISTS: [&str; 5] = [
    "users",
    "databases",
    "cache.functions",
    "cache.triggers",
    "cache.rules",
];

impl File {
    /// Reads the file at `path`, which was named by `by`.
    pub(super) fn read(path: &Path, by: Origin) -> Result<Self, ConfigError> {
        let refused = |what: String| {
            let fault = Fault::new(
                format!("the configuration file {} {what}", path.display()),
                "name a TOML file that pgweir may read; proxy.toml.example shows what belongs in it",
            );
            ConfigError::new(by.clone(), "", fault)
        };
        let length = fs::metadata(path)
            .map_err(|error| refused(format!("cannot be read: {error}")))?
            .len();
        if length > BYTES_MAX {
            return Err(refused("is larger than 4 MiB".to_owned()));
        }
        let text = fs::read_to_string(path)
            .map_err(|error| refused(format!("cannot be read: {error}")))?;
        Self::parse(path, &text)
    }

    /// Takes the values out of `text`; `path` is for messages.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader { path, text };
        let document = DeTable::parse(text).map_err(|error| {
            // The error's own display would repeat the line, which may hold a password.
            let advice = match error.message() {
                "duplicate key" => {
                    "this heading or key stands further up already: add the lines there"
                }
                _ => "correct the line; proxy.toml.example shows the form",
            };
            let fault = Fault::new(format!("not valid TOML: {}", error.message()), advice);
            ConfigError::new(reader.origin(error.span().unwrap_or_default()), "", fault)
        })?;
        let mut file = Self::default();
        let mut known = Known::new(table::all().map(|setting| (setting.key, setting.kind)));
        // For the advice about misspelt ones; they are never walked.
        known.keys.extend(LISTS.map(|key| (key, Kind::List)));
        for (key, value) in document.get_ref() {
            match key.get_ref().as_ref() {
                "users" => file.users = reader.users(value)?,
                "databases" => file.databases = reader.databases(value)?,
                "cache" => reader.cache((key.span(), value), &known, &mut file)?,
                name => reader.walk(name, (key.span(), value), &known, &mut file.values)?,
            }
        }
        Ok(file)
    }
}

/// The keys that may stand in one place.
struct Known {
    keys: Vec<(&'static str, Kind)>,
    /// What comes in front of them, for messages.
    section: String,
}

impl Known {
    fn new(keys: impl Iterator<Item = (&'static str, Kind)>) -> Self {
        Self {
            keys: keys.collect(),
            section: String::new(),
        }
    }

    fn of<T>(settings: &[Setting<T>], section: &str) -> Self {
        let mut known = Self::new(settings.iter().map(|setting| (setting.key, setting.kind)));
        known.section = format!("{section}.");
        known
    }
}

/// The text and its name, to tell lines.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

type At<'a, 'i> = (Range<usize>, &'a Spanned<DeValue<'i>>);

impl Reader<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File {
            path: PathBuf::from(self.path),
            line,
        }
    }

    fn error(&self, span: Range<usize>, key: &str, what: &str, advice: &str) -> ConfigError {
        ConfigError::new(self.origin(span), key, Fault::new(what, advice))
    }

    /// Puts the value at the dotted key `name`, or all values below it, into `values`.
    fn walk(
        &self,
        name: &str,
        at: At<'_, '_>,
        known: &Known,
        values: &mut Values,
    ) -> Result<(), ConfigError> {
        let (span, value) = at;
        if let Some((key, kind)) = known.keys.iter().find(|(key, _)| *key == name) {
            let text = self.text_of(&format!("{}{key}", known.section), value, *kind)?;
            values.insert(
                key,
                Found {
                    text,
                    origin: self.origin(span),
                },
            );
            return Ok(());
        }
        let inside = |key: &str| {
            key.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if !known.keys.iter().any(|(key, _)| inside(key)) {
            return Err(self.unknown(name, (span, value), known));
        }
        let DeValue::Table(table) = value.get_ref() else {
            let advice = format!("write its keys below [{}{name}]", known.section);
            return Err(self.error(span, name, "a section, not a value", &advice));
        };
        for (key, value) in table {
            let name = format!("{name}.{}", key.get_ref());
            self.walk(&name, (key.span(), value), known, values)?;
        }
        Ok(())
    }

    fn unknown(&self, name: &str, (span, value): At<'_, '_>, known: &Known) -> ConfigError {
        // For a misspelt section its first key tells more than its name.
        let mut meant = name.to_owned();
        if let DeValue::Table(table) = value.get_ref()
            && let Some(key) = table.keys().next()
        {
            meant = format!("{name}.{}", key.get_ref());
        }
        let advice = did_you_mean(&meant, known.keys.iter().map(|(key, _)| *key));
        self.error(
            span,
            &format!("{}{name}", known.section),
            "unknown key",
            &advice,
        )
    }

    fn text_of(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        kind: Kind,
    ) -> Result<String, ConfigError> {
        let wrong = |what, advice| Err(self.error(value.span(), key, what, advice));
        match (kind, value.get_ref()) {
            (Kind::Text | Kind::List, DeValue::String(text)) => Ok(text.to_string()),
            (Kind::Count, DeValue::Integer(count)) if count.radix() == 10 => {
                Ok(count.as_str().to_owned())
            }
            (Kind::Truth, DeValue::Boolean(truth)) => Ok(truth.to_string()),
            (Kind::List, DeValue::Array(items)) => {
                let texts: Option<Vec<&str>> =
                    items.iter().map(|item| item.get_ref().as_str()).collect();
                texts.map_or_else(
                    || {
                        wrong(
                            "the list holds something else than texts",
                            r#"write it as ["...", "..."]"#,
                        )
                    },
                    |texts| Ok(texts.join(",")),
                )
            }
            (Kind::Text, _) => wrong("the value is not a text", "put it in quotes"),
            (Kind::Count, _) => wrong(
                "the value is not a whole number",
                "write digits without quotes",
            ),
            (Kind::Truth, _) => wrong(
                "the value is neither true nor false",
                "write true or false without quotes",
            ),
            (Kind::List, _) => wrong("the value is not a list", r#"write it as ["...", "..."]"#),
        }
    }

    fn users(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Section>, ConfigError> {
        let form = "write each user under its own [[users]], with a name";
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.error(value.span(), "users", "not a list of tables", form));
        };
        let mut known = Known::of(table::USER, "users");
        known
            .keys
            .extend([(USER_NAME, Kind::Text), (USER_PASSWORD_FILE, Kind::Text)]);
        let mut users: Vec<Section> = Vec::new();
        for item in items.iter() {
            let mut section = self.section(item, &known)?;
            let name = section.values.remove(USER_NAME).map(|found| found.text);
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                return Err(self.error(item.span(), "users.name", "a user without a name", form));
            };
            if users.iter().any(|other| other.name == name) {
                let what = format!("`{name}` is there twice");
                return Err(self.error(item.span(), "users.name", &what, "keep one of them"));
            }
            section.name = name;
            users.push(section);
        }
        Ok(users)
    }

    fn databases(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Section>, ConfigError> {
        let form = "write each database under its own [databases.NAME]";
        let DeValue::Table(databases) = value.get_ref() else {
            return Err(self.error(value.span(), "databases", "not a table", form));
        };
        let mut sections = Vec::new();
        for (key, value) in databases {
            let name: &str = key.get_ref();
            if name.is_empty() {
                return Err(self.error(key.span(), "databases", "a database without a name", form));
            }
            let known = Known::of(table::DATABASE, &format!("databases.{name}"));
            let mut section = self.section(value, &known)?;
            section.origin = self.origin(key.span());
            name.clone_into(&mut section.name);
            sections.push(section);
        }
        Ok(sections)
    }

    fn section(&self, value: &Spanned<DeValue<'_>>, known: &Known) -> Result<Section, ConfigError> {
        let DeValue::Table(table) = value.get_ref() else {
            let key = known.section.trim_end_matches('.');
            return Err(self.error(
                value.span(),
                key,
                "not a table",
                "write key = value below its heading",
            ));
        };
        let mut values = Values::new();
        for (key, value) in table {
            self.walk(key.get_ref(), (key.span(), value), known, &mut values)?;
        }
        Ok(Section {
            name: String::new(),
            origin: self.origin(value.span()),
            values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("p.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn dotted_keys_headings_and_inline_tables_are_the_same() {
        let dotted = parse("pool.size_max = 7\nlisten.tls.cert = \"/c\"\n").unwrap();
        let headed = parse("[pool]\nsize_max = 7\n[listen.tls]\ncert = \"/c\"\n").unwrap();
        let inline =
            parse("pool = { size_max = 7 }\nlisten = { tls = { cert = \"/c\" } }\n").unwrap();
        let texts = |file: &File| -> Vec<_> {
            file.values
                .iter()
                .map(|(key, found)| (*key, found.text.clone()))
                .collect()
        };
        assert_eq!(
            texts(&dotted),
            [
                ("listen.tls.cert", "/c".to_owned()),
                ("pool.size_max", "7".to_owned())
            ]
        );
        assert_eq!(texts(&headed), texts(&dotted));
        assert_eq!(texts(&inline), texts(&dotted));
        assert_eq!(
            headed.values["listen.tls.cert"].origin.to_string(),
            "file p.toml:4"
        );
    }

    #[test]
    fn users_and_databases() {
        let file = parse(
            "[[users]]\nname = \"a\"\npassword = \"x\"\nallow = [\"10.0.0.0/8\", \"::1\"]\n\n\
             [[users]]\nname = \"b\"\nclients_max = 3\n\n\
             [databases.shop]\ndbname = \"shop_v2\"\npool.size_max = 5\n[databases.\"odd.name\"]\n",
        )
        .unwrap();
        assert_eq!(file.users[0].name, "a");
        assert_eq!(file.users[0].values["allow"].text, "10.0.0.0/8,::1");
        assert_eq!(
            file.users[1].values["clients_max"].origin.to_string(),
            "file p.toml:8"
        );
        let names: Vec<&str> = file
            .databases
            .iter()
            .map(|section| section.name.as_str())
            .collect();
        assert_eq!(names, ["odd.name", "shop"]);
        assert_eq!(file.databases[1].values["pool.size_max"].text, "5");
    }

    #[test]
    fn errors_name_the_line_and_the_nearest_key() {
        for (text, wanted) in [
            (
                "\n[pool]\nsize = 1\n",
                "file p.toml:3: pool.size: unknown key; did you mean `pool.size_max`?",
            ),
            (
                "[pol]\nmode = \"x\"\n",
                "file p.toml:1: pol: unknown key; did you mean `pool.mode`?",
            ),
            (
                "[pool]\nsize_max = 1\n[log]\n[pool]\n",
                "file p.toml:4: not valid TOML: duplicate key; this heading or key stands further up already: add the lines there",
            ),
            (
                "log_level = \"x\"",
                "file p.toml:1: log_level: unknown key; did you mean `log.level`?",
            ),
            (
                "[[user]]\n",
                "file p.toml:1: user: unknown key; did you mean `users`?",
            ),
            (
                "[pool.mode]\nx = 1",
                "file p.toml:1: pool.mode: the value is not a text; put it in quotes",
            ),
            (
                "pool = 1",
                "file p.toml:1: pool: a section, not a value; write its keys below [pool]",
            ),
            (
                "[pool]\nmode = 1",
                "file p.toml:2: pool.mode: the value is not a text; put it in quotes",
            ),
            (
                "[pool]\nsize_max = \"1\"",
                "file p.toml:2: pool.size_max: the value is not a whole number; write digits without quotes",
            ),
            (
                "auth.allow = [1]",
                "file p.toml:1: auth.allow: the list holds something else than texts; write it as [\"...\", \"...\"]",
            ),
            (
                "[[users]]\npassword = \"x\"",
                "file p.toml:1: users.name: a user without a name; write each user under its own [[users]], with a name",
            ),
            (
                "[[users]]\nname = \"a\"\n[[users]]\nname = \"a\"",
                "file p.toml:3: users.name: `a` is there twice; keep one of them",
            ),
            (
                "[[users]]\nname = \"a\"\npasword = \"x\"",
                "file p.toml:3: users.pasword: unknown key; did you mean `password`?",
            ),
            (
                "users = 1",
                "file p.toml:1: users: not a list of tables; write each user under its own [[users]], with a name",
            ),
            (
                "[databases.d]\npool.size = 1",
                "file p.toml:2: databases.d.pool.size: unknown key; did you mean `pool.size_max`?",
            ),
            (
                "databases.d = 1",
                "file p.toml:1: databases.d: not a table; write key = value below its heading",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn a_broken_line_is_named_and_not_repeated() {
        let error = parse("[log]\nlevel = \"info\"\n[[users]]\npassword = \"s3cret\n").unwrap_err();
        assert!(
            error.starts_with("file p.toml:4: not valid TOML: "),
            "{error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let by = Origin::Flag("config");
        let error = File::read(Path::new("/nonexistent/p.toml"), by)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(
                "flag --config: the configuration file /nonexistent/p.toml cannot be read"
            ),
            "{error}"
        );
    }
}
