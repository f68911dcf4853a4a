//! What was acknowledged is in the log once and in order, though connections are cut and the broker dies; librdkafka reads the log
//! that is compared with the producer's own ledger.

use super::{Line, read_by_judge};
use acme_kafka::admin::NewTopic;
use acme_kafka::produce::{Producer, ProducerOptions};
use acme_kafka::world::{Later, Simulation, Stream};
use acme_kafka::{Client, Config, Delivery, TopicPartition, World};
use acme_lab::kafka::Kafka;
use acme_lab::proxy::Proxy;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::time::Instant;

const PARTITIONS: i32 = 3;
const RECORDS: u64 = 60_000;

/// The real world, in which every broker is reached through a proxy.
struct Detour {
    proxy: Arc<Proxy>,
    /// Connections that were made.
    dials: AtomicU32,
}

impl std::fmt::Debug for Detour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Detour")
    }
}

impl Simulation for Detour {
    fn dial(&self, _: &str, _: u16) -> Later<io::Result<Box<dyn Stream>>> {
        let port = self.proxy.port();
        self.dials.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> Later<()> {
        Box::pin(tokio::time::sleep_until(at))
    }

    fn chance(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

/// By partition and number: the offset that was acknowledged.
type Acknowledged = BTreeMap<(i32, u64), i64>;

fn enter(ledger: &mut Acknowledged, deliveries: Vec<Delivery>) {
    for one in deliveries {
        let base = one.result.unwrap_or_else(|error| panic!("{} of {}: {error}", one.first, one.partition));
        for more in 0..one.count {
            // Without an offset: it was in the log already, and the broker does not tell where.
            let offset = if base < 0 { -1 } else { base + more.cast_signed() };
            let before = ledger.insert((one.partition.partition, one.first + more), offset);
            assert_eq!(before, None, "a record has one fate");
        }
    }
}

/// The time of day: brokers forget the numbers of a producer whose newest record is a day old (`producer.id.expiration.ms`), when
/// they start or look for such, and then take a repeated batch for a new one.
#[expect(clippy::disallowed_methods, reason = "a record carries the time of day")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Compares what was acknowledged with the log; the value of each record is its number in its partition.
fn audit(ledger: &Acknowledged, log: &[Line]) -> Result<(), String> {
    let mut next: BTreeMap<i32, u64> = BTreeMap::new();
    for line in log {
        let value = String::from_utf8(line.value.clone().unwrap_or_default()).unwrap_or_default();
        let expected = next.entry(line.partition).or_default();
        if value != expected.to_string() {
            return Err(format!("partition {}: {value} where {expected} is due", line.partition));
        }
        match ledger.get(&(line.partition, *expected)) {
            Some(offset) if *offset >= 0 && *offset != line.offset => {
                return Err(format!("{value} was acknowledged at {offset} and is at {}", line.offset));
            }
            _ => *expected += 1,
        }
    }
    let last =
        ledger.keys().find(|(partition, number)| next.get(partition).is_none_or(|next| number >= next));
    last.map_or(Ok(()), |lost| Err(format!("acknowledged and lost: {lost:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_record_is_there_once_in_order_through_cuts_and_a_restart() {
    let mut kafka = Kafka::start().unwrap();
    let port = kafka.bootstrap().rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = Arc::new(Proxy::start(port).unwrap());
    let mut config = Config::new([kafka.bootstrap()]);
    (config.request_timeout, config.connect_timeout) = (Duration::from_secs(10), Duration::from_secs(10));
    (config.retry_backoff, config.retry_backoff_max) = (Duration::from_millis(5), Duration::from_millis(200));
    let detour = Arc::new(Detour { proxy: proxy.clone(), dials: AtomicU32::new(0) });
    config.world = World::Simulated(detour.clone());
    let client = Client::connect(config).await.unwrap();
    client.create_topic(&NewTopic::new("ledger", PARTITIONS)).await.unwrap();
    let options = ProducerOptions {
        batch_bytes: 1_000,
        delivery_timeout: Duration::from_secs(300),
        ..ProducerOptions::default()
    };
    let mut producer = Producer::connect(client, options).await.unwrap();
    let mut targets = Vec::new();
    for number in 0..PARTITIONS {
        targets.push(producer.target(&TopicPartition::new("ledger", number)).await.unwrap());
    }
    let mut ledger = Acknowledged::new();
    for number in 0..RECORDS / 3 {
        for target in &targets {
            producer.send(*target, now(), None, Some(number.to_string().as_bytes()), &[]).await.unwrap();
        }
        if number % 500 == 250 {
            // At once, or in the middle of the answers to come.
            if number % 1_000 == 250 {
                proxy.cut();
            } else {
                proxy.cut_after(number % 97);
            }
            // Never far ahead of what was acknowledged, so that cuts and answers meet.
            while (ledger.len() as u64) < (number * 3).saturating_sub(900) {
                producer.poll().await.unwrap();
                enter(&mut ledger, producer.take_deliveries());
            }
        }
        if number == RECORDS / 6 + 100 {
            assert!(producer.buffered_bytes() > 0, "something is under way");
            kafka.kill(1).unwrap();
            kafka = tokio::task::spawn_blocking(move || {
                kafka.restart(1).unwrap();
                kafka
            })
            .await
            .unwrap();
        }
        enter(&mut ledger, producer.take_deliveries());
    }
    enter(&mut ledger, producer.flush().await.unwrap());
    let dials = detour.dials.load(Ordering::Relaxed);
    assert!(dials > 40, "{dials} connections: each cut ended one");
    assert_eq!(ledger.len() as u64, RECORDS);
    audit(&ledger, &read_by_judge(&kafka, "ledger", &[])).unwrap();
}

#[test]
fn the_audit_finds_what_is_lost_doubled_out_of_order_or_elsewhere() {
    let ledger: Acknowledged = (0..4_u64).map(|number| ((0, number), number.cast_signed())).collect();
    let log = |numbers: &[u64]| {
        let line = |(offset, number): (i64, &u64)| Line {
            offset,
            value: Some(number.to_string().into()),
            ..Line::default()
        };
        (0..).zip(numbers).map(line).collect::<Vec<_>>()
    };
    assert_eq!(audit(&ledger, &log(&[0, 1, 2, 3])), Ok(()));
    for wrong in [&[0, 1, 2][..], &[0, 1, 3], &[0, 1, 1, 2, 3], &[0, 2, 1, 3], &[]] {
        assert!(audit(&ledger, &log(wrong)).is_err(), "{wrong:?}");
    }
    let moved: Vec<Line> =
        log(&[0, 1, 2, 3]).into_iter().map(|line| Line { offset: line.offset + 1, ..line }).collect();
    assert!(audit(&ledger, &moved).is_err());
}
