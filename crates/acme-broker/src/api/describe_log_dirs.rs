//! DescribeLogDirs: the one directory, and the bytes of each partition in it.

use super::Call;
use crate::frame::text;
use acme_log::Partition;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use rustix::fs::statvfs;
use std::sync::Arc;

pub(crate) async fn handle(call: &Call, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let topics = call.context.log.topics();
    let described = |name: &str, partitions: Vec<&Arc<Partition>>| {
        let parts = partitions.into_iter().map(|partition| {
            DescribeLogDirsPartition::default()
                .with_partition_index(partition.number())
                .with_partition_size(i64::try_from(partition.size()).unwrap_or(i64::MAX))
        });
        DescribeLogDirsTopic::default().with_name(TopicName(text(name))).with_partitions(parts.collect())
    };
    let topics: Vec<DescribeLogDirsTopic> = match &request.topics {
        None => {
            topics.iter().map(|topic| described(&topic.name, topic.partitions.iter().collect())).collect()
        }
        Some(asked) => {
            let found = asked.iter().map(|topic| {
                let parts = topic.partitions.iter().filter_map(|part| topics.partition(&topic.topic, *part));
                described(&topic.topic, parts.collect())
            });
            found.filter(|topic| !topic.partitions.is_empty()).collect()
        }
    };
    let dir = DescribeLogDirsResult::default()
        .with_log_dir(text(&call.context.log.dir().display().to_string()))
        .with_topics(topics);
    let dir = match statvfs(call.context.log.dir()) {
        Ok(disk) if call.version >= 4 => {
            let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX);
            dir.with_total_bytes(bytes(disk.f_blocks)).with_usable_bytes(bytes(disk.f_bavail))
        }
        _ => dir,
    };
    DescribeLogDirsResponse::default().with_results(vec![dir])
}
