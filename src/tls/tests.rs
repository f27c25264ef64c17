//! Certificates made on the spot, both sides against each other over loopback.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519};
use rustls::HandshakeKind;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::client::Connector;
use super::server::Acceptor;
use super::*;
use crate::config::{ListenTls, SslMode, SslNegotiation, TlsMode, UpstreamTls};
use crate::stream::Stream;

/// A directory with `ca.pem`, and for each name a certificate and key signed by it.
struct Files {
    dir: TempDir,
    ca: Issuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test CA");
        let key = KeyPair::generate().unwrap();
        let dir = TempDir::new().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(dir.path().join("ca.pem"), pem).unwrap();
        let ca = Issuer::new(params, key);
        Self { dir, ca }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `<file>.pem` and `<file>.key`, for common name `cn` and the given alternative names.
    fn leaf(&self, file: &str, cn: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, cn);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.ca).unwrap().pem();
        std::fs::write(self.path(&format!("{file}.pem")), pem).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn listen(&self, file: &str) -> ListenTls {
        ListenTls {
            mode: TlsMode::Allow,
            cert: Some(self.path(&format!("{file}.pem"))),
            key: Some(self.path(&format!("{file}.key"))),
            client_ca: None,
        }
    }

    fn upstream(&self, mode: SslMode, root: Option<&str>) -> UpstreamTls {
        UpstreamTls {
            mode,
            root_cert: root.map(|name| self.path(name)),
            ..UpstreamTls::default()
        }
    }
}

type Pair = (
    tokio_rustls::client::TlsStream<TcpStream>,
    tokio_rustls::server::TlsStream<TcpStream>,
);

/// A handshake, and one byte from server to client so that session tickets arrive.
async fn shake(acceptor: &Acceptor, connector: &Connector, host: &str) -> io::Result<Pair> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let identity = acceptor.current().identity.clone().unwrap();
    let (client, server) = tokio::join!(
        async {
            let tcp = TcpStream::connect(address).await?;
            let mut stream = connector.connect(tcp, host, address.ip()).await?;
            stream.read_u8().await?;
            Ok::<_, io::Error>(stream)
        },
        async {
            let (tcp, _) = listener.accept().await?;
            let mut stream = identity.accept(tcp, &[]).await?;
            stream.write_u8(7).await?;
            stream.flush().await?;
            Ok::<_, io::Error>(stream)
        }
    );
    Ok((client?, server?))
}

/// How long anything may take before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has come so far is no end.
async fn is_there(stream: &mut Stream) -> bool {
    let closed = timeout(Duration::from_millis(200), stream.closed());
    closed.await.is_err()
}

/// Who waits for an answer is gone once it has said so, and not before; its words are kept.
#[tokio::test]
async fn a_good_bye_in_tls_is_an_end() {
    let files = Files::new();
    files.leaf("server", "ignored", &["db.example"]);
    let acceptor = Acceptor::new(&files.listen("server")).unwrap();
    let connector = Connector::new(&files.upstream(SslMode::Require, None)).unwrap();
    for words in [&b""[..], b"words"] {
        let (mut client, server) = shake(&acceptor, &connector, "x.example").await.unwrap();
        let mut server = Stream::Accepted(Box::new(server));
        assert!(is_there(&mut server).await);
        client.write_all(words).await.unwrap();
        client.shutdown().await.unwrap();
        if words.is_empty() {
            timeout(PATIENCE, server.closed()).await.unwrap();
        } else {
            assert!(is_there(&mut server).await);
        }
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, words);
    }
}

#[tokio::test]
async fn sslmodes_check_what_libpq_checks() {
    let files = Files::new();
    files.leaf("server", "ignored", &["db.example"]);
    let other = Files::new();
    let acceptor = Acceptor::new(&files.listen("server")).unwrap();
    let good = |mode, root: Option<PathBuf>, host: &'static str| {
        let mut tls = files.upstream(mode, None);
        tls.root_cert = root;
        let connector = Connector::new(&tls).unwrap();
        let acceptor = &acceptor;
        async move { shake(acceptor, &connector, host).await.is_ok() }
    };
    let ca = || Some(files.path("ca.pem"));
    let foreign = || Some(other.path("ca.pem"));
    assert!(good(SslMode::Require, None, "x.example").await);
    assert!(good(SslMode::Require, None, "not a name").await);
    assert!(good(SslMode::Require, ca(), "x.example").await);
    assert!(!good(SslMode::Require, foreign(), "db.example").await);
    assert!(!good(SslMode::Prefer, foreign(), "db.example").await);
    assert!(good(SslMode::VerifyCa, ca(), "x.example").await);
    assert!(!good(SslMode::VerifyCa, foreign(), "db.example").await);
    assert!(good(SslMode::VerifyFull, ca(), "db.example").await);
    assert!(!good(SslMode::VerifyFull, ca(), "x.example").await);
    assert!(!good(SslMode::VerifyFull, ca(), "127.0.0.1").await);
}

#[tokio::test]
async fn common_name_counts_only_without_alternative_names() {
    let files = Files::new();
    files.leaf("exact", "db.example", &[]);
    files.leaf("wild", "*.db.example", &[]);
    files.leaf("named", "db.example", &["other.example"]);
    let tls = files.upstream(SslMode::VerifyFull, Some("ca.pem"));
    let connector = Connector::new(&tls).unwrap();
    for (file, host, expected) in [
        ("exact", "DB.example", true),
        ("exact", "a.db.example", false),
        ("wild", "a.db.example", true),
        ("wild", "a.b.db.example", false),
        ("wild", "db.example", false),
        ("named", "db.example", false),
    ] {
        let acceptor = Acceptor::new(&files.listen(file)).unwrap();
        let result = shake(&acceptor, &connector, host).await;
        assert_eq!(result.is_ok(), expected, "{file} {host}");
    }
}

#[tokio::test]
async fn self_signed_certificate_is_its_own_root() {
    let files = Files::new();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(files.path("self.pem"), pem).unwrap();
    std::fs::write(files.path("self.key"), key.serialize_pem()).unwrap();
    let acceptor = Acceptor::new(&files.listen("self")).unwrap();
    let tls = files.upstream(SslMode::VerifyFull, Some("self.pem"));
    let connector = Connector::new(&tls).unwrap();
    shake(&acceptor, &connector, "localhost").await.unwrap();
    assert!(shake(&acceptor, &connector, "x.example").await.is_err());

    // The same, but out of date.
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(files.path("self.pem"), pem).unwrap();
    let acceptor = Acceptor::new(&files.listen("self")).unwrap();
    let connector = Connector::new(&tls).unwrap();
    assert!(shake(&acceptor, &connector, "localhost").await.is_err());
}

#[tokio::test]
async fn sessions_are_resumed_and_void_with_a_new_certificate() {
    let files = Files::new();
    files.leaf("server", "one", &["localhost"]);
    let listen = files.listen("server");
    let acceptor = Acceptor::new(&listen).unwrap();
    let tls = files.upstream(SslMode::VerifyFull, Some("ca.pem"));
    let connector = Connector::new(&tls).unwrap();
    let kind = async || {
        let (client, server) = shake(&acceptor, &connector, "localhost").await.unwrap();
        let ours = acceptor.current().identity.clone().unwrap();
        assert_eq!(client::end_point(&client).as_deref(), ours.end_point());
        assert_eq!(ours.end_point().unwrap().len(), 32);
        assert!(server::has_alpn(&server));
        client.get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    acceptor.reload(&listen).unwrap();
    assert_eq!(kind().await, HandshakeKind::Resumed);
    files.leaf("server", "two", &["localhost"]);
    acceptor.reload(&listen).unwrap();
    assert_eq!(kind().await, HandshakeKind::Full);
}

#[tokio::test]
async fn reload_keeps_the_old_certificate_when_the_new_one_is_bad() {
    let files = Files::new();
    files.leaf("server", "one", &["localhost"]);
    files.leaf("other", "two", &["localhost"]);
    let listen = files.listen("server");
    let acceptor = Acceptor::new(&listen).unwrap();
    let before = acceptor.current().identity.clone().unwrap();
    let keeps = |text: &str| {
        let error = acceptor.reload(&listen).unwrap_err().to_string();
        assert!(error.contains("server.") && error.contains(text), "{error}");
        let now = acceptor.current().identity.clone().unwrap();
        assert!(Arc::ptr_eq(&now, &before));
    };
    std::fs::copy(files.path("other.key"), files.path("server.key")).unwrap();
    keeps("is not the certificate's");
    std::fs::write(files.path("server.pem"), "nonsense").unwrap();
    keeps("no PEM certificate");
    std::fs::remove_file(files.path("server.pem")).unwrap();
    keeps("No such file");
}

#[tokio::test]
async fn client_certificates_are_optional_and_name_their_owner() {
    let files = Files::new();
    files.leaf("server", "s", &["localhost"]);
    files.leaf("alice", "alice", &[]);
    let mut listen = files.listen("server");
    listen.client_ca = Some(files.path("ca.pem"));
    let acceptor = Acceptor::new(&listen).unwrap();
    let mut tls = files.upstream(SslMode::Require, None);
    let without = Connector::new(&tls).unwrap();
    let (_, server) = shake(&acceptor, &without, "localhost").await.unwrap();
    assert_eq!(server::client_common_name(&server), None);

    tls.cert = Some(files.path("alice.pem"));
    tls.key = Some(files.path("alice.key"));
    let with = Connector::new(&tls).unwrap();
    for _ in 0..2 {
        let (_, server) = shake(&acceptor, &with, "localhost").await.unwrap();
        assert_eq!(
            server::client_common_name(&server).as_deref(),
            Some("alice")
        );
    }

    let strangers = Files::new();
    strangers.leaf("alice", "alice", &[]);
    tls.cert = Some(strangers.path("alice.pem"));
    tls.key = Some(strangers.path("alice.key"));
    let stranger = Connector::new(&tls).unwrap();
    assert!(shake(&acceptor, &stranger, "localhost").await.is_err());
}

#[tokio::test]
async fn direct_tls_demands_alpn() {
    let files = Files::new();
    files.leaf("server", "s", &["localhost"]);
    let mut tls = files.upstream(SslMode::Require, None);
    tls.negotiation = SslNegotiation::Direct;
    let connector = Connector::new(&tls).unwrap();
    let acceptor = Acceptor::new(&files.listen("server")).unwrap();
    shake(&acceptor, &connector, "localhost").await.unwrap();
}

#[test]
fn ed25519_has_no_end_point() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let params = CertificateParams::new(Vec::new()).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    assert_eq!(certificate::end_point(certificate.der()), None);
    assert_eq!(certificate::end_point(b"no DER"), None);
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let files = Files::new();
    files.leaf("server", "s", &["localhost"]);
    let mut listen = files.listen("server");
    listen.key = None;
    assert!(
        Acceptor::new(&listen)
            .unwrap_err()
            .to_string()
            .contains("key")
    );
    listen.cert = None;
    assert!(Acceptor::new(&listen).unwrap().current().identity.is_none());
    listen.mode = TlsMode::Require;
    assert!(Acceptor::new(&listen).is_err());
    let missing = files.upstream(SslMode::VerifyCa, Some("missing.pem"));
    let error = Connector::new(&missing).unwrap_err().to_string();
    assert!(error.contains("missing.pem"), "{error}");
}
