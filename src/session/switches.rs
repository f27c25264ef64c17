//! What a session's own settings ask of the cache: `SET pgweir.cache = off` and its like.

use crate::cache::rules::Switches;
use crate::pool::state::{Setting, Settings};
use crate::sql::set_value;

/// Reads them out of the session's settings; most sessions have none. To be called when the settings
/// have changed, not for each query.
pub(super) fn switches(settings: &Settings) -> Switches {
    let ours = settings
        .iter()
        .filter(|(name, _)| name.starts_with("pgweir."));
    let values: Vec<(&str, Vec<u8>)> = ours.map(|(name, setting)| (name, value(setting))).collect();
    Switches::read(values.iter().map(|(name, value)| (*name, value.as_slice())))
}

fn value(setting: &Setting) -> Vec<u8> {
    match setting {
        Setting::Value(value) => value.to_vec(),
        // An expression or a list is nothing that a switch understands, so it stands for itself.
        Setting::Sql(sql) => set_value(sql).unwrap_or_else(|| sql.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::analyze;
    use crate::sql::effect::{Analysis, Effect};

    /// As a session comes to have them.
    fn after(texts: &[&str]) -> Switches {
        let mut settings = Settings::default();
        for text in texts {
            let Analysis::Listed(statements) = analyze(text.as_bytes(), true, None) else {
                panic!("{text} sets nothing");
            };
            for effect in statements.iter().flat_map(|s| s.effects.iter().cloned()) {
                if let Effect::Set { name, sql } = effect {
                    settings.set(&name, Setting::Sql(sql));
                }
            }
        }
        switches(&settings)
    }

    #[test]
    fn every_spelling_of_a_value_is_read() {
        let off = after(&["SET pgweir.cache = off"]);
        assert!(!off.is_empty() && off.complaints.is_empty());
        for text in [
            "set session PGWEIR.Cache to 'off';",
            "SET pgweir.cache TO \"off\" -- x",
            "SET pgweir.cache = E'off'",
            "SET pgweir.cache = 0",
        ] {
            assert_eq!(after(&[text]), off, "{text}");
        }
        assert!(after(&["SET pgweir.explain = on", "SET x.y = 1"]).explain);
        assert_eq!(after(&["SET pgweir.ttl = '5s'"]).complaints, [""; 0]);
        assert_eq!(after(&["SET pgweir.cache = on, off"]).complaints.len(), 1);
        assert_eq!(after(&["SET pgweir.ttl = -5"]).complaints.len(), 1);
        assert!(after(&["SET work_mem = '1MB'"]).is_empty());
    }
}
