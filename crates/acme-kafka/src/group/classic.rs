//! The classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup (KIP-62, KIP-345, KIP-394, KIP-429).
//!
//! With the cooperative assignor a member joins again without letting go of anything: it says what it holds, the leader
//! leaves out of everybody's share what another one still holds, and when its holder has let go, that one joins again.
//! With the others, everything is given back before each join.

use super::assign::{Assignor, Joined, assign};
use super::member::Shared;
use super::protocol::{Subscription as Brought, decode_assignment, encode_assignment};
use super::{MemberOptions, Subscription, millis};
use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What Kafka's consumers call what they agree about.
const CONSUMER: &str = "consumer";
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);
/// What an answer may take beyond the time that the coordinator holds it back on purpose.
const MARGIN: Duration = Duration::from_secs(10);

/// How a generation ended for us.
enum Turn {
    Again,
    Leave,
}

pub(super) struct Task {
    client: Client,
    options: Arc<MemberOptions>,
    shared: Arc<Shared>,
    assignors: Vec<Assignor>,
    purpose: Purpose,
    member_id: String,
    /// -1 outside of one.
    generation: i32,
    /// The topics of the last join.
    topics: BTreeSet<Arc<str>>,
    /// What the member claimed to hold in the last join.
    claimed: BTreeSet<TopicPartition>,
    /// A static member has just come, or come back.
    is_new: bool,
    /// Partitions per topic at the last assignment, if this member made it.
    counts: Option<BTreeMap<Arc<str>, i32>>,
    /// Since when nothing but failures come.
    failing: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        client: &Client,
        options: &Arc<MemberOptions>,
        shared: &Arc<Shared>,
        assignors: &[Assignor],
    ) -> Self {
        Self {
            client: client.clone(),
            options: options.clone(),
            shared: shared.clone(),
            assignors: assignors.to_vec(),
            purpose: Purpose::Coordinator(client.unique()),
            member_id: String::new(),
            generation: -1,
            topics: BTreeSet::new(),
            claimed: BTreeSet::new(),
            is_new: options.instance_id.is_some(),
            counts: None,
            failing: None,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let error = match self.generation().await {
                Ok(Turn::Again) => continue,
                Ok(Turn::Leave) => {
                    // A join may be waiting on this connection, and the broker would answer it before the farewell.
                    self.client.release(self.purpose);
                    break self.leave().await;
                }
                Err(error) => error,
            };
            if let Err(error) = self.recover(error) {
                break self.shared.fail(error);
            }
            self.shared.pause(PAUSE).await;
        }
        self.client.release(self.purpose);
    }

    /// What a failure means for the membership.
    fn recover(&mut self, error: Error) -> Result<()> {
        match error.code() {
            Some(ErrorCode::UNKNOWN_MEMBER_ID) => {
                self.member_id.clear();
                self.leave_generation();
            }
            Some(ErrorCode::ILLEGAL_GENERATION) => self.leave_generation(),
            Some(ErrorCode::REBALANCE_IN_PROGRESS) => {}
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

    fn leave_generation(&mut self) {
        self.generation = -1;
        self.shared.lose();
    }

    /// One generation: from the join to what ends it.
    async fn generation(&mut self) -> Result<Turn> {
        if !self.is_cooperative() && matches!(self.let_go().await?, Turn::Leave) {
            return Ok(Turn::Leave);
        }
        let Some(joined) = self.join().await? else { return Ok(Turn::Leave) };
        let Some(target) = self.sync(&joined).await? else { return Ok(Turn::Leave) };
        let identity = (self.member_id.clone(), self.generation);
        self.shared.aim(target.clone(), identity, self.options.revoked_within());
        let Some(gaps) = self.shared.clone().attend(self.has_gaps()).await else { return Ok(Turn::Leave) };
        self.is_new = false;
        let moving = gaps || !self.claimed.is_subset(&target);
        self.stay(|shared| moving && shared.is_settled(), false).await
    }

    /// A static member that comes back gets what it had in the group's present generation, and no rebalance is made for it. What its
    /// former life was about to give away is nobody's then: whether there is such a partition.
    async fn has_gaps(&self) -> bool {
        if !self.is_new || !self.is_cooperative() {
            return false;
        }
        // A rebalance that is not needed does no harm.
        let found = self.client.world().timeout(self.options.heartbeat_interval, self.find_gaps()).await;
        !matches!(found, Ok(Ok(false)))
    }

    async fn find_gaps(&self) -> Result<bool> {
        let Some(group) = self.client.describe_group(&self.options.group).await? else { return Ok(true) };
        if group.state != "Stable" {
            // A rebalance is under way.
            return Ok(false);
        }
        let given: BTreeSet<TopicPartition> =
            group.members.into_iter().flat_map(|member| member.assigned).collect();
        let counts = self.count(&self.topics).await?;
        let mut all = counts
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(|number| TopicPartition::new(topic.clone(), number)));
        Ok(all.any(|partition| !given.contains(&partition)))
    }

    fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    /// Gives everything back before a join.
    async fn let_go(&mut self) -> Result<Turn> {
        self.shared.aim_at_nothing(self.options.revoked_within());
        if self.shared.is_settled() {
            return Ok(Turn::Again);
        }
        self.stay(Shared::is_settled, true).await
    }

    async fn wanted(&self) -> Result<BTreeSet<Arc<str>>> {
        Ok(match &self.options.subscription {
            Subscription::Topics(names) => names.clone(),
            Subscription::Matching(matches) => {
                let known = self.client.all_topics().await?;
                let theirs = known.topics.iter().filter(|(name, topic)| !topic.is_internal && matches(name));
                theirs.map(|(name, _)| name.clone()).collect()
            }
        })
    }

    /// Joins; nothing if the owner leaves meanwhile.
    async fn join(&mut self) -> Result<Option<JoinGroupResponse>> {
        let shared = self.shared.clone();
        let Some(topics) = shared.attend(self.wanted()).await else { return Ok(None) };
        self.topics = topics?;
        self.counts = None;
        loop {
            self.claimed = if self.is_cooperative() { shared.held() } else { BTreeSet::new() };
            let request = self.join_request();
            let timeout = self.options.rebalance_timeout + MARGIN;
            let Some(response) = shared.attend(self.send(&request, timeout)).await else { return Ok(None) };
            let response: JoinGroupResponse = response?;
            self.failing = None;
            match ErrorCode(response.error_code) {
                ErrorCode::MEMBER_ID_REQUIRED => self.member_id = response.member_id.to_string(),
                code => {
                    code.check(|| format!("join of group {}", self.options.group))?;
                    self.member_id = response.member_id.to_string();
                    self.generation = response.generation_id;
                    return Ok(Some(response));
                }
            }
        }
    }

    fn join_request(&self) -> JoinGroupRequest {
        let (topics, owned) = (self.topics.clone(), self.claimed.clone());
        let brought = Brought { topics, owned, generation: self.generation }.encode();
        let protocols = self.assignors.iter().map(|assignor| {
            let protocol = JoinGroupRequestProtocol::default().with_name(text(assignor.name()));
            protocol.with_metadata(brought.clone())
        });
        JoinGroupRequest::default()
            .with_group_id(self.group())
            .with_session_timeout_ms(millis(self.options.session_timeout))
            .with_rebalance_timeout_ms(millis(self.options.rebalance_timeout))
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance())
            .with_protocol_type(text(CONSUMER))
            .with_protocols(protocols.collect())
    }

    /// Learns our share, having computed everybody's if this member leads; nothing if the owner leaves meanwhile.
    async fn sync(&mut self, joined: &JoinGroupResponse) -> Result<Option<BTreeSet<TopicPartition>>> {
        let name = joined.protocol_name.as_deref().unwrap_or_default();
        let mut assignments = Vec::new();
        if joined.leader == joined.member_id {
            let shared = self.shared.clone();
            let Some(shares) = shared.attend(self.lead(joined, name)).await else { return Ok(None) };
            let (counts, shares) = shares?;
            self.counts = Some(counts);
            assignments = shares;
        }
        let request = SyncGroupRequest::default()
            .with_group_id(self.group())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance())
            .with_protocol_type(Some(text(CONSUMER)))
            .with_protocol_name(Some(text(name)))
            .with_assignments(assignments);
        let timeout = self.options.rebalance_timeout + MARGIN;
        let Some(response) = self.shared.attend(self.send(&request, timeout)).await else { return Ok(None) };
        let response = response?;
        self.failing = None;
        ErrorCode(response.error_code).check(|| format!("sync of group {}", self.options.group))?;
        decode_assignment(&response.assignment).map(Some)
    }

    /// Computes who gets what.
    async fn lead(
        &self,
        joined: &JoinGroupResponse,
        assignor: &str,
    ) -> Result<(BTreeMap<Arc<str>, i32>, Vec<SyncGroupRequestAssignment>)> {
        let assignor = Assignor::named(assignor).ok_or_else(|| {
            Error::protocol("response JoinGroup", format!("{assignor:?} is none of our assignors"))
        })?;
        let members = joined.members.iter().map(|member| {
            Ok(Joined {
                id: member.member_id.to_string(),
                instance: member.group_instance_id.as_ref().map(|name| name.to_string()),
                subscription: Brought::decode(&member.metadata)?,
            })
        });
        let members: Vec<Joined> = members.collect::<Result<_>>()?;
        let topics = members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect();
        let counts = self.count(&topics).await?;
        if joined.skip_assignment {
            // A static leader is back, and the shares of the others stand (KIP-814).
            return Ok((counts, Vec::new()));
        }
        let shares = assign(assignor, &members, &counts);
        let shares = members.iter().zip(&shares).map(|(member, share)| {
            let share = encode_assignment(share);
            SyncGroupRequestAssignment::default().with_member_id(text(&member.id)).with_assignment(share)
        });
        Ok((counts, shares.collect()))
    }

    /// Partitions per topic, as the cluster has them now. A topic that does not exist has none.
    async fn count(&self, topics: &BTreeSet<Arc<str>>) -> Result<BTreeMap<Arc<str>, i32>> {
        let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
        let known = self.client.refresh(&names).await?;
        let count = |name: &Arc<str>| known.topics.get(name).map_or(0, |topic| topic.partitions.len());
        Ok(topics.iter().map(|name| (name.clone(), i32::try_from(count(name)).unwrap_or(i32::MAX))).collect())
    }

    /// Sends heartbeats until `ends`, until the group rebalances, or until the topics have changed. While everything
    /// is being given back, a rebalance is what we are waiting for and ends nothing.
    async fn stay(&mut self, ends: impl Fn(&Shared) -> bool, giving_back: bool) -> Result<Turn> {
        let interval = self.options.heartbeat_interval;
        let mut beat = self.now() + if giving_back { Duration::ZERO } else { interval };
        let mut look = self.now() + self.options.metadata_interval;
        loop {
            self.shared.expire();
            if self.shared.is_leaving() {
                return Ok(Turn::Leave);
            }
            if ends(&self.shared) {
                return Ok(Turn::Again);
            }
            let now = self.now();
            if now >= beat && self.generation >= 0 {
                beat = now + interval;
                match self.heartbeat().await {
                    Ok(()) => self.failing = None,
                    Err(error) if error.code() == Some(ErrorCode::REBALANCE_IN_PROGRESS) => {
                        self.failing = None;
                        if !giving_back {
                            return Ok(Turn::Again);
                        }
                    }
                    Err(error) if self.may_retry(&error) => {
                        self.client.forget_coordinator(CoordinatorKind::Group, &self.options.group);
                        beat = self.now() + PAUSE.min(interval);
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            if now >= look && !giving_back {
                look = now + self.options.metadata_interval;
                // What takes longer than a heartbeat can wait is looked at next time.
                let changed = self.client.world().timeout(interval, self.has_changed()).await;
                if matches!(changed, Ok(Ok(true))) {
                    return Ok(Turn::Again);
                }
                continue;
            }
            let next = [Some(beat), Some(look), self.shared.deadline()].into_iter().flatten().min();
            self.shared.rest(next).await;
        }
    }

    /// Whether other topics are wanted than at the last join, or they have other partitions.
    async fn has_changed(&self) -> Result<bool> {
        if matches!(self.options.subscription, Subscription::Matching(_))
            && self.wanted().await? != self.topics
        {
            return Ok(true);
        }
        let Some(counts) = &self.counts else { return Ok(false) };
        Ok(self.count(&counts.keys().cloned().collect()).await? != *counts)
    }

    async fn heartbeat(&self) -> Result<()> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance());
        let what = || format!("heartbeat of group {}", self.options.group);
        let timeout = (self.options.session_timeout / 2).max(Duration::from_secs(1));
        let response = self.client.world().timeout(timeout, self.send(&request, timeout)).await;
        let response = response.map_err(|_| Error::Timeout { what: what(), after: timeout })??;
        ErrorCode(response.error_code).check(what)
    }

    /// Lets the others have our partitions at once. A static member that stays does not say goodbye.
    async fn leave(&self) {
        if self.member_id.is_empty() || !self.shared.is_leaving_for_good() {
            return;
        }
        // With its id: under the same name somebody else may have come since.
        let member = MemberIdentity::default().with_member_id(text(&self.member_id));
        let member = member.with_group_instance_id(self.instance());
        let member = member.with_reason(Some(text("the member has ended")));
        let request = LeaveGroupRequest::default().with_group_id(self.group()).with_members(vec![member]);
        self.shared.farewell(self.send(&request, MARGIN)).await;
    }

    /// One try: what a failure means depends on the request.
    async fn send<R: Request>(&self, request: &R, timeout: Duration) -> Result<R::Response> {
        let key = (CoordinatorKind::Group, self.options.group.as_str());
        self.client.send_once_to_coordinator(key, self.purpose, request, timeout).await
    }

    fn now(&self) -> Instant {
        self.client.world().now()
    }

    fn group(&self) -> GroupId {
        GroupId(text(&self.options.group))
    }

    fn instance(&self) -> Option<StrBytes> {
        self.options.instance_id.as_deref().map(text)
    }
}
