//! The conversation with a client of the console.
//!
//! One frame is read, answered, and its answer sent, before the next is read: a client that does not
//! read its answers holds one table and a batch of frames, and not for long.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::command::{self, Command, TEXT_BYTES_MAX};
use super::driver::{Driver, REPORTED};
use super::extended::Prepared;
use super::show::{self, Formats};
use super::{Action, Dialect, Facts, Role, Table};
use crate::session::cancel::{CANCELLED, DRAIN, Handle, KILL, Registered, Waits};
use crate::session::end::End;
use crate::stream::Stream;
use crate::wire::error::PgError;
use crate::wire::frame::{self, HEADER_BYTES, split_cstr};
use crate::wire::trouble;

/// Largest frame that is read: a text and its name. The rest of a larger one is dropped as it comes.
const FRAME_BYTES_MAX: usize = TEXT_BYTES_MAX + 1024;

/// Bytes of an answer that are sent at once.
const BATCH_BYTES: usize = 64 << 10;

/// How long a client may take to accept that much.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to read its last words.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

/// A logged-in client of the console.
#[derive(Debug)]
pub struct Console {
    pub(super) out: Vec<u8>,
    pub(super) prepared: Prepared,
    stream: Stream,
    registered: Registered,
    facts: Arc<dyn Facts>,
    user: String,
    role: Role,
    dialect: Dialect,
    /// A byte that came while something was being done.
    ahead: Option<u8>,
    /// Whether the client believes itself in a transaction.
    in_block: bool,
    /// An extended message failed: nothing is done until Sync.
    skipping: bool,
}

/// A frame; `None` for the body of one that is too large.
struct Frame {
    tag: u8,
    body: Option<Vec<u8>>,
}

/// What a command came to.
pub(super) enum Answer {
    Table(Table),
    /// Only its tag.
    Done(String),
}

impl Console {
    /// A conversation with a client that is let in: what is still to be sent to it goes first.
    pub fn new(
        (stream, pending): (Stream, Vec<u8>),
        registered: Registered,
        facts: Arc<dyn Facts>,
        (user, role, dialect): (String, Role, Dialect),
    ) -> Self {
        let mut out = pending;
        for (name, value) in REPORTED {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            frame::push(&mut out, b'S', &[name, b"\0", value, b"\0"]);
        }
        let (pid, key) = registered.key_data();
        frame::push(&mut out, b'K', &[&pid.to_be_bytes(), key]);
        frame::push(&mut out, b'Z', &[b"I"]);
        Self {
            out,
            prepared: Prepared::default(),
            stream,
            registered,
            facts,
            user,
            role,
            dialect,
            ahead: None,
            in_block: false,
            skipping: false,
        }
    }

    /// Talks until one side has had enough.
    pub async fn run(mut self) -> End {
        let end = match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        self.out.clear();
        end.farewell(&mut self.out);
        let words = async {
            // The client may have gone; then nobody misses them.
            if self.stream.write_all(&self.out).await.is_ok() {
                let _closed: io::Result<()> = self.stream.shutdown().await;
            }
        };
        let _late = tokio::time::timeout(LAST_WORDS_TIMEOUT, words).await;
        end
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        self.flush().await?;
        loop {
            let frame = self.next().await?;
            match frame.tag {
                b'X' => return Err(End::Terminated),
                b'S' => self.sync().await?,
                _ if self.skipping => {}
                b'Q' => {
                    let answered = self.simple(frame.body).await?;
                    if let Err(error) = answered {
                        error.encode(&mut self.out);
                    }
                    self.sync().await?;
                }
                b'F' => {
                    let text = "the console has no functions";
                    PgError::error(&trouble::CONSOLE_CANNOT, text).encode(&mut self.out);
                    self.sync().await?;
                }
                b'H' => self.flush().await?,
                tag => {
                    let failed = self.extended(tag, frame.body).await?.err();
                    if let Some(error) = &failed {
                        error.encode(&mut self.out);
                        self.skipping = true;
                    }
                    // As from Postgres an error goes out at once: a driver that asked with Flush
                    // waits for it before it sends its Sync.
                    if failed.is_some() || self.out.len() > BATCH_BYTES {
                        self.flush().await?;
                    }
                }
            }
        }
    }

    /// The end of a request: ReadyForQuery, and everything goes out.
    async fn sync(&mut self) -> Result<(), End> {
        self.skipping = false;
        if !self.in_block {
            self.prepared.end_transaction();
        }
        let status: &[u8] = if self.in_block { b"T" } else { b"I" };
        frame::push(&mut self.out, b'Z', &[status]);
        self.flush().await
    }

    /// A Query message. The inner error is for the client.
    async fn simple(&mut self, body: Option<Vec<u8>>) -> Result<Result<(), PgError>, End> {
        let commands = match text_of(body).and_then(|text| command::read(&text)) {
            Ok(commands) => commands,
            Err(error) => return Ok(Err(error)),
        };
        if commands.is_empty() {
            frame::push(&mut self.out, b'I', &[]);
        }
        for command in commands {
            match self.perform(&command).await? {
                Ok(Answer::Done(tag)) => self.push_tag(&tag),
                Ok(Answer::Table(table)) => {
                    show::push_description(&mut self.out, &table, &[]);
                    self.send_rows(&table, 0..table.rows.len(), &[]).await?;
                    self.push_tag(tag_of(&command));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }

    /// Does what is asked. The inner error is for the client.
    pub(super) async fn perform(
        &mut self,
        command: &Command,
    ) -> Result<Result<Answer, PgError>, End> {
        if let Command::Act(action) = command {
            return self.act(action).await;
        }
        if let Some(table) = self.columns(command) {
            return Ok(Ok(Answer::Table(table)));
        }
        match command {
            Command::Driver(Driver::Begin) => self.in_block = true,
            Command::Driver(Driver::Commit | Driver::Rollback) => self.in_block = false,
            Command::Driver(Driver::Tag(_) | Driver::Value(..))
            | Command::Show(_)
            | Command::Act(_) => {}
        }
        Ok(Ok(Answer::Done(tag_of(command).to_owned())))
    }

    /// Does what is asked, as long as the client is there and does not cancel it.
    async fn act(&mut self, action: &Action) -> Result<Result<Answer, PgError>, End> {
        if self.role != Role::Acts {
            let text = format!("user \"{}\" may look at the console only", self.user);
            let hint = format!("Add the user to admin.users to let it {}.", action.tag());
            return Ok(Err(
                PgError::error(&trouble::CONSOLE_LOOK_ONLY, text).hint(hint)
            ));
        }
        // What is done already must not wait for what may take long.
        self.flush().await?;
        let handle = Arc::clone(self.registered.handle());
        handle.waits(Waits::Queue);
        let done = tokio::select! {
            biased;
            () = handle.raised(KILL) => Err(End::Killed),
            () = handle.raised(CANCELLED) => Ok(Err(cancelled())),
            done = self.facts.act(action) => Ok(done),
            end = gone(&mut self.stream, &mut self.ahead) => Err(end),
        };
        handle.waits(Waits::No);
        handle.lower(CANCELLED);
        let done = match done? {
            Ok(done) => done,
            Err(error) => return Ok(Err(error)),
        };
        tracing::info!(user = self.user, ?action, "done in the console");
        for notice in done.notices {
            notice.encode(&mut self.out);
        }
        let tag = match done.count {
            Some(count) => format!("{} {count}", action.tag()),
            None => action.tag().to_owned(),
        };
        Ok(Ok(Answer::Done(tag)))
    }

    /// What a command that only shows answers with.
    pub(super) fn columns(&self, command: &Command) -> Option<Table> {
        match command {
            Command::Show(what) => Some(show::table(*what, self.dialect, &*self.facts)),
            Command::Driver(driver) => driver.table(),
            Command::Act(_) => None,
        }
    }

    pub(super) fn push_tag(&mut self, tag: &str) {
        frame::push(&mut self.out, b'C', &[tag.as_bytes(), b"\0"]);
    }

    pub(super) async fn send_rows(
        &mut self,
        table: &Table,
        rows: std::ops::Range<usize>,
        formats: &Formats,
    ) -> Result<(), End> {
        for at in rows {
            show::push_row(&mut self.out, table, at, formats);
            if self.out.len() > BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), End> {
        let stream = &mut self.stream;
        let out = &self.out;
        let sending = async {
            stream.write_all(out).await?;
            stream.flush().await
        };
        let sending = async {
            let sent = tokio::time::timeout(SEND_TIMEOUT, sending).await;
            sent.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
        };
        until_told(self.registered.handle(), KILL, sending).await?;
        self.out = Vec::new();
        Ok(())
    }

    /// The next frame.
    async fn next(&mut self) -> Result<Frame, End> {
        let mut bytes = [0; HEADER_BYTES];
        let handle = self.registered.handle();
        let ahead = usize::from(self.ahead.is_some());
        if let (Some(first), Some(byte)) = (bytes.first_mut(), self.ahead.take()) {
            *first = byte;
        }
        let rest = bytes.get_mut(ahead..).unwrap_or_default();
        let reading = self.stream.read_exact(rest);
        match until_told(handle, DRAIN, reading).await {
            Err(End::Client(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(End::ClientClosed);
            }
            other => other?,
        };
        let header = frame::frontend_header(&bytes)?;
        let header = header.ok_or(End::ClientClosed)?;
        let length = header.bytes - HEADER_BYTES;
        let body = if length <= FRAME_BYTES_MAX {
            let mut body = vec![0; length];
            let reading = self.stream.read_exact(&mut body);
            until_told(handle, KILL, reading).await?;
            Some(body)
        } else {
            let mut rest = (&mut self.stream).take(length as u64);
            let mut nowhere = tokio::io::sink();
            let dropped = tokio::io::copy(&mut rest, &mut nowhere);
            if until_told(handle, KILL, dropped).await? < length as u64 {
                return Err(End::ClientClosed);
            }
            None
        };
        Ok(Frame {
            tag: header.tag,
            body,
        })
    }
}

/// The command tag.
pub(super) fn tag_of(command: &Command) -> &'static str {
    match command {
        Command::Show(_) => "SHOW",
        Command::Act(action) => action.tag(),
        Command::Driver(Driver::Begin) => "BEGIN",
        Command::Driver(Driver::Commit) => "COMMIT",
        Command::Driver(Driver::Rollback) => "ROLLBACK",
        Command::Driver(Driver::Tag(tag)) => tag,
        Command::Driver(Driver::Value("?column?" | "pg_advisory_unlock_all", _)) => "SELECT 1",
        Command::Driver(Driver::Value(..)) => "SHOW",
    }
}

fn cancelled() -> PgError {
    PgError::error("57014", "canceling statement due to user request")
}

/// Ends when the client has gone. A byte of its next request is kept, and then there is no telling.
async fn gone(stream: &mut Stream, ahead: &mut Option<u8>) -> End {
    if ahead.is_none() {
        match stream.read_u8().await {
            Ok(byte) => *ahead = Some(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return End::ClientClosed;
            }
            Err(error) => return End::Client(error),
        }
    }
    std::future::pending().await
}

/// The text of a Query message.
fn text_of(body: Option<Vec<u8>>) -> Result<Vec<u8>, PgError> {
    let body = body.ok_or_else(too_long)?;
    match split_cstr(&body) {
        Some((text, [])) if text.len() <= TEXT_BYTES_MAX => Ok(text.to_vec()),
        Some((_, [])) => Err(too_long()),
        Some(_) | None => Err(PgError::error("08P01", "invalid message format")),
    }
}

pub(super) fn too_long() -> PgError {
    let text = format!("the console reads up to {TEXT_BYTES_MAX} bytes at a time");
    PgError::error(&trouble::CONSOLE_TOO_MUCH, text)
}

/// Works until done, or until told to stop: KILL always counts.
async fn until_told<T>(
    handle: &Handle,
    flag: u8,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, End> {
    let told = poll_fn(|cx| {
        handle.register(cx.waker());
        if handle.has(KILL) {
            Poll::Ready(End::Killed)
        } else if handle.has(flag) {
            Poll::Ready(End::Drained)
        } else {
            Poll::Pending
        }
    });
    tokio::select! {
        biased;
        end = told => Err(end),
        done = work => done.map_err(End::Client),
    }
}
