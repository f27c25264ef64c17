//! Holds `proxy.toml.example` equal to what the code reads, both ways.

use std::collections::BTreeSet;
use std::path::Path;

use super::file::{File, Section, USER_NAME, USER_PASSWORD_FILE};
use super::load::resolve;
use super::setting::{Fallback, Setting};
use super::{Environment, Flags, table};

const EXAMPLE: &str = include_str!("../../proxy.toml.example");

fn parse(text: &str) -> File {
    File::parse(Path::new("proxy.toml.example"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// The file with every setting switched on: `#` without a space in front of each is taken away.
fn switched_on() -> String {
    let on = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            setting
        }
        _ => line,
    };
    EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

fn keys<T>(settings: &[Setting<T>]) -> BTreeSet<&'static str> {
    settings.iter().map(|setting| setting.key).collect()
}

fn keys_of(sections: &[Section]) -> BTreeSet<&'static str> {
    sections
        .iter()
        .flat_map(|section| section.values.keys().copied())
        .collect()
}

#[test]
fn every_key_is_documented_and_nothing_else() {
    let file = parse(&switched_on());
    let documented: BTreeSet<&str> = file.values.keys().copied().collect();
    let read: BTreeSet<&str> = table::all().map(|setting| setting.key).collect();
    assert_eq!(documented, read);
    let mut user = keys(table::USER);
    user.insert(USER_PASSWORD_FILE);
    assert_eq!(keys_of(&file.users), user);
    assert!(
        file.users.iter().all(|user| !user.name.is_empty()),
        "{USER_NAME}"
    );
    assert_eq!(keys_of(&file.databases), keys(table::DATABASE));
    assert_eq!(keys_of(&file.rules), keys(table::RULE));
    assert!(!file.functions.is_empty() && !file.triggers.is_empty());
}

#[test]
fn every_default_is_the_one_in_force() {
    let file = parse(&switched_on());
    for setting in table::all() {
        if let Fallback::Is(default) = setting.default {
            assert_eq!(file.values[setting.key].text, default, "{}", setting.key);
        }
    }
}

#[test]
fn every_example_is_a_value_that_is_accepted() {
    let file = parse(&switched_on());
    let mut config = table::blank();
    for setting in table::all() {
        let set = (setting.set)(&mut config, &file.values[setting.key].text);
        assert_eq!(set, Ok(()), "{}", setting.key);
    }
    let mut sections = file;
    sections.values.clear();
    for user in &mut sections.users {
        user.values.remove(USER_PASSWORD_FILE);
    }
    let env = Environment::from([("PGWEIR_UPSTREAM".to_owned(), "postgres://a:b@c".to_owned())]);
    resolve(&Flags::default(), &env, sections).unwrap();
}

#[test]
fn flags_and_restarts_are_named() {
    let documented: BTreeSet<&str> = EXAMPLE
        .split_whitespace()
        .map(|word| word.trim_end_matches(['.', ',', ';', ')']))
        .filter(|word| word.starts_with("--"))
        .collect();
    let flags: Vec<String> = table::all()
        .filter_map(|setting| Some(format!("--{}", setting.flag?.0)))
        .collect();
    assert_eq!(documented, flags.iter().map(String::as_str).collect());
    let restarts = table::all()
        .filter(|setting| setting.reload == super::Reload::Restart)
        .count();
    assert_eq!(EXAMPLE.matches("Needs a restart.").count(), restarts);
}

#[test]
fn as_it_is_it_changes_nothing() {
    let url = "upstream.url = \"postgres://app:x@db\"\n";
    let resolved =
        |text: &str| resolve(&Flags::default(), &Environment::new(), parse(text)).unwrap();
    // Its own [upstream] heading stands empty, so the URL comes in under another spelling.
    let with = EXAMPLE.replacen("[upstream]", "[upstream]\nurl = \"postgres://app:x@db\"", 1);
    assert_eq!(resolved(&with).config, resolved(url).config);
}
