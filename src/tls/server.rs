//! TLS towards clients: one certificate at a time, replaced while running.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::server::{self, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsAcceptor};

use super::{ALPN, Error, certificate, load_certificates, load_key, provider};
use crate::config::{ListenTls, TlsMode};

/// The listener's TLS, shared by all connections; each takes [`Acceptor::current`] when it starts.
#[derive(Debug)]
pub struct Acceptor {
    current: ArcSwap<Current>,
}

/// The TLS that a new connection gets.
#[derive(Clone, Debug)]
pub struct Current {
    pub mode: TlsMode,
    /// `None`: no certificate, or `mode` is disable; SSLRequest is answered with N.
    pub identity: Option<Arc<Identity>>,
}

/// Our certificate with everything that belongs to it.
#[derive(Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    end_point: Option<Box<[u8]>>,
    chain: Vec<CertificateDer<'static>>,
    client_ca: Vec<CertificateDer<'static>>,
}

impl Acceptor {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// A file that is missing or wrong, a key that is not the certificate's, or `require` without
    /// a certificate.
    pub fn new(tls: &ListenTls) -> Result<Self, Error> {
        let current = load(tls, None)?;
        Ok(Self {
            current: ArcSwap::from_pointee(current),
        })
    }

    /// Reads the files anew. New connections get the new certificate, old ones keep theirs. When
    /// the files are the same, nothing changes and clients can still resume their sessions; with
    /// another certificate the session tickets are void, because a resumed session is bound to the
    /// certificate that the client saw (channel binding), and a resumed client certificate was
    /// checked against the old CA.
    ///
    /// # Errors
    /// As [`Acceptor::new`]; the old certificate then stays in use.
    pub fn reload(&self, tls: &ListenTls) -> Result<(), Error> {
        let old = self.current.load().identity.clone();
        self.current.store(Arc::new(load(tls, old)?));
        Ok(())
    }

    /// What a connection accepted now gets.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }
}

impl Identity {
    /// The server's part of the handshake, of which `begun` has been read. ALPN, where the client offers
    /// any, must be `postgresql`.
    ///
    /// Not cancel safe: the socket is lost with the future.
    ///
    /// # Errors
    /// What the handshake failed of.
    pub async fn accept(
        &self,
        mut tcp: TcpStream,
        mut begun: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.config);
        if begun.is_empty() {
            return TlsAcceptor::from(config).accept(tcp).await;
        }
        let mut acceptor = server::Acceptor::default();
        while !begun.is_empty() {
            acceptor.read_tls(&mut begun)?;
        }
        let hello = match acceptor.accept() {
            Ok(Some(hello)) => StartHandshake::from_parts(hello, tcp),
            Ok(None) => LazyConfigAcceptor::new(acceptor, tcp).await?,
            Err((error, mut alert)) => {
                let mut words = Vec::new();
                alert.write_all(&mut words)?;
                tcp.write_all(&words).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        hello.into_stream(config).await
    }

    /// The `tls-server-end-point` hash of our certificate; `None` where it is not defined, and
    /// then SCRAM-SHA-256-PLUS must not be offered.
    pub fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }
}

/// The common name of the client's certificate, which rustls has checked against the client CA.
pub fn client_common_name(stream: &TlsStream<TcpStream>) -> Option<String> {
    let (_, session) = stream.get_ref();
    certificate::common_name(session.peer_certificates()?.first()?)
}

/// Whether the client negotiated `postgresql` by ALPN, which direct TLS demands.
pub fn has_alpn(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN)
}

fn load(tls: &ListenTls, old: Option<Arc<Identity>>) -> Result<Current, Error> {
    let mode = tls.mode;
    let identity = match (mode, &tls.cert, &tls.key) {
        (TlsMode::Disable, _, _) | (TlsMode::Allow, None, None) => None,
        (_, Some(cert), Some(key)) => {
            Some(load_identity(cert, key, tls.client_ca.as_deref(), old)?)
        }
        (TlsMode::Require, None, None) => {
            let text = "tls is required, but there is neither certificate nor key";
            return Err(Error::Settings(text.to_owned()));
        }
        (_, Some(_), None) => {
            return Err(Error::Settings(
                "a TLS certificate without its key".to_owned(),
            ));
        }
        (_, None, Some(_)) => {
            return Err(Error::Settings(
                "a TLS key without its certificate".to_owned(),
            ));
        }
    };
    Ok(Current { mode, identity })
}

fn load_identity(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
    old: Option<Arc<Identity>>,
) -> Result<Arc<Identity>, Error> {
    let chain = load_certificates("TLS certificate", cert)?;
    let key_der = load_key("TLS key", key)?;
    let client_ca = match client_ca {
        Some(path) => load_certificates("TLS client CA", path)?,
        None => Vec::new(),
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Settings(error.to_string()))?;
    let builder = if client_ca.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_verifier(client_verifier(&client_ca)?)
    };
    let mut config = builder
        .with_single_cert(chain.clone(), key_der)
        .map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                let text = "is not the certificate's; name the key that it was made with";
                return Error::file("TLS key", key, text);
            }
            Error::file("TLS certificate", cert, error)
        })?;
    // The key was read and checked too, so that a bad pair is reported even if only the key changed.
    if let Some(old) = old.filter(|old| old.chain == chain && old.client_ca == client_ca) {
        return Ok(old);
    }
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Tickets hold the state at the client; a table here would need a size.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = rustls::crypto::ring::Ticketer::new()
        .map_err(|error| Error::Settings(error.to_string()))?;
    let end_point = chain.first().and_then(|leaf| certificate::end_point(leaf));
    Ok(Arc::new(Identity {
        config: Arc::new(config),
        end_point,
        chain,
        client_ca,
    }))
}

/// A client may always come without a certificate: whether it needs one is for the login to say,
/// in an ErrorResponse with SQLSTATE and hint, as in Postgres, rather than in a TLS alert.
fn client_verifier(
    client_ca: &[CertificateDer<'static>],
) -> Result<Arc<dyn server::danger::ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in client_ca {
        roots
            .add(certificate.clone())
            .map_err(|error| Error::Settings(format!("TLS client CA: {error}")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Settings(format!("TLS client CA: {error}")))?;
    Ok(verifier)
}
