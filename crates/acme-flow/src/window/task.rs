//! Windows on a grid of time as a step: slices, firing at the watermark, late rows.

use super::grid::{Grid, Span};
use super::pane::{Pane, Partial};
use crate::aggregate::Aggregate;
use crate::expr::EvalError;
use crate::task::{Emitted, HASH, Task, TaskFactory};
use acme_types::batch::{OPERATION, VERSION};
use acme_types::{Diagnostic, Epoch, EventTime, codes};
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The column of the late output that says why a row is there.
pub const LATE_REASON: &str = "_meta.late_reason";
/// The column of a snapshot that holds the beginning of the slice.
const SLICE: &str = "slice";
/// What lies between the last moment of a window and its end, for the event time of its rows (Flink's `window_time`).
const LAST_MOMENT: i64 = 1000;

/// Windows with their aggregates: a factory of tasks.
///
/// The input's columns are the key's, then others, which the aggregates name by index. Output 0 has the key's columns, the
/// window's beginning and end, the aggregates, the event time and, where a window may be said more than once, operation and
/// version. Output 1 has late rows: the columns of `late` and the reason.
pub struct Windows {
    /// The name of the step, for messages.
    pub name: Arc<str>,
    /// The expressions of its key and its aggregates: a state is of no use to others.
    pub computes: String,
    /// Where windows lie.
    pub grid: Grid,
    /// How long after its end a window still takes rows.
    pub lateness: i64,
    /// Each window is said once, when it takes no more rows.
    pub is_final: bool,
    /// The types of the key's columns.
    pub keys: Vec<DataType>,
    /// The column of the event time.
    pub time: usize,
    /// What is computed.
    pub aggregates: Vec<Arc<dyn Aggregate>>,
    /// The columns of a late row, where anyone takes late rows.
    pub late: Option<Vec<usize>>,
    /// The columns of output 0.
    pub output: SchemaRef,
}

impl Windows {
    /// Whether a window may be said more than once.
    #[must_use]
    pub fn updates(&self) -> bool {
        self.lateness > 0 && !self.is_final
    }
}

impl TaskFactory for Arc<Windows> {
    fn make(&self) -> Box<dyn Task> {
        Box::new(WindowTask {
            windows: self.clone(),
            slices: BTreeMap::new(),
            waiting: BTreeSet::new(),
            again: BTreeMap::new(),
            watermark: i64::MIN,
            version: 0,
        })
    }

    fn fingerprint(&self) -> String {
        let states: Vec<String> = (self.aggregates.iter())
            .flat_map(|aggregate| aggregate.state())
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        format!("{:?} of {} by {:?}: {}", self.grid, self.computes, self.keys, states.join(", "))
    }
}

struct WindowTask {
    windows: Arc<Windows>,
    /// By where they begin.
    slices: BTreeMap<i64, (Span, Pane)>,
    /// Windows with rows that have not ended, the first to end first.
    waiting: BTreeSet<(i64, i64)>,
    /// Windows that have been said and got rows since, with these rows' keys.
    again: BTreeMap<Span, Pane>,
    watermark: i64,
    /// Grows with every row that is said, in the next life too.
    version: i64,
}

/// Versions of one epoch: more than it can have rows.
const VERSIONS: u32 = 24;

impl Task for WindowTask {
    fn begin(&mut self, epoch: Epoch) {
        self.version = i64::try_from(epoch.0).expect("2^39 epochs take centuries") << VERSIONS;
    }

    fn rows(
        &mut self,
        _: usize,
        rows: &RecordBatch,
        hashes: &[u64],
        out: &mut Emitted,
    ) -> Result<(), Diagnostic> {
        let windows = self.windows.clone();
        let times = rows.column(windows.time).as_primitive::<TimestampMicrosecondType>();
        for (slice, chosen) in by_slice(windows.grid, times) {
            match chosen {
                None => self.add(slice, rows, hashes, out)?,
                Some(chosen) => {
                    let some = take_record_batch(rows, &chosen).expect("the rows are the batch's own");
                    let hashes: Vec<u64> = chosen.values().iter().map(|&row| hashes[index(row)]).collect();
                    self.add(slice, &some, &hashes, out)?;
                }
            }
        }
        Ok(())
    }

    fn advance(&mut self, watermark: EventTime, out: &mut Emitted) -> Result<(), Diagnostic> {
        self.watermark = self.watermark.max(watermark.0);
        while let Some(&(end, start)) = self.waiting.first() {
            let due = if self.windows.is_final { end.saturating_add(self.windows.lateness) } else { end };
            if due > self.watermark {
                break;
            }
            self.waiting.pop_first();
            self.say(Span { start, end }, None, out)?;
        }
        // A window that takes no more rows says its last word before its slices go.
        let lateness = self.windows.lateness;
        if self.again.keys().any(|window| window.end.saturating_add(lateness) <= self.watermark) {
            self.say_again(out)?;
        }
        while let Some((&start, (slice, _))) = self.slices.first_key_value() {
            if self.windows.grid.last_end(*slice).saturating_add(lateness) > self.watermark {
                break;
            }
            self.slices.remove(&start);
        }
        Ok(())
    }

    fn settle(&mut self, out: &mut Emitted) -> Result<(), Diagnostic> {
        self.say_again(out)
    }

    fn snapshot(&mut self, whole: bool) -> Result<Vec<RecordBatch>, Diagnostic> {
        let mut batches = Vec::new();
        for (&start, (_, pane)) in &mut self.slices {
            let part = match whole {
                true => {
                    pane.is_saved();
                    Some(pane.partial())
                }
                false => pane.changes().transpose(),
            };
            if let Some(part) = part {
                let part = part.map_err(|error| self.windows.failed(&error))?;
                batches.push(self.windows.snapshot(start, part));
            }
        }
        Ok(batches)
    }

    fn restore(&mut self, rows: &RecordBatch, hashes: &[u64]) -> Result<(), Diagnostic> {
        let starts = rows.column(0).as_primitive::<Int64Type>();
        // Each batch of a snapshot is of one slice.
        let Some(&start) = starts.values().first() else { return Ok(()) };
        let Some(slice) = self.windows.grid.slice(start) else { return Ok(()) };
        let part = self.windows.partial(rows, hashes);
        let (_, pane) = self.slices.entry(start).or_insert_with(|| (slice, self.windows.pane()));
        pane.restore(&part).map_err(|error| self.windows.failed(&error))
    }

    fn restored(&mut self, watermark: EventTime) -> Result<(), Diagnostic> {
        self.watermark = watermark.0;
        let windows = self.windows.clone();
        let mut slices = std::mem::take(&mut self.slices);
        slices.retain(|_, (slice, _)| {
            windows.grid.last_end(*slice).saturating_add(windows.lateness) > watermark.0
        });
        for (slice, pane) in slices.values_mut() {
            pane.is_saved();
            let open: Vec<_> =
                windows.grid.windows(*slice).filter(|window| !self.is_said(*window)).map(by_end).collect();
            self.waiting.extend(open);
        }
        self.slices = slices;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.slices.values().map(|(_, pane)| pane.bytes()).sum()
    }
}

fn by_end(window: Span) -> (i64, i64) {
    (window.end, window.start)
}

impl WindowTask {
    /// Whether a window has been said for the first time.
    fn is_said(&self, window: Span) -> bool {
        let wait = if self.windows.is_final { self.windows.lateness } else { 0 };
        window.end.saturating_add(wait) <= self.watermark
    }

    /// Rows of one slice; `None` is of none. Each window decides by itself whether they are late for it.
    fn add(
        &mut self,
        slice: Option<Span>,
        rows: &RecordBatch,
        hashes: &[u64],
        out: &mut Emitted,
    ) -> Result<(), Diagnostic> {
        let Some(slice) = slice else { return Ok(()) };
        let windows = self.windows.clone();
        if windows.grid.last_end(slice).saturating_add(windows.lateness) <= self.watermark {
            out.late += rows.num_rows();
            out.batches.extend(windows.late_rows(rows, self.watermark).map(|late| (1, late)));
            return Ok(());
        }
        if !self.slices.contains_key(&slice.start) {
            let open = windows.grid.windows(slice).filter(|window| !self.is_said(*window)).map(by_end);
            let open: Vec<_> = open.collect();
            self.waiting.extend(open);
        }
        let (keys, columns) = (windows.keys.len(), rows.columns());
        let (_, pane) = self.slices.entry(slice.start).or_insert_with(|| (slice, windows.pane()));
        pane.update(&windows.aggregates, keys, columns, hashes).map_err(|error| windows.failed(&error))?;
        if windows.updates() {
            for window in windows.grid.windows(slice) {
                if window.end <= self.watermark
                    && window.end.saturating_add(windows.lateness) > self.watermark
                {
                    let keys_of = self.again.entry(window).or_insert_with(|| Pane::new(&windows.keys, &[]));
                    keys_of.update(&[], keys, columns, hashes).map_err(|error| windows.failed(&error))?;
                }
            }
        }
        Ok(())
    }

    fn say_again(&mut self, out: &mut Emitted) -> Result<(), Diagnostic> {
        for (window, keys) in std::mem::take(&mut self.again) {
            self.say(window, Some(keys), out)?;
        }
        Ok(())
    }

    /// The results of a window: of all keys, or of some, which were said before.
    fn say(&mut self, window: Span, only: Option<Pane>, out: &mut Emitted) -> Result<(), Diagnostic> {
        let windows = self.windows.clone();
        let failed = |error: EvalError| windows.failed(&error);
        let mut parts: Vec<i64> =
            self.slices.range(window.start..window.end).map(|(&start, _)| start).collect();
        let [first] = parts.as_mut_slice() else {
            let mut whole = windows.pane();
            for start in parts {
                let (_, pane) = self.slices.get_mut(&start).expect("it was found");
                whole.merge(&pane.partial().map_err(failed)?).map_err(failed)?;
            }
            return self.emit(window, whole, only, out);
        };
        // What no other window and no late row needs is not copied.
        let slice = self.slices[first].0;
        let is_last = windows.grid.last_end(slice) == window.end && windows.lateness == 0;
        let pane = match is_last {
            true => self.slices.remove(first).expect("it was found").1,
            false => {
                let mut copy = windows.pane();
                let (_, pane) = self.slices.get_mut(first).expect("it was found");
                copy.merge(&pane.partial().map_err(failed)?).map_err(failed)?;
                copy
            }
        };
        self.emit(window, pane, only, out)
    }

    fn emit(
        &mut self,
        window: Span,
        pane: Pane,
        only: Option<Pane>,
        out: &mut Emitted,
    ) -> Result<(), Diagnostic> {
        let rows = pane.rows();
        if rows == 0 {
            return Ok(());
        }
        let chosen = only.as_ref().map(|only| pane.groups_of(only));
        let (keys, results) = pane.into_results().map_err(|error| self.windows.failed(&error))?;
        let moment = |time: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_value(time, rows).with_timezone("+00:00"))
        };
        let mut columns = keys;
        columns.push(moment(window.start));
        columns.push(moment(window.end));
        columns.extend(results);
        columns.push(moment(window.end - LAST_MOMENT));
        if self.windows.updates() {
            let operation = if only.is_some() { "UPDATE" } else { "INSERT" };
            columns.push(Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(operation, rows))));
            let last = self.version + i64::try_from(rows).expect("rows fit");
            columns.push(Arc::new(Int64Array::from_iter_values(self.version + 1..=last)));
            self.version = last;
        }
        let mut batch = RecordBatch::try_new(self.windows.output.clone(), columns)
            .map_err(|error| self.windows.failed(&EvalError(error.to_string())))?;
        if let Some(chosen) = chosen {
            batch = take_record_batch(&batch, &chosen).expect("the groups are the pane's own");
        }
        out.batches.push((0, batch));
        Ok(())
    }
}

impl Windows {
    fn pane(&self) -> Pane {
        Pane::new(&self.keys, &self.aggregates)
    }

    fn failed(&self, error: &EvalError) -> Diagnostic {
        let message = format!("step \"{}\" cannot compute its aggregates: {error}", self.name);
        Diagnostic::new(&codes::EVALUATE, message)
    }

    /// The columns of output 0, after the key's.
    #[must_use]
    pub fn output_fields(
        start: &str,
        end: &str,
        aggregates: &[Arc<dyn Aggregate>],
        updates: bool,
    ) -> Vec<FieldRef> {
        let moment = |name: &str| Arc::new(Field::new(name, crate::task::time_type(), false));
        let mut fields = vec![moment(start), moment(end)];
        fields.extend(aggregates.iter().map(|aggregate| aggregate.result()));
        fields.push(moment(crate::task::EVENT_TIME));
        if updates {
            fields.push(Arc::new(Field::new(OPERATION, DataType::Utf8View, false)));
            fields.push(Arc::new(Field::new(VERSION, DataType::Int64, false)));
        }
        fields
    }

    fn late_rows(&self, rows: &RecordBatch, watermark: i64) -> Option<RecordBatch> {
        let rows = rows.project(self.late.as_deref()?).expect("the columns are the input's own");
        let shown = TimestampMicrosecondArray::from_value(watermark, 1).value_as_datetime(0);
        let shown =
            shown.map_or_else(|| watermark.to_string(), |moment| moment.format("%FT%T%.3fZ").to_string());
        let reason =
            format!("all windows of its time are closed: the watermark of step \"{}\" is {shown}", self.name);
        let mut fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(LATE_REASON, DataType::Utf8View, false)));
        let mut columns = rows.columns().to_vec();
        columns
            .push(Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(&reason, rows.num_rows()))));
        Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("one reason a row"))
    }

    /// Slice, hash, the key's columns, the states of each aggregate.
    fn snapshot(&self, start: i64, part: Partial) -> RecordBatch {
        let rows = part.hashes.len();
        let mut fields =
            vec![Field::new(SLICE, DataType::Int64, false), Field::new(HASH, DataType::UInt64, false)];
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from_value(start, rows)), Arc::new(UInt64Array::from(part.hashes))];
        for (at, column) in part.keys.into_iter().enumerate() {
            fields.push(Field::new(format!("key{at}"), column.data_type().clone(), true));
            columns.push(column);
        }
        for (at, column) in part.states.into_iter().flatten().enumerate() {
            fields.push(Field::new(format!("state{at}"), column.data_type().clone(), true));
            columns.push(column);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("one of each a row")
    }

    fn partial(&self, rows: &RecordBatch, hashes: &[u64]) -> Partial {
        let keys = self.keys.len();
        let mut at = 2 + keys;
        let states = (self.aggregates.iter())
            .map(|aggregate| {
                let count = aggregate.state().len();
                at += count;
                rows.columns()[at - count..at].to_vec()
            })
            .collect();
        Partial { hashes: hashes.to_vec(), keys: rows.columns()[2..2 + keys].to_vec(), states }
    }
}

/// The rows of each slice, those of one slice as they lie; without one they are in no window.
fn by_slice(
    grid: Grid,
    times: &arrow::array::PrimitiveArray<TimestampMicrosecondType>,
) -> Vec<(Option<Span>, Option<UInt64Array>)> {
    let times = times.values();
    let (Some(&first), Some(low), Some(high)) = (times.first(), times.iter().min(), times.iter().max())
    else {
        return Vec::new();
    };
    let slice = grid.slice(first);
    if let Some(span) = slice
        && span.start <= *low
        && *high < span.end
    {
        return vec![(slice, None)];
    }
    let mut found: BTreeMap<Option<Span>, Vec<u64>> = BTreeMap::new();
    let mut current = slice;
    for (row, &time) in (0..).zip(times) {
        if !current.is_some_and(|span| span.start <= time && time < span.end) {
            current = grid.slice(time);
        }
        found.entry(current).or_default().push(row);
    }
    found.into_iter().map(|(slice, rows)| (slice, Some(UInt64Array::from(rows)))).collect()
}

fn index(row: u64) -> usize {
    usize::try_from(row).expect("it was one")
}
