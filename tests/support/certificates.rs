//! A certificate authority of the moment, and what it signs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `ca.crt`, `server.crt` and `server.key` signed by it, `client.crt` and `client.key` for the user `app`.
/// Made anew each time.
pub(crate) fn make(dir: &Path) {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(params, authority);
    fs::write(dir.join("ca.crt"), root.pem()).unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    for (file, names, common) in [
        ("server", names, "localhost"),
        ("client", Vec::new(), "app"),
    ] {
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, common);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(dir.join(format!("{file}.crt")), certificate.pem()).unwrap();
        let path = dir.join(format!("{file}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
