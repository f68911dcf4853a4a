//! From the text of a pipeline file to a [`PipelineSpec`], with *all* that is wrong in it at once; and from a file of SQL to
//! a [`SqlJob`](sql::SqlJob).
//!
//! Two stages: the text becomes a tree in which every node knows its line and column ([`yaml`]); then each item's keys
//! are checked against the `SPEC` of its connector or transform ([`check`]). This crate knows no connector: it is
//! handed the list. It reads no environment and no file: [`Environment`] does.

mod check;
mod graph;
mod interpolate;
mod json_schema;
mod pipeline;
pub mod sql;
mod suggest;
mod yaml;

pub use graph::{Graph, Input};
pub use interpolate::Environment;
pub use json_schema::json_schema;
pub use pipeline::{EVENT_TIME, ErrorPolicy, Item, Mode, PipelineSpec, Reference, Settings, parse};
pub use suggest::nearest;
