//! TLS towards clients ([`server`]) and upstreams ([`client`]), with rustls and ring.
//!
//! The provider is passed explicitly everywhere: a process-wide default would be a second truth.

pub mod certificate;
pub mod client;
pub mod server;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The protocol name of Postgres in ALPN (manual, "Protocol Flow: SSL Session Encryption").
pub const ALPN: &[u8] = b"postgresql";

/// Largest certificate or key file that is read; a bundle of all public roots has 250 kB.
const PEM_BYTES_MAX: u64 = 8 << 20;

/// What is wrong with the certificates, keys or roots that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read or holds something else.
    #[error("{what} {}: {reason}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        reason: String,
    },
    /// Files that do not go together, or a setting without its file.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    fn file(what: &'static str, path: &Path, reason: impl ToString) -> Self {
        Self::File {
            what,
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let size = std::fs::metadata(path)
        .map_err(|error| Error::file(what, path, error))?
        .len();
    if size > PEM_BYTES_MAX {
        return Err(Error::file(what, path, "too large for a PEM file"));
    }
    std::fs::read(path).map_err(|error| Error::file(what, path, error))
}

/// All certificates of a PEM file, at least one.
fn load_certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(what, path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, pem::Error>>()
        .map_err(|error| Error::file(what, path, error))?;
    if certificates.is_empty() {
        return Err(Error::file(what, path, "holds no PEM certificate"));
    }
    Ok(certificates)
}

/// The private key of a PEM file.
fn load_key(what: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(what, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            Error::file(what, path, "holds no PEM private key (or an encrypted one)")
        } else {
            Error::file(what, path, error)
        }
    })
}

#[cfg(test)]
mod tests;
