//! A typed expression as the engine runs it: DataFusion's physical expression, one for each set of column types.
//!
//! The types of declared columns never change. A column of undeclared numbers is `Int64` in most batches and wide in those
//! that need it; each form is compiled when it first appears, and there are at most a few.

use crate::sql::{clause, simplify};
use acme_flow::{EvalError, Expr, TICK};
use acme_formats::json::WIDE_NUMBER;
use acme_types::Batch;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result as DfResult};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::expressions::BinaryExpr;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use std::sync::{Arc, RwLock};

/// The type of the column [`TICK`].
pub(crate) fn tick_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// An expression over named columns.
pub(crate) struct Compiled {
    logical: datafusion_expr::Expr,
    /// The columns that it reads, and whether each may be a wide number.
    columns: Vec<(String, bool)>,
    forms: RwLock<Vec<Form>>,
}

struct Form {
    types: Vec<DataType>,
    schema: Arc<Schema>,
    physical: Arc<dyn PhysicalExpr>,
}

impl Compiled {
    /// Compiles for the types of `schema`, to find now what cannot be computed.
    pub(crate) fn new(
        logical: datafusion_expr::Expr,
        schema: &DFSchema,
        is_number: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let mut columns: Vec<(String, bool)> = (logical.column_refs().into_iter())
            .map(|column| (column.name.clone(), is_number(&column.name)))
            .collect();
        columns.sort_unstable();
        let compiled = Self { logical, columns, forms: RwLock::default() };
        let types = compiled.columns.iter().map(|(name, _)| {
            let field = schema.field_with_unqualified_name(name).map_err(clause)?;
            Ok(field.data_type().clone())
        });
        compiled.form(types.collect::<Result<_, String>>()?)?;
        Ok(compiled)
    }

    fn form(&self, types: Vec<DataType>) -> Result<(Arc<Schema>, Arc<dyn PhysicalExpr>), String> {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .zip(&types)
            .map(|((name, _), kind)| Field::new(name, kind.clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let df_schema = DFSchema::try_from(schema.clone()).map_err(clause)?;
        // Coercion depends on the types, so it is done for each form.
        let context = datafusion_expr::simplify::SimplifyContext::builder()
            .with_schema(Arc::new(df_schema.clone()))
            .build();
        let coerced = datafusion_optimizer::simplify_expressions::ExprSimplifier::new(context)
            .coerce(self.logical.clone(), &df_schema)
            .map_err(clause)?;
        let simple = simplify(coerced, &df_schema)?;
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let physical = create_physical_expr(&simple, &df_schema, &props, &context).map_err(clause)?;
        let physical = checked(physical).map_err(clause)?;
        let mut forms = self.forms.write().expect("no thread panics while it holds the lock");
        forms.push(Form { types, schema: schema.clone(), physical: physical.clone() });
        Ok((schema, physical))
    }

    fn inputs(&self, batch: &Batch) -> Result<Vec<ArrayRef>, EvalError> {
        let input = |(name, _): &(String, bool)| {
            if name == TICK {
                let ticks = TimestampMicrosecondArray::from_value(batch.tick.0, batch.rows());
                return Ok(Arc::new(ticks.with_timezone("+00:00")) as ArrayRef);
            }
            batch.column(name).cloned().ok_or_else(|| EvalError(format!("column \"{name}\" is missing")))
        };
        self.columns.iter().map(input).collect()
    }

    fn compute(&self, inputs: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef, EvalError> {
        let same =
            |form: &Form| form.types.iter().zip(&inputs).all(|(kind, array)| kind == array.data_type());
        let known = {
            let forms = self.forms.read().expect("no thread panics while it holds the lock");
            forms.iter().find(|form| same(form)).map(|form| (form.schema.clone(), form.physical.clone()))
        };
        let (schema, physical) = match known {
            Some(form) => form,
            None => {
                let types = inputs.iter().map(|array| array.data_type().clone()).collect();
                self.form(types).map_err(EvalError)?
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, inputs, &options)
            .map_err(|error| EvalError(error.to_string()))?;
        let values = physical.evaluate(&batch).and_then(|value| value.into_array(rows));
        values.map_err(|error| EvalError(clause(error)))
    }
}

impl Expr for Compiled {
    fn eval(&self, batch: &Batch) -> Result<ArrayRef, EvalError> {
        let inputs = self.inputs(batch)?;
        let narrow =
            |(_, number): &(String, bool), array: &ArrayRef| *number && array.data_type() == &DataType::Int64;
        let may_widen = self.columns.iter().zip(&inputs).any(|(column, array)| narrow(column, array));
        match self.compute(inputs.clone(), batch.rows()) {
            // An exact number does not end at 64 bits: what overflowed is computed again in the wide form.
            Err(error) if may_widen => {
                let wide =
                    self.columns.iter().zip(inputs).map(|(column, array)| match narrow(column, &array) {
                        true => cast(&array, &WIDE_NUMBER).map_err(|_| error.clone()),
                        false => Ok(array),
                    });
                self.compute(wide.collect::<Result<_, _>>()?, batch.rows()).map_err(|_| error)
            }
            result => result,
        }
    }

    fn reads(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| name == column)
    }
}

/// Arithmetic that reports an overflow instead of wrapping round.
fn checked(expr: Arc<dyn PhysicalExpr>) -> DfResult<Arc<dyn PhysicalExpr>> {
    let transformed = expr.transform_up(|node| {
        let replaced = node.downcast_ref::<BinaryExpr>().map(|binary| {
            BinaryExpr::new(binary.left().clone(), *binary.op(), binary.right().clone())
                .with_fail_on_overflow(true)
        });
        Ok::<_, DataFusionError>(match replaced {
            Some(binary) => Transformed::yes(Arc::new(binary) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    })?;
    Ok(transformed.data)
}
