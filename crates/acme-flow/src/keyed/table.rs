//! The keys that a piece of state knows, each with a number.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use std::sync::Arc;

/// Gives each distinct key the next number, from 0: the *group* under which its aggregates are kept.
pub struct KeyTable {
    types: Vec<DataType>,
    table: HashTable<usize>,
    /// Of each key.
    hashes: Vec<u64>,
    keys: Keys,
}

enum Keys {
    /// No columns: one key.
    One,
    /// One column of whole numbers.
    Integers { values: Vec<i64>, null: Option<usize> },
    /// Whatever else can be compared.
    Rows { converter: RowConverter, rows: Rows },
}

impl KeyTable {
    /// An empty table for keys of these columns.
    #[must_use]
    pub fn new(types: &[DataType]) -> Self {
        let keys = match types {
            [] => Keys::One,
            [kind] if is_whole(kind) => Keys::Integers { values: Vec::new(), null: None },
            _ => {
                let fields = types.iter().cloned().map(SortField::new).collect();
                let converter =
                    RowConverter::new(fields).expect("the planner takes only keys that can be compared");
                let rows = converter.empty_rows(0, 0);
                Keys::Rows { converter, rows }
            }
        };
        Self { types: types.to_vec(), table: HashTable::new(), hashes: Vec::new(), keys }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of each key, in the order of their numbers.
    #[must_use]
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Bytes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::One => 0,
            Keys::Integers { values, .. } => values.capacity() * 8,
            Keys::Rows { rows, .. } => rows.size(),
        };
        keys + self.hashes.capacity() * 8 + self.table.capacity() * 10
    }

    /// The number of the key in each row. `hashes` are those of [`hashes`](super::hashes) for the same columns.
    pub fn groups(&mut self, columns: &[ArrayRef], hashes: &[u64], groups: &mut Vec<usize>) {
        groups.clear();
        groups.reserve(hashes.len());
        let Self { table, hashes: known, keys, .. } = self;
        match keys {
            Keys::One => {
                if known.is_empty() && !hashes.is_empty() {
                    known.push(hashes[0]);
                }
                groups.resize(hashes.len(), 0);
            }
            Keys::Integers { values, null } => {
                let whole = cast(&columns[0], &DataType::Int64).expect("a whole number fits 64 bits");
                let column = whole.as_primitive::<Int64Type>();
                for (row, &hash) in hashes.iter().enumerate() {
                    if column.is_null(row) {
                        groups.push(*null.get_or_insert_with(|| {
                            values.push(0);
                            known.push(hash);
                            known.len() - 1
                        }));
                        continue;
                    }
                    let value = column.value(row);
                    let same = |&group: &usize| values[group] == value && *null != Some(group);
                    groups.push(match table.find(hash, same) {
                        Some(&group) => group,
                        None => {
                            let group = known.len();
                            values.push(value);
                            known.push(hash);
                            table.insert_unique(hash, group, |&group| known[group]);
                            group
                        }
                    });
                }
            }
            Keys::Rows { converter, rows } => {
                let found = converter.convert_columns(columns).expect("the columns have the key's types");
                for (row, &hash) in hashes.iter().enumerate() {
                    let key = found.row(row);
                    let same = |&group: &usize| known[group] == hash && rows.row(group) == key;
                    groups.push(match table.find(hash, same) {
                        Some(&group) => group,
                        None => {
                            let group = known.len();
                            rows.push(key);
                            known.push(hash);
                            table.insert_unique(hash, group, |&group| known[group]);
                            group
                        }
                    });
                }
            }
        }
    }

    /// The numbers of keys that are known, without adding any.
    #[must_use]
    pub fn find_all(&self, columns: &[ArrayRef], hashes: &[u64]) -> Vec<Option<usize>> {
        match &self.keys {
            Keys::One => hashes.iter().map(|_| (!self.is_empty()).then_some(0)).collect(),
            Keys::Integers { values, null } => {
                let whole = cast(&columns[0], &DataType::Int64).expect("a whole number fits 64 bits");
                let column = whole.as_primitive::<Int64Type>();
                let find = |(row, &hash): (usize, &u64)| {
                    if column.is_null(row) {
                        return *null;
                    }
                    let same = |&group: &usize| values[group] == column.value(row) && *null != Some(group);
                    self.table.find(hash, same).copied()
                };
                hashes.iter().enumerate().map(find).collect()
            }
            Keys::Rows { converter, rows } => {
                let found = converter.convert_columns(columns).expect("the columns have the key's types");
                let find = |(row, &hash): (usize, &u64)| {
                    let same = |&group: &usize| rows.row(group) == found.row(row);
                    self.table.find(hash, same).copied()
                };
                hashes.iter().enumerate().map(find).collect()
            }
        }
    }

    /// The columns of all keys, in the order of their numbers.
    #[must_use]
    pub fn columns(&self) -> Vec<ArrayRef> {
        match &self.keys {
            Keys::One => Vec::new(),
            Keys::Integers { values, null } => {
                let nulls =
                    null.map(|null| NullBuffer::from_iter((0..values.len()).map(|group| group != null)));
                let whole: ArrayRef =
                    Arc::new(PrimitiveArray::<Int64Type>::new(values.clone().into(), nulls));
                vec![cast(&whole, &self.types[0]).expect("each value came from this type")]
            }
            Keys::Rows { converter, rows } => {
                let columns = converter.convert_rows(rows.iter()).expect("the rows are the converter's own");
                // What comes out has the plain types: views become views again.
                let typed =
                    |(column, kind): (ArrayRef, &DataType)| cast(&column, kind).expect("it was of this type");
                columns.into_iter().zip(&self.types).map(typed).collect()
            }
        }
    }
}

fn is_whole(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::Date32
            | DataType::Timestamp(_, _)
    )
}

#[cfg(test)]
mod tests {
    use super::super::hashes;
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringViewArray};
    use arrow::compute::take;

    fn groups(table: &mut KeyTable, columns: &[ArrayRef]) -> Vec<usize> {
        let mut groups = Vec::new();
        table.groups(columns, &hashes(columns, columns[0].len()), &mut groups);
        groups
    }

    fn all_kinds() -> Vec<Vec<ArrayRef>> {
        vec![
            vec![Arc::new(Int64Array::from(vec![Some(5), None, Some(0), Some(5), None, Some(-5)]))],
            vec![Arc::new(Int32Array::from(vec![Some(5), None, Some(0), Some(5), None, Some(-5)]))],
            vec![Arc::new(StringViewArray::from(vec![
                Some("a"),
                None,
                Some(""),
                Some("a"),
                None,
                Some("a longer text than twelve"),
            ]))],
            vec![
                Arc::new(Int64Array::from(vec![Some(1), None, Some(1), Some(1), None, Some(2)])),
                Arc::new(BooleanArray::from(vec![
                    Some(true),
                    None,
                    Some(false),
                    Some(true),
                    None,
                    Some(true),
                ])),
                Arc::new(Float64Array::from(vec![Some(0.5), None, Some(0.5), Some(0.5), None, Some(0.5)])),
            ],
        ]
    }

    #[test]
    fn each_key_has_one_number_and_comes_back() {
        for columns in all_kinds() {
            let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
            let mut table = KeyTable::new(&types);
            assert_eq!(groups(&mut table, &columns), [0, 1, 2, 0, 1, 3], "{types:?}");
            let later: Vec<ArrayRef> = columns.iter().map(|column| column.slice(2, 4)).collect();
            assert_eq!(groups(&mut table, &later), [2, 0, 1, 3], "{types:?}");
            assert_eq!(table.len(), 4);
            let firsts = arrow::array::UInt64Array::from(vec![0, 1, 2, 5]);
            let expected: Vec<ArrayRef> =
                columns.iter().map(|column| take(column, &firsts, None).unwrap()).collect();
            assert_eq!(&table.columns(), &expected, "{types:?}");
        }
    }

    #[test]
    fn without_columns_there_is_one_key() {
        let mut table = KeyTable::new(&[]);
        let mut groups = Vec::new();
        table.groups(&[], &hashes(&[], 3), &mut groups);
        assert_eq!((groups, table.len()), (vec![0, 0, 0], 1));
        assert_eq!(table.columns().len(), 0);
    }

    #[test]
    fn keys_with_the_same_hash_are_told_apart() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1]));
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["1", "2", "1"]));
        for column in [keys, texts] {
            let mut table = KeyTable::new(&[column.data_type().clone()]);
            let mut groups = Vec::new();
            table.groups(&[column], &[9, 9, 9], &mut groups);
            assert_eq!(groups, [0, 1, 0]);
        }
    }
}
