//! All partitions by one reader, at positions that the engine keeps. The group is only told, so that its lag can be watched.

use super::KafkaSource;
use super::position::{Place, partition, split};
use crate::fault::fault;
use acme_connect::Read;
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::{At, TopicPartition};
use acme_types::codes::SOURCE_CHANGED;
use acme_types::{Diagnostic, Positions};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl KafkaSource {
    pub(super) async fn open_alone(&mut self, from: &Positions) -> Result<Positions, Diagnostic> {
        let client = self.client()?.clone();
        let cluster = self.look(&client).await?;
        let partitions = self.topics.partitions(&cluster)?;
        let mut begin = BTreeMap::new();
        for (split, position) in from {
            let (partition, place) = (partition(split)?, Place::parse(position)?);
            let topic = cluster.topics.get(&partition.topic);
            if !topic.is_some_and(|topic| topic.partitions.contains_key(&partition.partition)) {
                let message = format!(
                    "{partition}, which the pipeline has read up to offset {}, does not exist any more",
                    place.offset
                );
                return Err(Diagnostic::new(&SOURCE_CHANGED, message).help(self.choices(&partition.topic)));
            }
            if let Some(topic) = topic.filter(|topic| topic.id != place.topic && !place.topic.is_nil()) {
                return Err(self.recreated(&partition.topic, &place.topic.to_string(), topic.id));
            }
            begin.insert(partition, (place.offset, place.epoch));
        }
        let new: Vec<TopicPartition> = partitions.into_iter().filter(|it| !begin.contains_key(it)).collect();
        begin.extend(match from.is_empty() {
            true => self.start.resolve(&client, &new).await.map_err(|fault| fault.at(&self.start_at))?,
            // They were added since: their beginning is where they begin.
            false => self
                .list(&client, &new, At::Earliest)
                .await?
                .into_iter()
                .map(|(it, first)| (it, (first, -1)))
                .collect(),
        });
        self.note_ends(&client, &begin).await?;
        self.begin(&client, &begin);
        self.looked = (!self.batch).then(Instant::now);
        Ok(self.positions(&begin))
    }

    fn positions(&self, begin: &BTreeMap<TopicPartition, (i64, i32)>) -> Positions {
        let cached = self.client.as_ref().map(acme_kafka::Client::cached).unwrap_or_default();
        let place = |(partition, (offset, epoch)): (&TopicPartition, &(i64, i32))| {
            let topic = cached.topics.get(&partition.topic).map(|topic| topic.id).unwrap_or_default();
            (split(partition), Place { offset: *offset, epoch: *epoch, topic }.position())
        };
        begin.iter().map(place).collect()
    }

    /// Looks for partitions and topics that are new.
    pub(super) async fn look_for_more(&mut self) -> Result<Option<Read>, Diagnostic> {
        self.looked = Some(Instant::now());
        let client = self.client()?.clone();
        // A cluster that cannot be reached now is asked again.
        let Ok(cluster) = self.look(&client).await else { return Ok(None) };
        let Ok(all) = self.topics.partitions(&cluster) else { return Ok(None) };
        let known = self.fetcher.as_ref().map(acme_kafka::Fetcher::assignment).unwrap_or_default();
        let new: Vec<_> = all.into_iter().filter(|partition| !known.contains(partition)).collect();
        if new.is_empty() {
            return Ok(None);
        }
        let first = self.list(&client, &new, At::Earliest).await?;
        let begin = first.into_iter().map(|(partition, offset)| (partition, (offset, -1))).collect();
        self.begin(&client, &begin);
        Ok(Some(Read::Gained { positions: self.positions(&begin), notes: Vec::new() }))
    }

    /// Tells the group how far the pipeline is, where it is not the commit point itself: for tools that watch the lag. Nothing is
    /// ever read from there.
    pub(super) async fn show_progress(&mut self, upto: &Positions) -> Result<(), Diagnostic> {
        if self.group.is_joined() {
            return Ok(());
        }
        let mut offsets = Vec::with_capacity(upto.len());
        for (split, position) in upto {
            let Place { offset, epoch, .. } = Place::parse(position)?;
            offsets.push((
                partition(split)?,
                OffsetAndMetadata { offset, leader_epoch: epoch, metadata: String::new() },
            ));
        }
        let who = GroupMetadata::outside(self.group.name());
        match self.client()?.commit_offsets(&who, &offsets).await {
            Err(error) if error.class().is_transient() => Ok(()),
            Err(error) => Err(fault(&format!("tell group \"{}\" the progress", self.group.name()), &error)
                .help("the group has other members: give the pipeline a `group_id` of its own")),
            Ok(()) => Ok(()),
        }
    }
}
