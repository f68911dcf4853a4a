//! The hash of a key: it decides which part of the state a key belongs to, so it is the same in every version of the program,
//! on every machine and whatever array the key came in.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::row::{RowConverter, SortField};

/// Parts of a keyed state: fixed, so that a state can be divided among any number of shards up to this.
pub const KEY_GROUPS: usize = 128;

/// The key group of a hash.
#[must_use]
pub fn key_group(hash: u64) -> usize {
    // The upper bits: a table takes the lower ones.
    usize::try_from(hash >> 57).expect("seven bits")
}

/// The shard, of so many, that a key group belongs to: neighbouring groups stay together.
#[must_use]
pub fn shard_of(group: usize, shards: usize) -> usize {
    group * shards / KEY_GROUPS
}

/// One hash for each row of the key's columns; without columns all rows have the same.
#[must_use]
pub fn hashes(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut all = vec![SEED; rows];
    for column in columns {
        add(column, &mut all);
    }
    all
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const NULL: u64 = 0xD1B5_4A32_D192_ED03;

/// Multiplication to 128 bits, both halves joined: each bit of the result depends on every bit of the input (wyhash's mixer).
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xA076_1D64_78BD_642F) * u128::from(b ^ 0xE703_7ED1_A0B4_28DB);
    let halves = product.to_le_bytes();
    let half = |at: usize| u64::from_le_bytes(halves[at..at + 8].try_into().expect("eight bytes"));
    half(0) ^ half(8)
}

fn bytes(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = seed ^ u64::try_from(bytes.len()).expect("a length fits");
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        hash = mix(hash, u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
    }
    let mut rest = [0; 8];
    rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(hash, u64::from_le_bytes(rest))
}

fn each(column: &dyn Array, all: &mut [u64], value: impl Fn(usize, u64) -> u64) {
    if column.null_count() == 0 {
        for (row, hash) in all.iter_mut().enumerate() {
            *hash = value(row, *hash);
        }
        return;
    }
    for (row, hash) in all.iter_mut().enumerate() {
        *hash = if column.is_null(row) { mix(*hash, NULL) } else { value(row, *hash) };
    }
}

macro_rules! integers {
    ($column:expr, $all:expr, $kind:ty) => {{
        let values = $column.as_primitive::<$kind>().values();
        // As the 64 bits of the number, so that the width of its type does not count.
        each($column, $all, |row, hash| mix(hash, i64::from(values[row]).cast_unsigned()))
    }};
}

fn add(column: &ArrayRef, all: &mut [u64]) {
    match column.data_type() {
        DataType::Int8 => integers!(column, all, Int8Type),
        DataType::Int16 => integers!(column, all, Int16Type),
        DataType::Int32 => integers!(column, all, Int32Type),
        DataType::Int64 => integers!(column, all, Int64Type),
        DataType::UInt8 => integers!(column, all, UInt8Type),
        DataType::UInt16 => integers!(column, all, UInt16Type),
        DataType::UInt32 => integers!(column, all, UInt32Type),
        DataType::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().values();
            each(column, all, |row, hash| mix(hash, values[row]));
        }
        DataType::Date32 => integers!(column, all, Date32Type),
        DataType::Date64 => integers!(column, all, Date64Type),
        DataType::Time32(TimeUnit::Second) => integers!(column, all, Time32SecondType),
        DataType::Time32(_) => integers!(column, all, Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => integers!(column, all, Time64MicrosecondType),
        DataType::Timestamp(_, _) => {
            let cast = cast(column, &DataType::Int64).expect("a timestamp is a number");
            integers!(&cast, all, Int64Type);
        }
        DataType::Boolean => {
            let values = column.as_boolean();
            each(column, all, |row, hash| mix(hash, u64::from(values.value(row))));
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            each(column, all, |row, hash| mix(hash, double(f64::from(values[row]))));
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            each(column, all, |row, hash| mix(hash, double(values[row])));
        }
        DataType::Decimal128(_, _) => {
            let values = column.as_primitive::<Decimal128Type>().values();
            each(column, all, |row, hash| bytes(&values[row].to_le_bytes(), hash));
        }
        DataType::Decimal256(_, _) => {
            let values = column.as_primitive::<Decimal256Type>().values();
            each(column, all, |row, hash| bytes(&values[row].to_le_bytes(), hash));
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            each(column, all, |row, hash| bytes(values.value(row).as_bytes(), hash));
        }
        DataType::Utf8View => {
            let values = column.as_string_view();
            each(column, all, |row, hash| bytes(values.value(row).as_bytes(), hash));
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            each(column, all, |row, hash| bytes(values.value(row), hash));
        }
        DataType::BinaryView => {
            let values = column.as_binary_view();
            each(column, all, |row, hash| bytes(values.value(row), hash));
        }
        other => {
            // Lists and structs: their order-preserving bytes.
            let converter = RowConverter::new(vec![SortField::new(other.clone())]);
            let rows = converter.and_then(|converter| converter.convert_columns(&[column.clone()]));
            let rows = rows.expect("the planner takes only keys that can be compared");
            each(column, all, |row, hash| bytes(rows.row(row).as_ref(), hash));
        }
    }
}

/// The bits of a number: one zero, one NaN.
fn double(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryArray, Float64Array, Int32Array, Int64Array, StringArray, StringViewArray};
    use std::sync::Arc;

    fn of(column: impl Array + 'static) -> Vec<u64> {
        let rows = column.len();
        hashes(&[Arc::new(column)], rows)
    }

    #[test]
    fn hashes_are_what_they_were_in_the_first_version() {
        // State on disk is divided by them: these numbers never change.
        assert_eq!(of(Int64Array::from(vec![Some(0), Some(-1), None])), GOLDEN_INTEGERS);
        assert_eq!(of(StringArray::from(vec!["", "a", "ninechars"])), GOLDEN_TEXTS);
    }

    const GOLDEN_INTEGERS: [u64; 3] = [9169598296804632971, 8953971542472336908, 1454293028925766475];
    const GOLDEN_TEXTS: [u64; 3] = [9169598296804632971, 1166282209484550864, 14018715592176322451];

    #[test]
    fn the_array_does_not_count() {
        assert_eq!(of(Int64Array::from(vec![7, -7])), of(Int32Array::from(vec![7, -7])));
        assert_eq!(of(StringArray::from(vec!["key"])), of(StringViewArray::from(vec!["key"])));
        assert_eq!(of(StringArray::from(vec!["key"])), of(BinaryArray::from(vec![b"key".as_slice()])));
        let zeros = of(Float64Array::from(vec![0.0, -0.0]));
        assert_eq!(zeros[0], zeros[1]);
    }

    #[test]
    fn keys_spread_over_all_groups_and_shards() {
        let all = of(Int64Array::from_iter_values(0..128_000));
        let mut groups = vec![0; KEY_GROUPS];
        all.iter().for_each(|&hash| groups[key_group(hash)] += 1);
        assert!(groups.iter().all(|&count| (800..1200).contains(&count)), "{groups:?}");
        for shards in 1..=KEY_GROUPS {
            let owners: Vec<usize> = (0..KEY_GROUPS).map(|group| shard_of(group, shards)).collect();
            assert!(owners.is_sorted() && owners[0] == 0 && owners[KEY_GROUPS - 1] == shards - 1);
        }
    }
}
