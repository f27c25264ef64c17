//! How a client writes: every form that can commit, and every form that surely does not.

use super::draft::Draft;
use super::judge::{ABORTED, Fault};
use super::line::Format;
use super::registers::{COMMON, How, KEYS, face, of};
use super::worker::{Habit, Step, Stop, Worker, connect};
use crate::support::wire::{bind, copy_data, copy_done, execute, flush, parse, query, sync};

/// What became of it, where that is known.
enum Outcome {
    /// It led to this value, or it is only known that it led further.
    Committed(Option<i64>),
    Aborted,
}

impl Worker {
    /// A write that commits, in one of many ways.
    pub(super) fn write(&mut self, register: usize) -> Step {
        let judge = &self.run.judge;
        let floor = judge.acknowledged(register);
        let tag = judge.issue(&self.eyes, register);
        let draft = Draft::new(register, tag, self.random.usize(..6));
        let (outcome, left) = match self.commit_somehow(&draft) {
            Ok(outcome) => (Some(outcome), Ok(())),
            Err(Stop::Refused) => (Some(Outcome::Aborted), Err(Stop::Refused)),
            Err(Stop::Lost) => (None, Err(Stop::Lost)),
        };
        let run = std::sync::Arc::clone(&self.run);
        let judge = &run.judge;
        match outcome {
            Some(Outcome::Committed(value)) => {
                judge.acknowledge(&mut self.eyes, register, value.unwrap_or(floor + 1));
            }
            Some(Outcome::Aborted) => judge.kill(tag),
            None => {
                judge
                    .unknown
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        left
    }

    fn commit_somehow(&mut self, draft: &Draft) -> Step<Outcome> {
        let opaque = self.run.era().opaque;
        match self.random.u8(..24) {
            0 | 1 => self.all_at_once(draft, &draft.updates(1)),
            2 if draft.upserts => self.all_at_once(draft, &draft.upserts()),
            3 if draft.merges => self.merge(draft),
            4 | 5 => self.extended(draft),
            6 => self.flushed(draft),
            7 => self.prepared(draft),
            8 | 9 => self.transaction(draft),
            10 => self.transaction_in_one(draft),
            11 => self.chain(draft),
            12 => self.savepoint(draft),
            13 | 14 => self.pipeline_with_read(draft),
            15 if draft.may_stand_in_with() => {
                self.all_at_once(draft, &[draft.writing_query(("", ""))])
            }
            16 if opaque && draft.tells() => self.function(draft),
            17 if opaque => self.hidden(draft),
            18 if opaque => self.sql_prepared(draft),
            19 if draft.faces.len() == 1 => self.explained(draft),
            20 if draft.how == How::Insert => self.copied(draft),
            20 => self.locked(draft),
            21 if self.has(Habit::TwoPhase) => self.two_phase(draft),
            22 if self.has(Habit::Slow) && draft.may_stand_in_with() => {
                let slowly = (", z as (select pg_sleep(0.03))", ", z");
                self.all_at_once(draft, &[draft.writing_query(slowly)])
            }
            _ => self.all_at_once(draft, &draft.updates(1)),
        }
    }

    /// The value that the last statement returned, after its commit.
    fn committed(&self, draft: &Draft) -> Outcome {
        let value = self.answer.numbers.last();
        Outcome::Committed(value.copied().filter(|_| draft.tells()))
    }

    /// After COMMIT: what its answer says.
    fn ended(&self, value: Option<i64>) -> Step<Outcome> {
        match self.answer.tag.as_slice() {
            b"COMMIT" => Ok(Outcome::Committed(value)),
            b"ROLLBACK" => Ok(Outcome::Aborted),
            other => {
                let told = String::from_utf8_lossy(other).into_owned();
                self.run.trouble(format!("COMMIT answered {told:?}"));
                Ok(Outcome::Aborted)
            }
        }
    }

    fn all_at_once(&mut self, draft: &Draft, statements: &[String]) -> Step<Outcome> {
        self.simple(&statements.join("; "))?;
        Ok(self.committed(draft))
    }

    fn merge(&mut self, draft: &Draft) -> Step<Outcome> {
        self.simple(&draft.merges().join("; "))?;
        if self.answer.tag != b"MERGE 1" {
            self.run.trouble(format!("{:?}", self.answer));
        }
        Ok(Outcome::Committed(None))
    }

    fn extended(&mut self, draft: &Draft) -> Step<Outcome> {
        let bytes = whole(&draft.updates(1));
        self.ask(&[bytes, sync()].concat(), Format::Text)?;
        Ok(self.committed(draft))
    }

    /// The reply comes before the commit, and only then ReadyForQuery.
    fn flushed(&mut self, draft: &Draft) -> Step<Outcome> {
        let statement = draft.updates(1).pop().unwrap();
        let others = draft.updates(1).len() > 1;
        if others {
            return self.transaction(draft);
        }
        self.send(&[whole(&[statement]), flush()].concat())?;
        self.reply_until(Format::Text, b"C")?;
        let outcome = self.committed(draft);
        self.ask(&sync(), Format::Text)?;
        Ok(outcome)
    }

    /// A statement that stays, under a name of its own for each face.
    fn prepared(&mut self, draft: &Draft) -> Step<Outcome> {
        if !draft.tells() {
            return self.extended(draft);
        }
        let (tag, key) = (draft.tag.to_string(), draft.key.to_string());
        let mut bytes = Vec::new();
        let mut new = Vec::new();
        for (number, face) in draft.numbers.iter().zip(&draft.faces) {
            // Behind those of the reads.
            let id = 1_000_000 + draft.register * 8 + number;
            let name = format!("w{id}");
            if !self.defined.contains(&id) {
                let sql = format!("update {face} set v = v + 1, tag = $1 where k = $2 returning v");
                bytes.extend(parse(&name, &sql));
                new.push(id);
            }
            bytes.extend([bind("", &name, &[&tag, &key]), execute("", 0)].concat());
        }
        bytes.extend(sync());
        if self.ask(&bytes, Format::Text).is_err() {
            // Whether they are defined now is not known: another connection will not have them.
            self.hang_up();
            return Err(Stop::Lost);
        }
        self.defined.extend(new);
        Ok(self.committed(draft))
    }

    /// With looks at what it has written itself, also when only one half is.
    fn transaction(&mut self, draft: &Draft) -> Step<Outcome> {
        self.simple("begin")?;
        let value = self.write_and_look(draft, 1)?;
        self.simple("commit")?;
        self.ended(value)
    }

    /// The statements one by one; the value.
    fn write_and_look(&mut self, draft: &Draft, by: i64) -> Step<Option<i64>> {
        let mut value = None;
        let statements = draft.updates(by);
        let whole = statements.len();
        for (number, statement) in statements.iter().enumerate() {
            self.simple(statement)?;
            value = self
                .answer
                .numbers
                .last()
                .copied()
                .filter(|_| draft.tells());
            let Some(value) = value.filter(|_| self.random.bool()) else {
                continue;
            };
            self.expect_own(draft.register, number, (value, draft.tag))?;
            if number + 1 < whole {
                self.look_at_halves(draft, value - by)?;
            } else if whole > 1 {
                self.look_at_halves(draft, value)?;
            }
        }
        Ok(value)
    }

    /// Inside of the transaction that writes both halves the second one may still be behind.
    fn look_at_halves(&mut self, draft: &Draft, second: i64) -> Step {
        let (a, b, key) = (&draft.faces[0], &draft.faces[1], draft.key);
        // As others ask, so that what is kept of it would be found by them.
        let sql = format!(
            "select x.v, x.tag, y.v, y.tag from {a} x join {b} y on x.k = y.k where x.k = {key}"
        );
        self.simple(&sql)?;
        if self.answer.numbers.get(2) != Some(&second) {
            let told = format!(
                "own transaction: {second} expected in {:?}",
                self.answer.numbers
            );
            self.find(Fault::Ryow, &told);
        }
        Ok(())
    }

    fn transaction_in_one(&mut self, draft: &Draft) -> Step<Outcome> {
        let inner = draft.updates(1).join("; ");
        self.simple(&format!("begin; {inner}; commit"))?;
        let value = self.answer.numbers.last().copied();
        self.ended(value.filter(|_| draft.tells()))
    }

    /// COMMIT AND CHAIN publishes while the status stays in a transaction.
    fn chain(&mut self, draft: &Draft) -> Step<Outcome> {
        self.simple("begin")?;
        let value = self.write_and_look(draft, 1)?;
        self.simple("commit and chain")?;
        let outcome = self.ended(value)?;
        // What is wrong from here on does not change what has been committed.
        let rest = self.simple("rollback");
        self.settle(rest);
        Ok(outcome)
    }

    /// What is written behind the savepoint and rolled back to it never was.
    fn savepoint(&mut self, draft: &Draft) -> Step<Outcome> {
        let judge = &self.run.judge;
        let dead = judge.issue_dead(&self.eyes, draft.register);
        let dead = Draft::new(draft.register, dead, 0);
        self.simple("begin; savepoint a")?;
        self.write_and_look(&dead, ABORTED)?;
        self.simple("rollback to savepoint a")?;
        let value = self.write_and_look(draft, 1)?;
        self.simple("release savepoint a; commit")?;
        self.ended(value)
    }

    /// The write and reads behind it in one go: they come after it.
    fn pipeline_with_read(&mut self, draft: &Draft) -> Step<Outcome> {
        let (face, key) = (face(draft.register, 1), draft.key);
        let look = format!("select v, tag from {face} x where k = {key}");
        let same_group = self.random.bool();
        let mut bytes = whole(&draft.updates(1));
        if same_group {
            bytes.extend(whole(std::slice::from_ref(&look)));
        }
        bytes.extend(sync());
        if !same_group {
            bytes.extend(query(&look));
        }
        self.send(&bytes)?;
        let done = self.reply(Format::Text);
        if !same_group && matches!(done, Err(Stop::Refused)) {
            self.reply(Format::Text)?;
        }
        done?;
        let written = draft.faces.len();
        let value = self
            .answer
            .numbers
            .get(written - 1)
            .copied()
            .filter(|_| draft.tells());
        let mut rest = Ok(());
        if !same_group {
            rest = self.reply(Format::Text);
        }
        // Others may have written since, but not before.
        let seen = self.answer.numbers.len().checked_sub(2);
        let seen = seen.map_or(0, |at| self.answer.numbers[at]);
        if rest.is_ok() && value.is_some_and(|value| seen < value) {
            self.find(
                Fault::Ryow,
                &format!("{value:?} written, {seen} read behind it: {look}"),
            );
        }
        self.settle(rest);
        Ok(Outcome::Committed(value))
    }

    fn function(&mut self, draft: &Draft) -> Step<Outcome> {
        let (faces, key, tag) = (draft.face_array(), draft.key, draft.tag);
        self.simple(&format!("select bump({faces}, {key}, {tag})"))?;
        Ok(self.committed(draft))
    }

    /// DO and CALL: their text does not say what they write, nor what came of it.
    fn hidden(&mut self, draft: &Draft) -> Step<Outcome> {
        let (faces, key, tag) = (draft.face_array(), draft.key, draft.tag);
        if draft.tells() && self.random.bool() {
            self.simple(&format!("call bump_all({faces}, {key}, {tag})"))?;
            return Ok(Outcome::Committed(None));
        }
        let statements = draft.updates(1).join("; ").replace(" returning v", "");
        self.simple(&format!("do $$ begin {statements}; end $$"))?;
        Ok(Outcome::Committed(None))
    }

    /// By PREPARE and EXECUTE; what an error leaves behind goes with the connection.
    fn sql_prepared(&mut self, draft: &Draft) -> Step<Outcome> {
        let done = self.prepare_and_execute(draft);
        if done.is_err() {
            self.hang_up();
        }
        done
    }

    fn prepare_and_execute(&mut self, draft: &Draft) -> Step<Outcome> {
        self.simple("begin")?;
        let mut value = None;
        for statement in draft.updates(1) {
            self.simple(&format!("prepare p as {statement}"))?;
            self.simple("execute p")?;
            value = self
                .answer
                .numbers
                .last()
                .copied()
                .filter(|_| draft.tells());
            self.simple("deallocate p")?;
        }
        self.simple("commit")?;
        self.ended(value)
    }

    fn explained(&mut self, draft: &Draft) -> Step<Outcome> {
        self.simple(&format!("explain analyze {}", draft.updates(1)[0]))?;
        Ok(Outcome::Committed(None))
    }

    fn copied(&mut self, draft: &Draft) -> Step<Outcome> {
        self.send(&query("copy lg from stdin"))?;
        // An error is followed by ReadyForQuery without being asked.
        self.reply_until(Format::Text, b"GZ")?;
        let row = format!("{}\t{}\n", draft.key, draft.tag);
        self.ask(
            &[copy_data(row.as_bytes()), copy_done()].concat(),
            Format::Text,
        )?;
        Ok(Outcome::Committed(None))
    }

    /// Reads under a lock, and writes what it makes of it.
    fn locked(&mut self, draft: &Draft) -> Step<Outcome> {
        if draft.faces.len() > 1 {
            return self.extended(draft);
        }
        let (face, key, tag) = (&draft.faces[0], draft.key, draft.tag);
        self.simple("begin")?;
        self.simple(&format!(
            "select v from {face} x where k = {key} for update"
        ))?;
        let Some(old) = self.answer.numbers.first().copied() else {
            self.find(Fault::Fabricated, "a row is missing");
            self.simple("rollback")?;
            return Ok(Outcome::Aborted);
        };
        let update = format!(
            "update {face} set v = {} , tag = {tag} where k = {key}",
            old + 1
        );
        self.simple(&update)?;
        self.simple("commit")?;
        self.ended(Some(old + 1))
    }

    /// Prepared here, ended by another session.
    fn two_phase(&mut self, draft: &Draft) -> Step<Outcome> {
        let name = format!("g{}", draft.tag);
        self.simple("begin")?;
        let value = self.write_and_look(draft, 1)?;
        self.simple(&format!("prepare transaction '{name}'"))?;
        if self.random.bool() {
            self.read()?;
        }
        let end = ["commit", "commit", "rollback"][self.random.usize(..3)];
        // For a moment the other session's connection is this client's.
        let run = std::sync::Arc::clone(&self.run);
        let other = self.second.take().unwrap_or_else(|| connect(&run));
        let own = self.line.replace(other);
        let ended = self.simple(&format!("{end} prepared '{name}'"));
        self.second = std::mem::replace(&mut self.line, own);
        ended?;
        Ok(if end == "commit" {
            Outcome::Committed(value)
        } else {
            Outcome::Aborted
        })
    }

    /// A write that surely does not commit.
    pub(super) fn abort_write(&mut self, register: usize) -> Step {
        let tag = self.run.judge.issue_dead(&self.eyes, register);
        let draft = Draft::new(register, tag, self.random.usize(..6));
        match self.random.u8(..7) {
            0 | 1 => {
                self.simple("begin")?;
                self.write_and_look(&draft, ABORTED)?;
                self.simple("rollback")
            }
            2 => {
                self.simple("begin")?;
                self.write_and_look(&draft, ABORTED)?;
                self.simple_refused("select 1/0", "22012")?;
                self.simple("commit")
            }
            3 => {
                let statements = draft.updates(ABORTED).join("; ");
                self.simple_refused(&format!("{statements}; select 1/0"), "22012")
            }
            4 => {
                let mut statements = draft.updates(ABORTED);
                statements.push("select 1/0".to_owned());
                self.refused_pipeline(&statements)
            }
            5 => self.go_before_sync(&draft),
            _ => {
                self.simple("begin")?;
                self.write_and_look(&draft, ABORTED)?;
                self.hang_up();
                Ok(())
            }
        }
    }

    /// Before anything else: looks at halves of its own that nobody else may ever see.
    pub(super) fn tear(&mut self) -> Step {
        for register in (0..COMMON * KEYS).filter(|number| of(*number).0.how == How::Both) {
            let tag = self.run.judge.issue_dead(&self.eyes, register);
            let draft = Draft::new(register, tag, 0);
            self.simple("begin")?;
            self.simple(&draft.updates(ABORTED)[0])?;
            let value = self.answer.numbers.last().copied().unwrap_or_default();
            self.look_at_halves(&draft, value - ABORTED)?;
            self.simple("rollback")?;
        }
        Ok(())
    }

    fn refused_pipeline(&mut self, statements: &[String]) -> Step {
        self.send(&[whole(statements), sync()].concat())?;
        match self.reply(Format::Text) {
            Err(Stop::Refused) => Ok(()),
            other => other,
        }
    }

    /// Without Sync nothing is committed.
    fn go_before_sync(&mut self, draft: &Draft) -> Step {
        self.send(&[whole(&draft.updates(ABORTED)), flush()].concat())?;
        for _ in &draft.updates(1) {
            self.reply_until(Format::Text, b"C")?;
        }
        self.hang_up();
        Ok(())
    }
}

/// Parse, Bind and Execute of each.
fn whole(statements: &[String]) -> Vec<u8> {
    let frames = statements
        .iter()
        .flat_map(|statement| [parse("", statement), bind("", "", &[]), execute("", 0)].concat());
    frames.collect()
}
