//! Upstream to client: what each backend frame becomes on its way.

use std::sync::Arc;
use std::task::Context;

use super::client::FRAME_BUFFERED_MAX;
use super::effects;
use super::end::End;
use super::explain;
use super::failure;
use super::held::{Adjusting, Note, Pretended, Rest};
use super::link::{Link, upstream_frame, upstream_unexpected};
use crate::config::PoolMode;
use crate::metrics::errors;
use crate::reason::Reason;
use crate::wire::error;
use crate::wire::frame::{self, HEADER_BYTES, Header};
use crate::wire::replies::{Event, Kind, Show, Status};

/// What becomes of the bytes at the front of the upstream's inbox.
enum Next {
    /// This many go on as they are, behind what was written to the scratch buffer.
    Raw(usize),
    /// This many go on, the first of them changed to this tag.
    Retagged(usize, u8),
    /// This many are dropped, or replaced by what was written to the scratch buffer.
    Dropped(usize),
    /// More has to be read.
    Wait,
}

impl Link<'_> {
    /// Moves frames from the upstream's inbox to the client. True when it stopped only because
    /// enough is queued: once that is sent there is more to move.
    pub(super) fn pump_backend(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.held.inbox.is_empty() {
            return Ok(false);
        }
        let mut inbox = std::mem::take(&mut self.held.inbox);
        self.held.clocked.batch();
        let mut need = 0;
        let result = self.pump_answers(inbox.bytes_mut(), &mut need, cx);
        self.held.inbox = inbox;
        self.held.inbox.advance(result?);
        if need > 0 {
            self.held.inbox.reserve(need);
        }
        self.held.inbox.release();
        let full = !self.client.out.has_room();
        if full && let Some(filling) = self.held.filling.as_mut() {
            filling.slow();
        }
        Ok(full)
    }

    /// How many of `bytes` were used up.
    fn pump_answers(
        &mut self,
        bytes: &mut [u8],
        need: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<usize, End> {
        let mut used = 0;
        // `bytes[run..used]` goes on as it is.
        let mut run = 0;
        let mut scratch = Vec::new();
        while self.client.out.has_room() {
            let rest = bytes.get(used..).unwrap_or_default();
            let next = self.answer(rest, need, &mut scratch)?;
            let shown = match next {
                Next::Raw(count) | Next::Retagged(count, _) => count,
                Next::Dropped(_) | Next::Wait => scratch.len(),
            };
            let held = &mut *self.held;
            held.clocked.passed(shown, &self.pool.metrics);
            held.clocked.tell(&held.lease.record);
            let keeps = matches!(next, Next::Raw(_)) && scratch.is_empty();
            if !keeps && !matches!(next, Next::Wait | Next::Retagged(..)) {
                let before = bytes.get(run..used).unwrap_or_default();
                self.client.out.buffer().extend_from_slice(before);
                self.client.out.buffer().append(&mut scratch);
                run = used;
            }
            match next {
                Next::Raw(count) => used += count,
                Next::Retagged(count, tag) => {
                    if let Some(first) = bytes.get_mut(used) {
                        *first = tag;
                    }
                    used += count;
                }
                Next::Dropped(count) => {
                    used += count;
                    run = used;
                }
                Next::Wait => break,
            }
        }
        let raw = bytes.get(run..used).unwrap_or_default();
        if !raw.is_empty() {
            self.client
                .out
                .send(&mut self.client.stream, cx, raw)
                .map_err(End::Client)?;
        }
        Ok(used)
    }

    fn answer(
        &mut self,
        bytes: &[u8],
        need: &mut usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Next, End> {
        *need = 0;
        if self.held.rest.bytes > 0 {
            let count = self.held.rest.bytes.min(bytes.len());
            self.held.rest.bytes -= count;
            if let Some(filling) = self.held.filling.as_mut()
                && !self.held.rest.hidden
            {
                filling.more(self.held.rest.tag, bytes.get(..count).unwrap_or_default());
            }
            return Ok(match (count, self.held.rest.hidden) {
                (0, _) => Next::Wait,
                (_, true) => Next::Dropped(count),
                (_, false) => Next::Raw(count),
            });
        }
        let Some(header) = frame::header(bytes).map_err(upstream_frame)? else {
            return Ok(Next::Wait);
        };
        let here = header.bytes.min(bytes.len());
        let read = matches!(header.tag, b'Z' | b'S' | b'C' | b'E' | b't' | b'T')
            || header.tag == b'D' && self.held.asks_locks;
        if here < header.bytes && read && header.bytes <= FRAME_BUFFERED_MAX {
            *need = header.bytes;
            return Ok(Next::Wait);
        }
        let body = bytes.get(HEADER_BYTES..here).unwrap_or_default();
        self.keep(header, bytes.get(..here).unwrap_or_default());
        let next = self.message(header, body, scratch)?;
        if here < header.bytes {
            self.held.rest = Rest {
                bytes: header.bytes - here,
                tag: header.tag,
                hidden: matches!(next, Next::Dropped(_)),
            };
        }
        Ok(next)
    }

    /// Copies what belongs to a result that is kept. Asked before the reply queue moves on.
    fn keep(&mut self, header: Header, raw: &[u8]) {
        if header.bytes > raw.len()
            && let Some(entry) = self.held.replies.front_mut()
            && matches!(entry.note, Note::Described(_))
        {
            // A description too large to be held is not whole here, and not worth remembering.
            entry.note = Note::None;
        }
        let Some(filling) = self.held.filling.as_mut() else {
            return;
        };
        if self.held.replies.show() != Show::Hide {
            filling.frame(raw);
        }
        if header.tag == b'E' {
            // Also one of ours: whatever was asked, it did not run as the client sent it.
            filling.spoil(Reason::NotClean);
        }
    }

    fn message(&mut self, header: Header, body: &[u8], scratch: &mut Vec<u8>) -> Result<Next, End> {
        let here = HEADER_BYTES + body.len();
        let ends = header.tag == b'E' && failure::ends(body);
        let show = match header.tag {
            // Notifications belong to the session that listens, whatever is being answered.
            b'A' => Show::Forward,
            b'E' if ends => Show::Forward,
            // A statement of the client's that we prepare again may be refused: its error is the
            // client's. Only queries of our own fail in silence.
            b'E' if self
                .held
                .replies
                .front_mut()
                .is_none_or(|front| front.kind != Kind::Query) =>
            {
                Show::Forward
            }
            _ => self.held.replies.show(),
        };
        let replaced = match header.tag {
            b'D' if self.held.asks_locks => {
                self.held.tells_locks(body);
                false
            }
            // The rows of a result: nothing to look at.
            b'D' | b'd' => false,
            b'E' => self.error(body, scratch),
            b'S' => self.parameter(body, show).map_err(upstream_frame)?,
            b't' => {
                self.described(body);
                false
            }
            b'C' if show != Show::Hide => {
                self.held.clocked.completed(body, &self.pool.metrics);
                false
            }
            b'I' | b's' if show != Show::Hide => {
                self.held.clocked.completed(b"", &self.pool.metrics);
                false
            }
            _ => false,
        };
        let event = self
            .held
            .replies
            .answer(header.tag, body)
            .map_err(upstream_unexpected)?;
        let replaced = self.happened(event, body, scratch)? || replaced;
        let hidden = show != Show::Hide && !ends && self.held.series.hides(header.tag);
        if header.tag == b'E' && !hidden {
            // The one that the client sees.
            let metrics = &self.pool.metrics;
            let mut told = None;
            if replaced {
                metrics.errors.count_frames(scratch);
                told = errors::first(scratch);
            } else if show != Show::Hide {
                told = Some(error::field(body, b'C').unwrap_or_default());
                metrics.errors.count(body);
            }
            if let Some(sqlstate) = told {
                self.held.clocked.failed(sqlstate, metrics);
            }
        }
        Ok(match show {
            _ if hidden => Next::Dropped(here),
            _ if replaced => Next::Dropped(here),
            Show::Hide => Next::Dropped(here),
            Show::Forward => Next::Raw(here),
            Show::As(tag) if matches!(header.tag, b'1' | b'3') => Next::Retagged(here, tag),
            Show::As(_) => Next::Raw(here),
        })
    }

    /// Acts on an answer; true when the scratch buffer has what the client sees in its place.
    fn happened(
        &mut self,
        event: Event<Note>,
        body: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<bool, End> {
        match event {
            Event::Nothing => Ok(false),
            Event::CopyIn(unanswered) => {
                if let Some(writes) = self.held.writes.as_mut() {
                    writes.unanswered(unanswered);
                }
                Ok(false)
            }
            Event::Statement => {
                self.told_locks();
                Ok(self.statement(body, scratch))
            }
            Event::Answered(entry) => {
                match (entry.note, self.caching) {
                    (Note::Running { work, .. }, _) => {
                        if let Some(statement) = work.first() {
                            effects::completed(self.held, self.state, statement, body);
                        }
                    }
                    (Note::Described(learning), Some(caching)) => learning.learned(caching, body),
                    (Note::Locks { ahead, row }, _) => self.narrow(ahead, row),
                    _ => {}
                }
                Ok(false)
            }
            Event::Failed(mut entries) => {
                if let Some(failed) = entries.first_mut() {
                    // A Parse that fails has dropped the unnamed statement first; one that is skipped has not.
                    if let Note::Unnamed { before, .. } = &mut failed.note {
                        *before = None;
                    }
                    // Which of those that were to come and go is there now, nobody knows.
                    self.held.lease.unnamed = u64::MAX;
                }
                // The latest first, so that what each has replaced is there again.
                for entry in entries.into_iter().rev() {
                    self.undo(entry.note);
                }
                Ok(false)
            }
            Event::Ready {
                status,
                entry,
                failed,
            } => {
                if entry.is_some()
                    && let Some(writes) = self.held.writes.as_mut()
                {
                    writes.ready(status);
                }
                if matches!(&entry, Some(entry) if matches!(entry.note, Note::Settings)) {
                    self.settled(scratch);
                    return Ok(true);
                }
                let show = entry.map_or(Show::Forward, |entry| entry.show);
                self.ready(status, failed, show, scratch)
            }
        }
    }

    /// One statement of a simple query completed.
    fn statement(&mut self, tag: &[u8], scratch: &mut Vec<u8>) -> bool {
        let Some(entry) = self.held.replies.front_mut() else {
            return false;
        };
        let Note::Running {
            work,
            done,
            tag: shown,
        } = &mut entry.note
        else {
            return false;
        };
        let (work, index, shown) = (Arc::clone(work), *done, *shown);
        *done += 1;
        let Some(statement) = work.get(index) else {
            return false;
        };
        let Some(shown) = shown else {
            effects::completed(self.held, self.state, statement, tag);
            return false;
        };
        effects::pretended(self.held, self.state, statement);
        frame::push(scratch, b'C', &[shown.as_str().as_bytes(), b"\0"]);
        if shown == Pretended::DiscardAll {
            let startup = Arc::clone(&self.state.startup_reported);
            self.report(&startup, scratch);
        }
        true
    }

    /// Our settings query is answered.
    fn settled(&mut self, scratch: &mut Vec<u8>) {
        if self.held.is_refused() {
            return;
        }
        if matches!(self.held.adjusting, Adjusting::Underway) {
            self.held.adjusting = Adjusting::No;
        }
        self.report_upstream(scratch);
    }

    fn ready(
        &mut self,
        status: Status,
        failed: bool,
        show: Show,
        scratch: &mut Vec<u8>,
    ) -> Result<bool, End> {
        self.held.used.clear();
        // A question that an error skipped is not answered any more.
        self.held.asks_locks &= !self.held.replies.is_empty();
        if let Some(series) = self.held.series.ready() {
            self.client.inbox.prepend(&series);
            return Ok(true);
        }
        if show != Show::Hide {
            self.held.clocked.ready(status);
        }
        if std::mem::take(&mut self.held.restyled) && !failed && status != Status::Failed {
            effects::restyled(self.held, self.state);
        }
        if status == Status::Idle {
            if failed {
                effects::rollback(self.held, self.state);
            } else {
                effects::commit(self.held, self.state);
            }
            self.state.portals.clear();
            if std::mem::take(&mut self.held.changed_catalog) {
                self.pool.catalog.invalidate();
            }
            if std::mem::take(&mut self.held.changed_roles) {
                self.pool.catalog.server().changed();
            }
        }
        if show != Show::Hide {
            self.kept(status, scratch);
        }
        if self.held.is_refused() {
            // To the client only its own BEGIN began something; our settings' did not.
            let status: &[u8] = if self.held.begun.is_some() {
                b"E"
            } else {
                b"I"
            };
            if show != Show::Hide {
                frame::push(scratch, b'Z', &[status]);
            }
            return Ok(true);
        }
        if !self.state.startup.is_empty() && self.has_parted() {
            self.report_startup(scratch);
        }
        if self.rules.mode == PoolMode::Statement && status != Status::Idle {
            return Err(End::TransactionBlock);
        }
        Ok(false)
    }

    /// ParameterDescription, in front of a statement's description.
    fn described(&mut self, body: &[u8]) {
        if let Some(entry) = self.held.replies.front_mut()
            && let Note::Described(learning) = &mut entry.note
        {
            learning.parameters = Some(body.into());
        }
    }

    /// The client's request is answered: what was copied of it becomes an entry.
    fn kept(&mut self, status: Status, scratch: &mut Vec<u8>) {
        let mut why = None;
        if let (Some(filling), Some(caching)) = (self.held.filling.take(), self.caching) {
            let now = self.held.clocked.now();
            why = filling
                .finish(status, &self.held.lease, (caching, now))
                .err();
        }
        if let Some(complaints) = self.held.complaints.take() {
            for complaint in complaints.0 {
                explain::complain(complaint, scratch);
            }
        }
        if let Some(mut explained) = self.held.explained.take() {
            explained.reason = why.unwrap_or(explained.reason);
            explained.notice(scratch);
        }
    }
}
