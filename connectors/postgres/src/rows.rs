//! Builds the batches of one table: its own columns, then the hidden ones.

use crate::catalog::Table;
use crate::column::{Column, Misfit};
use crate::kind::utc;
use crate::pgoutput::Value;
use acme_types::batch::{META_PREFIX, json_field};
use acme_types::{Diagnostic, codes};
use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use std::sync::Arc;

/// Rows of one batch at most.
pub(crate) const ROWS_MAX: usize = 8192;
/// Bytes of values of one batch, about.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// What is known of a row besides its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowMeta<'a> {
    pub(crate) operation: &'static str,
    pub(crate) version: i64,
    /// The place of the commit record, or of the snapshot, as PostgreSQL prints it.
    pub(crate) lsn: &'a str,
    /// NULL for copied rows.
    pub(crate) tx_id: Option<i64>,
    /// Microseconds since 1970; NULL for copied rows.
    pub(crate) committed_at: Option<i64>,
    /// The old row as JSON.
    pub(crate) before: Option<&'a str>,
}

/// The hidden columns, their names without the prefix.
pub(crate) fn meta_fields() -> Vec<FieldRef> {
    let plain = |name, data_type, nullable| Arc::new(Field::new(name, data_type, nullable));
    vec![
        plain("operation", DataType::Utf8View, false),
        plain("version", DataType::Int64, false),
        plain("schema", DataType::Utf8View, false),
        plain("table", DataType::Utf8View, false),
        plain("lsn", DataType::Utf8View, false),
        plain("tx_id", DataType::Int64, true),
        plain("committed_at", utc(), true),
        plain("snapshot", DataType::Boolean, false),
        Arc::new(json_field("before")),
    ]
}

/// The hidden columns as they are in a batch.
pub(crate) fn hidden_fields() -> impl Iterator<Item = FieldRef> {
    meta_fields().into_iter().map(|field| {
        let name = format!("{META_PREFIX}{}", field.name());
        Arc::new(field.as_ref().clone().with_name(name))
    })
}

/// The rows of one table that wait to leave.
pub(crate) struct TableRows {
    table: Arc<Table>,
    columns: Vec<Column>,
    operation: StringViewBuilder,
    version: Vec<i64>,
    lsn: StringViewBuilder,
    tx_id: Vec<Option<i64>>,
    committed_at: Vec<Option<i64>>,
    before: StringViewBuilder,
    snapshot: bool,
    bytes: usize,
}

impl TableRows {
    pub(crate) fn new(table: Arc<Table>, snapshot: bool) -> Self {
        let columns = table.columns.iter().map(|column| Column::new(column.kind)).collect();
        Self {
            table,
            columns,
            operation: StringViewBuilder::new(),
            version: Vec::new(),
            lsn: StringViewBuilder::new(),
            tx_id: Vec::new(),
            committed_at: Vec::new(),
            before: StringViewBuilder::new(),
            snapshot,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.version.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// Sets one value of the row that is being built. Every column gets exactly one before [`end`](Self::end).
    #[inline]
    pub(crate) fn set(&mut self, column: usize, value: Value<'_>) -> Result<(), Diagnostic> {
        if let Value::Text(bytes) | Value::Binary(bytes) = value {
            self.bytes += bytes.len();
        }
        self.columns[column].append(value).map_err(|Misfit| self.misfit(column, value))
    }

    /// Ends a row.
    #[inline]
    pub(crate) fn end(&mut self, meta: &RowMeta<'_>) {
        self.bytes += 64;
        self.operation.append_value(meta.operation);
        self.version.push(meta.version);
        self.lsn.append_value(meta.lsn);
        self.tx_id.push(meta.tx_id);
        self.committed_at.push(meta.committed_at);
        self.before.append_option(meta.before);
    }

    /// The rows so far, leaving nothing.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let rows = self.len();
        let mut columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(text, rows)))
        };
        let committed_at = TimestampMicrosecondArray::from(std::mem::take(&mut self.committed_at));
        columns.extend([
            Arc::new(self.operation.finish()) as ArrayRef,
            Arc::new(Int64Array::from(std::mem::take(&mut self.version))),
            same(&self.table.name.schema),
            same(&self.table.name.table),
            Arc::new(self.lsn.finish()),
            Arc::new(Int64Array::from(std::mem::take(&mut self.tx_id))),
            Arc::new(committed_at.with_timezone("+00:00")),
            Arc::new(BooleanArray::from(vec![self.snapshot; rows])),
            Arc::new(self.before.finish()),
        ]);
        self.bytes = 0;
        RecordBatch::try_new(self.table.schema.clone(), columns)
            .expect("the columns are what the schema says")
    }

    fn misfit(&self, column: usize, value: Value<'_>) -> Diagnostic {
        let (table, column) = (&self.table.name, &self.table.columns[column]);
        let nan =
            matches!(value, Value::Text(b"NaN")) || matches!(value, Value::Binary([_, _, _, _, 0xc0, 0, ..]));
        if nan && matches!(column.kind, crate::kind::Kind::Decimal(..)) {
            let message = format!("column \"{}\" of {table} holds NaN, which a decimal cannot", column.name);
            let help =
                "set `decimals: text` on the source: numerics then travel as JSON numbers, NaN as \"NaN\"";
            return Diagnostic::new(&codes::DECODE, message).help(help);
        }
        let message = format!("a value of column \"{}\" of {table} is not what its type says", column.name);
        Diagnostic::new(&codes::DECODE, message)
    }
}
