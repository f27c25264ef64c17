//! Where spans and metrics are sent, if anywhere.

use std::time::Duration;

use super::fault::Fault;
use super::value::{Kind, Value};
use crate::amount::Share;

/// OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The collector; nothing is sent without one.
    pub endpoint: Option<Endpoint>,
    /// The part of all queries that have a span, where no parent decides.
    pub sample: Share,
    /// What the process calls itself.
    pub service_name: String,
    /// How often metrics are sent.
    pub metrics_interval: Duration,
}

/// The base address of a collector that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Without the slash at its end.
    base: String,
}

impl Endpoint {
    /// HTTPS.
    pub fn is_secure(&self) -> bool {
        self.base.starts_with("https:")
    }

    /// The address of something below it.
    pub fn with_path(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

impl Value for Endpoint {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        let base = text.trim().trim_end_matches('/');
        let fault = |what: String| Err(Fault::new(what, "write http://127.0.0.1:4318"));
        let uri = match base.parse::<hyper::Uri>() {
            Ok(uri) => uri,
            Err(error) => return fault(format!("`{text}` is no URL: {error}")),
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return fault(format!("`{text}` is no URL of HTTP"));
        }
        if uri.query().is_some() || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return fault(format!("`{text}` is more than an address and a path"));
        }
        Ok(Self {
            base: base.to_owned(),
        })
    }

    fn write(&self) -> Option<String> {
        Some(self.base.clone())
    }
}

/// Before any setting is applied.
pub(super) fn blank() -> Telemetry {
    Telemetry {
        endpoint: None,
        sample: Share::default(),
        service_name: String::new(),
        metrics_interval: Duration::ZERO,
    }
}
