//! When the client's next request must not go out behind those under way.

use super::end::End;
use super::frontend::{Frame, Next};
use super::held::{Adjusting, Note, Turn};
use super::link::Link;
use super::open;
use crate::wire::frame;
use crate::wire::replies::{Kind, Show, Status};

impl Link<'_> {
    /// Whether the client's next request has to wait until the upstream has been with the others who
    /// wait for it: a pipeline without end would keep it for ever.
    pub(super) fn yields(&mut self) -> bool {
        let held = &mut *self.held;
        if held.replies.ends_request()
            && held.onward.rest == 0
            && held.replies.status() == Status::Idle
            && held.pins.is_empty()
            && self.pool.is_awaited()
        {
            held.turn = Turn::Ending;
        }
        // The last one may have begun a transaction or made session state, take copy data, have to be
        // sent again, or be skipped by an error, so that a Sync must follow: the upstream stays with the client.
        let begun = held.between_requests() && held.replies.status() != Status::Idle;
        let repeats = held.series.is_sent_again();
        let goes_on = held.replies.in_copy() || held.replies.is_skipping();
        if begun || repeats || goes_on || !held.pins.is_empty() {
            held.turn = Turn::Running;
        }
        held.turn == Turn::Ending
    }

    /// Our settings were refused, and the transaction in which they failed must not end before the
    /// upstream is closed: what follows would run without them. The client is told why, again.
    pub(super) fn refuse_again(
        &mut self,
        frame: &Frame<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Next, End> {
        if let (false, Adjusting::Refused(body)) = (frame.whole, &self.held.adjusting) {
            return Err(End::Refused(Box::new(open::fatal(body))));
        }
        self.held.lease.unnamed = 0;
        if frame.header.tag == b'Q' {
            frame::push(scratch, b'Q', &[b"pgweir refuses\0"]);
            self.held.expect(Kind::Query, Show::Forward, Note::None);
        } else {
            frame::push(scratch, b'P', &[b"\0pgweir refuses\0\0\0"]);
            self.held.expect(Kind::Parse, Show::Forward, Note::None);
        }
        Ok(Next::Replaced(frame.here()))
    }
}
