//! What writes change, in the database of [`super::meaning`].

use super::meaning::{class, known, name, shown};
use crate::catalog::{Snapshot, WriteSet};
use crate::sql::class::{Class, Kind, Verb, Write};

/// `insert t`, `delete only t`.
fn write(text: &str) -> Class {
    let mut words: Vec<&str> = text.split(' ').collect();
    let only = words.contains(&"only");
    words.retain(|word| *word != "only");
    let verb = match words[0] {
        "insert" => Verb::Insert,
        "update" => Verb::Update,
        "delete" => Verb::Delete,
        "truncate" => Verb::Truncate { cascade: false },
        _ => Verb::Truncate { cascade: true },
    };
    Class {
        writes: Box::new([Write {
            relation: name(words[1]),
            verb,
            only,
        }]),
        ..class(Kind::Write, words[1])
    }
}

fn written(snapshot: &Snapshot, text: &str) -> String {
    match snapshot.resolve(&write(text)).writes {
        WriteSet::Nothing => "nothing".to_owned(),
        WriteSet::Relations(oids) => shown(snapshot, &oids),
        WriteSet::Everything(refusal) => format!("! {}", refusal.object),
        WriteSet::Definitions => "definitions".to_owned(),
    }
}

const WRITES: &[(&str, &str)] = &[
    ("insert users", "users"),
    ("update users", "users"),
    ("delete users", "items orders users"),
    ("delete orders", "items orders"),
    ("update orders", "items orders"),
    ("delete items", "items"),
    ("truncate orders", "orders"),
    ("cascade orders", "items notes orders"),
    ("cascade users", "items notes orders tree users"),
    ("delete tree", "tree"),
    ("delete ring_a", "ring_a ring_b"),
    ("update ring_b", "ring_a ring_b"),
    (
        "insert events",
        "events events_1 events_1a events_1b events_2",
    ),
    ("insert events_1", "events events_1 events_1a events_1b"),
    ("insert events_1a", "events events_1 events_1a"),
    ("update events_2", "events events_2"),
    ("delete only events_1", "events events_1"),
    ("insert animals", "animals"),
    ("update animals", "animals cats kittens"),
    ("update only animals", "animals"),
    ("delete cats", "animals cats kittens"),
    ("update v_users", "users v_users"),
    ("insert v_again", "users v_again v_users"),
    ("delete v_users", "items orders users v_users"),
    ("update watched", "watched"),
    ("truncate watched", "watched"),
    ("insert unwatched", "unwatched"),
    ("update touched", "touched"),
    ("delete defaulted", "defaulted"),
    ("insert ruled", "notes ruled"),
    ("insert thing", "app.thing items other.thing third.thing"),
    ("insert app.thing", "app.thing"),
    ("insert pg_class", "definitions"),
    ("insert mv", "mv"),
];

/// A write of everything, and what is to blame.
const EVERYTHING: &[(&str, &str)] = &[
    ("insert nothing", "nothing"),
    ("insert pg_temp.x", "temporary"),
    ("insert watched", "trigger watch on public.watched"),
    ("delete watched", "trigger watch on public.watched"),
    ("delete to_watched", "trigger watch on public.watched"),
    ("delete v_watched", "trigger watch on public.watched"),
    ("insert v_instead", "trigger instead"),
    ("insert declared", "trigger keep_log"),
    ("insert defaulted", "f_log"),
    ("insert generated", "twice"),
    ("update checked", "twice"),
    ("insert indexed", "twice"),
    ("insert domained", "f_log"),
    ("insert xml_default", "query_to_xml"),
    ("insert pairs", "pair_text"),
    ("update far", "foreign"),
];

#[tokio::test]
async fn writes_to_a_real_database() {
    let Some((_server, plain, told)) = known().await else {
        return;
    };
    let mut wrong = Vec::new();
    for (text, relations) in WRITES {
        let found = written(&plain, text);
        if found != *relations {
            wrong.push(format!("{text}: {found}"));
        }
    }
    for (text, blamed) in EVERYTHING {
        let found = written(&plain, text);
        if !found.starts_with('!') || !found.contains(blamed) {
            wrong.push(format!("{text}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (text, relations) in [
        ("insert declared", "declared log"),
        ("insert defaulted", "defaulted log"),
        ("insert docs", "docs"),
    ] {
        assert_eq!(written(&told, text), relations, "{text}");
    }
    let kinds = [
        (Kind::Definition, WriteSet::Definitions),
        (
            Kind::NoCache(crate::reason::Reason::Locks),
            WriteSet::Nothing,
        ),
        (Kind::Read, WriteSet::Nothing),
    ];
    for (kind, writes) in kinds {
        assert_eq!(plain.resolve(&class(kind, "users")).writes, writes);
    }
}
