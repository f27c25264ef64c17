//! Whether a query may be answered from the cache, and how old the answer may be: a pure decision
//! from the configuration, the names of what is read, and the query's shape.
//!
//! # Which level is stricter
//!
//! `off` serves nothing from memory. `ryw` serves what no write through this process has touched
//! since. `ttl` serves whatever is young enough. In that order more is trusted and older answers are
//! possible, so [`Level`] compares as `off < ryw < ttl`, and *lower* always means nearer to what the
//! database itself would say.
//!
//! # Who may move it
//!
//! The configuration may set any level and any time to live, in either direction: whoever writes it
//! answers for the data. `cache.level` holds for everybody, `[databases.NAME] cache` instead of it
//! for a database, `cache` of a user instead of both, and then the rules in their order, each in
//! place of what was before it, except that `never` stands whatever follows. The client can only
//! lower: a hint ([`Hint`]) or `SET` ([`Switches`]) that asks for more than the configuration gives
//! changes nothing.
//!
//! # Queries over several tables
//!
//! A rule with a table speaks of that table's rows, not of others that happen to be joined to them.
//! So the rules are gone through once for each table, and the query gets the lowest level and the
//! shortest life that any of its tables has: a rule that lets `countries` be old does not let
//! `accounts` be old in a join of the two.

mod hint;
mod switches;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use hint::Hint;
use ring::digest::{SHA256, digest};
pub use switches::Switches;

use super::Life;
use crate::amount::Share;

/// How much is trusted. Later ones serve older answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is answered from memory.
    Off,
    /// Read your writes: nothing from before a write that went through this process.
    Ryw,
    /// Anything young enough.
    Ttl,
}

impl Level {
    /// The word for it, as settings have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ryw => "ryw",
            Self::Ttl => "ttl",
        }
    }
}

/// What is done with a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is the answer.
    On,
    /// It is compared with the database's answer, which the client gets.
    Shadow,
}

/// Digits of a fingerprint: 64 bits, so that among a million shapes two hardly ever share one.
pub const FINGERPRINT_DIGITS: usize = 16;

/// The name of a shape for people, rules and the console. It stays the same across restarts.
pub fn fingerprint(shape: &[u8]) -> String {
    let digest = digest(&SHA256, shape);
    let bytes = digest.as_ref().iter().take(FINGERPRINT_DIGITS / 2);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// One of `[[cache.rules]]`: conditions that must all hold, and what holds then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub database: Option<String>,
    pub user: Option<String>,
    /// As the catalog spells it: `schema.table`, or `table` in whatever schema.
    pub table: Option<String>,
    /// What [`fingerprint`] makes of the shape.
    pub shape: Option<String>,
    pub level: Option<Level>,
    /// The swr is cut to it, so that a short life is short.
    pub ttl: Option<Duration>,
    /// Off for good: no later rule changes it.
    pub never: bool,
}

impl Rule {
    fn suits_session(&self, database: &str, user: &str) -> bool {
        self.database.as_deref().is_none_or(|name| name == database)
            && self.user.as_deref().is_none_or(|name| name == user)
    }

    fn suits_query(&self, table: Option<&str>, shape: &str) -> bool {
        self.shape.as_deref().is_none_or(|name| name == shape)
            && self
                .table
                .as_deref()
                .is_none_or(|rule| table.is_some_and(|table| is_meant(rule, table)))
    }
}

/// Whether the rule's table is the query's, which is qualified.
fn is_meant(rule: &str, table: &str) -> bool {
    rule == table || table.split_once('.').is_some_and(|(_, name)| rule == name)
}

/// What the configuration says of the cache. A reload makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub level: Level,
    pub life: Life,
    /// `[databases.NAME] cache`.
    pub databases: BTreeMap<String, Level>,
    /// `cache` of `[[users]]`.
    pub users: BTreeMap<String, Level>,
    pub rules: Vec<Rule>,
    pub mode: Mode,
    /// The part of all hits that is asked again upstream, to compare.
    pub audit: Share,
    /// The server is asked what was written where it cannot be told from the text.
    pub footprint: bool,
}

/// Who had the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// `cache.level` and its companions.
    Setting,
    /// `[databases.NAME] cache`.
    Database,
    /// `cache` of the user.
    User,
    /// That one of `[[cache.rules]]`, counted from 1.
    Rule(usize),
    /// The comment in front of the text.
    Hint,
    /// `SET pgweir.cache` or `SET pgweir.ttl`.
    Session,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting => f.write_str("the settings cache.level and cache.ttl"),
            Self::Database => f.write_str("the setting `cache` of the database"),
            Self::User => f.write_str("the setting `cache` of the user"),
            Self::Rule(number) => write!(f, "rule {number} of [[cache.rules]]"),
            Self::Hint => f.write_str("the hint in front of the text"),
            Self::Session => f.write_str("the session's own SET"),
        }
    }
}

/// What a query gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub level: Level,
    pub life: Life,
    /// Who had the last word, for explain.
    pub because: Because,
}

impl Decision {
    /// No further than `level`.
    fn at_most(mut self, level: Level, because: Because) -> Self {
        if level < self.level {
            self.level = level;
            self.because = because;
        }
        self
    }

    /// Nothing older than `age`, refreshed in the background or not. No age at all is `off`.
    fn not_older_than(mut self, age: Duration, because: Because) -> Self {
        if age.is_zero() {
            return self.at_most(Level::Off, because);
        }
        let Life { ttl, swr } = self.life;
        if age < ttl.saturating_add(swr) {
            self.life.ttl = ttl.min(age);
            self.life.swr = age.saturating_sub(self.life.ttl);
            self.because = because;
        }
        self
    }

    /// The rule's effect takes the place of what was before.
    fn follow(&mut self, number: usize, rule: &Rule, swr: Duration) {
        self.because = Because::Rule(number);
        if let Some(level) = rule.level {
            self.level = level;
        }
        if let Some(ttl) = rule.ttl {
            self.life.ttl = ttl;
            self.life.swr = swr.min(ttl);
        }
        if rule.never {
            self.level = Level::Off;
        }
    }

    /// What holds when both hold: the lower level, the shorter life. The reason is the lower one's.
    fn and(self, other: Self) -> Self {
        let rank = |decision: &Self| (decision.level, decision.life.ttl, decision.life.swr);
        let lower = if rank(&other) < rank(&self) {
            other
        } else {
            self
        };
        Self {
            life: Life {
                ttl: self.life.ttl.min(other.life.ttl),
                swr: self.life.swr.min(other.life.swr),
            },
            ..lower
        }
    }
}

impl Policy {
    /// Whether nobody may use the cache, whatever they ask.
    pub fn is_off(&self) -> bool {
        let named = self.databases.values().chain(self.users.values());
        let ruled = self.rules.iter().filter_map(|rule| rule.level.as_ref());
        let mut levels = std::iter::once(&self.level).chain(named).chain(ruled);
        levels.all(|level| *level == Level::Off)
    }

    /// What that user's query of that database gets; `tables` are the qualified names of all it
    /// reads, `shape` its fingerprint. Sessions ask a [`Standing`] instead, which has done the
    /// session's part already.
    pub fn decide(&self, database: &str, user: &str, tables: &[&str], shape: &str) -> Decision {
        let rules = self.rules_of(database, user);
        self.judge(self.base(database, user), &rules, tables, shape)
    }

    /// What holds before any rule.
    fn base(&self, database: &str, user: &str) -> Decision {
        let of_user = self.users.get(user).map(|level| (*level, Because::User));
        let of_database = || Some((*self.databases.get(database)?, Because::Database));
        let (level, because) = of_user
            .or_else(of_database)
            .unwrap_or((self.level, Because::Setting));
        Decision {
            level,
            life: self.life,
            because,
        }
    }

    /// The places of the rules that a session's queries can meet.
    fn rules_of(&self, database: &str, user: &str) -> Box<[usize]> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| rule.suits_session(database, user))
            .map(|(at, _)| at)
            .collect()
    }

    fn judge(&self, base: Decision, rules: &[usize], tables: &[&str], shape: &str) -> Decision {
        let of = |table: Option<&str>| {
            let mut decision = base;
            for at in rules {
                let rule = self.rules.get(*at);
                let Some(rule) = rule.filter(|rule| rule.suits_query(table, shape)) else {
                    continue;
                };
                decision.follow(at + 1, rule, self.life.swr);
                if rule.never {
                    break;
                }
            }
            decision
        };
        tables
            .iter()
            .map(|table| of(Some(table)))
            .reduce(Decision::and)
            .unwrap_or_else(|| of(None))
    }
}

/// A policy as one session meets it: what does not depend on the query is worked out once.
#[derive(Clone, Debug)]
pub struct Standing {
    policy: Arc<Policy>,
    base: Decision,
    rules: Box<[usize]>,
}

impl Standing {
    /// `database` and `user` as the client named them.
    pub fn new(policy: Arc<Policy>, database: &str, user: &str) -> Self {
        Self {
            base: policy.base(database, user),
            rules: policy.rules_of(database, user),
            policy,
        }
    }

    /// Whether it was made from this very policy. If not, a reload came and a new one is due.
    pub fn is_of(&self, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.policy, policy)
    }

    /// The policy it was made from.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether every query gets the same, so that tables and shape need not be known.
    pub fn is_simple(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a query gets: see [`Policy::decide`].
    pub fn decide(&self, tables: &[&str], shape: &str) -> Decision {
        if self.rules.is_empty() {
            return self.base;
        }
        self.policy.judge(self.base, &self.rules, tables, shape)
    }
}
