//! The older spelling of windows: `GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)` with `TUMBLE_START(…)` in the SELECT.
//!
//! It becomes the table function of the same name over the one table that is read, with `window_start` and `window_end`.

use super::interval::interval_us;
use super::lexer::{place, qualified, unqualified};
use super::windows::{fault, function};
use acme_types::Diagnostic;
use acme_types::codes::{BAD_VALUE, SYNTAX};
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName,
    ObjectNamePart, Select, TableAlias, TableFactor, TableFunctionArgs, Value, ValueWithSpan,
    visit_expressions_mut,
};
use sqlparser::tokenizer::Span;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A window of a GROUP BY.
struct Window {
    name: &'static str,
    arguments: Vec<Expr>,
    span: Span,
}

/// Rewrites one SELECT; what is wrong with its windows is reported.
pub(crate) fn rewrite(file: &Arc<str>, select: &mut Select, found: &mut Vec<Diagnostic>) {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return };
    let mut windows: Vec<Window> = keys.iter().filter_map(window).collect();
    if windows.len() > 1 {
        let message = "a GROUP BY has one window at most";
        found.push(Diagnostic::new(&SYNTAX, message).at(&place(file, windows[1].span)));
        return;
    }
    let window = windows.pop();
    let rest: Vec<Expr> = keys.iter().filter(|key| self::window(key).is_none()).cloned().collect();
    let uses_time = replace(file, select, window.as_ref(), found);
    let Some(window) = window else { return };
    match call(&window, &rest) {
        Ok(arguments) => {
            let mut keys = vec![column("window_start", window.span), column("window_end", window.span)];
            if uses_time {
                keys.push(column("window_time", window.span));
            }
            keys.extend(rest);
            if let GroupByExpr::Expressions(all, _) = &mut select.group_by {
                *all = keys;
            }
            if let Err(diagnostic) = read(select, &window, arguments) {
                found.push(diagnostic.at(&place(file, window.span)));
            }
        }
        Err(message) => {
            found.push(Diagnostic::new(&BAD_VALUE, message).at(&place(file, window.span)));
        }
    }
}

/// A call by its one name, with plain arguments.
fn plain_call(expr: &Expr) -> Option<(&Ident, Vec<&Expr>)> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) = expr else {
        return None;
    };
    let [part] = &name.0[..] else { return None };
    let plain = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    Some((part.as_ident()?, list.args.iter().filter_map(plain).collect()))
}

fn window(expr: &Expr) -> Option<Window> {
    let (ident, arguments) = plain_call(expr)?;
    let (name, _) = function(&ident.value)?;
    Some(Window { name, arguments: arguments.into_iter().cloned().collect(), span: ident.span })
}

/// `TUMBLE_START(…)` and its like become the columns of the window. Says whether its time is among them.
fn replace(
    file: &Arc<str>,
    select: &mut Select,
    window: Option<&Window>,
    found: &mut Vec<Diagnostic>,
) -> bool {
    let mut uses_time = false;
    let mut replaced = |expr: &mut Expr| {
        let Some((ident, arguments)) = plain_call(expr) else { return ControlFlow::<()>::Continue(()) };
        let upper = ident.value.to_uppercase();
        let Some((start, part)) = upper.rsplit_once('_') else { return ControlFlow::Continue(()) };
        let Some((name, _)) = function(start).filter(|(name, _)| *name != "CUMULATE") else {
            return ControlFlow::Continue(());
        };
        let column_name = match part {
            "START" => "window_start",
            "END" => "window_end",
            "ROWTIME" => "window_time",
            "PROCTIME" => {
                let message = format!("{upper} has no meaning here: windows follow the time of the events");
                found.push(Diagnostic::new(&SYNTAX, message).at(&place(file, ident.span)));
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        let same = window.is_some_and(|window| {
            window.name == name && arguments.iter().copied().eq(window.arguments.iter())
        });
        if !same {
            let message = format!("{upper} belongs to no window of the GROUP BY");
            let help = format!("group by {name} with the same arguments");
            found.push(Diagnostic::new(&SYNTAX, message).at(&place(file, ident.span)).help(help));
            return ControlFlow::Continue(());
        }
        uses_time |= column_name == "window_time";
        let span = ident.span;
        *expr = column(column_name, span);
        ControlFlow::Continue(())
    };
    let _ = visit_expressions_mut(&mut select.projection, &mut replaced);
    if let Some(having) = &mut select.having {
        let _ = visit_expressions_mut(having, &mut replaced);
    }
    uses_time
}

fn column(name: &str, span: Span) -> Expr {
    Expr::Identifier(Ident::with_span(span, name))
}

/// The name of a column, without that of its table.
fn column_name(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

/// The arguments of the table function, behind that of the table.
fn call(window: &Window, keys: &[Expr]) -> Result<Vec<Expr>, String> {
    let Window { name, arguments, .. } = window;
    let lengths: &[&str] = match *name {
        "TUMBLE" => &["SIZE", "OFFSET"],
        "HOP" => &["SLIDE", "SIZE", "OFFSET"],
        "SESSION" => &["GAP"],
        _ => return Err("CUMULATE is a table function: write FROM TABLE(CUMULATE(…))".to_owned()),
    };
    let required = lengths.iter().filter(|length| **length != "OFFSET").count();
    let Some(time) = arguments.first().and_then(column_name) else {
        return Err(format!("the first argument of {name} is the column with the time"));
    };
    let given = arguments.len() - 1;
    if given < required || given > lengths.len() {
        return Err(format!("{name} takes the column with the time, and {}", lengths[..required].join(", ")));
    }
    let mut known = Vec::new();
    for (length, expr) in lengths.iter().zip(&arguments[1..]) {
        known.push((*length, interval_us(expr).map_err(|cause| format!("{length} of {name}: {cause}"))?));
    }
    if let Some(message) = fault(name, &known) {
        return Err(message);
    }
    let mut all = vec![text(&time.value, time.span)];
    all.extend(arguments[1..].iter().cloned());
    if *name == "SESSION" {
        for key in keys {
            let Some(ident) = column_name(key) else {
                return Err("the keys of a session are columns".to_owned());
            };
            all.push(text(&ident.value, ident.span));
        }
    }
    Ok(all)
}

fn text(value: &str, span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(value.to_owned()), span })
}

/// Puts the window around the table that the SELECT reads.
fn read(select: &mut Select, window: &Window, arguments: Vec<Expr>) -> Result<(), Diagnostic> {
    let refuse = || {
        Diagnostic::new(&SYNTAX, "a window of a GROUP BY needs one plain table in FROM")
            .help("put joins and subqueries into a view, and read that")
    };
    let [from] = &mut select.from[..] else { return Err(refuse()) };
    if !from.joins.is_empty() {
        return Err(refuse());
    }
    let TableFactor::Table { name, alias, args: args @ None, version: None, .. } = &mut from.relation else {
        return Err(refuse());
    };
    let words: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|it| &*it.value).collect();
    if unqualified(&words).is_none() {
        return Err(qualified(&words));
    }
    let Some(table) = name.0.last().and_then(ObjectNamePart::as_ident).cloned() else {
        return Err(refuse());
    };
    let all = std::iter::once(text(&table.value, table.span)).chain(arguments);
    let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    *args = Some(TableFunctionArgs { args: all.map(unnamed).collect(), settings: None });
    // Columns may be called by the table's name as before.
    alias.get_or_insert(TableAlias { explicit: true, name: table, columns: Vec::new(), at: None });
    *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(window.span, window.name))]);
    Ok(())
}
