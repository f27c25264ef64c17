//! Prepared statements under our own names: shared between clients, limited per upstream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;

/// Shared statements a pool remembers before it sweeps out those that no client has any more.
const SWEEP_EVERY: usize = 1_024;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number no other statement of this process has.
pub fn fresh_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// What makes two statements the same for the upstream (H94).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Parse's body behind the name: the text, and the parameter types it declares.
    pub body: Arc<[u8]>,
    /// The settings under which literals and names were read.
    pub vector: Arc<[u8]>,
    /// The catalog in which they were: labels of enums, say, are looked up once, when the text is parsed.
    pub edition: u64,
    /// Zero, or a number that keeps the statement from being shared.
    pub alone: u64,
}

/// A statement that clients have prepared.
#[derive(Debug)]
pub struct Statement {
    pub id: u64,
    pub body: Arc<[u8]>,
    /// The settings under which it was parsed.
    vector: Arc<[u8]>,
    /// The catalog in which it was.
    pub edition: u64,
    /// Its result type changed under it (0A000): every upstream that has it has it wrong (H95).
    retired: AtomicBool,
}

impl Statement {
    /// Its name on every upstream, zero-terminated.
    pub fn name(&self) -> Vec<u8> {
        format!("pgweir_{}\0", self.id).into_bytes()
    }

    /// Whether its literals mean what they would if it were parsed under settings of which the vector begins so.
    pub fn was_read_under(&self, folding: &[u8]) -> bool {
        self.vector.starts_with(folding) || !has_literal(&self.body)
    }

    /// Whether it must not be used any more.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Never to be used again; a client that has it gets it under a new name.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// Whether there may be a literal in quotes, or between dollars, that are no parameter's.
pub fn has_literal(body: &[u8]) -> bool {
    let dollar = |pair: &[u8]| matches!(pair, [b'$', next] if !next.is_ascii_digit());
    body.contains(&b'\'') || body.windows(2).any(dollar)
}

#[derive(Debug, Default)]
struct Known {
    statements: HashMap<Identity, Weak<Statement>, RandomState>,
    /// The number of statements at which those that nobody has are swept out.
    sweep_at: usize,
}

/// The statements that the clients of one pool have prepared.
#[derive(Debug, Default)]
pub struct Interner {
    known: Mutex<Known>,
}

impl Interner {
    /// The statement of this identity, the same for all who ask for it while anyone has it.
    pub fn intern(&self, identity: Identity) -> Arc<Statement> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known {
            statements,
            sweep_at,
        } = &mut *known;
        if let Some(statement) = statements.get(&identity).and_then(Weak::upgrade)
            && !statement.is_retired()
        {
            return statement;
        }
        if statements.len() >= *sweep_at {
            statements.retain(|_, statement| statement.strong_count() > 0);
            *sweep_at = statements.len() + SWEEP_EVERY;
        }
        let statement = Arc::new(Statement {
            id: fresh_id(),
            body: Arc::clone(&identity.body),
            vector: Arc::clone(&identity.vector),
            edition: identity.edition,
            retired: AtomicBool::new(false),
        });
        statements.insert(identity, Arc::downgrade(&statement));
        statement
    }
}

/// Which statements one upstream has, least recently used out first.
#[derive(Debug)]
pub struct Prepared {
    /// By id, when it was last used on the count of uses.
    last_use: HashMap<u64, u64, RandomState>,
    uses: u64,
    most: usize,
}

impl Prepared {
    /// None yet; at most `most` at a time.
    pub fn new(most: usize) -> Self {
        Self {
            last_use: HashMap::default(),
            uses: 0,
            most: most.max(1),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.last_use.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.last_use.is_empty()
    }

    /// Whether the upstream has it; counts as a use.
    pub fn touch(&mut self, id: u64) -> bool {
        self.uses += 1;
        let uses = self.uses;
        self.last_use
            .get_mut(&id)
            .map(|last| *last = uses)
            .is_some()
    }

    /// Whether the upstream has it.
    pub fn has(&self, id: u64) -> bool {
        self.last_use.contains_key(&id)
    }

    /// The upstream is being given it; the statement that has to go for it, if one has.
    pub fn insert(&mut self, id: u64) -> Option<u64> {
        let evicted = if self.last_use.len() >= self.most {
            let oldest = self
                .last_use
                .iter()
                .min_by_key(|(_, last)| **last)
                .map(|(id, _)| *id);
            oldest.inspect(|oldest| {
                self.last_use.remove(oldest);
            })
        } else {
            None
        };
        self.uses += 1;
        self.last_use.insert(id, self.uses);
        evicted
    }

    /// It was to go, and stayed after all: for once there may be one too many.
    pub fn restore(&mut self, id: u64) {
        self.uses += 1;
        self.last_use.insert(id, self.uses);
    }

    /// The upstream does not have it, or is losing it.
    pub fn remove(&mut self, id: u64) {
        self.last_use.remove(&id);
    }

    /// The upstream lost them all (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn clear(&mut self) {
        self.last_use.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(body: &[u8]) -> Identity {
        Identity {
            body: body.into(),
            vector: Arc::from(&b""[..]),
            edition: 1,
            alone: 0,
        }
    }

    #[test]
    fn equal_statements_are_one_until_retired() {
        let interner = Interner::default();
        let a = interner.intern(identity(b"select 1\0"));
        let b = interner.intern(identity(b"select 1\0"));
        assert_eq!(a.id, b.id);
        a.retire();
        assert_ne!(interner.intern(identity(b"select 1\0")).id, a.id);
        let mut alone = identity(b"select 1\0");
        alone.alone = 7;
        assert_ne!(interner.intern(alone).id, b.id);
        let mut later = identity(b"select 1\0");
        later.edition = 2;
        assert_ne!(interner.intern(later).id, b.id);
    }

    #[test]
    fn only_literals_take_their_meaning_from_settings() {
        let interner = Interner::default();
        let under = |body: &[u8]| {
            let mut identity = identity(body);
            identity.vector = Arc::from(&b"ISO, MDY\0"[..]);
            let statement = interner.intern(identity);
            assert!(statement.was_read_under(b"ISO, MDY\0"));
            statement.was_read_under(b"ISO, DMY\0")
        };
        assert!(under(b"select $1 + 1\0"));
        assert!(!under(b"select '1/2/3'::date\0"));
        assert!(!under(b"select $$1/2/3$$::date\0"));
    }

    #[test]
    fn nobodys_statements_are_swept() {
        let interner = Interner::default();
        for n in 0..3 * SWEEP_EVERY {
            interner.intern(identity(n.to_string().as_bytes()));
        }
        assert!(interner.known.lock().unwrap().statements.len() <= SWEEP_EVERY);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut prepared = Prepared::new(2);
        assert_eq!(prepared.insert(1), None);
        assert_eq!(prepared.insert(2), None);
        assert!(prepared.touch(1));
        assert_eq!(prepared.insert(3), Some(2));
        assert!(!prepared.touch(2));
        prepared.clear();
        assert!(!prepared.touch(1));
    }
}
