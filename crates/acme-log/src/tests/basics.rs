//! What is appended is served when it is synced, as it came.

use super::*;
use crate::{AppendError, Error, ReadError};

#[test]
fn what_is_synced_is_served_and_nothing_else() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[]);
    let appended = partition.append(value(1, "a"), CLIENT).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 0));
    assert_eq!(partition.marks().high_watermark, 0);
    assert!(partition.read(0, 1_000, Until::HighWatermark).unwrap().bytes.is_empty());
    assert_eq!(values(&partition.read(0, 1_000, Until::End).unwrap().bytes), ["a"]);
    log.sync_now();
    assert_eq!(partition.marks().high_watermark, 1);
    assert_eq!(values(&partition.read(0, 1_000, Until::HighWatermark).unwrap().bytes), ["a"]);
    let error = partition.read(2, 1, Until::HighWatermark).unwrap_err();
    assert!(matches!(error, ReadError::OutOfRange { asked: 2, log_start: 0, end: 1 }), "{error}");
}

#[test]
fn a_batch_lies_as_it_came_but_for_offset_and_epoch() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[]);
    partition.append(value(1, "first"), CLIENT).unwrap();
    let came = batch(Stamp::NONE, Compression::Zstd, &[(5, Some("k"), Some("v")), (6, None, None)]);
    let (writes, _) = machine.disk.counts();
    partition.append(came.clone(), CLIENT).unwrap();
    assert_eq!(machine.disk.counts().0, writes + 1, "one write");
    log.sync_now();
    let slice = partition.read(2, 1, Until::HighWatermark).unwrap();
    assert_eq!(slice.bytes[21..], came[21..], "a read begins with the batch that holds the offset");
    let header = headers(&slice.bytes)[0];
    assert_eq!((header.base_offset, header.leader_epoch), (1, 1));
}

#[test]
fn reads_are_whole_batches_and_the_first_one_is_whole_whatever_the_limit() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("internal.segment.bytes", "700")]);
    let long = "x".repeat(300);
    for number in 0..20 {
        let text = if number % 5 == 0 { long.clone() } else { number.to_string() };
        partition.append(value(number, &text), CLIENT).unwrap();
    }
    log.sync_now();
    for from in 0..20 {
        for max in [0, 1, 100, 400, 10_000] {
            let found = headers(&partition.read(from, max, Until::HighWatermark).unwrap().bytes);
            assert_eq!(found[0].base_offset, from);
            let bytes: usize = found.iter().map(|it| it.bytes).sum();
            assert!(bytes <= max || found.len() == 1, "{bytes} of {max}");
        }
    }
    assert_eq!(headers(&all(&partition, Until::HighWatermark)).len(), 20);
    assert!(machine.disk.files(".log").len() > 3);
}

#[test]
fn what_is_wrong_with_a_batch_is_told_and_nothing_is_appended() {
    let machine = Machine::default();
    let (_log, partition) = one(&machine, &[("max.message.bytes", "200")]);
    let refuse = |bytes: BytesMut| partition.append(bytes, CLIENT).unwrap_err();
    let damaged = |at: usize, to: u8| {
        let mut bytes = value(1, "hello");
        bytes[at] ^= to;
        bytes
    };
    assert!(matches!(refuse(damaged(61, 1)), AppendError::Corrupt(_)));
    assert!(matches!(refuse(damaged(16, 3)), AppendError::UnsupportedFormat(1)));
    assert!(matches!(refuse(damaged(8, 0x80)), AppendError::Corrupt(_)));
    assert!(matches!(refuse(BytesMut::new()), AppendError::InvalidRecord(_)));
    let mut cut = value(1, "hello");
    cut.truncate(70);
    assert!(matches!(refuse(cut), AppendError::Corrupt(_)));
    assert!(matches!(refuse(value(1, &"x".repeat(200))), AppendError::TooLarge { max: 200, .. }));
    let marker = BytesMut::from(&acme_records::marker(1, 0, true, 0, 0)[..]);
    assert!(matches!(refuse(marker), AppendError::InvalidRecord(_)));
    assert!(matches!(refuse(value(machine.now() + 3_600_001, "x")), AppendError::InvalidTimestamp { .. }));
    // The number of records is a lie, though the checksum is right.
    let mut lie = value(1, "hello");
    lie[26] = 1;
    lie[60] = 2;
    let crc = crc32c::crc32c(&lie[21..]);
    lie[17..21].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(refuse(lie), AppendError::InvalidRecord(_)));
    let two = [&value(1, "a")[..], &damaged(61, 1)[..]].concat();
    assert!(matches!(refuse(BytesMut::from(&two[..])), AppendError::Corrupt(_)), "all or none");
    assert_eq!(partition.end(), 0);
}

#[test]
fn times_and_compressions_are_the_topics_if_it_says_so() {
    let machine = Machine::default();
    let own = [("message.timestamp.type", "LogAppendTime"), ("compression.type", "lz4")];
    let (log, partition) = one(&machine, &own);
    let came = batch(Stamp::NONE, Compression::Gzip, &[(5, Some("k"), Some("v")), (6, None, Some("w"))]);
    let appended = partition.append(came, CLIENT).unwrap();
    assert_eq!(appended.append_time, Some(machine.now()));
    log.sync_now();
    let bytes = all(&partition, Until::HighWatermark);
    let header = headers(&bytes)[0];
    assert_eq!((header.compression(), header.max_timestamp), (Compression::Lz4.id(), machine.now()));
    assert_eq!(values(&bytes), ["v", "w"]);
    assert!(header.is_append_time());
    let found = partition.offset_of_time(machine.now()).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (0, machine.now()));
}

#[test]
fn offsets_are_found_by_time_also_across_segments_and_lives() {
    let machine = Machine::default();
    let own = [("internal.segment.bytes", "400"), ("index.interval.bytes", "100")];
    let (log, partition) = one(&machine, &own);
    for time in [10, 30, 20, 50, 40, 60, 60, 55, 70] {
        let two = [(time, None, Some("a")), (time + 1, None, Some("b"))];
        partition.append(batch(Stamp::NONE, Compression::Snappy, &two), CLIENT).unwrap();
    }
    log.sync_now();
    let check = |partition: &Partition| {
        let at = |ms| partition.offset_of_time(ms).unwrap().map(|it| (it.offset, it.timestamp));
        assert_eq!(at(0), Some((0, 10)));
        assert_eq!(at(11), Some((1, 11)));
        assert_eq!(at(12), Some((2, 30)));
        assert_eq!(at(32), Some((6, 50)));
        assert_eq!(at(61), Some((11, 61)));
        assert_eq!(at(71), Some((17, 71)));
        assert_eq!(at(72), None);
        let newest = partition.max_timestamp().unwrap().unwrap();
        assert_eq!((newest.offset, newest.timestamp, newest.leader_epoch), (17, 71, 1));
    };
    check(&partition);
    log.housekeep();
    check(&partition);
    log.close();
    machine.disk.kill();
    check(&super::partition(&machine.open()));
}

#[test]
fn leader_epochs_tell_where_each_life_ended() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[]);
    partition.append(value(1, "a"), CLIENT).unwrap();
    partition.append(value(1, "b"), CLIENT).unwrap();
    log.close();
    drop(log);
    machine.disk.kill();
    drop(machine.open());
    machine.disk.kill();
    let log = machine.open();
    let partition = super::partition(&log);
    partition.append(value(1, "c"), CLIENT).unwrap();
    assert_eq!(partition.leader_epoch(), 3);
    let ends: Vec<_> = (0..5).map(|epoch| partition.end_of_epoch(epoch)).collect();
    assert_eq!(ends, [Some((0, 0)), Some((1, 2)), Some((1, 2)), Some((3, 3)), None]);
    assert_eq!((partition.epoch_of(1), partition.epoch_of(2)), (Some(1), Some(3)));
}

#[test]
fn topics_are_made_changed_and_deleted_for_ever() {
    let machine = Machine::default();
    let log = machine.open();
    let refused = |name, partitions, own: &[(&str, &str)]| {
        log.create_topic(name, partitions, map(own), false).unwrap_err()
    };
    assert!(matches!(refused("a/b", 1, &[]), Error::InvalidTopic(_)));
    assert!(matches!(refused("..", 1, &[]), Error::InvalidTopic(_)));
    assert!(matches!(refused("a", 0, &[]), Error::InvalidPartitions(_)));
    assert!(matches!(refused("a", 1, &[("retention.ms", "x")]), Error::InvalidSettings(_)));
    let first = log.create_topic("a", 2, map(&[("retention.ms", "5")]), false).unwrap();
    assert!(matches!(refused("a", 1, &[]), Error::TopicExists(_)));
    first.partitions[1].append(value(1, "old"), CLIENT).unwrap();
    log.add_partitions("a", 3).unwrap();
    assert!(matches!(log.add_partitions("a", 3), Err(Error::InvalidPartitions(_))));
    log.alter_settings(
        "a",
        &[("retention.ms".into(), None), ("cleanup.policy".into(), Some("compact".into()))],
    )
    .unwrap();
    assert!(log.alter_settings("a", &[("nonsense".into(), Some("1".into()))]).is_err());
    let a = log.topics().named("a").unwrap().clone();
    assert_eq!((a.partitions.len(), a.settings.compact, a.settings.own().len()), (3, true, 1));
    log.delete_topic("a").unwrap();
    assert!(matches!(log.delete_topic("a"), Err(Error::UnknownTopic(_))));
    let keyed = batch(Stamp::NONE, Compression::None, &[(1, Some("k"), None)]);
    assert!(matches!(a.partitions[0].append(keyed, CLIENT), Err(AppendError::Closed)));
    let second = log.create_topic("a", 2, BTreeMap::new(), true).unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(second.partitions[1].end(), 0);
    let cluster = log.cluster_id().to_owned();
    assert_eq!(cluster.len(), 22);
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    assert_eq!(log.cluster_id(), cluster);
    let again = log.topics().named("a").unwrap().clone();
    assert_eq!((again.id, again.is_internal, again.partitions.len()), (second.id, true, 2));
    assert!(log.topics().with_id(first.id).is_none());
}

#[test]
fn a_directory_that_is_in_use_is_refused() {
    let machine = Machine::default();
    let _log = machine.open();
    assert!(matches!(Log::open(Path::new("/data"), machine.options()), Err(Error::Locked(_))));
}

#[test]
fn relaxed_topics_serve_what_is_appended_and_sync_after_so_many_records() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("flush.messages", "3")]);
    let syncs = machine.disk.counts().1;
    partition.append(value(1, "a"), CLIENT).unwrap();
    partition.append(value(1, "b"), CLIENT).unwrap();
    assert_eq!((partition.marks().high_watermark, partition.marks().synced), (2, 0));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(partition.append(value(1, "c"), CLIENT).unwrap().durable()).unwrap();
    assert_eq!(machine.disk.counts().1, syncs);
    log.sync_now();
    assert_eq!(partition.marks().synced, 3);
}
