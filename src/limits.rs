//! How many clients there may be: in total, and per user, database and address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

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
    counts: Mutex<HashMap<Kind, Arc<Count>, RandomState>>,
}

/// The clients of one kind. Shared by all of them, so that being counted takes a pointer.
#[derive(Debug)]
struct Count {
    kind: Kind,
    /// Changed only with the table locked.
    clients: AtomicUsize,
    counts: Arc<Counts>,
}

/// A counted client; dropping it uncounts it.
#[derive(Debug)]
pub struct Counted(Arc<Count>);

impl Counted {
    /// The user's or database's name, one string for all its clients.
    pub fn name(&self) -> Arc<str> {
        match &self.0.kind {
            Kind::User(name) | Kind::Database(name) => Arc::clone(name),
            Kind::All | Kind::Address(_) => Arc::default(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.counts.lock();
        if self.0.clients.fetch_sub(1, Relaxed) == 1 {
            counts.remove(&self.0.kind);
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
        if let Some(count) = counts.get(&kind) {
            if most != 0 && count.clients.load(Relaxed) >= most {
                return Err(full(&kind, most, setting));
            }
            count.clients.fetch_add(1, Relaxed);
            return Ok(Counted(Arc::clone(count)));
        }
        let count = Arc::new(Count {
            kind: kind.clone(),
            clients: AtomicUsize::new(1),
            counts: Arc::clone(self),
        });
        counts.insert(kind, Arc::clone(&count));
        Ok(Counted(count))
    }

    /// How many there are of this kind.
    pub fn of(&self, kind: &Kind) -> usize {
        let counts = self.lock();
        counts
            .get(kind)
            .map_or(0, |count| count.clients.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Arc<Count>, RandomState>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn full(kind: &Kind, most: usize, setting: &str) -> PgError {
    let whose = match kind {
        Kind::All => String::new(),
        Kind::User(user) => format!(" of user \"{user}\""),
        Kind::Database(name) => format!(" of database \"{name}\""),
        Kind::Address(address) => format!(" from address {address}"),
    };
    let count = match most {
        1 => "is 1 client".to_owned(),
        most => format!("are {most} clients"),
    };
    let text = format!("sorry, there {count}{whose} already");
    PgError::fatal(&trouble::TOO_MANY_CLIENTS, text).hint(format!("Raise {setting}."))
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
