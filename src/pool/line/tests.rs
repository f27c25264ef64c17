//! The line in front of a server that the test plays: it lets in, or turns away, and says nothing else.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, sleep, timeout};

use super::*;
use crate::config::{Environment, Flags, load};
use crate::pool::pools::{Plan, Pools};
use crate::pool::upstream::Credential;
use crate::wire::error::PgError;

const PATIENCE: Duration = Duration::from_secs(5);

const READY: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// A server with room for so many; its port.
async fn server(room: usize) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let inside = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(receive(socket, Arc::clone(&inside), room));
        }
    });
    port
}

async fn receive(mut socket: TcpStream, inside: Arc<AtomicUsize>, room: usize) {
    let mut start = [0; 1024];
    let count = socket.read(&mut start).await.unwrap_or(0);
    let asks = String::from_utf8_lossy(&start[..count]).into_owned();
    if asks.contains(crate::pool::control::APPLICATION_NAME) {
        return;
    }
    if inside.fetch_add(1, Ordering::SeqCst) >= room {
        let mut refusal = Vec::new();
        PgError::fatal("53300", "too many connections").encode(&mut refusal);
        drop(socket.write_all(&refusal).await);
    } else {
        drop(socket.write_all(READY).await);
    }
    while !matches!(socket.read(&mut start).await, Ok(0) | Err(_)) {}
    inside.fetch_sub(1, Ordering::SeqCst);
}

/// A pool of that server's; dropping the other ends its tasks.
fn pool(port: u16, settings: &str) -> (Pools, Arc<Pool>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.toml");
    let url = format!("postgres://u:p@127.0.0.1:{port}/main?sslmode=disable");
    std::fs::write(&path, format!("upstream.url = '{url}'\n{settings}")).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let environment: Environment = [("PGWEIR_CONFIG".to_owned(), path)].into_iter().collect();
    let config = load(&Flags::default(), &environment).unwrap().config;
    let pools = Pools::new(Plan {
        upstream: config.upstream,
        pool: config.pool,
        databases: config.databases,
        users: config.auth.users,
        declared: Arc::default(),
    });
    let pool = pools.find("main", "u", &Credential::None).unwrap().pool;
    (pools, pool)
}

/// What an upstream that was idle a moment ago is not kept by: a client that has the right to it, and
/// finds that everything has stopped.
#[tokio::test]
async fn a_pause_ends_although_a_client_was_about_to_take_an_upstream() {
    let (_pools, pool) = pool(server(9).await, "");
    pool.lease().await.unwrap().give_back();
    let permit = pool.permit_at_once().unwrap();
    pool.valve.pause(true);
    let mut connect = pin!(pool.connect(permit));
    let first = poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    timeout(PATIENCE, pool.drain()).await.unwrap();
    pool.valve.pause(false);
    connect.await.unwrap().give_back();
}

/// One comes to rest after the pause has looked for those that are idle, and nobody says so.
#[tokio::test]
async fn a_pause_looks_for_idle_upstreams_again() {
    let (_pools, pool) = pool(server(9).await, "");
    let mut lease = pool.lease().await.unwrap();
    // So that it goes to bb8 at once.
    assert!(lease.detach());
    pool.valve.pause(true);
    let mut drain = pin!(pool.drain());
    let first = poll_fn(|cx| Poll::Ready(drain.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    pool.valve.pause(false);
    lease.give_back();
    pool.valve.pause(true);
    timeout(PATIENCE, drain).await.unwrap();
}

/// Time in which everything has stopped does not count, for those who wait for a new upstream either.
#[tokio::test]
async fn a_pause_begins_in_time_for_who_connects() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (_pools, pool) = pool(port, "pool.timeout = '50ms'");
    let permit = pool.permit_at_once().unwrap();
    let mut connect = pin!(pool.connect(permit));
    let first = poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    pool.valve.pause(true);
    let paused = timeout(Duration::from_millis(500), &mut connect).await;
    assert!(paused.is_err(), "{paused:?}");
    pool.valve.pause(false);
    assert!(timeout(PATIENCE, connect).await.unwrap().is_err());
}

/// The server has fewer connections for us than the pool may have: who has the right to one that cannot be
/// made is served in its turn, and not after all who came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_cannot_connect_is_not_overtaken_for_ever() {
    let settings = "pool.size_max = 2\npool.timeout = '2s'";
    let (_pools, pool) = pool(server(1).await, settings);
    let held = pool.lease().await.unwrap();
    let leased = |pool: &Arc<Pool>| {
        let pool = Arc::clone(pool);
        tokio::spawn(async move { pool.lease().await.map(Lease::give_back) })
    };
    let first = leased(&pool);
    while pool.metrics.connects_failed.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..3 {
        let (pool, over) = (Arc::clone(&pool), Arc::clone(&over));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                if let Ok(lease) = pool.lease().await {
                    sleep(Duration::from_millis(1)).await;
                    lease.give_back();
                }
            }
        });
    }
    while pool.line.length() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    tokio::spawn(async move { held.give_back() });
    let served = timeout(PATIENCE, first).await.unwrap().unwrap();
    over.store(true, Ordering::Relaxed);
    served.unwrap();
}

/// One who comes and goes: leaves the line at any moment, gives back, closes or keeps what it gets.
async fn wander(pool: Arc<Pool>, mut rng: fastrand::Rng) {
    for _ in 0..200 {
        let patience = Duration::from_micros(rng.u64(..3_000));
        let Ok(Ok(mut lease)) = timeout(patience, pool.lease()).await else {
            continue;
        };
        match rng.u8(..8) {
            0 => sleep(Duration::from_millis(1)).await,
            1 => tokio::task::yield_now().await,
            2 => {
                lease.detach();
            }
            _ => {}
        }
        if rng.u8(..16) == 0 {
            lease.discard("for a change");
        } else {
            lease.give_back();
        }
    }
}

/// Whatever happens in whatever order, nobody is forgotten, and nothing is lost or had twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_leaves_the_line_in_order() {
    let (_pools, pool) = pool(server(4).await, "pool.size_max = 3\npool.pins_max = 2");
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let clients: Vec<_> = (0..12)
        .map(|_| tokio::spawn(wander(Arc::clone(&pool), rng.fork())))
        .collect();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        sleep(Duration::from_millis(rng.u64(..5))).await;
        if rng.bool() {
            pool.reconnect();
        } else {
            pool.valve.pause(true);
            timeout(PATIENCE, pool.drain()).await.unwrap();
            pool.valve.pause(false);
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    let all = async { tokio::try_join!(pool.lease(), pool.lease(), pool.lease()) };
    let (one, two, three) = timeout(PATIENCE, all).await.unwrap().unwrap();
    assert_eq!((pool.line.free(), pool.line.length()), (0, 0));
    [one, two, three].into_iter().for_each(Lease::give_back);
    let state = pool.line.state();
    assert_eq!((state.free, state.queue.len()), (3, 0));
    assert!(state.connecting.is_empty());
}
