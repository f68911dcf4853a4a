//! Looking at groups and removing them.

use super::offsets::OffsetAndMetadata;
use super::protocol::{Reader, decode_assignment};
use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Class, Error, ErrorCode, Result};
use crate::offsets::{At, Isolation};
use crate::wire::text;
use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::messages::consumer_group_describe_response::{
    DescribedGroup as DescribedConsumerGroup, TopicPartitions,
};
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId,
    ListGroupsRequest, OffsetDeleteRequest, TopicName,
};
use std::collections::BTreeMap;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    /// Its name.
    pub group: String,
    /// `classic`, `consumer`, `share`, `streams`; empty if the broker is too old to tell.
    pub kind: String,
    /// What its members agree about: `consumer` for those that share partitions.
    pub protocol_type: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Assigning`, `Reconciling`, `Dead`.
    pub state: String,
}

/// A group and its members.
#[derive(Clone, Debug)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// True if it speaks the protocol of KIP-848.
    pub is_consumer: bool,
    /// As [`ListedGroup::state`].
    pub state: String,
    /// How partitions are divided, empty without members.
    pub assignor: String,
    /// The epoch of the group with KIP-848, else -1.
    pub epoch: i32,
    /// The epoch of its target assignment with KIP-848, else -1.
    pub assignment_epoch: i32,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Who is in it.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// How its client calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// What it was assigned, in order.
    pub assigned: Vec<TopicPartition>,
    /// Its epoch with KIP-848, else -1.
    pub epoch: i32,
    /// What it is to have, with KIP-848.
    pub target: Option<Vec<TopicPartition>>,
    /// With KIP-848: false if it speaks the classic protocol nevertheless. None if the broker does not tell.
    pub upgraded: Option<bool>,
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// What the group has committed.
    pub committed: OffsetAndMetadata,
    /// The end of the partition.
    pub end: i64,
}

impl Lag {
    /// Records, and markers of transactions, that are still to be read.
    #[must_use]
    pub fn records(&self) -> i64 {
        self.end.saturating_sub(self.committed.offset).max(0)
    }
}

impl Client {
    /// All groups of all brokers that we may see, by name.
    ///
    /// # Errors
    /// What a broker says; a broker that cannot be reached, for its groups would be missing.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>> {
        let mut groups = Vec::new();
        let brokers: Vec<i32> = self.metadata(&[]).await?.brokers.keys().copied().collect();
        for broker in brokers {
            let mut tries = self.tries();
            let response = loop {
                let answer = self.send(broker, &ListGroupsRequest::default()).await.and_then(|response| {
                    ErrorCode(response.error_code).check(|| format!("groups of broker {broker}"))?;
                    Ok(response)
                });
                match answer {
                    Ok(response) => break response,
                    Err(error) => tries.after(error).await?,
                }
            };
            groups.extend(response.groups.into_iter().map(|group| ListedGroup {
                group: group.group_id.to_string(),
                kind: group.group_type.to_string(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
            }));
        }
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// A group, its state and its members; nothing if there is no such group.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn describe_group(&self, group: &str) -> Result<Option<GroupDescription>> {
        let coordinator = self.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.connection(coordinator, Purpose::Control).await?;
        if connection.versions().knows(ApiKey::ConsumerGroupDescribe as i16) {
            let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
            let response =
                self.ask_group(group, &request, |response| code_of(&response.groups, |it| it.error_code));
            let described = response.await?.groups.into_iter().next();
            // A broker may know the request and yet not speak the protocol (3.9 unless told to).
            let elsewhere = [ErrorCode::GROUP_ID_NOT_FOUND.0, ErrorCode::UNSUPPORTED_VERSION.0];
            if let Some(described) = described.filter(|it| !elsewhere.contains(&it.error_code)) {
                ErrorCode(described.error_code).check(|| format!("description of group {group}"))?;
                return Ok(Some(consumer_group(described, coordinator)));
            }
        }
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let response =
            self.ask_group(group, &request, |response| code_of(&response.groups, |it| it.error_code));
        let Some(described) = response.await?.groups.into_iter().next() else { return Ok(None) };
        // Until version 5, a group that does not exist is one that is dead.
        if described.error_code == ErrorCode::GROUP_ID_NOT_FOUND.0 || described.group_state.as_str() == "Dead"
        {
            return Ok(None);
        }
        ErrorCode(described.error_code).check(|| format!("description of group {group}"))?;
        classic_group(described, coordinator).map(Some)
    }

    /// How far a group has come in each partition that it has committed.
    ///
    /// # Errors
    /// What the coordinator or a leader says.
    pub async fn group_lag(
        &self,
        group: &str,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Lag>> {
        let committed = self.committed(group, None, false).await?;
        let asked: Vec<(TopicPartition, At)> =
            committed.keys().map(|partition| (partition.clone(), At::Latest)).collect();
        let ends = self.list_offsets(&asked, isolation).await?;
        let lag = |(partition, committed): (TopicPartition, OffsetAndMetadata)| {
            let end = ends.get(&partition)?.offset;
            Some((partition, Lag { committed, end }))
        };
        Ok(committed.into_iter().filter_map(lag).collect())
    }

    /// Removes a group with its committed offsets.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP while it has members, GROUP_ID_NOT_FOUND, or what else the coordinator says.
    pub async fn delete_group(&self, group: &str) -> Result<()> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        let response =
            self.ask_group(group, &request, |response| code_of(&response.results, |it| it.error_code));
        let code = code_of(&response.await?.results, |it| it.error_code);
        code.check(|| format!("deletion of group {group}"))
    }

    /// Removes the committed offsets of partitions.
    ///
    /// # Errors
    /// GROUP_SUBSCRIBED_TO_TOPIC while a member wants the topic, GROUP_ID_NOT_FOUND, or what else the coordinator says.
    pub async fn delete_group_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let codes = self.delete_group_offsets_each(group, partitions).await?;
        let failed = codes.into_iter().find(|(_, code)| !code.is_ok());
        let Some((partition, code)) = failed else { return Ok(()) };
        code.check(|| format!("deletion of the offset of {partition} in group {group}"))
    }

    /// The same, and says for each partition what became of it.
    ///
    /// # Errors
    /// What concerns the whole group: GROUP_ID_NOT_FOUND, or what else the coordinator says.
    pub async fn delete_group_offsets_each(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, ErrorCode)>> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for it in partitions {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(it.partition);
            topics.entry(&it.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetDeleteRequestTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
        });
        let request =
            OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(topics.collect());
        let mut tries = self.tries();
        loop {
            match self.delete_offsets_once(group, &request).await {
                Ok(codes) => return Ok(codes),
                Err(error) => {
                    if error.class() == Class::Refresh {
                        self.forget_coordinator(CoordinatorKind::Group, group);
                    }
                    tries.after(error).await?;
                }
            }
        }
    }

    async fn delete_offsets_once(
        &self,
        group: &str,
        request: &OffsetDeleteRequest,
    ) -> Result<Vec<(TopicPartition, ErrorCode)>> {
        /// The only version; a message without compact arrays, so its answer is read by hand.
        const VERSION: i16 = 0;
        let coordinator = self.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.connection(coordinator, Purpose::Control).await?;
        let frame = connection.frame(request, VERSION)?;
        let key = ApiKey::OffsetDelete as i16;
        let answer = connection.submit(frame).await?.wait_raw(key, self.config().request_timeout).await?;
        let (code, codes) =
            deleted_codes(answer).map_err(|error| Error::protocol("response OffsetDelete", error))?;
        // What passes, as a coordinator that moves, may stand beside a partition.
        let passing = codes.iter().map(|(_, code)| *code).find(|code| code.class().is_transient());
        let code = if code.is_ok() { passing.unwrap_or(code) } else { code };
        code.check(|| format!("deletion of offsets of group {group}"))?;
        Ok(codes)
    }

    /// Asks the coordinator of a group.
    async fn ask_group<R: kafka_protocol::protocol::Request>(
        &self,
        group: &str,
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response> {
        let key = (CoordinatorKind::Group, group);
        self.send_to_coordinator(key, Purpose::Control, request, self.config().request_timeout, code).await
    }
}

fn code_of<T>(answers: &[T], code: impl Fn(&T) -> i16) -> ErrorCode {
    answers.first().map_or(ErrorCode::NONE, |answer| ErrorCode(code(answer)))
}

/// The codes in an answer to OffsetDelete: of the group, and of the partitions.
pub(crate) fn deleted_codes(
    answer: Bytes,
) -> Result<(ErrorCode, Vec<(TopicPartition, ErrorCode)>), TryGetError> {
    let mut from = Reader(answer);
    let _correlation = from.0.try_get_i32()?;
    let code = ErrorCode(from.0.try_get_i16()?);
    let _throttled_ms = from.0.try_get_i32()?;
    let topics = from.list(|from| {
        let name = from.text()?;
        from.list(|from| {
            let partition = from.0.try_get_i32()?;
            let partition = TopicPartition { topic: name.clone(), partition };
            Ok((partition, ErrorCode(from.0.try_get_i16()?)))
        })
    })?;
    Ok((code, topics.into_iter().flatten().collect()))
}

fn classic_group(group: DescribedGroup, coordinator: i32) -> Result<GroupDescription> {
    let members = group.members.into_iter().map(|member| {
        // What groups of other kinds (Connect's workers) share is not for us to read.
        let assigned = if group.protocol_type.as_str() == "consumer" {
            decode_assignment(&member.member_assignment)?.into_iter().collect()
        } else {
            Vec::new()
        };
        Ok(MemberDescription {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.map(|name| name.to_string()),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assigned,
            epoch: -1,
            target: None,
            upgraded: None,
        })
    });
    Ok(GroupDescription {
        members: members.collect::<Result<_>>()?,
        group: group.group_id.to_string(),
        is_consumer: false,
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        epoch: -1,
        assignment_epoch: -1,
        coordinator,
    })
}

fn consumer_group(group: DescribedConsumerGroup, coordinator: i32) -> GroupDescription {
    // `member_type` of a broker that does not tell it (before 4.1), and of a member that speaks KIP-848.
    const UNTOLD: i8 = -1;
    const CONSUMER: i8 = 1;
    let members = group.members.into_iter().map(|member| MemberDescription {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|name| name.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: partitions(member.assignment.topic_partitions),
        epoch: member.member_epoch,
        target: Some(partitions(member.target_assignment.topic_partitions)),
        upgraded: (member.member_type != UNTOLD).then_some(member.member_type == CONSUMER),
    });
    GroupDescription {
        members: members.collect(),
        group: group.group_id.to_string(),
        is_consumer: true,
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        coordinator,
    }
}

fn partitions(topics: Vec<TopicPartitions>) -> Vec<TopicPartition> {
    let assigned = |topic: TopicPartitions| {
        let name: std::sync::Arc<str> = topic.topic_name.as_str().into();
        topic.partitions.into_iter().map(move |partition| TopicPartition { topic: name.clone(), partition })
    };
    let mut all: Vec<_> = topics.into_iter().flat_map(assigned).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_about_deleted_offsets_is_read_by_hand() {
        let answer = Bytes::from_static(b"\0\0\0\x07\0\0\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x02\0\x56");
        let expected = (ErrorCode::NONE, vec![(TopicPartition::new("t", 2), ErrorCode(86))]);
        assert_eq!(deleted_codes(answer.clone()).unwrap(), expected);
        for length in 0..answer.len() {
            assert!(deleted_codes(answer.slice(..length)).is_err(), "{length} bytes");
        }
    }
}
