//! Makes the body of docs/configuration.md: every setting with its names, its default, and what
//! proxy.toml.example says of it.

use std::fmt::Write as _;

use super::setting::{Reload, Setting};
use super::{Config, table};

const EXAMPLE: &str = include_str!("../../proxy.toml.example");

/// The comment that stands in front of `key` below the heading `section`, as paragraphs of Markdown.
fn comment(section: &str, key: &str) -> String {
    let mut here = section.is_empty();
    let mut lines: Vec<&str> = Vec::new();
    let mut found: Vec<&str> = Vec::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with('[') {
            here = bare.trim_matches(['[', ']']) == section;
            lines.clear();
        } else if line.is_empty() {
            lines.clear();
        } else if let Some(text) = line.strip_prefix("# ").or((line == "#").then_some("")) {
            lines.push(text);
        } else if here && bare.starts_with(&format!("{key} = ")) {
            found = lines.clone();
        }
    }
    markdown(&found)
}

/// The comment in front of a heading, as paragraphs of Markdown.
fn introduction(section: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with('[') && bare.trim_matches(['[', ']']) == section {
            break;
        }
        match line.strip_prefix("# ") {
            Some(text) => lines.push(text),
            None => lines.clear(),
        }
    }
    markdown(&lines)
}

/// Lines that are indented are a list of words with what they mean.
fn markdown(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        match line.strip_prefix("  ") {
            Some(item) => {
                let (word, meaning) = item.split_once("  ").unwrap_or((item, ""));
                let _infallible = writeln!(text, "- `{}`: {}", word.trim(), meaning.trim());
            }
            None => {
                if text.ends_with('\n') || text.is_empty() {
                    let _infallible = write!(text, "\n{line}");
                } else {
                    let _infallible = write!(text, " {line}");
                }
                if line.ends_with('.') || line.ends_with(':') {
                    // A list or a sentence may follow; both stand better on a line of their own.
                    text.push('\n');
                }
            }
        }
    }
    let mut text = text.trim().to_owned();
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    without_flags(&text)
}

/// Flags and restarts stand in the line of names already.
fn without_flags(text: &str) -> String {
    let told = |sentence: &&str| {
        let names = ["Flag --", "Flags --", "Needs a restart"];
        !names
            .iter()
            .any(|begin| sentence.trim_start().starts_with(begin))
    };
    let lines = text.lines().filter_map(|line| {
        let kept: Vec<&str> = line.split_inclusive(". ").filter(told).collect();
        (line.is_empty() || !kept.is_empty()).then(|| kept.concat().trim_end().to_owned())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn setting<T>(out: &mut String, prefix: &str, section: &str, row: &Setting<T>, names: bool) {
    let key = format!("{prefix}{}", row.key);
    let _infallible = write!(out, "#### `{key}`\n\n");
    let mut facts = Vec::new();
    if names {
        if let Some((flag, value)) = row.flag {
            facts.push(format!("`--{flag} {value}`"));
        }
        facts.push(format!("`{}`", row.variable()));
    }
    match row.default.describe() {
        Some("") => facts.push("default: empty".to_owned()),
        Some("required") => facts.push("required".to_owned()),
        Some(default) => facts.push(format!("default: `{default}`")),
        None => facts.push("not set by default".to_owned()),
    }
    facts.push(match row.reload {
        Reload::Live => "applied by a reload".to_owned(),
        Reload::Restart => "needs a restart".to_owned(),
    });
    let short = row
        .key
        .strip_prefix(&format!("{section}."))
        .unwrap_or(row.key);
    let told = comment(section, short);
    let told = if told.is_empty() {
        format!("{}.", row.help)
    } else {
        told
    };
    let _infallible = write!(out, "{}\n\n{told}\n\n", facts.join(" \u{b7} "));
}

fn reference() -> String {
    let mut out = String::new();
    let section =
        |row: &Setting<Config>| row.key.rsplit_once('.').map_or("", |(section, _)| section);
    let mut sections: Vec<&str> = Vec::new();
    for row in table::all() {
        if !sections.contains(&section(row)) {
            sections.push(section(row));
        }
    }
    for name in sections {
        let _infallible = write!(out, "### `[{name}]`\n\n");
        for row in table::all().filter(|row| section(row) == name) {
            setting(&mut out, "", name, row, true);
        }
    }
    for (heading, prefix, section) in [
        ("[[users]]", "users.", "users"),
        ("[databases.NAME]", "databases.NAME.", "databases.shop"),
        ("[[cache.rules]]", "cache.rules.", "cache.rules"),
    ] {
        let told = introduction(section);
        let _infallible = write!(out, "### `{heading}`\n\n{told}\n\n");
        match section {
            "users" => table::USER
                .iter()
                .for_each(|row| setting(&mut out, prefix, section, row, false)),
            "cache.rules" => table::RULE
                .iter()
                .for_each(|row| setting(&mut out, prefix, section, row, false)),
            _ => table::DATABASE
                .iter()
                .for_each(|row| setting(&mut out, prefix, section, row, false)),
        }
    }
    out
}

#[test]
fn docs_configuration_is_made_from_the_tables() {
    let made = reference();
    for row in table::all() {
        assert!(
            made.contains(&format!("#### `{}`\n", row.key)),
            "{}",
            row.key
        );
    }
    assert!(made.contains("- `session`: until it disconnects"), "{made}");
    crate::docs::same("configuration.md", "settings", &made);
}
