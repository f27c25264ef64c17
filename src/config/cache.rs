//! The part of the configuration that is about the cache.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Config;
use crate::amount::{Share, Size};
use crate::cache::Life;
use crate::cache::rules::{Level, Mode, Policy, Rule};
use crate::catalog::{self, Declared};

/// `[cache]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    pub level: Level,
    pub ttl: Duration,
    pub stale_while_revalidate: Duration,
    /// Results, keys and bookkeeping together.
    pub bytes_max: Size,
    pub result_bytes_max: Size,
    /// Besides `bytes_max`; for tests, and for boxes where even the bookkeeping counts.
    pub entries_max: Option<usize>,
    pub mode: Mode,
    /// The part of all hits that is asked again upstream, to compare.
    pub audit: Share,
    pub row_security: RowSecurity,
    pub foreign_tables: ForeignTables,
    pub footprint: Footprint,
    /// What functions do that pgweir cannot see through, by `name` or `schema.name`.
    pub functions: BTreeMap<String, Effects>,
    /// What triggers do, by `name` or `table.name`.
    pub triggers: BTreeMap<String, Effects>,
    pub rules: Vec<Rule>,
}

/// What is done about tables under row security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSecurity {
    /// Reads of them are not cached.
    Refuse,
    /// They are, separately for everybody whom the policies can tell apart.
    Keyed,
}

/// What is done about foreign tables, which change where nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignTables {
    /// Reads of them are not cached.
    Refuse,
    /// They may be as old as the time to live allows.
    Ttl,
}

/// Whether the server is asked what was written where it cannot be told from the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footprint {
    /// It counts as everything.
    Off,
    /// The locks of the transaction tell.
    On,
}

/// What somebody declares a function or trigger to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// Tables that it writes, as `schema.table` or `table`; empty: none.
    pub writes: Vec<String>,
    /// `Some`: its result may be cached, and depends on its arguments and on these tables.
    pub reads: Option<Vec<String>>,
}

impl Effects {
    /// Writes nothing, and depends on its arguments alone.
    pub(super) fn pure() -> Self {
        Self {
            writes: Vec::new(),
            reads: Some(Vec::new()),
        }
    }
}

impl Cache {
    /// What the catalog is told of what it cannot see through.
    pub fn declared(&self) -> Declared {
        let effects = |list: &BTreeMap<String, Effects>| {
            let each = list.iter().map(|(name, effects)| {
                let effects = catalog::Effects {
                    writes: effects.writes.clone(),
                    reads: effects.reads.clone(),
                };
                (name.clone(), effects)
            });
            each.collect()
        };
        Declared {
            functions: effects(&self.functions),
            triggers: effects(&self.triggers),
            keyed_rls: self.row_security == RowSecurity::Keyed,
            foreign_tables: self.foreign_tables == ForeignTables::Ttl,
        }
    }
}

impl Config {
    /// What sessions go by. A reload makes it anew.
    pub fn policy(&self) -> Policy {
        let cache = &self.cache;
        let databases = self.databases.iter();
        let users = self.auth.users.iter();
        Policy {
            level: cache.level,
            life: Life {
                ttl: cache.ttl,
                swr: cache.stale_while_revalidate,
            },
            databases: databases
                .filter_map(|(name, database)| Some((name.clone(), database.cache?)))
                .collect(),
            users: users
                .filter_map(|(name, user)| Some((name.clone(), user.cache?)))
                .collect(),
            rules: cache.rules.clone(),
            mode: cache.mode,
            audit: cache.audit,
            footprint: cache.footprint == Footprint::On,
        }
    }
}
