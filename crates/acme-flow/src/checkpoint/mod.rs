//! What is kept of a pipeline between two lives, and the one step that makes it real.
//!
//! A **checkpoint** is an immutable object that holds everything of one epoch: positions of all sources, what each
//! destination prepared. It proves nothing by itself. A **chain** of numbered links makes it real: the link that names it
//! is put under its number only if that number is free. A writer that starts first puts a claim as the next link; the
//! predecessor's next put then fails, and it stops without having committed anything more.

mod chain;
mod format;
mod local;
pub(crate) mod note;
pub(crate) mod objects;
mod state;
mod store;

pub use chain::Chain;
pub use local::LocalStore;
pub use objects::{Checkpoint, Writer};
pub use state::TaskState;
pub(crate) use state::{ShardFile, Snapshots, restore};
pub use store::CheckpointStore;
