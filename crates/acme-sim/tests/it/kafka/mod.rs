//! The Kafka client against a cluster that does everything wrong that a cluster may do.
//!
//! Each world comes from its seed; every failure names it. `ACME_SEED=17 cargo test --release -p acme-sim kafka` runs
//! that one alone.

mod members;
mod reading;
mod transactions;
mod writing;

use acme_kafka::{Client, FetchOptions, Fetched, Fetcher, Isolation, Position, TopicPartition};
use acme_sim::kafka::{Faults, Options, PARTITIONS, Plant, TOPIC, Time};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// No world takes longer than this by its own clock.
const LIMIT: Duration = Duration::from_secs(900);

/// What went wrong in a world, and how often.
type Counts = BTreeMap<&'static str, u64>;

/// What a world shows: the faults it had, or what must not be.
type Verdict = Result<Counts, String>;

/// A world's kind and faults, by its dice.
fn options(time: &Arc<Time>, unclean: bool, plant: Plant) -> Options {
    let fetch_max = if time.one_in(2) { 12 } else { 16 };
    Options { unclean, implicit: time.one_in(2), fetch_max, plant }
}

fn faults(time: &Arc<Time>) -> Faults {
    let some = |from: u64, to: u64| if time.one_in(4) { 0 } else { from + time.below(to - from) };
    Faults {
        cut_before: some(15, 80),
        cut_after: some(15, 80),
        late: some(20, 150),
        refuse: some(10, 80),
        move_ms: 60 + time.below(800),
    }
}

/// A fetcher that reads all partitions from their beginning.
fn fetcher(client: Client, isolation: Isolation) -> Fetcher {
    let mut fetcher = Fetcher::new(client, FetchOptions { isolation, ..FetchOptions::default() });
    let all = (0..PARTITIONS).map(|number| (TopicPartition::new(TOPIC, number), Position::at(0)));
    fetcher.assign(&all.collect::<Vec<_>>());
    fetcher
}

/// Offsets and values.
fn records(fetched: &Fetched) -> impl Iterator<Item = (i64, String)> {
    fetched.records.iter().map(|record| {
        let value = record.value(&fetched.buffer).unwrap_or_default();
        (record.offset, String::from_utf8_lossy(value).into_owned())
    })
}

/// A verdict, and a panic is one too.
fn judged(world: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

/// Runs worlds, none of which may show anything wrong; adds up what they went through.
#[expect(clippy::print_stdout, reason = "what the worlds went through is part of the result")]
fn all_hold(seeds: u64, world: fn(u64, Plant) -> Verdict) -> Counts {
    let mut sum = Counts::new();
    let only = std::env::var("ACME_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let mut wrong = Vec::new();
    for seed in only.map_or(1..=seeds, |seed| seed..=seed) {
        match judged(|| world(seed, Plant::None)) {
            Ok(counts) => counts.into_iter().for_each(|(what, count)| *sum.entry(what).or_default() += count),
            Err(what) => wrong.push(format!("seed {seed}: {what}")),
        }
    }
    println!("{sum:?}");
    assert!(wrong.is_empty(), "{} worlds: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    sum
}

/// Every fault must have happened, or the worlds have shown nothing.
fn all_happened(counts: &Counts) {
    if std::env::var_os("ACME_SEED").is_some() {
        return;
    }
    for what in
        ["cut before", "cut after", "late", "refused", "leader moved", "coordinator moved", "broker died"]
    {
        assert!(counts.get(what).is_some_and(|count| *count > 100), "{what}: {counts:?}");
    }
}

/// How many worlds notice a mistake; they must find it for the reason given.
#[expect(clippy::print_stdout, reason = "how often a mistake was found is part of the result")]
fn caught(seeds: u64, plant: Plant, world: fn(u64, Plant) -> Verdict, because: &str) -> usize {
    let found = (1..=seeds).filter_map(|seed| judged(|| world(seed, plant)).err());
    let found: Vec<String> = found.filter(|what| what.contains(because)).collect();
    println!("{plant:?}: {} of {seeds}, as {:?}", found.len(), found.first());
    found.len()
}
