//! Asking an upstream to cancel what it does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use tokio::time::{Instant, timeout_at};

use super::dial::{Address, Encryption, open};
use crate::config::Host;
use crate::stream::Stream;
use crate::tls::client::Connector;
use crate::wire::startup::{self, CANCEL_KEY_BYTES};

/// Whom to ask: the very address that the session is connected to, since another host of the URL
/// would not know the key.
#[derive(Clone)]
pub struct CancelTarget {
    pub host: Host,
    pub address: Address,
    pub connector: Arc<Connector>,
    /// Whether the session is encrypted: the key is a secret just as the session.
    pub encryption: Encryption,
    /// The backend's process id.
    pub pid: u32,
    /// 4 to 256 bytes; empty when the upstream gave none.
    pub key: Box<[u8]>,
}

impl std::fmt::Debug for CancelTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelTarget")
            .field("address", &self.address)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// Why a cancel request was not acknowledged.
#[derive(Debug)]
pub struct Unacknowledged {
    pub error: io::Error,
    /// It is on its way: the signal may still come, at any time.
    pub sent: bool,
}

impl CancelTarget {
    /// Sends a CancelRequest and waits until the upstream has closed that connection: only then is
    /// the signal sent, and only then may the session be given to somebody else (H102). Whether
    /// anything was cancelled, the protocol does not say.
    ///
    /// Dropping the future leaves it open whether the signal is still to come.
    ///
    /// # Errors
    /// No connection, none closed within `timeout`, or the upstream has no cancel key.
    pub async fn cancel(&self, timeout: Duration) -> Result<(), Unacknowledged> {
        let ends = Instant::now() + timeout;
        let failed = |sent| move |error| Unacknowledged { error, sent };
        let opened = timeout_at(ends, self.connect()).await;
        let stream = opened.map_err(io::Error::from).flatten();
        let stream = stream.map_err(failed(false))?;
        let closed = timeout_at(ends, self.send(stream)).await;
        let closed = closed.map_err(io::Error::from).flatten();
        closed.map_err(failed(true))
    }

    async fn connect(&self) -> io::Result<Stream> {
        if !CANCEL_KEY_BYTES.contains(&self.key.len()) {
            let text = "the upstream gave no cancel key";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        open(&self.host, &self.address, &self.connector, self.encryption)
            .await
            .map_err(io::Error::other)
    }

    async fn send(&self, mut stream: Stream) -> io::Result<()> {
        let request = startup::encode_cancel(self.pid, &self.key);
        stream.write_all(&request).await?;
        stream.flush().await?;
        until_closed(&mut stream).await
    }
}

/// Postgres closes without ceremony, so a reset or a TLS stream without close_notify is an end too.
async fn until_closed(stream: &mut Stream) -> io::Result<()> {
    let mut ignored = [0; 512];
    loop {
        match stream.read(&mut ignored).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
