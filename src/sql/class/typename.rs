//! Names of types, as casts and typed literals spell them.

use super::QName;
use super::pieces::Piece;
use crate::sql::lexer::Kind;

/// A type that a text names.
#[derive(Debug)]
pub(super) struct TypeName {
    /// Its short name; of an array, the element's.
    pub(super) name: QName,
    /// Whether it is an array of that type.
    pub(super) array: bool,
    /// The place of the first piece behind it.
    pub(super) end: usize,
}

/// What a cast to a type can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Text given to it can mean a moment.
    Moment,
    /// It cannot.
    Plain,
    /// Not built in: a domain over a date, perhaps.
    Unknown,
}

const MOMENTS: &[&str] = &[
    "date",
    "daterange",
    "datemultirange",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "tsrange",
    "tsmultirange",
    "tstzrange",
    "tstzmultirange",
];

/// Built-in types whose input reads no clock. `record` and the row types are not among them.
const PLAIN: &[&str] = &[
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cid",
    "cidr",
    "circle",
    "float4",
    "float8",
    "inet",
    "int2",
    "int2vector",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "oid",
    "oidvector",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "point",
    "polygon",
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "text",
    "tid",
    "tsquery",
    "tsvector",
    "txid_snapshot",
    "uuid",
    "varbit",
    "varchar",
    "xid",
    "xid8",
    "xml",
];

/// What a type of that name may be. A user's type in a schema of its own may have any name.
pub(super) fn family(name: &QName) -> Family {
    if name.schema.as_deref().is_some_and(|s| s != "pg_catalog") {
        return Family::Unknown;
    }
    let short = name.name.strip_prefix('_').unwrap_or(&name.name);
    if MOMENTS.contains(&short) {
        Family::Moment
    } else if PLAIN.contains(&short) {
        Family::Plain
    } else {
        Family::Unknown
    }
}

fn word(pieces: &[Piece], at: usize) -> &str {
    pieces.get(at).map_or("", Piece::word)
}

fn is(pieces: &[Piece], at: usize, kind: Kind) -> bool {
    pieces.get(at).is_some_and(|piece| piece.kind == kind)
}

/// The type that is named at `at`, if one is.
pub(super) fn read(pieces: &[Piece], at: usize) -> Option<TypeName> {
    let start = if word(pieces, at) == "setof" {
        at + 1
    } else {
        at
    };
    let (name, end) = keyword(pieces, start).or_else(|| plain(pieces, start))?;
    let mut at = end;
    let mut array = false;
    loop {
        if pieces
            .get(at)
            .is_some_and(|piece| piece.name == "[" && piece.kind == Kind::Other)
        {
            at += 1;
            if is(pieces, at, Kind::Number) {
                at += 1;
            }
            if pieces.get(at).is_none_or(|piece| piece.name != "]") {
                return None;
            }
            at += 1;
        } else if word(pieces, at) == "array" {
            at += 1;
        } else {
            break;
        }
        array = true;
    }
    Some(TypeName {
        name,
        array,
        end: at,
    })
}

/// Behind a modifier such as `(3)` or `(10, 2)`.
fn modifier(pieces: &[Piece], at: usize) -> usize {
    if !is(pieces, at, Kind::Open) {
        return at;
    }
    let mut end = at + 1;
    while let Some(piece) = pieces.get(end) {
        let part = matches!(
            piece.kind,
            Kind::Number | Kind::Comma | Kind::Word | Kind::Operator
        ) || piece.is_literal();
        if piece.kind == Kind::Close {
            return end + 1;
        }
        if !part {
            break;
        }
        end += 1;
    }
    at
}

/// Behind `YEAR TO MONTH` and the like.
pub(super) fn interval_fields(pieces: &[Piece], at: usize) -> usize {
    let field = |at| {
        matches!(
            word(pieces, at),
            "year" | "month" | "day" | "hour" | "minute" | "second"
        )
    };
    if !field(at) {
        return at;
    }
    let mut end = at + 1;
    if word(pieces, end) == "to" && field(end + 1) {
        end += 2;
    }
    modifier(pieces, end)
}

/// A type whose name the grammar knows.
fn keyword(pieces: &[Piece], at: usize) -> Option<(QName, usize)> {
    let next = at + 1;
    let varying = |at: usize| {
        if word(pieces, at) == "varying" {
            at + 1
        } else {
            at
        }
    };
    let character = |at: usize| {
        let end = varying(at);
        let name = if end > at { "varchar" } else { "bpchar" };
        (name, modifier(pieces, end))
    };
    let (name, end) = match word(pieces, at) {
        "int" | "integer" => ("int4", next),
        "smallint" => ("int2", next),
        "bigint" => ("int8", next),
        "real" => ("float4", next),
        "boolean" => ("bool", next),
        // Which of the two a precision means depends on a literal; both are harmless.
        "float" => ("float8", modifier(pieces, next)),
        "double" if word(pieces, next) == "precision" => ("float8", next + 1),
        "decimal" | "dec" | "numeric" => ("numeric", modifier(pieces, next)),
        "varchar" => ("varchar", modifier(pieces, next)),
        "character" | "char" | "nchar" => character(next),
        "national" if matches!(word(pieces, next), "character" | "char") => character(next + 1),
        "bit" => {
            let end = varying(next);
            let name = if end > next { "varbit" } else { "bit" };
            (name, modifier(pieces, end))
        }
        "time" => zoned(pieces, next, "time", "timetz"),
        "timestamp" => zoned(pieces, next, "timestamp", "timestamptz"),
        "interval" => {
            let end = modifier(pieces, next);
            ("interval", interval_fields(pieces, end))
        }
        _ => return None,
    };
    Some((QName::bare(name), end))
}

fn zoned(
    pieces: &[Piece],
    at: usize,
    without: &'static str,
    with: &'static str,
) -> (&'static str, usize) {
    let at = modifier(pieces, at);
    let zone = word(pieces, at + 1) == "time" && word(pieces, at + 2) == "zone";
    match word(pieces, at) {
        "with" if zone => (with, at + 3),
        "without" if zone => (without, at + 3),
        _ => (without, at),
    }
}

/// A type by its name in the catalog.
fn plain(pieces: &[Piece], at: usize) -> Option<(QName, usize)> {
    let mut parts = Vec::new();
    let mut at = at;
    loop {
        let piece = pieces.get(at).filter(|piece| piece.is_name())?;
        parts.push(piece.name.as_str());
        at += 1;
        if !is(pieces, at, Kind::Dot) {
            break;
        }
        at += 1;
    }
    let (name, schema) = match parts.as_slice() {
        [name] => (*name, None),
        [.., schema, name] => (*name, Some((*schema).into())),
        [] => return None,
    };
    let name = QName {
        schema,
        name: name.into(),
    };
    Some((name, modifier(pieces, at)))
}
