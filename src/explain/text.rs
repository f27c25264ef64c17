//! The explanation for people: a sentence, and then what it follows from.

use std::fmt::{self, Display};
use std::time::Duration;

use super::judge::{Explanation, Named, Outcome, Writes};
use crate::cache::rules::Level;
use crate::catalog::{Object, Refusal, Verdict};
use crate::reason::Reason;
use crate::session::neutral;
use crate::sql::class::{Kind, Verb};

/// How much of a text or shape is shown; JSON has all of it.
const SHOWN_MAX: usize = 300;

/// Names in a sentence; the list below it has all.
const NAMES_MAX: usize = 4;

/// Columns of what stands in front of each part.
const LABEL: usize = 12;

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence())?;
        if let Some(remedy) = self.remedy() {
            writeln!(f, "{remedy}")?;
        }
        writeln!(f)?;
        part(f, "class", &[self.class()])?;
        self.objects(f)?;
        if self.moments.is_empty() {
            part(f, "literals", &["none that may mean a moment".to_owned()])?;
        } else {
            let moments = self.moments.iter();
            let lines: Vec<String> = moments
                .map(|literal| format!("NOT {literal}: it may mean a moment"))
                .collect();
            part(f, "literals", &lines)?;
        }
        part(f, "hint", &self.hint_lines())?;
        part(f, "level", &[self.level_line()])?;
        part(f, "key", &self.key_lines())?;
        part(f, "stale after", &self.stale_lines())?;
        part(f, "writes", &self.write_lines())?;
        part(
            f,
            "shape",
            &[self.fingerprint.clone(), shortened(&self.shape)],
        )
    }
}

/// A part with its label in front of the first line.
fn part(f: &mut fmt::Formatter<'_>, label: &str, lines: &[String]) -> fmt::Result {
    let mut label = label;
    for line in lines {
        writeln!(f, "{label:LABEL$}{line}")?;
        label = "";
    }
    Ok(())
}

impl Explanation {
    /// The whole answer in a sentence or two.
    pub fn sentence(&self) -> String {
        let subject = match self.kind {
            Kind::Read => "query",
            Kind::NoCache(Reason::NotAQuery) => "statement",
            Kind::NoCache(_) => "query",
            Kind::Write | Kind::Definition | Kind::Everything(_) => "statement",
        };
        let mut sentence = match &self.outcome {
            Outcome::Cached => format!("This {subject} is cached for {}", self.lifetime()),
            Outcome::Never(refusal) => {
                format!(
                    "This {subject} is never cached, because {}",
                    self.because(refusal)
                )
            }
        };
        sentence.push('.');
        match &self.writes {
            Writes::Nothing => {}
            Writes::Relations(list) => {
                sentence.push_str(&format!(
                    " It makes stale what was cached from {}.",
                    names(list)
                ));
            }
            Writes::Everything(refusal) => {
                sentence.push_str(&format!(
                    " It counts as a write of everything, because {}.",
                    self.because(refusal)
                ));
            }
            Writes::Definitions => sentence.push_str(" It makes stale all that was cached."),
        }
        sentence
    }

    fn lifetime(&self) -> String {
        let life = self.decision.life;
        let mut text = format!(
            "{} (level {})",
            span(life.ttl),
            self.decision.level.as_str()
        );
        if !life.swr.is_zero() {
            text.push_str(&format!(
                ", and {} more while it is renewed",
                span(life.swr)
            ));
        }
        match (self.decision.level, self.depends.is_empty()) {
            (Level::Ttl, _) => text.push_str(", whatever is written meanwhile"),
            (_, true) => text.push_str("; it depends on no table"),
            (_, false) => text.push_str(&format!(
                "; a write to {} through pgweir ends that at once",
                names(&self.depends)
            )),
        }
        if self.is_watched {
            text.push_str("; but cache.mode is shadow, so the database answers all the same");
        }
        text
    }

    /// Why not, in the words of [`Reason`].
    fn because(&self, refusal: &Refusal) -> String {
        let sentence = refusal.reason.sentence();
        let culprit = self.culprit(refusal);
        if let (Some(verdict), Some(rest)) = (culprit, sentence.strip_prefix("it ")) {
            let who = verdict.within.as_deref().unwrap_or("it");
            return format!("{who} calls {}(), which {rest}", verdict.name);
        }
        match &*refusal.object {
            "" => sentence.to_owned(),
            object if object == sentence => sentence.to_owned(),
            object => format!("{sentence}: {object}"),
        }
    }

    /// The function that the refusal is about.
    fn culprit(&self, refusal: &Refusal) -> Option<&Verdict> {
        let name = refusal.object.strip_prefix("function ")?;
        let name = name.strip_suffix(refusal.reason.sentence())?;
        let name = name.strip_suffix(": ")?;
        self.objections().find(|verdict| {
            verdict.object == Object::Function
                && verdict.name.rsplit('.').next() == Some(name)
                && verdict.refusal.as_ref() == Some(refusal)
        })
    }

    /// What somebody could do about it, in the words of [`Reason`].
    pub fn remedy(&self) -> Option<&'static str> {
        match (&self.writes, &self.outcome) {
            (Writes::Everything(refusal), _) | (_, Outcome::Never(refusal)) => {
                Some(refusal.reason.remedy())
            }
            (_, Outcome::Cached) => self.is_watched.then(|| Reason::Shadow.remedy()),
        }
    }

    /// The class in words.
    pub fn class(&self) -> String {
        match self.kind {
            Kind::Read => "read".to_owned(),
            Kind::NoCache(reason) => {
                format!("not cached ({}: {})", reason.as_str(), reason.sentence())
            }
            Kind::Write => "write".to_owned(),
            Kind::Definition => "definition (DDL, privileges)".to_owned(),
            Kind::Everything(reason) => {
                format!(
                    "write of everything ({}: {})",
                    reason.as_str(),
                    reason.sentence()
                )
            }
        }
    }

    /// Relations, functions and so on, each kind with its label.
    fn objects(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (object, label) in [
            (Object::Relation, "relations"),
            (Object::Function, "functions"),
            (Object::Operator, "operators"),
            (Object::Type, "types"),
            (Object::Column, "columns"),
            (Object::Other, "besides"),
        ] {
            let verdicts = self.verdicts.iter().filter(|v| v.object == object);
            let lines: Vec<String> = verdicts.map(line).collect();
            part(f, label, &lines)?;
        }
        Ok(())
    }

    fn hint_lines(&self) -> Vec<String> {
        let Some(hint) = &self.hint else {
            return vec!["none".to_owned()];
        };
        let complaint = self.complaint.iter().cloned();
        std::iter::once(hint.clone()).chain(complaint).collect()
    }

    fn level_line(&self) -> String {
        let life = self.decision.life;
        if self.decision.level == Level::Off {
            return format!("off: {}", self.decision.because);
        }
        format!(
            "{}, {} and {} more while it is renewed: {}",
            self.decision.level.as_str(),
            span(life.ttl),
            span(life.swr),
            self.decision.because
        )
    }

    fn key_lines(&self) -> Vec<String> {
        if self.outcome != Outcome::Cached {
            return vec!["none".to_owned()];
        }
        vec![
            format!(
                "database {}, user {} (and role)",
                self.database, self.upstream_user
            ),
            format!("text {}", shortened(&self.text)),
            "types, formats and values of parameters; formats of results".to_owned(),
            format!("settings {}", neutral::REPORTED.join(", ")),
            "and all others that a session sets (search_path, role, app.tenant, ...)".to_owned(),
            "but those that cannot change a result (application_name, statement_timeout, ...)"
                .to_owned(),
        ]
    }

    fn stale_lines(&self) -> Vec<String> {
        if self.outcome != Outcome::Cached {
            return vec!["nothing, since it is not cached".to_owned()];
        }
        let age = span(
            self.decision
                .life
                .ttl
                .saturating_add(self.decision.life.swr),
        );
        let mut lines = Vec::new();
        if self.decision.level == Level::Ryw {
            lines.extend(
                self.depends
                    .iter()
                    .map(|named| format!("a write to {}", named.name)),
            );
            lines.push("a write of everything (what pgweir cannot see through)".to_owned());
        }
        lines.push("DDL and privileges".to_owned());
        lines.push(age);
        lines
    }

    fn write_lines(&self) -> Vec<String> {
        let targets = self.targets.iter();
        let targets: Vec<String> = targets
            .map(|(verb, name)| format!("{} {name}", verb_word(*verb)))
            .collect();
        let mut lines = Vec::new();
        if !targets.is_empty() {
            lines.push(format!("the text: {}", targets.join(", ")));
        }
        match &self.writes {
            Writes::Nothing => lines.push("nothing".to_owned()),
            Writes::Relations(list) => {
                lines.push("with partitions, foreign keys, views, rules and triggers:".to_owned());
                lines.extend(
                    list.iter()
                        .map(|named| format!("{} ({})", named.name, named.kind)),
                );
            }
            Writes::Everything(refusal) => {
                let reason = refusal.reason;
                lines.push(format!(
                    "everything ({}): {}",
                    reason.as_str(),
                    refusal.object
                ));
            }
            Writes::Definitions => lines.push("the catalog, and with it everything".to_owned()),
        }
        lines
    }
}

/// A verdict: who, from where, and why.
fn line(verdict: &Verdict) -> String {
    let mark = if verdict.is_fine() { "ok " } else { "NOT" };
    let within = match &verdict.within {
        Some(within) => format!(" (in {within})"),
        None => String::new(),
    };
    let reason = match &verdict.refusal {
        Some(refusal) => format!("{}, ", refusal.reason.as_str()),
        None => String::new(),
    };
    format!("{mark} {}{within}: {reason}{}", verdict.name, verdict.why)
}

/// The word of SQL for it.
pub(super) fn verb_word(verb: Verb) -> &'static str {
    match verb {
        Verb::Insert => "insert",
        Verb::Update => "update",
        Verb::Delete => "delete",
        Verb::Truncate { cascade: false } => "truncate",
        Verb::Truncate { cascade: true } => "truncate cascade",
    }
}

/// `a, b or c`, the first few.
fn names(list: &[Named]) -> String {
    let shown: Vec<&str> = list
        .iter()
        .take(NAMES_MAX)
        .map(|named| &*named.name)
        .collect();
    let more = list.len().saturating_sub(NAMES_MAX);
    match (shown.split_last(), more) {
        (None, _) => "nothing".to_owned(),
        (Some((last, [])), 0) => (*last).to_owned(),
        (Some((last, first)), 0) => format!("{} or {last}", first.join(", ")),
        (Some(_), more) => format!("{} or {more} more", shown.join(", ")),
    }
}

/// `60 s`, `250 ms`.
fn span(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 && millis != 0 {
        format!("{millis} ms")
    } else {
        format!("{} s", duration.as_secs_f64())
    }
}

/// On one line.
fn shortened(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    if words.chars().count() <= SHOWN_MAX {
        return words;
    }
    let start: String = words.chars().take(SHOWN_MAX).collect();
    format!("{start}...")
}
