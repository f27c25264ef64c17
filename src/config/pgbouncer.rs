//! PgBouncer's names for settings that we have, too: its users type them, and its exporter looks for
//! them in `SHOW CONFIG`.

/// Theirs and ours, where a value of one is a value of the other.
const NAMES: [(&str, &str); 5] = [
    ("default_pool_size", "pool.size_max"),
    ("max_client_conn", "listen.clients_max"),
    ("max_prepared_statements", "pool.statements_max"),
    ("min_pool_size", "pool.idle_min"),
    ("pool_mode", "pool.mode"),
];

/// Our setting for their name of it.
pub fn ours(theirs: &str) -> Option<&'static str> {
    let mut names = NAMES.iter();
    names.find(|(name, _)| *name == theirs).map(|(_, key)| *key)
}

/// Their names of one of our settings.
pub fn theirs(ours: &str) -> Vec<&'static str> {
    let names = NAMES.iter().filter(|(_, key)| *key == ours);
    names.map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    #[test]
    fn each_stands_for_a_setting_that_exists() {
        for (theirs_name, key) in NAMES {
            assert!(table::all().any(|setting| setting.key == key), "{key}");
            assert_eq!(ours(theirs_name), Some(key));
            assert!(theirs(key).contains(&theirs_name));
        }
        assert_eq!(ours("server_check_query"), None);
    }
}
