//! The tables of `benches/results.md`: what was measured last of each comparison.

use crate::measure::Readings;
use acme_lab::run;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// All comparisons, in the order of the tables.
pub(crate) const ORDER: [&str; 32] = [
    "file → filter → file",
    "file → filter → file, messy rows",
    "file → filter → file, Flink",
    "PostgreSQL → `null`, copy of 800,000 rows",
    "PostgreSQL → `null`, copy of 500,000 rows",
    "PostgreSQL → `null`, 300,000 inserts",
    "PostgreSQL → `null`, 300,000 inserts, Debezium",
    "PostgreSQL → Elasticsearch, copy of 200,000 rows",
    "PostgreSQL → Elasticsearch, 200,000 inserts",
    "client → Kafka",
    "client → Kafka, processor time",
    "Kafka → `null`",
    "Kafka → `null`, processor time",
    "Kafka → 1 in 8 → Kafka",
    "Kafka → 1 in 8 → Kafka, processor time",
    "Kafka → 1 in 8 → Kafka, Flink",
    "Kafka → 1 in 8 → Kafka, Flink, processor time",
    "Kafka → 1 in 8 → Kafka, Streams",
    "Kafka → 1 in 8 → Kafka, Streams, processor time",
    "Kafka → all → Kafka",
    "Kafka → all → Kafka, processor time",
    "Kafka → all → Kafka, copy",
    "Kafka → all → Kafka, copy, processor time",
    "Kafka → all → Kafka, pipe",
    "Kafka → all → Kafka, pipe, processor time",
    "Kafka → all → Kafka, Flink",
    "Kafka → all → Kafka, Flink, processor time",
    "memory, copy of 800,000 rows",
    "memory, 300,000 inserts",
    "memory, Kafka → all → Kafka",
    "first row after the start",
    "first row, slot created",
];
const RATIOS: &str = "| | Acme | beside | Acme is | aim | |\n|---|---|---|---|---|---|\n";
/// The file of all comparisons but those of the log.
const SHEET: Sheet<'_> = Sheet {
    file: "results.md",
    title: "Results",
    order: &ORDER,
    about: "Ratios of the medians",
    header: RATIOS,
};
const READINGS: &str =
    "| | side | min | median | max | unit | runs | date |\n|---|---|---|---|---|---|---|---|\n";

/// A file with a table, which the README has too, and with the readings behind it.
pub(crate) struct Sheet<'a> {
    /// In this folder.
    pub(crate) file: &'a str,
    pub(crate) title: &'a str,
    /// All rows, in the order of the tables.
    pub(crate) order: &'a [&'a str],
    pub(crate) about: &'a str,
    pub(crate) header: &'a str,
}

/// What a comparison is to show.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// Nothing was aimed at.
    None,
    /// As fast as the peer times this.
    AtLeast(f64),
    /// There is no peer; the reading is to stay under this.
    Under(f64, &'static str),
}

/// What rows are counted by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Per {
    /// By the clock.
    Second,
    /// By what the processors spent.
    CpuSecond,
}

/// One comparison; readings are milliseconds unless the verdict names another unit.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) what: &'static str,
    pub(crate) beside: String,
    pub(crate) ours: Readings,
    pub(crate) theirs: Readings,
    /// Rows of one run; 0 where they do not matter.
    pub(crate) rows: u64,
    pub(crate) per: Per,
    pub(crate) verdict: Verdict,
}

impl Comparison {
    /// A reading that has no peer.
    pub(crate) fn alone(what: &'static str, ours: Readings, verdict: Verdict) -> Self {
        let theirs = Readings::default();
        Self { what, beside: String::new(), ours, theirs, rows: 0, per: Per::Second, verdict }
    }

    fn ratio(&self) -> String {
        let Self { what, beside, verdict, .. } = self;
        let (is, aim, met) = match *verdict {
            Verdict::Under(limit, unit) => {
                let median = self.ours.median();
                let row = format!("| {what} | {median:.0} {unit} | | | under {limit} {unit} | ");
                return row + said(median < limit) + " |\n";
            }
            Verdict::None => (self.times(self.speed()), String::new(), None),
            Verdict::AtLeast(aim) => (self.times(self.speed()), self.times(aim), Some(self.speed() >= aim)),
        };
        let (ours, theirs) = (self.rate(&self.ours), self.rate(&self.theirs));
        format!("| {what} | {ours} | {beside}: {theirs} | {is} | {aim} | {} |\n", met.map_or("", said))
    }

    /// Rows a second, or a second of processor time.
    fn rate(&self, of: &Readings) -> String {
        let rate = self.rows as f64 / of.median() * 1e3;
        let second = if self.per == Per::Second { "s" } else { "CPU-s" };
        if rate < 1e6 {
            format!("{:.0} k rows/{second}", rate / 1e3)
        } else {
            format!("{:.2} M rows/{second}", rate / 1e6)
        }
    }

    fn times(&self, speed: f64) -> String {
        let digits = if speed < 10.0 { 2 } else { 0 };
        let what = if self.per == Per::Second { "as fast" } else { "as much" };
        format!("{speed:.digits$} times {what}")
    }

    /// How many times as fast as the peer.
    fn speed(&self) -> f64 {
        self.theirs.median() / self.ours.median()
    }

    fn readings(&self, date: &str) -> String {
        let Self { what, beside, ours, theirs, verdict, .. } = self;
        let unit = match (verdict, self.per) {
            (Verdict::Under(_, unit), _) => unit,
            (_, Per::Second) => "ms",
            (_, Per::CpuSecond) => "CPU-ms",
        };
        let mut out = String::new();
        for (side, of) in [("Acme", ours), (beside.as_str(), theirs)] {
            if of.count() > 0 {
                let (min, median, max) = (of.min(), of.median(), of.max());
                let runs = of.count();
                let _ = writeln!(
                    out,
                    "| {what} | {side} | {min:.1} | {median:.1} | {max:.1} | {unit} | {runs} | {date} |"
                );
            }
        }
        out
    }
}

fn said(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// The file of results.
pub(crate) struct Results {
    folder: PathBuf,
    kept: bool,
}

impl Results {
    /// Results that are only printed if they are not of the usual size.
    pub(crate) fn new(kept: bool) -> Self {
        Self { folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")), kept }
    }

    /// Prints a comparison, and puts it in the place of the one before.
    pub(crate) fn add(&mut self, comparison: Comparison) -> Result<()> {
        let readings = comparison.readings(&date()?);
        self.put(&SHEET, comparison.what, &comparison.ratio(), &readings)
    }

    /// Prints the rows of both tables, and puts them in the place of those before.
    #[expect(clippy::print_stdout, reason = "the result of the program")]
    pub(crate) fn put(&mut self, sheet: &Sheet<'_>, what: &str, row: &str, readings: &str) -> Result<()> {
        print!("{readings}{row}");
        if !self.kept {
            return Ok(());
        }
        let (path, readme_path) = (self.folder.join(sheet.file), self.folder.join("../README.md"));
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let text = sheet.replace(&old, what, row, readings, &machine()?);
        let readme = std::fs::read_to_string(&readme_path).context("cannot read README.md")?;
        std::fs::write(&readme_path, sheet.shown(&readme, &text)?)?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Today.
pub(crate) fn date() -> Result<String> {
    Ok(run(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned())
}

impl Sheet<'_> {
    /// The file with one comparison put in the place of its predecessor.
    fn replace(&self, old: &str, what: &str, row: &str, readings: &str, machine: &str) -> String {
        let Self { title, about, header, order, .. } = self;
        let mut out = format!(
            "# {title}\n\nWritten by `cargo run --release -p acme-bench`; each comparison is of one run in which the sides \
             took turns.\n\n{machine}\n\n## {about}\n\n{header}"
        );
        let (rows, all) = old.split_once("\n## Readings\n").unwrap_or_default();
        let table = |out: &mut String, new: &str, before: &str| {
            for name in *order {
                if *name == what {
                    out.push_str(new);
                } else {
                    let kept = before.lines().filter(|line| line.starts_with(&format!("| {name} |")));
                    kept.for_each(|line| out.extend([line, "\n"]));
                }
            }
        };
        table(&mut out, row, rows);
        out.push_str(&format!("\n## Readings\n\n{READINGS}"));
        table(&mut out, readings, all);
        out
    }

    /// The table of a text, and what stands before and behind it.
    fn split<'t>(&self, text: &'t str) -> Result<(&'t str, &'t str, &'t str)> {
        let (before, rest) = text.split_once(self.header).context("the table is missing")?;
        let end = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
        let (table, behind) = rest.split_at(end);
        Ok((before, table, behind))
    }

    /// The README with the table of the results.
    fn shown(&self, readme: &str, results: &str) -> Result<String> {
        let ((before, _, behind), (_, table, _)) = (self.split(readme)?, self.split(results)?);
        Ok(format!("{before}{}{table}{behind}", self.header))
    }

    /// Whether the README shows the table.
    #[cfg(test)]
    pub(crate) fn is_shown(&self, readme: &str, results: &str) -> bool {
        self.split(readme).expect("the table is there").1 == self.split(results).expect("and there").1
    }
}

fn machine() -> Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let (cpu, memory, system) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?, read("/etc/os-release")?);
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_default().trim_matches([' ', '\t', ':', '=', '"']).to_owned()
    };
    let cores = std::thread::available_parallelism()?;
    let kib: u64 = value(&memory, "MemTotal").trim_end_matches(" kB").parse()?;
    Ok(format!(
        "Machine: {cores} cores ({}), {} GiB of memory, {}. All servers run on the same cores.",
        value(&cpu, "model name"),
        kib.div_ceil(1 << 20),
        value(&system, "PRETTY_NAME")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(of: &[f64]) -> Readings {
        let mut readings = Readings::default();
        of.iter().for_each(|reading| readings.push(*reading));
        readings
    }

    fn comparison(what: &'static str, ours: f64, verdict: Verdict) -> Comparison {
        Comparison {
            what,
            beside: "peer".to_owned(),
            ours: readings(&[ours]),
            theirs: readings(&[10.0]),
            rows: 30,
            per: Per::Second,
            verdict,
        }
    }

    #[test]
    fn a_missed_aim_is_said() {
        let row = |ours, verdict| comparison("memory", ours, verdict).ratio();
        assert_eq!(
            row(5.0, Verdict::AtLeast(1.0)),
            "| memory | 6 k rows/s | peer: 3 k rows/s | 2.00 times as fast | 1.00 times as fast | met |\n"
        );
        assert!(row(11.0, Verdict::AtLeast(1.0)).contains("**missed**"));
        assert!(row(11.0, Verdict::Under(10.0, "MiB")).contains("**missed**"));
        assert_eq!(row(9.4, Verdict::Under(10.0, "MiB")), "| memory | 9 MiB | | | under 10 MiB | met |\n");
    }

    #[test]
    fn a_comparison_takes_the_place_of_its_predecessor_alone() {
        let put = |old: &str, what, ours| {
            let new = comparison(what, ours, Verdict::None);
            SHEET.replace(old, what, &new.ratio(), &new.readings("day"), "machine")
        };
        let text = put(&put(&put("", ORDER[1], 2.0), ORDER[0], 5.0), ORDER[1], 4.0);
        assert_eq!(text, put(&put("", ORDER[0], 5.0), ORDER[1], 4.0));
        assert!(text.contains("2.00 times") && text.contains("2.50 times") && !text.contains("5.00 times"));
        assert!(text.find(ORDER[0]) < text.find(ORDER[1]));
    }

    #[test]
    fn the_readme_shows_the_table() {
        assert!(SHEET.is_shown(include_str!("../../README.md"), include_str!("../results.md")));
    }
}
