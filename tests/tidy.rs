//! Rules of the repository that a reader would otherwise have to remember.

mod settings;

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code that one file may have, its tests aside.
const CODE_LINES_MAX: usize = 500;

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The code of a file: what stands before its unit tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Rooms that decide know nothing of sockets, clocks and settings, so that bytes can test them.
#[test]
fn what_decides_touches_no_socket() {
    let rules: [(&str, &[&str]); 2] = [
        (
            "src/wire",
            &["tokio", "crate::config", "crate::session", "crate::pool"],
        ),
        (
            "src/sql",
            &["tokio", "crate::config", "crate::session", "crate::pool"],
        ),
    ];
    for (folder, forbidden) in rules {
        for (path, text) in sources(folder) {
            for line in code(&text)
                .lines()
                .filter(|l| l.trim_start().starts_with("use "))
            {
                for name in forbidden {
                    assert!(!line.contains(name), "{}: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn pools_know_nothing_of_sessions() {
    for (path, text) in sources("src/pool") {
        let joins = code(&text).contains("crate::session");
        assert!(!joins, "{} reaches into the session", path.display());
    }
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    for (path, text) in sources("src") {
        assert!(text.starts_with("//!"), "{} says nothing", path.display());
        let lines = code(&text).lines().count();
        assert!(
            lines <= CODE_LINES_MAX || path.ends_with("tests.rs"),
            "{} has {lines} lines of code",
            path.display()
        );
    }
}

/// A stranger's first commands must exist.
#[test]
fn the_readme_names_scripts_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains("scripts/test.sh"));
    let mut named = 0;
    for word in readme.split(|c: char| c.is_whitespace() || c == '`' || c == '(' || c == ')') {
        if word.starts_with("scripts/") && word.ends_with(".sh") {
            assert!(root.join(word).exists(), "{word}");
            named += 1;
        }
    }
    assert!(named >= 3);
}
