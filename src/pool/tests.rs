//! Logins against a real Postgres, started by the test, and against peers that misbehave.

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::control::{Control, control};
use super::dial::Address;
use super::upstream::{ConnectError, Credential, Login, Upstream, connect, first_of};
use crate::config::{
    ChannelBinding, Host, Secret, SessionAttrs, SslMode, SslNegotiation, Target, UpstreamTls,
};
use crate::tls::client::Connector;
use crate::wire::error::field;
use crate::wire::scram::{DEFAULT_ITERATIONS, Keys};

const BIN: &str = "/usr/lib/postgresql/15/bin";

const HBA: &str = "
local   all all                trust
hostssl all tls_only all       scram-sha-256
host    all tls_only all       reject
hostnossl all clear_only all   trust
host    all clear_only all     reject
host    all by_md5   all       md5
host    all by_password all    password
host    all trusted  all       trust
host    all all      all       scram-sha-256
";

const ROLES: &str = "
create role by_scram login password 'sécret';
create role tls_only login password 'sécret';
create role clear_only login;
create role trusted login;
create role by_password login password 'sécret';
set password_encryption = md5;
create role by_md5 login password 'sécret';
alter role trusted set search_path = 'evil';
";

/// A Postgres of our own, stopped when dropped.
struct Postgres {
    dir: TempDir,
    port: u16,
}

/// Postgres refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let is_root = std::env::var("USER").is_ok_and(|user| user == "root")
        || std::fs::metadata("/proc/self")
            .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let path = format!("{BIN}/{program}");
    if !is_root {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        &path,
    ]);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

impl Postgres {
    fn start() -> Option<Self> {
        if !Path::new(BIN).exists() {
            eprintln!("skipped: no PostgreSQL 15 in {BIN}");
            return None;
        }
        let dir = TempDir::with_prefix("pgweir-login-").unwrap();
        run(Command::new("chmod").arg("777").arg(dir.path()));
        let data = dir.path().join("data");
        run(as_postgres("initdb")
            .args(["-U", "postgres", "-A", "trust", "-N", "-D"])
            .arg(&data));
        std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        std::fs::write(data.join("server.crt"), &certificate).unwrap();
        std::fs::write(dir.path().join("root.pem"), certificate).unwrap();
        std::fs::write(data.join("server.key"), key.serialize_pem()).unwrap();
        run(Command::new("chmod")
            .arg("600")
            .arg(data.join("server.key")));
        run(Command::new("chown")
            .arg("--reference")
            .arg(data.join("PG_VERSION"))
            .arg(data.join("server.key")));
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let options = format!(
            "-p {port} -k {} -c ssl=on -c fsync=off -c listen_addresses=127.0.0.1",
            dir.path().display()
        );
        run(as_postgres("pg_ctl")
            .args(["start", "-w", "-s", "-l", "/dev/null", "-o", &options, "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null()));
        let postgres = Self { dir, port };
        run(as_postgres("psql")
            .args([
                "-q",
                "-U",
                "postgres",
                "-p",
                &port.to_string(),
                "-c",
                ROLES,
                "-h",
            ])
            .arg(postgres.dir.path())
            .env("PGCLIENTENCODING", "UTF8"));
        Some(postgres)
    }

    fn target(&self) -> Target {
        Target {
            hosts: vec![Host::Tcp {
                host: "localhost".to_owned(),
                port: self.port,
            }],
            user: String::new(),
            password: None,
            database: None,
            tls: UpstreamTls::default(),
            channel_binding: ChannelBinding::Prefer,
            session_attrs: SessionAttrs::Any,
            connect_timeout: Duration::from_secs(10),
            parameters: vec![("application_name".to_owned(), "test".to_owned())],
        }
    }

    fn unix(&self) -> Host {
        Host::Unix {
            directory: self.dir.path().to_owned(),
            port: self.port,
        }
    }

    fn root(&self) -> Option<PathBuf> {
        Some(self.dir.path().join("root.pem"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.dir.path().join("data");
        run(as_postgres("pg_ctl")
            .args(["stop", "-s", "-m", "immediate", "-D"])
            .arg(&data));
        // The files belong to postgres, who lets root remove them.
    }
}

fn login(target: &Target, user: &str, password: Option<&str>) -> Login {
    let connector = Arc::new(Connector::new(&target.tls).unwrap());
    let credential = match password {
        Some(password) => Credential::Password(Secret::new(password)),
        None => Credential::None,
    };
    Login::new(
        target,
        connector,
        user.to_owned(),
        "postgres".to_owned(),
        credential,
    )
}

async fn query(upstream: &mut Upstream, sql: &str) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    postgres_protocol::message::frontend::query(sql, &mut out).unwrap();
    upstream.stream.write_all(&out).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"Z\0\0\0\x05I") {
        let n = upstream.stream.read_buf(&mut reply).await.unwrap();
        assert_ne!(n, 0);
    }
    reply
}

#[tokio::test]
async fn a_real_postgres() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    every_login(&postgres).await;
    refusals(&postgres).await;
    tls_and_binding(&postgres).await;
    passed_through_keys(&postgres).await;
    cancels(&postgres).await;
    attributes(&postgres).await;
    controls(&postgres).await;
}

async fn every_login(postgres: &Postgres) {
    let mut target = postgres.target();
    for mode in [SslMode::Disable, SslMode::Prefer] {
        target.tls.mode = mode;
        for user in ["by_scram", "by_md5", "by_password", "trusted"] {
            let login = login(&target, user, Some("sécret"));
            let mut upstream = connect(&login).await.unwrap();
            assert_eq!(upstream.stream.is_tls(), mode == SslMode::Prefer);
            assert_eq!(upstream.minor, 0, "PostgreSQL 15 negotiates down to 3.0");
            assert_eq!(upstream.cancel.key.len(), 4);
            assert_eq!(upstream.parameter(b"application_name"), Some(&b"test"[..]));
            assert!(
                upstream
                    .parameter(b"server_version")
                    .unwrap()
                    .starts_with(b"15")
            );
            let reply = query(&mut upstream, "select current_user").await;
            assert!(reply.windows(user.len()).any(|w| w == user.as_bytes()));
        }
    }
    target.hosts = vec![postgres.unix()];
    let upstream = connect(&login(&target, "by_scram", None)).await.unwrap();
    assert!(upstream.place.contains(".s.PGSQL."), "{}", upstream.place);
}

async fn refusals(postgres: &Postgres) {
    let target = postgres.target();
    let error = connect(&login(&target, "by_scram", Some("wrong")))
        .await
        .unwrap_err();
    let ConnectError::Refused { body, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(error.sqlstate(), "28P01");
    assert_eq!(field(body, field::SEVERITY), Some(&b"FATAL"[..]));
    let mut frame = Vec::new();
    error.encode(&mut frame);
    assert_eq!(&frame[5..], &**body);
    // A client that is in has to be told that it was not its own password.
    let mut frame = Vec::new();
    error.encode_for_known(&mut frame);
    let told = &frame[5..];
    for same in [field::MESSAGE, field::CODE, field::SEVERITY] {
        assert_eq!(field(told, same), field(body, same));
    }
    let hint = String::from_utf8_lossy(field(told, field::HINT).unwrap());
    assert!(hint.starts_with("PW0307: It was Postgres"), "{hint}");
    assert_eq!(field(told, field::ROUTINE), Some(&b"PW0307"[..]));

    let hash = "md50f3f71a3dd77afe47f64231994dfd347";
    for user in ["by_scram", "by_password"] {
        let error = connect(&login(&target, user, Some(hash))).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("only an MD5 hash is known"), "{error}");
    }

    let error = connect(&login(&target, "by_scram", None))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no password"), "{error}");

    let mut login = login(&target, "trusted", None);
    login.database = "nowhere".to_owned();
    assert_eq!(connect(&login).await.unwrap_err().sqlstate(), "3D000");

    let mut gone = target.clone();
    gone.hosts = vec![Host::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 1,
    }];
    let error = connect(&self::login(&gone, "trusted", None))
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), "08001");
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1") && text.contains("port 1"),
        "{text}"
    );
    gone.hosts.extend(target.hosts);
    connect(&self::login(&gone, "trusted", None)).await.unwrap();
}

async fn tls_and_binding(postgres: &Postgres) {
    let mut target = postgres.target();
    // pg_hba decides: allow turns to TLS, prefer turns away from it.
    target.tls.mode = SslMode::Allow;
    let upstream = connect(&login(&target, "tls_only", Some("sécret")))
        .await
        .unwrap();
    assert!(upstream.stream.is_tls());
    target.tls.mode = SslMode::Prefer;
    let upstream = connect(&login(&target, "clear_only", None)).await.unwrap();
    assert!(!upstream.stream.is_tls());
    target.tls.mode = SslMode::Disable;
    let error = connect(&login(&target, "tls_only", Some("sécret")))
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), "28000");

    target.tls.mode = SslMode::VerifyFull;
    target.tls.root_cert = postgres.root();
    target.channel_binding = ChannelBinding::Require;
    connect(&login(&target, "by_scram", Some("sécret")))
        .await
        .unwrap();
    for user in ["by_md5", "by_password", "trusted"] {
        let error = connect(&login(&target, user, Some("sécret")))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("channel binding"),
            "{user}: {error}"
        );
    }
    target.channel_binding = ChannelBinding::Disable;
    connect(&login(&target, "by_scram", Some("sécret")))
        .await
        .unwrap();

    target.tls.negotiation = SslNegotiation::Direct;
    let error = connect(&login(&target, "trusted", None)).await.unwrap_err();
    assert_eq!(
        error.sqlstate(),
        "08001",
        "PostgreSQL 15 knows no direct TLS: {error}"
    );
}

async fn passed_through_keys(postgres: &Postgres) {
    let mut target = postgres.target();
    target.hosts = vec![postgres.unix()];
    let mut upstream = connect(&login(&target, "postgres", None)).await.unwrap();
    let reply = query(
        &mut upstream,
        "select rolpassword from pg_authid where rolname = 'by_scram'",
    );
    let reply = String::from_utf8_lossy(&reply.await).into_owned();
    let at = reply.find("SCRAM-SHA-256$").unwrap();
    let verifier = crate::wire::scram::Verifier::parse(reply.get(at..at + 133).unwrap()).unwrap();
    let keys = Keys::derive("sécret".as_bytes(), &verifier.salt, verifier.iterations);
    assert_eq!(keys.verifier(), verifier);

    let mut login = login(&postgres.target(), "by_scram", None);
    login.credential = Credential::Keys(Arc::new(keys));
    connect(&login).await.unwrap();
    let other = Keys::derive("sécret".as_bytes(), b"salt", DEFAULT_ITERATIONS);
    login.credential = Credential::Keys(Arc::new(other));
    let error = connect(&login).await.unwrap_err();
    assert_eq!(error.sqlstate(), "28000");
}

async fn cancels(postgres: &Postgres) {
    for mode in [SslMode::Disable, SslMode::Require] {
        let mut target = postgres.target();
        target.tls.mode = mode;
        let mut upstream = connect(&login(&target, "trusted", None)).await.unwrap();
        let cancel = upstream.cancel.clone();
        let asleep = tokio::spawn(async move { query(&mut upstream, "select pg_sleep(60)").await });
        let reply = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancel.cancel(Duration::from_secs(5)).await.unwrap();
            if asleep.is_finished() {
                break asleep.await.unwrap();
            }
        };
        assert!(reply.windows(5).any(|window| window == b"57014"));
    }
}

async fn attributes(postgres: &Postgres) {
    let mut target = postgres.target();
    for (attrs, fits) in [
        (SessionAttrs::ReadWrite, true),
        (SessionAttrs::Primary, true),
        (SessionAttrs::PreferStandby, true),
        (SessionAttrs::ReadOnly, false),
        (SessionAttrs::Standby, false),
    ] {
        target.session_attrs = attrs;
        let login = login(&target, "trusted", None);
        assert_eq!(connect(&login).await.is_ok(), fits, "{attrs:?}");
        assert_eq!(control(&login).await.is_ok(), fits, "{attrs:?}");
    }
    target.session_attrs = SessionAttrs::ReadOnly;
    target.parameters = vec![("default_transaction_read_only".to_owned(), "on".to_owned())];
    connect(&login(&target, "trusted", None)).await.unwrap();
}

async fn controls(postgres: &Postgres) {
    let mut target = postgres.target();
    target.parameters = vec![("search_path".to_owned(), "evil".to_owned())];
    target.tls.mode = SslMode::VerifyFull;
    target.tls.root_cert = postgres.root();
    target.channel_binding = ChannelBinding::Require;
    let (client, _task) = control(&login(&target, "by_scram", Some("sécret")))
        .await
        .unwrap();
    let row = client
        .query_one(
            "select current_setting('search_path'), current_setting('application_name')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "\"$user\", public");
    assert_eq!(row.get::<_, &str>(1), "pgweir control");
    let error = control(&login(&target, "by_scram", Some("wrong")))
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate(), "28P01");
}

/// An upstream that has refused a password is not shown it once more, and in another way.
#[tokio::test]
async fn a_refusal_ends_the_search() {
    let mut refusal = b"N".to_vec();
    crate::wire::error::PgError::fatal("28P01", "wrong").encode(&mut refusal);
    for _ in 0..2 {
        let mut target = peer(vec![refusal.clone(), READY.to_vec()]).await;
        target.tls.mode = SslMode::Prefer;
        let login = login(&target, "u", Some("p"));
        let error = control(&login).await.unwrap_err();
        assert_eq!(error.sqlstate(), "28P01", "{error}");
    }
}

/// One that accepts and says nothing, and then one that answers; as for sessions, so for our own.
#[tokio::test]
async fn a_silent_address_leaves_time_for_the_next() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = peer(vec![READY.to_vec(), READY.to_vec()]).await;
    let Host::Tcp { port, .. } = target.hosts[0] else {
        panic!("{target:?}")
    };
    let addresses = [silent.local_addr().unwrap().port(), port]
        .map(|port| Address::Tcp((Ipv4Addr::LOCALHOST, port).into()));
    let (login, any) = (login(&target, "u", None), SessionAttrs::Any);
    let session = first_of::<Upstream>(&login, &target.hosts[0], &addresses, any).await;
    session.unwrap();
    let own = first_of::<Control>(&login, &target.hosts[0], &addresses, any).await;
    own.unwrap();
}

/// Answers each connection with one of the given byte strings, whatever it says.
async fn peer(answers: Vec<Vec<u8>>) -> Target {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut ignored = [0; 1024];
            drop(socket.read(&mut ignored).await);
            drop(socket.write_all(&answer).await);
            // Until the other side hangs up, so that no reset overtakes the answer.
            while !matches!(socket.read(&mut ignored).await, Ok(0) | Err(_)) {}
        }
    });
    Target {
        hosts: vec![Host::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        }],
        user: String::new(),
        password: None,
        database: None,
        tls: UpstreamTls {
            mode: SslMode::Disable,
            ..UpstreamTls::default()
        },
        channel_binding: ChannelBinding::Prefer,
        session_attrs: SessionAttrs::Any,
        connect_timeout: Duration::from_secs(2),
        parameters: Vec::new(),
    }
}

const READY: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

#[tokio::test]
async fn long_keys_and_old_servers() {
    let mut long =
        b"R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0S\0\0\0\x08a\0c\0K\0\0\0\x28\0\0\0\x07".to_vec();
    long.extend_from_slice(&[9; 32]);
    long.extend_from_slice(b"Z\0\0\0\x05I");
    let target = peer(vec![long]).await;
    let upstream = connect(&login(&target, "u", None)).await.unwrap();
    assert_eq!((upstream.minor, upstream.cancel.pid), (2, 7));
    assert_eq!(&*upstream.cancel.key, [9; 32]);
    assert_eq!(upstream.parameters.len(), 1);
    assert_eq!(upstream.parameter(b"a"), Some(&b"c"[..]));

    let refusal = crate::wire::error::PgError::fatal("0A000", "unsupported frontend protocol 3.2");
    let mut frame = Vec::new();
    refusal.encode(&mut frame);
    let target = peer(vec![frame, READY.to_vec(), READY.to_vec()]).await;
    let login = login(&target, "u", None);
    assert_eq!(connect(&login).await.unwrap().minor, 0);
    assert_eq!(connect(&login).await.unwrap().minor, 0, "is remembered");
}

/// Whoever waits is not told of the end of a session that nobody has used.
#[tokio::test]
async fn a_session_that_ends_behind_its_login_is_no_answer() {
    let mut ended = READY.to_vec();
    crate::wire::error::PgError::fatal("57P01", "terminating connection").encode(&mut ended);
    let target = peer(vec![ended.clone(), READY.to_vec()]).await;
    connect(&login(&target, "u", None)).await.unwrap();
    let target = peer(vec![ended; 2]).await;
    let error = connect(&login(&target, "u", None)).await.unwrap_err();
    assert_eq!(error.sqlstate(), "57P01", "{error}");
}

#[tokio::test]
async fn peers_that_misbehave_are_named() {
    for (answer, text) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "impossible length",
        ),
        (b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IS", "behind ReadyForQuery"),
        (b"R\0\0\0\x08\0\0\0\x07", "GSSAPI"),
        (b"R\0\0\0\x08\0\0\0\x0c", "login"),
        (b"R\0\0\0\x05\0", "authentication request"),
        (b"D\0\0\0\x04", "authentication request"),
        (b"R\0\0\0\x08\0\0\0\0K\0\0\0\x08\0\0\0\0", "BackendKeyData"),
        (b"R\0\0\0\x08\0\0\0\0S\0\0\0\x06ab", "ParameterStatus"),
        (b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05T", "unexpected message"),
        (b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-1\0\0\0\0", "SASL"),
        (b"R\0\0\0\x08", "no session within 2 s"),
    ] {
        let target = peer(vec![answer.to_vec(); 2]).await;
        let error = connect(&login(&target, "u", None))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(text), "{text}: {error}");
    }
}

#[tokio::test]
async fn mutated_answers_never_panic() {
    let mut rng = fastrand::Rng::with_seed(11);
    let whole = b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0K\0\0\0\x0c\0\0\0\x07abcdZ\0\0\0\x05I";
    for _ in 0..300 {
        let mut answer = whole.to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..answer.len());
            answer[at] = rng.u8(..);
        }
        let mut target = peer(vec![answer.clone(); 2]).await;
        target.connect_timeout = Duration::from_millis(20);
        drop(connect(&login(&target, "u", None)).await);
    }
}
