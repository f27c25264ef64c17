//! Greeting over loopback, by our own upstream login.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::{
    Auth, AuthMode, ChannelBinding, Host, ListenTls, Network, Secret, SessionAttrs, SslMode,
    SslNegotiation, Target, TlsMode, UpstreamTls, User,
};
use crate::pool::upstream::{self, connect};
use crate::tls::client::Connector;
use crate::wire::auth::md5_hash;
use crate::wire::error::field;
use crate::wire::scram::{DEFAULT_ITERATIONS, Verifier};
use crate::wire::startup::encode_startup;

mod raw;

/// Upstreams that know `queried` (its verifier) and let `passer` in with `sécret`.
#[derive(Debug, Default)]
struct Fake {
    asked: AtomicUsize,
}

impl Upstreams for Fake {
    async fn verifier(&self, user: &str, database: &str) -> Result<Option<String>, ConnectError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(database, "postgres");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let verifier = Verifier::of_password("sécret".as_bytes(), DEFAULT_ITERATIONS).unwrap();
        Ok((user == "queried").then(|| verifier.encode()))
    }

    async fn log_in(
        &self,
        user: &str,
        _database: &str,
        credential: &Credential,
    ) -> Result<(), ConnectError> {
        let Credential::Password(password) = credential else {
            panic!("{credential:?}")
        };
        if user == "passer" && password.expose() == "sécret" {
            return Ok(());
        }
        let mut body = Vec::new();
        PgError::fatal("28P01", "from the upstream").encode(&mut body);
        Err(ConnectError::Refused {
            place: "there".to_owned(),
            body: body[5..].into(),
        })
    }
}

fn network(text: &str) -> Network {
    Network {
        address: text.parse().unwrap(),
        prefix: 32,
    }
}

fn auth(mode: AuthMode) -> Auth {
    let user = |password: &str| User {
        password: Some(Secret::new(password)),
        allow: Vec::new(),
        clients_max: None,
        pool_size_max: None,
        cache: None,
    };
    let scram = Verifier::of_password("sécret".as_bytes(), DEFAULT_ITERATIONS).unwrap();
    let mut users = BTreeMap::from([
        ("clear".to_owned(), user("sécret")),
        (
            "hashed".to_owned(),
            user(&md5_hash(b"hashed", "sécret".as_bytes())),
        ),
        ("scram".to_owned(), user(&scram.encode())),
        ("elsewhere".to_owned(), user("sécret")),
        ("broken".to_owned(), user("SCRAM-SHA-256$4096:cut")),
    ]);
    let nothing = User {
        password: None,
        ..user("")
    };
    users.insert("nothing".to_owned(), nothing);
    users.get_mut("elsewhere").unwrap().allow = vec![network("10.0.0.1")];
    Auth {
        mode,
        users,
        query: None,
        query_database: None,
        allow: Vec::new(),
    }
}

/// A greeter on loopback: every connection's outcome comes out of `outcomes`.
struct Server {
    port: u16,
    dir: Arc<TempDir>,
    fake: Arc<Fake>,
    outcomes: mpsc::UnboundedReceiver<Result<Greeting, GreetError>>,
}

struct Options {
    auth: Auth,
    tls: TlsMode,
    timeout: Duration,
    databases: BTreeMap<String, Database>,
}

impl Options {
    fn new(mode: AuthMode) -> Self {
        Self {
            auth: auth(mode),
            tls: TlsMode::Allow,
            timeout: Duration::from_secs(10),
            databases: BTreeMap::new(),
        }
    }
}

/// `ca.pem`, `server.*` for localhost, `cert_user.*` for a client.
fn certificates() -> TempDir {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca.pem", params.self_signed(&key).unwrap().pem());
    let ca = Issuer::new(params, key);
    for (name, cn) in [("server", "localhost"), ("cert_user", "cert_user")] {
        let mut params = CertificateParams::new(vec![cn.replace('_', "-")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, cn);
        let key = KeyPair::generate().unwrap();
        write(
            &format!("{name}.pem"),
            params.signed_by(&key, &ca).unwrap().pem(),
        );
        write(&format!("{name}.key"), key.serialize_pem());
    }
    dir
}

impl Server {
    async fn start(options: Options) -> Self {
        let dir = Arc::new(certificates());
        let file = |name: &str| Some(dir.path().join(name));
        let tls = Acceptor::new(&ListenTls {
            mode: options.tls,
            cert: file("server.pem"),
            key: file("server.key"),
            client_ca: file("ca.pem"),
        })
        .unwrap();
        let users = Users::new(&options.auth, None).unwrap();
        let fake = Arc::new(Fake::default());
        let shared = Arc::new((tls, users, options.databases, Arc::clone(&fake)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, outcomes) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (tcp, peer) = listener.accept().await.unwrap();
                let (shared, send) = (Arc::clone(&shared), send.clone());
                tokio::spawn(async move {
                    let gate = Gate {
                        tls: &shared.0,
                        users: &shared.1,
                        databases: &shared.2,
                        upstreams: &*shared.3,
                        login_timeout: options.timeout,
                    };
                    let mut outcome = greet(tcp, peer, &gate).await;
                    if let Ok(Greeting::Client(login)) = &mut outcome {
                        let mut last = login.pending.clone();
                        last.extend_from_slice(b"S\0\0\0\x18server_version\x0015.0\0Z\0\0\0\x05I");
                        login.stream.write_all(&last).await.unwrap();
                        login.stream.flush().await.unwrap();
                    }
                    drop(send.send(outcome));
                });
            }
        });
        Self {
            port,
            dir,
            fake,
            outcomes,
        }
    }

    fn target(&self, mode: SslMode) -> Target {
        let mut tls = UpstreamTls {
            mode,
            ..UpstreamTls::default()
        };
        if mode == SslMode::VerifyFull {
            tls.root_cert = Some(self.dir.path().join("ca.pem"));
        }
        Target {
            hosts: vec![Host::Tcp {
                host: "localhost".to_owned(),
                port: self.port,
            }],
            user: String::new(),
            password: None,
            database: None,
            tls,
            channel_binding: ChannelBinding::Prefer,
            session_attrs: SessionAttrs::Any,
            connect_timeout: Duration::from_secs(10),
            parameters: vec![("options".to_owned(), "-c a=b".to_owned())],
        }
    }

    async fn connect(
        &self,
        target: &Target,
        user: &str,
        password: &str,
    ) -> Result<(), ConnectError> {
        let connector = Arc::new(Connector::new(&target.tls).unwrap());
        let credential = Credential::Password(Secret::new(password));
        let (user, database) = (user.to_owned(), "postgres".to_owned());
        let login = upstream::Login::new(target, connector, user, database, credential);
        connect(&login).await.map(drop)
    }

    /// The SQLSTATE and the message of a refusal; nothing when let in.
    async fn refusal(
        &self,
        target: &Target,
        user: &str,
        password: &str,
    ) -> Option<(String, String)> {
        let error = self.connect(target, user, password).await.err()?;
        let text = if let ConnectError::Refused { body, .. } = &error {
            String::from_utf8_lossy(field(body, field::MESSAGE).unwrap()).into_owned()
        } else {
            error.to_string()
        };
        Some((error.sqlstate().to_owned(), text))
    }

    async fn client(&mut self) -> Box<Login> {
        match self.outcomes.recv().await.unwrap() {
            Ok(Greeting::Client(login)) => login,
            other => panic!("{other:?}"),
        }
    }

    /// Sends bytes and reads until the greeter closes or says `enough` bytes.
    async fn raw(&self, bytes: &[u8], enough: usize) -> Vec<u8> {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        while answer.len() < enough {
            if tcp.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                break;
            }
        }
        answer
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[tokio::test]
async fn each_mode_lets_the_right_ones_in() {
    for (mode, good) in [
        (
            AuthMode::Trust,
            &["clear", "hashed", "scram", "nobody", "nothing", "broken"][..],
        ),
        (AuthMode::Password, &["clear", "hashed", "scram"]),
        (AuthMode::Md5, &["clear", "hashed", "scram"]),
        (AuthMode::Scram, &["clear", "scram"]),
    ] {
        let server = Server::start(Options::new(mode)).await;
        for ssl in [SslMode::Disable, SslMode::VerifyFull] {
            let target = server.target(ssl);
            for user in ["clear", "hashed", "scram", "nobody", "nothing", "broken"] {
                let refusal = server.refusal(&target, user, "sécret").await;
                assert_eq!(
                    refusal.is_none(),
                    good.contains(&user),
                    "{mode:?} {user} {refusal:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn nobody_learns_who_exists() {
    for mode in [AuthMode::Password, AuthMode::Md5, AuthMode::Scram] {
        let server = Server::start(Options::new(mode)).await;
        let target = server.target(SslMode::Disable);
        let users = [
            "clear",
            "hashed",
            "scram",
            "nobody",
            "nothing",
            "elsewhere",
            "broken",
        ];
        for user in users {
            // "stranger" and "\0" are what missing passwords are compared with.
            for password in ["wrong", "stranger"] {
                let text = format!("password authentication failed for user \"{user}\"");
                let expected = Some(("28P01".to_owned(), text));
                assert_eq!(
                    server.refusal(&target, user, password).await,
                    expected,
                    "{mode:?}"
                );
            }
        }
        let away = server
            .refusal(&target, "elsewhere", "sécret")
            .await
            .unwrap();
        assert_eq!(away.0, "28P01", "{mode:?}");
    }
}

#[tokio::test]
async fn the_client_is_described_and_its_keys_serve_upstream() {
    let mut server = Server::start(Options::new(AuthMode::Scram)).await;
    let mut target = server.target(SslMode::VerifyFull);
    target.channel_binding = ChannelBinding::Require;
    server.connect(&target, "scram", "sécret").await.unwrap();
    let login = server.client().await;
    assert!(login.is_tls());
    assert_eq!(
        (login.user.as_str(), login.database.as_str()),
        ("scram", "postgres")
    );
    assert_eq!(
        login.settings,
        [(b"a".as_slice().into(), b"b".as_slice().into())]
    );
    assert_eq!((login.minor, login.replication), (2, Replication::Off));
    assert!(login.pending.ends_with(b"R\0\0\0\x08\0\0\0\0"));
    let Credential::Keys(keys) = login.credential else {
        panic!("{:?}", login.credential)
    };
    let password = auth(AuthMode::Scram).users["scram"]
        .password
        .clone()
        .unwrap();
    assert_ne!(
        keys.verifier().encode(),
        password.expose(),
        "salts are random"
    );
    let derived =
        crate::wire::scram::Keys::derive("sécret".as_bytes(), &keys.salt, keys.iterations);
    assert_eq!(*keys, derived);

    server.connect(&target, "clear", "sécret").await.unwrap();
    assert!(matches!(
        server.client().await.credential,
        Credential::Password(_)
    ));
}

#[tokio::test]
async fn certificates_name_their_user() {
    let server = Server::start(Options::new(AuthMode::Cert)).await;
    let mut target = server.target(SslMode::VerifyFull);
    let (code, text) = server.refusal(&target, "cert_user", "x").await.unwrap();
    assert_eq!(code, "28000");
    assert!(text.contains("valid client certificate"), "{text}");
    target.tls.cert = Some(server.dir.path().join("cert_user.pem"));
    target.tls.key = Some(server.dir.path().join("cert_user.key"));
    assert_eq!(server.refusal(&target, "cert_user", "x").await, None);
    assert_eq!(
        server.refusal(&target, "clear", "x").await.unwrap().0,
        "28000"
    );
    target.tls.negotiation = SslNegotiation::Direct;
    assert_eq!(server.refusal(&target, "cert_user", "x").await, None);
}

#[tokio::test]
async fn pass_through_asks_the_upstream() {
    let mut server = Server::start(Options::new(AuthMode::Passthrough)).await;
    let target = server.target(SslMode::Disable);
    assert_eq!(server.refusal(&target, "passer", "sécret").await, None);
    assert!(matches!(
        server.client().await.credential,
        Credential::Password(_)
    ));
    let (_, text) = server.refusal(&target, "passer", "wrong").await.unwrap();
    assert_eq!(text, "from the upstream");
    drop(server.outcomes.recv().await);
    assert_eq!(server.refusal(&target, "scram", "sécret").await, None);
    assert!(matches!(
        server.client().await.credential,
        Credential::Keys(_)
    ));
}

/// The upstream would take the password: it sees our address, and not the client's.
#[tokio::test]
async fn pass_through_keeps_out_who_may_not_come_from_there() {
    let mut options = Options::new(AuthMode::Passthrough);
    let elsewhere = options.auth.users.remove("elsewhere").unwrap();
    let here = User {
        password: None,
        allow: vec![network("127.0.0.1")],
        ..elsewhere.clone()
    };
    let passer = User {
        password: None,
        ..elsewhere
    };
    for (user, code) in [(passer, Some("28P01")), (here, None)] {
        options.auth.users.insert("passer".to_owned(), user);
        let server = Server::start(Options {
            auth: options.auth.clone(),
            ..Options::new(AuthMode::Passthrough)
        })
        .await;
        let target = server.target(SslMode::Disable);
        let refusal = server.refusal(&target, "passer", "sécret").await;
        assert_eq!(refusal.map(|(code, _)| code).as_deref(), code);
    }
}

#[tokio::test]
async fn auth_query_is_asked_once_per_burst() {
    let mut options = Options::new(AuthMode::Scram);
    options.auth.query = Some("select".to_owned());
    let server = Server::start(options).await;
    let target = server.target(SslMode::Disable);
    let (a, b, c) = tokio::join!(
        server.refusal(&target, "queried", "sécret"),
        server.refusal(&target, "queried", "sécret"),
        server.refusal(&target, "queried", "wrong"),
    );
    assert_eq!((a, b), (None, None));
    assert_eq!(c.unwrap().0, "28P01");
    assert_eq!(server.fake.asked.load(Ordering::Relaxed), 1);
    assert_eq!(
        server.refusal(&target, "nobody", "x").await.unwrap().0,
        "28P01"
    );
    assert_eq!(
        server.refusal(&target, "nobody", "x").await.unwrap().0,
        "28P01"
    );
    assert_eq!(server.fake.asked.load(Ordering::Relaxed), 2);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(
        server.refusal(&target, "queried", "wrong").await.unwrap().0,
        "28P01"
    );
    assert_eq!(server.refusal(&target, "queried", "sécret").await, None);
    assert_eq!(
        server.fake.asked.load(Ordering::Relaxed),
        3,
        "a failure asks anew"
    );
}

#[tokio::test]
async fn addresses_and_tls_are_demanded() {
    let mut options = Options::new(AuthMode::Trust);
    options.tls = TlsMode::Require;
    let server = Server::start(options).await;
    let (code, text) = server
        .refusal(&server.target(SslMode::Disable), "u", "")
        .await
        .unwrap();
    assert_eq!(code, "28000");
    assert!(text.contains("TLS"), "{text}");
    let target = server.target(SslMode::Require);
    assert_eq!(server.refusal(&target, "u", "").await, None);
    assert_eq!(
        server.refusal(&target, "elsewhere", "").await.unwrap().0,
        "28000"
    );

    let mut options = Options::new(AuthMode::Trust);
    options.auth.allow = vec![network("10.0.0.1")];
    let server = Server::start(options).await;
    let (_, text) = server
        .refusal(&server.target(SslMode::Disable), "u", "")
        .await
        .unwrap();
    assert!(text.contains("host \"127.0.0.1\""), "{text}");

    let mut options = Options::new(AuthMode::Trust);
    let database = Database {
        target: None,
        dbname: None,
        user: None,
        password: None,
        pool_mode: None,
        pool_size_max: None,
        cache: None,
        pool_idle_min: None,
        clients_max: None,
        allow: vec![network("10.0.0.1")],
    };
    options.databases.insert("postgres".to_owned(), database);
    let server = Server::start(options).await;
    let refusal = server
        .refusal(&server.target(SslMode::Disable), "u", "")
        .await;
    assert_eq!(refusal.unwrap().0, "28000");
}
