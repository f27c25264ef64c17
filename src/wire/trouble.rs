//! The errors that are pgweir's own, each with a code that does not change when its words do.
//!
//! The code stands in front of the hint, where people see it, and in the field R (the routine, which
//! drivers hand on and nobody acts upon), where programs find it. docs/troubleshooting.md has a
//! section for each; a test holds page and table equal. An error that Postgres itself has, in the
//! same words, has no code: what a client sees of it is what Postgres would have sent.

/// One of our own errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `PW` and four digits: 01 logging in, 02 pools, 03 connecting upstream, 04 sessions, 05 the
    /// console. Never used for anything else again.
    pub id: &'static str,
    pub sqlstate: &'static str,
    /// Its message without what is in it of clients, hosts and numbers: the heading of its section.
    pub what: &'static str,
    /// What to do about it, where the place that raises it knows nothing better.
    pub hint: &'static str,
}

macro_rules! troubles {
    ($($(#[$doc:meta])+ $name:ident = $id:literal, $sqlstate:literal, $what:literal, $hint:literal;)+) => {
        $($(#[$doc])+ pub static $name: Trouble = Trouble {
            id: $id,
            sqlstate: $sqlstate,
            what: $what,
            hint: $hint,
        };)+

        /// Every one, by code.
        pub static ALL: &[&Trouble] = &[$(&$name),+];
    };
}

troubles! {
    /// A limit on clients is reached: in total, of a user, a database or an address.
    TOO_MANY_CLIENTS = "PW0101", "53300",
        "sorry, there are N clients already",
        "Raise the limit, or let clients that are idle for long disconnect.";
    /// `listen.tls.mode = "require"`, and the client came without.
    TLS_REQUIRED = "PW0102", "28000",
        "connections without TLS are not allowed",
        "Set sslmode=require (or stronger) in the connection string.";
    /// Not in an allow list.
    NOT_FROM_HERE = "PW0103", "28000",
        "address not allowed for host, user, database",
        "Add the client's network to the allow list of auth, the user or the database.";
    /// `auth.mode = "passthrough"` over an open network.
    PASSTHROUGH_IN_CLEAR = "PW0104", "28000",
        "pass-through login needs TLS",
        "Set sslmode=require (or stronger) in the connection string.";
    /// A password that is not UTF-8.
    PASSWORD_NOT_UTF8 = "PW0105", "28P01",
        "the password is not valid UTF-8",
        "pgweir can pass on passwords in UTF-8 only.";
    /// User or database in another encoding.
    NAME_NOT_UTF8 = "PW0106", "22021",
        "a user or database name is not valid UTF-8",
        "pgweir takes user and database names in UTF-8 only.";
    /// A replication connection in a pool of another mode.
    REPLICATION = "PW0107", "0A000",
        "replication connections need a pool in session mode",
        "Set pool.mode = \"session\" for this database, or connect directly.";
    /// The system gives no random bytes.
    NO_RANDOM = "PW0108", "58000",
        "no random bytes for a cancel key",
        "Look into the system's log: getrandom fails.";

    /// `pool.timeout` has passed.
    WAITED_IN_VAIN = "PW0201", "53300",
        "no upstream connection became free within 10s",
        "Raise pool.size_max or pool.timeout, or keep transactions shorter.";
    /// `pool.queue_max` is reached.
    QUEUE_FULL = "PW0202", "53300",
        "N clients already wait for the upstream connections of pool",
        "Raise pool.queue_max or pool.size_max.";
    /// More databases and users than there can be pools.
    TOO_MANY_POOLS = "PW0203", "53300",
        "N pools (one for each database and user) are in use",
        "Let several users share one upstream user: [databases.NAME] user = \"...\".";
    /// A file of the upstream's TLS is missing or wrong.
    UPSTREAM_TLS_FILES = "PW0204", "08001",
        "the upstream cannot be used",
        "Mend the upstream's TLS settings; pgweir check names the files.";
    /// `pool.wait_notice` has passed: a notice, not an error.
    STILL_WAITING = "PW0205", "00000",
        "still waiting for an upstream connection",
        "Nothing is lost; see who holds the connections in the console, by SHOW POOLS and SHOW PINS.";

    /// `DISABLE` in the console.
    DISABLED = "PW0206", "57P03",
        "database \"...\" is disabled",
        "An administrator said DISABLE in the console; ENABLE ends it.";

    /// Nobody there, or no way there.
    UNREACHABLE = "PW0301", "08001",
        "connection to HOST failed: Connection refused, no such host, ...",
        "Is Postgres running there, and can pgweir reach it? See upstream.url.";
    /// `pool.connect_timeout` has passed.
    CONNECT_TIMED_OUT = "PW0302", "08001",
        "connection to HOST failed: no session within 5 s",
        "Raise pool.connect_timeout, or look for what is slow between pgweir and Postgres.";
    /// No TLS upstream, or not with that certificate.
    UPSTREAM_TLS = "PW0303", "08001",
        "connection to HOST failed: TLS",
        "See sslmode and sslrootcert in upstream.url.";
    /// A host that is not such as `target_session_attrs` wants.
    WRONG_KIND_OF_SERVER = "PW0304", "08001",
        "connection to HOST failed: session is read-only, ...",
        "See target_session_attrs in upstream.url.";
    /// Whoever answers there is no Postgres.
    NO_POSTGRES = "PW0305", "08P01",
        "connection to HOST failed: whoever answers does not speak the protocol",
        "Does upstream.url lead to a Postgres?";
    /// The login upstream needs what we do not have.
    UPSTREAM_LOGIN = "PW0306", "28000",
        "login at HOST failed",
        "See the password and channel_binding in upstream.url, or the user's password in [[users]].";
    /// Postgres refused a client whom we have let in.
    UPSTREAM_REFUSED = "PW0307", "28P01",
        "Postgres refused the login",
        "It was Postgres that refused: see the password that pgweir has for this user (upstream.url, [[users]], databases.NAME.password), and pg_hba.conf.";

    /// A transaction block in a pool of statement mode.
    NO_TRANSACTIONS = "PW0401", "0A000",
        "transaction blocks are not allowed in statement mode",
        "Set pool.mode = \"transaction\" for this database.";
    /// `pool.pin = "error"`.
    WOULD_PIN = "PW0402", "0A000",
        "this statement makes session state (...) that would hold on to an upstream connection",
        "Set pool.pin = \"pin\", or use a pool in session mode.";
    /// A session with too many prepared statements, or too long ones.
    TOO_MANY_STATEMENTS = "PW0403", "53400",
        "this session has N prepared statements already, of M MiB",
        "Close statements that are no longer needed.";
    /// The upstream connection broke while it was in use.
    UPSTREAM_LOST = "PW0404", "08006",
        "the upstream connection was lost",
        "Whether the last statement took effect is not known; connect again and look.";
    /// The upstream connection broke before the session had done anything.
    LOST_AT_START = "PW0405", "08006",
        "lost while a session started",
        "Connect again: nothing has been done yet.";

    /// A word that the console does not know.
    CONSOLE_UNKNOWN = "PW0501", "42601",
        "the console does not know \"...\"",
        "SHOW HELP lists what there is.";
    /// Somebody who is in neither of its lists.
    CONSOLE_CLOSED = "PW0502", "42501",
        "user may not use the console",
        "Add the user to admin.stats_users to look, or to admin.users to do everything.";
    /// Somebody who may only look.
    CONSOLE_LOOK_ONLY = "PW0503", "42501",
        "user may look at the console only",
        "Add the user to admin.users to let it act.";
    /// All its places are taken.
    CONSOLE_FULL = "PW0504", "53300",
        "N clients are using the console already",
        "Close consoles that are no longer needed.";
    /// What databases do and the console does not.
    CONSOLE_CANNOT = "PW0505", "0A000",
        "the console takes no parameters, has no functions, cannot be replicated",
        "Send one command as a plain text, without parameters; SHOW HELP lists them.";
    /// More text, statements or portals than it keeps.
    CONSOLE_TOO_MUCH = "PW0506", "54000",
        "the console reads up to N bytes at a time, keeps N statements",
        "Close those that are not needed, and send less at once.";
    /// A value that a command does not take.
    CONSOLE_VALUE = "PW0507", "22023",
        "\"...\" is not the id of a shape",
        "Ids have 16 digits from 0 to f; SHOW QUERIES lists them.";
    /// A name that nothing has.
    CONSOLE_NO_SUCH = "PW0508", "42704",
        "nothing is known of the table, shape, database; there is no client, no setting",
        "SHOW QUERIES and SHOW TABLES list what is known; PURGE alone forgets all.";
    /// A database that is neither configured nor in use.
    CONSOLE_NO_DATABASE = "PW0509", "3D000",
        "there is no database \"...\"",
        "SHOW DATABASES lists those that are configured or in use.";
    /// SET of what only a restart changes.
    CONSOLE_RESTART = "PW0510", "55P02",
        "... cannot be changed while pgweir runs",
        "Change it in the configuration, and start pgweir again.";
    /// RELOAD or SET with a configuration that does not hold together.
    CONSOLE_NOT_RELOADED = "PW0511", "F0000",
        "nothing was changed",
        "pgweir check reads the configuration without using it.";
    /// An order to a process that ends.
    CONSOLE_STOPPING = "PW0512", "57P03",
        "the process is stopping",
        "SHUTDOWN, without more, ends it at once.";
}

/// The one with this code.
pub fn find(id: &[u8]) -> Option<&'static Trouble> {
    let at = ALL.binary_search_by(|trouble| trouble.id.as_bytes().cmp(id));
    ALL.get(at.ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_hints_are_sentences() {
        assert!(ALL.is_sorted_by(|one, other| one.id < other.id));
        for trouble in ALL {
            let digits = trouble.id.strip_prefix("PW").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(trouble.sqlstate.len(), 5, "{}", trouble.id);
            assert!(trouble.hint.ends_with(['.', '?']), "{}", trouble.hint);
        }
    }
}
