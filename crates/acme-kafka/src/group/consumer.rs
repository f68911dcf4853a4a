//! The protocol of KIP-848: one request, ConsumerGroupHeartbeat, by which a member says what it holds and learns what it
//! should hold.
//!
//! The coordinator moves a partition only when its holder reports that it no longer has it. So what a member reports is
//! what it was assigned and has not let go of, and it reports at once whenever that changes.

use super::member::Shared;
use super::{MemberOptions, Protocol, Subscription, millis};
use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use crate::world::World;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::Assignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);
/// The interval until the coordinator has told its own.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long an answer may take: the coordinator does not hold it back.
const ANSWER: Duration = Duration::from_secs(10);
/// How long looking at topics may take, for a heartbeat must not wait for it.
const LOOK: Duration = Duration::from_secs(5);

/// Epochs that are requests.
const JOINING: i32 = 0;
const LEAVING: i32 = -1;
const AWAY_FOR_A_WHILE: i32 = -2;

pub(super) struct Task {
    client: Client,
    options: Arc<MemberOptions>,
    shared: Arc<Shared>,
    purpose: Purpose,
    member_id: String,
    epoch: i32,
    interval: Duration,
    /// The topics that are wanted, and those that the coordinator knows we want.
    topics: BTreeSet<Arc<str>>,
    /// What the coordinator knows of us; nothing if the next request must say everything.
    reported: Option<(BTreeSet<Arc<str>>, BTreeSet<TopicPartition>)>,
    /// What the coordinator wants us to hold, by topic id.
    target: BTreeMap<Uuid, Vec<i32>>,
    /// True if `target` names a topic whose name is not known yet.
    unresolved: bool,
    names: BTreeMap<Uuid, Arc<str>>,
    /// Since when nothing but failures come.
    failing: Option<Instant>,
}

impl Task {
    pub(super) fn new(client: &Client, options: &Arc<MemberOptions>, shared: &Arc<Shared>) -> Self {
        Self {
            client: client.clone(),
            options: options.clone(),
            shared: shared.clone(),
            purpose: Purpose::Coordinator(client.unique()),
            member_id: random_id(client.world()),
            epoch: JOINING,
            interval: INTERVAL,
            topics: BTreeSet::new(),
            reported: None,
            target: BTreeMap::new(),
            unresolved: false,
            names: BTreeMap::new(),
            failing: None,
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.live().await {
            self.shared.fail(error);
        } else {
            self.leave().await;
        }
        self.client.release(self.purpose);
    }

    /// Returns when the owner leaves.
    async fn live(&mut self) -> Result<()> {
        let mut beat = self.now();
        let mut look = beat;
        loop {
            self.shared.expire();
            if self.shared.is_leaving() {
                return Ok(());
            }
            let now = self.now();
            if now >= look {
                let pause = if self.look().await? { self.options.metadata_interval } else { PAUSE };
                look = self.now() + pause;
                continue;
            }
            // Nobody joins without topics: with a pattern there may be none yet.
            let news = !self.topics.is_empty() && self.has_news();
            if (now >= beat && self.epoch > JOINING) || news {
                let pause = match self.heartbeat().await {
                    Ok(()) => self.interval,
                    Err(error) => {
                        self.recover(error)?;
                        PAUSE
                    }
                };
                beat = self.now() + pause;
                if pause == PAUSE {
                    self.shared.pause(PAUSE).await;
                }
                if self.unresolved {
                    look = self.now();
                }
                continue;
            }
            let joined = (self.epoch > JOINING).then_some(beat);
            let next = [joined, Some(look), self.shared.deadline()].into_iter().flatten().min();
            self.shared.rest(next).await;
        }
    }

    /// Whether the coordinator should hear from us at once.
    fn has_news(&self) -> bool {
        let held = self.shared.held();
        self.reported.as_ref().is_none_or(|(topics, reported)| *topics != self.topics || *reported != held)
    }

    /// Learns which topics are wanted, and their ids. False if that has to be tried again soon.
    async fn look(&mut self) -> Result<bool> {
        let work = async {
            Ok::<_, Error>(match &self.options.subscription {
                Subscription::Topics(topics) => {
                    let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
                    (topics.clone(), self.client.refresh(&names).await?)
                }
                Subscription::Matching(matches) => {
                    let known = self.client.all_topics().await?;
                    let theirs =
                        known.topics.iter().filter(|(name, topic)| !topic.is_internal && matches(name));
                    (theirs.map(|(name, _)| name.clone()).collect(), known)
                }
            })
        };
        let found = self.client.world().timeout(LOOK, work).await;
        let late = |_| Err(Error::Timeout { what: "metadata for a group".into(), after: LOOK });
        let (topics, known) = match found.unwrap_or_else(late) {
            Ok(found) => found,
            Err(error) if self.may_retry(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.topics = topics;
        let ids = known.topics.iter().filter(|(_, topic)| !topic.id.is_nil());
        self.names.extend(ids.map(|(name, topic)| (topic.id, name.clone())));
        if self.unresolved {
            self.aim();
        }
        Ok(!self.unresolved)
    }

    async fn heartbeat(&mut self) -> Result<()> {
        let (topics, held) = (self.topics.clone(), self.shared.held());
        let request = self.request(&topics, &held);
        let response = self.send(&request).await.map_err(without_protocol)?;
        let detail = response.error_message.as_ref().map(|text| text.to_string());
        let code = ErrorCode(response.error_code);
        if !code.is_ok() {
            let what = format!("heartbeat of group {}", self.options.group);
            return Err(without_protocol(Error::Broker { code, what, detail }));
        }
        self.failing = None;
        self.reported = Some((topics, held));
        self.take(response);
        Ok(())
    }

    /// Everything if the coordinator knows nothing of us, else what has changed.
    fn request(
        &self,
        topics: &BTreeSet<Arc<str>>,
        held: &BTreeSet<TopicPartition>,
    ) -> ConsumerGroupHeartbeatRequest {
        let request = self.bare();
        let known = self.reported.as_ref();
        let topics_news = known.is_none_or(|(known, _)| known != topics);
        let held_news = known.is_none_or(|(_, known)| known != held);
        let names = topics.iter().map(|name| TopicName(text(name))).collect();
        let request = request
            .with_subscribed_topic_names(topics_news.then_some(names))
            .with_topic_partitions(held_news.then(|| self.by_id(held)))
            .with_rebalance_timeout_ms(-1);
        if known.is_some() {
            return request;
        }
        let Protocol::Consumer(assignor) = &self.options.protocol else { return request };
        request
            .with_rebalance_timeout_ms(millis(self.options.rebalance_timeout))
            .with_server_assignor(assignor.as_deref().map(text))
    }

    fn bare(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.options.group)))
            .with_member_id(text(&self.member_id))
            .with_member_epoch(self.epoch)
            .with_instance_id(self.options.instance_id.as_deref().map(text))
    }

    fn by_id(&self, held: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
        let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for partition in held {
            // Without an id nothing was ever assigned.
            if let Some(id) = self.id_of(&partition.topic) {
                topics.entry(id).or_default().push(partition.partition);
            }
        }
        let entry = |(id, numbers)| TopicPartitions::default().with_topic_id(id).with_partitions(numbers);
        topics.into_iter().map(entry).collect()
    }

    /// The id of a topic: the one that the coordinator speaks of, else the present one. A topic that was created anew
    /// has had another.
    fn id_of(&self, name: &Arc<str>) -> Option<Uuid> {
        let named = |id: &&Uuid| self.names.get(id) == Some(name);
        let told = self.target.keys().find(named).copied();
        told.or_else(|| self.client.cached().topics.get(name).map(|topic| topic.id))
            .or_else(|| self.names.keys().find(named).copied())
    }

    fn take(&mut self, response: ConsumerGroupHeartbeatResponse) {
        if let Some(id) = response.member_id.filter(|id| !id.is_empty()) {
            self.member_id = id.to_string();
        }
        self.epoch = response.member_epoch;
        if let Ok(interval @ 1..) = u64::try_from(response.heartbeat_interval_ms) {
            self.interval = Duration::from_millis(interval);
        }
        if let Some(assignment) = response.assignment {
            self.target = by_topic(assignment);
            self.aim();
        } else {
            self.shared.identify((self.member_id.clone(), self.epoch));
        }
    }

    /// Aims at the target, as far as the names of its topics are known.
    fn aim(&mut self) {
        let mut target = BTreeSet::new();
        self.unresolved = false;
        for (id, numbers) in &self.target {
            match self.names.get(id) {
                Some(name) => {
                    target.extend(numbers.iter().map(|number| TopicPartition::new(name.clone(), *number)));
                }
                None => self.unresolved = true,
            }
        }
        let identity = (self.member_id.clone(), self.epoch);
        self.shared.aim(target, identity, self.options.revoked_within());
    }

    /// What a failure means for the membership.
    fn recover(&mut self, error: Error) -> Result<()> {
        // Whether the coordinator got the request is not known, so the next one says everything.
        self.reported = None;
        match error.code() {
            Some(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH) => {
                self.epoch = JOINING;
                self.target.clear();
                self.unresolved = false;
                self.shared.lose();
            }
            _ if self.may_retry(&error) => {
                self.client.forget_coordinator(CoordinatorKind::Group, &self.options.group);
            }
            _ => return Err(error),
        }
        Ok(())
    }

    fn may_retry(&mut self, error: &Error) -> bool {
        let since = *self.failing.get_or_insert(self.client.world().now());
        error.class().is_transient() && self.client.world().since(since) < self.options.patience
    }

    async fn leave(&mut self) {
        if self.epoch > JOINING {
            self.epoch = if self.shared.is_leaving_for_good() { LEAVING } else { AWAY_FOR_A_WHILE };
            let request = self.bare().with_rebalance_timeout_ms(-1);
            self.shared.farewell(self.send(&request)).await;
        }
    }

    async fn send(&self, request: &ConsumerGroupHeartbeatRequest) -> Result<ConsumerGroupHeartbeatResponse> {
        let key = (CoordinatorKind::Group, self.options.group.as_str());
        let answer = self.client.send_once_to_coordinator(key, self.purpose, request, ANSWER);
        let what = || format!("heartbeat of group {}", self.options.group);
        let answer = self.client.world().timeout(ANSWER, answer).await;
        answer.map_err(|_| Error::Timeout { what: what(), after: ANSWER })?
    }

    fn now(&self) -> Instant {
        self.client.world().now()
    }
}

/// A broker that is too old, or does not want it: says what helps.
fn without_protocol(error: Error) -> Error {
    let broker = match &error {
        Error::Unsupported { broker, .. } => broker.clone(),
        Error::Broker { code: ErrorCode::UNSUPPORTED_VERSION, .. } => "the group's coordinator".to_owned(),
        _ => return error,
    };
    let what = "ConsumerGroupHeartbeat (KIP-848): choose the classic group protocol".to_owned();
    Error::Unsupported { broker, what }
}

fn by_topic(assignment: Assignment) -> BTreeMap<Uuid, Vec<i32>> {
    assignment.topic_partitions.into_iter().map(|topic| (topic.topic_id, topic.partitions)).collect()
}

/// An id that no other member has (KIP-1082: the member chooses).
fn random_id(world: &World) -> String {
    Uuid::from_u64_pair(world.chance(), world.chance()).to_string()
}
