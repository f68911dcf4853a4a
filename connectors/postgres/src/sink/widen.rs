//! Columns that hold less in the table than in the PostgreSQL table that the rows come from, as after an
//! `ALTER COLUMN … TYPE` there: a value that does not fit is never cut, and its refusal says what widens the copy.

use super::input::Columns;
use super::target::{Target, shown, sql};
use crate::catalog::SQL_TYPE;
use crate::wire::ident;

/// Types that hold all values of those before them.
const ORDERS: [&[&str]; 3] = [
    &["smallint", "integer", "bigint", "numeric", "text"],
    &["real", "double precision", "text"],
    &["character", "character varying", "text"],
];

/// What to add to the refusal of a value: the narrow columns and the SQL that widens them; empty where there are none.
pub(crate) fn remedy(target: &Target, columns: &Columns) -> String {
    let mut found = String::new();
    for (name, field, _) in &columns.columns {
        let (Some(rows), Some(column)) = (field.metadata().get(SQL_TYPE), target.column(name)) else {
            continue;
        };
        if holds_less(&column.kind, rows) {
            found += &format!(
                "; \"{name}\" is {} in {} and {rows} in the source: to widen it, run: ALTER TABLE {} ALTER COLUMN {} TYPE {rows};",
                column.kind,
                shown(&target.name),
                sql(&target.name),
                ident(name)
            );
        }
    }
    found
}

/// Whether a column of one type has no place for some values of the other.
fn holds_less(table: &str, rows: &str) -> bool {
    let ((base, limits), (other, wanted)) = (parts(table), parts(rows));
    if base == other {
        let wider = |(at, limit): (usize, &u32)| wanted.get(at).is_none_or(|wanted| wanted > limit);
        return limits.iter().enumerate().any(wider);
    }
    let rank = |order: &[&str], kind| order.iter().position(|known| *known == kind);
    other == "text"
        || ORDERS.iter().any(|order| rank(order, base).is_some_and(|own| Some(own) < rank(order, other)))
}

/// `numeric(8,2)` as its name and its limits.
fn parts(kind: &str) -> (&str, Vec<u32>) {
    let (base, rest) = kind.split_once('(').unwrap_or((kind, ""));
    let limits = rest.split([',', ')']).filter_map(|limit| limit.trim().parse().ok()).collect();
    (base.trim_end(), limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_less_is_known_by_type_and_limits() {
        for (table, rows) in [
            ("integer", "bigint"),
            ("smallint", "numeric(8,2)"),
            ("real", "double precision"),
            ("character varying(5)", "character varying(6)"),
            ("character varying(5)", "character varying"),
            ("character varying(5)", "text"),
            ("numeric(8,2)", "numeric(10,2)"),
            ("numeric(8,2)", "numeric"),
            ("timestamp with time zone", "text"),
        ] {
            assert!(holds_less(table, rows), "{table} {rows}");
            assert!(!holds_less(rows, table), "{rows} {table}");
            assert!(!holds_less(table, table), "{table}");
        }
    }
}
