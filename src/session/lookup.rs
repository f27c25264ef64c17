//! Whether a query is answered from memory: what has to hold before its key is looked up.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::caching::Caching;
use super::context::Context;
use super::plan::Complaints;
use super::shapes::{Known, Resolved};
use super::state::State;
use crate::cache::entry::Entry;
use crate::cache::generation::Stamp;
use crate::cache::key::{self, Bind, Unkeyed};
use crate::cache::rules::{Decision, Hint, Level, Mode};
use crate::cache::{Ask, Described, Follow, Life, Lookup};
use crate::reason::Reason;
use crate::sql::class::Kind;
use crate::sql::shape::is_moment;

/// Descriptions depend on the catalog alone, whose changes move the epoch; the limit only lets go of
/// those that nobody asks for.
const DESCRIPTION_LIFE: Life = Life {
    ttl: Duration::from_secs(3600),
    swr: Duration::ZERO,
};

thread_local! {
    /// Keys are built here, one after the other.
    static KEY: RefCell<Vec<u8>> = RefCell::default();
}

/// Builds a key in a buffer that is used again and again.
fn with_key<T>(make: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    KEY.with(|key| match key.try_borrow_mut() {
        Ok(mut key) => {
            key.clear();
            make(&mut key)
        }
        Err(_) => make(&mut Vec::new()),
    })
}

/// A query, as far as a key is made of it.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) known: &'a Arc<Known>,
    /// Without comments.
    pub(super) text: &'a [u8],
    /// A literal of it may mean a moment.
    pub(super) moment: bool,
    pub(super) hint: Option<&'a Hint>,
    /// Parse's parameter types.
    pub(super) types: &'a [u8],
    /// Bind's body behind the names; none for a simple query.
    pub(super) values: Option<&'a [u8]>,
    /// The answer begins with its description.
    pub(super) describe: bool,
    /// The fill that was waited for.
    pub(super) followed: Option<&'a Follow>,
}

/// What the cache has to say to a query.
pub(super) struct Looked {
    pub(super) lookup: Lookup,
    pub(super) resolved: Arc<Resolved>,
    /// The client wants to be told.
    pub(super) explain: bool,
    /// It is only watched: the database answers all the same.
    pub(super) shadow: bool,
}

/// What holds for a query's result and its description alike.
struct Found {
    resolved: Arc<Resolved>,
    /// The number of the session's context.
    context: u64,
    decision: Decision,
    shadow: bool,
    explain: bool,
}

/// What a lookup needs to know of its session.
pub(super) struct Desk<'a> {
    pub(super) caching: &'a Arc<Caching>,
    pub(super) state: &'a mut State,
    /// The upstream's user.
    pub(super) user: &'a str,
    /// Inside of a transaction of which no upstream knows yet: what is not there is got apart from it, and
    /// only as an entry.
    pub(super) begun: bool,
    pub(super) now: Instant,
}

impl Desk<'_> {
    /// The session's context, found or made anew when its settings have changed.
    pub(super) fn context(&mut self) -> &Context {
        let context = match self.state.context.take() {
            Some(context) if context.holds(self.state) => context,
            _ => {
                self.state.complained = false;
                self.caching.context(self.state, self.user)
            }
        };
        self.state.context.insert(context)
    }

    /// What of the session's switches was not understood, once.
    pub(super) fn context_complaints(&mut self) -> Option<Box<Complaints>> {
        let complaints = &self.context().switches.complaints;
        if complaints.is_empty() {
            return None;
        }
        let complaints = complaints.clone();
        if std::mem::replace(&mut self.state.complained, true) {
            return None;
        }
        Some(Box::new(Complaints(complaints)))
    }

    /// Looks the query up, if it may be.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn look(&mut self, query: Query<'_>) -> Result<Looked, Reason> {
        may_be_read(query.known)?;
        let Found {
            resolved,
            context,
            decision,
            shadow,
            explain,
        } = self.may_look(query)?;
        if let Err(refusal) = &resolved.meaning.read {
            return Err(refusal.reason);
        }
        let bind = query.values.map(Bind::read).transpose();
        let bind = bind.map_err(unkeyed)?;
        if bind.as_ref().is_some_and(has_moment) {
            return Err(Reason::Moment);
        }
        if has_odd_type(query.types) {
            return Err(Reason::Volatile);
        }
        let stamp = self.stamp(&decision, &resolved)?;
        // What is only watched is never served, and says nothing about whether it would be.
        let rare = !self.begun && !shadow && query.known.is_rare();
        let cache = &self.caching.shared.cache;
        let lookup = with_key(|key| {
            key::result_key(key, context, query.text, query.types, bind.as_ref())
                .map_err(unkeyed)?;
            key.extend_from_slice(&query.known.group().to_be_bytes());
            let ask = Ask {
                key,
                stamp: &stamp,
                life: decision.life,
                describe: query.describe,
                rare,
            };
            Ok(match query.followed {
                Some(follow) => cache.after(follow, &ask, self.now),
                None => cache.lookup(&ask, self.now),
            })
        })?;
        if let Lookup::Miss { fill: Some(_), .. } = &lookup {
            query.known.fills();
        }
        Ok(Looked {
            lookup,
            resolved,
            explain,
            shadow,
        })
    }

    /// The description of a statement, if it is known and holds.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn describe(&mut self, query: Query<'_>) -> Result<Arc<Entry>, Reason> {
        let Found { context, .. } = self.may_look(query)?;
        let cache = &self.caching.shared.cache;
        with_key(|key| {
            key::description_key(key, context, query.text, query.types).map_err(unkeyed)?;
            cache.peek(key, self.now).ok_or(Reason::Miss)
        })
    }

    /// The right to remember the description of a statement that is about to be asked for.
    pub(super) fn learn(&mut self, query: Query<'_>) -> Option<Learning> {
        let found = self.may_look(query).ok()?;
        let (resolved, context) = (found.resolved, found.context);
        let stamp = self.generations().stamp_epoch_only(resolved.epoch)?;
        let mut bytes = Vec::new();
        key::description_key(&mut bytes, context, query.text, query.types).ok()?;
        Some(Learning {
            key: bytes,
            stamp,
            sent: self.now,
            parameters: None,
        })
    }

    /// What holds for results and descriptions alike.
    fn may_look(&mut self, query: Query<'_>) -> Result<Found, Reason> {
        self.context();
        let context = self.state.context.as_deref().ok_or(Reason::Settings)?;
        let id = context.id.ok_or(Reason::Settings)?;
        if query.moment {
            return Err(Reason::Moment);
        }
        let snapshot = self.caching.database.catalog.current();
        let snapshot = snapshot.as_deref().ok_or(Reason::CatalogUnknown)?;
        if snapshot.forbids().is_some() {
            return Err(Reason::Defaults);
        }
        let resolved = query.known.resolve(snapshot, self.generations());
        if !resolved.plain {
            return Err(not_plain(query.known));
        }
        let standing = self.caching.standing();
        let decision = if standing.is_simple() {
            standing.decide(&[], "")
        } else {
            let tables = Caching::tables(&resolved, snapshot);
            let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
            standing.decide(&tables, query.known.fingerprint())
        };
        if decision.level == Level::Off {
            return Err(Reason::Disabled);
        }
        let decision = query.hint.map_or(decision, |hint| hint.lower(decision));
        if decision.level == Level::Off {
            return Err(Reason::Hint);
        }
        let decision = context.switches.lower(decision);
        if decision.level == Level::Off {
            return Err(Reason::Disabled);
        }
        Ok(Found {
            resolved,
            context: id,
            decision,
            shadow: standing.policy().mode == Mode::Shadow,
            explain: context.switches.explain,
        })
    }

    fn stamp(&self, decision: &Decision, resolved: &Resolved) -> Result<Stamp, Reason> {
        let stamp = match decision.level {
            Level::Ryw => resolved.deps.stamp(resolved.epoch),
            Level::Ttl => self.generations().stamp_epoch_only(resolved.epoch),
            Level::Off => None,
        };
        stamp.ok_or_else(|| {
            if self.generations().epoch() == resolved.epoch {
                Reason::Dirty
            } else {
                Reason::CatalogUnknown
            }
        })
    }

    fn generations(&self) -> &Arc<crate::cache::generation::Generations> {
        self.caching.database.catalog.generations()
    }
}

/// A description that is being asked for.
#[derive(Debug)]
pub(super) struct Learning {
    key: Vec<u8>,
    stamp: Stamp,
    sent: Instant,
    /// ParameterDescription's body, once it has come.
    pub(super) parameters: Option<Box<[u8]>>,
}

impl Learning {
    /// The rest of the answer: RowDescription's body, empty for NoData.
    pub(super) fn learned(self, caching: &Caching, rows: &[u8]) {
        let Some(parameters) = self.parameters else {
            return;
        };
        let ask = Ask {
            key: &self.key,
            stamp: &self.stamp,
            life: DESCRIPTION_LIFE,
            describe: true,
            rare: false,
        };
        let described = Described {
            parameters: &parameters,
            columns: (!rows.is_empty()).then_some(rows),
        };
        caching
            .shared
            .cache
            .put_description(&ask, described, self.sent);
    }
}

/// Why a query without a key is not looked up.
fn unkeyed(why: Unkeyed) -> Reason {
    match why {
        Unkeyed::Unreadable => Reason::Protocol,
        Unkeyed::Oversized => Reason::OversizedQuery,
    }
}

/// Whether the text's shape is one statement that only reads.
pub(super) fn may_be_read(known: &Known) -> Result<(), Reason> {
    match known.class.kind {
        Kind::Read => Ok(()),
        Kind::NoCache(reason) | Kind::Everything(reason) => Err(reason),
        Kind::Write => Err(Reason::Write),
        Kind::Definition => Err(Reason::Definition),
    }
}

/// Why a text that does something to its session is not looked up.
fn not_plain(known: &Known) -> Reason {
    match may_be_read(known) {
        Ok(()) => Reason::Session,
        Err(reason) => reason,
    }
}

/// Whether a parameter may mean a moment (H5).
fn has_moment(bind: &Bind<'_>) -> bool {
    bind.parameters()
        .any(|(_, value)| value.is_some_and(is_moment))
}

/// The first number of what is not built in.
const FIRST_OWN: u32 = 16_384;

/// The types of a Parse, behind their count.
fn oids(types: &[u8]) -> impl Iterator<Item = u32> {
    let (oids, _) = types.get(2..).unwrap_or_default().as_chunks::<4>();
    oids.iter().map(|oid| u32::from_be_bytes(*oid))
}

/// Whether a parameter is declared to be of a type that is not built in.
pub(super) fn has_own_type(types: &[u8]) -> bool {
    oids(types).any(|oid| oid >= FIRST_OWN)
}

/// Whether a parameter is declared to be of a type that reads the clock or the catalog when it takes a
/// value (`time`, `timetz`, `regclass` and its like), or of one that is not built in: the catalog
/// knows the types that a text names, not these.
fn has_odd_type(types: &[u8]) -> bool {
    const TIMES: [u32; 2] = [1083, 1266];
    // regproc, regprocedure, regoper, regoperator, regclass, regtype, regrole, regnamespace,
    // regcollation; regconfig and regdictionary change only with DDL.
    const REGISTRIES: [u32; 9] = [24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 4191];
    oids(types).any(|oid| oid >= FIRST_OWN || TIMES.contains(&oid) || REGISTRIES.contains(&oid))
}
