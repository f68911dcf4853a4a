//! What a row of a table looks like on the wire: its columns by name, and the descriptor that says it to the server.
//!
//! Source: Storage Write API, "Data type conversions"; `descriptor.proto` of protocol buffers.

use crate::table::{Field, Type};
use crate::wire;
use std::collections::HashMap;

/// A column, or a field of a record.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) repeated: bool,
    /// It must have a value, and has none by itself.
    pub(crate) required: bool,
    /// Its number in the message.
    pub(crate) number: u32,
    /// The fields of a record.
    pub(crate) fields: Layout,
}

/// The columns of a table, or the fields of a record, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    /// Names of columns do not differ by case alone.
    by_name: HashMap<String, usize>,
}

impl Layout {
    /// The layout of these columns. Fails with the name and type of a column that cannot be written.
    pub(crate) fn new(fields: &[Field]) -> Result<Self, String> {
        let mut layout = Self::default();
        for (number, field) in (1..).zip(fields) {
            let kind = field.kind();
            if kind == Type::Other && field.is_required() && field.default.is_none() {
                return Err(format!("column \"{}\" is a {}", field.name, field.kind));
            }
            layout.by_name.insert(field.name.to_lowercase(), layout.columns.len());
            layout.columns.push(Column {
                name: field.name.clone(),
                kind,
                repeated: field.is_repeated(),
                required: field.is_required() && field.default.is_none(),
                number,
                fields: Self::new(&field.fields)?,
            });
        }
        Ok(layout)
    }

    /// The column of that name; `guess` is looked at first.
    #[inline]
    pub(crate) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        if self.columns.get(guess).is_some_and(|column| column.name == name) {
            return Some(guess);
        }
        match self.by_name.get(name) {
            Some(at) => Some(*at),
            None => self.by_name.get(&name.to_lowercase()).copied(),
        }
    }

    /// The `DescriptorProto` of a message with these columns.
    pub(crate) fn descriptor(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.describe("Row", &mut out);
        out
    }

    fn describe(&self, name: &str, out: &mut Vec<u8>) {
        const NAME: u32 = 1;
        const FIELD: u32 = 2;
        const NESTED_TYPE: u32 = 3;
        wire::bytes(out, NAME, name.as_bytes());
        for column in self.columns.iter().filter(|column| column.kind != Type::Other) {
            wire::message(out, FIELD, |out| column.describe(out));
        }
        for column in self.columns.iter().filter(|column| column.kind == Type::Record) {
            wire::message(out, NESTED_TYPE, |out| column.fields.describe(&column.record(), out));
        }
    }
}

impl Column {
    /// The name of the message that a record is.
    fn record(&self) -> String {
        format!("Record{}", self.number)
    }

    /// Its `FieldDescriptorProto`.
    fn describe(&self, out: &mut Vec<u8>) {
        const NAME: u32 = 1;
        const NUMBER: u32 = 3;
        const LABEL: u32 = 4;
        const TYPE: u32 = 5;
        const TYPE_NAME: u32 = 6;
        const OPTIONS: u32 = 8;
        /// `google.cloud.bigquery.storage.v1.column_name`: the column's own name, where it is none for a field.
        const COLUMN_NAME: u32 = 454_943_157;
        const OPTIONAL: i64 = 1;
        const REPEATED: i64 = 3;
        let is_plain = is_identifier(&self.name);
        let placeholder = format!("column_{}", self.number);
        wire::bytes(out, NAME, if is_plain { self.name.as_bytes() } else { placeholder.as_bytes() });
        wire::int(out, NUMBER, i64::from(self.number));
        // A required column is optional in the message: what is absent gets its default, or is refused with its row.
        wire::int(out, LABEL, if self.repeated { REPEATED } else { OPTIONAL });
        wire::int(out, TYPE, self.wire_type());
        if self.kind == Type::Record {
            wire::bytes(out, TYPE_NAME, self.record().as_bytes());
        }
        if !is_plain {
            wire::message(out, OPTIONS, |out| wire::bytes(out, COLUMN_NAME, self.name.as_bytes()));
        }
    }

    /// `FieldDescriptorProto.Type`.
    fn wire_type(&self) -> i64 {
        match self.kind {
            Type::Float => 1,
            Type::Int | Type::Timestamp => 3,
            Type::Date => 5,
            Type::Bool => 8,
            Type::Record => 11,
            Type::Bytes => 12,
            _ => 9,
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
