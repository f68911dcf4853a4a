//! The table of the log: four sides, of which each row has those that make sense.

use crate::measure::Readings;
use crate::results::{Results, Sheet, date};
use anyhow::Result;
use std::fmt::Write as _;

/// All rows, in the order of the table.
const ORDER: [&str; 31] = [
    "write 100 B, 1 partition, our client",
    "write 100 B, 12 partitions, our client",
    "write 1 KB, 1 partition, our client",
    "write 1 KB, 12 partitions, our client",
    "write 100 B, 1 partition, `rdkafka_performance`",
    "write 100 B, 12 partitions, `rdkafka_performance`",
    "write 1 KB, 1 partition, `rdkafka_performance`",
    "write 1 KB, 12 partitions, `rdkafka_performance`",
    "write 100 B, 1 partition, `kafka-producer-perf-test`",
    "write 100 B, 12 partitions, `kafka-producer-perf-test`",
    "write 1 KB, 1 partition, `kafka-producer-perf-test`",
    "write 1 KB, 12 partitions, `kafka-producer-perf-test`",
    "read 100 B, 1 partition, our client",
    "read 100 B, 12 partitions, our client",
    "read 1 KB, 1 partition, our client",
    "read 1 KB, 12 partitions, our client",
    "read 100 B, 1 partition, `rdkafka_performance`",
    "read 100 B, 12 partitions, `rdkafka_performance`",
    "read 1 KB, 1 partition, `rdkafka_performance`",
    "read 1 KB, 12 partitions, `rdkafka_performance`",
    "read 100 B, 1 partition, `kafka-consumer-perf-test`",
    "read 100 B, 12 partitions, `kafka-consumer-perf-test`",
    "read 1 KB, 1 partition, `kafka-consumer-perf-test`",
    "read 1 KB, 12 partitions, `kafka-consumer-perf-test`",
    "acknowledged, p50",
    "acknowledged, p99",
    "acknowledged, p999",
    "acknowledged on busy cores, p50",
    "acknowledged on busy cores, p99",
    "acknowledged on busy cores, p999",
    "resident memory",
];
const HEADER: &str = "| | Acme | Acme, relaxed | Kafka | Kafka, fsync | Acme beside Kafka | aim | |\n|---|---|---|---|---|---|---|---|\n";

/// The row of the start, which is the last.
pub(super) const START: &str = "from start to first acknowledgement";

/// What readings are, and which are better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// More is better.
    RecordsPerSecond,
    /// Less is better.
    Ms,
    /// Less is better.
    MiB,
}

/// What our durable side is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    None,
    /// So many times as good as Kafka without fsync.
    Times(f64),
    /// More than this.
    Over(f64),
    /// Less than this.
    Under(f64),
}

/// The sides, in the order of the columns.
pub(super) const SIDES: [&str; 4] = ["Acme", "Acme, relaxed", "Kafka", "Kafka, fsync"];

/// One row.
pub(super) struct Row<'a> {
    pub(super) what: &'a str,
    /// Without readings: not measured.
    pub(super) sides: [Readings; 4],
    pub(super) unit: Unit,
    pub(super) aim: Aim,
}

impl Row<'_> {
    /// Prints and keeps it.
    pub(super) fn put(&self, results: &mut Results) -> Result<()> {
        let order: Vec<&str> = ORDER.into_iter().chain([START]).collect();
        anyhow::ensure!(order.contains(&self.what), "the table has no row {}", self.what);
        let sheet = sheet(&order);
        results.put(&sheet, self.what, &self.row(), &self.readings(&date()?))
    }

    fn row(&self) -> String {
        let [ours, _, theirs, _] = &self.sides;
        let (ours, theirs) = (ours.median(), theirs.median());
        let times = if self.unit == Unit::RecordsPerSecond { ours / theirs } else { theirs / ours };
        let (aim, is_met) = match self.aim {
            Aim::None => (String::new(), None),
            Aim::Times(least) => (format!("{least} times"), Some(times >= least)),
            Aim::Over(least) => (format!("over {}", self.unit.show(least)), Some(ours > least)),
            Aim::Under(most) => (format!("under {}", self.unit.show(most)), Some(ours < most)),
        };
        let met = is_met.map_or("", |is_met| if is_met { "met" } else { "**missed**" });
        let mut row = format!("| {} |", self.what);
        for side in &self.sides {
            let shown = if side.count() == 0 { String::new() } else { self.unit.show(side.median()) };
            let _ = write!(row, " {shown} |");
        }
        let digits = if times < 10.0 { 2 } else { 0 };
        let beside = if times.is_nan() { String::new() } else { format!("{times:.digits$} times") };
        row + &format!(" {beside} | {aim} | {met} |\n")
    }

    fn readings(&self, date: &str) -> String {
        let mut out = String::new();
        for (side, of) in SIDES.iter().zip(&self.sides).filter(|(_, of)| of.count() > 0) {
            let (min, median, max, runs) = (of.min(), of.median(), of.max(), of.count());
            let (what, unit) = (self.what, self.unit.name());
            let _ = writeln!(
                out,
                "| {what} | {side} | {min:.1} | {median:.1} | {max:.1} | {unit} | {runs} | {date} |"
            );
        }
        out
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::RecordsPerSecond => "records/s",
            Self::Ms => "ms",
            Self::MiB => "MiB",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::RecordsPerSecond if value < 1e6 => format!("{:.0} k/s", value / 1e3),
            Self::RecordsPerSecond => format!("{:.2} M/s", value / 1e6),
            Self::Ms if value < 100.0 => format!("{value:.1} ms"),
            Self::Ms => format!("{value:.0} ms"),
            Self::MiB => format!("{value:.0} MiB"),
        }
    }
}

fn sheet<'a>(order: &'a [&'a str]) -> Sheet<'a> {
    Sheet {
        file: "log.md",
        title: "The log beside Apache Kafka",
        order,
        about: "Medians; acks=all, and what Acme acknowledges without `flush.*` is on the disk",
        header: HEADER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, theirs: f64, unit: Unit, aim: Aim) -> String {
        let mut sides: [Readings; 4] = Default::default();
        sides[0].push(ours);
        sides[2].push(theirs);
        Row { what: ORDER[0], sides, unit, aim }.row()
    }

    #[test]
    fn a_missed_aim_is_said_whichever_way_is_better() {
        let begin = format!("| {} |", ORDER[0]);
        assert_eq!(
            row(2e6, 5e5, Unit::RecordsPerSecond, Aim::Times(1.0)),
            format!("{begin} 2.00 M/s |  | 500 k/s |  | 4.00 times | 1 times | met |\n")
        );
        assert_eq!(
            row(30.0, 15.0, Unit::Ms, Aim::Under(20.0)),
            format!("{begin} 30.0 ms |  | 15.0 ms |  | 0.50 times | under 20.0 ms | **missed** |\n")
        );
        assert!(row(9.0, 99.0, Unit::MiB, Aim::Times(10.0)).ends_with("| 11 times | 10 times | met |\n"));
    }

    #[test]
    fn the_readme_shows_the_table() {
        let (readme, results) = (include_str!("../../../README.md"), include_str!("../../log.md"));
        assert!(sheet(&[]).is_shown(readme, results));
    }
}
