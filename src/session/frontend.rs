//! Client to upstream: what each frontend frame becomes on its way.

use std::task::Context;

use super::client::looked_at;
use super::end::End;
use super::held::{Adjusting, Note, Pretended};
use super::link::Link;
use super::lookup::has_own_type;
use super::reading::Read;
use super::refuse;
use super::state::{Meant, Work};
use crate::invalidate::Moment;
use crate::sql::effect::{self, Effect};
use crate::wire::frame::{self, FrameError, HEADER_BYTES, Header};
use crate::wire::replies::{Kind, Show};

/// Answers that may be outstanding before the client's next frame is read: a pipeline's depth. At
/// some dozens of bytes each this is a few hundred kilobytes.
const OUTSTANDING_MAX: usize = 10_000;

/// What becomes of the bytes at the front of the inbox.
pub(super) enum Next {
    /// This many go on as they are, behind what was written to the scratch buffer.
    Raw(usize),
    /// This many are replaced by what was written to the scratch buffer.
    Replaced(usize),
    /// More has to be read, or an answer has to come, before anything can be done.
    Wait,
}

/// One frame, or as much of it as is here.
pub(super) struct Frame<'a> {
    pub(super) header: Header,
    /// The body, cut off when `whole` is false.
    pub(super) body: &'a [u8],
    pub(super) whole: bool,
}

impl Frame<'_> {
    /// Bytes of it that are here.
    pub(super) fn here(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

impl Link<'_> {
    /// Moves frames from the client's inbox towards the upstream until one of them has to wait. True
    /// when it stopped only because enough is queued: once that is sent there is more to move.
    pub(super) fn pump_frontend(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.client.inbox.is_empty() {
            self.held.onward.need = 0;
            return Ok(false);
        }
        let inbox = std::mem::take(&mut self.client.inbox);
        let mut full = false;
        let result = self.pump_frames(inbox.bytes(), &mut full, cx);
        self.client.inbox = inbox;
        self.client.inbox.advance(result?);
        if self.held.onward.need > 0 {
            self.client.inbox.reserve(self.held.onward.need);
        }
        Ok(full)
    }

    /// How many of `bytes` were used up.
    fn pump_frames(
        &mut self,
        bytes: &[u8],
        full: &mut bool,
        cx: &mut Context<'_>,
    ) -> Result<usize, End> {
        let mut used = 0;
        // `bytes[run..used]` goes on as it is.
        let mut run = 0;
        let mut scratch = Vec::new();
        while self.held.replies.len() < OUTSTANDING_MAX
            && !self.held.onward.leaving
            && !self.yields()
        {
            if !self.held.out.has_room() {
                *full = true;
                break;
            }
            let rest = bytes.get(used..).unwrap_or_default();
            let next = self.frame(rest, &mut scratch)?;
            if !scratch.is_empty() || matches!(next, Next::Replaced(_)) {
                let before = bytes.get(run..used).unwrap_or_default();
                self.held.out.buffer().extend_from_slice(before);
                self.held.out.buffer().append(&mut scratch);
                run = used;
            }
            match next {
                Next::Raw(count) => used += count,
                // Replaced by nothing, too (Terminate): what stands before it goes out all the same.
                Next::Replaced(count) => {
                    used += count;
                    run = used;
                }
                Next::Wait => break,
            }
        }
        let raw = bytes.get(run..used).unwrap_or_default();
        if !raw.is_empty() {
            self.held
                .out
                .send(&mut self.held.lease.stream, cx, raw)
                .map_err(End::Upstream)?;
        }
        Ok(used)
    }

    fn frame(&mut self, bytes: &[u8], scratch: &mut Vec<u8>) -> Result<Next, End> {
        self.held.onward.need = 0;
        if self.held.onward.rest > 0 {
            let count = self.held.onward.rest.min(bytes.len());
            self.held.onward.rest -= count;
            return Ok(if count == 0 {
                Next::Wait
            } else {
                Next::Raw(count)
            });
        }
        let Some(header) = frame::frontend_header(bytes)? else {
            return Ok(Next::Wait);
        };
        let body = bytes
            .get(HEADER_BYTES..header.bytes.min(bytes.len()))
            .unwrap_or_default();
        let frame = Frame {
            header,
            body,
            whole: bytes.len() >= header.bytes,
        };
        // What stands behind an error does nothing: not up there, so not here either.
        let ignored = self.held.replies.ignores()
            && matches!(header.tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'Q' | b'F');
        if !frame.whole && header.tag != b'd' && !ignored {
            let wanted = looked_at(header.bytes);
            if bytes.len() < wanted {
                self.held.onward.need = wanted;
                return Ok(Next::Wait);
            }
        }
        if self.held.between_requests() {
            self.held.series.begin();
            self.held.begins_request();
        }
        let next = if ignored {
            Next::Raw(frame.here())
        } else {
            self.handle(&frame, scratch)?
        };
        if !matches!(next, Next::Wait) {
            let raw = bytes.get(..frame.here()).unwrap_or_default();
            self.held.series.note(header.tag, raw);
        }
        if !frame.whole && !matches!(next, Next::Wait) {
            self.held.onward.rest = header.bytes - frame.here();
        }
        Ok(next)
    }

    fn handle(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        match frame.header.tag {
            b'Q' => self.query(frame, scratch),
            b'P' => self.parse(frame, scratch),
            b'B' => self.bind(frame, scratch),
            b'D' => self.describe(frame, scratch),
            b'E' => self.execute(frame, scratch),
            b'C' => self.close(frame, scratch),
            b'S' => {
                self.resettle(scratch);
                self.ask_locks(Moment::Sync, scratch);
                self.held.expect(Kind::Sync, Show::Forward, Note::None);
                Ok(Next::Raw(frame.here()))
            }
            b'F' => {
                self.resettle(scratch);
                // It may call any function, by number.
                self.held.hide(effect::Hidden::Function);
                self.writes_everything();
                self.held
                    .expect(Kind::FunctionCall, Show::Forward, Note::None);
                Ok(Next::Raw(frame.here()))
            }
            b'c' | b'f' => {
                self.held.expect(Kind::CopyEnd, Show::Forward, Note::None);
                Ok(Next::Raw(frame.here()))
            }
            b'X' => {
                self.held.onward.leaving = true;
                Ok(Next::Replaced(frame.here()))
            }
            // CopyData and Flush.
            _ => Ok(Next::Raw(frame.here())),
        }
    }

    fn query(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        let Read {
            meant, resolved, ..
        } = self.read(frame, false);
        let ends = !frame.whole || meant.work.as_deref().is_some_and(ends_transaction);
        if ends && self.held.is_adjusting() {
            return Ok(Next::Wait);
        }
        if ends && self.held.is_refused() {
            return self.refuse_again(frame, scratch);
        }
        self.resettle(scratch);
        self.state.unnamed = None;
        if meant.work.as_deref().is_some_and(only_commits) {
            self.ask_locks_apart(scratch);
        }
        let work = meant.work.as_deref().unwrap_or_default();
        let refusal = refuse::refusal(work, self.rules);
        let pretended = self.pretended(work);
        if refusal.is_none() {
            // Before anything is in doubt: these are requests of their own, whose outcomes say nothing of
            // what the client's will write.
            if reads_sequence(work) {
                self.forget_sequences(scratch);
            }
            if pretended.is_none() {
                self.put_by_name(work, true, scratch);
            }
        }
        self.writes(&meant, resolved);
        if let Some(error) = refusal {
            return Ok(self.refuse(frame, scratch, error));
        }
        let Some(work) = meant.work else {
            self.held.lease.unnamed = 0;
            self.held.expect(Kind::Query, Show::Forward, Note::None);
            return Ok(Next::Raw(frame.here()));
        };
        self.held.lease.unnamed = 0;
        if let Some(tag) = pretended {
            // Harmless in and outside of a transaction, and refused in a failed one, as the
            // statement itself would be.
            frame::push(scratch, b'Q', &[b"UNLISTEN pgweir_none\0"]);
            let note = Note::Running {
                work,
                done: 0,
                tag: Some(tag),
            };
            self.held.expect(Kind::Query, Show::Forward, note);
            return Ok(Next::Replaced(frame.here()));
        }
        self.held.runs(&work);
        self.held
            .expect(Kind::Query, Show::Forward, running(Some(work)));
        Ok(Next::Raw(frame.here()))
    }

    /// What is only pretended to be run.
    fn pretended(&self, work: &[effect::Statement]) -> Option<Pretended> {
        let [statement] = work else {
            return None;
        };
        let [effect] = &*statement.effects else {
            return None;
        };
        let sql_prepared = self.held.pins.has(effect::SessionState::Prepared);
        if let Effect::Deallocate(Some(name)) = effect {
            // One that the upstream has by its name must really go.
            let known =
                self.state.statements.contains_key(name) && !self.held.by_name.contains(name);
            return known.then_some(Pretended::Deallocate);
        }
        if sql_prepared {
            return None;
        }
        if matches!(effect, Effect::DiscardAll) {
            return self.held.at_rest().then_some(Pretended::DiscardAll);
        }
        matches!(effect, Effect::Deallocate(None)).then_some(Pretended::DeallocateAll)
    }

    fn parse(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        let (name, body) = frame::split_cstr(frame.body).ok_or(FrameError::Format)?;
        let text = Frame {
            header: frame.header,
            body,
            whole: frame.whole,
        };
        let Read {
            mut meant, reading, ..
        } = self.read(&text, true);
        if frame::split_cstr(body).is_some_and(|(_, types)| has_own_type(types)) {
            // Code of a type's own runs when it takes a value: a domain's check may write.
            meant.known = self.unknown().known;
        }
        self.resettle(scratch);
        if let Some(statements) = meant.work.as_deref() {
            if let Some(error) = refuse::refusal(statements, self.rules) {
                return Ok(self.refuse(frame, scratch, error));
            }
            if reads_sequence(statements) {
                self.forget_sequences(scratch);
            }
            self.put_by_name(statements, false, scratch);
        }
        if !name.is_empty() {
            return self.parse_named(frame, (name, body), (meant, reading), scratch);
        }
        self.parse_unnamed(frame, body, (meant, reading));
        Ok(Next::Raw(frame.here()))
    }

    fn bind(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        let (portal, rest) = frame::split_cstr(frame.body).ok_or(FrameError::Format)?;
        let (name, values) = frame::split_cstr(rest).ok_or(FrameError::Format)?;
        self.resettle(scratch);
        if name.is_empty() {
            let meant = self.use_unnamed(scratch);
            self.bound(portal, meant, values, frame.whole);
            return Ok(Next::Raw(frame.here()));
        }
        let Some((ours, meant)) = self.use_named(name, scratch) else {
            // One that SQL prepared may have the name.
            self.bound(portal, self.unknown(), values, frame.whole);
            return Ok(Next::Raw(frame.here()));
        };
        self.bound(portal, meant, values, frame.whole);
        let body = frame.header.bytes - HEADER_BYTES + ours.len() - (name.len() + 1);
        frame::push_header(scratch, b'B', body);
        scratch.extend_from_slice(portal);
        scratch.push(0);
        scratch.extend_from_slice(&ours);
        scratch.extend_from_slice(values);
        Ok(Next::Replaced(frame.here()))
    }

    fn bound(&mut self, portal: &[u8], mut meant: Meant, values: &[u8], whole: bool) {
        let note = Note::Bound(portal.into());
        self.held.expect(Kind::Bind, Show::Forward, note);
        if let Some(statements) = meant.work.as_deref() {
            // Functions may already run when the plan is made.
            self.held.runs(statements);
        }
        meant.work = match meant.work {
            Some(statements) if whole => Some(super::params::fill_in(statements, values)),
            other => other,
        };
        self.state.bind(portal, meant);
    }

    fn describe(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        self.resettle(scratch);
        let (kind, name) = split_target(frame)?;
        if kind != b'S' {
            self.held.expect(Kind::Describe, Show::Forward, Note::None);
            return Ok(Next::Raw(frame.here()));
        }
        let note = match self.learn(name) {
            Some(learning) => Note::Described(Box::new(learning)),
            None => Note::None,
        };
        if name.is_empty() {
            self.use_unnamed(scratch);
            self.held.expect(Kind::Describe, Show::Forward, note);
            return Ok(Next::Raw(frame.here()));
        }
        let found = self.use_named(name, scratch);
        self.held.expect(Kind::Describe, Show::Forward, note);
        let Some((ours, _)) = found else {
            return Ok(Next::Raw(frame.here()));
        };
        frame::push(scratch, b'D', &[b"S", &ours]);
        Ok(Next::Replaced(frame.here()))
    }

    fn execute(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        let (portal, _rows) = frame::split_cstr(frame.body).ok_or(FrameError::Format)?;
        let meant = self.state.portal(portal).unwrap_or_else(|| self.unknown());
        let ends = meant.work.as_deref().is_some_and(ends_transaction);
        if ends && self.held.is_adjusting() {
            return Ok(Next::Wait);
        }
        if ends && self.held.is_refused() {
            return self.refuse_again(frame, scratch);
        }
        if meant.work.as_deref().is_some_and(only_commits) {
            self.ask_locks(Moment::Commit, scratch);
        }
        self.writes(&meant, None);
        self.held
            .expect(Kind::Execute, Show::Forward, running(meant.work));
        Ok(Next::Raw(frame.here()))
    }

    fn close(&mut self, frame: &Frame<'_>, scratch: &mut Vec<u8>) -> Result<Next, End> {
        self.resettle(scratch);
        let (kind, name) = split_target(frame)?;
        if kind != b'S' {
            self.held.expect(Kind::Close, Show::Forward, Note::None);
            return Ok(Next::Raw(frame.here()));
        }
        if name.is_empty() {
            let note = Note::Unnamed {
                id: 0,
                before: self.state.unnamed.take(),
            };
            self.held.lease.unnamed = 0;
            self.held.expect(Kind::Close, Show::Forward, note);
            return Ok(Next::Raw(frame.here()));
        }
        Ok(self.close_named(frame.here(), name, scratch))
    }

    /// The frame is replaced by one that fails, and whose error is replaced by `error`: so the
    /// transaction status and the skipping to Sync are the upstream's own.
    pub(super) fn refuse(
        &mut self,
        frame: &Frame<'_>,
        scratch: &mut Vec<u8>,
        error: crate::wire::error::PgError,
    ) -> Next {
        let note = Note::Refused(Box::new(error));
        self.held.lease.unnamed = 0;
        if frame.header.tag == b'Q' {
            frame::push(scratch, b'Q', &[b"pgweir refuses\0"]);
            self.held.expect(Kind::Query, Show::Forward, note);
        } else {
            frame::push(scratch, b'P', &[b"\0pgweir refuses\0\0\0"]);
            self.held.expect(Kind::Parse, Show::Forward, note);
        }
        Next::Replaced(frame.here())
    }

    /// Another session's `nextval` must not answer this one's `currval`: an honest error instead.
    fn forget_sequences(&mut self, scratch: &mut Vec<u8>) {
        if !self.held.pins.has(effect::SessionState::Sequence) && self.held.between_requests() {
            self.held.query(scratch, b"DISCARD SEQUENCES", Note::None);
        }
    }

    /// After a RESET the upstream is at its own default, and the client's is its start-up value.
    fn resettle(&mut self, scratch: &mut Vec<u8>) {
        let wanted = self.state.settings.now();
        if std::sync::Arc::ptr_eq(wanted, self.held.settings.now()) || !self.held.between_requests()
        {
            return;
        }
        let sql = self.held.settings.now().difference(wanted);
        if !sql.is_empty() {
            self.held.query(scratch, &sql, Note::Settings);
            self.held.adjusting = Adjusting::Underway;
        }
        self.held.settings.follow(&self.state.settings);
    }
}

fn split_target<'a>(frame: &Frame<'a>) -> Result<(u8, &'a [u8]), FrameError> {
    let (&kind, rest) = frame.body.split_first().ok_or(FrameError::Format)?;
    let (name, _) = frame::split_cstr(rest).ok_or(FrameError::Format)?;
    Ok((kind, name))
}

/// The note of a message that runs these statements.
fn running(work: Work) -> Note {
    match work {
        Some(work) if work.iter().any(|s| !s.effects.is_empty()) => Note::Running {
            work,
            done: 0,
            tag: None,
        },
        _ => Note::None,
    }
}

fn ends_transaction(work: &[effect::Statement]) -> bool {
    any_effect(work, |effect| {
        matches!(
            effect,
            Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_)
        )
    })
}

/// One statement, and it is COMMIT.
fn only_commits(work: &[effect::Statement]) -> bool {
    work.len() == 1 && any_effect(work, |effect| matches!(effect, Effect::Commit { .. }))
}

fn reads_sequence(work: &[effect::Statement]) -> bool {
    any_effect(work, |effect| matches!(effect, Effect::ReadsSequence))
}

fn any_effect(work: &[effect::Statement], is: impl Fn(&Effect) -> bool) -> bool {
    work.iter().flat_map(|s| s.effects.iter()).any(is)
}
