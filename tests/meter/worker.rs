//! One client: it writes, reads what it and others have written, and tells the judge.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::judge::{Before, Eyes, Fault, Judge};
use super::line::{Answer, Format, Line};
use super::registers::{COMMON, KEYS, face};
use super::texts::{Form, Text};
use crate::support::PATIENCE;
use crate::support::wire::query;

/// What all clients of a run have in common.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) address: SocketAddr,
    pub(crate) judge: Judge,
    pub(crate) texts: Vec<Text>,
    /// By register, the texts that begin with it.
    pub(crate) about: Vec<Vec<usize>>,
    pub(crate) manners: Manners,
    /// So many reads are enough.
    pub(crate) reads: u64,
    /// How often the nemesis has struck, and how often it has to.
    pub(crate) strikes: AtomicUsize,
    pub(crate) strikes_min: usize,
    pub(crate) until: Instant,
    pub(crate) over: AtomicBool,
    /// What is wrong with the run itself: hangs, errors that nobody asked for.
    pub(crate) troubles: Mutex<Vec<String>>,
    /// Eras are not the same in each run.
    pub(crate) first_era: usize,
    /// The cancel key of each client.
    pub(crate) keys: Vec<Mutex<Vec<u8>>>,
    pub(crate) reconnects: AtomicUsize,
    pub(crate) refusals: AtomicUsize,
}

/// What the clients of a run do, and what may happen to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Connections may be lost.
    pub(crate) losses: bool,
    /// SQLSTATEs that may come, besides those of losses and deadlocks.
    pub(crate) refusals: &'static [&'static str],
    pub(crate) habit: Habit,
}

/// What they do besides the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// They go without a word in the middle of something.
    Vanish,
    /// They prepare transactions for others to commit.
    TwoPhase,
    /// Some writes take their time.
    Slow,
}

/// What is different from one while to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era {
    /// The register that most clients look at, and the first of the texts that they use.
    focus: usize,
    text: usize,
    /// One read out of so many is a write instead.
    write_every: u32,
    /// Whether there are writes that count as writes of everything: functions, DO, triggers. They make everybody
    /// forget all there is, so that most of the time there are none.
    pub(super) opaque: bool,
}

impl Run {
    pub(crate) fn is_over(&self) -> bool {
        let enough = self.judge.reads.load(Ordering::Relaxed) >= self.reads
            && self.strikes.load(Ordering::Relaxed) >= self.strikes_min;
        enough || self.over.load(Ordering::Relaxed) || Instant::now() > self.until
    }

    /// For a while most clients write and read the same register, in the same few texts, so that what is kept of
    /// it is asked for between two writes.
    pub(super) fn era(&self) -> Era {
        let number = self.judge.reads.load(Ordering::Relaxed) >> 9;
        let number = usize::try_from(number)
            .unwrap()
            .wrapping_add(self.first_era);
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
        let losses = self.manners.losses;
        Era {
            focus: mixed % self.about.len(),
            text: mixed >> 8,
            // With more than every fourth hardly anything is ever remembered.
            write_every: [4, 16, 64, if losses { 8 } else { 256 }][(mixed >> 16) % 4],
            opaque: (mixed >> 20).is_multiple_of(5),
        }
    }

    pub(crate) fn trouble(&self, what: String) {
        let mut troubles = self.troubles.lock().unwrap();
        if troubles.len() < 20 {
            troubles.push(what);
        }
    }
}

/// Why a client does not go on with what it does.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection is gone, or the server behind it: what was sent may have been done, or may yet be.
    Lost,
    /// An error that says that what was sent was not done.
    Refused,
}

pub(crate) type Step<T = ()> = Result<T, Stop>;

/// See the module's text.
pub(crate) struct Worker {
    pub(crate) run: Arc<Run>,
    pub(crate) eyes: Eyes,
    pub(super) line: Option<Line>,
    pub(super) answer: Answer,
    pub(super) before: Before,
    /// Statements that this connection has.
    pub(super) defined: HashSet<usize>,
    pub(super) random: fastrand::Rng,
    /// Where prepared transactions are ended.
    pub(super) second: Option<Line>,
    /// The transaction status after the last reply.
    pub(super) status: u8,
}

impl Worker {
    pub(crate) fn new(run: Arc<Run>, writer: usize, seed: u64) -> Self {
        Self {
            eyes: run.judge.eyes(writer),
            run,
            line: None,
            answer: Answer::default(),
            before: Before::default(),
            defined: HashSet::new(),
            random: fastrand::Rng::with_seed(seed.wrapping_add(u64::try_from(writer).unwrap())),
            second: None,
            status: b'I',
        }
    }

    /// Until the run is over.
    pub(crate) fn live(&mut self) {
        let torn = self.tear();
        self.settle(torn);
        while !self.run.is_over() {
            let done = self.act();
            self.settle(done);
        }
    }

    pub(super) fn has(&self, habit: Habit) -> bool {
        self.run.manners.habit == habit
    }

    fn act(&mut self) -> Step {
        let era = self.run.era();
        if self.random.u32(..era.write_every) == 0 {
            let register = self.some_register();
            return match self.random.u8(..8) {
                0 | 1 => self.abort_write(register),
                _ => self.write(register),
            };
        }
        match self.random.u32(..1000) {
            0..40 => self.read_in_transaction(),
            40..50 => self.read_in_snapshot(),
            50..55 => self.read_in_failed_transaction(),
            55..90 => self.read_in_pipeline(),
            90..92 if self.has(Habit::Vanish) => self.vanish(),
            92..100 => self.adjust(),
            _ => self.read(),
        }
    }

    /// From now on an upstream has to be brought to other settings before it serves this client.
    fn adjust(&mut self) -> Step {
        let size = self.random.u8(4..7);
        self.simple(&format!("set work_mem = '{size}MB'"))
    }

    /// After a step that did not get through: no transaction is left open, no dead connection kept.
    pub(super) fn settle(&mut self, done: Step) {
        match done {
            Ok(()) => {}
            Err(Stop::Lost) => self.hang_up(),
            Err(Stop::Refused) => {
                if self.status != b'I' && self.simple("rollback").is_err() {
                    self.hang_up();
                }
            }
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.line = None;
        self.status = b'I';
        self.defined.clear();
    }

    /// The connection; a new one where there is none.
    pub(super) fn line(&mut self) -> &mut Line {
        if self.line.is_none() {
            let line = connect(&self.run);
            let mut key = self.run.keys[self.eyes.writer].lock().unwrap();
            key.clone_from(&line.key);
            self.line = Some(line);
        }
        self.line.as_mut().unwrap()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Step {
        let sent = self.line().send(bytes);
        sent.map_err(|error| self.lost(&error))
    }

    /// Sends a request and reads its whole reply.
    pub(super) fn ask(&mut self, bytes: &[u8], format: Format) -> Step {
        self.send(bytes)?;
        self.reply(format)
    }

    /// Reads one more reply to what was sent.
    pub(super) fn reply(&mut self, format: Format) -> Step {
        self.reply_until(format, b"Z")
    }

    pub(super) fn reply_until(&mut self, format: Format, last: &[u8]) -> Step {
        let Some(line) = &mut self.line else {
            return Err(Stop::Lost);
        };
        let read = line.read_until(&mut self.answer, format, last);
        read.map_err(|error| self.lost(&error))?;
        if self.answer.status != 0 {
            self.status = self.answer.status;
        }
        let Some(refusal) = &self.answer.refusal else {
            return Ok(());
        };
        self.run.refusals.fetch_add(1, Ordering::Relaxed);
        if refusal.is_loss() && self.run.manners.losses {
            return Err(Stop::Lost);
        }
        if refusal.state != "22012" && !self.may_refuse(&refusal.state) {
            let client = self.eyes.writer;
            self.run.trouble(format!("client {client}: {refusal:?}"));
        }
        Err(Stop::Refused)
    }

    /// Deadlocks and the like are for the client to live with.
    fn may_refuse(&self, state: &str) -> bool {
        ["40P01", "40001"].contains(&state) || self.run.manners.refusals.contains(&state)
    }

    pub(super) fn simple(&mut self, sql: &str) -> Step {
        self.ask(&query(sql), Format::Text)
    }

    /// An error that the client has asked for.
    pub(super) fn simple_refused(&mut self, sql: &str, state: &str) -> Step {
        self.send(&query(sql))?;
        let quiet = Format::Text;
        let Some(line) = &mut self.line else {
            return Err(Stop::Lost);
        };
        let read = line.read(&mut self.answer, quiet);
        read.map_err(|error| self.lost(&error))?;
        self.status = self.answer.status;
        match &self.answer.refusal {
            Some(refusal) if refusal.state == state => Ok(()),
            Some(refusal) if refusal.is_loss() && self.run.manners.losses => Err(Stop::Lost),
            Some(refusal) if self.may_refuse(&refusal.state) => Err(Stop::Refused),
            other => {
                let told = format!("{sql} answered {other:?} instead of {state}");
                self.find(Fault::Fabricated, &told);
                Ok(())
            }
        }
    }

    fn lost(&self, error: &io::Error) -> Stop {
        let gone = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ];
        if !gone.contains(&error.kind()) || !self.run.manners.losses {
            let (client, said) = (self.eyes.writer, &self.answer.refusal);
            self.run
                .trouble(format!("client {client}: {error} after {said:?}"));
            self.run.over.store(true, Ordering::Relaxed);
        }
        Stop::Lost
    }

    pub(super) fn find(&self, fault: Fault, told: &str) {
        let client = self.eyes.writer;
        self.run
            .judge
            .find(fault, told, &|| format!("client {client}"));
    }

    /// Most often the one that all look at.
    fn some_register(&mut self) -> usize {
        let era = self.run.era();
        let mut register = era.focus;
        if era.focus >= COMMON * KEYS || self.random.u8(..4) == 0 {
            register = self.random.usize(..COMMON * KEYS);
        }
        // Its trigger is a user's code.
        if !era.opaque && face(register, 0) == "ta" {
            register = 0;
        }
        register
    }

    /// Most often one of the three that all look at.
    pub(super) fn some_text(&mut self) -> usize {
        let era = self.run.era();
        let about = &self.run.about[era.focus];
        if !about.is_empty() && self.random.u8(..4) > 0 {
            return about[(era.text + self.random.usize(..3)) % about.len()];
        }
        self.random.usize(..self.run.texts.len())
    }

    pub(super) fn some_form(&mut self) -> Form {
        Form::ALL[self.random.usize(..Form::ALL.len())]
    }
}

/// Tries until somebody lets it in; a run in which that takes too long is over.
pub(crate) fn connect(run: &Run) -> Line {
    let start = Instant::now();
    run.reconnects.fetch_add(1, Ordering::Relaxed);
    loop {
        match Line::connect(run.address, "app") {
            Ok(line) => return line,
            Err(error) => {
                let waited = start.elapsed() > PATIENCE;
                if waited {
                    run.trouble(format!("nobody lets us in: {error}"));
                    run.over.store(true, Ordering::Relaxed);
                }
                assert!(!waited, "nobody lets us in: {error}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
