//! The effective configuration as TOML with the origin of every value: `pgweir check`.

use std::fmt::Write as _;

use super::origin::Origin;
use super::setting::{Reload, Setting};
use super::value::{Kind, quote};
use super::{Effects, Loaded, table};

/// One value of the configuration, for the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As origins have it: `pool.size_max`, `users.NAME.password`.
    pub key: String,
    /// Passwords masked; `None` when absent.
    pub value: Option<String>,
    /// In words.
    pub default: Option<&'static str>,
    pub reload: Reload,
    pub origin: String,
}

impl Loaded {
    /// Every setting, and what somebody said of users, databases, rules, functions and triggers.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = table::all()
            .map(|setting| self.line(setting, &self.config, ""))
            .collect();
        let cache = &self.config.cache;
        for (section, declared) in [
            ("cache.functions", &cache.functions),
            ("cache.triggers", &cache.triggers),
        ] {
            lines.extend(declared.iter().map(|(name, effects)| {
                let key = format!("{section}.{name}");
                Line {
                    value: Some(render(effects)),
                    default: None,
                    reload: Reload::Live,
                    origin: self.origins.of(&key).to_string(),
                    key,
                }
            }));
        }
        for (at, rule) in cache.rules.iter().enumerate() {
            let prefix = format!("cache.rules.{}.", at + 1);
            lines.extend(self.said(table::RULE, rule, &prefix));
        }
        for (name, user) in &self.config.auth.users {
            lines.extend(self.said(table::USER, user, &format!("users.{name}.")));
        }
        for (name, database) in &self.config.databases {
            lines.extend(self.said(table::DATABASE, database, &format!("databases.{name}.")));
        }
        lines
    }

    fn line<T>(&self, setting: &Setting<T>, owner: &T, prefix: &str) -> Line {
        let key = format!("{prefix}{}", setting.key);
        Line {
            value: (setting.show)(owner),
            default: setting.default.describe(),
            reload: setting.reload,
            origin: self.origins.of(&key).to_string(),
            key,
        }
    }

    /// The values of a section that somebody gave.
    fn said<T>(&self, table: &'static [Setting<T>], owner: &T, prefix: &str) -> Vec<Line> {
        table
            .iter()
            .map(|setting| self.line(setting, owner, prefix))
            .filter(|line| *self.origins.of(&line.key) != Origin::Default)
            .collect()
    }

    /// `key = value  # origin` for every setting, then the users and databases. Valid TOML; every
    /// password is `********`, inside URLs too.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for setting in table::all() {
            let value = (setting.show)(&self.config);
            let note = match (setting.key, self.origins.of("upstream.password")) {
                ("upstream.url", origin) if *origin != Origin::Default => {
                    format!(", its password: {origin}")
                }
                _ => String::new(),
            };
            let origin = format!("{}{note}", self.origins.of(setting.key));
            line(&mut text, setting.key, setting.kind, (value, &origin));
        }
        self.declared(&mut text);
        for (at, rule) in self.config.cache.rules.iter().enumerate() {
            let prefix = format!("cache.rules.{}", at + 1);
            let origin = self.origins.of(&prefix);
            put(&mut text, format_args!("\n[[cache.rules]]  # {origin}"));
            self.section(&mut text, table::RULE, rule, &prefix);
        }
        for (name, user) in &self.config.auth.users {
            let prefix = format!("users.{name}");
            let name = (Some(name.clone()), &*self.origins.of(&prefix).to_string());
            text.push_str("\n[[users]]\n");
            line(&mut text, "name", Kind::Text, name);
            self.section(&mut text, table::USER, user, &prefix);
        }
        for (name, database) in &self.config.databases {
            let prefix = format!("databases.{name}");
            let origin = self.origins.of(&prefix);
            put(
                &mut text,
                format_args!("\n[databases.{}]  # {origin}", quote(name)),
            );
            self.section(&mut text, table::DATABASE, database, &prefix);
        }
        text
    }

    /// What functions and triggers were said to do.
    fn declared(&self, text: &mut String) {
        let cache = &self.config.cache;
        for (section, declared) in [
            ("cache.functions", &cache.functions),
            ("cache.triggers", &cache.triggers),
        ] {
            for (name, effects) in declared {
                let origin = self.origins.of(&format!("{section}.{name}"));
                let (name, effects) = (quote(name), render(effects));
                put(
                    text,
                    format_args!("{section}.{name} = {effects}  # {origin}"),
                );
            }
        }
    }

    /// The values somebody gave; the absent ones would only repeat the settings above.
    fn section<T>(&self, text: &mut String, table: &[Setting<T>], owner: &T, prefix: &str) {
        for setting in table {
            let origin = self.origins.of(&format!("{prefix}.{}", setting.key));
            if *origin != Origin::Default {
                let value = ((setting.show)(owner), &*origin.to_string());
                line(text, setting.key, setting.kind, value);
            }
        }
    }
}

/// As it stands in the file.
fn render(effects: &Effects) -> String {
    if *effects == Effects::pure() {
        return quote("pure");
    }
    let list = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
        format!("[{}]", names.join(", "))
    };
    let writes = format!("writes = {}", list(&effects.writes));
    match &effects.reads {
        Some(reads) => format!("{{ {writes}, reads = {} }}", list(reads)),
        None => format!("{{ {writes} }}"),
    }
}

fn line(text: &mut String, key: &str, kind: Kind, (value, origin): (Option<String>, &str)) {
    match value {
        Some(value) => put(
            text,
            format_args!("{key} = {}  # {origin}", kind.render(&value)),
        ),
        None => put(text, format_args!("# {key} is not set")),
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::File;
    use super::super::load::resolve;
    use super::super::{Environment, Flags};
    use super::*;

    #[test]
    fn shown_as_toml_with_origins_and_without_passwords() {
        let text = "upstream.url = \"postgres://app@db\"\n[pool]\nsize_max = 7\n\
                    [[users]]\nname = \"a\\\"b\"\npassword = \"s3cret\"\nallow = [\"10.0.0.0/8\"]\n\
                    [[cache.rules]]\ntable = \"t\"\nnever = true\n\
                    [cache.functions]\n\"a.f\" = { writes = [\"t\"] }\ng = \"pure\"\n\
                    [databases.\"x y\"]\nurl = \"postgres://u:s3cret@h\"\npool.size_max = 2\nuser = \"u\"\npassword = \"s3cret\"\n";
        let file = File::parse(Path::new("p.toml"), text).unwrap();
        let env = Environment::from([("PGPASSWORD".to_owned(), "s3cret".to_owned())]);
        let shown = resolve(&Flags::default(), &env, file).unwrap().show();
        assert!(!shown.contains("s3cret"), "{shown}");
        for wanted in [
            "listen.address = \"127.0.0.1:6432\"  # default\n",
            "upstream.url = \"postgres://app:********@db:5432?sslmode=prefer&connect_timeout=5\"  # file p.toml:1, its password: environment PGPASSWORD\n",
            "pool.size_max = 7  # file p.toml:3\n",
            "# auth.query is not set\n",
            "auth.allow = []  # default\n",
            "\n[[users]]\nname = \"a\\\"b\"  # file p.toml:4\npassword = \"********\"  # file p.toml:6\nallow = [\"10.0.0.0/8\"]  # file p.toml:7\n",
            "\n[[users]]\nname = \"app\"  # from upstream.url\npassword = \"********\"  # from upstream.url\n",
            "cache.functions.\"a.f\" = { writes = [\"t\"] }  # file p.toml:12\n",
            "cache.functions.\"g\" = \"pure\"  # file p.toml:13\n",
            "\n[[cache.rules]]  # file p.toml:8\ntable = \"t\"  # file p.toml:9\nnever = true  # file p.toml:10\n",
            "\n[databases.\"x y\"]  # file p.toml:14\nurl = \"postgres://u:********@h:5432?",
            "pool.size_max = 2  # file p.toml:16\n",
        ] {
            assert!(shown.contains(wanted), "{wanted}\nis not in\n{shown}");
        }
        // What is shown is a file that could be read.
        let again = File::parse(Path::new("q.toml"), &shown).unwrap();
        assert_eq!(
            again.values.len(),
            table::all().count() - shown.matches(" is not set").count()
        );
        let again = resolve(&Flags::default(), &Environment::new(), again).unwrap();
        assert_eq!(again.config.cache.rules.len(), 1);
        assert_eq!(again.config.cache.functions.len(), 2);
    }
}
