//! Putting it together: flag before environment before file before default, then what follows
//! from it all (passwords, the user table), then the checks.

use std::path::{Path, PathBuf};

use super::file::{Declared, File, Found, Section, USER_PASSWORD_FILE};
use super::flags::{CONFIG_VARIABLE, unknown_variables};
use super::origin::{ConfigError, Origin, Origins};
use super::setting::{Fallback, Setting};
use super::value::Value;
use super::{Config, Database, Environment, Fault, Flags, PgPass, Secret, Target, User};
use super::{check, table};
use crate::cache::rules::Rule;

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Who said each value.
    pub origins: Origins,
    /// What is odd but no error, for the log.
    pub warnings: Vec<String>,
}

/// Reads everything there is to read: the file that `--config` or `PGWEIR_CONFIG` names, password
/// files, and the TLS files to see that they are there. The environment is `env` and nothing else.
pub fn load(flags: &Flags, env: &Environment) -> Result<Loaded, ConfigError> {
    let variable = variable(env, CONFIG_VARIABLE).map(PathBuf::from);
    let named = flags
        .config
        .clone()
        .map(|path| (path, Origin::Flag("config")))
        .or_else(|| Some((variable?, Origin::Environment(CONFIG_VARIABLE.to_owned()))));
    let file = match named {
        Some((path, by)) => File::read(&path, by)?,
        None => File::default(),
    };
    resolve(flags, env, file)
}

/// What a file with this text would say, alone: no flags, no environment.
///
/// # Errors
/// As of [`load`].
pub fn load_text(name: &Path, text: &str) -> Result<Loaded, ConfigError> {
    let file = File::parse(name, text)?;
    resolve(&Flags::default(), &Environment::new(), file)
}

/// [`load`] once the file is read.
pub(super) fn resolve(flags: &Flags, env: &Environment, file: File) -> Result<Loaded, ConfigError> {
    let unknown = unknown_variables(env);
    merge(flags, env, file, unknown.clone()).map_err(|mut error| {
        // A misspelt variable is often the reason for the error.
        for warning in unknown {
            error.fault.advice.push_str("; note: ");
            error.fault.advice.push_str(&warning);
        }
        error
    })
}

fn merge(
    flags: &Flags,
    env: &Environment,
    file: File,
    warnings: Vec<String>,
) -> Result<Loaded, ConfigError> {
    let mut loading = Loading {
        config: table::blank(),
        origins: Origins::default(),
        warnings,
    };
    loading.settings(flags, env, &file)?;
    for section in &file.users {
        loading.user(section)?;
    }
    for section in &file.databases {
        loading.database(section)?;
    }
    for section in &file.rules {
        loading.rule(section)?;
    }
    loading.declared(&file);
    loading.passwords(env);
    loading.timeouts();
    loading.url_user();
    for setting in table::all() {
        if let (Fallback::Computed(_, compute), Origin::Default) =
            (&setting.default, loading.origins.of(setting.key))
        {
            compute(&mut loading.config);
        }
    }
    let Loading {
        config,
        origins,
        mut warnings,
    } = loading;
    warnings.extend(check::check(&config, &origins)?);
    Ok(Loaded {
        config,
        origins,
        warnings,
    })
}

/// An empty variable counts as none: compose files and unit files make them easily.
fn variable<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
    env.get(name)
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}

/// Variables that are the same for every program. They are set for a whole machine or container, so what
/// is said to this program counts for more.
const STANDARD: [(&str, &str); 2] = [
    ("telemetry.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ("telemetry.service_name", "OTEL_SERVICE_NAME"),
];

/// The configuration as it grows.
struct Loading {
    config: Config,
    origins: Origins,
    warnings: Vec<String>,
}

/// Reads `text` into `owner`, or says where the fault is.
fn apply<T>(
    setting: &Setting<T>,
    owner: &mut T,
    key: &str,
    found: &Found,
) -> Result<(), ConfigError> {
    (setting.set)(owner, &found.text)
        .map_err(|fault| ConfigError::new(found.origin.clone(), key, fault))
}

impl Loading {
    /// Applies every source, weakest first, so that a bad value is an error even where it loses.
    fn settings(
        &mut self,
        flags: &Flags,
        env: &Environment,
        file: &File,
    ) -> Result<(), ConfigError> {
        for setting in table::all() {
            let found = |text: &str, origin| Found {
                text: text.to_owned(),
                origin,
            };
            let default = match setting.default {
                Fallback::Is(text) => Some(found(text, Origin::Default)),
                Fallback::Computed(..) | Fallback::Unset | Fallback::Required => None,
            };
            let name = setting.variable();
            let standard = STANDARD.iter().find(|(key, _)| *key == setting.key);
            let standard = standard.and_then(|(_, name)| {
                Some(found(
                    variable(env, name)?,
                    Origin::Environment((*name).to_owned()),
                ))
            });
            let from_env =
                variable(env, &name).map(|text| found(text, Origin::Environment(name.clone())));
            let from_flag = setting
                .flag
                .and_then(|(flag, _)| Some(found(flags.get(setting.key)?, Origin::Flag(flag))));
            let from_file = file.values.get(setting.key).cloned();
            let console = flags.console(setting.key);
            let from_console = console.map(|text| found(text, Origin::Console));
            for found in [
                default,
                standard,
                from_file,
                from_env,
                from_flag,
                from_console,
            ]
            .into_iter()
            .flatten()
            {
                apply(setting, &mut self.config, setting.key, &found)?;
                self.origins.note(setting.key, found.origin);
            }
            if let Some(address) = flags.socket(setting.key) {
                self.socket(setting, found(address, Origin::Socket))?;
            }
        }
        Ok(())
    }

    /// What is there already comes before what anybody says, and who said otherwise is told.
    fn socket(&mut self, setting: &Setting<Config>, there: Found) -> Result<(), ConfigError> {
        let (key, said_by) = (setting.key, self.origins.of(setting.key).clone());
        let said = (setting.show)(&self.config).unwrap_or_default();
        if said_by != Origin::Default && said != there.text {
            self.warnings.push(format!(
                "{key} = \"{said}\" ({said_by}) is not used: a socket was passed that listens at {}",
                there.text
            ));
        }
        apply(setting, &mut self.config, key, &there)?;
        self.origins.note(key, there.origin);
        Ok(())
    }

    fn user(&mut self, section: &Section) -> Result<(), ConfigError> {
        let prefix = format!("users.{}", section.name);
        let mut user = User {
            password: None,
            allow: Vec::new(),
            clients_max: None,
            pool_size_max: None,
            cache: None,
        };
        self.section(table::USER, &mut user, section, &prefix)?;
        if let Some(found) = section.values.get(USER_PASSWORD_FILE) {
            let key = format!("{prefix}.{USER_PASSWORD_FILE}");
            let fail = |what: String, advice| {
                ConfigError::new(found.origin.clone(), key.clone(), Fault::new(what, advice))
            };
            if user.password.is_some() {
                return Err(fail(
                    "the user has a password too".to_owned(),
                    "keep one of password and password_file",
                ));
            }
            let secret = password_file(Path::new(&found.text)).map_err(|what| {
                fail(
                    what,
                    "name a file with the password alone on its first line",
                )
            })?;
            user.password = Some(secret);
            self.origins
                .note(format!("{prefix}.password"), found.origin.clone());
        }
        self.origins.note(prefix, section.origin.clone());
        self.config.auth.users.insert(section.name.clone(), user);
        Ok(())
    }

    fn database(&mut self, section: &Section) -> Result<(), ConfigError> {
        let prefix = format!("databases.{}", section.name);
        let mut database = Database {
            target: None,
            dbname: None,
            user: None,
            password: None,
            pool_mode: None,
            pool_size_max: None,
            pool_idle_min: None,
            clients_max: None,
            allow: Vec::new(),
            cache: None,
        };
        self.section(table::DATABASE, &mut database, section, &prefix)?;
        self.origins.note(prefix, section.origin.clone());
        self.config.databases.insert(section.name.clone(), database);
        Ok(())
    }

    fn rule(&mut self, section: &Section) -> Result<(), ConfigError> {
        let prefix = format!("cache.rules.{}", section.name);
        let mut rule = Rule::default();
        self.section(table::RULE, &mut rule, section, &prefix)?;
        self.origins.note(prefix, section.origin.clone());
        self.config.cache.rules.push(rule);
        Ok(())
    }

    fn declared(&mut self, file: &File) {
        let cache = &mut self.config.cache;
        let lists = [
            ("cache.functions", &file.functions, &mut cache.functions),
            ("cache.triggers", &file.triggers, &mut cache.triggers),
        ];
        for (section, from, to) in lists {
            for Declared {
                name,
                origin,
                effects,
            } in from
            {
                self.origins
                    .note(format!("{section}.{name}"), origin.clone());
                to.insert(name.clone(), effects.clone());
            }
        }
    }

    fn section<T>(
        &mut self,
        table: &[Setting<T>],
        owner: &mut T,
        section: &Section,
        prefix: &str,
    ) -> Result<(), ConfigError> {
        for setting in table {
            let Some(found) = section.values.get(setting.key) else {
                continue;
            };
            let key = format!("{prefix}.{}", setting.key);
            apply(setting, owner, &key, found)?;
            self.origins.note(key, found.origin.clone());
        }
        Ok(())
    }

    /// Passwords that a URL does not have: `PGPASSWORD`, then the password file, as in libpq.
    fn passwords(&mut self, env: &Environment) {
        let mut source = Passwords { env, file: None };
        let found = source.of_target(&mut self.config.upstream);
        self.note_password("upstream.password", found);
        let names: Vec<String> = self.config.databases.keys().cloned().collect();
        for name in names {
            let Some(database) = self.config.databases.get_mut(&name) else {
                continue;
            };
            let found = database
                .target
                .as_mut()
                .and_then(|target| source.of_target(target));
            let target = database.target.as_ref().unwrap_or(&self.config.upstream);
            let mut of_user = None;
            if let (Some(user), None) = (&database.user, &database.password) {
                let dbname = database
                    .dbname
                    .as_deref()
                    .or(target.database.as_deref())
                    .unwrap_or(&name);
                of_user = source.in_file(target, dbname, user);
                database.password = of_user.as_ref().map(|(secret, _)| secret.clone());
            }
            self.note_password(&format!("databases.{name}.url.password"), found);
            self.note_password(
                &format!("databases.{name}.password"),
                of_user.map(|(_, origin)| origin),
            );
        }
        self.warnings
            .extend(source.file.and_then(|(_, _, warning)| warning));
    }

    fn note_password(&mut self, key: &str, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.origins.note(key, origin);
        }
    }

    /// A URL that names no `connect_timeout` gets the pools'.
    fn timeouts(&mut self) {
        let config = &mut self.config;
        let databases = config
            .databases
            .values_mut()
            .filter_map(|database| database.target.as_mut());
        for target in databases.chain([&mut config.upstream]) {
            if target.connect_timeout.is_zero() {
                target.connect_timeout = config.pool.connect_timeout;
            }
        }
    }

    /// The upstream URL's user is an entry of the user table; what the file says of it prevails.
    fn url_user(&mut self) {
        let Target { user, password, .. } = &self.config.upstream;
        if user.is_empty() {
            return;
        }
        let prefix = format!("users.{user}");
        let known = self.config.auth.users.contains_key(user);
        let entry = self.config.auth.users.entry(user.clone()).or_insert(User {
            password: None,
            allow: Vec::new(),
            clients_max: None,
            pool_size_max: None,
            cache: None,
        });
        if !known {
            self.origins
                .note(prefix.clone(), Origin::Key("upstream.url"));
        }
        if entry.password.is_none() && password.is_some() {
            entry.password.clone_from(password);
            self.origins
                .note(format!("{prefix}.password"), Origin::Key("upstream.url"));
        }
    }
}

/// Where passwords outside the URL are.
struct Passwords<'a> {
    env: &'a Environment,
    /// Read when first asked for, so that nobody is warned about a file that does not matter.
    file: Option<(PathBuf, PgPass, Option<String>)>,
}

impl Passwords<'_> {
    fn of_target(&mut self, target: &mut Target) -> Option<Origin> {
        if target.password.is_some() || target.user.is_empty() {
            return None;
        }
        if let Some(password) = variable(self.env, "PGPASSWORD") {
            target.password = Some(Secret::new(password));
            return Some(Origin::Environment("PGPASSWORD".to_owned()));
        }
        // libpq's rule: the database is called like the user unless it is named.
        let database = target.database.as_deref().unwrap_or(&target.user);
        let (password, origin) = self.in_file(target, database, &target.user)?;
        target.password = Some(password);
        Some(origin)
    }

    /// The password for the first of the target's hosts that the file knows.
    fn in_file(&mut self, target: &Target, database: &str, user: &str) -> Option<(Secret, Origin)> {
        if self.file.is_none() {
            let path = variable(self.env, "PGPASSFILE").map(PathBuf::from);
            let home = || Some(Path::new(variable(self.env, "HOME")?).join(".pgpass"));
            let path = path.or_else(home)?;
            let (pass, warning) = PgPass::read(&path);
            self.file = Some((path, pass, warning));
        }
        let (path, pass, _) = self.file.as_ref()?;
        let password = target
            .hosts
            .iter()
            .find_map(|host| pass.find(host, database, user))?;
        Some((password, Origin::PasswordFile(path.clone())))
    }
}

/// The first line of the file.
fn password_file(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let first = text.lines().next().unwrap_or_default();
    Secret::read(first).map_err(|_empty| format!("{} has an empty first line", path.display()))
}

#[cfg(test)]
mod tests;
