//! Conversations written down, so that they can be held twice and compared.

use std::io;
use std::net::SocketAddr;

use super::wire::{self, Client, Frame};

/// One thing a client does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes these bytes at once.
    Send(Vec<u8>),
    /// Writes these bytes one by one.
    Dribble(Vec<u8>),
    /// Reads up to this many ReadyForQuery.
    Ready(usize),
    /// Reads up to a frame of this tag.
    Until(u8),
    /// Reads until the other side closes.
    End,
    /// Somebody else runs this, straight on Postgres.
    Other(String),
}

/// A named conversation.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// The start-up packet.
    greeting: Vec<u8>,
    steps: Vec<Step>,
    /// It keeps state in its session between transactions, so that it keeps its upstream.
    pub(crate) pins: bool,
    /// Whether it is only the same on an upstream that nobody else uses.
    pub(crate) alone: bool,
    /// The oldest server version that understands it.
    pub(crate) since: u32,
}

/// What there was to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Frame(Frame),
    /// The other side closed (or reset) the connection.
    Closed,
    /// The beginning of what answers the n-th step.
    Step(usize),
}

/// A new script; it logs in as `postgres`.
pub(crate) fn script(name: &'static str) -> Script {
    let settings = [("user", "postgres"), ("database", "postgres")];
    let greeting = wire::startup((3, 0), &settings);
    Script {
        name,
        greeting,
        steps: Vec::new(),
        pins: false,
        alone: false,
        since: 0,
    }
}

impl Script {
    /// Further start-up parameters.
    pub(crate) fn with(mut self, more: &[(&str, &str)]) -> Self {
        let mut settings = vec![("user", "postgres"), ("database", "postgres")];
        settings.extend(more);
        self.greeting = wire::startup((3, 0), &settings);
        self
    }

    /// Another start-up packet altogether.
    pub(crate) fn greeting(mut self, bytes: Vec<u8>) -> Self {
        self.greeting = bytes;
        self
    }

    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn pins(mut self) -> Self {
        self.pins = true;
        self
    }

    pub(crate) fn since(mut self, major: u32) -> Self {
        self.since = major;
        self
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// A simple query, and its whole reply.
    pub(crate) fn query(self, sql: &str) -> Self {
        self.send(&[wire::query(sql)]).ready()
    }

    pub(crate) fn queries(self, all: &[&str]) -> Self {
        all.iter().fold(self, |script, sql| script.query(sql))
    }

    /// These frames and a Sync, and the whole reply.
    pub(crate) fn round(self, frames: &[Vec<u8>]) -> Self {
        self.send(&[frames.concat(), wire::sync()]).ready()
    }

    pub(crate) fn send(self, frames: &[Vec<u8>]) -> Self {
        self.then(Step::Send(frames.concat()))
    }

    pub(crate) fn dribble(self, frames: &[Vec<u8>]) -> Self {
        self.then(Step::Dribble(frames.concat()))
    }

    pub(crate) fn ready(self) -> Self {
        self.then(Step::Ready(1))
    }

    pub(crate) fn readies(self, n: usize) -> Self {
        self.then(Step::Ready(n))
    }

    pub(crate) fn until(self, tag: u8) -> Self {
        self.then(Step::Until(tag))
    }

    pub(crate) fn end(self) -> Self {
        self.then(Step::End)
    }

    pub(crate) fn other(self, sql: &str) -> Self {
        self.then(Step::Other(sql.to_owned()))
    }

    /// Holds the conversation with whoever listens at `address`; calls `between` before each step,
    /// telling it whether the session is idle: every reply read, no transaction open.
    /// An error is a hang, or a frame that is none.
    pub(crate) fn play(
        &self,
        address: SocketAddr,
        other: &mut Client,
        between: &mut dyn FnMut(bool),
    ) -> io::Result<Vec<Seen>> {
        let mut player = Player {
            client: Client::open(address)?,
            seen: Vec::new(),
            open: true,
        };
        player.client.send(&self.greeting)?;
        player.greet()?;
        for (number, step) in self.steps.iter().enumerate() {
            between(player.idle());
            player.seen.push(Seen::Step(number));
            if player.open {
                player.take(step, other)?;
            }
        }
        if player.open {
            player.client.send(&wire::terminate()).ok();
            player.take(&Step::End, other)?;
        }
        Ok(player.seen)
    }
}

struct Player {
    client: Client,
    seen: Vec<Seen>,
    open: bool,
}

impl Player {
    /// Up to the first ReadyForQuery or the refusal. ParameterStatus comes in no particular order.
    fn greet(&mut self) -> io::Result<()> {
        self.read_until(|frame| frame.tag == b'Z')?;
        let status = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.tag == b'S');
        let (mut reports, rest): (Vec<_>, Vec<_>) = self.seen.drain(..).partition(status);
        reports.sort_by_key(|seen| format!("{seen:?}"));
        self.seen = rest;
        self.seen.extend(reports);
        Ok(())
    }

    fn idle(&self) -> bool {
        let idle = |frame: &Frame| frame.tag == b'Z' && frame.body == b"I";
        let reports = self.seen.iter().rev();
        let mut last = reports.skip_while(|seen| matches!(seen, Seen::Frame(f) if f.tag == b'S'));
        matches!(last.next(), Some(Seen::Frame(frame)) if idle(frame))
    }

    fn take(&mut self, step: &Step, other: &mut Client) -> io::Result<()> {
        match step {
            // A write into a closed connection may fail or not: what can be read tells.
            Step::Send(bytes) => drop(self.client.send(bytes)),
            Step::Dribble(bytes) => {
                for byte in bytes {
                    self.client.send(&[*byte])?;
                }
            }
            Step::Ready(n) => self.read_until_nth(b'Z', *n)?,
            Step::Until(tag) => self.read_until_nth(*tag, 1)?,
            Step::End => self.read_until(|_| false)?,
            Step::Other(sql) => {
                let reply = other.query(sql)?;
                assert!(!reply.failed(), "{sql}: {}", reply.error_text());
            }
        }
        Ok(())
    }

    fn read_until_nth(&mut self, tag: u8, n: usize) -> io::Result<()> {
        let mut left = n;
        self.read_until(|frame| {
            left -= usize::from(frame.tag == tag);
            left == 0
        })
    }

    fn read_until(&mut self, mut last: impl FnMut(&Frame) -> bool) -> io::Result<()> {
        loop {
            match self.client.next() {
                Ok(frame) => {
                    let done = last(&frame);
                    self.seen.push(Seen::Frame(masked(frame)));
                    if done {
                        return Ok(());
                    }
                }
                Err(e) if is_end(&e) => {
                    self.seen.push(Seen::Closed);
                    self.open = false;
                    return Ok(());
                }
                Err(e) => {
                    let so_far = self.seen.get(self.seen.len().saturating_sub(5)..);
                    return Err(io::Error::new(e.kind(), format!("{e} after {so_far:#?}")));
                }
            }
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::UnexpectedEof || kind == io::ErrorKind::ConnectionReset
}

/// Keys and process ids may differ, and where in its source a Postgres found a reason to end the session: the
/// proxy says such things for it, whatever its version. Nothing else may.
fn masked(mut frame: Frame) -> Frame {
    match frame.tag {
        b'K' => frame.body.fill(0),
        b'A' => frame.body[..4].fill(0),
        b'E' if frame.body.starts_with(b"SFATAL\0") => {
            let fields = frame.body.split_inclusive(|byte| *byte == 0);
            let place = |field: &&[u8]| !matches!(field[0], b'F' | b'L' | b'R');
            frame.body = fields.filter(place).collect::<Vec<_>>().concat();
        }
        _ => {}
    }
    frame
}
