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
                match access {
                    AccessExpr::Dot(member) => {
                        let (name, rest) = path(member).or_else(|| word(member))?;
                        steps.push(PathStep::Key(name));
                        steps.extend(rest);
                    }
                    AccessExpr::Subscript(Subscript::Index { index }) => steps.push(step(index)?),
                    AccessExpr::Subscript(_) => return None,
                }
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
            let reserved = ["user", "current_user", "session_user", "current_catalog"];
            let (root, rest) = word(expr)?;
            let is_field = !rest.is_empty() || reserved.contains(&&*name.to_string().to_lowercase());
            is_field.then_some((root, rest))
        }
        _ => None,
    }
}

/// What the parser takes for a function because its name is a reserved word: `user`, `payload.user`.
fn word(expr: &SqlExpr) -> Option<(String, Vec<PathStep>)> {
    let SqlExpr::Function(Function { name, args: FunctionArguments::None, .. }) = expr else { return None };
    let mut names = name.0.iter().filter_map(|part| Some(part.as_ident()?.value.clone()));
    let root = names.next()?;
    Some((root, names.map(PathStep::Key).collect()))
}

fn step(index: &SqlExpr) -> Option<PathStep> {
    let SqlExpr::Value(value) = index else { return None };
    match &value.value {
        Value::SingleQuotedString(key) => Some(PathStep::Key(key.clone())),
        Value::Number(number, _) => number.parse().ok().map(PathStep::Index),
        _ => None,
    }
}
