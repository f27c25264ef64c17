//! PgBouncer's files as it reads them itself: `pgbouncer.ini` with its includes, the connection
//! strings in it, and `userlist.txt`.

use std::fs;
use std::path::{Path, PathBuf};

/// PgBouncer's own limit on includes inside includes.
const DEPTH_MAX: usize = 10;

/// Far more than any configuration; a path to something else should not fill the memory.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// `key = value` below a `[section]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    /// File and line, for messages.
    pub(super) place: String,
}

/// The whole file, its includes in their places.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, String> {
    let mut reader = Reader {
        lines: Vec::new(),
        section: String::new(),
        root: path.parent().unwrap_or(Path::new("")).to_path_buf(),
    };
    reader.file(path, 0)?;
    Ok(reader.lines)
}

/// The text of a file of bounded size.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let refused = |why: String| format!("{}: {why}", path.display());
    let length = fs::metadata(path)
        .map_err(|e| refused(e.to_string()))?
        .len();
    if length > BYTES_MAX {
        return Err(refused("is larger than 16 MiB".to_owned()));
    }
    fs::read_to_string(path).map_err(|e| refused(e.to_string()))
}

struct Reader {
    lines: Vec<Line>,
    /// An include may open a section, and leave it open.
    section: String,
    root: PathBuf,
}

impl Reader {
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("{}: includes go round in circles", path.display()));
        }
        for (at, line) in text_of(path)?.lines().enumerate() {
            let place = format!("{}:{}", path.display(), at + 1);
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix("%include") {
                let named = Path::new(rest.trim());
                self.file(&self.included(named), depth + 1)
                    .map_err(|why| format!("{place}: {why}"))?;
            } else if let Some(rest) = line.strip_prefix('[') {
                let (name, _) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("{place}: a section without its `]`"))?;
                name.clone_into(&mut self.section);
            } else {
                let (key, value) = pair(line)
                    .ok_or_else(|| format!("{place}: neither a section nor key = value"))?;
                self.lines.push(Line {
                    section: self.section.clone(),
                    key,
                    value,
                    place,
                });
            }
        }
        Ok(())
    }

    /// PgBouncer looks in its working directory, which is not known here: ours comes first, then the
    /// directory of the main file.
    fn included(&self, named: &Path) -> PathBuf {
        let beside = self.root.join(named);
        if named.exists() || !beside.exists() {
            named.to_path_buf()
        } else {
            beside
        }
    }
}

/// The key in words or in double quotes, and all that stands behind `=`.
fn pair(line: &str) -> Option<(String, String)> {
    let (key, rest) = if line.starts_with('"') {
        quoted(line, '"')?
    } else {
        let (key, _) = line.split_once('=')?;
        (key.trim_end().to_owned(), line.strip_prefix(key)?)
    };
    let value = rest.trim_start().strip_prefix('=')?;
    Some((key, value.trim().to_owned()))
}

/// What stands between the quotes that `text` begins with, two of them being one, and the rest.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix(quote)?;
    let mut inside = String::new();
    loop {
        let (part, after) = rest.split_once(quote)?;
        inside.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                inside.push(quote);
                rest = more;
            }
            None => return Some((inside, after)),
        }
    }
}

/// `key=value key='it''s'`, as in `[databases]` and `[users]`.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| "a word without `=`".to_owned())?;
        let key = key.trim_end();
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || key.is_empty() {
            return Err("a key that is no word".to_owned());
        }
        let after = after.trim_start();
        let (value, after) = if after.starts_with('\'') {
            quoted(after, '\'').ok_or_else(|| format!("{key}: the quote is not closed"))?
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            let (value, after) = after.split_at_checked(end).unwrap_or((after, ""));
            (value.to_owned(), after)
        };
        found.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(found)
}

/// `"user" "password" ...` of each line; names and passwords or verifiers.
pub(super) fn users(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let fields = || {
            let (name, rest) = quoted(line, '"')?;
            let (password, _) = quoted(rest.trim_start(), '"')?;
            Some((name, password))
        };
        let (name, password) =
            fields().ok_or_else(|| format!("line {}: not \"user\" \"password\"", at + 1))?;
        // PgBouncer takes the last one.
        found.retain(|(other, _)| *other != name);
        found.push((name, password));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn connection_strings_are_pairs_with_quotes() {
        assert_eq!(
            pairs(" host=a  password = 'it''s = x'\tport=1 user=").unwrap(),
            own(&[
                ("host", "a"),
                ("password", "it's = x"),
                ("port", "1"),
                ("user", "")
            ])
        );
        assert_eq!(pairs("").unwrap(), []);
        for wrong in ["host", "a b=c", "x='y", "=z"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn user_lists_have_quoted_fields() {
        let text = "; comment\n\n\"a\" \"b\" more\n  \"we\"\"ird\"  \"p\"\n\"a\" \"c\"\n";
        assert_eq!(users(text).unwrap(), own(&[("we\"ird", "p"), ("a", "c")]));
        assert!(users("\"a\" b").unwrap_err().contains("line 1"));
    }

    #[test]
    fn includes_stand_where_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "p.ini",
            "[databases]\n\"a \"\"b\" = x=1\n%include more.ini\n; no\n# no\nd=\n",
        );
        write("more.ini", "c.d-e = 2\n[pgbouncer]\n");
        let lines = read(&folder.path().join("p.ini")).unwrap();
        let short: Vec<_> = lines
            .iter()
            .map(|l| (l.section.as_str(), l.key.as_str(), l.value.as_str()))
            .collect();
        assert_eq!(
            short,
            [
                ("databases", "a \"b", "x=1"),
                ("databases", "c.d-e", "2"),
                ("pgbouncer", "d", "")
            ]
        );
        assert!(lines[1].place.ends_with("more.ini:1"));
        write("circle.ini", "%include circle.ini\n");
        let error = read(&folder.path().join("circle.ini")).unwrap_err();
        assert!(error.contains("circles"), "{error}");
        write("wrong.ini", "[databases\n");
        assert!(
            read(&folder.path().join("wrong.ini"))
                .unwrap_err()
                .contains("wrong.ini:1")
        );
        write("gone.ini", "%include nowhere.ini\n");
        assert!(
            read(&folder.path().join("gone.ini"))
                .unwrap_err()
                .contains("nowhere.ini")
        );
    }
}
