//! From a client that has proven who it is to a session: the greeting it gets.

use std::cell::RefCell;
use std::sync::Arc;

use super::Session;
use super::ask::AskError;
use super::caching::Caching;
use super::cancel::Registered;
use super::client::Client;
use super::deferred::Deferred;
use super::held::Held;
use super::refuse::Rules;
use super::state::State;
use crate::pool::pools::Found;
use crate::pool::startups::Effect;
use crate::pool::state::{IN_PARTS, Reported, Setting, Settings};
use crate::pool::upstream::Parameter;
use crate::pool::{LeaseError, Pool};
use crate::stream::Stream;
use crate::wire::error::{self, PgError};
use crate::wire::frame;
use crate::wire::trouble;

/// Why a session could not start, in the words that its client gets.
#[derive(Debug)]
pub struct Refused {
    /// A whole ErrorResponse frame.
    pub frame: Vec<u8>,
    pub message: String,
}

impl From<PgError> for Refused {
    fn from(error: PgError) -> Self {
        let mut frame = Vec::new();
        error.encode(&mut frame);
        Self {
            frame,
            message: error.message.clone(),
        }
    }
}

impl From<LeaseError> for Refused {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Exhausted(error) => error.into(),
            LeaseError::Connect(error) => {
                let mut frame = Vec::new();
                error.encode_for_known(&mut frame);
                Self {
                    frame,
                    message: error.to_string(),
                }
            }
        }
    }
}

impl Session {
    /// Starts a session on a connection whose client is let in, under what its parameters come to: what is
    /// still to be sent to it goes first, then the upstream's parameters, the cancel key, and that it may
    /// begin.
    pub fn open(
        (stream, pending): (Stream, Vec<u8>),
        (settings, reported): Effect,
        (found, caching): (Found, Option<Arc<Caching>>),
        registered: Registered,
    ) -> Box<Self> {
        let mut client = Client::new(stream);
        let out = client.out.buffer();
        out.extend_from_slice(&pending);
        push_reported(out, &reported);
        let (pid, key) = registered.key_data();
        frame::push(out, b'K', &[&pid.to_be_bytes(), key]);
        frame::push(out, b'Z', &[b"I"]);
        Box::new(Self {
            client,
            state: State::new(settings, reported),
            held: None,
            pool: found.pool,
            rules: Rules {
                mode: found.mode,
                pin: found.pin,
            },
            registered,
            deferred: Deferred::No,
            caching,
            asking: None,
            waiting: None,
        })
    }
}

/// What is reported, and the frames that report it.
type Written = (Arc<Reported>, Box<[u8]>);

thread_local! {
    // One for each thread: clients of several databases that take turns are greeted as the first was.
    static LATEST: RefCell<Option<Written>> = const { RefCell::new(None) };
}

/// Appends a ParameterStatus for each value: as they were written for the client before, if it was told
/// the same.
fn push_reported(out: &mut Vec<u8>, reported: &Arc<Reported>) {
    LATEST.with_borrow_mut(|latest| match latest {
        Some((of, frames)) if Arc::ptr_eq(of, reported) => out.extend_from_slice(frames),
        _ => {
            let start = out.len();
            for (name, value) in reported.iter() {
                frame::push(out, b'S', &[name, b"\0", value, b"\0"]);
            }
            let frames = out.get(start..).unwrap_or_default();
            *latest = Some((Arc::clone(reported), frames.into()));
        }
    });
}

/// The settings that the start-up parameters come to, and what is reported under them, if an earlier
/// client with the same ones has had it found out.
pub fn known_effect(pool: &Pool, startup: &[Parameter]) -> Option<Effect> {
    let (settings, reported) = pool.startups().find(&key_of(startup))?;
    let greeting = pool.greeting()?;
    // What came to the defaults did so under this greeting, or one like it.
    let holds = !settings.is_empty() || Arc::ptr_eq(&reported, &greeting) || *reported == *greeting;
    holds.then_some((settings, reported))
}

/// The same, found out if it is not known.
///
/// Parameters other than the defaults are tried on an upstream, because only it knows whether they
/// are valid and how it spells them; the next client with the same ones pays no round trip.
///
/// # Errors
/// What the client has to be told.
pub async fn effect_of(pool: &Arc<Pool>, startup: &[Parameter]) -> Result<Effect, Refused> {
    let greeting = match pool.greeting() {
        Some(greeting) => greeting,
        None => {
            let lease = pool.lease().await?;
            let reported = Arc::clone(&lease.reported);
            lease.give_back();
            reported
        }
    };
    if let Some(effect) = known_effect(pool, startup) {
        return Ok(effect);
    }
    let key = key_of(startup);
    let mut settings = Settings::default();
    for (name, value) in startup {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        settings.set(&name, Setting::Value(value.clone()));
    }
    drop_defaults(&mut settings, &greeting);
    if settings.is_empty() {
        let settings = Settings::defaults();
        pool.startups().remember(key, &settings, &greeting);
        return Ok((settings, greeting));
    }
    let (settings, reported) = try_on_upstream(pool, settings).await?;
    pool.startups().remember(key, &settings, &reported);
    Ok((settings, reported))
}

/// The parameters as bytes; no name and no value has a NUL.
fn key_of(startup: &[Parameter]) -> Vec<u8> {
    let bytes = startup
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2);
    let mut key = Vec::with_capacity(bytes.sum());
    for part in startup.iter().flat_map(|(name, value)| [name, value]) {
        key.extend_from_slice(part);
        key.push(0);
    }
    key
}

async fn try_on_upstream(pool: &Arc<Pool>, mut settings: Settings) -> Result<Effect, Refused> {
    let mut held = Held::new(pool.lease().await?, None, tokio::time::Instant::now());
    let sql = held.settings.now().difference(&settings);
    if !sql.is_empty() {
        match held.ask(&sql).await {
            Ok(_) => {}
            Err(AskError::Upstream(body)) => {
                // The query was one transaction, so nothing of it lasts.
                held.lease.give_back();
                return Err(fatal(&body));
            }
            Err(AskError::Lost(reason)) => {
                held.lease.discard("lost while a session started");
                return Err(PgError::fatal(&trouble::LOST_AT_START, reason).into());
            }
        }
    }
    let reported = Arc::clone(&held.lease.reported);
    if settings.find(IN_PARTS).is_some()
        && let Some(value) = reported.find(b"DateStyle")
    {
        settings.set(IN_PARTS, Setting::Value(value.into()));
    }
    held.lease.settings = Arc::new(settings.clone());
    if let Some(greeting) = pool.greeting() {
        drop_defaults_spelled(&mut settings, &greeting, &reported);
    }
    held.lease.give_back();
    let settings = if settings.is_empty() {
        Settings::defaults()
    } else {
        Arc::new(settings)
    };
    Ok((settings, reported))
}

/// Parameters that ask for what is reported anyway need not be set.
fn drop_defaults(settings: &mut Settings, greeting: &Reported) {
    let same: Vec<String> = settings
        .iter()
        .filter(|(name, setting)| match setting {
            Setting::Value(value) => greeting
                .find(name.as_bytes())
                .is_some_and(|reported| value.eq_ignore_ascii_case(reported)),
            Setting::Sql(_) => false,
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in same {
        settings.remove(&name);
    }
}

/// The same after the upstream spelled them its own way (`utf-8` is `UTF8`).
fn drop_defaults_spelled(settings: &mut Settings, greeting: &Reported, reported: &Reported) {
    let same: Vec<String> = settings
        .iter()
        .map(|(name, _)| name.to_owned())
        .filter(|name| {
            let name = name.as_bytes();
            greeting.find(name).is_some() && greeting.find(name) == reported.find(name)
        })
        .collect();
    for name in same {
        settings.remove(&name);
    }
}

/// The upstream's error with the severity it has at start-up.
pub(super) fn fatal(body: &[u8]) -> Refused {
    let mut fields = Vec::with_capacity(body.len());
    for (kind, text) in error::fields(body) {
        fields.push(kind);
        fields.extend_from_slice(match kind {
            b'S' | b'V' => b"FATAL",
            _ => text,
        });
        fields.push(0);
    }
    let mut whole = Vec::new();
    frame::push(&mut whole, b'E', &[&fields, b"\0"]);
    let message = error::field(body, b'M').unwrap_or_default();
    Refused {
        frame: whole,
        message: String::from_utf8_lossy(message).into_owned(),
    }
}
