//! Sources whose splits several workers share, and destinations that can commit for them.

use crate::{DynSource, Pending};
use acme_types::{Diagnostic, Epoch, Positions, SplitId};
use tokio::sync::watch;

/// Which member of which group holds the splits: what a transaction needs to commit for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The cluster that keeps the group.
    pub cluster: String,
    /// The group.
    pub group: String,
    /// The member.
    pub member: String,
    /// The generation, or the member's epoch; a commit with an older one is refused.
    pub generation: i32,
    /// The name of a static member.
    pub instance: Option<String>,
    /// How often splits were taken away before they were let go. The member id is no witness of that: a member that was removed may
    /// come back under the same one.
    pub losses: u64,
}

/// A source whose splits are shared by the workers of a group, which keeps the committed positions too: with each of them a
/// note, a short text of the engine's.
///
/// Where the group is the commit point, the engine calls `join` in the place of `open`, and [`Read::Gained`](crate::Read::Gained)
/// says what is read from where; else the source is opened as any other. A split without a committed
/// position begins where the configuration says, and that place is committed before the first row of it is read.
pub trait SharedSource: DynSource {
    /// Who holds the splits, now and later.
    ///
    /// The generation moves on while all that was read is still held. A source whose splits were taken away counts that in
    /// [`Membership::losses`] no later than it shows another generation, and `read` fails with
    /// [`codes::LOST_SPLITS`](acme_types::codes::LOST_SPLITS): from then on the engine commits nothing.
    fn membership(&self) -> watch::Receiver<Membership>;

    /// The longest note that can be committed, in bytes.
    fn note_max(&self) -> usize;

    /// Joins the group as the worker of this name, instead of being opened at positions. The destinations have fenced their predecessors already, so what
    /// [`Read::Gained`](crate::Read::Gained) says of committed positions cannot change any more.
    fn join<'a>(&'a mut self, worker: &'a str) -> Pending<'a, Result<(), Diagnostic>>;

    /// Commits these positions, each with the note, if they are still held.
    ///
    /// Fails with [`codes::LOST_SPLITS`](acme_types::codes::LOST_SPLITS) where they are not; then nothing took effect.
    fn commit_with<'a>(
        &'a mut self,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>>;

    /// All rows are committed, and none will be read: the other workers may have the splits at once.
    fn leave(&mut self) -> Pending<'_, Result<(), Diagnostic>>;

    /// All rows of these splits are committed: another worker may have them.
    fn let_go<'a>(&'a mut self, splits: &'a [SplitId]) -> Pending<'a, Result<(), Diagnostic>>;
}

/// A destination whose transactions can carry the positions of a [`SharedSource`] on the same cluster: rows and positions take
/// effect together.
pub trait OffsetTransaction: Send {
    /// Connects; the cluster that is written to. Nothing is begun.
    fn cluster(&mut self) -> Pending<'_, Result<String, Diagnostic>>;

    /// From now on rows are written in transactions, which are the worker's of this name. Ends those of its former life, and
    /// from then on those of workers that are members of the group no more: readers wait for these.
    ///
    /// The name is the same in all lives of a worker, and no two workers have it at the same time.
    fn claim<'a>(
        &'a mut self,
        worker: &'a str,
        member: watch::Receiver<Membership>,
    ) -> Pending<'a, Result<(), Diagnostic>>;

    /// Commits what was prepared together with these positions, each with the note, in the newest generation, if
    /// [`Membership::losses`] is still the same: otherwise it may be the generation of a member that has come back, and others have
    /// the splits.
    ///
    /// Fails with [`codes::LOST_SPLITS`](acme_types::codes::LOST_SPLITS) where the member does not hold them any more, or another
    /// has ended its transaction because of that; then nothing took effect.
    fn commit_offsets<'a>(
        &'a mut self,
        epoch: Epoch,
        member: &'a mut watch::Receiver<Membership>,
        losses: u64,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>>;
}
