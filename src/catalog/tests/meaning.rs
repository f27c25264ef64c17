//! What may be cached, in a database that has some of everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::server::Server;
use crate::catalog::load::load;
use crate::catalog::{Declared, Effects, Snapshot, WriteSet};
use crate::reason::Reason;
use crate::sql::class::{Call, Class, Kind, QName, Uses};

pub(super) const FIXTURE: &str = include_str!("fixture.sql");

pub(super) fn name(text: &str) -> QName {
    match text.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => QName {
            schema: Some(schema.into()),
            name: name.into(),
        },
        _ => QName {
            schema: None,
            name: text.into(),
        },
    }
}

/// `relations ; functions/arguments ; operators ; types ; columns cast to dates ; names behind dots`
pub(super) fn uses(text: &str) -> Uses {
    let mut parts = text.split(';').map(str::split_whitespace);
    let mut names = || parts.next().into_iter().flatten();
    Uses {
        relations: names().map(name).collect(),
        functions: names()
            .map(|call| {
                let (called, count) = call.split_once('/').unwrap_or((call, ""));
                Call {
                    name: name(called),
                    arguments: count.parse().ok(),
                }
            })
            .collect(),
        operators: names().map(name).collect(),
        types: names().map(name).collect(),
        datetime_casts: names().map(Into::into).collect(),
        attributes: names().map(Into::into).collect(),
        fields: Box::default(),
    }
}

pub(super) fn class(kind: Kind, text: &str) -> Class {
    Class {
        kind,
        uses: uses(text),
        writes: Box::default(),
    }
}

pub(super) fn declared() -> Declared {
    let effects = |writes: &[&str], reads: Option<&[&str]>| Effects {
        writes: writes.iter().map(|&t| t.to_owned()).collect(),
        reads: reads.map(|tables| tables.iter().map(|&t| t.to_owned()).collect()),
    };
    Declared {
        functions: BTreeMap::from([
            ("total_of".to_owned(), effects(&[], Some(&["orders"]))),
            ("public.f_log".to_owned(), effects(&["log"], None)),
        ]),
        triggers: BTreeMap::from([("declared.keep_log".to_owned(), effects(&["log"], None))]),
        keyed_rls: true,
        foreign_tables: true,
    }
}

/// A database with the fixture, and what is known of it without and with what is declared.
pub(super) async fn known() -> Option<(Server, Snapshot, Snapshot)> {
    let server = Server::start()?;
    let client = Server::connect(server.port).await.unwrap();
    client.batch_execute(FIXTURE).await.unwrap();
    let plain = load(&client, 1, 7, &Arc::default()).await.unwrap();
    let told = load(&client, 2, 7, &Arc::new(declared())).await.unwrap();
    assert_eq!(plain.epoch(), 7);
    assert_eq!(plain.forbids(), None);
    Some((server, plain, told))
}

/// The names of relations, sorted, `public.` left out.
pub(super) fn shown(snapshot: &Snapshot, oids: &[u32]) -> String {
    let names = oids.iter().map(|&oid| snapshot.relation_name(oid).unwrap());
    let mut names: Vec<&str> = names
        .map(|name| name.strip_prefix("public.").unwrap_or(name))
        .collect();
    names.sort_unstable();
    names.join(" ")
}

/// Cacheable: what is used, and what the result depends on.
const READS: &[(&str, &str)] = &[
    (
        "users orders ; count/0 sum/1 avg/1 min/1 max/1 json_agg/1 array_agg/1 string_agg/2 bool_or/1 ; = > + || ~~ ~~* ~ @> -> ->> && ; ",
        "orders users",
    ),
    (
        "users ; upper/1 length/1 btrim/1 substring/3 concat/3 format/2 to_char/2 date_trunc/2 extract/2 date_part/2",
        "users",
    ),
    (
        "users ; row_number/0 rank/0 lag/1 lead/2 percentile_cont/1 ntile/1",
        "users",
    ),
    (
        "users ; jsonb_build_object/4 to_jsonb/1 jsonb_array_elements/1 row_to_json/1 generate_series/2 unnest/1",
        "users",
    ),
    ("; generate_series/2", ""),
    ("users ; to_tsvector/2 to_tsquery/1 ts_rank/2 ; @@", "users"),
    (
        "users ;; = ; text int4 uuid jsonb timestamptz numeric bool mood short varchar",
        "users",
    ),
    ("users ;; = ; date ; seen", "users"),
    ("users ; date/1 ;; date ; seen", "users"),
    (
        "users ; similarity/2 digest/2 citext_hash/1 ; % <-> ; citext hstore",
        "users",
    ),
    ("users ; timezone/2", "users"),
    ("users ;;; dated ; seen", "users"),
    ("users ;;; mood ; name", "users"),
    ("public.users", "users"),
    ("mv", "mv"),
    ("v_users", "users v_users"),
    ("v_again", "users v_again v_users"),
    ("v_join", "orders users v_join"),
    ("v_union", "events orders v_union"),
    ("v_ext", "users v_ext"),
    ("v_json_int", "users v_json_int"),
    ("events", "events"),
    ("events_1a", "events_1a"),
    ("animals", "animals"),
    ("watched", "watched"),
    (
        "ruled defaulted generated checked indexed",
        "checked defaulted generated indexed ruled",
    ),
    ("app.thing", "app.thing"),
    ("people ;;;;; first last count", "people"),
    ("thing", "app.thing items other.thing third.thing"),
    ("app.tables", "app.tables"),
    ("domained", "domained"),
];

/// Not cacheable, and why; `!`: it may also write anything.
const REFUSED: &[(&str, Reason, &str)] = &[
    ("users ; now/0", Reason::Volatile, ""),
    ("users ; random/0", Reason::Volatile, ""),
    ("; nextval/1", Reason::Volatile, ""),
    ("; uuid_generate_v4/0", Reason::Volatile, ""),
    ("; age/1", Reason::Volatile, ""),
    ("; current_setting/1", Reason::Session, ""),
    ("; pg_typeof/1", Reason::Catalog, ""),
    ("; query_to_xml/4", Reason::Opaque, "!"),
    ("; crosstab/1", Reason::Opaque, "!"),
    ("pg_class", Reason::Catalog, ""),
    ("information_schema.tables", Reason::Catalog, ""),
    ("pg_catalog.pg_proc", Reason::Catalog, ""),
    ("pg_temp.x", Reason::TempTable, ""),
    ("nothing", Reason::UnknownRelation, ""),
    ("users ; f_nothing/1", Reason::UserFunction, "!"),
    ("users ;; === ", Reason::UserFunction, "!"),
    ("users ;; @@@@ ", Reason::UserFunction, "!"),
    ("users ; f_lies/1", Reason::UserFunction, "!"),
    ("users ; mixed/1", Reason::UserFunction, "!"),
    ("users ; initcap/1", Reason::UserFunction, "!"),
    ("users ; mul/1", Reason::UserFunction, "!"),
    ("users ;;; logged", Reason::UserFunction, "!"),
    ("users ;;; logged_twice", Reason::UserFunction, "!"),
    ("users ;;; pair", Reason::UserFunction, "!"),
    ("users ;;; regclass", Reason::Catalog, ""),
    ("users ;;; timetz", Reason::Volatile, ""),
    ("log ;;; dated ; what", Reason::Volatile, ""),
    ("log ; dated/1", Reason::Volatile, ""),
    ("users ;;; no_type", Reason::UserFunction, "!"),
    ("log ;; = ; date ; what", Reason::Volatile, ""),
    ("users ;; ->> ; date ; data", Reason::Volatile, ""),
    ("users ;; = ; date ; unknown", Reason::Volatile, ""),
    ("users ; date/1 ;; date ; name", Reason::Volatile, ""),
    ("users ; jsonb_populate_record/2", Reason::Volatile, ""),
    ("times ; timezone/2", Reason::Volatile, ""),
    ("; timezone/2 make_time/3", Reason::Volatile, ""),
    ("app.tables ; timezone/2", Reason::Volatile, ""),
    ("both_times", Reason::Volatile, ""),
    ("app.tables times", Reason::Volatile, ""),
    ("pairs", Reason::UserFunction, "!"),
    ("people ;;;;; full_name", Reason::UserFunction, "!"),
    ("users ;;;;; pg_typeof", Reason::Catalog, ""),
    ("names", Reason::Catalog, ""),
    ("log_id_seq", Reason::Volatile, ""),
    ("far", Reason::Foreign, ""),
    ("v_clock", Reason::Volatile, ""),
    ("v_over_clock", Reason::Volatile, ""),
    ("v_today", Reason::Volatile, ""),
    ("v_me", Reason::Session, ""),
    ("v_catalog", Reason::Catalog, ""),
    ("v_text_date", Reason::Volatile, ""),
    ("v_json_date", Reason::Volatile, ""),
    ("v_sample", Reason::Volatile, ""),
    ("v_logs", Reason::UserFunction, "!"),
    ("docs", Reason::RowSecurity, ""),
    ("v_docs", Reason::RowSecurity, ""),
];

#[tokio::test]
async fn reads_of_a_real_database() {
    let Some((_server, plain, told)) = known().await else {
        return;
    };
    let mut wrong = Vec::new();
    for (text, deps) in READS {
        let meaning = plain.resolve(&class(Kind::Read, text));
        let said = match &meaning.read {
            Ok(read) => shown(&plain, read),
            Err(refusal) => format!("{refusal:?}"),
        };
        if said != *deps || meaning.writes != WriteSet::Nothing {
            wrong.push(format!("{text}: {said}, {:?}", meaning.writes));
        }
    }
    for (text, reason, anything) in REFUSED {
        let meaning = plain.resolve(&class(Kind::Read, text));
        let everything = matches!(meaning.writes, WriteSet::Everything(_));
        let refused = meaning.read.as_ref().err().map(|refusal| refusal.reason);
        if refused != Some(*reason) || everything != (*anything == "!") {
            wrong.push(format!("{text}: {meaning:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What the configuration says.
    for (text, deps) in [
        ("users ; total_of/1", "orders users"),
        ("docs", "docs other.grants"),
        ("v_docs", "docs other.grants v_docs"),
        ("far", "far"),
    ] {
        let meaning = told.resolve(&class(Kind::Read, text));
        let read = meaning
            .read
            .unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        assert_eq!(shown(&told, &read), deps, "{text}");
    }
    let clocked = told.resolve(&class(Kind::Read, "clocked"));
    assert_eq!(clocked.read.unwrap_err().reason, Reason::Volatile);
    let logs = told.resolve(&class(Kind::Read, "v_logs"));
    assert_eq!(logs.read.unwrap_err().reason, Reason::UserFunction);
    let WriteSet::Relations(written) = logs.writes else {
        panic!("{:?}", logs.writes);
    };
    assert_eq!(shown(&told, &written), "log");
    assert_eq!(plain.relations_named("thing").len(), 3);
    assert_eq!(plain.relations_named("app.thing").len(), 1);
}
