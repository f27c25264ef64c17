//! Which settings can change what a statement means or answers, and which cannot. What is in
//! neither list counts (H32).

use crate::pool::state::Setting;

/// The reported values that decide what a text means and how values are written; they are in every
/// key.
pub(crate) const REPORTED: [&str; 5] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "client_encoding",
    "standard_conforming_strings",
];

/// Settings that cannot change a result: they name a client, limit its time, or steer how a result
/// is found. The planner's may reorder rows that no ORDER BY orders, and the last digit of a sum of
/// floats; SQL leaves both open.
pub(crate) const NEUTRAL: &[&str] = &[
    "allow_alter_system",
    "application_name",
    "check_function_bodies",
    "client_min_messages",
    "commit_delay",
    "commit_siblings",
    "constraint_exclusion",
    "createrole_self_grant",
    "cursor_tuple_fraction",
    "deadlock_timeout",
    "default_statistics_target",
    "default_table_access_method",
    "default_tablespace",
    "default_toast_compression",
    "default_transaction_deferrable",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "escape_string_warning",
    "event_triggers",
    "from_collapse_limit",
    "hash_mem_multiplier",
    "icu_validation_level",
    "join_collapse_limit",
    "lc_messages",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "password_encryption",
    "plan_cache_mode",
    "recursive_worktable_factor",
    "scram_iterations",
    "synchronize_seqscans",
    "synchronous_commit",
    "temp_buffers",
    "temp_file_limit",
    "temp_tablespaces",
    "transaction_deferrable",
    "transaction_read_only",
    "work_mem",
];

/// The same by how they begin. The last is our own.
pub(crate) const NEUTRAL_BEGINNINGS: &[&str] = &[
    "cpu_",
    "debug_print_",
    "enable_",
    "geqo",
    "jit",
    "log_",
    "max_parallel_",
    "min_parallel_",
    "parallel_",
    "random_page_cost",
    "seq_page_cost",
    "tcp_",
    "track_",
    "vacuum_",
    "wal_",
    "pgweir.",
];

/// The same by how they end.
pub(crate) const NEUTRAL_ENDINGS: &[&str] = &["_timeout"];

/// Under these nothing is cached: rows by chance, damaged data, code from elsewhere.
pub(crate) const FORBIDDING: &[&str] = &[
    "allow_system_table_mods",
    "dynamic_library_path",
    "gin_fuzzy_search_limit",
    "ignore_checksum_failure",
    "ignore_system_indexes",
    "local_preload_libraries",
    "session_preload_libraries",
    "zero_damaged_pages",
];

/// Whether the setting (in lower case) can change neither what a text means nor what it answers.
pub(super) fn is_neutral(name: &str) -> bool {
    NEUTRAL_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || NEUTRAL.binary_search(&name).is_ok()
        || NEUTRAL_BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

/// Whether a session with this setting is answered by the database alone.
pub(super) fn forbids(name: &str, setting: &Setting) -> bool {
    if name == "default_transaction_isolation" {
        let (Setting::Sql(text) | Setting::Value(text)) = setting;
        let text = text.to_ascii_lowercase();
        // Read uncommitted is the same to Postgres.
        return !text.windows(4).any(|window| window == b"read")
            || text.windows(6).any(|window| window == b"repeat");
    }
    if name == "search_path" {
        // Names without a schema are looked for everywhere but there.
        let (Setting::Sql(text) | Setting::Value(text)) = setting;
        let text = String::from_utf8_lossy(text).to_ascii_lowercase();
        return ["information_schema", "pg_toast", "pg_temp"]
            .iter()
            .any(|schema| text.contains(schema));
    }
    FORBIDDING.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_and_what_does_not() {
        assert!(NEUTRAL.is_sorted());
        for name in [
            "application_name",
            "statement_timeout",
            "work_mem",
            "enable_seqscan",
            "jit_above_cost",
            "pgweir.explain",
            "synchronous_commit",
        ] {
            assert!(is_neutral(name), "{name}");
        }
        for name in [
            "timezone",
            "search_path",
            "role",
            "app.tenant",
            "extra_float_digits",
            "lc_monetary",
            "pg_trgm.similarity_threshold",
            "hnsw.ef_search",
            "no_such_setting",
        ] {
            assert!(!is_neutral(name), "{name}");
        }
    }

    #[test]
    fn isolation_is_read_from_the_value() {
        let value = |text: &str| Setting::Value(text.as_bytes().into());
        let name = "default_transaction_isolation";
        assert!(!forbids(name, &value("read committed")));
        assert!(!forbids(name, &value("READ UNCOMMITTED")));
        assert!(forbids(name, &value("repeatable read")));
        assert!(forbids(name, &value("serializable")));
        assert!(forbids("zero_damaged_pages", &value("on")));
        assert!(!forbids("timezone", &value("UTC")));
        assert!(forbids("search_path", &value("public, Information_Schema")));
        assert!(!forbids("search_path", &value("ten, public")));
    }
}
