//! What is wrong with tables, their options and settings: what, where, why, and what to do.

use super::mistakes::check;
use super::read;
use expect_test::{expect, expect_file};

#[test]
fn of_tables() {
    let of =
        |columns: &str| format!("CREATE TABLE x ({columns}) WITH ('connector' = 'file', 'path' = '/x');");
    let columns = [
        "a",
        "a INTT, b BIGINT, c TIME, d DECIMAL(40), e MAP<STRING, FOO>, f TIMESTAMP(10), g INT DEFAULT 1",
        "a INT, a STRING",
        "a INT b INT",
        "a AS c + 1, b INT",
        "a AS (b + , b INT",
        "a INT, PRIMARY KEY (a)",
        "a INT, PRIMARY KEY (b) NOT ENFORCED, PRIMARY KEY (a) NOT ENFORCED",
        "a INT, UNIQUE (a)",
        "ts BIGINT, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND",
        "ts TIMESTAMP(3), WATERMARK FOR tss AS ts - INTERVAL '4' SECOND",
        "ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MONTH",
        "ts TIMESTAMP(3), WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts",
        "a INT METADATA FROM timestamp",
        "a ROW<x INT, x INT>",
        "a INT,",
    ]
    .map(of);
    let mut all: Vec<&str> = columns.iter().map(String::as_str).collect();
    all.extend([
        "CREATE TABLE x (a INT);",
        "CREATE TABLE x (a INT) PARTITIONED BY (a) WITH ('connector' = 'print');",
        "CREATE TABLE x WITH ('connector' = 'print') AS SELECT * FROM t;",
        "CREATE TABLE x (a INT) WITH ('connector' = 'print', 'connector' = 'print');",
        "CREATE TABLE x (a INT) WITH ('connector' 'print', path = '/x', 'a' = b);",
        "CREATE TABLE a.b.c (a INT) WITH ('connector' = 'print');",
        "CREATE TABLE x (a INT) WITH ('path' = '/x');",
    ]);
    check(&all, expect_file!["mistakes/tables.txt"]);
}

#[test]
fn of_options() {
    let of = |options: &str| {
        format!("CREATE TABLE x (a INT, b STRING) WITH ({options}); INSERT INTO o SELECT a, b FROM x;")
    };
    let sources = [
        "'connector' = 'kafak', 'topic' = 't'",
        "'connector' = '${PASSWORD}'",
        "'connector' = 'filesystem', 'format' = 'jsn'",
        "'connector' = 'filesystem', 'path' = 's3://bucket/x', 'format' = 'json'",
        "'connector' = 'filesystem', 'path' = '/x', 'format' = 'json', 'source.monitor-intervall' = '1s', 'colour' = 'red'",
        "'connector' = 'filesystem', 'path' = '/x', 'format' = '${PASSWORD}', 'source.monitor-interval' = '${PASSWORD}', 'json.fail-on-missing-field' = 'true'",
        "'connector' = 'filesystem', 'path' = '${NOT_SET}', 'format' = 'csv', 'csv.delimeter' = ','",
        "'connector' = 'kafka', 'scan.startup.mode' = 'earliest', 'format' = 'avro'",
        "'connector' = 'kafka', 'topic' = 't', 'scan.startup.mode' = 'timestamp', 'scan.bounded.mode' = 'group-offsets', 'format' = 'json'",
        "'connector' = 'kafka', 'topic' = 't', 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = '${PASSWORD}'",
        "'connector' = 'kafka', 'topic' = 't', 'create.partitions' = '3'",
        "'connector' = 'upsert-kafka', 'topic' = 't', 'key.format' = 'json', 'value.format' = 'json'",
        "'connector' = 'blackhole'",
        "'connector' = 'elasticsearch-7', 'hosts' = 'http://h', 'index' = 'i'",
        "'connector' = 'jdbc', 'url' = 'jdbc:mysql://u:${PASSWORD}@h/d', 'table-name' = 't', 'lookup.cache' = 'PARTIAL'",
        "'connector' = 'datagen', 'fields.c.min' = '1', 'fields.a.minimum' = '1', 'fields.b.kind' = 'sequence'",
        "'connector' = 'postgres', 'conection' = 'x', 'tables' = 'a', 'mode' = 'copy', 'heartbeat_interval' = '5'",
    ]
    .map(of);
    let of = |options: &str| {
        format!("CREATE TABLE x (a INT, b STRING) WITH ({options}); INSERT INTO x SELECT a, b FROM t;")
    };
    let sinks = [
        "'connector' = 'datagen'",
        "'connector' = 'upsert-kafka', 'topic' = 't', 'value.format' = 'json'",
        "'connector' = 'kafka', 'properties.bootstrap.servers' = 'h:1', 'key.fields' = 'aa', 'key.format' = 'raw'",
        "'connector' = 'kafka', 'topic' = 't', 'key.fields' = 'a;b', 'key.format' = 'raw', 'sink.partitioner' = 'org.x.Mine'",
        "'connector' = 'jdbc', 'table-name' = 't', 'driver' = 'com.mysql.jdbc.Driver'",
        "'connector' = 'elasticsearch-7', 'hosts' = 'http://h', 'index' = 'i-{ts|yyyy}', 'sink.bulk-flush.max-actions' = '0', 'sink.bulk-flush.max-size' = 'much'",
        "'connector' = 'bigquery', 'tabel' = 'x'",
        "'connector' = 'bigquery', 'table.name' = 'x'",
        "'connector' = 'print', 'standard-error' = 'true'",
    ]
    .map(of);
    let all: Vec<&str> = sources.iter().chain(&sinks).map(String::as_str).collect();
    check(&all, expect_file!["mistakes/options.txt"]);
}

#[test]
fn of_settings() {
    check(
        &[
            "SET 'pipeline.name' = 'a b';",
            "SET 'pipelin.name' = 'a';",
            "SET 'paralelism.default' = '4';",
            "SET 'parallelism.default' = 'many';",
            "SET 'settings.checkpoint.intervall' = '1s';",
            "SET 'settings.errors.policy' = 'dead_letter';",
            "SET 'settings.errors.policy' = 'dead_letter'; SET 'settings.errors.to' = 'oo';",
            "SET 'execution.runtime-mode' = 'fast';",
            "SET 'table.exec.state.ttl' = '${PASSWORD}';",
            "SET 'table.local-time-zone' = 'Europe/Berlin';",
            "SET colour = red;",
            "SET 'colour' = 'red';",
        ],
        expect_file!["mistakes/settings.txt"],
    );
}

#[test]
fn everything_wrong_is_said_at_once() {
    let (_, found) = read(
        "CREATE TABLE a (x INTT) WITH ('connector' = 'nowhere');
CREATE TABLE b (y INT) WITH ('connector' = 'kafka', 'topik' = 't');
SET 'nothing' = '1';
INSERT INTO b SELECT x FROM c;
INSERT INTO SELECT;",
    );
    let all: Vec<String> = found.iter().map(|it| it.to_string().replace('\n', "")).collect();
    expect![[r#"
        error[A0104]: "INTT" is no type  --> job.sql:1:19  help: did you mean "INT"?
        error[A0105]: there is no connector "nowhere"  --> job.sql:1:45  help: known connectors: bigquery, blackhole, datagen, elasticsearch, elasticsearch-6, elasticsearch-7, elasticsearch-8, file, filesystem, generator, jdbc, kafka, null, opensearch, postgres, print, stdout, upsert-kafka
        error[A0102]: unknown option 'topik' of the connector "kafka"  --> job.sql:2:53  help: did you mean 'topic'?
        error[A0102]: unknown key 'nothing' in SET  --> job.sql:3:5  help: known keys: pipeline.name, execution.runtime-mode, parallelism.default, execution.checkpointing.interval, execution.checkpointing.dir, state.checkpoints.dir, table.exec.state.ttl, table.exec.source.idle-timeout, table.exec.emit.allow-lateness, table.local-time-zone, execution.checkpointing.mode, settings.parallelism, settings.checkpoint.interval, settings.checkpoint.store, settings.errors.policy, settings.errors.to
        error[A0113]: there is no table or view "c"  --> job.sql:4:29  help: known tables and views: a, b
        error[A0112]: expected SELECT or a list of columns, found the end of the statement  --> job.sql:5:19"#]].assert_eq(&all.join("\n"));
}
