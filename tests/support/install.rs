//! The PostgreSQL versions that tests run on.

use std::fs;
use std::path::PathBuf;

/// A PostgreSQL found on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Install {
    pub(crate) major: u32,
    pub(super) bin: PathBuf,
    /// The unpacked npm package needs its own libraries.
    pub(super) lib: Option<PathBuf>,
}

/// The versions to test on, oldest first: Debian's, and 18 where `PGWEIR_TEST_PG18` says it is.
pub(crate) fn installs() -> Vec<Install> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<Install> = debian
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            bin.join("initdb").exists().then_some(Install {
                major,
                bin,
                lib: None,
            })
        })
        .collect();
    if let Some(dir) = std::env::var_os("PGWEIR_TEST_PG18").map(PathBuf::from) {
        let bin = dir.join("bin");
        assert!(
            bin.join("initdb").exists(),
            "PGWEIR_TEST_PG18 has no bin/initdb"
        );
        found.push(Install {
            major: 18,
            bin,
            lib: Some(dir.join("lib")),
        });
    }
    found.sort_by_key(|install| install.major);
    assert!(
        !found.is_empty(),
        "no PostgreSQL found: install one (Debian: apt install postgresql), scripts/test.sh does"
    );
    found
}
