//! `route`: each row goes to the first output whose condition is true.

use super::filter::{mask, select};
use acme_types::Batch;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{and, not, or};

/// One batch for each output. An output beyond the conditions takes what no condition took.
pub(super) fn split(batch: &Batch, conditions: &[ArrayRef], outputs: usize) -> Vec<Batch> {
    let mut taken = BooleanArray::from(vec![false; batch.rows()]);
    let mut batches = Vec::with_capacity(outputs);
    for condition in conditions {
        let free = not(&taken).expect("a mask can be negated");
        let mine = and(&mask(condition), &free).expect("masks of one length");
        taken = or(&taken, &mine).expect("masks of one length");
        batches.push(select(batch, &mine));
    }
    if outputs > conditions.len() {
        batches.push(select(batch, &not(&taken).expect("a mask can be negated")));
    }
    batches
}
