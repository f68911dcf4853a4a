//! The fields of records in internal topics: Kafka's primitive types, classic and flexible (KIP-482).
//!
//! Bytes from the disk are no more trusted than bytes from a client: every length is compared with what is left.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// The bytes do not have the form that the version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) type Read<T> = Result<T, Malformed>;

/// Takes fields off the front.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, flexible: false }
    }

    /// What follows has compact lengths and tagged fields.
    pub(crate) fn flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    pub(crate) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn i8(&mut self) -> Read<i8> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Read<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Read<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Read<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn uuid(&mut self) -> Read<Uuid> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    fn uvarint(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for shift in (0..32).step_by(7) {
            let byte = self.array::<1>()?[0];
            let part = u32::from(byte & 0x7f);
            value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part).ok_or(Malformed)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A length; none for null.
    fn length(&mut self, wide: bool) -> Read<Option<usize>> {
        let length = match (self.flexible, wide) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, true) => i64::from(self.i32()?),
            (false, false) => i64::from(self.i16()?),
        };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length).map(Some).map_err(|_| Malformed),
        }
    }

    pub(crate) fn nullable_string(&mut self) -> Read<Option<String>> {
        let Some(length) = self.length(false)? else { return Ok(None) };
        String::from_utf8(self.take(length)?.to_vec()).map(Some).map_err(|_| Malformed)
    }

    pub(crate) fn string(&mut self) -> Read<String> {
        self.nullable_string()?.ok_or(Malformed)
    }

    pub(crate) fn bytes(&mut self) -> Read<Bytes> {
        let length = self.length(true)?.ok_or(Malformed)?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    /// The elements of an array; null is empty. Each takes at least a byte, so none is allocated for in advance.
    pub(crate) fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let length = self.length(true)?.unwrap_or(0);
        if length > self.rest.len() {
            return Err(Malformed);
        }
        (0..length).map(|_| element(self)).collect()
    }

    /// The tagged fields; `field` takes those that it knows.
    pub(crate) fn tags(&mut self, mut field: impl FnMut(u32, &mut Self) -> Read<()>) -> Read<()> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            let (tag, size) = (self.uvarint()?, self.uvarint()? as usize);
            let mut content = Reader { rest: self.take(size)?, flexible: true };
            field(tag, &mut content)?;
        }
        Ok(())
    }

    pub(crate) fn skip_tags(&mut self) -> Read<()> {
        self.tags(|_, _| Ok(()))
    }
}

/// Appends fields.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: BytesMut,
    flexible: bool,
}

impl Writer {
    /// Begins with the version, as every key and value does.
    pub(crate) fn versioned(version: i16, flexible: bool) -> Self {
        let mut writer = Self { out: BytesMut::with_capacity(64), flexible };
        writer.i16(version);
        writer
    }

    /// For the content of a tagged field.
    #[cfg(test)]
    pub(crate) fn content() -> Self {
        Self { out: BytesMut::new(), flexible: true }
    }

    pub(crate) fn done(self) -> Bytes {
        self.out.freeze()
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.out.put_slice(value.as_bytes());
    }

    fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    fn length(&mut self, length: Option<usize>, wide: bool) {
        match (self.flexible, wide) {
            (true, _) => self.uvarint(length.map_or(0, |length| length as u32 + 1)),
            (false, true) => self.i32(length.map_or(-1, |length| length as i32)),
            (false, false) => self.i16(length.map_or(-1, |length| length as i16)),
        }
    }

    pub(crate) fn nullable_string(&mut self, value: Option<&str>) {
        self.length(value.map(str::len), false);
        self.out.put_slice(value.unwrap_or_default().as_bytes());
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.length(Some(value.len()), true);
        self.out.put_slice(value);
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.length(Some(items.len()), true);
        items.for_each(|item| each(self, item));
    }

    /// The tagged fields, by rising tag; nothing where the version has none.
    pub(crate) fn tags(&mut self, fields: &[(u32, Bytes)]) {
        if !self.flexible {
            return;
        }
        self.uvarint(fields.len() as u32);
        for (tag, content) in fields {
            self.uvarint(*tag);
            self.uvarint(content.len() as u32);
            self.out.put_slice(content);
        }
    }
}

/// A record for an internal topic; without value it ends what the key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(flexible: bool) -> Bytes {
        let mut writer = Writer::versioned(1, flexible);
        writer.string("orders");
        writer.nullable_string(None);
        writer.bytes(&[1, 2, 3]);
        writer.list([7_i32, 9].iter(), |writer, item| writer.i32(*item));
        let mut content = Writer::content();
        content.i64(5);
        writer.tags(&[(2, content.done())]);
        writer.done()
    }

    type Parsed = (String, Option<String>, Bytes, Vec<i32>, i64);

    fn parse(bytes: &[u8], flexible: bool) -> Read<Parsed> {
        let mut reader = Reader::new(bytes);
        reader.i16()?;
        reader.flexible(flexible);
        let (name, none, bytes) = (reader.string()?, reader.nullable_string()?, reader.bytes()?);
        let list = reader.list(Reader::i32)?;
        let mut tagged = -1;
        reader.tags(|tag, content| {
            if tag == 2 {
                tagged = content.i64()?;
            }
            Ok(())
        })?;
        Ok((name, none, bytes, list, tagged))
    }

    #[test]
    fn what_is_written_is_read_again_in_both_forms() {
        for (flexible, tagged) in [(false, -1), (true, 5)] {
            let read = parse(&sample(flexible), flexible).unwrap();
            assert_eq!(read, ("orders".to_owned(), None, Bytes::from_static(&[1, 2, 3]), vec![7, 9], tagged));
        }
    }

    #[test]
    fn a_cut_or_a_huge_length_is_malformed_and_never_a_panic() {
        for flexible in [false, true] {
            let whole = sample(flexible);
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut], flexible), Err(Malformed), "cut at {cut}");
            }
            for at in 0..whole.len() {
                let mut damaged = whole.to_vec();
                damaged[at] = 0xff;
                let _ = parse(&damaged, flexible);
            }
        }
    }
}
