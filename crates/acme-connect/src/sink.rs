//! The contract of a destination.

use crate::{OffsetTransaction, Pending};
use acme_formats::Encoded;
use acme_types::{Batch, Diagnostic, Epoch, Hint, Shape, codes};
use std::sync::Arc;
use std::time::Duration;

/// What a destination needs to find its prepared work again after a crash; only its own connector understands it.
pub type Prepared = String;

/// What became of a row that was not simply written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not now: to be written again, at the earliest after this time.
    Retry {
        /// The shortest wait.
        after: Duration,
    },
    /// Never: for the error policy.
    Reject {
        /// The destination's own words.
        reason: String,
    },
}

/// The rows of one write that have a fate of their own, by their index. All others are written.
pub type Fates = Vec<(usize, Fate)>;

/// A row that was refused after its write had returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The destination's own words.
    pub reason: String,
    /// The row as it was to be delivered.
    pub original: Vec<u8>,
}

/// Rows on the way to one destination, in the order of their source.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rows.
    pub batch: Batch,
    /// What the user's row is made of.
    pub shape: Arc<Shape>,
    /// The same rows as bytes, for destinations that take bytes; not where they take documents as they lie.
    pub encoded: Option<Encoded>,
    /// What the source knows of them, where they are all rows of one of its chunks.
    pub hint: Option<Hint>,
}

/// A destination.
///
/// Writing rows and telling the truth about each is all that an author does. An epoch is a stretch of rows that takes
/// effect as a whole: `write`* → `prepare` → (the engine commits) → `commit`. Rows of the next epoch may be written
/// between `prepare` and `commit`; they belong to the next `prepare`.
pub trait Sink: Send {
    /// Connects and looks whether rows could be written: reachability, permissions, the target. It changes nothing, and
    /// reports everything that it finds; empty means ready.
    fn check(&mut self) -> impl Future<Output = Vec<Diagnostic>> + Send;

    /// Connects, and brings the destination to exactly the committed state: what `prepared` names is committed if it was
    /// not yet, everything later is undone. `prepared` is `None` when nothing was ever committed.
    fn open(&mut self, prepared: Option<&Prepared>) -> impl Future<Output = Result<(), Diagnostic>> + Send;

    /// Writes rows. `Err` means that nothing is known about any of them; where it is worth trying again, its blame is
    /// `Remote` and the whole call is repeated.
    fn write(&mut self, rows: &Rows) -> impl Future<Output = Result<Fates, Diagnostic>> + Send;

    /// Rows of which `write` said nothing and that were refused since the last call: for the error policy. With `all` it waits
    /// until the fate of every row is known, as the engine asks before each `prepare`; what was refused is not part of the epoch
    /// then, and all else is. Destinations that know each row's fate when they write it have nothing to say.
    fn settle(&mut self, all: bool) -> impl Future<Output = Result<Vec<Refusal>, Diagnostic>> + Send {
        let _ = all;
        async { Ok(Vec::new()) }
    }

    /// Makes everything written so far durable, but for those destinations that can, not yet visible.
    ///
    /// `last` says that no row will follow in this run. The result goes into the checkpoint.
    fn prepare(
        &mut self,
        epoch: Epoch,
        last: bool,
    ) -> impl Future<Output = Result<Prepared, Diagnostic>> + Send;

    /// The checkpoint that holds the last `prepare` is committed: its rows may be seen now.
    fn commit(&mut self, epoch: Epoch) -> impl Future<Output = Result<(), Diagnostic>> + Send;

    /// All sources have come to their end: with the `prepare` that follows the work is whole. A run that is asked to end, or
    /// fails, does not say so, and the next one goes on. It matters to destinations that replace what was there before.
    fn sources_ended(&mut self) {}

    /// The longest that an epoch may take, where a transaction of its own stays open meanwhile.
    fn epoch_max(&self) -> Option<Duration> {
        None
    }

    /// Whether several workers of a pipeline can each have one of these, and complete by [`Sink::adopt`] what another has left.
    /// Where a destination cannot, one worker reads everything and keeps the positions itself.
    fn is_shareable(&self) -> bool {
        true
    }

    /// Completes what another worker has prepared, whose checkpoint is committed and whose splits are held here now. It may
    /// be complete already.
    fn adopt(&mut self, prepared: &Prepared) -> impl Future<Output = Result<(), Diagnostic>> + Send {
        let empty = prepared.is_empty();
        async move {
            let message = "this destination cannot complete what another worker has left";
            if empty { Ok(()) } else { Err(Diagnostic::new(&codes::STATE, message)) }
        }
    }

    /// The same destination as one that can commit the positions of a shared source in its transactions, if it can.
    fn offset_transaction(&mut self) -> Option<&mut dyn OffsetTransaction> {
        None
    }
}

/// A destination that can hold the pipeline's commit point: rows and progress take effect in one transaction of its own.
///
/// The engine calls `claim`, then `open`; each epoch ends with `prepare`, `commit_with`, `commit`, and nothing is written
/// between the first two: a transaction cannot be divided. An epoch in which nothing moved has no `commit_with`, but for one now and
/// then. Where `claim` is not called the destination is one among several, and `prepare` must make its rows take effect by itself.
pub trait CommitPoint: Sink {
    /// The name of the checkpoint that was committed last, where it can be told without taking anything over: whoever does not know
    /// the checkpoint leaves the pipeline with its owner.
    fn peek(&mut self) -> impl Future<Output = Result<Option<String>, Diagnostic>> + Send {
        async { Ok(None) }
    }

    /// Takes the pipeline over: from here on no predecessor's `commit_with` succeeds. Returns the name of the checkpoint that
    /// was committed last.
    fn claim(&mut self, writer: &str) -> impl Future<Output = Result<Option<String>, Diagnostic>> + Send;

    /// Commits what was prepared together with the checkpoint's name, if this writer still owns the pipeline.
    ///
    /// Fails with [`codes::LOST_OWNERSHIP`](acme_types::codes::LOST_OWNERSHIP) where it does not; then nothing took effect.
    /// After an unknown outcome the database is asked what it holds.
    fn commit_with(
        &mut self,
        epoch: Epoch,
        checkpoint: &str,
    ) -> impl Future<Output = Result<(), Diagnostic>> + Send;
}

/// A destination of either kind.
pub enum AnySink {
    /// It takes part in the commit.
    Plain(Box<dyn DynSink>),
    /// It can also hold the commit point.
    CommitPoint(Box<dyn DynCommitPoint>),
}

impl AnySink {
    /// What both kinds can do.
    pub fn sink(&mut self) -> &mut dyn DynSink {
        match self {
            Self::Plain(sink) => sink.as_mut(),
            Self::CommitPoint(sink) => sink.as_mut(),
        }
    }

    /// Whether it can hold the commit point. The first destination that can does.
    #[must_use]
    pub fn can_hold_commit(&self) -> bool {
        matches!(self, Self::CommitPoint(_))
    }

    /// The commit point, where it can be one.
    pub fn commit_point(&mut self) -> Option<&mut dyn DynCommitPoint> {
        match self {
            Self::Plain(_) => None,
            Self::CommitPoint(sink) => Some(sink.as_mut()),
        }
    }
}

/// [`CommitPoint`], object-safe.
pub trait DynCommitPoint: DynSink {
    /// [`CommitPoint::peek`]
    fn peek(&mut self) -> Pending<'_, Result<Option<String>, Diagnostic>>;
    /// [`CommitPoint::claim`]
    fn claim<'a>(&'a mut self, writer: &'a str) -> Pending<'a, Result<Option<String>, Diagnostic>>;
    /// [`CommitPoint::commit_with`]
    fn commit_with<'a>(
        &'a mut self,
        epoch: Epoch,
        checkpoint: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>>;
}

impl<S: CommitPoint> DynCommitPoint for S {
    fn peek(&mut self) -> Pending<'_, Result<Option<String>, Diagnostic>> {
        Box::pin(CommitPoint::peek(self))
    }
    fn claim<'a>(&'a mut self, writer: &'a str) -> Pending<'a, Result<Option<String>, Diagnostic>> {
        Box::pin(CommitPoint::claim(self, writer))
    }
    fn commit_with<'a>(
        &'a mut self,
        epoch: Epoch,
        checkpoint: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(CommitPoint::commit_with(self, epoch, checkpoint))
    }
}

/// [`Sink`], object-safe.
pub trait DynSink: Send {
    /// [`Sink::check`]
    fn check(&mut self) -> Pending<'_, Vec<Diagnostic>>;
    /// [`Sink::open`]
    fn open<'a>(&'a mut self, prepared: Option<&'a Prepared>) -> Pending<'a, Result<(), Diagnostic>>;
    /// [`Sink::write`]
    fn write<'a>(&'a mut self, rows: &'a Rows) -> Pending<'a, Result<Fates, Diagnostic>>;
    /// [`Sink::settle`]
    fn settle(&mut self, all: bool) -> Pending<'_, Result<Vec<Refusal>, Diagnostic>>;
    /// [`Sink::prepare`]
    fn prepare(&mut self, epoch: Epoch, last: bool) -> Pending<'_, Result<Prepared, Diagnostic>>;
    /// [`Sink::commit`]
    fn commit(&mut self, epoch: Epoch) -> Pending<'_, Result<(), Diagnostic>>;
    /// [`Sink::sources_ended`]
    fn sources_ended(&mut self);
    /// [`Sink::epoch_max`]
    fn epoch_max(&self) -> Option<Duration>;
    /// [`Sink::is_shareable`]
    fn is_shareable(&self) -> bool;
    /// [`Sink::adopt`]
    fn adopt<'a>(&'a mut self, prepared: &'a Prepared) -> Pending<'a, Result<(), Diagnostic>>;
    /// [`Sink::offset_transaction`]
    fn offset_transaction(&mut self) -> Option<&mut dyn OffsetTransaction>;
}

impl<S: Sink> DynSink for S {
    fn check(&mut self) -> Pending<'_, Vec<Diagnostic>> {
        Box::pin(Sink::check(self))
    }
    fn open<'a>(&'a mut self, prepared: Option<&'a Prepared>) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(Sink::open(self, prepared))
    }
    fn write<'a>(&'a mut self, rows: &'a Rows) -> Pending<'a, Result<Fates, Diagnostic>> {
        Box::pin(Sink::write(self, rows))
    }
    fn settle(&mut self, all: bool) -> Pending<'_, Result<Vec<Refusal>, Diagnostic>> {
        Box::pin(Sink::settle(self, all))
    }
    fn prepare(&mut self, epoch: Epoch, last: bool) -> Pending<'_, Result<Prepared, Diagnostic>> {
        Box::pin(Sink::prepare(self, epoch, last))
    }
    fn commit(&mut self, epoch: Epoch) -> Pending<'_, Result<(), Diagnostic>> {
        Box::pin(Sink::commit(self, epoch))
    }
    fn sources_ended(&mut self) {
        Sink::sources_ended(self);
    }
    fn epoch_max(&self) -> Option<Duration> {
        Sink::epoch_max(self)
    }
    fn is_shareable(&self) -> bool {
        Sink::is_shareable(self)
    }
    fn adopt<'a>(&'a mut self, prepared: &'a Prepared) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(Sink::adopt(self, prepared))
    }
    fn offset_transaction(&mut self) -> Option<&mut dyn OffsetTransaction> {
        Sink::offset_transaction(self)
    }
}
