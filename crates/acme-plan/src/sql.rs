//! DataFusion's SQL front end for single expressions: parsing, functions, types.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{Expr as SqlExpr, SelectItem};
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::Token;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Parses one expression; the error is one clause.
pub(crate) fn parse(text: &str) -> Result<SqlExpr, String> {
    parse_item(text).and_then(|item| match item {
        SelectItem::UnnamedExpr(expr) => Ok(expr),
        _ => Err("an expression takes no `AS` and no `*` here".to_owned()),
    })
}

/// Parses one item of a SELECT list: an expression, perhaps with `AS name`, or `*`.
pub(crate) fn parse_item(text: &str) -> Result<SelectItem, String> {
    let parse = || {
        let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text)?;
        let item = parser.parse_select_item()?;
        parser.expect_token(&Token::EOF)?;
        Ok(item)
    };
    parse().map_err(|error: datafusion_sql::sqlparser::parser::ParserError| {
        error.to_string().trim_start_matches("sql parser error: ").to_owned()
    })
}

/// Turns a resolved expression into a typed one. Its names are columns of the schema, in quotes.
pub(crate) fn logical(expr: SqlExpr, schema: &DFSchema) -> Result<Expr, String> {
    let options = ParserOptions {
        parse_float_as_decimal: true,
        enable_ident_normalization: false,
        map_string_types_to_utf8view: true,
        ..ParserOptions::default()
    };
    let planner = SqlToRel::new_with_options(&*FUNCTIONS, options);
    let typed = || {
        let expr = planner.sql_to_expr(expr, schema, &mut PlannerContext::new())?;
        let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
        ExprSimplifier::new(context).coerce(expr, schema)
    };
    typed().map_err(clause)
}

/// Folds what is constant.
pub(crate) fn simplify(expr: Expr, schema: &DFSchema) -> Result<Expr, String> {
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    ExprSimplifier::new(context).simplify(expr).map_err(clause)
}

/// The type of a typed expression.
pub(crate) fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType, String> {
    expr.get_type(schema).map_err(clause)
}

pub(crate) fn schema(columns: impl IntoIterator<Item = (String, DataType)>) -> DFSchema {
    let fields: Vec<Field> = columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    DFSchema::try_from(Schema::new(fields)).expect("column names are unique")
}

/// An error without DataFusion's own prefixes and back traces.
pub(crate) fn clause(error: DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut text = text.as_str();
    for prefix in [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Schema error: ",
        "SQL error: ",
        "Optimizer rule 'simplify_expressions' failed",
        "This feature is not implemented: ",
        "Internal error: ",
        "Compute error: ",
        "Cast error: ",
        "Parser error: ",
        "Invalid argument error: ",
        "type_coercion",
        "caused by",
    ] {
        text = text.trim_start_matches(['\n', ' ']).trim_start_matches(prefix);
    }
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The functions that expressions may call.
struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let all = datafusion_functions::all_default_functions()
        .into_iter()
        .chain(datafusion_functions_nested::all_default_nested_functions())
        .chain(crate::json_member::functions());
    let mut scalar = HashMap::new();
    for function in all {
        for alias in function.aliases() {
            scalar.insert(alias.clone(), function.clone());
        }
        scalar.insert(function.name().to_owned(), function);
    }
    let planners: Vec<Arc<dyn ExprPlanner>> = vec![
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
    ];
    Functions { scalar, planners, options: ConfigOptions::default() }
});

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("an expression cannot read the table {name}")
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(&name.to_lowercase()).cloned()
    }
    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }
    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }
    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.scalar.keys().cloned().collect();
        names.sort_unstable();
        names
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
