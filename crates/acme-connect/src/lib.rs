//! The contracts between the engine and the systems it talks to, and what all connectors need only once.
//!
//! It knows no external system. A connector is a [`Connector`]: its `SPEC`, and one function that makes a [`Source`] or
//! a [`Sink`] from its checked configuration. Batching, retries, error policy, progress and restart belong to the engine.

mod causes;
mod cell;
mod connector;
pub mod csv;
mod extent;
mod failpoint;
mod guess;
mod log;
mod operations;
mod os;
mod retry;
mod shared;
mod sink;
mod source;
mod splits;

pub use acme_formats::{Block, Cut, Decode, Encode, Encoded, Undecodable, metadata};
pub use causes::causes;
pub use cell::{Cell, Found};
pub use connector::{Connector, Content, Context, Format, Maker, Notes, SinkParts, SourceParts, StreamInfo};
pub use extent::{Extent, Unit};
pub use failpoint::failpoint;
pub use guess::Guess;
pub use log::{Duplex, LocalLog};
pub use operations::{Operation, Operations};
pub use os::{OsDisk, SystemClock};
pub use retry::Backoff;
pub use shared::{Membership, OffsetTransaction, SharedSource};
pub use sink::{AnySink, CommitPoint, DynCommitPoint, DynSink, Fate, Fates, Prepared, Refusal, Rows, Sink};
pub use source::{DynSource, Read, Source};
pub use splits::{SplitProgress, SplitTable};

/// A boxed future, as the object-safe forms of the contracts return it: one allocation a batch.
pub type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
