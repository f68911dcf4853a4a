//! The contract of a source.

use crate::{Extent, Pending, SharedSource, SplitTable, StreamInfo};
use acme_types::{Chunk, Diagnostic, Positions, SplitId};
use std::sync::Arc;

/// What a source has to say next.
#[derive(Clone, Debug)]
pub enum Read {
    /// Rows.
    Rows(Chunk),
    /// Only of a [`SharedSource`]: these splits are read here from now on, from these positions. The notes are those that
    /// were committed with them.
    Gained {
        /// Where reading begins.
        positions: Positions,
        /// Each note once.
        notes: Vec<String>,
    },
    /// Only of a [`SharedSource`]: these splits go to another worker. No row of them follows; they are held until
    /// [`SharedSource::let_go`] says that all that was read of them is committed.
    Leaving(Vec<SplitId>),
    /// Nothing is to be read of these splits now: the remote system has answered so, a moment ago. It names all that are there; told
    /// again and again, and only where [`Context::tells_ends`](crate::Context::tells_ends) asks for it.
    AtEnd(Vec<SplitId>),
    /// The end of a source that has one.
    End,
}

impl Read {
    /// The rows, where it is rows.
    #[must_use]
    pub fn rows(self) -> Option<Chunk> {
        match self {
            Self::Rows(chunk) => Some(chunk),
            _ => None,
        }
    }
}

impl From<Option<Chunk>> for Read {
    fn from(chunk: Option<Chunk>) -> Self {
        chunk.map_or(Self::End, Self::Rows)
    }
}

/// An origin of rows.
///
/// There is no checkpoint to forget: each chunk carries the position that follows it, and the engine opens the source
/// at the positions that were committed last. Rows of one split come in the order of the split.
pub trait Source: Send {
    /// Connects and says what there is to read: one stream for each table. It changes nothing. Called once, before `open`;
    /// [`Chunk::stream`] counts in its order.
    fn describe(&mut self) -> impl Future<Output = Result<Vec<StreamInfo>, Diagnostic>> + Send;

    /// Reads some rows as an example, about so many from each stream. It leaves no trace: nothing is created, acknowledged or
    /// kept. Called after `describe`, and then nothing else.
    fn sample(&mut self, rows: usize) -> impl Future<Output = Result<Vec<Chunk>, Diagnostic>> + Send;

    /// Connects and goes to the given positions; a split without one begins where the configuration says.
    ///
    /// Fails with [`codes::SOURCE_CHANGED`](acme_types::codes::SOURCE_CHANGED) when a position does not exist any more:
    /// a source never resumes anywhere else by itself. Called once.
    fn open(&mut self, from: &Positions) -> impl Future<Output = Result<Positions, Diagnostic>> + Send;

    /// Where it shows how much it has to read and how far it is; only for people, so most sources need none.
    fn extent(&self) -> Option<Arc<Extent>> {
        None
    }

    /// Where it shows its splits and how far they are read; only for people.
    fn splits(&self) -> Option<Arc<SplitTable>> {
        None
    }

    /// Whether it begins with a copy that is made again, as a new one, when it was interrupted: a destination that only adds rows
    /// then shows some of them twice.
    fn may_repeat_its_copy(&self) -> bool {
        false
    }

    /// The same source as one whose splits are shared by several workers, if it is configured so.
    fn shared(&mut self) -> Option<&mut dyn SharedSource> {
        None
    }

    /// Waits for the next rows.
    ///
    /// Cancel-safe: a call that is dropped loses nothing, and the next returns what it would have returned.
    fn read(&mut self) -> impl Future<Output = Result<Read, Diagnostic>> + Send;

    /// All rows before these positions are committed: only now may the remote system forget them.
    fn release(&mut self, upto: &Positions) -> impl Future<Output = Result<(), Diagnostic>> + Send;
}

/// [`Source`], object-safe.
pub trait DynSource: Send {
    /// [`Source::describe`]
    fn describe(&mut self) -> Pending<'_, Result<Vec<StreamInfo>, Diagnostic>>;
    /// [`Source::sample`]
    fn sample(&mut self, rows: usize) -> Pending<'_, Result<Vec<Chunk>, Diagnostic>>;
    /// [`Source::open`]
    fn open<'a>(&'a mut self, from: &'a Positions) -> Pending<'a, Result<Positions, Diagnostic>>;
    /// [`Source::extent`]
    fn extent(&self) -> Option<Arc<Extent>>;
    /// [`Source::splits`]
    fn splits(&self) -> Option<Arc<SplitTable>>;
    /// [`Source::may_repeat_its_copy`]
    fn may_repeat_its_copy(&self) -> bool;
    /// [`Source::shared`]
    fn shared(&mut self) -> Option<&mut dyn SharedSource>;
    /// [`Source::read`]
    fn read(&mut self) -> Pending<'_, Result<Read, Diagnostic>>;
    /// [`Source::release`]
    fn release<'a>(&'a mut self, upto: &'a Positions) -> Pending<'a, Result<(), Diagnostic>>;
}

impl<S: Source> DynSource for S {
    fn describe(&mut self) -> Pending<'_, Result<Vec<StreamInfo>, Diagnostic>> {
        Box::pin(Source::describe(self))
    }
    fn sample(&mut self, rows: usize) -> Pending<'_, Result<Vec<Chunk>, Diagnostic>> {
        Box::pin(Source::sample(self, rows))
    }
    fn open<'a>(&'a mut self, from: &'a Positions) -> Pending<'a, Result<Positions, Diagnostic>> {
        Box::pin(Source::open(self, from))
    }
    fn extent(&self) -> Option<Arc<Extent>> {
        Source::extent(self)
    }
    fn splits(&self) -> Option<Arc<SplitTable>> {
        Source::splits(self)
    }
    fn may_repeat_its_copy(&self) -> bool {
        Source::may_repeat_its_copy(self)
    }
    fn shared(&mut self) -> Option<&mut dyn SharedSource> {
        Source::shared(self)
    }
    fn read(&mut self) -> Pending<'_, Result<Read, Diagnostic>> {
        Box::pin(Source::read(self))
    }
    fn release<'a>(&'a mut self, upto: &'a Positions) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(Source::release(self, upto))
    }
}
