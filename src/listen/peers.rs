//! The other processes of this machine that clients may take for us: a cancel that reaches the wrong
//! one is handed to the right one.
//!
//! Each process has a number, a Unix socket of that name in a folder they share, and the number is in
//! the process ids that it tells its clients. What comes through the socket is looked up here and
//! never handed on, so nothing can go in circles.

use std::io;
use std::num::NonZeroU16;
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::ACCEPT_PAUSE;
use crate::session::cancel::{NUMBER_MAX, Registry, number_of};
use crate::wire::startup::{self, Packet};

/// Cancels from peers under way at once. They are counted apart from those of clients: two processes
/// that hand each other as many as they may have would otherwise wait for each other.
const FROM_PEERS_MAX: usize = 64;

/// How long a peer may take: for its upstream it may itself take five seconds.
const PEER_TIMEOUT: Duration = Duration::from_secs(6);

/// This process's place among its peers; given up on drop.
#[derive(Debug)]
pub(super) struct Peers {
    folder: PathBuf,
    number: NonZeroU16,
}

impl Peers {
    /// Takes a number that no living process has.
    ///
    /// # Errors
    /// The folder is not there or not ours, or all numbers are taken.
    pub(super) fn join(folder: &Path) -> io::Result<(Self, UnixListener)> {
        // Under its final name it must answer from the first moment, or it would be taken for dead.
        let early = folder.join(format!("new-{:016x}", fastrand::u64(..)));
        let listener = blocking::UnixListener::bind(&early)?;
        let number = take_number(folder, &early);
        let removed = std::fs::remove_file(&early);
        let number = number?;
        let peers = Self {
            folder: folder.to_owned(),
            number,
        };
        removed?;
        listener.set_nonblocking(true)?;
        Ok((peers, UnixListener::from_std(listener)?))
    }

    pub(super) fn number(&self) -> NonZeroU16 {
        self.number
    }

    /// Who else has given out this process id, if anybody has.
    pub(super) fn other(&self, pid: u32) -> Option<NonZeroU16> {
        number_of(pid).filter(|number| *number != self.number)
    }

    /// Hands a CancelRequest to its process and waits until that has done what it could.
    pub(super) async fn hand_on(&self, to: NonZeroU16, pid: u32, key: &[u8]) {
        let handed = tokio::time::timeout(PEER_TIMEOUT, self.send(to, pid, key));
        match handed.await {
            Ok(Ok(())) => {}
            // That process has ended, or the number is somebody's guess.
            Ok(Err(error)) => tracing::debug!(peer = to, %error, "cancel request not handed on"),
            Err(_elapsed) => tracing::warn!(peer = to, "a peer does not end a cancel request"),
        }
    }

    async fn send(&self, to: NonZeroU16, pid: u32, key: &[u8]) -> io::Result<()> {
        let mut stream = UnixStream::connect(socket(&self.folder, to)).await?;
        stream.write_all(&startup::encode_cancel(pid, key)).await?;
        // Nothing is answered: it closes when it is done.
        match stream.read(&mut [0]).await? {
            0 => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // If it is gone already, so much the better; what stays is found dead by the next process.
        let _gone = std::fs::remove_file(socket(&self.folder, self.number));
    }
}

fn socket(folder: &Path, number: NonZeroU16) -> PathBuf {
    folder.join(number.to_string())
}

/// Gives the socket the name of a free number, beginning anywhere: a number that has just become free
/// is still in the keys of clients that have lost its process.
fn take_number(folder: &Path, early: &Path) -> io::Result<NonZeroU16> {
    let start = fastrand::u16(0..NUMBER_MAX);
    let numbers = (0..NUMBER_MAX).map(|step| (start + step) % NUMBER_MAX + 1);
    for number in numbers.filter_map(NonZeroU16::new) {
        let name = socket(folder, number);
        if is_dead(&name) {
            std::fs::remove_file(&name)?;
        }
        match std::fs::hard_link(early, &name) {
            Ok(()) => return Ok(number),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let text = format!("all {NUMBER_MAX} numbers are taken");
    Err(io::Error::new(io::ErrorKind::AddrInUse, text))
}

/// Whether a process left its socket behind when it ended.
fn is_dead(socket: &Path) -> bool {
    blocking::UnixStream::connect(socket)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Acts on what peers hand to us, for as long as the process lives.
pub(super) async fn serve(listener: UnixListener, registry: Arc<Registry>) {
    let permits = Arc::new(Semaphore::new(FROM_PEERS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let registry = Arc::clone(&registry);
                tokio::spawn(async move {
                    let taken = tokio::time::timeout(PEER_TIMEOUT, take(stream, &registry));
                    if !matches!(taken.await, Ok(Ok(()))) {
                        tracing::debug!("a peer did not say whom to cancel");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a peer failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn take(mut stream: UnixStream, registry: &Registry) -> io::Result<()> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await?;
    let length = startup::body_length(prefix).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    // Whatever else it is, it is not for us.
    if let Ok(Packet::Cancel { pid, key }) = startup::parse(&body) {
        registry.cancel(pid, &key).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn each_has_a_number_of_its_own_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<_> = (0..20)
            .map(|_| Peers::join(folder.path()).unwrap())
            .collect();
        let numbers: BTreeSet<_> = all.iter().map(|(peers, _)| peers.number).collect();
        assert_eq!(numbers.len(), 20);
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files(), 20);
        drop(all);
        assert_eq!(files(), 0);
    }

    #[tokio::test]
    async fn the_dead_make_room_for_the_living() {
        let folder = tempfile::tempdir().unwrap();
        let living = Peers::join(folder.path()).unwrap();
        for number in (1..=NUMBER_MAX).filter_map(NonZeroU16::new) {
            if number != living.0.number {
                drop(blocking::UnixListener::bind(socket(folder.path(), number)).unwrap());
            }
        }
        let next = Peers::join(folder.path()).unwrap();
        assert_ne!(next.0.number, living.0.number);
        let all_but_two: Vec<_> = (2..NUMBER_MAX)
            .map(|_| Peers::join(folder.path()).unwrap())
            .collect();
        let error = Peers::join(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        drop(all_but_two);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error() {
        let error = Peers::join(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
