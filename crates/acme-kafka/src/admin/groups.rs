//! Groups from outside: listing, describing and deleting them, and deleting offsets.

use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::{Frame, Reader, Short, text};
use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member};
use kafka_protocol::messages::describe_groups_response::DescribedGroup as ClassicGroup;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest,
    OffsetDeleteRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use std::collections::BTreeMap;

/// The group that was asked for does not exist, or not as a group of this kind.
const GROUP_ID_NOT_FOUND: ErrorCode = ErrorCode(69);

/// A group as ListGroups tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// `consumer`, empty for a group that only keeps offsets, or that of other users of the classic protocol.
    pub protocol_type: String,
    /// `Stable`, `Empty` and so on; empty if the broker does not tell.
    pub state: String,
    /// `Classic`, `Consumer`, `Share`, `Streams`; empty if the broker does not tell (before 3.8).
    pub kind: String,
}

/// A group of consumers with its members.
#[derive(Clone, Debug)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// True for the protocol of KIP-848, false for the classic one.
    pub is_consumer: bool,
    /// `Stable`, `Empty`, `Dead` and so on.
    pub state: String,
    /// The assignor that is in use.
    pub assignor: String,
    /// The epoch of the group and of its target assignment, with the protocol of KIP-848.
    pub epochs: Option<(i32, i32)>,
    /// The members.
    pub members: Vec<GroupMember>,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// Its id.
    pub id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// The name of its client.
    pub client_id: String,
    /// Where it comes from, as `/127.0.0.1`.
    pub host: String,
    /// Its epoch, with the protocol of KIP-848.
    pub epoch: Option<i32>,
    /// What it has.
    pub assignment: Vec<TopicPartition>,
    /// What it is to have, with the protocol of KIP-848.
    pub target: Option<Vec<TopicPartition>>,
    /// False for a member that speaks the classic protocol in a group of KIP-848; none if the broker does not tell.
    pub upgraded: Option<bool>,
}

impl Client {
    /// All groups of all brokers that we may see, by their ids.
    ///
    /// # Errors
    /// As [`Client::send`], for the first broker that does not answer.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let mut groups = BTreeMap::new();
        let brokers: Vec<i32> = self.metadata(&[]).await?.brokers.keys().copied().collect();
        for broker in brokers {
            let mut tries = self.tries();
            let response = loop {
                let result = match self.send(broker, &ListGroupsRequest::default()).await {
                    Ok(response) => ErrorCode(response.error_code)
                        .check(|| format!("groups of broker {broker}"))
                        .map(|()| response),
                    Err(error) => Err(error),
                };
                match result {
                    Ok(response) => break response,
                    Err(error) => tries.after(error).await?,
                }
            };
            for told in response.groups {
                let id = told.group_id.to_string();
                let listing = GroupListing {
                    id: id.clone(),
                    protocol_type: told.protocol_type.to_string(),
                    state: told.group_state.to_string(),
                    kind: told.group_type.to_string(),
                };
                groups.insert(id, listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Describes a group of consumers, whichever protocol it speaks.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, GROUP_AUTHORIZATION_FAILED and the like. Brokers before 4.0 describe a group that does not
    /// exist as `Dead`.
    pub async fn describe_group(&self, id: &str) -> Result<GroupDescription> {
        let key = (CoordinatorKind::Group, id);
        let coordinator = self.coordinator(CoordinatorKind::Group, id).await?;
        let connection = self.connection(coordinator, Purpose::Control).await?;
        if connection.versions().of::<ConsumerGroupDescribeRequest>().is_some() {
            let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(id))]);
            let response: ConsumerGroupDescribeResponse =
                self.ask_coordinator(key, &request, |response: &ConsumerGroupDescribeResponse| {
                    ErrorCode(response.groups.first().map_or(0, |group| group.error_code))
                })
                .await?;
            let group = super::only(response.groups, "ConsumerGroupDescribe")?;
            match ErrorCode(group.error_code) {
                GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => {}
                _ => {
                    super::check(group.error_code, group.error_message.clone(), || format!("group {id}"))?;
                    return Ok(consumer(group, coordinator));
                }
            }
        }
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(id))]);
        let response: DescribeGroupsResponse =
            self.ask_coordinator(key, &request, |response: &DescribeGroupsResponse| {
                ErrorCode(response.groups.first().map_or(0, |group| group.error_code))
            })
            .await?;
        let group = super::only(response.groups, "DescribeGroups")?;
        super::check(group.error_code, group.error_message.clone(), || format!("group {id}"))?;
        classic(group, coordinator)
    }

    async fn ask_coordinator<R: Request>(
        &self,
        key: (CoordinatorKind, &str),
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response> {
        self.send_to_coordinator(key, Purpose::Control, request, self.config().request_timeout, code).await
    }

    /// Deletes a group with all of its offsets.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP and the like.
    pub async fn delete_group(&self, id: &str) -> Result<()> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(id))]);
        let response: DeleteGroupsResponse = self
            .ask_coordinator((CoordinatorKind::Group, id), &request, |response: &DeleteGroupsResponse| {
                ErrorCode(response.results.first().map_or(0, |group| group.error_code))
            })
            .await?;
        let result = super::only(response.results, "DeleteGroups")?;
        ErrorCode(result.error_code).check(|| format!("deleting group {id}"))
    }

    /// Deletes committed offsets of a group. What became of each partition is in the result.
    ///
    /// # Errors
    /// What concerns the group: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (a classic group that is no consumer) and the like.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ErrorCode>> {
        let request = delete_request(group, partitions);
        let mut tries = self.tries();
        loop {
            let error = match self.delete_offsets_once(group, &request).await {
                Ok((code, deleted)) => match code.check(|| format!("deleting offsets of group {group}")) {
                    Ok(()) => return Ok(deleted),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if error.class() == crate::Class::Refresh {
                self.forget_coordinator(CoordinatorKind::Group, group);
            }
            tries.after(error).await?;
        }
    }

    async fn delete_offsets_once(
        &self,
        group: &str,
        request: &OffsetDeleteRequest,
    ) -> Result<(ErrorCode, BTreeMap<TopicPartition, ErrorCode>)> {
        // The one request without a flexible version: its answer is read by hand, because the codec would believe
        // lengths of four bytes.
        let key = ApiKey::OffsetDelete as i16;
        let broker = self.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.connection(broker, Purpose::Control).await?;
        if !connection.versions().knows(key) {
            let (broker, what) = (connection.address().to_owned(), "OffsetDelete".to_owned());
            return Err(Error::Unsupported { broker, what });
        }
        let frame = Frame::of(&self.config().client_id, request, 0)?;
        let bytes = connection.submit(frame).await?.wait(key, self.config().request_timeout).await?;
        read_deleted(bytes).map_err(|error| Error::protocol("response OffsetDelete", error))
    }
}

fn delete_request(group: &str, partitions: &[TopicPartition]) -> OffsetDeleteRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for partition in partitions {
        let wanted = OffsetDeleteRequestPartition::default().with_partition_index(partition.partition);
        topics.entry(&partition.topic).or_default().push(wanted);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetDeleteRequestTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
    });
    OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(topics.collect())
}

/// Header and body of OffsetDelete 0: `error_code throttle_time [name [index error_code]]`.
fn read_deleted(bytes: Bytes) -> Result<(ErrorCode, BTreeMap<TopicPartition, ErrorCode>), Short> {
    let mut from = Reader::new(bytes);
    let _correlation = from.i32()?;
    let code = ErrorCode(from.i16()?);
    let _throttle = from.i32()?;
    let mut deleted = BTreeMap::new();
    for _ in 0..from.i32()?.max(0) {
        let topic = from.short_string()?;
        for _ in 0..from.i32()?.max(0) {
            let partition = TopicPartition::new(topic.as_str(), from.i32()?);
            deleted.insert(partition, ErrorCode(from.i16()?));
        }
    }
    Ok((code, deleted))
}

fn consumer(told: DescribedGroup, coordinator: i32) -> GroupDescription {
    GroupDescription {
        id: told.group_id.to_string(),
        is_consumer: true,
        state: told.group_state.to_string(),
        assignor: told.assignor_name.to_string(),
        epochs: Some((told.group_epoch, told.assignment_epoch)),
        members: told.members.into_iter().map(member).collect(),
        coordinator,
    }
}

fn member(told: Member) -> GroupMember {
    /// The value of `MemberType` of a broker that does not tell it (before 4.1).
    const UNKNOWN: i8 = -1;
    const CONSUMER: i8 = 1;
    GroupMember {
        id: told.member_id.to_string(),
        instance_id: instance(told.instance_id),
        client_id: told.client_id.to_string(),
        host: told.client_host.to_string(),
        epoch: Some(told.member_epoch),
        assignment: partitions(&told.assignment),
        target: Some(partitions(&told.target_assignment)),
        upgraded: Some(told.member_type == CONSUMER).filter(|_| told.member_type != UNKNOWN),
    }
}

fn instance(told: Option<StrBytes>) -> Option<String> {
    told.map(|id| id.to_string()).filter(|id| !id.is_empty())
}

fn partitions(assignment: &Assignment) -> Vec<TopicPartition> {
    let topics = assignment.topic_partitions.iter();
    let all = topics.flat_map(|topic| {
        topic.partitions.iter().map(|number| TopicPartition::new(topic.topic_name.as_str(), *number))
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

fn classic(told: ClassicGroup, coordinator: i32) -> Result<GroupDescription> {
    let mut members = Vec::with_capacity(told.members.len());
    for member in told.members {
        let assignment = classic_assignment(member.member_assignment)
            .map_err(|error| Error::protocol(format!("an assignment of group {}", told.group_id.as_str()), error))?;
        members.push(GroupMember {
            id: member.member_id.to_string(),
            instance_id: instance(member.group_instance_id),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            epoch: None,
            assignment,
            target: None,
            upgraded: None,
        });
    }
    Ok(GroupDescription {
        id: told.group_id.to_string(),
        is_consumer: false,
        state: told.group_state.to_string(),
        assignor: told.protocol_data.to_string(),
        epochs: None,
        members,
        coordinator,
    })
}

/// The front of a `ConsumerProtocolAssignment` of any version: `version [topic [partition]]`.
fn classic_assignment(bytes: Bytes) -> Result<Vec<TopicPartition>, Short> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Ok(partitions);
    }
    let mut from = Reader::new(bytes);
    from.i16()?;
    for _ in 0..from.i32()?.max(0) {
        let topic = from.short_string()?;
        for _ in 0..from.i32()?.max(0) {
            partitions.push(TopicPartition::new(topic.as_str(), from.i32()?));
        }
    }
    partitions.sort();
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_of_a_classic_member_is_read_and_a_wrong_length_is_not_believed() {
        let bytes: &[u8] = &[0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0];
        let expected = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        assert_eq!(classic_assignment(Bytes::from_static(bytes)).unwrap(), expected);
        assert_eq!(classic_assignment(Bytes::new()).unwrap(), []);
        let endless: &[u8] = &[0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, b't', 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1];
        assert_eq!(classic_assignment(Bytes::from_static(endless)), Err(Short));
    }

    #[test]
    fn an_answer_about_deleted_offsets_is_read() {
        let bytes: &[u8] =
            &[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 86];
        let (code, deleted) = read_deleted(Bytes::from_static(bytes)).unwrap();
        assert!(code.is_ok());
        assert_eq!(deleted, BTreeMap::from([(TopicPartition::new("t", 3), ErrorCode(86))]));
    }
}
