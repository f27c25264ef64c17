//! A client that asks fast: whole requests out, numbers in. What it cannot read as a number is [`NO_NUMBER`].

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::PATIENCE;
use crate::support::wire::{startup, sync};

/// NULL, and what is no number.
pub(crate) const NO_NUMBER: i64 = i64::MIN;

/// Grows where one frame is larger.
const BUFFER: usize = 32 * 1024;

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What was received and not read yet.
    unread: std::ops::Range<usize>,
    /// The cancel key, body of BackendKeyData.
    pub(crate) key: Vec<u8>,
}

/// An ErrorResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) state: String,
    pub(crate) message: String,
}

impl Refusal {
    /// The server, or somebody on the way to it, has gone: nobody knows what it still did.
    pub(crate) fn is_loss(&self) -> bool {
        self.state.starts_with("57P") || self.state.starts_with("08")
    }
}

/// One reply, reused for the next.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// All columns of all rows.
    pub(crate) numbers: Vec<i64>,
    pub(crate) refusal: Option<Refusal>,
    /// The last CommandComplete.
    pub(crate) tag: Vec<u8>,
    /// The transaction status; 0 as long as no ReadyForQuery has come.
    pub(crate) status: u8,
}

/// How the columns come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Line {
    pub(crate) fn connect(address: SocketAddr, user: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = Self {
            stream,
            buffer: vec![0; BUFFER],
            unread: 0..0,
            key: Vec::new(),
        };
        let settings = [("user", user), ("database", "postgres")];
        line.send(&startup((3, 0), &settings))?;
        let mut greeting = Answer::default();
        line.read(&mut greeting, Format::Text)?;
        match greeting.refusal {
            Some(refusal) if refusal.is_loss() => Err(io::ErrorKind::ConnectionReset.into()),
            Some(refusal) => Err(io::Error::other(format!("{refusal:?}"))),
            None => Ok(line),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads up to ReadyForQuery.
    pub(crate) fn read(&mut self, answer: &mut Answer, format: Format) -> io::Result<()> {
        self.read_until(answer, format, b"Z")
    }

    /// Reads up to a frame of one of these tags, or, where no ReadyForQuery will follow by itself, an error: it
    /// then asks for one.
    pub(crate) fn read_until(
        &mut self,
        answer: &mut Answer,
        format: Format,
        last: &[u8],
    ) -> io::Result<()> {
        answer.numbers.clear();
        answer.tag.clear();
        answer.refusal = None;
        answer.status = 0;
        loop {
            let (tag, body) = self.frame()?;
            let body = &self.buffer[body];
            match tag {
                b'D' => numbers(body, format, &mut answer.numbers),
                b'C' => answer.tag = body.strip_suffix(b"\0").unwrap_or(body).to_vec(),
                b'E' => answer.refusal = answer.refusal.take().or(Some(refusal(body))),
                b'K' => self.key = body.to_vec(),
                b'Z' => answer.status = body[0],
                _ => {}
            }
            if tag == b'E' && !last.contains(&b'Z') {
                // Nobody speaks on behind a loss: what was sent without a Sync stays undone.
                if answer.refusal.as_ref().is_some_and(Refusal::is_loss) {
                    return Ok(());
                }
                self.send(&sync())?;
                return self.skip_to_ready(answer);
            }
            if last.contains(&tag) {
                return Ok(());
            }
        }
    }

    fn skip_to_ready(&mut self, answer: &mut Answer) -> io::Result<()> {
        loop {
            let (tag, body) = self.frame()?;
            if tag == b'Z' {
                answer.status = self.buffer[body][0];
                return Ok(());
            }
        }
    }

    /// The tag of the next frame, and where its body is.
    fn frame(&mut self) -> io::Result<(u8, std::ops::Range<usize>)> {
        self.fill(5)?;
        let head = &self.buffer[self.unread.start..self.unread.start + 5];
        let size = u32::from_be_bytes(head[1..5].try_into().unwrap());
        let size = usize::try_from(size).unwrap() + 1;
        let tag = head[0];
        self.fill(size)?;
        let start = self.unread.start;
        self.unread.start += size;
        Ok((tag, start + 5..start + size))
    }

    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.unread.len() < wanted {
            if self.unread.start + wanted > self.buffer.len() {
                self.buffer.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
                let size = self.buffer.len().max(wanted);
                self.buffer.resize(size, 0);
            }
            match self.stream.read(&mut self.buffer[self.unread.end..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.unread.end += n,
            }
        }
        Ok(())
    }
}

fn numbers(row: &[u8], format: Format, into: &mut Vec<i64>) {
    let mut rest = &row[2..];
    while let Some((size, behind)) = rest.split_at_checked(4) {
        let size = i32::from_be_bytes(size.try_into().unwrap());
        let (value, behind) = behind.split_at(usize::try_from(size).unwrap_or(0));
        into.push(
            match format {
                Format::Text => std::str::from_utf8(value).ok().and_then(|t| t.parse().ok()),
                Format::Binary => value.try_into().ok().map(i64::from_be_bytes),
            }
            .unwrap_or(NO_NUMBER),
        );
        rest = behind;
    }
}

fn refusal(body: &[u8]) -> Refusal {
    let field = |wanted: u8| {
        let mut fields = body.split(|byte| *byte == 0);
        let found = fields.find_map(|field| field.strip_prefix(&[wanted]));
        String::from_utf8_lossy(found.unwrap_or(b"")).into_owned()
    };
    Refusal {
        state: field(b'C'),
        message: field(b'M'),
    }
}
