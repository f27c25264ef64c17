//! Parts of documents that are made from the code. A test makes each anew and compares; with
//! `PGWEIR_WRITE_DOCS=1` it writes instead:
//!
//! ```text
//! PGWEIR_WRITE_DOCS=1 cargo test --lib docs_
//! ```

use std::path::Path;

/// Fails unless `docs/{file}` has `text` between its two marks `<!-- made: {mark} -->`.
pub(crate) fn same(file: &str, mark: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(file);
    let whole = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        format!("<!-- made: {mark} -->\n"),
        format!("<!-- end: {mark} -->\n"),
    );
    let (before, rest) = whole.split_once(&begin).unwrap();
    let (there, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
        std::fs::write(&path, [before, &begin, text, &end, after].concat()).unwrap();
    } else {
        assert!(
            there == text,
            "docs/{file} is behind the code: PGWEIR_WRITE_DOCS=1 cargo test --lib docs_ writes it"
        );
    }
}
