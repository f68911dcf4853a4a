//! Expressions, as the operators see them.

use acme_types::Batch;
use arrow::array::ArrayRef;
use std::fmt;

/// Why an expression could not be computed for a batch: at least one of its rows is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(pub String);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The column that stands for `NOW()`: the batch's tick in every row.
pub const TICK: &str = "_meta.tick";

/// A compiled expression. It has no state, so lanes share it.
pub trait Expr: Send + Sync {
    /// One value for each row. `NOW()` is the batch's tick.
    fn eval(&self, batch: &Batch) -> Result<ArrayRef, EvalError>;

    /// Whether its value depends on a column, by the name that the column has in a batch; [`TICK`] is the batch's tick.
    fn reads(&self, column: &str) -> bool;
}
