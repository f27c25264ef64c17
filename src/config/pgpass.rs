//! The password file of libpq (PostgreSQL manual, "The Password File").

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Host, Secret};

/// Larger than any real password file; a path to something else should not fill the memory.
const BYTES_MAX: u64 = 1024 * 1024;

/// A `.pgpass` file's lines, once read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PgPass {
    /// Wrapped so that no log can show them.
    lines: Vec<Secret>,
}

impl PgPass {
    /// Reads the file at `path`. No file is no passwords; a file that libpq would refuse is no
    /// passwords and a warning, since a login without them may still succeed.
    pub fn read(path: &Path) -> (Self, Option<String>) {
        let refused = |why: &str| {
            (
                Self::default(),
                Some(format!("password file {}: {why}", path.display())),
            )
        };
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (Self::default(), None);
            }
            Err(error) => return refused(&format!("not read: {error}")),
        };
        if !meta.is_file() {
            return refused("ignored, because it is not a plain file");
        }
        if meta.permissions().mode() & 0o077 != 0 {
            return refused("ignored, because group or world have access; make it 0600 or less");
        }
        if meta.len() > BYTES_MAX {
            return refused("ignored, because it is larger than 1 MiB");
        }
        match fs::read_to_string(path) {
            Ok(text) => (Self::parse(&text), None),
            Err(error) => refused(&format!("not read: {error}")),
        }
    }

    /// Takes the lines `host:port:database:user:password` of `text`.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Secret::new)
            .collect();
        Self { lines }
    }

    /// The password of the first line that matches, wildcards included.
    pub fn find(&self, host: &Host, database: &str, user: &str) -> Option<Secret> {
        let (name, port) = match host {
            Host::Tcp { host, port } => (host.as_str(), port),
            Host::Unix { directory, port } => (socket_name(directory), port),
        };
        let port = port.to_string();
        let password = self.lines.iter().find_map(|line| {
            [name, port.as_str(), database, user]
                .iter()
                .try_fold(line.expose(), |rest, value| field(rest, value))
        })?;
        Some(Secret::new(unescape(password)))
    }
}

/// libpq's default directories (upstream's and the distributions') go by the name `localhost`.
fn socket_name(directory: &Path) -> &str {
    const DEFAULTS: [&str; 3] = ["/tmp", "/var/run/postgresql", "/run/postgresql"];
    let text = directory.to_str().unwrap_or_default();
    if DEFAULTS.contains(&text.trim_end_matches('/')) {
        "localhost"
    } else {
        text
    }
}

/// What follows the first field of `line` and its colon, if the field is `*` or `value`.
fn field<'a>(line: &'a str, value: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut line = line.chars();
    for wanted in value.chars() {
        let mut c = line.next()?;
        if c == '\\' {
            c = line.next()?;
        }
        if c != wanted {
            return None;
        }
    }
    line.as_str().strip_prefix(':')
}

/// The password field: up to an unescaped colon, as libpq reads it.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            // A backslash at the very end stands for itself.
            '\\' => text.push(chars.next().unwrap_or('\\')),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn tcp(host: &str) -> Host {
        Host::Tcp {
            host: host.to_owned(),
            port: 5432,
        }
    }

    fn find(text: &str, host: &Host, database: &str, user: &str) -> Option<String> {
        let found = PgPass::parse(text).find(host, database, user)?;
        Some(found.expose().to_owned())
    }

    #[test]
    fn the_first_matching_line_wins() {
        let text = "# db:5432:shop:app:comment\n\ndb:5433:shop:app:port\ndb:5432:other:app:database\n\
                    db:5432:shop:root:user\ndb:5432:shop:app:one\r\n*:*:*:*:any\n";
        assert_eq!(
            find(text, &tcp("db"), "shop", "app").as_deref(),
            Some("one")
        );
        assert_eq!(
            find(text, &tcp("elsewhere"), "x", "y").as_deref(),
            Some("any")
        );
        assert_eq!(find("db:5432:shop:app", &tcp("db"), "shop", "app"), None);
        assert_eq!(find("db:5432:shop:ap:x", &tcp("db"), "shop", "app"), None);
        assert_eq!(
            find("db:5432:shop:apple:x", &tcp("db"), "shop", "app"),
            None
        );
    }

    #[test]
    fn escapes_in_fields_and_password() {
        assert_eq!(
            find(r"\:\:1:5432:a\\b:*:p\:w\\d", &tcp("::1"), r"a\b", "u").as_deref(),
            Some(r"p:w\d")
        );
        // An unescaped colon ends the password, a last backslash is one.
        assert_eq!(
            find("*:*:*:*:ab:cd", &tcp("h"), "d", "u").as_deref(),
            Some("ab")
        );
        assert_eq!(
            find(r"*:*:*:*:ab\", &tcp("h"), "d", "u").as_deref(),
            Some(r"ab\")
        );
        // `*` is a wildcard only as the whole field.
        assert_eq!(find("d*:*:*:*:x", &tcp("db"), "d", "u"), None);
        assert_eq!(find(r"\*:*:*:*:x", &tcp("db"), "d", "u"), None);
        // As in libpq, a name's own colons may stand bare.
        assert_eq!(
            find("::1:5432:d:u:x", &tcp("::1"), "d", "u").as_deref(),
            Some("x")
        );
    }

    #[test]
    fn unix_sockets_go_by_directory_or_localhost() {
        let unix = |directory: &str| Host::Unix {
            directory: PathBuf::from(directory),
            port: 5432,
        };
        assert_eq!(
            find("localhost:*:*:*:x", &unix("/tmp"), "d", "u").as_deref(),
            Some("x")
        );
        assert_eq!(
            find("/srv:*:*:*:x", &unix("/srv"), "d", "u").as_deref(),
            Some("x")
        );
        assert_eq!(find("localhost:*:*:*:x", &unix("/srv"), "d", "u"), None);
    }

    #[test]
    fn a_file_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "*:*:*:*:s3cret\n").unwrap();
        for (mode, trusted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let (pass, warning) = PgPass::read(file.path());
            assert_eq!(
                pass.find(&tcp("h"), "d", "u").is_some(),
                trusted,
                "{mode:o}"
            );
            assert_eq!(warning.is_none(), trusted, "{mode:o}");
            assert!(!warning.unwrap_or_default().contains("s3cret"));
        }
        assert!(!format!("{:?}", PgPass::parse("a:b:c:d:s3cret")).contains("s3cret"));
    }

    #[test]
    fn no_file_is_no_password_and_no_warning() {
        let directory = tempfile::tempdir().unwrap();
        let missing = PgPass::read(&directory.path().join("none"));
        assert_eq!(missing, (PgPass::default(), None));
        let (_, warning) = PgPass::read(directory.path());
        assert!(warning.unwrap().contains("not a plain file"));
    }
}
