//! The console: who gets in, what it answers, and in which forms of the protocol.

pub(crate) mod actions;
mod exporter;
mod people;
mod settings;

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::eventually;
use crate::support::postgres::{Login, Options, PASSWORD, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::wire::{
    Client, Reply, bind, bind_formats, close_portal, close_statement, describe_portal,
    describe_statement, execute, flush, function_call, parse, parse_typed, query, raw, sync,
    terminate,
};

fn start(postgres: &Postgres, text: &str) -> Proxy {
    Proxy::configured(postgres.address, text)
}

fn console_as(proxy: &Proxy, user: &str, database: &str) -> std::io::Result<Client> {
    Client::connect(proxy.address, &[("user", user), ("database", database)])
}

pub(crate) fn console(proxy: &Proxy) -> Client {
    console_as(proxy, "postgres", "pgweir").unwrap()
}

/// What psql prints when it is given these commands on standard input.
fn psql(proxy: &Proxy, commands: &str) -> (String, String) {
    let connection = format!(
        "host=127.0.0.1 port={} user=postgres dbname=pgweir",
        proxy.address.port()
    );
    let mut child = Command::new("psql")
        .args(["-X", "-A", "-t", &connection])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(commands.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn exchange(client: &mut Client, frames: &[Vec<u8>]) -> Reply {
    client.send(&frames.concat()).unwrap();
    client.until(b'Z').unwrap()
}

fn tags(reply: &Reply) -> String {
    reply.0.iter().map(|f| char::from(f.tag)).collect()
}

/// Needs no Postgres: nothing the console says comes from there.
fn without_postgres() -> Proxy {
    let url = "postgres://postgres@127.0.0.1:1/app?sslmode=disable";
    Proxy::run(&["--upstream", url, "--auth", "trust"])
}

#[test]
fn psql_speaks_with_it() {
    let proxy = without_postgres();
    let (out, err) = psql(&proxy, "SHOW HELP;\nshow version;\nSHOW DATABASES");
    assert_eq!(err, "");
    assert!(out.contains("SHOW CACHE|The cache as a whole\n"), "{out}");
    assert!(out.contains("PURGE TABLE name|"), "{out}");
    assert!(out.contains("\npgweir 0."), "{out}");
    assert!(
        out.contains("app|127.0.0.1|1|app||20|0|0|transaction|0|0|0|0|0|0\n"),
        "{out}"
    );
    for empty in ["CACHE", "QUERIES", "TABLES", "BYPASSES"] {
        let (_, err) = psql(&proxy, &format!("SHOW {empty};"));
        assert_eq!(err, "", "{empty}");
    }
    let (_, err) = psql(&proxy, "SHOW CACH; select 2;");
    assert!(
        err.contains("the console does not know \"SHOW CACH\""),
        "{err}"
    );
    assert!(
        err.contains("HINT:  PW0501: Did you mean SHOW CACHE?"),
        "{err}"
    );
    assert!(
        err.contains("This is the console of pgweir, not a database"),
        "{err}"
    );
    proxy.stop();
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let text = "upstream.url = \"postgres://postgres:s3cret@127.0.0.1:1/app\"\n[pool]\nsize_max = 7\n\
                [[users]]\nname = \"u\"\npassword = \"s3cret\"\n[[cache.rules]]\ntable = \"t\"\nnever = true\n";
    let address = "127.0.0.1:1".parse().unwrap();
    let proxy = Proxy::configured(address, text);
    let rows = || psql(&proxy, "SHOW CONFIG;").0;
    let shown = rows();
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("\npool.size_max|7|20|yes|file "), "{shown}");
    assert!(
        shown.contains("\ncache.bytes_max|256MiB|256MiB|no|default\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\nusers.u.password|********||yes|file "),
        "{shown}"
    );
    assert!(
        shown.contains("\ncache.rules.1.never|true||yes|file "),
        "{shown}"
    );
    proxy.reconfigure(
        address,
        &text
            .replace("size_max = 7", "size_max = 8")
            .replace("[pool]", "cache.bytes_max = \"1MiB\"\n[pool]"),
    );
    let shown = rows();
    assert!(shown.contains("\npool.size_max|8|20|yes|file "), "{shown}");
    // What waits for a restart is not in force.
    assert!(shown.contains("\ncache.bytes_max|256MiB|"), "{shown}");
    proxy.stop();
}

#[test]
fn simple_protocol() {
    let proxy = without_postgres();
    let mut client = console(&proxy);
    for (sql, expected) in [
        ("show version", "TDCZ"),
        ("SHOW VERSION; /* and */ show bypasses;", "TDCTCZ"),
        ("", "IZ"),
        (" ; ", "IZ"),
        ("purge", "CZ"),
        ("SET extra_float_digits = 3", "CZ"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "TDCZ"),
        ("SELECT 1", "TDCZ"),
        ("SHOW VERSION; SHOW NOTHING", "EZ"),
        ("SHOW VERSION; PURGE", "TDCCZ"),
        ("PURGE TABLE nothing", "EZ"),
    ] {
        let reply = client.query(sql).unwrap();
        assert_eq!(tags(&reply), expected, "{sql}");
        assert_eq!(reply.status(), Some('I'), "{sql}");
    }
    // Drivers that open transactions unasked are not refused.
    for (sql, status) in [
        ("BEGIN", 'T'),
        ("SHOW VERSION", 'T'),
        ("nonsense", 'T'),
        ("ROLLBACK", 'I'),
    ] {
        assert_eq!(client.query(sql).unwrap().status(), Some(status), "{sql}");
    }
    let reply = exchange(&mut client, &[function_call(1, &[])]);
    assert_eq!(
        (tags(&reply).as_str(), reply.sqlstate().as_str()),
        ("EZ", "0A000")
    );
    client.send(&terminate()).unwrap();
    assert!(client.next().is_err());
    proxy.stop();
}

#[test]
fn extended_protocol() {
    let proxy = without_postgres();
    let mut client = console(&proxy);
    let reply = exchange(
        &mut client,
        &[
            parse("", "SHOW VERSION"),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ],
    );
    assert_eq!(tags(&reply), "12TDCZ");
    // As asyncpg does it: a name, a description first, and every column in binary.
    let reply = exchange(
        &mut client,
        &[
            parse("s", "SHOW DATABASES;"),
            describe_statement("s"),
            flush(),
            sync(),
        ],
    );
    assert_eq!(tags(&reply), "1tTZ");
    let binary = bind_formats("", "s", &[], &[], &[1]);
    let reply = exchange(&mut client, &[binary, execute("", 0), sync()]);
    assert_eq!(tags(&reply), "2DCZ");
    let row = reply.0.iter().find(|f| f.tag == b'D').unwrap();
    assert!(
        row.body
            .windows(12)
            .any(|w| w == b"\0\0\0\x08\0\0\0\0\0\0\0\x14"),
        "{row:?}"
    );
    let reply = exchange(
        &mut client,
        &[
            close_statement("s"),
            close_portal(""),
            describe_statement("s"),
            sync(),
        ],
    );
    assert_eq!(
        (tags(&reply).as_str(), reply.sqlstate().as_str()),
        ("33EZ", "26000")
    );
    // Rows in pieces.
    let pieces = [
        parse("", "SHOW STATE"),
        bind("p", "", &[]),
        execute("p", 2),
        execute("p", 2),
        execute("p", 2),
        sync(),
    ];
    assert_eq!(tags(&exchange(&mut client, &pieces)), "12DDsDCCZ");
    let empty = [
        parse("", ""),
        bind("", "", &[]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    assert_eq!(tags(&exchange(&mut client, &empty)), "12nIZ");
    proxy.stop();
}

#[test]
fn faults_in_the_extended_protocol_end_with_sync() {
    let proxy = without_postgres();
    let mut client = console(&proxy);
    let show = || parse("", "SHOW VERSION");
    for (frames, expected) in [
        (
            vec![parse("", "SHOW NOTHING"), bind("", "", &[]), execute("", 0)],
            "42601",
        ),
        (vec![parse("", "SHOW CACHE; SHOW CACHE")], "42601"),
        (vec![parse_typed("", "SHOW CACHE", &[23])], "0A000"),
        (vec![bind("", "none", &[])], "26000"),
        (vec![execute("none", 0)], "34000"),
        (vec![describe_portal("none")], "34000"),
        (vec![show(), bind("", "", &["1"])], "08P01"),
        (
            vec![
                show(),
                bind_formats("", "", &[], &[], &[0, 0]),
                execute("", 0),
            ],
            "08P01",
        ),
        (vec![show(), bind_formats("", "", &[], &[], &[7])], "22023"),
        (
            vec![show(), bind("p", "", &[]), bind("p", "", &[])],
            "42P03",
        ),
        (
            vec![parse("twice", "SHOW HELP"), parse("twice", "SHOW HELP")],
            "42P05",
        ),
        (vec![raw(b'B', b"")], "08P01"),
        (vec![raw(b'D', b"X\0")], "08P01"),
        (vec![raw(b'E', b"\0")], "08P01"),
        (
            vec![
                parse("", "PURGE TABLE nothing"),
                bind("", "", &[]),
                execute("", 0),
            ],
            "42704",
        ),
        // Skipped until Sync, the simple protocol too.
        (vec![execute("none", 0), query("SHOW VERSION")], "34000"),
    ] {
        let reply = exchange(&mut client, &[frames.concat(), sync()]);
        assert_eq!(reply.sqlstate(), expected, "{reply:?}");
        assert_eq!(tags(&reply).matches('E').count(), 1, "{reply:?}");
        assert!(client.query("SHOW VERSION").unwrap().value().is_some());
    }
    // Names pile up to a limit.
    let many: Vec<_> = (0..50)
        .map(|n| parse(&format!("s{n}"), "SHOW HELP"))
        .collect();
    let reply = exchange(&mut client, &[many.concat(), sync()]);
    assert_eq!(reply.sqlstate(), "54000");
    proxy.stop();
}

/// asyncpg asks for a description with Flush, and sends Sync when it has the answer.
#[test]
fn an_error_does_not_wait_for_sync() {
    let proxy = without_postgres();
    let mut client = console(&proxy);
    let frames = [parse("s", "SHOW NOTHING"), describe_statement("s"), flush()];
    client.send(&frames.concat()).unwrap();
    assert_eq!(client.until(b'E').unwrap().sqlstate(), "42601");
    client.send(&sync()).unwrap();
    assert_eq!(tags(&client.until(b'Z').unwrap()), "Z");
    proxy.stop();
}

#[test]
fn what_is_too_long_is_dropped_and_told() {
    let proxy = without_postgres();
    let mut client = console(&proxy);
    let long = format!("SHOW VERSION -- {}", "x".repeat(3_000_000));
    for frame in [query(&long), [parse("", &long), sync()].concat()] {
        let reply = exchange(&mut client, &[frame]);
        assert_eq!(
            (tags(&reply).as_str(), reply.sqlstate().as_str()),
            ("EZ", "54000")
        );
    }
    assert!(client.query("SHOW VERSION").unwrap().value().is_some());
    // A frame of no kind ends the session with the words that Postgres has for it.
    client.send(&raw(b'~', b"")).unwrap();
    assert_eq!(client.until(b'E').unwrap().sqlstate(), "08P01");
    proxy.stop();
}

#[test]
fn who_may_look_and_who_may_act() {
    let text = "admin.stats_users = [\"eve\"]\nauth.mode = \"password\"\n\
                upstream.url = \"postgres://root:r@127.0.0.1:1/app\"\n\
                [[users]]\nname = \"eve\"\npassword = \"e\"\n[[users]]\nname = \"mallory\"\npassword = \"m\"\n";
    let proxy = Proxy::configured("127.0.0.1:1".parse().unwrap(), text);
    let psql = |user: &str, password: &str, command: &str| {
        let connection = format!(
            "host=127.0.0.1 port={} user={user} password={password} dbname=pgbouncer",
            proxy.address.port()
        );
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", &connection, "-c", command])
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert!(psql("root", "r", "SHOW VERSION").starts_with("pgweir "));
    assert!(psql("eve", "e", "SHOW VERSION").starts_with("pgweir "));
    assert!(psql("eve", "wrong", "SHOW VERSION").contains("password authentication failed"));
    let refused = psql("eve", "e", "PURGE");
    assert!(
        refused.contains("user \"eve\" may look at the console only"),
        "{refused}"
    );
    assert!(refused.contains("admin.users"), "{refused}");
    // Allowed to, but there is nothing to be purged yet.
    assert!(!psql("root", "r", "PURGE").contains("may look"));
    let refused = psql("mallory", "m", "SHOW VERSION");
    assert!(
        refused.contains("user \"mallory\" may not use the console"),
        "{refused}"
    );
    proxy.stop();
}

#[test]
fn the_name_can_be_another() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "admin.databases = [\"postgres_console\"]\n");
    assert!(console_as(&proxy, "postgres", "postgres_console").is_ok());
    let refusal = console_as(&proxy, "postgres", "pgweir").unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("database \"pgweir\" does not exist"),
        "{refusal}"
    );
    assert_eq!(proxy.client().value("select 1"), "1");
    // With trust everybody may look, but not act.
    let mut client = console_as(&proxy, "somebody", "postgres_console").unwrap();
    assert!(client.query("SHOW VERSION").unwrap().value().is_some());
    assert_eq!(client.query("PURGE").unwrap().sqlstate(), "42501");
    let words = proxy.reconfigure(postgres.address, "admin.databases = []\n");
    assert!(
        words.iter().any(|line| line.contains("admin.databases")),
        "{words:?}"
    );
    assert!(console_as(&proxy, "postgres", "postgres_console").is_err());
    // Who is in stays in.
    assert!(client.query("SHOW VERSION").unwrap().value().is_some());
    proxy.stop();
}

/// There is no database of that name to ask about a user, so the URL's own is asked.
#[test]
fn users_that_only_the_upstream_knows_get_in() {
    let mut options = Options::new(installs().swap_remove(0));
    options.login = Login::Scram;
    let postgres = Postgres::start_with(&options);
    let asks = "select rolname, rolpassword from pg_authid where rolname = $1";
    for auth in [
        format!("auth.query = \"{asks}\"\n"),
        "auth.mode = \"passthrough\"\n".to_owned(),
    ] {
        let text = format!(
            "{auth}admin.stats_users = [\"app\"]\n{}upstream.url = \"{}\"\n",
            if auth.contains("mode") {
                ""
            } else {
                "auth.mode = \"scram\"\n"
            },
            postgres.url("postgres"),
        );
        let proxy = Proxy::configured(postgres.address, &text);
        let log_in = |password| Client::log_in(proxy.address, ("app", "pgweir"), password);
        let mut client = log_in(PASSWORD).unwrap();
        assert!(client.query("SHOW VERSION").unwrap().value().is_some());
        let refusal = log_in("wrong").unwrap_err().error_text();
        assert!(
            refusal.contains("password authentication failed"),
            "{refusal}"
        );
        proxy.stop();
    }
}

#[test]
fn its_clients_count_and_leave_when_the_process_stops() {
    let url = "postgres://postgres@127.0.0.1:1/app?sslmode=disable";
    let arguments = ["--upstream", url, "--auth", "trust", "--max-clients", "2"];
    let proxy = Proxy::run(&arguments);
    let (mut one, two) = (console(&proxy), console(&proxy));
    let refusal = console_as(&proxy, "postgres", "pgweir").unwrap_err();
    assert!(refusal.to_string().contains("53300"), "{refusal}");
    drop(two);
    eventually("a place in the console", || {
        console_as(&proxy, "postgres", "pgweir").ok()
    });
    one.run("SHOW VERSION");
    let replication = [
        ("user", "postgres"),
        ("database", "pgweir"),
        ("replication", "database"),
    ];
    eventually("a refusal of replication", || {
        let refusal = Client::connect(proxy.address, &replication).unwrap_err();
        refusal.to_string().contains("0A000").then_some(())
    });
    proxy.signal("TERM");
    assert_eq!(one.until(b'E').unwrap().sqlstate(), "57P01");
    proxy.ended();
}

/// What is not read is not made: the answer of a client that pipelines and reads nothing stays in the
/// sockets.
#[test]
fn a_slow_reader_holds_up_itself_alone() {
    let proxy = without_postgres();
    let mut slow = console(&proxy);
    slow.stream()
        .set_write_timeout(Some(std::time::Duration::from_millis(300)))
        .unwrap();
    let command = query("SHOW CONFIG").repeat(10_000);
    let before = rss(&proxy);
    let mut sent = 0;
    // Until nothing more is taken.
    while sent < 500 && slow.send(&command).is_ok() {
        sent += 1;
    }
    assert!(sent < 500, "everything was taken");
    let grown = rss(&proxy).saturating_sub(before);
    assert!(grown < 4096, "grown by {grown} kB");
    assert!(
        console(&proxy)
            .query("SHOW VERSION")
            .unwrap()
            .value()
            .is_some()
    );
    drop(slow);
    proxy.stop();
}

fn rss(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid().unwrap())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
