//! The group as commit point: it gives the partitions, and keeps their positions with the engine's notes.

use super::position::{BEFORE_NOTE, Place, partition, split};
use super::topics::{Topics, Which};
use super::{KafkaSource, unopened};
use crate::fault::{denied, fault};
use crate::settings::Cluster;
use acme_connect::{Membership, Pending, Read, SharedSource, failpoint};
use acme_kafka::admin::Operation;
use acme_kafka::group::{
    Committed, Event, Member, MemberOptions, OffsetAndMetadata, Protocol, Revocation, Subscription,
};
use acme_kafka::{At, Client, ErrorCode, TopicPartition};
use acme_types::codes::LOST_SPLITS;
use acme_types::{Diagnostic, Positions, SplitId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What brokers take with an offset unless they are told otherwise (`offset.metadata.max.bytes`).
const NOTE_MAX: usize = 4096;
/// How long a worker waits for the one that resolves the first offsets of a topic.
const FIRST: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The membership.
pub(super) struct Group {
    options: MemberOptions,
    member: Option<Member>,
    who: Arc<watch::Sender<Membership>>,
    /// Keeps `who` true.
    follower: Option<AbortHandle>,
    /// What others want, until all that was read of it is committed.
    leaving: Vec<(BTreeSet<TopicPartition>, Revocation)>,
    /// Given, and not yet read: a call that reads may be dropped at any time, and nothing may be forgotten with it.
    given: BTreeSet<TopicPartition>,
    /// When the offsets of those are asked for again.
    retry: Option<Instant>,
    /// Until when another worker may take to commit where a topic begins.
    patience: Option<Instant>,
    /// It has been told its first partitions.
    settled: bool,
}

impl Group {
    pub(super) fn new(name: &str, topics: &Topics, cluster: &Cluster) -> Self {
        let subscription = match &topics.which {
            Which::Named(names) => Subscription::topics(names),
            Which::Matching(_) => {
                let topics = topics.clone();
                Subscription::Matching(Arc::new(move |name| topics.has(name)))
            }
        };
        let mut options = cluster.member(name, subscription);
        options.metadata_interval = super::LOOK;
        let who = watch::Sender::new(Membership { group: name.to_owned(), ..Membership::default() });
        Self {
            options,
            member: None,
            who: Arc::new(who),
            follower: None,
            leaving: Vec::new(),
            given: BTreeSet::new(),
            retry: None,
            patience: None,
            settled: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.options.group
    }

    pub(super) fn set_cluster(&self, cluster: String) {
        self.who.send_modify(|who| who.cluster = cluster);
    }

    pub(super) fn cluster(&self) -> String {
        self.who.borrow().cluster.clone()
    }

    pub(super) fn is_joined(&self) -> bool {
        self.member.is_some()
    }

    /// Whether it is known what is to be read.
    pub(super) fn is_settled(&self) -> bool {
        self.member.is_none() || self.settled
    }

    /// Whether there are partitions whose offsets are to be asked for now.
    pub(super) fn is_due(&self) -> bool {
        !self.given.is_empty() && self.retry.is_none_or(|retry| retry <= Instant::now())
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.filter(|_| !self.given.is_empty())
    }

    /// The next thing that happens in the group; for ever nothing where it was not joined.
    pub(super) async fn event(&self) -> Result<Event, Diagnostic> {
        match &self.member {
            Some(member) => member.event().await.map_err(|error| fault(&self.what("stay in"), &error)),
            None => std::future::pending().await,
        }
    }

    fn what(&self, doing: &str) -> String {
        format!("{doing} group \"{}\"", self.name())
    }

    /// Whether the user may be in it.
    pub(super) async fn check(&self, client: &Client) -> Result<(), Diagnostic> {
        let denied = || denied(Operation::Read, "group", self.name());
        match client.group_rights(self.name()).await {
            Ok(rights) if rights.allow(Operation::Read) => Ok(()),
            Err(error) if error.code() != Some(ErrorCode::GROUP_AUTHORIZATION_FAILED) => {
                Err(fault(&self.what("look at"), &error))
            }
            Ok(_) | Err(_) => Err(denied()),
        }
    }

    /// A worker that died and starts again takes its former life's place at once, rather than wait for the end of that one's
    /// session; so its name is that of a static member. With KIP-848 such a place is given only after that session.
    fn join(&mut self, client: &Client, worker: &str) {
        let mut options = self.options.clone();
        if options.instance_id.is_none() && matches!(options.protocol, Protocol::Classic(_)) {
            (options.instance_id, options.stays) = (Some(format!("acme-{worker}")), false);
        }
        let member = Member::join(client, options);
        let (mut identities, told) = (member.identities(), self.who.clone());
        let follow = async move {
            loop {
                // In no generation nothing can be committed: whoever tries waits for the next one.
                if let Some(identity) = identities.next().await {
                    // Asked after the identity: a new one is never shown with the losses of an old one.
                    let losses = identities.losses();
                    told.send_modify(|who| {
                        (who.member, who.generation) = (identity.member_id, identity.generation);
                        who.instance = identity.instance_id;
                        who.losses = losses;
                    });
                }
            }
        };
        self.follower = Some(tokio::spawn(follow).abort_handle());
        self.member = Some(member);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

impl KafkaSource {
    /// Follows what has happened in the group.
    pub(super) fn moved(&mut self, event: Event) -> Result<Option<Read>, Diagnostic> {
        match event {
            Event::Assigned(partitions) => {
                self.group.given.extend(partitions);
                (self.group.retry, self.group.patience) = (None, Some(Instant::now() + FIRST));
                Ok(None)
            }
            Event::Revoking { partitions, done } => {
                failpoint("kafka.revoking");
                self.fetcher.as_mut().ok_or_else(unopened)?.revoke(&partitions);
                for partition in &partitions {
                    self.group.given.remove(partition);
                    self.ends.remove(partition);
                    self.splits.lock().remove(&split(partition));
                }
                let splits = partitions.iter().map(split).collect();
                self.group.leaving.push((partitions.into_iter().collect(), done));
                Ok(Some(Read::Leaving(splits)))
            }
            Event::Lost(partitions) => {
                let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                let message =
                    format!("the group \"{}\" has given {} away", self.group.name(), names.join(", "));
                Err(Diagnostic::new(&LOST_SPLITS, message))
            }
        }
    }

    /// Begins to read the partitions that were given; `None` while their offsets are not known.
    pub(super) async fn gained(&mut self) -> Result<Option<Read>, Diagnostic> {
        let client = self.client()?.clone();
        let partitions: Vec<TopicPartition> = self.group.given.iter().cloned().collect();
        let Some(committed) = self.first_offsets(&client, &partitions).await? else {
            self.group.retry = Some(Instant::now() + ASK_AGAIN);
            return Ok(None);
        };
        let mut begin = BTreeMap::new();
        let mut notes = BTreeSet::new();
        let mut new = Vec::new();
        for partition in &partitions {
            match committed.get(partition) {
                Some(place) => {
                    begin.insert(partition.clone(), (place.offset, place.leader_epoch));
                    notes.insert(self.own_note(partition, place)?);
                }
                // It has come since: its beginning is where it begins.
                None => new.push(partition.clone()),
            }
        }
        let mut known = self.known()?;
        if !new.is_empty() {
            self.is_new(&known, &new)?;
            let first = self.list(&client, &new, At::Earliest).await?;
            let first: BTreeMap<_, _> = first.into_iter().map(|(it, offset)| (it, (offset, -1))).collect();
            self.commit_first(&first).await?;
            begin.extend(first);
        }
        self.note_ends(&client, &begin).await?;
        self.begin(&client, &begin);
        let before = known.clone();
        let ours = committed.into_iter().filter(|(partition, _)| self.topics.has(&partition.topic)).collect();
        known.add(&ours, |topic| self.topic_id(topic).to_string());
        if known != before {
            self.memory.write(&known)?;
        }
        self.group.given.clear();
        self.group.settled = true;
        failpoint("kafka.assigned");
        let place = |(partition, (offset, epoch)): (&TopicPartition, &(i64, i32))| {
            let place = Place { offset: *offset, epoch: *epoch, topic: self.topic_id(&partition.topic) };
            (split(partition), place.position())
        };
        Ok(Some(Read::Gained {
            positions: begin.iter().map(place).collect(),
            notes: notes.into_iter().filter(|note| !note.is_empty()).collect(),
        }))
    }

    /// The committed offsets of these partitions. For a topic of which the group knows nothing, `start_offset` counts: the worker
    /// that has its first partition resolves and commits it for all partitions at once, the others wait for that (`None`). So no
    /// worker takes a partition that nobody has resolved yet for one that was added later.
    async fn first_offsets(
        &self,
        client: &Client,
        partitions: &[TopicPartition],
    ) -> Result<Option<Committed>, Diagnostic> {
        let what = self.group.what("ask for the offsets of");
        loop {
            let known = client
                .committed(self.group.name(), None, true)
                .await
                .map_err(|error| fault(&what, &error))?;
            let unknown = |partition: &&TopicPartition| {
                !known.contains_key(&TopicPartition::new(partition.topic.clone(), 0))
            };
            let fresh: BTreeSet<_> =
                partitions.iter().filter(unknown).map(|partition| &partition.topic).collect();
            let Some(first) = fresh.first() else { return Ok(Some(known)) };
            let ours: Vec<_> =
                partitions.iter().filter(|it| it.partition == 0 && fresh.contains(&it.topic)).collect();
            if ours.is_empty() {
                if self.group.patience.is_some_and(|until| Instant::now() > until) {
                    let message = format!("no worker has committed where topic \"{first}\" begins");
                    return Err(Diagnostic::new(&LOST_SPLITS, message));
                }
                return Ok(None);
            }
            let cluster = self.look(client).await?;
            let ours: Vec<TopicPartition> = ours.into_iter().cloned().collect();
            self.is_new(&self.known()?, &ours)?;
            let all: Vec<TopicPartition> = self
                .topics
                .partitions(&cluster)?
                .into_iter()
                .filter(|it| ours.iter().any(|first| first.topic == it.topic) && !known.contains_key(it))
                .collect();
            let resolved =
                self.start.resolve(client, &all).await.map_err(|fault| fault.at(&self.start_at))?;
            self.commit_first(&resolved).await?;
        }
    }

    /// Commits where partitions begin, with an empty note: nothing was delivered yet.
    async fn commit_first(&self, begin: &BTreeMap<TopicPartition, (i64, i32)>) -> Result<(), Diagnostic> {
        let offsets: Vec<_> = begin
            .iter()
            .map(|(partition, (offset, epoch))| {
                let place = Place { offset: *offset, epoch: *epoch, topic: self.topic_id(&partition.topic) };
                let (offset, leader_epoch) = (place.offset, place.epoch);
                (partition.clone(), OffsetAndMetadata { offset, leader_epoch, metadata: place.metadata("") })
            })
            .collect();
        let member = self.group.member.as_ref().ok_or_else(unopened)?;
        let Some(identity) = member.identity() else {
            return Err(Diagnostic::new(&LOST_SPLITS, "the membership ended before anything was read"));
        };
        let committed = self.client()?.commit_offsets(&identity, &offsets).await;
        committed.map_err(|error| fault(&self.group.what("commit where reading begins to"), &error))
    }
}

impl SharedSource for KafkaSource {
    fn membership(&self) -> watch::Receiver<Membership> {
        self.group.who.subscribe()
    }

    fn note_max(&self) -> usize {
        NOTE_MAX - BEFORE_NOTE
    }

    fn join<'a>(&'a mut self, worker: &'a str) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let client = self.client()?.clone();
            // So that there is a fetcher to wait for.
            self.begin(&client, &BTreeMap::new());
            // By its client id the others see which worker the member is.
            let client = self.cluster.connect_as(worker).await?;
            self.group.join(&client, worker);
            Ok(())
        })
    }

    fn commit_with<'a>(
        &'a mut self,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let mut offsets = Vec::with_capacity(positions.len());
            for (split, position) in positions {
                let place = Place::parse(position)?;
                let (offset, leader_epoch) = (place.offset, place.epoch);
                let place = OffsetAndMetadata { offset, leader_epoch, metadata: place.metadata(note) };
                offsets.push((partition(split)?, place));
            }
            if offsets.is_empty() {
                return Ok(());
            }
            let member = self.group.member.as_ref().ok_or_else(unopened)?;
            member
                .commit(&offsets)
                .await
                .map_err(|error| fault(&self.group.what("commit offsets to"), &error))
        })
    }

    fn leave(&mut self) -> Pending<'_, Result<(), Diagnostic>> {
        Box::pin(async move {
            self.group.leaving.clear();
            if let Some(member) = self.group.member.take() {
                member.leave().await;
            }
            Ok(())
        })
    }

    fn let_go<'a>(&'a mut self, splits: &'a [SplitId]) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let mut gone = BTreeSet::new();
            for split in splits {
                gone.insert(partition(split)?);
            }
            for (partitions, done) in std::mem::take(&mut self.group.leaving) {
                match partitions.is_subset(&gone) {
                    true => done.done(),
                    false => self.group.leaving.push((partitions, done)),
                }
            }
            Ok(())
        })
    }
}
