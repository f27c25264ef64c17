//! `pgweir check --live`: asks the running proxy, where the configuration says that it listens,
//! whether it answers. For health checks: nobody logs in, and no upstream is needed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::config::{Listen, SslMode, TlsMode, UpstreamTls};
use crate::tls::client::Connector;

/// The whole conversation. Docker and Kubernetes give a check a few seconds; a proxy that takes
/// longer for one byte is not well.
const PATIENCE: Duration = Duration::from_secs(3);

/// Length, and the code of an SSLRequest (protocol manual, "SSLRequest").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Asks, and says in a line what came of it.
///
/// # Errors
/// The proxy does not answer, or not as configured.
pub fn check(listen: &Listen) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let address = reachable(&listen.address);
    runtime.block_on(async {
        let advice = "is it running, with the settings that were given here?";
        match tokio::time::timeout(PATIENCE, ask(&address, listen.tls.mode)).await {
            Ok(Ok(how)) => Ok(format!("pgweir answers at {address} ({how})")),
            Ok(Err(why)) => Err(format!(
                "pgweir does not answer at {address}: {why}; {advice}"
            )),
            Err(_elapsed) => Err(format!(
                "pgweir does not answer at {address}: nothing came within {} s; {advice}",
                PATIENCE.as_secs()
            )),
        }
    })
}

/// A wildcard address is one to listen on; this machine's own is the one to go to.
fn reachable(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, ""));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => format!("127.0.0.1:{port}"),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => format!("[::1]:{port}"),
        Ok(_) | Err(_) => listen.to_owned(),
    }
}

/// Whether there is TLS is asked of every proxy, and its answer has to be the configured one; where
/// there is, the handshake shows that the certificate and its key are in order.
async fn ask(address: &str, mode: TlsMode) -> Result<&'static str, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    stream.write_all(&SSL_REQUEST).await.map_err(text)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await.map_err(text)?;
    match (answer, mode) {
        ([b'N'], TlsMode::Disable) => Ok("without TLS"),
        ([b'S'], TlsMode::Allow | TlsMode::Require) => handshake(stream).await,
        ([b'S' | b'N'], _) => Err("its TLS is not what the configuration says".to_owned()),
        _ => Err("whoever listens there does not speak the Postgres protocol".to_owned()),
    }
}

/// Whose the certificate is does not matter here: it is this machine's own proxy.
async fn handshake(stream: TcpStream) -> Result<&'static str, String> {
    let tls = UpstreamTls {
        mode: SslMode::Require,
        ..UpstreamTls::default()
    };
    let connector = Connector::new(&tls).map_err(|error| error.to_string())?;
    let peer = stream.peer_addr().map_err(|error| error.to_string())?.ip();
    let handshake = connector.connect(stream, &peer.to_string(), peer).await;
    let mut stream = handshake.map_err(|error| format!("TLS: {error}"))?;
    // A good-bye, so that the proxy's log has no broken connection; it may be gone already.
    let _said = stream.shutdown().await;
    Ok("with TLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_asked_at_home() {
        for (listen, asked) in [
            ("0.0.0.0:6432", "127.0.0.1:6432"),
            ("[::]:6432", "[::1]:6432"),
            ("10.0.0.1:6432", "10.0.0.1:6432"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(reachable(listen), asked);
        }
    }
}
