//! Whether anything changed that a snapshot is made of, or that decides who sees what: one cheap
//! question for every poll.

use std::sync::LazyLock;

use tokio_postgres::{Client, Error};

/// A catalog table is told by the number of its rows and the sum of the transactions that made
/// them: a later transaction has a larger number, so each change moves one or the other. Left out
/// is what ordinary work changes: of `pg_class` only some columns count, since TRUNCATE, VACUUM and
/// ANALYZE write the others; and what belongs to temporary tables, which come and go.
/// Functions keep their grants, tables theirs in `relacl`, columns in `pg_attribute`.
const DIGEST: &str = "WITH temporary AS (SELECT c.oid FROM pg_catalog.pg_class c \
       WHERE c.relpersistence OPERATOR(pg_catalog.=) 't') \
     SELECT pg_catalog.concat_ws(' ', \
     (SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(',', c.oid, c.relname, c.relnamespace, \
         c.reltype, c.relowner, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, \
         c.relispartition, c.relacl, c.reloptions), 0)) FROM pg_catalog.pg_class c \
       WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S,c}'::pg_catalog.\"char\"[]) \
         AND c.relpersistence OPERATOR(pg_catalog.<>) 't'), \
     <|pg_attribute WHERE attrelid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND {attrelid}|>, \
     <|pg_attrdef WHERE {adrelid}|>, \
     <|pg_constraint WHERE contype OPERATOR(pg_catalog.=) ANY ('{c,f}'::pg_catalog.\"char\"[]) AND {conrelid}|>, \
     <|pg_index WHERE (indexprs IS NOT NULL OR indpred IS NOT NULL) AND {indrelid}|>, \
     <|pg_trigger WHERE tgfoid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid AND {tgrelid}|>, <|pg_inherits WHERE {inhrelid}|>, \
     <|pg_rewrite WHERE {ev_class}|>, <|pg_policy|>, \
     <|pg_proc|>, <|pg_aggregate|>, <|pg_operator|>, <|pg_cast|>, <|pg_opclass|>, <|pg_amop|>, <|pg_amproc|>, \
     <|pg_type WHERE typtype OPERATOR(pg_catalog.<>) 'c' AND typelem OPERATOR(pg_catalog.=) 0::pg_catalog.oid|>, \
     <|pg_enum|>, <|pg_range|>, <|pg_collation|>, <|pg_extension|>, <|pg_namespace WHERE nspname::pg_catalog.text OPERATOR(pg_catalog.!~) '^pg_(toast_)?temp_'|>, <|pg_event_trigger|>, \
     <|pg_ts_config|>, <|pg_ts_config_map|>, <|pg_ts_dict|>, <|pg_ts_template|>, <|pg_ts_parser|>, \
     <|pg_foreign_server|>, <|pg_foreign_table|>, <|pg_auth_members|>, <|pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()|>, \
     (SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(',', r.oid, r.rolname, r.rolsuper, \
         r.rolinherit, r.rolbypassrls, r.rolcreaterole, r.rolreplication), 0)) FROM pg_catalog.pg_roles r), \
     (SELECT pg_catalog.hashtextextended(pg_catalog.string_agg(pg_catalog.current_setting(n.n, true), '|'), 0) \
       FROM pg_catalog.unnest(ARRAY['DateStyle', 'IntervalStyle', 'TimeZone', 'extra_float_digits', 'bytea_output', \
         'lc_monetary', 'lc_numeric', 'lc_time', 'xmlbinary', 'xmloption', 'quote_all_identifiers', \
         'standard_conforming_strings', 'backslash_quote', 'array_nulls', 'transform_null_equals', \
         'timezone_abbreviations', 'default_text_search_config', 'search_path', 'row_security', \
         'gin_fuzzy_search_limit', 'zero_damaged_pages', 'ignore_checksum_failure', 'ignore_system_indexes', \
         'allow_system_table_mods', 'default_transaction_isolation', 'session_replication_role', \
         'local_preload_libraries']) n(n)), \
     pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_is_in_recovery()), <|pg_db_role_setting|>";

/// The question, written out: `<|table WHERE ...|>` is what a table is told by, `{column}` says that
/// it is not the number of a temporary table.
static QUERY: LazyLock<String> = LazyLock::new(|| {
    let told = "(SELECT pg_catalog.concat(pg_catalog.count(*), ':', \
         pg_catalog.sum(xmin::pg_catalog.text::pg_catalog.int8)) FROM pg_catalog.";
    let kept = " OPERATOR(pg_catalog.=) ANY (SELECT t.oid FROM temporary t))";
    let columns = [
        "attrelid", "adrelid", "conrelid", "indrelid", "tgrelid", "inhrelid", "ev_class",
    ];
    let mut query = DIGEST.replace("<|", told).replace("|>", ")");
    for column in columns {
        query = query.replace(&format!("{{{column}}}"), &format!("NOT ({column}{kept}"));
    }
    query
});

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::catalog) struct Digest {
    /// Of what a snapshot is made of.
    catalog: String,
    /// Of what is set for roles and databases of the server (ALTER ROLE ... SET): sessions that
    /// begin later run under it.
    pub(in crate::catalog) settings: String,
}

/// What there is now.
pub(in crate::catalog) async fn digest(client: &Client) -> Result<Digest, Error> {
    let row = client.query_typed_one(&QUERY, &[]).await?;
    Ok(Digest {
        catalog: row.try_get(0)?,
        settings: row.try_get(1)?,
    })
}
