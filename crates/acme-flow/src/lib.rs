//! Runs a plan: operators chained in lanes, epochs that flow with the rows, checkpoints, one commit point.
//!
//! It knows sources and destinations only through their contracts, computes nothing from the wall clock (each batch
//! carries the tick that it was read at), and evaluates expressions through [`Expr`], which the planner implements.

mod aggregate;
pub mod checkpoint;
pub mod driver;
mod expr;
pub mod keyed;
mod operators;
mod program;
mod stats;
mod task;
mod time;
pub mod window;

pub use aggregate::{Accumulator, Aggregate};
pub use expr::{EvalError, Expr, TICK};
pub use program::{Inlet, Keyed, Operator, Outcome, Outlet, Program, Step, Target, Trace};
pub use stats::{Counter, Lag, Stats};
pub use task::{EVENT_TIME, Emitted, HASH, Task, TaskFactory, time_type};
pub use time::{SourceTime, SplitTime};
