//! Metrics as OTLP writes them: the families of `/metrics`, by the same names. Counters are sums since
//! the process started, histograms keep their fine buckets.

use std::time::UNIX_EPOCH;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::resource::{scope, text};
use super::spans::nanoseconds;
use crate::admin::http::families::{FAMILIES, Family, Kind, Value};
use crate::admin::view::View;
use crate::metrics::histogram::{Counted, SCALE, ZERO};

/// A request to the collector with all metrics of this moment.
pub(super) fn request(resource: &Resource, view: &View) -> ExportMetricsServiceRequest {
    let times = Times::of(view);
    let metrics = FAMILIES.iter().map(|family| metric(family, view, times));
    let scope = ScopeMetrics {
        scope: Some(scope()),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        }],
    }
}

/// Since when is counted, and when it was looked at, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

impl Times {
    fn of(view: &View) -> Self {
        let nanos = |time: std::time::SystemTime| {
            nanoseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
        };
        Self {
            start: nanos(view.started),
            now: nanos(view.at),
        }
    }
}

fn metric(family: &Family, view: &View, times: Times) -> Metric {
    let temporality = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers(family, view, times),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        Kind::Gauge => Data::Gauge(Gauge {
            data_points: numbers(family, view, times),
        }),
        Kind::Histogram => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: histograms(family, view, times),
            aggregation_temporality: temporality,
        }),
    };
    let unit = match family.unit() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some(_) | None => "",
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn labels(family: &Family, values: &[String]) -> Vec<KeyValue> {
    let pairs = family.labels.iter().zip(values);
    pairs.map(|(label, value)| text(label, value)).collect()
}

fn numbers(family: &Family, view: &View, times: Times) -> Vec<NumberDataPoint> {
    let point = |sample: crate::admin::http::families::Sample| {
        let value = match sample.value {
            Value::Count(count) => Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
            Value::Number(number) => Number::AsDouble(number),
            Value::Histogram(_) => return None,
        };
        Some(NumberDataPoint {
            attributes: labels(family, &sample.labels),
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            value: Some(value),
            ..NumberDataPoint::default()
        })
    };
    family.samples(view).into_iter().filter_map(point).collect()
}

fn histograms(family: &Family, view: &View, times: Times) -> Vec<ExponentialHistogramDataPoint> {
    let point = |sample: crate::admin::http::families::Sample| {
        let Value::Histogram(counted) = &sample.value else {
            return None;
        };
        Some(ExponentialHistogramDataPoint {
            attributes: labels(family, &sample.labels),
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            count: counted.count(),
            sum: Some(counted.total.as_secs_f64()),
            scale: SCALE,
            zero_count: counted.zero(),
            zero_threshold: ZERO,
            positive: buckets(counted),
            ..ExponentialHistogramDataPoint::default()
        })
    };
    family.samples(view).into_iter().filter_map(point).collect()
}

/// Those from the first that is not empty to the last. OTLP numbers a bucket by its lower bound,
/// Prometheus by its upper one.
fn buckets(counted: &Counted) -> Option<Buckets> {
    let filled: Vec<(i32, u64)> = counted.native().collect();
    let (first, last) = (filled.first()?.0, filled.last()?.0);
    let of = |index: i32| {
        filled
            .iter()
            .find(|(at, _)| *at == index)
            .map_or(0, |b| b.1)
    };
    Some(Buckets {
        offset: first - 1,
        bucket_counts: (first..=last).map(of).collect(),
    })
}
