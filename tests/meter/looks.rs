//! How a client reads.

use super::judge::Fault;
use super::line::Format;
use super::registers::{COMMON, KEYS, face, of};
use super::texts::{Form, Text};
use super::worker::{Run, Step, Worker};
use crate::support::wire::{parse, query};

use std::sync::Arc;

impl Worker {
    /// One read on its own.
    pub(super) fn read(&mut self) -> Step {
        let (number, form) = (self.some_text(), self.some_form());
        let run = Arc::clone(&self.run);
        self.note(&run, &run.texts[number]);
        self.look(&run, number, form)?;
        self.judge(&run, number, form);
        Ok(())
    }

    /// What was known before.
    fn note(&mut self, run: &Run, text: &Text) {
        run.judge.before(&text.observed, &mut self.before);
    }

    /// Asks, and leaves what came in `answer`.
    fn look(&mut self, run: &Run, number: usize, form: Form) -> Step {
        let text = &run.texts[number];
        let (first, then) = text.request(form);
        if let Some(first) = first {
            let last: &[u8] = if form == Form::Flushed { b"T" } else { b"Z" };
            self.send(first)?;
            self.reply_until(Format::Text, last)?;
        }
        if !form.is_named() || self.defined.contains(&number) {
            let asked = self.ask(then, form.format());
            if asked.is_err() {
                self.defined.remove(&number);
            }
            return asked;
        }
        self.ask(&[text.define(), then].concat(), form.format())?;
        self.defined.insert(number);
        Ok(())
    }

    fn judge(&mut self, run: &Run, number: usize, form: Form) {
        let (text, client) = (&run.texts[number], self.eyes.writer);
        let (numbers, before) = (&self.answer.numbers, &self.before);
        let told = || {
            format!(
                "client {client} {form:?} text {}: {}",
                text.number, text.sql
            )
        };
        run.judge.check(&mut self.eyes, before, numbers, &told);
    }

    /// READ COMMITTED: each statement sees what is committed when it begins, as on its own.
    pub(super) fn read_in_transaction(&mut self) -> Step {
        self.simple("begin")?;
        for _ in 0..self.random.usize(1..4) {
            self.read()?;
        }
        self.simple("commit")
    }

    /// REPEATABLE READ: the first look decides, whatever is committed meanwhile.
    pub(super) fn read_in_snapshot(&mut self) -> Step {
        let register = self.random.usize(..COMMON * KEYS);
        let run = Arc::clone(&self.run);
        let texts = &run.about[register];
        let level = ["repeatable read", "serializable"][self.random.usize(..2)];
        self.simple(&format!("begin isolation level {level}"))?;
        let mut first: Option<(i64, i64)> = None;
        for _ in 0..self.random.usize(2..5) {
            let (number, form) = (texts[self.random.usize(..texts.len())], self.some_form());
            if first.is_none() {
                self.note(&run, &run.texts[number]);
            }
            self.look(&run, number, form)?;
            let found = (self.answer.numbers.first(), self.answer.numbers.get(1));
            let (Some(value), Some(tag)) = found else {
                self.find(Fault::Fabricated, "a row is missing");
                continue;
            };
            let (value, tag) = (*value, *tag);
            match first {
                None => {
                    self.judge(&run, number, form);
                    first = Some((value, tag));
                }
                Some(earlier) if earlier != (value, tag) => {
                    let told = format!("{earlier:?} and then {:?}", (value, tag));
                    self.find(Fault::Snapshot, &told);
                }
                Some(_) => {}
            }
        }
        self.simple("commit")
    }

    /// Nothing but errors comes until its end, not even from memory.
    pub(super) fn read_in_failed_transaction(&mut self) -> Step {
        let number = self.some_text();
        let run = Arc::clone(&self.run);
        self.simple("begin")?;
        self.simple_refused("select 1/0", "22012")?;
        self.simple_refused(&run.texts[number].sql, "25P02")?;
        self.simple("rollback")
    }

    /// Several reads in one write, each with its own end.
    pub(super) fn read_in_pipeline(&mut self) -> Step {
        let run = Arc::clone(&self.run);
        let forms = [Form::Simple, Form::Extended, Form::Bare, Form::Binary];
        let reads: Vec<(usize, Form)> = (0..self.random.usize(2..6))
            .map(|_| (self.some_text(), forms[self.random.usize(..forms.len())]))
            .collect();
        let bytes = reads
            .iter()
            .map(|(number, form)| run.texts[*number].request(*form).1);
        let bytes = bytes.collect::<Vec<_>>().concat();
        let mut known = Vec::new();
        for (number, _) in &reads {
            self.note(&run, &run.texts[*number]);
            known.push(std::mem::take(&mut self.before));
        }
        self.send(&bytes)?;
        let mut all = Ok(());
        for ((number, form), before) in reads.iter().zip(known) {
            match self.reply(form.format()) {
                Ok(()) => {
                    self.before = before;
                    self.judge(&run, *number, *form);
                }
                Err(stop @ super::worker::Stop::Lost) => return Err(stop),
                Err(stop) => all = Err(stop),
            }
        }
        all
    }

    /// Goes without a word.
    pub(super) fn vanish(&mut self) -> Step {
        let number = self.some_text();
        let run = Arc::clone(&self.run);
        let sql = &run.texts[number].sql;
        let bytes = match self.random.u8(..4) {
            0 => query(sql),
            1 => query(sql)[..7].to_vec(),
            2 => parse("", sql),
            _ => query(&format!("begin; {sql}")),
        };
        self.send(&bytes)?;
        self.hang_up();
        Ok(())
    }

    /// Inside of a transaction that has written it: exactly that.
    pub(super) fn expect_own(&mut self, register: usize, number: usize, own: (i64, i64)) -> Step {
        let (_, key) = of(register);
        let face = face(register, number);
        self.simple(&format!("select v, tag from {face} x where k = {key}"))?;
        let found = (self.answer.numbers.first(), self.answer.numbers.get(1));
        if found != (Some(&own.0), Some(&own.1)) {
            let told = format!("own {own:?} in {face}, read {found:?} before its commit");
            self.find(Fault::Ryow, &told);
        }
        Ok(())
    }
}
