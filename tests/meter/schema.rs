//! The client that changes the schema all the time, and with each change what a register shows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::registers::{SCHEMA, schema_register};
use super::worker::{Run, Step, Worker};

/// A table takes 1,600 columns in its life, dropped ones included.
const COLUMNS_MAX: usize = 700;

/// What differs from one change to the next.
struct Architect {
    worker: Worker,
    /// The value of each of the schema's registers.
    values: [i64; SCHEMA.len()],
    rounds: usize,
}

/// Until the run is over.
pub(crate) fn change(run: Arc<Run>, writer: usize, seed: u64) {
    let mut architect = Architect {
        worker: Worker::new(run, writer, seed),
        values: [0; SCHEMA.len()],
        rounds: 0,
    };
    while !architect.worker.run.over.load(Ordering::Relaxed) && !architect.worker.run.is_over() {
        let done = architect.round();
        if done.is_err() {
            let told = "the schema could not be changed".to_owned();
            architect.worker.run.trouble(told);
            return;
        }
        architect.rounds += 1;
        // Long enough, now and then, for the catalog to be read and results to be kept.
        let pause = [5, 5, 50, 400][architect.rounds % 4];
        std::thread::sleep(std::time::Duration::from_millis(pause));
    }
}

impl Architect {
    fn round(&mut self) -> Step {
        let names = SCHEMA[self.rounds % SCHEMA.len()];
        match names {
            "sw" => self.swap_names()?,
            "cv" => self.redefine_view()?,
            "ap" => self.exchange_partition()?,
            "dtd" => self.make_and_drop_trigger()?,
            "mv" => self.refresh()?,
            _ => self.empty_and_fill()?,
        }
        if self.rounds < COLUMNS_MAX && self.rounds % 4 < 2 {
            self.columns()?;
        }
        Ok(())
    }

    /// The next value and a tag for it; the register will show it when `acknowledge` is called.
    fn next(&mut self, name: &str) -> (usize, i64, i64) {
        let register = schema_register(name);
        let place = SCHEMA.iter().position(|face| *face == name).unwrap();
        self.values[place] += 1;
        let worker = &self.worker;
        let tag = worker.run.judge.issue(&worker.eyes, register);
        (register, self.values[place], tag)
    }

    fn acknowledge(&mut self, register: usize, value: i64) {
        let run = Arc::clone(&self.worker.run);
        run.judge
            .acknowledge(&mut self.worker.eyes, register, value);
    }

    /// In one transaction, in one message or in several.
    fn together(&mut self, statements: &[&str]) -> Step {
        if self.rounds.is_multiple_of(2) {
            return self.worker.simple(&statements.join("; "));
        }
        self.worker.simple("begin")?;
        for statement in statements {
            self.worker.simple(statement)?;
        }
        self.worker.simple("commit")
    }

    fn set(&mut self, table: &str, value: i64, tag: i64) -> Step {
        self.worker.simple(&format!(
            "update {table} set v = {value}, tag = {tag} where k = 1"
        ))
    }

    fn swap_names(&mut self) -> Step {
        let (register, value, tag) = self.next("sw");
        self.set("sw_hidden", value, tag)?;
        self.together(&[
            "alter table sw rename to sw_old",
            "alter table sw_hidden rename to sw",
            "alter table sw_old rename to sw_hidden",
        ])?;
        self.acknowledge(register, value);
        Ok(())
    }

    fn redefine_view(&mut self) -> Step {
        let (register, value, tag) = self.next("cv");
        let table = ["cv_1", "cv_2"][usize::try_from(value).unwrap() % 2];
        self.set(table, value, tag)?;
        self.worker.simple(&format!(
            "create or replace view cv as select k, v, tag from {table}"
        ))?;
        self.acknowledge(register, value);
        Ok(())
    }

    fn exchange_partition(&mut self) -> Step {
        let (register, value, tag) = self.next("ap");
        let (old, new) = if value % 2 == 1 {
            ("ap_1", "ap_2")
        } else {
            ("ap_2", "ap_1")
        };
        self.set(new, value, tag)?;
        self.together(&[
            &format!("alter table ap detach partition {old}"),
            &format!("alter table ap attach partition {new} for values in (1)"),
        ])?;
        self.acknowledge(register, value);
        Ok(())
    }

    /// While the trigger is there a write goes on to the other table.
    fn make_and_drop_trigger(&mut self) -> Step {
        let (register, value, tag) = self.next("dtd");
        self.worker.simple(
            "create trigger carry after update on dts for each row execute function carry_dtd()",
        )?;
        self.set("dts", value, tag)?;
        self.acknowledge(register, value);
        self.worker.simple("drop trigger carry on dts")?;
        self.set("dts", value, tag)
    }

    fn refresh(&mut self) -> Step {
        let (register, value, tag) = self.next("mv");
        self.set("mvb", value, tag)?;
        self.worker.simple("refresh materialized view mv")?;
        self.acknowledge(register, value);
        Ok(())
    }

    fn empty_and_fill(&mut self) -> Step {
        let (register, value, tag) = self.next("trn");
        let fill = format!("insert into trn values (1, {value}, {tag}), (2, 0, 0)");
        self.together(&["truncate trn", &fill])?;
        self.acknowledge(register, value);
        Ok(())
    }

    /// Of a table that everybody reads and writes.
    fn columns(&mut self) -> Step {
        self.worker
            .simple("alter table kv add column extra int default 7")?;
        self.worker.simple("alter table kv drop column extra")
    }
}
