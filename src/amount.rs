//! Amounts with units, as the configuration, hints and `SET` write them: `250ms`, `64KiB`, `1%`.

use std::time::Duration;

/// Units of time from the largest, in milliseconds.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of memory from the largest, in bytes.
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A whole number and its unit; `None` for anything else, and for what does not fit.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits)?;
    // `parse` would take a sign too.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The same again, in the largest unit that leaves a whole number.
fn write(count: u64, units: &[(&str, u64)]) -> Option<String> {
    let whole = |factor: u64| count != 0 && count.is_multiple_of(factor);
    let (name, factor) = units.iter().find(|(_, factor)| whole(*factor))?;
    Some(format!("{}{name}", count / factor))
}

/// `250ms`, `15s`, `10m`, `1h`.
pub fn read_duration(text: &str) -> Option<Duration> {
    read(text, &TIMES).map(Duration::from_millis)
}

/// What [`read_duration`] reads; less than a millisecond is dropped.
pub fn write_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    write(millis, &TIMES).unwrap_or_else(|| "0s".to_owned())
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// `512B`, `64KiB`, `256MiB`, `1GiB`.
    pub fn read(text: &str) -> Option<Self> {
        read(text, &SIZES).map(Self)
    }

    /// What [`Size::read`] reads.
    pub fn write(self) -> String {
        write(self.0, &SIZES).unwrap_or_else(|| "0B".to_owned())
    }
}

/// A part of a whole, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// The whole.
    const ALL: u32 = 1_000_000;

    /// `1%`, `0.25%`; up to four digits behind the point.
    pub fn read(text: &str) -> Option<Self> {
        let (whole, part) = text
            .strip_suffix('%')
            .map(|number| number.split_once('.').unwrap_or((number, "0")))?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 4 {
            return None;
        }
        let share = format!("{whole}{part:0<4}").parse().ok()?;
        (share <= Self::ALL).then_some(Self(share))
    }

    /// What [`Share::read`] reads.
    pub fn write(self) -> String {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        let text = format!("{whole}.{part:04}");
        format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether a draw hits: of all values of `random`, which must be equally likely, this share does.
    pub fn takes(self, random: u32) -> bool {
        u64::from(random) * u64::from(Self::ALL) < u64::from(self.0) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for (text, millis) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(read_duration(text), Some(duration), "{text}");
            assert_eq!(write_duration(duration), text);
        }
        for (text, bytes) in [
            ("512B", 512),
            ("1KiB", 1024),
            ("256MiB", 256 << 20),
            ("2GiB", 2 << 30),
            ("0B", 0),
        ] {
            assert_eq!(Size::read(text), Some(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).write(), text);
        }
        for (text, millionths) in [
            ("0%", 0),
            ("1%", 10_000),
            ("0.25%", 2500),
            ("100%", 1_000_000),
        ] {
            assert_eq!(Share::read(text), Some(Share(millionths)), "{text}");
            assert_eq!(Share(millionths).write(), text);
        }
    }

    #[test]
    fn what_has_no_unit_or_does_not_fit_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            "5 minutes",
            "1d",
            "5S",
        ] {
            assert_eq!(read_duration(text), None, "{text}");
        }
        assert_eq!(read_duration("99999999999999999999s"), None);
        for text in ["", "1", "1MB", "1mib", "-1B", "17179869185GiB"] {
            assert_eq!(Size::read(text), None, "{text}");
        }
        for text in [
            "",
            "1",
            "%",
            "101%",
            "100.0001%",
            "1.%",
            ".5%",
            "-1%",
            "0.00001%",
            "1.+5%",
        ] {
            assert_eq!(Share::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_takes_its_part() {
        let half = Share::read("50%").unwrap();
        assert!(half.takes(0) && half.takes(u32::MAX / 2) && !half.takes(u32::MAX / 2 + 2));
        let (none, all) = (Share::default(), Share::read("100%").unwrap());
        assert!(!none.takes(0) && all.takes(u32::MAX));
    }
}
