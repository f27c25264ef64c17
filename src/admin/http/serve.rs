//! Connections, one by one, under limits of their own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at once: a few scrapers, probes and browsers. Those beyond wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// A request's head: larger than any browser's.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a connection may be silent before it asks, and how long a request's head may take. Longer
/// than most scrapers wait between two scrapes; the others connect again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a client may leave unread what is sent to it; then the system closes the connection.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// After a failed accept (usually no file descriptors left) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the process ends.
///
/// # Errors
/// When the listener cannot be used at all.
pub(super) async fn serve(listener: std::net::TcpListener, router: Router) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((tcp, _peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(tcp, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of the admin server failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(())
}

async fn connection(tcp: TcpStream, router: Router) {
    let tuned = tcp
        .set_nodelay(true)
        .and_then(|()| SockRef::from(&tcp).set_tcp_user_timeout(Some(READ_TIMEOUT)));
    if let Err(error) = tuned {
        tracing::debug!(%error, "socket options not set");
    }
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the admin server has ended");
    }
}
