//! The same requests to this broker and to a single node of Apache Kafka: every answer is compared, field by field.
//!
//! A script asks, and uses what it is told (ids, epochs) in its further requests. What may differ is replaced by a name or
//! left out (`compare.rs`); every other difference stands in `compat/differences.txt` with its reason, or fails the test.

#![expect(clippy::print_stdout, reason = "how much is compared is for a person")]

mod compare;
mod frames;
mod groups;
mod members;
mod records;
mod settings;
mod side;
mod topics;
mod transactions;
mod tree;
mod words;

use crate::support::Server;
use acme_lab::kafka::Kafka;
use compare::{Exchange, deviations, differences, unexplained};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, FindCoordinatorRequest};
use side::Side;
use std::collections::BTreeMap;
use tree::Tree;

const DEVIATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../compat/differences.txt");

macro_rules! scripts {
    ($($module:ident :: $name:ident),* $(,)?) => {
        async fn play(side: &mut Side, only: Option<&str>) {
            $(if only.is_none_or(|only| concat!(stringify!($module), "::", stringify!($name)).contains(only)) {
                side.begin(concat!(stringify!($module), "::", stringify!($name))).await;
                $module::$name(side).await;
            })*
        }
    };
}

scripts! {
    topics::creation, topics::create_invalid, topics::metadata, topics::partitions, topics::delete,
    settings::describe, settings::alter, settings::incremental, settings::cluster,
    records::writing, records::produce_invalid, records::reading, records::fetch_invalid, records::sessions,
    records::offsets, records::epochs, records::delete_records, records::idempotent,
    groups::coordinators, groups::absent, groups::first_member, groups::generations, groups::fixed_members,
    groups::kept_offsets, groups::invalid_offsets, groups::administration,
    members::lives, members::invalid,
    transactions::producer_ids, transactions::commit_and_abort, transactions::second_protocol, transactions::fencing,
    transactions::group_offsets, transactions::invalid, transactions::markers,
    frames::versions, frames::malformed,
}

/// What our broker offers.
async fn offered(server: &Server) -> BTreeMap<i16, (i16, i16)> {
    let answer = server.wire().await.ask(&ApiVersionsRequest::default(), 0).await;
    // Produce is said to be served from 0 on, by both, and is not.
    let first = |api: &ApiVersion| if api.api_key == 0 { 3 } else { api.min_version };
    answer.api_keys.iter().map(|api| (api.api_key, (first(api), api.max_version))).collect()
}

async fn ready(side: &mut Side) {
    // The coordinators' topics are made by the first who asks for them.
    for key_type in 0..=1 {
        let request =
            FindCoordinatorRequest::default().with_key(crate::support::text("x")).with_key_type(key_type);
        side.ask("is it there", 1, &request).await;
    }
}

async fn exchanges(
    address: &str,
    offered: BTreeMap<i16, (i16, i16)>,
    only: Option<&str>,
    epoch: i32,
) -> Vec<Exchange> {
    let mut side = Side::new(address, offered, epoch).await;
    side.begin("ready").await;
    ready(&mut side).await;
    play(&mut side, only).await;
    side.exchanges
}

/// With the settings that ours has by default, and as many partitions of the internal topics.
fn apache() -> Kafka {
    let options = Kafka::options()
        .set("offsets.topic.num.partitions", 1)
        .set("transaction.state.log.num.partitions", 1)
        .set("group.min.session.timeout.ms", 6_000)
        .set("group.consumer.min.session.timeout.ms", 45_000)
        .set("group.consumer.session.timeout.ms", 45_000)
        .set("group.consumer.min.heartbeat.interval.ms", 5_000)
        .set("group.consumer.heartbeat.interval.ms", 5_000)
        // As in 4.1: an assignment follows a change at once.
        .set("group.consumer.min.assignment.interval.ms", 0)
        .set("group.consumer.assignment.interval.ms", 0)
        .set("group.consumer.assignor.offload.enable", "false");
    options.start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_get_the_same_answers_from_apache_kafka() {
    let only = std::env::var("ACME_SCRIPT").ok();
    let only = only.as_deref();
    let kafka = tokio::task::spawn_blocking(apache).await.unwrap();
    let server = Server::start().await;
    let offered = offered(&server).await;
    let (here, there) = (server.bootstrap(), kafka.bootstrap());
    let (ours, theirs) = tokio::join!(
        // Ours counts the lives of the log from 1 on.
        exchanges(&here, offered.clone(), only, 1),
        exchanges(&there, offered, only, 0),
    );
    let found = differences(&ours, &theirs);
    println!("{} requests, {} differences with a reason or without", ours.len(), found.len());
    let rest = unexplained(found, deviations(&std::fs::read_to_string(DEVIATIONS).unwrap()));
    let rest: Vec<String> =
        rest.into_iter().filter(|line| only.is_none() || !line.starts_with("this deviation")).collect();
    assert!(rest.is_empty(), "what | where | ours | Apache Kafka's\n{}", rest.join("\n"));
    assert!(only.is_some() || ours.len() >= 500, "{} requests", ours.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_the_same_do_not_differ_and_what_differs_is_found() {
    let (one, same) = (Server::start().await, Server::start().await);
    let other = Server::with(|options| options.partitions = 2).await;
    let offered = offered(&one).await;
    let play = async |server: &Server| {
        exchanges(&server.bootstrap(), offered.clone(), Some("topics::creation"), 1).await
    };
    let (first, second, third) = (play(&one).await, play(&same).await, play(&other).await);
    assert_eq!(differences(&first, &second), []);
    let found = differences(&first, &third);
    assert!(!found.is_empty() && found.iter().all(|one| one.what.contains("by default")), "{found:?}");
    let reason = "topics::creation: * by default | topics[*num_partitions | 1 | 2 | two are wanted";
    let left = unexplained(found.clone(), deviations(reason));
    let others = found.iter().filter(|one| !one.path.ends_with("num_partitions")).count();
    assert!(left.len() == others && others < found.len(), "a reason explains what it names: {left:?}");
    let wrong = unexplained(found.clone(), deviations(&reason.replace("| 2 |", "| 3 |")));
    assert_eq!(wrong.len(), found.len() + 1, "and no more");
    assert_eq!(unexplained(Vec::new(), deviations(reason)).len(), 1, "a reason without a difference is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_any_field_of_any_answer_is_found() {
    let server = Server::start().await;
    let offered = offered(&server).await;
    let told = exchanges(&server.bootstrap(), offered, Some("topics::metadata"), 1).await;
    let mut planted = 0;
    for index in 0..told.len() {
        for leaf in 0.. {
            let mut changed = told.clone();
            if !plant(&mut changed[index].answer, &mut { leaf }) {
                break;
            }
            assert_eq!(differences(&told, &changed).len(), 1, "{} {leaf}", told[index].what);
            planted += 1;
        }
    }
    assert!(planted > 500, "{planted}");
}

/// Changes the n-th value of an answer, if it has so many.
fn plant(answer: &mut Tree, left: &mut usize) -> bool {
    match answer {
        Tree::Leaf(text) if *left == 0 => {
            text.push_str(" planted");
            true
        }
        Tree::Leaf(_) => {
            *left -= 1;
            false
        }
        Tree::List(items) => items.iter_mut().any(|item| plant(item, left)),
        Tree::Fields(fields) => fields.iter_mut().any(|(_, value)| plant(value, left)),
    }
}
