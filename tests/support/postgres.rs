//! Throw-away Postgres servers on loopback ports. Each dies with the process that started it.
//!
//! A cluster is made once for each version and kept as a template; a server starts on a copy.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::wire::Client;
use super::{eventually, free_port};

/// The password of the role `app`.
pub(crate) const PASSWORD: &str = "correct horse";

/// A PostgreSQL found on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Install {
    pub(crate) major: u32,
    bin: PathBuf,
    /// The unpacked npm package needs its own libraries.
    lib: Option<PathBuf>,
}

/// The versions to test on, oldest first: Debian's, and 18 where `PGWEIR_TEST_PG18` says it is.
pub(crate) fn installs() -> Vec<Install> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<Install> = debian
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            bin.join("initdb").exists().then_some(Install {
                major,
                bin,
                lib: None,
            })
        })
        .collect();
    if let Some(dir) = std::env::var_os("PGWEIR_TEST_PG18").map(PathBuf::from) {
        let bin = dir.join("bin");
        assert!(
            bin.join("initdb").exists(),
            "PGWEIR_TEST_PG18 has no bin/initdb"
        );
        found.push(Install {
            major: 18,
            bin,
            lib: Some(dir.join("lib")),
        });
    }
    found.sort_by_key(|install| install.major);
    assert!(
        !found.is_empty(),
        "no PostgreSQL found: install one (Debian: apt install postgresql), scripts/test.sh does"
    );
    found
}

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
            let dir = base.join(format!("pg-{}-{}", std::process::id(), next_number()));
            run(Command::new("cp").arg("-a").arg(&template).arg(&dir));
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
        let log = File::create(dir.join("postgres.log")).unwrap();
        let mut command = as_owner(owner, &options.install, "sh");
        command.arg("-c").arg(SUPERVISE).arg("sh");
        command.arg(options.install.bin.join("postgres")).arg(&dir);
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let supervisor = command.process_group(0).spawn().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let up = eventually("Postgres to start", || {
            if dir.join("ended").exists() {
                return Some(false);
            }
            let admin = [("user", "postgres"), ("database", "postgres")];
            Client::connect(address, &admin).is_ok().then_some(true)
        });
        let log = fs::read_to_string(dir.join("postgres.log")).unwrap_or_default();
        let server = Self {
            major: options.install.major,
            address,
            dir,
            supervisor,
        };
        if up { Ok(server) } else { Err(log) }
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

    /// Ends every connection but the asking one's, and waits until they are gone.
    pub(crate) fn end_all(&self) {
        let mut admin = self.admin();
        let others = "from pg_stat_activity where pid <> pg_backend_pid() \
                      and backend_type = 'client backend'";
        admin.run(&format!("select pg_terminate_backend(pid) {others}"));
        eventually("all backends to be gone", || {
            (admin.value(&format!("select count(*) {others}")) == "0").then_some(())
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().ok();
    }
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
rm -rf "$2"
"#;

fn configure(options: &Options, dir: &Path, port: u16, owner: Owner) {
    let mut conf = format!(
        "port = {port}\nunix_socket_directories = '{}'\n",
        dir.display()
    );
    if options.tls || options.login == Login::Cert {
        certificates(dir, owner);
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

/// A certificate authority, the server's certificate and one for the user `app`.
fn certificates(dir: &Path, owner: Owner) {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(params, authority);
    fs::write(dir.join("ca.crt"), root.pem()).unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    for (file, names, common) in [
        ("server", names, "localhost"),
        ("client", Vec::new(), "app"),
    ] {
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, common);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(dir.join(format!("{file}.crt")), certificate.pem()).unwrap();
        let path = dir.join(format!("{file}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let (Some((uid, gid)), "server") = (owner, file) {
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
    }
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

fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
