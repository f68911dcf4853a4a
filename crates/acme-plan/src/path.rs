//! Paths into documents, as SQL spells them.

use acme_types::PathStep;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr as SqlExpr, Function, FunctionArguments, Subscript, Value,
};

/// The name and members that an expression spells out, if it is nothing else: `a`, `a.b.c`, `a['b'][0].c`,
/// `a->'b'->>'c'`.
pub(crate) fn path(expr: &SqlExpr) -> Option<(String, Vec<PathStep>)> {
    match expr {
        SqlExpr::Identifier(ident) => Some((ident.value.clone(), Vec::new())),
        SqlExpr::CompoundIdentifier(idents) => {
            let (root, rest) = idents.split_first()?;
            Some((root.value.clone(), rest.iter().map(|ident| PathStep::Key(ident.value.clone())).collect()))
        }
        SqlExpr::CompoundFieldAccess { root, access_chain } => {
            let (root, mut steps) = path(root)?;
            for access in access_chain {
                steps.push(match access {
                    AccessExpr::Dot(SqlExpr::Identifier(ident)) => PathStep::Key(ident.value.clone()),
                    AccessExpr::Subscript(Subscript::Index { index }) => step(index)?,
                    _ => return None,
                });
            }
            Some((root, steps))
        }
        SqlExpr::BinaryOp { left, op: BinaryOperator::Arrow | BinaryOperator::LongArrow, right } => {
            let (root, mut steps) = path(left)?;
            steps.push(step(right)?);
            Some((root, steps))
        }
        SqlExpr::Nested(inner) => path(inner),
        // PostgreSQL reserves a few words that are common names of fields.
        SqlExpr::Function(Function { name, args: FunctionArguments::None, .. }) => {
            let word = name.to_string();
            let reserved = ["user", "current_user", "session_user", "current_catalog"];
            reserved.contains(&&*word.to_lowercase()).then_some((word, Vec::new()))
        }
        _ => None,
    }
}

fn step(index: &SqlExpr) -> Option<PathStep> {
    let SqlExpr::Value(value) = index else { return None };
    match &value.value {
        Value::SingleQuotedString(key) => Some(PathStep::Key(key.clone())),
        Value::Number(number, _) => number.parse().ok().map(PathStep::Index),
        _ => None,
    }
}
