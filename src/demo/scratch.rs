//! A directory of our own under the system's temporary one, gone when it is dropped.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

/// Whom Postgres runs as: it refuses root's rights.
const POSTGRES_USER: &str = "postgres";

/// The directory, and the user that owns it and runs what lives in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Our own user.
    Us,
    /// We are root, and lend the directory to another.
    Other { uid: u32, gid: u32 },
}

impl Scratch {
    /// Makes `<prefix>-<our process id>`, which nobody else can look into.
    ///
    /// # Errors
    /// When it cannot be made, or we are root and there is no user `postgres`.
    pub fn new(prefix: &str) -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("{prefix}-{}", std::process::id()));
        let failed = |error| Error::io(format!("cannot make {}", path.display()), error);
        let owner = owner()?;
        // Fails when something has that name already: nobody can put a link there for us.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        if let Owner::Other { uid, gid } = owner {
            chown(&path, Some(uid), Some(gid)).map_err(failed)?;
        }
        Ok(Self { path, owner })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs in the directory as its owner, with nothing of our environment but
    /// `PATH`: a `PGPORT` or `PGDATA` of the user's is not meant for it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match self.owner {
            Owner::Us => Command::new(program),
            Owner::Other { uid, gid } => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        command.env_clear().env("LC_ALL", "C");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.current_dir(&self.path);
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A process that was just ended may leave a last file behind a first sweep.
        for _ in 0..3 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
        }
    }
}

fn owner() -> Result<Owner, Error> {
    let own = fs::metadata("/proc/self").map(|process| process.uid());
    // Without /proc (not Linux) initdb itself says what is wrong with being root.
    if own.unwrap_or(u32::MAX) != 0 {
        return Ok(Owner::Us);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    users
        .lines()
        .find_map(|line| ids(line, POSTGRES_USER))
        .map(|(uid, gid)| Owner::Other { uid, gid })
        .ok_or(Error::Root)
}

/// User and group id of a line of /etc/passwd, when it is `name`'s.
fn ids(line: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd() {
        let line = "postgres:x:105:110:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        assert_eq!(ids(line, "postgres"), Some((105, 110)));
        assert_eq!(ids(line, "post"), None);
        assert_eq!(ids("postgres:x:", "postgres"), None);
    }
}
