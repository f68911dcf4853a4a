//! Windows: rows of a stretch of event time, aggregated by key.

mod grid;
mod pane;
mod task;
#[cfg(test)]
mod tests;

pub use grid::{Grid, Span};
pub use task::{LATE_REASON, Windows};
