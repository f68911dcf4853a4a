//! Transactions in both ways of ending them, and what fences a producer.

use super::side::Side;
use super::words::*;
use acme_records::Stamp;
use m::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};

/// Versions of the first protocol: the epoch stays.
const ADD_V1: i16 = 3;
const END_V1: i16 = 3;
const PRODUCE_V1: i16 = 11;

type Who = (ProducerId, i16);

fn init(id: Option<&str>, timeout_ms: i32, (producer, epoch): Who) -> m::InitProducerIdRequest {
    m::InitProducerIdRequest::default()
        .with_transactional_id(id.map(tid))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
}

const NOBODY: Who = (ProducerId(-1), -1);

async fn begun(side: &mut Side, id: &str) -> Who {
    let v = side.newest::<m::InitProducerIdRequest>();
    let answer = side.settled("a producer begins", v, &init(Some(id), 60_000, NOBODY)).await;
    (answer.producer_id, answer.producer_epoch)
}

fn add(v: i16, id: &str, (producer, epoch): Who, parts: &[(&str, &[i32])]) -> m::AddPartitionsToTxnRequest {
    let one = |(name, parts): &(&str, &[i32])| {
        AddPartitionsToTxnTopic::default().with_name(topic(name)).with_partitions(parts.to_vec())
    };
    let topics: Vec<_> = parts.iter().map(one).collect();
    if v < 4 {
        return m::AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(tid(id))
            .with_v3_and_below_producer_id(producer)
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(topics);
    }
    let one = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(tid(id))
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
        .with_topics(topics);
    m::AddPartitionsToTxnRequest::default().with_transactions(vec![one])
}

fn end(id: &str, (producer, epoch): Who, commit: bool) -> m::EndTxnRequest {
    m::EndTxnRequest::default()
        .with_transactional_id(tid(id))
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
        .with_committed(commit)
}

fn write(
    v: i16,
    id: &str,
    to: (&str, Uuid),
    (producer, epoch): Who,
    sequence: i32,
    part: i32,
) -> m::ProduceRequest {
    let records = batch(1_000, &["x", "y"], within(producer, epoch, sequence));
    produce(v, to, &[(part, Some(records))]).with_transactional_id(Some(tid(id)))
}

async fn look(side: &mut Side, id: &str) {
    let request = m::DescribeTransactionsRequest::default().with_transactional_ids(vec![tid(id)]);
    // Until its markers are written: how long that takes is not compared.
    loop {
        let answer = side.newly("it is", request.clone()).await;
        if !answer.transaction_states.iter().any(|state| state.transaction_state.starts_with("Prepare")) {
            return;
        }
        side.exchanges.pop();
    }
}

pub(super) async fn producer_ids(side: &mut Side) {
    side.each("without a name", |v| with_nobody(v, None, 60_000)).await;
    side.each("with a name", |v| with_nobody(v, Some(&format!("named-{v}")), 60_000)).await;
    side.each("again", |v| with_nobody(v, Some(&format!("named-{v}")), 60_000)).await;
    for timeout in [0, -1, 1, 900_000, 900_001, i32::MAX] {
        side.each(&format!("time-out {timeout}"), |v| {
            with_nobody(v, Some(&format!("timed-{timeout}")), timeout)
        })
        .await;
    }
    side.each("an empty name", |v| with_nobody(v, Some(""), 60_000)).await;
    side.each("a time-out without a name", |v| with_nobody(v, None, -1)).await;
    let (producer, epoch) = begun(side, "bumped").await;
    for (label, who) in [
        ("its own epoch", (producer, epoch)),
        ("its own epoch again", (producer, epoch)),
        ("an epoch of the future", (producer, 9)),
        ("another producer", (ProducerId(5_000_000), epoch)),
        ("an id without an epoch", (producer, -1)),
        ("an epoch without an id", (ProducerId(-1), 1)),
    ] {
        side.newly(label, init(Some("bumped"), 60_000, who)).await;
        side.ask(label, 3, &init(Some("bumped"), 60_000, who)).await;
    }
    side.newly("an id without a name", init(None, 60_000, (producer, 0))).await;
    side.newly("a name nobody knows, an id", init(Some("stranger"), 60_000, (ProducerId(77_777), 3))).await;
}

fn with_nobody(v: i16, id: Option<&str>, timeout: i32) -> m::InitProducerIdRequest {
    let request = init(id, timeout, NOBODY);
    if v < 3 {
        m::InitProducerIdRequest::default()
            .with_transactional_id(request.transactional_id)
            .with_transaction_timeout_ms(timeout)
    } else {
        request
    }
}

async fn there(side: &mut Side, to: (&str, Uuid)) {
    for isolation in [0, 1] {
        side.newly(
            &format!("isolation {isolation}"),
            fetch(17, to, &[(0, 0), (1, 0)]).with_isolation_level(isolation),
        )
        .await;
    }
}

/// The first protocol: partitions are added, the epoch stays.
pub(super) async fn commit_and_abort(side: &mut Side) {
    let id = create(side, &[("first", 2, &[])]).await[0];
    let to = ("first", id);
    let who = begun(side, "one").await;
    side.newly("nothing to commit", end("one", who, true)).await;
    side.ask("nothing to commit", END_V1, &end("one", who, true)).await;
    let who = begun(side, "one").await;
    side.ask("written before it was added", PRODUCE_V1, &write(PRODUCE_V1, "one", to, who, 0, 0)).await;
    for commit in [true, false] {
        let who = begun(side, "one").await;
        side.settled("added", ADD_V1, &add(ADD_V1, "one", who, &[("first", &[0])])).await;
        side.ask("added again", ADD_V1, &add(ADD_V1, "one", who, &[("first", &[0, 1])])).await;
        side.ask("written", PRODUCE_V1, &write(PRODUCE_V1, "one", to, who, 0, 0)).await;
        side.ask("written to the other", PRODUCE_V1, &write(PRODUCE_V1, "one", to, who, 0, 1)).await;
        look(side, "one").await;
        there(side, to).await;
        side.newly("the end that readers see", list_offsets("first", &[(0, -1)]).with_isolation_level(1))
            .await;
        let one = m::describe_producers_request::TopicRequest::default()
            .with_name(topic("first"))
            .with_partition_indexes(vec![0]);
        side.newly("who writes", m::DescribeProducersRequest::default().with_topics(vec![one])).await;
        side.ask("ended", END_V1, &end("one", who, commit)).await;
        look(side, "one").await;
        side.settled("ended again", END_V1, &end("one", who, commit)).await;
        side.settled("ended otherwise", END_V1, &end("one", who, !commit)).await;
        there(side, to).await;
        side.ask("written after the end", PRODUCE_V1, &write(PRODUCE_V1, "one", to, who, 2, 0)).await;
    }
}

/// KIP-890: who writes adds the partition, and each end raises the epoch.
pub(super) async fn second_protocol(side: &mut Side) {
    let id = create(side, &[("second", 2, &[])]).await[0];
    let to = ("second", id);
    let v = side.newest::<m::ProduceRequest>();
    let ends = side.newest::<m::EndTxnRequest>();
    let mut who = begun(side, "two").await;
    side.newly("an empty commit", end("two", who, true)).await;
    let answer = side.settled("an empty abort", ends, &end("two", who, false)).await;
    who = (answer.producer_id, answer.producer_epoch);
    for commit in [true, false, true] {
        look(side, "two").await;
        side.settled("written", v, &write(v, "two", to, who, 0, 0)).await;
        side.ask("written to the other", v, &write(v, "two", to, who, 0, 1)).await;
        look(side, "two").await;
        let answer = side.ask("ended", ends, &end("two", who, commit)).await;
        look(side, "two").await;
        side.settled("ended again", ends, &end("two", who, commit)).await;
        side.settled("ended otherwise", ends, &end("two", who, !commit)).await;
        side.settled("a late write", v, &write(v, "two", to, who, 2, 0)).await;
        let wrong = (answer.producer_id, answer.producer_epoch + 3);
        side.settled("a write of the future", v, &write(v, "two", to, wrong, 0, 0)).await;
        who = (answer.producer_id, answer.producer_epoch);
        there(side, to).await;
    }
    side.settled("commits where nothing was written", ends, &end("two", who, true)).await;
    let answer = side.settled("aborts where nothing was written", ends, &end("two", who, false)).await;
    look(side, "two").await;
    let who = (answer.producer_id, answer.producer_epoch);
    let none = write(v, "nobody", to, who, 0, 0);
    side.ask("with an id nobody knows", v, &none).await;
    let records = batch(1_000, &["x"], within(who.0, who.1, 0));
    side.ask("without an id", v, &produce(v, to, &[(0, Some(records))])).await;
    let records = batch(1_000, &["x"], Stamp::NONE);
    let plain = produce(v, to, &[(0, Some(records))]).with_transactional_id(Some(tid("two")));
    side.ask("with an id, without a transaction", v, &plain).await;
}

pub(super) async fn fencing(side: &mut Side) {
    let id = create(side, &[("fenced", 1, &[])]).await[0];
    let to = ("fenced", id);
    let newest = side.newest::<m::ProduceRequest>();
    for v in [PRODUCE_V1, newest] {
        let name = format!("fenced-{v}");
        let old = begun(side, &name).await;
        if v == PRODUCE_V1 {
            side.ask("added", ADD_V1, &add(ADD_V1, &name, old, &[("fenced", &[0])])).await;
        }
        side.settled("written", v, &write(v, &name, to, old, 0, 0)).await;
        // The next life comes while the transaction is open.
        side.newly("the next life", init(Some(&name), 60_000, NOBODY)).await;
        let new = begun(side, &name).await;
        side.ask("the old one writes", v, &write(v, &name, to, old, 2, 0)).await;
        side.ask("the old one adds", ADD_V1, &add(ADD_V1, &name, old, &[("fenced", &[0])])).await;
        side.each("the old one adds", |v| add(v, &name, old, &[("fenced", &[0])])).await;
        side.each("the old one ends", |_| end(&name, old, true)).await;
        side.each("the old one adds a group", |_| add_group(&name, old, "g")).await;
        for version in [3, 4, 5] {
            side.ask("the old one asks for an epoch", version, &init(Some(&name), 60_000, old)).await;
        }
        side.settled("the new one writes", v, &write(v, &name, to, new, 0, 0)).await;
        side.ask("the new one ends", END_V1, &end(&name, new, false)).await;
        look(side, &name).await;
    }
    there(side, to).await;
}

fn add_group(id: &str, (producer, epoch): Who, name: &str) -> m::AddOffsetsToTxnRequest {
    m::AddOffsetsToTxnRequest::default()
        .with_transactional_id(tid(id))
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
        .with_group_id(group(name))
}

fn offsets_within(
    id: &str,
    who: Who,
    name: &str,
    topic_name: &str,
    offset: i64,
) -> m::TxnOffsetCommitRequest {
    use m::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
    let part = TxnOffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("within")));
    m::TxnOffsetCommitRequest::default()
        .with_transactional_id(tid(id))
        .with_group_id(group(name))
        .with_producer_id(who.0)
        .with_producer_epoch(who.1)
        .with_topics(vec![
            TxnOffsetCommitRequestTopic::default().with_name(topic(topic_name)).with_partitions(vec![part]),
        ])
}

pub(super) async fn group_offsets(side: &mut Side) {
    create(side, &[("consumed", 1, &[])]).await;
    for commit in [true, false] {
        let who = begun(side, "moving").await;
        side.ask("before the group was added", 3, &offsets_within("moving", who, "movers", "consumed", 1))
            .await;
        side.each("the group is added", |_| add_group("moving", who, "movers")).await;
        for v in [0, 3] {
            side.ask("offsets", v, &offsets_within("moving", who, "movers", "consumed", 5)).await;
        }
        side.ask("of an unknown topic", 3, &offsets_within("moving", who, "movers", "unseen", 5)).await;
        for stable in [false, true] {
            side.newly(
                "while it is open",
                offsets(9, "movers", Some(&[("consumed", &[0])])).with_require_stable(stable),
            )
            .await;
        }
        let delete = m::DeleteGroupsRequest::default().with_groups_names(vec![group("movers")]);
        if commit {
            side.newly("the group is not deleted meanwhile", delete).await;
        }
        side.newly("it is listed", m::DescribeGroupsRequest::default().with_groups(vec![group("movers")]))
            .await;
        let late = offsets_within("moving", (who.0, who.1 + 1), "movers", "consumed", 9);
        side.ask("an epoch of the future", 3, &late).await;
        let member = offsets_within("moving", who, "movers", "consumed", 9);
        side.ask(
            "of a member nobody knows",
            3,
            &member.clone().with_member_id(text("m")).with_generation_id(3),
        )
        .await;
        side.ask("of a generation without a member", 3, &member.with_generation_id(3)).await;
        side.ask("ended", END_V1, &end("moving", who, commit)).await;
        look(side, "moving").await;
        side.newly("what became of it", offsets(9, "movers", None).with_require_stable(true)).await;
    }
    let v = side.newest::<m::TxnOffsetCommitRequest>();
    let who = begun(side, "moving-2").await;
    side.ask("adds the group by itself", v, &offsets_within("moving-2", who, "movers-2", "consumed", 7))
        .await;
    look(side, "moving-2").await;
    side.newly("ended", end("moving-2", who, true)).await;
    look(side, "moving-2").await;
    side.newly("what became of it", offsets(9, "movers-2", None).with_require_stable(true)).await;
    side.newly("a late one", offsets_within("moving-2", who, "movers-2", "consumed", 8)).await;
    side.newly("no group", offsets_within("moving-2", who, "", "consumed", 8)).await;
    side.newly("no id", offsets_within("", who, "movers-2", "consumed", 8)).await;
}

pub(super) async fn invalid(side: &mut Side) {
    create(side, &[("touched", 1, &[])]).await;
    let who = begun(side, "strict").await;
    for (label, id, who, parts) in [
        ("no id", "", who, &[("touched", &[0][..])][..]),
        ("an unknown id", "nobody", who, &[("touched", &[0])]),
        ("another producer", "strict", (ProducerId(9_999_999), 0), &[("touched", &[0])]),
        ("an epoch of the future", "strict", (who.0, who.1 + 1), &[("touched", &[0])]),
        ("a negative epoch", "strict", (who.0, -1), &[("touched", &[0])]),
        ("an unknown topic", "strict", who, &[("unseen", &[0])]),
        ("an unknown partition", "strict", who, &[("touched", &[0, 9])]),
        ("one good, one bad", "strict", who, &[("touched", &[0]), ("unseen", &[0])]),
        ("no partitions", "strict", who, &[]),
        ("an internal topic", "strict", who, &[("__consumer_offsets", &[0])]),
    ] {
        side.each(&format!("added: {label}"), |v| add(v, id, who, parts)).await;
        if parts.len() == 1 {
            side.each(&format!("ended: {label}"), |_| end(id, who, true)).await;
            side.each(&format!("a group added: {label}"), |_| add_group(id, who, "g")).await;
        }
    }
    side.newly("no group", add_group("strict", who, "")).await;
    let mut asked = add(4, "strict", who, &[("touched", &[0])]);
    asked.transactions[0].verify_only = true;
    side.ask("is it part of it", 4, &asked).await;
    asked.transactions[0].transactional_id = tid("nobody");
    side.ask("is it part of nothing", 4, &asked).await;
    side.newly(
        "what is there",
        m::DescribeTransactionsRequest::default().with_transactional_ids(vec![
            tid("strict"),
            tid("nobody"),
            tid(""),
        ]),
    )
    .await;
    side.newly("nothing described", m::DescribeTransactionsRequest::default()).await;
    let listing = m::ListTransactionsRequest::default().with_duration_filter(-1);
    for (label, request) in [
        ("all", listing.clone()),
        ("ongoing", listing.clone().with_state_filters(vec![text("Ongoing")])),
        ("complete", listing.clone().with_state_filters(vec![text("CompleteCommit"), text("CompleteAbort")])),
        ("unknown states", listing.clone().with_state_filters(vec![text("Nonsense"), text("Empty")])),
        ("of a producer", listing.clone().with_producer_id_filters(vec![who.0])),
        ("of another producer", listing.clone().with_producer_id_filters(vec![ProducerId(8_888_888)])),
        ("long ones", listing.clone().with_duration_filter(3_600_000)),
        ("by pattern", listing.clone().with_transactional_id_pattern(Some(text("str.*")))),
        ("by part of it", listing.clone().with_transactional_id_pattern(Some(text("tri")))),
        ("by an empty pattern", listing.clone().with_transactional_id_pattern(Some(text("")))),
        ("by a bad pattern", listing.clone().with_transactional_id_pattern(Some(text("(")))),
    ] {
        side.newly(&format!("listed: {label}"), request).await;
    }
    side.ask("listed", 0, &m::ListTransactionsRequest::default()).await;
}

pub(super) async fn markers(side: &mut Side) {
    use m::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    let id = create(side, &[("marked", 1, &[])]).await[0];
    let to = ("marked", id);
    let who = begun(side, "hanging").await;
    let v = side.newest::<m::ProduceRequest>();
    side.settled("written", v, &write(v, "hanging", to, who, 0, 0)).await;
    let marker = |name: &str, epoch: i16, coordinator: i32, parts: &[i32]| {
        let one =
            WritableTxnMarkerTopic::default().with_name(topic(name)).with_partition_indexes(parts.to_vec());
        let one = WritableTxnMarker::default()
            .with_producer_id(who.0)
            .with_producer_epoch(epoch)
            .with_transaction_result(false)
            .with_coordinator_epoch(coordinator)
            .with_topics(vec![one]);
        m::WriteTxnMarkersRequest::default().with_markers(vec![one])
    };
    side.newly("an unknown topic", marker("unseen", who.1, 0, &[0])).await;
    side.newly("an unknown partition", marker("marked", who.1, 0, &[4])).await;
    side.newly("an old epoch", marker("marked", who.1 - 1, 0, &[0])).await;
    side.newly("ended by hand", marker("marked", who.1, 0, &[0])).await;
    side.newly("no markers", m::WriteTxnMarkersRequest::default()).await;
    there(side, ("marked", id)).await;
}
