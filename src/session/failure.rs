//! Errors on their way to the client: whose they are, and what they undo.

use std::sync::Arc;

use super::effects;
use super::held::{Adjusting, LastWords, Note};
use super::link::Link;
use crate::wire::error;
use crate::wire::frame;
use crate::wire::replies::{Kind, Show};

impl Link<'_> {
    /// An error; true when the scratch buffer has another one that the client sees instead.
    pub(super) fn error(&mut self, body: &[u8], scratch: &mut Vec<u8>) -> bool {
        if ends(body) {
            self.held.last_words = LastWords::Said;
            return false;
        }
        let mut running = None;
        let hidden = self.held.replies.show() == Show::Hide;
        if let Some(entry) = self.held.replies.front_mut() {
            match &entry.note {
                Note::Settings => {
                    self.held.adjusting = Adjusting::Refused(body.into());
                    return true;
                }
                // What the client asked for comes next, and fails by itself.
                Note::ByName { alone: true, .. } => return true,
                Note::Refused(error) => {
                    error.encode(scratch);
                    return true;
                }
                Note::Duplicate(names) => {
                    rename(body, &names.ours, &names.theirs, scratch);
                    return true;
                }
                // Those of the extended protocol are told one by one that they failed.
                Note::Running { work, done, .. } if entry.kind == Kind::Query => {
                    running = Some((Arc::clone(work), *done));
                }
                Note::None
                | Note::Running { .. }
                | Note::Parsed { .. }
                | Note::Unnamed { .. }
                | Note::Bound(_)
                | Note::Ours { .. }
                | Note::ByName { .. }
                | Note::Evicted { .. }
                | Note::Locks { .. }
                | Note::Described(_)
                | Note::Closed { .. } => {}
            }
        }
        if let Some((work, done)) = running {
            for statement in work.iter().skip(done) {
                effects::failed(self.held, statement);
            }
        }
        if self.heal(body) {
            return true;
        }
        if let Adjusting::Refused(refused) = &self.held.adjusting {
            if hidden {
                return true;
            }
            frame::push(scratch, b'E', &[refused]);
            return true;
        }
        false
    }
}

/// Whether the server closes the connection behind this error. Then it is the client's, whatever was being
/// answered: what it asked for never will be.
pub(super) fn ends(body: &[u8]) -> bool {
    error::field(body, b'V').is_some_and(|severity| severity != b"ERROR")
}

/// The error of a name that is taken, with the client's name in place of ours.
fn rename(body: &[u8], ours: &[u8], theirs: &[u8], out: &mut Vec<u8>) {
    let ours = ours.strip_suffix(b"\0").unwrap_or(ours);
    let mut renamed = Vec::with_capacity(body.len());
    for (kind, text) in error::fields(body) {
        renamed.push(kind);
        let at = text.windows(ours.len().max(1)).position(|w| w == ours);
        match at.filter(|_| kind == b'M') {
            Some(at) => {
                renamed.extend_from_slice(text.get(..at).unwrap_or_default());
                renamed.extend_from_slice(theirs);
                renamed.extend_from_slice(text.get(at + ours.len()..).unwrap_or_default());
            }
            None => renamed.extend_from_slice(text),
        }
        renamed.push(0);
    }
    frame::push(out, b'E', &[&renamed, b"\0"]);
}
