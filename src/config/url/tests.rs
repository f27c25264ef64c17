//! URLs: what libpq accepts, what it refuses, and that no message repeats a password.

use proptest::prelude::*;

use super::*;

fn tcp(host: &str, port: u16) -> Host {
    Host::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn unix(directory: &str, port: u16) -> Host {
    Host::Unix {
        directory: PathBuf::from(directory),
        port,
    }
}

fn parse(url: &str) -> Target {
    Target::parse(url).unwrap_or_else(|fault| panic!("{url}: {fault}"))
}

fn refused(url: &str) -> String {
    Target::parse(url).expect_err(url).to_string()
}

#[test]
fn the_usual_url() {
    let target = parse("postgres://app:s3cret@db.example:6543/shop?sslmode=require");
    assert_eq!(target.hosts, [tcp("db.example", 6543)]);
    assert_eq!(target.user, "app");
    assert_eq!(target.password, Some(Secret::new("s3cret")));
    assert_eq!(target.database.as_deref(), Some("shop"));
    assert_eq!(target.tls.mode, SslMode::Require);
    assert_eq!(target.connect_timeout, Duration::ZERO);
    assert!(target.parameters.is_empty());
}

#[test]
fn what_is_not_said_is_libpqs_default() {
    let target = parse("postgresql://db");
    assert_eq!(target.hosts, [tcp("db", 5432)]);
    assert_eq!(
        (target.user.as_str(), &target.password, &target.database),
        ("", &None, &None)
    );
    assert_eq!(target.tls, UpstreamTls::default());
    assert_eq!(target.tls.mode, SslMode::Prefer);
    assert_eq!(target.channel_binding, ChannelBinding::Prefer);
    assert_eq!(target.session_attrs, SessionAttrs::Any);
    // Empty parts are absent parts.
    assert_eq!(parse("postgres://:@db:/?sslcert="), target);
}

#[test]
fn hosts_in_every_spelling() {
    for (url, hosts) in [
        (
            "postgres://a:1,b:2,c/d",
            vec![tcp("a", 1), tcp("b", 2), tcp("c", 5432)],
        ),
        (
            "postgres://[::1]:7,[fe80::1%25eth0]/d",
            vec![tcp("::1", 7), tcp("fe80::1%eth0", 5432)],
        ),
        ("postgres://%2Fvar%2Frun:7/d", vec![unix("/var/run", 7)]),
        (
            "postgres:///d?host=/var/run&port=7",
            vec![unix("/var/run", 7)],
        ),
        (
            "postgres://?host=a,b&port=1,2",
            vec![tcp("a", 1), tcp("b", 2)],
        ),
        (
            "postgres://?host=a,b&port=9",
            vec![tcp("a", 9), tcp("b", 9)],
        ),
        ("postgres://?host=::1", vec![tcp("::1", 5432)]),
        ("postgres://?host=[::1]", vec![tcp("::1", 5432)]),
        (
            "postgres://u@/d?host=/a,b&port=,2",
            vec![unix("/a", 5432), tcp("b", 2)],
        ),
        // Query keys replace what stood before.
        ("postgres://a:1/d?host=b", vec![tcp("b", 1)]),
    ] {
        assert_eq!(parse(url).hosts, hosts, "{url}");
    }
}

#[test]
fn every_query_key_is_read() {
    let target = parse(
        "postgres://db/x?user=u&password=p&dbname=d&sslmode=verify-ca&sslnegotiation=direct\
         &sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&channel_binding=require\
         &target_session_attrs=prefer-standby&connect_timeout=7\
         &options=-c%20geqo%3Doff&application_name=a+b",
    );
    assert_eq!(
        target,
        Target {
            hosts: vec![tcp("db", 5432)],
            user: "u".to_owned(),
            password: Some(Secret::new("p")),
            database: Some("d".to_owned()),
            tls: UpstreamTls {
                mode: SslMode::VerifyCa,
                negotiation: SslNegotiation::Direct,
                root_cert: Some(PathBuf::from("/ca.pem")),
                cert: Some(PathBuf::from("/c.pem")),
                key: Some(PathBuf::from("/k.pem")),
            },
            channel_binding: ChannelBinding::Require,
            session_attrs: SessionAttrs::PreferStandby,
            connect_timeout: Duration::from_secs(7),
            parameters: vec![
                ("options".to_owned(), "-c geqo=off".to_owned()),
                ("application_name".to_owned(), "a+b".to_owned()),
            ],
        }
    );
}

#[test]
fn percent_encoding_is_undone_everywhere() {
    let target = parse(
        "postgres://a%40b:p%2F%3a%25@h%2Dx/d%C3%A9?user%6Eame=x"
            .replace("user%6Eame", "dbnam%65")
            .as_str(),
    );
    assert_eq!(target.user, "a@b");
    assert_eq!(target.password, Some(Secret::new("p/:%")));
    assert_eq!(target.hosts, [tcp("h-x", 5432)]);
    assert_eq!(target.database.as_deref(), Some("x"));
    for url in [
        "postgres://h/%",
        "postgres://h/%4",
        "postgres://h/%zz",
        "postgres://h/%00",
    ] {
        assert!(refused(url).contains("hexadecimal"), "{url}");
    }
    assert!(refused("postgres://h/%FF").contains("UTF-8"));
}

#[test]
fn tls_rules_of_libpq() {
    let system = parse("postgres://h?sslrootcert=system");
    assert_eq!(system.tls.mode, SslMode::VerifyFull);
    assert_eq!(system.tls.root_cert, None);
    assert_eq!(
        parse("postgres://h?sslrootcert=system&sslmode=verify-full"),
        system
    );
    assert_eq!(parse("postgres://h?ssl=true").tls.mode, SslMode::Require);
    assert_eq!(
        parse("postgres://h?sslmode=require&sslnegotiation=direct")
            .tls
            .negotiation,
        SslNegotiation::Direct
    );
    for (url, part) in [
        (
            "postgres://h?sslrootcert=system&sslmode=verify-ca",
            "use sslmode=verify-full",
        ),
        (
            "postgres://h?sslnegotiation=direct",
            "sslmode=prefer is too weak",
        ),
        (
            "postgres://h?sslnegotiation=direct&sslmode=allow",
            "sslmode=allow is too weak",
        ),
        (
            "postgres://h?sslmode=disable&channel_binding=require",
            "cannot hold",
        ),
        ("postgres://h?sslcert=/c.pem", "go together"),
        (
            "postgres://h?sslmode=verify_full",
            "did you mean `verify-full`?",
        ),
        ("postgres://h?ssl=false", "unknown key `ssl`"),
    ] {
        assert!(refused(url).contains(part), "{url}: {}", refused(url));
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (url, part) in [
        ("mysql://h/d", "does not begin with `postgres://`"),
        ("", "does not begin"),
        ("postgres://", "names no host"),
        ("postgres:///d", "names no host"),
        ("postgres://,/d", "names no host"),
        ("postgres://a,,b/d", "hosts is empty"),
        ("postgres://h:0/d", "1 to 65535"),
        ("postgres://h:65536/d", "1 to 65535"),
        ("postgres://fe80::1/d", "[::1]:5432"),
        ("postgres://[::1/d", "lacks its `]`"),
        ("postgres://[::1]x/d", "stands behind it"),
        ("postgres://?host=a,b,c&port=1,2", "2 ports for 3 hosts"),
        ("postgres://h?host=%40abstract", "abstract"),
        ("postgres://h?sslmode", "without `=`"),
        ("postgres://h?connect_timeout=5s", "whole seconds"),
        ("postgres://h?sslmod=require", "did you mean `sslmode`?"),
        ("postgres://h?sslcrl=/x", "does not read libpq's `sslcrl`"),
        ("postgres://h?pgbouncer=true", "unknown key `pgbouncer`"),
    ] {
        assert!(refused(url).contains(part), "{url}: {}", refused(url));
    }
}

/// The usual accident is an unescaped password; the message must help and not repeat it.
#[test]
fn an_unescaped_password_is_not_repeated() {
    for url in [
        "postgres://app:se@cret@db/shop",
        "postgres://app:se/cret@db/shop",
        "postgres://app:12/secret@db/shop",
        "postgres://app:12/x?secret@db/shop=1",
        "postgres://app:se%cret@db/shop",
    ] {
        let text = refused(url);
        assert!(text.contains("%40"), "{url}: {text}");
        assert!(!text.contains("cret"), "{url}: {text}");
    }
    // libpq lets these through, and so do we.
    for url in [
        "postgres://app:se?c#ret@db/shop",
        "postgres://app:a:b@db/shop",
    ] {
        assert_eq!(parse(url).hosts, [tcp("db", 5432)]);
    }
}

#[test]
fn shown_without_its_password() {
    let target = parse("postgres://a%40b:s3cret@h,[::1]:7,%2Frun:8/d%2Fe?sslrootcert=/a%20b");
    assert_eq!(
        target.to_string(),
        "postgres://a%40b:********@h:5432,[::1]:7,%2Frun:8/d%2Fe?sslmode=prefer&sslrootcert=/a%20b"
    );
    assert_eq!(
        parse("postgres://h").to_string(),
        "postgres://h:5432?sslmode=prefer"
    );
    assert_eq!(target.hosts[1].to_string(), "[::1]:7");
    assert_eq!(target.hosts[2].to_string(), "/run/.s.PGSQL.8");
    assert!(!format!("{target:?}").contains("s3cret"));
}

proptest! {
    /// What is shown, read again, is the same target (but for the password).
    #[test]
    fn shown_and_read_again(
        user in "[a-z@:/%? é]{0,6}",
        host in "[a-z0-9.-]{1,8}|/[a-z/ ]{0,5}|[0-9a-f]{1,4}::[0-9a-f]{1,4}(%[a-z]{1,4})?",
        port in 1u16..,
        database in proptest::option::of("[a-z@:/%?&= é]{1,6}"),
        mode in proptest::sample::select(SslMode::ALL),
        attrs in proptest::sample::select(SessionAttrs::ALL),
        options in proptest::option::of("[a-z=&%+ -]{1,9}"),
        seconds in 0u64..1000,
    ) {
        let target = Target {
            hosts: vec![place(&host, &port.to_string()).unwrap(), tcp("last", 1)],
            user,
            password: None,
            database,
            tls: UpstreamTls { mode, ..UpstreamTls::default() },
            channel_binding: ChannelBinding::default(),
            session_attrs: attrs,
            connect_timeout: Duration::from_secs(seconds),
            parameters: options.map(|value| ("options".to_owned(), value)).into_iter().collect(),
        };
        prop_assert_eq!(Target::parse(&target.to_string()), Ok(target));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}", tail in "[a-z0-9:@/?&=%,\\[\\]]{0,40}") {
        drop(Target::parse(&text));
        if let Ok(target) = Target::parse(&format!("postgres://{tail}")) {
            prop_assert!(!target.hosts.is_empty());
        }
    }
}
