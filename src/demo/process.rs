//! A child process that does not outlive us: what it says goes to a file, and it ends with its value.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;

/// How often to look whether something has happened; nobody tells us.
const POLL: Duration = Duration::from_millis(10);

/// How long anything may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a process may take to end after it was told to; then it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// How much of a failed process's log is shown.
const LOG_LINES_MAX: usize = 12;

/// How to tell a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: gently.
    Term,
    /// SIGQUIT: to Postgres "at once, nothing is worth keeping".
    Quit,
}

impl Stop {
    fn as_str(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Quit => "QUIT",
        }
    }
}

/// A running process and all that it started. Dropped, it is told to end and waited for.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    stop: Stop,
}

impl Process {
    /// Starts `command`, in a process group of its own: a Ctrl-C in the terminal is for us, who
    /// then end the others in order.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(
        command: &mut Command,
        name: &'static str,
        log: &Path,
        stop: Stop,
    ) -> Result<Self, Error> {
        let failed = |error| Error::io(format!("cannot start {name}"), error);
        let file = File::create(log).map_err(failed)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
            stop,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its log has a line with `text`.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn wait_for(&mut self, text: &str) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            // Asked first: what it said before it ended is then in the log.
            let ended = self.poll()?.is_some();
            if self.said().contains(text) {
                return Ok(());
            }
            if ended {
                return Err(self.ended());
            }
            self.keep_waiting(start).await?;
        }
    }

    /// Waits for its end, which must be a success; gives what it said.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub async fn finish(mut self) -> Result<String, Error> {
        let start = Instant::now();
        loop {
            match self.poll()? {
                Some(status) if status.success() => return Ok(self.said()),
                Some(_) => return Err(self.ended()),
                None => self.keep_waiting(start).await?,
            }
        }
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>, Error> {
        let name = self.name;
        let status = self.child.try_wait();
        status.map_err(|error| Error::io(format!("cannot wait for {name}"), error))
    }

    async fn keep_waiting(&self, start: Instant) -> Result<(), Error> {
        if start.elapsed() > PATIENCE {
            let name = self.name;
            return Err(Error::Slow { name });
        }
        sleep(POLL).await;
        Ok(())
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn ended(&self) -> Error {
        let said = self.said();
        let lines: Vec<&str> = said.trim_end().lines().collect();
        let tail = lines.len().saturating_sub(LOG_LINES_MAX);
        Error::Ended {
            name: self.name,
            log: lines.get(tail..).unwrap_or_default().join("\n"),
        }
    }

    fn signal(&self, signal: &str) {
        // The standard library sends SIGKILL only, and that to a single process. The shell's own
        // `kill` is there wherever a shell is. Nothing can be done when it fails.
        let _sent = Command::new("sh")
            .args(["-c", "kill -s \"$1\" -- \"-$2\"", "sh", signal])
            .arg(self.id().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(self.stop.as_str());
        let start = Instant::now();
        while start.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        self.signal("KILL");
        let _status = self.child.wait();
    }
}
