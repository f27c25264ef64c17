//! Metrics as text: OpenMetrics 1.0, and the older format that Prometheus calls 0.0.4.

use std::fmt::Write;

use super::families::{FAMILIES, Family, Sample, Value};
use crate::admin::view::View;
use crate::metrics::histogram::Counted;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Plain,
}

impl Format {
    /// How it is called in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The bounds of a histogram's buckets are powers of two, from 2^-18 s (4 us) to 2^5 s (half a
/// minute): every one in memory has its bound there, so no count is guessed.
pub(super) const EXPONENTS: std::ops::RangeInclusive<i32> = -18..=5;

/// The whole page.
pub fn write(view: &View, format: Format) -> String {
    let mut page = Page {
        text: String::with_capacity(32 * 1024),
        format,
    };
    for family in FAMILIES {
        page.family(family, view);
    }
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

struct Page {
    text: String,
    format: Format,
}

impl Page {
    fn family(&mut self, family: &Family, view: &View) {
        let samples = family.samples(view);
        if samples.is_empty() {
            return;
        }
        let name = match self.format {
            Format::OpenMetrics => family.name.to_owned(),
            Format::Plain => family.sample_name(),
        };
        self.line(format_args!("# HELP {name} {}", family.help));
        self.line(format_args!("# TYPE {name} {}", family.kind.as_str()));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, family.unit()) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        for sample in &samples {
            self.sample(family, sample);
        }
    }

    fn sample(&mut self, family: &Family, sample: &Sample) {
        let name = family.sample_name();
        let labels = family.labels.iter().zip(&sample.labels);
        let labels: Vec<String> = labels
            .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
            .collect();
        let labels = labels.join(",");
        match &sample.value {
            Value::Count(count) => self.line(format_args!("{name}{} {count}", braced(&labels))),
            Value::Number(number) => self.line(format_args!("{name}{} {number}", braced(&labels))),
            Value::Histogram(counted) => self.histogram(&name, &labels, counted),
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, counted: &Counted) {
        let and = if labels.is_empty() { "" } else { "," };
        for exponent in EXPONENTS {
            let bound = f64::from(exponent).exp2();
            // OpenMetrics wants whole numbers with a point.
            let bound = match (self.format, bound.fract() == 0.0) {
                (Format::OpenMetrics, true) => format!("{bound:.1}"),
                _ => bound.to_string(),
            };
            let count = counted.up_to(exponent);
            self.line(format_args!(
                "{name}_bucket{{{labels}{and}le=\"{bound}\"}} {count}"
            ));
        }
        let count = counted.count();
        self.line(format_args!(
            "{name}_bucket{{{labels}{and}le=\"+Inf\"}} {count}"
        ));
        let total = counted.total.as_secs_f64();
        self.line(format_args!("{name}_sum{} {total}", braced(labels)));
        self.line(format_args!("{name}_count{} {count}", braced(labels)));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.text, "{line}");
    }
}

fn braced(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
