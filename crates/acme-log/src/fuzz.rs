//! Everything that reads what a crash has left, as a function of bytes: for `fuzz/`, and for the test that runs its corpus.
//!
//! The bytes are an *image* of a data directory: `flags`, then file after file: the length of its name (one byte), the name, the
//! length of its content (four), the content. With flag 1 the checksums of all files but the one that names the topics are made
//! right first, so that what lies behind them is reached.

use crate::simulated::SimDisk;
use crate::{Log, LogDisk, Options, Partition, Until, Writer};
use acme_records::{BatchBuilder, Compression, HEADER_BYTES, Stamp};
use bytes::{Bytes, BytesMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the image lies.
const ROOT: &str = "/data";
/// Rounds of housekeeping: what it seals in one it may verify or compact in the next.
const ROUNDS: usize = 3;
/// The checksum of a batch: where it is, and from where on it is one.
const CRC: std::ops::Range<usize> = 17..21;

/// Puts files together.
#[must_use]
pub fn image(flags: u8, files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![flags];
    for (path, content) in files {
        let name = path.strip_prefix(ROOT).expect("it lies in the image").to_string_lossy();
        out.push(u8::try_from(name.len()).expect("names are short"));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&u32::try_from(content.len()).expect("it is small").to_be_bytes());
        out.extend_from_slice(content);
    }
    out
}

fn disk(data: &[u8]) -> Option<SimDisk> {
    let (flags, mut rest) = data.split_first()?;
    let disk = SimDisk::default();
    while let Some((length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        let name = std::str::from_utf8(name).ok()?;
        let (length, after) = after.split_first_chunk()?;
        let (content, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        let mut content = content.to_vec();
        if flags & 1 != 0 && name != "meta" {
            mend(name, &mut content);
        }
        let file = disk.open(&Path::new(ROOT).join(name), true).ok()?;
        file.write_at(&content, 0).ok()?;
    }
    disk.kill();
    Some(disk)
}

/// Makes the checksums right.
fn mend(name: &str, content: &mut [u8]) {
    if !name.ends_with(".log") {
        if let Some((rest, crc)) = content.split_last_chunk_mut() {
            *crc = crc32c::crc32c(rest).to_be_bytes();
        }
        return;
    }
    let mut rest = content;
    while rest.len() >= HEADER_BYTES {
        let length = [rest[8], rest[9], rest[10], rest[11]];
        let end = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0).saturating_add(12);
        if end < HEADER_BYTES || end > rest.len() {
            return;
        }
        let (batch, after) = rest.split_at_mut(end);
        let crc = crc32c::crc32c(&batch[CRC.end..]).to_be_bytes();
        batch[CRC].copy_from_slice(&crc);
        rest = after;
    }
}

fn options(disk: &SimDisk) -> Options {
    let mut options = Options::new(Arc::new(|| 1_000_000));
    options.disk = Arc::new(disk.clone());
    options.sync_threads = 0;
    options.sync_failed = Arc::new(|_, _| ());
    options.random = Arc::new(|| 1);
    options
}

/// Opens a log of any bytes, reads all of it in every way, writes to it, and opens it again: what was served stays, and what is new
/// comes after it. True if there is a partition that is not offline.
///
/// # Panics
/// If something that was served is gone, or another thing in its place.
#[must_use]
pub fn recovery(data: &[u8]) -> bool {
    let Some(disk) = disk(data) else { return false };
    let forged = data[0] & 1 != 0;
    let Ok(log) = Log::open(Path::new(ROOT), options(&disk)) else { return false };
    let partitions: Vec<Arc<Partition>> =
        log.topics().iter().flat_map(|topic| topic.partitions.clone()).collect();
    let mut expected: Vec<Option<(Bytes, i64)>> = Vec::new();
    for partition in &partitions {
        look(partition);
        let before = all(partition);
        let new = append(partition);
        log.sync_now();
        let after = all(partition);
        if let (Some(before), Some(after)) = (&before, &after) {
            assert!(after.starts_with(before), "what was served stays");
            // A summary that was forged may say that there is more than there is.
            let told = forged || new.is_none() || after.len() > before.len();
            assert!(told, "what is acknowledged is served");
        }
        expected.push(after.map(|bytes| (bytes, partition.marks().high_watermark)));
    }
    drop((partitions, log));
    disk.kill();
    let log = Log::open(Path::new(ROOT), options(&disk)).expect("what has opened opens again");
    let again: Vec<Arc<Partition>> = log.topics().iter().flat_map(|topic| topic.partitions.clone()).collect();
    for (partition, expected) in again.iter().zip(&expected) {
        let Some((bytes, high_watermark)) = expected else { continue };
        assert_eq!(partition.damage(), None, "it was read to its end");
        assert_eq!(partition.marks().high_watermark, *high_watermark);
        assert_eq!(all(partition).as_ref(), Some(bytes), "a restart changes nothing");
    }
    (0..ROUNDS).for_each(|_| log.housekeep());
    again.iter().for_each(|partition| look(partition));
    log.close();
    expected.iter().any(Option::is_some)
}

/// Every question that there is.
fn look(partition: &Partition) {
    let marks = partition.marks();
    for until in [Until::HighWatermark, Until::LastStable] {
        let _ = partition.read(marks.log_start, 1 << 20, until);
        let _ = partition.read(marks.high_watermark.saturating_sub(1), 1, until);
    }
    for time in [i64::MIN, 0, 5, i64::MAX] {
        let _ = partition.offset_of_time(time);
    }
    let _ = (partition.max_timestamp(), partition.producers(), partition.size());
    for number in -1..4 {
        let _ = (partition.end_of_epoch(number), partition.epoch_of(i64::from(number)));
    }
}

/// Everything from the start to the high watermark, if it can be read.
fn all(partition: &Partition) -> Option<Bytes> {
    let marks = partition.marks();
    let (mut at, mut bytes) = (marks.log_start, BytesMut::new());
    while at < marks.high_watermark {
        let slice = partition.read(at, 200, Until::HighWatermark).ok()?;
        let last = acme_records::end_offset(&slice.bytes).ok()?;
        let Some((next, _)) = last.filter(|(next, _)| *next > at) else { break };
        bytes.extend_from_slice(&slice.bytes);
        at = next;
    }
    (!partition.marks().closed).then(|| bytes.freeze())
}

fn append(partition: &Partition) -> Option<i64> {
    let mut builder = BatchBuilder::with_capacity(100);
    builder.push(5, Some(b"k"), Some(b"new"), &[]);
    let batch = builder.finish(Compression::None).ok()?.stamped(Stamp::NONE).concat();
    let appended = partition.append(BytesMut::from(&batch[..]), Writer::Client { guard: None });
    appended.ok().map(|appended| appended.base_offset)
}
