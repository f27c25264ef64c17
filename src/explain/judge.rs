//! The steps that a session takes before it looks into the cache, taken once, with all that is found
//! on the way. A test asks a proxy the same and compares.

use std::collections::BTreeSet;

use crate::cache::rules::{Decision, Hint, Level, Mode, Policy, fingerprint};
use crate::catalog::{Meaning, Refusal, Snapshot, Verdict, WriteSet};
use crate::config::{Config, PoolMode};
use crate::reason::Reason;
use crate::sql::class::{Class, Kind, QName, Uses, Verb, classify};
use crate::sql::effect::Analysis;
use crate::sql::lexer::{Kind as Token, Lexer};
use crate::sql::shape::{Shape, Shaper};

/// Moment literals that are shown. Who has more has seen enough.
const MOMENTS_MAX: usize = 10;

/// What is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub text: &'a [u8],
    /// As the client names them.
    pub database: &'a str,
    pub user: &'a str,
}

/// All there is to say of a text.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub outcome: Outcome,
    /// What the text is by itself.
    pub kind: Kind,
    /// The text as a key has it.
    pub text: String,
    pub shape: String,
    /// The shape's name.
    pub fingerprint: String,
    /// The client's database and user.
    pub database: String,
    pub user: String,
    /// Who asks upstream; it is in the key.
    pub upstream_user: String,
    /// Literals that may mean a moment.
    pub moments: Vec<String>,
    pub hint: Option<String>,
    /// What of the hint is not understood.
    pub complaint: Option<String>,
    /// What settings and rules give, and what is left of it under the hint.
    pub decision: Decision,
    pub verdicts: Vec<Verdict>,
    /// What a result depends on.
    pub depends: Vec<Named>,
    /// What the text itself says that it writes.
    pub targets: Vec<(Verb, String)>,
    pub writes: Writes,
    /// `cache.mode = "shadow"`.
    pub is_watched: bool,
}

/// A relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub kind: &'static str,
}

/// Whether a result is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Cached,
    Never(Refusal),
}

/// What is stale after it has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    Nothing,
    Relations(Vec<Named>),
    Everything(Refusal),
    /// The catalog, and with it everything.
    Definitions,
}

impl Explanation {
    /// Judges the text.
    pub fn new(asked: &Asked<'_>, config: &Config, snapshot: &Snapshot) -> Self {
        let mut shaper = Shaper::default();
        let shape = shaper.read(asked.text, true);
        let class = class_of(asked.text, &shape);
        let meaning = snapshot.resolve(&class);
        let policy = config.policy();
        let entry = config.databases.get(asked.database);
        let fingerprint = fingerprint(shape.shape);
        let depends = named(snapshot, meaning.read.as_deref().unwrap_or_default());
        let hint = shape.hint.map(Hint::read);
        let ruled = decide(&policy, asked, &depends, &fingerprint);
        let decision = hint.as_ref().map_or(ruled, |hint| hint.lower(ruled));
        let moments = moments(asked.text, &shape);
        let mode = entry.and_then(|e| e.pool_mode).unwrap_or(config.pool.mode);
        let steps = Steps {
            asked,
            class: &class,
            snapshot,
            meaning: &meaning,
            moments: &moments,
            ruled,
            decision,
            complaint: hint.as_ref().and_then(|hint| hint.complaint.as_deref()),
            mode,
        };
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            outcome: match steps.refusal() {
                Some(refusal) => Outcome::Never(refusal),
                None => Outcome::Cached,
            },
            kind: class.kind,
            text: lossy(shape.text),
            shape: lossy(shape.shape.trim_ascii_end()),
            fingerprint,
            database: asked.database.to_owned(),
            user: asked.user.to_owned(),
            upstream_user: entry
                .and_then(|e| e.user.as_deref())
                .unwrap_or(asked.user)
                .to_owned(),
            hint: shape.hint.map(lossy),
            complaint: hint.and_then(|hint| hint.complaint),
            decision,
            verdicts: snapshot.explain(&class),
            depends,
            targets: targets(&class),
            writes: writes(snapshot, &meaning),
            is_watched: policy.mode == Mode::Shadow,
            moments,
        }
    }

    /// The verdicts against caching.
    pub fn objections(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.is_fine())
    }
}

/// What the proxy takes the text for.
fn class_of(text: &[u8], shape: &Shape<'_>) -> Class {
    if shape.broken {
        return Class {
            kind: Kind::Everything(Reason::ParseError),
            uses: Uses::default(),
            writes: Box::default(),
        };
    }
    classify(text, true)
}

fn decide(policy: &Policy, asked: &Asked<'_>, depends: &[Named], fingerprint: &str) -> Decision {
    let tables: Vec<&str> = depends.iter().map(|named| &*named.name).collect();
    policy.decide(asked.database, asked.user, &tables, fingerprint)
}

/// What the steps need to know.
struct Steps<'a> {
    asked: &'a Asked<'a>,
    class: &'a Class,
    snapshot: &'a Snapshot,
    meaning: &'a Meaning,
    moments: &'a [String],
    ruled: Decision,
    decision: Decision,
    complaint: Option<&'a str>,
    mode: PoolMode,
}

impl Steps<'_> {
    /// The first reason not to cache, in the order in which a session looks for one.
    fn refusal(&self) -> Option<Refusal> {
        self.of_kind()
            .or_else(|| self.of_text())
            .or_else(|| self.of_level())
            .or_else(|| self.meaning.read.as_ref().err().cloned())
            .or_else(|| self.of_pool())
    }

    fn of_kind(&self) -> Option<Refusal> {
        let reason = match self.class.kind {
            Kind::Read => return None,
            Kind::NoCache(reason) | Kind::Everything(reason) => reason,
            Kind::Write => Reason::Write,
            Kind::Definition => Reason::Definition,
        };
        // The catalog may know more of it.
        let known = self.meaning.read.as_ref().err();
        let known = known.filter(|refusal| refusal.reason == reason);
        Some(known.cloned().unwrap_or_else(|| refused(reason, "")))
    }

    fn of_text(&self) -> Option<Refusal> {
        if let Some(moment) = self.moments.first() {
            return Some(refused(Reason::Moment, moment));
        }
        if let Some(forbids) = self.snapshot.forbids() {
            return Some(refused(Reason::Defaults, forbids));
        }
        let analysis = crate::sql::analyze(self.asked.text, true, Some(self.snapshot));
        if analysis == Analysis::Plain {
            return None;
        }
        let mut why = "it may change its session unseen".to_owned();
        if let Err(refusal) = &self.meaning.read {
            why = format!("{why}: {}", refusal.object);
        }
        Some(refused(Reason::Session, &why))
    }

    fn of_level(&self) -> Option<Refusal> {
        if self.ruled.level == Level::Off {
            let why = format!("by {}", self.ruled.because);
            return Some(refused(Reason::Disabled, &why));
        }
        if self.decision.level == Level::Off {
            return Some(refused(Reason::Hint, self.complaint.unwrap_or_default()));
        }
        None
    }

    fn of_pool(&self) -> Option<Refusal> {
        (self.mode == PoolMode::Session)
            .then(|| refused(Reason::Pinned, "the pool is in session mode"))
    }
}

fn refused(reason: Reason, object: &str) -> Refusal {
    Refusal {
        reason,
        object: object.into(),
    }
}

fn named(snapshot: &Snapshot, oids: &[u32]) -> Vec<Named> {
    let mut all: Vec<Named> = oids
        .iter()
        .filter_map(|oid| {
            Some(Named {
                name: snapshot.relation_name(*oid)?.to_owned(),
                kind: snapshot.relation_kind(*oid)?,
            })
        })
        .collect();
    all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    all
}

fn targets(class: &Class) -> Vec<(Verb, String)> {
    let name = |name: &QName| match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    };
    let writes = class.writes.iter();
    let all: BTreeSet<(Verb, String)> = writes
        .map(|write| (write.verb, name(&write.relation)))
        .collect();
    all.into_iter().collect()
}

fn writes(snapshot: &Snapshot, meaning: &Meaning) -> Writes {
    match &meaning.writes {
        WriteSet::Nothing => Writes::Nothing,
        WriteSet::Relations(oids) => Writes::Relations(named(snapshot, oids)),
        WriteSet::Everything(refusal) => Writes::Everything(refusal.clone()),
        WriteSet::Definitions => Writes::Definitions,
    }
}

/// The literals that keep the text from being cached.
fn moments(text: &[u8], shape: &Shape<'_>) -> Vec<String> {
    if !shape.moment {
        return Vec::new();
    }
    let mut shaper = Shaper::default();
    let mut found = Vec::new();
    for token in Lexer::new(text, true) {
        let raw = text.get(token.start..token.end).unwrap_or_default();
        let literal = matches!(
            token.kind,
            Token::Text | Token::TextEscape | Token::TextUnicode | Token::TextDollar
        );
        if literal && found.len() < MOMENTS_MAX && shaper.read(raw, true).moment {
            found.push(String::from_utf8_lossy(raw).into_owned());
        }
    }
    if found.is_empty() {
        found.push("a literal with UESCAPE".to_owned());
    }
    found
}
