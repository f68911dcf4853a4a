//! Topics that do not keep everything: one is compacted, one forgets its oldest segments. Their rules are others, so the judge
//! of histories does not see them.

use super::load::{World, all, wall_ms};
use acme_kafka::{Client, Isolation, TopicPartition};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Keys of the compacted topic.
const KEYS: u64 = 50;

/// What one producer was told of one partition.
#[derive(Default)]
pub struct Ledger {
    /// The offset of each acknowledged value; values grow.
    acknowledged: BTreeMap<u64, i64>,
    /// Values that were sent.
    sent: u64,
}

pub type Ledgers = Arc<Mutex<BTreeMap<&'static str, Ledger>>>;

/// A producer of one of them: one record after the other, with growing values.
pub async fn produce(world: World, topic: &'static str, ledgers: Ledgers) {
    let client = world.client().await;
    let part = TopicPartition::new(topic, 0);
    let mut value = 0;
    while !world.stopped() {
        let mut producer = world.producer(&client, None).await;
        let Ok(target) = producer.target(&part).await else { continue };
        let mut goes_on = true;
        while goes_on && !world.stopped() {
            let first = value + 1;
            let mut numbers = BTreeMap::new();
            for _ in 0..20 {
                value += 1;
                let (key, text) = (format!("k{}", value % KEYS), format!("{value:0100}"));
                let sent =
                    producer.send(target, wall_ms(), Some(key.as_bytes()), Some(text.as_bytes()), &[]).await;
                goes_on &= sent.is_ok();
                numbers.extend(sent.ok().map(|number| (number, value)));
            }
            ledgers.lock().unwrap().entry(topic).or_default().sent = value;
            let deliveries = match producer.flush().await {
                Ok(deliveries) => deliveries,
                Err(_) => {
                    goes_on = false;
                    producer.take_deliveries()
                }
            };
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            let mut ledgers = ledgers.lock().unwrap();
            let ledger = ledgers.entry(topic).or_default();
            for delivery in deliveries {
                let Ok(base) = delivery.result else { continue };
                for nth in 0..delivery.count {
                    let value = numbers[&(delivery.first + nth)];
                    assert!(value >= first, "numbers are those of this round");
                    let offset = if base < 0 { -1 } else { base + i64::try_from(nth).unwrap() };
                    ledger.acknowledged.insert(value, offset);
                }
            }
        }
    }
}

/// What is there, against the ledgers. Returns how many records were acknowledged.
pub async fn audit(client: &Client, ledgers: &Ledgers) -> usize {
    let ledgers = std::mem::take(&mut *ledgers.lock().unwrap());
    for (topic, ledger) in &ledgers {
        let part = TopicPartition::new(*topic, 0);
        let asked = [(part.clone(), acme_kafka::At::Earliest)];
        let start = client.list_offsets(&asked, Isolation::ReadUncommitted);
        let start = start.await.unwrap()[&part].offset;
        let from = BTreeMap::from([(part.clone(), start)]);
        let found = all(client, Isolation::ReadUncommitted, &from).await.remove(&part).unwrap();
        assert!(
            found.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].2 < pair[1].2),
            "{topic}: in order, once"
        );
        assert!(found.iter().all(|it| it.2 <= ledger.sent), "{topic}: nothing that was not sent");
        let places: BTreeMap<u64, i64> = found.iter().map(|it| (it.2, it.1)).collect();
        for (value, offset) in ledger.acknowledged.iter().filter(|it| *it.1 >= 0) {
            if let Some(place) = places.get(value) {
                assert_eq!(place, offset, "{topic}: {value} lies where it was acknowledged");
            }
        }
        if *topic == "compacted" {
            compacted(ledger, &found);
        } else {
            assert!(start > 0, "{topic}: the oldest segments are gone");
            let gone = ledger
                .acknowledged
                .iter()
                .find(|(value, offset)| **offset >= start && !places.contains_key(value));
            assert_eq!(gone, None, "{topic}: what was acknowledged behind the start {start} is there");
        }
    }
    ledgers.values().map(|ledger| ledger.acknowledged.len()).sum()
}

/// Of each key the last acknowledged value is there, or a later one.
fn compacted(ledger: &Ledger, found: &[(Vec<u8>, i64, u64)]) {
    assert!(found.len() < ledger.acknowledged.len(), "something was compacted away");
    for key in 0..KEYS {
        let last = ledger.acknowledged.keys().rfind(|value| **value % KEYS == key).copied();
        let name = format!("k{key}");
        let there = found.iter().rfind(|it| it.0 == name.as_bytes()).map(|it| it.2);
        assert!(there >= last, "{name}: {last:?} was acknowledged, {there:?} is there");
    }
}
