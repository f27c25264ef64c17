//! The client's side: logs in upstream with a password or with keys, and checks that the server
//! knows the verifier too.

use std::num::NonZeroU32;

use base64::Engine as _;

use super::{
    BASE64, Keys, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, attribute, decode_key, decode_salt, equal,
    hmac_sha256, is_nonce, parse_iterations, random_nonce, sha256, xor,
};

/// Most iterations that a server may ask for. A million take a third of a second of CPU, far more
/// than anyone configures (Postgres's default is 4096, OWASP's advice 600,000); without a limit a
/// hostile upstream could keep a core busy for ten minutes per login.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// Longest nonce of a server.
const NONCE_BYTES_MAX: usize = 1024;

/// Why a login upstream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the server's SCRAM message is malformed: {0}")]
    Malformed(&'static str),
    #[error("the server asks for more than {ITERATIONS_MAX} SCRAM iterations")]
    Iterations,
    #[error("the server does not know the password either (its SCRAM signature is wrong)")]
    Signature,
    #[error("the server refused the SCRAM exchange")]
    Refused,
    #[error("no random bytes from the system")]
    Random,
}

/// What the exchange says of the TLS session that it runs in (RFC 5802, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// No TLS, or we do not want to bind: `n`.
    Unsupported,
    /// We could bind, but the server did not offer it: `y`.
    NotOffered,
    /// Bound to the server's certificate, by its `tls-server-end-point` hash (RFC 5929): `p`.
    EndPoint(Box<[u8]>),
}

impl Binding {
    /// The mechanism to name in SASLInitialResponse.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Unsupported | Self::NotOffered => SCRAM_SHA_256,
            Self::EndPoint(_) => SCRAM_SHA_256_PLUS,
        }
    }

    fn header(&self) -> &'static str {
        match self {
            Self::Unsupported => "n,,",
            Self::NotOffered => "y,,",
            Self::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// The value of `c=`.
    fn encode(&self) -> String {
        let mut bytes = self.header().as_bytes().to_vec();
        if let Self::EndPoint(hash) = self {
            bytes.extend_from_slice(hash);
        }
        BASE64.encode(bytes)
    }
}

/// An exchange that waits for the server's first message.
#[derive(Debug)]
pub struct Exchange {
    binding: Binding,
    nonce: String,
    /// Postgres ignores it in favour of the start-up packet's; only the RFC's example has one.
    name: &'static str,
}

/// What the server asks for: keys for [`Challenge::salt`] and [`Challenge::iterations`].
#[derive(Debug)]
pub struct Challenge {
    pub salt: Box<[u8]>,
    pub iterations: NonZeroU32,
    exchange: Exchange,
    server_first: Vec<u8>,
    nonce: String,
}

/// An exchange that waits for the server's signature.
#[derive(Debug)]
pub struct AwaitSignature {
    expected: super::Key,
}

impl Exchange {
    /// Starts an exchange.
    ///
    /// # Errors
    /// [`Failure::Random`].
    pub fn new(binding: Binding) -> Result<Self, Failure> {
        let nonce = random_nonce().map_err(|_unspecified| Failure::Random)?;
        Ok(Self::with(binding, nonce, ""))
    }

    pub(super) fn with(binding: Binding, nonce: String, name: &'static str) -> Self {
        Self {
            binding,
            nonce,
            name,
        }
    }

    /// The mechanism to name in SASLInitialResponse.
    pub fn mechanism(&self) -> &'static str {
        self.binding.mechanism()
    }

    /// The data of SASLInitialResponse.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.binding.header(), self.first_bare()).into_bytes()
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", self.name, self.nonce)
    }

    /// Takes the data of AuthenticationSASLContinue.
    ///
    /// # Errors
    /// [`Failure::Malformed`], [`Failure::Iterations`].
    pub fn server_first(self, message: &[u8]) -> Result<Challenge, Failure> {
        if message.starts_with(b"e=") {
            return Err(Failure::Refused);
        }
        let (nonce, rest) = attribute(message, b'r').ok_or(Failure::Malformed("no nonce"))?;
        let (salt, rest) = attribute(rest, b's').ok_or(Failure::Malformed("no salt"))?;
        let (count, _) = attribute(rest, b'i').ok_or(Failure::Malformed("no iterations"))?;
        let ours = self.nonce.as_bytes();
        if !nonce.starts_with(ours) || nonce.len() <= ours.len() {
            return Err(Failure::Malformed("its nonce does not continue ours"));
        }
        if !is_nonce(nonce) || nonce.len() > NONCE_BYTES_MAX {
            return Err(Failure::Malformed("bad nonce"));
        }
        let nonce = std::str::from_utf8(nonce)
            .map_err(|_utf8| Failure::Malformed("bad nonce"))?
            .to_owned();
        let salt = decode_salt(salt).ok_or(Failure::Malformed("bad salt"))?;
        let iterations = parse_iterations(count).ok_or(Failure::Malformed("bad iterations"))?;
        if iterations.get() > ITERATIONS_MAX {
            return Err(Failure::Iterations);
        }
        Ok(Challenge {
            salt,
            iterations,
            server_first: message.to_vec(),
            nonce,
            exchange: self,
        })
    }
}

impl Challenge {
    /// Answers with keys that must [fit](Keys::fit); the bytes go into SASLResponse.
    pub fn respond(self, keys: &Keys) -> (Vec<u8>, AwaitSignature) {
        let binding = self.exchange.binding.encode();
        let without_proof = format!("c={binding},r={}", self.nonce);
        let first_bare = self.exchange.first_bare();
        let auth_message: [&[u8]; 5] = [
            first_bare.as_bytes(),
            b",",
            &self.server_first,
            b",",
            without_proof.as_bytes(),
        ];
        let signature = hmac_sha256(&sha256(&keys.client_key), &auth_message);
        let proof = BASE64.encode(xor(&keys.client_key, &signature));
        let expected = hmac_sha256(&keys.server_key, &auth_message);
        let message = format!("{without_proof},p={proof}").into_bytes();
        (message, AwaitSignature { expected })
    }
}

impl AwaitSignature {
    /// Takes the data of AuthenticationSASLFinal. A server that does not sign correctly does not
    /// know the verifier, so it may be anyone.
    ///
    /// # Errors
    /// [`Failure::Signature`], [`Failure::Refused`], [`Failure::Malformed`].
    pub fn finish(self, message: &[u8]) -> Result<(), Failure> {
        if message.starts_with(b"e=") {
            return Err(Failure::Refused);
        }
        let (signature, _) = attribute(message, b'v').ok_or(Failure::Malformed("no signature"))?;
        let signature = decode_key(signature).ok_or(Failure::Malformed("bad signature"))?;
        if equal(&signature, &self.expected) {
            Ok(())
        } else {
            Err(Failure::Signature)
        }
    }
}
