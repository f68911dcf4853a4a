//! Runs a plan: operators chained in lanes, epochs that flow with the rows, checkpoints, one commit point.
//!
//! It knows sources and destinations only through their contracts, computes nothing from the wall clock (each batch
//! carries the tick that it was read at), and evaluates expressions through [`Expr`], which the planner implements.

pub mod checkpoint;
pub mod driver;
mod expr;
mod operators;
mod program;
mod stats;

pub use expr::{EvalError, Expr, TICK};
pub use program::{Operator, Outcome, Outlet, Program, Step, Target, Trace};
pub use stats::{Counter, Lag, Stats};
