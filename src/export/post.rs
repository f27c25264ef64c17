//! The way to the collector: HTTP, one connection that is kept.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message;

use crate::config::Endpoint;
use crate::tls;

/// How long one request may take: OpenTelemetry's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the connection is kept between two requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A collector says next to nothing; what is longer is not read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How much of what it says of an error is logged.
const SAID_MAX: usize = 200;

#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    traces: Uri,
    metrics: Uri,
}

/// Why the collector does not have it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: String,
    /// Another try may do.
    pub(super) again: bool,
}

/// What is sent where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Collector {
    /// # Errors
    /// No root to verify a certificate with, as a text.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let tls = tls::client::for_web(endpoint.is_secure()).map_err(|error| error.to_string())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let path = |path: &str| {
            let uri = endpoint.with_path(path);
            uri.parse().map_err(|error| format!("{uri}: {error}"))
        };
        Ok(Self {
            client,
            traces: path("v1/traces")?,
            metrics: path("v1/metrics")?,
        })
    }

    /// Sends it and waits for the answer.
    pub(super) async fn post<A>(&self, signal: Signal, message: &impl Message) -> Result<A, Refusal>
    where
        A: Message + Default,
    {
        let sent = self.ask(signal, message.encode_to_vec());
        let answered = tokio::time::timeout(TIMEOUT, sent).await;
        let late = |_elapsed| Refusal {
            why: format!("no answer within {TIMEOUT:?}"),
            again: true,
        };
        let body = answered.map_err(late)??;
        // It has been taken, whatever the collector says besides.
        Ok(A::decode(body).unwrap_or_default())
    }

    async fn ask(&self, signal: Signal, body: Vec<u8>) -> Result<Bytes, Refusal> {
        let uri = match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        };
        let fault = |why: String, again| Refusal { why, again };
        let request = Request::post(uri.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(
                header::USER_AGENT,
                concat!("pgweir/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| fault(error.to_string(), false))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| fault(whole(&error), true))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let said = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        if !status.is_success() {
            return Err(refused(status, &said.unwrap_or_default()));
        }
        said.map_err(|error| fault(error.to_string(), false))
    }
}

/// Those statuses with which the protocol allows another try.
fn refused(status: StatusCode, said: &[u8]) -> Refusal {
    let said = String::from_utf8_lossy(said);
    let said: String = said
        .chars()
        .filter(|c| !c.is_control())
        .take(SAID_MAX)
        .collect();
    Refusal {
        why: format!("{status} {said}"),
        again: matches!(status.as_u16(), 429 | 502 | 503 | 504),
    }
}

/// An error with its causes: the outermost says only that connecting failed.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
