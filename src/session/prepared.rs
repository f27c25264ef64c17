//! The client's statements under our names (H93 to H95).

use std::sync::Arc;

use super::end::End;
use super::frontend::{Frame, Next};
use super::held::{Duplicate, Note};
use super::link::Link;
use super::state::{Meant, Named, Reading, State, Unnamed};
use crate::pool::statements::{Identity, Statement, fresh_id, has_literal};
use crate::sql::effect::{self, Effect};
use crate::wire::error::PgError;
use crate::wire::frame;
use crate::wire::replies::{Kind, Show, Status};
use crate::wire::trouble;

/// A statement name that no upstream has.
const NO_STATEMENT: &[u8] = b"pgweir_none\0";

/// Literals that the upstream reads as a moment when it parses them. A statement with one is
/// private: its moment is its own (H94).
const MOMENTS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];

impl Link<'_> {
    pub(super) fn parse_named(
        &mut self,
        frame: &Frame<'_>,
        (name, body): (&[u8], &[u8]),
        (meant, reading): (Meant, Option<Arc<Reading>>),
        scratch: &mut Vec<u8>,
    ) -> Result<Next, End> {
        if let Some((ours, _)) = self.use_named(name, scratch) {
            // Sent under a name that is taken on the upstream too, so that it fails there.
            frame::push(scratch, b'P', &[&ours, body]);
            let note = Note::Duplicate(Box::new(Duplicate {
                ours,
                theirs: name.into(),
            }));
            self.held.expect(Kind::Parse, Show::Forward, note);
            return self.replaced(frame);
        }
        let statements = &self.state.statements;
        if statements.is_full() {
            let (count, mib) = (statements.len(), statements.bytes() >> 20);
            let error = PgError::error(
                &trouble::TOO_MANY_STATEMENTS,
                format!("this session has {count} prepared statements already, of {mib} MiB"),
            );
            return Ok(self.refuse(frame, scratch, error));
        }
        if !frame.whole || self.held.by_name.iter().any(|taken| **taken == *name) {
            // Too large to be kept, so it stays under its own name on this upstream. Or SQL prepared one
            // of that name there, and the upstream says what it thinks of a second.
            self.held.pins.add(effect::SessionState::Prepared);
            self.held.expect(Kind::Parse, Show::Forward, Note::None);
            return Ok(Next::Raw(frame.body.len() + frame::HEADER_BYTES));
        }
        let statement = self.pool.statements.intern(self.identity(body));
        let id = statement.id;
        self.held.used.push(Arc::clone(&statement));
        self.held.series.parsed.push(name.into());
        let made = !self.held.lease.prepared.touch(id);
        let note = Note::Parsed {
            name: name.into(),
            id,
            made,
        };
        if !made && self.held.replies.status() == Status::Failed {
            // Only the end of the transaction can be parsed now, which the upstream has to judge.
            frame::push(scratch, b'P', &[b"\0", body]);
            self.held.lease.unnamed = u64::MAX;
            self.held.expect(Kind::Parse, Show::Forward, note);
        } else if !made {
            // It is there already; a Close of nothing takes its place in the pipeline.
            frame::push(scratch, b'C', &[b"S", NO_STATEMENT]);
            self.held.expect(Kind::Close, Show::As(b'1'), note);
        } else {
            self.make_room(id, scratch);
            frame::push(scratch, b'P', &[&statement.name(), body]);
            self.held.expect(Kind::Parse, Show::Forward, note);
        }
        let named = Named {
            statement,
            meant,
            reading,
        };
        self.state.statements.insert(name.into(), named);
        self.replaced(frame)
    }

    /// The client's unnamed statement is this one now.
    pub(super) fn parse_unnamed(
        &mut self,
        frame: &Frame<'_>,
        body: &[u8],
        (meant, reading): (Meant, Option<Arc<Reading>>),
    ) {
        let kept = if frame.whole { body } else { &[] };
        if !frame.whole {
            // Too large to be kept, so it cannot be made again elsewhere.
            self.held.pins.add(effect::SessionState::Prepared);
        }
        let may_be_skipped = self.held.replies.is_unsynced();
        let before = self.state.unnamed.take_if(|_| may_be_skipped);
        let id = self.state.parse_unnamed(kept, meant, reading);
        self.held.lease.unnamed = id;
        let note = Note::Unnamed { id, before };
        self.held.expect(Kind::Parse, Show::Forward, note);
    }

    /// What the upstream is about to parse is shared by.
    fn identity(&self, body: &[u8]) -> Identity {
        if self.held.may_set && has_literal(body) {
            // Nobody knows yet under which settings.
            return Identity {
                body: body.into(),
                vector: Arc::default(),
                alone: fresh_id(),
            };
        }
        self.state.identity(body)
    }

    fn replaced(&self, frame: &Frame<'_>) -> Result<Next, End> {
        Ok(Next::Replaced(frame.body.len() + frame::HEADER_BYTES))
    }

    /// Makes sure that the upstream has the client's statement `name`: our name for it, and what it
    /// does. `None` when the client has none of that name.
    pub(super) fn use_named(
        &mut self,
        name: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Option<(Vec<u8>, Meant)> {
        let named = self.state.statements.get(name)?;
        let (known, here) = (&named.statement, &self.held.lease.prepared);
        let identity = if known.is_retired() {
            Some(Identity {
                body: Arc::clone(&known.body),
                vector: self.state.vector(),
                alone: fresh_id(),
            })
        } else {
            // One that is parsed here under other settings than it was would mean something else to all who
            // share it.
            let anew = !here.has(known.id) && !known.was_read_under(&self.state.folding());
            anew.then(|| self.identity(&known.body))
        };
        let other = identity.map(|identity| self.pool.statements.intern(identity));
        let named = self.state.statements.get_mut(name)?;
        if let Some(other) = other {
            named.statement = other;
        }
        let statement = Arc::clone(&named.statement);
        let meant = named.meant.clone();
        self.put_on_upstream(&statement, scratch);
        Some((statement.name(), meant))
    }

    /// The same for the unnamed statement. When the client has none, the upstream must have none
    /// either, so that its error is the true one.
    pub(super) fn use_unnamed(&mut self, scratch: &mut Vec<u8>) -> Meant {
        // One too large to be kept is only where it was parsed.
        let here = self.held.lease.unnamed;
        let kept = |unnamed: &&Unnamed| unnamed.id == here || !unnamed.body.is_empty();
        let Some(unnamed) = self.state.unnamed.as_deref().filter(kept) else {
            if self.held.lease.unnamed != 0 {
                self.held.lease.unnamed = 0;
                frame::push(scratch, b'C', &[b"S\0"]);
                self.held.expect(Kind::Close, Show::Hide, Note::None);
            }
            return Meant::default();
        };
        let (id, meant) = (unnamed.id, unnamed.meant.clone());
        if self.held.lease.unnamed != id {
            frame::push(scratch, b'P', &[b"\0", &unnamed.body]);
            self.held.lease.unnamed = id;
            self.held.expect(Kind::Parse, Show::Hide, Note::None);
        }
        meant
    }

    fn put_on_upstream(&mut self, statement: &Arc<Statement>, scratch: &mut Vec<u8>) {
        self.held.used.push(Arc::clone(statement));
        if self.held.lease.prepared.touch(statement.id) {
            return;
        }
        self.make_room(statement.id, scratch);
        frame::push(scratch, b'P', &[&statement.name(), &statement.body]);
        let note = Note::Ours { id: statement.id };
        self.held.expect(Kind::Parse, Show::Hide, note);
    }

    /// SQL names statements of the extended protocol (`EXECUTE s`): the upstream gets them under the
    /// client's own names, and is pinned. With `alone` they do not stand in the client's own series
    /// of messages, and need a Sync.
    pub(super) fn put_by_name(
        &mut self,
        work: &[effect::Statement],
        alone: bool,
        scratch: &mut Vec<u8>,
    ) {
        for effect in work.iter().flat_map(|statement| statement.effects.iter()) {
            let (Effect::Execute(name) | Effect::Prepare(name) | Effect::Deallocate(Some(name))) =
                effect
            else {
                continue;
            };
            let Some(named) = self.state.statements.get(name) else {
                continue;
            };
            if self.held.by_name.contains(name) {
                continue;
            }
            frame::push(scratch, b'P', &[name, b"\0", &named.statement.body]);
            let note = Note::ByName {
                name: name.clone(),
                alone,
            };
            self.held.expect(Kind::Parse, Show::Hide, note);
            if alone {
                frame::push(scratch, b'S', &[]);
                self.held.expect(Kind::Sync, Show::Hide, Note::None);
            }
            self.held.by_name.push(name.clone());
            self.held.pins.add(effect::SessionState::Prepared);
        }
    }

    /// Enters `id` among the upstream's statements, and closes the one that has to go for it.
    fn make_room(&mut self, id: u64, scratch: &mut Vec<u8>) {
        if let Some(evicted) = self.held.lease.prepared.insert(id) {
            let name = format!("pgweir_{evicted}\0");
            frame::push(scratch, b'C', &[b"S", name.as_bytes()]);
            let note = Note::Evicted { id: evicted };
            self.held.expect(Kind::Close, Show::Hide, note);
        }
    }

    /// The client closes `name`. The upstream keeps its statement for others.
    pub(super) fn close_named(&mut self, bytes: usize, name: &[u8], scratch: &mut Vec<u8>) -> Next {
        let Some(named) = self.state.statements.remove(name) else {
            self.held.expect(Kind::Close, Show::Forward, Note::None);
            return Next::Raw(bytes);
        };
        let by_name = self.held.by_name.iter().position(|n| **n == *name);
        if let Some(at) = by_name {
            self.held.by_name.swap_remove(at);
            let note = Note::Closed {
                name: name.into(),
                named: Box::new(named),
            };
            self.held.expect(Kind::Close, Show::Forward, note);
            return Next::Raw(bytes);
        }
        frame::push(scratch, b'C', &[b"S", NO_STATEMENT]);
        let note = Note::Closed {
            name: name.into(),
            named: Box::new(named),
        };
        self.held.expect(Kind::Close, Show::Forward, note);
        Next::Replaced(bytes)
    }

    /// These messages were skipped: what they promised did not happen.
    pub(super) fn undo(&mut self, note: Note) {
        match note {
            Note::Parsed { name, id, made } => {
                if made {
                    self.held.lease.prepared.remove(id);
                }
                let ours = |named: &Named| named.statement.id == id;
                if self.state.statements.get(&name).is_some_and(ours) {
                    self.state.statements.remove(&name);
                }
            }
            Note::Ours { id } => self.held.lease.prepared.remove(id),
            Note::ByName { name, .. } => self.held.by_name.retain(|known| *known != name),
            Note::Evicted { id } => self.held.lease.prepared.restore(id),
            Note::Unnamed { id, before } => {
                let now = self.state.unnamed.as_ref().map_or(0, |now| now.id);
                // Unless the client has gone on to another, behind the next Sync.
                if now == id {
                    self.state.unnamed = before;
                }
            }
            Note::Bound(portal) => {
                // It may have kept the one before.
                let unknown = self.unknown();
                if portal.is_empty() {
                    self.state.portal = unknown;
                } else {
                    self.state.portals.remove(&portal);
                }
            }
            Note::Closed { name, named } => {
                self.state.statements.insert_new(name, *named);
            }
            Note::Running { work, done, .. } => {
                for statement in work.iter().skip(done) {
                    super::effects::failed(self.held, statement);
                }
            }
            Note::None
            | Note::Duplicate(_)
            | Note::Settings
            | Note::Locks { .. }
            | Note::Described(_)
            | Note::Refused(_) => {}
        }
    }
}

impl State {
    /// What a statement with this Parse body, behind its name, is shared by.
    pub(super) fn identity(&self, body: &[u8]) -> Identity {
        Identity {
            body: body.into(),
            vector: self.vector(),
            alone: if has_moment(body) { fresh_id() } else { 0 },
        }
    }
}

/// Whether a literal of the text starts with a word for a moment.
fn has_moment(body: &[u8]) -> bool {
    body.iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'\'')
        .any(|(at, _)| {
            let literal = body.get(at + 1..).unwrap_or_default().trim_ascii_start();
            MOMENTS.iter().any(|moment| {
                literal
                    .get(..moment.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(moment))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_found_in_literals_only() {
        assert!(has_moment(b"select 'now'::timestamp\0"));
        assert!(has_moment(b"select timestamp ' TODAY '\0"));
        assert!(!has_moment(b"select now()\0"));
        assert!(!has_moment(b"select 'knowledge'\0"));
    }
}
