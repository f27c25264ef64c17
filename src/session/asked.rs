//! The request at the front of the inbox, read as a whole: is it of a form that can be answered
//! from memory?

use super::client::FRAME_BUFFERED_MAX;
use crate::wire::frame::{self, FrameError, HEADER_BYTES};

/// Messages of a request that is looked at: Parse, Describe, Bind, Describe, Execute, Close, Close,
/// Sync. Longer ones are pipelines.
const STEPS_MAX: usize = 8;

/// One message, as far as it matters. Names are those of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Parse: `body` is the text, its NUL and the parameter types.
    Parse {
        name: &'a [u8],
        body: &'a [u8],
    },
    DescribeStatement(&'a [u8]),
    /// Bind to the unnamed portal: `values` is the body behind both names.
    Bind {
        statement: &'a [u8],
        values: &'a [u8],
    },
    DescribePortal,
    Execute,
    CloseStatement(&'a [u8]),
    ClosePortal,
}

/// See the module's text.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for as long as one request is looked at"
)]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    Query(&'a [u8]),
    Steps(Steps<'a>),
    /// Anything else.
    Other,
}

impl Asked<'_> {
    /// Whether Postgres reads with a snapshot for it: what follows in its transaction is behind a query then.
    pub(super) fn takes_snapshot(&self) -> bool {
        let takes = |step: Step<'_>| matches!(step, Step::Parse { .. } | Step::Bind { .. });
        match self {
            Self::Steps(steps) => steps.iter().any(takes),
            Self::Query(_) | Self::Other => true,
        }
    }
}

/// The messages of one request in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps<'a> {
    steps: [Option<Step<'a>>; STEPS_MAX],
    len: usize,
    ends_with_flush: bool,
}

impl<'a> Steps<'a> {
    fn push(&mut self, step: Step<'a>) -> bool {
        let Some(slot) = self.steps.get_mut(self.len) else {
            return false;
        };
        *slot = Some(step);
        self.len += 1;
        true
    }

    /// It ends with Flush, and its Sync is still to come.
    pub(super) fn ends_with_flush(&self) -> bool {
        self.ends_with_flush
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Step<'a>> {
        self.steps.iter().flatten().copied()
    }
}

/// Reads the request that `bytes` begin with, and how long it is. The caller knows that it is whole
/// unless it is too large to be looked at.
///
/// # Errors
/// A frame that is none.
pub(super) fn read(bytes: &[u8]) -> Result<(Asked<'_>, usize), FrameError> {
    let mut steps = Steps::default();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(header) = frame::frontend_header(rest)? else {
            return Ok((Asked::Other, at));
        };
        let Some(body) = rest.get(HEADER_BYTES..header.bytes) else {
            return Ok((Asked::Other, at));
        };
        if header.bytes > FRAME_BUFFERED_MAX {
            return Ok((Asked::Other, at));
        }
        at += header.bytes;
        steps.ends_with_flush = match header.tag {
            b'Q' if steps.len == 0 => {
                // Anything behind the text is for the upstream to refuse.
                let asked = match frame::split_cstr(body) {
                    Some((text, [])) => Asked::Query(text),
                    _ => Asked::Other,
                };
                return Ok((asked, at));
            }
            b'S' => false,
            b'H' => true,
            tag => {
                if step(tag, body).is_none_or(|step| !steps.push(step)) {
                    return Ok((Asked::Other, at));
                }
                continue;
            }
        };
        return Ok((Asked::Steps(steps), at));
    }
}

fn step(tag: u8, body: &[u8]) -> Option<Step<'_>> {
    match tag {
        b'P' => {
            let (name, body) = frame::split_cstr(body)?;
            Some(Step::Parse { name, body })
        }
        b'B' => {
            let (portal, rest) = frame::split_cstr(body)?;
            let (statement, values) = frame::split_cstr(rest)?;
            portal
                .is_empty()
                .then_some(Step::Bind { statement, values })
        }
        b'E' => {
            // The unnamed portal, and no limit of rows (H26).
            (body == b"\0\0\0\0\0").then_some(Step::Execute)
        }
        b'D' | b'C' => {
            let (kind, name) = body.split_first()?;
            let (name, []) = frame::split_cstr(name)? else {
                return None;
            };
            match (tag, kind) {
                (b'D', b'S') => Some(Step::DescribeStatement(name)),
                (b'D', b'P') if name.is_empty() => Some(Step::DescribePortal),
                (b'C', b'S') => Some(Step::CloseStatement(name)),
                (b'C', b'P') if name.is_empty() => Some(Step::ClosePortal),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(frames: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, body) in frames {
            frame::push(&mut bytes, *tag, &[body]);
        }
        bytes
    }

    #[test]
    fn what_drivers_send_is_read() {
        let bytes = request(&[
            (b'P', b"s\0select $1\0\0\0"),
            (b'D', b"Ss\0"),
            (b'B', b"\0s\0\0\0\0\0\0\0"),
            (b'D', b"P\0"),
            (b'E', b"\0\0\0\0\0"),
            (b'C', b"P\0"),
            (b'S', b""),
            (b'Q', b"select 1\0"),
        ]);
        let (asked, length) = read(&bytes).unwrap();
        let Asked::Steps(steps) = asked else {
            panic!("{asked:?}");
        };
        assert!(!steps.ends_with_flush());
        let steps: Vec<Step<'_>> = steps.iter().collect();
        assert_eq!(
            steps,
            [
                Step::Parse {
                    name: b"s",
                    body: b"select $1\0\0\0"
                },
                Step::DescribeStatement(b"s"),
                Step::Bind {
                    statement: b"s",
                    values: &[0; 6]
                },
                Step::DescribePortal,
                Step::Execute,
                Step::ClosePortal,
            ]
        );
        assert_eq!(
            read(&bytes[length..]).unwrap(),
            (Asked::Query(b"select 1"), bytes.len() - length)
        );
    }

    #[test]
    fn other_forms_are_left_alone() {
        for frames in [
            &[(b'E', &b"\0\0\0\0\x02"[..]), (b'S', b"")][..],
            &[(b'B', b"portal\0\0\0\0\0\0\0\0"), (b'S', b"")],
            &[(b'Q', b"select 1\0junk")],
            &[(b'F', b"\0\0\0\0")],
            &[(b'D', b"Ss\0junk"), (b'S', b"")],
            &[(b'P', b"no end"), (b'S', b"")],
            &[(b'E', &b"\0\0\0\0\0"[..]); 9],
        ] {
            let bytes = request(frames);
            assert_eq!(read(&bytes).unwrap().0, Asked::Other, "{frames:?}");
        }
    }
}
