use super::chunk::{Aborted, Chunk};
use super::*;
use crate::records::{BatchBuilder, Compression, HEADER_BYTES, Stamp};

/// A batch of single-letter values at an offset.
fn batch(base: i64, values: &str, compression: Compression, producer: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(100);
    for (at, _) in values.char_indices() {
        builder.push(0, None, Some(&values.as_bytes()[at..=at]), &[]);
    }
    let stamp =
        Stamp { producer_id: producer, producer_epoch: 0, base_sequence: 0, is_transactional: producer >= 0 };
    let mut bytes = builder.finish(compression).unwrap().stamped(stamp).concat();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[12..16].copy_from_slice(&5_i32.to_be_bytes());
    bytes
}

/// A marker that ends a transaction.
fn marker(base: i64, producer: i64, commits: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::with_capacity(100);
    builder.push(0, Some(&[0, 0, 0, u8::from(commits)]), Some(&[0; 6]), &[]);
    let stamp = Stamp { producer_id: producer, producer_epoch: 0, base_sequence: -1, is_transactional: true };
    let mut bytes = builder.finish(Compression::None).unwrap().stamped(stamp).concat();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[22] |= 0x20;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

const LIMITS: Limits =
    Limits { target_bytes: 1_000, batch_bytes_max: 10_000, check_crcs: true, read_committed: true };

fn chunk(first: i64, records: Vec<u8>, aborted: Vec<(i64, i64)>) -> Chunk {
    Chunk {
        partition: TopicPartition::new("t", 0),
        topic_id: Uuid::nil(),
        assignment: 1,
        broker: 1,
        bytes: records.len(),
        first,
        records: records.into(),
        aborted: Aborted::new(aborted),
        high_watermark: 100,
        last_stable_offset: 100,
        log_start: 0,
    }
}

/// All values that come out of a chunk as `offset value`, and the positions after each decoding.
fn drain(mut chunk: Chunk, limits: Limits) -> (String, Vec<i64>) {
    let (mut out, mut positions) = (String::new(), Vec::new());
    loop {
        let fetched = chunk.decode(limits).unwrap();
        for record in &fetched.records {
            let value = std::str::from_utf8(record.value(&fetched.buffer).unwrap()).unwrap();
            out += &format!("{}{value} ", record.offset);
        }
        positions.push(fetched.next_offset);
        if chunk.records.is_empty() {
            return (out, positions);
        }
    }
}

#[test]
fn records_of_aborted_transactions_are_left_out_and_no_others() {
    let plain = Compression::None;
    let bytes = [
        batch(10, "ab", plain, 1),
        batch(12, "c", plain, 2),
        batch(13, "d", plain, -1),
        marker(14, 1, false),
        batch(15, "e", plain, 1),
        marker(16, 2, true),
        marker(17, 1, true),
    ]
    .concat();
    let (out, positions) = drain(chunk(10, bytes.clone(), vec![(10, 1)]), LIMITS);
    assert_eq!(out, "12c 13d 15e ");
    assert_eq!(positions, [18], "markers move the position");
    let all = Limits { read_committed: false, ..LIMITS };
    assert_eq!(drain(chunk(10, bytes, vec![]), all).0, "10a 11b 12c 13d 15e ");
}

#[test]
fn a_transaction_that_is_aborted_twice_is_left_out_twice() {
    let plain = Compression::None;
    let bytes = [
        batch(0, "a", plain, 1),
        marker(1, 1, false),
        batch(2, "b", plain, 1),
        marker(3, 1, true),
        batch(4, "c", plain, 1),
        marker(5, 1, false),
    ]
    .concat();
    // In the wrong order, too.
    assert_eq!(drain(chunk(0, bytes, vec![(4, 1), (0, 1)]), LIMITS).0, "2b ");
}

#[test]
fn a_position_within_a_batch_leaves_out_what_is_before_it() {
    let bytes = batch(10, "abcd", Compression::Lz4, -1);
    assert_eq!(drain(chunk(12, bytes, vec![]), LIMITS), ("12c 13d ".to_owned(), vec![14]));
}

#[test]
fn compressed_and_plain_batches_follow_each_other() {
    let bytes = [
        batch(0, "ab", Compression::None, -1),
        batch(2, "c", Compression::Zstd, -1),
        batch(3, "d", Compression::Gzip, -1),
        batch(4, "e", Compression::None, -1),
    ]
    .concat();
    let (out, positions) = drain(chunk(0, bytes, vec![]), LIMITS);
    assert_eq!((out.as_str(), positions), ("0a 1b 2c 3d 4e ", vec![2, 4, 5]));
}

#[test]
fn decoding_stops_when_enough_has_come_out_and_goes_on_there() {
    let bytes: Vec<u8> = (0..10).flat_map(|at| batch(at, "x", Compression::Snappy, -1)).collect();
    let (out, positions) = drain(chunk(0, bytes, vec![]), Limits { target_bytes: 20, ..LIMITS });
    assert_eq!(out.split_whitespace().count(), 10);
    assert!(positions.len() > 2, "{positions:?}");
}

#[test]
fn what_precedes_a_damaged_batch_comes_out_before_the_error() {
    let mut bad = batch(2, "cd", Compression::None, -1);
    bad[HEADER_BYTES + 1] ^= 1;
    let mut chunk = chunk(0, [batch(0, "ab", Compression::None, -1), bad].concat(), vec![]);
    assert_eq!(chunk.decode(LIMITS).unwrap().records.len(), 2);
    let error = chunk.decode(LIMITS).unwrap_err();
    assert!(error.to_string().starts_with("batch at offset 2 of t/0: its checksum"), "{error}");
}

#[test]
fn a_cut_tail_is_left_for_the_next_fetch() {
    let second = batch(1, "b", Compression::None, -1);
    let bytes = [&batch(0, "a", Compression::None, -1)[..], &second[..second.len() - 1]].concat();
    assert_eq!(drain(chunk(0, bytes, vec![]), LIMITS), ("0a ".to_owned(), vec![1]));
}
