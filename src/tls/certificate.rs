//! What is read out of a certificate: its hash for channel binding, its names, its dates.

use ring::digest;
use rustls::pki_types::{ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The `tls-server-end-point` channel binding (RFC 5929, section 4.1): the certificate's hash under
/// the hash function of its own signature, with SHA-256 in place of MD5 and SHA-1. `None` where
/// that is not defined (Ed25519) or unknown.
pub fn end_point(der: &[u8]) -> Option<Box<[u8]>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let algorithm = &certificate.signature_algorithm;
    let oid = match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(pss)) => pss.hash_algorithm_oid().to_id_string(),
        Ok(_) | Err(_) => algorithm.algorithm.to_id_string(),
    };
    let hash = match oid.as_str() {
        // md5, sha1, sha256 with RSA; ECDSA with sha1, sha256; sha1 and sha256 of a PSS signature.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2"
        | "1.3.14.3.2.26"
        | "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => {
            &digest::SHA384
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => {
            &digest::SHA512
        }
        _ => return None,
    };
    Some(digest::digest(hash, der).as_ref().into())
}

/// The first common name of the subject: whom `auth.mode = "cert"` lets in. `None` when there is
/// none, or it holds a zero byte (Postgres refuses those, CVE-2009-4034).
pub fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    let name = name.as_str().ok()?;
    (!name.is_empty() && !name.contains('\0')).then(|| name.to_owned())
}

/// Whether `now` lies within the certificate's dates.
pub(super) fn is_valid_at(der: &[u8], now: UnixTime) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return false;
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    validity.not_before.timestamp() <= now && now <= validity.not_after.timestamp()
}

/// The DER of the SubjectPublicKeyInfo, and the bits of the key alone.
pub(super) fn public_key(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let info = certificate.public_key();
    Some((info.raw.to_vec(), info.subject_public_key.data.to_vec()))
}

/// libpq's fallback, which rustls does not have: a certificate without any name in
/// subjectAltName is good for its common name (`*.` stands for one label).
pub(super) fn common_name_matches(der: &[u8], name: &ServerName<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return false;
    };
    let named = certificate
        .subject_alternative_name()
        .is_ok_and(|extension| {
            extension.is_some_and(|extension| {
                let names = &extension.value.general_names;
                names
                    .iter()
                    .any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
            })
        });
    if named {
        return false;
    }
    let Some(pattern) = common_name(der) else {
        return false;
    };
    let host = name.to_str();
    if pattern.eq_ignore_ascii_case(&host) {
        return true;
    }
    // libpq's wildcard_certificate_match: at the front only, for exactly one label of a DNS name.
    let is_dns = matches!(name, ServerName::DnsName(_));
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((label, rest))) if is_dns => {
            domain.contains('.') && !label.is_empty() && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}
