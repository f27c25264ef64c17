//! The hazard checks that several projects share. They live beside the repository, not in it.

use std::path::PathBuf;
use std::process::Command;

use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;

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

/// Runs the checks whose names begin so, through a pool of this size.
fn check(size: usize, only: &str) {
    let Some(folder) = folder() else { return };
    let postgres = Postgres::start();
    let mut admin = postgres.admin();
    admin.run("create database hz");
    let direct = postgres.address.port().to_string();
    let schema = folder.join("00_schema.sql");
    run(Command::new("psql")
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            "hz",
            "-q",
            "-p",
            &direct,
            "-f",
        ])
        .arg(schema)
        .args(["-v", "ON_ERROR_STOP=1"]));
    let proxy = Proxy::start(&postgres, size, &[]);
    let port = proxy.address.port().to_string();
    run(Command::new("python3")
        .arg("-B")
        .arg(folder.join("run.py"))
        .args([
            "--port", &port, "--direct", &direct, "--only", only, "--quiet",
        ]));
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
    check(1, "F");
}

#[test]
fn pooling_with_four_upstreams() {
    check(4, "F");
}

#[test]
fn protocol_and_sql_with_one_upstream() {
    check(1, "A,B,C");
}

#[test]
fn protocol_and_sql_with_four_upstreams() {
    check(4, "A,B,C");
}
