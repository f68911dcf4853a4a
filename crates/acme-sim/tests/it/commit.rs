//! The commit of a pipeline with a file destination, on a disk that loses its power at every possible moment.

use acme_connect::Encoded;
use acme_connect::{Rows, Sink};
use acme_flow::checkpoint::{Chain, Checkpoint, LocalStore, Writer};
use acme_sim::{Rng, SimClock, SimDisk};
use acme_types::{Batch, Diagnostic, Disk, EventTime, Position, Positions, Shape, SplitId};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use connector_file::FileSink;
use std::path::Path;
use std::sync::Arc;

/// Rows of the workload; row `n` is the line `n`.
const ROWS: u64 = 24;
const ROWS_PER_EPOCH: u64 = 3;

/// The order in which a life ends an epoch; the right one, or one with a mistake in it.
#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Right,
    /// The checkpoint is committed before the destination has synced its rows.
    CommitBeforePrepare,
}

fn rows(range: std::ops::Range<u64>) -> Rows {
    let mut encoded = Encoded::default();
    for row in range {
        encoded.bytes.extend_from_slice(format!("{row}\n").as_bytes());
        encoded.ends.push(encoded.bytes.len());
    }
    let columns = RecordBatch::new_empty(Arc::new(Schema::empty()));
    Rows {
        batch: Batch { columns, tick: EventTime(0) },
        shape: Arc::new(Shape::default()),
        encoded: Some(encoded),
        hint: None,
    }
}

/// One process from its start to its end or its death.
async fn life(disk: &SimDisk, number: u64, protocol: Protocol) -> Result<(), Diagnostic> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let writer = format!("writer{number}");
    let store = Arc::new(LocalStore::new(shared.clone(), "state".into(), writer.clone()));
    let (mut chain, committed) = Chain::claim(store, Writer(writer))?;
    let before = committed.unwrap_or_default();
    if before.closed {
        // The run is over; only a rename may be missing.
        return finish(shared, &before).await;
    }
    let mut sink = FileSink::new(shared, Arc::new(SimClock::default()), "out/rows.jsonl".into(), true);
    sink.open(before.sinks.get("rows")).await?;
    let mut next: u64 = before
        .sources
        .get("count")
        .map_or(0, |positions| positions[&SplitId("rows".into())].0.parse().expect("a number"));
    let mut epoch = before.epoch;
    loop {
        epoch = epoch.next();
        let end = (next + ROWS_PER_EPOCH).min(ROWS);
        let last = end == ROWS;
        sink.write(&rows(next..end)).await?;
        next = end;
        let positions = Positions::from([(SplitId("rows".into()), Position(next.to_string()))]);
        let checkpoint = |prepared: String| Checkpoint {
            epoch,
            sources: [("count".to_owned(), positions.clone())].into(),
            sinks: [("rows".to_owned(), prepared)].into(),
            tasks: [].into(),
            closed: last,
        };
        match protocol {
            Protocol::Right => {
                let prepared = sink.prepare(epoch, last).await?;
                chain.commit(&checkpoint(prepared))?;
            }
            Protocol::CommitBeforePrepare => {
                // What `prepare` is going to say, without its sync.
                let guess = before.sinks.get("rows").cloned().unwrap_or_default();
                chain.commit(&checkpoint(guess))?;
                let prepared = sink.prepare(epoch, last).await?;
                chain.commit(&checkpoint(prepared))?;
            }
        }
        sink.commit(epoch).await?;
        if last {
            return Ok(());
        }
    }
}

async fn finish(disk: Arc<dyn Disk>, checkpoint: &Checkpoint) -> Result<(), Diagnostic> {
    let mut sink = FileSink::new(disk, Arc::new(SimClock::default()), "out/rows.jsonl".into(), true);
    sink.open(checkpoint.sinks.get("rows")).await
}

/// Lives and deaths until the work is done; what stands in the file then.
fn world(seed: u64, disk: &SimDisk, protocol: Protocol) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut rng = Rng(seed);
    for number in 0..200 {
        // Later lives are longer, so that the work comes to its end.
        disk.crash_at(rng.below(20 + number * 4));
        let end = runtime.block_on(life(disk, number, protocol));
        match end {
            Ok(()) => {
                disk.reboot(&mut rng);
                let end = runtime.block_on(life(disk, number + 1000, protocol));
                end.map_err(|diagnostic| diagnostic.to_string())?;
                let bytes = disk.read(Path::new("out/rows.jsonl")).map_err(|error| error.to_string())?;
                return String::from_utf8(bytes).map_err(|error| error.to_string());
            }
            // A committed file that is damaged is a finding of its own; a lost disk is the crash that was asked for.
            Err(diagnostic) if diagnostic.code.id == "A0405" => return Err(diagnostic.to_string()),
            Err(_) => disk.reboot(&mut rng),
        }
    }
    Err("the work never came to its end".to_owned())
}

fn expected() -> String {
    (0..ROWS).map(|row| format!("{row}\n")).collect()
}

#[test]
fn every_row_stands_in_the_file_once_whatever_dies() {
    for seed in 1..=2_000 {
        let found = world(seed, &SimDisk::default(), Protocol::Right);
        assert_eq!(found, Ok(expected()), "seed {seed}");
    }
}

#[test]
fn the_checker_notices_a_commit_before_the_rows_are_safe() {
    let caught = (1..=200)
        .filter(|&seed| world(seed, &SimDisk::default(), Protocol::CommitBeforePrepare) != Ok(expected()));
    assert!(caught.count() > 20, "a checker that cannot fail is not a test");
}

#[test]
fn the_checker_notices_a_disk_that_does_not_sync() {
    let caught = (1..=200).filter(|&seed| world(seed, &SimDisk::lying(), Protocol::Right) != Ok(expected()));
    assert!(caught.count() > 20, "a checker that cannot fail is not a test");
}

#[test]
fn a_predecessor_cannot_commit_after_its_successor_has_started() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let claim = |name: &str| {
        let store = Arc::new(LocalStore::new(disk.clone(), "state".into(), name.to_owned()));
        Chain::claim(store, Writer(name.to_owned())).expect("the chain can be claimed")
    };
    let (mut old, _) = claim("old");
    let checkpoint = |epoch| Checkpoint { epoch: acme_types::Epoch(epoch), ..Checkpoint::default() };
    old.commit(&checkpoint(1)).expect("it is the owner");
    let (mut new, committed) = claim("new");
    assert_eq!(committed, Some(checkpoint(1)));
    assert_eq!(old.commit(&checkpoint(2)).expect_err("it was replaced").code.id, "A0406");
    new.commit(&checkpoint(3)).expect("it is the owner");
    assert_eq!(claim("third").1, Some(checkpoint(3)));
}
