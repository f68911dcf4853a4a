//! Records: written, read, found by offset and time, deleted.

use super::side::Side;
use super::words::*;
use acme_records::{Compression, Stamp};
use bytes::Bytes;

const NONE: Stamp = Stamp::NONE;

pub(super) async fn writing(side: &mut Side) {
    let id = create(side, &[("written", 3, &[])]).await[0];
    let to = ("written", id);
    side.each("one batch", |v| produce(v, to, &[(0, Some(batch(1_000, &["a", "b"], NONE)))])).await;
    side.each("two partitions", |v| {
        let records = || Some(batch(2_000, &["c"], NONE));
        produce(v, to, &[(1, records()), (2, records())])
    })
    .await;
    side.each("for the leader alone", |v| {
        produce(v, to, &[(0, Some(batch(3_000, &["d"], NONE)))]).with_acks(1)
    })
    .await;
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let records = packed(4_000, &["e", "f", "g"], NONE, codec);
        let request = |v| produce(v, to, &[(0, Some(records.clone()))]);
        side.each(codec.name(), request).await;
    }
    side.each("everything there", |v| m::FetchRequest::clone(&fetch_all(v, to))).await;
    side.each("no topics", |_| m::ProduceRequest::default().with_acks(-1)).await;
    side.each("no partitions", |v| produce(v, to, &[])).await;
    let ids = create(side, &[("timed", 1, &[("message.timestamp.type", "LogAppendTime")])]).await;
    side.each("with the broker's time", |v| {
        produce(v, ("timed", ids[0]), &[(0, Some(batch(5_000, &["h"], NONE)))])
    })
    .await;
    side.newly("read back", fetch(17, ("timed", ids[0]), &[(0, 0)])).await;
    let ids = create(side, &[("squeezed", 1, &[("compression.type", "gzip")])]).await;
    let newest = side.newest::<m::ProduceRequest>();
    let plain = produce(newest, ("squeezed", ids[0]), &[(0, Some(batch(5_000, &["h", "i"], NONE)))]);
    side.ask("compressed by the broker", newest, &plain).await;
    let answer = fetch(17, ("squeezed", ids[0]), &[(0, 0)]);
    side.newly("read back", answer).await;
}

fn fetch_all(version: i16, to: (&str, Uuid)) -> m::FetchRequest {
    fetch(version, to, &[(0, 0), (1, 0), (2, 0)])
}

fn set(bytes: &Bytes, at: usize, new: &[u8], fix: bool) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    if fix {
        let sum = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    }
    bytes.into()
}

/// Bit by bit: a test has the time.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// A topic of a request, by name and id.
type To<'a> = (&'a str, Uuid);

pub(super) async fn produce_invalid(side: &mut Side) {
    let hour = "3600000";
    let times = [("message.timestamp.before.max.ms", hour), ("message.timestamp.after.max.ms", hour)];
    let topics: [Wanted<'_>; 5] = [
        ("wrong", 1, &[]),
        ("small", 1, &[("max.message.bytes", "100")]),
        ("keyed", 1, &[("cleanup.policy", "compact")]),
        ("punctual", 1, &times),
        ("odd", 1, &[]),
    ];
    let ids = create(side, &topics).await;
    let good = batch(1_000, &["a", "b", "c"], NONE);
    let to = ("wrong", ids[0]);
    for (label, records) in damaged(&good) {
        side.each(label, |v| produce(v, to, &[(0, Some(records.clone()))])).await;
    }
    for (label, records) in odd(&good) {
        side.each(label, |v| produce(v, ("odd", ids[4]), &[(0, Some(records.clone()))])).await;
    }
    for (label, to, records) in misplaced(&good, &ids) {
        side.each(label, |v| produce(v, to, &[(0, Some(records.clone()))])).await;
    }
    for partition in [1, -1, i32::MAX] {
        side.each(&format!("partition {partition}"), |v| produce(v, to, &[(partition, Some(good.clone()))]))
            .await;
    }
    for acks in [2, -2, i16::MAX] {
        let request = |v| produce(v, to, &[(0, Some(good.clone()))]).with_acks(acks);
        side.each(&format!("acks={acks}"), request).await;
    }
    side.each("one good, one bad", |v| produce(v, to, &[(0, Some(good.clone())), (9, Some(good.clone()))]))
        .await;
    side.each("no id", |v| produce(v, ("", Uuid::nil()), &[(0, Some(good.clone()))])).await;
    side.newly("what is there", fetch(17, to, &[(0, 0)])).await;
    side.newly("what is there", fetch(17, ("keyed", ids[2]), &[(0, 0)])).await;
}

/// What is no good batch, wherever it is sent.
fn damaged(good: &Bytes) -> Vec<(&'static str, Bytes)> {
    let mut old = good.to_vec();
    old[16] = 1;
    let two = Bytes::from([&good[..], &good[..]].concat());
    let numbered = Stamp { producer_id: 7, producer_epoch: 0, base_sequence: -1, is_transactional: false };
    vec![
        ("empty records", Bytes::new()),
        ("a broken checksum", set(good, 62, b"x", false)),
        ("a cut batch", good.slice(..good.len() - 1)),
        ("a cut header", good.slice(..30)),
        ("two batches", two),
        ("magic 1", old.into()),
        ("magic 3", set(good, 16, &[3], false)),
        ("a wrong count", set(good, 57, &5_i32.to_be_bytes(), true)),
        ("a wrong last offset", set(good, 23, &7_i32.to_be_bytes(), true)),
        ("a control batch", set(good, 21, &0x20_i16.to_be_bytes(), true)),
        ("an unknown compression", set(good, 21, &5_i16.to_be_bytes(), true)),
        ("gzip that is none", set(good, 21, &1_i16.to_be_bytes(), true)),
        ("transactional without an id", set(good, 21, &0x10_i16.to_be_bytes(), true)),
        ("an unused attribute", set(good, 21, &0x100_i16.to_be_bytes(), true)),
        ("a producer without numbers", batch(1_000, &["a"], numbered)),
        ("a huge length", set(good, 8, &i32::MAX.to_be_bytes(), false)),
        ("a negative length", set(good, 8, &(-1_i32).to_be_bytes(), false)),
        ("a negative time", batch(-5, &["a"], NONE)),
    ]
}

/// What one of the two may take.
fn odd(good: &Bytes) -> [(&'static str, Bytes); 3] {
    [
        ("bytes behind it", Bytes::from([&good[..], b"xyz"].concat())),
        ("a base offset", set(good, 0, &5_i64.to_be_bytes(), false)),
        ("the broker's time", set(good, 21, &0x08_i16.to_be_bytes(), true)),
    ]
}

/// Good batches that their topics do not take.
fn misplaced(good: &Bytes, ids: &[Uuid]) -> Vec<(&'static str, To<'static>, Bytes)> {
    let mut builder = acme_records::BatchBuilder::with_capacity(64);
    builder.push(1_000, Some(b"k"), Some(b"v"), &[]);
    builder.push(1_000, None, Some(b"v"), &[]);
    let keyless = Bytes::from(builder.finish(Compression::None).unwrap().stamped(NONE).concat());
    vec![
        ("an unknown topic", ("unseen", Uuid::from_u128(9)), good.clone()),
        ("too large", ("small", ids[1]), batch(1_000, &["a".repeat(100).as_str()], NONE)),
        ("without a key", ("keyed", ids[2]), keyless),
        ("from long ago", ("punctual", ids[3]), batch(1_000, &["a"], NONE)),
        ("from a far future", ("punctual", ids[3]), batch(i64::MAX / 2, &["a"], NONE)),
    ]
}

/// A topic whose first partition has these offsets: 0-1, 2-4, 5, with times 1000…, 5000…, 3000.
async fn filled(side: &mut Side, name: &str) -> Uuid {
    let id = create(side, &[(name, 2, &[])]).await[0];
    let version = side.newest::<m::ProduceRequest>();
    for (time, values) in [(1_000, &["a", "b"][..]), (5_000, &["c", "d", "e"]), (3_000, &["f"])] {
        let records = Some(batch(time, values, NONE));
        side.ask("filled", version, &produce(version, (name, id), &[(0, records)])).await;
    }
    id
}

pub(super) async fn reading(side: &mut Side) {
    let id = filled(side, "read").await;
    let to = ("read", id);
    for offset in [0, 1, 2, 4, 5, 6] {
        side.each(&format!("from {offset}"), |v| fetch(v, to, &[(0, offset)])).await;
    }
    side.each("both partitions", |v| fetch(v, to, &[(0, 0), (1, 0)])).await;
    side.each("committed", |v| fetch(v, to, &[(0, 0)]).with_isolation_level(1)).await;
    side.each("one byte", |v| fetch(v, to, &[(0, 0)]).with_max_bytes(1)).await;
    side.each("a small partition", |v| {
        let mut request = fetch(v, to, &[(0, 0)]);
        request.topics[0].partitions[0].partition_max_bytes = 1;
        request
    })
    .await;
    side.each("no bytes", |v| {
        let mut request = fetch(v, to, &[(0, 0)]);
        request.topics[0].partitions[0].partition_max_bytes = 0;
        request
    })
    .await;
    side.each("more than there is", |v| fetch(v, to, &[(0, 5)]).with_min_bytes(100_000).with_max_wait_ms(50))
        .await;
    side.each("nothing", |v| fetch(v, to, &[]).with_topics(Vec::new())).await;
}

pub(super) async fn fetch_invalid(side: &mut Side) {
    let id = filled(side, "misread").await;
    let to = ("misread", id);
    for offset in [7, -1, i64::MAX, i64::MIN] {
        side.each(&format!("from {offset}"), |v| fetch(v, to, &[(0, offset)])).await;
    }
    for partition in [2, -1] {
        side.each(&format!("partition {partition}"), |v| fetch(v, to, &[(partition, 0)])).await;
    }
    side.each("an unknown topic", |v| fetch(v, ("unseen", Uuid::from_u128(3)), &[(0, 0)])).await;
    side.each("no id", |v| fetch(v, ("", Uuid::nil()), &[(0, 0)])).await;
    side.each("one good, one bad", |v| fetch(v, to, &[(0, 0), (7, 0)])).await;
    for epoch in [100, 2_000_000, -5] {
        for v in [9, 12, side.newest::<m::FetchRequest>()] {
            let mut request = fetch(v, to, &[(0, 0)]);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            side.ask(&format!("leader epoch {epoch}"), v, &request).await;
        }
    }
    let first = side.epoch;
    for (label, epoch, offset) in
        [("first", first, 3), ("last", 100, 3), ("first", first, 6), ("first", first, 9)]
    {
        for v in [12, side.newest::<m::FetchRequest>()] {
            let mut request = fetch(v, to, &[(0, offset)]);
            request.topics[0].partitions[0].last_fetched_epoch = epoch;
            side.ask(&format!("fetched in the {label} epoch at {offset}"), v, &request).await;
        }
    }
    side.each("isolation 2", |v| fetch(v, to, &[(0, 0)]).with_isolation_level(2)).await;
    side.each("negative sizes", |v| fetch(v, to, &[(0, 0)]).with_max_bytes(-1)).await;
    side.each("a negative wait", |v| fetch(v, to, &[(0, 6)]).with_max_wait_ms(-1).with_min_bytes(1)).await;
    side.each("as a follower", |v| {
        let request = fetch(v, to, &[(0, 0)]);
        if v >= 15 {
            let state =
                m::fetch_request::ReplicaState::default().with_replica_id(BrokerId(5)).with_replica_epoch(1);
            request.with_replica_state(state)
        } else {
            request.with_replica_id(BrokerId(5))
        }
    })
    .await;
}

pub(super) async fn sessions(side: &mut Side) {
    let id = filled(side, "session").await;
    let to = ("session", id);
    let (none, forgotten) = (m::FetchRequest::default().topics, m::fetch_request::ForgottenTopic::default());
    for v in [7, 12, 13, side.newest::<m::FetchRequest>()] {
        let open = fetch(v, to, &[(0, 0), (1, 0)]).with_session_epoch(0);
        let session = side.ask("opened", v, &open).await.session_id;
        let of =
            |epoch: i32, request: m::FetchRequest| request.with_session_id(session).with_session_epoch(epoch);
        let again = fetch(v, to, &[]).with_topics(none.clone());
        side.ask("goes on", v, &of(1, again.clone())).await;
        side.ask("goes on from another offset", v, &of(2, fetch(v, to, &[(0, 2)]))).await;
        side.ask("an epoch again", v, &of(2, again.clone())).await;
        side.ask("an epoch left out", v, &of(9, again.clone())).await;
        let drop = vec![
            forgotten
                .clone()
                .with_topic(until(v, 12, topic("session")))
                .with_topic_id(since(v, 13, id))
                .with_partitions(vec![0]),
        ];
        side.ask("forgets", v, &of(3, again.clone()).with_forgotten_topics_data(drop)).await;
        side.ask("an unknown partition comes", v, &of(4, fetch(v, to, &[(7, 0)]))).await;
        side.ask("and stays", v, &of(5, again.clone())).await;
        let unknown = fetch(v, ("unseen", Uuid::from_u128(4)), &[(0, 0)]);
        side.ask("an unknown topic comes", v, &of(6, unknown)).await;
        side.ask("and it stays", v, &of(7, again.clone())).await;
        side.ask("closed", v, &of(-1, again.clone())).await;
        side.ask("after its end", v, &of(8, again.clone())).await;
        side.ask("an unknown one", v, &again.clone().with_session_id(77).with_session_epoch(1)).await;
        side.ask("none, but an epoch", v, &again.clone().with_session_id(0).with_session_epoch(3)).await;
        side.ask("a negative epoch", v, &again.with_session_id(77).with_session_epoch(-2)).await;
    }
}

pub(super) async fn offsets(side: &mut Side) {
    filled(side, "found").await;
    for time in [-1, -2, 0, 1_000, 1_001, 2_000, 3_000, 5_001, 5_002, 5_003, i64::MAX, -9] {
        side.each(&format!("time {time}"), |_| list_offsets("found", &[(0, time)])).await;
    }
    for time in [-3, -4, -5, -6] {
        let newest = side.newest::<m::ListOffsetsRequest>();
        for version in [6, 7, 8, 9, newest] {
            side.ask(&format!("time {time}"), version, &list_offsets("found", &[(0, time), (1, time)])).await;
        }
    }
    side.each("an empty partition", |_| list_offsets("found", &[(1, -1)])).await;
    side.each("by time in an empty partition", |_| list_offsets("found", &[(1, 5)])).await;
    side.each("an unknown partition", |_| list_offsets("found", &[(7, -1)])).await;
    side.each("an unknown topic", |_| list_offsets("unseen", &[(0, -1)])).await;
    side.each("a bad name", |_| list_offsets("a b", &[(0, -1)])).await;
    side.each("the same twice", |_| list_offsets("found", &[(0, -1), (0, -2)])).await;
    side.each("nothing", |_| m::ListOffsetsRequest::default().with_replica_id(BrokerId(-1))).await;
    side.each("as a follower", |_| list_offsets("found", &[(0, -1)]).with_replica_id(BrokerId(5))).await;
    side.each("as a debugger", |_| list_offsets("found", &[(0, -1)]).with_replica_id(BrokerId(-2))).await;
    for version in [4, side.newest::<m::ListOffsetsRequest>()] {
        for (label, epoch) in [("last", 100), ("first", side.epoch)] {
            let mut request = list_offsets("found", &[(0, -1)]);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            side.ask(&format!("the {label} leader epoch"), version, &request).await;
        }
        let request = list_offsets("found", &[(0, -1)]).with_isolation_level(1);
        side.ask("committed", version, &request).await;
        let request = list_offsets("found", &[(0, -1)]).with_isolation_level(7);
        side.ask("isolation 7", version, &request).await;
    }
}

pub(super) async fn epochs(side: &mut Side) {
    use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    filled(side, "epochs").await;
    let asking = |v: i16, name: &str, part: i32, current: i32, epoch: i32| {
        let part = OffsetForLeaderPartition::default()
            .with_partition(part)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let one = OffsetForLeaderTopic::default().with_topic(topic(name)).with_partitions(vec![part]);
        let replica = if v >= 3 { BrokerId(-1) } else { BrokerId(-2) };
        m::OffsetForLeaderEpochRequest::default().with_replica_id(replica).with_topics(vec![one])
    };
    let first = side.epoch;
    for (label, name, part, current, epoch) in [
        ("the first", "epochs", 0, -1, first),
        ("one of the future", "epochs", 0, -1, 100),
        ("a negative one", "epochs", 0, -1, -1),
        ("an unknown leader epoch", "epochs", 0, 100, first),
        ("the present leader epoch", "epochs", 0, first, first),
        ("an empty partition", "epochs", 1, -1, first),
        ("an unknown partition", "epochs", 9, -1, first),
        ("an unknown topic", "unseen", 0, -1, first),
    ] {
        side.each(label, |v| asking(v, name, part, current, epoch)).await;
    }
    side.each("nothing", |v| asking(v, "x", 0, 0, 0).with_topics(Vec::new())).await;
}

pub(super) async fn delete_records(side: &mut Side) {
    use m::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let id = filled(side, "cut").await;
    let deleting = |name: &str, parts: &[(i32, i64)]| {
        let part = |(number, offset): &(i32, i64)| {
            DeleteRecordsPartition::default().with_partition_index(*number).with_offset(*offset)
        };
        let one = DeleteRecordsTopic::default()
            .with_name(topic(name))
            .with_partitions(parts.iter().map(part).collect());
        m::DeleteRecordsRequest::default().with_topics(vec![one]).with_timeout_ms(30_000)
    };
    for (label, name, parts) in [
        ("some", "cut", &[(0, 1)][..]),
        ("again", "cut", &[(0, 1)]),
        ("fewer", "cut", &[(0, 0)]),
        ("to the middle of a batch", "cut", &[(0, 3)]),
        ("too many", "cut", &[(0, 100)]),
        ("a negative offset", "cut", &[(0, -2)]),
        ("of an empty partition", "cut", &[(1, 0)]),
        ("all of an empty partition", "cut", &[(1, -1)]),
        ("an unknown partition", "cut", &[(9, 1)]),
        ("an unknown topic", "unseen", &[(0, 1)]),
        ("no partition", "cut", &[]),
    ] {
        side.each(label, |_| deleting(name, parts)).await;
    }
    side.newly("from the beginning", fetch(17, ("cut", id), &[(0, 0)])).await;
    side.newly("from within", fetch(17, ("cut", id), &[(0, 3)])).await;
    side.newly("what is left", list_offsets("cut", &[(0, -2)])).await;
    side.newly("all", deleting("cut", &[(0, -1)])).await;
    side.newly("nothing is left", list_offsets("cut", &[(0, -2)])).await;
    side.newly("of an internal topic", deleting("__consumer_offsets", &[(0, 0)])).await;
    side.each("nothing", |_| m::DeleteRecordsRequest::default()).await;
}

pub(super) async fn idempotent(side: &mut Side) {
    let id = create(side, &[("once", 2, &[])]).await[0];
    let v = side.newest::<m::ProduceRequest>();
    let fresh = m::InitProducerIdRequest::default().with_transaction_timeout_ms(60_000);
    let fresh = fresh.with_transactional_id(None).with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
    let producer = side.newly("a producer", fresh.clone()).await.producer_id;
    let other = side.newly("another producer", fresh).await.producer_id;
    let of = |part: i32, epoch: i16, sequence: i32, values: &[&str]| {
        let records = batch(1_000, values, stamp(producer, epoch, sequence));
        produce(v, ("once", id), &[(part, Some(records))])
    };
    for (label, request) in [
        ("the first", of(0, 0, 0, &["a", "b"])),
        ("the second", of(0, 0, 2, &["c"])),
        ("the first again", of(0, 0, 0, &["a", "b"])),
        ("the second again", of(0, 0, 2, &["c"])),
        ("one left out", of(0, 0, 9, &["d"])),
        ("half of one again", of(0, 0, 1, &["b"])),
        ("one that reaches over", of(0, 0, 2, &["c", "d"])),
        ("not from 0 in another partition", of(1, 0, 5, &["a"])),
        ("a new epoch, not from 0", of(0, 1, 3, &["d"])),
        ("a new epoch", of(0, 1, 0, &["d"])),
        ("the old epoch", of(0, 0, 3, &["e"])),
        ("the old epoch, a number that was there", of(0, 0, 2, &["c"])),
        ("a negative epoch", of(0, -1, 0, &["e"])),
        ("the next of the new epoch", of(0, 1, 1, &["e"])),
    ] {
        side.ask(label, v, &request).await;
    }
    for n in 0..7 {
        let records = batch(1_000, &["x"], stamp(other, 0, n));
        side.ask("many", v, &produce(v, ("once", id), &[(1, Some(records))])).await;
    }
    for n in [6, 3, 2, 1, 0] {
        let records = batch(1_000, &["x"], stamp(other, 0, n));
        let label = format!("the {n}th of seven again");
        side.ask(&label, v, &produce(v, ("once", id), &[(1, Some(records))])).await;
    }
    let wraps = batch(1_000, &["x"], stamp(other, 0, i32::MAX));
    side.ask("the largest number", v, &produce(v, ("once", id), &[(1, Some(wraps))])).await;
    let unknown = batch(1_000, &["x"], stamp(ProducerId(4_000_000), 3, 4));
    side.ask("a producer nobody knows", v, &produce(v, ("once", id), &[(0, Some(unknown))])).await;
    producers(side).await;
    side.newly("what is there", fetch(17, ("once", id), &[(0, 0), (1, 0)])).await;
}

async fn producers(side: &mut Side) {
    let asking = |name: &str, parts: &[i32]| {
        let one = m::describe_producers_request::TopicRequest::default()
            .with_name(topic(name))
            .with_partition_indexes(parts.to_vec());
        m::DescribeProducersRequest::default().with_topics(vec![one])
    };
    side.newly("producers of a partition", asking("once", &[0])).await;
    side.newly("producers of another", asking("once", &[1])).await;
    side.newly("of an unknown partition", asking("once", &[9, -1])).await;
    side.newly("of an unknown topic", asking("unseen", &[0])).await;
    side.newly("of a bad name", asking("a b", &[0])).await;
    side.newly("of nothing", m::DescribeProducersRequest::default()).await;
}
