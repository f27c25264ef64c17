//! What SIGHUP can change in a running process, and what waits for a restart.

use std::collections::BTreeMap;

use super::setting::Reload;
use super::{Config, table};

/// The difference between the running configuration and one just read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadPlan {
    /// Keys that change now.
    pub live: Vec<String>,
    /// Keys that change with the next start.
    pub restart: Vec<String>,
    /// What to run with from now on: the new configuration, except for [`ReloadPlan::restart`],
    /// which keep their old values (so that the next reload still finds them changed).
    pub effective: Config,
}

/// Compares setting by setting; users, databases and declarations as a whole, under `users.NAME` and
/// the like; rules together, because their order counts.
pub fn diff(old: &Config, new: &Config) -> ReloadPlan {
    let mut plan = ReloadPlan {
        live: Vec::new(),
        restart: Vec::new(),
        effective: new.clone(),
    };
    for setting in table::all().filter(|setting| !(setting.same)(old, new)) {
        match setting.reload {
            Reload::Live => plan.live.push(setting.key.to_owned()),
            Reload::Restart => {
                plan.restart.push(setting.key.to_owned());
                (setting.copy)(&mut plan.effective, old);
            }
        }
    }
    plan.live
        .extend(changed("users", &old.auth.users, &new.auth.users));
    plan.live
        .extend(changed("databases", &old.databases, &new.databases));
    let (cache, before) = (&new.cache, &old.cache);
    plan.live.extend(changed(
        "cache.functions",
        &before.functions,
        &cache.functions,
    ));
    plan.live
        .extend(changed("cache.triggers", &before.triggers, &cache.triggers));
    if before.rules != cache.rules {
        plan.live.push("cache.rules".to_owned());
    }
    plan
}

/// The names that are new, gone or different.
fn changed<T: PartialEq>(
    section: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Vec<String> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let other = new
        .iter()
        .filter(|(name, value)| old.get(*name) != Some(*value));
    gone.chain(other.map(|(name, _)| name))
        .map(|name| format!("{section}.{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::File;
    use super::super::load::resolve;
    use super::super::{Environment, Flags};
    use super::*;

    fn config(text: &str) -> Config {
        let text =
            format!("upstream.url = \"postgres://app:s3cret@db\"\nruntime.workers = 1\n{text}");
        let file = File::parse(Path::new("p.toml"), &text).unwrap();
        resolve(&Flags::default(), &Environment::new(), file)
            .unwrap()
            .config
    }

    #[test]
    fn nothing_changed() {
        let old = config("");
        let plan = diff(&old, &old);
        assert_eq!(
            (plan.live, plan.restart, plan.effective),
            (vec![], vec![], old)
        );
    }

    #[test]
    fn live_keys_change_and_the_others_wait() {
        let old = config("");
        let new = config(
            "pool.size_max = 7\nlisten.address = \"[::1]:1\"\nlog = { format = \"json\", level = \"debug\" }",
        );
        let plan = diff(&old, &new);
        assert_eq!(plan.live, ["pool.size_max", "log.level"]);
        assert_eq!(plan.restart, ["listen.address", "log.format"]);
        assert_eq!(plan.effective.listen.address, old.listen.address);
        assert_eq!(plan.effective.log.format, old.log.format);
        assert_eq!(plan.effective.pool.size_max, 7);
        // Asked again, what waits is still waiting.
        assert_eq!(diff(&plan.effective, &new).restart, plan.restart);
        assert!(diff(&plan.effective, &new).live.is_empty());
    }

    #[test]
    fn a_new_password_is_seen_although_it_is_never_shown() {
        let old = config("");
        let mut new = config("[[users]]\nname = \"b\"\npassword = \"1\"\n[databases.d]\n");
        new.upstream.password = Some(super::super::Secret::new("other"));
        assert_eq!(
            diff(&old, &new).live,
            ["upstream.url", "users.b", "databases.d"]
        );
        let newer =
            config("[[users]]\nname = \"b\"\npassword = \"2\"\n[databases.d]\nclients_max = 1");
        new.upstream = old.upstream.clone();
        assert_eq!(diff(&new, &newer).live, ["users.b", "databases.d"]);
        assert_eq!(diff(&new, &old).live, ["users.b", "databases.d"]);
    }

    #[test]
    fn the_keys_that_need_a_restart() {
        let keys: Vec<&str> = table::all()
            .filter(|setting| setting.reload == Reload::Restart)
            .map(|setting| setting.key)
            .collect();
        let wanted = [
            "listen.address",
            "listen.reuse_port",
            "listen.peers",
            "cache.bytes_max",
            "cache.result_bytes_max",
            "cache.entries_max",
            "admin.address",
            "runtime.workers",
            "log.format",
            "telemetry.endpoint",
            "telemetry.service_name",
            "telemetry.metrics_interval",
        ];
        assert_eq!(keys, wanted);
    }

    #[test]
    fn the_cache_changes_live_but_for_its_size() {
        let old = config("[[cache.rules]]\nttl = \"1s\"\n[cache.functions]\nf = \"pure\"\n");
        let new = config(
            "[cache]\nlevel = \"ttl\"\naudit = \"1%\"\nbytes_max = \"1MiB\"\n\
             [cache.functions]\ng = \"pure\"\n[cache.triggers]\nt = { writes = [\"x\"] }\n\
             [[cache.rules]]\nttl = \"2s\"\n[databases.d]\ncache = \"off\"\n",
        );
        let plan = diff(&old, &new);
        let live = [
            "cache.level",
            "cache.audit",
            "databases.d",
            "cache.functions.f",
            "cache.functions.g",
            "cache.triggers.t",
            "cache.rules",
        ];
        assert_eq!(plan.live, live);
        assert_eq!(plan.restart, ["cache.bytes_max"]);
        assert_eq!(plan.effective.cache.bytes_max, old.cache.bytes_max);
        assert_eq!(plan.effective.cache.rules, new.cache.rules);
    }
}
