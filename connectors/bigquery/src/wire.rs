//! Protocol buffers, as far as this connector needs them: messages are written field by field into bytes and read in place.
//!
//! Source: protocol buffers, "Encoding".

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Appends a number in base 128, the lowest digits first.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// A field of kind `int32`, `int64`, `bool` or `enum`; negative numbers take ten bytes.
#[inline]
pub(crate) fn int(out: &mut Vec<u8>, field: u32, value: i64) {
    varint(out, u64::from(field) << 3 | VARINT);
    varint(out, value.cast_unsigned());
}

/// A field of kind `double`.
#[inline]
pub(crate) fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    varint(out, u64::from(field) << 3 | FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of kind `string`, `bytes`, or a message that is written already.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    head(out, field, value.len());
    out.extend_from_slice(value);
}

/// What stands in front of so many bytes.
#[inline]
pub(crate) fn head(out: &mut Vec<u8>, field: u32, length: usize) {
    varint(out, u64::from(field) << 3 | BYTES);
    varint(out, length as u64);
}

/// A field that is a message.
pub(crate) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, field, &inner);
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// A number; 0 where it is none.
    pub(crate) fn int(self) -> i64 {
        match self {
            Self::Number(number) => number.cast_signed(),
            Self::Bytes(_) => 0,
        }
    }

    /// The bytes of a text or message; none where it is a number.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The fields of a message in their order. It ends early at bytes that are none.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.take(1)?[0]);
            value |= (byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.number()?;
        let value = match tag & 7 {
            VARINT => Value::Number(self.number()?),
            BYTES => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            FIXED64 => Value::Bytes(self.take(8)?),
            FIXED32 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

/// The first field of that number.
pub(crate) fn find(message: &[u8], field: u64) -> Option<Value<'_>> {
    Fields(message).find(|(number, _)| *number == field).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        for value in [0, 1, 127, 128, -1, i64::MIN, i64::MAX] {
            int(&mut out, 3, value);
        }
        bytes(&mut out, 200, b"abc");
        double(&mut out, 1, 1.5);
        let read: Vec<_> = Fields(&out).collect();
        let numbers: Vec<i64> = read[..7].iter().map(|(_, value)| value.int()).collect();
        assert_eq!(numbers, [0, 1, 127, 128, -1, i64::MIN, i64::MAX]);
        assert_eq!(read[7], (200, Value::Bytes(b"abc")));
        assert_eq!(read[8], (1, Value::Bytes(&1.5_f64.to_le_bytes())));
    }

    #[test]
    fn lengths_from_afar_are_not_believed() {
        for hostile in
            [&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1][..], &[0x0A, 5, 1], &[0xFF; 12], &[0x09, 1], &[7]]
        {
            assert_eq!(Fields(hostile).count(), 0, "{hostile:?}");
        }
    }
}
