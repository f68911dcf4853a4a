//! DataFusion's aggregate functions as the engine runs them.

use crate::sql::clause;
use acme_flow::{Accumulator, Aggregate, EVENT_TIME, EvalError};
use acme_types::batch::json_field;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// All aggregate functions by their names and other names.
static FUNCTIONS: LazyLock<HashMap<String, Arc<AggregateUDF>>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
        // The one belongs to GROUPING SETS; the other wants its number as a constant.
        if matches!(function.name(), "grouping" | "nth_value") {
            continue;
        }
        for alias in function.aliases() {
            all.insert(alias.clone(), function.clone());
        }
        all.insert(function.name().to_owned(), function);
    }
    all
});

/// Aggregates whose result depends on the order of the rows: that of their event time.
const ORDERED: &[&str] = &["first_value", "last_value", "array_agg", "string_agg"];
/// Aggregates of numbers: what a field of undeclared type is read as.
const OF_ANYTHING: &[&str] = &[
    "count",
    "approx_distinct",
    "any_value",
    "first_value",
    "last_value",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
];

/// The function with this name.
pub(crate) fn find(name: &str) -> Option<Arc<AggregateUDF>> {
    FUNCTIONS.get(&name.to_lowercase()).cloned()
}

/// The names of all aggregate functions.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = FUNCTIONS.values().map(|function| function.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What an argument whose type is open is read as.
pub(crate) fn expected(function: &AggregateUDF) -> Option<DataType> {
    match function.name() {
        "string_agg" => Some(DataType::Utf8View),
        "bool_and" | "bool_or" => Some(DataType::Boolean),
        name if OF_ANYTHING.contains(&name) => None,
        _ => Some(DataType::Int64),
    }
}

/// Whether the result is one of the values, as it is.
pub(crate) fn passes_on(function: &AggregateUDF) -> bool {
    matches!(function.name(), "first_value" | "last_value" | "any_value")
}

/// The types that a function takes its arguments as; the error is one clause.
pub(crate) fn coerced(function: &AggregateUDF, arguments: &[DataType]) -> Result<Vec<DataType>, String> {
    let fields: Vec<FieldRef> =
        arguments.iter().map(|kind| Arc::new(Field::new("argument", kind.clone(), true))).collect();
    let fields = fields_with_udf(&fields, function).map_err(clause)?;
    let kind = |field: &FieldRef| match (function.name(), field.data_type()) {
        // A sum of 64 bits may need more, and must not begin again at the other end.
        ("sum", DataType::Int64 | DataType::UInt64) => DataType::Decimal128(38, 0),
        (_, kind) => kind.clone(),
    };
    Ok(fields.iter().map(kind).collect())
}

/// One aggregate of a step: a function over columns of the step's input.
pub(crate) struct Call {
    pub(crate) function: Arc<AggregateUDF>,
    /// Columns of the input, by index.
    pub(crate) arguments: Vec<usize>,
    /// The values of those that are constants, such as the text between the values of `string_agg`.
    pub(crate) constants: Vec<Option<ScalarValue>>,
    pub(crate) filter: Option<usize>,
    pub(crate) distinct: bool,
    /// Its result is a value that is JSON text.
    pub(crate) json: bool,
}

/// A [`Call`] that can be run.
pub(crate) struct Function {
    expr: Arc<AggregateFunctionExpr>,
    arguments: Vec<usize>,
    filter: Option<usize>,
    state: Vec<FieldRef>,
    result: FieldRef,
}

impl Call {
    /// Compiles it for the step's input; `name` is that of the result. The error is one clause.
    pub(crate) fn compile(self, name: &str, input: &SchemaRef) -> Result<Function, String> {
        let column =
            |at: usize| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(input.field(at).name(), at)) };
        let ordered = ORDERED.contains(&self.function.name());
        let time = input.index_of(EVENT_TIME).map_err(|error| error.to_string())?;
        let order = ordered.then(|| PhysicalSortExpr::new_default(column(time)));
        let argument = |(&at, constant): (&usize, Option<ScalarValue>)| match constant {
            Some(value) => Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>,
            None => column(at),
        };
        let arguments: Vec<_> = self.arguments.iter().zip(self.constants).map(argument).collect();
        let expr = AggregateExprBuilder::new(self.function, arguments)
            .schema(input.clone())
            .alias(name)
            .with_distinct(self.distinct)
            .order_by(order.into_iter().collect())
            .build()
            .map_err(clause)?;
        let state = expr.state_fields().map_err(clause)?;
        let mut arguments = self.arguments;
        arguments.extend(ordered.then_some(time));
        let result = match self.json {
            true => json_field(name),
            false => expr.field().as_ref().clone().with_name(name).with_nullable(true),
        };
        let result = Arc::new(result);
        Ok(Function { expr: Arc::new(expr), arguments, filter: self.filter, state, result })
    }
}

impl Aggregate for Function {
    fn accumulator(&self) -> Box<dyn Accumulator> {
        Box::new(Groups { groups: fresh(&self.expr), expr: self.expr.clone(), total: 0 })
    }
    fn state(&self) -> Vec<FieldRef> {
        self.state.clone()
    }
    fn result(&self) -> FieldRef {
        self.result.clone()
    }
    fn arguments(&self) -> &[usize] {
        &self.arguments
    }
    fn filter(&self) -> Option<usize> {
        self.filter
    }
}

fn fresh(expr: &Arc<AggregateFunctionExpr>) -> Box<dyn GroupsAccumulator> {
    if expr.groups_accumulator_supported() {
        return expr.create_groups_accumulator().expect("it says that it can be made");
    }
    let expr = expr.clone();
    Box::new(GroupsAccumulatorAdapter::new(move || expr.create_accumulator()))
}

struct Groups {
    groups: Box<dyn GroupsAccumulator>,
    expr: Arc<AggregateFunctionExpr>,
    total: usize,
}

impl Accumulator for Groups {
    fn update(
        &mut self,
        arguments: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), EvalError> {
        self.total = total;
        self.groups.update_batch(arguments, groups, filter, total).map_err(fault)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), EvalError> {
        self.total = total;
        self.groups.merge_batch(states, groups, total).map_err(fault)
    }

    fn states(&mut self) -> Result<Vec<ArrayRef>, EvalError> {
        let states = self.groups.state(EmitTo::All).map_err(fault)?;
        // Taking them out empties it.
        self.groups = fresh(&self.expr);
        let all: Vec<usize> = (0..self.total).collect();
        self.groups.merge_batch(&states, &all, self.total).map_err(fault)?;
        Ok(states)
    }

    fn take_values(&mut self) -> Result<ArrayRef, EvalError> {
        self.groups.evaluate(EmitTo::All).map_err(fault)
    }

    fn bytes(&self) -> usize {
        self.groups.size()
    }
}

fn fault(error: DataFusionError) -> EvalError {
    EvalError(clause(error))
}

/// The input of a step without its metadata: DataFusion compares fields of schemas as a whole.
pub(crate) fn input_schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
