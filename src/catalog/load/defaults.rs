//! Settings that the database's own configuration gives to sessions.

use tokio_postgres::{Client, Error};

use super::{rows, text};

/// Settings under which nothing may be cached (CACHE-RULES §3), with the value that is harmless;
/// of a search path only the system's schemas are looked for.
const FORBIDDING: &[(&str, &[&str])] = &[
    (
        "default_transaction_isolation",
        &["read committed", "read uncommitted"],
    ),
    ("gin_fuzzy_search_limit", &["0"]),
    ("zero_damaged_pages", &["off"]),
    ("ignore_checksum_failure", &["off"]),
    ("ignore_system_indexes", &["off"]),
    ("allow_system_table_mods", &["off"]),
    ("session_replication_role", &["origin"]),
    ("standard_conforming_strings", &["on"]),
    ("local_preload_libraries", &[""]),
];

/// What this session has by default, which is what other sessions of the database have, and what
/// ALTER DATABASE and ALTER ROLE say of it.
const DEFAULTS: &str = "SELECT n.n, COALESCE(pg_catalog.current_setting(n.n, true), ''), '' \
     FROM pg_catalog.unnest(ARRAY[{names}]) n(n) \
     UNION ALL SELECT pg_catalog.split_part(c.c, '=', 1), \
       pg_catalog.substr(c.c, pg_catalog.strpos(c.c, '=') OPERATOR(pg_catalog.+) 1), \
       CASE WHEN s.setrole OPERATOR(pg_catalog.=) '0'::pg_catalog.oid THEN 'ALTER DATABASE' ELSE 'ALTER ROLE' END \
     FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) c(c) \
     WHERE s.setdatabase OPERATOR(pg_catalog.=) '0'::pg_catalog.oid OR s.setdatabase OPERATOR(pg_catalog.=) \
       (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";

/// Why the defaults forbid caching, if they do.
pub(super) async fn load(client: &Client) -> Result<Option<Box<str>>, Error> {
    let names: Vec<String> = FORBIDDING
        .iter()
        .map(|(name, _)| format!("'{name}'"))
        .chain(["'search_path'".to_owned()])
        .collect();
    let query = DEFAULTS.replace("{names}", &names.join(", "));
    let settings = rows(client, &query, |row| {
        let (name, value, place) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        Ok(forbids(name, value).then(|| {
            let place = if place.is_empty() {
                "the server"
            } else {
                place
            };
            format!("{name} is {value} by default ({place})").into()
        }))
    })
    .await?;
    Ok(settings.into_iter().flatten().next())
}

/// Whether this value of this setting forbids caching.
fn forbids(name: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    if name.eq_ignore_ascii_case("search_path") {
        return ["information_schema", "pg_toast", "pg_temp"]
            .iter()
            .any(|schema| value.contains(schema));
    }
    let Some((_, harmless)) = FORBIDDING
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
    else {
        return false;
    };
    let spelled = match &*value {
        "false" | "no" | "f" | "n" if harmless == &["off"] => "off",
        "true" | "yes" | "t" | "y" | "1" if harmless == &["on"] => "on",
        "0" if harmless == &["off"] => "off",
        other => other,
    };
    !harmless.contains(&spelled)
}

#[cfg(test)]
mod tests {
    use super::forbids;

    #[test]
    fn defaults_that_forbid_caching() {
        for (name, value) in [
            ("default_transaction_isolation", "serializable"),
            ("DEFAULT_transaction_isolation", "REPEATABLE read"),
            ("gin_fuzzy_search_limit", "10"),
            ("zero_damaged_pages", "on"),
            ("standard_conforming_strings", "off"),
            ("search_path", "app, information_schema"),
        ] {
            assert!(forbids(name, value), "{name}");
        }
        for (name, value) in [
            ("default_transaction_isolation", "read committed"),
            ("zero_damaged_pages", "false"),
            ("standard_conforming_strings", "true"),
            ("search_path", "\"$user\", public"),
            ("work_mem", "1GB"),
        ] {
            assert!(!forbids(name, value), "{name}");
        }
    }
}
