//! The handle of a member, and what it shares with its task.

use super::ownership::{Change, Ownership};
use super::{GroupMetadata, MemberOptions, OffsetAndMetadata, Protocol, classic, consumer};
use crate::client::{Client, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::signal::{Signal, Watch};
use crate::world::World;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What happens to a member's partitions.
#[derive(Debug)]
pub enum Event {
    /// These are the member's from now on. Their positions are the group's committed offsets.
    Assigned(Vec<TopicPartition>),
    /// These are wanted back: finish what is under way, commit it, then call [`Revocation::done`]. Until then nobody
    /// else gets them, for at most nine tenths of [`MemberOptions::rebalance_timeout`].
    Revoking {
        /// What is to be given back.
        partitions: Vec<TopicPartition>,
        /// The way to say that it was.
        done: Revocation,
    },
    /// These are gone, and others may have them already: nothing of them can be committed any more.
    Lost(Vec<TopicPartition>),
}

/// Partitions that are to be given back.
#[must_use = "the others wait for the partitions until `done` is called"]
pub struct Revocation {
    shared: Arc<Shared>,
    number: u64,
}

impl Revocation {
    /// The owner has let go of them.
    pub fn done(self) {
        self.shared.lock().ownership.release(self.number);
        self.shared.touch();
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocation({})", self.number)
    }
}

/// A member of a group. Dropping it leaves the group in the background; [`Member::leave`] waits for that.
pub struct Member {
    client: Client,
    options: Arc<MemberOptions>,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

impl Member {
    /// Begins to join. [`Self::event`] tells what comes of it.
    #[must_use]
    pub fn join(client: &Client, options: MemberOptions) -> Self {
        let options = Arc::new(options);
        let shared = Arc::new(Shared::new(client.world()));
        let task = match &options.protocol {
            Protocol::Classic(assignors) => {
                let task = classic::Task::new(client, &options, &shared, assignors);
                tokio::spawn(task.run())
            }
            Protocol::Consumer(_) => tokio::spawn(consumer::Task::new(client, &options, &shared).run()),
        };
        Self { client: client.clone(), options, shared, task: Some(task) }
    }

    /// The next thing that happens to the member's partitions. May be cancelled at any time. Events that are not asked
    /// for melt together: a partition that came and went meanwhile is never seen.
    ///
    /// # Errors
    /// Why the member is in no group any more and will not be again: fenced by a member of the same name, refused, or
    /// no coordinator could be reached for [`MemberOptions::patience`]. Everything it had was [`Event::Lost`] before.
    pub async fn event(&self) -> Result<Event> {
        let mut changed = self.shared.changed.watch();
        loop {
            if let Some(event) = self.shared.next()? {
                return Ok(event);
            }
            changed.changed().await;
        }
    }

    /// As whom to commit; nothing while the member is in no generation: before its first assignment, and after it has
    /// lost everything.
    #[must_use]
    pub fn identity(&self) -> Option<GroupMetadata> {
        self.shared.identity(&self.options)
    }

    /// Tells of every change of [`Self::identity`], also while nobody asks for events.
    #[must_use]
    pub fn identities(&self) -> Identities {
        let (shared, options) = (self.shared.clone(), self.options.clone());
        let changed = shared.changed.watch();
        Identities { shared, options, changed }
    }

    /// The partitions that were assigned and neither given back nor lost.
    #[must_use]
    pub fn owned(&self) -> Vec<TopicPartition> {
        self.shared.lock().ownership.told().cloned().collect()
    }

    /// Commits as this member. If a rebalance has moved the generation on meanwhile, and the member still has all of
    /// these partitions, it is done again in the new one.
    ///
    /// # Errors
    /// What the coordinator says; ILLEGAL_GENERATION, STALE_MEMBER_EPOCH or UNKNOWN_MEMBER_ID mean that a partition is
    /// no longer ours and nothing was committed.
    pub async fn commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        let mut changed = self.shared.changed.watch();
        let losses = self.shared.lock().losses;
        let not_ours = || Error::broker(ErrorCode::UNKNOWN_MEMBER_ID, self.what());
        let mut identity = self.identity().ok_or_else(not_ours)?;
        let world = self.client.world();
        let until = world.now() + self.client.config().operation_timeout;
        loop {
            if !self.shared.lock().has(offsets.iter().map(|(partition, _)| partition)) {
                return Err(not_ours());
            }
            let Err(error) = self.client.commit_offsets(&identity, offsets).await else { return Ok(()) };
            let moved = [
                ErrorCode::ILLEGAL_GENERATION,
                ErrorCode::STALE_MEMBER_EPOCH,
                ErrorCode::REBALANCE_IN_PROGRESS,
            ];
            if !error.code().is_some_and(|code| moved.contains(&code)) {
                return Err(error);
            }
            identity = loop {
                match self.identity() {
                    Some(now)
                        if now.generation != identity.generation && now.member_id == identity.member_id =>
                    {
                        break now;
                    }
                    _ if self.shared.lock().losses != losses => return Err(error),
                    _ => {}
                }
                if world.timeout_at(until, changed.changed()).await.is_err() {
                    return Err(error);
                }
            };
        }
    }

    fn what(&self) -> String {
        format!("offset commit of group {}", self.options.group)
    }

    /// Leaves the group, so that others get the partitions at once. A static member that [`MemberOptions::stays`] only goes
    /// silent, and keeps them for its session; so does each that is dropped.
    pub async fn leave(mut self) {
        {
            let mut state = self.shared.lock();
            (state.leaving, state.for_good) =
                (true, self.options.instance_id.is_none() || !self.options.stays);
        }
        self.shared.work.notify_one();
        if let Some(task) = self.task.take() {
            // After that the coordinator notices by itself.
            let _ = self.client.world().timeout(2 * FAREWELL, task).await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.leaving = true;
            state.for_good |= self.options.instance_id.is_none();
        }
        self.shared.work.notify_one();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({:?})", self.identity())
    }
}

/// A member's identities, one after the other.
pub struct Identities {
    shared: Arc<Shared>,
    options: Arc<MemberOptions>,
    changed: Watch,
}

impl Identities {
    /// How often partitions were lost, not given back. Whoever has them now may have gone on.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.shared.lock().losses
    }

    /// Waits until something may have changed; as whom to commit now.
    pub async fn next(&mut self) -> Option<GroupMetadata> {
        self.changed.changed().await;
        self.shared.identity(&self.options)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.options.group)
    }
}

/// What the handle and the task both know.
pub(super) struct Shared {
    state: Mutex<State>,
    /// There are changes that the owner may want to see.
    changed: Signal,
    /// Wakes the task.
    pub(super) work: Notify,
    world: World,
}

#[derive(Default)]
struct State {
    ownership: Ownership,
    /// Id and generation.
    identity: Option<(String, i32)>,
    /// How often everything was lost.
    losses: u64,
    failed: Option<Error>,
    leaving: bool,
    /// The others are to have the partitions at once.
    for_good: bool,
}

impl State {
    fn has<'a>(&self, mut partitions: impl Iterator<Item = &'a TopicPartition>) -> bool {
        let told: BTreeSet<&TopicPartition> = self.ownership.told().collect();
        partitions.all(|partition| told.contains(partition))
    }
}

impl Shared {
    fn new(world: &World) -> Self {
        let world = world.clone();
        Self { state: Mutex::default(), changed: Signal::default(), work: Notify::new(), world }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self, options: &MemberOptions) -> Option<GroupMetadata> {
        let (member_id, generation) = self.lock().identity.clone()?;
        let (group, instance_id) = (options.group.clone(), options.instance_id.clone());
        Some(GroupMetadata { group, member_id, generation, instance_id })
    }

    /// Lets owner and task look again.
    fn touch(&self) {
        self.changed.raise();
        self.work.notify_one();
    }

    fn next(self: &Arc<Self>) -> Result<Option<Event>> {
        let mut state = self.lock();
        let event = match state.ownership.next() {
            Some(Change::Lost(partitions)) => Event::Lost(partitions),
            Some(Change::Revoking(partitions, number)) => {
                Event::Revoking { partitions, done: Revocation { shared: self.clone(), number } }
            }
            Some(Change::Assigned(partitions)) => Event::Assigned(partitions),
            None => return state.failed.clone().map_or(Ok(None), Err),
        };
        Ok(Some(event))
    }

    /// The coordinator has decided, in this generation. What is to be given back is lost after this time.
    pub(super) fn aim(&self, target: BTreeSet<TopicPartition>, identity: (String, i32), within: Duration) {
        let until = self.world.now() + within;
        {
            let mut state = self.lock();
            state.ownership.aim(target, until);
            state.identity = Some(identity);
        }
        self.touch();
    }

    /// Everything is wanted back before the member may join again.
    pub(super) fn aim_at_nothing(&self, within: Duration) {
        let until = self.world.now() + within;
        self.lock().ownership.aim(BTreeSet::new(), until);
        self.touch();
    }

    /// The epoch has moved on, and nothing else.
    pub(super) fn identify(&self, identity: (String, i32)) {
        let identity = Some(identity);
        let before = std::mem::replace(&mut self.lock().identity, identity.clone());
        if before != identity {
            self.touch();
        }
    }

    /// The member is in no generation any more.
    pub(super) fn lose(&self) {
        {
            let mut state = self.lock();
            state.ownership.lose_all();
            state.identity = None;
            state.losses += 1;
        }
        self.touch();
    }

    pub(super) fn fail(&self, error: Error) {
        self.lose();
        self.lock().failed.get_or_insert(error);
        self.touch();
    }

    /// Takes from the owner what it should have given back by now.
    pub(super) fn expire(&self) {
        let late = {
            let mut state = self.lock();
            let late = state.ownership.expire(self.world.now());
            state.losses += u64::from(late);
            late
        };
        if late {
            self.touch();
        }
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().ownership.deadline()
    }

    pub(super) fn held(&self) -> BTreeSet<TopicPartition> {
        self.lock().ownership.held()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.lock().ownership.is_settled()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.lock().leaving
    }

    /// Whether the others are to have the partitions at once, when the member leaves.
    pub(super) fn is_leaving_for_good(&self) -> bool {
        self.lock().for_good
    }

    /// Waits for an answer that may take long, and does meanwhile what time and the owner ask for. Nothing if the owner
    /// leaves.
    pub(super) async fn attend<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        loop {
            if self.is_leaving() {
                return None;
            }
            self.expire();
            let deadline = self.deadline();
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                () = self.work.notified() => {}
                () = self.sleep_until(deadline) => {}
            }
        }
    }

    /// Lets time pass, and does meanwhile what the owner asks for.
    pub(super) async fn pause(&self, time: Duration) {
        let _ = self.attend(self.world.sleep(time)).await;
    }

    /// Waits until something is to be done, at the latest until then.
    pub(super) async fn rest(&self, until: Option<Instant>) {
        tokio::select! {
            biased;
            () = self.work.notified() => {}
            () = self.sleep_until(until) => {}
        }
    }

    /// Sleeps until then, or for ever.
    async fn sleep_until(&self, at: Option<Instant>) {
        match at {
            Some(at) => self.world.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Says goodbye, within a bound: who hears nothing notices by itself.
    pub(super) async fn farewell<T>(&self, message: impl Future<Output = Result<T>>) {
        let _ = self.world.timeout(FAREWELL, message).await;
    }
}
