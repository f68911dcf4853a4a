//! What the names of an expression mean, and what undeclared fields are read as.
//!
//! A field of a document without a declared schema has the type that its use asks for: compared with text it is text, in
//! arithmetic it is a number. The rules are SQL's own, read backwards: every operator and function says what it takes. A
//! use that fits several types is refused with the advice to cast.

mod names;

use crate::compile::tick_type;
use crate::fields::Fields;
use crate::path::path;
use crate::sql;
use crate::stream::{Column, Origin, Stream};
use acme_flow::TICK;
use acme_formats::json::As;
use acme_types::codes::{FIELD_USE, SQL};
use acme_types::{Diagnostic, Place};
use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_expr::Expr;
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    UnaryOperator,
};

/// An expression whose names are resolved and typed.
pub(crate) struct Resolved {
    pub(crate) logical: Expr,
    pub(crate) schema: DFSchema,
    pub(crate) data_type: DataType,
    /// Its values are JSON text.
    pub(crate) json: bool,
    /// It is nothing but this column.
    pub(crate) column: Option<Column>,
    /// The columns that it reads.
    pub(crate) columns: Vec<Column>,
}

/// Resolves one expression. `expected` is the type that its place asks for, if it asks for one.
pub(crate) fn resolve(
    mut expr: SqlExpr,
    stream: &Stream,
    fields: &mut Fields,
    expected: Option<&DataType>,
    at: &Place,
) -> Result<Resolved, Diagnostic> {
    let mut resolver = Resolver { stream, fields, at, columns: Vec::new(), json: false };
    if resolver.walk(&mut expr, expected)?.is_none() {
        // Nothing says what it is: it is passed on as it stands in the document.
        resolver.json = false;
        resolver.bind(&mut expr, As::Json)?;
    } else {
        resolver.json = false;
    }
    let column = match &expr {
        // The tick is no column of the batch: it becomes one where it is kept.
        SqlExpr::Identifier(ident) if ident.value != TICK => {
            resolver.columns.iter().find(|column| column.internal == ident.value).cloned()
        }
        _ => None,
    };
    let schema = resolver.schema();
    let logical = sql::logical(expr, &schema).map_err(|cause| resolver.fault(cause))?;
    let data_type = sql::type_of(&logical, &schema).map_err(|cause| resolver.fault(cause))?;
    Ok(Resolved { logical, schema, data_type, json: resolver.json, column, columns: resolver.columns })
}

struct Resolver<'a> {
    stream: &'a Stream,
    fields: &'a mut Fields,
    at: &'a Place,
    columns: Vec<Column>,
    /// The whole expression is a member that is passed on as JSON.
    json: bool,
}

/// The type of an expression, or `None` for a field whose use is still open.
type Typed = Option<DataType>;

impl Resolver<'_> {
    fn fault(&self, cause: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&SQL, cause.into()).at(self.at)
    }

    fn schema(&self) -> DFSchema {
        sql::schema(self.columns.iter().map(|column| (column.internal.clone(), column.data_type.clone())))
    }

    fn type_of(&self, expr: &SqlExpr) -> Result<DataType, Diagnostic> {
        let schema = self.schema();
        sql::logical(expr.clone(), &schema)
            .and_then(|logical| sql::type_of(&logical, &schema))
            .map_err(|cause| self.fault(cause))
    }

    /// Resolves the names of an expression. With `expected`, an open field is read as that type.
    fn walk(&mut self, expr: &mut SqlExpr, expected: Option<&DataType>) -> Result<Typed, Diagnostic> {
        if let Some((root, steps)) = path(expr) {
            return self.name(expr, &root, steps, expected);
        }
        match &mut *expr {
            SqlExpr::Nested(inner) => return self.walk(inner, expected),
            SqlExpr::Value(_) | SqlExpr::TypedString(_) | SqlExpr::Interval(_) => {}
            SqlExpr::BinaryOp { left, op, right } => {
                if let Some(result) = self.binary(left, op, right)? {
                    *expr = result;
                }
            }
            SqlExpr::UnaryOp { op, expr: inner } => {
                let operand = match op {
                    UnaryOperator::Not => DataType::Boolean,
                    _ => DataType::Int64,
                };
                self.need(inner, &operand)?;
            }
            SqlExpr::Case { operand, conditions, else_result, .. } => {
                let (mut whens, mut results) = (Vec::new(), Vec::new());
                for case in conditions {
                    whens.push(&mut case.condition);
                    results.push(&mut case.result);
                }
                match operand {
                    Some(operand) => {
                        whens.push(operand);
                        self.alike(&mut whens, None)?;
                    }
                    None => whens.into_iter().try_for_each(|when| self.need(when, &DataType::Boolean))?,
                }
                results.extend(else_result.as_deref_mut());
                self.alike(&mut results, expected)?;
            }
            SqlExpr::Function(function) => {
                if let Some(replacement) = self.function(function, expected)? {
                    *expr = replacement;
                }
            }
            other => {
                if !self.predicate(other)? {
                    self.special(other)?;
                }
            }
        }
        self.type_of(expr).map(Some)
    }

    /// What is true or false of its operands; `false` where the expression is nothing of the kind.
    fn predicate(&mut self, expr: &mut SqlExpr) -> Result<bool, Diagnostic> {
        match expr {
            SqlExpr::IsTrue(inner)
            | SqlExpr::IsFalse(inner)
            | SqlExpr::IsNotTrue(inner)
            | SqlExpr::IsNotFalse(inner)
            | SqlExpr::IsUnknown(inner)
            | SqlExpr::IsNotUnknown(inner) => self.need(inner, &DataType::Boolean)?,
            SqlExpr::IsNull(inner) | SqlExpr::IsNotNull(inner) => {
                if self.walk(inner, None)?.is_none() {
                    self.bind(inner, As::Json)?;
                }
            }
            SqlExpr::IsDistinctFrom(left, right) | SqlExpr::IsNotDistinctFrom(left, right) => {
                self.alike(&mut [left, right], None)?;
            }
            SqlExpr::InList { expr: inner, list, .. } => {
                let mut all: Vec<&mut SqlExpr> = vec![inner];
                all.extend(list.iter_mut());
                self.alike(&mut all, None)?;
            }
            SqlExpr::Between { expr: inner, low, high, .. } => self.alike(&mut [inner, low, high], None)?,
            SqlExpr::Like { expr: inner, pattern, .. }
            | SqlExpr::ILike { expr: inner, pattern, .. }
            | SqlExpr::SimilarTo { expr: inner, pattern, .. }
            | SqlExpr::RLike { expr: inner, pattern, .. } => {
                self.need(inner, &DataType::Utf8View)?;
                self.need(pattern, &DataType::Utf8View)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The functions that have a syntax of their own.
    fn special(&mut self, expr: &mut SqlExpr) -> Result<(), Diagnostic> {
        match expr {
            SqlExpr::Cast { expr: inner, .. } => self.scalar(inner)?,
            SqlExpr::AtTimeZone { timestamp, time_zone } => {
                self.need(timestamp, &tick_type())?;
                self.need(time_zone, &DataType::Utf8View)?;
            }
            SqlExpr::Extract { expr: inner, .. } => self.need(inner, &tick_type())?,
            SqlExpr::Ceil { expr: inner, .. } | SqlExpr::Floor { expr: inner, .. } => {
                self.need(inner, &DataType::Float64)?;
            }
            SqlExpr::Position { expr: inner, r#in } => {
                self.need(inner, &DataType::Utf8View)?;
                self.need(r#in, &DataType::Utf8View)?;
            }
            SqlExpr::Substring { expr: inner, substring_from, substring_for, .. } => {
                self.need(inner, &DataType::Utf8View)?;
                for bound in [substring_from, substring_for].into_iter().flatten() {
                    self.need(bound, &DataType::Int64)?;
                }
            }
            SqlExpr::Trim { expr: inner, trim_what, trim_characters, .. } => {
                self.need(inner, &DataType::Utf8View)?;
                let what = trim_what.iter_mut().map(|what| &mut **what);
                what.chain(trim_characters.iter_mut().flatten())
                    .try_for_each(|what| self.need(what, &DataType::Utf8View))?;
            }
            SqlExpr::Overlay { expr: inner, overlay_what, overlay_from, overlay_for } => {
                self.need(inner, &DataType::Utf8View)?;
                self.need(overlay_what, &DataType::Utf8View)?;
                self.need(overlay_from, &DataType::Int64)?;
                overlay_for.iter_mut().try_for_each(|bound| self.need(bound, &DataType::Int64))?;
            }
            SqlExpr::Array(array) => {
                let mut elements: Vec<&mut SqlExpr> =
                    array.elem.iter_mut().map(|element| &mut *element).collect();
                self.alike(&mut elements, None)?;
            }
            other => {
                return Err(self.fault(format!("`{other}` cannot be used in an expression over a stream")));
            }
        }
        Ok(())
    }

    /// An expression that must have a type; an open field is read as it.
    fn need(&mut self, expr: &mut SqlExpr, kind: &DataType) -> Result<(), Diagnostic> {
        self.walk(expr, Some(kind)).map(drop)
    }

    /// An expression of which the text is enough.
    fn scalar(&mut self, expr: &mut SqlExpr) -> Result<(), Diagnostic> {
        if self.walk(expr, None)?.is_none() {
            self.bind(expr, As::Scalar)?;
        }
        Ok(())
    }

    /// Expressions that are compared with each other, or stand for each other: the known types decide the open ones.
    fn alike(&mut self, exprs: &mut [&mut SqlExpr], expected: Option<&DataType>) -> Result<(), Diagnostic> {
        let mut known: Option<DataType> = None;
        let mut open = Vec::new();
        let (mut declared, mut kinds) = (Vec::new(), Vec::new());
        for (at, expr) in exprs.iter_mut().enumerate() {
            declared.extend(self.declared(expr).cloned());
            match self.walk(expr, None)? {
                None => open.push(at),
                Some(DataType::Null) => {}
                Some(kind) => {
                    kinds.push(kind.clone());
                    known = known.or(Some(kind));
                }
            }
        }
        for column in &declared {
            kinds.iter().try_for_each(|kind| self.agrees(column, kind))?;
        }
        match known.as_ref().or(expected) {
            Some(kind) => open.into_iter().try_for_each(|at| self.need(exprs[at], kind)),
            // Only open fields: as texts they can be told apart and passed on, but not put into an order.
            None => open.into_iter().try_for_each(|at| self.bind(exprs[at], As::Scalar)),
        }
    }

    fn binary(
        &mut self,
        left: &mut SqlExpr,
        op: &BinaryOperator,
        right: &mut SqlExpr,
    ) -> Result<Option<SqlExpr>, Diagnostic> {
        use BinaryOperator as Op;
        match op {
            Op::And | Op::Or | Op::Xor => {
                self.need(left, &DataType::Boolean)?;
                self.need(right, &DataType::Boolean)?;
            }
            Op::StringConcat => {
                self.scalar(left)?;
                self.scalar(right)?;
            }
            Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                if path(left).is_some() && path(right).is_some() {
                    let open = self.walk(left, None)?.is_none() && self.walk(right, None)?.is_none();
                    if open {
                        let message = format!("nothing says how \"{left}\" and \"{right}\" are ordered");
                        let help = "cast one of them, such as CAST(field AS BIGINT)";
                        return Err(Diagnostic::new(&FIELD_USE, message).at(self.at).help(help));
                    }
                }
                self.alike(&mut [left, right], None)?;
            }
            Op::Eq | Op::NotEq | Op::Spaceship => self.alike(&mut [left, right], None)?,
            Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch
            | Op::PGNotLikeMatch
            | Op::PGNotILikeMatch => {
                self.need(left, &DataType::Utf8View)?;
                self.need(right, &DataType::Utf8View)?;
            }
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
                return self.arithmetic(left, op, right);
            }
            _ => {
                self.need(left, &DataType::Int64)?;
                self.need(right, &DataType::Int64)?;
            }
        }
        Ok(None)
    }

    fn arithmetic(
        &mut self,
        left: &mut SqlExpr,
        op: &BinaryOperator,
        right: &mut SqlExpr,
    ) -> Result<Option<SqlExpr>, Diagnostic> {
        for side in [&*left, &*right] {
            if let Some(column) = self.declared(side) {
                self.agrees(column, &DataType::Int64)?;
            }
        }
        let (kinds, mut number) = ([self.walk(left, None)?, self.walk(right, None)?], false);
        for (side, own, other) in [(&mut *left, &kinds[0], &kinds[1]), (&mut *right, &kinds[1], &kinds[0])] {
            if own.is_none() {
                let temporal = other.as_ref().is_some_and(|kind| matches!(kind, DataType::Interval(_)));
                self.need(side, &if temporal { tick_type() } else { DataType::Int64 })?;
                number |= !temporal;
            }
        }
        number |= self.columns.iter().any(|column| column.number && mentions(left, &column.internal));
        if *op == BinaryOperator::Divide && number {
            // What 7 / 2 is must not depend on whether another row of the batch has 7.5: undeclared numbers have no
            // integer division.
            let text = format!("arrow_cast({left}, 'Decimal256(76, 24)') / ({right})");
            return sql::parse(&text).map(Some).map_err(|cause| self.fault(cause));
        }
        Ok(None)
    }

    fn function(
        &mut self,
        function: &mut Function,
        expected: Option<&DataType>,
    ) -> Result<Option<SqlExpr>, Diagnostic> {
        let name = function.name.to_string().to_lowercase();
        if let Some(text) = clock(&name) {
            let replacement = sql::parse(text).map_err(|cause| self.fault(cause))?;
            self.use_column(Column {
                name: TICK.to_owned(),
                internal: TICK.to_owned(),
                data_type: tick_type(),
                json: false,
                number: false,
                origin: Origin::Fixed,
            });
            return Ok(Some(replacement));
        }
        let whole = function.clone();
        let mut open = Vec::new();
        for (at, argument) in arguments(function).enumerate() {
            if self.walk(argument, None)?.is_none() {
                open.push(at);
            }
        }
        if open.is_empty() {
            return Ok(None);
        }
        if matches!(&*name, "concat" | "concat_ws") {
            arguments(function).try_for_each(|argument| self.scalar(argument))?;
            return Ok(None);
        }
        let candidates = [DataType::Utf8View, DataType::Int64, DataType::Boolean];
        let mut fitting: Vec<DataType> =
            candidates.into_iter().filter(|kind| self.fits(function, &open, kind)).collect();
        if fitting.len() > 1
            && let Some(kind) = expected.filter(|kind| fitting.contains(kind))
        {
            fitting = vec![kind.clone()];
        }
        let [kind] = fitting.as_slice() else {
            let message = format!("nothing says what the fields in `{whole}` are");
            let help = "cast them, such as CAST(field AS VARCHAR) or CAST(field AS BIGINT)";
            return Err(Diagnostic::new(&FIELD_USE, message).at(self.at).help(help));
        };
        // A function of numbers takes them as the nearest double, unless it works on whole ones.
        let kind = match kind {
            DataType::Int64 if self.fits(function, &open, &DataType::Float64) => DataType::Float64,
            kind => kind.clone(),
        };
        for (at, argument) in arguments(function).enumerate() {
            if open.contains(&at) {
                self.need(argument, &kind)?;
            }
        }
        Ok(None)
    }

    /// Whether a function takes this type for its open arguments as it is.
    fn fits(&self, function: &Function, open: &[usize], kind: &DataType) -> bool {
        const STAND_IN: &str = "acme.stand_in";
        let mut trial = function.clone();
        for (at, argument) in arguments(&mut trial).enumerate() {
            if open.contains(&at) {
                *argument = SqlExpr::Identifier(Ident::with_quote('"', STAND_IN));
            }
        }
        let columns = self.columns.iter().map(|column| (column.internal.clone(), column.data_type.clone()));
        let schema = sql::schema(columns.chain([(STAND_IN.to_owned(), kind.clone())]));
        let Ok(logical) = sql::logical(SqlExpr::Function(trial), &schema) else { return false };
        !converts(&logical, STAND_IN, kind)
    }
}

fn identifier(name: &str) -> SqlExpr {
    SqlExpr::Identifier(Ident::with_quote('"', name))
}

/// What the functions that ask for the present time stand for; the tick of the row's batch is the only clock.
fn clock(name: &str) -> Option<&'static str> {
    match name {
        "now" | "current_timestamp" | "localtimestamp" => Some("\"_meta.tick\""),
        "current_date" | "today" => Some("CAST(\"_meta.tick\" AS DATE)"),
        "current_time" | "localtime" => Some("CAST(\"_meta.tick\" AS TIME)"),
        _ => None,
    }
}

fn arguments(function: &mut Function) -> impl Iterator<Item = &mut SqlExpr> {
    let list = match &mut function.args {
        FunctionArguments::List(list) => Some(&mut list.args),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    };
    list.into_iter().flatten().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
        _ => None,
    })
}

fn mentions(expr: &SqlExpr, column: &str) -> bool {
    expr.to_string().contains(&format!("\"{}\"", column.replace('"', "\"\"")))
}

/// Whether a typed expression casts a column, or casts another argument away from the column's type.
fn converts(expr: &Expr, column: &str, kind: &DataType) -> bool {
    use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut found = false;
    let _ = expr.apply(|node| {
        if let Expr::Cast(cast) = node {
            let own = matches!(&*cast.expr, Expr::Column(inner) if inner.name == column);
            let text =
                |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            let target = cast.field.data_type();
            let alike =
                (text(target) && text(kind)) || (target.is_numeric() && kind.is_numeric() && !text(target));
            found |= own && !alike;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
