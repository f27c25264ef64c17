//! TLS towards upstreams, by libpq's rules for `sslmode`.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verify::{Roots, ServerVerifier};
use super::{ALPN, Error, certificate, load_certificates, load_key, provider, read};
use crate::config::{SslMode, SslNegotiation, UpstreamTls};

/// What `sslrootcert=system` says: the roots of the operating system.
const SYSTEM_ROOTS: &str = "system";

/// The TLS of one target. Built once, so that sessions with the same host can be resumed.
#[derive(Debug)]
pub struct Connector {
    mode: SslMode,
    negotiation: SslNegotiation,
    /// `None` with [`SslMode::Disable`].
    config: Option<Arc<ClientConfig>>,
    /// What the files said of which it is made.
    files: Contents,
}

/// The contents of the files that settings name, or that there are none; by their digest.
type Contents = Vec<Option<[u8; SHA256_OUTPUT_LEN]>>;

impl Connector {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file that is missing or wrong, or no root to verify with.
    pub fn new(tls: &UpstreamTls) -> Result<Self, Error> {
        // Before they are used: what changes in between shows the next time.
        let files = contents(tls)?;
        let config = match tls.mode {
            SslMode::Disable => None,
            SslMode::Allow
            | SslMode::Prefer
            | SslMode::Require
            | SslMode::VerifyCa
            | SslMode::VerifyFull => Some(Arc::new(client_config(tls)?)),
        };
        Ok(Self {
            mode: tls.mode,
            negotiation: tls.negotiation,
            config,
            files,
        })
    }

    /// Whether it is made of the same files as the other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.files == other.files
    }

    /// When to use TLS.
    pub fn mode(&self) -> SslMode {
        self.mode
    }

    /// How to begin it.
    pub fn negotiation(&self) -> SslNegotiation {
        self.negotiation
    }

    /// The client's part of the handshake with `host`, reached at `address`.
    ///
    /// Not cancel safe: the socket is lost with the future.
    ///
    /// # Errors
    /// What the handshake failed of: an [`io::Error`] with rustls's error inside.
    pub async fn connect(
        &self,
        tcp: TcpStream,
        host: &str,
        address: IpAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let Some(config) = &self.config else {
            return Err(io::Error::other("TLS is disabled"));
        };
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            // No name that a certificate could carry. Without a check of names it does not matter.
            Err(_) if self.mode != SslMode::VerifyFull => ServerName::from(address),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
        };
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await?;
        // Whoever answers direct TLS without naming the protocol may be no Postgres at all, and
        // would be led to take our bytes for another protocol's (manual, "ALPN").
        let alpn = stream.get_ref().1.alpn_protocol();
        if self.negotiation == SslNegotiation::Direct && alpn != Some(ALPN) {
            return Err(io::Error::other(
                "direct TLS was answered without ALPN \"postgresql\"",
            ));
        }
        Ok(stream)
    }
}

fn contents(tls: &UpstreamTls) -> Result<Contents, Error> {
    if tls.mode == SslMode::Disable {
        return Ok(Contents::new());
    }
    let root = tls.root_cert.as_deref();
    let files = [
        (
            "sslrootcert",
            root.filter(|path| *path != Path::new(SYSTEM_ROOTS)),
        ),
        ("sslcert", tls.cert.as_deref()),
        ("sslkey", tls.key.as_deref()),
    ];
    let digest_of = |(what, path)| -> Result<_, Error> {
        let Some(path) = path else {
            return Ok(None);
        };
        let digest = digest(&SHA256, &read(what, path)?);
        Ok(digest.as_ref().try_into().ok())
    };
    files.into_iter().map(digest_of).collect()
}

/// The `tls-server-end-point` hash of the upstream's certificate.
pub fn end_point(stream: &TlsStream<TcpStream>) -> Option<Box<[u8]>> {
    certificate::end_point(stream.get_ref().1.peer_certificates()?.first()?)
}

fn client_config(tls: &UpstreamTls) -> Result<ClientConfig, Error> {
    let mut provider = CryptoProvider::clone(&provider());
    // Postgres before 18 knows this curve only (ssl_ecdh_curve); a guess at another one costs a
    // round trip more. One that prefers X25519 takes this one as well.
    let guess = |group: &&dyn SupportedKxGroup| group.name() != NamedGroup::secp256r1;
    provider.kx_groups.sort_by_key(guess);
    let verifier = ServerVerifier {
        roots: roots(tls)?,
        checks_name: tls.mode == SslMode::VerifyFull,
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Settings(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = load_certificates("sslcert", cert)?;
            builder
                .with_client_auth_cert(chain, load_key("sslkey", key)?)
                .map_err(|error| Error::file("sslcert", cert, error))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err(Error::Settings("sslcert without sslkey".to_owned())),
        (None, Some(_)) => return Err(Error::Settings("sslkey without sslcert".to_owned())),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// libpq verifies the chain whenever a root certificate is given, whatever the mode.
fn roots(tls: &UpstreamTls) -> Result<Option<Roots>, Error> {
    let verifies = matches!(tls.mode, SslMode::VerifyCa | SslMode::VerifyFull);
    match &tls.root_cert {
        Some(path) if path != Path::new(SYSTEM_ROOTS) => {
            let certificates = load_certificates("sslrootcert", path)?;
            let mut store = RootCertStore::empty();
            // A file may hold leaves that are no anchor for webpki; those are compared as they are.
            store.add_parsable_certificates(certificates.iter().cloned());
            let exact = certificates;
            Ok(Some(Roots { store, exact }))
        }
        Some(_) => system_roots().map(Some),
        None if verifies => system_roots().map(Some),
        None => Ok(None),
    }
}

/// For HTTPS to whoever the system's roots vouch for; without `secure` for plain HTTP, which needs none.
///
/// # Errors
/// No root to verify with.
pub fn for_web(secure: bool) -> Result<ClientConfig, Error> {
    let store = if secure {
        system_roots()?.store
    } else {
        RootCertStore::empty()
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Settings(error.to_string()))?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

fn system_roots() -> Result<Roots, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _ignored) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let text =
            "no root certificate: give sslrootcert, or install the system's (ca-certificates)";
        return Err(Error::Settings(text.to_owned()));
    }
    let exact: Vec<CertificateDer<'static>> = Vec::new();
    Ok(Roots { store, exact })
}
