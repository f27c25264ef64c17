//! The judge: it knows what was written, acknowledged and seen of each register, and counts every answer that
//! contradicts it.
//!
//! A register is a number that committed writes raise by one. Beside it stands a tag that names the write. All
//! rules hold for a lone Postgres (its snapshots are taken in the order in which they are asked for), so that
//! whoever breaks one has answered what Postgres could not have answered.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use tokio::time::Instant;

/// Writes that will be rolled back add this, so that nobody can take them for committed ones.
pub(crate) const ABORTED: i64 = 1_000_000_000_000;

/// Tags of one writer; the next writer's begin behind them.
const TAGS_PER_WRITER: i64 = 100_000_000;

/// Contradictions that are told in full; the rest is only counted.
const SAMPLES_MAX: usize = 16;

/// What an answer can be found guilty of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Older than a write that this client had made and that was acknowledged to it.
    Ryow,
    /// Older than a write of another client, acknowledged before the read was sent.
    Proxy,
    /// Older than what this client had seen.
    Mono,
    /// Older than what any client had seen before the read was sent.
    Seen,
    /// Two halves of one transaction that do not fit together.
    Pair,
    /// Newer than anything that was ever sent.
    Future,
    /// Rolled back, written by nobody, or of two writes at once; also an answer where an error was due.
    Fabricated,
    /// A second look within one snapshot showed something else.
    Snapshot,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ryow,
        Self::Proxy,
        Self::Mono,
        Self::Seen,
        Self::Pair,
        Self::Future,
        Self::Fabricated,
        Self::Snapshot,
    ];

    fn number(self) -> usize {
        Self::ALL.iter().position(|fault| *fault == self).unwrap()
    }
}

/// What one client knows.
#[derive(Debug)]
pub(crate) struct Eyes {
    pub(crate) writer: usize,
    /// The newest value of each register that it wrote and that was acknowledged.
    wrote: Vec<i64>,
    /// The newest value of each register that it saw.
    saw: Vec<i64>,
}

/// What was known when a read was sent.
#[derive(Debug, Default)]
pub(crate) struct Before {
    at: Option<Instant>,
    /// Each register that is asked for, and of it what is acknowledged and seen, by anybody.
    floors: Vec<(usize, (i64, i64))>,
}

#[derive(Debug)]
struct Register {
    name: String,
    /// Writes that were sent and could commit.
    issued: AtomicI64,
    acknowledged: AtomicI64,
    seen: AtomicI64,
    past: Mutex<Vec<Moment>>,
}

/// A value of a register.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    /// Whose it was, once somebody has seen it.
    tag: Option<i64>,
    acknowledged_at: Option<Instant>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may have committed, or may yet.
    Possible,
    /// It never will.
    Dead,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Judge {
    registers: Vec<Register>,
    /// Of each writer, the register and the state of each of its writes.
    ledger: Vec<RwLock<Vec<(usize, State)>>>,
    counts: [AtomicU64; Fault::ALL.len()],
    samples: Mutex<Vec<String>>,
    /// The longest time for which an acknowledged write was not to be seen, in microseconds.
    worst_us: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) aborted: AtomicU64,
    /// Writes whose outcome nobody was told.
    pub(crate) unknown: AtomicU64,
}

impl Judge {
    /// Of these registers, each at 0 with tag 0, for so many writers.
    pub(crate) fn new(names: impl Iterator<Item = String>, writers: usize) -> Self {
        let register = |name| Register {
            name,
            issued: AtomicI64::new(0),
            acknowledged: AtomicI64::new(0),
            seen: AtomicI64::new(0),
            past: Mutex::default(),
        };
        Self {
            registers: names.map(register).collect(),
            ledger: (0..writers).map(|_| RwLock::default()).collect(),
            counts: Default::default(),
            samples: Mutex::default(),
            worst_us: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }

    pub(crate) fn eyes(&self, writer: usize) -> Eyes {
        let nothing = vec![0; self.registers.len()];
        Eyes {
            writer,
            wrote: nothing.clone(),
            saw: nothing,
        }
    }

    /// The tag for a write that is about to be sent and may commit.
    pub(crate) fn issue(&self, eyes: &Eyes, register: usize) -> i64 {
        self.registers[register]
            .issued
            .fetch_add(1, Ordering::SeqCst);
        self.new_tag(eyes.writer, register, State::Possible)
    }

    /// The tag for a write that is about to be sent and will surely be rolled back.
    pub(crate) fn issue_dead(&self, eyes: &Eyes, register: usize) -> i64 {
        self.aborted.fetch_add(1, Ordering::Relaxed);
        self.new_tag(eyes.writer, register, State::Dead)
    }

    fn new_tag(&self, writer: usize, register: usize, state: State) -> i64 {
        let mut page = self.ledger[writer].write().unwrap();
        page.push((register, state));
        let number = i64::try_from(page.len()).unwrap();
        assert!(number < TAGS_PER_WRITER, "no more tags");
        i64::try_from(writer).unwrap() * TAGS_PER_WRITER + number
    }

    /// What is acknowledged of a register: a write by one that is sent now leads at least one further.
    pub(crate) fn acknowledged(&self, register: usize) -> i64 {
        self.registers[register].acknowledged.load(Ordering::SeqCst)
    }

    /// The write of this client that led at least to `value` was acknowledged.
    pub(crate) fn acknowledge(&self, eyes: &mut Eyes, register: usize, value: i64) {
        if !(0..ABORTED).contains(&value) {
            let told = format!("a write led {} to {value}", self.registers[register].name);
            let writer = eyes.writer;
            self.find(Fault::Fabricated, &told, &|| format!("client {writer}"));
            return;
        }
        let own = &mut eyes.wrote[register];
        *own = value.max(*own);
        let register = &self.registers[register];
        let mut past = register.past.lock().unwrap();
        moment(&mut past, value).acknowledged_at = Some(Instant::now());
        register.acknowledged.fetch_max(value, Ordering::SeqCst);
        drop(past);
        self.committed.fetch_add(1, Ordering::Relaxed);
    }

    /// A write that could have committed has not.
    pub(crate) fn kill(&self, tag: i64) {
        let (writer, number) = locate(tag).unwrap();
        self.ledger[writer].write().unwrap()[number].1 = State::Dead;
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }

    /// To be called before a read of these registers is sent.
    pub(crate) fn before(&self, observed: &[usize], before: &mut Before) {
        before.floors.clear();
        before.floors.extend(observed.iter().map(|number| {
            let register = &self.registers[*number];
            let seen = register.seen.load(Ordering::SeqCst);
            (
                *number,
                (register.acknowledged.load(Ordering::SeqCst), seen),
            )
        }));
        before.at = Some(Instant::now());
    }

    /// Judges the answer to a read: value and tag of each register that was asked for, in that order.
    pub(crate) fn check(
        &self,
        eyes: &mut Eyes,
        before: &Before,
        numbers: &[i64],
        text: &dyn Fn() -> String,
    ) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let observed = before.floors.len();
        if numbers.len() != observed * 2 {
            let told = format!("{} numbers for {observed} registers", numbers.len());
            self.find(Fault::Fabricated, &told, text);
            return;
        }
        let mut last: Option<(usize, i64, i64)> = None;
        for ((register, floors), pair) in before.floors.iter().zip(numbers.chunks(2)) {
            let (value, tag) = (pair[0], pair[1]);
            if let Some((first, others, theirs)) = last.replace((*register, value, tag))
                && first == *register
                && (others, theirs) != (value, tag)
            {
                let told = format!("{others} tag {theirs} beside {value} tag {tag}");
                self.find(Fault::Pair, &told, text);
            }
            let seen = (*register, value, tag);
            if self.is_possible(seen, text) {
                self.check_age(eyes, seen, (*floors, before.at), text);
            }
        }
    }

    /// Whether this value has any business to be seen.
    fn is_possible(
        &self,
        (register, value, tag): (usize, i64, i64),
        text: &dyn Fn() -> String,
    ) -> bool {
        let known = &self.registers[register];
        let name = &known.name;
        if !(0..ABORTED).contains(&value) || !self.may_be(register, tag) {
            let told = format!("{name} = {value} with tag {tag}, which never committed");
            self.find(Fault::Fabricated, &told, text);
            return false;
        }
        if value > known.issued.load(Ordering::SeqCst) {
            let told = format!("{name} = {value}, so much was never written");
            self.find(Fault::Future, &told, text);
            return false;
        }
        let mut past = known.past.lock().unwrap();
        let first = *moment(&mut past, value).tag.get_or_insert(tag);
        drop(past);
        if first != tag {
            let told = format!("{name} = {value} with tag {tag}, but before with tag {first}");
            self.find(Fault::Fabricated, &told, text);
        }
        first == tag
    }

    /// Whether the write of this tag went to this register and is not known to be dead. Tag 0 is of the beginning.
    fn may_be(&self, register: usize, tag: i64) -> bool {
        let Some((writer, number)) = locate(tag) else {
            return tag == 0;
        };
        let Some(page) = self.ledger.get(writer) else {
            return false;
        };
        page.read().unwrap().get(number) == Some(&(register, State::Possible))
    }

    fn check_age(
        &self,
        eyes: &mut Eyes,
        (register, value, _): (usize, i64, i64),
        ((acknowledged, seen), sent): ((i64, i64), Option<Instant>),
        text: &dyn Fn() -> String,
    ) {
        let (wrote, saw) = (eyes.wrote[register], &mut eyes.saw[register]);
        let known = &self.registers[register];
        let name = &known.name;
        let others = acknowledged > wrote;
        for (fault, guilty, floor) in [
            (Fault::Ryow, value < wrote, wrote),
            (Fault::Proxy, others && value < acknowledged, acknowledged),
            (Fault::Mono, value < *saw, *saw),
            (Fault::Seen, value < seen, seen),
        ] {
            if guilty {
                let late = sent.map_or(0, |sent| known.late_us(value, sent));
                self.worst_us.fetch_max(late, Ordering::Relaxed);
                let told = format!("{name} = {value} instead of {floor}, {late} us late");
                self.find(fault, &told, text);
            }
        }
        *saw = value.max(*saw);
        known.seen.fetch_max(value, Ordering::SeqCst);
    }

    /// Something that a client has noticed by itself, or one of the rules above.
    pub(crate) fn find(&self, fault: Fault, told: &str, text: &dyn Fn() -> String) {
        let count = &self.counts[fault.number()];
        let before = count.fetch_add(1, Ordering::Relaxed);
        let mut samples = self.samples.lock().unwrap();
        if before < 3 && samples.len() < SAMPLES_MAX {
            samples.push(format!("{fault:?}: {told}; {}", text()));
        }
    }

    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.counts[fault.number()].load(Ordering::Relaxed)
    }

    pub(crate) fn faults(&self) -> u64 {
        Fault::ALL.iter().map(|fault| self.count(*fault)).sum()
    }

    /// The figures, and some of the contradictions in full.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for (what, count) in [
            ("reads", &self.reads),
            ("committed", &self.committed),
            ("aborted", &self.aborted),
            ("unknown", &self.unknown),
        ] {
            write!(text, "{what} {}, ", count.load(Ordering::Relaxed)).unwrap();
        }
        for fault in Fault::ALL {
            write!(text, "{fault:?} {}, ", self.count(fault)).unwrap();
        }
        let worst = self.worst_us.load(Ordering::Relaxed);
        write!(text, "at most {} ms late", worst / 1000).unwrap();
        for sample in self.samples.lock().unwrap().iter() {
            write!(text, "\n    {sample}").unwrap();
        }
        text
    }
}

impl Register {
    /// For how long a newer value was acknowledged when the read was sent.
    fn late_us(&self, value: i64, sent: Instant) -> u64 {
        let past = self.past.lock().unwrap();
        let newer = past.iter().skip(usize::try_from(value).unwrap() + 1);
        let first = newer.filter_map(|moment| moment.acknowledged_at).min();
        let late = first.map(|first| sent.saturating_duration_since(first));
        late.map_or(0, |late| u64::try_from(late.as_micros()).unwrap())
    }
}

fn moment(past: &mut Vec<Moment>, value: i64) -> &mut Moment {
    let at = usize::try_from(value).unwrap();
    if past.len() <= at {
        past.resize(at + 1, Moment::default());
    }
    &mut past[at]
}

/// The writer, and the place among its writes.
fn locate(tag: i64) -> Option<(usize, usize)> {
    let writer = usize::try_from(tag.div_euclid(TAGS_PER_WRITER)).ok()?;
    let number = usize::try_from(tag.rem_euclid(TAGS_PER_WRITER)).ok()?;
    Some((writer, number.checked_sub(1)?))
}

/// The judge notices each kind of contradiction, and none where there is none.
#[test]
fn each_fault_is_found() {
    let judge = Judge::new(["x", "y"].map(str::to_owned).into_iter(), 2);
    let (mut one, mut two) = (judge.eyes(0), judge.eyes(1));
    let sent = |observed: &[usize]| {
        let mut before = Before::default();
        judge.before(observed, &mut before);
        before
    };
    let text = || String::from("a text");
    let mut found = Vec::new();
    let mut look = |eyes: &mut Eyes, sent: &Before, numbers: &[i64]| {
        judge.check(eyes, sent, numbers, &text);
        let counts: Vec<_> = Fault::ALL.map(|fault| judge.count(fault)).to_vec();
        let new = Fault::ALL.iter().zip(&counts);
        let new = new.filter(|(f, n)| **n > found.get(f.number()).copied().unwrap_or(0));
        let new: Vec<Fault> = new.map(|(fault, _)| *fault).collect();
        found = counts;
        new
    };
    let (early, early_pair) = (sent(&[0]), sent(&[0, 0]));
    let first = judge.issue(&one, 0);
    assert_eq!(look(&mut one, &early_pair, &[0, 0, 0, 0]), []);
    assert_eq!(look(&mut two, &early_pair, &[1, first, 1, first]), []);
    judge.acknowledge(&mut one, 0, 1);
    assert_eq!(look(&mut one, &early, &[0, 0]), [Fault::Ryow]);
    assert_eq!(look(&mut two, &early, &[0, 0]), [Fault::Mono]);
    let late = sent(&[0]);
    let all = [Fault::Proxy, Fault::Mono, Fault::Seen];
    assert_eq!(look(&mut two, &late, &[0, 0]), all);
    assert_eq!(look(&mut two, &late, &[2, first]), [Fault::Future]);
    let dead = judge.issue_dead(&one, 0);
    let wrong = [Fault::Fabricated];
    assert_eq!(look(&mut two, &late, &[1, dead]), wrong);
    let second = judge.issue(&one, 0);
    assert_eq!(look(&mut two, &sent(&[1]), &[1, second]), wrong);
    assert_eq!(
        look(&mut two, &late, &[1, second]),
        wrong,
        "it was the first's"
    );
    assert_eq!(look(&mut two, &late, &[ABORTED + 1, second]), wrong);
    let torn = look(&mut two, &sent(&[0, 0]), &[2, second, 1, first]);
    assert!(torn.contains(&Fault::Pair));
    assert_eq!(look(&mut one, &late, &[2]), wrong, "no row");
    judge.kill(second);
    assert_eq!(look(&mut one, &late, &[2, second]), wrong);
}
