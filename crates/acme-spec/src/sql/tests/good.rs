//! Statements and what they become.

use super::shown;
use expect_test::{Expect, expect};

/// A table to read from and one to write to, around what is tested.
const TABLES: &str = "\
CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts - INTERVAL '4' SECOND)
  WITH ('connector' = 'file', 'path' = '/bid');
CREATE TABLE sink (a BIGINT, n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE late WITH ('connector' = 'print');
";

/// What a query becomes; the tables are left out.
fn check(query: &str, expect: Expect) {
    let all = shown(&format!("{TABLES}INSERT INTO sink\n{query};"));
    let from = all.find("insert ").unwrap_or_else(|| panic!("{all}"));
    expect.assert_eq(&all[from..]);
}

/// What a whole file becomes.
fn check_file(text: &str, expect: Expect) {
    expect.assert_eq(&shown(text));
}

#[test]
fn columns_are_of_every_kind() {
    check_file(
        "-- Comments are left out.
CREATE TEMPORARY TABLE IF NOT EXISTS `the table` (
  /* also long ones */ a BIGINT NOT NULL COMMENT 'a; comment', b INT, c VARCHAR(20), d STRING, e DECIMAL(10, 2), f DECIMAL,
  g DOUBLE PRECISION, h BOOLEAN, i TIMESTAMP(3), j TIMESTAMP_LTZ, k DATE, l BYTES, m ROW<x INT, y ARRAY<STRING NOT NULL>>,
  n MAP<STRING, ARRAY<ARRAY<INT>>>, `o p` TIMESTAMP(9) WITH LOCAL TIME ZONE, q VARBINARY(3), r FLOAT, s TINYINT, t SMALLINT,
  u CHAR, v JSON, w ROW(x INT 'first', `y z` DOUBLE), x_y ARRAY<ROW<z MAP<INT, INT>>>,
  \"quoted\" AS a + b * 2 COMMENT 'computed', at_ms TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, `partition` INT METADATA,
  low AS a < b, high AS CAST(c AS TIMESTAMP_LTZ(3)) > at_ms,
  WATERMARK FOR i AS i - INTERVAL '1:30' MINUTE TO SECOND,
  CONSTRAINT pk PRIMARY KEY (a, b) NOT ENFORCED
) COMMENT 'about it' WITH ('connector' = 'file', 'path' = '/x');
CREATE TABLE out (id BIGINT PRIMARY KEY NOT ENFORCED) WITH ('connector' = 'print');
INSERT INTO out SELECT a FROM `the table`;",
        expect![[r#"
            table the table: source file
              a BIGINT NOT NULL
              b INT
              c STRING
              d STRING
              e DECIMAL(10, 2)
              f DECIMAL(10, 0)
              g DOUBLE
              h BOOLEAN
              i TIMESTAMP(3)
              j TIMESTAMP_LTZ(6)
              k DATE
              l BYTES
              m ROW<`x` INT, `y` ARRAY<STRING>>
              n MAP<STRING, ARRAY<ARRAY<INT>>>
              o p TIMESTAMP_LTZ(9)
              q BYTES
              r FLOAT
              s TINYINT
              t SMALLINT
              u STRING
              v JSON
              w ROW<`x` INT, `y z` DOUBLE>
              x_y ARRAY<ROW<`z` MAP<INT, INT>>>
              quoted = a + b * 2
              at_ms TIMESTAMP_LTZ(3) from timestamp
              partition INT from partition, written
              low = a < b
              high = CAST(c AS TIMESTAMP(3) WITH TIME ZONE) > at_ms
              watermark i - 90000000us: i - INTERVAL '1:30' MINUTE TO SECOND
              key a, b
              {path: [/x], format: json, schema: {a: bigint, b: int, c: string, d: string, e: decimal(10, 2), f: decimal(10, 0), g: double, h: boolean, i: timestamp(3), j: timestamp_ltz(6), k: date, l: bytes, m: json, n: json, o p: timestamp_ltz(9), q: bytes, r: float, s: tinyint, t: smallint, u: string, v: json, w: json, x_y: array<json>}}
            table out: destination stdout
              id BIGINT
              key id
              {}
            insert out() SELECT a FROM `the table`
              reads the table 13:31
        "#]],
    );
}

#[test]
fn a_watermark_has_a_delay_or_another_expression() {
    let table = |watermark: &str| {
        let text = format!(
            "CREATE TABLE t (a STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS {watermark}) WITH ('connector' = 'file', 'path' = '/x');
             CREATE TABLE o WITH ('connector' = 'print'); INSERT INTO o SELECT * FROM t;"
        );
        let all = shown(&text);
        all.lines().find(|line| line.contains("watermark")).unwrap_or(&all).trim().to_owned()
    };
    let all = [
        "ts",
        "ts - INTERVAL '0.001' SECOND",
        "ts - INTERVAL '5' MINUTES",
        "ts - INTERVAL 2 DAY",
        "ts - INTERVAL '1 02:03:04.5' DAY TO SECOND",
        "ts - INTERVAL '00:10' HOUR TO MINUTE",
        "ts + INTERVAL '5' SECOND",
        "TO_TIMESTAMP(a)",
    ];
    expect![[r#"
          watermark ts - 0us: ts
          watermark ts - 1000us: ts - INTERVAL '0.001' SECOND
          watermark ts - 300000000us: ts - INTERVAL '5' MINUTES
          watermark ts - 172800000000us: ts - INTERVAL 2 DAY
          watermark ts - 93784500000us: ts - INTERVAL '1 02:03:04.5' DAY TO SECOND
          watermark ts - 600000000us: ts - INTERVAL '00:10' HOUR TO MINUTE
          watermark ts - ?: ts + INTERVAL '5' SECOND
          watermark ts - ?: TO_TIMESTAMP(a)"#]]
    .assert_eq(&all.map(table).join("\n"));
}

#[test]
fn windows_are_plain_calls() {
    check(
        "SELECT auction, COUNT(*) FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '6' SECOND)) GROUP BY auction, window_start, window_end",
        expect![[r#"
            insert sink() SELECT auction, COUNT(*) FROM HOP('bid', 'ts', INTERVAL '10' SECOND, INTERVAL '6' SECOND) GROUP BY auction, window_start, window_end
              window Hop { slide_us: 10000000, size_us: 6000000, offset_us: 0 } of bid.ts
              reads bid 6:47
        "#]],
    );
    check(
        "SELECT auction, 1 FROM TABLE(TUMBLE(SIZE => INTERVAL '1' HOUR, DATA => TABLE `bid`, OFFSET => INTERVAL '-5' MINUTE, TIMECOL => DESCRIPTOR(`ts`))) AS w",
        expect![[r#"
            insert sink() SELECT auction, 1 FROM TUMBLE('bid', 'ts', INTERVAL '1' HOUR, INTERVAL '-5' MINUTE) AS w
              window Tumble { size_us: 3600000000, offset_us: -300000000 } of bid.ts
              reads bid 6:78
        "#]],
    );
    check(
        "SELECT auction, 1 FROM CUMULATE(TABLE default_catalog.default_database.bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' DAY, INTERVAL '1' HOUR) w
         JOIN TABLE(SESSION(DATA => TABLE bid PARTITION BY (auction, bidder), TIMECOL => DESCRIPTOR(ts), GAP => INTERVAL '1' MINUTE)) s ON w.auction = s.auction",
        expect![[r#"
            insert sink() SELECT auction, 1 FROM CUMULATE('bid', 'ts', INTERVAL '1' MINUTE, INTERVAL '1' DAY, INTERVAL '1' HOUR) w JOIN SESSION('bid', 'ts', INTERVAL '1' MINUTE, 'auction', 'bidder') s ON w.auction = s.auction
              window Cumulate { step_us: 60000000, size_us: 86400000000, offset_us: 3600000000 } of bid.ts
              window Session { gap_us: 60000000 } of bid.ts by auction, bidder
              reads bid 6:39, bid 7:43
        "#]],
    );
    check(
        "SELECT auction, 1 FROM TABLE(SESSION(TABLE bid PARTITION BY auction, bidder, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        expect![[r#"
            insert sink() SELECT auction, 1 FROM SESSION('bid', 'ts', INTERVAL '1' MINUTE, 'auction', 'bidder')
              window Session { gap_us: 60000000 } of bid.ts by auction, bidder
              reads bid 6:44
        "#]],
    );
}

#[test]
fn the_older_windows_become_the_newer() {
    check(
        "SELECT bid.auction, COUNT(*) FILTER (WHERE price > 10) FROM bid WHERE price > 1
         GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), bid.auction HAVING TUMBLE_END(ts, INTERVAL '1' MINUTE) > TIMESTAMP '2026-01-01 00:00:00'",
        expect![[r#"
            insert sink() SELECT bid.auction, COUNT(*) FILTER (WHERE price > 10) FROM TUMBLE('bid', 'ts', INTERVAL '1' MINUTE) AS bid WHERE price > 1 GROUP BY window_start, window_end, bid.auction HAVING window_end > TIMESTAMP '2026-01-01 00:00:00'
              window Tumble { size_us: 60000000, offset_us: 0 } of bid.ts
              reads bid 6:61
        "#]],
    );
    check(
        "SELECT HOP_START(b.ts, INTERVAL '5' SECOND, INTERVAL '1' MINUTE) AS s, hop_rowtime(b.ts, INTERVAL '5' SECOND, INTERVAL '1' MINUTE)
         FROM bid AS b GROUP BY HOP(b.ts, INTERVAL '5' SECOND, INTERVAL '1' MINUTE)",
        expect![[r#"
            insert sink() SELECT window_start AS s, window_time FROM HOP('bid', 'ts', INTERVAL '5' SECOND, INTERVAL '1' MINUTE) AS b GROUP BY window_start, window_end, window_time
              window Hop { slide_us: 5000000, size_us: 60000000, offset_us: 0 } of bid.ts
              reads bid 7:15
        "#]],
    );
    check(
        "SELECT auction, SESSION_END(ts, INTERVAL '5' SECOND) FROM bid GROUP BY auction, SESSION(ts, INTERVAL '5' SECOND)",
        expect![[r#"
            insert sink() SELECT auction, window_end FROM SESSION('bid', 'ts', INTERVAL '5' SECOND, 'auction') AS bid GROUP BY window_start, window_end, auction
              window Session { gap_us: 5000000 } of bid.ts by auction
              reads bid 6:59
        "#]],
    );
}

#[test]
fn late_rows_have_a_table() {
    check(
        "SELECT auction, COUNT(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY auction, window_start, window_end LATE INTO late",
        expect![[r#"
            insert sink() SELECT auction, COUNT(*) FROM TUMBLE('bid', 'ts', INTERVAL '1' HOUR) GROUP BY auction, window_start, window_end
              window Tumble { size_us: 3600000000, offset_us: 0 } of bid.ts
              reads bid 6:50
              late of 6:1 into late
        "#]],
    );
    check(
        "SELECT a, n FROM (SELECT auction AS a, COUNT(*) AS n FROM bid GROUP BY auction, TUMBLE(ts, INTERVAL '1' HOUR) HAVING COUNT(*) > 1 LATE INTO `late`) WHERE n > 2",
        expect![[r#"
            insert sink() SELECT a, n FROM (SELECT auction AS a, COUNT(*) AS n FROM TUMBLE('bid', 'ts', INTERVAL '1' HOUR) AS bid GROUP BY window_start, window_end, auction HAVING COUNT(*) > 1) WHERE n > 2
              window Tumble { size_us: 3600000000, offset_us: 0 } of bid.ts
              reads bid 6:59
              late of 6:19 into late
        "#]],
    );
}

#[test]
fn queries_are_of_every_kind() {
    check(
        "WITH w AS (SELECT * FROM bid), v AS (SELECT auction, price FROM w) SELECT auction, price FROM v UNION ALL SELECT auction, bidder FROM default_database.bid",
        expect![[r#"
            insert sink() WITH w AS (SELECT * FROM bid), v AS (SELECT auction, price FROM w) SELECT auction, price FROM v UNION ALL SELECT auction, bidder FROM bid
              reads bid 6:26, bid 6:135
        "#]],
    );
    check(
        "SELECT b.auction, r.price FROM bid AS b LEFT JOIN bid FOR SYSTEM_TIME AS OF b.ts AS r ON b.auction = r.auction",
        expect![[r#"
            insert sink() SELECT b.auction, r.price FROM bid AS b LEFT JOIN bid AS r FOR SYSTEM_TIME AS OF b.ts ON b.auction = r.auction
              reads bid 6:32, bid 6:51
        "#]],
    );
    check(
        "SELECT CAST(auction AS STRING), x[1] FROM bid CROSS JOIN UNNEST(ARRAY[1, 2]) AS t (x) WHERE auction IN (SELECT auction FROM bid) AND channel = '${CHANNEL}' AND url LIKE '%$${x}'",
        expect![[r#"
            insert sink() SELECT CAST(auction AS STRING), x[1] FROM bid CROSS JOIN UNNEST(ARRAY[1, 2]) AS t (x) WHERE auction IN (SELECT auction FROM bid) AND channel = 'it''s' AND url LIKE '%${x}'
              reads bid 6:43, bid 6:125
        "#]],
    );
    check(
        "WITH bid AS (SELECT auction, ts AS t2, price FROM bid) SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(t2), INTERVAL '1' HOUR))",
        expect![[r#"
            insert sink() WITH bid AS (SELECT auction, ts AS t2, price FROM bid) SELECT auction, price FROM TUMBLE('bid', 't2', INTERVAL '1' HOUR)
              window Tumble { size_us: 3600000000, offset_us: 0 } of bid.t2
              reads bid 6:51
        "#]],
    );
    check(
        "VALUES (1, 2), (3, 4)",
        expect![[r#"
        insert sink() VALUES (1, 2), (3, 4)
          reads 
    "#]],
    );
    check(
        "SELECT T.a, T.b FROM bid MATCH_RECOGNIZE (PARTITION BY bidder ORDER BY ts MEASURES FIRST(A.price) AS a, LAST(A.price) AS b ONE ROW PER MATCH PATTERN (A+ B) DEFINE B AS B.price < A.price) AS T",
        expect![[r#"
            insert sink() SELECT T.a, T.b FROM bid MATCH_RECOGNIZE(PARTITION BY bidder ORDER BY ts MEASURES FIRST(A.price) AS a, LAST(A.price) AS b ONE ROW PER MATCH PATTERN (A+ B) DEFINE B AS B.price < A.price) AS T
              reads bid 6:22
        "#]],
    );
}

#[test]
fn views_are_kept_and_names_follow_the_order() {
    check_file(
        "DROP TABLE IF EXISTS t;
USE CATALOG default_catalog;
CREATE TABLE t (a BIGINT, b BIGINT) WITH ('connector' = 'file', 'path' = '/x');
CREATE TABLE IF NOT EXISTS t (c BIGINT) WITH ('connector' = 'file', 'path' = '/y');
CREATE TEMPORARY VIEW v (x, y) COMMENT 'it' AS SELECT a, b FROM t;
CREATE VIEW IF NOT EXISTS unused AS SELECT * FROM v;
CREATE TABLE gone (a BIGINT) WITH ('connector' = 'print');
DROP TABLE gone;
CREATE TABLE gone (a BIGINT, b AS a + 1, c STRING METADATA, d STRING METADATA VIRTUAL) WITH ('connector' = 'print');
INSERT INTO gone (c, a) SELECT 'c', x FROM v;
INSERT INTO gone SELECT x, 'c' FROM (SELECT x FROM v);
SHOW TABLES;
EXPLAIN PLAN FOR SELECT * FROM t;
DESCRIBE t",
        expect![[r#"
            warning[A0110]: nothing reads the view "unused"
              --> job.sql:6:27
            warning[A0115]: SHOW shows nothing in a file
              --> job.sql:12:1
              help: leave it out; `acme explain` shows what a file does
            warning[A0115]: EXPLAIN shows nothing in a file
              --> job.sql:13:1
              help: leave it out; `acme explain` shows what a file does
            warning[A0115]: DESCRIBE shows nothing in a file
              --> job.sql:14:1
              help: leave it out; `acme explain` shows what a file does
            table t: source file
              a BIGINT
              b BIGINT
              {path: [/x], format: json, schema: {a: bigint, b: bigint}}
            table gone: destination stdout
              a BIGINT
              b = a + 1
              c STRING from c, written
              d STRING from d
              {}
            view v(x, y) SELECT a, b FROM t
              reads t 5:65
            view unused() SELECT * FROM v
              reads v 6:51
            insert gone(c, a) SELECT 'c', x FROM v
              reads v 10:44
            insert gone() SELECT x, 'c' FROM (SELECT x FROM v)
              reads v 11:52
        "#]],
    );
}

#[test]
fn statement_sets_hold_inserts() {
    let tables = "CREATE TABLE t (a INT) WITH ('connector' = 'file', 'path' = '/x'); CREATE TABLE o WITH ('connector' = 'print');";
    for set in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO o SELECT a FROM t; INSERT INTO o SELECT * FROM t; END;",
        "BEGIN STATEMENT SET; INSERT INTO o SELECT a FROM t; INSERT INTO o SELECT * FROM t; END;",
        "execute statement set\nbegin\ninsert into o select a from t;\ninsert into o select * from t;\nend",
    ] {
        let all = shown(&format!("{tables}\n{set}"));
        assert_eq!(all.matches("\ninsert o() SELECT").count(), 2, "{all}");
        assert!(!all.contains("error") && !all.contains("warning"), "{all}");
    }
}

#[test]
fn settings_are_those_of_a_pipeline_file() {
    check_file(
        "SET 'pipeline.name' = 'orders-1';
SET 'execution.runtime-mode' = 'BATCH';
SET 'parallelism.default' = '4';
SET 'execution.checkpointing.interval' = '3min';
SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';
SET 'state.checkpoints.dir' = '${DATA}/checkpoints';
SET 'table.exec.state.ttl' = '1 h';
SET 'table.exec.source.idle-timeout' = '500';
SET 'table.exec.emit.allow-lateness' = '5 s';
SET 'table.local-time-zone' = 'UTC';
SET 'settings.errors.policy' = 'dead_letter';
SET 'settings.errors.to' = 'dead';
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'restart-strategy' = 'fixed-delay';
CREATE TABLE t (a INT) WITH ('connector' = 'file', 'path' = '/x');
CREATE TABLE o WITH ('connector' = 'print');
CREATE TABLE dead WITH ('connector' = 'file', 'path' = '/dead');
INSERT INTO o SELECT a FROM t;",
        expect![[r#"
            warning[A0115]: 'table.exec.mini-batch.enabled' changes nothing: there is no such part here
              --> job.sql:13:5
            warning[A0115]: 'restart-strategy' changes nothing: there is no such part here
              --> job.sql:14:5
            table t: source file
              a INT
              {path: [/x], format: json, schema: {a: int}}
            table o: destination stdout
              {}
            table dead: destination file
              {path: /dead, format: json}
            insert o() SELECT a FROM t
              reads t 18:29
            name orders-1
            mode Batch
            ttl 3600000000us
            idle 500000us
            lateness 5000000us
            Settings { parallelism: Some(4), checkpoint_interval_us: 180000000, checkpoint_store: Some("/data/checkpoints"), errors: DeadLetter(2) }
        "#]],
    );
}
