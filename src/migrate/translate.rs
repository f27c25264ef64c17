//! From PgBouncer's settings to ours, PgBouncer's defaults included where they differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Note;
use super::ini::{self, Line};
use super::output::Output;
use super::settings::{self, Goes};
use super::upstream::Place;
use crate::config::Kind;

/// What PgBouncer calls no limit, as a duration that ends nothing.
const FOREVER: &str = "8760h";

/// The query of PgBouncer's manual for `auth_user` without `auth_query`.
const AUTH_QUERY: &str = "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE \
                          rolpassword END FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";

/// A database or user with its settings.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) pairs: BTreeMap<String, String>,
    pub(super) place: String,
}

impl Entry {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }
}

/// What was read, and what came of it so far.
pub(super) struct Translation {
    values: BTreeMap<String, Line>,
    pub(super) databases: Vec<Entry>,
    pub(super) users: Vec<Entry>,
    /// From auth_file.
    pub(super) passwords: Vec<(String, String)>,
    pub(super) out: Output,
    pub(super) notes: Vec<Note>,
}

pub(super) type Done = Result<(), String>;

/// The text of `proxy.toml`, and what is not in it.
pub(super) fn translate(lines: Vec<Line>, path: &Path) -> Result<(String, Vec<Note>), String> {
    let mut it = sort(lines)?;
    it.read_passwords(path);
    it.upstream()?;
    it.listen()?;
    it.auth();
    it.pool()?;
    it.rest()?;
    it.all_users()?;
    it.all_databases()?;
    it.note_the_others();
    Ok((it.out.finish(), it.notes))
}

fn sort(lines: Vec<Line>) -> Result<Translation, String> {
    let mut it = Translation {
        values: BTreeMap::new(),
        databases: Vec::new(),
        users: Vec::new(),
        passwords: Vec::new(),
        out: Output::default(),
        notes: Vec::new(),
    };
    for line in lines {
        let entry = |line: Line| -> Result<Entry, String> {
            let pairs = ini::pairs(&line.value).map_err(|why| format!("{}: {why}", line.place))?;
            Ok(Entry {
                name: line.key,
                pairs: pairs.into_iter().collect(),
                place: line.place,
            })
        };
        match line.section.as_str() {
            "pgbouncer" => {
                // As there: the last word counts.
                it.values.insert(line.key.to_lowercase(), line);
            }
            "databases" => it.databases.push(entry(line)?),
            "users" => it.users.push(entry(line)?),
            "peers" => it.none(
                format!("[peers] {}", line.key),
                &line.place,
                "a cancel has to reach the process that its client is connected to",
            ),
            other => return Err(format!("{}: no section is called [{other}]", line.place)),
        }
    }
    if it.databases.is_empty() {
        return Err("there is nothing under [databases]: no client could get anywhere".to_owned());
    }
    Ok(it)
}

/// `size_max = 20  # default_pool_size`: the key here, its kind, and where it comes from.
pub(super) type Row<'a> = (&'a str, Kind, &'a str);

impl Translation {
    pub(super) fn none(&mut self, what: String, place: &str, advice: &str) {
        self.notes.push(Note::NoEquivalent {
            what,
            place: place.to_owned(),
            advice: advice.to_owned(),
        });
    }

    pub(super) fn differs(&mut self, text: impl Into<String>) {
        self.notes.push(Note::Differs(text.into()));
    }

    /// What the file says, unless it says nothing.
    pub(super) fn said(&self, key: &str) -> Option<&str> {
        let value = self.values.get(key)?.value.as_str();
        (!value.is_empty()).then_some(value)
    }

    fn place(&self, key: &str) -> String {
        self.values
            .get(key)
            .map_or_else(String::new, |line| line.place.clone())
    }

    /// Takes over a value, or PgBouncer's default where ours is another.
    fn take(&mut self, (ours, kind, theirs): Row<'_>, default: Option<&str>) {
        let (value, from) = match (self.said(theirs), default) {
            (Some(said), _) => (said.to_owned(), theirs.to_owned()),
            (None, Some(default)) => (default.to_owned(), format!("{theirs}, by default")),
            (None, None) => return,
        };
        self.out.put(ours, kind, &value, &from);
    }

    fn count(&mut self, ours: &str, theirs: &str, default: Option<&str>) -> Done {
        if let Some(said) = self.said(theirs) {
            number(said).map_err(|why| format!("{}: {theirs}: {why}", self.place(theirs)))?;
        }
        self.take((ours, Kind::Count, theirs), default);
        Ok(())
    }

    /// Seconds, where 0 means for ever.
    fn time(&mut self, ours: &str, theirs: &str, default: Option<&str>) -> Done {
        let seconds = match self.said(theirs) {
            Some(said) => seconds(said)
                .map_err(|why| format!("{}: {theirs}: {why}", self.place(theirs)))
                .map(Some)?,
            None => None,
        };
        match seconds {
            Some(duration) => self.out.put(ours, Kind::Text, &duration, theirs),
            None => self.take((ours, Kind::Text, theirs), default),
        }
        Ok(())
    }

    fn read_passwords(&mut self, ini: &Path) {
        let Some(named) = self.said("auth_file").map(PathBuf::from) else {
            return;
        };
        let beside = ini.parent().unwrap_or(Path::new("")).join(&named);
        let path = if named.exists() { named } else { beside };
        match ini::text_of(&path).and_then(|text| ini::users(&text)) {
            Ok(users) => self.passwords = users,
            Err(why) => self.differs(format!(
                "auth_file: {why}; its users are not in the translation: add them as [[users]]"
            )),
        }
    }

    pub(super) fn password(&self, user: &str) -> Option<&str> {
        let found = self.passwords.iter().find(|(name, _)| name == user);
        found
            .map(|(_, password)| password.as_str())
            .filter(|p| !p.is_empty())
    }

    /// Where the databases are that nothing else is said of.
    fn upstream(&mut self) -> Done {
        let star = self.databases.iter().position(|entry| entry.name == "*");
        let base = star
            .and_then(|at| self.databases.get(at))
            .or(self.databases.first());
        let Some(base) = base else { return Ok(()) };
        let from = base.name.clone();
        let place = self.place_of(base)?;
        let (user, dbname) = (base.get("user").is_some(), base.get("dbname").is_some());
        let login = self.said("auth_user").map(str::to_owned);
        let password = login
            .as_deref()
            .and_then(|user| self.password(user))
            .map(str::to_owned);
        let clear = password.filter(|password| !is_verifier(password));
        if login.is_some() && clear.is_none() {
            self.differs("auth_user has no password in clear in auth_file: set PGPASSWORD for it");
        }
        let login = login.as_deref().map(|user| (user, clear.as_deref()));
        self.out.heading("[upstream]");
        let url = place.url(login);
        self.out
            .put("url", Kind::Text, &url, &format!("database {from}"));
        if star.is_none() {
            self.differs(format!(
                "a database that is not listed is looked for at upstream.url, which is where {from} is; \
                 PgBouncer without `*` refuses it"
            ));
        } else if user || dbname {
            self.differs(
                "`*` has a user or dbname: here that takes a [databases.NAME] for each of its databases",
            );
        }
        if place.hosts.len() > 1 {
            self.differs("hosts of a list are tried in order, not in turn");
        }
        Ok(())
    }

    pub(super) fn place_of(&self, entry: &Entry) -> Result<Place, String> {
        let socket = self.said("unix_socket_dir").unwrap_or("/tmp");
        let host = entry
            .get("host")
            .filter(|host| !host.is_empty())
            .unwrap_or(socket);
        if host.starts_with('@') {
            return Err(format!(
                "{}: abstract Unix sockets are not supported",
                entry.place
            ));
        }
        let list = |text: &str| text.split(',').map(|one| one.trim().to_owned()).collect();
        let mut place = Place {
            hosts: list(host),
            ports: entry.get("port").map(list).unwrap_or_default(),
            application_name: entry.get("application_name").map(str::to_owned),
            ..Place::default()
        };
        for name in ["client_encoding", "datestyle", "timezone"] {
            if let Some(value) = entry.get(name) {
                place.options.push((name.to_owned(), value.to_owned()));
            }
        }
        for (theirs, key) in [
            ("server_tls_sslmode", "sslmode"),
            ("server_tls_ca_file", "sslrootcert"),
            ("server_tls_cert_file", "sslcert"),
            ("server_tls_key_file", "sslkey"),
        ] {
            if let Some(value) = self.said(theirs) {
                place.query.push((key, value.to_owned()));
            }
        }
        Ok(place)
    }

    fn listen(&mut self) -> Done {
        self.out.heading("[listen]");
        let port = self.said("listen_port").unwrap_or("6432").to_owned();
        let said = self.said("listen_addr").unwrap_or_default().to_owned();
        let mut addresses = said.split(',').map(str::trim).filter(|one| !one.is_empty());
        let host = match addresses.next() {
            Some("*") => "0.0.0.0".to_owned(),
            Some(six) if six.contains(':') => format!("[{six}]"),
            Some(host) => host.to_owned(),
            None => {
                self.differs(
                    "without listen_addr PgBouncer listens on a Unix socket only; pgweir on TCP",
                );
                "127.0.0.1".to_owned()
            }
        };
        if addresses.next().is_some() {
            self.differs(format!(
                "of listen_addr = {said} only the first is listened on"
            ));
        }
        let address = format!("{host}:{port}");
        self.out
            .put("address", Kind::Text, &address, "listen_addr, listen_port");
        self.count("clients_max", "max_client_conn", Some("100"))?;
        self.count("clients_per_user_max", "max_user_client_connections", None)?;
        self.count(
            "clients_per_database_max",
            "max_db_client_connections",
            None,
        )?;
        self.time("login_timeout", "client_login_timeout", Some("60s"))?;
        self.out.heading("[listen.tls]");
        let mode = self
            .said("client_tls_sslmode")
            .unwrap_or("disable")
            .to_owned();
        if mode == "disable" {
            return Ok(());
        }
        self.take(("cert", Kind::Text, "client_tls_cert_file"), None);
        self.take(("key", Kind::Text, "client_tls_key_file"), None);
        let verifies = mode.starts_with("verify");
        if verifies {
            self.take(("client_ca", Kind::Text, "client_tls_ca_file"), None);
            if self.said("auth_type") != Some("cert") {
                self.differs(
                    "client_tls_sslmode = verify-*: a client certificate is asked for, but only \
                     auth.mode = \"cert\" insists on it",
                );
            }
        }
        let ours = if verifies || mode == "require" {
            "require"
        } else {
            "allow"
        };
        self.out.put("mode", Kind::Text, ours, "client_tls_sslmode");
        Ok(())
    }

    fn auth(&mut self) {
        self.out.heading("[auth]");
        let theirs = self.said("auth_type").unwrap_or("md5").to_owned();
        let ours = match theirs.as_str() {
            "scram-sha-256" => "scram",
            "plain" => "password",
            "cert" | "md5" | "trust" => theirs.as_str(),
            "any" => {
                self.differs(
                    "auth_type = any: with trust the user a client names is used upstream",
                );
                "trust"
            }
            "pam" | "ldap" => {
                self.differs(format!(
                    "auth_type = {theirs}: with passthrough the client's password is checked by Postgres"
                ));
                "passthrough"
            }
            other => {
                let what = format!("auth_type = {other}");
                let place = self.place("auth_type");
                let advice = "scram was written instead; allow lists say who may come from where";
                self.none(what, &place, advice);
                "scram"
            }
        };
        self.out.put("mode", Kind::Text, ours, "auth_type");
        if self.said("auth_user").is_some() {
            self.take(("query", Kind::Text, "auth_query"), Some(AUTH_QUERY));
            self.take(("query_database", Kind::Text, "auth_dbname"), None);
        } else if self
            .databases
            .iter()
            .any(|entry| entry.get("auth_user").is_some())
        {
            self.differs("auth_user of a database: auth.query runs as the user of upstream.url; name it there");
        }
    }

    fn pool(&mut self) -> Done {
        self.out.heading("[pool]");
        self.take(("mode", Kind::Text, "pool_mode"), Some("session"));
        self.count("size_max", "default_pool_size", None)?;
        self.count("idle_min", "min_pool_size", None)?;
        self.time("timeout", "query_wait_timeout", Some("120s"))?;
        match self.said("query_wait_notify") {
            // Here as there, zero is never.
            Some("0") => self
                .out
                .put("wait_notice", Kind::Text, "0s", "query_wait_notify"),
            Some(_) | None => self.time("wait_notice", "query_wait_notify", None)?,
        }
        self.time("idle_timeout", "server_idle_timeout", None)?;
        if self.said("server_lifetime") == Some("0") {
            self.differs("server_lifetime = 0: a connection is used again until it is an hour old");
        } else {
            self.time("lifetime_max", "server_lifetime", None)?;
        }
        self.time("connect_timeout", "server_connect_timeout", Some("15s"))?;
        let clients = self
            .said("max_client_conn")
            .and_then(|said| said.parse().ok());
        if clients.is_some_and(|clients: u64| clients > 10_000) {
            // PgBouncer lets every client wait.
            self.take(("queue_max", Kind::Count, "max_client_conn"), None);
        }
        self.count("statements_max", "max_prepared_statements", None)
    }

    fn rest(&mut self) -> Done {
        self.out.heading("[cache]");
        let why = "PgBouncer has no cache; \"ryw\" is what pgweir does unless told otherwise";
        self.out.put("level", Kind::Text, "off", why);
        self.out.heading("[admin]");
        self.take(("users", Kind::List, "admin_users"), Some(""));
        self.take(("stats_users", Kind::List, "stats_users"), None);
        if self.databases.iter().any(|entry| entry.name == "pgweir") {
            let from = "a database is called pgweir";
            self.out.put("databases", Kind::List, "pgbouncer", from);
        }
        self.out.heading("[log]");
        if let Some(verbose) = self.said("verbose") {
            let level = number(verbose).map_err(|why| format!("verbose: {why}"))?;
            let level = if level == 0 { "info" } else { "debug" };
            self.out.put("level", Kind::Text, level, "verbose");
        }
        Ok(())
    }

    /// What stands under `[pgbouncer]` and was not taken over.
    fn note_the_others(&mut self) {
        let mut notes = Vec::new();
        for (key, line) in &self.values {
            let what = format!("{key} = {}", line.value);
            let on = line.value != "0" && !line.value.is_empty();
            let place = line.place.clone();
            let none = |advice: &str| Note::NoEquivalent {
                what: what.clone(),
                place: place.clone(),
                advice: advice.to_owned(),
            };
            match settings::find(settings::PGBOUNCER, key) {
                None => notes.push(none("PgBouncer has no such setting either")),
                Some(Goes::Nowhere(advice)) if on => notes.push(none(advice)),
                Some(Goes::Needless(why)) => notes.push(Note::Needless {
                    what,
                    why: why.to_owned(),
                }),
                Some(Goes::To(_) | Goes::Nowhere(_)) => {}
            }
        }
        self.notes.extend(notes);
    }
}

/// Whether it proves a password without being one.
pub(super) fn is_verifier(password: &str) -> bool {
    let md5 = password.strip_prefix("md5").is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    md5 || password.starts_with("SCRAM-SHA-256$")
}

pub(super) fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_not_a_number| format!("`{text}` is not a whole number"))
}

/// PgBouncer's seconds, which may have a fraction, as a duration of ours.
fn seconds(text: &str) -> Result<String, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_not_a_number| format!("`{text}` is not a number of seconds"))?;
    let duration = std::time::Duration::try_from_secs_f64(seconds)
        .map_err(|_out_of_range| format!("`{text}` is not a number of seconds"))?;
    Ok(match duration.as_millis() {
        0 => FOREVER.to_owned(),
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    })
}
