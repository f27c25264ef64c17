//! What a client's session is, whoever serves it at the moment.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::settings::Staged;
use crate::pool::state::{Reported, Settings};
use crate::pool::statements::Statement;
use crate::sql::effect::{self, Analysis, Hidden};

/// The statements of a text, when any of them does something to the session; `None` for a plain one.
pub(super) type Work = Option<Arc<[effect::Statement]>>;

/// What a text too large to be read whole is taken for: anything.
pub(super) fn opaque() -> Work {
    Some(Arc::from([effect::Statement {
        effects: Box::default(),
        hidden: Some(Hidden::Opaque),
    }]))
}

pub(super) fn work(analysis: Analysis) -> Work {
    match analysis {
        Analysis::Plain => None,
        Analysis::Listed(statements) => Some(statements.into()),
    }
}

/// Named statements and named portals a client may have at a time. Real applications have hundreds;
/// the limit keeps one that never closes any from taking all memory.
pub(super) const NAMES_MAX: usize = 20_000;

/// A named statement of the client's.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) statement: Arc<Statement>,
    pub(super) work: Work,
}

/// The unnamed statement: it outlives Sync, and ends with the next one or a simple Query.
#[derive(Debug)]
pub(super) struct Unnamed {
    /// What an upstream that has it is marked with.
    pub(super) id: u64,
    /// Parse's body behind the empty name.
    pub(super) body: Vec<u8>,
    pub(super) work: Work,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Staged,
    /// What RESET goes back to: the start-up parameters (H92).
    pub(super) startup: Arc<Settings>,
    /// The values reported to the client when it started.
    pub(super) startup_reported: Arc<Reported>,
    /// The values last reported to the client.
    pub(super) reported: Arc<Reported>,
    pub(super) statements: HashMap<Box<[u8]>, Named, RandomState>,
    pub(super) unnamed: Option<Unnamed>,
    /// What the unnamed portal does when executed.
    pub(super) portal: Work,
    /// The same for named portals, as far as they do anything.
    pub(super) portals: HashMap<Box<[u8]>, Arc<[effect::Statement]>, RandomState>,
}

impl State {
    /// A session that has just logged in.
    pub(super) fn new(startup: Arc<Settings>, reported: Arc<Reported>) -> Self {
        Self {
            settings: Staged::new(Arc::clone(&startup)),
            startup,
            startup_reported: Arc::clone(&reported),
            reported,
            statements: HashMap::default(),
            unnamed: None,
            portal: None,
            portals: HashMap::default(),
        }
    }

    /// What executing this portal does.
    pub(super) fn portal(&self, name: &[u8]) -> Work {
        if name.is_empty() {
            self.portal.clone()
        } else {
            self.portals.get(name).cloned()
        }
    }

    /// A portal was bound to a statement that does `work`.
    pub(super) fn bind(&mut self, portal: &[u8], work: Work) {
        if portal.is_empty() {
            self.portal = work;
            return;
        }
        match work {
            Some(work) if self.portals.len() < NAMES_MAX => {
                self.portals.insert(portal.into(), work);
            }
            _ => {
                self.portals.remove(portal);
            }
        }
    }

    /// `DISCARD ALL`: as it was after login.
    pub(super) fn discard_all(&mut self) {
        let startup = Arc::clone(&self.startup);
        self.settings
            .change(|settings| settings.clone_from(&startup));
        self.statements.clear();
        self.unnamed = None;
        self.portal = None;
        self.portals.clear();
    }

    /// The settings under which the upstream reads literals and names, as bytes to compare (H94).
    pub(super) fn vector(&self) -> Arc<[u8]> {
        const READ_BY_PARSE: [&[u8]; 5] = [
            b"DateStyle",
            b"IntervalStyle",
            b"TimeZone",
            b"client_encoding",
            b"standard_conforming_strings",
        ];
        let mut vector = Vec::new();
        for name in READ_BY_PARSE {
            vector.extend_from_slice(self.reported.find(name).unwrap_or_default());
            vector.push(0);
        }
        let now = self.settings.now();
        if !now.is_empty() {
            for (name, _) in now.iter().filter(|(name, _)| !is_neutral(name)) {
                vector.extend_from_slice(name.as_bytes());
                vector.extend_from_slice(format!("{:?}", now.find(name)).as_bytes());
                vector.push(0);
            }
        }
        vector.into()
    }
}

/// Settings that cannot change what a statement means (they may at most time it out or name it), and would
/// only keep clients from sharing it.
fn is_neutral(name: &str) -> bool {
    name == "application_name" || name == "client_min_messages" || name.ends_with("_timeout")
}
