//! Where statements are tried: a server with many databases of the same content, whose log says what was executed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use super::fixture::FIXTURE;
use crate::support::eventually;
use crate::support::postgres::{Options, Postgres, installs};
use crate::support::wire::Client;

/// A server with the fixture as a template, whose log says what was executed and for whom.
pub(crate) struct Ground {
    pub(crate) postgres: Postgres,
    databases: usize,
    pub(crate) faults: Vec<String>,
    /// For each mark, how often its statement was answered, and the statement.
    pub(crate) marks: BTreeMap<String, (usize, String)>,
}

/// Sessions of the direct control; everybody else's come through whoever is tested.
pub(crate) const CONTROL: &str = "control";

impl Ground {
    pub(crate) fn new() -> Self {
        let mut options = Options::new(installs().swap_remove(0));
        options.conf =
            "log_statement = all\nlog_line_prefix = '[%a] '\nlog_error_verbosity = terse\n"
                .to_owned();
        let postgres = Postgres::start_with(&options);
        let mut admin = postgres.admin();
        admin.run("create role r_fix");
        admin.run("grant r_fix to postgres");
        admin.run("create database fix");
        let mut client = connect(postgres.address, "fix", CONTROL);
        client.run(FIXTURE);
        drop(client);
        Self {
            postgres,
            databases: 0,
            faults: Vec::new(),
            marks: BTreeMap::new(),
        }
    }

    /// Another database like the fixture.
    pub(crate) fn database(&mut self) -> String {
        self.databases += 1;
        let name = format!("db{}", self.databases);
        let mut admin = self.postgres.admin();
        let copy = format!("create database {name} template fix");
        eventually("the template to be free", || {
            (!admin.query(&copy).unwrap().failed()).then_some(())
        });
        name
    }

    pub(crate) fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    /// Adds a mark to a statement that must be executed as often as it is answered.
    pub(crate) fn mark(&mut self, sql: &str, must: bool) -> (String, String) {
        let mark = format!("mark{}.", self.marks.len());
        let text = if must { sql.to_owned() } else { String::new() };
        self.marks.insert(mark.clone(), (0, text));
        (format!("{sql} /* {mark} */"), mark)
    }

    pub(crate) fn answered(&mut self, mark: &str) {
        self.marks.get_mut(mark).unwrap().0 += 1;
    }

    /// Looks up in the server's log whether everything was executed that had to be.
    pub(crate) fn check_log(&mut self) {
        let log = fs::read_to_string(self.postgres.dir.join("postgres.log")).unwrap();
        let mut executed: BTreeMap<&str, usize> = BTreeMap::new();
        for line in log.lines() {
            let ours = line.starts_with(&format!("[{CONTROL}]"));
            let Some((_, text)) = line.split_once("LOG:  ") else {
                continue;
            };
            if ours || !(text.starts_with("statement: ") || text.starts_with("execute ")) {
                continue;
            }
            for mark in text
                .split("/* ")
                .skip(1)
                .filter_map(|rest| rest.split_once(' '))
            {
                *executed.entry(mark.0).or_default() += 1;
            }
        }
        let missing: Vec<String> = (self.marks.iter())
            .filter(|(_, (_, sql))| !sql.is_empty())
            .filter_map(|(mark, (answered, sql))| {
                let times = executed.get(mark.as_str()).copied().unwrap_or(0);
                let less = times < *answered;
                less.then(|| format!("answered {answered} times, executed {times} times: {sql}"))
            })
            .collect();
        self.faults.extend(missing);
    }
}

pub(crate) fn connect(address: SocketAddr, database: &str, name: &str) -> Client {
    let settings = [
        ("user", "postgres"),
        ("database", database),
        ("application_name", name),
    ];
    Client::connect(address, &settings).unwrap()
}
