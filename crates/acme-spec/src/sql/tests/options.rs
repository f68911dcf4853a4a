//! Options of Flink's connectors, and ours by their own names, and the items that they become.

use super::shown;
use expect_test::{Expect, expect};

/// The item of a table that is read.
fn source(columns: &str, options: &str, expect: Expect) {
    let text = format!(
        "CREATE TABLE t {columns} WITH ({options});\nCREATE TABLE o WITH ('connector' = 'print');\nINSERT INTO o SELECT * FROM t;"
    );
    expect.assert_eq(&item(&shown(&text)));
}

/// The item of a table that is written.
fn sink(columns: &str, options: &str, expect: Expect) {
    let text = format!(
        "CREATE TABLE t {columns} WITH ({options});\nCREATE TABLE i WITH ('connector' = 'file', 'path' = '/x');\nINSERT INTO t SELECT * FROM i;"
    );
    expect.assert_eq(&item(&shown(&text)));
}

/// Warnings, and the first table without its columns.
fn item(all: &str) -> String {
    let kept = |line: &&str| {
        line.starts_with(['w', 'e'])
            || line.contains("help:")
            || line.contains("-->")
            || line.starts_with("table t:")
            || line.starts_with("  {")
    };
    let mut lines: Vec<&str> = all.lines().filter(kept).collect();
    if let Some(at) = lines.iter().position(|line| line.starts_with("  {")) {
        lines.truncate(at + 1);
    }
    lines.join("\n") + "\n"
}

#[test]
fn files() {
    source(
        "(a INT)",
        "'connector' = 'filesystem', 'path' = 'file:///data/', 'format' = 'json'",
        expect![[r#"
        table t: source file, bounded
          {path: [/data/*], format: json, schema: {a: int}}
    "#]],
    );
    source(
        "(a INT, b STRING)",
        "'connector' = 'filesystem', 'path' = '/data/*.csv', 'format' = 'csv', 'csv.field-delimiter' = '|', 'csv.disable-quote-character' = 'true', 'csv.null-literal' = 'N/A', 'source.monitor-interval' = '10 s', 'sink.rolling-policy.file-size' = '1mb'",
        expect![[r#"
            table t: source file
              {path: [/data/*.csv], format: csv, csv: {delimiter: |, quote: none, header: false, null: N/A}, schema: {a: int, b: string}}
        "#]],
    );
    sink(
        "(a INT)",
        "'connector' = 'filesystem', 'path' = 'file://${DATA}/out/', 'format' = 'csv', 'csv.header' = 'true', 'sink.rolling-policy.file-size' = '128MB', 'sink.rolling-policy.rollover-interval' = '30 min', 'sink.rolling-policy.check-interval' = '1 min'",
        expect![[r#"
            warning[A0115]: 'sink.rolling-policy.check-interval' changes nothing: files are finished by their size and age, at a commit
              --> job.sql:1:226
            table t: destination file
              {path: /data/out/part.csv, format: csv, csv: {header: true}, rotate: {size: 134217728, every: 1800000000}}
        "#]],
    );
    source(
        "",
        "'connector' = 'file', 'path' = '/a/*;/b', 'csv.delimiter' = ';', 'format' = 'csv', 'schema.a' = 'int'",
        expect![[r#"
        table t: source file
          {path: [/a/*, /b], format: csv, csv: {delimiter: ;}, schema: {a: int}}
    "#]],
    );
    sink(
        "",
        "'connector' = 'file', 'path' = '/a', 'rotate.size' = '64MiB'",
        expect![[r#"
        table t: destination file
          {path: /a, format: json, rotate: {size: 67108864}}
    "#]],
    );
}

#[test]
fn kafka_as_a_source() {
    source(
        "(k STRING, v BIGINT, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp')",
        "'connector' = 'kafka', 'topic' = 'a;b', 'properties.bootstrap.servers' = 'h1:9092,h2:9092', 'properties.group.id' = 'g', 'properties.security.protocol' = 'SASL_SSL', 'properties.sasl.jaas.config' = 'x password=\"${PASSWORD}\";', 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1767225600000', 'value.format' = 'json', 'value.json.ignore-parse-errors' = 'true', 'json.timestamp-format.standard' = 'ISO-8601', 'sink.transactional-id-prefix' = 'x'",
        expect![[r#"
            warning[A0115]: 'value.json.ignore-parse-errors' is a setting of the whole pipeline here
              --> job.sql:1:428
              help: write SET 'settings.errors.policy' = 'skip'; without it the pipeline stops at such a record
            warning[A0115]: 'json.timestamp-format.standard' changes nothing: times are read in either form, and written as ISO 8601
              --> job.sql:1:471
            table t: source kafka, skips
              {brokers: [h1:9092, h2:9092], topics: [a, b], group_id: g, start_offset: 2026-01-01T00:00:00.000Z, format: json, schema: {k: string, v: bigint}, properties: {security.protocol: secret SASL_SSL, sasl.jaas.config: secret x password="hunter/2";}}
        "#]],
    );
    source(
        "(v BIGINT)",
        "'connector' = 'kafka', 'topic-pattern' = 'orders-.*', 'properties.bootstrap.servers' = 'h:9092', 'format' = 'json', 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:0,offset:42;partition:1,offset:300', 'scan.bounded.mode' = 'latest-offset', 'scan.topic-partition-discovery.interval' = '5 min'",
        expect![[r#"
            warning[A0115]: 'scan.topic-partition-discovery.interval' changes nothing: 'properties.metadata.max.age.ms' says how often topics are looked for
              --> job.sql:1:312
            table t: source kafka, bounded
              {brokers: [h:9092], topic_pattern: orders-.*, start_offset: 0:42,1:300, format: json, schema: {v: bigint}}
        "#]],
    );
    source(
        "(v BIGINT)",
        "'connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'scan.startup.mode' = 'group-offsets', 'properties.auto.offset.reset' = 'earliest'",
        expect![[r#"
            table t: source kafka
              {topic: t, start_offset: earliest, format: json, schema: {v: bigint}}
        "#]],
    );
    source(
        "",
        "'connector' = 'kafka', 'topics' = 'a;b', 'brokers' = 'h1:1;h2:2', 'start_offset' = '0:42,1:300'",
        expect![[r#"
        table t: source kafka
          {brokers: [h1:1, h2:2], topics: [a, b], start_offset: 0:42,1:300, format: json}
    "#]],
    );
}

#[test]
fn kafka_as_a_destination() {
    sink(
        "(`k\"1` STRING, v BIGINT)",
        "'connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'h:9092', 'format' = 'json', 'key.format' = 'raw', 'key.fields' = 'k\"1', 'sink.partitioner' = 'fixed', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'x', 'scan.startup.mode' = 'earliest-offset', 'properties.compression.type' = 'zstd'",
        expect![[r#"
            warning[A0115]: 'sink.partitioner' changes nothing: rows go by their key, or in turn
              --> job.sql:1:191
            warning[A0115]: 'sink.transactional-id-prefix' changes nothing: Acme names the transactions of each worker by itself
              --> job.sql:1:265
            table t: destination kafka
              {brokers: [h:9092], topic: t, format: json, key: "k""1", properties: {compression.type: secret zstd}}
        "#]],
    );
    sink(
        "",
        "'connector' = 'kafka', 'topic' = 't', 'create.partitions' = '3', 'create.config.retention.ms' = '1000', 'headers.trace' = 'trace_id'",
        expect![[r#"
            table t: destination kafka
              {topic: t, format: json, headers: {trace: trace_id}, create: {partitions: 3, config: {retention.ms: 1000}}}
        "#]],
    );
    sink(
        "(id BIGINT PRIMARY KEY NOT ENFORCED, v BIGINT)",
        "'connector' = 'upsert-kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'h:9092', 'key.format' = 'json', 'value.format' = 'json', 'sink.buffer-flush.interval' = '1s'",
        expect![[r#"
            warning[A0115]: 'sink.buffer-flush.interval' changes nothing: SET 'execution.checkpointing.interval' says when rows are committed
              --> job.sql:1:205
            table t: destination kafka
              {brokers: [h:9092], topic: t, format: json}
        "#]],
    );
    sink(
        "(id BIGINT PRIMARY KEY NOT ENFORCED, v BIGINT)",
        "'connector' = 'upsert-kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'h:9092', 'key.format' = 'raw', 'value.format' = 'json'",
        expect![[r#"
            table t: destination kafka
              {brokers: [h:9092], topic: t, format: json, key: "id"}
        "#]],
    );
}

#[test]
fn databases() {
    sink(
        "(id BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)",
        "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://db:5432/shop?sslmode=require&currentSchema=sales&x=y', 'table-name' = 'orders', 'username' = 'me@home', 'password' = '${PASSWORD}', 'driver' = 'org.postgresql.Driver', 'sink.buffer-flush.max-rows' = '100'",
        expect![[r#"
            warning[A0115]: of the url's parameters only user, password, currentSchema, sslmode and sslrootcert have a meaning
              --> job.sql:1:105
            warning[A0115]: 'sink.buffer-flush.max-rows' changes nothing: SET 'execution.checkpointing.interval' says when rows are committed
              --> job.sql:1:292
            table t: destination postgres
              {connection: secret postgres://me%40home:hunter%2F2@db:5432/shop?sslmode=require, table: sales.orders, mode: upsert, key: [id], create: false}
        "#]],
    );
    sink(
        "(id BIGINT, v BIGINT)",
        "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://db/shop?user=u&password=p', 'table-name' = 's.orders'",
        expect![[r#"
            table t: destination postgres
              {connection: secret postgres://u:p@db/shop, table: s.orders, mode: append, create: false}
        "#]],
    );
    source(
        "(id BIGINT, v BIGINT)",
        "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://db/shop', 'table-name' = 'orders', 'scan.fetch-size' = '100'",
        expect![[r#"
            warning[A0115]: 'scan.fetch-size' changes nothing: rows are read in one binary stream
              --> job.sql:1:128
            table t: source postgres, bounded
              {connection: secret postgres://db/shop, tables: [orders]}
        "#]],
    );
    source(
        "(id BIGINT, v BIGINT)",
        "'connector' = 'postgres', 'connection' = 'postgres://u:${PASSWORD}@h/d', 'tables' = 'public.a;public.b', 'mode' = 'cdc', 'heartbeat_interval' = '5s'",
        expect![[r#"
            table t: source postgres
              {connection: secret postgres://u:hunter/2@h/d, mode: cdc, tables: [public.a, public.b], heartbeat_interval: 5000000}
        "#]],
    );
    sink(
        "",
        "'connector' = 'bigquery', 'table' = 'd.t'",
        expect![[r#"
        table t: destination bigquery
          {table: d.t}
    "#]],
    );
}

#[test]
fn search() {
    sink(
        "(id BIGINT, day STRING, PRIMARY KEY (id, day) NOT ENFORCED)",
        "'connector' = 'elasticsearch-7', 'hosts' = 'http://h1:9200;http://h2:9200', 'index' = 'orders-{day}', 'username' = 'u', 'password' = '${PASSWORD}', 'sink.bulk-flush.max-actions' = '1000', 'sink.bulk-flush.max-size' = '2mb', 'sink.bulk-flush.interval' = '1s', 'connection.path-prefix' = '/v1', 'connection.request-timeout' = '5 s', 'format' = 'json'",
        expect![[r#"
            warning[A0115]: 'sink.bulk-flush.interval' changes nothing: rows leave as soon as they can
              --> job.sql:1:306
            table t: destination elasticsearch
              {url: [http://h1:9200/v1, http://h2:9200/v1], index: orders-{day}, id_field: [id, day], username: u, password: secret hunter/2, batch_bytes: 2097152, batch_rows: 1000, timeout: 5000000}
        "#]],
    );
    sink(
        "",
        "'connector' = 'elasticsearch', 'index' = 'i', 'tls.verify' = 'false'",
        expect![[r#"
        table t: destination elasticsearch
          {url: [http://localhost:9200], index: i, tls: {verify: false}}
    "#]],
    );
}

#[test]
fn generated_and_dropped() {
    source(
        "(id BIGINT, price INT, name STRING, ok BOOLEAN, amount DECIMAL(10, 2), f DOUBLE, c AS id + 1)",
        "'connector' = 'datagen', 'rows-per-second' = '5', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000', 'fields.price.min' = '1', 'fields.price.max' = '10', 'fields.name.length' = '3'",
        expect![[r#"
            table t: source generator, bounded
              {fields: {id: sequence, price: int(1, 10), name: text(3), ok: bool(0.5), amount: decimal(0, 1000, 2), f: double(0, 1)}, rows: 1000, rate: 5}
        "#]],
    );
    source(
        "(id BIGINT)",
        "'connector' = 'datagen', 'number-of-rows' = '10'",
        expect![[r#"
        table t: source generator, bounded
          {fields: {id: int(0, 9223372036854775806)}, rows: 10, rate: 10000}
    "#]],
    );
    source(
        "",
        "'connector' = 'generator', 'fields.id' = 'sequence', 'fields.x' = 'int(1, 2)', 'rows' = '5'",
        expect![[r#"
        table t: source generator
          {fields: {id: sequence, x: int(1, 2)}, rows: 5}
    "#]],
    );
    sink(
        "(a INT)",
        "'connector' = 'print', 'print-identifier' = 'x', 'sink.parallelism' = '1'",
        expect![[r#"
        warning[A0115]: 'print-identifier' changes nothing: rows are printed as JSON, without a name in front
          --> job.sql:1:53
        warning[A0115]: 'sink.parallelism' changes nothing: SET 'parallelism.default' is the number of lanes of the whole pipeline
          --> job.sql:1:79
        table t: destination stdout
          {}
    "#]],
    );
    sink(
        "(a INT)",
        "'connector' = 'blackhole'",
        expect![[r#"
        table t: destination null
          {}
    "#]],
    );
    sink(
        "(a INT)",
        "'connector' = 'null'",
        expect![[r#"
        table t: destination null
          {}
    "#]],
    );
}

#[test]
fn what_a_variable_holds_is_not_looked_at_again() {
    sink(
        "",
        "'connector' = 'bigquery', 'table' = '${DOLLAR}'",
        expect![[r#"
        table t: destination bigquery
          {table: ${DATA}}
    "#]],
    );
    source(
        "",
        "'connector' = 'kafka', 'topic' = '${DOLLAR}'",
        expect![[r#"
        table t: source kafka
          {topic: ${DATA}, format: json}
    "#]],
    );
}
