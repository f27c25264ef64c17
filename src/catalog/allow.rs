//! Lists: what of the server's own functions and of well-known extensions may be cached.

use super::facts::Routine;
use crate::reason::Reason;
use crate::sql::special::runs_text;

/// Built-in functions that are STABLE only because settings or the catalog decide, which are in
/// the key or move the epoch (H4). All overloads of a name that are STABLE are meant; those that
/// are not are IMMUTABLE anyway. Left out: `jsonb_path_*_tz`, `timetz` and `timezone` of a
/// `timetz`, for which today's daylight saving time decides (H5).
const STABLE: &[&str] = &[
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "current_database",
    "date",
    "date_add",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "getdatabaseencoding",
    "in_range",
    "interval_pl_timestamptz",
    "json_agg",
    "json_agg_strict",
    "json_agg_strict_transfn",
    "json_agg_transfn",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_transfn",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_finalfn",
    "jsonb_agg_strict",
    "jsonb_agg_transfn",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_finalfn",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_transfn",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "numeric",
    "overlaps",
    "pg_client_encoding",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "textanycat",
    "time",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_pl_interval",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "ts_match_tq",
    "ts_match_tt",
    "version",
    "websearch_to_tsquery",
    "xml",
];

/// Built-in functions that tell of the session; only for the word that says why.
const SESSION: &[&str] = &[
    "current_query",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "currval",
    "getpgusername",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "lastval",
    "pg_backend_pid",
    "pg_my_temp_schema",
    "row_security_active",
    "session_user",
    "set_config",
];

/// Functions that may appear in policies when row security is keyed (H20): role and settings are
/// in the key then.
const KEYED: &[&str] = &[
    "current_setting",
    "current_user",
    "getpgusername",
    "session_user",
];

/// Text search functions, which run the code of templates and parsers.
const TEXT_SEARCH: &[&str] = &[
    "json_to_tsvector",
    "jsonb_to_tsvector",
    "phraseto_tsquery",
    "plainto_tsquery",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "ts_lexize",
    "ts_match_tq",
    "ts_match_tt",
    "ts_parse",
    "ts_token_type",
    "websearch_to_tsquery",
];

/// Functions that fill a record's columns from text or JSON: a date among them may be "today".
const FILLS: &[&str] = &[
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "populate_record",
    "jsonb_populate_record_valid",
];

/// Extensions whose functions do what their volatility says: they read nothing but their arguments
/// and tables of their own, and write nothing. `isn` is missing since `isn_weak()` changes what
/// its types read, `tablefunc` has functions that run SQL, which [`runs_text`] knows.
const WELL_KNOWN: &[&str] = &[
    "address_standardizer",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "fuzzystrmatch",
    "h3",
    "hll",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "ip4r",
    "ltree",
    "moddatetime",
    "pg_stat_statements",
    "pg_trgm",
    "pg_uuidv7",
    "pgcrypto",
    "postgis",
    "prefix",
    "roaringbitmap",
    "semver",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "unaccent",
    "uuid-ossp",
    "vector",
    "xml2",
];

/// Functions of these that read what their arguments name, whatever their label.
const READS_BY_NAME: &[&str] = &[
    "find_srid",
    "postgis_extensions_upgrade",
    "postgis_full_version",
    "st_estimated_extent",
    "st_estimatedextent",
    "st_findextent",
];

/// Trigger functions of extensions that change only the row on its way in, or only tell of it.
const HARMLESS_TRIGGERS: &[(&str, &str)] = &[
    ("autoinc", "autoinc"),
    ("insert_username", "insert_username"),
    ("lo", "lo_manage"),
    ("moddatetime", "moddatetime"),
    ("tcn", "triggered_change_notification"),
];

/// Whether results may hold what a function of an object of this extension made.
pub(super) fn is_well_known(extension: &str) -> bool {
    WELL_KNOWN.contains(&extension)
}

pub(super) fn is_harmless_trigger(extension: &str, function: &str) -> bool {
    HARMLESS_TRIGGERS.contains(&(extension, function))
}

/// Whether a text search function.
pub(super) fn searches_text(name: &str) -> bool {
    TEXT_SEARCH.contains(&name)
}

pub(super) fn fills_records(name: &str) -> bool {
    FILLS.contains(&name)
}

pub(super) fn is_keyed(name: &str) -> bool {
    KEYED.contains(&name)
}

/// Whether the function runs SQL or input functions that its arguments name (H23): it may then do
/// anything.
pub(super) fn is_opaque(name: &str) -> bool {
    runs_text(name.as_bytes())
        || name.starts_with("pg_input_")
        || name.starts_with("brin_summarize_")
        || READS_BY_NAME.contains(&name)
}

/// Why what a built-in function returns depends on more than its arguments and the key, if so.
pub(super) fn builtin(routine: &Routine) -> Option<Reason> {
    if is_reg(routine.returns) {
        return Some(Reason::Catalog);
    }
    let name = &*routine.name;
    match routine.volatility {
        b'i' => None,
        b's' if routine.schema.is("pg_catalog") && STABLE.binary_search(&name).is_ok() => None,
        // AT LOCAL, from version 17 on, but of a time with zone.
        b's' if name == "timezone" && routine.returns != 1266 => None,
        _ if SESSION.contains(&name) => Some(Reason::Session),
        _ => Some(Reason::Volatile),
    }
}

/// The types of names of objects (`regclass` and its like), and of privileges: their text is read
/// from the catalog. Not of text search configurations: what is said of these goes for all of text
/// search.
pub(super) fn is_reg(type_oid: u32) -> bool {
    matches!(
        type_oid,
        24 | 2202..=2206 | 4089 | 4096 | 4191 | 1033 | 1034
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_sorted() {
        assert!(super::STABLE.is_sorted());
    }
}
