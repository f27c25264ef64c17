//! A bare TCP relay: one socket copied to another, both ways, and nothing else.
//!
//! It is the floor that the benchmarks compare with, and the distance in the demo: with an added
//! round trip every byte arrives half of it later than it was sent, whatever the bandwidth.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

/// How much is copied at once. A query and its answer fit; larger sizes were no cheaper.
const CHUNK_BYTES: usize = 16 << 10;

/// Chunks under way in one direction of a delayed connection: 16 MiB at most, which is 1.9 Gbit/s
/// over 70 ms. What is beyond waits in the sender's socket, as it would on a real line.
const CHUNKS_MAX: usize = 1024;

/// The runtime's timer is late by up to two ticks of a millisecond: in a demo of round trips that
/// would be seen. So long before its time a chunk is waited for awake.
const AWAKE: Duration = Duration::from_millis(2);

/// How long to wait after accept failed: file descriptors may come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a relay adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The added round trip.
    pub round_trip: Duration,
}

/// Carries every connection of `listener` to `upstream`, one task for each. Ends with its task;
/// the connections end with the runtime.
pub async fn serve(listener: TcpListener, upstream: SocketAddr, line: Line) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => {
                // A connection's end, orderly or not, is the business of its two sides alone.
                tokio::spawn(async move { carry(near, upstream, line).await.ok() });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn carry(mut near: TcpStream, upstream: SocketAddr, line: Line) -> io::Result<()> {
    let accepted = Instant::now();
    let mut far = TcpStream::connect(upstream).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    if line.round_trip.is_zero() {
        copy_bidirectional_with_sizes(&mut near, &mut far, CHUNK_BYTES, CHUNK_BYTES).await?;
        return Ok(());
    }
    // TCP's own handshake is one round trip; the kernel has done it on loopback already, so what
    // is sent before its time counts as sent at that time.
    let open = accepted + line.round_trip;
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::try_join!(
        delay(from_near, to_far, open, line.round_trip / 2),
        delay(from_far, to_near, open, line.round_trip / 2),
    )?;
    Ok(())
}

/// One direction of a delayed connection.
async fn delay(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    open: Instant,
    delay: Duration,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(take(from, sender, open, delay), deliver(to, receiver))?;
    Ok(())
}

/// Bytes, and when they arrive.
type Chunk = (Instant, Box<[u8]>);

/// Notes when bytes set out. The sender's end of the queue is the end of the stream.
async fn take(
    mut from: OwnedReadHalf,
    queue: mpsc::Sender<Chunk>,
    open: Instant,
    delay: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        let due = Instant::now().max(open) + delay;
        let bytes = Box::from(buffer.get(..n).unwrap_or_default());
        // An empty chunk is the end, which travels no faster than the bytes before it.
        if queue.send((due, bytes)).await.is_err() || n == 0 {
            return Ok(());
        }
    }
}

/// Hands bytes over when they are due, and the end of the stream after them.
async fn deliver(mut to: OwnedWriteHalf, mut queue: mpsc::Receiver<Chunk>) -> io::Result<()> {
    while let Some((due, bytes)) = queue.recv().await {
        until(due).await;
        if bytes.is_empty() {
            break;
        }
        to.write_all(&bytes).await?;
    }
    to.shutdown().await
}

async fn until(due: Instant) {
    if let Some(early) = due.checked_sub(AWAKE) {
        sleep_until(early).await;
    }
    while Instant::now() < due {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection through a relay in front of an echo sees.
    async fn through(round_trip: Duration) -> TcpStream {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, far, Line { round_trip }));
        TcpStream::connect(near).await.unwrap()
    }

    async fn ping(stream: &mut TcpStream) -> Duration {
        let start = Instant::now();
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
        start.elapsed()
    }

    #[tokio::test]
    async fn the_handshake_costs_a_round_trip_and_so_does_each_answer() {
        let round_trip = Duration::from_millis(20);
        let mut stream = through(round_trip).await;
        assert!(ping(&mut stream).await >= 2 * round_trip);
        assert!(ping(&mut stream).await >= round_trip);
        assert!(ping(&mut stream).await >= round_trip);
    }

    #[tokio::test]
    async fn much_passes_whole_and_so_does_the_end() {
        for round_trip in [Duration::ZERO, Duration::from_millis(4)] {
            let (mut from, mut to) = through(round_trip).await.into_split();
            let sent: Vec<u8> = (0..8_u32 << 20).map(|n| n.to_be_bytes()[2]).collect();
            let mut received = Vec::new();
            let write = async {
                to.write_all(&sent).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(write, from.read_to_end(&mut received));
            read.unwrap();
            assert!(received == sent, "{} of {}", received.len(), sent.len());
        }
    }
}
