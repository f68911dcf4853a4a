//! `start_offset`: where reading begins when nothing is committed.

use acme_kafka::{At, Client, Isolation, TopicPartition};
use acme_types::codes::{BAD_VALUE, SOURCE_CHANGED};
use acme_types::{Config, Diagnostic};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use std::collections::BTreeMap;

use crate::fault::fault;

/// Where a partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    At(At),
    /// An offset for every partition.
    Offset(i64),
    /// An offset for each partition.
    Offsets(BTreeMap<i32, i64>),
}

impl Start {
    pub(crate) fn of(config: &Config, is_batch: bool) -> Result<Self, Diagnostic> {
        let usual = if is_batch { "earliest" } else { "latest" };
        let text = config.text("start_offset").map_or(usual, |text| text.trim());
        Self::parse(text).ok_or_else(|| {
            let message = format!("\"{text}\" is no start offset");
            let help = "write `earliest`, `latest`, a time such as `2026-01-01T00:00:00Z`, an offset such as `42`, or one for each \
                        partition as in `0:42,1:300`";
            config.blame("start_offset", Diagnostic::new(&BAD_VALUE, message).help(help))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.trim().parse().ok().filter(|number: &i64| *number >= 0);
        match text {
            "earliest" => return Some(Self::At(At::Earliest)),
            "latest" => return Some(Self::At(At::Latest)),
            _ => {}
        }
        if let Some(offset) = number(text) {
            return Some(Self::Offset(offset));
        }
        let pair = |pair: &str| {
            let (partition, offset) = pair.split_once(':')?;
            let partition = partition.trim().parse().ok().filter(|partition: &i32| *partition >= 0)?;
            Some((partition, number(offset)?))
        };
        let pairs: Option<Vec<(i32, i64)>> = text.split(',').map(pair).collect();
        if let Some(pairs) = pairs {
            let offsets: BTreeMap<i32, i64> = pairs.iter().copied().collect();
            return (offsets.len() == pairs.len()).then_some(Self::Offsets(offsets));
        }
        // A time without a zone would mean another moment on another machine.
        let zoned =
            text.ends_with(['Z', 'z']) || text.get(11..).is_some_and(|time| time.contains(['+', '-']));
        let nanos =
            string_to_timestamp_nanos(text).ok().filter(|_| zoned && text.contains(['T', 't', ' ']))?;
        Some(Self::At(At::Time(nanos.div_euclid(1_000_000))))
    }

    /// The offset at which each of these partitions begins.
    ///
    /// **Errors** an offset that the partition does not have, or that is given for none of them.
    pub(crate) async fn resolve(
        &self,
        client: &Client,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, (i64, i32)>, Diagnostic> {
        let at = |at: At| partitions.iter().map(move |partition| (partition.clone(), at)).collect::<Vec<_>>();
        let list = async |when: At| {
            let listed = client.list_offsets(&at(when), Isolation::ReadCommitted).await;
            listed.map_err(|error| fault("find where to begin", &error))
        };
        if let Self::At(when) = self {
            let listed = list(*when).await?;
            return Ok(listed
                .into_iter()
                .map(|(partition, found)| (partition, (found.offset, found.leader_epoch)))
                .collect());
        }
        let (first, end) = (list(At::Earliest).await?, list(At::Latest).await?);
        let mut found = BTreeMap::new();
        for partition in partitions {
            let (first, end) = (first[partition].offset, end[partition].offset);
            let offset = match self {
                Self::Offset(offset) => *offset,
                Self::Offsets(offsets) => *offsets.get(&partition.partition).ok_or_else(|| {
                    let message = format!("`start_offset` says nothing of partition {partition}");
                    Diagnostic::new(&BAD_VALUE, message).help("name an offset for every partition")
                })?,
                Self::At(_) => unreachable!("it is resolved above"),
            };
            if !(first..=end).contains(&offset) {
                let message =
                    format!("offset {offset} of {partition} is not in the log, which holds {first} to {end}");
                return Err(Diagnostic::new(&SOURCE_CHANGED, message)
                    .help("choose a `start_offset` that is there, or `earliest`"));
            }
            found.insert(partition.clone(), (offset, -1));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_offset_is_a_word_a_time_or_offsets() {
        let at = |ms| Some(Start::At(At::Time(ms)));
        assert_eq!(Start::parse("earliest"), Some(Start::At(At::Earliest)));
        assert_eq!(Start::parse("latest"), Some(Start::At(At::Latest)));
        assert_eq!(Start::parse("42"), Some(Start::Offset(42)));
        assert_eq!(Start::parse("0:42, 1:300"), Some(Start::Offsets([(0, 42), (1, 300)].into())));
        assert_eq!(Start::parse("1970-01-01T00:00:01Z"), at(1000));
        assert_eq!(Start::parse("1970-01-01T02:00:01.5+02:00"), at(1500));
        assert_eq!(Start::parse("1969-12-31T23:59:59Z"), at(-1000));
        for bad in ["", "newest", "-1", "0:1,0:2", "0:-1", "x:1", "2026-01-01", "2026-01-01T00:00:00", "0:1,"]
        {
            assert_eq!(Start::parse(bad), None, "{bad}");
        }
    }
}
