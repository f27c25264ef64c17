//! What a reader of the documents has: a database at db.example:5432 with the user `shop`, and a
//! pgweir in front of it at 127.0.0.1:6432. The commands are run with these names replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::block::{Block, Mark};
use crate::support::postgres::{Login, Options, Postgres, installs};
use crate::support::proxy::Proxy;

/// The URL of the documents.
const UPSTREAM: &str = "postgres://shop:secret@db.example:5432/shop";

pub(super) struct World {
    folder: TempDir,
    postgres: Postgres,
    proxy: Proxy,
}

impl World {
    pub(super) fn new() -> Self {
        let mut options = Options::new(installs().swap_remove(0));
        options.login = Login::Scram;
        let postgres = Postgres::start_with(&options);
        let mut admin = postgres.admin();
        admin.run("create role shop login password 'secret'");
        admin.run("create database shop owner shop");
        let settings = [("user", "postgres"), ("database", "shop")];
        let mut shop = crate::support::wire::Client::connect(postgres.address, &settings).unwrap();
        for text in [
            "create table products (id int primary key, name text, price numeric)",
            "insert into products select n, 'product ' || n, n from generate_series(1, 100) n",
            "create table orders (id serial primary key, product int references products)",
            "grant all on all tables in schema public to shop",
            "grant all on all sequences in schema public to shop",
        ] {
            shop.run(text);
        }
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        symlink(
            env!("CARGO_BIN_EXE_pgweir"),
            folder.path().join("bin/pgweir"),
        )
        .unwrap();
        let url = UPSTREAM.replace("db.example:5432", &postgres.address.to_string());
        let proxy = Proxy::run(&["--upstream", &url]);
        Self {
            folder,
            postgres,
            proxy,
        }
    }

    /// Names of the documents replaced by what is really there.
    fn here(&self, text: &str) -> String {
        let (host, port) = (self.postgres.address.ip(), self.postgres.address.port());
        text.replace(
            "host=db.example port=5432",
            &format!("host={host} port={port}"),
        )
        .replace("db.example:5432", &self.postgres.address.to_string())
        .replace("db.example", &self.postgres.address.to_string())
        .replace("127.0.0.1:6432", &self.proxy.address.to_string())
        .replace(
            "port = 6432",
            &format!("port = {}", self.proxy.address.port()),
        )
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), self.here(text)).unwrap();
    }

    pub(super) fn run(&mut self, block: &Block, place: &str) {
        let console = block.language == "console";
        let steps = if console {
            steps(&block.text)
        } else {
            vec![(block.text.clone(), Vec::new())]
        };
        for (command, said) in steps {
            if block.mark == Mark::Server {
                self.serve(&command);
                continue;
            }
            let output = self.shell(&command);
            let all = text(&output.stdout) + &text(&output.stderr);
            // What the console shows may be an error: its words are compared then.
            assert!(
                output.status.success() || (console && !said.is_empty()),
                "{place}: {command}\n{all}"
            );
            for line in said {
                let parts: Vec<&str> = line.split("...").map(str::trim).collect();
                let holds = all.lines().any(|one| {
                    let mut rest = one;
                    parts.iter().all(|part| match rest.split_once(*part) {
                        Some((_, after)) => {
                            rest = after;
                            true
                        }
                        None => false,
                    })
                });
                assert!(holds, "{place}: `{line}` is not in\n{all}");
            }
        }
    }

    fn shell(&self, command: &str) -> Output {
        let path = format!(
            "{}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            self.folder.path().display()
        );
        Command::new("timeout")
            .args(["30", "bash", "-euo", "pipefail", "-c", &self.here(command)])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// `NAME=value pgweir flags`, run by the harness, which waits for it and ends it.
    fn serve(&mut self, command: &str) {
        let command = command.replace("\\\n", " ");
        let words: Vec<String> = self
            .here(command.trim())
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let (program, arguments) = words.split_first().unwrap();
        assert_eq!(
            program, "pgweir",
            "a server is a line that begins with pgweir"
        );
        let inside = |word: &String| {
            let path = self.folder.path().join(word);
            let named = word.ends_with(".toml") && path.exists();
            if named {
                path.to_str().unwrap().to_owned()
            } else {
                word.clone()
            }
        };
        let arguments: Vec<String> = arguments.iter().map(inside).collect();
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|word| word.trim_matches(['"', '\'']))
            .collect();
        self.proxy = Proxy::run(&arguments);
    }
}

/// `$ command` and the lines that follow it; a command may go on behind a backslash.
fn steps(text: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    let mut more = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push((command.to_owned(), Vec::new()));
            more = command.ends_with('\\');
        } else if more {
            let command = &mut steps.last_mut().unwrap().0;
            command.push('\n');
            command.push_str(line);
            more = line.ends_with('\\');
        } else if !line.trim().is_empty() && line.trim() != "..." {
            steps.last_mut().unwrap().1.push(line.trim().to_owned());
        }
    }
    steps
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
