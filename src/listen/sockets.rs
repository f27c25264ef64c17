//! The sockets that the process listens on: those that whoever started it has opened and passed to it
//! (systemd's socket activation), and those that it opens itself.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use super::BACKLOG;
use crate::config::{Environment, Listen};

/// The settings that a passed socket stands for.
const CLIENTS: &str = "listen.address";
const ADMIN: &str = "admin.address";

/// What the socket for [`ADMIN`] is called; one of any other name is for clients.
const ADMIN_NAME: &str = "admin";

/// One for each of the two settings.
const PASSED_MAX: usize = 2;

/// Why the passed sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    #[error(
        "LISTEN_FDS = `{0}` is not a number of sockets; whoever starts pgweir sets it, or leaves it out"
    )]
    Count(String),
    #[error(
        "{0} sockets were passed (LISTEN_FDS), and pgweir takes one for clients and one for \
         admin.address; keep one ListenStream= in each socket unit"
    )]
    TooMany(usize),
    #[error(
        "LISTEN_FDNAMES = `{0}` does not name as many sockets as LISTEN_FDS says; leave it out, or name each"
    )]
    Names(String),
    #[error(
        "two sockets were passed (LISTEN_FDS) for {0}; keep one, and name that for admin.address \
         `admin` (FileDescriptorName=admin in its socket unit)"
    )]
    Twice(&'static str),
    #[error(
        "the socket that was passed (LISTEN_FDS) for {0} is {1}; pgweir listens on TCP: write \
         ListenStream=HOST:PORT in the socket unit, without Accept=yes"
    )]
    Unfit(&'static str, &'static str),
    #[error("the socket that was passed (LISTEN_FDS) for {0} cannot be used: {1}")]
    Io(&'static str, io::Error),
}

/// A socket that was passed, and where it listens.
type Given = (std::net::TcpListener, SocketAddr);

/// The sockets passed to the process, until they are used.
#[derive(Debug, Default)]
pub struct Passed {
    given: BTreeMap<&'static str, Given>,
    /// Sockets that were passed to somebody else, most likely by mistake.
    pub warning: Option<String>,
}

impl Passed {
    /// Takes what `env` says was passed. Has to come before the process opens anything, which could get a
    /// number that was only promised.
    ///
    /// # Errors
    /// See [`PassedError`].
    pub fn take(env: &Environment) -> Result<Self, PassedError> {
        let Some(count) = env.get("LISTEN_FDS") else {
            return Ok(Self::default());
        };
        let own = std::process::id().to_string();
        let meant = env.get("LISTEN_PID").map_or("", String::as_str);
        if meant != own {
            let warning = format!(
                "LISTEN_FDS is not used: it is meant for process {meant:?} (LISTEN_PID), and this is {own}; \
                 a shell in between has to start pgweir with exec"
            );
            return Ok(Self {
                warning: Some(warning),
                ..Self::default()
            });
        }
        let count: usize = count
            .parse()
            .map_err(|_not_a_number| PassedError::Count(count.clone()))?;
        if count > PASSED_MAX {
            return Err(PassedError::TooMany(count));
        }
        let names = keys(env.get("LISTEN_FDNAMES"), count)?;
        let mut descriptors = ListenFd::from_env();
        let mut given = BTreeMap::new();
        for (at, key) in names.into_iter().enumerate() {
            if given
                .insert(key, listener(&mut descriptors, at, key)?)
                .is_some()
            {
                return Err(PassedError::Twice(key));
            }
        }
        Ok(Self {
            given,
            warning: None,
        })
    }

    /// Where they listen, by the setting that says so.
    pub fn addresses(&self) -> BTreeMap<&'static str, String> {
        let address = |(key, (_, address)): (&&'static str, &Given)| (*key, address.to_string());
        self.given.iter().map(address).collect()
    }

    /// The listener for clients: the passed one, or one at `listen.address`.
    ///
    /// # Errors
    /// The system's.
    pub async fn clients(&mut self, listen: &Listen) -> io::Result<TcpListener> {
        match self.given.remove(CLIENTS) {
            Some((passed, _)) => {
                passed.set_nonblocking(true)?;
                TcpListener::from_std(passed)
            }
            None => bind(&listen.address, listen.reuse_port).await,
        }
    }

    /// The listener of the admin server: the passed one, or one at `address`.
    ///
    /// # Errors
    /// The system's.
    pub fn admin(&mut self, address: &str) -> io::Result<std::net::TcpListener> {
        match self.given.remove(ADMIN) {
            Some((passed, _)) => Ok(passed),
            None => std::net::TcpListener::bind(address),
        }
    }
}

/// What each of `count` sockets is for.
fn keys(names: Option<&String>, count: usize) -> Result<Vec<&'static str>, PassedError> {
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Ok(vec![CLIENTS; count]);
    };
    let keys: Vec<_> = names
        .split(':')
        .map(|name| if name == ADMIN_NAME { ADMIN } else { CLIENTS })
        .collect();
    if keys.len() == count {
        Ok(keys)
    } else {
        Err(PassedError::Names(names.clone()))
    }
}

/// The socket at this place, if one can listen for TCP connections on it.
fn listener(fds: &mut ListenFd, at: usize, key: &'static str) -> Result<Given, PassedError> {
    let Ok(Some(tcp)) = fds.take_tcp_listener(at) else {
        return Err(PassedError::Unfit(key, what_else(fds, at)));
    };
    let listens = SockRef::from(&tcp).is_listener();
    match listens.and_then(|listens| Ok((listens, tcp.local_addr()?))) {
        Ok((true, address)) => Ok((tcp, address)),
        Ok((false, _)) => Err(PassedError::Unfit(key, "one that does not listen")),
        Err(error) => Err(PassedError::Io(key, error)),
    }
}

/// What stands where a TCP socket should.
fn what_else(fds: &mut ListenFd, at: usize) -> &'static str {
    if matches!(fds.take_unix_listener(at), Ok(Some(_))) {
        "a Unix socket"
    } else if matches!(fds.take_udp_socket(at), Ok(Some(_))) {
        "a UDP socket"
    } else {
        "no stream socket, or is not open"
    }
}

/// Binds `address`; with `shared`, others may as well, and the system deals new connections out.
async fn bind(address: &str, shared: bool) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address of that name");
    for address in tokio::net::lookup_host(address).await? {
        match bind_to(address, shared) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn bind_to(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The environment of a process that was passed `count` sockets.
    fn passed(count: &str, names: Option<&str>) -> Environment {
        let own = std::process::id().to_string();
        let mut env = Environment::from([
            ("LISTEN_FDS".to_owned(), count.to_owned()),
            ("LISTEN_PID".to_owned(), own),
        ]);
        if let Some(names) = names {
            env.insert("LISTEN_FDNAMES".to_owned(), names.to_owned());
        }
        env
    }

    #[test]
    fn what_is_meant_for_others_is_left_alone_and_said() {
        assert!(Passed::take(&Environment::new()).unwrap().warning.is_none());
        for pid in [None, Some("1"), Some("")] {
            let mut env = passed("1", None);
            env.remove("LISTEN_PID");
            env.extend(pid.map(|pid| ("LISTEN_PID".to_owned(), pid.to_owned())));
            let taken = Passed::take(&env).unwrap();
            assert!(taken.given.is_empty());
            assert!(taken.warning.unwrap().contains("exec"));
        }
    }

    #[test]
    fn odd_numbers_are_errors() {
        for count in ["many", "-1", ""] {
            let error = Passed::take(&passed(count, None)).unwrap_err();
            assert!(matches!(error, PassedError::Count(_)), "{error}");
        }
        let error = Passed::take(&passed("3", None)).unwrap_err();
        assert!(error.to_string().starts_with("3 sockets"), "{error}");
        let error = Passed::take(&passed("2", Some("admin"))).unwrap_err();
        assert!(matches!(error, PassedError::Names(_)), "{error}");
    }

    #[test]
    fn names_say_what_they_are_for() {
        let keys = |names: &str, count| keys(Some(&names.to_owned()), count).unwrap();
        assert_eq!(keys("admin:pgweir.socket", 2), [ADMIN, CLIENTS]);
        assert_eq!(keys("", 1), [CLIENTS]);
        assert_eq!(super::keys(None, 2).unwrap(), [CLIENTS; 2]);
    }
}
