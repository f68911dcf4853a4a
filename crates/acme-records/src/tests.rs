use super::*;
use acme_lab::damage::{Chance, corpus, in_little_memory, refused};

const ALL: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const MAX: usize = 1 << 20;

/// Keys, values and headers of many shapes.
fn example(compression: Compression) -> Bytes {
    let mut batch = BatchBuilder::with_capacity(100);
    batch.push(1_000, Some(b"k"), Some(b"v"), &[]);
    batch.push(999, None, None, &[("h", Some(b"x")), ("null", None)]);
    batch.push(i64::MAX / 2, Some(b""), Some(&[7; 5_000]), &[("", Some(b""))]);
    assert!(batch.bytes() <= HEADER_BYTES + 3 * BatchBuilder::size_of(None, Some(&[7; 5_000]), &[]));
    let stamp = Stamp { producer_id: 9, producer_epoch: 3, base_sequence: 17, is_transactional: true };
    let parts = batch.finish(compression).unwrap().stamped(stamp);
    Bytes::from(parts.concat())
}

/// Everything that is in a response: the whole path of a fetch.
fn read(mut bytes: Bytes, verify: bool) -> Result<(Vec<Record>, Vec<u8>), Fault> {
    let (mut records, mut buffer) = (Vec::new(), Vec::new());
    while let Some(batch) = next_batch(&mut bytes, verify)? {
        if batch.is_control {
            marker_is_abort(&batch)?;
            continue;
        }
        let from = buffer.len();
        Compression::of(batch.compression)?.decompress(&batch.records, &mut buffer, MAX)?;
        index(&batch, &buffer, from, 0, &mut records)?;
    }
    Ok((records, buffer))
}

#[test]
fn what_is_written_in_any_compression_is_read_back() {
    for compression in ALL {
        let (records, buffer) = read(example(compression), true).unwrap();
        assert_eq!(records.len(), 3, "{compression:?}");
        let [first, second, third] = records[..] else { unreachable!() };
        assert_eq!((first.offset, first.timestamp), (0, 1_000));
        assert_eq!((first.key(&buffer), first.value(&buffer)), (Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!((second.offset, second.timestamp), (1, 999));
        assert_eq!((second.key(&buffer), second.value(&buffer)), (None, None));
        let headers: Vec<_> = second.headers(&buffer).collect();
        assert_eq!(headers, [("h", Some(&b"x"[..])), ("null", None)]);
        assert_eq!((third.offset, third.timestamp), (2, i64::MAX / 2));
        assert_eq!((third.key(&buffer), third.value(&buffer)), (Some(&b""[..]), Some(&[7; 5_000][..])));
    }
}

#[test]
fn several_batches_and_a_cut_tail_are_walked() {
    let one = example(Compression::None);
    let bytes = [&one[..], &one[..], &one[..70]].concat();
    assert_eq!(end_offset(&bytes).unwrap(), Some((3, -1)));
    assert_eq!(read(bytes.into(), true).unwrap().0.len(), 6);
    assert_eq!(end_offset(&one[..60]).unwrap(), None);
    assert_eq!(read(one.slice(..60), true).unwrap().0.len(), 0);
}

#[test]
fn a_flipped_bit_is_found_by_the_checksum() {
    let good = example(Compression::None);
    for at in [21, 30, 61, good.len() - 1] {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        assert!(matches!(read(bad.into(), true), Err(Fault::Checksum { .. })), "byte {at}");
    }
}

#[test]
fn a_small_batch_cannot_blow_up_to_a_large_one() {
    let mut batch = BatchBuilder::with_capacity(100);
    batch.push(0, None, Some(&vec![0; 4 * MAX]), &[]);
    let compressed: Vec<Bytes> = ALL[1..]
        .iter()
        .map(|compression| {
            let mut batch = BatchBuilder::with_capacity(100);
            batch.push(0, None, Some(&vec![0; 4 * MAX]), &[]);
            batch.finish(*compression).unwrap().stamped(Stamp::NONE).concat().into()
        })
        .collect();
    for bytes in compressed {
        assert!(bytes.len() < MAX, "it is small");
        assert_eq!(read(bytes, true).unwrap_err(), Fault::TooLarge(MAX));
    }
}

#[test]
fn raw_snappy_is_read_too_and_an_announced_size_is_not_believed() {
    let mut out = Vec::new();
    let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
    Compression::Snappy.decompress(&raw, &mut out, MAX).unwrap();
    assert_eq!(out, b"hello hello hello");
    // One mebibyte is announced by a block of eight bytes.
    let liar = [0x80, 0x80, 0x40, 0, 0, 0, 0, 0];
    let error = Compression::Snappy.decompress(&liar, &mut Vec::new(), MAX).unwrap_err();
    assert!(error.to_string().contains("announces more"), "{error}");
}

#[test]
fn an_old_format_and_an_unknown_compression_are_named() {
    let mut old = example(Compression::None).to_vec();
    old[16] = 1;
    assert_eq!(read(old.into(), true).unwrap_err(), Fault::Magic(1));
    let mut strange = example(Compression::None).to_vec();
    strange[22] |= 7;
    assert_eq!(read(strange.into(), false).unwrap_err(), Fault::UnknownCompression(7));
}

fn read_damaged() {
    let (mut errors, mut read_anyway) = (0, 0);
    for seed in 1..=4_000_u64 {
        let mut chance = Chance::of(seed);
        let mut bytes = example(ALL[chance.below(5)]).to_vec();
        chance.damage(&mut bytes);
        // Without the checksum, which would find nearly all of it before the rest is looked at.
        match read(bytes.into(), false) {
            Err(_) => errors += 1,
            Ok((records, buffer)) => {
                read_anyway += 1;
                for record in records {
                    let _ = (record.key(&buffer), record.value(&buffer), record.headers(&buffer).count());
                }
            }
        }
    }
    assert!(errors > 1_000 && read_anyway > 100, "{errors} errors, {read_anyway} read");
}

#[test]
fn damaged_batches_are_errors_and_nothing_worse() {
    if !in_little_memory("tests::damaged_batches_are_errors_and_nothing_worse") {
        return;
    }
    read_damaged();
    let examples: Vec<_> = ALL.iter().map(|it| (format!("{it:?}"), example(*it).to_vec())).collect();
    for (name, bytes) in corpus(env!("CARGO_MANIFEST_DIR"), "batches", &examples) {
        assert!(fuzz::batches(&bytes), "{name}: undamaged it is read");
        let refused = refused(&bytes, 1, fuzz::batches);
        assert!(refused > 200, "{name}: {refused} of 2,000");
    }
}

/// A batch as a log has it: from an offset on, with these attributes besides.
fn logged(builder: BatchBuilder, compression: Compression, base: i64, attributes: u8) -> Bytes {
    let stamp = Stamp { producer_id: 9, producer_epoch: 3, base_sequence: 17, is_transactional: true };
    let mut bytes = builder.finish(compression).unwrap().stamped(stamp).concat();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[22] |= attributes;
    let checksum = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes.into()
}

fn plain(times: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::with_capacity(100);
    for (at, time) in times.iter().enumerate() {
        builder.push(*time, None, (at != 1).then_some(&[7; 300][..at * 100]), &[]);
    }
    builder
}

/// The batch as one that may be written again, from an offset on; and the bytes that it lies in.
fn whole(mut bytes: Bytes, first: i64) -> (Option<Whole>, Bytes) {
    let buffer = bytes.clone();
    let batch = next_batch(&mut bytes, true).unwrap().unwrap();
    let mut records = Vec::new();
    index(&batch, &buffer, HEADER_BYTES, first, &mut records).unwrap();
    (Whole::of(&batch, &records, HEADER_BYTES..buffer.len()), buffer)
}

#[test]
fn a_batch_that_is_written_again_as_it_lies_is_the_one_that_is_made_anew() {
    let times = [1_000, 999, 5_000];
    let (found, buffer) = whole(logged(plain(&times), Compression::None, 41, 0), 41);
    let found = found.unwrap();
    assert_eq!((found.first, found.count, found.max_timestamp), (41, 3, 5_000));
    let stamp = Stamp { producer_id: 1, producer_epoch: 2, base_sequence: 3, is_transactional: false };
    let again = Encoded::ready(&found, buffer.slice(found.bytes.clone()));
    let anew = plain(&times).finish(Compression::None).unwrap();
    assert_eq!(again.stamped(stamp).concat(), anew.stamped(stamp).concat());
    assert_eq!(again.decode().unwrap(), anew.decode().unwrap());
}

#[test]
fn only_batches_of_values_and_their_own_times_are_written_again_as_they_lie() {
    let mut keyed = plain(&[1]);
    keyed.push(1, Some(b""), None, &[]);
    let mut headed = plain(&[1]);
    headed.push(1, None, None, &[("h", None)]);
    let refused = [
        logged(keyed, Compression::None, 0, 0),
        logged(headed, Compression::None, 0, 0),
        logged(plain(&[1, -1]), Compression::None, 0, 0),
        logged(plain(&[1, 2]), Compression::None, 0, 0x08),
        logged(plain(&[1, 2]), Compression::None, 0, 0x20),
    ];
    for (number, bytes) in refused.into_iter().enumerate() {
        assert_eq!(whole(bytes, 0).0, None, "{number}");
    }
    assert_eq!(whole(logged(plain(&[1, 2, 3]), Compression::None, 7, 0), 8).0, None, "it begins before");
    // Compaction has taken the last record away: the batch keeps its offsets.
    let mut gap = logged(plain(&[1, 2]), Compression::None, 0, 0).to_vec();
    gap[26] = 2;
    let checksum = crc32c::crc32c(&gap[CRC_FROM..]);
    gap[17..21].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(whole(gap.into(), 0).0, None, "it has a gap");
    for compression in &ALL[1..] {
        let mut bytes = logged(plain(&[1, 2]), *compression, 0, 0);
        let batch = next_batch(&mut bytes, true).unwrap().unwrap();
        let mut buffer = Vec::new();
        compression.decompress(&batch.records, &mut buffer, MAX).unwrap();
        let mut records = Vec::new();
        index(&batch, &buffer, 0, 0, &mut records).unwrap();
        assert_eq!(Whole::of(&batch, &records, 0..buffer.len()), None, "{compression:?}");
    }
}
