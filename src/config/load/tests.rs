//! Who wins, what follows from what, and what does not hold together.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::amount::{Share, Size};
use crate::cache::rules::{Level, Mode};
use crate::config::{AuthMode, Effects, PoolMode, TlsMode, Word};

const URL: &str = "postgres://app:s3cret@db/shop";

fn flags(args: &[&str]) -> Flags {
    let command = clap::Command::new("t")
        .no_binary_name(true)
        .args(Flags::args());
    Flags::from_matches(&command.try_get_matches_from(args).unwrap())
}

fn env(pairs: &[(&str, &str)]) -> Environment {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn with(args: &[&str], pairs: &[(&str, &str)], text: &str) -> Result<Loaded, String> {
    File::parse(Path::new("p.toml"), text)
        .and_then(|file| resolve(&flags(args), &env(pairs), file))
        .map_err(|error| error.to_string())
}

/// The file alone, with an upstream.
fn from_file(text: &str) -> Result<Loaded, String> {
    with(&["--upstream", URL], &[], text)
}

#[test]
fn an_upstream_alone_is_a_complete_start() {
    let Loaded {
        config,
        origins,
        warnings,
    } = with(&["--upstream", URL], &[], "").unwrap();
    assert_eq!(config.listen.address, "127.0.0.1:6432");
    assert_eq!(config.auth.mode, AuthMode::Scram);
    assert_eq!(config.listen.tls.mode, TlsMode::Disable);
    assert_eq!(config.listen.clients_max, 10_000);
    assert_eq!(config.pool.mode, PoolMode::Transaction);
    assert_eq!(config.cache.level, Level::Ryw);
    assert_eq!(config.cache.ttl, Duration::from_secs(60));
    assert_eq!(config.cache.bytes_max, Size(256 << 20));
    assert_eq!(config.cache.audit, Share::default());
    assert_eq!(config.pool.size_max, 20);
    assert_eq!(config.pool.lifetime_max, Duration::from_secs(3600));
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(5));
    assert!(config.workers > 0);
    let user = &config.auth.users["app"];
    assert_eq!(user.password, Some(Secret::new("s3cret")));
    assert_eq!(
        origins.of("users.app.password"),
        &Origin::Key("upstream.url")
    );
    assert_eq!(origins.of("upstream.url"), &Origin::Flag("upstream"));
    assert_eq!(origins.of("pool.size_max"), &Origin::Default);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let text = "[pool]\nsize_max = 1\nidle_min = 1\nqueue_max = 1\n";
    let pairs = [
        ("PGWEIR_UPSTREAM", URL),
        ("PGWEIR_POOL_SIZE", "2"),
        ("PGWEIR_POOL_MIN_IDLE", "2"),
        ("PGWEIR_POOL_QUEUE_MAX", ""),
    ];
    let loaded = with(&["--pool-size", "3"], &pairs, text).unwrap();
    let pool = &loaded.config.pool;
    assert_eq!(
        (pool.size_max, pool.idle_min, pool.queue_max, pool.pins_max),
        (3, 2, 1, 20)
    );
    let of = |key: &str| loaded.origins.of(key).to_string();
    assert_eq!(of("pool.size_max"), "flag --pool-size");
    assert_eq!(of("pool.idle_min"), "environment PGWEIR_POOL_MIN_IDLE");
    assert_eq!(of("pool.queue_max"), "file p.toml:4");
    assert_eq!(of("pool.pins_max"), "default");
}

#[test]
fn a_bad_value_is_an_error_even_where_it_loses() {
    let error = with(
        &["--pool-size=3", "--upstream", URL],
        &[("PGWEIR_POOL_SIZE", "many")],
        "",
    )
    .unwrap_err();
    assert!(
        error.starts_with(
            "environment PGWEIR_POOL_SIZE: pool.size_max: `many` is not a whole number"
        ),
        "{error}"
    );
}

#[test]
fn passwords_come_from_the_url_then_pgpassword_then_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pass");
    fs::write(&path, "db:5432:shop:app:filed\ndb:5432:other:bot:bots\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let pass = path.to_str().unwrap();
    let bare = "postgres://app@db/shop";
    let password = |url: &str, pairs: &[(&str, &str)]| {
        let loaded = with(&["--upstream", url], pairs, "").unwrap();
        let password = loaded.config.auth.users["app"].password.clone().unwrap();
        assert_eq!(loaded.config.upstream.password.as_ref(), Some(&password));
        (
            password.expose().to_owned(),
            loaded.origins.of("upstream.password").to_string(),
        )
    };
    let both = [("PGPASSWORD", "from-env"), ("PGPASSFILE", pass)];
    assert_eq!(
        password(URL, &both),
        ("s3cret".to_owned(), "default".to_owned())
    );
    assert_eq!(
        password(bare, &both),
        ("from-env".to_owned(), "environment PGPASSWORD".to_owned())
    );
    assert_eq!(
        password(bare, &both[1..]),
        ("filed".to_owned(), format!("password file {pass}"))
    );
    // The second host's line is as good.
    assert_eq!(
        password("postgres://app@other,db/shop", &both[1..]).0,
        "filed"
    );

    let text = "[databases.x]\nuser = \"bot\"\ndbname = \"other\"\n";
    let loaded = with(&["--upstream", URL], &both, text).unwrap();
    assert_eq!(
        loaded.config.databases["x"].password,
        Some(Secret::new("bots"))
    );
}

#[test]
fn an_open_password_file_is_a_warning_only_where_it_matters() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".pgpass");
    fs::write(&path, "*:*:*:*:x\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let pairs = [("HOME", home.path().to_str().unwrap())];
    assert!(
        with(&["--upstream", URL], &pairs, "")
            .unwrap()
            .warnings
            .is_empty()
    );
    let loaded = with(
        &["--upstream", "postgres://app@db", "--auth=trust"],
        &pairs,
        "",
    )
    .unwrap();
    assert_eq!(loaded.config.upstream.password, None);
    assert!(
        loaded.warnings[0].contains("group or world"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn the_file_prevails_over_the_url_in_the_user_table() {
    let text = "[[users]]\nname = \"app\"\nclients_max = 3\n[[users]]\nname = \"other\"\npassword = \"x\"\n";
    let users = from_file(text).unwrap().config.auth.users;
    assert_eq!(users["app"].clients_max, Some(3));
    assert_eq!(users["app"].password, Some(Secret::new("s3cret")));
    assert_eq!(users.len(), 2);
    let text = "[[users]]\nname = \"app\"\npassword = \"mine\"\n";
    let loaded = from_file(text).unwrap();
    assert_eq!(
        loaded.config.auth.users["app"].password,
        Some(Secret::new("mine"))
    );
    assert_eq!(
        loaded.origins.of("users.app.password").to_string(),
        "file p.toml:3"
    );
}

#[test]
fn a_users_password_can_stand_in_a_file() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "filed\nignored").unwrap();
    let line = format!(
        "[[users]]\nname = \"u\"\npassword_file = \"{}\"\n",
        secret.path().display()
    );
    let loaded = from_file(&line).unwrap();
    assert_eq!(
        loaded.config.auth.users["u"].password,
        Some(Secret::new("filed"))
    );
    let error = from_file(&format!("{line}password = \"x\"")).unwrap_err();
    assert!(
        error.contains("keep one of password and password_file"),
        "{error}"
    );
    fs::write(secret.path(), "\n").unwrap();
    assert!(from_file(&line).unwrap_err().contains("empty first line"));
}

#[test]
fn databases_have_their_own_settings() {
    let text = "[databases.shop]\nurl = \"postgres://db2/s?connect_timeout=9\"\npool.mode = \"session\"\n\
                pool.size_max = 5\npool.idle_min = 2\nclients_max = 7\nallow = [\"10.0.0.0/8\"]\n\
                [databases.plain]\nurl = \"postgres://db3\"\n";
    let databases = from_file(text).unwrap().config.databases;
    let shop = &databases["shop"];
    assert_eq!(
        shop.target.as_ref().unwrap().connect_timeout,
        Duration::from_secs(9)
    );
    assert_eq!(shop.pool_mode, Some(PoolMode::Session));
    assert_eq!(
        (shop.pool_size_max, shop.pool_idle_min, shop.clients_max),
        (Some(5), Some(2), Some(7))
    );
    assert_eq!(shop.allow.len(), 1);
    assert_eq!(
        databases["plain"].target.as_ref().unwrap().connect_timeout,
        Duration::from_secs(5)
    );
}

#[test]
fn functions_and_triggers_are_declared() {
    let text = "[cache.functions]\nslug = \"pure\"\n\"app.f\" = { writes = [\"t\"] }\n\
                app.g = { reads = [\"a\", \"s.b\"] }\napp.h = \"pure\"\n\
                [cache.triggers]\ntouch = \"pure\"\n\"t.log\" = { writes = [\"audit\"] }\n";
    let loaded = from_file(text).unwrap();
    let cache = &loaded.config.cache;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let effects = |writes: &[&str], reads: Option<&[&str]>| Effects {
        writes: names(writes),
        reads: reads.map(names),
    };
    let functions: Vec<_> = cache.functions.clone().into_iter().collect();
    let wanted = [
        ("app.f", effects(&["t"], None)),
        ("app.g", effects(&[], Some(&["a", "s.b"]))),
        ("app.h", effects(&[], Some(&[]))),
        ("slug", effects(&[], Some(&[]))),
    ];
    assert_eq!(functions, wanted.map(|(name, e)| (name.to_owned(), e)));
    assert_eq!(cache.triggers["t.log"], effects(&["audit"], None));
    let origin = loaded.origins.of("cache.functions.app.g").to_string();
    assert_eq!(origin, "file p.toml:4");
}

#[test]
fn the_policy_has_all_that_is_said_of_levels() {
    let text = "cache.ttl = \"5s\"\ncache.mode = \"shadow\"\n[[users]]\nname = \"u\"\ncache = \"off\"\n\
                [databases.d]\ncache = \"ttl\"\n[[cache.rules]]\ntable = \"t\"\nttl = \"1s\"\n";
    let policy = from_file(text).unwrap().config.policy();
    assert_eq!(policy.mode, Mode::Shadow);
    let of = |database, user| policy.decide(database, user, &["public.t"], "");
    assert_eq!(of("d", "u").level, Level::Off);
    assert_eq!(of("d", "v").level, Level::Ttl);
    assert_eq!(of("e", "v").level, Level::Ryw);
    assert_eq!(of("e", "v").life.ttl, Duration::from_secs(1));
    assert_eq!(policy.life.ttl, Duration::from_secs(5));
}

#[test]
fn tls_is_allowed_once_there_is_a_certificate() {
    let pem = tempfile::NamedTempFile::new().unwrap();
    let path = pem.path().to_str().unwrap();
    let base = ["--upstream", URL, "--tls-cert", path, "--tls-key", path];
    assert_eq!(
        with(&base, &[], "").unwrap().config.listen.tls.mode,
        TlsMode::Allow
    );
    for mode in ["disable", "allow", "require"] {
        let config = with(&[&base[..], &["--tls", mode]].concat(), &[], "")
            .unwrap()
            .config;
        assert_eq!(config.listen.tls.mode.as_str(), mode);
    }
    let cert = [&base[..], &["--tls-client-ca", path, "--auth=cert"]].concat();
    assert_eq!(
        with(&cert, &[], "").unwrap().config.auth.mode,
        AuthMode::Cert
    );
}

/// A file, the place its fault is reported at, and a part of the message.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "listen.address = \"6432\"",
        "p.toml:1: listen.address",
        "is not host:port",
    ),
    (
        "listen.address = \"::1:6432\"",
        "p.toml:1: listen.address",
        "[::1]:6432",
    ),
    (
        "listen.clients_max = 0",
        "p.toml:1: listen.clients_max",
        "1 or more",
    ),
    (
        "listen.login_timeout = \"0s\"",
        "p.toml:1: listen.login_timeout",
        "never enough",
    ),
    (
        "telemetry.metrics_interval = \"0s\"",
        "p.toml:1: telemetry.metrics_interval",
        "never enough",
    ),
    (
        "runtime.workers = 4294967295",
        "p.toml:1: runtime.workers",
        "fewer",
    ),
    (
        "runtime.workers = 0",
        "p.toml:1: runtime.workers",
        "1 or more",
    ),
    (
        "pool.idle_min = 21",
        "p.toml:1: pool.idle_min",
        "21 upstreams cannot be kept ready in a pool of 20",
    ),
    (
        "[databases.d]\npool.idle_min = 21",
        "p.toml:2: databases.d.pool.idle_min",
        "pool of 20",
    ),
    (
        "pool.idle_min = 9\n[databases.d]\npool.size_max = 8",
        "p.toml:3: databases.d.pool.size_max",
        "pool of 8",
    ),
    (
        "[databases.d]\npassword = \"x\"",
        "p.toml:2: databases.d.password",
        "without a user",
    ),
    (
        "[databases.d]\nurl = \"postgres:///x\"",
        "p.toml:2: databases.d.url",
        "names no host",
    ),
    (
        "listen.tls.mode = \"require\"",
        "p.toml:1: listen.tls.mode",
        "needs a certificate",
    ),
    (
        "listen.tls.cert = \"/c\"",
        "p.toml:1: listen.tls.cert",
        "without its key",
    ),
    (
        "listen.tls.key = \"/c\"",
        "p.toml:1: listen.tls.key",
        "without its certificate",
    ),
    (
        "listen.tls = { cert = \"/nonexistent\", key = \"/k\" }",
        "p.toml:1: listen.tls.cert",
        "/nonexistent cannot be read",
    ),
    (
        "listen.tls.client_ca = \"/c\"",
        "p.toml:1: listen.tls.client_ca",
        "without TLS",
    ),
    (
        "auth.mode = \"cert\"",
        "p.toml:1: auth.mode",
        "--tls-client-ca",
    ),
    (
        "auth.mode = \"scarm\"",
        "p.toml:1: auth.mode",
        "did you mean `scram`?",
    ),
    (
        "auth.query = \"SELECT 1\"",
        "p.toml:1: auth.query",
        "use $1",
    ),
    (
        "auth.query_database = \"x\"",
        "p.toml:1: auth.query_database",
        "no auth.query",
    ),
    (
        "auth.allow = [\"10.0.0.1/8\"]",
        "p.toml:1: auth.allow",
        "10.0.0.0/8",
    ),
    (
        "[[users]]\nname = \"u\"\nallow = [\"x\"]",
        "p.toml:3: users.u.allow",
        "not an address",
    ),
    (
        "[[users]]\nname = \"u\"\npassword = \"SCRAM-SHA-256$4096:abc\"",
        "p.toml:3: users.u.password",
        "cut short",
    ),
    (
        "[[users]]\nname = \"u\"\npool_size_max = 0",
        "p.toml:3: users.u.pool_size_max",
        "1 or more",
    ),
    (
        "log.level = \"info,loud\"",
        "p.toml:1: log.level",
        "`loud` is no level",
    ),
    (
        "log.level = \"pgweir=loud\"",
        "p.toml:1: log.level",
        "not a log filter",
    ),
    (
        "cache.level = \"on\"",
        "p.toml:1: cache.level",
        "none of off, ttl, ryw",
    ),
    (
        "cache.mode = \"shado\"",
        "p.toml:1: cache.mode",
        "did you mean `shadow`?",
    ),
    (
        "cache.bytes_max = \"256MB\"",
        "p.toml:1: cache.bytes_max",
        "256MiB or 1GiB",
    ),
    (
        "cache.bytes_max = \"0B\"",
        "p.toml:1: cache.bytes_max",
        "--cache off",
    ),
    (
        "cache.entries_max = 0",
        "p.toml:1: cache.entries_max",
        "1 or more",
    ),
    ("cache.ttl = \"0s\"", "p.toml:1: cache.ttl", "--cache off"),
    ("cache.audit = \"2\"", "p.toml:1: cache.audit", "such as 1%"),
    (
        "cache.audit = \"101%\"",
        "p.toml:1: cache.audit",
        "0% to 100%",
    ),
    (
        "cache.rule = 1",
        "p.toml:1: cache.rule",
        "did you mean `cache.rules`?",
    ),
    (
        "[[cache.rules]]\ntable = \"t\"",
        "p.toml:1: cache.rules.1",
        "no effect",
    ),
    (
        "[[cache.rules]]\nttl = \"1s\"\n[[cache.rules]]\nnever = true\nlevel = \"off\"",
        "p.toml:4: cache.rules.2.never",
        "leave them out",
    ),
    (
        "[[cache.rules]]\nttl = \"0s\"",
        "p.toml:2: cache.rules.1.ttl",
        "level = \"off\"",
    ),
    (
        "[[cache.rules]]\nshape = \"SELECT 1\"\nnever = true",
        "p.toml:2: cache.rules.1.shape",
        "16 digits",
    ),
    (
        "[[cache.rules]]\nnever = \"yes\"",
        "p.toml:2: cache.rules.1.never",
        "true or false",
    ),
    (
        "[[cache.rules]]\ntabel = \"t\"",
        "p.toml:2: cache.rules.1.tabel",
        "did you mean `table`?",
    ),
    (
        "[cache.functions]\nf = \"reads\"",
        "p.toml:2: cache.functions.f",
        "write \"pure\"",
    ),
    (
        "[cache.functions]\nf = {}",
        "p.toml:2: cache.functions.f",
        "nothing is declared",
    ),
    (
        "[cache.functions]\nf = { writes = \"t\" }",
        "p.toml:2: cache.functions.f",
        "not a list of tables",
    ),
    (
        "[cache.functions]\nf = { writes = [], calls = [] }",
        "p.toml:2: cache.functions.f.calls",
        "unknown key",
    ),
    (
        "[cache.triggers]\nf = { reads = [\"t\"] }",
        "p.toml:2: cache.triggers.f.reads",
        "unknown key",
    ),
    (
        "[databases.d]\ncache = \"on\"",
        "p.toml:2: databases.d.cache",
        "none of off",
    ),
];

#[test]
fn what_does_not_hold_together_is_refused_with_its_place() {
    for (text, place, part) in REFUSED {
        let error = from_file(text).map(|_| ()).expect_err(text);
        assert!(
            error.starts_with(&format!("file {place}: ")),
            "{text}: {error}"
        );
        assert!(error.contains(part), "{text}: {error}");
    }
    let error = with(&[], &[], "").unwrap_err();
    assert!(
        error.starts_with("upstream.url: no database is named; give --upstream"),
        "{error}"
    );
    let error = with(&[], &[("PGWEIR_UPSTREM", URL)], "").unwrap_err();
    assert!(
        error.contains("did you mean PGWEIR_UPSTREAM?") && !error.contains("s3cret"),
        "{error}"
    );
    let error = with(&["--upstream=postgres://db"], &[], "").unwrap_err();
    assert!(error.contains("nobody could log in"), "{error}");
}

#[test]
fn whole_verifiers_are_accepted() {
    let verifier = "SCRAM-SHA-256$4096:5tLzGjFXSKYzBi4/2fOBGg==$\
                    9UnKK2WpW7aNwvgXhKwz7Sfkks0gxx4IEIhTFAbK2gs=:HvSEB6ZCjgMfFwBbT4PbPkjvkhVcgHsCmDbVvvlbJjE=";
    let text = format!("[[users]]\nname = \"u\"\npassword = \"{verifier}\"\n");
    assert_eq!(
        from_file(&text).unwrap().config.auth.users["u"].password,
        Some(Secret::new(verifier))
    );
}

#[test]
fn what_is_odd_is_a_warning() {
    for (args, part) in [
        (
            vec!["--auth=trust", "--listen=0.0.0.0:1"],
            Some("whoever reaches 0.0.0.0:1"),
        ),
        (
            vec!["--auth=md5", "--listen=[::]:1"],
            Some("can be read on the network"),
        ),
        (vec!["--auth=trust", "--listen=localhost:1"], None),
        (vec!["--auth=trust", "--listen=[::1]:1"], None),
        (vec!["--listen=0.0.0.0:1"], None),
    ] {
        let args = [&["--upstream", URL], &args[..]].concat();
        let warnings = with(&args, &[], "").unwrap().warnings;
        assert_eq!(
            warnings.len(),
            usize::from(part.is_some()),
            "{args:?}: {warnings:?}"
        );
        assert!(
            part.is_none_or(|part| warnings[0].contains(part)),
            "{args:?}: {warnings:?}"
        );
    }
    let text = format!(
        "[[users]]\nname = \"u\"\npassword = \"md5{}\"\n",
        "0".repeat(32)
    );
    assert!(from_file(&text).unwrap().warnings[0].starts_with("users.u: an MD5 verifier"));
}

#[test]
fn no_password_is_in_any_message_or_debug_output() {
    let text = "[[users]]\nname = \"u\"\npassword = \"s3cret\"\n[databases.d]\nuser = \"u\"\npassword = \"s3cret\"\n";
    let loaded = from_file(text).unwrap();
    assert!(!format!("{loaded:?}").contains("s3cret"));
}

#[test]
fn the_file_is_named_by_flag_or_variable() {
    let toml = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        toml.path(),
        format!("upstream.url = \"{URL}\"\npool.size_max = 4\n"),
    )
    .unwrap();
    let path = toml.path().to_str().unwrap();
    for loaded in [
        load(
            &flags(&["-c", path]),
            &env(&[("PGWEIR_CONFIG", "/nonexistent")]),
        ),
        load(&flags(&[]), &env(&[("PGWEIR_CONFIG", path)])),
    ] {
        assert_eq!(loaded.unwrap().config.pool.size_max, 4);
    }
    let error = load(&flags(&[]), &env(&[("PGWEIR_CONFIG", "/nonexistent")])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("environment PGWEIR_CONFIG: the configuration file"),
        "{error}"
    );
}

#[test]
fn a_collector_for_every_program_counts_for_this_one_too() {
    let standard = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
        ("OTEL_SERVICE_NAME", "shop"),
    ];
    let loaded = with(&["--upstream", URL], &standard, "").unwrap();
    let telemetry = &loaded.config.telemetry;
    let endpoint = telemetry.endpoint.as_ref().unwrap();
    assert_eq!(
        endpoint.with_path("v1/traces"),
        "http://collector:4318/v1/traces"
    );
    assert_eq!(telemetry.service_name, "shop");
    // What is said to this program alone comes first.
    let own = "telemetry.endpoint = \"https://own/otlp\"\ntelemetry.service_name = \"pool\"\n";
    let loaded = with(&["--upstream", URL], &standard, own).unwrap();
    let endpoint = loaded.config.telemetry.endpoint.unwrap();
    assert_eq!(endpoint.with_path("v1/x"), "https://own/otlp/v1/x");
    assert!(endpoint.is_secure());
    assert_eq!(loaded.config.telemetry.service_name, "pool");
    assert_eq!(from_file("").unwrap().config.telemetry.endpoint, None);
}

#[test]
fn only_an_address_is_a_collector() {
    for url in [
        "127.0.0.1:4318",
        "ftp://x",
        "http://u:p@x",
        "http://x/?a=b",
        "http://",
        "x",
    ] {
        let text = format!("telemetry.endpoint = \"{url}\"\n");
        let error = from_file(&text).unwrap_err();
        assert!(
            error.contains("telemetry.endpoint") && error.contains("4318"),
            "{error}"
        );
    }
}
