//! Tables of text, in the look of all of Acme's output.

use std::fmt::Write;

/// A table with box-drawing lines. `widths` are the least widths of the columns, in characters.
pub(crate) fn render(headers: &[&str], widths: &[usize], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([headers[at].chars().count(), widths.get(at).copied().unwrap_or(0)]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |left: char, middle: char, right: char| {
        let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(&middle.to_string()))
    };
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::from("│");
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(text, " {cell:<width$} │");
        }
        text + "\n"
    };
    let mut text = line('┌', '┬', '┐') + &row(&mut headers.iter().copied()) + &line('├', '┼', '┤');
    for cells in rows {
        text += &row(&mut cells.iter().map(String::as_str));
    }
    text + &line('└', '┴', '┘')
}

/// A length of time in its two largest units: `3d 14h`, `5m 2s`, `42s`.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A number of bytes: `512 B`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A short time: `850µs`, `12ms`, `3.4s`, from there on as [`duration`].
pub(crate) fn short_time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..1_000_000 => format!("{}ms", us / 1000),
        1_000_000..60_000_000 => format!("{}.{}s", us / 1_000_000, us / 100_000 % 10),
        _ => duration(us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([42, 302, 18_720, 309_600].map(duration), ["42s", "5m 2s", "5h 12m", "3d 14h"]);
        assert_eq!([850, 12_400, 3_450_000, 90_000_000].map(short_time), ["850µs", "12ms", "3.4s", "1m 30s"]);
    }
}
