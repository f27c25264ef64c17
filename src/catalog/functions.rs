//! The verdict on each function: could it change the session that calls it?

use std::collections::HashMap;

use crate::sql::body::Body;
use crate::sql::special::{Special, runs_text};

/// A function, procedure or aggregate that does not come with the server.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) language: String,
    /// The source, as SQL text.
    pub(super) body: String,
    pub(super) is_volatile: bool,
    pub(super) is_aggregate: bool,
    /// The extension that it belongs to, or nothing.
    pub(super) extension: String,
}

/// One function uses another: an aggregate its transitions, a default argument what it calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) user: u32,
    pub(super) used: u32,
}

/// Extensions whose C functions leave the session alone, volatile ones too, except for
/// [`CHANGES_SESSION`]: the modules that come with PostgreSQL, and the most used others. Views of
/// theirs (`pg_stat_statements`) would otherwise put the whole database under suspicion.
const HARMLESS_EXTENSIONS: &[&str] = &[
    "adminpack",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "old_snapshot",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_logicalinspect",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_surgery",
    "pg_trgm",
    "pg_visibility",
    "pg_walinspect",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "postgis",
    "refint",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
    "xml2",
];

/// Functions of these that do change the session.
const CHANGES_SESSION: &[&str] = &["set_limit", "isn_weak"];

/// Who is safe, by number and by name.
#[derive(Debug)]
pub(super) struct Verdicts {
    safe: HashMap<u32, bool, foldhash::fast::RandomState>,
    by_name: HashMap<Box<[u8]>, bool, foldhash::fast::RandomState>,
}

/// What is known of one function while the verdicts spread.
struct Suspect<'f> {
    function: &'f Function,
    body: Body,
    safe: bool,
}

impl Verdicts {
    /// Judges `functions`. `fires` tells of a function's number whether a trigger calls it: if one
    /// of those is unsafe, each function that writes is.
    pub(super) fn of(functions: &[Function], uses: &[Use], fires: impl Fn(u32) -> bool) -> Self {
        let mut suspects: Vec<Suspect<'_>> = functions.iter().map(Suspect::of).collect();
        spread(&mut suspects, uses);
        let triggers_taint = suspects.iter().any(|s| !s.safe && fires(s.function.oid));
        if triggers_taint {
            for suspect in &mut suspects {
                suspect.safe &= !suspect.body.writes;
            }
            spread(&mut suspects, uses);
        }
        let mut verdicts = Self {
            safe: HashMap::default(),
            by_name: HashMap::default(),
        };
        for Suspect { function, safe, .. } in suspects {
            verdicts.safe.insert(function.oid, safe);
            let name = function.name.as_bytes();
            *verdicts.by_name.entry(name.into()).or_insert(true) &= safe;
        }
        verdicts
    }

    /// Whether the function of this number is unsafe; the server's own are not.
    pub(super) fn is_unsafe(&self, oid: u32) -> bool {
        self.safe.get(&oid) == Some(&false)
    }

    /// The verdicts by name, the server's own functions with them.
    pub(super) fn into_names<'n>(
        self,
        builtins: impl Iterator<Item = &'n str>,
    ) -> HashMap<Box<[u8]>, bool, foldhash::fast::RandomState> {
        let mut names = self.by_name;
        for name in builtins {
            names.entry(name.as_bytes().into()).or_insert(true);
        }
        for (name, safe) in &mut names {
            *safe &= !runs_text(name);
        }
        names
    }
}

impl<'f> Suspect<'f> {
    /// What a function looks like by itself.
    fn of(function: &'f Function) -> Self {
        let mut body = Body::default();
        let named =
            CHANGES_SESSION.contains(&&*function.name) || runs_text(function.name.as_bytes());
        let safe = match &*function.language {
            _ if function.is_aggregate => true,
            "sql" | "plpgsql" => {
                body = Body::read(function.body.as_bytes());
                !body.taints
            }
            "c" | "internal" => {
                !named
                    && (!function.is_volatile
                        || HARMLESS_EXTENSIONS.contains(&&*function.extension))
            }
            _ => false,
        };
        Self {
            function,
            body,
            safe,
        }
    }
}

/// Who calls an unsafe function is unsafe, to the end.
fn spread(suspects: &mut [Suspect<'_>], uses: &[Use]) {
    let mut by_oid: HashMap<u32, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut callers: HashMap<Box<[u8]>, Vec<usize>, foldhash::fast::RandomState> =
        HashMap::default();
    let mut users: HashMap<u32, Vec<usize>, foldhash::fast::RandomState> = HashMap::default();
    for (index, suspect) in suspects.iter().enumerate() {
        by_oid.insert(suspect.function.oid, index);
        for name in &suspect.body.calls {
            callers.entry(name.clone()).or_default().push(index);
        }
    }
    for pair in uses {
        if let Some(&user) = by_oid.get(&pair.user) {
            users.entry(pair.used).or_default().push(user);
        }
    }
    let unsafe_now = |(index, suspect): (usize, &Suspect<'_>)| (!suspect.safe).then_some(index);
    let mut open: Vec<usize> = suspects.iter().enumerate().filter_map(unsafe_now).collect();
    while let Some(index) = open.pop() {
        let Some(function) = suspects.get(index).map(|suspect| suspect.function) else {
            continue;
        };
        let called = callers.get(function.name.as_bytes());
        let used = users.get(&function.oid);
        for &caller in called.into_iter().chain(used).flatten() {
            if let Some(suspect) = suspects.get_mut(caller).filter(|suspect| suspect.safe) {
                suspect.safe = false;
                open.push(caller);
            }
        }
    }
}

/// Whether a stored expression that calls this built-in is unsafe.
pub(super) fn builtin_taints(name: &str) -> bool {
    runs_text(name.as_bytes()) || Special::of(name.as_bytes()).is_some_and(Special::taints)
}

#[cfg(test)]
mod tests {
    use super::{Function, Use, Verdicts};

    fn function(oid: u32, name: &str, language: &str, body: &str) -> Function {
        Function {
            oid,
            name: name.into(),
            language: language.into(),
            body: body.into(),
            is_volatile: true,
            is_aggregate: false,
            extension: String::new(),
        }
    }

    #[test]
    fn verdicts_spread_to_callers_users_and_namesakes() {
        let mut functions = vec![
            function(1, "bad", "plpgsql", "BEGIN SET a = 1; END"),
            function(2, "caller", "sql", "SELECT bad()"),
            function(3, "far", "sql", "SELECT 1 + s.caller ()"),
            function(4, "ok", "sql", "SELECT abs(1)"),
            function(5, "ok", "plpython3u", ""),
            function(6, "writes", "sql", "INSERT INTO t VALUES (1)"),
            function(7, "agg", "internal", "aggregate_dummy"),
            function(8, "c_volatile", "c", "x"),
            function(9, "set_limit", "c", "x"),
            function(10, "similarity", "c", "x"),
        ];
        functions[6].is_aggregate = true;
        functions[8].extension = "pg_trgm".into();
        functions[9].extension = "pg_trgm".into();
        let uses = [Use { user: 7, used: 3 }];
        let verdicts = Verdicts::of(&functions, &uses, |_| false);
        let bad: Vec<u32> = (1..=10).filter(|&oid| verdicts.is_unsafe(oid)).collect();
        assert_eq!(bad, [1, 2, 3, 5, 7, 8, 9]);
        let names = verdicts.into_names(["ts_stat", "upper", "ok"].into_iter());
        let is = |name: &str| names.get(name.as_bytes()).copied();
        assert_eq!(is("ok"), Some(false));
        assert_eq!(is("ts_stat"), Some(false));
        assert_eq!(is("upper"), Some(true));
        assert_eq!(is("writes"), Some(true));
        assert_eq!(is("none"), None);
        // An unsafe trigger function makes each writer unsafe.
        let verdicts = Verdicts::of(&functions, &uses, |oid| oid == 1);
        assert!(verdicts.is_unsafe(6));
    }
}
