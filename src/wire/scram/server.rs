//! The server's side: lets a client in who proves to know the password, without hearing it.
//!
//! Follows Postgres's `auth-scram.c`, in order, words and SQLSTATEs of what it refuses.

use base64::Engine as _;

use super::{
    BASE64, Key, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, Verifier, attribute, equal, hmac_sha256,
    is_nonce, random_nonce, sha256, xor,
};
use crate::wire::error::PgError;

/// Longest nonce of a client; ours and libpq's have 24 characters, RFC 5802 sets no limit.
const CLIENT_NONCE_BYTES_MAX: usize = 512;

/// Why a client is not let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The proof is wrong: unknown user or wrong password, to be answered like any failed password.
    Proof,
    /// The exchange itself is wrong, to be answered with this.
    Exchange(PgError),
}

/// Which certificate binds the exchange to the TLS session: the `tls-server-end-point` hash of
/// ours (RFC 5929), if the session is TLS and the hash is defined.
pub type EndPoint = Option<Box<[u8]>>;

/// An exchange that waits for the client's first message.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    /// `false` lets nobody in, at the same cost.
    known: bool,
    end_point: EndPoint,
}

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub struct AwaitFinal {
    verifier: Verifier,
    known: bool,
    /// The value of `c=` that the client must send.
    binding: String,
    /// Client's and server's nonce together.
    nonce: Vec<u8>,
    client_first_bare: Vec<u8>,
    server_first: Vec<u8>,
}

/// A client that is in.
pub struct Accepted {
    /// The data of AuthenticationSASLFinal.
    pub message: Vec<u8>,
    /// The client's key: with the verifier it logs in upstream where the same verifier is stored.
    pub client_key: Key,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accepted(********)")
    }
}

impl Exchange {
    /// With a user's own verifier.
    pub fn new(verifier: Verifier, end_point: EndPoint) -> Self {
        Self {
            verifier,
            known: true,
            end_point,
        }
    }

    /// With a [`Verifier::mock`]: fails at the end, whatever the proof.
    pub fn doomed(mock: Verifier, end_point: EndPoint) -> Self {
        Self {
            verifier: mock,
            known: false,
            end_point,
        }
    }

    /// The mechanisms to offer, best first, as Postgres orders them.
    pub fn mechanisms(&self) -> Vec<String> {
        let plus = self
            .end_point
            .is_some()
            .then(|| SCRAM_SHA_256_PLUS.to_owned());
        plus.into_iter().chain([SCRAM_SHA_256.to_owned()]).collect()
    }

    /// Takes the mechanism and data of SASLInitialResponse; the bytes returned go into
    /// AuthenticationSASLContinue.
    ///
    /// # Errors
    /// [`Refusal::Exchange`] on a malformed message or a channel-binding downgrade.
    pub fn client_first(
        self,
        mechanism: &[u8],
        message: &[u8],
    ) -> Result<(Vec<u8>, AwaitFinal), Refusal> {
        let nonce = random_nonce().map_err(|_unspecified| {
            Refusal::Exchange(PgError::fatal("XX000", "could not generate random nonce"))
        })?;
        self.client_first_with(mechanism, message, &nonce)
    }

    pub(super) fn client_first_with(
        self,
        mechanism: &[u8],
        message: &[u8],
        server_nonce: &str,
    ) -> Result<(Vec<u8>, AwaitFinal), Refusal> {
        let plus = match mechanism {
            b"SCRAM-SHA-256" => false,
            b"SCRAM-SHA-256-PLUS" if self.end_point.is_some() => true,
            _ => {
                let text = "client selected an invalid SASL authentication mechanism";
                return Err(Refusal::Exchange(PgError::fatal("08P01", text)));
            }
        };
        let (header, bare) = self.gs2_header(message, plus)?;
        let nonce = client_nonce(bare)?;
        let mut bound = header.to_vec();
        if plus && let Some(hash) = &self.end_point {
            bound.extend_from_slice(hash);
        }
        let mut full_nonce = nonce.to_vec();
        full_nonce.extend_from_slice(server_nonce.as_bytes());
        let mut server_first = b"r=".to_vec();
        server_first.extend_from_slice(&full_nonce);
        let salt = BASE64.encode(&self.verifier.salt);
        let rest = format!(",s={salt},i={}", self.verifier.iterations);
        server_first.extend_from_slice(rest.as_bytes());
        let next = AwaitFinal {
            verifier: self.verifier,
            known: self.known,
            binding: BASE64.encode(bound),
            nonce: full_nonce,
            client_first_bare: bare.to_vec(),
            server_first: server_first.clone(),
        };
        Ok((server_first, next))
    }

    /// Splits the GS2 header (RFC 5801) off the message and checks the channel-binding flag.
    fn gs2_header<'m>(
        &self,
        message: &'m [u8],
        plus: bool,
    ) -> Result<(&'m [u8], &'m [u8]), Refusal> {
        let flag_end = message.iter().position(|byte| *byte == b',');
        let (flag, rest) = flag_end
            .and_then(|end| message.split_at_checked(end))
            .ok_or_else(|| malformed("Comma expected, but found end of message."))?;
        match flag {
            b"n" | b"y" if plus => Err(malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
            )),
            b"n" => Ok(()),
            // The client could bind and believes that we cannot: somebody took PLUS out of our offer.
            b"y" if self.end_point.is_some() => Err(downgraded()),
            b"y" => Ok(()),
            b"p=tls-server-end-point" if plus => Ok(()),
            [b'p', ..] if plus => Err(Refusal::Exchange(PgError::fatal(
                "08P01",
                "unsupported SCRAM channel-binding type",
            ))),
            [b'p', ..] => Err(malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.",
            )),
            _ => Err(malformed("Unexpected channel-binding flag.")),
        }?;
        match rest {
            [b',', b',', bare @ ..] => {
                let header = message.get(..flag.len() + 2).unwrap_or_default();
                Ok((header, bare))
            }
            [b',', b'a', ..] => Err(unsupported(
                "client uses authorization identity, but it is not supported",
            )),
            _ => Err(malformed("Unexpected attribute in client-first-message.")),
        }
    }
}

impl AwaitFinal {
    /// Takes the data of SASLResponse.
    ///
    /// # Errors
    /// [`Refusal::Proof`] for a wrong password or unknown user, [`Refusal::Exchange`] for a
    /// malformed message, another nonce or another channel.
    pub fn client_final(self, message: &[u8]) -> Result<Accepted, Refusal> {
        let (binding, rest) = attribute(message, b'c')
            .ok_or_else(|| malformed("Attribute \"c\" expected in client-final-message."))?;
        if binding != self.binding.as_bytes() {
            let text = "SCRAM channel binding check failed";
            return Err(Refusal::Exchange(PgError::fatal("28000", text)));
        }
        let (nonce, _) = attribute(rest, b'r')
            .ok_or_else(|| malformed("Attribute \"r\" expected in client-final-message."))?;
        // The proof comes last, behind extensions that nobody uses; base64 has no comma.
        let proof_at = message.windows(3).rposition(|window| window == b",p=");
        let (without_proof, proof) = proof_at
            .and_then(|at| message.split_at_checked(at))
            .ok_or_else(|| malformed("Attribute \"p\" expected in client-final-message."))?;
        let proof = proof
            .get(3..)
            .and_then(super::decode_key)
            .ok_or_else(|| malformed("Malformed proof in client-final-message."))?;
        if nonce != self.nonce {
            let error = PgError::fatal("08P01", "invalid SCRAM response");
            return Err(Refusal::Exchange(error.detail("Nonce does not match.")));
        }
        self.verify(&proof, without_proof)
    }

    fn verify(self, proof: &Key, without_proof: &[u8]) -> Result<Accepted, Refusal> {
        let auth_message: [&[u8]; 5] = [
            &self.client_first_bare,
            b",",
            &self.server_first,
            b",",
            without_proof,
        ];
        let signature = hmac_sha256(&self.verifier.stored_key, &auth_message);
        let client_key = xor(proof, &signature);
        let matches = equal(&sha256(&client_key), &self.verifier.stored_key);
        let signature = hmac_sha256(&self.verifier.server_key, &auth_message);
        if !(matches && self.known) {
            return Err(Refusal::Proof);
        }
        Ok(Accepted {
            message: format!("v={}", BASE64.encode(signature)).into_bytes(),
            client_key,
        })
    }
}

/// The nonce in client-first-message-bare; the name is ignored, the start-up packet's counts.
fn client_nonce(bare: &[u8]) -> Result<&[u8], Refusal> {
    if bare.starts_with(b"m=") {
        return Err(unsupported(
            "client requires an unsupported SCRAM extension",
        ));
    }
    let (_name, rest) = attribute(bare, b'n')
        .ok_or_else(|| malformed("Attribute \"n\" expected in client-first-message."))?;
    let (nonce, _extensions) = attribute(rest, b'r')
        .ok_or_else(|| malformed("Attribute \"r\" expected in client-first-message."))?;
    if !is_nonce(nonce) || nonce.len() > CLIENT_NONCE_BYTES_MAX {
        let error = PgError::fatal("08P01", "non-printable characters in SCRAM nonce");
        return Err(Refusal::Exchange(error));
    }
    Ok(nonce)
}

fn malformed(detail: &str) -> Refusal {
    Refusal::Exchange(PgError::fatal("08P01", "malformed SCRAM message").detail(detail))
}

fn unsupported(message: &str) -> Refusal {
    Refusal::Exchange(PgError::fatal("0A000", message))
}

fn downgraded() -> Refusal {
    Refusal::Exchange(
        PgError::fatal("28000", "SCRAM channel binding negotiation error").detail(
            "The client supports SCRAM channel binding but thinks the server does not.  \
             However, this server does support channel binding.",
        ),
    )
}
