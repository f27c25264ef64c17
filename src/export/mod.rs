//! OpenTelemetry: a span for each query and the metrics, sent to a collector over OTLP (HTTP, protobuf).
//!
//! Off unless `telemetry.endpoint` is set; then a query costs one branch more. When it is on, a session
//! says of a query what it knows ([`span`]) and puts that into a bounded queue without ever waiting: what
//! finds it full is dropped and counted. A thread of its own with a runtime of its own empties the queue
//! ([`mod@thread`]), writes spans (`spans`) and metrics (`series`) as protobuf, and sends them (`post`).
//!
//! [`parent`] reads the `traceparent` that an application writes into a comment of its query.

pub mod parent;
mod post;
mod resource;
mod series;
pub mod span;
mod spans;
pub mod thread;
