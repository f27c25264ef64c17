//! Which functions could change the session that calls them, and what reaches them.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::rows;
use crate::catalog::functions::{Function, Use, Verdicts, builtin_taints};
use crate::catalog::snapshot::Snapshot;

/// The server's own functions, from initdb: their numbers are below 16384.
const BUILTINS: &str = "SELECT p.oid, p.proname::pg_catalog.text FROM pg_catalog.pg_proc p \
     WHERE p.oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid";

/// All other functions. `{body}` is the source as text. The last column: can it be called as an
/// attribute, `x.f`, without parentheses?
const FUNCTIONS: &str = "SELECT p.oid, p.proname::pg_catalog.text, l.lanname::pg_catalog.text, \
     {body}, p.provolatile OPERATOR(pg_catalog.=) 'v', p.prokind OPERATOR(pg_catalog.=) 'a', \
     COALESCE((SELECT e.extname::pg_catalog.text \
       FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e \
         ON e.oid OPERATOR(pg_catalog.=) d.refobjid \
       WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass \
         AND d.objid OPERATOR(pg_catalog.=) p.oid \
         AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass \
         AND d.deptype OPERATOR(pg_catalog.=) 'e' LIMIT 1), ''), \
     p.pronargs OPERATOR(pg_catalog.>) 0::pg_catalog.int2 \
       AND (p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults) OPERATOR(pg_catalog.<=) 1 \
       AND EXISTS (SELECT FROM pg_catalog.pg_type t \
         WHERE t.oid OPERATOR(pg_catalog.=) p.proargtypes[0] \
           AND t.typtype OPERATOR(pg_catalog.=) ANY ('{c,d,p}'::pg_catalog.\"char\"[])) \
     FROM pg_catalog.pg_proc p \
       JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang \
     WHERE p.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid";

/// Bodies that are stored parsed, from version 14 on, are written out.
const BODY_14: &str = "CASE WHEN p.prosqlbody IS NULL THEN p.prosrc \
     ELSE pg_catalog.pg_get_function_sqlbody(p.oid) END";
const BODY_13: &str = "p.prosrc";

/// Functions that functions use without calling them in their text.
const USES: &str = "SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d \
     WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass \
       AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass";

/// Who else depends on a function: `t` for a trigger that is on, `e` for an event trigger that is
/// on, else anything that a statement reaches without naming the function: views, rules,
/// operators, casts, types, defaults, checks, policies, indexes. Handlers are called by the server.
const REACH: &str = "SELECT d.refobjid, CASE \
       WHEN d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN 't' \
       WHEN d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_event_trigger'::pg_catalog.regclass \
         THEN 'e' ELSE '' END, \
     pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) \
     FROM pg_catalog.pg_depend d \
       LEFT JOIN pg_catalog.pg_trigger t ON t.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_trigger'::pg_catalog.regclass \
       LEFT JOIN pg_catalog.pg_event_trigger e ON e.oid OPERATOR(pg_catalog.=) d.objid \
         AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_event_trigger'::pg_catalog.regclass \
     WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass \
       AND d.classid OPERATOR(pg_catalog.<>) ALL (ARRAY[ \
         'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_language'::pg_catalog.regclass, \
         'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, 'pg_catalog.pg_am'::pg_catalog.regclass, 'pg_catalog.pg_extension'::pg_catalog.regclass \
         ]::pg_catalog.oid[]) \
       AND (t.tgenabled IS NULL OR t.tgenabled OPERATOR(pg_catalog.<>) 'D') \
       AND (e.evtenabled IS NULL OR e.evtenabled OPERATOR(pg_catalog.<>) 'D')";

/// Stored expressions that call one of the server's own functions: no dependency is kept on those,
/// so the numbers are looked for in the expressions. `$1` is a pattern, `$2` the numbers.
const STORED: &str = "SELECT 'rule', r.ev_class::pg_catalog.regclass::pg_catalog.text \
       FROM pg_catalog.pg_rewrite r WHERE r.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND (r.ev_action::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
         OR r.ev_qual::pg_catalog.text OPERATOR(pg_catalog.~) $1) \
     UNION ALL SELECT 'default', a.adrelid::pg_catalog.regclass::pg_catalog.text \
       FROM pg_catalog.pg_attrdef a WHERE a.adbin::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'check', c.conname::pg_catalog.text FROM pg_catalog.pg_constraint c \
       WHERE c.conbin::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'policy', p.polname::pg_catalog.text FROM pg_catalog.pg_policy p \
       WHERE p.polqual::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
         OR p.polwithcheck::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'index', i.indexrelid::pg_catalog.regclass::pg_catalog.text \
       FROM pg_catalog.pg_index i WHERE i.indexprs::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
         OR i.indpred::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'trigger', t.tgname::pg_catalog.text FROM pg_catalog.pg_trigger t \
       WHERE t.tgqual::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'type', t.typname::pg_catalog.text FROM pg_catalog.pg_type t \
       WHERE t.typdefaultbin::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'function', p.proname::pg_catalog.text FROM pg_catalog.pg_proc p \
       WHERE p.proargdefaults::pg_catalog.text OPERATOR(pg_catalog.~) $1 \
     UNION ALL SELECT 'operator', o.oprname::pg_catalog.text FROM pg_catalog.pg_operator o \
       WHERE o.oprcode::pg_catalog.oid OPERATOR(pg_catalog.=) ANY ($2) \
     UNION ALL SELECT 'cast', c.oid::pg_catalog.text FROM pg_catalog.pg_cast c \
       WHERE c.castfunc OPERATOR(pg_catalog.=) ANY ($2) \
     LIMIT 1";

/// The verdicts of a snapshot.
pub(super) async fn load(client: &Client, generation: u64) -> Result<Snapshot, Error> {
    let version = "SELECT pg_catalog.current_setting('server_version_num')";
    let version = rows(client, version, |row| row.try_get::<_, String>(0)).await?;
    // Five digits or more: they compare as text.
    let body = if version.first().is_some_and(|v| &**v >= "140000") {
        BODY_14
    } else {
        BODY_13
    };
    let functions = FUNCTIONS.replace("{body}", body);
    let (builtins, functions, uses, reach) = tokio::try_join!(
        rows(client, BUILTINS, |row| {
            Ok((row.try_get::<_, u32>(0)?, row.try_get::<_, String>(1)?))
        }),
        rows(client, &functions, |row| {
            let by_attribute: bool = row.try_get(7)?;
            Ok((function(row)?, by_attribute))
        }),
        rows(client, USES, |row| {
            Ok(Use {
                user: row.try_get(0)?,
                used: row.try_get(1)?,
            })
        }),
        rows(client, REACH, |row| {
            Ok(Reach {
                function: row.try_get(0)?,
                by: row.try_get(1)?,
                object: row.try_get::<_, Option<String>>(2)?.unwrap_or_default(),
            })
        }),
    )?;
    let stored = stored(client, &builtins).await?;
    let attributes: Vec<u32> = functions
        .iter()
        .filter_map(|(function, by_attribute)| by_attribute.then_some(function.oid))
        .collect();
    let functions: Vec<Function> = functions
        .into_iter()
        .map(|(function, _)| function)
        .collect();
    let fires = |oid| reach.iter().any(|r| r.by == "t" && r.function == oid);
    let verdicts = Verdicts::of(&functions, &uses, fires);
    let reached = |by: &str| {
        let mut found = reach.iter();
        found
            .find(|reach| reach.by == by && verdicts.is_unsafe(reach.function))
            .map(|reach| reach.object.clone())
    };
    let attribute = attributes.iter().find(|&&oid| verdicts.is_unsafe(oid));
    Ok(Snapshot {
        generation,
        unsafe_everywhere: reached("")
            .or(stored)
            .or_else(|| attribute.map(|oid| format!("function {oid}, as an attribute")))
            .map(Into::into),
        unsafe_trigger: reached("t").map(Into::into),
        unsafe_event_trigger: reached("e").map(Into::into),
        functions: verdicts.into_names(builtins.iter().map(|(_, name)| &**name)),
        ..Snapshot::default()
    })
}

/// An object that calls a function by itself.
struct Reach {
    function: u32,
    by: String,
    object: String,
}

fn function(row: &Row) -> Result<Function, Error> {
    Ok(Function {
        oid: row.try_get(0)?,
        name: row.try_get(1)?,
        language: row.try_get(2)?,
        body: row.try_get::<_, Option<String>>(3)?.unwrap_or_default(),
        is_volatile: row.try_get(4)?,
        is_aggregate: row.try_get(5)?,
        extension: row.try_get(6)?,
    })
}

/// A stored expression that calls a built-in which changes the session.
async fn stored(client: &Client, builtins: &[(u32, String)]) -> Result<Option<String>, Error> {
    let oids: Vec<u32> = builtins
        .iter()
        .filter(|(_, name)| builtin_taints(name))
        .map(|&(oid, _)| oid)
        .collect();
    let numbers: Vec<String> = oids.iter().map(u32::to_string).collect();
    let pattern = format!("funcid ({})[ }}]", numbers.join("|"));
    let typed: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&pattern, Type::TEXT), (&oids, Type::OID_ARRAY)];
    let rows = client.query_typed(STORED, &typed).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let kind: String = row.try_get(0)?;
    let name: Option<String> = row.try_get(1)?;
    Ok(Some(format!("{kind} {}", name.unwrap_or_default())))
}
