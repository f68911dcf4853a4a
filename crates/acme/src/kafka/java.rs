//! The order in which Java's `HashMap` gives out what was put into it: Kafka's tools print some lists in it.

/// The order of a `HashMap` with these keys, put in one after the other.
pub(crate) fn hash_order<'a, T>(mut items: Vec<T>, key: impl Fn(&T) -> &'a str) -> Vec<T>
where
    T: 'a,
{
    let mut buckets = 16;
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
}
