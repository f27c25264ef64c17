//! `[users]`, `auth_file` and `[databases]`: what is said of each of them.

use std::collections::BTreeSet;

use super::settings::{self, Goes};
use super::translate::{Done, Entry, Row, Translation, is_verifier, number};
use crate::config::Kind;

impl Translation {
    pub(super) fn all_users(&mut self) -> Done {
        let auth_user = self.said("auth_user").map(str::to_owned);
        let mut named: BTreeSet<String> = self.passwords.iter().map(|(n, _)| n.clone()).collect();
        let settings = std::mem::take(&mut self.users);
        named.extend(settings.iter().map(|entry| entry.name.clone()));
        for name in named {
            self.out.heading("[[users]]");
            let password = self.password(&name).map(str::to_owned);
            let in_url = auth_user.as_ref() == Some(&name);
            let password = password.filter(|password| !in_url || is_verifier(password));
            let own = settings.iter().find(|entry| entry.name == name);
            if in_url && own.is_none() && password.is_none() {
                continue;
            }
            self.out.put("name", Kind::Text, &name, "");
            if let Some(password) = password {
                self.out.put("password", Kind::Text, &password, "auth_file");
            }
            if let Some(entry) = own {
                self.entry(entry, settings::USERS, "users")?;
            }
        }
        Ok(())
    }

    pub(super) fn all_databases(&mut self) -> Done {
        let databases = std::mem::take(&mut self.databases);
        let star = databases.iter().find(|entry| entry.name == "*");
        let Some(base) = star.or(databases.first()) else {
            return Ok(());
        };
        let base = self.place_of(base)?;
        for entry in &databases {
            if entry.name == "*" {
                self.entry_notes(entry, settings::DATABASES, "databases");
                continue;
            }
            self.out
                .heading(&format!("[databases.{}]", Kind::Text.render(&entry.name)));
            let place = self.place_of(entry)?;
            if place != base {
                self.out
                    .put("url", Kind::Text, &place.url(None), "host, port");
            }
            match entry.get("dbname").filter(|dbname| *dbname != entry.name) {
                Some(dbname) => self.out.put("dbname", Kind::Text, dbname, ""),
                // A heading alone says that there is such a database.
                None if place == base => self.out.put("dbname", Kind::Text, &entry.name, ""),
                None => {}
            }
            self.forced_user(entry);
            self.entry(entry, settings::DATABASES, "databases")?;
        }
        Ok(())
    }

    /// `user=` and its password, which may stand in auth_file.
    fn forced_user(&mut self, entry: &Entry) {
        let Some(user) = entry.get("user").filter(|user| !user.is_empty()) else {
            if entry.get("password").is_some() {
                self.differs(format!(
                    "database {}: a password without a user is left out",
                    entry.name
                ));
            }
            return;
        };
        self.out.put("user", Kind::Text, user, "");
        let password = entry
            .get("password")
            .or_else(|| self.password(user))
            .map(str::to_owned);
        match password.filter(|password| !is_verifier(password)) {
            Some(password) => self.out.put("password", Kind::Text, &password, ""),
            None => self.differs(format!(
                "database {}: no password in clear for its user {user}; add it, or to .pgpass",
                entry.name
            )),
        }
    }

    /// The numbers and words of a database or user.
    fn entry(&mut self, entry: &Entry, table: &'static [(&'static str, Goes)], of: &str) -> Done {
        let rows: &[Row<'_>] = if of == "users" {
            &[
                ("clients_max", Kind::Count, "max_user_client_connections"),
                ("pool_size_max", Kind::Count, "pool_size"),
            ]
        } else {
            &[
                ("clients_max", Kind::Count, "max_db_client_connections"),
                ("pool.mode", Kind::Text, "pool_mode"),
                ("pool.size_max", Kind::Count, "pool_size"),
                ("pool.idle_min", Kind::Count, "min_pool_size"),
            ]
        };
        for (ours, kind, theirs) in rows {
            let Some(value) = entry.get(theirs) else {
                continue;
            };
            if *kind == Kind::Count {
                number(value).map_err(|why| format!("{}: {theirs}: {why}", entry.place))?;
            }
            // Zero is PgBouncer's word for no limit of its own.
            if !(value == "0" && ours.ends_with("clients_max")) {
                self.out.put(ours, *kind, value, theirs);
            }
        }
        self.entry_notes(entry, table, of);
        Ok(())
    }

    fn entry_notes(&mut self, entry: &Entry, table: &'static [(&'static str, Goes)], of: &str) {
        for (key, value) in &entry.pairs {
            let advice = match settings::find(table, key) {
                Some(Goes::Nowhere(advice)) => advice,
                Some(Goes::To(_) | Goes::Needless(_)) => continue,
                None => "PgBouncer has no such setting either",
            };
            if value != "0" && !value.is_empty() {
                let shown = if key.contains("password") {
                    "..."
                } else {
                    value
                };
                let what = format!("[{of}] {}: {key} = {shown}", entry.name);
                self.none(what, &entry.place, advice);
            }
        }
    }
}
