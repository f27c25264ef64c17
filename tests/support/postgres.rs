//! Throw-away Postgres servers on loopback ports. Each dies with the process that started it.
//!
//! A cluster is made once for each version and kept as a template; a server starts on a copy.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) use super::install::{Install, installs};
use super::wire::Client;
use super::{certificates, eventually, free_port};

/// The password of the role `app`.
pub(crate) const PASSWORD: &str = "correct horse";

/// How users other than `postgres` (always trusted) log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Trust,
    Password,
    Md5,
    Scram,
    /// A client certificate whose common name is the user; implies TLS.
    Cert,
}

impl Login {
    fn hba(self) -> &'static str {
        match self {
            Self::Trust => "host all all 127.0.0.1/32 trust",
            Self::Password => "host all all 127.0.0.1/32 password",
            Self::Md5 => "host all all 127.0.0.1/32 md5",
            Self::Scram => "host all all 127.0.0.1/32 scram-sha-256",
            Self::Cert => "hostssl all all 127.0.0.1/32 cert",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) major: u32,
    pub(crate) address: SocketAddr,
    /// The data directory; also holds `ca.crt`, `server.crt`, `client.crt` and `client.key` with TLS.
    pub(crate) dir: PathBuf,
    install: Install,
    supervisor: Child,
}

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) install: Install,
    pub(crate) login: Login,
    pub(crate) tls: bool,
    /// Lines for postgresql.conf.
    pub(crate) conf: String,
}

impl Options {
    pub(crate) fn new(install: Install) -> Self {
        Self {
            install,
            login: Login::Trust,
            tls: false,
            conf: String::new(),
        }
    }
}

impl Postgres {
    /// The oldest version found, trusting everybody, with the role `app`.
    pub(crate) fn start() -> Self {
        Self::start_with(&Options::new(installs().swap_remove(0)))
    }

    pub(crate) fn start_with(options: &Options) -> Self {
        let owner = owner();
        let base = base(owner);
        let template = template(&options.install, &base, owner);
        let mut log = String::new();
        for _ in 0..5 {
            let dir = free_folder(&base);
            run(Command::new("cp")
                .args(["-a", "-T"])
                .args([&template, &dir]));
            match Self::launch(options, dir, owner) {
                Ok(server) => {
                    server.prepare(options.login);
                    return server;
                }
                Err(why) => log = why,
            }
        }
        panic!("Postgres does not start: {log}");
    }

    /// Its log when it ended at once: somebody else took the port.
    fn launch(options: &Options, dir: PathBuf, owner: Owner) -> Result<Self, String> {
        let port = free_port();
        configure(options, &dir, port, owner);
        let server = Self {
            major: options.install.major,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            supervisor: supervise(&options.install, &dir, owner),
            install: options.install.clone(),
            dir,
        };
        if server.comes_up() {
            return Ok(server);
        }
        Err(fs::read_to_string(server.dir.join("postgres.log")).unwrap_or_default())
    }

    fn comes_up(&self) -> bool {
        eventually("Postgres to start", || {
            if self.dir.join("ended").exists() {
                return Some(false);
            }
            let admin = [("user", "postgres"), ("database", "postgres")];
            Client::connect(self.address, &admin)
                .is_ok()
                .then_some(true)
        })
    }

    /// Shuts it down as an administrator would ("fast"); [`Postgres::start_again`] brings it back.
    pub(crate) fn shut_down(&mut self) {
        fs::write(self.dir.join("keep"), "").unwrap();
        let file = fs::read_to_string(self.dir.join("postmaster.pid")).unwrap();
        let pid = file.lines().next().unwrap();
        run(Command::new("kill").arg("-INT").arg(pid));
        eventually("Postgres to shut down", || {
            self.dir.join("ended").exists().then_some(())
        });
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().unwrap();
        fs::remove_file(self.dir.join("ended")).unwrap();
    }

    /// On the same port with the same data.
    pub(crate) fn start_again(&mut self) {
        fs::remove_file(self.dir.join("keep")).unwrap();
        self.supervisor = supervise(&self.install, &self.dir, owner());
        assert!(self.comes_up(), "Postgres did not come back");
    }

    fn prepare(&self, login: Login) {
        let mut admin = self.admin();
        if login == Login::Md5 {
            admin.run("set password_encryption = 'md5'");
        }
        admin.run(&format!("create role app login password '{PASSWORD}'"));
        admin.run("grant all on schema public to app");
    }

    /// A direct connection of the superuser to the database `postgres`.
    pub(crate) fn admin(&self) -> Client {
        Client::connect(
            self.address,
            &[("user", "postgres"), ("database", "postgres")],
        )
        .unwrap()
    }

    /// The connection string for a user of this server.
    pub(crate) fn url(&self, user: &str) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!("postgres://{user}:{password}@{}/postgres", self.address)
    }

    /// Pooled upstream connections for which this holds, as `admin` sees them.
    pub(crate) fn upstreams(admin: &mut Client, which: &str) -> usize {
        let count = format!(
            "select count(*) from pg_stat_activity where backend_type = 'client backend' \
             and pid <> pg_backend_pid() and application_name <> 'pgweir control' and {which}"
        );
        admin.value(&count).parse().unwrap()
    }

    /// Ends every connection but the asking one's, and waits until the pooled ones are gone; the
    /// control connection comes back by itself.
    pub(crate) fn end_all(&self) {
        let mut admin = self.admin();
        let others = "from pg_stat_activity where pid <> pg_backend_pid() \
                      and backend_type = 'client backend'";
        admin.run(&format!("select pg_terminate_backend(pid) {others}"));
        eventually("all backends to be gone", || {
            (Self::upstreams(&mut admin, "true") == 0).then_some(())
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

fn supervise(install: &Install, dir: &Path, owner: Owner) -> Child {
    let log = File::create(dir.join("postgres.log")).unwrap();
    let mut command = as_owner(owner, install, "sh");
    command.arg("-c").arg(SUPERVISE).arg("sh");
    command.arg(install.bin.join("postgres")).arg(dir);
    command
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.process_group(0).spawn().unwrap()
}

/// Runs Postgres until our end of the pipe is closed, by `Drop` or by the death of the test.
const SUPERVISE: &str = r#"
exec 3<&0
"$1" -D "$2" </dev/null 3<&- & server=$!
{ cat <&3 >/dev/null; kill -QUIT $server 2>/dev/null; } &
exec 3<&-
wait $server
touch "$2/ended"
wait
[ -e "$2/keep" ] || rm -rf "$2"
"#;

fn configure(options: &Options, dir: &Path, port: u16, owner: Owner) {
    let mut conf = format!(
        "port = {port}\nunix_socket_directories = '{}'\n",
        dir.display()
    );
    if options.tls || options.login == Login::Cert {
        certificates::make(dir);
        if let Some((uid, gid)) = owner {
            chown(dir.join("server.key"), Some(uid), Some(gid)).unwrap();
        }
        conf += "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n";
        conf += "ssl_ca_file = 'ca.crt'\n";
    }
    conf += &options.conf;
    let mut file = File::options()
        .append(true)
        .open(dir.join("postgresql.conf"))
        .unwrap();
    file.write_all(conf.as_bytes()).unwrap();
    let replication = "host replication all 127.0.0.1/32 trust";
    let hba = format!(
        "host all postgres 127.0.0.1/32 trust\nlocal all all trust\n{}\n{replication}\n",
        options.login.hba()
    );
    fs::write(dir.join("pg_hba.conf"), hba).unwrap();
}

/// User and group to run Postgres as, if not our own.
type Owner = Option<(u32, u32)>;

/// Postgres refuses to run as root; then it runs as the user `postgres`.
fn owner() -> Owner {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let ask = |flag| {
        let output = Command::new("id")
            .args([flag, "postgres"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    Some((ask("-u"), ask("-g")))
}

/// A command that runs as Postgres' user.
fn as_owner(owner: Owner, install: &Install, program: &str) -> Command {
    let mut command = match owner {
        None => Command::new(program),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={uid}"))
                .arg(format!("--regid={gid}"));
            command.arg("--clear-groups").arg(program);
            command
        }
    };
    if let Some(lib) = &install.lib {
        command.env("LD_LIBRARY_PATH", lib);
    }
    command.current_dir("/");
    command
}

/// Where clusters live. Not under target/: Postgres' user may not be able to go there.
fn base(owner: Owner) -> PathBuf {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let base = std::env::temp_dir().join(format!("pgweir-tests-{uid}"));
    fs::create_dir_all(&base).unwrap();
    if let Some((uid, gid)) = owner {
        chown(&base, Some(uid), Some(gid)).unwrap();
    }
    base
}

/// The cluster to copy, made by whichever test process comes first.
fn template(install: &Install, base: &Path, owner: Owner) -> PathBuf {
    let name = format!("template-{}-v{TEMPLATE_VERSION}", install.major);
    let dir = base.join(&name);
    let lock = File::create(base.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if dir.join("complete").exists() {
        return dir;
    }
    fs::remove_dir_all(&dir).ok();
    let initdb = install.bin.join("initdb");
    let mut command = as_owner(owner, install, initdb.to_str().unwrap());
    command.args([
        "-A",
        "trust",
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    command.args(["--wal-segsize=1", "-D"]).arg(&dir);
    run(&mut command);
    let mut conf = File::options()
        .append(true)
        .open(dir.join("postgresql.conf"))
        .unwrap();
    conf.write_all(CONF.as_bytes()).unwrap();
    File::create(dir.join("complete")).unwrap();
    dir
}

/// Goes up when what the template contains changes.
const TEMPLATE_VERSION: u32 = 1;

const CONF: &str = "
listen_addresses = '127.0.0.1'
max_connections = 200
max_prepared_transactions = 10
wal_level = logical
max_wal_size = 256MB
shared_buffers = 32MB
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
";

/// One that was never there: numbers of processes come again, and what was killed leaves its folder behind.
fn free_folder(base: &Path) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("pg-").tempdir_in(base);
    folder.unwrap().keep()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
