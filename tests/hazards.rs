//! The hazard checks that several projects share. They live beside the repository, not in it.

use std::path::PathBuf;
use std::process::Command;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::Client;

/// `../shared/hazards`, or where `PGWEIR_TEST_HAZARDS` says; None, loudly, where there is none.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/hazards");
    let said = std::env::var_os("PGWEIR_TEST_HAZARDS");
    let folder = said
        .clone()
        .map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if folder.join("run.py").exists() {
        return Some(folder);
    }
    assert!(said.is_none(), "PGWEIR_TEST_HAZARDS has no run.py");
    eprintln!(
        "NOT CHECKED: {} is missing, the hazard checks need it",
        folder.display()
    );
    None
}

/// All checks but D04, D05 and D29: in those two sessions are in transactions that have written, or read
/// a snapshot, at the same time, which takes two upstreams. And D02: there one reads while another has
/// written, which takes one only if the answer is in memory, and a look at the catalog may empty that.
const ONE_UPSTREAM: &str =
    "A,B,C,F,D01,D03,D06,D07,D08,D09,D1,D20,D21,D22,D23,D24,D25,D26,D27,D28,D3,D4";

/// Runs the checks whose names begin so, through a pool of this size, with the cache or without.
fn check(size: usize, cached: bool, only: &str) {
    let Some(folder) = folder() else { return };
    let postgres = Postgres::start();
    let mut admin = postgres.admin();
    admin.run("create database hz");
    let direct = postgres.address.port().to_string();
    let schema = folder.join("00_schema.sql");
    let load = [
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        "hz",
        "-q",
        "-p",
        &direct,
    ];
    run(Command::new("psql")
        .args(load)
        .args(["-v", "ON_ERROR_STOP=1", "-f"])
        .arg(schema));
    let proxy = if cached {
        Proxy::cached_to(postgres.address, size, "")
    } else {
        Proxy::start(&postgres, size, &[])
    };
    let port = proxy.address.port().to_string();
    if cached {
        // From the first check on, with the catalog known.
        let who = [("user", "postgres"), ("database", "hz")];
        let mut client = Client::connect(proxy.address, &who).unwrap();
        eventually("something is answered from memory", || {
            client.run("select count(*) from t");
            (hits(&proxy) > 0).then_some(())
        });
    }
    let before = hits(&proxy);
    run(Command::new("python3")
        .arg("-B")
        .arg(folder.join("run.py"))
        .args([
            "--port", &port, "--direct", &direct, "--only", only, "--quiet",
        ]));
    // Checks of a cache that was never asked would prove nothing.
    assert_eq!(cached, hits(&proxy) > before + 20);
}

/// Answers from memory so far.
pub(crate) fn hits(proxy: &Proxy) -> u64 {
    let who = [("user", "postgres"), ("database", "pgweir")];
    let mut console = Client::connect(proxy.address, &who).unwrap();
    let reply = console.run("show cache");
    let rows = reply.0.iter().filter(|frame| frame.tag == b'D');
    let hits = rows.filter_map(|row| {
        let text = String::from_utf8_lossy(&row.body).into_owned();
        let digits = text
            .split_once("hit")?
            .1
            .trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok()
    });
    hits.max().unwrap_or(0)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{errors}");
    assert!(!said.contains("0 ok,"), "nothing was checked");
}

#[test]
fn pooling_with_one_upstream() {
    check(1, false, "F");
}

#[test]
fn pooling_with_four_upstreams() {
    check(4, false, "F");
}

#[test]
fn everything_with_the_cache_and_one_upstream() {
    check(1, true, ONE_UPSTREAM);
}

#[test]
fn everything_with_the_cache_and_four_upstreams() {
    check(4, true, "A,B,C,D,F");
}
