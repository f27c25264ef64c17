//! `pgweir demo` as a person runs it: what it prints, and that nothing of it stays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The demo, with a temporary directory of its own: what it leaves behind is left in there, and
/// every process that it starts has the directory in its command line.
fn demo(round_trip: &str) -> (TempDir, Command) {
    let dir = tempfile::tempdir().unwrap();
    // Postgres runs as another user when we are root, and has to get through.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command
        .args(["demo", "--rtt", round_trip])
        .env("TMPDIR", dir.path())
        // The user's own settings are not the demo's.
        .env("PGWEIR_POOL_SIZE", "nonsense")
        .env("PGPORT", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (dir, command)
}

fn is_in_use(dir: &Path) -> bool {
    let needle = dir.to_str().unwrap();
    fs::read_dir("/proc").unwrap().any(|entry| {
        let command = entry.unwrap().path().join("cmdline");
        let command = fs::read(command).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(needle)
    })
}

fn assert_nothing_left(dir: &TempDir) {
    assert!(!is_in_use(dir.path()), "a process is left");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

/// The figures of a row: milliseconds and round trips, directly, through pgweir, and asked before.
fn figures(text: &str, row: &str) -> Vec<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(row));
    let Some(line) = line else {
        panic!("no row {row} in {text}")
    };
    let numbers = line.split_whitespace().map(|word| word.parse().unwrap());
    numbers.collect()
}

#[test]
fn the_demo_shows_both_ways_side_by_side() {
    let (dir, mut command) = demo("20ms");
    let output = command.output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{}\n{text}", output.status);
    // The round trips that exist by the protocol; times above them are the machine's business.
    let connect = figures(&text, "connect ");
    assert!(connect[1] >= 6.0, "{text}");
    let both = figures(&text, "connect + query");
    assert!(both[1] >= 7.0 && both[3] >= 1.0, "{text}");
    assert!(both[2] < both[0], "{text}");
    for row in ["first query", "second query", "disconnect"] {
        assert_eq!(figures(&text, row).len(), 6, "{text}");
    }
    // From memory: less than half of the distance, on the slowest machine.
    assert!(figures(&text, "first query")[5] < 0.5, "{text}");
    assert!(text.contains("PostgreSQL 1"), "{text}");
    assert_nothing_left(&dir);
}

/// Reads what the demo says until it says `text`.
fn wait_for(child: &mut Child, text: &str) {
    let stderr = child.stderr.as_mut().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    let found = lines.any(|line| line.unwrap().contains(text));
    assert!(found, "it never said {text:?}");
}

#[test]
fn a_signal_ends_it_at_any_stage_and_nothing_is_left() {
    for (stage, pause, signal) in [
        ("starting", 0, "INT"),
        ("starting", 100, "INT"),
        ("starting", 300, "HUP"),
        ("putting", 50, "INT"),
        ("measuring", 100, "TERM"),
        ("measuring", 1000, "INT"),
    ] {
        let (dir, mut command) = demo("200ms");
        let mut child = command.spawn().unwrap();
        wait_for(&mut child, stage);
        std::thread::sleep(Duration::from_millis(pause));
        let kill = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let text = text(&output);
        assert_eq!(output.status.code(), Some(130), "{stage} {pause}: {text}");
        assert!(!text.contains("directly"), "{text}");
        assert_nothing_left(&dir);
    }
}
