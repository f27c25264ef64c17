//! Start-up packets: accepted, negotiated, refused.

use super::check;
use crate::support::script::{Script, script};
use crate::support::wire::{Client, bind, execute, parse, raw, startup};
use crate::support::{postgres::Postgres, proxy::Proxy};

#[test]
fn start_up() {
    check(
        &[
            settings(),
            settings_odd(),
            encodings(),
            refused(),
            negotiated(),
        ]
        .concat(),
    );
}

fn settings() -> Vec<Script> {
    vec![
        script("application_name")
            .with(&[("application_name", "an app")])
            .query("show application_name"),
        script("any setting")
            .with(&[
                ("work_mem", "65kB"),
                ("timezone", "Asia/Tokyo"),
                ("search_path", "tenant"),
            ])
            .queries(&["show work_mem", "show timezone", "select * from item"]),
        script("a custom setting")
            .with(&[("app.tenant", "blue")])
            .query("show app.tenant"),
        script("options")
            .with(&[(
                "options",
                "-c work_mem=65kB -c timezone=Asia/Tokyo --statement-timeout=7s",
            )])
            .queries(&["show work_mem", "show timezone", "show statement_timeout"]),
        script("options with spaces")
            .with(&[("options", "-c application_name=a\\ b")])
            .query("show application_name"),
        script("options against parameters")
            .with(&[
                ("timezone", "Asia/Tokyo"),
                ("options", "-c timezone=Europe/Berlin"),
            ])
            .query("show timezone"),
        script("reset goes to the start-up value")
            .with(&[("timezone", "Asia/Tokyo"), ("options", "-c work_mem=65kB")])
            .queries(&[
                "set timezone = 'UTC'; set work_mem = '66kB'",
                "reset timezone",
                "show timezone",
                "reset all",
                "show work_mem",
                "set timezone = 'UTC'",
                "discard all",
                "show timezone",
                "set timezone to default",
                "show timezone",
            ]),
        script("datestyle and extra_float_digits")
            .with(&[("datestyle", "German"), ("extra_float_digits", "-3")])
            .query("select date '2024-01-02', 0.1::float8 + 0.2"),
        script("the same setting twice")
            .with(&[("timezone", "Asia/Tokyo"), ("timezone", "Europe/Berlin")])
            .query("show timezone"),
    ]
}

fn settings_odd() -> Vec<Script> {
    vec![
        script("an empty application_name")
            .with(&[("application_name", "")])
            .query("show application_name"),
        script("an application_name that is no ASCII")
            .with(&[("application_name", "é\n")])
            .query("show application_name"),
        script("role by options")
            .with(&[("options", "-c role=app")])
            .queries(&["select current_user", "reset role", "select current_user"]),
        script("the database defaults to the user")
            .greeting(startup((3, 0), &[("user", "postgres")]))
            .query("select current_database()"),
        script("another user")
            .greeting(startup(
                (3, 0),
                &[("user", "app"), ("database", "postgres")],
            ))
            .query("select current_user, session_user")
            .query("select * from item"),
        script("another database")
            .greeting(startup(
                (3, 0),
                &[("user", "postgres"), ("database", "template1")],
            ))
            .query("select current_database()"),
        script("read only")
            .with(&[("default_transaction_read_only", "on")])
            .query("insert into log (line) values ('x')"),
    ]
}

fn encodings() -> Vec<Script> {
    let latin = raw(b'Q', b"select 'stra\xdfe', length('\xdf')\0");
    vec![
        script("LATIN1")
            .with(&[("client_encoding", "LATIN1")])
            .send(std::slice::from_ref(&latin))
            .ready()
            .query("show client_encoding"),
        script("LATIN1 by SET")
            .query("set client_encoding = 'LATIN1'")
            .send(&[latin])
            .ready()
            .query("select 'x' || chr(26085)")
            .query("reset client_encoding")
            .query("select chr(26085)"),
        script("LATIN1 in a statement")
            .with(&[("client_encoding", "LATIN1")])
            .round(&[raw(b'P', b"s1\0select '\xe9'::text\0\0\0")])
            .round(&[bind("", "s1", &[]), execute("", 0)]),
        script("set names")
            .query("set names 'WIN1252'")
            .query("select chr(8364)"),
        script("SJIS, where a backslash may be half a character")
            .with(&[("client_encoding", "SJIS")])
            .send(&[raw(b'Q', b"select '\x95\x5c'\0")])
            .ready()
            .query("select 1"),
        script("an encoding by another spelling")
            .with(&[("client_encoding", "utf-8")])
            .query("show client_encoding"),
        script("a rolled back encoding")
            .queries(&[
                "begin",
                "set client_encoding = 'LATIN1'",
                "rollback",
                "show client_encoding",
            ])
            .round(&[
                parse("", "select chr(233)"),
                bind("", "", &[]),
                execute("", 0),
            ]),
    ]
}

fn refused() -> Vec<Script> {
    let login = |settings: &[(&str, &str)]| startup((3, 0), settings);
    vec![
        script("an unknown setting")
            .with(&[("nothing_known", "1")])
            .end(),
        script("a bad value").with(&[("timezone", "Nowhere")]).end(),
        script("a setting not for users")
            .with(&[("shared_buffers", "1MB")])
            .end(),
        script("a bad option")
            .with(&[("options", "-c work_mem=x")])
            .end(),
        script("an unknown option")
            .with(&[("options", "--nothing-known=1")])
            .end(),
        script("an encoding that is none")
            .with(&[("client_encoding", "nonsense")])
            .end(),
        script("no such database")
            .greeting(login(&[("user", "postgres"), ("database", "nowhere")]))
            .end(),
        script("no such user")
            .greeting(login(&[("user", "nobody"), ("database", "postgres")]))
            .end(),
        script("no user")
            .greeting(login(&[("database", "postgres")]))
            .end(),
        script("protocol 4.0")
            .greeting(startup((4, 0), &[("user", "postgres")]))
            .end()
            .since(18),
        script("replication of no kind")
            .with(&[("replication", "perhaps")])
            .end(),
    ]
}

fn negotiated() -> Vec<Script> {
    let login = |minor, name| {
        startup(
            (3, minor),
            &[("user", "postgres"), ("database", "postgres"), (name, "1")],
        )
    };
    vec![
        script("an unknown protocol option")
            .greeting(login(0, "_pq_.nothing"))
            .query("select 1")
            .since(18),
        script("protocol 3.2")
            .greeting(login(2, "app.x"))
            .query("show app.x")
            .since(18),
        script("protocol 3.2 and an option")
            .greeting(login(2, "_pq_.nothing"))
            .query("select 1")
            .since(18),
        script("protocol 3.9")
            .greeting(login(9, "_pq_.nothing"))
            .query("select 1")
            .since(18),
    ]
}

/// Where upstream and client speak different minors the greetings differ, and both are right.
#[test]
fn later_minors_work_on_every_version() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, 2, &[]);
    for minor in [0, 1, 2, 9] {
        let mut client = Client::open(proxy.address).unwrap();
        let settings = [
            ("user", "postgres"),
            ("database", "postgres"),
            ("_pq_.nothing", "1"),
        ];
        client.send(&startup((3, minor), &settings)).unwrap();
        client.greet().unwrap();
        let negotiated = client.greeting.iter().find(|f| f.tag == b'v').unwrap();
        assert!(
            negotiated.body.ends_with(b"\0\0\0\x01_pq_.nothing\0"),
            "{negotiated:?}"
        );
        assert_eq!(client.value("select 1"), "1");
    }
    assert_eq!(
        proxy.client().key().len(),
        8,
        "a client of 3.0 knows keys of four bytes only"
    );
}
