//! Which of the formats a client gets.

use super::text::Format;

/// What the header `Accept` says is liked best, of what there is: the first of the most liked.
pub(super) fn format(accept: &str) -> Format {
    let mut best = (0.0, Format::Plain);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let format = match parts.next() {
            Some("application/openmetrics-text") => Format::OpenMetrics,
            Some("text/plain" | "text/*" | "*/*") => Format::Plain,
            _ => continue,
        };
        let mut liked = 1.0;
        let mut known = true;
        for part in parts {
            match part.split_once('=') {
                Some(("q", q)) => liked = q.parse().unwrap_or(0.0),
                Some(("version", version)) => {
                    known = matches!(version, "0.0.4" | "1.0.0" | "0.0.1");
                }
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
        for (accept, expected) in [
            ("", Format::Plain),
            ("text/html", Format::Plain),
            ("*/*", Format::Plain),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=9.0.0,text/plain;version=0.0.4;q=0.5",
                Format::Plain,
            ),
            (
                "text/plain, application/openmetrics-text;q=0.9",
                Format::Plain,
            ),
            ("application/openmetrics-text;q=0", Format::Plain),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }
}
