//! The source: records of topics, partition by partition.
//!
//! Where the group is the commit point (`group.rs`) the partitions are shared with the other workers, and the group keeps the
//! positions. Else (`alone.rs`) the source reads all partitions, and the engine keeps the positions.

mod alone;
mod convert;
mod group;
mod known;
mod lost;
mod position;
pub(crate) use position::{Place, partition};
mod start;
mod topics;

use crate::fault::fault;
use crate::settings::{Cluster, Values};
use acme_connect::{
    Content, Context, Extent, Format, Read, SharedSource, Source, SourceParts, SplitTable, StreamInfo, Unit,
    metadata,
};
use acme_kafka::{At, Client, Fetched, Fetcher, Isolation, Metadata, TopicPartition};
use acme_types::batch::META_PREFIX;
use acme_types::codes::{INTERNAL, MISSING_KEY, SOURCE_CHANGED};
use acme_types::{Change, Chunk, Config, Diagnostic, Positions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use group::Group;
use known::Memory;
use start::Start;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use topics::{Topics, Which};

/// How often topics are looked at for new partitions, and patterns for new topics.
const LOOK: Duration = Duration::from_secs(10);
/// How often it says which partitions are at their ends, where anyone asks.
const TELL: Duration = Duration::from_millis(500);
/// How long a sample is waited for.
const SAMPLE: Duration = Duration::from_secs(5);

pub(crate) fn make(config: &Config, context: &Context) -> Result<SourceParts, Diagnostic> {
    let values = Values::of(config)?;
    let declared: Arc<[String]> =
        config.map("schema").into_iter().flatten().map(|(name, _)| name.clone()).collect();
    if matches!(values, Values::Csv(_)) && declared.is_empty() {
        let message = "the fields of CSV records are not known";
        let help = "name them with their types under `schema:`, in their order";
        return Err(config.blame("format", Diagnostic::new(&MISSING_KEY, message).help(help)));
    }
    let cluster = Cluster::of(config, context)?;
    let name = config.text("group_id").cloned().unwrap_or_else(|| format!("acme-{}", context.pipeline));
    let topics = Topics::of(config)?;
    let memory =
        Memory { disk: context.disk.clone(), directory: context.memory.clone(), item: context.item.clone() };
    let source = KafkaSource {
        memory,
        group: Group::new(&name, &topics, &cluster),
        topics,
        start: Start::of(config, context.batch_mode)?,
        start_at: config.place("start_offset").clone(),
        group_at: config.place("group_id").clone(),
        item: context.item.clone(),
        batch: context.batch_mode,
        cluster,
        values,
        declared,
        client: None,
        fetcher: None,
        looked: None,
        ends: BTreeMap::new(),
        extent: Arc::new(Extent::new(Unit::Rows)),
        splits: Arc::default(),
        tell: context.tells_ends.then(Instant::now),
    };
    let streams = Some(vec![source.stream()]);
    Ok(SourceParts { source: Box::new(source), streams })
}

pub(crate) struct KafkaSource {
    cluster: Cluster,
    memory: Memory,
    topics: Topics,
    start: Start,
    start_at: acme_types::Place,
    group_at: acme_types::Place,
    values: Values,
    /// The names under `schema:`.
    declared: Arc<[String]>,
    item: Arc<str>,
    batch: bool,
    client: Option<Client>,
    fetcher: Option<Fetcher>,
    group: Group,
    /// When the topics were looked at, where no group does it.
    looked: Option<Instant>,
    /// In batch mode: where each partition ended when it was first seen. Those that are read to there are gone.
    ends: BTreeMap<TopicPartition, i64>,
    extent: Arc<Extent>,
    splits: Arc<SplitTable>,
    /// When it says next which partitions are at their ends, where anyone asks.
    tell: Option<Instant>,
}

impl Source for KafkaSource {
    async fn describe(&mut self) -> Result<Vec<StreamInfo>, Diagnostic> {
        let client = self.cluster.look().await?;
        let cluster = self.look(&client).await?;
        self.topics.check(&client, &cluster).await?;
        self.group.check(&client).await.map_err(|fault| fault.at(&self.group_at))?;
        self.group.set_cluster(cluster.cluster_id.clone().unwrap_or_default());
        self.client = Some(client);
        Ok(vec![self.stream()])
    }

    async fn sample(&mut self, rows: usize) -> Result<Vec<Chunk>, Diagnostic> {
        let client = self.client()?.clone();
        let partitions = self.topics.partitions(self.look(&client).await?.as_ref())?;
        // The newest records that are there, as a sample of what will come.
        let found = self.list(&client, &partitions, At::Latest).await?;
        let first = self.list(&client, &partitions, At::Earliest).await?;
        let back = i64::try_from(rows).unwrap_or(i64::MAX);
        let from = |partition: &TopicPartition| (found[partition] - back).max(first[partition]);
        let begin: BTreeMap<_, _> = partitions.iter().map(|it| (it.clone(), (from(it), -1))).collect();
        self.begin(&client, &begin);
        let (mut chunks, mut count) = (Vec::new(), 0);
        let until = Instant::now() + SAMPLE;
        let some = partitions.iter().any(|partition| first[partition] < found[partition]);
        while some && count < rows {
            let fetcher = self.fetcher.as_mut().expect("it was made above");
            let Ok(fetched) = tokio::time::timeout_at(until, fetcher.next()).await else { break };
            let mut fetched = fetched.map_err(|error| fault("read a sample", &error))?;
            fetched.records.truncate(rows - count);
            count += fetched.records.len();
            chunks.extend(convert::chunk(fetched, &self.values));
        }
        Ok(chunks)
    }

    async fn open(&mut self, from: &Positions) -> Result<Positions, Diagnostic> {
        self.open_alone(from).await
    }

    fn extent(&self) -> Option<Arc<Extent>> {
        Some(self.extent.clone())
    }

    fn splits(&self) -> Option<Arc<SplitTable>> {
        Some(self.splits.clone())
    }

    fn shared(&mut self) -> Option<&mut dyn SharedSource> {
        Some(self)
    }

    async fn read(&mut self) -> Result<Read, Diagnostic> {
        let read = self.next().await;
        if read.as_ref().is_err_and(|fault| *fault.code == SOURCE_CHANGED) {
            // Somebody must choose now, and the group's offsets can only be set when nobody is in it.
            self.leave().await?;
        }
        read
    }

    async fn release(&mut self, upto: &Positions) -> Result<(), Diagnostic> {
        self.show_progress(upto).await
    }
}

impl KafkaSource {
    async fn next(&mut self) -> Result<Read, Diagnostic> {
        loop {
            if self.is_at_its_end() {
                self.extent.end();
                return Ok(Read::End);
            }
            if self.group.is_due()
                && let Some(read) = self.gained().await?
            {
                return Ok(read);
            }
            let (look, retry) = (self.looked.map(|looked| looked + LOOK), self.group.retry_at());
            let event = {
                let fetcher = self.fetcher.as_mut().ok_or_else(unopened)?;
                tokio::select! {
                    biased;
                    event = self.group.event() => Event::Group(event?),
                    fetched = fetcher.next() => Event::Fetched(fetched.map_err(|error| self.unreadable(&error))),
                    () = at(look) => Event::Look,
                    () = at(self.tell) => Event::Tell,
                    () = at(retry) => continue,
                }
            };
            let read = match event {
                Event::Group(event) => self.moved(event)?,
                Event::Fetched(Ok(fetched)) => self.taken(fetched),
                // It is still being tried; whoever watches sees the lag grow.
                Event::Fetched(Err(fault)) if fault.blame == acme_types::Blame::Remote => None,
                Event::Fetched(Err(fault)) => return Err(fault),
                Event::Look => self.look_for_more().await?,
                Event::Tell => self.at_ends(),
            };
            if let Some(read) = read {
                return Ok(read);
            }
        }
    }
}

enum Event {
    Group(acme_kafka::group::Event),
    Fetched(Result<Fetched, Diagnostic>),
    Look,
    Tell,
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn unopened() -> Diagnostic {
    Diagnostic::new(&INTERNAL, "a source is read before it is opened")
}

impl KafkaSource {
    fn stream(&self) -> StreamInfo {
        let meta = metadata::fields();
        let content = match &self.values {
            Values::Json => Content::Documents(Format::Json),
            Values::Csv(dialect) => Content::Fields(dialect.clone(), self.declared.clone()),
            Values::Raw => {
                let value = Arc::new(Field::new("value", DataType::BinaryView, true));
                let hidden = |field: &FieldRef| {
                    Arc::new(Field::clone(field).with_name(format!("{META_PREFIX}{}", field.name())))
                };
                Content::Columns(Arc::new(Schema::new(
                    [value].into_iter().chain(meta.iter().map(hidden)).collect::<Vec<_>>(),
                )))
            }
        };
        StreamInfo { name: self.item.clone(), key: Vec::new(), change: Change::Append, content, meta }
    }

    fn client(&self) -> Result<&Client, Diagnostic> {
        self.client.as_ref().ok_or_else(unopened)
    }

    /// The topics as they are now.
    async fn look(&self, client: &Client) -> Result<Arc<Metadata>, Diagnostic> {
        let found = match &self.topics.which {
            Which::Named(names) => {
                client.metadata(&names.iter().map(String::as_str).collect::<Vec<_>>()).await
            }
            Which::Matching(_) => client.all_topics().await,
        };
        found.map_err(|error| fault("ask for the topics", &error))
    }

    async fn list(
        &self,
        client: &Client,
        partitions: &[TopicPartition],
        at: At,
    ) -> Result<BTreeMap<TopicPartition, i64>, Diagnostic> {
        let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), at)).collect();
        let listed = client.list_offsets(&asked, Isolation::ReadCommitted).await;
        let listed = listed.map_err(|error| fault("ask where partitions begin and end", &error))?;
        Ok(listed.into_iter().map(|(partition, found)| (partition, found.offset)).collect())
    }

    /// Begins to fetch partitions from these offsets, each with the leader epoch before it.
    fn begin(&mut self, client: &Client, from: &BTreeMap<TopicPartition, (i64, i32)>) {
        let fetcher = self.fetcher.get_or_insert_with(|| Fetcher::new(client.clone(), self.cluster.fetch()));
        let cached = client.cached();
        let places: Vec<_> = from
            .iter()
            .map(|(partition, (offset, leader_epoch))| {
                let topic_id = cached.topics.get(&partition.topic).map(|topic| topic.id).unwrap_or_default();
                let place = acme_kafka::Position { offset: *offset, leader_epoch: *leader_epoch, topic_id };
                (partition.clone(), place)
            })
            .collect();
        fetcher.assign(&places);
        for (partition, (offset, _)) in from {
            let offset = u64::try_from(*offset).unwrap_or(0);
            let mut splits = self.splits.lock();
            let progress = splits.entry(position::split(partition)).or_default();
            (progress.offset, progress.end) = (offset, progress.end.max(offset));
        }
    }

    /// In batch mode: notes where partitions end now, and that those that are read to there need not be read.
    async fn note_ends(
        &mut self,
        client: &Client,
        from: &BTreeMap<TopicPartition, (i64, i32)>,
    ) -> Result<(), Diagnostic> {
        if self.batch {
            let partitions: Vec<_> = from.keys().cloned().collect();
            let ends = self.list(client, &partitions, At::Latest).await?;
            let left: i64 = ends.iter().map(|(partition, end)| (end - from[partition].0).max(0)).sum();
            self.extent.begin(u64::try_from(left).unwrap_or(0));
            self.ends.extend(ends.into_iter().filter(|(partition, end)| from[partition].0 < *end));
        }
        Ok(())
    }

    fn is_at_its_end(&self) -> bool {
        self.batch && self.ends.is_empty() && self.fetcher.is_some() && self.group.is_settled()
    }

    /// The partitions of which an answer since the last look has shown the end.
    fn at_ends(&mut self) -> Option<Read> {
        let now = Instant::now();
        self.tell = Some(now + TELL);
        let fetcher = self.fetcher.as_ref()?;
        let is_there = |partition: &TopicPartition| {
            let answered = fetcher.answered_at(partition);
            fetcher.at_end(partition)
                && answered.is_some_and(|answered| now.duration_since(answered.into()) < 2 * TELL)
        };
        let there: Vec<_> =
            fetcher.assignment().iter().filter(|it| is_there(it)).map(position::split).collect();
        (!there.is_empty()).then_some(Read::AtEnd(there))
    }

    /// Records that were fetched, up to the end in batch mode.
    fn taken(&mut self, mut fetched: Fetched) -> Option<Read> {
        let partition = TopicPartition { topic: fetched.topic.clone(), partition: fetched.partition };
        if self.batch {
            let end = self.ends.get(&partition).copied()?;
            if fetched.next_offset >= end {
                self.ends.remove(&partition);
                fetched.records.retain(|record| record.offset < end);
                fetched.next_offset = end;
                self.fetcher.as_mut().expect("it was fetched").revoke(std::slice::from_ref(&partition));
            }
        }
        self.extent.add(fetched.records.len());
        let (next, end) = (fetched.next_offset, fetched.last_stable_offset.max(fetched.next_offset));
        let whole = |offset: i64| u64::try_from(offset).unwrap_or(0);
        {
            let mut splits = self.splits.lock();
            let progress = splits.entry(position::split(&partition)).or_default();
            (progress.offset, progress.end) = (whole(next), whole(end));
            if let Some(last) = fetched.records.last() {
                progress.written_ms = (last.timestamp >= 0).then_some(last.timestamp);
            }
        }
        convert::chunk(fetched, &self.values).map(Read::Rows)
    }
}
