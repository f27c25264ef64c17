//! Replication connections (H109): passed through one to one, never pooled.

use std::future::poll_fn;
use std::task::Poll;

use tokio::io::{AsyncWriteExt, copy_bidirectional};

use super::cancel::{DRAIN, KILL, Registered};
use super::end::End;
use crate::pool::record::Record;
use crate::pool::upstream::Upstream;
use crate::stream::Stream;
use crate::wire::frame;

/// Gives the client an upstream of its own until one of them closes. `pending` goes to the client
/// first, then what the upstream reported, under our own cancel key.
pub async fn pass_through(
    (mut client, pending): (Stream, Vec<u8>),
    mut upstream: Upstream,
    registered: &Registered,
) -> End {
    let mut greeting = pending;
    for (name, value) in &upstream.parameters {
        frame::push(&mut greeting, b'S', &[name, b"\0", value, b"\0"]);
    }
    let (pid, key) = registered.key_data();
    frame::push(&mut greeting, b'K', &[&pid.to_be_bytes(), key]);
    frame::push(&mut greeting, b'Z', &[b"I"]);
    if let Err(error) = client.write_all(&greeting).await {
        return End::Client(error);
    }
    let handle = registered.handle();
    handle.hold(&Record::new(upstream.cancel, &upstream.stream, 0), 0);
    let end = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut upstream.stream) => match copied {
            Ok(_) => End::ClientClosed,
            Err(error) => End::Client(error),
        },
        // A standby connects again by itself; there is no transaction to wait for.
        () = poll_fn(|cx| {
            handle.register(cx.waker());
            if handle.has(KILL) || handle.has(DRAIN) { Poll::Ready(()) } else { Poll::Pending }
        }) => End::Drained,
    };
    handle.let_go().await;
    end
}
