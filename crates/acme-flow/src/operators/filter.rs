//! `filter`: keeps the rows for which a condition is true; NULL is not true.

use acme_types::Batch;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};

/// The condition's values as a mask without NULLs.
pub(super) fn mask(values: &ArrayRef) -> BooleanArray {
    let values = values.as_boolean();
    if values.null_count() > 0 { prep_null_mask_filter(values) } else { values.clone() }
}

pub(super) fn keep(batch: &Batch, values: &ArrayRef) -> Batch {
    select(batch, &mask(values))
}

pub(super) fn select(batch: &Batch, mask: &BooleanArray) -> Batch {
    match mask.true_count() {
        all if all == batch.rows() => batch.clone(),
        0 => batch.with(batch.columns.slice(0, 0)),
        _ => batch.with(filter_record_batch(&batch.columns, mask).expect("one flag a row")),
    }
}
