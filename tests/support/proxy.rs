//! The real binary as a process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use tempfile::TempDir;

use super::postgres::Postgres;
use super::wire::Client;
use super::{PATIENCE, free_port};

/// With this variable set the "proxy" is Postgres itself: the harness's check of the harness.
/// Whatever fails then is a fault of the test.
const DIRECT: &str = "PGWEIR_TEST_DIRECT";

/// Another binary than the one just built: an optimised one, or something that must fail.
const BINARY: &str = "PGWEIR_TEST_BINARY";

/// The cache's level in the tests that are not about it: whatever it is, they must pass.
const CACHE: &str = "PGWEIR_TEST_CACHE";

/// The level at which the tests of the cache run. At `off` they still run, and find nothing.
pub(crate) const LEVEL: &str = "ryw";

/// The flag that says where the web server listens, and a place that is free.
pub(crate) const ADMIN: &str = "--admin-listen";
pub(crate) const ANYWHERE: &str = "127.0.0.1:0";

/// A running pgweir. Stopped on drop.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    process: Option<Child>,
    log: Arc<Log>,
    /// Where its configuration file is, if it has one.
    folder: Option<TempDir>,
}

/// What the process said so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(Vec<String>, End)>,
    more: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Closed,
}

impl Proxy {
    /// In front of `postgres`, trusting everybody, no cache, with `size` upstreams and these further arguments.
    pub(crate) fn start(postgres: &Postgres, size: usize, arguments: &[&str]) -> Self {
        Self::start_to(postgres.address, size, arguments)
    }

    /// The same in front of whatever listens at `upstream`: a relay, for instance.
    pub(crate) fn start_to(upstream: SocketAddr, size: usize, arguments: &[&str]) -> Self {
        let url = format!("postgres://postgres@{upstream}/postgres?sslmode=disable");
        let size = size.to_string();
        let mut all = vec!["--upstream", &url, "--auth", "trust", "--pool-size", &size];
        let level = std::env::var(CACHE).unwrap_or_else(|_| "off".to_owned());
        all.extend(["--cache", &level]);
        all.extend(arguments);
        Self::run_before(upstream, &all)
    }

    /// With the cache on, which must not be noticed, in front of whatever listens at `upstream`; `settings` are
    /// lines for the configuration file.
    pub(crate) fn cached_to(upstream: SocketAddr, size: usize, settings: &str) -> Self {
        if std::env::var_os(DIRECT).is_some() {
            return Self::run_before(upstream, &[]);
        }
        // A relay in between reads frames, and the answer to a request for TLS is none.
        let usual = format!(
            "upstream.url = \"postgres://postgres@{upstream}/postgres?sslmode=disable\"\n\
             pool.size_max = {size}\ncache.level = \"{LEVEL}\"\n"
        );
        Self::configured(upstream, &(usual + settings))
    }

    /// In front of `upstream`, with exactly these arguments, `--listen` aside.
    pub(crate) fn run_before(upstream: SocketAddr, arguments: &[&str]) -> Self {
        if std::env::var_os(DIRECT).is_some() {
            return Self::at(upstream);
        }
        Self::run(arguments)
    }

    /// Whoever listens there, taken for a proxy.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            process: None,
            log: Arc::default(),
            folder: None,
        }
    }

    /// The same, where Postgres itself would not do.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        let mut said = Vec::new();
        for _ in 0..5 {
            match Self::launch(arguments) {
                Ok(proxy) => return proxy,
                Err(lines) => said = lines,
            }
        }
        panic!("pgweir does not start: {}", said.join("\n"));
    }

    /// Another process with the same configuration file on the same address.
    pub(crate) fn successor(&self) -> Self {
        let file = self.file("proxy.toml");
        Self::launch_at(self.address, &["-c", file.to_str().unwrap()]).unwrap()
    }

    fn launch(arguments: &[&str]) -> Result<Self, Vec<String>> {
        Self::launch_at(SocketAddr::from(([127, 0, 0, 1], free_port())), arguments)
    }

    fn launch_at(address: SocketAddr, arguments: &[&str]) -> Result<Self, Vec<String>> {
        let mut command = command(&["setpriv", "--pdeathsig", "KILL"]); // it dies with the thread that started it
        command
            .arg("--listen")
            .arg(address.to_string())
            .args(arguments);
        if !arguments.contains(&ADMIN) {
            // The usual port is one, and tests run side by side.
            command.args([ADMIN, ""]);
        }
        Self::spawn(address, command)
    }

    /// A command of any form that ends in a pgweir which serves at `address`.
    pub(crate) fn spawn(address: SocketAddr, command: Command) -> Result<Self, Vec<String>> {
        Self::spawn_until(address, command, "listening on ")
    }

    /// The same, until it says so.
    pub(crate) fn spawn_until(
        address: SocketAddr,
        mut command: Command,
        ready: &str,
    ) -> Result<Self, Vec<String>> {
        let mut process = command.spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, kept) = (process.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || kept.fill(stderr));
        let proxy = Self {
            address,
            process: Some(process),
            log,
            folder: None,
        };
        match proxy.log.wait_for(ready, 0) {
            Some(_) => Ok(proxy),
            None => Err(proxy.log_lines()),
        }
    }

    /// With this configuration file in front of `upstream`. Everybody is trusted and there is no cache, unless the
    /// file says otherwise.
    pub(crate) fn configured(upstream: SocketAddr, text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("proxy.toml");
        fs::write(&file, whole(upstream, text)).unwrap();
        let mut arguments = vec!["-c", file.to_str().unwrap()];
        if text.contains("admin.token") {
            arguments.extend([ADMIN, ANYWHERE]);
        }
        let mut proxy = Self::run(&arguments);
        proxy.folder = Some(folder);
        proxy
    }

    /// A file beside the configuration file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.as_ref().unwrap().path().join(name)
    }

    /// Gives it another configuration file and SIGHUP; what it said to that.
    pub(crate) fn reconfigure(&self, upstream: SocketAddr, text: &str) -> Vec<String> {
        fs::write(self.file("proxy.toml"), whole(upstream, text)).unwrap();
        let before = self.log_lines().len();
        self.signal("HUP");
        self.wait_for_log(" reloaded", before);
        self.log_lines().split_off(before)
    }

    /// Where its web server listens. It was started with [`ADMIN`] and [`ANYWHERE`].
    pub(crate) fn web(&self) -> SocketAddr {
        let line = self.wait_for_log("health at http://", 0);
        let address = line.rsplit_once("http://").unwrap().1;
        address.split(' ').next().unwrap().parse().unwrap()
    }

    /// Waits for a line with this text behind the first `from` ones.
    pub(crate) fn wait_for_log(&self, text: &str, from: usize) -> String {
        if self.process.is_none() {
            return String::new();
        }
        match self.log.wait_for(text, from) {
            Some(line) => line,
            None => panic!("it never said: {text}"),
        }
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// None when the proxy is Postgres itself.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// A client logged in as the superuser to the database `postgres`.
    pub(crate) fn client(&self) -> Client {
        self.client_as("postgres")
    }

    pub(crate) fn client_as(&self, user: &str) -> Client {
        let settings = [("user", user), ("database", "postgres")];
        match Client::connect(self.address, &settings) {
            Ok(client) => client,
            Err(why) => panic!("login as {user}: {why}; log: {:#?}", self.log_lines()),
        }
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let Some(pid) = self.pid() else { return };
        let kill = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid.to_string())
            .status();
        assert!(kill.unwrap().success());
    }

    /// Stops it as a service manager would; the exit must be a success.
    pub(crate) fn stop(self) -> Vec<String> {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn ended(mut self) -> Vec<String> {
        if let Some(mut process) = self.process.take() {
            let status = wait_or_kill(&mut process);
            assert!(
                status.success(),
                "exit {status}; log: {:#?}",
                self.log_lines()
            );
        }
        self.log_lines()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().ok();
            process.wait().ok();
        }
        if std::thread::panicking() {
            let lines = self.log_lines();
            let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or(&[]);
            eprintln!("--- the end of pgweir's log\n{}\n---", tail.join("\n"));
        }
    }
}

/// The binary, run by `wrapper`, with nothing of our environment.
pub(crate) fn command(wrapper: &[&str]) -> Command {
    let binary = std::env::var(BINARY).unwrap_or(env!("CARGO_BIN_EXE_pgweir").to_owned());
    let mut words = wrapper.iter().copied().chain([binary.as_str()]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// What stands in front of every configuration: the upstream, and the usual unless it is said.
fn whole(upstream: SocketAddr, text: &str) -> String {
    let mut whole = String::new();
    for (key, usual) in [
        (
            "upstream.url",
            format!("postgres://postgres@{upstream}/postgres"),
        ),
        ("auth.mode", "trust".to_owned()),
        ("cache.level", "off".to_owned()),
    ] {
        if !text.contains(key) {
            whole += &format!("{key} = \"{usual}\"\n");
        }
    }
    whole + text
}

/// The exit status; a process that does not end in time is killed, and that is no success.
fn wait_or_kill(process: &mut Child) -> ExitStatus {
    let start = tokio::time::Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    process.kill().ok();
    process.wait().unwrap()
}

impl Log {
    fn fill(&self, from: ChildStderr) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            self.lines.lock().unwrap().0.push(line);
            self.more.notify_all();
        }
        self.lines.lock().unwrap().1 = End::Closed;
        self.more.notify_all();
    }

    /// The line that says so, behind the first `from`; None when the process ended, or PATIENCE did, without.
    fn wait_for(&self, text: &str, from: usize) -> Option<String> {
        let seen = |lines: &Vec<String>| {
            let mut new = lines.iter().skip(from);
            new.find(|line| line.contains(text)).cloned()
        };
        let guard = self.lines.lock().unwrap();
        let waiting =
            |said: &mut (Vec<String>, End)| seen(&said.0).is_none() && said.1 == End::Open;
        let (guard, _) = self
            .more
            .wait_timeout_while(guard, PATIENCE, waiting)
            .unwrap();
        seen(&guard.0)
    }
}
