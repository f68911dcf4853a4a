//! What is rebuilt, what is looked into, and what small settings do.

use super::*;
use crate::{AppendError, Options};

fn segments(settings: &[(&str, &str)]) -> (Machine, Log, Arc<Partition>) {
    let machine = Machine::default();
    let own = [&[("internal.segment.bytes", "300"), ("index.interval.bytes", "1")], settings].concat();
    let (log, partition) = one(&machine, &own);
    (machine, log, partition)
}

#[test]
fn whatever_lies_beside_the_batches_is_made_again_where_it_is_missing() {
    let (machine, log, partition) = segments(&[]);
    for number in 0..12 {
        let stamp = producer(5, 0, number, number % 4 != 3);
        let bytes = batch(stamp, Compression::None, &[(i64::from(number), None, Some("v"))]);
        partition.append(bytes, Writer::Coordinator).ok();
        if number % 4 == 2 {
            partition.end_transaction(5, 0, false, 1).unwrap();
        }
    }
    log.sync_now();
    log.housekeep();
    let seen = |partition: &Partition| {
        let slice = partition.read(0, 10_000, Until::LastStable).unwrap();
        let times: Vec<_> = (0..12).map(|time| partition.offset_of_time(time).unwrap()).collect();
        (
            all(partition, Until::LastStable),
            slice.aborted,
            times,
            partition.producers(),
            partition.max_timestamp().unwrap(),
        )
    };
    let expected = seen(&partition);
    assert!(!expected.1.is_empty() && expected.2.iter().all(Option::is_some));
    let mut files: Vec<_> = [".index", ".timeindex", ".txnindex", ".sum", ".snapshot"]
        .iter()
        .flat_map(|end| machine.disk.files(end).into_iter().map(|(path, _)| path))
        .collect();
    assert!(files.len() > 12, "{files:?}");
    drop((log, partition));
    let check = |gone: &[std::path::PathBuf]| {
        let machine = Machine { disk: machine.disk.copy(), ..machine.clone() };
        gone.iter().for_each(|path| machine.disk.delete(path));
        let log = machine.open();
        let partition = super::partition(&log);
        assert_eq!(partition.damage(), None, "{gone:?}");
        assert!(seen(&partition) == expected, "{gone:?}");
        // They are there again for the next start.
        log.housekeep();
        drop((log, partition));
        machine.disk.kill();
        let log = machine.open();
        assert!(seen(&super::partition(&log)) == expected, "{gone:?}, at the second start");
    };
    files.iter().for_each(|path| check(std::slice::from_ref(path)));
    check(&files);
    files.retain(|path| path.extension().is_some_and(|it| it == "sum"));
    check(&files);
}

#[test]
fn the_largest_time_is_that_of_a_record_that_is_served() {
    let (machine, log, partition) = segments(&[]);
    let time = |partition: &Partition| partition.max_timestamp().unwrap().map(|it| (it.offset, it.timestamp));
    assert_eq!(time(&partition), None);
    partition.append(value(7, "first"), CLIENT).unwrap();
    assert_eq!(time(&partition), None, "nothing is on the disk");
    log.sync_now();
    assert_eq!(time(&partition), Some((0, 7)));
    partition.append(value(5, "older"), CLIENT).unwrap();
    partition.append(value(9, "newer"), CLIENT).unwrap();
    assert_eq!(time(&partition), Some((0, 7)), "the newer one is not on the disk");
    // Also where it lies in a segment of its own.
    for _ in 0..6 {
        partition.append(value(11, "far away, in other segments"), CLIENT).unwrap();
    }
    assert!(machine.disk.files(".log").len() > 1);
    assert_eq!(time(&partition), Some((0, 7)));
    log.sync_now();
    assert_eq!(time(&partition), Some((3, 11)));
}

#[test]
fn records_of_compressed_batches_are_looked_into() {
    let (_, _, plain) = segments(&[("max.message.bytes", "100000")]);
    let (_, _, compacted) = segments(&[("cleanup.policy", "compact")]);
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let two = [(1, Some("k"), Some("v")), (1, None, Some("w"))];
        let refused = compacted.append(batch(Stamp::NONE, compression, &two), CLIENT).unwrap_err();
        assert!(
            matches!(&refused, AppendError::Keyless { records, total: 1 } if *records == [1]),
            "{refused}"
        );
        compacted.append(batch(Stamp::NONE, compression, &two[..1]), CLIENT).unwrap();
        plain.append(batch(Stamp::NONE, compression, &two), CLIENT).unwrap();

        // A batch that nobody could read.
        let mut broken = batch(Stamp::NONE, compression, &two);
        let end = broken.len();
        broken[acme_records::HEADER_BYTES..end].fill(0x55);
        let refused = plain.append(checked(broken), CLIENT).unwrap_err();
        assert!(matches!(refused, AppendError::Compressed(_)), "{compression:?}: {refused}");

        // It says that it has three records.
        let mut short = batch(Stamp::NONE, compression, &two);
        short[26] = 2;
        short[60] = 3;
        let refused = plain.append(checked(short), CLIENT).unwrap_err();
        assert!(matches!(refused, AppendError::InvalidRecord(_)), "{compression:?}: {refused}");
    }
    assert_eq!((plain.end(), compacted.end()), (8, 4));
}

#[test]
fn records_whose_times_are_not_taken_are_named() {
    let own = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "1000")];
    let (machine, _log, partition) = segments(&own);
    let now = machine.now();
    let times = [now, now - 1_001, now + 1_000, now + 1_001, now - 1_000];
    for compression in [Compression::None, Compression::Zstd] {
        let came = times.map(|time| (time, Some("k"), Some("v")));
        let refused = partition.append(batch(Stamp::NONE, compression, &came), CLIENT).unwrap_err();
        let AppendError::InvalidTimestamp { records, total, earliest, latest } = refused else {
            panic!("{refused}");
        };
        assert_eq!((records, total), (vec![(1, now - 1_001), (3, now + 1_001)], 2));
        assert_eq!((earliest, latest), (now - 1_000, now + 1_000));
    }
    assert_eq!(partition.end(), 0);
}

/// The batch with a checksum that is right.
fn checked(mut batch: BytesMut) -> BytesMut {
    let crc = crc32c::crc32c(&batch[21..]).to_be_bytes();
    batch[17..21].copy_from_slice(&crc);
    batch
}

#[test]
fn a_topic_compresses_at_the_level_that_it_names() {
    let text: String =
        (0..4_000_u32).map(|n| format!("{} ", n.wrapping_mul(2_654_435_761) % 1_000)).collect();
    let size = |settings: &[(&str, &str)]| {
        let (_, log, partition) = segments(settings);
        partition.append(value(1, &text), CLIENT).unwrap();
        log.sync_now();
        let bytes = all(&partition, Until::HighWatermark);
        let header = headers(&bytes)[0];
        let compression = Compression::of(header.compression()).unwrap();
        let mut plain = Vec::new();
        compression.decompress(&bytes[acme_records::HEADER_BYTES..], &mut plain, 1 << 20).unwrap();
        let mut records = RawRecords::new(&header, &plain);
        assert_eq!(records.next().unwrap().unwrap().value, Some(text.as_bytes()));
        (compression, bytes.len())
    };
    let gzip = |level| size(&[("compression.type", "gzip"), ("compression.gzip.level", level)]);
    let zstd = |level| size(&[("compression.type", "zstd"), ("compression.zstd.level", level)]);
    let (fast, small) = (gzip("1"), gzip("9"));
    assert_eq!((fast.0, small.0), (Compression::Gzip, Compression::Gzip));
    assert!(fast.1 > small.1, "{fast:?} {small:?}");
    let (fast, small) = (zstd("-20"), zstd("19"));
    assert!(fast.0 == Compression::Zstd && fast.1 > small.1, "{fast:?} {small:?}");
    assert_eq!(gzip("-1"), size(&[("compression.type", "gzip")]));
}

#[test]
fn with_a_jitter_segments_end_at_times_of_their_own() {
    let rolls = |jitter: &str| {
        let machine = Machine::default();
        let log = machine.open();
        let settings = map(&[("segment.ms", "1000"), ("segment.jitter.ms", jitter)]);
        let topic = log.create_topic("t", 20, settings, false).unwrap();
        let mut rolled = std::collections::BTreeSet::new();
        for partition in &topic.partitions {
            let mut time = 0;
            while partition.segments().len() == 1 {
                partition.append(value(time, "v"), CLIENT).unwrap();
                time += 50;
            }
            rolled.insert(time);
        }
        rolled
    };
    assert_eq!(rolls("0").len(), 1);
    let rolled = rolls("900");
    assert!(rolled.len() > 5, "{rolled:?}");
    assert!(rolled.iter().all(|time| (100..=1_100).contains(time)), "{rolled:?}");
}

#[test]
fn the_checks_of_cuts_and_flips_find_what_is_planted() {
    let damaged = |known: bool, mistake: Option<Mistake>, change: &dyn Fn(&mut Vec<u8>)| {
        let machine = Machine::default();
        let (log, partition) = one(&machine, &[]);
        for name in ["aa", "bb", "cc"] {
            partition.append(value(1, name), CLIENT).unwrap();
        }
        log.sync_now();
        if known {
            log.housekeep();
        }
        drop((log, partition));
        let (path, mut content) = machine.disk.files("0.log")[0].clone();
        change(&mut content);
        machine.disk.put(&path, &content);
        machine.disk.kill();
        let machine = Machine { mistake, ..machine };
        let options: Options = machine.options();
        let log = Log::open(Path::new("/data"), options).unwrap();
        let partition = super::partition(&log);
        (partition.damage().is_some(), partition.end())
    };
    let flip = |content: &mut Vec<u8>| {
        let at = content.len() - 2;
        content[at] ^= 1;
    };
    assert_eq!(damaged(false, None, &flip), (false, 2));
    assert_eq!(damaged(false, Some(Mistake::NoChecksum), &flip), (false, 3), "the flipped batch is taken");
    let cut = |content: &mut Vec<u8>| content.truncate(content.len() - 2);
    assert!(damaged(true, None, &cut).0);
    assert_eq!(damaged(true, Some(Mistake::CutAnywhere), &cut), (false, 2), "what was synced is cut off");
}
