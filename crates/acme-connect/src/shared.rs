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
}

/// Who commits: the member that holds the splits, through the generations that follow.
#[derive(Clone, Debug)]
pub struct Committer {
    /// The member, as it is now or was when it was last looked at.
    pub member: Membership,
    later: watch::Receiver<Membership>,
}

impl Committer {
    /// The member that there is now.
    #[must_use]
    pub fn new(mut later: watch::Receiver<Membership>) -> Self {
        let member = later.borrow_and_update().clone();
        Self { member, later }
    }

    /// Waits until the same member is in another generation: it still holds all that it has not let go. `false` where another
    /// member is in its place, which holds nothing of it.
    pub async fn is_renewed(&mut self) -> bool {
        let changed =
            |now: &Membership| now.member != self.member.member || now.generation != self.member.generation;
        let Ok(now) = self.later.wait_for(changed).await else { return false };
        let same = now.member == self.member.member;
        if same {
            self.member = now.clone();
        }
        same
    }
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
    /// One source is one member: the generation moves on while all that was read is still held, and the member stays. A source
    /// that the group has removed holds nothing any more; it fails with
    /// [`codes::LOST_SPLITS`](acme_types::codes::LOST_SPLITS), and the next run is another member. The engine commits nothing
    /// for a member other than the one that gained the splits.
    fn membership(&self) -> watch::Receiver<Membership>;

    /// The longest note that can be committed, in bytes.
    fn note_max(&self) -> usize;

    /// Joins the group, instead of being opened at positions. The destinations have fenced their predecessors already, so what
    /// [`Read::Gained`](crate::Read::Gained) says of committed positions cannot change any more.
    fn join(&mut self) -> Pending<'_, Result<(), Diagnostic>>;

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
    /// Connects and fences whoever had the same transactions before. Returns the cluster.
    fn claim<'a>(&'a mut self, writer: &'a str) -> Pending<'a, Result<String, Diagnostic>>;

    /// Commits what was prepared together with these positions, each with the note.
    ///
    /// Fails with [`codes::LOST_SPLITS`](acme_types::codes::LOST_SPLITS) where the member does not hold them any more, and
    /// with [`codes::LOST_OWNERSHIP`](acme_types::codes::LOST_OWNERSHIP) where another has taken the transactions over; then
    /// nothing took effect.
    fn commit_offsets<'a>(
        &'a mut self,
        epoch: Epoch,
        committer: &'a mut Committer,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>>;
}
