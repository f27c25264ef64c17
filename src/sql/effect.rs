//! What a statement does to its session, in words that the session room can act on.

/// What is known of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Analysis {
    /// One statement or none, without effect on the session, proven clean.
    Plain,
    /// The statements in order; a statement's index is that of its `CommandComplete` (empty
    /// statements have none and are left out).
    Listed(Box<[Statement]>),
}

/// One statement. It acts only if it is executed and succeeds; what is done inside a transaction
/// is undone when that rolls back, settings and pins included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// What it does that the text shows, in order; mostly nothing.
    pub effects: Box<[Effect]>,
    /// Why it could change the session in ways that the text does not show (H90).
    pub hidden: Option<Hidden>,
}

impl Statement {
    /// Whether it does nothing to its session, provably.
    pub fn is_plain(&self) -> bool {
        self.effects.is_empty() && self.hidden.is_none()
    }

    /// Whether the server may read texts that come after it otherwise: under another
    /// `standard_conforming_strings`, or another encoding.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of some twenty effects these are about settings"
    )]
    pub fn sets_lexing(&self) -> bool {
        const DECIDE: [&str; 3] = ["standard_conforming_strings", "client_encoding", "names"];
        self.hidden.is_some()
            || self.effects.iter().any(|effect| match effect {
                Effect::Set { name, .. } | Effect::Reset(name) | Effect::SetLocal(Some(name)) => {
                    DECIDE.contains(&&**name)
                }
                Effect::SetConfig { name, .. } => match name {
                    Value::Text(name) => DECIDE.iter().any(|known| known.as_bytes() == &**name),
                    Value::Param(_) => true,
                },
                Effect::SetLocal(None) | Effect::Execute(_) => true,
                _ => false,
            })
    }

    /// Whether settings may be others behind it, for the transaction or for longer.
    pub fn may_set(&self) -> bool {
        self.hidden.is_some()
            || self.takes_back()
            || self.effects.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::Set { .. }
                        | Effect::SetLocal(_)
                        | Effect::SetConfig { .. }
                        | Effect::Reset(_)
                        | Effect::Execute(_)
                )
            })
    }

    /// Whether it takes back what was set before it.
    pub fn takes_back(&self) -> bool {
        self.effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::ResetAll
                    | Effect::DiscardAll
                    | Effect::Commit { .. }
                    | Effect::Rollback { .. }
                    | Effect::RollbackTo(_)
            )
        })
    }
}

/// Why a statement is not proven clean: after it the upstream needs a reset before another client
/// may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// It calls a function that could change the session, or one that is not known.
    Function,
    /// It runs code that is not looked at (DO, CALL, EXECUTE, CREATE EXTENSION), or is not
    /// understood.
    Opaque,
    /// A trigger of this database could change the session, and the statement can fire one.
    Trigger,
    /// It touches relations or functions and there is no catalog snapshot.
    CatalogUnknown,
}

impl Hidden {
    /// The reason as metrics, logs and the console spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Opaque => "opaque",
            Self::Trigger => "trigger",
            Self::CatalogUnknown => "catalog_unknown",
        }
    }
}

/// A name as the server sees it: folded to lower case unless quoted, cut to 63 bytes, in the
/// client's encoding.
pub type Name = Box<[u8]>;

/// A thing that a statement does to its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A setting gets a value for the session.
    Set {
        /// The setting, in lower case: `timezone`, `role`, `session_authorization`, `app.tenant`.
        name: Box<str>,
        /// A statement that sets it again, whatever `standard_conforming_strings` is; without
        /// semicolon, in the client's encoding.
        sql: Box<[u8]>,
    },
    /// A setting (none: it is not known which) gets a value up to the end of the transaction. Outside
    /// of one it does nothing.
    SetLocal(Option<Box<str>>),
    /// A setting goes back to its value at the session's start.
    Reset(Box<str>),
    /// All settings but role and session authorization go back.
    ResetAll,
    /// `DISCARD ALL`: the session is as new, prepared statements included.
    DiscardAll,
    /// `DISCARD TEMP`
    DiscardTemp,
    /// `DISCARD SEQUENCES`
    DiscardSequences,
    /// `DISCARD PLANS`
    DiscardPlans,
    /// `SELECT set_config(...)` and nothing else.
    SetConfig {
        /// The setting; a text is in lower case.
        name: Value,
        /// Its value, as `set_config` takes it.
        value: Value,
        /// Up to the end of the transaction only.
        local: bool,
    },
    /// A transaction block begins.
    Begin,
    /// The transaction block commits.
    Commit {
        /// And another begins.
        chain: bool,
    },
    /// The transaction block rolls back.
    Rollback {
        /// And another begins.
        chain: bool,
    },
    /// `SAVEPOINT name`
    Savepoint(Name),
    /// `ROLLBACK TO name`: settings and pins since then are undone.
    RollbackTo(Name),
    /// `RELEASE name`
    Release(Name),
    /// The transaction leaves the session, under this global identifier; empty when it is not
    /// understood.
    PrepareTransaction(Name),
    /// `DEALLOCATE name`, or all of them. It also names statements of the extended protocol (H93).
    Deallocate(Option<Name>),
    /// `PREPARE name`: refused when a statement of the extended protocol has the name.
    Prepare(Name),
    /// `EXECUTE name`. It also runs statements of the extended protocol.
    Execute(Name),
    /// The session has state that cannot follow its client to another upstream (H96).
    Pin(SessionState),
    /// Such state may be gone: ask the server.
    MayRelease(SessionState),
    /// `currval` or `lastval`: answered only by the upstream that ran this client's `nextval`.
    ReadsSequence,
    /// The catalog snapshot is out of date once this commits, and does not hold for the rest of
    /// the transaction before that.
    Ddl,
    /// Roles, memberships, or what is set for roles and databases change once this commits: that
    /// concerns every database of the server.
    Roles,
}

/// An argument of `set_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A literal, decoded.
    Text(Box<[u8]>),
    /// The parameter `$n`, counted from 1.
    Param(u16),
}

/// State of a session that belongs to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Temporary tables, views, functions.
    TempTable,
    /// `LISTEN`
    Listen,
    /// Advisory locks that outlive the transaction.
    AdvisoryLock,
    /// `DECLARE ... WITH HOLD`
    HoldCursor,
    /// `PREPARE`
    Prepared,
    /// `nextval`, `setval`: what `currval` and `lastval` tell.
    Sequence,
    /// `setseed`: what `random` goes on with.
    Seed,
    /// `LOAD`: a library stays until the connection ends.
    Load,
    /// A setting was changed in a way that is not understood.
    Setting,
    /// A replication slot that may be temporary.
    ReplicationSlot,
    /// `pg_replication_origin_session_setup`
    ReplicationOrigin,
    /// `pg_backup_start`
    Backup,
}

impl SessionState {
    /// Each of them.
    pub const ALL: [Self; 12] = [
        Self::TempTable,
        Self::Listen,
        Self::AdvisoryLock,
        Self::HoldCursor,
        Self::Prepared,
        Self::Sequence,
        Self::Seed,
        Self::Load,
        Self::Setting,
        Self::ReplicationSlot,
        Self::ReplicationOrigin,
        Self::Backup,
    ];

    /// The reason as metrics, logs and the console spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TempTable => "temp_table",
            Self::Listen => "listen",
            Self::AdvisoryLock => "advisory_lock",
            Self::HoldCursor => "hold_cursor",
            Self::Prepared => "prepared",
            Self::Sequence => "sequence",
            Self::Seed => "seed",
            Self::Load => "load",
            Self::Setting => "setting",
            Self::ReplicationSlot => "replication_slot",
            Self::ReplicationOrigin => "replication_origin",
            Self::Backup => "backup",
        }
    }

    /// Whether the light reset (H90) leaves it: the upstream must be closed when its client goes.
    /// SQL-level prepared statements need a `DEALLOCATE` besides.
    pub fn survives_reset(self) -> bool {
        match self {
            Self::TempTable
            | Self::Listen
            | Self::AdvisoryLock
            | Self::HoldCursor
            | Self::Sequence
            | Self::Setting => false,
            Self::Prepared
            | Self::Seed
            | Self::Load
            | Self::ReplicationSlot
            | Self::ReplicationOrigin
            | Self::Backup => true,
        }
    }
}
