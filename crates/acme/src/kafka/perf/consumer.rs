//! How fast a cluster gives records out.

use super::date::Pattern;
use super::{MB, fixed, metrics, now_ms};
use crate::kafka::consume::{Consume, Take, consume};
use crate::kafka::failure::Failure;
use acme_connect::SystemClock;
use acme_kafka::{Client, Fetched};
use serde_json::json;
use std::io::{self, Write};

/// What is to be measured, and how it is shown.
#[derive(Debug)]
pub(crate) struct Perf {
    pub(crate) consume: Consume,
    pub(crate) records: u64,
    pub(crate) timeout_ms: i64,
    pub(crate) interval_ms: i64,
    /// A line for each interval, and none about all.
    pub(crate) detailed: bool,
    pub(crate) header: bool,
    pub(crate) dates: Pattern,
    pub(crate) metrics: bool,
    pub(crate) as_json: bool,
}

/// Records so far.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    records: u64,
    bytes: u64,
}

struct Measuring<'a, W> {
    perf: &'a Perf,
    clock: SystemClock,
    all: Count,
    reported: Count,
    reported_ms: i64,
    /// Since when nothing is assigned; none while something is.
    waits_since_ms: Option<i64>,
    waited_ms: i64,
    /// The same of the present interval.
    waited_now_ms: i64,
    fetches: u64,
    ended_ms: i64,
    out: W,
}

impl<W: Write> Take for Measuring<'_, W> {
    fn records(&mut self, fetched: &Fetched, _clock: &str, most: usize, taken: &mut usize) -> io::Result<()> {
        let bytes = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        let records = fetched.records.get(..most.min(fetched.records.len())).unwrap_or_default();
        let sum: usize = records
            .iter()
            .map(|record| bytes(record.key(&fetched.buffer)) + bytes(record.value(&fetched.buffer)))
            .sum();
        *taken = records.len();
        self.all.records += u64::try_from(records.len()).unwrap_or(0);
        self.all.bytes += u64::try_from(sum).unwrap_or(0);
        self.fetches += 1;
        let now_ms = now_ms(&self.clock);
        if !records.is_empty() && now_ms - self.reported_ms >= self.perf.interval_ms {
            if self.perf.detailed && !self.perf.as_json {
                self.report(now_ms)?;
            }
            self.waited_now_ms = 0;
            self.reported_ms = now_ms;
            self.reported = self.all;
        }
        Ok(())
    }

    fn has_partitions(&mut self, some: bool) {
        let now_ms = now_ms(&self.clock);
        match (some, self.waits_since_ms) {
            (true, Some(since_ms)) => {
                self.waited_ms += now_ms - since_ms;
                self.waited_now_ms += now_ms - since_ms;
                self.waits_since_ms = None;
            }
            (false, None) => self.waits_since_ms = Some(now_ms),
            _ => {}
        }
    }

    fn end(&mut self) {
        self.ended_ms = now_ms(&self.clock);
    }
}

impl<W: Write> Measuring<'_, W> {
    /// The line of an interval.
    fn report(&mut self, now_ms: i64) -> io::Result<()> {
        let took_ms = (now_ms - self.reported_ms) as f64;
        let fetched_ms = now_ms - self.reported_ms - self.waited_now_ms;
        let mb = (self.all.bytes - self.reported.bytes) as f64 / MB;
        let records = (self.all.records - self.reported.records) as f64;
        let in_fetches = |value: f64| {
            if fetched_ms <= 0 { 0.0 } else { 1_000.0 * value / fetched_ms as f64 }
        };
        writeln!(
            self.out,
            "{}, 0, {}, {}, {}, {}, {}, {fetched_ms}, {}, {}",
            self.perf.dates.format(now_ms),
            fixed(self.all.bytes as f64 / MB, 4),
            fixed(1_000.0 * mb / took_ms, 4),
            self.all.records,
            fixed(records / took_ms * 1_000.0, 4),
            self.waited_now_ms,
            fixed(in_fetches(mb), 4),
            fixed(in_fetches(records), 4),
        )
    }

    /// The line about all.
    fn total(&mut self, began_ms: i64, ended_ms: i64) -> io::Result<()> {
        let seconds = (ended_ms - began_ms) as f64 / 1_000.0;
        let fetched_ms = ended_ms - began_ms - self.waited_ms;
        let fetched_seconds = fetched_ms as f64 / 1_000.0;
        let (mb, records) = (self.all.bytes as f64 / MB, self.all.records as f64);
        if self.perf.as_json {
            let value = json!({
                "start_ms": began_ms,
                "end_ms": ended_ms,
                "records": self.all.records,
                "bytes": self.all.bytes,
                "mb_per_second": mb / seconds,
                "records_per_second": records / seconds,
                "rebalance_ms": self.waited_ms,
                "fetch_ms": fetched_ms,
                "fetch_mb_per_second": mb / fetched_seconds,
                "fetch_records_per_second": records / fetched_seconds,
            });
            return writeln!(self.out, "{value:#}");
        }
        writeln!(
            self.out,
            "{}, {}, {}, {}, {}, {}, {}, {fetched_ms}, {}, {}",
            self.perf.dates.format(began_ms),
            self.perf.dates.format(ended_ms),
            fixed(mb, 4),
            fixed(mb / seconds, 4),
            self.all.records,
            fixed(records / seconds, 4),
            self.waited_ms,
            fixed(mb / fetched_seconds, 4),
            fixed(records / fetched_seconds, 4),
        )
    }
}

fn header(detailed: bool) -> &'static str {
    if detailed {
        "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
         fetch.MB.sec, fetch.nMsg.sec"
    } else {
        "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
         fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
    }
}

/// Measures.
pub(crate) async fn run(
    client: &Client,
    perf: &Perf,
    out: impl Write,
    note: impl Fn(&str),
) -> Result<(), Failure> {
    let clock = SystemClock::start();
    let began_ms = now_ms(&clock);
    let mut measuring = Measuring {
        perf,
        clock,
        all: Count::default(),
        reported: Count::default(),
        reported_ms: began_ms,
        waits_since_ms: Some(began_ms),
        waited_ms: 0,
        waited_now_ms: 0,
        fetches: 0,
        ended_ms: began_ms,
        out,
    };
    let unread =
        |error: io::Error| Failure::user(format!("standard output: {error}"), "let somebody read it");
    if perf.header && !perf.as_json {
        writeln!(measuring.out, "{}", header(perf.detailed)).map_err(unread)?;
    }
    let (count, result) = consume(client, &perf.consume, &mut measuring, note).await;
    let ended_ms = measuring.ended_ms;
    result?;
    if count < perf.records && !perf.as_json {
        writeln!(
            measuring.out,
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the \
             --timeout option to increase the timeout.",
            perf.timeout_ms
        )
        .map_err(unread)?;
    }
    if !perf.detailed || perf.as_json {
        measuring.total(began_ms, ended_ms).map_err(unread)?;
    }
    if perf.metrics && !perf.as_json {
        let seconds = (ended_ms - began_ms) as f64 / 1_000.0;
        let all = measuring.all;
        let values = [
            ("records-consumed-total", all.records as f64),
            ("records-consumed-rate", all.records as f64 / seconds),
            ("bytes-consumed-total", all.bytes as f64),
            ("bytes-consumed-rate", all.bytes as f64 / seconds),
            ("fetch-total", measuring.fetches as f64),
        ];
        let text = metrics("consumer-fetch-manager-metrics", &client.config().client_id, &values);
        write!(measuring.out, "{text}").map_err(unread)?;
    }
    Ok(())
}
