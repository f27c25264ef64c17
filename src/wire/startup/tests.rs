//! Packets as bytes.

use super::*;

fn startup(parameters: &[u8]) -> Result<Packet, crate::wire::error::PgError> {
    let mut body = b"\0\x03\0\x02".to_vec();
    body.extend_from_slice(parameters);
    parse(&body)
}

fn good(parameters: &[u8]) -> Startup {
    match startup(parameters) {
        Ok(Packet::Startup(startup)) => startup,
        other => panic!("{other:?}"),
    }
}

fn code(parameters: &[u8]) -> &'static str {
    startup(parameters).unwrap_err().code
}

fn setting(name: &str, value: &str) -> Setting {
    (name.as_bytes().into(), value.as_bytes().into())
}

#[test]
fn requests() {
    assert_eq!(encode_ssl_request(), b"\0\0\0\x08\x04\xd2\x16\x2f");
    assert_eq!(parse(b"\x04\xd2\x16\x2f"), Ok(Packet::SslRequest));
    assert_eq!(parse(b"\x04\xd2\x16\x30"), Ok(Packet::GssEncRequest));
    for key in [&b"abcd"[..], &[7; 256]] {
        let packet = encode_cancel(513, key);
        assert_eq!(
            body_length(*packet.first_chunk().unwrap()),
            Some(key.len() + 8)
        );
        let expected = Packet::Cancel {
            pid: 513,
            key: key.into(),
        };
        assert_eq!(parse(&packet[4..]), Ok(expected));
    }
    for key in [&b"abc"[..], &[7; 257]] {
        assert!(parse(&encode_cancel(513, key)[4..]).is_err());
    }
}

#[test]
fn lengths() {
    assert_eq!(body_length([0, 0, 0, 7]), None);
    assert_eq!(body_length([0, 0, 0, 8]), Some(4));
    assert_eq!(body_length(10_004u32.to_be_bytes()), Some(10_000));
    assert_eq!(body_length(10_005u32.to_be_bytes()), None);
    assert_eq!(body_length([255; 4]), None);
}

#[test]
fn parameters_keep_their_order() {
    let packet = encode_startup(
        2,
        &[(b"user", b"u"), (b"b", b"2"), (b"a", b"\xff"), (b"b", b"3")],
    );
    let Ok(Packet::Startup(startup)) = parse(&packet[4..]) else {
        panic!()
    };
    assert_eq!(
        (startup.user.as_str(), startup.database.as_str()),
        ("u", "u")
    );
    assert_eq!(startup.minor, 2);
    let bytes = (b"a".as_slice().into(), b"\xff".as_slice().into());
    assert_eq!(
        startup.settings,
        [setting("b", "2"), bytes, setting("b", "3")]
    );
    assert_eq!(startup.replication, Replication::Off);
}

#[test]
fn options_come_first_and_are_split_like_postgres() {
    let text = b"user\0u\0geqo\0off\0options\0 -c a=b\t--search-path=x\\ y  -cz=\\\\ -S 4MB -e\0\0";
    assert_eq!(
        good(text).settings,
        [
            setting("a", "b"),
            setting("search_path", "x y"),
            setting("z", "\\"),
            setting("work_mem", "4MB"),
            setting("datestyle", "euro"),
            setting("geqo", "off"),
        ]
    );
    assert_eq!(good(b"user\0u\0options\0\0\0").settings, []);
    assert_eq!(code(b"user\0u\0options\0-c a\0\0"), "42601");
    assert_eq!(code(b"user\0u\0options\0-c\0\0"), "42601");
    assert_eq!(code(b"user\0u\0options\0-X 1\0\0"), "42601");
}

#[test]
fn databases_and_replication() {
    assert_eq!(good(b"user\0u\0database\0d\0\0").database, "d");
    assert_eq!(good(b"user\0u\0database\0\0\0").database, "u");
    let logical = good(b"user\0u\0database\0d\0replication\0database\0\0");
    assert_eq!(
        (logical.replication, logical.database.as_str()),
        (Replication::Database, "d")
    );
    for (value, expected) in [
        ("on", Replication::Physical),
        ("T", Replication::Physical),
        ("of", Replication::Off),
        ("0", Replication::Off),
    ] {
        let text = format!("user\0u\0replication\0{value}\0\0");
        assert_eq!(good(text.as_bytes()).replication, expected);
    }
    assert_eq!(code(b"user\0u\0replication\0o\0\0"), "22023");
}

#[test]
fn refusals_are_postgres_own() {
    assert_eq!(code(b"\0"), "28000");
    assert_eq!(code(b"user\0\0\0"), "28000");
    assert_eq!(code(b"user\0u\0"), "08P01");
    assert_eq!(code(b"user\0u"), "08P01");
    assert_eq!(code(b"user\0u\0\0x"), "08P01");
    assert_eq!(code(b""), "08P01");
    assert_eq!(code(b"user\0\xff\0\0"), "22021");
    let old = parse(b"\0\x02\0\0user\0u\0\0").unwrap_err();
    assert_eq!(old.code, "0A000");
    assert_eq!(
        old.message,
        "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
    );
}

#[test]
fn protocol_options_and_long_names() {
    let startup = good(b"user\0u\0_pq_.a\x001\0_pq_.b\0\0\0");
    assert_eq!(startup.protocol_options, ["_pq_.a", "_pq_.b"]);
    assert_eq!(startup.settings, []);
    let long = format!("user\0{}é\0\0", "x".repeat(62));
    assert_eq!(good(long.as_bytes()).user, "x".repeat(62));
}

#[test]
fn mutations_never_panic() {
    let mut rng = fastrand::Rng::with_seed(3);
    let whole =
        b"\0\x03\0\0user\0u\0database\0d\0options\0-c a=b --x\\ =y\0replication\0no\0_pq_.x\0y\0\0";
    for end in 0..whole.len() {
        assert!(parse(&whole[..end]).is_err());
    }
    for _ in 0..20_000 {
        let mut body = whole.to_vec();
        for _ in 0..rng.usize(1..5) {
            let at = rng.usize(..body.len());
            body[at] = *rng.choice(b"\0\\ -=cSe\xffx".iter()).unwrap();
        }
        drop(parse(&body));
    }
}
