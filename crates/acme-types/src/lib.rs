//! The vocabulary that every part of Acme shares: batches, positions, epochs, connector descriptions, diagnostics.
//!
//! It does no I/O, reads no clock and depends on nothing else of ours. Traits for the disk and the clock live here,
//! so that the code that needs them can be run against a simulated world; their real implementations do not.

pub mod batch;
pub mod codes;
mod config;
mod diagnostic;
mod disk;
mod position;
pub mod records;
mod secret;
mod shape;
mod spec;
mod time;

pub use batch::{Batch, Chunk, Origin, Payload, Rejected};
pub use config::{Config, Value, ValueKind};
pub use diagnostic::{Blame, Diagnostic, Place};
pub use disk::{Disk, DiskFile, disk_fault};
pub use position::{Epoch, Lsn, Offset, Position, Positions, SplitId};
pub use records::{Hint, LogRecord, Records};
pub use secret::Secret;
pub use shape::{DocumentEdits, DocumentPath, PathStep, Shape};
pub use spec::{Change, Delivery, Field, Kind, Role, Spec};
pub use time::{Clock, EventTime};
