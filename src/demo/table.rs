//! The result, side by side.

use std::fmt::Write;
use std::time::Duration;

use super::measure::Round;

/// A row's name, and what it takes from a round.
type Row = (&'static str, fn(&Round) -> Duration);

const ROWS: [Row; 5] = [
    ("connect", |round| round.connect),
    ("first query", |round| round.first),
    ("second query", |round| round.second),
    ("disconnect", |round| round.disconnect),
    ("connect + query", |round| round.connect + round.first),
];

/// Medians of each way's rounds, in milliseconds and in round trips.
pub fn table(ways: [&[Round]; 3], round_trip: Duration) -> String {
    let mut text = format!(
        "{:16}{:>24}{:>24}{:>24}\n{:16}",
        "", "directly", "through pgweir", "asked before", ""
    );
    for _ in ways {
        text += "        ms   round trips";
    }
    text.push('\n');
    for (name, take) in ROWS {
        let mut line = format!("{name:16}");
        for rounds in ways {
            let took = median(rounds, take);
            let trips = took.as_secs_f64() / round_trip.as_secs_f64();
            // A String takes everything.
            let _written = write!(line, "{:>10.1}{trips:>14.1}", took.as_secs_f64() * 1e3);
        }
        text += &line;
        text.push('\n');
    }
    text
}

/// The one in the middle; nothing of nothing.
fn median(rounds: &[Round], take: fn(&Round) -> Duration) -> Duration {
    let mut all: Vec<Duration> = rounds.iter().map(take).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_side_by_side() {
        let round = |connect, query| Round {
            connect: Duration::from_millis(connect),
            first: Duration::from_millis(query),
            second: Duration::from_millis(query),
            disconnect: Duration::from_micros(40),
        };
        let directly = [round(420, 71), round(9000, 70), round(410, 70)];
        let through = [round(4, 70), round(3, 70), round(5, 900)];
        let cached = [round(4, 0)];
        let expected = "
                                directly          through pgweir            asked before
                        ms   round trips        ms   round trips        ms   round trips
connect              420.0           6.0       4.0           0.1       4.0           0.1
first query           70.0           1.0      70.0           1.0       0.0           0.0
second query          70.0           1.0      70.0           1.0       0.0           0.0
disconnect             0.0           0.0       0.0           0.0       0.0           0.0
connect + query      491.0           7.0      74.0           1.1       4.0           0.1
";
        let ways = [&directly[..], &through, &cached];
        let table = table(ways, Duration::from_millis(70));
        assert_eq!(table, expected.trim_start_matches('\n'));
    }
}
