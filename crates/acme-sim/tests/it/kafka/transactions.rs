//! Transactions with offsets while coordinators and leaders move: all of one is seen, or nothing.

use super::{LIMIT, Verdict, all_happened, all_hold, caught, faults, fetcher, options, records};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::produce::{Producer, ProducerOptions, Transactional};
use acme_kafka::{Client, Isolation, TopicPartition};
use acme_sim::kafka::{Cluster, PARTITIONS, Plant, TOPIC, Time, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TRANSACTIONS: i64 = 25;
const GROUP: &str = "g";

/// What became of a transaction, as the producer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    Unknown,
}

async fn connect(client: &Client) -> Result<Producer, String> {
    let transactional = Some(Transactional { id: "t".to_owned(), timeout: Duration::from_secs(60) });
    let options = ProducerOptions { batch_bytes: 150, transactional, ..ProducerOptions::default() };
    for _ in 0..50 {
        match Producer::connect(client.clone(), options.clone()).await {
            Ok(producer) => return Ok(producer),
            Err(error) if error.class().is_transient() => {}
            Err(error) => return Err(format!("a new producer: {error}")),
        }
    }
    Err("no producer can be had".to_owned())
}

/// One transaction: its number and a counter to each partition, and its number as the offset of partition 0.
async fn fill(producer: &mut Producer, number: i64, time: &Arc<Time>) -> acme_kafka::Result<()> {
    producer.begin()?;
    for partition in 0..PARTITIONS {
        let target = producer.target(&TopicPartition::new(TOPIC, partition)).await?;
        for more in 0..1 + time.below(6) {
            let value = format!("{number}.{more}");
            producer.send(target, 0, None, Some(value.as_bytes()), &[]).await?;
        }
    }
    if time.one_in(4) {
        return Ok(());
    }
    let offset = OffsetAndMetadata::new(number);
    producer.send_offsets(&GroupMetadata::outside(GROUP), &[(TopicPartition::new(TOPIC, 0), offset)]).await
}

async fn write(client: Client, time: &Arc<Time>) -> Result<BTreeMap<i64, Fate>, String> {
    let mut producer = connect(&client).await?;
    let mut fates = BTreeMap::new();
    for number in 0..TRANSACTIONS {
        let filled = fill(&mut producer, number, time).await;
        let fate = match filled {
            Ok(()) if time.one_in(4) => Fate::Aborted,
            Ok(()) => match producer.commit().await {
                Ok(_) => Fate::Committed,
                Err(_) => Fate::Unknown,
            },
            Err(_) => Fate::Aborted,
        };
        fates.insert(number, fate);
        let goes_on = match fate {
            Fate::Committed => true,
            Fate::Aborted => producer.abort().await.is_ok(),
            Fate::Unknown => false,
        };
        // Sometimes it dies, and sometimes it has to.
        if !goes_on || time.one_in(10) {
            drop(producer);
            producer = connect(&client).await?;
        }
    }
    Ok(fates)
}

/// Everything that read_committed shows, once no transaction is open.
async fn read(
    client: Client,
    cluster: &Cluster,
    time: &Arc<Time>,
) -> Result<BTreeMap<i32, Vec<(i64, String)>>, String> {
    let mut fetcher = fetcher(client, Isolation::ReadCommitted);
    let mut read: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    loop {
        let calm = cluster.is_calm();
        if calm
            && (0..PARTITIONS).all(|number| ends.get(&number).copied().unwrap_or(0) >= cluster.end(number))
        {
            return Ok(read);
        }
        let next = tokio::select! {
            biased;
            next = fetcher.next() => next,
            () = time.sleep_ms(500) => continue,
        };
        match next {
            Ok(fetched) => {
                ends.insert(fetched.partition, fetched.next_offset);
                read.entry(fetched.partition).or_default().extend(records(&fetched));
            }
            Err(error) if error.class().is_transient() => {}
            Err(error) => return Err(format!("the fetcher failed: {error}")),
        }
    }
}

fn check(
    cluster: &Cluster,
    fates: &BTreeMap<i64, Fate>,
    read: &BTreeMap<i32, Vec<(i64, String)>>,
) -> Result<(), String> {
    let mut seen: BTreeMap<i64, i32> = BTreeMap::new();
    for number in 0..PARTITIONS {
        let read = read.get(&number).cloned().unwrap_or_default();
        let log = cluster.values(number, true);
        if read != log {
            return Err(format!("read otherwise than committed in {number}: {read:?} of {log:?}"));
        }
        let order: Vec<(i64, i64)> = read
            .iter()
            .map(|(_, value)| value.split_once('.').expect("two numbers"))
            .map(|(one, other)| (one.parse().expect("a number"), other.parse().expect("a number")))
            .collect();
        if !order.is_sorted_by(|one, other| one < other) {
            return Err(format!("double or out of order in {number}: {order:?}"));
        }
        let mut of_partition: Vec<i64> = order.into_iter().map(|(transaction, _)| transaction).collect();
        of_partition.dedup();
        of_partition.into_iter().for_each(|transaction| *seen.entry(transaction).or_default() += 1);
    }
    for (number, fate) in fates {
        let count = seen.get(number).copied().unwrap_or(0);
        let right = match fate {
            Fate::Committed => count == PARTITIONS,
            Fate::Aborted => count == 0,
            Fate::Unknown => count == 0 || count == PARTITIONS,
        };
        if !right {
            return Err(format!("transaction {number} is {fate:?} and stands in {count} partitions"));
        }
    }
    let committed = cluster.committed(0);
    if committed.is_some_and(|offset| !seen.contains_key(&offset)) {
        return Err(format!("the offset {committed:?} is that of no committed transaction"));
    }
    Ok(())
}

fn world(seed: u64, plant: Plant) -> Verdict {
    run(seed, LIMIT, |time| async move {
        let cluster = Cluster::new(&time, options(&time, false, plant));
        let writer = Client::connect(cluster.config()).await.map_err(|error| error.to_string())?;
        let reader = Client::connect(cluster.config()).await.map_err(|error| error.to_string())?;
        let (of_cluster, some) = (cluster.clone(), faults(&time));
        tokio::spawn(async move { of_cluster.disturb(some, 20_000).await });
        let last = writer.clone();
        let work = async {
            let fates = write(writer, &time).await?;
            while !cluster.is_undisturbed() {
                time.sleep_ms(500).await;
            }
            // Whoever comes next ends what was left open.
            drop(connect(&last).await?);
            time.sleep_ms(10_000).await;
            cluster.finished();
            Ok::<_, String>(fates)
        };
        let (fates, read) = tokio::join!(work, read(reader, &cluster, &time));
        let (fates, read) = (fates?, read?);
        check(&cluster, &fates, &read)?;
        let mut counts = cluster.counts();
        for (what, fate) in
            [("committed", Fate::Committed), ("aborted", Fate::Aborted), ("unknown", Fate::Unknown)]
        {
            counts.insert(what, fates.values().filter(|known| **known == fate).count() as u64);
        }
        Ok(counts)
    })
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all_with_its_offsets() {
    let counts = all_hold(200, world);
    all_happened(&counts);
}

#[test]
fn mistakes_with_markers_and_ends_are_noticed() {
    let cases = [
        (Plant::NoAborted, "read otherwise"),
        (Plant::NoStableEnd, "read otherwise"),
        (Plant::TornEnd, "stands in"),
        (Plant::AbortedOffsets, "no committed transaction"),
    ];
    for (plant, because) in cases {
        assert!(caught(60, plant, world, because) > 3, "{plant:?}: a checker that cannot fail is not a test");
    }
}
