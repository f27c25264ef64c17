//! PgBouncer's names for settings that we have, too, for who types them in the console, and for its
//! exporter, which looks for them in `SHOW CONFIG`.

use super::settings::{Goes, PGBOUNCER};
use crate::config::{Kind, table};

/// Theirs and ours, where a value of one is a value of the other: numbers, names and modes. Their
/// durations have no units.
fn same() -> impl Iterator<Item = (&'static str, &'static str)> {
    PGBOUNCER.iter().filter_map(|(theirs, goes)| {
        let Goes::To(ours) = goes else {
            return None;
        };
        let setting = table::all().find(|setting| setting.key == *ours)?;
        let same = matches!(setting.kind, Kind::Count | Kind::List) || *ours == "pool.mode";
        same.then_some((*theirs, *ours))
    })
}

/// Our setting for their name of it.
pub fn ours(theirs: &str) -> Option<&'static str> {
    same().find(|(name, _)| *name == theirs).map(|(_, key)| key)
}

/// Their names of one of our settings.
pub fn theirs(ours: &str) -> Vec<&'static str> {
    let names = same().filter(|(_, key)| *key == ours);
    names.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_the_same_values_has_two_names() {
        for (name, key) in [
            ("default_pool_size", "pool.size_max"),
            ("max_client_conn", "listen.clients_max"),
            ("pool_mode", "pool.mode"),
            ("stats_users", "admin.stats_users"),
        ] {
            assert_eq!(ours(name), Some(key));
            assert!(theirs(key).contains(&name), "{name}");
        }
        // A number of seconds, and nothing at all.
        assert_eq!(ours("query_wait_timeout"), None);
        assert_eq!(ours("server_check_query"), None);
    }
}
