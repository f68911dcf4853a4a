//! The tables of `benches/results.md`: what was measured last of each comparison.

use crate::measure::Readings;
use acme_lab::run;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
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
const READINGS: &str =
    "| | side | min | median | max | unit | runs | date |\n|---|---|---|---|---|---|---|---|\n";

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
    path: PathBuf,
    readme: PathBuf,
    kept: bool,
}

impl Results {
    /// Results that are only printed if they are not of the usual size.
    pub(crate) fn new(kept: bool) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { path: here.join("results.md"), readme: here.join("../README.md"), kept }
    }

    /// Prints a comparison, and puts it in the place of the one before.
    #[expect(clippy::print_stdout, reason = "the result of the program")]
    pub(crate) fn add(&mut self, comparison: Comparison) -> Result<()> {
        let date = run(Command::new("date").args(["-u", "+%F"]))?;
        let (ratio, readings) = (comparison.ratio(), comparison.readings(date.trim()));
        print!("{readings}{ratio}");
        if !self.kept {
            return Ok(());
        }
        let old = std::fs::read_to_string(&self.path).unwrap_or_default();
        let text = replace(&old, comparison.what, &ratio, &readings, &machine()?);
        let readme = std::fs::read_to_string(&self.readme).context("cannot read README.md")?;
        std::fs::write(&self.readme, shown(&readme, &text)?)?;
        std::fs::write(&self.path, text).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The file with one comparison put in the place of its predecessor.
fn replace(old: &str, what: &str, ratio: &str, readings: &str, machine: &str) -> String {
    let mut out = format!(
        "# Results\n\nWritten by `cargo run --release -p acme-bench`; each comparison is of one run in which the sides \
         took turns.\n\n{machine}\n\n## Ratios of the medians\n\n{RATIOS}"
    );
    let kept = |line: &&str, name: &str| line.starts_with(&format!("| {name} |"));
    let (ratios, all) = old.split_once("\n## Readings\n").unwrap_or_default();
    for name in ORDER {
        if name == what {
            out.push_str(ratio);
        } else {
            ratios
                .lines()
                .filter(|line| kept(line, name))
                .for_each(|line| out.push_str(&format!("{line}\n")));
        }
    }
    out.push_str(&format!("\n## Readings\n\n{READINGS}"));
    for name in ORDER {
        if name == what {
            out.push_str(readings);
        } else {
            all.lines().filter(|line| kept(line, name)).for_each(|line| out.push_str(&format!("{line}\n")));
        }
    }
    out
}

/// The ratios of a text, and what stands before and behind them.
fn ratios(text: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = text.split_once(RATIOS).context("the table of ratios is missing")?;
    let end = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let (table, behind) = rest.split_at(end);
    Ok((before, table, behind))
}

/// The README with the ratios of the results.
fn shown(readme: &str, results: &str) -> Result<String> {
    let ((before, _, behind), (_, table, _)) = (ratios(readme)?, ratios(results)?);
    Ok(format!("{before}{RATIOS}{table}{behind}"))
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
            replace(old, what, &new.ratio(), &new.readings("day"), "machine")
        };
        let text = put(&put(&put("", ORDER[1], 2.0), ORDER[0], 5.0), ORDER[1], 4.0);
        assert_eq!(text, put(&put("", ORDER[0], 5.0), ORDER[1], 4.0));
        assert!(text.contains("2.00 times") && text.contains("2.50 times") && !text.contains("5.00 times"));
        assert!(text.find(ORDER[0]) < text.find(ORDER[1]));
    }

    #[test]
    fn the_readme_shows_the_table() {
        let table = |text| ratios(text).expect("the table is there").1;
        assert_eq!(table(include_str!("../../README.md")), table(include_str!("../results.md")));
    }
}
