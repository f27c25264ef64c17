//! What the client is told of its upstream's parameters.

use std::sync::Arc;

use super::Session;
use super::effects;
use super::link::Link;
use crate::pool::state::Reported;
use crate::reason::Reason;
use crate::wire::frame::{self, FrameError};
use crate::wire::replies::Show;

/// By this the console knows a client; some drivers set it when they are connected.
const NAME: &[u8] = b"application_name";

impl Session {
    /// Tells others the client's name, if that is another now.
    pub(super) fn tell_name(&mut self) {
        if std::mem::take(&mut self.state.renamed)
            && let Some(name) = self.state.reported.find(NAME)
        {
            self.registered.handle().rename(name);
        }
    }
}

impl Link<'_> {
    /// ParameterStatus; true when it is not the client's business.
    pub(super) fn parameter(&mut self, body: &[u8], show: Show) -> Result<bool, FrameError> {
        let (name, rest) = frame::split_cstr(body).ok_or(FrameError::Format)?;
        let (value, _) = frame::split_cstr(rest).ok_or(FrameError::Format)?;
        Arc::make_mut(&mut self.held.lease.reported).set(name, value);
        if show == Show::Hide || self.has_parted() {
            return Ok(true);
        }
        if self.held.hidden.is_some() {
            effects::reported(self.held, self.state, name, value);
        }
        self.state.renamed |= name == NAME;
        Arc::make_mut(&mut self.state.reported).set(name, value);
        Ok(false)
    }

    /// After a RESET to a start-up value the upstream is at its own default, of which the client
    /// is not told; before its next request the upstream is brought to the client's.
    pub(super) fn has_parted(&self) -> bool {
        let (ours, theirs) = (self.state.settings.now(), self.held.settings.now());
        !Arc::ptr_eq(ours, theirs) && ours != theirs
    }

    /// Tells the client the start-up values that it has gone back to.
    pub(super) fn report_startup(&mut self, out: &mut Vec<u8>) {
        let startup = Arc::clone(&self.state.startup);
        let values = Arc::clone(&self.state.startup_reported);
        for (name, setting) in startup.iter() {
            let name = name.as_bytes();
            if self.state.settings.now().find_bytes(name) == Some(setting)
                && let Some((name, value)) = values.find_entry(name)
                && self.state.reported.find(name) != Some(value)
            {
                frame::push(out, b'S', &[name, b"\0", value, b"\0"]);
                self.state.renamed |= name == NAME;
                Arc::make_mut(&mut self.state.reported).set(name, value);
            }
        }
    }

    /// Tells the client what its upstream reports otherwise than the one before.
    pub(super) fn report_upstream(&mut self, out: &mut Vec<u8>) {
        let reported = Arc::clone(&self.held.lease.reported);
        if Arc::ptr_eq(&reported, &self.state.reported) {
            return;
        }
        if reported == self.state.reported {
            // The client's list is the one that all clients of its kind share: next time the same
            // upstream is known by its pointer.
            self.held.lease.reported = Arc::clone(&self.state.reported);
            return;
        }
        self.report(&reported, out);
    }

    /// Tells the client the values that differ from what it knows.
    pub(super) fn report(&mut self, reported: &Arc<Reported>, out: &mut Vec<u8>) {
        if Arc::ptr_eq(reported, &self.state.reported) {
            return;
        }
        if let Some(filling) = self.held.filling.as_mut() {
            // Its key was made of what the client knew until now.
            filling.spoil(Reason::Settings);
        }
        for (name, value) in reported.iter() {
            if self.state.reported.find(name) != Some(value) {
                self.state.renamed |= name == NAME;
                frame::push(out, b'S', &[name, b"\0", value, b"\0"]);
            }
        }
        self.state.reported = Arc::clone(reported);
    }
}
