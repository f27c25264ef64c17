//! Metrics as protobuf: `io.prometheus.client.MetricFamily`, one after the other, each behind its length. What
//! text cannot say is in it: histograms keep their fine buckets, as native ones, besides the classic.

use prost::{Enumeration, Message};

use super::families::{FAMILIES, Family, Kind, Sample, Value};
use super::text::EXPONENTS;
use crate::admin::view::View;
use crate::metrics::histogram::{Counted, SCALE, ZERO};

/// How it is called in `Content-Type`.
pub const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The whole page.
pub fn write(view: &View) -> Vec<u8> {
    let mut page = Vec::new();
    for family in FAMILIES {
        let metric: Vec<Metric> = family
            .samples(view)
            .iter()
            .map(|sample| metric(family, sample))
            .collect();
        if !metric.is_empty() {
            let written = MetricFamily {
                name: Some(family.sample_name()),
                help: Some(family.help.to_owned()),
                kind: Some(kind(family.kind).into()),
                metric,
            };
            page.extend(written.encode_length_delimited_to_vec());
        }
    }
    page
}

fn kind(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}

fn metric(family: &Family, sample: &Sample) -> Metric {
    let labels = family.labels.iter().zip(&sample.labels);
    let mut metric = Metric {
        label: labels
            .map(|(name, value)| LabelPair {
                name: Some((*name).to_owned()),
                value: Some(value.clone()),
            })
            .collect(),
        ..Metric::default()
    };
    let number = match &sample.value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the format has no other numbers"
        )]
        Value::Count(count) => *count as f64,
        Value::Number(number) => *number,
        Value::Histogram(counted) => {
            metric.histogram = Some(histogram(counted));
            return metric;
        }
    };
    let number = Number {
        value: Some(number),
    };
    match family.kind {
        Kind::Counter => metric.counter = Some(number),
        Kind::Gauge | Kind::Histogram => metric.gauge = Some(number),
    }
    metric
}

fn histogram(counted: &Counted) -> Histogram {
    let mut histogram = Histogram {
        sample_count: Some(counted.count()),
        sample_sum: Some(counted.total.as_secs_f64()),
        bucket: EXPONENTS
            .map(|exponent| Bucket {
                cumulative_count: Some(counted.up_to(exponent)),
                upper_bound: Some(f64::from(exponent).exp2()),
            })
            .collect(),
        schema: Some(SCALE),
        zero_threshold: Some(ZERO),
        zero_count: Some(counted.zero()),
        ..Histogram::default()
    };
    let (mut next, mut before) = (0, 0);
    for (index, count) in counted.native() {
        match histogram.positive_span.last_mut() {
            Some(span) if index == next => span.length = span.length.map(|length| length + 1),
            Some(_) | None => histogram.positive_span.push(BucketSpan {
                offset: Some(index - next),
                length: Some(1),
            }),
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        histogram.positive_delta.push(count - before);
        (next, before) = (index + 1, count);
    }
    histogram
}

// The schema, as far as there is something to say: io/prometheus/client/metrics.proto, which is proto2.

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// A Counter, or a Gauge.
#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    /// Runs of buckets that are not empty: how many empty ones stand in front, and how long it is.
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    /// The count of each of them, less that of the one before.
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn buckets_are_runs_and_differences() {
        let metrics = Metrics::default();
        let handle = metrics.handle("d", "u");
        // 2^(0/8) s, twice that of the next, and one far from them; and nothing at all.
        for (millis, times) in [(1000, 3), (1050, 5), (2000, 2), (0, 7)] {
            for _ in 0..times {
                handle.queue.record(Duration::from_millis(millis));
            }
        }
        let written = histogram(&handle.snapshot().queue);
        let spans: Vec<_> = written
            .positive_span
            .iter()
            .map(|span| (span.offset.unwrap(), span.length.unwrap()))
            .collect();
        assert_eq!(spans, [(0, 2), (6, 1)]);
        assert_eq!(written.positive_delta, [3, 2, -3]);
        assert_eq!(
            (written.zero_count, written.sample_count),
            (Some(7), Some(17))
        );
    }

    #[test]
    fn families_stand_behind_their_lengths() {
        let metrics = Metrics::default();
        metrics
            .handle("d", "u")
            .queue
            .record(Duration::from_millis(1));
        let page = write(&super::super::tests::view(&metrics));
        let mut rest = &page[..];
        let mut names = Vec::new();
        while !rest.is_empty() {
            let family = MetricFamily::decode_length_delimited(&mut rest).unwrap();
            names.push(family.name.unwrap());
        }
        assert!(names.contains(&"pgweir_queue_seconds".to_owned()));
        assert!(names.contains(&"pgweir_spans_total".to_owned()));
    }
}
