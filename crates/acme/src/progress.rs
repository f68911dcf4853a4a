//! What a run shows of itself: a live line on a terminal, the summary at the end.

use acme_flow::Stats;
use std::fmt::Write;
use std::time::Duration;

/// One line: rows in and out, rates, errors.
pub(crate) fn line(stats: &Stats, elapsed: Duration) -> String {
    let rate = |rows: u64| rows as f64 / elapsed.as_secs_f64().max(1e-3);
    let mut text = format!(
        "{} rows in ({}/s), {} out ({}/s), {} commits",
        grouped(stats.rows_in()),
        grouped(rate(stats.rows_in()) as u64),
        grouped(stats.rows_out()),
        grouped(rate(stats.rows_out()) as u64),
        stats.commits.get()
    );
    if stats.rejected.get() > 0 {
        let _ = write!(text, ", {} failed", grouped(stats.rejected.get()));
    }
    if stats.retries.get() > 0 {
        let _ = write!(text, ", {} retries", grouped(stats.retries.get()));
    }
    text
}

/// What a run did, source by source and destination by destination.
pub(crate) fn summary(stats: &Stats, elapsed: Duration) -> String {
    let mut text = format!("{} in {:.1} s\n", line(stats, elapsed), elapsed.as_secs_f64());
    for (name, rows) in &stats.sources {
        let _ = writeln!(text, "  from {name}: {} rows", grouped(rows.get()));
    }
    for (name, rows) in &stats.sinks {
        let _ = writeln!(text, "  to   {name}: {} rows", grouped(rows.get()));
    }
    text
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
