//! What the user may do (KIP-430): brokers tell it with the description of a topic or a group.

use crate::client::{Client, CoordinatorKind, Purpose};
use crate::error::{ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, MetadataRequest, MetadataResponse, TopicName,
};

/// What ACLs allow or deny. The numbers are those of the protocol (`AclOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To read a topic, or to be in a group and commit its offsets.
    Read = 3,
    /// To write a topic.
    Write = 4,
    /// To make a topic.
    Create = 5,
    /// To see that it exists.
    Describe = 8,
}

impl Operation {
    /// As `kafka-acls` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Describe => "Describe",
        }
    }
}

/// The operations that the user may do on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(i32);

impl Rights {
    /// What brokers send that were not asked, or are too old to know (before 2.3).
    const UNKNOWN: i32 = i32::MIN;

    /// Whether an operation is allowed. Where it is not known, it is to be tried.
    #[must_use]
    pub fn allow(self, operation: Operation) -> bool {
        self.0 == Self::UNKNOWN || self.0 & (1 << operation as i32) != 0
    }
}

/// The last version in which a group that does not exist is described, as one that is dead, with what may be done with it.
const DEAD: i16 = 5;

impl Client {
    /// What the user may do with each of these topics, in this order.
    ///
    /// # Errors
    /// As [`Self::send_to_any`]; the broker's code for a topic, such as UNKNOWN_TOPIC_OR_PARTITION.
    pub async fn topic_rights(&self, topics: &[&str]) -> Result<Vec<Rights>> {
        let named = |name: &&str| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false)
            .with_include_topic_authorized_operations(true);
        let response: MetadataResponse = self.send_to_any(&request).await?;
        let mut rights = Vec::with_capacity(topics.len());
        for name in topics {
            let found = response
                .topics
                .iter()
                .find(|topic| topic.name.as_ref().is_some_and(|found| found.0.as_str() == *name));
            let code =
                found.map_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, |topic| ErrorCode(topic.error_code));
            code.check(|| format!("description of topic {name}"))?;
            rights.push(Rights(found.map_or(Rights::UNKNOWN, |topic| topic.topic_authorized_operations)));
        }
        Ok(rights)
    }

    /// What the user may do with a group, whether it exists or not.
    ///
    /// # Errors
    /// GROUP_AUTHORIZATION_FAILED if not even its description is allowed, or what else the coordinator says.
    pub async fn group_rights(&self, group: &str) -> Result<Rights> {
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(text(group))])
            .with_include_authorized_operations(true);
        let code = |response: &DescribeGroupsResponse| {
            ErrorCode(response.groups.first().map_or(0, |group| group.error_code))
        };
        let key = (CoordinatorKind::Group, group);
        let timeout = self.config().request_timeout;
        let response = self
            .send_to_coordinator_at(key, Purpose::Control, &request, (timeout, DEAD), code, |_| {})
            .await?;
        let Some(described) = response.groups.first() else { return Ok(Rights(Rights::UNKNOWN)) };
        // One of the protocol of KIP-848 is not described so.
        if described.error_code == ErrorCode::GROUP_ID_NOT_FOUND.0 {
            return Ok(Rights(Rights::UNKNOWN));
        }
        code(&response).check(|| format!("description of group {group}"))?;
        Ok(Rights(described.authorized_operations))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_bits_by_the_number_of_the_operation() {
        let rights = Rights(1 << 3 | 1 << 8);
        assert!(rights.allow(Operation::Read) && rights.allow(Operation::Describe));
        assert!(!rights.allow(Operation::Write) && !rights.allow(Operation::Create));
        assert!(Rights(Rights::UNKNOWN).allow(Operation::Write), "what is not known is tried");
        assert!(!Rights(0).allow(Operation::Read));
    }
}
