//! Moments as numbers, so that an atomic can hold one, and as what people read.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// What moments are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// The last that was asked for: several places write down when the same request came.
    static LAST: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// Microseconds since the first moment that this process asked about, plus one: 0 is never.
pub fn number(moment: Instant) -> u64 {
    match LAST.get() {
        Some((last, number)) if last == moment => number,
        _ => {
            let number = micros(moment.saturating_duration_since(*START)).saturating_add(1);
            LAST.set(Some((moment, number)));
            number
        }
    }
}

/// [`number`] of this moment.
pub fn now() -> u64 {
    // The start first: it must not be later than now.
    let start = *START;
    micros(start.elapsed()).saturating_add(1)
}

/// How long ago a moment was; nothing for 0, which is never.
pub fn age(number: u64) -> Duration {
    match number {
        0 => Duration::ZERO,
        number => Duration::from_micros(now().saturating_sub(number)),
    }
}

/// The moment as `2026-01-31 23:59:59 UTC`; empty for never.
pub fn written(number: u64) -> String {
    if number == 0 {
        return String::new();
    }
    let then = SystemTime::now().checked_sub(age(number));
    let since = then.and_then(|then| then.duration_since(UNIX_EPOCH).ok());
    utc(since.unwrap_or_default().as_secs(), ' ') + " UTC"
}

/// Writes the moment as `2026-01-31T23:59:59.000001Z`.
///
/// # Errors
/// Those of `out`.
pub fn stamp(out: &mut impl fmt::Write, now: SystemTime) -> fmt::Result {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() || text.is_empty() {
            *second = since.as_secs();
            *text = utc(*second, 'T') + ".";
        }
        out.write_str(text)
    })?;
    let mut rest = since.subsec_micros();
    let mut digits = *b"000000Z";
    for digit in digits.iter_mut().take(6).rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    out.write_str(str::from_utf8(&digits).unwrap_or_default())
}

thread_local! {
    /// The second that was written last: a log has many lines in each.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since 1970 in the Gregorian calendar: the date, `between`, and the time.
fn utc(seconds: u64, between: char) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from a March, so that the leap day is a year's last; 400 years are an era.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_799, "2000-02-29 23:59:59"),
            (1_709_251_200, "2024-03-01 00:00:00"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(seconds, ' '), date);
        }
    }

    #[test]
    fn lines_have_their_microsecond() {
        let written = |micros| {
            let mut text = String::new();
            let then = UNIX_EPOCH + Duration::from_micros(micros);
            stamp(&mut text, then).unwrap();
            text
        };
        assert_eq!(written(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(written(7), "1970-01-01T00:00:00.000007Z");
        assert_eq!(written(951_868_799_999_999), "2000-02-29T23:59:59.999999Z");
        assert_eq!(written(951_868_800_120_000), "2000-03-01T00:00:00.120000Z");
    }

    #[tokio::test(start_paused = true)]
    async fn never_has_no_age_and_no_words() {
        assert_eq!((age(0), written(0).as_str()), (Duration::ZERO, ""));
        let then = number(Instant::now());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(age(then) >= Duration::from_secs(3));
        assert!(age(now()) < Duration::from_secs(1));
    }
}
