//! From a checked specification and its SQL to programs that the engine runs.
//!
//! DataFusion's parts live here and nowhere else: parsing, types, functions, compiled expressions. Nothing is run here.

mod changes;
mod compile;
mod fields;
mod infer;
mod json_member;
mod outlets;
mod path;
mod planner;
mod schema;
mod sql;
mod stream;
mod transforms;

pub use planner::{DestinationInfo, Plan, plan};
pub use transforms::SPECS;
