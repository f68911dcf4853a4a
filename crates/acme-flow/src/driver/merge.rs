//! Joins small batches that wait for the same destination: a request costs the same for one row as for thousands.

use acme_connect::{Encoded, Rows};
use acme_types::EventTime;
use arrow::compute::concat_batches;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// A batch of at least so many rows or bytes is written as it came: copying it costs more than a request.
const LARGE: usize = 4096;
const LARGE_BYTES: usize = 512 * 1024;
/// So many rows leave at once at most.
const ROWS_MAX: usize = 8192;

/// Rows that are written together, in their order. The permits of their chunks are given back when they are written.
#[derive(Default)]
pub(super) struct Merge {
    parts: Vec<Rows>,
    rows: usize,
    bytes: usize,
    permits: Vec<Arc<OwnedSemaphorePermit>>,
}

impl Merge {
    /// Whether these rows can be written together with those that wait.
    pub(super) fn takes(&self, rows: &Rows) -> bool {
        let Some(last) = self.parts.last() else { return true };
        self.rows + rows.batch.rows() <= ROWS_MAX
            && self.rows < LARGE
            && self.bytes < LARGE_BYTES
            && rows.batch.rows() < LARGE
            && bytes(rows) < LARGE_BYTES
            && last.hint.is_none()
            && rows.hint.is_none()
            && Arc::ptr_eq(&last.shape, &rows.shape)
            && last.batch.schema() == rows.batch.schema()
    }

    pub(super) fn push(&mut self, rows: Rows) {
        self.rows += rows.batch.rows();
        self.bytes += bytes(&rows);
        self.parts.push(rows);
    }

    /// Keeps the permit of a chunk until its rows are written.
    pub(super) fn hold(&mut self, permit: Arc<OwnedSemaphorePermit>) {
        self.permits.push(permit);
    }

    /// What waits, as one batch, and the permits.
    pub(super) fn take(&mut self) -> (Option<Rows>, Vec<Arc<OwnedSemaphorePermit>>) {
        (self.rows, self.bytes) = (0, 0);
        (join(std::mem::take(&mut self.parts)), std::mem::take(&mut self.permits))
    }
}

/// What a copy of the rows would copy, where that is known at once.
fn bytes(rows: &Rows) -> usize {
    rows.encoded.as_ref().map_or(0, |encoded| encoded.bytes.len())
}

fn join(mut parts: Vec<Rows>) -> Option<Rows> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let schema = parts[0].batch.schema();
    let columns = concat_batches(&schema, parts.iter().map(|rows| &rows.batch.columns));
    let columns = columns.expect("the schemas are equal");
    let mut batch = parts[0].batch.with(columns);
    // Behind the steps a tick means only how long the rows have waited: the oldest counts.
    batch.tick = parts.iter().map(|rows| rows.batch.tick).min().unwrap_or(EventTime(0));
    let encoded = parts[0].encoded.is_some().then(|| {
        let mut all = Encoded::default();
        for part in parts.iter().filter_map(|rows| rows.encoded.as_ref()) {
            let start = all.bytes.len();
            all.bytes.extend_from_slice(&part.bytes);
            all.ends.extend(part.ends.iter().map(|end| start + end));
        }
        all
    });
    Some(Rows { batch, shape: parts[0].shape.clone(), encoded, hint: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use acme_types::{Batch, Shape};
    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;

    fn rows(shape: &Arc<Shape>, numbers: &[i64], tick: i64) -> Rows {
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let columns = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut encoded = Encoded::default();
        for number in numbers {
            encoded.bytes.extend_from_slice(format!("{number}\n").as_bytes());
            encoded.ends.push(encoded.bytes.len());
        }
        let batch = Batch { columns, tick: EventTime(tick) };
        Rows { batch, shape: shape.clone(), encoded: Some(encoded), hint: None }
    }

    #[test]
    fn small_batches_of_one_shape_become_one() {
        let shape = Arc::new(Shape::default());
        let mut merge = Merge::default();
        for (numbers, tick) in [(&[1, 22][..], 9), (&[333], 5), (&[4], 7)] {
            let rows = rows(&shape, numbers, tick);
            assert!(merge.takes(&rows));
            merge.push(rows);
        }
        assert!(!merge.takes(&rows(&Arc::new(Shape::default()), &[5], 0)), "another step's rows");
        assert!(!merge.takes(&rows(&shape, &vec![0; LARGE], 0)), "too large to be copied");
        let all = merge.take().0.unwrap();
        assert_eq!(all.batch.columns.column(0).as_primitive::<Int64Type>().values(), &[1, 22, 333, 4]);
        assert_eq!(all.batch.tick, EventTime(5));
        let encoded = all.encoded.unwrap();
        let texts: Vec<&[u8]> = (0..4).map(|row| encoded.row(row)).collect();
        assert_eq!(texts, [&b"1\n"[..], b"22\n", b"333\n", b"4\n"]);
        assert!(merge.take().0.is_none());
    }
}
