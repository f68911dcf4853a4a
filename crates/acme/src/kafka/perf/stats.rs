//! What is known of the records that the cluster has taken, and the lines about it.

use super::{MB, fixed};
use std::io::{self, Write};

/// Latencies that are kept; of more records every n-th counts.
const LATENCIES_MAX: u64 = 500_000;

/// Records since a point in time.
#[derive(Debug, Default)]
struct Sum {
    since_ms: i64,
    count: u64,
    bytes: u64,
    latency_ms: u64,
    latency_max_ms: u64,
}

impl Sum {
    fn since(since_ms: i64) -> Self {
        Self { since_ms, ..Self::default() }
    }

    fn add(&mut self, count: u64, bytes: u64, latency_ms: u64) {
        self.count += count;
        self.bytes += bytes;
        self.latency_ms += latency_ms * count;
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
    }

    /// Records and MB in a second.
    fn rates(&self, now_ms: i64) -> (f64, f64) {
        let seconds = (now_ms - self.since_ms) as f64 / 1_000.0;
        (self.count as f64 / seconds, self.bytes as f64 / seconds / MB)
    }

    fn latency_mean_ms(&self) -> f64 {
        self.latency_ms as f64 / self.count as f64
    }
}

/// All records, and those of the present interval.
#[derive(Debug)]
pub(super) struct Stats {
    all: Sum,
    window: Sum,
    interval_ms: i64,
    sampling: u64,
    latencies: Vec<u32>,
    is_steady: bool,
    /// Its intervals are not printed: those of another one are.
    pub(super) silent: bool,
}

impl Stats {
    pub(super) fn new(records: u64, interval_ms: i64, is_steady: bool, now_ms: i64) -> Self {
        Self {
            all: Sum::since(now_ms),
            window: Sum::since(now_ms),
            interval_ms,
            sampling: (records / LATENCIES_MAX).max(1),
            latencies: Vec::new(),
            is_steady,
            silent: false,
        }
    }

    /// Successive records of one latency; prints what has become of an interval that is over.
    pub(super) fn add(
        &mut self,
        (count, bytes, latency_ms): (u64, u64, u64),
        now_ms: i64,
        out: &mut impl Write,
    ) -> io::Result<()> {
        // Those whose number is a multiple of the sampling.
        let before = self.all.count;
        let kept = (before + count).div_ceil(self.sampling) - before.div_ceil(self.sampling);
        let latency = u32::try_from(latency_ms).unwrap_or(u32::MAX);
        self.latencies.extend(std::iter::repeat_n(latency, usize::try_from(kept).unwrap_or(0)));
        self.all.add(count, bytes, latency_ms);
        self.window.add(count, bytes, latency_ms);
        if now_ms - self.window.since_ms < self.interval_ms {
            return Ok(());
        }
        if self.is_steady && self.all.count == self.window.count {
            writeln!(out, "In steady state.")?;
        }
        if !self.silent {
            self.print_window(now_ms, out)?;
        }
        self.window = Sum::since(now_ms);
        Ok(())
    }

    fn print_window(&self, now_ms: i64, out: &mut impl Write) -> io::Result<()> {
        let window = &self.window;
        let (records, mb) = window.rates(now_ms);
        writeln!(
            out,
            "{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency.",
            window.count,
            fixed(records, 1),
            fixed(mb, 2),
            fixed(window.latency_mean_ms(), 1),
            fixed(window.latency_max_ms as f64, 1),
        )
    }

    /// The line about all of it.
    pub(super) fn print_total(&mut self, now_ms: i64, out: &mut impl Write) -> io::Result<()> {
        self.latencies.sort_unstable();
        let percentile = |part: f64| {
            // The share of a length: below it, and not negative.
            let at = (part * self.latencies.len() as f64) as usize;
            self.latencies.get(at).copied().unwrap_or(0)
        };
        let (records, mb) = self.all.rates(now_ms);
        writeln!(
            out,
            "{}{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency, {} ms 50th, {} ms 95th, \
             {} ms 99th, {} ms 99.9th.",
            self.all.count,
            if self.is_steady { " steady state" } else { "" },
            fixed(records, 6),
            fixed(mb, 2),
            fixed(self.all.latency_mean_ms(), 2),
            fixed(self.all.latency_max_ms as f64, 2),
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            percentile(0.999),
        )
    }

    /// Names and values of Kafka's producer that are known here too.
    pub(super) fn metrics(&self, now_ms: i64) -> Vec<(&'static str, f64)> {
        let seconds = (now_ms - self.all.since_ms) as f64 / 1_000.0;
        vec![
            ("record-send-total", self.all.count as f64),
            ("record-send-rate", self.all.count as f64 / seconds),
            ("record-size-avg", self.all.bytes as f64 / self.all.count as f64),
            ("byte-total", self.all.bytes as f64),
            ("byte-rate", self.all.bytes as f64 / seconds),
            ("request-latency-avg", self.all.latency_mean_ms()),
            ("request-latency-max", self.all.latency_max_ms as f64),
        ]
    }

    pub(super) fn count(&self) -> u64 {
        self.all.count
    }

    /// The total for programs.
    pub(super) fn value(&mut self, now_ms: i64) -> serde_json::Value {
        self.latencies.sort_unstable();
        let (records, mb) = self.all.rates(now_ms);
        let at = |part: f64| {
            let at = (part * self.latencies.len() as f64) as usize;
            self.latencies.get(at).copied().unwrap_or(0)
        };
        serde_json::json!({
            "records": self.all.count,
            "bytes": self.all.bytes,
            "records_per_second": records,
            "mb_per_second": mb,
            "latency_ms": {
                "avg": self.all.latency_mean_ms(),
                "max": self.all.latency_max_ms,
                "p50": at(0.5),
                "p95": at(0.95),
                "p99": at(0.99),
                "p999": at(0.999),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_those_of_kafkas_own_tool() {
        let mut stats = Stats::new(1_000, 5_000, false, 0);
        let mut out = Vec::new();
        stats.add((900, 90_000, 2), 1_000, &mut out).unwrap();
        assert!(out.is_empty());
        stats.add((100, 10_000, 7), 5_000, &mut out).unwrap();
        stats.print_total(10_000, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1000 records sent, 200.0 records/sec (0.02 MB/sec), 2.5 ms avg latency, 7.0 ms max latency.\n\
             1000 records sent, 100.000000 records/sec (0.01 MB/sec), 2.50 ms avg latency, 7.00 ms max latency, \
             2 ms 50th, 7 ms 95th, 7 ms 99th, 7 ms 99.9th.\n"
        );
    }

    #[test]
    fn of_many_records_some_are_kept() {
        let mut stats = Stats::new(1_500_000, i64::MAX, true, 0);
        for _ in 0..1_000 {
            stats.add((1_500, 0, 1), 1, &mut Vec::new()).unwrap();
        }
        assert_eq!(stats.latencies.len(), 500_000);
    }
}
