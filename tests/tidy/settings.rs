//! Whatever names a setting names one that there is: sentences, hints, help, the page, documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pgweir::admin::http::families::FAMILIES;
use pgweir::config::table;
use pgweir::metrics::logins::Failure;
use pgweir::reason::Reason;
use pgweir::wire::trouble;

use super::{code, sources};

/// Tables of the file whose keys users make up, or that stand there more than once.
const TABLES: [&str; 3] = ["cache.functions", "cache.triggers", "cache.rules"];

/// What only looks like a setting: the place where a password came from, and a call of node-postgres.
const OTHERS: [&str; 2] = ["upstream.password", "pool.query"];

fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = TABLES.map(str::to_owned).into();
    known.extend(
        table::RULE
            .iter()
            .map(|setting| format!("cache.rules.{}", setting.key)),
    );
    for setting in table::all() {
        // A section may be named as a whole: `listen.tls`.
        let dots = setting.key.match_indices('.');
        known.extend(dots.map(|(at, _)| setting.key.split_at(at).0.to_owned()));
        known.insert(setting.key.to_owned());
    }
    known
}

/// What looks like a setting's name: the sections that there are, a dot, and more.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let sections: BTreeSet<&str> = table::all()
        .map(|setting| setting.key.split('.').next().unwrap())
        .collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let words = text.split(move |c| !is_part(c));
    words
        .map(|word| word.trim_end_matches(['.', ':', '-', '/']))
        .filter(move |word| {
            let lower = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            let section = word.split_once('.').map(|(section, _)| section);
            word.chars().all(lower) && section.is_some_and(|section| sections.contains(section))
        })
}

/// Names that were looked up, and those that nothing has.
#[derive(Default)]
struct Found {
    count: usize,
    wrong: Vec<String>,
}

impl Found {
    fn check(&mut self, place: &str, text: &str) {
        let known = known();
        for name in named(text) {
            // A file's name: `cache.rs`, `pool.md`.
            let ends = [".rs", ".md", ".js", ".toml", ".py", ".sh"];
            if ends.iter().any(|end| name.ends_with(end)) || OTHERS.contains(&name) {
                continue;
            }
            self.count += 1;
            if !known.contains(name) {
                self.wrong.push(format!("{place}: {name}"));
            }
        }
    }

    fn file(&mut self, path: &Path) {
        self.check(
            &path.display().to_string(),
            &fs::read_to_string(path).unwrap(),
        );
    }

    /// All are there, and there were so many at least.
    fn done(self, least: usize) {
        assert!(self.wrong.is_empty(), "no such setting: {:#?}", self.wrong);
        assert!(self.count >= least, "{}", self.count);
    }
}

/// The string literals of a source, comments and code left out.
fn literals(source: &str) -> String {
    let mut found = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, here) = rest.split_at(at);
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before.trim_end_matches('#').ends_with('r');
        rest = if here.starts_with("//") {
            here.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(text) = here.strip_prefix('"') {
            let end = if is_raw {
                text.find(&format!("\"{}", "#".repeat(hashes))).unwrap()
            } else {
                closing(text)
            };
            let (literal, after) = text.split_at(end);
            found.push_str(literal);
            found.push('\n');
            after.split_at(1).1
        } else if here.starts_with("'\"'") || here.starts_with("'\\") {
            here.split_at(3).1
        } else {
            here.split_at(1).1
        };
    }
    found
}

/// Where the quote is that ends a literal.
fn closing(text: &str) -> usize {
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.unwrap()
}

#[test]
fn literals_are_found() {
    let source = r##"let a = "one \" two"; // "three"
        let b = ('"', '\'', r#"four "five""#); /* / */ f("six")"##;
    assert_eq!(literals(source), "one \\\" two\nfour \"five\"\nsix\n");
    let names: Vec<&str> = named("Set cache.ttl, (pool.mode) or x.cache.y; log.Level").collect();
    assert_eq!(names, ["cache.ttl", "pool.mode"]);
}

#[test]
fn remedies_name_settings_that_are_there() {
    let mut found = Found::default();
    for reason in Reason::ALL {
        found.check(reason.as_str(), reason.sentence());
        found.check(reason.as_str(), reason.remedy());
    }
    for failure in Failure::ALL {
        found.check(failure.as_str(), failure.sentence());
    }
    for trouble in trouble::ALL {
        found.check(trouble.id, trouble.what);
        found.check(trouble.id, trouble.hint);
    }
    for family in FAMILIES {
        found.check(family.name, family.help);
    }
    found.done(20);
}

/// Everything that the program can say, also what is put together in the place that says it.
#[test]
fn sentences_name_settings_that_are_there() {
    let mut found = Found::default();
    for (path, text) in sources("src") {
        if !path.ends_with("tests.rs") {
            found.check(&path.display().to_string(), &literals(code(&text)));
        }
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/http/page");
    found.file(&page.join("page.html"));
    let script = fs::read_to_string(page.join("page.js")).unwrap();
    found.check("page.js", &literals(&script));
    found.done(100);
}

#[test]
fn documents_name_settings_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Found::default();
    for file in ["README.md", "packaging/prometheus/alerts.yml"] {
        found.file(&root.join(file));
    }
    for page in fs::read_dir(root.join("docs")).unwrap() {
        let path = page.unwrap().path();
        if path.extension().is_some_and(|end| end == "md") {
            found.file(&path);
        }
    }
    found.done(100);
}
