//! The documents do what they say: every command in them is run, every file in them is read, every
//! link in them leads somewhere, and every error in them exists.

mod block;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use block::{Mark, blocks};
use pgweir::config;
use pgweir::wire::trouble;
use world::World;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and all of docs/.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md")];
    let inside = fs::read_dir(root().join("docs")).unwrap();
    paths.extend(inside.map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn every_command_runs_or_says_why_not() {
    let (mut ran, mut not) = (0, BTreeMap::new());
    for (path, text) in documents() {
        let commands = blocks(&text);
        let mut world: Option<World> = None;
        for block in &commands {
            let place = format!("{}:{}", short(&path), block.line);
            match &block.mark {
                Mark::Run | Mark::Server => {
                    let world = world.get_or_insert_with(World::new);
                    world.run(block, &place);
                    ran += 1;
                }
                Mark::File(name) => world
                    .get_or_insert_with(World::new)
                    .write(name, &block.text),
                Mark::NotRun(why) => {
                    assert!(why.len() > 10, "{place}: not run, but why?");
                    *not.entry(why.clone()).or_insert(0) += 1;
                }
                Mark::None => {
                    let shell =
                        ["sh", "console", "bash", "shell"].contains(&block.language.as_str());
                    assert!(
                        !shell,
                        "{place}: commands without a mark: run, server or not-run: WHY"
                    );
                }
            }
        }
    }
    eprintln!("{ran} blocks of commands ran");
    for (why, count) in not {
        eprintln!("NOT CHECKED: {count} blocks of commands: {why}");
    }
    assert!(ran >= 15, "{ran}");
}

/// Pieces of configuration are ones that load, on top of the least there has to be.
#[test]
fn every_piece_of_configuration_loads() {
    let mut count = 0;
    for (path, text) in documents() {
        for block in blocks(&text) {
            if block.language != "toml" {
                continue;
            }
            let mut whole = String::new();
            if !block.text.contains("[upstream]") && !block.text.contains("upstream.url") {
                whole += "upstream.url = \"postgres://shop:secret@db.example/shop\"\n";
            }
            whole += &block.text;
            let loaded = config::load_text(Path::new("piece.toml"), &whole);
            let place = format!("{}:{}", short(&path), block.line);
            assert!(loaded.is_ok(), "{place}: {}", loaded.unwrap_err());
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !fenced && line.starts_with('#') {
            found.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    found
}

#[test]
fn every_link_inside_leads_somewhere() {
    let mut count = 0;
    for (path, text) in documents() {
        for (at, _) in text.match_indices("](") {
            let target = text.split_at(at + 2).1.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let to = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(to.exists(), "{}: {target}", short(&path));
            if !fragment.is_empty() {
                let there = headings(&fs::read_to_string(&to).unwrap());
                assert!(there.contains(fragment), "{}: {target}", short(&path));
            }
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn the_readme_stays_short() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(text.lines().count() <= 170, "{}", text.lines().count());
}

/// Every one of our errors has its section, and every section its error.
#[test]
fn troubleshooting_has_every_error_of_our_own() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let sections: BTreeMap<&str, &str> = page
        .split("\n### ")
        .skip(1)
        .filter_map(|section| Some((section.get(..6)?, section)))
        .filter(|(id, _)| id.starts_with("PW"))
        .collect();
    let listed: Vec<&str> = sections.keys().copied().collect();
    let known: Vec<&str> = trouble::ALL.iter().map(|trouble| trouble.id).collect();
    assert_eq!(listed, known);
    for trouble in trouble::ALL {
        let section = sections[trouble.id];
        let heading = section.lines().next().unwrap();
        let says = format!("{} ({}): {}", trouble.id, trouble.sqlstate, trouble.what);
        assert_eq!(heading, says);
        let words = section.split_whitespace().count() - heading.split_whitespace().count();
        assert!(words >= 12, "{}: what does it mean?", trouble.id);
    }
}

/// What a client is told with a SQLSTATE alone is what Postgres says in the same case. Anything else
/// needs a code, a hint and a section in the page.
#[test]
fn an_error_without_a_code_is_one_of_postgres_own() {
    let own_words = [
        "password authentication failed",
        "canceling",
        "connection requires a valid client certificate",
        "certificate authentication failed",
        "expected ",
        "invalid message",
        "invalid password packet",
        "empty password",
        "malformed",
        "unsupported frontend protocol",
        "received unencrypted",
        "terminating connection",
        "could not generate",
        "invalid SCRAM",
        "non-printable",
        "prepared statement",
        "portal \\\"",
        "bind message",
        "unsupported format code",
        "SCRAM channel",
        "no PostgreSQL user name",
        "invalid value for",
        "client selected",
        "requires a value",
        "invalid command-line argument",
        "\"08P01\", message)",
        "\"XX000\", error",
    ];
    let mut unused: BTreeSet<&str> = own_words.iter().copied().collect();
    let mut folders = vec![root().join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for name in ["PgError::error(", "PgError::fatal("] {
                for (at, _) in code.match_indices(name) {
                    let rest = code.split_at(at + name.len()).1.trim_start();
                    if !rest.starts_with('"') || path.ends_with("tests.rs") {
                        continue;
                    }
                    // The message: a literal behind the SQLSTATE, or a `text` of a few lines before.
                    let before = code.split_at(at).0;
                    let near = before.rsplit("let text").next().unwrap();
                    let near = if near.len() < 400 { near } else { "" };
                    let around = format!("{near} {}", rest.split(';').next().unwrap());
                    let known = own_words.iter().find(|words| around.contains(**words));
                    match known {
                        Some(words) => _ = unused.remove(words),
                        None => found.push(format!("{}: {around}", short(&path))),
                    }
                }
            }
        }
    }
    assert!(unused.is_empty(), "nobody says: {unused:?}");
    assert!(
        found.is_empty(),
        "give it a code in src/wire/trouble.rs: {found:#?}"
    );
}

/// A code that nothing raises would be a section about nothing.
#[test]
fn every_code_is_raised_somewhere() {
    let table = fs::read_to_string(root().join("src/wire/trouble.rs")).unwrap();
    let mut all = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("trouble.rs") {
                all += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    let names = table
        .lines()
        .filter_map(|line| line.trim().split_once(" = \"PW"));
    let mut count = 0;
    for (name, _) in names {
        count += 1;
        assert!(all.contains(&format!("trouble::{name}")), "{name}");
    }
    assert_eq!(count, trouble::ALL.len());
}
