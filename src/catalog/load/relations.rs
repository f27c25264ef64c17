//! Relations and what hangs on them: columns, inheritance, keys, triggers, rules, policies.

use tokio_postgres::{Client, Error, Row};

use super::tree::scan;
use super::{byte, rows, text};
use crate::catalog::facts::{
    Column, Facts, ForeignKey, Part, Policy, Relation, Rule, Stored, Trigger, Used,
};

/// Relations outside of the system's schemas. Temporary ones belong to sessions, not to names.
const RELATIONS: &str = "SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
       c.relkind, c.reltype, COALESCE(t.typarray, '0'::pg_catalog.oid), c.relrowsecurity, a.names, a.types \
     FROM pg_catalog.pg_class c \
       JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
       LEFT JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) c.reltype \
       LEFT JOIN (SELECT a.attrelid, pg_catalog.array_agg(a.attname::pg_catalog.text) AS names, \
           pg_catalog.array_agg(a.atttypid) AS types \
         FROM pg_catalog.pg_attribute a \
           JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid \
         WHERE a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped \
           AND a.attrelid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
           AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,c}'::pg_catalog.\"char\"[]) \
         GROUP BY a.attrelid) a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
     WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S,c}'::pg_catalog.\"char\"[]) \
       AND c.relpersistence OPERATOR(pg_catalog.<>) 't' \
       AND c.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND n.nspname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog', 'information_schema', 'pg_toast'])";

const INHERITS: &str = "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i";

const FOREIGN_KEYS: &str = "SELECT c.confrelid, c.conrelid, c.confdeltype, c.confupdtype \
     FROM pg_catalog.pg_constraint c WHERE c.contype OPERATOR(pg_catalog.=) 'f'";

/// Triggers of functions that are not built in; the others are foreign keys and change only rows
/// on their way in. `tgisinternal` is no help: before version 15 a partition's triggers have it.
const TRIGGERS: &str = "SELECT t.tgrelid, t.tgname::pg_catalog.text, t.tgfoid, t.tgtype, t.tgdeferrable \
     FROM pg_catalog.pg_trigger t \
     WHERE t.tgfoid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'";

const RULES: &str = "SELECT r.ev_class, r.ev_type, \
       pg_catalog.concat(r.ev_qual::pg_catalog.text, ' ', r.ev_action::pg_catalog.text) \
     FROM pg_catalog.pg_rewrite r \
     WHERE r.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND r.ev_enabled OPERATOR(pg_catalog.<>) 'D'";

const POLICIES: &str = "SELECT p.polrelid, \
       pg_catalog.concat(p.polqual::pg_catalog.text, ' ', p.polwithcheck::pg_catalog.text) \
     FROM pg_catalog.pg_policy p";

/// Expressions that use what is not built in, by the dependencies that the server keeps: of
/// generated columns and indexes they hang on the relation, of others on an object of their own.
/// The columns: the relation, the domain, a policy or trigger?, what is used: 'f', 'o' or 't', and
/// its number. Functions that triggers run are told with the triggers; view rules are read whole.
const PARTS: &str = "SELECT COALESCE(ad.adrelid, co.conrelid, po.polrelid, ix.indrelid, tg.tgrelid, cl.oid, '0'::pg_catalog.oid), \
       COALESCE(co.contypid, ty.oid, '0'::pg_catalog.oid), po.oid IS NOT NULL OR tg.oid IS NOT NULL, \
       CASE WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass THEN 'f' \
         WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass THEN 'o' ELSE 't' END, d.refobjid \
     FROM pg_catalog.pg_depend d \
       LEFT JOIN pg_catalog.pg_attrdef ad ON ad.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass \
       LEFT JOIN pg_catalog.pg_constraint co ON co.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass \
       LEFT JOIN pg_catalog.pg_policy po ON po.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass \
       LEFT JOIN pg_catalog.pg_index ix ON ix.indexrelid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass \
       LEFT JOIN pg_catalog.pg_trigger tg ON tg.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_trigger'::pg_catalog.regclass \
         AND tg.tgfoid OPERATOR(pg_catalog.<>) d.refobjid \
       LEFT JOIN pg_catalog.pg_type ty ON ty.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass \
         AND ty.typtype OPERATOR(pg_catalog.=) 'd' \
       LEFT JOIN pg_catalog.pg_class cl ON cl.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass \
     WHERE d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass, \
         'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass]::pg_catalog.oid[]) \
       AND d.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_attrdef'::pg_catalog.regclass, \
         'pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass, \
         'pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass, \
         'pg_catalog.pg_class'::pg_catalog.regclass]::pg_catalog.oid[]) \
       AND COALESCE(ad.adrelid, co.conrelid, po.polrelid, ix.indrelid, tg.tgrelid, ty.oid, cl.oid) IS NOT NULL";

/// The same for the server's own functions that run SQL given as text, for which no dependency is
/// kept: their numbers are looked for in the expressions.
const TEXTS: &str = "WITH p AS (SELECT pg_catalog.concat('funcid (', pg_catalog.string_agg(p.oid::pg_catalog.text, '|'), ')[ }]') AS p \
       FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid \
         AND p.proname::pg_catalog.text OPERATOR(pg_catalog.~) '^((query|cursor|table|schema|database)_to_xml|ts_stat$|ts_rewrite$|pg_input_|brin_summarize_)') \
     SELECT s.r, s.d, true, 'f', pg_catalog.substring(s.t, p.p)::pg_catalog.oid FROM p CROSS JOIN LATERAL ( \
       SELECT a.adrelid, '0'::pg_catalog.oid, a.adbin::pg_catalog.text FROM pg_catalog.pg_attrdef a \
       UNION ALL SELECT c.conrelid, c.contypid, c.conbin::pg_catalog.text FROM pg_catalog.pg_constraint c \
         WHERE c.conbin IS NOT NULL \
       UNION ALL SELECT i.indrelid, '0'::pg_catalog.oid, pg_catalog.concat(i.indexprs::pg_catalog.text, i.indpred::pg_catalog.text) \
         FROM pg_catalog.pg_index i WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL \
       UNION ALL SELECT '0'::pg_catalog.oid, t.oid, t.typdefaultbin::pg_catalog.text FROM pg_catalog.pg_type t \
         WHERE t.typdefaultbin IS NOT NULL \
       UNION ALL SELECT t.tgrelid, '0'::pg_catalog.oid, t.tgqual::pg_catalog.text FROM pg_catalog.pg_trigger t \
         WHERE t.tgqual IS NOT NULL) s(r, d, t) \
     WHERE s.t OPERATOR(pg_catalog.~) p.p";

/// All of these.
pub(super) struct Loaded {
    relations: Vec<Relation>,
    inherits: Vec<(u32, u32)>,
    foreign_keys: Vec<ForeignKey>,
    triggers: Vec<Trigger>,
    rules: Vec<Rule>,
    policies: Vec<Policy>,
    parts: Vec<(u32, Part)>,
}

pub(super) async fn load(client: &Client) -> Result<Loaded, Error> {
    let (relations, inherits, foreign_keys, triggers, rules, policies, mut parts, texts) = tokio::try_join!(
        rows(client, RELATIONS, relation),
        rows(client, INHERITS, |row| Ok((
            row.try_get(0)?,
            row.try_get(1)?
        ))),
        rows(client, FOREIGN_KEYS, foreign_key),
        rows(client, TRIGGERS, trigger),
        rows(client, RULES, rule),
        rows(client, POLICIES, policy),
        rows(client, PARTS, part),
        rows(client, TEXTS, part),
    )?;
    parts.extend(texts);
    Ok(Loaded {
        relations,
        inherits,
        foreign_keys,
        triggers,
        rules,
        policies,
        parts,
    })
}

impl Loaded {
    pub(super) fn put(self, facts: &mut Facts) {
        facts.relations = self.relations;
        facts.inherits = self.inherits;
        facts.foreign_keys = self.foreign_keys;
        facts.triggers = self.triggers;
        facts.rules = self.rules;
        facts.policies = self.policies;
        for (domain, part) in self.parts {
            if domain == 0 {
                facts.parts.push(part);
            } else {
                facts.checked.push((domain, part.used));
            }
        }
    }
}

fn relation(row: &Row) -> Result<Relation, Error> {
    let (schema, name) = (text(row, 1)?, text(row, 2)?);
    let names: Option<Vec<&str>> = row.try_get(7)?;
    let types: Option<Vec<u32>> = row.try_get(8)?;
    let columns = names.into_iter().flatten().zip(types.into_iter().flatten());
    Ok(Relation {
        oid: row.try_get(0)?,
        schema: schema.into(),
        full: format!("{schema}.{name}").into(),
        kind: byte(row, 3)?,
        row_type: row.try_get(4)?,
        row_array: row.try_get(5)?,
        row_security: row.try_get(6)?,
        columns: columns
            .map(|(name, type_oid)| Column {
                name: name.into(),
                type_oid,
            })
            .collect(),
    })
}

fn foreign_key(row: &Row) -> Result<ForeignKey, Error> {
    Ok(ForeignKey {
        referenced: row.try_get(0)?,
        referencing: row.try_get(1)?,
        on_delete: byte(row, 2)?,
        on_update: byte(row, 3)?,
    })
}

fn trigger(row: &Row) -> Result<Trigger, Error> {
    Ok(Trigger {
        relation: row.try_get(0)?,
        name: text(row, 1)?.into(),
        function: row.try_get(2)?,
        bits: row.try_get(3)?,
        deferrable: row.try_get(4)?,
    })
}

fn rule(row: &Row) -> Result<Rule, Error> {
    let mut stored = Stored::default();
    scan(text(row, 2)?, &mut stored);
    Ok(Rule {
        relation: row.try_get(0)?,
        event: byte(row, 1)?,
        stored,
    })
}

fn policy(row: &Row) -> Result<Policy, Error> {
    let mut stored = Stored::default();
    scan(text(row, 1)?, &mut stored);
    Ok(Policy {
        relation: row.try_get(0)?,
        stored,
    })
}

fn part(row: &Row) -> Result<(u32, Part), Error> {
    let used = row.try_get(4)?;
    let part = Part {
        relation: row.try_get(0)?,
        always: row.try_get(2)?,
        used: match text(row, 3)? {
            "f" => Used::Function(used),
            "o" => Used::Operator(used),
            _ => Used::Type(used),
        },
    };
    Ok((row.try_get(1)?, part))
}
