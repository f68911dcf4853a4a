//! The records of a batch as an index into its bytes: nothing is allocated per record.

use crate::{Batch, Fault};

/// Where a key, a value or the headers lie in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    /// `u32::MAX` for null.
    length: u32,
}

impl Span {
    const NULL: u32 = u32::MAX;

    fn range(self) -> Option<std::ops::Range<usize>> {
        let start = self.start as usize;
        (self.length != Self::NULL).then(|| start..start + self.length as usize)
    }

    pub(crate) fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        self.range().map(|range| &buffer[range])
    }
}

/// One record: numbers, and places in the buffer that it was indexed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its time in ms since 1970: the producer's, or the broker's if the topic says so. -1 if the producer gave none.
    pub timestamp: i64,
    key: Span,
    value: Span,
    headers: Span,
    header_count: u32,
}

impl Record {
    /// The key; `None` is null. `buffer` is that of the [`Fetched`] that the record came in.
    #[must_use]
    pub fn key<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.key.of(buffer)
    }

    /// The value; `None` is null, which deletes the key in a compacted topic.
    #[must_use]
    pub fn value<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.value.of(buffer)
    }

    /// Where the value begins and ends in the buffer, for slices that share it.
    #[must_use]
    pub fn value_range(&self) -> Option<std::ops::Range<usize>> {
        self.value.range()
    }

    /// Where the key begins and ends in the buffer.
    #[must_use]
    pub fn key_range(&self) -> Option<std::ops::Range<usize>> {
        self.key.range()
    }

    /// Where the headers begin and end in the buffer, without their number.
    #[must_use]
    pub fn headers_range(&self) -> std::ops::Range<usize> {
        self.headers.range().unwrap_or(0..0)
    }

    /// Number of headers.
    #[must_use]
    pub fn header_count(&self) -> u32 {
        self.header_count
    }

    /// The headers in their order.
    #[must_use]
    pub fn headers<'b>(&self, buffer: &'b [u8]) -> Headers<'b> {
        Headers { rest: self.headers.of(buffer).unwrap_or_default(), count: self.header_count }
    }
}

/// A header of a record: a name, and a value or null.
pub type Header<'b> = (&'b str, Option<&'b [u8]>);

/// The headers of a record. They were found whole when the record was indexed.
#[derive(Clone, Debug)]
pub struct Headers<'b> {
    rest: &'b [u8],
    count: u32,
}

impl<'b> Iterator for Headers<'b> {
    type Item = Header<'b>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        header(&mut self.rest)
    }
}

fn header<'b>(rest: &mut &'b [u8]) -> Option<Header<'b>> {
    let mut cursor = Cursor { bytes: rest, at: 0 };
    let name = cursor.field()?;
    let value = cursor.field()?;
    let at = cursor.at;
    let whole = *rest;
    *rest = &whole[at..];
    Some((std::str::from_utf8(name.of(whole)?).ok()?, value.of(whole)))
}

/// Reads varints at a place of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'b> {
    pub(crate) bytes: &'b [u8],
    pub(crate) at: usize,
}

impl Cursor<'_> {
    /// A zigzag varint of up to 64 bits.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        // Most are of one byte.
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        if first < 0x80 {
            return Some(i64::from(first >> 1) ^ -i64::from(first & 1));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
            shift += 7;
            if shift > 63 {
                return None;
            }
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<i32> {
        i32::try_from(self.varlong()?).ok()
    }

    /// A length and so many bytes; -1 is null.
    #[inline]
    pub(crate) fn field(&mut self) -> Option<Span> {
        let length = self.varint()?;
        let start = u32::try_from(self.at).ok()?;
        if length < 0 {
            return (length == -1).then_some(Span { start, length: Span::NULL });
        }
        let length = length.cast_unsigned();
        let end = self.at.checked_add(length as usize)?;
        if end > self.bytes.len() {
            return None;
        }
        self.at = end;
        Some(Span { start, length })
    }
}

/// Appends the records of a batch that lie at `from` in `buffer`, from offset `first` on, to `records`.
///
/// **Shape** `buffer[from..]` is the batch's records, decompressed, and nothing after them.
/// **Errors** [`Fault::Record`] with the number of the record that does not fit.
/// **Cost** O(records); the index grows by what the bytes can hold, not by what the header announces.
pub fn index(
    batch: &Batch,
    buffer: &[u8],
    from: usize,
    first: i64,
    records: &mut Vec<Record>,
) -> Result<(), Fault> {
    /// Bytes of the smallest record.
    const RECORD_MIN: usize = 7;
    let count = usize::try_from(batch.count).map_err(|_| Fault::Record(batch.count))?;
    let mut cursor = Cursor { bytes: buffer, at: from };
    if count > (buffer.len() - from) / RECORD_MIN {
        return Err(Fault::Record(batch.count));
    }
    records.reserve(count);
    let mut last = -1;
    for number in 0..batch.count {
        let (record, delta) = record(batch, &mut cursor).ok_or(Fault::Record(number))?;
        if delta <= last || record.offset > batch.last_offset {
            return Err(Fault::Record(number));
        }
        last = delta;
        if record.offset >= first {
            records.push(record);
        }
    }
    if cursor.at == buffer.len() { Ok(()) } else { Err(Fault::Record(batch.count)) }
}

#[inline]
fn record(batch: &Batch, cursor: &mut Cursor<'_>) -> Option<(Record, i32)> {
    let length = usize::try_from(cursor.varint()?).ok()?;
    let end = cursor.at.checked_add(length).filter(|end| *end <= cursor.bytes.len())?;
    // Attributes: none are defined.
    cursor.at += 1;
    let timestamp_delta = cursor.varlong()?;
    let delta = cursor.varint()?;
    let key = cursor.field()?;
    let value = cursor.field()?;
    let header_count = u32::try_from(cursor.varint()?).ok()?;
    let start = cursor.at;
    if header_count > 0 {
        let mut rest = cursor.bytes.get(start..end)?;
        for _ in 0..header_count {
            header(&mut rest)?;
        }
        if !rest.is_empty() {
            return None;
        }
        cursor.at = end;
    }
    if cursor.at != end {
        return None;
    }
    let headers = Span { start: u32::try_from(start).ok()?, length: u32::try_from(end - start).ok()? };
    let offset = batch.base_offset.checked_add(i64::from(delta))?;
    let timestamp = match batch.append_time {
        Some(time) => time,
        None => batch.base_timestamp.checked_add(timestamp_delta)?,
    };
    Some((Record { offset, timestamp, key, value, headers, header_count }, delta))
}

/// Whether a control batch ends its transaction by an abort. `None` if it holds another kind of marker.
///
/// Source: KIP-98, "Control Messages": the key is version and type, 0 aborts and 1 commits.
pub fn marker_is_abort(batch: &Batch) -> Result<Option<bool>, Fault> {
    let mut cursor = Cursor { bytes: &batch.records, at: 0 };
    let fault = Fault::Record(0);
    let (record, _) = record(batch, &mut cursor).ok_or(fault.clone())?;
    let key = record.key(&batch.records).ok_or(fault.clone())?;
    let [_, _, kind @ ..] = key else { return Err(fault) };
    Ok(match kind {
        [0, 0] => Some(true),
        [0, 1] => Some(false),
        _ => None,
    })
}
