//! How Java prints things: the order in which a `HashMap` gives out what was put into it, and numbers with a fraction.

use acme_kafka::TopicPartition;

/// The order of a `HashMap` with these keys, put in one after the other.
pub(crate) fn hash_order<'a, T>(items: Vec<T>, key: impl Fn(&T) -> &'a str) -> Vec<T>
where
    T: 'a,
{
    ordered(items, 16, key)
}

/// The same of one that was made for so many.
pub(crate) fn sized_hash_order<'a, T>(items: Vec<T>, key: impl Fn(&T) -> &'a str) -> Vec<T>
where
    T: 'a,
{
    let buckets = items.len().next_power_of_two();
    ordered(items, buckets, key)
}

fn ordered<'a, T>(mut items: Vec<T>, mut buckets: usize, key: impl Fn(&T) -> &'a str) -> Vec<T>
where
    T: 'a,
{
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    // Stable: within a bucket the order is that of arrival.
    items.sort_by_key(|item| bucket(key(item), buckets));
    items
}

fn bucket(key: &str, buckets: usize) -> usize {
    let hash = key.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    (hash ^ (hash >> 16)) as usize & (buckets - 1)
}

/// `orders-0`, as Java prints partitions.
pub(crate) fn partition(partition: &TopicPartition) -> String {
    format!("{}-{}", partition.topic, partition.partition)
}

/// A `double` as `Double.toString` writes it: the shortest digits that mean it, with an exponent below 0.001 and from ten
/// million on.
pub(crate) fn double(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || (1e-3..1e7).contains(&value.abs()) {
        return match value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            value => format!("{value:?}"),
        };
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_keys_come_out_as_in_java() {
        // new HashMap<>() of java.util, `put` three times.
        let keys = vec!["retention.ms", "cleanup.policy", "min.insync.replicas"];
        let expected = ["cleanup.policy", "min.insync.replicas", "retention.ms"];
        assert_eq!(hash_order(keys, |key| key), expected);
    }

    #[test]
    fn a_map_that_was_made_for_its_keys_has_fewer_buckets() {
        let keys = vec!["request_percentage", "producer_byte_rate", "consumer_byte_rate"];
        let expected = ["consumer_byte_rate", "request_percentage", "producer_byte_rate"];
        assert_eq!(sized_hash_order(keys, |key| key), expected);
    }

    #[test]
    fn numbers_are_written_as_in_java() {
        for (value, expected) in [
            (1024.0, "1024.0"),
            (0.5, "0.5"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (0.000_1, "1.0E-4"),
            (0.0, "0.0"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(double(value), expected);
        }
    }
}
