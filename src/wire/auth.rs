//! Passwords: the forms in which they are stored, and the md5 and clear-text ways to show one.
//!
//! The third way, SCRAM, has its own module: [`super::scram`].

use std::fmt;

use md5::{Digest as _, Md5};

use super::scram::{self, equal};

/// A stored password, in one of the three forms of pg_authid's `rolpassword` and of our user table.
#[derive(Clone, PartialEq, Eq)]
pub enum Verifier {
    /// The password itself.
    Clear(Box<str>),
    /// `md5` and 32 hex digits: md5(password || user).
    Md5(Box<str>),
    /// `SCRAM-SHA-256$...`.
    Scram(scram::Verifier),
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear(********)",
            Self::Md5(_) => "Md5(********)",
            Self::Scram(_) => "Scram(********)",
        })
    }
}

/// A text that begins like a SCRAM verifier and is none. Postgres would take it for a password in
/// clear; nobody has such a password, so it is rather a verifier that was cut or mistyped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("begins with SCRAM-SHA-256$ but is no SCRAM verifier")]
pub struct Malformed;

impl Verifier {
    /// Tells the form from the text, as Postgres's `get_password_type` does.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.starts_with("SCRAM-SHA-256$") {
            return scram::Verifier::parse(text)
                .map(Self::Scram)
                .ok_or(Malformed);
        }
        let digits = text.strip_prefix("md5").filter(|digits| {
            digits.len() == 32
                && digits
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        Ok(match digits {
            Some(_) => Self::Md5(text.into()),
            None => Self::Clear(text.into()),
        })
    }

    /// Checks a password that came in clear. Slow for SCRAM verifiers ([`scram::Keys::derive`]).
    pub fn check_clear(&self, user: &[u8], password: &[u8]) -> bool {
        match self {
            // Postgres knows no empty passwords, wherever they stand.
            _ if password.is_empty() => false,
            Self::Clear(stored) => equal(stored.as_bytes(), password),
            Self::Md5(stored) => equal(stored.as_bytes(), md5_hash(user, password).as_bytes()),
            Self::Scram(verifier) => verifier.check_password(password),
        }
    }

    /// Checks the answer to AuthenticationMD5Password; a SCRAM verifier satisfies none.
    pub fn check_md5(&self, user: &[u8], salt: [u8; 4], answer: &[u8]) -> bool {
        let hash = match self {
            Self::Clear(password) if password.is_empty() => return false,
            Self::Clear(password) => md5_hash(user, password.as_bytes()),
            Self::Md5(hash) => hash.to_string(),
            Self::Scram(_) => return false,
        };
        equal(md5_salted(&hash, salt).as_bytes(), answer)
    }
}

/// `md5` + hex(md5(password || user)): the stored form.
pub fn md5_hash(user: &[u8], password: &[u8]) -> String {
    hex_md5(&[password, user])
}

/// The answer to AuthenticationMD5Password from the stored form: `md5` + hex(md5(hex || salt)).
pub fn md5_salted(hash: &str, salt: [u8; 4]) -> String {
    let digits = hash.strip_prefix("md5").unwrap_or(hash);
    hex_md5(&[digits.as_bytes(), &salt])
}

fn hex_md5(parts: &[&[u8]]) -> String {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    let mut text = String::from("md5");
    for byte in hasher.finalize() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart() {
        let md5 = "md5a6b2b7c4bb1f1d6c5f3d06ea8ec2a8e0";
        assert!(matches!(Verifier::parse(md5), Ok(Verifier::Md5(_))));
        for clear in ["secret", "md5", "md5A6B2B7C4BB1F1D6C5F3D06EA8EC2A8E0", ""] {
            assert!(matches!(Verifier::parse(clear), Ok(Verifier::Clear(_))));
        }
        assert_eq!(Verifier::parse("SCRAM-SHA-256$x"), Err(Malformed));
    }

    #[test]
    fn md5_agrees_with_postgres_protocol() {
        let hash = md5_hash(b"user", b"password");
        let theirs =
            postgres_protocol::authentication::md5_hash(b"user", b"password", [1, 2, 3, 4]);
        assert_eq!(md5_salted(&hash, [1, 2, 3, 4]), theirs);
        for stored in ["password", &hash] {
            let verifier = Verifier::parse(stored).unwrap();
            assert!(verifier.check_md5(b"user", [1, 2, 3, 4], theirs.as_bytes()));
            assert!(!verifier.check_md5(b"user", [1, 2, 3, 5], theirs.as_bytes()));
            assert!(verifier.check_clear(b"user", b"password"));
            assert!(!verifier.check_clear(b"user", b"Password"));
        }
    }

    #[test]
    fn empty_passwords_never_match() {
        let verifier = Verifier::parse("").unwrap();
        assert!(!verifier.check_clear(b"u", b""));
        let answer = md5_salted(&md5_hash(b"u", b""), [0; 4]);
        assert!(!verifier.check_md5(b"u", [0; 4], answer.as_bytes()));
    }
}
