//! Conditions over changes of rows, and which destinations can take changes at all.
//!
//! A condition is taken apart at its ANDs. What reads only the change itself (`operation` and other metadata) and the key
//! decides which changes are seen: `operation IN ('INSERT', 'UPDATE')` drops deletes, and their rows stay where they were
//! delivered. What reads other columns of the row decides which rows exist behind the step: an update that takes a row out of
//! `country = 'DE'` takes it out of the destination.

use crate::infer::Resolved;
use crate::planner::{DestinationInfo, Planner};
use crate::sql;
use crate::stream::Stream;
use acme_flow::{Expr, Operator};
use acme_spec::Item;
use acme_types::batch::{META_PREFIX, OPERATION};
use acme_types::codes::{CHANGE_MODE, SQL};
use acme_types::{Batch, Change, Diagnostic, EventTime, Place, Shape};
use arrow::array::{AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr as SqlExpr};
use std::sync::Arc;

/// A condition as the operators take it.
#[derive(Default)]
struct Condition {
    /// Decides which changes are seen.
    seen: Option<Arc<dyn Expr>>,
    /// Decides which rows exist.
    exists: Option<Arc<dyn Expr>>,
    /// `seen` leaves nothing but inserts.
    only_inserts: bool,
}

impl Planner<'_> {
    /// A filter is one step, or two where it decides both which changes are seen and which rows exist.
    pub(crate) fn filter(&mut self, item: &Item, stream: &Stream, output: &mut Stream) -> Vec<Operator> {
        let Some(text) = item.config.text("condition") else { return Vec::new() };
        let at = item.config.place("condition");
        if stream.change == Change::Append {
            return self.condition(text, stream, at).map(Operator::Filter).into_iter().collect();
        }
        let Some(Condition { seen, exists, only_inserts }) = self.taken_apart(text, stream, at) else {
            return Vec::new();
        };
        if only_inserts {
            output.change = Change::Append;
        }
        let exists = exists.map(|exists| match only_inserts {
            // Nothing can leave what only grows.
            true => Operator::Filter(exists),
            false => Operator::FilterChanges(exists),
        });
        seen.map(Operator::Filter).into_iter().chain(exists).collect()
    }

    pub(crate) fn route(&mut self, item: &Item, stream: &Stream) -> Option<Operator> {
        let routes = item.config.map("routes").map_or(&[][..], |routes| routes);
        let mut conditions = Vec::new();
        let mut whole = true;
        for (_, value) in routes {
            let text = value.text().unwrap_or_default();
            let resolved = self.resolve(text, stream, Some(&DataType::Boolean), &value.at);
            let about_row = resolved.as_ref().is_some_and(|resolved| reads_row(resolved, stream));
            match resolved.and_then(|resolved| self.compile_condition(resolved, &value.at)) {
                Some(expr) => conditions.push((expr, about_row)),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        if stream.change == Change::Upsert && conditions.iter().any(|(_, about_row)| *about_row) {
            return Some(Operator::RouteChanges(conditions));
        }
        Some(Operator::Route(conditions.into_iter().map(|(expr, _)| expr).collect()))
    }

    fn condition(&mut self, text: &str, stream: &Stream, at: &Place) -> Option<Arc<dyn Expr>> {
        let resolved = self.resolve(text, stream, Some(&DataType::Boolean), at)?;
        self.compile_condition(resolved, at)
    }

    fn compile_condition(&mut self, resolved: Resolved, at: &Place) -> Option<Arc<dyn Expr>> {
        if resolved.data_type != DataType::Boolean {
            let message = format!("the condition is {}, not true or false", resolved.data_type);
            self.found.push(Diagnostic::new(&SQL, message).at(at).help("compare it with something"));
            return None;
        }
        self.compile(resolved, at)
    }

    fn taken_apart(&mut self, text: &str, stream: &Stream, at: &Place) -> Option<Condition> {
        // Whole first: what is wrong with it is then said of the text that the user wrote.
        self.condition(text, stream, at)?;
        let mut parts = Vec::new();
        conjuncts(sql::parse(text).ok()?, &mut parts);
        let (mut seen, mut exists) = (None, None);
        for part in parts {
            let resolved = self.resolve_expr(part.clone(), stream, Some(&DataType::Boolean), at)?;
            let side = if reads_row(&resolved, stream) { &mut exists } else { &mut seen };
            *side = Some(match side.take() {
                None => part,
                Some(others) => SqlExpr::BinaryOp {
                    left: Box::new(others),
                    op: BinaryOperator::And,
                    right: Box::new(part),
                },
            });
        }
        let mut condition = Condition::default();
        if let Some(expr) = seen {
            let resolved = self.resolve_expr(expr, stream, Some(&DataType::Boolean), at)?;
            let plain = resolved.columns.iter().all(|column| column.internal == OPERATION);
            let compiled = self.compile_condition(resolved, at)?;
            condition.only_inserts = plain && leaves_only_inserts(compiled.as_ref());
            condition.seen = Some(compiled);
        }
        if let Some(expr) = exists {
            let resolved = self.resolve_expr(expr, stream, Some(&DataType::Boolean), at)?;
            condition.exists = Some(self.compile_condition(resolved, at)?);
        }
        Some(condition)
    }
}

/// The parts of a condition that all must be true.
fn conjuncts(expr: SqlExpr, parts: &mut Vec<SqlExpr>) {
    match expr {
        SqlExpr::Nested(inner) if is_and(&inner) => conjuncts(*inner, parts),
        SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(*left, parts);
            conjuncts(*right, parts);
        }
        expr => parts.push(expr),
    }
}

fn is_and(expr: &SqlExpr) -> bool {
    match expr {
        SqlExpr::Nested(inner) => is_and(inner),
        SqlExpr::BinaryOp { op, .. } => *op == BinaryOperator::And,
        _ => false,
    }
}

/// Whether an expression reads a column that a later change of the same row may change.
fn reads_row(resolved: &Resolved, stream: &Stream) -> bool {
    let fixed = |name: &str| name.starts_with(META_PREFIX) || stream.key.iter().any(|key| key == name);
    resolved.columns.iter().any(|column| !fixed(&column.internal))
}

/// Tries a condition on each operation that there is.
fn leaves_only_inserts(condition: &dyn Expr) -> bool {
    let operations = StringViewArray::from_iter_values(["UPDATE", "DELETE", "TRUNCATE"]);
    let columns = RecordBatch::try_from_iter([(OPERATION, Arc::new(operations) as _)]).expect("one column");
    let values = condition.eval(&Batch { columns, tick: EventTime(0) });
    values.is_ok_and(|values| values.as_boolean().true_count() == 0)
}

/// Why a destination cannot take a stream of changes.
pub(crate) fn refusal(
    stream: &Stream,
    destination: &DestinationInfo,
    shape: &Shape,
    at: &Place,
) -> Option<Diagnostic> {
    let shows_operation = shape.columns.iter().any(|(_, column)| column == OPERATION);
    if stream.change == Change::Append || destination.change == Change::Upsert || shows_operation {
        return None;
    }
    let message = "this destination only adds rows, and the rows are changes of earlier rows: an update would look like \
                   another row, a delete like one more";
    let help = "deliver what happened with each row (a map with `fields: {operation: operation}`), keep only new rows (a \
                filter with `operation = 'INSERT'`), or choose a destination with a key";
    Some(Diagnostic::new(&CHANGE_MODE, message).at(at).help(help))
}
