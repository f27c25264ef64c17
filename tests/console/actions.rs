//! PAUSE and the like, with clients at work.

use super::{console, start};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, cancel, query, startup};

/// The named column of the first row that has `value` in `key`.
pub(crate) fn cell(
    client: &mut Client,
    show: &str,
    (key, value): (&str, &str),
    column: &str,
) -> Option<String> {
    let rows = table(client, show);
    let (names, rows) = rows.split_first()?;
    let at = |name: &str| names.iter().position(|n| n.as_deref() == Some(name));
    let (key, column) = (
        at(key)?,
        at(column).unwrap_or_else(|| panic!("no {column} in {names:?}")),
    );
    let row = rows.iter().find(|row| row[key].as_deref() == Some(value))?;
    row[column].clone()
}

/// The names of the columns, then the rows.
pub(crate) fn table(client: &mut Client, show: &str) -> Vec<Vec<Option<String>>> {
    let reply = client.query(show).unwrap();
    assert!(!reply.failed(), "{show}: {reply:?}");
    let mut rows = Vec::new();
    for frame in &reply.0 {
        match frame.tag {
            b'T' => rows.push(
                columns(&frame.body)
                    .into_iter()
                    .map(|(name, _)| Some(name))
                    .collect(),
            ),
            b'D' => rows.push(values(&frame.body)),
            _ => {}
        }
    }
    rows
}

/// Names and types of a RowDescription.
pub(super) fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == 0).unwrap();
        let name = String::from_utf8(rest[..end].to_vec()).unwrap();
        let oid = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
        columns.push((name, oid));
        rest = &rest[end + 19..];
    }
    columns
}

fn values(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        values.push(usize::try_from(length).ok().map(|length| {
            let (value, after) = rest.split_at(length);
            rest = after;
            String::from_utf8(value.to_vec()).unwrap()
        }));
    }
    values
}

/// A column of the pool that all of these tests use.
pub(super) fn pool(client: &mut Client, column: &str) -> i64 {
    let cell = cell(client, "SHOW POOLS", ("database", "postgres"), column);
    cell.map_or(0, |cell| cell.parse().unwrap())
}

fn proxy(postgres: &Postgres) -> Proxy {
    start(postgres, "pool.size_max = 3\n")
}

fn wait_for(admin: &mut Client, column: &str, count: i64) {
    eventually(column, || (pool(admin, column) == count).then_some(()));
}

fn wait_for_pause(admin: &mut Client) {
    eventually("the pause", || {
        let paused = cell(admin, "SHOW DATABASES", ("name", "postgres"), "paused");
        (paused.as_deref() == Some("1")).then_some(())
    });
}

#[test]
fn pause_lets_transactions_end_and_clients_wait() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 3\npool.timeout = \"2s\"\n");
    let (mut busy, mut idle, mut admin) = (proxy.client(), proxy.client(), console(&proxy));
    busy.run("begin");
    busy.run("create table t (i int)");
    idle.run("select 1");
    let mut pausing = console(&proxy);
    pausing.send(&query("PAUSE")).unwrap();
    wait_for_pause(&mut admin);
    // Idle upstreams are closed at once; the one in use stays as long as its transaction.
    wait_for(&mut admin, "sv_idle", 0);
    idle.send(&query("select 2")).unwrap();
    wait_for(&mut admin, "cl_waiting", 1);
    assert!(!pausing.has_answer() && !idle.has_answer());
    assert_eq!(pool(&mut admin, "sv_active"), 1);
    busy.run("insert into t values (1)");
    busy.run("commit");
    assert_eq!(tag(&mut pausing), "PAUSE");
    // They are closed; a busy server may take a moment to notice.
    eventually("no upstream to be left", || {
        (Postgres::upstreams(&mut postgres.admin(), "true") == 0).then_some(())
    });
    assert_eq!(
        pool(&mut admin, "sv_active") + pool(&mut admin, "sv_idle"),
        0
    );
    let paused = cell(&mut admin, "SHOW DATABASES", ("name", "postgres"), "paused");
    assert_eq!(paused.as_deref(), Some("1"));
    // Longer than pool.timeout: that clock stands still.
    eventually("maxwait", || {
        (pool(&mut admin, "maxwait") >= 3).then_some(())
    });
    assert!(!idle.has_answer());
    // A new client waits for its greeting.
    let mut late = Client::open(proxy.address).unwrap();
    late.send(&startup(
        (3, 0),
        &[("user", "postgres"), ("database", "postgres")],
    ))
    .unwrap();
    wait_for(&mut admin, "cl_waiting", 2);
    admin.run("RESUME");
    assert_eq!(idle.until(b'Z').unwrap().value().as_deref(), Some("2"));
    late.greet().unwrap();
    assert_eq!(late.value("select count(*) from t"), "1");
    wait_for(&mut admin, "cl_waiting", 0);
    proxy.stop();
}

fn tag(client: &mut Client) -> String {
    let reply = client.until(b'Z').unwrap();
    let complete = reply.0.iter().find(|f| f.tag == b'C');
    let complete = complete.unwrap_or_else(|| panic!("{reply:?}"));
    String::from_utf8(complete.body[..complete.body.len() - 1].to_vec()).unwrap()
}

#[test]
fn a_pause_that_is_given_up_is_taken_back() {
    let postgres = Postgres::start();
    let proxy = proxy(&postgres);
    let mut busy = proxy.client();
    busy.run("begin");
    busy.run("select 1");
    let mut other = proxy.client();
    // By a cancel.
    let (mut admin, mut looking) = (console(&proxy), console(&proxy));
    admin.send(&query("PAUSE postgres")).unwrap();
    wait_for_pause(&mut looking);
    other.send(&query("select 2")).unwrap();
    wait_for(&mut looking, "cl_waiting", 1);
    cancel(proxy.address, &admin.key()).unwrap();
    assert_eq!(admin.until(b'Z').unwrap().sqlstate(), "57014");
    assert_eq!(other.until(b'Z').unwrap().value().as_deref(), Some("2"));
    // By hanging up.
    admin.send(&query("PAUSE")).unwrap();
    wait_for_pause(&mut looking);
    other.send(&query("select 3")).unwrap();
    wait_for(&mut looking, "cl_waiting", 1);
    drop(admin);
    assert_eq!(other.until(b'Z').unwrap().value().as_deref(), Some("3"));
    let state = cell(&mut looking, "SHOW STATE", ("key", "active"), "value");
    assert_eq!(state.as_deref(), Some("yes"));
    busy.run("commit");
    proxy.stop();
}

#[test]
fn in_session_mode_pause_waits_for_clients_to_leave() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.mode = \"session\"\n");
    let mut client = proxy.client();
    client.run("select 1");
    let (mut admin, mut looking) = (console(&proxy), console(&proxy));
    admin.send(&query("PAUSE")).unwrap();
    wait_for_pause(&mut looking);
    let reasons = cell(
        &mut looking,
        "SHOW PINS",
        ("database", "postgres"),
        "reasons",
    );
    assert_eq!(reasons.as_deref(), Some("session mode"));
    assert_eq!(client.value("select 2"), "2");
    assert!(!admin.has_answer());
    drop(client);
    assert_eq!(tag(&mut admin), "PAUSE");
    looking.run("RESUME");
    assert_eq!(proxy.client().value("select 3"), "3");
    proxy.stop();
}

#[test]
fn kill_drops_everybody_and_pauses() {
    let postgres = Postgres::start();
    let proxy = proxy(&postgres);
    let (mut busy, mut idle) = (proxy.client(), proxy.client());
    idle.run("select 1");
    busy.run("select 1");
    busy.send(&query("select pg_sleep(100)")).unwrap();
    let mut admin = console(&proxy);
    wait_for(&mut admin, "sv_active", 1);
    admin.run("KILL postgres");
    assert_eq!(busy.until(b'E').unwrap().sqlstate(), "57P01");
    assert_eq!(idle.until(b'E').unwrap().sqlstate(), "57P01");
    // Postgres notices a closed connection when it comes to it.
    let mut direct = postgres.admin();
    eventually("no upstream", || {
        (Postgres::upstreams(&mut direct, "true") == 0).then_some(())
    });
    let paused = cell(&mut admin, "SHOW DATABASES", ("name", "postgres"), "paused");
    assert_eq!(paused.as_deref(), Some("1"));
    admin.run("RESUME postgres");
    assert_eq!(proxy.client().value("select 1"), "1");
    proxy.stop();
}

#[test]
fn one_client_is_killed() {
    let postgres = Postgres::start();
    let proxy = proxy(&postgres);
    let (mut one, mut two, mut admin) = (proxy.client(), proxy.client(), console(&proxy));
    one.run("set application_name = 'x'");
    two.run("select 1");
    // It is known by the name that it gave itself.
    let named = ("application_name", "x");
    let id = cell(&mut admin, "SHOW CLIENTS", named, "id").unwrap();
    admin.run(&format!("KILL_CLIENT {id}"));
    assert_eq!(one.until(b'E').unwrap().sqlstate(), "57P01");
    assert_eq!(two.value("select 2"), "2");
    let again = admin.query("KILL_CLIENT 999999").unwrap();
    assert_eq!(again.sqlstate(), "42704");
    proxy.stop();
}

#[test]
fn a_disabled_database_takes_no_new_clients() {
    let postgres = Postgres::start();
    let proxy = proxy(&postgres);
    let (mut before, mut admin) = (proxy.client(), console(&proxy));
    admin.run("DISABLE postgres");
    assert_eq!(before.value("select 1"), "1");
    let settings = [("user", "postgres"), ("database", "postgres")];
    let refusal = Client::connect(proxy.address, &settings)
        .unwrap_err()
        .to_string();
    assert!(refusal.starts_with("57P03 database \"postgres\" is disabled"));
    let disabled = cell(
        &mut admin,
        "SHOW DATABASES",
        ("name", "postgres"),
        "disabled",
    );
    assert_eq!(disabled.as_deref(), Some("1"));
    admin.run("ENABLE postgres");
    assert_eq!(proxy.client().value("select 2"), "2");
    let unknown = admin.query("DISABLE postgre").unwrap();
    assert_eq!(unknown.sqlstate(), "3D000");
    let hint = unknown.error_field(b'H').unwrap();
    assert!(hint.contains("Did you mean \"postgres\"?"), "{hint}");
    proxy.stop();
}

#[test]
fn reconnect_closes_what_comes_back() {
    let postgres = Postgres::start();
    let proxy = proxy(&postgres);
    let (mut busy, mut idle, mut admin) = (proxy.client(), proxy.client(), console(&proxy));
    let pid = |client: &mut Client| client.value("select pg_backend_pid()");
    busy.run("begin");
    let first = pid(&mut busy);
    let second = pid(&mut idle);
    admin.run("RECONNECT postgres");
    wait_for(&mut admin, "sv_idle", 0);
    let row = ("remote_pid", first.as_str());
    let close_needed = cell(&mut admin, "SHOW SERVERS", row, "close_needed");
    assert_eq!(close_needed.as_deref(), Some("1"));
    let mut waiting = console(&proxy);
    waiting.send(&query("WAIT_CLOSE")).unwrap();
    assert_ne!(pid(&mut idle), second);
    assert_eq!(pid(&mut busy), first);
    assert!(!waiting.has_answer());
    busy.run("commit");
    assert_eq!(tag(&mut waiting), "WAIT_CLOSE");
    assert_ne!(pid(&mut busy), first);
    proxy.stop();
}

#[test]
fn shutdown_waits_for_what_it_is_told_to() {
    let postgres = Postgres::start();
    for (command, idle_is_told) in [
        ("SHUTDOWN WAIT_FOR_SERVERS", true),
        ("SHUTDOWN WAIT_FOR_CLIENTS", false),
    ] {
        let proxy = proxy(&postgres);
        let (mut busy, mut idle, mut admin) = (proxy.client(), proxy.client(), console(&proxy));
        idle.run("select 1");
        busy.run("begin");
        busy.run("select 1");
        admin.run(command);
        eventually("a closed door", || {
            Client::open(proxy.address).is_err().then_some(())
        });
        if idle_is_told {
            assert_eq!(idle.until(b'E').unwrap().sqlstate(), "57P01");
        } else {
            assert_eq!(idle.value("select 2"), "2");
        }
        // The console looks on until the end.
        assert_eq!(busy.value("select 3"), "3");
        assert_eq!(pool(&mut admin, "sv_active"), 1);
        busy.run("commit");
        drop((busy, idle));
        proxy.ended();
    }
    let proxy = proxy(&postgres);
    let mut busy = proxy.client();
    busy.run("begin");
    busy.run("select 1");
    let mut admin = console(&proxy);
    admin.run("SHUTDOWN WAIT_FOR_CLIENTS");
    // Not that patient after all.
    admin.run("SHUTDOWN");
    assert_eq!(busy.until(b'E').unwrap().sqlstate(), "57P01");
    proxy.ended();
}

/// In line for a paused database, and not greeted yet.
#[test]
fn who_has_only_logged_in_is_told_too() {
    let postgres = Postgres::start();
    for command in ["KILL", "SHUTDOWN"] {
        let proxy = proxy(&postgres);
        let mut admin = console(&proxy);
        admin.run("PAUSE");
        let address = proxy.address;
        let login = std::thread::spawn(move || {
            Client::log_in(address, ("postgres", "postgres"), "").unwrap_err()
        });
        wait_for(&mut admin, "cl_waiting", 1);
        admin.run(command);
        assert_eq!(login.join().unwrap().sqlstate(), "57P01", "{command}");
    }
}

/// Accepted before the end began, and in only when all who were there had been told of it.
#[test]
fn who_logs_in_late_is_told_too() {
    let postgres = Postgres::start();
    let proxy = || start(&postgres, "pool.mode = \"session\"\n");
    for (pause, replication) in [(false, "true"), (true, "false")] {
        let proxy = proxy();
        let (mut admin, mut idle) = (console(&proxy), proxy.client());
        let mut late = Client::open(proxy.address).unwrap();
        if pause {
            admin.run("PAUSE");
        }
        admin.run("SHUTDOWN WAIT_FOR_SERVERS");
        assert_eq!(idle.until(b'E').unwrap().sqlstate(), "57P01");
        let settings = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("replication", replication),
        ];
        late.send(&startup((3, 0), &settings)).unwrap();
        while late.next().is_ok() {}
        proxy.ended();
    }
}

/// In line to try its settings on an upstream, before it is greeted.
#[test]
fn who_logs_in_with_settings_may_leave_the_line() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "pool.size_max = 1\npool.timeout = \"60s\"\n");
    let (mut busy, mut admin) = (proxy.client(), console(&proxy));
    busy.run("begin");
    busy.run("create table t (i int)");
    let settings = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("options", "-c work_mem=9MB"),
    ];
    let login = |admin: &mut Client| {
        let mut client = Client::open(proxy.address).unwrap();
        client.send(&startup((3, 0), &settings)).unwrap();
        wait_for(admin, "cl_waiting", 1);
        client
    };
    drop(login(&mut admin));
    wait_for(&mut admin, "cl_waiting", 0);
    let mut client = login(&mut admin);
    console(&proxy)
        .send(&query("SHUTDOWN WAIT_FOR_SERVERS"))
        .unwrap();
    assert_eq!(client.until(b'E').unwrap().sqlstate(), "57P01");
    busy.run("commit");
    proxy.ended();
}
