//! Tests: responses that were damaged on the way are errors, and nothing worse. No panic, no abort, no large allocation.

mod kinds;

use crate::{fuzz, wire};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ApiKey, FetchResponse, MetadataResponse, ProduceResponse, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// xorshift: the seed tells everything.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Flips, overwrites, cuts or doubles some bytes.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
                2 => bytes.truncate(at),
                3 => {
                    // Four of these and a small byte are the largest lengths there are.
                    let end = (at + 1 + self.below(8)).min(bytes.len());
                    bytes[at..end].fill(0xff);
                }
                4 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, self.below(256) as u8),
            }
        }
    }
}

/// A response as it lies on the wire.
fn encoded<R: Request>(response: &R::Response, version: i16) -> Bytes {
    let mut bytes = BytesMut::from(&[0, 0, 0, 1][..]);
    if R::Response::header_version(version) >= 1 {
        bytes.extend_from_slice(&[0]);
    }
    response.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

/// How many of 2,000 damaged forms of what `fuzz` reads are refused.
fn refused(whole: &[u8], read: impl Fn(&[u8]) -> bool) -> usize {
    let refused = (1..=2_000_u64).filter(|seed| {
        let mut chance = Chance((seed ^ ((whole.len() as u64) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (kind, mut bytes) = (whole[0], whole[1..].to_vec());
        chance.damage(&mut bytes);
        bytes.insert(0, kind);
        !read(&bytes)
    });
    refused.count()
}

/// The kept inputs of `fuzz/`. They are written anew with UPDATE_EXPECT=1, and never lost.
fn corpus(target: &str, examples: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        examples.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    }
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut kept: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    kept.sort();
    assert!(examples.iter().all(|example| kept.contains(example)), "{target}: run it with UPDATE_EXPECT=1");
    kept
}

/// Every kept input, whole and damaged.
fn read_corpus() {
    for (name, bytes) in corpus("responses", &kinds::every()) {
        assert!(fuzz::response(&bytes), "{name}: undamaged it is read");
        let refused = refused(&bytes, fuzz::response);
        assert!(refused > 200, "{name}: {refused} of 2,000");
    }
    for (name, bytes) in corpus("batches", &crate::records::tests::examples()) {
        assert!(fuzz::batches(&bytes), "{name}: undamaged it is read");
        let refused = refused(&bytes, fuzz::batches);
        assert!(refused > 200, "{name}: {refused} of 2,000");
    }
}

fn topic() -> TopicName {
    TopicName(wire::text("orders"))
}

fn metadata() -> MetadataResponse {
    let broker = MetadataResponseBroker::default().with_host(wire::text("kafka-1.example")).with_port(9_092);
    let partition =
        MetadataResponsePartition::default().with_replica_nodes(vec![1.into(), 2.into(), 3.into()]);
    let topic = MetadataResponseTopic::default().with_name(Some(topic())).with_partitions(vec![partition; 9]);
    MetadataResponse::default().with_brokers(vec![broker; 3]).with_topics(vec![topic; 4])
}

fn fetch() -> FetchResponse {
    let aborted = AbortedTransaction::default().with_producer_id(7.into());
    let partition = PartitionData::default()
        .with_aborted_transactions(Some(vec![aborted; 3]))
        .with_records(Some(Bytes::from_static(&[3; 300])));
    let topic = FetchableTopicResponse::default().with_partitions(vec![partition; 5]);
    FetchResponse::default().with_responses(vec![topic; 3])
}

fn produce() -> ProduceResponse {
    let record = BatchIndexAndErrorMessage::default().with_batch_index_error_message(Some(wire::text("no")));
    let partition = PartitionProduceResponse::default().with_record_errors(vec![record; 3]);
    let topic =
        TopicProduceResponse::default().with_name(topic()).with_partition_responses(vec![partition; 4]);
    ProduceResponse::default().with_responses(vec![topic; 3])
}

#[test]
fn every_kind_of_response_that_is_decoded_is_damaged() {
    let mut sources = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let keys = (0..100).filter_map(|key| ApiKey::try_from(key).ok());
    let kinds: BTreeSet<String> = keys.map(|key| format!("{key:?}Request")).collect();
    let mut used = BTreeSet::new();
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !["damage", "fuzz.rs"]
            .iter()
            .any(|own| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with(own)))
        {
            let text = std::fs::read_to_string(path).unwrap();
            let words = text.split(|c: char| !c.is_alphanumeric());
            used.extend(words.filter(|word| kinds.contains(*word)).map(str::to_owned));
        }
    }
    assert!(used.len() > 30, "{used:?}");
    let known = |kind: &&String| fuzz::KINDS.iter().chain(fuzz::BY_HAND).any(|name| name == kind);
    let missing: Vec<&String> = used.iter().filter(|kind| !known(kind)).collect();
    assert!(missing.is_empty(), "add them to fuzz.rs and damage/kinds.rs: {missing:?}");
    let examples: Vec<String> = kinds::every().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(examples, [fuzz::KINDS, fuzz::BY_HAND].concat());
}

/// Runs itself in a process of little memory: an allocation of what a damaged length announces would end it.
#[test]
fn damaged_responses_and_batches_are_errors_and_nothing_worse() {
    const WITHIN: &str = "ACME_KAFKA_LITTLE_MEMORY";
    const NAME: &str = "damage::damaged_responses_and_batches_are_errors_and_nothing_worse";
    if std::env::var_os(WITHIN).is_some() {
        crate::records::tests::read_damaged();
        read_corpus();
        return;
    }
    let me = std::env::current_exe().unwrap();
    // KiB of address space: the process itself needs some ten MiB and a stack.
    let script = "ulimit -v 131072 && exec \"$0\" --exact \"$1\" --test-threads 1";
    let output = Command::new("sh").args(["-c", script]).arg(me).arg(NAME).env(WITHIN, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}
