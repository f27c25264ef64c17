//! The second stage: addresses, then the password or what stands for it.

use std::net::SocketAddr;
use std::sync::Arc;

use pgwire::messages::startup::Authentication;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::client::Client;
use super::users::{User, allows};
use super::{Gate, GreetError, Upstreams};
use crate::config::{AuthMode, Secret, TlsMode};
use crate::pool::upstream::Credential;
use crate::stream::Stream;
use crate::tls::server::client_common_name;
use crate::wire::auth::Verifier;
use crate::wire::error::PgError;
use crate::wire::scram::server::{Exchange, Refusal};
use crate::wire::scram::{self, Keys};
use crate::wire::startup::Startup;
use crate::wire::trouble;

/// The whole frame.
const AUTHENTICATION_OK: [u8; 9] = *b"R\0\0\0\x08\0\0\0\0";

/// Lets a client in: queues AuthenticationOk and says with what it can log in upstream.
///
/// # Errors
/// Why not; the client is yet to be told.
pub(super) async fn log_in<U: Upstreams>(
    client: &mut Client,
    startup: &Startup,
    peer: SocketAddr,
    gate: &Gate<'_, U>,
) -> Result<Credential, GreetError> {
    check_channel(client, gate)?;
    check_address(startup, peer, gate)?;
    let attempt = Attempt {
        startup,
        peer,
        gate,
    };
    // Boxed where there is something to wait for: those who have nothing to prove need not carry it.
    let credential = match gate.users.mode() {
        AuthMode::Trust => attempt.trust()?,
        AuthMode::Cert => attempt.certificate(client)?,
        AuthMode::Password => Box::pin(attempt.clear_text(client)).await?,
        AuthMode::Md5 => Box::pin(attempt.md5(client)).await?,
        AuthMode::Scram => Box::pin(attempt.scram(client)).await?,
        AuthMode::Passthrough => Box::pin(attempt.pass_through(client)).await?,
    };
    client.out.extend_from_slice(&AUTHENTICATION_OK);
    Ok(credential)
}

fn check_channel<U>(client: &Client, gate: &Gate<'_, U>) -> Result<(), GreetError> {
    if gate.tls.current().mode == TlsMode::Require && !client.stream.is_tls() {
        let error = PgError::fatal(
            &trouble::TLS_REQUIRED,
            "connections without TLS are not allowed",
        );
        return Err(error.into());
    }
    Ok(())
}

/// The lists that do not depend on the user; that one must not show who exists.
fn check_address<U>(
    startup: &Startup,
    peer: SocketAddr,
    gate: &Gate<'_, U>,
) -> Result<(), GreetError> {
    let database = gate.databases.get(&startup.database);
    let database_allows = database.is_none_or(|database| allows(&database.allow, peer.ip()));
    if gate.users.admits(peer.ip()) && database_allows {
        return Ok(());
    }
    Err(not_from_here(startup, peer).into())
}

/// Worded like Postgres's "no pg_hba.conf entry".
fn not_from_here(startup: &Startup, peer: SocketAddr) -> PgError {
    let (user, database) = (&startup.user, &startup.database);
    let host = peer.ip().to_canonical();
    let text = format!(
        "address not allowed for host \"{host}\", user \"{user}\", database \"{database}\""
    );
    PgError::fatal(&trouble::NOT_FROM_HERE, text)
}

/// One client's login.
struct Attempt<'a, 'g, U> {
    startup: &'a Startup,
    peer: SocketAddr,
    gate: &'a Gate<'g, U>,
}

impl<U: Upstreams> Attempt<'_, '_, U> {
    /// A user who may come from this address. One who may not counts as unknown: another answer
    /// would say that the user exists.
    async fn user(&self) -> Result<Option<Arc<User>>, GreetError> {
        let Startup { user, database, .. } = self.startup;
        let found = self.gate.users.find(self.gate.upstreams, user, database);
        let found = found.await.map_err(GreetError::Upstream)?;
        if self.gate.users.mode() != AuthMode::Passthrough {
            self.tell_the_log(found.as_deref());
        }
        Ok(found.filter(|user| {
            let admits = user.admits(self.peer.ip());
            if !admits {
                tracing::info!(user = user.name, peer = %self.peer, "address not in the user's allow list");
            }
            admits
        }))
    }

    /// Whether the table, if it has the user, lets it come from this address.
    fn may_come_from_here(&self) -> bool {
        let known = self.gate.users.in_table(&self.startup.user);
        known.is_none_or(|user| user.admits(self.peer.ip()))
    }

    /// Who cannot get in whatever password they give: the client must not hear it, the operator has to.
    fn tell_the_log(&self, found: Option<&User>) {
        let why = match found.map(|user| user.verifier.as_ref()) {
            None => {
                "unknown user: neither in upstream.url nor in [[users]], nor found by auth.query"
            }
            Some(None) => "no password is known for the user",
            Some(Some(Verifier::Md5(_))) if self.gate.users.mode() == AuthMode::Scram => {
                "the user has an MD5 verifier only, which auth.mode = \"scram\" cannot use"
            }
            Some(Some(_)) => return,
        };
        tracing::info!(user = self.startup.user, peer = %self.peer, "{why}");
    }

    /// Wrong password and unknown user.
    fn failed(&self) -> GreetError {
        let Startup { user, database, .. } = self.startup;
        self.gate.users.forget(user, database);
        let text = format!("password authentication failed for user \"{user}\"");
        PgError::fatal("28P01", text).into()
    }

    /// Nothing to prove, so nothing to hide: a user's allow list refuses openly.
    fn trust(&self) -> Result<Credential, GreetError> {
        match self.gate.users.in_table(&self.startup.user) {
            Some(user) if user.admits(self.peer.ip()) => Ok(user.credential()),
            Some(_) => Err(not_from_here(self.startup, self.peer).into()),
            None => Ok(Credential::None),
        }
    }

    fn certificate(&self, client: &Client) -> Result<Credential, GreetError> {
        let name = match &client.stream {
            Stream::Accepted(stream) => client_common_name(stream),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Dialled(_) | Stream::Ahead(_) => None,
        };
        let Some(name) = name else {
            let error = PgError::fatal("28000", "connection requires a valid client certificate")
                .hint("Connect with TLS and give sslcert and sslkey.");
            return Err(error.into());
        };
        if name != self.startup.user {
            let user = &self.startup.user;
            let text = format!("certificate authentication failed for user \"{user}\"");
            let error = PgError::fatal("28000", text)
                .detail(format!("The certificate's common name is \"{name}\"."));
            return Err(error.into());
        }
        self.trust()
    }

    async fn clear_text(&self, client: &mut Client) -> Result<Credential, GreetError> {
        let user = self.user().await?;
        let password = ask_clear_text(client).await?;
        let verifier = user.as_ref().and_then(|user| user.verifier.clone());
        let name = self.startup.user.clone();
        if !self.gate.users.derives() {
            // Nobody has a SCRAM verifier, so all checks are quick, and the same for an unknown user.
            let stranger = Verifier::Clear("stranger".into());
            let known = verifier.is_some();
            let verifier = verifier.unwrap_or(stranger);
            return if verifier.check_clear(name.as_bytes(), &password) && known {
                credential_of(password)
            } else {
                Err(self.failed())
            };
        }
        // Some have: everyone pays for one, or the time would say who.
        let mock = self.gate.users.mock(&name);
        let check = move || {
            let is_right = match &verifier {
                Some(verifier @ Verifier::Scram(_)) => {
                    return (verifier.check_clear(name.as_bytes(), &password), password);
                }
                Some(verifier) => verifier.check_clear(name.as_bytes(), &password),
                None => false,
            };
            let _mocked = mock.check_password(&password);
            (is_right, password)
        };
        match tokio::task::spawn_blocking(check).await {
            Ok((true, password)) => credential_of(password),
            Ok((false, _)) | Err(_) => Err(self.failed()),
        }
    }

    /// As in Postgres, a user with a SCRAM verifier logs in by SCRAM also where md5 is asked for.
    async fn md5(&self, client: &mut Client) -> Result<Credential, GreetError> {
        let user = self.user().await?;
        let verifier = user.as_ref().and_then(|user| user.verifier.clone());
        if let (Some(user), Some(Verifier::Scram(_))) = (&user, &verifier) {
            return self.scram_of(client, Some(user)).await;
        }
        let mut salt = [0; 4];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_unspecified| {
                PgError::fatal("XX000", "could not generate random MD5 salt")
            })?;
        client.queue(&Authentication::MD5Password(salt.to_vec()))?;
        client.flush().await?;
        let answer = password_text(client.receive("password").await?)?;
        // An unknown user, or one without a password, costs a comparison too.
        let stranger = Verifier::Clear("stranger".into());
        let known = verifier.is_some();
        let verifier = verifier.unwrap_or(stranger);
        let is_right = verifier.check_md5(self.startup.user.as_bytes(), salt, &answer);
        match user {
            Some(user) if is_right && known => Ok(user.credential()),
            _ => Err(self.failed()),
        }
    }

    async fn scram(&self, client: &mut Client) -> Result<Credential, GreetError> {
        let user = self.user().await?;
        self.scram_of(client, user.as_ref()).await
    }

    async fn scram_of(
        &self,
        client: &mut Client,
        user: Option<&Arc<User>>,
    ) -> Result<Credential, GreetError> {
        let users = self.gate.users;
        let (verifier, known) = match user.and_then(|user| Some((user, user.verifier.as_ref()?))) {
            Some((_, Verifier::Scram(verifier))) => (verifier.clone(), true),
            Some((user, Verifier::Clear(password))) if !password.is_empty() => {
                (users.derived(user, password).await, true)
            }
            // As in Postgres, an md5 hash cannot serve SCRAM.
            Some((_, Verifier::Md5(_) | Verifier::Clear(_))) | None => {
                (users.mock(&self.startup.user), false)
            }
        };
        let end_point = client.end_point.clone();
        let exchange = if known {
            Exchange::new(verifier.clone(), end_point)
        } else {
            Exchange::doomed(verifier.clone(), end_point)
        };
        match run_scram(client, exchange).await? {
            Some(client_key) => Ok(match user.map(|user| user.credential()) {
                Some(credential @ Credential::Password(_)) => credential,
                Some(Credential::None | Credential::Keys(_)) | None => {
                    Credential::Keys(Arc::new(Keys {
                        salt: verifier.salt,
                        iterations: verifier.iterations,
                        client_key,
                        server_key: verifier.server_key,
                    }))
                }
            }),
            None => Err(self.failed()),
        }
    }

    /// SCRAM where the verifier is known, since its keys log in upstream; else the password itself,
    /// which only the upstream can judge.
    async fn pass_through(&self, client: &mut Client) -> Result<Credential, GreetError> {
        let user = self.user().await?;
        let has_verifier = |user: &Arc<User>| matches!(user.verifier, Some(Verifier::Scram(_)));
        // Where auth_query knows everyone, a user that it does not know must look like the others.
        let is_stranger = user.is_none() && self.gate.users.asks_upstream();
        if is_stranger || user.as_ref().is_some_and(has_verifier) {
            return self.scram_of(client, user.as_ref()).await;
        }
        let is_private = client.stream.is_tls() || self.peer.ip().to_canonical().is_loopback();
        if !is_private {
            let text = "pass-through login needs TLS, for the password is sent in clear text";
            let error = PgError::fatal(&trouble::PASSTHROUGH_IN_CLEAR, text);
            return Err(error.into());
        }
        let credential = credential_of(ask_clear_text(client).await?)?;
        // The upstream sees our address: it cannot keep this client out, and would let it in.
        if !self.may_come_from_here() {
            return Err(self.failed());
        }
        let Startup { user, database, .. } = self.startup;
        let asked = self.gate.upstreams.log_in(user, database, &credential);
        asked.await.map_err(GreetError::Upstream)?;
        Ok(credential)
    }
}

async fn ask_clear_text(client: &mut Client) -> Result<Vec<u8>, GreetError> {
    client.queue(&Authentication::CleartextPassword)?;
    client.flush().await?;
    password_text(client.receive("password").await?)
}

/// A PasswordMessage's text, with Postgres's complaints.
fn password_text(mut body: Vec<u8>) -> Result<Vec<u8>, GreetError> {
    if body.pop() != Some(0) || body.contains(&0) {
        return Err(PgError::fatal("08P01", "invalid password packet size").into());
    }
    if body.is_empty() {
        return Err(PgError::fatal("28P01", "empty password returned by client").into());
    }
    Ok(body)
}

fn credential_of(password: Vec<u8>) -> Result<Credential, GreetError> {
    let password = String::from_utf8(password).map_err(|_utf8| {
        PgError::fatal(
            &trouble::PASSWORD_NOT_UTF8,
            "the password is not valid UTF-8",
        )
    })?;
    Ok(Credential::Password(Secret::new(password)))
}

/// The exchange over the wire, up to AuthenticationSASLFinal (queued); `None` is a wrong proof.
async fn run_scram(
    client: &mut Client,
    exchange: Exchange,
) -> Result<Option<scram::Key>, GreetError> {
    client.queue(&Authentication::SASL(exchange.mechanisms()))?;
    client.flush().await?;
    let body = client.receive("SASL").await?;
    let (mechanism, data) = initial_response(&body)
        .ok_or_else(|| PgError::fatal("08P01", "malformed SASLInitialResponse message"))?;
    let (reply, next) = match exchange.client_first(mechanism, data) {
        Ok(first) => first,
        Err(Refusal::Proof) => return Ok(None),
        Err(Refusal::Exchange(error)) => return Err(error.into()),
    };
    client.queue(&Authentication::SASLContinue(reply.into()))?;
    client.flush().await?;
    match next.client_final(&client.receive("SASL").await?) {
        Ok(accepted) => {
            client.queue(&Authentication::SASLFinal(accepted.message.into()))?;
            Ok(Some(accepted.client_key))
        }
        Err(Refusal::Proof) => Ok(None),
        Err(Refusal::Exchange(error)) => Err(error.into()),
    }
}

/// Mechanism and data. No data at all (length -1) is allowed by the protocol but sent by nobody,
/// as SCRAM is for the client to begin.
fn initial_response(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let (mechanism, rest) = body.split_at_checked(end)?;
    let (length, data) = rest.get(1..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (data.len() == length).then_some((mechanism, data))
}
