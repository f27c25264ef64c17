//! What a client's session is, whoever serves it at the moment.

use std::sync::Arc;

use super::context::Context;
use super::names::{Names, Weighed};
use super::neutral::{REPORTED, is_neutral};
use super::settings::Staged;
use super::shapes::Known;
use super::traced::Traced;
use crate::cache::rules::Hint;
use crate::pool::state::{Reported, Settings};
use crate::pool::statements::{Statement, fresh_id};
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

/// The same, if it may mean anything else as well.
pub(super) fn doubted(analysis: Analysis) -> Work {
    let Analysis::Listed(mut statements) = analysis else {
        return opaque();
    };
    for statement in &mut statements {
        statement.hidden = Some(Hidden::Opaque);
    }
    Some(statements.into())
}

/// What a text means to its session, and to the cache when there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Meant {
    pub(super) work: Work,
    pub(super) known: Option<Arc<Known>>,
    /// What spans of it need to know, if there are any.
    pub(super) traced: Option<Arc<Traced>>,
}

impl Meant {
    /// Without spans.
    pub(super) fn of(work: Work, known: Arc<Known>) -> Self {
        Self {
            work,
            known: Some(known),
            traced: None,
        }
    }
}

/// What of a statement's text a cache key is made of.
#[derive(Debug)]
pub(super) struct Reading {
    /// Without comments.
    pub(super) text: Box<[u8]>,
    /// A literal may mean a moment.
    pub(super) moment: bool,
    pub(super) hint: Option<Hint>,
}

/// A named statement of the client's.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) statement: Arc<Statement>,
    pub(super) meant: Meant,
    pub(super) reading: Option<Arc<Reading>>,
    /// The catalog in which it was last used upstream.
    pub(super) used: u64,
}

impl Weighed for Named {
    fn bytes(&self) -> usize {
        self.statement.body.len()
    }
}

/// Of a portal only what its statement means is kept, which is the statement's.
impl Weighed for Meant {
    fn bytes(&self) -> usize {
        0
    }
}

/// The unnamed statement: it outlives Sync, and ends with the next one or a simple Query.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    /// What an upstream that has it is marked with.
    pub(super) id: u64,
    /// Parse's body behind the empty name.
    pub(super) body: Vec<u8>,
    pub(super) meant: Meant,
    pub(super) reading: Option<Arc<Reading>>,
    /// The catalog in which it was parsed.
    pub(super) edition: u64,
}

/// A statement, as a lookup needs it.
pub(super) struct Subject {
    pub(super) known: Option<Arc<Known>>,
    pub(super) traced: Option<Arc<Traced>>,
    pub(super) reading: Option<Arc<Reading>>,
    /// Parse's body behind the name.
    pub(super) body: Arc<[u8]>,
    /// Its literals were read under other settings than those of the session's context.
    pub(super) folded: bool,
    /// The catalog in which it was parsed.
    pub(super) edition: u64,
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
    /// Among them the client's name is another now, of which others are not told yet.
    pub(super) renamed: bool,
    pub(super) statements: Names<Named>,
    pub(super) unnamed: Option<Box<Unnamed>>,
    /// What the unnamed portal does when executed.
    pub(super) portal: Meant,
    /// The same for named portals, as far as they do anything.
    pub(super) portals: Names<Meant>,
    /// What of this session goes into cache keys, while its settings stay the same.
    pub(super) context: Option<Arc<Context>>,
    /// The client has been told what of its switches was not understood.
    pub(super) complained: bool,
}

impl State {
    /// A session that has just logged in.
    pub(super) fn new(startup: Arc<Settings>, reported: Arc<Reported>) -> Self {
        Self {
            settings: Staged::new(Arc::clone(&startup)),
            startup,
            startup_reported: Arc::clone(&reported),
            reported,
            renamed: false,
            statements: Names::default(),
            unnamed: None,
            portal: Meant::default(),
            portals: Names::default(),
            context: None,
            complained: false,
        }
    }

    /// The client's statement of this name, or its unnamed one.
    pub(super) fn subject(&self, name: &[u8]) -> Option<Subject> {
        let (meant, reading, body, folded, edition) = if name.is_empty() {
            let unnamed = self.unnamed.as_ref()?;
            let body = Arc::from(&*unnamed.body);
            let (meant, reading) = (&unnamed.meant, &unnamed.reading);
            (meant, reading, body, false, unnamed.edition)
        } else {
            let named = self.statements.get(name)?;
            let body = Arc::clone(&named.statement.body);
            let context = self.context.as_deref();
            let folded = context.is_some_and(|now| !named.statement.was_read_under(&now.folding));
            let edition = named.statement.edition;
            (&named.meant, &named.reading, body, folded, edition)
        };
        Some(Subject {
            known: meant.known.clone(),
            traced: meant.traced.clone(),
            reading: reading.clone(),
            body,
            folded,
            edition,
        })
    }

    /// What executing this portal does; `None` for a named one that is not remembered.
    pub(super) fn portal(&self, name: &[u8]) -> Option<Meant> {
        if name.is_empty() {
            Some(self.portal.clone())
        } else {
            self.portals.get(name).cloned()
        }
    }

    /// A portal was bound to a statement that means this.
    pub(super) fn bind(&mut self, portal: &[u8], meant: Meant) {
        if portal.is_empty() {
            self.portal = meant;
        } else if self.portals.is_full() {
            self.portals.remove(portal);
        } else {
            self.portals.insert(portal.into(), meant);
        }
    }

    /// The unnamed statement is this one now; what an upstream that has it is marked with.
    pub(super) fn parse_unnamed(
        &mut self,
        body: &[u8],
        (meant, reading): (Meant, Option<Arc<Reading>>),
        edition: u64,
    ) -> u64 {
        let id = fresh_id();
        // In the room of the one before.
        let unnamed = self.unnamed.get_or_insert_default();
        unnamed.id = id;
        unnamed.body.clear();
        unnamed.body.extend_from_slice(body);
        unnamed.meant = meant;
        unnamed.reading = reading;
        unnamed.edition = edition;
        id
    }

    /// `DISCARD ALL`: as it was after login.
    pub(super) fn discard_all(&mut self) {
        let startup = Arc::clone(&self.startup);
        self.settings
            .change(|settings| settings.clone_from(&startup));
        self.statements.clear();
        self.unnamed = None;
        self.portal = Meant::default();
        self.portals.clear();
    }

    /// The reported values that decide what a text means and how values are written.
    pub(super) fn push_reported(&self, out: &mut Vec<u8>) {
        for name in REPORTED {
            out.extend_from_slice(self.reported.find(name.as_bytes()).unwrap_or_default());
            out.push(0);
        }
    }

    /// The settings that a literal takes its meaning from, once and for all, when its text is parsed.
    pub(super) fn folding(&self) -> Vec<u8> {
        let mut folding = Vec::new();
        self.push_reported(&mut folding);
        folding
    }

    /// The settings under which the upstream reads literals and names, as bytes to compare (H94). Begins with
    /// [`State::folding`].
    pub(super) fn vector(&self) -> Arc<[u8]> {
        let mut vector = self.folding();
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
