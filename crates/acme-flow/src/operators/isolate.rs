//! Finds the rows on which an expression fails, so that the others can go on.
//!
//! Expressions are computed for whole batches and fail as a whole. The batch is then halved until the rows at fault stand
//! alone: a batch without faults costs nothing, one with k costs about 2·k·log(rows) more evaluations.

use super::filter::select;
use crate::expr::{EvalError, Expr};
use acme_types::batch::META_PREFIX;
use acme_types::{Batch, Origin, Rejected, codes};
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use std::sync::Arc;

/// Evaluates all expressions. Rows on which one fails are taken out of the batch and reported.
pub(super) fn eval_all(
    exprs: &[&dyn Expr],
    batch: &Batch,
    step: &Arc<str>,
    origin: &Origin,
    rejected: &mut Vec<Rejected>,
) -> (Batch, Vec<ArrayRef>) {
    if let Ok(values) = eval(exprs, batch) {
        return (batch.clone(), values);
    }
    let mut keep = vec![true; batch.rows()];
    let mut waiting = vec![(0, batch.rows())];
    let mut faults = Vec::new();
    while let Some((start, length)) = waiting.pop() {
        let part = batch.with(batch.columns.slice(start, length));
        let Err(EvalError(cause)) = eval(exprs, &part) else { continue };
        if length == 1 {
            keep[start] = false;
            faults.push((start, cause));
        } else {
            let half = length / 2;
            waiting.push((start, half));
            waiting.push((start + half, length - half));
        }
    }
    let mut good = select(batch, &BooleanArray::from(keep));
    let values = eval(exprs, &good).or_else(|EvalError(cause)| {
        // Fails as a whole although every part passed: no row can be told apart, so none may pass.
        faults = (0..batch.rows()).map(|row| (row, cause.clone())).collect();
        good = batch.with(batch.columns.slice(0, 0));
        eval(exprs, &good)
    });
    faults.sort_unstable_by_key(|(row, _)| *row);
    rejected.extend(faults.into_iter().map(|(row, cause)| Rejected {
        code: codes::EVALUATE.id,
        cause,
        step: step.clone(),
        origin: place(batch, row, origin),
        original: original(batch, row),
    }));
    (good, values.expect("an expression can be computed for no rows"))
}

fn eval(exprs: &[&dyn Expr], batch: &Batch) -> Result<Vec<ArrayRef>, EvalError> {
    exprs.iter().map(|expr| expr.eval(batch)).collect()
}

fn place(batch: &Batch, row: usize, origin: &Origin) -> String {
    let offsets = batch.column(&format!("{META_PREFIX}offset"));
    match offsets.and_then(|column| column.as_primitive_opt::<Int64Type>()) {
        Some(offsets) => format!("{}@{}", origin.name, offsets.value(row)),
        None => origin.name.to_string(),
    }
}

/// The bytes of a row as they came, or the row as JSON where it never was bytes.
pub(crate) fn original(batch: &Batch, row: usize) -> Vec<u8> {
    if let Some(documents) = batch.raw() {
        return documents.value(row).to_vec();
    }
    let schema = batch.schema();
    let visible: Vec<usize> =
        (0..schema.fields().len()).filter(|&at| !schema.field(at).name().starts_with(META_PREFIX)).collect();
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    let row = batch.columns.slice(row, 1).project(&visible).expect("the indices are the schema's own");
    match writer.write(&row).and_then(|()| writer.finish()) {
        Ok(()) => writer.into_inner().trim_ascii_end().to_vec(),
        Err(error) => format!("(cannot be shown: {error})").into_bytes(),
    }
}
