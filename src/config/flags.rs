//! What the command line and the environment said, still as text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};

use super::fault::nearest;
use super::table;

/// The flag and the variable that name the file.
const CONFIG: &str = "config";
pub(super) const CONFIG_VARIABLE: &str = "PGWEIR_CONFIG";

/// The environment, taken once at start; variables that are not UTF-8 are left out.
pub type Environment = BTreeMap<String, String>;

/// The process's own environment.
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The settings given as flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    values: BTreeMap<&'static str, String>,
    /// What the console said since the start, which comes before what others say.
    said: BTreeMap<&'static str, String>,
    /// Where sockets listen that were passed at start: there is nothing to be said about that.
    sockets: BTreeMap<&'static str, String>,
}

impl Flags {
    /// One clap argument for each setting that has a flag, and `--config`.
    pub fn args() -> Vec<Arg> {
        let config = Arg::new(CONFIG)
            .short('c')
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Read settings from this file, as proxy.toml.example has them");
        let settings = table::all().filter_map(|setting| {
            let (flag, value) = setting.flag?;
            let help = setting.default.describe().map_or_else(
                || setting.help.to_owned(),
                |default| format!("{} [{default}]", setting.help),
            );
            Some(Arg::new(flag).long(flag).value_name(value).help(help))
        });
        std::iter::once(config).chain(settings).collect()
    }

    /// What clap found for [`Flags::args`].
    pub fn from_matches(matches: &ArgMatches) -> Self {
        let values = table::all().filter_map(|setting| {
            let (flag, _) = setting.flag?;
            let value = matches.get_one::<String>(flag)?;
            Some((setting.key, value.clone()))
        });
        Self {
            config: matches.get_one::<PathBuf>(CONFIG).cloned(),
            values: values.collect(),
            said: BTreeMap::new(),
            sockets: BTreeMap::new(),
        }
    }

    /// With these settings, by key, whatever else says anything of them.
    #[must_use]
    pub fn said(mut self, settings: &BTreeMap<&'static str, String>) -> Self {
        self.said.clone_from(settings);
        self
    }

    /// What the console said of the setting `key`.
    pub(super) fn console(&self, key: &str) -> Option<&str> {
        self.said.get(key).map(String::as_str)
    }

    /// With these addresses, by key, of sockets that are there already.
    #[must_use]
    pub fn sockets(mut self, addresses: BTreeMap<&'static str, String>) -> Self {
        self.sockets = addresses;
        self
    }

    /// Where the socket listens that was passed for the setting `key`.
    pub(super) fn socket(&self, key: &str) -> Option<&str> {
        self.sockets.get(key).map(String::as_str)
    }

    /// These, and `outer` where these say nothing: flags may stand before the subcommand too.
    pub fn or(mut self, outer: Self) -> Self {
        self.config = self.config.or(outer.config);
        for (key, value) in outer.values {
            self.values.entry(key).or_insert(value);
        }
        self
    }

    /// With `value` for the setting `key`, whatever was said of it.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        self.values.insert(key, value.to_owned());
        self
    }

    /// What was given for the setting `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

/// Warnings about `PGWEIR_` variables that nothing reads.
pub(super) fn unknown_variables(env: &Environment) -> Vec<String> {
    let mut known: Vec<String> = table::all().map(|setting| setting.variable()).collect();
    known.push(CONFIG_VARIABLE.to_owned());
    env.keys()
        .filter(|name| name.starts_with("PGWEIR_") && !known.contains(name))
        // Kubernetes makes these up for a Service called pgweir.
        .filter(|name| !name.starts_with("PGWEIR_SERVICE_") && !name.starts_with("PGWEIR_PORT"))
        .map(|name| {
            let meant = nearest(name, known.iter().map(String::as_str))
                .map_or_else(String::new, |known| format!("; did you mean {known}?"));
            format!("environment {name}: no setting has this name{meant}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn flags(args: &[&str]) -> Flags {
        let command = clap::Command::new("t")
            .no_binary_name(true)
            .args(Flags::args());
        Flags::from_matches(&command.try_get_matches_from(args).unwrap())
    }

    #[test]
    fn flags_are_found_under_their_keys() {
        let given = flags(&["-c", "p.toml", "--pool-size", "7", "--tls=allow"]);
        assert_eq!(given.config, Some(PathBuf::from("p.toml")));
        assert_eq!(given.get("pool.size_max"), Some("7"));
        assert_eq!(given.get("listen.tls.mode"), Some("allow"));
        assert_eq!(given.get("log.level"), None);
    }

    #[test]
    fn inner_flags_come_before_outer_ones() {
        let both =
            flags(&["--pool-size=1"]).or(flags(&["--pool-size=2", "--workers=3", "-c", "x"]));
        assert_eq!(both.get("pool.size_max"), Some("1"));
        assert_eq!(both.get("runtime.workers"), Some("3"));
        assert_eq!(both.config, Some(PathBuf::from("x")));
    }

    #[test]
    fn names_of_settings_are_unique() {
        let keys: BTreeSet<&str> = table::all().map(|setting| setting.key).collect();
        let variables: BTreeSet<String> = table::all().map(|setting| setting.variable()).collect();
        assert_eq!(keys.len(), table::all().count());
        assert_eq!(variables.len(), table::all().count());
        assert!(
            variables.contains("PGWEIR_POOL_MIN_IDLE") && variables.contains("PGWEIR_AUTH_QUERY")
        );
    }

    #[test]
    fn a_misspelt_variable_is_pointed_out() {
        let env: Environment = [
            "PGWEIR_POOLSIZE",
            "PGWEIR_PORT_6432_TCP",
            "PGWEIR_UPSTREAM",
            "PATH",
            "PGWEIR_ZZZZZZZZZZZZ",
        ]
        .map(|name| (name.to_owned(), "x".to_owned()))
        .into();
        assert_eq!(
            unknown_variables(&env),
            [
                "environment PGWEIR_POOLSIZE: no setting has this name; did you mean PGWEIR_POOL_SIZE?",
                "environment PGWEIR_ZZZZZZZZZZZZ: no setting has this name",
            ]
        );
    }
}
