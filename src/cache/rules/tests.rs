//! Who wins, and that clients can only lower.

use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn policy(level: Level, rules: Vec<Rule>) -> Policy {
    Policy {
        footprint: false,
        level,
        life: Life {
            ttl: S(60),
            swr: S(15),
        },
        databases: BTreeMap::from([("slow".to_owned(), Level::Ttl)]),
        users: BTreeMap::from([("bank".to_owned(), Level::Off)]),
        rules,
        mode: Mode::On,
        audit: Share::default(),
    }
}

fn on_table(table: &str) -> Rule {
    Rule {
        table: Some(table.to_owned()),
        ..Rule::default()
    }
}

/// Level, ttl, swr and who had the last word.
fn told(decision: Decision) -> (Level, u64, u64, Because) {
    let Life { ttl, swr } = decision.life;
    (
        decision.level,
        ttl.as_secs(),
        swr.as_secs(),
        decision.because,
    )
}

#[test]
fn levels_are_ordered_by_trust() {
    assert!(Level::Off < Level::Ryw && Level::Ryw < Level::Ttl);
}

#[test]
fn the_user_comes_before_the_database_before_the_setting() {
    let policy = policy(Level::Ryw, Vec::new());
    let of = |database, user| told(policy.decide(database, user, &["public.t"], ""));
    assert_eq!(of("shop", "app"), (Level::Ryw, 60, 15, Because::Setting));
    assert_eq!(of("slow", "app"), (Level::Ttl, 60, 15, Because::Database));
    assert_eq!(of("slow", "bank"), (Level::Off, 60, 15, Because::User));
}

#[test]
fn later_rules_win_and_never_stays() {
    let rules = vec![
        Rule {
            level: Some(Level::Off),
            ..Rule::default()
        },
        Rule {
            level: Some(Level::Ttl),
            ttl: Some(S(5)),
            ..on_table("t")
        },
        Rule {
            ttl: Some(S(7)),
            user: Some("app".to_owned()),
            ..on_table("public.t")
        },
        Rule {
            never: true,
            ..on_table("secrets")
        },
        Rule {
            level: Some(Level::Ttl),
            shape: Some("00ff".to_owned()),
            ..Rule::default()
        },
    ];
    let policy = policy(Level::Ryw, rules);
    let of = |user, tables: &[&str], shape| told(policy.decide("shop", user, tables, shape));
    assert_eq!(of("app", &[], "x"), (Level::Off, 60, 15, Because::Rule(1)));
    assert_eq!(
        of("app", &["a.t"], "x"),
        (Level::Ttl, 5, 5, Because::Rule(2))
    );
    assert_eq!(
        of("app", &["public.t"], "x"),
        (Level::Ttl, 7, 7, Because::Rule(3))
    );
    assert_eq!(
        of("eve", &["public.t"], "x"),
        (Level::Ttl, 5, 5, Because::Rule(2))
    );
    assert_eq!(
        of("app", &["b.secrets"], "00ff"),
        (Level::Off, 60, 15, Because::Rule(4))
    );
    assert_eq!(
        of("app", &["a.u"], "00ff"),
        (Level::Ttl, 60, 15, Because::Rule(5))
    );
}

#[test]
fn a_join_is_as_strict_as_its_strictest_table() {
    let rules = vec![
        Rule {
            level: Some(Level::Ttl),
            ttl: Some(S(3600)),
            ..on_table("countries")
        },
        Rule {
            ttl: Some(S(2)),
            ..on_table("prices")
        },
    ];
    let policy = policy(Level::Ryw, rules);
    let of = |tables: &[&str]| told(policy.decide("d", "u", tables, ""));
    assert_eq!(
        of(&["public.countries"]),
        (Level::Ttl, 3600, 15, Because::Rule(1))
    );
    let joined = (Level::Ryw, 60, 15, Because::Setting);
    assert_eq!(of(&["public.countries", "public.accounts"]), joined);
    assert_eq!(of(&["public.accounts", "public.countries"]), joined);
    let short = (Level::Ryw, 2, 2, Because::Rule(2));
    assert_eq!(
        of(&["public.prices", "public.countries", "public.accounts"]),
        short
    );
}

#[test]
fn a_standing_decides_as_its_policy_does() {
    let rules = vec![
        Rule {
            database: Some("shop".to_owned()),
            ttl: Some(S(9)),
            ..Rule::default()
        },
        Rule {
            level: Some(Level::Off),
            user: Some("eve".to_owned()),
            ..on_table("t")
        },
    ];
    let policy = Arc::new(policy(Level::Ttl, rules));
    for database in ["shop", "slow"] {
        for user in ["app", "eve", "bank"] {
            let standing = Standing::new(Arc::clone(&policy), database, user);
            assert!(standing.is_of(&policy));
            assert_eq!(standing.is_simple(), database == "slow" && user != "eve");
            for tables in [&[][..], &["public.t"], &["public.t", "public.u"]] {
                let expected = policy.decide(database, user, tables, "s");
                assert_eq!(standing.decide(tables, "s"), expected);
            }
        }
    }
    let other = Arc::new((*policy).clone());
    assert!(!Standing::new(other, "shop", "app").is_of(&policy));
}

#[test]
fn fingerprints_are_stable() {
    assert_eq!(fingerprint(b"select ?"), fingerprint(b"select ?"));
    assert_eq!(fingerprint(b""), "e3b0c44298fc1c14");
    assert_eq!(fingerprint(b"x").len(), FINGERPRINT_DIGITS);
}

fn base(level: Level) -> Decision {
    policy(level, Vec::new()).decide("d", "u", &[], "")
}

#[test]
fn hints_lower_and_never_raise() {
    for (text, from, expected) in [
        ("nocache", Level::Ttl, (Level::Off, 60, 15)),
        (" level=off ", Level::Ryw, (Level::Off, 60, 15)),
        ("level=ryw", Level::Ttl, (Level::Ryw, 60, 15)),
        ("level=ttl", Level::Ryw, (Level::Ryw, 60, 15)),
        ("level=ttl", Level::Off, (Level::Off, 60, 15)),
        ("ttl=5s", Level::Ryw, (Level::Ryw, 5, 0)),
        ("TTL=70s", Level::Ryw, (Level::Ryw, 60, 10)),
        ("ttl=1h", Level::Ryw, (Level::Ryw, 60, 15)),
        ("ttl=0s", Level::Ttl, (Level::Off, 60, 15)),
        (
            "ttl=9s, ttl=3s,level=ryw level=ttl",
            Level::Ttl,
            (Level::Ryw, 3, 0),
        ),
    ] {
        let hint = Hint::read(text.as_bytes());
        assert_eq!(hint.complaint, None, "{text}");
        let (level, ttl, swr, because) = told(hint.lower(base(from)));
        assert_eq!((level, ttl, swr), expected, "{text}");
        let changed = told(base(from)) != (level, ttl, swr, Because::Setting);
        assert_eq!(because == Because::Hint, changed, "{text}");
    }
}

#[test]
fn what_a_hint_does_not_understand_turns_the_cache_off() {
    for text in [
        "cache",
        "force",
        "level=on",
        "level=wal",
        "ttl=5",
        "ttl = 5s",
        "ttl=-1s",
        "nocache; drop",
        "nocache=1",
        "",
        " , ",
        "\u{1}",
    ] {
        let hint = Hint::read(text.as_bytes());
        assert!(hint.complaint.is_some(), "{text}");
        assert_eq!(hint.lower(base(Level::Ttl)).level, Level::Off, "{text}");
    }
    assert!(Hint::read(b"\xff").complaint.is_some());
    let long = "x".repeat(100_000);
    assert!(Hint::read(long.as_bytes()).complaint.unwrap().len() < 300);
}

#[test]
fn switches_lower_and_never_raise() {
    let read = |settings: &[(&'static str, &'static str)]| {
        Switches::read(
            settings
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
        )
    };
    assert!(read(&[("datestyle", "ISO"), ("pgweir.cache", "")]).is_empty());
    for (settings, from, expected) in [
        (
            &[("pgweir.cache", "off")][..],
            Level::Ttl,
            (Level::Off, 60, 15),
        ),
        (
            &[("pgweir.cache", "FALSE")],
            Level::Ttl,
            (Level::Off, 60, 15),
        ),
        (&[("pgweir.cache", "on")], Level::Off, (Level::Off, 60, 15)),
        (&[("pgweir.cache", "ryw")], Level::Ttl, (Level::Ryw, 60, 15)),
        (&[("pgweir.ttl", "5s")], Level::Ryw, (Level::Ryw, 5, 0)),
        (&[("pgweir.ttl", "5h")], Level::Ryw, (Level::Ryw, 60, 15)),
        (
            &[("pgweir.explain", "on")],
            Level::Ryw,
            (Level::Ryw, 60, 15),
        ),
    ] {
        let switches = read(settings);
        assert!(switches.complaints.is_empty(), "{settings:?}");
        assert_eq!(switches.explain, settings[0].0 == "pgweir.explain");
        let (level, ttl, swr, _) = told(switches.lower(base(from)));
        assert_eq!((level, ttl, swr), expected, "{settings:?}");
    }
    for settings in [
        [("pgweir.cache", "maybe"), ("pgweir.ttl", "9s")],
        [("pgweir.ttl", "5"), ("pgweir.cache", "on")],
        [("pgweir.chace", "off"), ("pgweir.cache", "on")],
        [("pgweir.explain", "2"), ("pgweir.cache", "ttl")],
    ] {
        let switches = read(&settings);
        assert_eq!(switches.complaints.len(), 1, "{settings:?}");
        assert_eq!(
            switches.lower(base(Level::Ttl)).level,
            Level::Off,
            "{settings:?}"
        );
    }
}
