//! Questions of our own to an upstream that is at rest.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;

use super::held::Held;
use crate::wire::error;
use crate::wire::frame::{self, HEADER_BYTES};

/// How long an answer to one of our own questions may take. They touch no user data, so a server
/// that needs longer is not going to answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Our questions have short answers.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Held {
    /// Runs `sql`; the number in the first column of the last row, if there is one. Parameters that
    /// the upstream reports on the way are noted.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) async fn ask(&mut self, sql: &[u8]) -> Result<Option<u16>, AskError> {
        frame::push(self.out.buffer(), b'Q', &[sql, b"\0"]);
        self.lease.unnamed = 0;
        let mut answer = Answer::default();
        let answered = poll_fn(|cx| self.poll_answer(cx, &mut answer));
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(())) => match answer.error {
                None => Ok(answer.number),
                Some(body) => Err(AskError::Upstream(body)),
            },
            Ok(Err(error)) => Err(AskError::Lost(error.to_string())),
            Err(_elapsed) => Err(AskError::Lost("the upstream did not answer".to_owned())),
        }
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        answer: &mut Answer,
    ) -> Poll<std::io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.out.poll_drain(&mut self.lease.stream, cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            while let Some(header) =
                frame::header(self.inbox.bytes()).map_err(std::io::Error::other)?
            {
                if header.bytes > ANSWER_BYTES_MAX {
                    return Poll::Ready(Err(std::io::Error::other("answer too long")));
                }
                let Some(body) = self.inbox.bytes().get(HEADER_BYTES..header.bytes) else {
                    self.inbox.reserve(header.bytes);
                    break;
                };
                if header.tag == b'S' {
                    answer.parameters.push(body.into());
                } else if answer.take(header.tag, body) {
                    self.inbox.advance(header.bytes);
                    self.note_parameters(answer);
                    return Poll::Ready(Ok(()));
                }
                self.inbox.advance(header.bytes);
            }
            match self.inbox.poll_fill(&mut self.lease.stream, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn note_parameters(&mut self, answer: &mut Answer) {
        for body in answer.parameters.drain(..) {
            if let Some((name, rest)) = frame::split_cstr(&body)
                && let Some((value, _)) = frame::split_cstr(rest)
            {
                Arc::make_mut(&mut self.lease.reported).set(name, value);
            }
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// The upstream refused it, with this ErrorResponse body. It is idle again.
    #[error("{}", String::from_utf8_lossy(error::field(.0, b'M').unwrap_or_default()))]
    Upstream(Vec<u8>),
    /// The connection is of no more use.
    #[error("{0}")]
    Lost(String),
}

#[derive(Debug, Default)]
struct Answer {
    number: Option<u16>,
    error: Option<Vec<u8>>,
    parameters: Vec<Box<[u8]>>,
}

impl Answer {
    /// True at ReadyForQuery.
    fn take(&mut self, tag: u8, body: &[u8]) -> bool {
        match tag {
            b'D' => self.number = first_number(body),
            b'E' => self.error = Some(body.to_vec()),
            _ => {}
        }
        tag == b'Z'
    }
}

/// DataRow's first column, in text, as a number.
fn first_number(row: &[u8]) -> Option<u16> {
    let (_columns, rest) = frame::split_u16(row)?;
    let (length, rest) = frame::split_i32(rest)?;
    let text = rest.get(..usize::try_from(length).ok()?)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}
