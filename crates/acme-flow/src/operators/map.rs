//! `map`: adds columns. Which of them the user sees, and which they replace, is the plan's business.

use acme_types::Batch;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

pub(super) fn put<'a>(batch: &Batch, columns: impl Iterator<Item = (&'a str, ArrayRef)>) -> Batch {
    let schema = batch.schema();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    let mut arrays = batch.columns.columns().to_vec();
    for (name, values) in columns {
        fields.push(Arc::new(Field::new(name, values.data_type().clone(), true)));
        arrays.push(values);
    }
    let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("one value a row");
    batch.with(columns)
}
