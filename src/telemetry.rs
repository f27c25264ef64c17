//! Events: one line for each connection's end and each error, never a query's text.

use std::fmt;
use std::io::{self, Write};
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
        .with_writer(|| OneLine(io::stderr()));
    let started = match log.format {
        LogFormat::Text => events
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
        LogFormat::Json => events.json().try_init(),
    };
    started.map_err(|error| error.to_string())
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
