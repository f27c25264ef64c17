//! Events: one line for each connection's end and each error, never a query's text.

use std::fmt;
use std::io::{self, Write};
use std::time::SystemTime;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{Log, LogFormat};
use crate::moment;

/// Each line's time: written by us, for one client in a line makes it a part of what a connection costs.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        moment::stamp(out, SystemTime::now())
    }
}

/// Each event is a line, and is written at once. Line ends inside it are somebody's words, often those of
/// clients that have not logged in: as they are they would begin lines that look like ours.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        if memchr::memchr2(b'\n', b'\r', line).is_none() {
            self.0.write_all(event)?;
            return Ok(event.len());
        }
        let mut escaped = Vec::with_capacity(event.len() + 16);
        for byte in line {
            match byte {
                b'\n' => escaped.extend_from_slice(b"\\n"),
                b'\r' => escaped.extend_from_slice(b"\\r"),
                other => escaped.push(*other),
            }
        }
        escaped.extend_from_slice(event.get(line.len()..).unwrap_or_default());
        self.0.write_all(&escaped)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Which events are written, to be changed while the process runs.
pub struct Level(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level").finish_non_exhaustive()
    }
}

impl Level {
    /// From now on those of this level, or as many as this filter lets through.
    ///
    /// # Errors
    /// A level that cannot be read, as a text.
    pub fn set(&self, level: &str) -> Result<(), String> {
        (self.0)(filter(level)?).map_err(|error| error.to_string())
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|error| format!("log.level = \"{level}\": {error}"))
}

/// Starts writing events to standard error.
///
/// # Errors
/// A level that cannot be read, as a text.
pub fn start(log: &Log) -> Result<Level, String> {
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level)?)
        .with_timer(Clock)
        .with_writer(|| OneLine(io::stderr()));
    let (started, level) = match log.format {
        LogFormat::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            let events = events.with_ansi(is_terminal).with_filter_reloading();
            let handle = events.reload_handle();
            let set = move |filter: EnvFilter| handle.reload(filter);
            (events.try_init(), Level(Box::new(set)))
        }
        LogFormat::Json => {
            let events = events.json().with_filter_reloading();
            let handle = events.reload_handle();
            let set = move |filter: EnvFilter| handle.reload(filter);
            (events.try_init(), Level(Box::new(set)))
        }
    };
    started.map_err(|error| error.to_string())?;
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        for (event, expected) in [
            ("plain\n", "plain\n"),
            ("who=a\nINFO b\r\n\n", "who=a\\nINFO b\\r\\n\n"),
            ("no end", "no end"),
        ] {
            let mut lines = OneLine(Vec::new());
            assert_eq!(lines.write(event.as_bytes()).unwrap(), event.len());
            assert_eq!(lines.0, expected.as_bytes());
        }
    }
}
