//! The tables of `benches/results.md`: what was measured last of each comparison.

use crate::measure::Readings;
use acme_lab::run;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// All comparisons, in the order of the tables.
pub(crate) const ORDER: [&str; 12] = [
    "file → filter → file",
    "file → filter → file, messy rows",
    "file → filter → file, Flink",
    "PostgreSQL → `null`, copy of 800,000 rows",
    "PostgreSQL → `null`, copy of 500,000 rows",
    "PostgreSQL → `null`, 300,000 inserts",
    "PostgreSQL → `null`, 300,000 inserts, Debezium",
    "PostgreSQL → Elasticsearch, copy of 200,000 rows",
    "PostgreSQL → Elasticsearch, 200,000 inserts",
    "memory",
    "first row after the start",
    "first row, slot created",
];
const RATIOS: &str = "| | beside | Acme is | aim | |\n|---|---|---|---|---|\n";
const READINGS: &str = "| | side | min | median | max | unit | runs | date |\n|---|---|---|---|---|---|---|---|\n";

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

/// One comparison; readings are milliseconds unless the verdict names another unit.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) what: &'static str,
    pub(crate) beside: String,
    pub(crate) ours: Readings,
    pub(crate) theirs: Readings,
    pub(crate) verdict: Verdict,
}

impl Comparison {
    fn ratio(&self) -> String {
        let Self { what, beside, verdict, .. } = self;
        let (is, aim, met) = match *verdict {
            Verdict::Under(limit, unit) => {
                let share = self.ours.median() / limit;
                (format!("at {share:.2} of the limit"), format!("under {limit} {unit}"), Some(share < 1.0))
            }
            Verdict::None => (times(self.speed()), String::new(), None),
            Verdict::AtLeast(aim) => (times(self.speed()), times(aim), Some(self.speed() >= aim)),
        };
        let met = met.map_or("", |met| if met { "met" } else { "**missed**" });
        format!("| {what} | {beside} | {is} | {aim} | {met} |\n")
    }

    /// How many times as fast as the peer.
    fn speed(&self) -> f64 {
        self.theirs.median() / self.ours.median()
    }

    fn readings(&self, date: &str) -> String {
        let Self { what, beside, ours, theirs, verdict } = self;
        let unit = if let Verdict::Under(_, unit) = verdict { unit } else { "ms" };
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

fn times(speed: f64) -> String {
    let digits = if speed < 10.0 { 2 } else { 0 };
    format!("{speed:.digits$} times as fast")
}

/// The file of results.
pub(crate) struct Results {
    path: PathBuf,
    kept: bool,
}

impl Results {
    /// Results that are only printed if they are not of the usual size.
    pub(crate) fn new(kept: bool) -> Self {
        Self { path: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results.md"), kept }
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
            ratios.lines().filter(|line| kept(line, name)).for_each(|line| out.push_str(&format!("{line}\n")));
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
            verdict,
        }
    }

    #[test]
    fn a_missed_aim_is_said() {
        let row = |ours, verdict| comparison("memory", ours, verdict).ratio();
        assert_eq!(
            row(5.0, Verdict::AtLeast(1.0)),
            "| memory | peer | 2.00 times as fast | 1.00 times as fast | met |\n"
        );
        assert!(row(11.0, Verdict::AtLeast(1.0)).contains("**missed**"));
        assert!(row(11.0, Verdict::Under(10.0, "MiB")).contains("**missed**"));
        assert!(row(9.0, Verdict::Under(10.0, "MiB")).contains("at 0.90 of the limit | under 10 MiB | met"));
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
        let section = |text: &str| {
            let table = text.split_once(RATIOS).map(|(_, rest)| rest).expect("the table is there");
            table.lines().take_while(|line| line.starts_with('|')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(section(include_str!("../../README.md")), section(include_str!("../results.md")));
    }
}
