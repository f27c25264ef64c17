//! A throw-away Postgres: found, made, started, and gone with its directory.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::Error;
use super::process::{Process, Stop};
use super::scratch::Scratch;

/// The superuser.
pub const ADMIN: &str = "postgres";

/// What it says when clients may come.
const READY: &str = "database system is ready to accept connections";

/// Somebody else may take the port that we found free.
pub(super) const STARTS_MAX: usize = 5;

/// A PostgreSQL on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// Where `initdb` and `postgres` are.
    pub bin: PathBuf,
}

impl Install {
    /// The first in `PATH`, else the newest where Debian and Red Hat put them: not into `PATH`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).find_map(|bin| {
            // What PATH has may be links: the other programs are where those lead.
            let initdb = fs::canonicalize(bin.join("initdb")).ok()?;
            let bin = initdb.parent()?;
            is_install(bin).then(|| bin.to_owned())
        });
        let found = in_path.or_else(|| newest(Path::new("/usr/lib/postgresql"), ""));
        let found = found.or_else(|| newest(Path::new("/usr"), "pgsql-"));
        found.map(|bin| Self { bin }).ok_or(Error::NoPostgres)
    }

    /// Where one of its programs is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

fn is_install(bin: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|name| bin.join(name).is_file())
}

/// `<base>/<prefix><version>/bin` of the highest version that has an install.
fn newest(base: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(base).ok()?.filter_map(Result::ok);
    let versions = entries.filter_map(|entry| {
        let name = entry.file_name();
        let version: u32 = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    versions
        .filter(|(_, bin)| is_install(bin))
        .max()
        .map(|(_, bin)| bin)
}

/// What the server is for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Lines of pg_hba.conf.
    pub hba: &'a str,
    /// Lines for postgresql.conf.
    pub conf: &'a str,
    /// The password of [`ADMIN`].
    pub password: &'a str,
}

/// A running server on loopback, with TLS.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its self-signed certificate, and the key.
    pub certificate: PathBuf,
    pub key: PathBuf,
    process: Process,
}

impl Server {
    /// Makes a cluster in `scratch` and starts it.
    ///
    /// # Errors
    /// What initdb, openssl or Postgres did not like.
    pub async fn start(
        install: &Install,
        scratch: &Scratch,
        options: Options<'_>,
    ) -> Result<Self, Error> {
        let data = scratch.path().join("data");
        initdb(install, scratch, &data, options.password).await?;
        let (certificate, key) = certify(scratch).await?;
        let pem = |path: &Path| path.display().to_string();
        let conf = format!(
            "{CONF}ssl_cert_file = '{}'\nssl_key_file = '{}'\n{}\n",
            pem(&certificate),
            pem(&key),
            options.conf
        );
        append(&data.join("postgresql.conf"), &conf)?;
        let hba = data.join("pg_hba.conf");
        fs::write(&hba, options.hba).map_err(|e| Error::io("cannot write pg_hba.conf", e))?;
        let mut failure = Error::NoPostgres;
        for _ in 0..STARTS_MAX {
            match launch(install, scratch, &data).await {
                Ok((process, address)) => {
                    return Ok(Self {
                        address,
                        certificate,
                        key,
                        process,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The postmaster's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Nothing of it shall last, so nothing is written safely.
const CONF: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
password_encryption = 'scram-sha-256'
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
max_wal_size = 256MB
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
";

async fn initdb(
    install: &Install,
    scratch: &Scratch,
    data: &Path,
    password: &str,
) -> Result<(), Error> {
    let file = scratch.path().join("password");
    // Readable by the cluster's owner; the directory around it lets nobody else in.
    fs::write(&file, password).map_err(|e| Error::io("cannot write the password", e))?;
    let mut command = scratch.command(&install.program("initdb"));
    command.arg("-D").arg(data).arg("--pwfile").arg(&file);
    command.args(["-U", ADMIN, "-A", "scram-sha-256"]);
    command.args(["-E", "UTF8", "--locale=C", "--no-sync"]);
    let log = scratch.path().join("initdb.log");
    // It ends its own children on SIGTERM.
    let process = Process::spawn(&mut command, "initdb", &log, Stop::Term)?;
    process.finish().await?;
    Ok(())
}

/// A certificate for localhost. By the openssl command, which comes along with Debian's
/// PostgreSQL: the proxy itself makes no certificates and needs no code for it.
async fn certify(scratch: &Scratch) -> Result<(PathBuf, PathBuf), Error> {
    let certificate = scratch.path().join("server.crt");
    let key = scratch.path().join("server.key");
    let mut command = scratch.command(Path::new("openssl"));
    command.args(["req", "-x509", "-nodes", "-days", "2", "-subj"]);
    command.args(["/CN=localhost", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout"]);
    command.arg(&key).arg("-out").arg(&certificate);
    let log = scratch.path().join("openssl.log");
    let process = Process::spawn(&mut command, "openssl", &log, Stop::Term)?;
    process.finish().await?;
    Ok((certificate, key))
}

async fn launch(
    install: &Install,
    scratch: &Scratch,
    data: &Path,
) -> Result<(Process, SocketAddr), Error> {
    let address = free_address()?;
    let mut command = scratch.command(&install.program("postgres"));
    command.arg("-D").arg(data);
    command.arg("-p").arg(address.port().to_string());
    let log = scratch.path().join("postgres.log");
    let mut process = Process::spawn(&mut command, "postgres", &log, Stop::Quit)?;
    process.wait_for(READY).await?;
    Ok((process, address))
}

/// A loopback address that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(|error| Error::io("no free port on 127.0.0.1", error))
}

fn append(path: &Path, text: &str) -> Result<(), Error> {
    let file = fs::File::options().append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
}
