//! Measuring a cluster: how fast it takes records, and how fast it gives them back.

pub(crate) mod consumer;
pub(crate) mod date;
pub(crate) mod producer;
mod stats;

use acme_connect::SystemClock;
use acme_types::Clock;

/// Bytes of what the tools call MB.
const MB: f64 = 1024.0 * 1024.0;

/// A number with a fixed fraction, as Java prints it.
fn fixed(value: f64, digits: usize) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        value => format!("{value:.digits$}"),
    }
}

/// The time in ms since 1970.
fn now_ms(clock: &SystemClock) -> i64 {
    clock.now().0 / 1_000
}

/// The table of `--print-metrics`: names with their groups and tags, and values.
fn metrics(group: &str, client_id: &str, values: &[(&str, f64)]) -> String {
    let mut lines: Vec<(String, f64)> = values
        .iter()
        .map(|(name, value)| (format!("{group}:{name}:{{client-id={client_id}}}"), *value))
        .collect();
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let head = format!("\n{:<width$}   Value\n", "Metric Name");
    lines.iter().fold(head, |text, (name, value)| text + &format!("{name:<width$} : {}\n", fixed(*value, 3)))
}
