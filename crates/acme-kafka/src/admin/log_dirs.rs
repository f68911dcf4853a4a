//! What lies on the brokers' disks (KIP-113).

use crate::client::{Client, TopicPartition};
use crate::error::{ErrorCode, Result};
use kafka_protocol::messages::DescribeLogDirsRequest;

/// A directory of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Its path.
    pub path: String,
    /// Why it cannot be read, as KAFKA_STORAGE_ERROR.
    pub error: ErrorCode,
    /// The partitions in it.
    pub replicas: Vec<LogDirReplica>,
    /// The size of its disk in bytes, -1 where the broker does not tell.
    pub total_bytes: i64,
    /// What is free of it, -1 where the broker does not tell.
    pub usable_bytes: i64,
}

/// A replica in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The size of its segments in bytes.
    pub bytes: i64,
    /// How many offsets it is behind: of a replica behind the high watermark, of a future one behind the present one.
    pub lag: i64,
    /// It is being moved here.
    pub is_future: bool,
}

impl Client {
    /// The directories of a broker.
    ///
    /// # Errors
    /// What the broker says, as CLUSTER_AUTHORIZATION_FAILED.
    pub async fn log_dirs(&self, broker: i32) -> Result<Vec<LogDir>> {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let mut tries = self.tries();
        let response = loop {
            match self.send(broker, &request).await {
                Ok(response) => break response,
                Err(error) => tries.after(error).await?,
            }
        };
        ErrorCode(response.error_code).check(|| format!("directories of broker {broker}"))?;
        let directories = response.results.into_iter().map(|told| LogDir {
            path: told.log_dir.to_string(),
            error: ErrorCode(told.error_code),
            total_bytes: told.total_bytes,
            usable_bytes: told.usable_bytes,
            replicas: told
                .topics
                .into_iter()
                .flat_map(|topic| {
                    topic.partitions.into_iter().map(move |replica| LogDirReplica {
                        partition: TopicPartition::new(topic.name.as_str(), replica.partition_index),
                        bytes: replica.partition_size,
                        lag: replica.offset_lag,
                        is_future: replica.is_future_key,
                    })
                })
                .collect(),
        });
        Ok(directories.collect())
    }
}
