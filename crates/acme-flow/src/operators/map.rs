//! `map`: adds columns. Which of them the user sees, and which they replace, is the plan's business.

use acme_types::Batch;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use std::sync::Arc;

pub(super) fn put<'a>(batch: &Batch, columns: impl Iterator<Item = (&'a FieldRef, ArrayRef)>) -> Batch {
    let schema = batch.schema();
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let mut arrays = batch.columns.columns().to_vec();
    for (field, values) in columns {
        fields.push(Arc::new(field.as_ref().clone().with_data_type(values.data_type().clone())));
        arrays.push(values);
    }
    let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("one value a row");
    batch.with(columns)
}
