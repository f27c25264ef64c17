//! Which of the formats a client gets.

use super::text::Format;

/// One of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposition {
    Text(Format),
    Protobuf,
}

/// What the header `Accept` says is liked best, of what there is: the first of the most liked.
pub(super) fn format(accept: &str) -> Exposition {
    let mut best = (0.0, Exposition::Text(Format::Plain));
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let format = match parts.next() {
            Some("application/vnd.google.protobuf") => Exposition::Protobuf,
            Some("application/openmetrics-text") => Exposition::Text(Format::OpenMetrics),
            Some("text/plain" | "text/*" | "*/*") => Exposition::Text(Format::Plain),
            _ => continue,
        };
        let mut liked = 1.0;
        let mut known = true;
        for part in parts {
            match part.split_once('=') {
                Some(("q", q)) => liked = q.parse().unwrap_or(0.0),
                Some(("version", version)) => {
                    known &= matches!(version, "0.0.4" | "1.0.0" | "0.0.1");
                }
                Some(("proto", message)) => known &= message == "io.prometheus.client.MetricFamily",
                Some(("encoding", encoding)) => known &= encoding == "delimited",
                _ => {}
            }
        }
        if known && liked > best.0 {
            best = (liked, format);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_liked_best() {
        use Exposition::Protobuf;
        let (plain, open) = (
            Exposition::Text(Format::Plain),
            Exposition::Text(Format::OpenMetrics),
        );
        for (accept, expected) in [
            ("", plain),
            ("text/html", plain),
            ("*/*", plain),
            ("application/openmetrics-text", open),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                open,
            ),
            (
                "application/openmetrics-text;version=9.0.0,text/plain;version=0.0.4;q=0.5",
                plain,
            ),
            ("text/plain, application/openmetrics-text;q=0.9", plain),
            ("application/openmetrics-text;q=0", plain),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.7",
                Protobuf,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text,text/plain;q=0.5",
                plain,
            ),
            ("application/vnd.google.protobuf;proto=another", plain),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }
}
