//! What the names of an expression stand for, and how the fields behind them are read.

use super::{Resolver, Typed, identifier};
use crate::json_member;
use crate::path::path;
use crate::sql;
use crate::stream::{Column, Found, Origin};
use acme_formats::json::As;
use acme_spec::nearest;
use acme_types::codes::{FIELD_USE, UNKNOWN_FIELD};
use acme_types::{Diagnostic, DocumentPath, PathStep};
use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::ast::Expr as SqlExpr;

impl Resolver<'_> {
    pub(super) fn name(
        &mut self,
        expr: &mut SqlExpr,
        root: &str,
        mut steps: Vec<PathStep>,
        expected: Option<&DataType>,
    ) -> Result<Typed, Diagnostic> {
        let found = match (root, steps.first()) {
            ("_meta", Some(PathStep::Key(key))) => {
                let found = self.stream.find_meta(key);
                if matches!(found, Found::Column(_)) {
                    steps.remove(0);
                }
                found
            }
            _ => self.stream.find(root),
        };
        match found {
            Found::Column(Column { origin: Origin::Open(field), .. }) if steps.is_empty() => {
                let Some(expected) = expected else { return Ok(None) };
                let field = DocumentPath::field(field);
                self.member(expr, field, expected)
            }
            Found::Declared(column) if column.json && !steps.is_empty() => {
                let Some(expected) = expected else { return Ok(None) };
                // A member of it is read from the document itself, as if nothing were declared above it.
                steps.insert(0, PathStep::Key(column.name.clone()));
                self.member(expr, DocumentPath(steps), expected)
            }
            Found::Column(column) | Found::Declared(column) if steps.is_empty() => {
                let column = column.clone();
                if let Some(expected) = expected {
                    self.agrees(&column, expected)?;
                }
                *expr = identifier(&column.internal);
                let kind = column.data_type.clone();
                self.use_column(column);
                Ok(Some(kind))
            }
            Found::Column(column) if column.json => {
                let Some(expected) = expected else { return Ok(None) };
                let column = column.clone();
                let (kind, converted) = self.kind_of(expected, root)?;
                self.json_member(expr, column, &steps, kind)?;
                self.convert(expr, converted)
            }
            Found::Column(column) | Found::Declared(column) => {
                let message = format!("field \"{}\" is no document, it has no members", column.name);
                Err(Diagnostic::new(&UNKNOWN_FIELD, message).at(self.at))
            }
            Found::Member(member) => {
                let Some(expected) = expected else { return Ok(None) };
                steps.insert(0, PathStep::Key(member));
                self.member(expr, DocumentPath(steps), expected)
            }
            Found::Nothing(known) => {
                let message = format!("there is no field \"{root}\" at this step");
                let diagnostic = Diagnostic::new(&UNKNOWN_FIELD, message).at(self.at);
                Err(match nearest(root, known.iter().copied()) {
                    Some(name) => diagnostic.help(format!("did you mean \"{name}\"?")),
                    None => diagnostic.help(format!("known fields: {}", known.join(", "))),
                })
            }
        }
    }

    /// Reads a member of the document as the expected type.
    fn member(
        &mut self,
        expr: &mut SqlExpr,
        path: DocumentPath,
        expected: &DataType,
    ) -> Result<Typed, Diagnostic> {
        let (kind, converted) = self.kind_of(expected, &path.to_string())?;
        let column = self.fields.want(path, kind, self.at)?;
        *expr = identifier(&column.internal);
        self.use_column(column);
        self.convert(expr, converted)
    }

    /// How a member is read that must have a type, and what it is converted to after that.
    fn kind_of<'t>(
        &self,
        expected: &'t DataType,
        shown: &str,
    ) -> Result<(As, Option<&'t DataType>), Diagnostic> {
        match expected {
            DataType::Boolean => Ok((As::Bool, None)),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Ok((As::Double, None)),
            kind if kind.is_numeric() => Ok((As::Number, None)),
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Time64(_) => {
                Ok((As::Text, Some(expected)))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Ok((As::Text, None))
            }
            other => Err(self.fault(format!("field \"{shown}\" cannot be read as {other}"))),
        }
    }

    fn convert(&self, expr: &mut SqlExpr, target: Option<&DataType>) -> Result<Typed, Diagnostic> {
        if let Some(kind) = target {
            let text = format!("arrow_cast({expr}, '{kind}')");
            *expr = sql::parse(&text).map_err(|cause| self.fault(cause))?;
        }
        self.type_of(expr).map(Some)
    }

    /// Reads a member of a column of JSON.
    fn json_member(
        &mut self,
        expr: &mut SqlExpr,
        column: Column,
        steps: &[PathStep],
        kind: As,
    ) -> Result<(), Diagnostic> {
        let text = json_member::call(&identifier(&column.internal).to_string(), steps, kind);
        *expr = sql::parse(&text).map_err(|cause| self.fault(cause))?;
        self.use_column(column);
        Ok(())
    }

    /// Reads an open field in a given way.
    pub(super) fn bind(&mut self, expr: &mut SqlExpr, kind: As) -> Result<(), Diagnostic> {
        let inner = match expr {
            SqlExpr::Nested(inner) => return self.bind(inner, kind),
            other => other,
        };
        let Some((root, mut steps)) = path(inner) else { return Ok(()) };
        match self.stream.find(&root) {
            Found::Member(member) => {
                steps.insert(0, PathStep::Key(member));
                let column = self.fields.want(DocumentPath(steps), kind, self.at)?;
                *inner = identifier(&column.internal);
                self.use_column(column);
                Ok(())
            }
            Found::Declared(column) => {
                steps.insert(0, PathStep::Key(column.name.clone()));
                let column = self.fields.want(DocumentPath(steps), kind, self.at)?;
                *inner = identifier(&column.internal);
                self.use_column(column);
                Ok(())
            }
            Found::Column(Column { origin: Origin::Open(field), .. }) => {
                // The field is text, and text is what is passed on.
                let kind = if kind == As::Json { As::Scalar } else { kind };
                let column = self.fields.want(DocumentPath::field(field), kind, self.at)?;
                *inner = identifier(&column.internal);
                self.use_column(column);
                Ok(())
            }
            Found::Column(column) if column.json => {
                let column = column.clone();
                self.json |= kind == As::Json;
                self.json_member(inner, column, &steps, kind)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn use_column(&mut self, column: Column) {
        if !self.columns.iter().any(|known| known.internal == column.internal) {
            self.columns.push(column);
        }
    }

    /// The column of a declared field, if the expression is nothing but its name.
    pub(super) fn declared(&self, expr: &SqlExpr) -> Option<&Column> {
        let (root, steps) = path(expr)?;
        match self.stream.find(&root) {
            Found::Column(column) | Found::Declared(column) if steps.is_empty() => {
                matches!(column.origin, Origin::Declared(_)).then_some(column)
            }
            _ => None,
        }
    }

    /// Refuses a use that contradicts a declaration.
    pub(super) fn agrees(&self, column: &Column, used: &DataType) -> Result<(), Diagnostic> {
        let Origin::Declared(place) = &column.origin else { return Ok(()) };
        if column.json {
            return Ok(());
        }
        match (noun(&column.data_type), noun(used)) {
            (Some(declared), Some(used)) if declared != used => {
                let message = format!(
                    "field \"{}\" is used as {used} here and declared as {declared} at {place}",
                    column.name
                );
                let help = "mend one of them, or cast it where it is used, such as CAST(field AS VARCHAR)";
                Err(Diagnostic::new(&FIELD_USE, message).at(self.at).help(help))
            }
            _ => Ok(()),
        }
    }
}

/// The kinds of types that SQL does not compare with each other. Times are compared with texts that hold times.
fn noun(kind: &DataType) -> Option<&'static str> {
    match kind {
        DataType::Boolean => Some("true or false"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some("text"),
        kind if kind.is_numeric() => Some("a number"),
        _ => None,
    }
}
