//! Spans as OTLP writes them. Names are those of OpenTelemetry's conventions for databases where there
//! is one, else `pgweir.` stands in front.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as Written, Status, span::SpanKind,
};
use tokio::time::Instant;

use super::resource::{attribute, scope, text};
use super::span::{Outcome, Shaped, Span};

/// How much of a shape is sent: as much as the console shows.
const SHAPE_SENT_MAX: usize = 1_000;

/// The longest command that a span is named after (`DEALLOCATE`, `REFRESH`); a longer word is none.
const COMMAND_MAX: usize = 12;

/// The flags of a span: it is sampled, it is known whether its parent is remote, and it is.
const FLAGS: u32 = 0x301;
/// The same without a parent.
const FLAGS_ROOT: u32 = 0x1;

/// Spans measure on the steady clock and tell of the calendar's: both at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    steady: Instant,
    calendar: Duration,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self {
            steady: Instant::now(),
            calendar: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// Nanoseconds since 1970.
    fn at(self, moment: Instant) -> u64 {
        let ago = self.steady.saturating_duration_since(moment);
        nanoseconds(self.calendar.saturating_sub(ago))
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A request to the collector with all of these.
pub(super) fn request(
    resource: &Resource,
    spans: &[Span],
    clock: Clock,
) -> ExportTraceServiceRequest {
    let spans = spans.iter().map(|span| write(span, clock)).collect();
    let scope = ScopeSpans {
        scope: Some(scope()),
        spans,
        ..ScopeSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        }],
    }
}

fn write(span: &Span, clock: Clock) -> Written {
    let parent = span.begun.parent;
    let trace = parent.map_or_else(fresh, |parent| parent.trace);
    let id: [u8; 8] = fresh();
    let command = span.shape.as_deref().and_then(command);
    let name = match &command {
        Some(command) => format!("{command} {}", span.whose.database),
        None => span.whose.database.to_string(),
    };
    let mut attributes = vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", &span.whose.database),
        text("pgweir.user", &span.whose.user),
        text("pgweir.cache.result", span.reason.result()),
        text("pgweir.cache.reason", span.reason.as_str()),
    ];
    for (part, time) in [
        ("pgweir.queue_seconds", span.split.queue),
        ("pgweir.upstream_seconds", span.split.upstream),
        ("pgweir.client_seconds", span.split.client),
    ] {
        attributes.push(attribute(part, Value::DoubleValue(time.as_secs_f64())));
    }
    if let Some(command) = &command {
        attributes.push(text("db.operation.name", command));
    }
    if let Some(shape) = span
        .shape
        .as_deref()
        .filter(|shape| !shape.shape().is_empty())
    {
        attributes.push(text("pgweir.shape", shape.fingerprint()));
        attributes.push(text("db.query.text", &shown(shape.shape())));
    }
    let mut status = None;
    match span.outcome {
        Outcome::Done => {
            let rows = i64::try_from(span.rows).unwrap_or(i64::MAX);
            attributes.push(attribute(
                "db.response.returned_rows",
                Value::IntValue(rows),
            ));
        }
        Outcome::Failed(sqlstate) => {
            let sqlstate = String::from_utf8_lossy(&sqlstate);
            attributes.push(text("db.response.status_code", &sqlstate));
            attributes.push(text("error.type", &sqlstate));
            status = Some(failed());
        }
        Outcome::Abandoned => {
            attributes.push(text("error.type", "abandoned"));
            status = Some(failed());
        }
    }
    Written {
        trace_id: trace.to_vec(),
        span_id: id.to_vec(),
        parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span.to_vec()),
        flags: if parent.is_some() { FLAGS } else { FLAGS_ROOT },
        name,
        kind: SpanKind::Server.into(),
        start_time_unix_nano: clock.at(span.since),
        end_time_unix_nano: clock.at(span.until),
        attributes,
        status,
        ..Written::default()
    }
}

/// Error messages quote rows, so there is none.
fn failed() -> Status {
    Status {
        code: StatusCode::Error.into(),
        ..Status::default()
    }
}

/// A number that nobody else has, and that is not zero.
fn fresh<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        fastrand::fill(&mut bytes);
    }
    bytes
}

/// The first word of a shape, if it may be a command: few and short, as names of spans have to be.
fn command(shape: &dyn Shaped) -> Option<String> {
    let word = shape.shape().split(|byte| *byte == b' ').next()?;
    let letters = !word.is_empty() && word.iter().all(u8::is_ascii_lowercase);
    (letters && word.len() <= COMMAND_MAX).then(|| {
        let word = word.to_ascii_uppercase();
        String::from_utf8_lossy(&word).into_owned()
    })
}

fn shown(shape: &[u8]) -> String {
    let text = String::from_utf8_lossy(shape);
    text.trim_end().chars().take(SHAPE_SENT_MAX).collect()
}
