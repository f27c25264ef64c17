//! Checking an upstream's certificate as libpq does, where webpki is stricter or has no such mode.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use super::certificate;

/// Whom to trust.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    /// The same certificates as they are. `openssl req -x509`, and so PostgreSQL's manual, makes a
    /// self-signed certificate with CA:TRUE that serves as root and as the server's own; webpki
    /// refuses it in the second place (`CaUsedAsEndEntity`) and will not change, so an upstream
    /// certificate that is byte-equal to a root is trusted as OpenSSL does.
    pub(super) exact: Vec<CertificateDer<'static>>,
}

/// The verifier of one target.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// `None`: any certificate, as libpq's `require` without a root.
    pub(super) roots: Option<Roots>,
    pub(super) checks_name: bool,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        if roots.exact.iter().any(|root| root == end_entity) {
            if !certificate::is_valid_at(end_entity, now) {
                return Err(CertificateError::Expired.into());
            }
        } else {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &roots.store,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if self.checks_name {
            check_name(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if ParsedCertificate::try_from(cert).is_ok() {
            return verify_tls12_signature(message, cert, dss, &self.algorithms);
        }
        self.verify_with_key(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if ParsedCertificate::try_from(cert).is_ok() {
            return verify_tls13_signature(message, cert, dss, &self.algorithms);
        }
        let (info, _) = certificate::public_key(cert).ok_or(CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(info);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerVerifier {
    /// webpki reads X.509 version 3 only; `openssl x509 -req` without extensions, as in
    /// PostgreSQL's manual, makes version 1. The signature of the handshake is checked all the same.
    fn verify_with_key(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, key) = certificate::public_key(cert).ok_or(CertificateError::BadEncoding)?;
        let (_, candidates) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerIncompatible::NoSignatureSchemesInCommon)?;
        let valid = candidates.iter().any(|algorithm| {
            algorithm
                .verify_signature(&key, message, dss.signature())
                .is_ok()
        });
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

fn check_name(certificate_der: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let checked = ParsedCertificate::try_from(certificate_der)
        .and_then(|parsed| verify_server_name(&parsed, name));
    match checked {
        Err(_) if certificate::common_name_matches(certificate_der, name) => Ok(()),
        other => other,
    }
}
