//! Aggregates, as the operators see them. The planner implements them.

use crate::expr::EvalError;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::FieldRef;

/// An aggregate function with its arguments: a recipe for [`Accumulator`]s.
pub trait Aggregate: Send + Sync {
    /// One that knows no group yet.
    fn accumulator(&self) -> Box<dyn Accumulator>;

    /// The columns of a partial state.
    fn state(&self) -> Vec<FieldRef>;

    /// The column of the result.
    fn result(&self) -> FieldRef;

    /// Which columns of the input it reads, by their index.
    fn arguments(&self) -> &[usize];

    /// The column of the input that says which rows count, if not all do.
    fn filter(&self) -> Option<usize>;
}

/// Values of one aggregate for many groups, numbered from 0.
pub trait Accumulator: Send {
    /// Adds rows: `groups` says for each to which it belongs, all below `total`.
    ///
    /// **Errors** where a result cannot be represented, such as a sum that is too large; the accumulator is of no use then.
    fn update(
        &mut self,
        arguments: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), EvalError>;

    /// Adds partial states, one a row.
    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), EvalError>;

    /// The partial states of all groups; they stay.
    fn states(&mut self) -> Result<Vec<ArrayRef>, EvalError>;

    /// The results of all groups; the accumulator is empty afterwards.
    fn take_values(&mut self) -> Result<ArrayRef, EvalError>;

    /// Bytes in memory, about.
    fn bytes(&self) -> usize;
}
