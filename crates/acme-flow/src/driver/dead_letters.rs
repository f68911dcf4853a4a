//! Rows that failed, as rows of a destination.

use acme_connect::{Encode, Encoded, Format, Rows};
use acme_types::{Batch, Diagnostic, EventTime, Rejected, Shape};
use arrow::array::{ArrayRef, BinaryViewArray, RecordBatch, StringViewArray};
use std::sync::Arc;

const COLUMNS: [&str; 6] = ["error_code", "error", "step", "origin", "original", "original_bytes"];

/// The columns of a dead letter: the code, the cause, the step that failed, where the row came from, and the row as it
/// came: as text in `original`, or in `original_bytes` where it is not valid UTF-8.
#[must_use]
pub fn dead_letter_shape() -> Shape {
    Shape { columns: COLUMNS.map(|name| (name.to_owned(), name.to_owned())).to_vec(), ..Shape::default() }
}

/// Makes the writes of one destination that takes dead letters.
pub(super) struct LetterWriter {
    shape: Arc<Shape>,
    encoder: Option<Box<dyn Encode>>,
}

impl LetterWriter {
    pub(super) fn new(format: Option<&Format>) -> Self {
        let shape = Arc::new(dead_letter_shape());
        let encoder = format.map(|format| format.encoder(&shape));
        Self { shape, encoder }
    }

    /// The rejected rows as one write.
    pub(super) fn rows(&mut self, rejected: &[Rejected], tick: EventTime) -> Result<Rows, Diagnostic> {
        let batch = Batch { columns: columns(rejected), tick };
        let encoded = match &mut self.encoder {
            Some(encoder) => {
                let mut encoded = Encoded::default();
                encoder.encode(&batch, &mut encoded)?;
                Some(encoded)
            }
            None => None,
        };
        Ok(Rows { batch, shape: self.shape.clone(), encoded, hint: None })
    }
}

fn columns(rejected: &[Rejected]) -> RecordBatch {
    let text = |cell: fn(&Rejected) -> &str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(rejected.iter().map(cell)))
    };
    let original = |bad: &Rejected| std::str::from_utf8(&bad.original).ok().map(str::to_owned);
    let bytes = |bad: &Rejected| original(bad).is_none().then(|| bad.original.clone());
    let arrays: [ArrayRef; 6] = [
        text(|bad| bad.code),
        text(|bad| &bad.cause),
        text(|bad| &bad.step),
        text(|bad| &bad.origin),
        Arc::new(StringViewArray::from_iter(rejected.iter().map(original))),
        Arc::new(BinaryViewArray::from_iter(rejected.iter().map(bytes))),
    ];
    let named = COLUMNS.into_iter().zip(arrays).map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(named).expect("every column has one cell a row")
}
