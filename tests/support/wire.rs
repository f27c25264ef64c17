//! A client of raw frames: it sends what it is told and interprets as little as it can.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A backend frame.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.body.get(..self.body.len().min(300)).unwrap_or(&[]);
        write!(f, "{} {}", char::from(self.tag), shown.escape_ascii())
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(length(body.len() + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn length(n: usize) -> i32 {
    i32::try_from(n).unwrap()
}

fn count(n: usize) -> [u8; 2] {
    i16::try_from(n).unwrap().to_be_bytes()
}

fn text(parts: &[&str]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|p| [p.as_bytes(), b"\0"].concat())
        .collect()
}

/// Any frame, well formed or not.
pub(crate) fn raw(tag: u8, body: &[u8]) -> Vec<u8> {
    message(tag, body)
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &text(&[sql]))
}

pub(crate) fn parse(name: &str, sql: &str) -> Vec<u8> {
    parse_typed(name, sql, &[])
}

pub(crate) fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = text(&[name, sql]);
    body.extend(count(types.len()));
    body.extend(types.iter().flat_map(|t| t.to_be_bytes()));
    message(b'P', &body)
}

/// Bind with text parameters and text results.
pub(crate) fn bind(portal: &str, statement: &str, values: &[&str]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|v| Some(v.as_bytes())).collect();
    bind_formats(portal, statement, &[], &values, &[])
}

/// Bind with everything said.
pub(crate) fn bind_formats(
    portal: &str,
    statement: &str,
    formats: &[i16],
    values: &[Option<&[u8]>],
    results: &[i16],
) -> Vec<u8> {
    let mut body = text(&[portal, statement]);
    body.extend(count(formats.len()));
    body.extend(formats.iter().flat_map(|f| f.to_be_bytes()));
    body.extend(count(values.len()));
    for value in values {
        match value {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(v) => {
                body.extend(length(v.len()).to_be_bytes());
                body.extend(*v);
            }
        }
    }
    body.extend(count(results.len()));
    body.extend(results.iter().flat_map(|f| f.to_be_bytes()));
    message(b'B', &body)
}

pub(crate) fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &text(&[&format!("S{name}")]))
}

pub(crate) fn describe_portal(name: &str) -> Vec<u8> {
    message(b'D', &text(&[&format!("P{name}")]))
}

pub(crate) fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    let mut body = text(&[portal]);
    body.extend(rows_max.to_be_bytes());
    message(b'E', &body)
}

pub(crate) fn close_statement(name: &str) -> Vec<u8> {
    message(b'C', &text(&[&format!("S{name}")]))
}

pub(crate) fn close_portal(name: &str) -> Vec<u8> {
    message(b'C', &text(&[&format!("P{name}")]))
}

pub(crate) fn sync() -> Vec<u8> {
    message(b'S', b"")
}

pub(crate) fn flush() -> Vec<u8> {
    message(b'H', b"")
}

pub(crate) fn copy_data(bytes: &[u8]) -> Vec<u8> {
    message(b'd', bytes)
}

pub(crate) fn copy_done() -> Vec<u8> {
    message(b'c', b"")
}

pub(crate) fn copy_fail(why: &str) -> Vec<u8> {
    message(b'f', &text(&[why]))
}

/// The function call message: text arguments, text result.
pub(crate) fn function_call(oid: u32, values: &[&str]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(count(values.len()));
    for value in values {
        body.extend(length(value.len()).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    message(b'F', &body)
}

pub(crate) fn terminate() -> Vec<u8> {
    message(b'X', b"")
}

/// A start-up packet of protocol `major.minor`.
pub(crate) fn startup(version: (u16, u16), settings: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.0.to_be_bytes().to_vec();
    body.extend(version.1.to_be_bytes());
    for (name, value) in settings {
        body.extend(text(&[name, value]));
    }
    body.push(0);
    untagged(&body)
}

/// A packet without a tag, as at start-up.
pub(crate) fn untagged(body: &[u8]) -> Vec<u8> {
    [&length(body.len() + 4).to_be_bytes(), body].concat()
}

/// A connection on which nothing has been said yet, or one that has logged in.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    read: usize,
    /// Everything up to the first ReadyForQuery, once logged in.
    pub(crate) greeting: Vec<Frame>,
}

impl Client {
    /// Connects without saying anything.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            read: 0,
            greeting: Vec::new(),
        })
    }

    /// Connects and logs in (trust, or nothing).
    pub(crate) fn connect(address: SocketAddr, settings: &[(&str, &str)]) -> io::Result<Self> {
        let mut client = Self::open(address)?;
        client.send(&startup((3, 0), settings))?;
        client.greet()?;
        Ok(client)
    }

    /// Reads up to the first ReadyForQuery; an ErrorResponse is an error.
    pub(crate) fn greet(&mut self) -> io::Result<()> {
        loop {
            let frame = self.next()?;
            let tag = frame.tag;
            let refusal = (tag == b'E').then(|| Reply(vec![frame.clone()]).error_text());
            self.greeting.push(frame);
            if let Some(text) = refusal {
                return Err(io::Error::other(text));
            }
            if tag == b'Z' {
                return Ok(());
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame; `UnexpectedEof` when the other side has closed, `WouldBlock` after PATIENCE.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        self.fill(5)?;
        let head = &self.buffer[self.read..self.read + 5];
        let tag = head[0];
        let size = u32::from_be_bytes(head[1..5].try_into().unwrap());
        let size = usize::try_from(size).unwrap() + 1;
        assert!(size >= 5, "frame {tag} has a length below 4");
        self.fill(size)?;
        let body = self.buffer[self.read + 5..self.read + size].to_vec();
        self.read += size;
        Ok(Frame { tag, body })
    }

    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        }
        let mut chunk = [0; 16 * 1024];
        while self.buffer.len() - self.read < wanted {
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.buffer.extend(&chunk[..n]),
            }
        }
        Ok(())
    }

    /// Frames up to and with the first one of this tag.
    pub(crate) fn until(&mut self, tag: u8) -> io::Result<Reply> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next()?;
            let last = frame.tag == tag;
            frames.push(frame);
            if last {
                return Ok(Reply(frames));
            }
        }
    }

    /// A simple query and its whole reply.
    pub(crate) fn query(&mut self, sql: &str) -> io::Result<Reply> {
        self.send(&query(sql))?;
        self.until(b'Z')
    }

    /// A query that must succeed.
    pub(crate) fn run(&mut self, sql: &str) -> Reply {
        let reply = self.query(sql).unwrap();
        assert!(!reply.failed(), "{sql}: {}", reply.error_text());
        reply
    }

    /// The first column of the first row of a query that must succeed.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        self.run(sql).value().unwrap()
    }

    /// The cancel key, body of BackendKeyData.
    pub(crate) fn key(&self) -> Vec<u8> {
        let key = self.greeting.iter().find(|f| f.tag == b'K').unwrap();
        key.body.clone()
    }

    /// Whether something has come that was not read yet.
    pub(crate) fn has_answer(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        self.read < self.buffer.len() || peeked.is_ok()
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Bytes that have come but were not taken yet.
    pub(crate) fn read_some(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }

    /// The other side will see a reset when this is dropped.
    pub(crate) fn reset_on_close(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).ok();
    }
}

/// Sends a cancel request and waits until the other side has closed the connection.
pub(crate) fn cancel(address: SocketAddr, key: &[u8]) -> io::Result<()> {
    let mut client = Client::open(address)?;
    client.send(&untagged(&[&80_877_102_u32.to_be_bytes(), key].concat()))?;
    let mut rest = [0; 16];
    client.read_some(&mut rest).ok();
    Ok(())
}

/// The frames that answer a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply(pub(crate) Vec<Frame>);

impl Reply {
    pub(crate) fn failed(&self) -> bool {
        self.0.iter().any(|f| f.tag == b'E')
    }

    /// One field of the first ErrorResponse.
    pub(crate) fn error_field(&self, field: u8) -> Option<String> {
        let error = self.0.iter().find(|f| f.tag == b'E')?;
        let fields = error.body.split(|b| *b == 0);
        let found = fields
            .filter_map(|f| f.split_first())
            .find(|(k, _)| **k == field)?;
        Some(String::from_utf8_lossy(found.1).into_owned())
    }

    pub(crate) fn sqlstate(&self) -> String {
        self.error_field(b'C').unwrap_or_default()
    }

    pub(crate) fn error_text(&self) -> String {
        format!(
            "{} {}",
            self.sqlstate(),
            self.error_field(b'M').unwrap_or_default()
        )
    }

    /// The transaction status behind it.
    pub(crate) fn status(&self) -> Option<char> {
        let ready = self.0.iter().rfind(|f| f.tag == b'Z')?;
        ready.body.first().map(|status| char::from(*status))
    }

    /// The first column of the first row.
    pub(crate) fn value(&self) -> Option<String> {
        self.values().into_iter().next()
    }

    /// The first column of each row; NULL is empty.
    pub(crate) fn values(&self) -> Vec<String> {
        let rows = self.0.iter().filter(|f| f.tag == b'D');
        rows.map(|row| first_column(&row.body)).collect()
    }
}

fn first_column(row: &[u8]) -> String {
    let size = i32::from_be_bytes(row[2..6].try_into().unwrap());
    let size = usize::try_from(size).unwrap_or(0);
    String::from_utf8_lossy(&row[6..6 + size]).into_owned()
}
