//! Tests: responses that were damaged on the way are errors, and nothing worse. No panic, no abort, no large allocation.

mod kinds;

use crate::{fuzz, wire};
use acme_lab::damage::{corpus, in_little_memory, refused};
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

/// A response as it lies on the wire.
fn encoded<R: Request>(response: &R::Response, version: i16) -> Bytes {
    let mut bytes = BytesMut::from(&[0, 0, 0, 1][..]);
    if R::Response::header_version(version) >= 1 {
        bytes.extend_from_slice(&[0]);
    }
    response.encode(&mut bytes, version).unwrap();
    bytes.freeze()
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

#[test]
fn damaged_responses_are_errors_and_nothing_worse() {
    if !in_little_memory("damage::damaged_responses_are_errors_and_nothing_worse") {
        return;
    }
    for (name, bytes) in corpus(env!("CARGO_MANIFEST_DIR"), "responses", &kinds::every()) {
        assert!(fuzz::response(&bytes), "{name}: undamaged it is read");
        let refused = refused(&bytes, 1, fuzz::response);
        assert!(refused > 200, "{name}: {refused} of 2,000");
    }
}
