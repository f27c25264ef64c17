//! The explanation for programs.
//!
//! One object. What is there stays there, under its name and with its meaning, as long as `version`
//! is 1; more may come.
//!
//! | member | what |
//! |---|---|
//! | `version` | 1 |
//! | `cached` | whether a result is kept |
//! | `sentence` | the answer for people |
//! | `reason`, `because` | why not: a word of the console's, and what in particular; null if cached |
//! | `remedy` | what can be done about that, as the page says it; null if nothing is in the way |
//! | `class`, `class_reason` | `read`, `nocache`, `write`, `definition`, `everything`; why, or null |
//! | `objects` | `[{object, name, within, ok, reason, why, writes_anything}]`; `object` is relation, function, operator, type, column or other; `within` is the view that brings it, or null |
//! | `moments` | literals that may mean a moment |
//! | `hint` | `{text, complaint}` or null |
//! | `level`, `ttl_ms`, `swr_ms`, `decided_by` | what settings, rules and hint give |
//! | `mode` | `on` or `shadow` |
//! | `key` | `{database, user, text, parameters, settings: {always, neutral, neutral_beginnings, neutral_endings, forbidding}}`: settings in none of the lists count when a session has set them; under a forbidding one nothing is cached |
//! | `depends` | `[{name, kind}]`: what a write to makes a result stale, at level `ryw` |
//! | `targets` | `[{verb, name}]`: what the text itself writes |
//! | `writes` | `{scope, relations: [{name, kind}], reason, because}`; `scope` is nothing, relations, everything or definitions |
//! | `shape`, `fingerprint` | the text without literals, and its name for `[[cache.rules]]` |

use serde_json::{Value, json};

use super::judge::{Explanation, Named, Outcome, Writes};
use super::text::verb_word;
use crate::catalog::{Refusal, Verdict};
use crate::reason::Reason;
use crate::session::neutral;
use crate::sql::class::Kind;

/// The object as text, with a line's end.
pub fn render(explanation: &Explanation) -> String {
    format!("{:#}\n", value(explanation))
}

fn value(it: &Explanation) -> Value {
    let refusal = match &it.outcome {
        Outcome::Cached => None,
        Outcome::Never(refusal) => Some(refusal),
    };
    let (class, class_reason) = class(it.kind);
    let hint = it.hint.as_ref();
    let targets = it.targets.iter();
    let targets = targets.map(|(verb, name)| json!({"verb": verb_word(*verb), "name": name}));
    json!({
        "version": 1,
        "cached": refusal.is_none(),
        "sentence": it.sentence(),
        "reason": refusal.map(|refusal| refusal.reason.as_str()),
        "because": refusal.map(because),
        "remedy": it.remedy(),
        "class": class,
        "class_reason": class_reason.map(Reason::as_str),
        "objects": it.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "moments": it.moments,
        "hint": hint.map(|text| json!({"text": text, "complaint": it.complaint})),
        "level": it.decision.level.as_str(),
        "ttl_ms": millis(it.decision.life.ttl),
        "swr_ms": millis(it.decision.life.swr),
        "decided_by": it.decision.because.to_string(),
        "mode": if it.is_watched { "shadow" } else { "on" },
        "key": key(it),
        "depends": relations(&it.depends),
        "targets": targets.collect::<Vec<_>>(),
        "writes": writes(&it.writes),
        "shape": it.shape,
        "fingerprint": it.fingerprint,
    })
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn because(refusal: &Refusal) -> String {
    match &*refusal.object {
        "" => refusal.reason.sentence().to_owned(),
        object => object.to_owned(),
    }
}

fn class(kind: Kind) -> (&'static str, Option<Reason>) {
    match kind {
        Kind::Read => ("read", None),
        Kind::NoCache(reason) => ("nocache", Some(reason)),
        Kind::Write => ("write", None),
        Kind::Definition => ("definition", None),
        Kind::Everything(reason) => ("everything", Some(reason)),
    }
}

fn verdict(verdict: &Verdict) -> Value {
    json!({
        "object": verdict.object.as_str(),
        "name": verdict.name,
        "within": verdict.within,
        "ok": verdict.is_fine(),
        "reason": verdict.refusal.as_ref().map(|refusal| refusal.reason.as_str()),
        "why": verdict.why,
        "writes_anything": verdict.opaque,
    })
}

fn key(it: &Explanation) -> Value {
    json!({
        "database": it.database,
        "user": it.upstream_user,
        "text": it.text,
        "parameters": ["types", "formats", "values", "result formats"],
        "settings": {
            "always": neutral::REPORTED,
            "neutral": neutral::NEUTRAL,
            "neutral_beginnings": neutral::NEUTRAL_BEGINNINGS,
            "neutral_endings": neutral::NEUTRAL_ENDINGS,
            "forbidding": neutral::FORBIDDING,
        },
    })
}

fn relations(list: &[Named]) -> Value {
    list.iter()
        .map(|named| json!({"name": named.name, "kind": named.kind}))
        .collect()
}

fn writes(writes: &Writes) -> Value {
    let (scope, list, refusal): (_, &[Named], _) = match writes {
        Writes::Nothing => ("nothing", &[], None),
        Writes::Relations(list) => ("relations", list, None),
        Writes::Everything(refusal) => ("everything", &[], Some(refusal)),
        Writes::Definitions => ("definitions", &[], None),
    };
    json!({
        "scope": scope,
        "relations": relations(list),
        "reason": refusal.map(|refusal| refusal.reason.as_str()),
        "because": refusal.map(because),
    })
}
