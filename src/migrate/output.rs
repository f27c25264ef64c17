//! The file as it grows: headings in the order of proxy.toml.example, and beside each value the
//! name it had in PgBouncer.

use std::fmt::Write as _;

use crate::config::Kind;

/// A `proxy.toml` in the making.
#[derive(Debug, Default)]
pub(super) struct Output {
    sections: Vec<(String, Vec<String>)>,
}

impl Output {
    /// Begins `[heading]` or `[[heading]]`; what is put goes below it.
    pub(super) fn heading(&mut self, heading: &str) {
        self.sections.push((heading.to_owned(), Vec::new()));
    }

    /// `key = value  # from`, the value as a TOML value of that kind.
    pub(super) fn put(&mut self, key: &str, kind: Kind, value: &str, from: &str) {
        let mut line = format!("{key} = {}", kind.render(value));
        if !from.is_empty() {
            line.push_str("  # ");
            line.push_str(from);
        }
        if let Some((_, lines)) = self.sections.last_mut() {
            lines.push(line);
        }
    }

    /// The whole file; headings with nothing below them are left out.
    pub(super) fn finish(self) -> String {
        let mut text = String::from(
            "# Made from a PgBouncer configuration by `pgweir check --from-pgbouncer`.\n\
             # Passwords stand in it in clear: keep it from others' eyes.\n",
        );
        for (heading, lines) in self.sections {
            if !lines.is_empty() {
                // Writing to a String cannot fail.
                let _infallible = writeln!(text, "\n{heading}\n{}", lines.join("\n"));
            }
        }
        text
    }
}
