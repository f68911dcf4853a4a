//! Windows over random rows, in any order within the allowed disorder, cut anywhere, killed anywhere, by any number of shards: the
//! same as a plain reckoning over all rows.

use super::{Grid, LATE_REASON, Span, Windows};
use crate::aggregate::{Accumulator, Aggregate};
use crate::checkpoint::{CheckpointStore, ShardFile, Snapshots, TaskState, Writer, restore};
use crate::expr::EvalError;
use crate::keyed::{hashes, key_group, shard_of};
use crate::task::{EVENT_TIME, Emitted, Task, TaskFactory, time_type};
use acme_types::batch::{OPERATION, VERSION};
use acme_types::{Epoch, EventTime};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, TimestampMicrosecondType};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// The sum of column 2, kept as a sum and a count that must agree.
struct Sum(Vec<usize>);

#[derive(Default)]
struct Sums(Vec<i64>);

impl Aggregate for Sum {
    fn accumulator(&self) -> Box<dyn Accumulator> {
        Box::new(Sums::default())
    }
    fn state(&self) -> Vec<FieldRef> {
        vec![self.result()]
    }
    fn result(&self) -> FieldRef {
        Arc::new(Field::new("sum", DataType::Int64, true))
    }
    fn arguments(&self) -> &[usize] {
        &self.0
    }
    fn filter(&self) -> Option<usize> {
        None
    }
}

impl Accumulator for Sums {
    fn update(
        &mut self,
        arguments: &[ArrayRef],
        groups: &[usize],
        _: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), EvalError> {
        self.0.resize(total, 0);
        let values = arguments[0].as_primitive::<Int64Type>().values();
        groups.iter().zip(values).for_each(|(&group, value)| self.0[group] += value);
        Ok(())
    }
    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), EvalError> {
        self.update(states, groups, None, total)
    }
    fn states(&mut self) -> Result<Vec<ArrayRef>, EvalError> {
        Ok(vec![Arc::new(Int64Array::from(self.0.clone()))])
    }
    fn take_values(&mut self) -> Result<ArrayRef, EvalError> {
        Ok(Arc::new(Int64Array::from(std::mem::take(&mut self.0))))
    }
    fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// Key, event time, number.
type Row = (i64, i64, i64);
/// Window and key, with the last sum that was said.
type Results = BTreeMap<(Span, i64), i64>;

fn windows(grid: Grid, lateness: i64, is_final: bool) -> Arc<Windows> {
    let aggregates: Vec<Arc<dyn Aggregate>> = vec![Arc::new(Sum(vec![2]))];
    let mut fields: Vec<FieldRef> = vec![Arc::new(Field::new("key", DataType::Int64, true))];
    fields.extend(Windows::output_fields("start", "end", &aggregates, lateness > 0 && !is_final));
    Arc::new(Windows {
        name: "sums".into(),
        computes: "sum(n)".to_owned(),
        grid,
        lateness,
        is_final,
        keys: vec![DataType::Int64],
        time: 1,
        aggregates,
        late: Some(vec![0, 1, 2]),
        output: Arc::new(Schema::new(fields)),
    })
}

fn batch(rows: &[Row]) -> RecordBatch {
    let fields = vec![
        Field::new("key", DataType::Int64, true),
        Field::new(EVENT_TIME, time_type(), true),
        Field::new("n", DataType::Int64, true),
    ];
    let column = |of: fn(&Row) -> i64| Int64Array::from_iter_values(rows.iter().map(of));
    let times =
        TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("+00:00");
    let columns: Vec<ArrayRef> =
        vec![Arc::new(column(|row| row.0)), Arc::new(times), Arc::new(column(|row| row.2))];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A mistake that the tests must find.
#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    None,
    /// What has changed since the whole snapshot is not read again.
    ChangesAreLost,
    /// An older state replaces a newer one.
    OldestFirst,
    /// The time runs ahead of the disorder.
    TooEarly,
    /// A row that is late for one window is late for all.
    LateByRow,
}

/// What a step with some shards has said, and what it keeps between lives.
struct World {
    windows: Arc<Windows>,
    shards: Vec<Box<dyn Task>>,
    snapshots: Vec<Snapshots>,
    store: Arc<Store>,
    files: Vec<Vec<String>>,
    epoch: u64,
    watermark: i64,
    said: Results,
    late: Vec<Row>,
    versions: BTreeMap<(Span, i64), i64>,
    mistake: Mistake,
}

#[derive(Default)]
struct Store(Mutex<BTreeMap<String, Vec<u8>>>);

impl CheckpointStore for Store {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.0.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        Ok(true)
    }
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }
    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn delete(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

impl World {
    fn new(windows: Arc<Windows>, shards: usize, mistake: Mistake) -> Self {
        let mut world = Self {
            windows,
            shards: Vec::new(),
            snapshots: Vec::new(),
            store: Arc::default(),
            files: Vec::new(),
            epoch: 0,
            watermark: i64::MIN,
            said: Results::new(),
            late: Vec::new(),
            versions: BTreeMap::new(),
            mistake,
        };
        world.begin(shards, None);
        world
    }

    /// A life begins, from the last epoch's end.
    fn begin(&mut self, shards: usize, from: Option<&TaskState>) {
        self.shards = (0..shards).map(|_| self.windows.make()).collect();
        self.shards.iter_mut().for_each(|shard| shard.begin(Epoch(self.epoch + 1)));
        let store: Arc<dyn CheckpointStore> = self.store.clone();
        let writer = Writer(format!("life-{shards}-{}", self.epoch));
        self.snapshots =
            (0..shards).map(|shard| Snapshots::new(store.clone(), writer.clone(), (0, shard))).collect();
        self.files = vec![Vec::new(); shards];
        if let Some(state) = from {
            for (shard, task) in self.shards.iter_mut().enumerate() {
                restore(self.store.as_ref(), state, (shard, shards), task.as_mut()).unwrap();
            }
        }
    }

    fn take(&mut self, emitted: Emitted) {
        for (output, rows) in emitted.batches {
            let number =
                |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
            let time = |name: &str| -> Vec<i64> {
                rows.column_by_name(name)
                    .unwrap()
                    .as_primitive::<TimestampMicrosecondType>()
                    .values()
                    .to_vec()
            };
            if output == 1 {
                assert!(
                    rows.column_by_name(LATE_REASON).unwrap().as_string_view().value(0).contains("closed")
                );
                let (keys, times, numbers) = (number("key"), time(EVENT_TIME), number("n"));
                self.late.extend((0..rows.num_rows()).map(|row| (keys[row], times[row], numbers[row])));
                continue;
            }
            let (keys, starts, ends, sums) = (number("key"), time("start"), time("end"), number("sum"));
            let updates = rows.column_by_name(OPERATION).is_some();
            for row in 0..rows.num_rows() {
                let key = (Span { start: starts[row], end: ends[row] }, keys[row]);
                let before = self.said.insert(key, sums[row]);
                assert!(updates || before.is_none(), "{key:?} was said twice");
                if updates {
                    let version = number(VERSION)[row];
                    let before = self.versions.insert(key, version);
                    assert!(before.is_none_or(|before| before < version), "{key:?}: versions grow");
                }
            }
        }
    }

    fn rows(&mut self, rows: &[Row]) {
        let mut kept = rows.to_vec();
        if self.mistake == Mistake::LateByRow {
            kept.retain(|row| row.1 >= self.watermark);
        }
        let rows = &kept[..];
        let all = batch(rows);
        let of = hashes(&all.columns()[..1], rows.len());
        let count = self.shards.len();
        for shard in 0..count {
            let mine: Vec<u64> = (0..)
                .zip(&of)
                .filter(|(_, hash)| shard_of(key_group(**hash), count) == shard)
                .map(|(row, _)| row)
                .collect();
            let hashes: Vec<u64> = mine.iter().map(|&row| of[usize::try_from(row).unwrap()]).collect();
            let part = take_record_batch(&all, &UInt64Array::from(mine)).unwrap();
            let mut emitted = Emitted::default();
            self.shards[shard].rows(0, &part, &hashes, &mut emitted).unwrap();
            self.take(emitted);
        }
    }

    fn advance(&mut self, watermark: i64) {
        self.watermark = watermark;
        for shard in 0..self.shards.len() {
            let mut emitted = Emitted::default();
            self.shards[shard].advance(EventTime(watermark), &mut emitted).unwrap();
            self.take(emitted);
        }
    }

    fn end_epoch(&mut self) -> TaskState {
        self.epoch += 1;
        for shard in 0..self.shards.len() {
            let mut emitted = Emitted::default();
            self.shards[shard].settle(&mut emitted).unwrap();
            self.take(emitted);
            let whole = self.snapshots[shard].is_whole_due();
            let batches = self.shards[shard].snapshot(whole).unwrap();
            if let Some(ShardFile { name, whole }) =
                self.snapshots[shard].put(Epoch(self.epoch), whole, &batches).unwrap()
            {
                if whole {
                    self.files[shard].clear();
                }
                match self.mistake {
                    Mistake::ChangesAreLost if !whole => {}
                    Mistake::OldestFirst => self.files[shard].push(name),
                    _ => self.files[shard].insert(0, name),
                }
            }
        }
        self.shards.iter_mut().for_each(|shard| shard.begin(Epoch(self.epoch + 1)));
        let fingerprint = self.windows.fingerprint();
        TaskState {
            fingerprint,
            files: self.files.clone(),
            sources: BTreeMap::new(),
            watermark: self.watermark,
        }
    }
}

/// xorshift64*: the tests need no more.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }
    fn signed(&mut self, limit: u64) -> i64 {
        i64::try_from(self.below(limit)).unwrap()
    }
}

const DISORDER: i64 = 40;

/// Rows around 1970, each at most so much older than the latest before it; with `stragglers` some are older.
fn rows(random: &mut Random, count: usize, stragglers: bool) -> Vec<Row> {
    let mut now = -2000;
    (0..count)
        .map(|_| {
            now += random.signed(12);
            let back =
                if stragglers && random.below(10) == 0 { random.signed(400) } else { random.signed(41) };
            (random.signed(7), now - back, random.signed(100))
        })
        .collect()
}

fn grid(random: &mut Random) -> Grid {
    let (size, hop) = (1 + random.signed(120), 1 + random.signed(120));
    match random.below(3) {
        0 => Grid::Hopping { size, hop: size, offset: random.signed(50) },
        1 => Grid::Hopping { size, hop, offset: random.signed(50) - 25 },
        _ => Grid::Cumulative { size: size * (1 + random.signed(5)), step: size, offset: random.signed(50) },
    }
}

/// All rows at once.
fn oracle(grid: Grid, rows: &[Row]) -> Results {
    let mut results = Results::new();
    for &(key, time, number) in rows {
        for window in grid.slice(time).into_iter().flat_map(|slice| grid.windows(slice)) {
            *results.entry((window, key)).or_default() += number;
        }
    }
    results
}

/// Row by row, each judged by the watermark before its chunk; the rows that are late for all windows.
fn lateness_oracle(grid: Grid, lateness: i64, chunks: &[&[Row]]) -> (Results, Vec<Row>) {
    let (mut results, mut late, mut latest) = (Results::new(), Vec::new(), i64::MIN);
    for chunk in chunks {
        let watermark = latest.saturating_sub(DISORDER);
        for &(key, time, number) in *chunk {
            let all: Vec<Span> = grid.slice(time).into_iter().flat_map(|slice| grid.windows(slice)).collect();
            let open: Vec<Span> =
                all.iter().copied().filter(|window| window.end + lateness > watermark).collect();
            if !all.is_empty() && open.is_empty() {
                late.push((key, time, number));
            }
            for window in open {
                *results.entry((window, key)).or_default() += number;
            }
        }
        latest = latest.max(chunk.iter().map(|row| row.1).max().unwrap_or(i64::MIN));
    }
    (results, late)
}

/// Runs rows in chunks, with an epoch and a death now and then: what follows the last epoch's end is run again.
fn run(random: &mut Random, windows: &Arc<Windows>, chunks: &[&[Row]], mistake: Mistake) -> World {
    let mut world = World::new(windows.clone(), 1 + usize::try_from(random.below(4)).unwrap(), mistake);
    let delay = if mistake == Mistake::TooEarly { 0 } else { DISORDER };
    let (mut at, mut latest) = (0, i64::MIN);
    let mut saved = (0, i64::MIN, None, Results::new(), Vec::new(), BTreeMap::new());
    let mut lives = 0;
    while at < chunks.len() {
        world.rows(chunks[at]);
        latest = latest.max(chunks[at].iter().map(|row| row.1).max().unwrap_or(i64::MIN));
        world.advance(latest.saturating_sub(delay));
        at += 1;
        if random.below(3) == 0 {
            let state = world.end_epoch();
            saved = (at, latest, Some(state), world.said.clone(), world.late.clone(), world.versions.clone());
        }
        if lives < 6 && random.below(8) == 0 {
            lives += 1;
            world.begin(1 + usize::try_from(random.below(5)).unwrap(), saved.2.as_ref());
            (at, latest) = (saved.0, saved.1);
            // What was said since is forgotten: it was not committed.
            (world.said, world.late, world.versions) = (saved.3.clone(), saved.4.clone(), saved.5.clone());
        }
    }
    world.end_epoch();
    world.advance(i64::MAX);
    world.end_epoch();
    world
}

fn cut<'a>(random: &mut Random, mut rows: &'a [Row]) -> Vec<&'a [Row]> {
    let mut chunks = Vec::new();
    while !rows.is_empty() {
        let (chunk, rest) = rows.split_at(usize::try_from(1 + random.below(30)).unwrap().min(rows.len()));
        chunks.push(chunk);
        rows = rest;
    }
    chunks
}

#[test]
fn rows_within_the_disorder_all_count_whatever_dies() {
    for seed in 1..400 {
        let mut random = Random(seed);
        let grid = grid(&mut random);
        let rows = rows(&mut random, 300, false);
        let expected = oracle(grid, &rows);
        let chunks = cut(&mut random, &rows);
        for (lateness, is_final) in [(0, false), (30, false), (30, true)] {
            let world = run(&mut random, &windows(grid, lateness, is_final), &chunks, Mistake::None);
            assert_eq!(world.said, expected, "seed {seed}, {grid:?}, {lateness}");
            assert!(world.late.is_empty(), "seed {seed}");
        }
    }
}

#[test]
fn each_window_judges_lateness_by_itself() {
    let mut late_rows = 0;
    for seed in 1..400 {
        let mut random = Random(seed);
        let grid = grid(&mut random);
        let rows = rows(&mut random, 300, true);
        let chunks = cut(&mut random, &rows);
        for (lateness, is_final) in [(0, false), (60, false), (60, true)] {
            let (expected, mut late) = lateness_oracle(grid, lateness, &chunks);
            let mut world = run(&mut random, &windows(grid, lateness, is_final), &chunks, Mistake::None);
            late.sort_unstable();
            world.late.sort_unstable();
            assert_eq!(world.late, late, "seed {seed}, {grid:?}, {lateness}");
            assert_eq!(world.said, expected, "seed {seed}, {grid:?}, {lateness}");
            late_rows += late.len();
        }
    }
    assert!(late_rows > 1000, "the test needs late rows: {late_rows}");
}

#[test]
fn mistakes_are_found() {
    for mistake in [Mistake::ChangesAreLost, Mistake::OldestFirst, Mistake::TooEarly, Mistake::LateByRow] {
        let is_found = (1..200).any(|seed| {
            let mut random = Random(seed);
            let grid = grid(&mut random);
            let rows = rows(&mut random, 300, true);
            let chunks = cut(&mut random, &rows);
            let (expected, _) = lateness_oracle(grid, 60, &chunks);
            run(&mut random, &windows(grid, 60, true), &chunks, mistake).said != expected
        });
        assert!(is_found);
    }
}

#[test]
fn a_window_is_said_as_soon_as_it_is_over() {
    let mut world =
        World::new(windows(Grid::Hopping { size: 10, hop: 10, offset: 0 }, 0, false), 2, Mistake::None);
    world.rows(&[(1, 3, 5), (1, 12, 7)]);
    world.advance(9);
    assert!(world.said.is_empty());
    world.advance(10);
    assert_eq!(world.said, [((Span { start: 0, end: 10 }, 1), 5)].into());
    assert!(world.shards.iter().map(|shard| shard.bytes()).sum::<usize>() > 0);
    world.advance(20);
    assert_eq!(world.said.len(), 2);
}

#[test]
fn a_snapshot_holds_what_has_changed_and_no_more() {
    let mut world =
        World::new(windows(Grid::Hopping { size: 10, hop: 10, offset: 0 }, 0, false), 1, Mistake::None);
    world.rows(&[(1, 3, 5), (2, 3, 7), (3, 12, 9)]);
    let count = |task: &mut Box<dyn Task>, whole| -> usize {
        task.snapshot(whole).unwrap().iter().map(RecordBatch::num_rows).sum()
    };
    assert_eq!(count(&mut world.shards[0], false), 3);
    assert_eq!(count(&mut world.shards[0], false), 0, "nothing has changed");
    world.rows(&[(2, 4, 1)]);
    assert_eq!(count(&mut world.shards[0], false), 1);
    assert_eq!(count(&mut world.shards[0], true), 3);
    assert_eq!(count(&mut world.shards[0], false), 0);
}
