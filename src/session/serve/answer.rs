//! The answer to each message of a request that needs no upstream.

use super::{Answers, Clerk, Parsed};
use crate::cache::entry::Entry;
use crate::session::asked::{Step, Steps};
use crate::session::state::{Meant, Named};
use crate::wire::frame;

impl Clerk<'_> {
    /// Answers each message, and ReadyForQuery if that is asked for.
    pub(super) fn answer(&mut self, steps: &Steps<'_>, answers: Answers<'_>) {
        self.answer_steps(steps, answers);
        if !steps.ends_with_flush() {
            self.ready();
        }
    }

    pub(super) fn answer_steps(&mut self, steps: &Steps<'_>, mut answers: Answers<'_>) {
        for step in steps.iter() {
            match step {
                Step::Parse { name, .. } => {
                    if let Some(parsed) = answers.parsed.take() {
                        self.register(name, parsed);
                    }
                    frame::push(self.out.buffer(), b'1', &[]);
                }
                Step::DescribeStatement(_) => {
                    if let Some(description) = answers.description {
                        describe_statement(description, self.out.buffer());
                    }
                }
                Step::Bind { .. } => frame::push(self.out.buffer(), b'2', &[]),
                Step::DescribePortal => {
                    let body = answers.entry.and_then(|entry| entry.description.as_deref());
                    frame::push(self.out.buffer(), b'T', &[body.unwrap_or_default()]);
                }
                Step::Execute => {
                    if let Some(entry) = answers.entry {
                        entry.frames(self.out.buffer(), false);
                    }
                    self.desk.state.portal = Meant::default();
                }
                Step::ClosePortal => frame::push(self.out.buffer(), b'3', &[]),
                Step::CloseStatement(name) => {
                    if name.is_empty() {
                        self.desk.state.unnamed = None;
                    } else {
                        self.desk.state.statements.remove(name);
                    }
                    frame::push(self.out.buffer(), b'3', &[]);
                }
            }
        }
    }

    /// The client has this statement from now on; an upstream gets it when it is first needed there.
    fn register(&mut self, name: &[u8], parsed: Parsed) {
        let state = &mut *self.desk.state;
        let reading = Some(parsed.reading);
        let edition = self.pool.catalog.edition();
        if name.is_empty() {
            state.parse_unnamed(&parsed.body, (parsed.meant, reading), edition);
            return;
        }
        let statement = self
            .pool
            .statements
            .intern(state.identity(&parsed.body, edition));
        let named = Named {
            statement,
            meant: parsed.meant,
            reading,
            used: edition,
        };
        state.statements.insert(name.into(), named);
    }
}

/// The answer to a statement's Describe.
fn describe_statement(description: &Entry, out: &mut Vec<u8>) {
    let parameters = description.parameters.as_deref().unwrap_or(&[0, 0]);
    frame::push(out, b't', &[parameters]);
    match &description.description {
        Some(columns) => frame::push(out, b'T', &[columns]),
        None => frame::push(out, b'n', &[]),
    }
}
