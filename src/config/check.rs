//! What must hold between settings, and what is allowed but odd.

use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tracing_subscriber::EnvFilter;

use super::fault::Fault;
use super::origin::{ConfigError, Origin, Origins};
use super::{AuthMode, Config, Database, Secret, Target, TlsMode, User};
use crate::cache::rules::{FINGERPRINT_DIGITS, Rule};

/// Each is a thread, and room for it is taken at the start: a number that was mistyped would end that in a
/// panic.
const WORKERS_MAX: usize = 4_096;

/// Warnings, or the first thing that is wrong.
pub(super) fn check(config: &Config, origins: &Origins) -> Result<Vec<String>, ConfigError> {
    let checks = Checks { config, origins };
    checks.listen()?;
    checks.upstream("upstream.url", &config.upstream)?;
    checks.tls()?;
    checks.auth()?;
    checks.pool()?;
    checks.cache()?;
    for (name, user) in &config.auth.users {
        checks.user(name, user)?;
    }
    for (name, database) in &config.databases {
        checks.database(name, database)?;
    }
    checks.log()?;
    Ok(checks.warnings())
}

struct Checks<'a> {
    config: &'a Config,
    origins: &'a Origins,
}

type Checked = Result<(), ConfigError>;

impl Checks<'_> {
    fn fail(&self, key: &str, what: impl Into<String>, advice: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origins.of(key).clone(), key, Fault::new(what, advice))
    }

    /// Fails unless `holds`.
    fn need(&self, holds: bool, key: &str, what: &str, advice: &str) -> Checked {
        if holds {
            Ok(())
        } else {
            Err(self.fail(key, what, advice))
        }
    }

    fn at_least_one(&self, key: &str, count: usize) -> Checked {
        self.need(
            count > 0,
            key,
            "0 would let nobody through",
            "write 1 or more",
        )
    }

    fn longer_than_zero(&self, key: &str, duration: Duration) -> Checked {
        self.need(
            !duration.is_zero(),
            key,
            "no time at all is never enough",
            "write a duration such as 10s, and a long one such as 8760h for no limit",
        )
    }

    fn listen(&self) -> Checked {
        let listen = &self.config.listen;
        let parts = listen.address.rsplit_once(':');
        let valid = parts.is_some_and(|(host, port)| {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            !host.is_empty() && (bracketed || !host.contains(':')) && port.parse::<u16>().is_ok()
        });
        self.need(
            valid,
            "listen.address",
            &format!("`{}` is not host:port", listen.address),
            "write 127.0.0.1:6432, 0.0.0.0:6432 for every interface, or [::1]:6432",
        )?;
        self.at_least_one("listen.clients_max", listen.clients_max)?;
        self.longer_than_zero("listen.login_timeout", listen.login_timeout)?;
        let interval = self.config.telemetry.metrics_interval;
        self.longer_than_zero("telemetry.metrics_interval", interval)?;
        self.at_least_one("runtime.workers", self.config.workers)?;
        self.need(
            self.config.workers <= WORKERS_MAX,
            "runtime.workers",
            "more threads than any machine has processors for",
            "leave it out for as many as there are CPUs, or write fewer",
        )
    }

    fn upstream(&self, key: &str, target: &Target) -> Checked {
        self.need(
            !target.hosts.is_empty(),
            key,
            "no database is named",
            "give --upstream postgres://user:password@host:port/db, PGWEIR_UPSTREAM, or upstream.url in the file",
        )?;
        let files = [&target.tls.root_cert, &target.tls.cert, &target.tls.key];
        files
            .into_iter()
            .flatten()
            .try_for_each(|file| self.readable(key, file))
    }

    fn readable(&self, key: &str, path: &Path) -> Checked {
        match File::open(path) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(
                key,
                format!("{} cannot be read: {error}", path.display()),
                "name a file that exists and that this user may read",
            )),
        }
    }

    fn tls(&self) -> Checked {
        let tls = &self.config.listen.tls;
        let mode = tls.mode;
        let files = [
            ("listen.tls.cert", &tls.cert),
            ("listen.tls.key", &tls.key),
            ("listen.tls.client_ca", &tls.client_ca),
        ];
        self.need(
            tls.key.is_some() || tls.cert.is_none(),
            "listen.tls.cert",
            "a certificate without its key",
            "give --tls-key or listen.tls.key as well",
        )?;
        self.need(
            tls.cert.is_some() || tls.key.is_none(),
            "listen.tls.key",
            "a key without its certificate",
            "give --tls-cert or listen.tls.cert as well",
        )?;
        self.need(
            tls.cert.is_some() || mode == TlsMode::Disable,
            "listen.tls.mode",
            "TLS needs a certificate and its key",
            "give --tls-cert and --tls-key, or listen.tls.cert and listen.tls.key",
        )?;
        self.need(
            tls.client_ca.is_none() || mode != TlsMode::Disable,
            "listen.tls.client_ca",
            "client certificates without TLS",
            "give --tls-cert and --tls-key, and leave --tls at allow or require",
        )?;
        for (key, file) in files {
            file.as_ref()
                .map_or(Ok(()), |file| self.readable(key, file))?;
        }
        Ok(())
    }

    fn auth(&self) -> Checked {
        let auth = &self.config.auth;
        self.need(
            auth.mode != AuthMode::Cert || self.config.listen.tls.client_ca.is_some(),
            "auth.mode",
            "cert needs to know who signs client certificates",
            "give --tls-client-ca or listen.tls.client_ca",
        )?;
        if let Some(query) = &auth.query {
            self.need(
                query.contains("$1"),
                "auth.query",
                "the query does not ask for a user",
                "use $1 for the name, as in SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1",
            )?;
            self.need(
                !self.config.upstream.user.is_empty(),
                "auth.query",
                "the query runs as the upstream URL's user, and the URL names none",
                "name a user who may run it in upstream.url",
            )?;
        }
        self.need(
            auth.query.is_some() || auth.query_database.is_none(),
            "auth.query_database",
            "there is no auth.query to run there",
            "set auth.query or leave this out",
        )?;
        let by_password = matches!(
            auth.mode,
            AuthMode::Password | AuthMode::Md5 | AuthMode::Scram
        );
        let somebody =
            auth.query.is_some() || auth.users.values().any(|user| user.password.is_some());
        self.need(
            somebody || !by_password,
            "auth.mode",
            "nobody could log in, because no user has a password",
            "put user and password into upstream.url, set PGPASSWORD, add [[users]] or auth.query to the file, or choose another --auth",
        )
    }

    fn pool(&self) -> Checked {
        let pool = &self.config.pool;
        self.at_least_one("pool.size_max", pool.size_max)?;
        self.idle_fits("pool.idle_min", pool.idle_min, pool.size_max)?;
        self.longer_than_zero("pool.timeout", pool.timeout)?;
        self.longer_than_zero("pool.idle_timeout", pool.idle_timeout)?;
        self.longer_than_zero("pool.lifetime_max", pool.lifetime_max)?;
        self.longer_than_zero("pool.connect_timeout", pool.connect_timeout)?;
        self.longer_than_zero("pool.catalog_poll", pool.catalog_poll)
    }

    fn idle_fits(&self, key: &str, idle: usize, size: usize) -> Checked {
        self.need(
            idle <= size,
            key,
            &format!("{idle} upstreams cannot be kept ready in a pool of {size}"),
            "lower idle_min or raise size_max",
        )
    }

    fn cache(&self) -> Checked {
        let cache = &self.config.cache;
        for (key, size) in [
            ("cache.bytes_max", cache.bytes_max),
            ("cache.result_bytes_max", cache.result_bytes_max),
        ] {
            self.need(
                size.0 > 0,
                key,
                "nothing fits into no memory",
                "write a size such as 64KiB, or --cache off for no cache",
            )?;
        }
        self.need(
            cache.entries_max != Some(0),
            "cache.entries_max",
            "0 would keep nothing",
            "write 1 or more, or --cache off for no cache",
        )?;
        self.need(
            !cache.ttl.is_zero(),
            "cache.ttl",
            "no time to live keeps nothing",
            "write a duration such as 60s, or --cache off for no cache",
        )?;
        let mut rules = cache.rules.iter().enumerate();
        rules.try_for_each(|(at, rule)| self.rule(at + 1, rule))
    }

    fn rule(&self, number: usize, rule: &Rule) -> Checked {
        let whole = format!("cache.rules.{number}");
        let key = |field: &str| format!("{whole}.{field}");
        self.need(
            rule.never || rule.level.is_some() || rule.ttl.is_some(),
            &whole,
            "the rule has no effect",
            "give it level, ttl or never = true",
        )?;
        self.need(
            !rule.never || (rule.level.is_none() && rule.ttl.is_none()),
            &key("never"),
            "a rule for never has no level and no ttl",
            "leave them out, or never",
        )?;
        self.need(
            rule.ttl.is_none_or(|ttl| !ttl.is_zero()),
            &key("ttl"),
            "no time to live keeps nothing",
            "write a longer one, or level = \"off\" instead",
        )?;
        let digits = |shape: &String| {
            shape.len() == FINGERPRINT_DIGITS
                && shape
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        self.need(
            rule.shape.as_ref().is_none_or(digits),
            &key("shape"),
            "not the name of a shape, which has 16 digits from 0 to f",
            "copy it from SHOW QUERIES in the console",
        )
    }

    fn user(&self, name: &str, user: &User) -> Checked {
        let key = |field: &str| format!("users.{name}.{field}");
        self.at_least_one(&key("clients_max"), user.clients_max.unwrap_or(1))?;
        self.at_least_one(&key("pool_size_max"), user.pool_size_max.unwrap_or(1))?;
        self.need(
            user.password.as_ref().is_none_or(verifier_is_whole),
            &key("password"),
            "a SCRAM-SHA-256$ verifier that is cut short or misspelt",
            "copy all of rolpassword from pg_authid, or write the password itself",
        )
    }

    fn database(&self, name: &str, database: &Database) -> Checked {
        let key = |field: &str| format!("databases.{name}.{field}");
        let pool = &self.config.pool;
        if let Some(target) = &database.target {
            self.upstream(&key("url"), target)?;
        }
        self.need(
            database.user.is_some() || database.password.is_none(),
            &key("password"),
            "a password without a user",
            "name the user next to it, or put both into url",
        )?;
        self.at_least_one(&key("clients_max"), database.clients_max.unwrap_or(1))?;
        self.at_least_one(&key("pool.size_max"), database.pool_size_max.unwrap_or(1))?;
        let size = database.pool_size_max.unwrap_or(pool.size_max);
        let idle = database.pool_idle_min.unwrap_or(pool.idle_min);
        let said_by = if database.pool_idle_min.is_some() {
            "pool.idle_min"
        } else {
            "pool.size_max"
        };
        self.idle_fits(&key(said_by), idle, size)
    }

    /// A bare word that is no level is to the filter the name of a part of the program: `loud` would
    /// be read as "only what the part `loud` says", and there would be no log.
    fn log(&self) -> Checked {
        let level = &self.config.log.level;
        let advice = "write error, warn, info, debug, trace, or a list such as pgweir=debug,info";
        let mut parts = level.split(',').map(str::trim);
        if let Some(word) = parts.find(|part| is_no_level(part)) {
            return Err(self.fail("log.level", format!("`{word}` is no level"), advice));
        }
        EnvFilter::try_new(level)
            .map(drop)
            .map_err(|error| self.fail("log.level", format!("not a log filter: {error}"), advice))
    }

    fn warnings(&self) -> Vec<String> {
        let Config {
            listen,
            auth,
            cache,
            admin,
            ..
        } = self.config;
        let mut warnings = Vec::new();
        if listen.reuse_port && *self.origins.of("listen.address") == Origin::Socket {
            warnings.push(
                "listen.reuse_port is not used: whoever opens the socket says so (ReusePort= of a socket unit)"
                    .to_owned(),
            );
        }
        let open = !is_local(&listen.address) && auth.allow.is_empty();
        if open && auth.mode == AuthMode::Trust {
            warnings.push(format!(
                "auth.mode = trust: whoever reaches {} is let in; restrict it with auth.allow",
                listen.address
            ));
        }
        let in_clear = matches!(auth.mode, AuthMode::Password | AuthMode::Md5);
        if in_clear && !is_local(&listen.address) && listen.tls.mode != TlsMode::Require {
            warnings.push(
                "auth.mode: without --tls require passwords can be read on the network; use scram"
                    .to_owned(),
            );
        }
        if let Some(address) = admin.address.0.as_deref().filter(|text| !is_local(text)) {
            warnings.push(format!(
                "admin.address = {address}: whoever reaches it sees the names of users, databases and tables"
            ));
        }
        if cache.result_bytes_max > cache.bytes_max {
            warnings.push(
                "cache.result_bytes_max is larger than cache.bytes_max, in which results have to fit"
                    .to_owned(),
            );
        }
        let shadowed = self.config.databases.keys();
        warnings.extend(
            shadowed
                .filter(|name| admin.is_console(name))
                .map(|name| {
                    format!("databases.{name}: admin.databases gives this name to the console, so it is never reached")
                }),
        );
        let md5_only = |user: &User| user.password.as_ref().is_some_and(is_md5);
        if auth.mode == AuthMode::Scram {
            warnings.extend(auth.users.iter().filter(|(_, user)| md5_only(user)).map(
                |(name, _)| {
                    format!("users.{name}: an MD5 verifier cannot log in with auth.mode = scram")
                },
            ));
        }
        warnings
    }
}

/// Whether a part of a log filter is a single word, and none of the levels.
fn is_no_level(part: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_word = part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part))
}

/// Whether only this machine reaches the address.
fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `md5` and 32 hexadecimal digits, Postgres's own rule (get_password_type).
fn is_md5(password: &Secret) -> bool {
    password.expose().strip_prefix("md5").is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// False for what begins as a SCRAM verifier and is none. Postgres would take it for a password in
/// clear, which nobody means.
fn verifier_is_whole(password: &Secret) -> bool {
    let Some(rest) = password.expose().strip_prefix("SCRAM-SHA-256$") else {
        return true;
    };
    let parts: Vec<&str> = rest.split([':', '$']).collect();
    let key = |text: &str| STANDARD.decode(text).is_ok_and(|key| key.len() == 32);
    match parts.as_slice() {
        [iterations, salt, stored, server] => {
            iterations.parse::<u32>().is_ok_and(|count| count > 0)
                && STANDARD.decode(salt).is_ok_and(|salt| !salt.is_empty())
                && key(stored)
                && key(server)
        }
        _ => false,
    }
}
