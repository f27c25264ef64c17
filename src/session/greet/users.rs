//! Who may log in, and with what: the user table and what `auth_query` answered lately.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Upstreams;
use crate::config::{Auth, AuthMode, Network, Secret};
use crate::pool::error::ConnectError;
use crate::pool::upstream::Credential;
use crate::wire::auth::Verifier;
use crate::wire::scram::{self, DEFAULT_ITERATIONS, Key, Keys};

/// How long an answer of `auth_query` holds. Long enough that a burst of logins asks once, short
/// enough that a dropped user or a new password is noticed while somebody watches.
const LOOKUP_TTL: Duration = Duration::from_secs(10);
/// An answer younger than this is not asked for again when a login fails on it, so that failing
/// logins cannot drive the upstream.
const LOOKUP_TTL_MIN: Duration = Duration::from_secs(1);
/// Most answers kept, unknown users included: strangers choose these names.
const LOOKUPS_MAX: usize = 4096;
/// Up to so many passwords in clear are turned into SCRAM verifiers at start (a millisecond each);
/// in a larger table each at its first login.
const DERIVED_AT_START_MAX: usize = 64;

/// The users of the configuration, ready for logging in. Built anew at a reload.
#[derive(Debug)]
pub struct Users {
    mode: AuthMode,
    allow: Vec<Network>,
    /// The configuration's names, so nobody can choose them to collide.
    table: HashMap<String, Arc<User>, RandomState>,
    /// `auth.query` is set; inside, the database that it runs in.
    query: Option<Option<String>>,
    lookups: Mutex<Lookups>,
    /// Makes the salts of users who are unknown and of those with a password in clear, by one
    /// formula, so that a salt tells neither. Salts in stored verifiers do not change with it.
    secret: Key,
    /// What an unknown user's verifier shows: the count in the verifiers seen.
    iterations: AtomicU32,
    /// Whether a password sent in clear may have to be checked against a SCRAM verifier.
    derives: bool,
}

/// A known user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    /// `None`: no password, so none is right.
    pub(super) verifier: Option<Verifier>,
    /// The verifier of a password in clear, derived once.
    derived: OnceCell<scram::Verifier>,
    allow: Vec<Network>,
}

/// By user and database.
type Lookups = HashMap<(String, String), Arc<Lookup>>;

#[derive(Debug)]
struct Lookup {
    at: Instant,
    user: OnceCell<Option<Arc<User>>>,
}

/// No randomness from the system, without which nothing here is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes from the system")]
pub struct NoRandom;

impl Users {
    /// The users of `auth`. A reload passes the users before it, so that salts stay the same. Takes
    /// up to a tenth of a second (PBKDF2): not for the runtime's threads.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub fn new(auth: &Auth, before: Option<&Self>) -> Result<Self, NoRandom> {
        let secret = match before {
            Some(before) => before.secret,
            None => scram::random_key().map_err(|_unspecified| NoRandom)?,
        };
        let mut users = Self {
            mode: auth.mode,
            allow: auth.allow.clone(),
            table: HashMap::default(),
            query: auth.query.as_ref().map(|_| auth.query_database.clone()),
            lookups: Mutex::default(),
            secret,
            iterations: AtomicU32::new(DEFAULT_ITERATIONS.get()),
            derives: auth.query.is_some(),
        };
        for (name, entry) in &auth.users {
            let verifier = entry
                .password
                .as_ref()
                .and_then(|p| read_verifier(name, p.expose()));
            users.note(verifier.as_ref());
            users.derives |= matches!(verifier, Some(Verifier::Scram(_)));
            let user = User::new(name, verifier, entry.allow.clone());
            users.table.insert(name.clone(), Arc::new(user));
        }
        if users.mode == AuthMode::Scram && users.table.len() <= DERIVED_AT_START_MAX {
            for user in users.table.values() {
                if let Some(Verifier::Clear(password)) = &user.verifier {
                    drop(user.derived.set(users.derive(&user.name, password)));
                }
            }
        }
        Ok(users)
    }

    /// How clients log in.
    pub(super) fn mode(&self) -> AuthMode {
        self.mode
    }

    /// Whether anyone may come from there at all.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        allows(&self.allow, peer)
    }

    /// Whether clear-text logins must take the time that a SCRAM verifier takes.
    pub(super) fn derives(&self) -> bool {
        self.derives
    }

    /// A user of the table.
    pub(super) fn in_table(&self, name: &str) -> Option<Arc<User>> {
        self.table.get(name).cloned()
    }

    /// Whether users that are not in the table are asked for upstream.
    pub(super) fn asks_upstream(&self) -> bool {
        self.query.is_some()
    }

    /// A user of the table, else of `auth_query`.
    pub(super) async fn find<U: Upstreams>(
        &self,
        upstreams: &U,
        name: &str,
        database: &str,
    ) -> Result<Option<Arc<User>>, ConnectError> {
        if let Some(user) = self.table.get(name) {
            return Ok(Some(Arc::clone(user)));
        }
        let Some(query_database) = &self.query else {
            return Ok(None);
        };
        let database = query_database.as_deref().unwrap_or(database);
        let lookup = self.lookup((name.to_owned(), database.to_owned()));
        let ask = || async {
            let answer = upstreams.verifier(name, database).await?;
            let verifier = answer.and_then(|text| read_verifier(name, &text));
            self.note(verifier.as_ref());
            Ok(verifier.map(|v| Arc::new(User::new(name, Some(v), Vec::new()))))
        };
        lookup.user.get_or_try_init(ask).await.cloned()
    }

    /// The answer for a user, asked for by the first of a burst and waited for by the others.
    fn lookup(&self, key: (String, String)) -> Arc<Lookup> {
        let now = Instant::now();
        let is_fresh = |lookup: &Lookup| now.duration_since(lookup.at) < LOOKUP_TTL;
        let mut lookups = self.lookups();
        if let Some(lookup) = lookups.get(&key).filter(|lookup| is_fresh(lookup)) {
            return Arc::clone(lookup);
        }
        let lookup = Arc::new(Lookup {
            at: now,
            user: OnceCell::new(),
        });
        if lookups.len() >= LOOKUPS_MAX {
            lookups.retain(|_, lookup| is_fresh(lookup));
        }
        // Full of fresh answers: somebody tries names, and need not be remembered.
        if lookups.len() < LOOKUPS_MAX {
            lookups.insert(key, Arc::clone(&lookup));
        }
        lookup
    }

    /// A login failed: should the password have changed upstream, the next one asks again.
    pub(super) fn forget(&self, name: &str, database: &str) {
        if let Some(query_database) = &self.query {
            let database = query_database.as_deref().unwrap_or(database);
            let key = (name.to_owned(), database.to_owned());
            let now = Instant::now();
            let mut lookups = self.lookups();
            let is_old = |lookup: &Arc<Lookup>| now.duration_since(lookup.at) >= LOOKUP_TTL_MIN;
            if lookups.get(&key).is_some_and(is_old) {
                lookups.remove(&key);
            }
        }
    }

    /// The verifier of a user with a password in clear, derived once, off the runtime's threads.
    pub(super) async fn derived(&self, user: &Arc<User>, password: &str) -> scram::Verifier {
        let derive = || async {
            let (secret, name, password) = (self.secret, user.name.clone(), password.to_owned());
            let work = move || derive(&secret, &name, &password);
            match tokio::task::spawn_blocking(work).await {
                Ok(verifier) => verifier,
                // The runtime is shutting down: nobody will log in any more.
                Err(_) => self.mock(&user.name),
            }
        };
        user.derived.get_or_init(derive).await.clone()
    }

    /// What an unknown user seems to have.
    pub(super) fn mock(&self, name: &str) -> scram::Verifier {
        let iterations = NonZeroU32::new(self.iterations.load(Ordering::Relaxed));
        let iterations = iterations.unwrap_or(DEFAULT_ITERATIONS);
        scram::Verifier::mock(&self.secret, name.as_bytes(), iterations)
    }

    fn derive(&self, name: &str, password: &str) -> scram::Verifier {
        derive(&self.secret, name, password)
    }

    fn note(&self, verifier: Option<&Verifier>) {
        if let Some(Verifier::Scram(verifier)) = verifier {
            self.iterations
                .store(verifier.iterations.get(), Ordering::Relaxed);
        }
    }

    fn lookups(&self) -> MutexGuard<'_, Lookups> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl User {
    fn new(name: &str, verifier: Option<Verifier>, allow: Vec<Network>) -> Self {
        Self {
            name: name.to_owned(),
            verifier,
            derived: OnceCell::new(),
            allow,
        }
    }

    /// Whether this user may come from there.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        allows(&self.allow, peer)
    }

    /// What the table alone gives for logging in upstream.
    pub(super) fn credential(&self) -> Credential {
        match &self.verifier {
            Some(Verifier::Clear(text) | Verifier::Md5(text)) => {
                Credential::Password(Secret::new(&**text))
            }
            Some(Verifier::Scram(_)) | None => Credential::None,
        }
    }
}

/// Whether a list of networks lets an address through; an empty one lets all.
pub(super) fn allows(networks: &[Network], peer: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(peer))
}

/// The salt is that of [`scram::Verifier::mock`], see [`Users`].
fn derive(secret: &Key, name: &str, password: &str) -> scram::Verifier {
    let salt = scram::Verifier::mock(secret, name.as_bytes(), DEFAULT_ITERATIONS).salt;
    Keys::derive(password.as_bytes(), &salt, DEFAULT_ITERATIONS).verifier()
}

fn read_verifier(name: &str, text: &str) -> Option<Verifier> {
    match Verifier::parse(text) {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            tracing::warn!(user = name, %error, "the user's stored password cannot be used");
            None
        }
    }
}
