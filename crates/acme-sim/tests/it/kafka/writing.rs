//! One producer and one fetcher while leaders move: each record once, in order, and all of it is read.

use super::{LIMIT, Verdict, all_happened, all_hold, caught, faults, fetcher, options, records};
use acme_kafka::produce::{Producer, ProducerOptions};
use acme_kafka::{Client, Delivery, Isolation, TopicPartition};
use acme_sim::kafka::{Cluster, PARTITIONS, Plant, TOPIC, Time, run};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Records of each partition.
const RECORDS: u64 = 60;

/// What became of the records of each partition, by their numbers: true if acknowledged.
type Fates = BTreeMap<i32, BTreeMap<u64, (bool, i64)>>;

fn take(fates: &mut Fates, deliveries: Vec<Delivery>) -> Result<(), String> {
    for delivery in deliveries {
        for number in delivery.first..delivery.first + delivery.count {
            let offset = match &delivery.result {
                Ok(base) if *base >= 0 => base + (number - delivery.first).cast_signed(),
                _ => -1,
            };
            let fate = (delivery.result.is_ok(), offset);
            let known = fates.entry(delivery.partition.partition).or_default().insert(number, fate);
            if known.is_some() {
                return Err(format!("record {number} has two fates"));
            }
        }
    }
    Ok(())
}

async fn write(client: Client, time: &Arc<Time>) -> Result<Fates, String> {
    let text = |error: acme_kafka::Error| format!("the producer failed: {error}");
    let patience_ms = if time.one_in(2) { 600_000 } else { 500 + time.below(4_000) };
    let options = ProducerOptions {
        batch_bytes: 80 + time.below(300) as usize,
        linger: Duration::from_millis(time.below(20)),
        in_flight_max: 1 + time.below(5) as usize,
        delivery_timeout: Duration::from_millis(patience_ms),
        ..ProducerOptions::default()
    };
    let mut producer = Producer::connect(client, options).await.map_err(text)?;
    let mut targets = Vec::new();
    for number in 0..PARTITIONS {
        targets.push(producer.target(&TopicPartition::new(TOPIC, number)).await.map_err(text)?);
    }
    let mut fates = Fates::new();
    for number in 0..RECORDS {
        for target in &targets {
            let value = number.to_string();
            producer.send(*target, 0, None, Some(value.as_bytes()), &[]).await.map_err(text)?;
        }
        if time.one_in(3) {
            let pause_ms = time.below(400);
            let _ = elapsed(time, pause_ms, producer.poll()).await;
        }
        if time.one_in(20) {
            take(&mut fates, producer.flush().await.map_err(text)?)?;
        }
    }
    take(&mut fates, producer.flush().await.map_err(text)?)?;
    Ok(fates)
}

/// The work's result, or none when the time is over.
async fn elapsed<T>(time: &Arc<Time>, time_ms: u64, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = work => Some(result),
        () = time.sleep_ms(time_ms) => None,
    }
}

/// Reads for ever; what was read is there at any time.
async fn read(client: Client, read: &std::sync::Mutex<BTreeMap<i32, Vec<(i64, String)>>>) -> String {
    let mut fetcher = fetcher(client, Isolation::ReadUncommitted);
    loop {
        match fetcher.next().await {
            Ok(fetched) => {
                let mut all = read.lock().expect("not poisoned");
                all.entry(fetched.partition).or_default().extend(records(&fetched));
            }
            // A report that it takes long; it goes on.
            Err(error) if error.class().is_transient() => {}
            Err(error) => return format!("the fetcher failed: {error}"),
        }
    }
}

fn check(cluster: &Cluster, partition: i32, fates: &BTreeMap<u64, (bool, i64)>) -> Result<(), String> {
    let log: Vec<(i64, u64)> = cluster
        .values(partition, false)
        .into_iter()
        .map(|(offset, value)| (offset, value.parse().expect("a number")))
        .collect();
    let numbers: Vec<u64> = log.iter().map(|(_, number)| *number).collect();
    let different: BTreeSet<u64> = numbers.iter().copied().collect();
    if different.len() != numbers.len() {
        return Err(format!("double in partition {partition}: {numbers:?}"));
    }
    if !numbers.is_sorted() {
        return Err(format!("out of order in partition {partition}: {numbers:?}"));
    }
    if fates.len() as u64 != RECORDS {
        return Err(format!("partition {partition}: only {} fates", fates.len()));
    }
    let places: BTreeMap<u64, i64> = log.iter().map(|(offset, number)| (*number, *offset)).collect();
    for (number, (acknowledged, offset)) in fates {
        let place = places.get(number);
        if *acknowledged && place.is_none() {
            return Err(format!("lost from partition {partition}: {number} of {numbers:?}"));
        }
        if *offset >= 0 && place.is_some_and(|place| place != offset) {
            return Err(format!("partition {partition}: {number} is at {place:?}, not at {offset}"));
        }
    }
    Ok(())
}

fn world(seed: u64, plant: Plant) -> Verdict {
    run(seed, LIMIT, |time| async move {
        let cluster = Cluster::new(&time, options(&time, false, plant));
        let writer = Client::connect(cluster.config()).await.map_err(|error| error.to_string())?;
        let reader = Client::connect(cluster.config()).await.map_err(|error| error.to_string())?;
        let (of_cluster, some) = (cluster.clone(), faults(&time));
        let disturbing = tokio::spawn(async move { of_cluster.disturb(some, 20_000).await });
        let result = std::sync::Mutex::new(BTreeMap::new());
        let work = async {
            let fates = write(writer, &time).await?;
            disturbing.await.map_err(|error| error.to_string())?;
            // Whatever is late has come by now.
            time.sleep_ms(10_000).await;
            let done = || {
                let read = result.lock().expect("not poisoned");
                (0..PARTITIONS).all(|number| {
                    read.get(&number)
                        .and_then(|all: &Vec<(i64, String)>| all.last())
                        .map_or(0, |(offset, _)| offset + 1)
                        >= cluster.end(number)
                })
            };
            for _ in 0..600 {
                if done() {
                    return Ok(fates);
                }
                time.sleep_ms(100).await;
            }
            Err("the fetcher does not come to the end".to_owned())
        };
        let fates = tokio::select! {
            biased;
            fates = work => fates?,
            failure = read(reader, &result) => return Err(failure),
        };
        for number in 0..PARTITIONS {
            check(&cluster, number, &fates[&number])?;
            let read = result.lock().expect("not poisoned").get(&number).cloned().unwrap_or_default();
            let log = cluster.values(number, false);
            if read != log {
                return Err(format!("read otherwise than written in {number}: {read:?} of {log:?}"));
            }
        }
        let mut counts = cluster.counts();
        let unknown =
            fates.values().flat_map(BTreeMap::values).filter(|(acknowledged, _)| !acknowledged).count();
        counts.insert("given up", unknown as u64);
        Ok(counts)
    })
}

#[test]
fn each_record_is_written_once_in_order_and_read_once_in_order() {
    let counts = all_hold(300, world);
    all_happened(&counts);
}

#[test]
fn the_same_seed_makes_the_same_world() {
    for seed in 1..=20 {
        assert_eq!(world(seed, Plant::None), world(seed, Plant::None), "seed {seed}");
    }
}

#[test]
fn mistakes_with_sequence_numbers_acknowledgements_and_positions_are_noticed() {
    let cases = [
        (Plant::NoDedup, "double"),
        (Plant::NewSequence, "double"),
        (Plant::EarlyAck, "lost"),
        (Plant::SkipAfterError, "read otherwise"),
    ];
    for (plant, because) in cases {
        assert!(caught(60, plant, world, because) > 3, "{plant:?}: a checker that cannot fail is not a test");
    }
}
