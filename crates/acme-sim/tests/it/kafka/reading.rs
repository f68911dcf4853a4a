//! A fetcher while leaders move to brokers that lack records: what it has read is the log, or it says that it is not.

use super::{LIMIT, Verdict, all_hold, caught, faults, fetcher, options, records};
use acme_kafka::{Client, Error, Isolation, Position, TopicPartition, Uuid};
use acme_sim::kafka::{Batch, Cluster, PARTITIONS, Plant, TOPIC, Time, run};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records as they were read.
type Read = BTreeMap<i32, Vec<(i64, String)>>;

/// Writes records with numbers that never come again, while the world is disturbed and a little longer.
async fn write(cluster: Arc<Cluster>, time: Arc<Time>) {
    for number in 0..150 {
        time.sleep_ms(time.below(300)).await;
        let partition = i32::try_from(time.below(3)).expect("few");
        let values = (0..=time.below(3)).map(|more| format!("{number}.{more}"));
        cluster.write(partition, &Batch::plain(&values.collect::<Vec<_>>()));
    }
}

async fn follow(client: Client, cluster: &Cluster, time: &Arc<Time>, until_ms: u64) -> Result<Read, String> {
    let mut fetcher = fetcher(client, Isolation::ReadUncommitted);
    let mut read = Read::new();
    let mut end = Box::pin(time.sleep_ms(until_ms));
    loop {
        let next = tokio::select! {
            biased;
            () = &mut end => return Ok(read),
            next = fetcher.next() => next,
        };
        let error = match next {
            Ok(fetched) => {
                read.entry(fetched.partition).or_default().extend(records(&fetched));
                continue;
            }
            Err(error) => error,
        };
        let (partition, to) = match &error {
            Error::Truncated { partition, end, .. } => (*partition, *end),
            Error::OutOfRange { partition, log_end, .. } => (*partition, *log_end),
            error if error.class().is_transient() => continue,
            error => return Err(format!("the fetcher failed: {error}")),
        };
        cluster.note("said that the log was cut");
        // Whoever keeps what he read takes back what he is told is gone: here all, and reads again.
        let known = read.entry(partition).or_default();
        let log = cluster.values(partition, false);
        let is_prefix = known.iter().zip(&log).all(|(one, other)| one == other) && known.len() <= log.len();
        if is_prefix && known.len() > 1 && to > known[known.len() - 1].0 && cluster.is_undisturbed() {
            return Err(format!("said that partition {partition} was cut, and it was not: {error}"));
        }
        known.clear();
        let position = Position { offset: 0, leader_epoch: -1, topic_id: Uuid::nil() };
        fetcher.assign(&[(TopicPartition::new(TOPIC, partition), position)]);
    }
}

fn world(seed: u64, plant: Plant) -> Verdict {
    run(seed, LIMIT, |time| async move {
        let cluster = Cluster::new(&time, options(&time, true, plant));
        let client = Client::connect(cluster.config()).await.map_err(|error| error.to_string())?;
        let (of_cluster, some) = (cluster.clone(), faults(&time));
        tokio::spawn(async move { of_cluster.disturb(some, 15_000).await });
        tokio::spawn(write(cluster.clone(), time.clone()));
        let read = follow(client, &cluster, &time, 60_000).await?;
        for number in 0..PARTITIONS {
            let read = read.get(&number).cloned().unwrap_or_default();
            let log = cluster.values(number, false);
            if read != log {
                return Err(format!("read otherwise than written in {number}: {read:?} of {log:?}"));
            }
        }
        Ok(cluster.counts())
    })
}

#[test]
fn what_was_read_is_the_log_or_it_is_said_that_it_was_cut() {
    let counts = all_hold(200, world);
    let said = counts.get("said that the log was cut");
    assert!(std::env::var_os("ACME_SEED").is_some() || said.is_some_and(|count| *count > 50), "{counts:?}");
}

#[test]
fn a_client_that_does_not_compare_epochs_is_noticed() {
    assert!(
        caught(60, Plant::NoEpochs, world, "read otherwise") > 3,
        "a checker that cannot fail is not a test"
    );
}
