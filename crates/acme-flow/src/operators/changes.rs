//! `filter` and `route` over changes of rows: what a row's columns decide is which rows exist, not which changes are seen.
//!
//! An UPDATE after which a row no longer satisfies the condition takes the row away from what is behind the step, so it goes
//! on as a DELETE. An INSERT that does not satisfy it is dropped, there is nothing to take away. A DELETE and a TRUNCATE
//! always go on: of the row that is gone only the key may be known.
//!
//! Why an INSERT may be dropped even where a copy was repeated: the copy shows the row at a later moment, and each change
//! since then follows as an UPDATE or DELETE of its own; if none does, the copied row is the inserted one.

use super::filter::{mask, select};
use acme_types::Batch;
use acme_types::batch::OPERATION;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::{and, and_not, not, or};
use std::sync::Arc;

/// What the rows' operations say.
struct Operations {
    updates: BooleanArray,
    /// DELETE and TRUNCATE.
    removals: BooleanArray,
}

impl Operations {
    fn of(batch: &Batch) -> Self {
        let column = batch.column(OPERATION).expect("a stream of changes has operations").as_string_view();
        let is = |wanted: &[&str]| column.iter().map(|it| it.map(|it| wanted.contains(&it))).collect();
        Self { updates: is(&["UPDATE"]), removals: is(&["DELETE", "TRUNCATE"]) }
    }

    /// Rows that satisfy the condition, and removals; updates among `open` that do not satisfy it become deletes.
    fn output(&self, batch: &Batch, satisfied: &BooleanArray, open: &BooleanArray) -> Batch {
        let lost = and_not(&and(&self.updates, open).expect(LENGTH), satisfied).expect(LENGTH);
        let removed = and(&self.removals, open).expect(LENGTH);
        let kept = or(&and_not(satisfied, &self.removals).expect(LENGTH), &removed).expect(LENGTH);
        let batch = if lost.true_count() == 0 { batch.clone() } else { retract(batch, &lost) };
        select(&batch, &or(&kept, &lost).expect(LENGTH))
    }
}

const LENGTH: &str = "masks of one length";

/// The rows that exist behind a filter, and the ends of those that do not exist any more.
pub(super) fn keep(batch: &Batch, values: &ArrayRef) -> Batch {
    let all = BooleanArray::from(vec![true; batch.rows()]);
    Operations::of(batch).output(batch, &mask(values), &all)
}

/// One batch for each output of a route. `about_rows` says of each condition whether it reads the row's own columns; those
/// that do not are taken as they stand: the first that is true takes the change.
pub(super) fn split(
    batch: &Batch,
    conditions: &[ArrayRef],
    about_rows: &[bool],
    outputs: usize,
) -> Vec<Batch> {
    let operations = Operations::of(batch);
    let none = BooleanArray::from(vec![false; batch.rows()]);
    // Changes that belong to an output whatever their row, and rows that an earlier output has.
    let (mut gone, mut taken) = (none.clone(), none.clone());
    let mut batches = Vec::with_capacity(outputs);
    for at in 0..outputs {
        let satisfied = match conditions.get(at) {
            Some(values) => mask(values),
            // The last output takes what is left.
            None => not(&none).expect("a mask can be negated"),
        };
        let mine = and_not(&and_not(&satisfied, &taken).expect(LENGTH), &gone).expect(LENGTH);
        if about_rows.get(at).copied().unwrap_or(true) {
            let open = not(&gone).expect("a mask can be negated");
            batches.push(operations.output(batch, &mine, &open));
            let rows = and_not(&mine, &operations.removals).expect(LENGTH);
            taken = or(&taken, &rows).expect(LENGTH);
        } else {
            batches.push(select(batch, &mine));
            gone = or(&gone, &mine).expect(LENGTH);
        }
    }
    batches
}

/// The same rows, some of them as deletes.
fn retract(batch: &Batch, rows: &BooleanArray) -> Batch {
    let schema = batch.schema();
    let at = schema.index_of(OPERATION).expect("a stream of changes has operations");
    let old = batch.columns.column(at).as_string_view();
    let new: StringViewArray = old
        .iter()
        .zip(rows)
        .map(|(old, lost)| if lost == Some(true) { Some("DELETE") } else { old })
        .collect();
    let mut columns = batch.columns.columns().to_vec();
    columns[at] = Arc::new(new);
    batch.with(RecordBatch::try_new(schema, columns).expect("the same columns"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use acme_types::EventTime;
    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;

    fn batch(operations: &[&str]) -> Batch {
        let numbers = Int64Array::from_iter_values(0..i64::try_from(operations.len()).unwrap());
        let operations = StringViewArray::from_iter_values(operations);
        let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(numbers)), (OPERATION, Arc::new(operations))];
        Batch { columns: RecordBatch::try_from_iter(columns).unwrap(), tick: EventTime(0) }
    }

    fn values(values: &[Option<bool>]) -> ArrayRef {
        Arc::new(BooleanArray::from(values.to_vec()))
    }

    fn shown(batch: &Batch) -> String {
        let numbers = batch.columns.column(0).as_primitive::<Int64Type>();
        let operations = batch.columns.column(1).as_string_view();
        let row = |row| format!("{}{}", numbers.value(row), &operations.value(row)[..1]);
        (0..batch.rows()).map(row).collect::<Vec<_>>().join(" ")
    }

    const OPERATIONS: [&str; 7] = ["INSERT", "INSERT", "UPDATE", "UPDATE", "DELETE", "DELETE", "TRUNCATE"];
    const YES: Option<bool> = Some(true);
    const NO: Option<bool> = Some(false);

    #[test]
    fn an_update_out_of_the_condition_deletes_and_a_delete_goes_on() {
        let condition = values(&[YES, NO, YES, None, YES, None, NO]);
        assert_eq!(shown(&keep(&batch(&OPERATIONS), &condition)), "0I 2U 3D 4D 5D 6T");
        let none = values(&[NO; 7]);
        assert_eq!(shown(&keep(&batch(&OPERATIONS), &none)), "2D 3D 4D 5D 6T");
    }

    #[test]
    fn a_row_that_moves_to_another_output_leaves_the_first() {
        let condition = values(&[YES, NO, YES, NO, None, None, None]);
        let outputs = split(&batch(&OPERATIONS), &[condition], &[true], 2);
        assert_eq!(shown(&outputs[0]), "0I 2U 3D 4D 5D 6T");
        assert_eq!(shown(&outputs[1]), "1I 2D 3U 4D 5D 6T");
    }

    #[test]
    fn a_condition_on_the_change_takes_it_from_the_others() {
        // By key, then by a column of the row, then deletes for themselves, then the rest.
        let by_key = values(&[NO, NO, NO, YES, NO, YES, NO]);
        let by_row = values(&[YES, NO, NO, YES, None, None, None]);
        let deletes = values(&[NO, NO, NO, NO, YES, YES, NO]);
        let outputs = split(&batch(&OPERATIONS), &[by_key, by_row, deletes], &[false, true, false], 4);
        assert_eq!(shown(&outputs[0]), "3U 5D");
        assert_eq!(shown(&outputs[1]), "0I 2D 4D 6T");
        assert_eq!(shown(&outputs[2]), "4D");
        assert_eq!(shown(&outputs[3]), "1I 2U 6T");
    }
}
