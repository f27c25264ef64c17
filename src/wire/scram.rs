//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as Postgres speaks it: keys, verifiers and the text format.
//!
//! [`server`] lets clients in, [`client`] logs in upstream. Neither does the expensive part
//! (PBKDF2) on its own: [`Keys::derive`] stands alone, so that the caller may cache its outcome or
//! run it off the runtime's threads.

pub mod client;
pub mod server;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// What Postgres uses for new verifiers (`scram_iterations`).
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
/// Bytes of a SHA-256 digest, and so of every key here.
pub const KEY_BYTES: usize = 32;
/// Bytes of salt in a verifier that we make (Postgres: `SCRAM_DEFAULT_SALT_LEN`).
const SALT_BYTES: usize = 16;
/// Longest salt of somebody else's that we work with; Postgres makes 16 bytes, RFC 5802 sets no limit.
const SALT_BYTES_MAX: usize = 1024;
/// Random bytes in a nonce, before base64 (Postgres: `SCRAM_RAW_NONCE_LEN`).
const NONCE_BYTES: usize = 18;

/// A 32-byte key or digest.
pub type Key = [u8; KEY_BYTES];

/// What a password becomes for one salt and iteration count; enough to log in with, so as secret
/// as the password itself. Deriving costs a millisecond at 4096 iterations, so keep it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub salt: Box<[u8]>,
    pub iterations: NonZeroU32,
    pub client_key: Key,
    pub server_key: Key,
}

/// What a server stores: it can check a login with it, but not log in (RFC 5802, section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub salt: Box<[u8]>,
    pub iterations: NonZeroU32,
    pub stored_key: Key,
    pub server_key: Key,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(********)")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(********)")
    }
}

impl Keys {
    /// PBKDF2 and the two HMACs behind it: the only slow function here (about 0.3 µs an iteration).
    pub fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = [0; KEY_BYTES];
        let password = normalize(password);
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, salt, &password, &mut salted);
        Self {
            salt: salt.into(),
            iterations,
            client_key: hmac_sha256(&salted, &[b"Client Key"]),
            server_key: hmac_sha256(&salted, &[b"Server Key"]),
        }
    }

    /// Whether these are the keys that a server asks for with that salt and iteration count.
    pub fn fit(&self, salt: &[u8], iterations: NonZeroU32) -> bool {
        *self.salt == *salt && self.iterations == iterations
    }

    /// The verifier that they satisfy.
    pub fn verifier(&self) -> Verifier {
        Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: sha256(&self.client_key),
            server_key: self.server_key,
        }
    }
}

impl Verifier {
    /// A verifier of a password in clear, with a random salt. Slow, see [`Keys::derive`].
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn of_password(
        password: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Self, ring::error::Unspecified> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt)?;
        Ok(Keys::derive(password, &salt, iterations).verifier())
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as pg_authid stores it.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(Self {
            salt: decode_salt(salt.as_bytes())?,
            iterations: parse_iterations(iterations.as_bytes())?,
            stored_key: decode_key(stored_key.as_bytes())?,
            server_key: decode_key(server_key.as_bytes())?,
        })
    }

    /// The text form that [`Verifier::parse`] reads.
    pub fn encode(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key),
        )
    }

    /// Whether `password` is the one. Slow, see [`Keys::derive`].
    pub fn check_password(&self, password: &[u8]) -> bool {
        let keys = Keys::derive(password, &self.salt, self.iterations);
        equal(&sha256(&keys.client_key), &self.stored_key)
    }

    /// The verifier that an unknown user seems to have: the same at each attempt, and satisfied by
    /// no password, so that the exchange runs to the same end at the same cost (Postgres:
    /// `mock_scram_secret`). `secret` must not leave the process.
    pub fn mock(secret: &Key, user: &[u8], iterations: NonZeroU32) -> Self {
        let mut salt = hmac_sha256(secret, &[b"salt", user]).to_vec();
        salt.truncate(SALT_BYTES);
        Self {
            salt: salt.into(),
            iterations,
            stored_key: hmac_sha256(secret, &[b"stored", user]),
            server_key: hmac_sha256(secret, &[b"server", user]),
        }
    }
}

/// SASLprep (RFC 4013) where it applies; a password that is no UTF-8 or holds prohibited
/// characters counts as its bytes, as in Postgres (`pg_saslprep`).
fn normalize(password: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(password) else {
        return Cow::Borrowed(password);
    };
    match stringprep::saslprep(text) {
        Ok(Cow::Owned(prepared)) if !prepared.is_empty() => Cow::Owned(prepared.into_bytes()),
        Ok(_) | Err(_) => Cow::Borrowed(password),
    }
}

/// Whether two digests or passwords are equal, in a time that says nothing of where they differ.
/// ring has deprecated its plain comparison, so both are compared as MACs under a common key.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"pgweir equal");
    hmac::verify(&key, a, hmac::sign(&key, b).as_ref()).is_ok()
}

/// 32 random bytes: the secret of [`Verifier::mock`] and the like.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_key() -> Result<Key, ring::error::Unspecified> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key)?;
    Ok(key)
}

fn random_nonce() -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(BASE64.encode(bytes))
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    to_key(context.sign().as_ref())
}

fn sha256(data: &[u8]) -> Key {
    to_key(digest::digest(&digest::SHA256, data).as_ref())
}

/// A SHA-256 output is 32 bytes, which ring's types do not say.
fn to_key(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = *from;
    }
    key
}

fn xor(a: &Key, b: &Key) -> Key {
    let mut out = *a;
    for (to, with) in out.iter_mut().zip(b) {
        *to ^= *with;
    }
    out
}

fn decode_key(base64: &[u8]) -> Option<Key> {
    BASE64.decode(base64).ok()?.try_into().ok()
}

fn decode_salt(base64: &[u8]) -> Option<Box<[u8]>> {
    let salt = BASE64.decode(base64).ok()?;
    (!salt.is_empty() && salt.len() <= SALT_BYTES_MAX).then(|| salt.into())
}

/// Digits only: `str::parse` alone would let a sign through.
fn parse_iterations(text: &[u8]) -> Option<NonZeroU32> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Postgres reads a C int.
    let count = i32::try_from(text.parse::<u32>().ok()?).ok()?;
    NonZeroU32::new(count.unsigned_abs())
}

/// Splits `k=value` off the front, up to the next comma or the end.
fn attribute(message: &[u8], name: u8) -> Option<(&[u8], &[u8])> {
    let rest = message.strip_prefix(&[name, b'='])?;
    let end = rest.iter().position(|byte| *byte == b',');
    match end {
        Some(end) => {
            let (value, tail) = rest.split_at_checked(end)?;
            Some((value, tail.get(1..)?))
        }
        None => Some((rest, b"")),
    }
}

/// RFC 5802: printable ASCII but the comma.
fn is_nonce(nonce: &[u8]) -> bool {
    !nonce.is_empty()
        && nonce
            .iter()
            .all(|b| (0x21..=0x7e).contains(b) && *b != b',')
}

#[cfg(test)]
mod tests;
