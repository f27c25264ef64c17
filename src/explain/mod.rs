//! `pgweir explain`: what the cache makes of a text, without running it.
//!
//! The catalog of the upstream is read once, over a connection like those that pgweir asks its own
//! questions over; [`judge`] then takes the steps that a session takes before it looks into the
//! cache, [`text`] and [`json`] say what came of them.

pub mod json;
pub mod judge;
#[cfg(test)]
mod tests;
pub mod text;

use std::fmt;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use self::judge::{Asked, Explanation};
use crate::catalog::{Lost, Snapshot, load_once};
use crate::config::{self, Config, ConfigError, Environment, Flags};
use crate::listen;
use crate::pool::control::control;
use crate::pool::pools::Pools;
use crate::pool::upstream::{ConnectError, Credential, Login};
use crate::wire::error::PgError;

/// Longer texts are passed on unread by the proxy: there is nothing to explain.
const TEXT_MAX: usize = 1024 * 1024;

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The text; `-` stands for standard input.
    pub text: String,
    /// For a program.
    pub json: bool,
    /// As a client names them.
    pub database: Option<String>,
    pub user: Option<String>,
}

/// Why a text could not be explained.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("standard input: {0}")]
    Input(io::Error),
    #[error("the text is empty")]
    Empty,
    #[error("the text has more than {TEXT_MAX} bytes; pgweir passes such texts on unread")]
    Long,
    #[error("the upstream's URL names no {0}; say which with --{0}")]
    Unnamed(&'static str),
    #[error("{0}")]
    Refused(PgError),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("the catalog cannot be read: {0}")]
    Catalog(#[from] Lost),
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
}

impl Failed {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint().map(str::to_owned),
            Self::Refused(error) => error.hint.clone(),
            Self::Config(_)
            | Self::Input(_)
            | Self::Empty
            | Self::Long
            | Self::Unnamed(_)
            | Self::Catalog(_)
            | Self::Runtime(_) => None,
        }
    }
}

/// Answers the question on standard output.
pub fn run(flags: &Flags, env: &Environment, question: &Question) -> ExitCode {
    let answer = match answer(flags, env, question) {
        Ok(answer) => answer,
        Err(failed) => {
            tell(&format!("pgweir: {failed}"));
            if let Some(hint) = failed.hint() {
                tell(&format!("hint: {hint}"));
            }
            return ExitCode::FAILURE;
        }
    };
    let mut out = io::stdout().lock();
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_unwritable) => ExitCode::FAILURE,
    }
}

fn tell(line: &impl fmt::Display) {
    // If standard error is closed there is nobody to tell.
    let _told = writeln!(io::stderr().lock(), "{line}");
}

fn answer(flags: &Flags, env: &Environment, question: &Question) -> Result<String, Failed> {
    // Nobody logs in here: how clients would have to does not matter.
    let flags = flags.clone().with("auth.mode", "trust");
    let loaded = config::load(&flags, env)?;
    for warning in &loaded.warnings {
        tell(&format!("warning: {warning}"));
    }
    let config = &loaded.config;
    let text = text_of(question)?;
    let database = named(
        "database",
        question.database.as_ref(),
        config.upstream.database.as_ref(),
    )?;
    let url_user = Some(&config.upstream.user).filter(|user| !user.is_empty());
    let user = named("user", question.user.as_ref(), url_user)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failed::Runtime)?;
    let snapshot = runtime.block_on(snapshot(config, &database, &user))?;
    let asked = Asked {
        text: &text,
        database: &database,
        user: &user,
    };
    let explanation = Explanation::new(&asked, config, &snapshot);
    Ok(if question.json {
        json::render(&explanation)
    } else {
        explanation.to_string()
    })
}

fn text_of(question: &Question) -> Result<Vec<u8>, Failed> {
    let text = if question.text == "-" {
        let mut text = Vec::new();
        let limit = TEXT_MAX as u64 + 1;
        let read = io::stdin().lock().take(limit).read_to_end(&mut text);
        read.map_err(Failed::Input)?;
        text
    } else {
        question.text.clone().into_bytes()
    };
    if text.trim_ascii().is_empty() {
        return Err(Failed::Empty);
    }
    if text.len() > TEXT_MAX {
        return Err(Failed::Long);
    }
    Ok(text)
}

fn named(
    what: &'static str,
    given: Option<&String>,
    of_url: Option<&String>,
) -> Result<String, Failed> {
    given.or(of_url).cloned().ok_or(Failed::Unnamed(what))
}

/// The catalog of the database that clients call `database`.
async fn snapshot(config: &Config, database: &str, user: &str) -> Result<Snapshot, Failed> {
    let plan = listen::plan(config);
    let declared = plan.declared.clone();
    let login = login(&Pools::new(plan), config, database, user)?;
    // On the heap: a login is a large future.
    let (client, _task) = Box::pin(control(&login)).await?;
    Ok(Box::pin(load_once(&client, &declared)).await?)
}

/// How to log in: as the upstream's URL says, or as the client if that names nobody.
fn login(pools: &Pools, config: &Config, database: &str, user: &str) -> Result<Login, Failed> {
    let login = pools.control_login(database).map_err(Failed::Refused)?;
    if !login.user.is_empty() {
        return Ok(login);
    }
    let known = config.auth.users.get(user);
    let credential = known
        .and_then(|user| user.password.clone())
        .map_or(Credential::None, Credential::Password);
    pools
        .client_login(database, user, credential)
        .map_err(Failed::Refused)
}
