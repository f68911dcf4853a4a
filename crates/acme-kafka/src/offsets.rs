//! Where a partition begins and ends, and which offset a time has (ListOffsets).

use crate::client::{Client, Purpose, TopicPartition};
use crate::error::{Class, Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};
use std::collections::BTreeMap;

/// Which transactional records are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All, those of open and aborted transactions too.
    ReadUncommitted = 0,
    /// Those of committed transactions only; the end is the last stable offset.
    #[default]
    ReadCommitted = 1,
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The first one that still exists.
    Earliest,
    /// The one that the next record will get (the last stable offset under read_committed).
    Latest,
    /// That of the first record whose timestamp is this or later, in ms since 1970. The end if there is none.
    Time(i64),
    /// That of the record with the largest timestamp (KIP-734, brokers from 3.0 on).
    MaxTimestamp,
    /// The first one on the leader's own disk (KIP-405, brokers from 3.4 on).
    EarliestLocal,
    /// The last one in the tier of remote storage (KIP-1005, brokers from 3.9 on).
    LatestTiered,
    /// The first one that is to be copied to remote storage (KIP-1023, brokers from 4.2 on).
    EarliestPendingUpload,
}

impl At {
    fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::EarliestPendingUpload => -6,
            Self::Time(ms) => ms.max(0),
        }
    }

    /// The first version of ListOffsets that knows it.
    fn version_min(self) -> i16 {
        match self {
            Self::Earliest | Self::Latest | Self::Time(_) => 0,
            Self::MaxTimestamp => 7,
            Self::EarliestLocal => 8,
            Self::LatestTiered => 9,
            Self::EarliestPendingUpload => 11,
        }
    }
}

/// An offset as ListOffsets tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the record there, -1 if unknown.
    pub leader_epoch: i32,
    /// The record's timestamp in ms, -1 where none was asked for or found.
    pub timestamp: i64,
}

impl Client {
    /// Asks the leaders for offsets. Every partition asked for is in the result.
    ///
    /// # Errors
    /// What a leader says about a partition, if no repetition within `operation_timeout` mends it.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, At)],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        let mut found = BTreeMap::new();
        let mut missing: Vec<(TopicPartition, At)> = partitions.to_vec();
        let mut tries = self.tries();
        while !missing.is_empty() {
            let mut failure = None;
            for (broker, asked) in self.by_leader(&missing).await? {
                match self.list_offsets_at(broker, &asked, isolation, &mut found).await {
                    Ok(()) => {}
                    Err(error) if error.class().is_transient() => failure = Some(error),
                    Err(error) => return Err(error),
                }
            }
            missing.retain(|(partition, _)| !found.contains_key(partition));
            // A time after the last record has no offset; what comes next begins at the end.
            let beyond: Vec<_> = missing_ends(&found, partitions);
            if missing.is_empty() && !beyond.is_empty() {
                for (partition, _) in &beyond {
                    found.remove(partition);
                }
                missing = beyond.into_iter().map(|(partition, _)| (partition, At::Latest)).collect();
                continue;
            }
            if let Some(error) = failure {
                let stale = error.class() == Class::Refresh;
                tries.after(error).await?;
                if stale {
                    self.refresh(&[]).await?;
                }
            }
        }
        Ok(found)
    }

    /// Asks the leaders for offsets, each partition by itself: what is said about one does not concern the others. None is
    /// an offset that there is not, as that of a time after the last record.
    ///
    /// # Errors
    /// Only what keeps us from asking anybody.
    pub async fn find_offsets(
        &self,
        partitions: &[(TopicPartition, At)],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Result<Option<ListedOffset>>>> {
        let mut results = BTreeMap::new();
        let mut open: Vec<(TopicPartition, At)> = partitions.to_vec();
        let mut tries = self.tries();
        while !open.is_empty() {
            let mut brokers: BTreeMap<i32, Vec<_>> = BTreeMap::new();
            for (partition, at) in &open {
                match self.leader(partition).await {
                    Ok(leader) => {
                        let asked = (partition.clone(), *at, leader.epoch);
                        brokers.entry(leader.broker).or_default().push(asked);
                    }
                    Err(error) => drop(results.insert(partition.clone(), Err(error))),
                }
            }
            let mut failure = None;
            for (broker, asked) in brokers {
                let answered = self.find_offsets_at(broker, &asked, isolation).await;
                for (partition, ..) in asked {
                    let missing =
                        || Error::protocol("response ListOffsets", format!("{partition} is missing"));
                    let result = match &answered {
                        Ok(found) => found.get(&partition).cloned().unwrap_or_else(|| Err(missing())),
                        Err(error) => Err(error.clone()),
                    };
                    if let Err(error) = &result {
                        failure =
                            Some(error.clone()).filter(|error| error.class().is_transient()).or(failure);
                    }
                    results.insert(partition, result.map(|listed| Some(listed).filter(|it| it.offset >= 0)));
                }
            }
            let Some(error) = failure else { break };
            open.retain(|(partition, _)| {
                matches!(results.get(partition), Some(Err(error)) if error.class().is_transient())
            });
            if tries.after(error).await.is_err() {
                break;
            }
            self.refresh(&[]).await?;
        }
        Ok(results)
    }

    async fn find_offsets_at(
        &self,
        broker: i32,
        asked: &[(TopicPartition, At, i32)],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Result<ListedOffset>>> {
        let connection = self.connection(broker, Purpose::Control).await?;
        let needed = asked.iter().map(|(_, at, _)| at.version_min()).max().unwrap_or(0);
        if connection.version::<ListOffsetsRequest>()? < needed {
            let what = format!("ListOffsets {needed}");
            return Err(Error::Unsupported { broker: format!("broker {broker}"), what });
        }
        let response = connection.send(&list_request(asked, isolation)).await?;
        let found = list_response(response).map(|(partition, code, listed)| {
            let result = code.check(|| format!("offsets of {partition}")).map(|()| listed);
            (partition, result)
        });
        Ok(found.collect())
    }

    /// Sorts partitions by the brokers that lead them.
    async fn by_leader(
        &self,
        partitions: &[(TopicPartition, At)],
    ) -> Result<BTreeMap<i32, Vec<(TopicPartition, At, i32)>>> {
        let mut brokers: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for (partition, at) in partitions {
            let leader = self.leader(partition).await?;
            brokers.entry(leader.broker).or_default().push((partition.clone(), *at, leader.epoch));
        }
        Ok(brokers)
    }

    async fn list_offsets_at(
        &self,
        broker: i32,
        asked: &[(TopicPartition, At, i32)],
        isolation: Isolation,
        found: &mut BTreeMap<TopicPartition, ListedOffset>,
    ) -> Result<()> {
        let response = self.send(broker, &list_request(asked, isolation)).await?;
        let mut failure = None;
        for (partition, code, listed) in list_response(response) {
            match code.check(|| format!("offsets of {partition}")) {
                Ok(()) => {
                    found.insert(partition, listed);
                }
                // A partition that no repetition helps decides over those that one would.
                Err(error) => {
                    let keep = failure.take().filter(|kept: &Error| !kept.class().is_transient());
                    failure = Some(keep.unwrap_or(error));
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        match asked.iter().find(|(partition, ..)| !found.contains_key(partition)) {
            Some((partition, ..)) => {
                Err(Error::protocol("response ListOffsets", format!("{partition} is missing")))
            }
            None => Ok(()),
        }
    }
}

fn missing_ends(
    found: &BTreeMap<TopicPartition, ListedOffset>,
    asked: &[(TopicPartition, At)],
) -> Vec<(TopicPartition, At)> {
    let beyond = |(partition, at): &&(TopicPartition, At)| {
        matches!(at, At::Time(_)) && found.get(partition).is_some_and(|listed| listed.offset < 0)
    };
    asked.iter().filter(beyond).cloned().collect()
}

fn list_request(asked: &[(TopicPartition, At, i32)], isolation: Isolation) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (partition, at, epoch) in asked {
        let wanted = ListOffsetsPartition::default()
            .with_partition_index(partition.partition)
            .with_current_leader_epoch(*epoch)
            .with_timestamp(at.timestamp());
        topics.entry(&partition.topic).or_default().push(wanted);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        ListOffsetsTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
    });
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation as i8)
        .with_topics(topics.collect())
}

fn list_response(
    response: ListOffsetsResponse,
) -> impl Iterator<Item = (TopicPartition, ErrorCode, ListedOffset)> {
    response.topics.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |answer| {
            let listed = ListedOffset {
                offset: answer.offset,
                leader_epoch: answer.leader_epoch,
                timestamp: answer.timestamp,
            };
            let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
            (partition, ErrorCode(answer.error_code), listed)
        })
    })
}
