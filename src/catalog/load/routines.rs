//! Functions, operators, casts, types and extensions.

use tokio_postgres::{Client, Error, Row};

use super::{byte, rows, text};
use crate::catalog::facts::{Cast, Facts, Map, Operator, Routine, Schema, Type};

/// All functions, the server's own too.
const ROUTINES: &str = "SELECT p.oid, p.proname::pg_catalog.text, n.nspname::pg_catalog.text, \
       p.provolatile, p.prokind, p.pronargs, p.pronargdefaults, \
       p.provariadic OPERATOR(pg_catalog.<>) '0'::pg_catalog.oid, p.prorettype, \
       COALESCE(p.proargtypes[0], '0'::pg_catalog.oid), p.prolang OPERATOR(pg_catalog.=) '13'::pg_catalog.oid \
     FROM pg_catalog.pg_proc p \
       JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
     WHERE p.prokind OPERATOR(pg_catalog.<>) 'p'";

const OPERATORS: &str = "SELECT o.oid, o.oprname::pg_catalog.text, n.nspname::pg_catalog.text, o.oprcode::pg_catalog.oid, \
       o.oprleft, o.oprright \
     FROM pg_catalog.pg_operator o \
       JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace";

/// Types but arrays, which are told by their elements, and rows of tables, told by these.
const TYPES: &str = "SELECT t.oid, t.typname::pg_catalog.text, n.nspname::pg_catalog.text, t.typtype, \
       CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd' THEN t.typbasetype ELSE COALESCE(r.rngsubtype, '0'::pg_catalog.oid) END, \
       t.typrelid, t.typarray \
     FROM pg_catalog.pg_type t \
       JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace \
       LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.typrelid \
       LEFT JOIN pg_catalog.pg_range r ON r.rngtypid OPERATOR(pg_catalog.=) t.oid \
     WHERE (t.typtype OPERATOR(pg_catalog.<>) 'c' OR c.relkind OPERATOR(pg_catalog.=) 'c') \
       AND NOT (t.typelem OPERATOR(pg_catalog.<>) '0'::pg_catalog.oid AND t.typlen OPERATOR(pg_catalog.=) (-1)::pg_catalog.int2)";

const CASTS: &str = "SELECT c.castsource, c.casttarget, c.castfunc FROM pg_catalog.pg_cast c \
     WHERE c.castfunc OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid";

const IMPLICIT: &str = "SELECT c.casttarget FROM pg_catalog.pg_cast c \
     WHERE c.castcontext OPERATOR(pg_catalog.=) 'i' \
       AND c.casttarget OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
       AND c.castsource OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid";

/// Functions of ranges, and of operator classes, that are not built in.
const RANGES: &str = "SELECT r.rngtypid, f.f FROM pg_catalog.pg_range r \
       CROSS JOIN LATERAL (VALUES (r.rngcanonical::pg_catalog.oid), (r.rngsubdiff::pg_catalog.oid)) f(f) \
     WHERE f.f OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid";

const CLASSES: &str = "SELECT c.opcintype, p.amproc::pg_catalog.oid \
       FROM pg_catalog.pg_opclass c \
         JOIN pg_catalog.pg_amproc p ON p.amprocfamily OPERATOR(pg_catalog.=) c.opcfamily \
       WHERE p.amproc::pg_catalog.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
     UNION SELECT c.opcintype, o.oprcode::pg_catalog.oid \
       FROM pg_catalog.pg_opclass c \
         JOIN pg_catalog.pg_amop a ON a.amopfamily OPERATOR(pg_catalog.=) c.opcfamily \
         JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) a.amopopr \
       WHERE o.oprcode::pg_catalog.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid";

const EXTENSIONS: &str = "SELECT e.oid, e.extname::pg_catalog.text FROM pg_catalog.pg_extension e";

/// What belongs to extensions: functions, types, relations.
const MEMBERS: &str = "SELECT d.refobjid, d.objid, \
       CASE WHEN d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass THEN 'f' \
         WHEN d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass THEN 't' ELSE 'r' END \
     FROM pg_catalog.pg_depend d \
     WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass \
       AND d.deptype OPERATOR(pg_catalog.=) 'e' \
       AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc'::pg_catalog.regclass, \
         'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass]::pg_catalog.oid[])";

/// Functions of text search templates and parsers that are not built in.
const TEXT_SEARCH: &str = "SELECT t.tmpllexize::pg_catalog.oid, t.tmplname::pg_catalog.text \
       FROM pg_catalog.pg_ts_template t WHERE t.tmpllexize::pg_catalog.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid \
     UNION ALL SELECT p.prstoken::pg_catalog.oid, p.prsname::pg_catalog.text \
       FROM pg_catalog.pg_ts_parser p WHERE p.prstoken::pg_catalog.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid";

/// All of these.
pub(super) struct Loaded {
    routines: Vec<Routine>,
    operators: Vec<Operator>,
    types: Vec<Type>,
    casts: Vec<Cast>,
    implicit: Vec<u32>,
    ranges: Vec<(u32, u32)>,
    classes: Vec<(u32, u32)>,
    extensions: Vec<(u32, Box<str>)>,
    members: Vec<(u32, u32, u8)>,
    text_search: Vec<(u32, Box<str>)>,
}

pub(super) async fn load(client: &Client) -> Result<Loaded, Error> {
    let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let named = |row: &Row| Ok((row.try_get(0)?, text(row, 1)?.into()));
    let (
        routines,
        operators,
        types,
        casts,
        implicit,
        ranges,
        classes,
        extensions,
        members,
        text_search,
    ) = tokio::try_join!(
        rows(client, ROUTINES, routine),
        rows(client, OPERATORS, operator),
        rows(client, TYPES, type_),
        rows(client, CASTS, |row| Ok(Cast {
            source: row.try_get(0)?,
            target: row.try_get(1)?,
            function: row.try_get(2)?,
        })),
        rows(client, IMPLICIT, |row| row.try_get(0)),
        rows(client, RANGES, pair),
        rows(client, CLASSES, pair),
        rows(client, EXTENSIONS, named),
        rows(client, MEMBERS, |row| {
            let class = text(row, 2)?.bytes().next().unwrap_or_default();
            Ok((row.try_get(0)?, row.try_get(1)?, class))
        }),
        rows(client, TEXT_SEARCH, named),
    )?;
    Ok(Loaded {
        routines,
        operators,
        types,
        casts,
        implicit,
        ranges,
        classes,
        extensions,
        members,
        text_search,
    })
}

impl Loaded {
    pub(super) fn put(mut self, facts: &mut Facts) {
        let of = |class| -> Map<u32, u32> {
            let members = self.members.iter().filter(|member| member.2 == class);
            members
                .map(|&(extension, member, _)| (member, extension))
                .collect()
        };
        let (functions, types) = (of(b'f'), of(b't'));
        facts.extension_tables = of(b'r').iter().map(|(&t, &e)| (e, t)).collect();
        for routine in &mut self.routines {
            routine.extension = functions.get(&routine.oid).copied().unwrap_or_default();
        }
        for type_ in &mut self.types {
            type_.extension = types.get(&type_.oid).copied().unwrap_or_default();
        }
        facts.text_search = self.text_search;
        facts.routines = self.routines;
        facts.operators = self.operators;
        facts.types = self.types;
        facts.casts = self.casts;
        facts.implicit = self.implicit;
        facts.ranges = self.ranges;
        facts.classes = self.classes;
        facts.extensions = self.extensions.into_iter().collect();
    }
}

fn routine(row: &Row) -> Result<Routine, Error> {
    let count = |column| -> Result<u16, Error> {
        let count: i16 = row.try_get(column)?;
        Ok(count.unsigned_abs())
    };
    let (all, defaults): (u16, u16) = (count(5)?, count(6)?);
    let arguments = if row.try_get(7)? {
        // None at all for VARIADIC "any".
        (all.saturating_sub(1).saturating_sub(defaults), u16::MAX)
    } else {
        (all.saturating_sub(defaults), all)
    };
    Ok(Routine {
        oid: row.try_get(0)?,
        name: text(row, 1)?.into(),
        schema: Schema::new(text(row, 2)?),
        volatility: byte(row, 3)?,
        kind: byte(row, 4)?,
        arguments,
        returns: row.try_get(8)?,
        first: row.try_get(9)?,
        is_c: row.try_get(10)?,
        extension: 0,
    })
}

fn operator(row: &Row) -> Result<Operator, Error> {
    Ok(Operator {
        oid: row.try_get(0)?,
        name: text(row, 1)?.into(),
        schema: Schema::new(text(row, 2)?),
        function: row.try_get(3)?,
        operands: [row.try_get(4)?, row.try_get(5)?],
        bound: false,
    })
}

fn type_(row: &Row) -> Result<Type, Error> {
    Ok(Type {
        oid: row.try_get(0)?,
        name: text(row, 1)?.into(),
        schema: Schema::new(text(row, 2)?),
        kind: byte(row, 3)?,
        base: row.try_get(4)?,
        relation: row.try_get(5)?,
        array: row.try_get(6)?,
        extension: 0,
    })
}
