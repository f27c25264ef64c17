//! `pgweir check`: a configuration, the proxy that runs with it, or what a PgBouncer's would be.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::Check;
use crate::config::{self, Config, Environment, Flags};
use crate::listen::Passed;
use crate::live;
use crate::migrate;
use crate::tls;
use crate::tls::client::Connector;
use crate::tls::server::Acceptor;

/// Prints what was asked for, or what is wrong with it, and fails then.
pub fn check(what: &Check, flags: &Flags, env: &Environment) -> ExitCode {
    let mut out = io::stdout().lock();
    let mut err = io::stderr().lock();
    let checked = match what {
        Check::Config => report(flags, env, &mut out, &mut err),
        Check::Live => alive(flags, env, &mut out, &mut err),
        Check::FromPgBouncer(path) => translate(path, &mut out, &mut err),
    };
    match checked {
        Ok(code) => code,
        // A reader that has seen enough (`| head`) is no failure of the configuration.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_unwritable) => ExitCode::FAILURE,
    }
}

fn report(
    flags: &Flags,
    env: &Environment,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let passed = match Passed::take(env) {
        Ok(passed) => passed,
        Err(error) => return unusable(&error, err),
    };
    match config::load(&flags.clone().sockets(passed.addresses()), env) {
        Ok(loaded) => {
            if let Err(error) = certificates(&loaded.config) {
                return unusable(&error, err);
            }
            for warning in passed.warning.iter().chain(&loaded.warnings) {
                writeln!(err, "warning: {warning}")?;
            }
            write!(out, "{}", loaded.show())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => unusable(&error, err),
    }
}

/// Reads what the TLS of both sides is made of, as the start and the first connection would.
fn certificates(config: &Config) -> Result<(), String> {
    let said = |key: &str, error: tls::Error| format!("{key}: {error}");
    Acceptor::new(&config.listen.tls).map_err(|error| said("listen.tls", error))?;
    Connector::new(&config.upstream.tls).map_err(|error| said("upstream.url", error))?;
    for (name, database) in &config.databases {
        if let Some(target) = &database.target {
            let key = format!("databases.{name}.url");
            Connector::new(&target.tls).map_err(|error| said(&key, error))?;
        }
    }
    Ok(())
}

fn unusable(error: &impl Display, err: &mut impl Write) -> io::Result<ExitCode> {
    writeln!(err, "pgweir: {error}")?;
    Ok(ExitCode::FAILURE)
}

fn alive(
    flags: &Flags,
    env: &Environment,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let loaded = match config::load(flags, env) {
        Ok(loaded) => loaded,
        Err(error) => return unusable(&error, err),
    };
    match live::check(&loaded.config.listen) {
        Ok(answer) => writeln!(out, "{answer}").map(|()| ExitCode::SUCCESS),
        Err(why) => writeln!(err, "{why}").map(|()| ExitCode::FAILURE),
    }
}

fn translate(path: &Path, out: &mut impl Write, err: &mut impl Write) -> io::Result<ExitCode> {
    match migrate::from_pgbouncer(path) {
        Ok(translated) => {
            write!(out, "{}", translated.toml)?;
            out.flush()?;
            for note in &translated.notes {
                writeln!(err, "{note}")?;
            }
            let Some(why) = &translated.unusable else {
                return Ok(ExitCode::SUCCESS);
            };
            writeln!(
                err,
                "pgweir: the translation cannot be used as it is: {why}"
            )?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            writeln!(err, "pgweir: {error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_reports_on_the_right_stream() {
        let run = |args: &[&str]| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let whole = [&["pgweir"], args].concat();
            let flags = super::super::parse_from(whole).unwrap().flags;
            let code = report(&flags, &Environment::new(), &mut out, &mut err).unwrap();
            (
                code,
                String::from_utf8(out).unwrap(),
                String::from_utf8(err).unwrap(),
            )
        };
        let (code, out, err) = run(&["check", "--upstream", "postgres://a:s3cret@db"]);
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
        assert!(
            out.contains("# flag --upstream") && !out.contains("s3cret"),
            "{out}"
        );
        let (code, out, err) = run(&["check", "--upstream", "db"]);
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(
            err.starts_with("pgweir: flag --upstream: upstream.url: "),
            "{err}"
        );
    }
}
