//! Reading topics to standard output.

use super::failure::Failure;
use super::format::Format;
use super::topics::pattern;
use acme_kafka::admin::Resource;
use acme_kafka::group::{Assignor, Event, Member, MemberOptions, OffsetAndMetadata, Protocol, Subscription};
use acme_kafka::properties::{ConsumerSettings, Reset};
use acme_kafka::{
    At, Client, Error, ErrorCode, FetchOptions, Fetched, Fetcher, Isolation, Metadata, Position,
    TopicPartition,
};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// How often positions are committed, as `auto.commit.interval.ms`.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// How often topics are looked at for new partitions.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Stands for "never" where a point in time is needed.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Which partitions are read.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Topic(String),
    /// The topics whose whole name matches.
    Matching(String),
    Partition(String, i32),
}

/// Where reading begins without a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(i64),
    Time(i64),
    /// Nowhere: it is an error.
    Nowhere,
}

/// What is to be read and how.
#[derive(Debug)]
pub(crate) struct Consume {
    pub(crate) wanted: Wanted,
    pub(crate) from: From,
    pub(crate) group: Option<String>,
    pub(crate) messages_max: Option<u64>,
    /// End after so long without a record.
    pub(crate) idle_max: Option<Duration>,
    pub(crate) isolation: Isolation,
    pub(crate) settings: ConsumerSettings,
}

/// What becomes of the records that are read.
pub(crate) trait Take {
    /// Takes at most so many records, and counts in `taken` those that it is done with. `clock` is what the topic's timestamps
    /// are: `CreateTime` or `LogAppendTime`.
    fn records(
        &mut self,
        fetched: &Fetched,
        clock: &str,
        most: usize,
        taken: &mut usize,
    ) -> std::io::Result<()>;

    /// Whether `clock` is of any use.
    fn wants_clock(&self) -> bool {
        false
    }

    /// The group has given partitions to this member, or taken all of them away.
    fn has_partitions(&mut self, _some: bool) {}

    /// Nothing more is read; what is left is to commit, and to leave the group.
    fn end(&mut self) {}
}

/// Prints them.
pub(crate) struct Print<W> {
    pub(crate) format: Format,
    pub(crate) out: W,
}

impl<W: Write> Take for Print<W> {
    fn records(
        &mut self,
        fetched: &Fetched,
        clock: &str,
        most: usize,
        taken: &mut usize,
    ) -> std::io::Result<()> {
        for record in fetched.records.iter().take(most) {
            self.format.write(fetched, record, clock, &mut self.out)?;
            *taken += 1;
        }
        self.out.flush()
    }

    fn wants_clock(&self) -> bool {
        self.format.shows_timestamps()
    }
}

impl From {
    /// What `auto.offset.reset` asks for.
    pub(crate) fn of(reset: Reset, now_ms: i64) -> Self {
        match reset {
            Reset::Earliest => Self::Earliest,
            Reset::Latest => Self::Latest,
            Reset::None => Self::Nowhere,
            Reset::ByDuration(ago) => {
                Self::Time(now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).max(0))
            }
        }
    }
}

/// Reads until enough was read, nothing came for long enough, or somebody ends it. `note` takes what is to be told
/// meanwhile. The number of records is returned with what ended it, if that was an error.
pub(crate) async fn consume(
    client: &Client,
    consume: &Consume,
    take: &mut impl Take,
    note: impl Fn(&str),
) -> (u64, Result<(), Failure>) {
    let mut reading = Reading {
        client,
        consume,
        fetcher: Fetcher::new(client.clone(), options(consume)),
        member: None,
        positions: BTreeMap::new(),
        clocks: BTreeMap::new(),
        count: 0,
        take,
        note: &note,
    };
    let result = reading.run().await;
    reading.take.end();
    let result = reading.finish().await.and(result);
    (reading.count, result)
}

fn options(consume: &Consume) -> FetchOptions {
    let (given, default) = (&consume.settings, FetchOptions::default());
    FetchOptions {
        rack: given.client_rack.clone(),
        isolation: consume.isolation,
        max_wait: given.fetch_max_wait.unwrap_or(default.max_wait),
        min_bytes: given.fetch_min_bytes.unwrap_or(default.min_bytes),
        max_bytes: given.fetch_max_bytes.unwrap_or(default.max_bytes),
        partition_max_bytes: given.max_partition_fetch_bytes.unwrap_or(default.partition_max_bytes),
        ..default
    }
}

struct Reading<'a, T, N> {
    client: &'a Client,
    consume: &'a Consume,
    fetcher: Fetcher,
    member: Option<Member>,
    /// What was printed and is not committed yet.
    positions: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// What the timestamps of topics are.
    clocks: BTreeMap<Arc<str>, String>,
    count: u64,
    take: &'a mut T,
    note: &'a N,
}

/// Whether to go on.
enum Next {
    Go,
    End,
}

impl<T: Take, N: Fn(&str)> Reading<'_, T, N> {
    async fn run(&mut self) -> Result<(), Failure> {
        let regex = match &self.consume.wanted {
            Wanted::Matching(text) => Some(pattern(text)?),
            _ => None,
        };
        self.begin(regex.as_ref()).await?;
        let (mut interrupt, mut terminate) = signals()?;
        let far = |after: Option<Duration>| Instant::now() + after.unwrap_or(NEVER);
        let mut idle = far(self.consume.idle_max);
        let mut commit = Instant::now() + COMMIT_EVERY;
        let mut look = far(self.member.is_none().then_some(LOOK_EVERY));
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                event = event(self.member.as_ref()) => self.event(event?).await?,
                fetched = self.fetcher.next() => {
                    let before = self.count;
                    if let Next::End = self.fetched(fetched).await? {
                        return Ok(());
                    }
                    if self.count > before {
                        idle = far(self.consume.idle_max);
                    }
                }
                () = sleep_until(commit) => {
                    self.commit().await?;
                    commit = Instant::now() + COMMIT_EVERY;
                }
                () = sleep_until(look) => {
                    self.look(regex.as_ref(), false).await?;
                    look = Instant::now() + LOOK_EVERY;
                }
                () = sleep_until(idle) => return Ok(()),
            }
        }
    }

    async fn begin(&mut self, regex: Option<&Regex>) -> Result<(), Failure> {
        if let Wanted::Topic(name) | Wanted::Partition(name, _) = &self.consume.wanted {
            let metadata = self.client.metadata(&[name]).await?;
            let topic = metadata.topics.get(name.as_str());
            if topic.is_none_or(|topic| topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) {
                let help = format!(
                    "`acme topics list` shows the topics that there are; `acme topics create {name}` makes it"
                );
                return Err(Failure::user(format!("Topic '{name}' does not exist"), help));
            }
        }
        match &self.consume.group {
            Some(group) => {
                self.member = Some(Member::join(self.client, self.options(group, regex)));
                Ok(())
            }
            None => self.look(regex, true).await,
        }
    }

    fn options(&self, group: &str, regex: Option<&Regex>) -> MemberOptions {
        let subscription = match (&self.consume.wanted, regex) {
            (Wanted::Topic(name) | Wanted::Partition(name, _), _) => Subscription::topics([name]),
            (Wanted::Matching(_), Some(regex)) => {
                let regex = regex.clone();
                Subscription::Matching(Arc::new(move |name| regex.is_match(name)))
            }
            (Wanted::Matching(_), None) => Subscription::topics::<&str>([]),
        };
        let given = &self.consume.settings;
        let mut options = MemberOptions::new(group, subscription);
        let assignors = given.partition_assignment_strategy.iter().filter_map(|name| Assignor::named(name));
        let assignors: Vec<Assignor> = assignors.collect();
        options.protocol = if given.group_protocol.as_deref() == Some("consumer") {
            Protocol::Consumer(given.group_remote_assignor.clone())
        } else if assignors.is_empty() {
            // The first choice of Kafka's own consumer, whose groups we may join.
            Protocol::Classic(vec![Assignor::Range])
        } else {
            Protocol::Classic(assignors)
        };
        options.instance_id.clone_from(&given.group_instance_id);
        options.session_timeout = given.session_timeout.unwrap_or(options.session_timeout);
        options.heartbeat_interval = given.heartbeat_interval.unwrap_or(options.heartbeat_interval);
        options.rebalance_timeout = given.max_poll_interval.unwrap_or(options.rebalance_timeout);
        options
    }

    /// Finds partitions that are not read yet. Those that come later are read from their beginning.
    async fn look(&mut self, regex: Option<&Regex>, first: bool) -> Result<(), Failure> {
        let metadata = match &self.consume.wanted {
            Wanted::Matching(_) => self.client.all_topics().await?,
            Wanted::Topic(name) | Wanted::Partition(name, _) => self.client.metadata(&[name]).await?,
        };
        let known: BTreeSet<TopicPartition> = self.fetcher.assignment().into_iter().collect();
        let mut new = partitions(&self.consume.wanted, regex, &metadata);
        new.retain(|partition| !known.contains(partition));
        let from = if first { self.consume.from } else { From::Earliest };
        if let (Wanted::Partition(name, number), true, true) = (&self.consume.wanted, first, new.is_empty()) {
            let help = format!("`acme topics describe {name}` shows the topic's partitions");
            return Err(Failure::user(format!("Topic '{name}' has no partition {number}"), help));
        }
        self.assign(new, from).await
    }

    async fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Assigned(partitions) => {
                self.take.has_partitions(true);
                let group = self.consume.group.as_deref().unwrap_or_default();
                let committed = self.client.committed(group, Some(&partitions), true).await?;
                let positions: Vec<_> = committed
                    .iter()
                    .map(|(partition, at)| {
                        let position = Position { leader_epoch: at.leader_epoch, ..Position::at(at.offset) };
                        (partition.clone(), position)
                    })
                    .collect();
                self.name_clocks(&partitions).await;
                self.fetcher.assign(&positions);
                let without = partitions.into_iter().filter(|it| !committed.contains_key(it)).collect();
                self.assign(without, self.consume.from).await?;
            }
            Event::Revoking { partitions, done } => {
                self.fetcher.revoke(&partitions);
                self.take.has_partitions(!self.fetcher.assignment().is_empty());
                let committed = self.commit().await;
                done.done();
                committed?;
            }
            Event::Lost(partitions) => {
                self.fetcher.revoke(&partitions);
                self.positions.retain(|partition, _| !partitions.contains(partition));
            }
        }
        Ok(())
    }

    async fn assign(&mut self, partitions: Vec<TopicPartition>, from: From) -> Result<(), Failure> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.name_clocks(&partitions).await;
        let at = match from {
            From::Offset(offset) => {
                let all: Vec<_> =
                    partitions.into_iter().map(|partition| (partition, Position::at(offset))).collect();
                self.fetcher.assign(&all);
                return Ok(());
            }
            From::Earliest => At::Earliest,
            From::Latest => At::Latest,
            From::Time(ms) => At::Time(ms),
            From::Nowhere => {
                let said = format!("Undefined offset with no reset policy for partition: {}", partitions[0]);
                return Err(Failure::user(said, "set auto.offset.reset to earliest or latest"));
            }
        };
        let asked: Vec<_> = partitions.into_iter().map(|partition| (partition, at)).collect();
        let listed = self.client.list_offsets(&asked, self.consume.isolation).await?;
        let all: Vec<_> =
            listed.into_iter().map(|(partition, listed)| (partition, Position::at(listed.offset))).collect();
        self.fetcher.assign(&all);
        Ok(())
    }

    /// Learns whether the broker sets the timestamps of topics.
    async fn name_clocks(&mut self, partitions: &[TopicPartition]) {
        const NAME: &str = "message.timestamp.type";
        if !self.take.wants_clock() {
            return;
        }
        for topic in partitions.iter().map(|partition| &partition.topic) {
            if self.clocks.contains_key(topic) {
                continue;
            }
            // Who may read a topic need not be allowed to see its settings.
            let settings =
                self.client.describe_configs(&Resource::Topic(topic.to_string()), Some(&[NAME])).await;
            let clock = settings.ok().and_then(|settings| settings.get(NAME)?.value.clone());
            self.clocks.insert(topic.clone(), clock.unwrap_or_else(|| "CreateTime".to_owned()));
        }
    }

    async fn fetched(&mut self, fetched: Result<Fetched, Error>) -> Result<Next, Failure> {
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) if error.class().is_transient() => {
                (self.note)(&format!("{error}; trying on\n"));
                return Ok(Next::Go);
            }
            Err(Error::OutOfRange { topic, partition, offset, .. }) => {
                // The log has moved on past the position, as after a long pause.
                (self.note)(&format!("offset {offset} of {topic}/{partition} is not in the log\n"));
                let from = match self.consume.from {
                    From::Offset(_) => From::Latest,
                    from => from,
                };
                self.assign(vec![TopicPartition::new(topic, partition)], from).await?;
                return Ok(Next::Go);
            }
            Err(error) => return Err(error.into()),
        };
        match self.taken(&fetched) {
            Ok(next) => Ok(next),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                (self.note)("Unable to write to standard out, closing consumer.\n");
                Ok(Next::End)
            }
            Err(error) => Err(Failure::user(
                format!("Error processing message: {error}"),
                "choose another deserializer",
            )),
        }
    }

    fn taken(&mut self, fetched: &Fetched) -> std::io::Result<Next> {
        let partition = TopicPartition { topic: fetched.topic.clone(), partition: fetched.partition };
        let clock = self.clocks.get(&fetched.topic).map_or("CreateTime", String::as_str);
        let room = self.consume.messages_max.map_or(u64::MAX, |max| max.saturating_sub(self.count));
        let most = usize::try_from(room).unwrap_or(usize::MAX);
        let mut taken = 0;
        let result = self.take.records(fetched, clock, most, &mut taken);
        self.count += u64::try_from(taken).unwrap_or(u64::MAX);
        // What was printed counts as read even if the next record could not be printed.
        let next = match fetched.records.get(..taken).and_then(<[_]>::last) {
            _ if taken == fetched.records.len() => Some(fetched.next_offset),
            last => last.map(|record| record.offset + 1),
        };
        if let Some(offset) = next {
            let leader_epoch = fetched.leader_epoch;
            let position = OffsetAndMetadata { leader_epoch, ..OffsetAndMetadata::new(offset) };
            self.positions.insert(partition, position);
        }
        result?;
        Ok(if self.consume.messages_max == Some(self.count) { Next::End } else { Next::Go })
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let Some(member) = &self.member else {
            self.positions.clear();
            return Ok(());
        };
        let positions: Vec<_> = std::mem::take(&mut self.positions).into_iter().collect();
        if positions.is_empty() {
            return Ok(());
        }
        match member.commit(&positions).await {
            Ok(()) => Ok(()),
            // They have gone to somebody else, who reads these records again.
            Err(error)
                if [
                    Some(ErrorCode::UNKNOWN_MEMBER_ID),
                    Some(ErrorCode::ILLEGAL_GENERATION),
                    Some(ErrorCode::STALE_MEMBER_EPOCH),
                ]
                .contains(&error.code()) =>
            {
                (self.note)(&format!("{error}\n"));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        let result = self.commit().await;
        if let Some(member) = self.member.take() {
            member.leave().await;
        }
        result
    }
}

async fn event(member: Option<&Member>) -> Result<Event, Error> {
    match member {
        Some(member) => member.event().await,
        None => std::future::pending().await,
    }
}

fn signals() -> Result<(Signal, Signal), Failure> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::user(format!("cannot listen to signals: {error}"), "try it again"))
    };
    Ok((listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
}

fn partitions(wanted: &Wanted, regex: Option<&Regex>, metadata: &Metadata) -> Vec<TopicPartition> {
    let is_wanted = |name: &str, number: i32| match wanted {
        Wanted::Topic(topic) => topic == name,
        Wanted::Partition(topic, partition) => topic == name && *partition == number,
        // As Java's consumer: a pattern does not mean Kafka's own topics.
        Wanted::Matching(_) => regex.is_some_and(|regex| regex.is_match(name)),
    };
    let skip_internal = matches!(wanted, Wanted::Matching(_));
    let topics = metadata.topics.iter().filter(|(_, topic)| !(skip_internal && topic.is_internal));
    let all = topics.flat_map(|(name, topic)| topic.partitions.keys().map(move |number| (name, *number)));
    all.filter(|(name, number)| is_wanted(name, *number))
        .map(|(name, number)| TopicPartition { topic: name.clone(), partition: number })
        .collect()
}
