//! Groups of our members and librdkafka's, through joins and leaves: every record is seen once, whoever reads it.

use super::{Line, PATIENCE, Writer, judge};
use crate::{NODE, client, topic};
use acme_kafka::group::{Assignor, Event, Member, MemberOptions, OffsetAndMetadata, Protocol, Subscription};
use acme_kafka::produce::ProducerOptions;
use acme_kafka::{Client, FetchOptions, Fetcher, Position, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

const PARTITIONS: i32 = 4;

/// What the members of a group have and have seen.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    shares: BTreeMap<&'static str, BTreeSet<i32>>,
    /// Partition and offset, in the order in which each has seen them.
    seen: BTreeMap<&'static str, Vec<(i32, i64)>>,
    wrong: Vec<String>,
}

impl Ledger {
    fn take(&self, name: &'static str, numbers: impl Iterator<Item = i32>) {
        self.0.lock().unwrap().shares.entry(name).or_default().extend(numbers);
    }

    fn give(&self, name: &'static str, numbers: impl Iterator<Item = i32>) {
        let mut entries = self.0.lock().unwrap();
        let share = entries.shares.entry(name).or_default();
        for number in numbers {
            share.remove(&number);
        }
    }

    fn gone(&self, name: &str) {
        self.0.lock().unwrap().shares.remove(name);
    }

    fn saw(&self, name: &'static str, partition: i32, offset: i64) {
        self.0.lock().unwrap().seen.entry(name).or_default().push((partition, offset));
    }

    fn wrong(&self, what: String) {
        self.0.lock().unwrap().wrong.push(what);
    }

    fn seen(&self, name: &str) -> usize {
        self.0.lock().unwrap().seen.get(name).map_or(0, Vec::len)
    }

    /// Waits until the members have so many partitions each, and each has seen something more since.
    async fn wait(&self, sizes: &[(&'static str, usize)]) {
        let sizes: BTreeMap<&str, usize> = sizes.iter().copied().collect();
        self.until(|entries| {
            entries.shares.iter().map(|(name, share)| (*name, share.len())).collect::<BTreeMap<_, _>>()
                == sizes
        })
        .await;
        for name in sizes.keys() {
            let before = self.seen(name);
            self.until(|entries| entries.seen.get(name).map_or(0, Vec::len) > before).await;
        }
    }

    async fn until(&self, is_true: impl Fn(&Entries) -> bool) {
        let waiting = async {
            while !is_true(&self.0.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        let entries = self.0.lock().unwrap();
        let seen: BTreeMap<_, _> = entries.seen.iter().map(|(name, seen)| (name, seen.len())).collect();
        assert!(in_time && entries.wrong.is_empty(), "{:?} {seen:?} {:?}", entries.shares, entries.wrong);
    }

    /// Each of so many records of each partition was seen once, and by each member in its order.
    fn check(&self, written: &[i64]) {
        let entries = self.0.lock().unwrap();
        let mut all: Vec<(i32, i64)> = entries.seen.values().flatten().copied().collect();
        all.sort_unstable();
        let expected =
            (0..).zip(written).flat_map(|(partition, end)| (0..*end).map(move |at| (partition, at)));
        assert_eq!(all, expected.collect::<Vec<_>>());
        for (name, seen) in &entries.seen {
            for number in 0..PARTITIONS {
                let of_one = seen.iter().filter(|(partition, _)| *partition == number);
                assert!(of_one.is_sorted(), "{name}, partition {number}");
            }
        }
    }
}

/// A member of ours that reads, and commits what it has read when it gives partitions away.
struct Ours {
    leave: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Ours {
    fn join(name: &'static str, client: &Client, options: MemberOptions, ledger: &Ledger) -> Self {
        let (leave, leaving) = oneshot::channel();
        Self { leave, task: tokio::spawn(work(name, client.clone(), options, ledger.clone(), leaving)) }
    }

    async fn leave(self) {
        self.leave.send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn work(
    name: &'static str,
    client: Client,
    options: MemberOptions,
    ledger: Ledger,
    mut leaving: oneshot::Receiver<()>,
) {
    let group = options.group.clone();
    let member = Member::join(&client, options);
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions::default());
    let mut positions: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let numbers = |partitions: &[TopicPartition]| {
        partitions.iter().map(|it| it.partition).collect::<Vec<_>>().into_iter()
    };
    loop {
        tokio::select! {
            _ = &mut leaving => break,
            event = member.event() => match event.unwrap() {
                Event::Assigned(partitions) => {
                    let committed = client.committed(&group, Some(&partitions), true).await.unwrap();
                    ledger.take(name, numbers(&partitions));
                    let begin = |it: TopicPartition| {
                        let at = committed.get(&it).map_or(0, |committed| committed.offset);
                        (it, Position::at(at))
                    };
                    fetcher.assign(&partitions.into_iter().map(begin).collect::<Vec<_>>());
                }
                Event::Revoking { partitions, done } => {
                    fetcher.revoke(&partitions);
                    commit(&member, &mut positions, |it| partitions.contains(it)).await;
                    ledger.give(name, numbers(&partitions));
                    done.done();
                }
                Event::Lost(partitions) => ledger.wrong(format!("{name} lost {partitions:?}")),
            },
            fetched = fetcher.next() => match fetched {
                Ok(fetched) => {
                    let partition = TopicPartition::new(fetched.topic.clone(), fetched.partition);
                    positions.insert(partition, fetched.next_offset);
                    fetched.records.iter().for_each(|record| ledger.saw(name, fetched.partition, record.offset));
                }
                Err(error) if error.class().is_transient() => {}
                Err(error) => ledger.wrong(format!("{name}: {error}")),
            },
        }
    }
    fetcher.revoke(&fetcher.assignment());
    commit(&member, &mut positions, |_| true).await;
    ledger.gone(name);
    member.leave().await;
}

async fn commit(
    member: &Member,
    positions: &mut BTreeMap<TopicPartition, i64>,
    which: impl Fn(&TopicPartition) -> bool,
) {
    let offsets: Vec<_> = positions
        .extract_if(.., |partition, _| which(partition))
        .map(|(partition, offset)| (partition, OffsetAndMetadata::new(offset)))
        .collect();
    if !offsets.is_empty() {
        member.commit(&offsets).await.unwrap();
    }
}

/// A member of librdkafka's that does the same.
struct Theirs {
    name: &'static str,
    child: Child,
    reader: Option<JoinHandle<()>>,
    ledger: Ledger,
}

impl Theirs {
    fn join(name: &'static str, group: &str, topic: &str, properties: &[&str], ledger: &Ledger) -> Self {
        let group = format!("group.id={group}");
        let mut command = judge(&NODE, "join", topic, &[&[group.as_str()], properties].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let of_thread = ledger.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (sign, rest) = line.split_once(' ').unwrap_or((&line, ""));
                let numbers = || rest.split_whitespace().map(|number| number.parse().unwrap());
                match sign {
                    "+" => of_thread.take(name, numbers()),
                    "-" => of_thread.give(name, numbers()),
                    "r" => {
                        let line = Line::read(rest);
                        of_thread.saw(name, line.partition, line.offset);
                    }
                    _ => of_thread.wrong(format!("{name}: {line}")),
                }
            }
        });
        Self { name, child, reader: Some(reader), ledger: ledger.clone() }
    }

    /// It leaves when its input ends.
    async fn leave(mut self) {
        drop(self.child.stdin.take());
        let reader = self.reader.take().unwrap();
        tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
        assert!(self.child.wait().unwrap().success());
        self.ledger.gone(self.name);
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes one record after the other to all partitions, until it is told to end; how many each has.
async fn feed(client: Client, topic: String, mut end: oneshot::Receiver<()>) -> Vec<i64> {
    let mut writer = Writer::connect(&client, &topic, ProducerOptions::default()).await;
    let mut written = vec![0; PARTITIONS as usize];
    let mut number = 0;
    while end.try_recv().is_err() {
        let line = Line { partition: number % PARTITIONS, value: Some(b"x".to_vec()), ..Line::default() };
        writer.write(&line).await;
        writer.flush().await;
        written[(number % PARTITIONS) as usize] += 1;
        number += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    written
}

async fn hand_over(protocol: Protocol, group: &str, properties: &[&str]) {
    let client = client().await;
    let name = topic(&client, PARTITIONS).await;
    let ledger = Ledger::default();
    let (end, ending) = oneshot::channel();
    let feeding = tokio::spawn(feed(client.clone(), name.clone(), ending));
    let ours = |member: &'static str| {
        let mut options = MemberOptions::new(group, Subscription::topics([&name]));
        options.protocol = protocol.clone();
        options.session_timeout = Duration::from_secs(30);
        options.heartbeat_interval = Duration::from_millis(500);
        Ours::join(member, &client, options, &ledger)
    };
    let theirs = |member: &'static str| Theirs::join(member, group, &name, properties, &ledger);
    let a = ours("a");
    ledger.wait(&[("a", 4)]).await;
    let j = theirs("j");
    ledger.wait(&[("a", 2), ("j", 2)]).await;
    a.leave().await;
    ledger.wait(&[("j", 4)]).await;
    let b = ours("b");
    ledger.wait(&[("b", 2), ("j", 2)]).await;
    j.leave().await;
    ledger.wait(&[("b", 4)]).await;
    end.send(()).unwrap();
    let written = feeding.await.unwrap();
    let total = usize::try_from(written.iter().sum::<i64>()).unwrap();
    ledger.until(|entries| entries.seen.values().map(Vec::len).sum::<usize>() >= total).await;
    b.leave().await;
    ledger.check(&written);
    // Offsets, that of each partition behind its last record, are the same for everybody.
    let committed = client.committed(group, None, true).await.unwrap();
    let ends: Vec<i64> = committed.values().map(|it| it.offset).collect();
    assert_eq!(ends, written);
}

#[tokio::test]
async fn members_of_two_makes_hand_partitions_over_without_loss_or_double() {
    let classic = hand_over(
        Protocol::Classic(vec![Assignor::CooperativeSticky]),
        "judged-classic",
        &[
            "partition.assignment.strategy=cooperative-sticky",
            "session.timeout.ms=30000",
            "heartbeat.interval.ms=500",
        ],
    );
    let consumer = hand_over(Protocol::Consumer(None), "judged-consumer", &["group.protocol=consumer"]);
    tokio::join!(classic, consumer);
}

#[tokio::test]
#[should_panic(expected = "left == right")]
async fn the_ledger_notices_a_record_that_was_seen_twice() {
    let ledger = Ledger::default();
    for (name, offset) in [("a", 0), ("a", 1), ("b", 1), ("b", 2)] {
        ledger.saw(name, 0, offset);
    }
    ledger.check(&[3]);
}
