//! Records that the broker refuses for what they are: they are taken out of their batch, and the others go on.
//!
//! A batch is taken whole or not at all, so the log has nothing of one with such a record, and its numbers are still free.

use super::queue::Sealed;
use super::{Producer, Target};
use crate::client::TopicPartition;
use crate::records::{BatchBuilder, Compression, Encoded, Fault};
use std::collections::BTreeMap;

/// A record that is not in the log, because the broker refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it was to go.
    pub partition: TopicPartition,
    /// Its number, as [`Producer::push`] returned it.
    pub number: u64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// The broker's words.
    pub reason: String,
}

/// Records of a batch that stay together, with the number of the first.
type Rest = Vec<(u64, Encoded)>;

impl Producer {
    /// Takes out the records that the broker names. Where it names none, halves of the batch are tried, down to single records.
    pub(super) fn sort_out(&mut self, target: Target, first: u64, told: &str, named: &[(u32, String)]) {
        let (partition, queue) = &mut self.parts[target.0];
        let Some(whole) = queue.take_front(first) else { return };
        let mut named: BTreeMap<usize, String> =
            named.iter().filter_map(|(at, why)| Some((usize::try_from(*at).ok()?, why.clone()))).collect();
        let count = usize::try_from(whole.encoded.count).unwrap_or(0);
        named.retain(|at, _| *at < count);
        if named.is_empty() && count == 1 {
            named.insert(0, told.to_owned());
        }
        match sorted(&whole, named, partition, self.options.compression) {
            Ok((rest, refused)) => {
                let after = rest.iter().map(|(_, encoded)| encoded.bytes()).sum::<usize>();
                self.buffered = (self.buffered + after).saturating_sub(whole.encoded.bytes());
                queue.put_rest(&whole, rest);
                self.refused.extend(refused);
            }
            Err(fault) => self.failed(target, &whole, crate::error::Error::State(fault.to_string()), &[]),
        }
    }
}

fn sorted(
    whole: &Sealed,
    mut named: BTreeMap<usize, String>,
    partition: &TopicPartition,
    compression: Compression,
) -> Result<(Rest, Vec<Refused>), Fault> {
    let (records, buffer) = whole.encoded.decode()?;
    let middle = if named.is_empty() { records.len() / 2 } else { usize::MAX };
    let (mut rest, mut refused) = (Rest::new(), Vec::new());
    let mut run: Option<(u64, BatchBuilder)> = None;
    for (at, record) in records.iter().enumerate() {
        let number = whole.first + u64::try_from(at).expect("usize is at most 64 bits");
        let (key, value) = (record.key(&buffer), record.value(&buffer));
        let reason = named.remove(&at);
        if (reason.is_some() || at == middle)
            && let Some((first, builder)) = run.take()
        {
            rest.push((first, builder.finish(compression)?));
        }
        match reason {
            Some(reason) => refused.push(Refused {
                partition: partition.clone(),
                number,
                key: key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
                reason,
            }),
            None => {
                let headers: Vec<_> = record.headers(&buffer).collect();
                let (_, builder) =
                    run.get_or_insert_with(|| (number, BatchBuilder::with_capacity(buffer.len())));
                builder.push(record.timestamp, key, value, &headers);
            }
        }
    }
    if let Some((first, builder)) = run {
        rest.push((first, builder.finish(compression)?));
    }
    Ok((rest, refused))
}
