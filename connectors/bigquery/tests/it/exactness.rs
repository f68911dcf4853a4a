//! What is seen after each way to die between two steps.

use crate::harness::{Life, documents, keys};
use crate::server::Dataset;

async fn dataset(name: &'static str) -> (Dataset, String) {
    let dataset = Dataset::new(name).await;
    dataset.table("t", "id INT64").await;
    let keys = keys(&dataset, "t", "flush_interval: 0s");
    (dataset, keys)
}

const IDS: &str = "SELECT id FROM $.t ORDER BY id";

#[tokio::test]
async fn an_epoch_that_was_not_committed_is_never_seen() {
    let (dataset, keys) = dataset("abandoned").await;
    let mut first = Life::begin(&keys, None).await;
    first.write(&documents(&[r#"{"id":1}"#])).await;
    let committed = first.end(false).await;
    first.write(&documents(&[r#"{"id":2}"#])).await;
    first.prepare(false).await;
    // Here it dies: the checkpoint of the second epoch is never committed.
    drop(first);
    let mut second = Life::begin(&keys, Some(&committed)).await;
    second.write(&documents(&[r#"{"id":2}"#, r#"{"id":3}"#])).await;
    second.end(true).await;
    assert_eq!(dataset.query(IDS).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn an_epoch_that_was_committed_is_seen_once_however_often_it_is_restored() {
    let (dataset, keys) = dataset("restored").await;
    let mut first = Life::begin(&keys, None).await;
    first.write(&documents(&[r#"{"id":1}"#])).await;
    let prepared = first.prepare(false).await;
    // The checkpoint is committed, and it dies before the stream is.
    drop(first);
    assert_eq!(dataset.query(IDS).await, Vec::<String>::new());
    for _ in 0..3 {
        let _life = Life::begin(&keys, Some(&prepared)).await;
        assert_eq!(dataset.query(IDS).await, ["1"]);
    }
}

#[tokio::test]
async fn a_zombie_that_commits_late_adds_nothing() {
    let (dataset, keys) = dataset("zombie").await;
    let mut zombie = Life::begin(&keys, None).await;
    zombie.write(&documents(&[r#"{"id":1}"#])).await;
    let prepared = zombie.prepare(false).await;
    let mut heir = Life::begin(&keys, Some(&prepared)).await;
    heir.write(&documents(&[r#"{"id":2}"#])).await;
    heir.end(true).await;
    zombie.commit().await;
    assert_eq!(dataset.query(IDS).await, ["1", "2"]);
}

#[tokio::test]
async fn a_stream_that_is_not_known_any_more_stops_the_run() {
    let (_dataset, keys) = dataset("forgotten").await;
    let prepared =
        r#"{"groups":[{"streams":["projects/lab/datasets/forgotten/tables/t/streams/gone"],"sealed":true}]}"#;
    let fault =
        Life::try_begin(&keys, Some(&prepared.to_owned())).await.err().expect("nobody can say what happened");
    assert!(fault.message.contains("nobody can say whether its rows are in the table"), "{fault}");
}

#[tokio::test]
async fn rows_of_a_skipped_epoch_are_part_of_the_next() {
    let (dataset, keys) = dataset("skipped").await;
    let mut life = Life::begin(&keys, None).await;
    life.write(&documents(&[r#"{"id":1}"#])).await;
    // The engine finds nothing to commit, and says so to nobody.
    life.prepare(false).await;
    assert_eq!(dataset.query(IDS).await, Vec::<String>::new());
    life.write(&documents(&[r#"{"id":2}"#])).await;
    life.end(false).await;
    assert_eq!(dataset.query(IDS).await, ["1", "2"]);
}
