//! The messages of the `pgoutput` plugin, protocol version 1, read in place.
//!
//! Source: PostgreSQL documentation, "Logical Replication Message Formats". Streamed and prepared transactions (versions 2
//! and up) are not asked for: without them the server sends whole transactions and spills large ones to its own disk.

use crate::reader::{Reader, Short};

/// One message.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// A transaction begins: the place of its commit record, when it was committed, who made it.
    Begin { commit: u64, committed_at: i64, xid: u32 },
    /// It ends; `end` is the place after its commit record.
    Commit { end: u64 },
    /// What the following changes of this table look like.
    Relation(Relation<'a>),
    /// A new row.
    Insert { relation: u32, new: Tuple<'a> },
    /// A changed row; the old one as far as the table's replica identity sends it.
    Update { relation: u32, old: Option<Old<'a>>, new: Tuple<'a> },
    /// A row is gone.
    Delete { relation: u32, old: Old<'a> },
    /// All rows of these tables are gone.
    Truncate { relations: Vec<u32> },
    /// An origin, a type, or a message of an application: nothing that changes a row.
    Other,
}

/// A table as it was when the change was made.
#[derive(Debug)]
pub(crate) struct Relation<'a> {
    pub(crate) id: u32,
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    /// Its replica identity, as `pg_class.relreplident` has it.
    pub(crate) identity: u8,
    pub(crate) columns: Vec<RelationColumn<'a>>,
}

/// A column of a [`Relation`].
#[derive(Debug)]
pub(crate) struct RelationColumn<'a> {
    pub(crate) name: &'a str,
    pub(crate) type_oid: u32,
    pub(crate) type_modifier: i32,
    /// Part of what the server sends of an old row.
    pub(crate) key: bool,
}

/// The old row of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old<'a> {
    /// All columns (`REPLICA IDENTITY FULL`), or only those of the key.
    pub(crate) whole: bool,
    pub(crate) row: Tuple<'a>,
}

/// The values of a row. They were walked once, so that reading them again cannot fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuple<'a>(&'a [u8]);

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A value stored out of line that the change did not touch: the log does not contain it.
    Unchanged,
    /// As its type prints it.
    Text(&'a [u8]),
    /// As its type's send function writes it.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Reads one message; bytes after its end are ignored, as the protocol asks.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader(bytes);
        Ok(match reader.u8()? {
            b'B' => Self::Begin { commit: reader.u64()?, committed_at: reader.i64()?, xid: reader.u32()? },
            b'C' => {
                let (_flags, _commit) = (reader.u8()?, reader.u64()?);
                Self::Commit { end: reader.u64()? }
            }
            b'R' => Self::Relation(Relation::parse(&mut reader)?),
            b'I' => {
                let relation = reader.u32()?;
                expect(&mut reader, b'N')?;
                Self::Insert { relation, new: Tuple::parse(&mut reader)? }
            }
            b'U' => {
                let relation = reader.u32()?;
                let (mut kind, mut old) = (reader.u8()?, None);
                if kind != b'N' {
                    old = Some(Old::parse(kind, &mut reader)?);
                    kind = reader.u8()?;
                }
                if kind != b'N' {
                    return Err(Short);
                }
                Self::Update { relation, old, new: Tuple::parse(&mut reader)? }
            }
            b'D' => {
                let relation = reader.u32()?;
                let kind = reader.u8()?;
                Self::Delete { relation, old: Old::parse(kind, &mut reader)? }
            }
            b'T' => {
                let count = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
                let _options = reader.u8()?;
                if count > reader.0.len() / 4 {
                    return Err(Short);
                }
                Self::Truncate { relations: (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()? }
            }
            b'O' | b'Y' | b'M' => Self::Other,
            _ => return Err(Short),
        })
    }
}

fn expect(reader: &mut Reader<'_>, byte: u8) -> Result<(), Short> {
    if reader.u8()? == byte { Ok(()) } else { Err(Short) }
}

impl<'a> Relation<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Short> {
        let (id, schema, table) = (reader.u32()?, reader.text()?, reader.text()?);
        let identity = reader.u8()?;
        let mut columns = Vec::new();
        for _ in 0..reader.u16()? {
            let key = reader.u8()? & 1 == 1;
            columns.push(RelationColumn {
                key,
                name: reader.text()?,
                type_oid: reader.u32()?,
                type_modifier: reader.i32()?,
            });
        }
        // What the server means by an empty name.
        let schema = if schema.is_empty() { "pg_catalog" } else { schema };
        Ok(Self { id, schema, table, identity, columns })
    }
}

impl<'a> Old<'a> {
    fn parse(kind: u8, reader: &mut Reader<'a>) -> Result<Self, Short> {
        match kind {
            b'K' | b'O' => Ok(Self { whole: kind == b'O', row: Tuple::parse(reader)? }),
            _ => Err(Short),
        }
    }
}

impl<'a> Tuple<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Short> {
        let count = reader.u16()?;
        let start = reader.0;
        for _ in 0..count {
            value(reader)?;
        }
        Ok(Self(&start[..start.len() - reader.0.len()]))
    }

    /// Its values in the order of the relation's columns.
    pub(crate) fn values(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader(self.0);
        std::iter::from_fn(move || if reader.0.is_empty() { None } else { value(&mut reader).ok() })
    }
}

#[inline]
fn value<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, Short> {
    let kind = reader.u8()?;
    let mut bytes = || {
        let length = usize::try_from(reader.u32()?).map_err(|_| Short)?;
        reader.take(length)
    };
    match kind {
        b't' => bytes().map(Value::Text),
        b'b' => bytes().map(Value::Binary),
        b'n' => Ok(Value::Null),
        b'u' => Ok(Value::Unchanged),
        _ => Err(Short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(values: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"I\0\0\0\x07N".to_vec();
        bytes.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
        values.iter().for_each(|value| bytes.extend(*value));
        bytes
    }

    #[test]
    fn a_row_is_read_in_place() {
        let bytes = insert(&[b"t\0\0\0\x02ab", b"n", b"u", b"b\0\0\0\x01\xff"]);
        let Ok(Message::Insert { relation: 7, new }) = Message::parse(&bytes) else { panic!("{bytes:?}") };
        let values: Vec<Value<'_>> = new.values().collect();
        assert_eq!(values, [Value::Text(b"ab"), Value::Null, Value::Unchanged, Value::Binary(b"\xff")]);
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error() {
        let mut update = b"U\0\0\0\x07K\0\x01t\0\0\0\x01aN\0\x01t\0\0\0\x01b".to_vec();
        let relation = b"R\0\0\0\x07public\0t\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff".to_vec();
        let begin = [b"B".as_slice(), &[0; 20]].concat();
        for message in [&update, &relation, &begin, &b"T\0\0\0\x01\0\0\0\0\x07".to_vec()] {
            assert!(Message::parse(message).is_ok(), "{message:?}");
            for end in 0..message.len() {
                assert!(Message::parse(&message[..end]).is_err(), "{:?}", &message[..end]);
            }
        }
        update[5] = b'X';
        assert!(Message::parse(&update).is_err());
    }

    #[test]
    fn lengths_that_lie_allocate_nothing() {
        for bytes in [
            b"T\xff\xff\xff\xff\0\0\0\0\x01".as_slice(),
            b"I\0\0\0\x07N\xff\xfft\xff\xff\xff\xff",
            b"D\0\0\0\x07O\0\x01t\x7f\xff\xff\xffabc",
            b"R\0\0\0\x07a\0b\0d\xff\xff",
            b"R\0\0\0\x07\xff\xfe\0b\0d\0\0",
        ] {
            assert!(Message::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn noise_never_panics() {
        // xorshift64, so that a failure can be repeated.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let tags = b"BCRIUDTOYMS";
        for _ in 0..200_000 {
            let mut bytes: Vec<u8> = (0..next() % 48).map(|_| next().to_le_bytes()[0] & 0x8f).collect();
            bytes.insert(0, tags[usize::try_from(next() % 11).unwrap()]);
            if let Ok(Message::Insert { new, .. }) = Message::parse(&bytes) {
                assert_eq!(new.values().count(), usize::from(u16::from_be_bytes([bytes[6], bytes[7]])));
            }
        }
    }
}
