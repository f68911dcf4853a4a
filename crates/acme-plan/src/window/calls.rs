//! The aggregates of a step: calls taken out of SQL expressions, their arguments made columns of the step's input.

use super::{Inputs, is_json_text, stored};
use crate::aggregate::{self, Call, Function};
use crate::planner::Planner;
use crate::sql;
use crate::stream::Stream;
use acme_flow::{Aggregate, EVENT_TIME, time_type};
use acme_spec::Item;
use acme_types::codes::SQL;
use acme_types::{Diagnostic, Place};
use arrow::datatypes::{DataType, Schema};
use datafusion_expr::Expr;
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr as SqlExpr, Function as SqlFunction, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, visit_expressions, visit_expressions_mut,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A field of the output, with what it is computed from.
pub(super) struct Output {
    pub(super) name: String,
    pub(super) expr: SqlExpr,
    pub(super) at: Place,
}

impl Planner<'_> {
    /// The fields of the output with the aggregates taken out of them, each by a name of its own.
    pub(super) fn aggregates(
        &mut self,
        index: usize,
        item: &Item,
        stream: &Stream,
        inputs: &mut Inputs,
    ) -> (Vec<Output>, Vec<(Call, Place)>) {
        let (mut outputs, mut calls) = (Vec::new(), Vec::new());
        for (name, value) in item.config.map("aggregates").into_iter().flatten() {
            let (text, at) = (value.text().unwrap_or_default(), value.at.clone());
            let mut expr = match sql::parse(text) {
                Ok(expr) => expr,
                Err(cause) => {
                    self.fault(
                        &SQL,
                        format!("`{text}` is not valid SQL: {cause}"),
                        &at,
                        "write an expression over aggregates, such as `count(*)`",
                    );
                    continue;
                }
            };
            let (first, before) = (calls.len(), self.found.len());
            let _ = visit_expressions_mut(&mut expr, |expr| {
                let SqlExpr::Function(function) = expr else { return ControlFlow::<()>::Continue(()) };
                if aggregate::find(&function.name.to_string()).is_none() {
                    return ControlFlow::Continue(());
                }
                match self.call(index, function, stream, inputs, &at) {
                    Some(call) => {
                        *expr = SqlExpr::Identifier(Ident::with_quote('"', aggregate_name(calls.len())));
                        calls.push((call, at.clone()));
                        ControlFlow::Continue(())
                    }
                    None => ControlFlow::Break(()),
                }
            });
            if self.found.len() > before {
                continue;
            }
            if calls.len() == first {
                let help = format!("aggregates are {}", aggregate::names().join(", "));
                self.found
                    .push(Diagnostic::new(&SQL, format!("`{text}` aggregates nothing")).at(&at).help(help));
                continue;
            }
            outputs.push(Output { name: name.clone(), expr, at });
        }
        (outputs, calls)
    }

    /// One aggregate: its arguments become columns of the input.
    fn call(
        &mut self,
        index: usize,
        function: &SqlFunction,
        stream: &Stream,
        inputs: &mut Inputs,
        at: &Place,
    ) -> Option<Call> {
        let (list, distinct) = self.arguments(function, at)?;
        let udf = aggregate::find(&function.name.to_string()).expect("it was found before");
        let mut resolved = Vec::new();
        for argument in function
            .within_group
            .iter()
            .map(|order| order.expr.clone())
            .map(Some)
            .chain(list.iter().map(plain))
        {
            // `count(*)` counts rows: each has an event time.
            let Some(expr) = argument else { continue };
            resolved.push(self.resolve_expr(expr, stream, aggregate::expected(&udf).as_ref(), at)?);
        }
        let types: Vec<DataType> = match resolved.is_empty() {
            true => vec![time_type()],
            false => resolved.iter().map(stored).collect(),
        };
        let kinds = match aggregate::coerced(&udf, &types) {
            Ok(kinds) => kinds,
            Err(cause) => {
                self.fault(
                    &SQL,
                    format!("`{function}` cannot be computed: {cause}"),
                    at,
                    "cast the argument, or declare the field under `schema:`",
                );
                return None;
            }
        };
        let json = aggregate::passes_on(&udf) && resolved.first().is_some_and(is_json_text);
        let (mut arguments, mut constants) = (Vec::new(), Vec::new());
        if resolved.is_empty() {
            constants.push(None);
            arguments
                .push(inputs.columns.iter().position(|column| column == EVENT_TIME).expect("it is an input"));
        }
        for (resolved, kind) in resolved.into_iter().zip(kinds) {
            constants.push(match &resolved.logical {
                Expr::Literal(value, _) => value.cast_to(&kind).ok(),
                _ => None,
            });
            arguments.push(self.input(index, inputs, resolved, kind, at)?);
        }
        let filter = match &function.filter {
            None => None,
            Some(filter) => {
                let condition =
                    self.resolve_expr(filter.as_ref().clone(), stream, Some(&DataType::Boolean), at)?;
                Some(self.input(index, inputs, condition, DataType::Boolean, at)?)
            }
        };
        Some(Call { function: udf, arguments, constants, filter, distinct, json })
    }

    pub(super) fn functions(
        &mut self,
        calls: Vec<(Call, Place)>,
        schema: &Arc<Schema>,
    ) -> Option<Vec<Arc<dyn Aggregate>>> {
        let mut functions: Vec<Arc<dyn Aggregate>> = Vec::new();
        for (call, at) in calls {
            let compiled: Result<Function, String> = call.compile(&aggregate_name(functions.len()), schema);
            match compiled {
                Ok(function) => functions.push(Arc::new(function)),
                Err(cause) => {
                    self.found.push(Diagnostic::new(&SQL, cause).at(&at));
                    return None;
                }
            }
        }
        Some(functions)
    }

    /// What a call is written with, and whether it is about distinct values.
    fn arguments(&mut self, function: &SqlFunction, at: &Place) -> Option<(Vec<FunctionArg>, bool)> {
        let name = function.name.to_string();
        let none = FunctionArguments::None;
        let (list, distinct) = match &function.args {
            FunctionArguments::List(list) => {
                if !list.clauses.is_empty() {
                    self.fault(
                        &SQL,
                        format!("`{name}` takes no clauses inside its brackets here"),
                        at,
                        "rows are in the order of their event time",
                    );
                    return None;
                }
                let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                (list.args.clone(), distinct)
            }
            args if *args == none => (Vec::new(), false),
            _ => {
                self.fault(&SQL, format!("`{name}` takes no query"), at, "name fields");
                return None;
            }
        };
        let inner = visit_expressions(function, |expr| match expr {
            SqlExpr::Identifier(ident) if is_aggregate_name(&ident.value) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        if inner.is_break() {
            let help = "aggregate once, and compute with the result in a further window or `map`";
            self.fault(&SQL, format!("`{name}` takes no aggregate as its argument"), at, help);
            return None;
        }
        Some((list, distinct))
    }
}

/// The column of an aggregate; no SQL can name it.
fn aggregate_name(number: usize) -> String {
    format!("{AGGREGATE}{number}")
}

fn is_aggregate_name(name: &str) -> bool {
    name.starts_with(AGGREGATE)
}

const AGGREGATE: &str = "aggregate\u{0}";

/// An argument without its name; `None` for `*`.
fn plain(argument: &FunctionArg) -> Option<SqlExpr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr.clone()),
        _ => None,
    }
}
