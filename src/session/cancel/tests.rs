//! Cancels at upstreams that say nothing.

use std::net::Ipv4Addr;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{Host, SslMode, UpstreamTls};
use crate::pool::cancel::CancelTarget;
use crate::pool::dial::{Address, Encryption};
use crate::stream::Stream;
use crate::tls::client::Connector;

/// A session.
fn enter() -> Registered {
    let who = Who {
        purpose: Purpose::Queries,
        user: "u".into(),
        database: "d".into(),
        local: None,
        tls: None,
        application_name: "".into(),
    };
    Arc::new(Registry::default())
        .enter(false, who, None)
        .unwrap()
}

/// An upstream at this address, where nobody answers.
async fn upstream(listener: &TcpListener) -> Arc<Record> {
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let tls = UpstreamTls {
        mode: SslMode::Disable,
        ..UpstreamTls::default()
    };
    let target = CancelTarget {
        host: Host::Tcp {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
        },
        address: Address::Tcp(address),
        connector: Arc::new(Connector::new(&tls).unwrap()),
        encryption: Encryption::Clear,
        pid: 1,
        key: [7; 4].into(),
    };
    Record::new(target, &Stream::Tcp(stream), 0)
}

/// A cancel that was sent and not acknowledged may still come, and would hit whoever has the upstream
/// then.
#[tokio::test]
async fn an_upstream_is_not_let_go_before_a_cancel_that_may_still_come() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for gives_up in [true, false] {
        let registered = enter();
        let handle = Arc::clone(registered.handle());
        handle.hold(&upstream(&listener).await, 0);
        let cancel = tokio::spawn({
            let handle = Arc::clone(&handle);
            async move { handle.cancel().await }
        });
        let (_session, _) = listener.accept().await.unwrap();
        let (mut asked, _) = listener.accept().await.unwrap();
        asked.read_exact(&mut [0; 16]).await.unwrap();
        if gives_up {
            cancel.abort();
        } else {
            tokio::time::pause();
        }
        assert!(!handle.let_go().await);
        // The next one is another upstream.
        handle.hold(&upstream(&listener).await, 0);
        assert!(handle.let_go().await);
        let _session = listener.accept().await.unwrap();
    }
}

/// It was for the request that waited, and that one has been served.
#[tokio::test]
async fn a_cancel_that_came_too_late_hits_no_later_request() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let registered = enter();
    let handle = registered.handle();
    handle.queues(1);
    handle.cancel().await;
    assert!(handle.has(CANCELLED));
    handle.hold(&upstream(&listener).await, 0);
    assert!(!handle.has(CANCELLED));
    handle.waits(Waits::Follow);
    handle.cancel().await;
    handle.waits(Waits::No);
    assert!(!handle.has(CANCELLED));
}
