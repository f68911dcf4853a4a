//! What is checked of batches before they are appended. A batch stays as it came unless the topic compresses otherwise.

use crate::{AppendError, Settings};
use acme_records::{BatchHeader, Compression, Fault, HEADER_BYTES, RawRecords};
use bytes::BytesMut;

/// The most bytes that may come out of a compressed batch where it must be looked into: as many as a fetch of a whole batch
/// may need in memory anyway.
const DECOMPRESSED_MAX: usize = 128 << 20;
/// Records that are refused one by one; of more nobody is told.
const REFUSED_MAX: usize = 10_000;

/// Batches whose headers were checked, one after the other.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The headers, without offsets.
    pub(crate) headers: Vec<BatchHeader>,
    /// Offsets that they need.
    pub(crate) offsets: i64,
}

/// Checks whole batches that a client has sent. Those whose compression is not the topic's are written anew in place.
///
/// **Errors** as Kafka's: length and checksum are CORRUPT_MESSAGE, what the batch says of itself INVALID_RECORD.
/// **Cost** One checksum and a walk over the records. Compressed ones are decompressed for it, as Kafka does: a batch that nobody can
/// read would stop every reader of its partition.
pub(crate) fn check(
    batches: &mut BytesMut,
    settings: &Settings,
    now_ms: i64,
    control: bool,
) -> Result<Checked, AppendError> {
    let mut checked = Checked { headers: Vec::with_capacity(1), offsets: 0 };
    let mut rewritten: Option<BytesMut> = None;
    let mut at = 0;
    while at < batches.len() {
        let rest = &batches[at..];
        let header = whole(rest)?;
        let batch = &rest[..header.bytes];
        acme_records::verify(batch).map_err(AppendError::Corrupt)?;
        one(&header, settings, now_ms, control)?;
        let new = records(&header, batch, settings, now_ms)?;
        let bytes = new.as_ref().map_or(header.bytes, Vec::len);
        if bytes > settings.max_message_bytes {
            return Err(AppendError::TooLarge { bytes, max: settings.max_message_bytes });
        }
        if new.is_some() && rewritten.is_none() {
            rewritten = Some(BytesMut::from(&batches[..at]));
        }
        let header = match &new {
            Some(new) => whole(new)?,
            None => header,
        };
        if let Some(all) = &mut rewritten {
            all.extend_from_slice(new.as_deref().unwrap_or(batch));
        }
        checked.offsets += i64::from(header.last_offset_delta) + 1;
        checked.headers.push(header);
        at += batch.len();
    }
    if checked.headers.is_empty() {
        return Err(AppendError::InvalidRecord("there is no batch".to_owned()));
    }
    if let Some(all) = rewritten {
        *batches = all;
    }
    Ok(checked)
}

fn whole(bytes: &[u8]) -> Result<BatchHeader, AppendError> {
    let header = BatchHeader::parse(bytes).map_err(|fault| match fault {
        Fault::Magic(magic @ (0 | 1)) => AppendError::UnsupportedFormat(magic),
        Fault::Record(_) => AppendError::InvalidRecord(fault.to_string()),
        fault => AppendError::Corrupt(fault),
    })?;
    let header = header.filter(|header| header.bytes <= bytes.len());
    header.ok_or(AppendError::Corrupt(Fault::Length(i32::try_from(bytes.len()).unwrap_or(i32::MAX))))
}

/// What the header says of itself. Source: Kafka, LogValidator.validateBatch.
fn one(header: &BatchHeader, settings: &Settings, now_ms: i64, control: bool) -> Result<(), AppendError> {
    let invalid = |reason: String| Err(AppendError::InvalidRecord(reason));
    if header.compression() > 4 {
        return Err(AppendError::UnsupportedCompression(header.compression()));
    }
    if header.count != header.last_offset_delta + 1 {
        return invalid(format!(
            "a batch of {} records covers {} offsets",
            header.count,
            i64::from(header.last_offset_delta) + 1
        ));
    }
    if header.is_control() && !control {
        return invalid("clients are not allowed to write control records".to_owned());
    }
    let has_producer = header.producer_id >= 0;
    if has_producer && header.producer_epoch < 0 {
        // No epoch that the coordinator gives is older.
        let (producer_id, found) = (header.producer_id, header.producer_epoch);
        return Err(AppendError::InvalidProducerEpoch { producer_id, found, current: 0 });
    }
    // The coordinators write in a producer's name, and its sequences are not theirs.
    if has_producer && header.base_sequence < 0 && !control {
        return invalid(format!("producer {} has sequence {}", header.producer_id, header.base_sequence));
    }
    if header.is_transactional() && !has_producer {
        return invalid("a transactional batch has no producer".to_owned());
    }
    if header.delete_horizon().is_some() {
        return invalid("only the log itself sets delete horizons".to_owned());
    }
    if header.is_append_time() && !settings.append_time {
        // As Kafka: a producer may not claim the broker's time.
        return Err(Times::of(settings, now_ms).refused(Vec::new(), 1));
    }
    Ok(())
}

/// The times that a topic takes from its producers, both included.
#[derive(Clone, Copy)]
struct Times {
    earliest: i64,
    latest: i64,
}

impl Times {
    fn of(settings: &Settings, now_ms: i64) -> Self {
        if settings.append_time {
            return Self { earliest: i64::MIN, latest: i64::MAX };
        }
        let earliest = match settings.before_max_ms {
            i64::MAX => i64::MIN,
            before_max_ms => now_ms.saturating_sub(before_max_ms),
        };
        Self { earliest, latest: now_ms.saturating_add(settings.after_max_ms) }
    }

    fn has(self, time: i64) -> bool {
        (self.earliest..=self.latest).contains(&time)
    }

    fn refused(self, records: Vec<(i32, i64)>, total: usize) -> AppendError {
        AppendError::InvalidTimestamp { records, total, earliest: self.earliest, latest: self.latest }
    }
}

/// Records that are refused: the first of them, and how many.
struct Refused<T> {
    first: Vec<T>,
    total: usize,
}

impl<T> Refused<T> {
    fn new() -> Self {
        Self { first: Vec::new(), total: 0 }
    }

    fn add(&mut self, one: T) {
        if self.first.len() < REFUSED_MAX {
            self.first.push(one);
        }
        self.total += 1;
    }
}

/// Checks the records as far as needed; returns the batch anew if its compression is not the topic's.
fn records(
    header: &BatchHeader,
    batch: &[u8],
    settings: &Settings,
    now_ms: i64,
) -> Result<Option<Vec<u8>>, AppendError> {
    let invalid = |fault: Fault| AppendError::InvalidRecord(fault.to_string());
    let compression = Compression::of(header.compression()).map_err(invalid)?;
    let wanted = settings.compression.filter(|wanted| *wanted != compression && !header.is_control());
    let times = Times::of(settings, now_ms);
    let mut buffer = Vec::new();
    let plain = match compression {
        Compression::None => &batch[HEADER_BYTES..],
        _ => {
            compression
                .decompress(&batch[HEADER_BYTES..], &mut buffer, DECOMPRESSED_MAX)
                .map_err(AppendError::Compressed)?;
            &buffer
        }
    };
    let mut kept = Vec::new();
    let (mut keyless, mut misdated) = (Refused::new(), Refused::new());
    for (record, index) in RawRecords::new(header, plain).zip(0..) {
        let record = record.map_err(invalid)?;
        if settings.compact && record.key.is_none() && !header.is_control() {
            keyless.add(index);
        }
        if !times.has(record.timestamp) && !header.is_control() {
            misdated.add((index, record.timestamp));
        }
        if wanted.is_some() {
            kept.push(record);
        }
    }
    if misdated.total > 0 {
        return Err(times.refused(misdated.first, misdated.total));
    }
    // The largest time is found by what the batch says, whatever its records are.
    if header.max_timestamp > times.latest && !header.is_control() {
        return Err(times.refused(Vec::new(), 1));
    }
    if keyless.total > 0 {
        return Err(AppendError::Keyless { records: keyless.first, total: keyless.total });
    }
    let Some(wanted) = wanted else { return Ok(None) };
    acme_records::rebuild(header, &kept, (wanted, settings.compression_level), None)
        .map(Some)
        .map_err(invalid)
}
