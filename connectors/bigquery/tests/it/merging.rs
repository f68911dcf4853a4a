//! Rows that are applied by key, and rows that replace a table.

use crate::harness::{Life, changes, documents, keys};
use crate::server::Dataset;

const UPSERT: &str = "write_mode: upsert\nkey: id\nflush_interval: 0s";

#[tokio::test]
async fn the_newest_change_of_a_key_wins_and_deletes_are_applied() {
    let dataset = Dataset::new("keyed").await;
    dataset.table("t", "id INT64, v STRING, n INT64 NOT NULL").await;
    dataset.query("INSERT INTO $.t VALUES (1, 'old', 0), (2, 'old', 0), (3, 'kept', 0)").await;
    let mut life = Life::begin(&keys(&dataset, "t", UPSERT), None).await;
    life.write(&changes(&[
        ("UPDATE", r#"{"id":1,"v":"x","n":1}"#),
        ("UPDATE", r#"{"id":1,"v":"y","n":2}"#),
        ("DELETE", r#"{"id":2}"#),
        ("INSERT", r#"{"id":4,"v":"a","n":1}"#),
        ("DELETE", r#"{"id":4}"#),
        ("INSERT", r#"{"id":4,"v":"b","n":2}"#),
    ]))
    .await;
    let refused = life
        .refused(&changes(&[("INSERT", r#"{"v":"no key","n":1}"#), ("UPDATE", r#"{"id":3,"v":"x"}"#)]))
        .await;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(dataset.query("SELECT id, v FROM $.t ORDER BY id").await, ["1|old", "2|old", "3|kept"]);
    life.end(false).await;
    assert_eq!(dataset.query("SELECT id, v, n FROM $.t ORDER BY id").await, ["1|y|2", "3|kept|0", "4|b|2"]);
    life.write(&changes(&[("DELETE", r#"{"id":1}"#), ("UPDATE", r#"{"id":3,"v":"new","n":3}"#)])).await;
    life.end(true).await;
    assert_eq!(dataset.query("SELECT id, v, n FROM $.t ORDER BY id").await, ["3|new|3", "4|b|2"]);
    assert_eq!(dataset.tables().await, ["t"], "no staging table is left");
}

#[tokio::test]
async fn rows_of_a_plain_stream_are_applied_by_key_too() {
    let dataset = Dataset::new("plain_keys").await;
    let mut life = Life::begin(&keys(&dataset, "t", "write_mode: upsert\nkey: [a, b]"), None).await;
    life.write(&documents(&[
        r#"{"a":1,"b":"x","v":1}"#,
        r#"{"a":1,"b":"y","v":2}"#,
        r#"{"a":1,"b":"x","v":3}"#,
    ]))
    .await;
    life.end(true).await;
    assert_eq!(dataset.query("SELECT a, b, v FROM $.t ORDER BY b").await, ["1|x|3", "1|y|2"]);
}

#[tokio::test]
async fn a_merge_that_was_made_is_not_made_again() {
    let dataset = Dataset::new("again").await;
    dataset.table("t", "id INT64, v STRING").await;
    let keys = keys(&dataset, "t", UPSERT);
    let mut first = Life::begin(&keys, None).await;
    first.write(&changes(&[("UPDATE", r#"{"id":1,"v":"x"}"#)])).await;
    let prepared = first.end(false).await;
    // Somebody changes the row: a second merge of the same rows would undo it.
    dataset.query("UPDATE $.t SET v = 'theirs' WHERE id = 1").await;
    let _second = Life::begin(&keys, Some(&prepared)).await;
    assert_eq!(dataset.query("SELECT id, v FROM $.t").await, ["1|theirs"]);
}

#[tokio::test]
async fn a_truncate_of_the_source_empties_what_came_before_it() {
    let dataset = Dataset::new("emptied").await;
    dataset.table("t", "id INT64, v STRING").await;
    dataset.query("INSERT INTO $.t VALUES (1, 'old')").await;
    let keys = keys(&dataset, "t", &format!("{UPSERT}\ntruncate: apply"));
    let mut life = Life::begin(&keys, None).await;
    life.write(&changes(&[
        ("INSERT", r#"{"id":2,"v":"a"}"#),
        ("TRUNCATE", "{}"),
        ("INSERT", r#"{"id":3,"v":"b"}"#),
    ]))
    .await;
    life.end(true).await;
    assert_eq!(dataset.query("SELECT id, v FROM $.t ORDER BY id").await, ["3|b"]);
    let mut life = Life::begin(&keys.replace("truncate: apply", "truncate: reject"), None).await;
    let refused = life.refused(&changes(&[("TRUNCATE", "{}")])).await;
    assert!(refused[0].1.contains("set `truncate`"), "{refused:?}");
}

const TRUNCATE: &str = "write_mode: truncate\nflush_interval: 0s";

#[tokio::test]
async fn a_table_is_replaced_at_the_end_of_the_batch_and_not_before() {
    let dataset = Dataset::new("replaced").await;
    dataset.table("t", "id INT64, v STRING").await;
    dataset.query("INSERT INTO $.t VALUES (1, 'old'), (2, 'old')").await;
    let keys = keys(&dataset, "t", TRUNCATE);
    let rows = || dataset.query("SELECT id, v FROM $.t ORDER BY id");
    let mut first = Life::begin(&keys, None).await;
    first.write(&documents(&[r#"{"id":2,"v":"new"}"#])).await;
    first.end(false).await;
    first.write(&documents(&[r#"{"id":3,"v":"new"}"#])).await;
    // It is asked to stop before its sources have ended: what it has read is kept, and nothing is replaced.
    let committed = first.end(true).await;
    assert_eq!(rows().await, ["1|old", "2|old"]);
    // One epoch that is not committed.
    let mut lost = Life::begin(&keys, Some(&committed)).await;
    lost.write(&documents(&[r#"{"id":4,"v":"lost"}"#])).await;
    lost.prepare(false).await;
    let mut second = Life::begin(&keys, Some(&committed)).await;
    second.write(&documents(&[r#"{"id":4,"v":"new"}"#])).await;
    second.sink.sources_ended();
    let last = second.prepare(true).await;
    assert_eq!(rows().await, ["1|old", "2|old"]);
    // It dies when the checkpoint is committed, and its heirs find the rest to do.
    for _ in 0..2 {
        let _heir = Life::begin(&keys, Some(&last)).await;
        assert_eq!(rows().await, ["2|new", "3|new", "4|new"]);
    }
    assert_eq!(dataset.tables().await, ["t"], "no staging table is left");
}

#[tokio::test]
async fn a_batch_without_rows_replaces_nothing() {
    let dataset = Dataset::new("nothing").await;
    dataset.table("t", "id INT64, v STRING").await;
    dataset.query("INSERT INTO $.t VALUES (1, 'old')").await;
    let mut life = Life::begin(&keys(&dataset, "t", TRUNCATE), None).await;
    life.sink.sources_ended();
    life.end(true).await;
    assert_eq!(dataset.query("SELECT id, v FROM $.t").await, ["1|old"]);
}

#[tokio::test]
async fn what_another_worker_has_left_is_completed() {
    let dataset = Dataset::new("adopted").await;
    dataset.table("t", "id INT64, v STRING").await;
    for keys in [keys(&dataset, "t", UPSERT), keys(&dataset, "t", "flush_interval: 1h")] {
        let mut one = Life::begin(&keys, None).await;
        let mut other = Life::begin(&keys, None).await;
        one.write(&documents(&[r#"{"id":1,"v":"x"}"#])).await;
        let left = one.prepare(false).await;
        drop(one);
        for _ in 0..2 {
            other.sink.adopt(&left).await.expect("it can complete it");
        }
    }
    assert_eq!(dataset.query("SELECT id, v FROM $.t").await, ["1|x", "1|x"], "one row of each");
}
