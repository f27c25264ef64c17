//! Events: one line for each connection's end and each error, never a query's text.

use std::fmt;
use std::time::SystemTime;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Log, LogFormat};
use crate::moment;

/// Each line's time: written by us, for one client in a line makes it a part of what a connection costs.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        moment::stamp(out, SystemTime::now())
    }
}

/// Starts writing events to standard error.
///
/// # Errors
/// A level that cannot be read, as a text.
pub fn start(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| format!("log.level = \"{}\": {error}", log.level))?;
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Clock)
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => events
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => events.json().try_init(),
    };
    started.map_err(|error| error.to_string())
}
