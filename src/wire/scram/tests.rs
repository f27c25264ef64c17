//! The exchange on literal bytes: RFC 7677's example, both sides against each other, mutations.

use super::client::{Binding, Failure};
use super::server::{AwaitFinal, Refusal};
use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn rfc_keys() -> Keys {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    Keys::derive(b"pencil", &salt, DEFAULT_ITERATIONS)
}

fn server(verifier: Verifier) -> (Vec<u8>, AwaitFinal) {
    server::Exchange::new(verifier, None)
        .client_first_with(b"SCRAM-SHA-256", CLIENT_FIRST, SERVER_NONCE)
        .unwrap()
}

#[test]
fn rfc_7677_client() {
    let exchange = client::Exchange::with(Binding::Unsupported, CLIENT_NONCE.to_owned(), "user");
    assert_eq!(exchange.first(), CLIENT_FIRST);
    let challenge = exchange.server_first(SERVER_FIRST).unwrap();
    assert!(rfc_keys().fit(&challenge.salt, challenge.iterations));
    let (last, signature) = challenge.respond(&rfc_keys());
    assert_eq!(last, CLIENT_FINAL);
    signature.finish(SERVER_FINAL).unwrap();
}

#[test]
fn rfc_7677_server() {
    let (first, next) = server(rfc_keys().verifier());
    assert_eq!(first, SERVER_FIRST);
    let accepted = next.client_final(CLIENT_FINAL).unwrap();
    assert_eq!(accepted.message, SERVER_FINAL);
    assert_eq!(accepted.client_key, rfc_keys().client_key);
}

#[test]
fn verifier_text_is_what_postgres_stores() {
    // From PostgreSQL's src/test/authentication: password "pass".
    let text = "SCRAM-SHA-256$4096:wfOdiY+3OzWOV6GEVdUrDQ==$y3nUTUYSLjEMwNkPMiUYpGB6nCZ/AVVmBhXxI1vkJEY=:2bIUdJVpfvFVC8Ipt0l2yIH9UqsGFt2QJ+Cr5NKPJo0=";
    assert_eq!(Verifier::parse(text).unwrap().encode(), text);
    let made = Verifier::of_password(b"pencil", DEFAULT_ITERATIONS).unwrap();
    assert_eq!(Verifier::parse(&made.encode()), Some(made.clone()));
    assert!(made.check_password(b"pencil"));
    assert!(!made.check_password(b"pencil "));
    for bad in [
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$0:AA==$AA==:AA==",
        "SCRAM-SHA-256$-1:AA==$AA==:AA==",
        "SCRAM-SHA-256$99999999999:AA==$AA==:AA==",
        "md5",
        "",
    ] {
        assert_eq!(Verifier::parse(bad), None, "{bad}");
    }
}

#[test]
fn wrong_password_and_unknown_user_are_one_refusal() {
    let wrong = Verifier::of_password(b"other", DEFAULT_ITERATIONS).unwrap();
    let (_, next) = server(wrong);
    assert_eq!(next.client_final(CLIENT_FINAL).unwrap_err(), Refusal::Proof);

    let mock = Verifier::mock(&[7; 32], b"nobody", DEFAULT_ITERATIONS);
    assert_eq!(
        mock,
        Verifier::mock(&[7; 32], b"nobody", DEFAULT_ITERATIONS)
    );
    assert_ne!(
        mock.salt,
        Verifier::mock(&[7; 32], b"other", DEFAULT_ITERATIONS).salt
    );
    // Even a proof that would satisfy the verifier does not pass.
    let (_, next) = server::Exchange::doomed(rfc_keys().verifier(), None)
        .client_first_with(b"SCRAM-SHA-256", CLIENT_FIRST, SERVER_NONCE)
        .unwrap();
    assert_eq!(next.client_final(CLIENT_FINAL).unwrap_err(), Refusal::Proof);
}

/// Runs both sides; the server's certificate hashes to `ours`, the client saw `binding`.
fn run(ours: Option<&[u8]>, binding: Binding) -> Result<(), Refusal> {
    let keys = Keys::derive("pässword".as_bytes(), b"salt", DEFAULT_ITERATIONS);
    let server = server::Exchange::new(keys.verifier(), ours.map(Into::into));
    let client = client::Exchange::new(binding).unwrap();
    let (first, next) = server.client_first(client.mechanism().as_bytes(), &client.first())?;
    let (last, signature) = client.server_first(&first).unwrap().respond(&keys);
    signature
        .finish(&next.client_final(&last)?.message)
        .unwrap();
    Ok(())
}

fn code(result: Result<(), Refusal>) -> &'static str {
    match result.unwrap_err() {
        Refusal::Proof => "proof",
        Refusal::Exchange(error) => error.code,
    }
}

#[test]
fn channel_binding_and_its_downgrade() {
    let bound = || Binding::EndPoint(b"hash".as_slice().into());
    run(None, Binding::Unsupported).unwrap();
    run(None, Binding::NotOffered).unwrap();
    run(Some(b"hash"), Binding::Unsupported).unwrap();
    run(Some(b"hash"), bound()).unwrap();
    assert_eq!(code(run(Some(b"hash"), Binding::NotOffered)), "28000");
    assert_eq!(code(run(Some(b"other"), bound())), "28000");
    assert_eq!(code(run(None, bound())), "08P01");
    let offered = server::Exchange::new(rfc_keys().verifier(), Some(b"hash".as_slice().into()));
    assert_eq!(offered.mechanisms(), [SCRAM_SHA_256_PLUS, SCRAM_SHA_256]);
}

#[test]
fn client_refuses_what_a_server_must_not_say() {
    let first = |message: &[u8]| {
        client::Exchange::with(Binding::Unsupported, CLIENT_NONCE.to_owned(), "user")
            .server_first(message)
            .unwrap_err()
    };
    let nonce = "rOprNGfwEbeRWgbNEkqO";
    let many = format!("r={nonce}x,s=QQ==,i=1000001");
    assert_eq!(first(many.as_bytes()), Failure::Iterations);
    assert!(matches!(
        first(format!("r={nonce},s=QQ==,i=1").as_bytes()),
        Failure::Malformed(_)
    ));
    assert!(matches!(
        first(b"r=other,s=QQ==,i=1"),
        Failure::Malformed(_)
    ));
    assert_eq!(first(b"e=other-error"), Failure::Refused);
    let (_, signature) =
        client::Exchange::with(Binding::Unsupported, CLIENT_NONCE.to_owned(), "user")
            .server_first(SERVER_FIRST)
            .unwrap()
            .respond(&rfc_keys());
    let forged = b"v=AAriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(signature.finish(forged), Err(Failure::Signature));
}

#[test]
fn saslprep_is_applied_where_it_applies() {
    assert_eq!(&*normalize("I\u{ad}X".as_bytes()), b"IX");
    assert_eq!(&*normalize("\u{2168}".as_bytes()), b"IX");
    assert_eq!(&*normalize(b"\x07"), b"\x07");
    assert_eq!(&*normalize(b"\xff"), b"\xff");
}

#[test]
fn mutated_messages_never_panic_and_never_pass() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..4000 {
        let mutate = |message: &[u8], rng: &mut fastrand::Rng| {
            let mut bytes = message.to_vec();
            for _ in 0..rng.usize(1..4) {
                if bytes.is_empty() {
                    break;
                }
                let at = rng.usize(..bytes.len());
                match rng.u8(..3) {
                    0 => bytes[at] = rng.u8(..),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            bytes
        };
        let first = mutate(CLIENT_FIRST, &mut rng);
        drop(
            server::Exchange::new(rfc_verifier(), None).client_first_with(
                b"SCRAM-SHA-256",
                &first,
                SERVER_NONCE,
            ),
        );
        let last = mutate(CLIENT_FINAL, &mut rng);
        let (_, next) = server(rfc_verifier());
        assert!(last == CLIENT_FINAL || next.client_final(&last).is_err());
        let exchange =
            client::Exchange::with(Binding::Unsupported, CLIENT_NONCE.to_owned(), "user");
        drop(exchange.server_first(&mutate(SERVER_FIRST, &mut rng)));
    }
}

/// Deriving is slow in a test build, so the loop takes it ready-made.
fn rfc_verifier() -> Verifier {
    static VERIFIER: std::sync::OnceLock<Verifier> = std::sync::OnceLock::new();
    VERIFIER.get_or_init(|| rfc_keys().verifier()).clone()
}
