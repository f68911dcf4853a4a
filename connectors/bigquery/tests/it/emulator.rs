//! What is in the table afterwards, in append mode.

use crate::harness::{Life, documents, keys, make, unwrapped};
use crate::server::Dataset;
use std::time::Duration;

#[tokio::test]
async fn a_table_decodes_the_documents_by_its_own_columns() {
    let dataset = Dataset::new("typed").await;
    let columns = "id INT64 NOT NULL, big INT64, v STRING, seen TIMESTAMP, j JSON, n NUMERIC, b BOOL, f FLOAT64, d DATE, t TIME, \
                   dt DATETIME, bin BYTES, tags ARRAY<STRING>";
    dataset.table("t", columns).await;
    let mut life = Life::begin(&keys(&dataset, "t", ""), None).await;
    let refused = life
        .refused(&documents(&[
            r#"{"id":1,"big":9007199254740993,"v":"a\"b\u00e9","seen":"2026-01-02T03:04:05.678+02:00","j":{"a":[1,2]},"n":12.345,"b":true,"f":1.5,"d":"2026-01-02","t":"12:34:56.5","dt":"2026-01-02T03:04:05.6","bin":"AQL/","tags":["x","y"]}"#,
            r#"{"id":"2","v":7,"n":"1.5","f":"1e3","b":"false","nothing":1}"#,
            r#"{"v":"no id"}"#,
            r#"{"id":1.5}"#,
            r#"{"id":3,"seen":"yesterday"}"#,
            r#"{"id":4,"tags":["a",null]}"#,
            r#"{"id":5,"tags":"a"}"#,
            r#"{"id":6,"seen":1700000000}"#,
            r#"not json"#,
        ]))
        .await;
    let reasons: Vec<String> = refused.iter().map(|(row, reason)| format!("{row} {reason}")).collect();
    expect_test::expect![[r#"
        2 "id" is required, and the row has no value for it
        3 "id" is a INT64 and cannot take 1.5
        4 "seen" is a TIMESTAMP and cannot take "yesterday"
        5 the repeated column "tags" takes no null
        6 invalid type: string "a", expected an array for the repeated column "tags"
        7 "seen" is a TIMESTAMP and cannot take 1700000000
        8 expected ident"#]]
    .assert_eq(&reasons.join("\n"));
    life.end(true).await;
    let rows = dataset
        .query("SELECT id, big, v, UNIX_MICROS(seen), TO_JSON_STRING(j), CAST(n AS STRING), b, f, CAST(d AS STRING), CAST(t AS STRING), CAST(dt AS STRING), TO_HEX(bin), ARRAY_TO_STRING(tags, ',') FROM $.t ORDER BY id")
        .await;
    expect_test::expect![[r#"
        1|9007199254740993|a"bé|1767315845678000|{"a":[1,2]}|12.345000000|true|1.5|2026-01-02|12:34:56.5|2026-01-02 03:04:05.6|0102ff|x,y
        2|-|7|-|-|1.500000000|false|1000.0|-|-|-|-|"#]].assert_eq(&rows.join("\n"));
}

#[tokio::test]
async fn an_absent_table_is_made_from_the_rows_of_the_first_flush() {
    let dataset = Dataset::new("made").await;
    let mut life = Life::begin(&keys(&dataset, "t", ""), None).await;
    life.write(&documents(&[r#"{"id":1,"n":1,"at":"2026-01-02T03:04:05Z","ok":true}"#])).await;
    life.write(&documents(&[r#"{"id":2,"n":1.5,"name":"x","tags":["a"]}"#])).await;
    assert_eq!(dataset.tables().await, Vec::<String>::new(), "not before the flush");
    life.end(true).await;
    let columns = "SELECT column_name, data_type FROM $.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 't' ORDER BY ordinal_position";
    assert_eq!(
        dataset.query(columns).await,
        ["id|INT64", "n|FLOAT64", "at|TIMESTAMP", "ok|BOOL", "name|STRING", "tags|JSON"]
    );
    let rows = dataset.query("SELECT id, n, ok, name, TO_JSON_STRING(tags) FROM $.t ORDER BY id").await;
    assert_eq!(rows, ["1|1.0|true|-|-", "2|1.5|-|x|[\"a\"]"]);
}

#[tokio::test]
async fn rows_are_seen_when_the_flush_interval_is_over_and_at_the_end() {
    let dataset = Dataset::new("flushes").await;
    dataset.table("t", "id INT64").await;
    let count = || dataset.query("SELECT COUNT(*) FROM $.t");
    let mut life = Life::begin(&keys(&dataset, "t", "flush_interval: 1h"), None).await;
    for id in 0..3 {
        life.write(&documents(&[format!(r#"{{"id":{id}}}"#)])).await;
        let prepared = life.end(false).await;
        let state: serde_json::Value = serde_json::from_str(&prepared).expect("it is JSON");
        let named = state["groups"][0]["streams"].as_array().map_or(0, Vec::len);
        assert_eq!(named, id + 1, "every checkpoint names all of them: {prepared}");
    }
    assert_eq!(count().await, ["0"]);
    life.end(true).await;
    assert_eq!(count().await, ["3"]);
    let mut life = Life::begin(&keys(&dataset, "t", "flush_interval: 0s"), None).await;
    life.write(&documents(&[r#"{"id":3}"#])).await;
    life.end(false).await;
    assert_eq!(count().await, ["4"]);
}

#[tokio::test]
async fn unknown_fields_follow_the_policy() {
    let dataset = Dataset::new("policies").await;
    dataset.table("t", "id INT64").await;
    let rows = documents(&[r#"{"id":1}"#, r#"{"id":2,"more":true}"#]);
    let mut life = Life::begin(&keys(&dataset, "t", ""), None).await;
    life.write(&rows).await;
    life.end(true).await;
    let mut life = Life::begin(&keys(&dataset, "t", "unknown_fields: error"), None).await;
    let refused = life.refused(&rows).await;
    assert_eq!(refused, [(1, "the table lab.policies.t has no column \"more\"".to_owned())]);
    life.end(true).await;
    assert_eq!(dataset.query("SELECT id FROM $.t ORDER BY id").await, ["1", "1", "2"]);
}

#[tokio::test]
async fn insert_all_writes_what_it_can_and_refuses_the_rest() {
    let dataset = Dataset::new("older").await;
    dataset.table("t", "id INT64 NOT NULL, v STRING").await;
    let mut life = Life::begin(&keys(&dataset, "t", "api: insert_all"), None).await;
    let refused = life.refused(&documents(&[r#"{"id":1,"v":"a"}"#, r#"{"v":"b"}"#, r#"{"id":3}"#])).await;
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1]);
    assert_eq!(dataset.query("SELECT id, v FROM $.t ORDER BY id").await, ["1|a", "3|-"]);
}

#[tokio::test]
async fn the_check_names_what_is_wrong() {
    let dataset = Dataset::new("checked").await;
    dataset.table("t", "id INT64").await;
    let check = async |keys: &str| {
        let found = unwrapped(make(keys, false).expect("it is made").sink).check().await;
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(check(&keys(&dataset, "t", "")).await, "");
    assert_eq!(check(&keys(&dataset, "absent", "")).await, "");
    let absent = check(&keys(&dataset, "absent", "create: false")).await;
    assert!(
        absent.contains("the table lab.checked.absent does not exist") && absent.contains("p.yaml:"),
        "{absent}"
    );
    let key = check(&keys(&dataset, "t", "write_mode: upsert\nkey: name")).await;
    assert!(key.contains("no column \"name\", which is part of the key"), "{key}");
    let nowhere = check(&keys(&dataset, "t", "").replace("table: checked", "table: nowhere")).await;
    assert!(nowhere.contains("run: bq mk --dataset lab:nowhere"), "{nowhere}");
    let away = |text: String, port: &str| text.replace(port, "127.0.0.1:1");
    let rest = dataset.rest.trim_start_matches("http://");
    for (port, words) in [(rest, "cannot connect to http://127.0.0.1:1"), (&*dataset.storage, "onnect")] {
        let keys = away(keys(&dataset, "t", ""), port);
        let found = tokio::time::timeout(Duration::from_secs(30), check(&keys)).await;
        let found = found.expect("it does not wait for what is not there");
        assert!(found.contains(words) && found.contains("p.yaml:"), "{found}");
    }
}
