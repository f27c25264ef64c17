//! Built-in functions that do something to the session, or run SQL given as text.

use super::effect::SessionState;

/// A built-in whose effect on the session is known from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    SetConfig,
    Pin(SessionState),
    MayRelease(SessionState),
    ReadsSequence,
}

impl Special {
    /// What a call of this name does.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        use SessionState as S;
        Some(match name {
            b"set_config" => Self::SetConfig,
            b"nextval" | b"setval" => Self::Pin(S::Sequence),
            b"currval" | b"lastval" => Self::ReadsSequence,
            b"setseed" => Self::Pin(S::Seed),
            b"pg_advisory_lock"
            | b"pg_advisory_lock_shared"
            | b"pg_try_advisory_lock"
            | b"pg_try_advisory_lock_shared" => Self::Pin(S::AdvisoryLock),
            b"pg_advisory_unlock" | b"pg_advisory_unlock_shared" | b"pg_advisory_unlock_all" => {
                Self::MayRelease(S::AdvisoryLock)
            }
            b"pg_create_logical_replication_slot"
            | b"pg_create_physical_replication_slot"
            | b"pg_copy_logical_replication_slot"
            | b"pg_copy_physical_replication_slot" => Self::Pin(S::ReplicationSlot),
            b"pg_drop_replication_slot" => Self::MayRelease(S::ReplicationSlot),
            b"pg_replication_origin_session_setup" => Self::Pin(S::ReplicationOrigin),
            b"pg_replication_origin_session_reset" => Self::MayRelease(S::ReplicationOrigin),
            b"pg_backup_start" | b"pg_start_backup" => Self::Pin(S::Backup),
            b"pg_backup_stop" | b"pg_stop_backup" => Self::MayRelease(S::Backup),
            _ => return None,
        })
    }

    /// Whether it leaves something behind that a light reset takes away, or should: a function
    /// that calls it is then unsafe. What sequences told and the seed of `random` are not worth a
    /// reset after each function that uses a sequence.
    pub(crate) fn taints(self) -> bool {
        match self {
            Self::SetConfig => true,
            Self::Pin(state) => !matches!(state, SessionState::Sequence | SessionState::Seed),
            Self::MayRelease(_) | Self::ReadsSequence => false,
        }
    }
}

/// Whether a built-in runs SQL that it is given as text, so that its name tells nothing: the XML
/// mappings of SQL/XML, the text search helpers, and those of contrib modules.
pub(crate) fn runs_text(name: &[u8]) -> bool {
    let xml = [
        b"query_to_xml".as_slice(),
        b"cursor_to_xml",
        b"table_to_xml",
        b"schema_to_xml",
        b"database_to_xml",
    ];
    match name {
        b"ts_stat" | b"ts_rewrite" | b"xpath_table" => true,
        _ => {
            xml.iter().any(|prefix| name.starts_with(prefix))
                || name.starts_with(b"connectby")
                || name.starts_with(b"crosstab")
                || name.starts_with(b"dblink")
                || name.starts_with(b"binary_upgrade_")
        }
    }
}
