//! The operators: one file each. A row on which one fails is taken out with its reason; the others go on.

mod changes;
mod filter;
mod isolate;
mod map;
mod route;

pub(crate) use isolate::original;

use crate::expr::Expr;
use crate::program::{Operator, Step};
use acme_types::{Batch, Origin, Rejected};
use arrow::datatypes::FieldRef;
use std::sync::Arc;

/// Adds the event time. Rows without one are taken out with the reason.
pub(crate) fn timed(
    batch: &Batch,
    field: FieldRef,
    event_time: &dyn Expr,
    source: &Arc<str>,
    origin: &Origin,
    rejected: &mut Vec<Rejected>,
) -> Batch {
    let (batch, values) = isolate::eval_all(&[event_time], batch, source, origin, rejected);
    map::put(&batch, std::iter::once((&field, values[0].clone())))
}

/// Runs a step over a batch: one batch for each of its outputs.
pub(crate) fn apply(step: &Step, batch: &Batch, origin: &Origin, rejected: &mut Vec<Rejected>) -> Vec<Batch> {
    match &step.operator {
        Operator::Filter(condition) => {
            let (batch, values) =
                isolate::eval_all(&[condition.as_ref()], batch, &step.name, origin, rejected);
            vec![filter::keep(&batch, &values[0])]
        }
        Operator::FilterChanges(condition) => {
            let (batch, values) =
                isolate::eval_all(&[condition.as_ref()], batch, &step.name, origin, rejected);
            vec![changes::keep(&batch, &values[0])]
        }
        Operator::Map(columns) => {
            let exprs: Vec<_> = columns.iter().map(|(_, expr)| expr.as_ref()).collect();
            let (batch, values) = isolate::eval_all(&exprs, batch, &step.name, origin, rejected);
            vec![map::put(&batch, columns.iter().map(|(field, _)| field).zip(values))]
        }
        Operator::Route(conditions) => {
            let exprs: Vec<_> = conditions.iter().map(AsRef::as_ref).collect();
            let (batch, values) = isolate::eval_all(&exprs, batch, &step.name, origin, rejected);
            route::split(&batch, &values, step.outputs.len())
        }
        Operator::RouteChanges(conditions) => {
            let exprs: Vec<_> = conditions.iter().map(|(expr, _)| expr.as_ref()).collect();
            let about_rows: Vec<_> = conditions.iter().map(|(_, about_row)| *about_row).collect();
            let (batch, values) = isolate::eval_all(&exprs, batch, &step.name, origin, rejected);
            changes::split(&batch, &values, &about_rows, step.outputs.len())
        }
    }
}
