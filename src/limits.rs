//! How many clients there may be: in total, and per user, database and address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wire::error::PgError;
use crate::wire::trouble;

/// What clients are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    All,
    User(Arc<str>),
    Database(Arc<str>),
    Address(IpAddr),
}

/// Clients by kind. Only kinds with clients are kept, so this is never larger than four times the
/// limit on all clients.
#[derive(Debug, Default)]
pub struct Counts {
    counts: Mutex<HashMap<Kind, usize>>,
}

/// A counted client; dropping it uncounts it.
#[derive(Debug)]
pub struct Counted {
    counts: Arc<Counts>,
    kind: Kind,
}

impl Counted {
    /// The user's or database's name, one string for all its clients.
    pub fn name(&self) -> Arc<str> {
        match &self.kind {
            Kind::User(name) | Kind::Database(name) => Arc::clone(name),
            Kind::All | Kind::Address(_) => Arc::default(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.kind) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.kind);
            }
        }
    }
}

impl Counts {
    /// Counts a client of this kind, of whom there may be `most`; 0 is no limit.
    ///
    /// # Errors
    /// What the client is told when there are that many already; it names `setting`.
    pub fn enter(
        self: &Arc<Self>,
        kind: Kind,
        most: usize,
        setting: &str,
    ) -> Result<Counted, PgError> {
        let mut counts = self.lock();
        // The first one's key, so that a thousand clients of one user share its name.
        let known = counts.get_key_value(&kind).map(|(known, _)| known.clone());
        let kind = known.unwrap_or(kind);
        let count = counts.entry(kind.clone()).or_insert(0);
        if most != 0 && *count >= most {
            let whose = match &kind {
                Kind::All => String::new(),
                Kind::User(user) => format!(" of user \"{user}\""),
                Kind::Database(name) => format!(" of database \"{name}\""),
                Kind::Address(address) => format!(" from address {address}"),
            };
            let count = match most {
                1 => "is 1 client".to_owned(),
                most => format!("are {most} clients"),
            };
            return Err(PgError::fatal(
                &trouble::TOO_MANY_CLIENTS,
                format!("sorry, there {count}{whose} already"),
            )
            .hint(format!("Raise {setting}.")));
        }
        *count += 1;
        drop(counts);
        Ok(Counted {
            counts: Arc::clone(self),
            kind,
        })
    }

    /// How many there are of this kind.
    pub fn of(&self, kind: &Kind) -> usize {
        self.lock().get(kind).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_too_many_is_refused_until_another_leaves() {
        let counts = Arc::new(Counts::default());
        let user = || Kind::User("u".into());
        let first = counts
            .enter(user(), 1, "listen.clients_per_user_max")
            .unwrap();
        let error = counts
            .enter(user(), 1, "listen.clients_per_user_max")
            .unwrap_err();
        assert_eq!(error.code, "53300");
        let sorry = "sorry, there is 1 client of user \"u\" already";
        assert_eq!(error.message, sorry);
        assert!(error.hint.unwrap().contains("listen.clients_per_user_max"));
        assert!(counts.enter(Kind::All, 1, "x").is_ok());
        drop(first);
        assert!(counts.enter(user(), 1, "x").is_ok());
        assert!(counts.lock().is_empty());
    }
}
