//! What a run shows of itself: a live line on a terminal, the summary at the end.

use crate::table::duration;
use acme_connect::Unit;
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
    for unit in [Unit::Rows, Unit::Bytes] {
        if let Some((done, total)) = stats.extent(unit) {
            let _ = write!(text, ", {}", share(unit, done, total, elapsed));
        }
    }
    if stats.rejected.get() > 0 {
        let _ = write!(text, ", {} failed", grouped(stats.rejected.get()));
    }
    if stats.retries.get() > 0 {
        let _ = write!(text, ", {} retries", grouped(stats.retries.get()));
    }
    text
}

/// How far a source is: `1,200 of about 4,800 rows read (25%), 30s left`, `1.2 of 4.8 MB read (25%), 30s left`.
fn share(unit: Unit, done: u64, total: u64, elapsed: Duration) -> String {
    // What the server thinks may be too few.
    let total = total.max(done);
    let percent = (done as f64 / total.max(1) as f64 * 100.0).min(99.0);
    let mut text = match unit {
        Unit::Rows => format!("{} of about {} rows", grouped(done), grouped(total)),
        Unit::Bytes => format!("{} of {}", size(done), size(total)),
    };
    let _ = write!(text, " read ({percent:.0}%)");
    if let Some(seconds) = seconds_left(done, total, elapsed) {
        let _ = write!(text, ", {} left", duration(seconds));
    }
    text
}

/// How long the rest takes at the rate so far; `None` before the first rows.
pub(crate) fn seconds_left(done: u64, total: u64, elapsed: Duration) -> Option<u64> {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    (rate > 0.0).then(|| (total.saturating_sub(done) as f64 / rate).ceil() as u64)
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

/// `1234567` as `1.2 MB`.
fn size(bytes: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB")];
    let (divisor, unit) = units.into_iter().find(|(least, _)| bytes as f64 >= *least).unwrap_or((1e3, "kB"));
    format!("{:.1} {unit}", bytes as f64 / divisor)
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
    use super::*;

    #[test]
    fn a_copy_shows_how_far_it_is_and_when_it_ends() {
        let after = |seconds| Duration::from_secs(seconds);
        let rows = |done, total| share(Unit::Rows, done, total, after(10));
        assert_eq!(rows(1200, 4800), "1,200 of about 4,800 rows read (25%), 30s left");
        assert_eq!(rows(0, 4800), "0 of about 4,800 rows read (0%)");
        assert_eq!(rows(5000, 4800), "5,000 of about 5,000 rows read (99%), 0s left");
        let bytes = |done, total| share(Unit::Bytes, done, total, after(10));
        assert_eq!(bytes(1_000_000, 4_000_000), "1.0 MB of 4.0 MB read (25%), 30s left");
        assert_eq!(bytes(12, 48), "0.0 kB of 0.0 kB read (25%), 30s left");
        assert_eq!(
            bytes(3_260_000_000, 4_500_000_000_000),
            "3.3 GB of 4.5 TB read (0%), 13794s left".replace("13794s", &duration(13794))
        );
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
