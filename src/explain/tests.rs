//! Texts and JSON of explanations that need no database.

use std::time::Duration;

use super::json;
use super::judge::{Explanation, Named, Outcome, Writes};
use crate::cache::Life;
use crate::cache::rules::{Because, Decision, Level};
use crate::catalog::{Object, Refusal, Verdict};
use crate::reason::Reason;
use crate::sql::class::{Kind, Verb};

fn table(name: &str) -> Named {
    Named {
        name: name.to_owned(),
        kind: "table",
    }
}

fn refusal(reason: Reason, object: &str) -> Refusal {
    Refusal {
        reason,
        object: object.into(),
    }
}

fn cached() -> Explanation {
    Explanation {
        outcome: Outcome::Cached,
        kind: Kind::Read,
        text: "select 'a\"b'\n from t".to_owned(),
        shape: "select ' from t".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
        database: "shop".to_owned(),
        user: "bob".to_owned(),
        upstream_user: "app".to_owned(),
        moments: Vec::new(),
        hint: None,
        complaint: None,
        decision: Decision {
            level: Level::Ryw,
            life: Life {
                ttl: Duration::from_secs(60),
                swr: Duration::from_millis(1500),
            },
            because: Because::Rule(2),
        },
        verdicts: Vec::new(),
        depends: vec![table("public.t")],
        targets: Vec::new(),
        writes: Writes::Nothing,
        is_watched: false,
    }
}

#[test]
fn a_cached_read_says_for_how_long() {
    let mut it = cached();
    let sentence = "This query is cached for 60 s (level ryw), and 1.5 s more while it is renewed; \
                    a write to public.t through pgweir ends that at once.";
    assert_eq!(it.sentence(), sentence);
    let text = it.to_string();
    assert_eq!(text.lines().next(), Some(sentence));
    for line in [
        "level       ryw, 60 s and 1.5 s more while it is renewed: rule 2 of [[cache.rules]]",
        "key         database shop, user app (and role)",
        "            text select 'a\"b' from t",
        "stale after a write to public.t",
        "writes      nothing",
        "shape       0123456789abcdef",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    it.depends = ["a", "b", "c", "d", "e", "f"].map(table).to_vec();
    assert!(it.sentence().contains("a, b, c, d or 2 more"));
    it.depends.clear();
    assert!(it.sentence().ends_with("; it depends on no table."));
    it.decision.level = Level::Ttl;
    it.is_watched = true;
    let end = "whatever is written meanwhile; but cache.mode is shadow, so the database answers \
               all the same.";
    assert!(it.sentence().ends_with(end), "{}", it.sentence());
}

/// A refusal is told in the words of [`Reason`], whatever it is.
#[test]
fn every_reason_makes_a_sentence() {
    for reason in Reason::ALL {
        let mut it = cached();
        it.outcome = Outcome::Never(refusal(reason, ""));
        let wanted = format!("This query is never cached, because {}.", reason.sentence());
        assert_eq!(it.sentence(), wanted);
        it.outcome = Outcome::Never(refusal(reason, "public.t"));
        assert!(it.sentence().ends_with(": public.t."));
        assert!(it.to_string().contains("key         none"));
        assert!(json::render(&it).contains(&format!("\"reason\": \"{}\"", reason.as_str())));
    }
}

#[test]
fn a_function_is_called_by_its_name() {
    let object = format!("function now: {}", Reason::Volatile.sentence());
    let refused = refusal(Reason::Volatile, &object);
    let mut it = cached();
    it.outcome = Outcome::Never(refused.clone());
    let verdict = Verdict {
        object: Object::Function,
        name: "now".to_owned(),
        within: None,
        why: object,
        refusal: Some(refused),
        opaque: false,
    };
    it.verdicts = vec![verdict.clone()];
    let sentence = "This query is never cached, because it calls now(), which depends on the clock, \
                    on chance, on sequences or on statistics.";
    assert_eq!(it.sentence(), sentence);
    assert!(
        it.to_string()
            .contains("functions   NOT now: volatile, function now: it depends")
    );
    it.verdicts = vec![Verdict {
        within: Some("public.v".to_owned()),
        ..verdict
    }];
    assert!(
        it.sentence()
            .contains("because public.v calls now(), which")
    );
}

#[test]
fn writes_are_told() {
    let mut it = cached();
    it.kind = Kind::Write;
    it.outcome = Outcome::Never(refusal(Reason::Write, Reason::Write.sentence()));
    it.targets = vec![(Verb::Delete, "t".to_owned())];
    it.writes = Writes::Relations(vec![table("public.t"), table("public.u")]);
    let sentence = "This statement is never cached, because it writes. It makes stale what was \
                    cached from public.t or public.u.";
    assert_eq!(it.sentence(), sentence);
    assert!(it.to_string().contains("writes      the text: delete t\n"));
    it.writes = Writes::Everything(refusal(Reason::UserFunction, "trigger x on t may"));
    let sentence = "It counts as a write of everything, because it uses code that cannot be seen \
                    through: trigger x on t may.";
    assert!(it.sentence().ends_with(sentence), "{}", it.sentence());
    assert_eq!(it.remedy(), Some(Reason::UserFunction.remedy()));
    it.writes = Writes::Definitions;
    assert!(
        it.sentence()
            .ends_with(" It makes stale all that was cached.")
    );
}

#[test]
fn the_members_of_the_json_are_the_documented_ones() {
    let value: serde_json::Value = serde_json::from_str(&json::render(&cached())).unwrap();
    let members: Vec<&String> = value.as_object().unwrap().keys().collect();
    let documented = include_str!("json.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .flat_map(|line| line.split(" | ").next().unwrap_or_default().split(", "))
        .map(|name| name.trim_matches('`').to_owned());
    let mut documented: Vec<String> = documented.collect();
    documented.sort_unstable();
    assert_eq!(members, documented.iter().collect::<Vec<_>>());
    assert_eq!(value["key"]["text"], "select 'a\"b'\n from t");
    assert_eq!(value["ttl_ms"], 60_000);
    assert_eq!(value["because"], serde_json::Value::Null);
}
