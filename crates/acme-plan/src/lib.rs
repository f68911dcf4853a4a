//! From a checked specification and its SQL to programs that the engine runs.
//!
//! DataFusion's parts live here and nowhere else: parsing, types, functions, compiled expressions. Nothing is run here.

mod aggregate;
mod changes;
mod compile;
mod event_time;
mod fields;
mod infer;
mod json_member;
mod outlets;
mod path;
mod planner;
mod schema;
mod sql;
mod stream;
mod tasks;
mod transforms;
mod window;

pub use planner::{DestinationInfo, Plan, plan};
pub use tasks::TaskPlan;
pub use transforms::{SPECS, keeps_state};
