//! What the texts that pass mean: to the session that runs them, and to the cache.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::time::Instant;

use super::caching::Caching;
use super::clocked;
use super::explain::{self, Explained};
use super::footprint;
use super::frontend::Frame;
use super::link::Link;
use super::lookup::{Desk, Learning, Query, may_be_read};
use super::plan::Foreseen;
use super::shapes::{Known, Resolved};
use super::state::{self, Meant, Reading, Work};
use super::traced;
use crate::cache::rules::Hint;
use crate::catalog::WriteSet;
use crate::invalidate::Touch;
use crate::pool::state::{Reported, Setting, Settings};
use crate::reason::Reason;
use crate::sql::class::Kind as ClassKind;
use crate::sql::effect::{Effect, Hidden, Statement};
use crate::sql::shape::memo::Memo;
use crate::sql::shape::{Shape, Shaper};
use crate::wire::frame;
use crate::wire::replies::Status;

thread_local! {
    /// Its buffers, and what it remembers, serve one text after the other: an idle client needs none.
    static MEMO: RefCell<Memo> = RefCell::default();
}

/// Cuts a text to its shape, and gives what is made of that.
pub(super) fn shaped<T>(text: &[u8], make: impl FnOnce(&Shape<'_>) -> T) -> T {
    MEMO.with(|memo| match memo.try_borrow_mut() {
        Ok(mut memo) => make(&memo.read(text)),
        // Inside of another one; it does not happen, and costs an allocation if it does.
        Err(_) => make(&Shaper::default().read(text, true)),
    })
}

/// What a text was read to mean.
#[derive(Default)]
pub(super) struct Read {
    pub(super) meant: Meant,
    /// For later requests.
    pub(super) reading: Option<Arc<Reading>>,
    /// What its shape means under the catalog of this moment.
    pub(super) resolved: Option<Arc<Resolved>>,
}

impl Caching {
    /// What is known of a text that the lexer can read.
    pub(super) fn known(&self, text: &[u8], shape: &Shape<'_>) -> Arc<Known> {
        if shape.broken {
            return Arc::clone(&self.database.unreadable);
        }
        self.database.shapes.know(shape.shape, text)
    }
}

impl Link<'_> {
    /// What the text of a Query means, or of a Parse behind its name. With `keep`, for later
    /// requests as well.
    pub(super) fn read(&mut self, frame: &Frame<'_>, keep: bool) -> Read {
        let mut read = self.meaning(frame, keep);
        if self.pool.metrics.tracer.is_some()
            && frame.whole
            && let Some((text, _)) = frame::split_cstr(frame.body)
        {
            let known = read.meant.known.is_some();
            read.meant.traced = traced::read(&self.pool.metrics, text, known);
        }
        read
    }

    fn meaning(&mut self, frame: &Frame<'_>, keep: bool) -> Read {
        // Of the first text of the request that was looked up, and of no other.
        let foreseen = self.held.foreseen.take();
        if !frame.whole {
            return self.unread(state::opaque());
        }
        let Some((text, _)) = frame::split_cstr(frame.body) else {
            return Read::default();
        };
        let ahead = self.settings_ahead();
        // What is on its way to the upstream is what the client was told.
        let reported = match ahead {
            Some(_) => &self.state.reported,
            None => &self.held.lease.reported,
        };
        let encoded = ahead.is_some_and(|ahead| is_set(ahead, "client_encoding"));
        let conforming = match ahead.and_then(is_conforming) {
            Some(told) => told,
            None => reported.standard_conforming(),
        };
        let snapshot = self.pool.catalog.current();
        // DDL of this very transaction is in nobody's snapshot.
        let snapshot = snapshot.as_deref().filter(|_| !self.held.changed_catalog);
        let analysis = || crate::sql::analyze(text, conforming, snapshot);
        if self.is_lexing_uncertain() {
            return self.unread(state::doubted(analysis()));
        }
        let analyze = || state::work(analysis());
        let Some(caching) = self.caching else {
            let meant = Meant {
                work: analyze(),
                ..Meant::default()
            };
            return Read {
                meant,
                ..Read::default()
            };
        };
        if !conforming || !is_readable(text, reported) || encoded && !text.is_ascii() {
            return self.unread(analyze());
        }
        let see = || {
            shaped(text, |shape| Foreseen {
                known: caching.known(text, shape),
                reading: keep.then(|| Arc::new(Reading::new(shape))),
                resolved: None,
            })
        };
        debug_assert!(foreseen.as_ref().is_none_or(|first| first.is(&see())));
        let Foreseen {
            known,
            reading,
            resolved,
        } = foreseen.unwrap_or_else(see);
        let resolved = snapshot.map(|snapshot| {
            let resolved = resolved.filter(|resolved| resolved.is_under(snapshot));
            resolved.unwrap_or_else(|| known.resolve(snapshot, self.pool.catalog.generations()))
        });
        let plain = resolved.as_ref().is_some_and(|resolved| resolved.plain);
        let work = if plain { None } else { analyze() };
        Read {
            meant: Meant::of(work, known),
            reading,
            resolved,
        }
    }

    /// What does this, and whatever else.
    fn unread(&self, work: Work) -> Read {
        let meant = Meant {
            work,
            ..self.unknown()
        };
        Read {
            meant,
            ..Read::default()
        }
    }

    /// Whether it is open where the server will see a literal end: something that may change that is
    /// under way, or is about to be sent and set by the client, who may have been told otherwise since.
    fn is_lexing_uncertain(&self) -> bool {
        let ahead = self.settings_ahead();
        let odd = |ahead| is_set(ahead, CONFORMING) && is_conforming(ahead).is_none();
        self.held.may_change_lexing || ahead.is_some_and(odd)
    }

    /// The settings that the upstream will have been brought to when it reads the next text, if it is
    /// not known to run under them.
    fn settings_ahead(&self) -> Option<&Settings> {
        let wanted = self.state.settings.now();
        let pending =
            self.held.between_requests() && !Arc::ptr_eq(wanted, self.held.settings.now());
        (pending || self.held.is_adjusting()).then_some(&**wanted)
    }

    /// The right to remember what a statement's description says, when it will say the same to any
    /// session under the same settings.
    pub(super) fn learn(&mut self, name: &[u8]) -> Option<Learning> {
        let caching = self.caching?;
        let held = &*self.held;
        let alone = held.replies.status() == Status::Idle && held.replies.runs_nothing();
        if held.changed_catalog || !held.pins.is_empty() || !alone {
            return None;
        }
        let statement = self.state.subject(name)?;
        let (reading, known) = (statement.reading?, statement.known?);
        if statement.edition != self.pool.catalog.edition() {
            return None;
        }
        let (_, types) = frame::split_cstr(&statement.body)?;
        let query = Query {
            known: &known,
            text: &reading.text,
            moment: reading.moment,
            hint: reading.hint.as_ref(),
            types,
            values: None,
            describe: true,
            followed: None,
        };
        Desk {
            caching,
            state: self.state,
            user: self.pool.user(),
            begun: false,
            now: Instant::now(),
        }
        .learn(query)
    }

    /// What is not looked at, or not understood, may be anything.
    pub(super) fn unknown(&self) -> Meant {
        Meant {
            work: None,
            known: self.caching.map(|c| Arc::clone(&c.database.unreadable)),
            traced: None,
        }
    }

    /// This is about to be executed: what it writes is in doubt from here on. Its shape may have been
    /// `resolved` just now.
    pub(super) fn writes(&mut self, meant: &Meant, resolved: Option<Arc<Resolved>>) {
        let reason = self.count(meant.known.as_deref());
        let metrics = &self.pool.metrics;
        let mark = traced::mark(
            metrics,
            (meant.known.as_ref(), meant.traced.as_ref()),
            reason,
        );
        self.held.clocked.executes(meant.known.as_ref(), mark);
        let Some(known) = meant.known.as_deref() else {
            return;
        };
        let Some(writes) = self.held.writes.as_mut() else {
            return;
        };
        let snapshot = self.pool.catalog.current();
        let now = || self.pool.catalog.generations().epoch();
        match snapshot.as_deref().filter(|_| !self.held.changed_catalog) {
            None if known.touches_nothing() => {}
            None => writes.touch(Touch::Everything, now()),
            Some(snapshot) => {
                let resolved = resolved.filter(|resolved| resolved.is_under(snapshot));
                let resolve = || known.resolve(snapshot, self.pool.catalog.generations());
                let resolved = resolved.unwrap_or_else(resolve);
                match &resolved.meaning.writes {
                    // DO and CALL may run DDL as well; what a function does to the catalog is seen by the
                    // next poll.
                    _ if known.class.kind == ClassKind::Everything(Reason::Opaque) => {
                        writes.touch(Touch::Definitions, resolved.epoch);
                    }
                    WriteSet::Nothing => {}
                    WriteSet::Relations(list) => {
                        writes.touch(Touch::Relations(list), resolved.epoch);
                    }
                    WriteSet::Everything(why)
                        if footprint::is_told(known, why, snapshot, self.caching) =>
                    {
                        writes.touch(Touch::Unseen, resolved.epoch);
                    }
                    WriteSet::Everything(_) => writes.touch(Touch::Everything, resolved.epoch),
                    WriteSet::Definitions => writes.touch(Touch::Definitions, resolved.epoch),
                }
            }
        }
        if let Some(work) = meant.work.as_deref() {
            let rolls_back = rolls_back(work);
            // What stands behind a rollback in the same text commits by itself.
            if may_commit(work) || rolls_back && work.len() > 1 {
                writes.may_commit();
            } else if rolls_back {
                writes.may_end();
            }
        }
    }

    /// Counts why the upstream answers this, and remembers it if the client wants to be told.
    fn count(&mut self, known: Option<&Known>) -> Reason {
        let (Some(caching), Some(known)) = (self.caching, known) else {
            self.pool.metrics.count(Reason::Disabled);
            return Reason::Disabled;
        };
        let asked = self.held.asked.take();
        let (reason, asked) = asked.unwrap_or_else(|| {
            let reason = match may_be_read(known) {
                Err(reason) => reason,
                Ok(()) if self.held.pins.is_empty() => Reason::Transaction,
                Ok(()) => Reason::Pinned,
            };
            (reason, Instant::now())
        });
        clocked::count(&self.pool.metrics, known, reason);
        let wanted = self
            .state
            .context
            .as_ref()
            .is_some_and(|c| c.switches.explain);
        if wanted && self.held.explained.is_none() {
            self.held.explained = Some(Box::new(Explained {
                reason,
                object: explain::object(caching, known, reason, self.held.pins),
                asked,
                leased: self.held.clocked.leased().max(asked),
            }));
        }
        reason
    }

    /// A function is called by its number.
    pub(super) fn writes_everything(&mut self) {
        let unknown = self.unknown();
        self.writes(&unknown, None);
    }
}

impl Reading {
    pub(super) fn new(shape: &Shape<'_>) -> Self {
        Self {
            text: shape.text.into(),
            moment: shape.moment,
            hint: shape.hint.map(Hint::read),
        }
    }
}

const CONFORMING: &str = "standard_conforming_strings";

fn is_set(settings: &Settings, name: &str) -> bool {
    settings.find(name).is_some()
}

/// What these settings make of `standard_conforming_strings`, if they say so in a usual way.
fn is_conforming(settings: &Settings) -> Option<bool> {
    let value = match settings.find(CONFORMING)? {
        Setting::Value(value) => &**value,
        // SET name = value, or TO value.
        Setting::Sql(sql) => sql.rsplit(|byte| matches!(byte, b' ' | b'=')).next()?,
    };
    let value = value.trim_ascii().to_ascii_lowercase();
    match value.trim_ascii_end() {
        b"on" | b"'on'" | b"true" | b"'true'" => Some(true),
        b"off" | b"'off'" | b"false" | b"'false'" => Some(false),
        _ => None,
    }
}

/// Whether bytes beyond ASCII are what the classifier takes them for (H34).
pub(super) fn is_readable(text: &[u8], reported: &Reported) -> bool {
    text.is_ascii() || reported.find(b"client_encoding") == Some(b"UTF8")
}

/// Whether one of the statements ends the transaction block.
fn rolls_back(work: &[Statement]) -> bool {
    let ends = |effect: &Effect| matches!(effect, Effect::Rollback { .. });
    work.iter().flat_map(|s| &s.effects).any(ends)
}

/// Whether one of the statements may end the transaction block in a commit.
pub(super) fn may_commit(work: &[Statement]) -> bool {
    work.iter().any(|statement| {
        // The rest of a text with too many statements to be told apart.
        statement.hidden == Some(Hidden::Opaque)
            || statement.effects.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::Commit { .. } | Effect::PrepareTransaction(_)
                )
            })
    })
}
