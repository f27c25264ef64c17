//! Clients that have asked once and then only stay.

use std::net::SocketAddr;
use std::time::Duration;

use pgweir::demo::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::contestant::{DATABASE, TRUSTED};

/// Logins at once.
const AT_ONCE: usize = 50;

/// How long one client may take to log in and to be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before memory is read: what is given back late is given back.
const SETTLE: Duration = Duration::from_secs(1);

/// ReadyForQuery, idle.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// Opens connections until there are `count`.
pub(crate) async fn open(
    clients: &mut Vec<TcpStream>,
    address: SocketAddr,
    count: usize,
) -> Result<(), Error> {
    let failed = |error| Error::io(format!("idle client {}", clients.len()), error);
    let mut opening = JoinSet::new();
    let mut opened = Vec::new();
    let mut started = clients.len();
    loop {
        while opening.len() < AT_ONCE && started < count {
            started += 1;
            opening.spawn(timeout(PATIENCE, client(address)));
        }
        let Some(ended) = opening.join_next().await else {
            break;
        };
        let ended = ended.map_err(std::io::Error::other);
        let client = ended.and_then(|ended| ended.map_err(std::io::Error::from)?);
        opened.push(client.map_err(failed)?);
    }
    clients.extend(opened);
    sleep(SETTLE).await;
    Ok(())
}

async fn client(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let settings = format!("user\0{TRUSTED}\0database\0{DATABASE}\0\0");
    let size = u32::try_from(settings.len() + 8).unwrap_or(u32::MAX);
    let mut startup = size.to_be_bytes().to_vec();
    startup.extend(0x0003_0000_u32.to_be_bytes());
    startup.extend(settings.as_bytes());
    stream.write_all(&startup).await?;
    until_ready(&mut stream).await?;
    stream.write_all(b"Q\0\0\0\x0dSELECT 1\0").await?;
    until_ready(&mut stream).await?;
    Ok(stream)
}

async fn until_ready(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !read.ends_with(READY) {
        if stream.read_buf(&mut read).await? == 0 {
            let text = String::from_utf8_lossy(&read).into_owned();
            return Err(std::io::Error::other(text));
        }
    }
    Ok(())
}
