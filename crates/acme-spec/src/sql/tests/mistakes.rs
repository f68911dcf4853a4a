//! What is wrong with a file: what, where, why, and what to do.

use super::read;
use expect_test::{ExpectFile, expect_file};
use std::fmt::Write;

/// Two tables in the first line; what is tested begins in the second.
const TABLES: &str = "CREATE TABLE t (a INT, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'file', 'path' = '/x'); CREATE TABLE o (a INT, b STRING) WITH ('connector' = 'print');";

/// What is said about each of these, behind the two tables.
pub(super) fn check(texts: &[&str], expect: ExpectFile) {
    let mut all = String::new();
    for text in texts {
        let (job, found) = read(&format!("{TABLES}\n{text}"));
        assert!(job.is_none(), "taken without an error: {text}");
        let _ = writeln!(all, "{text}");
        // A file with a mistake is not said to leave its tables unused.
        for diagnostic in found {
            let _ = writeln!(all, "    {}", diagnostic.to_string().replace("\n", "\n    "));
        }
    }
    assert!(!all.contains("hunter"), "a message shows what a variable holds");
    expect.assert_eq(&all);
}

#[test]
fn of_statements() {
    check(
        &[
            "CREAT TABLE x (a INT);",
            "UPDATE t SET a = 1;",
            "CREATE FUNCTION f AS 'x';",
            "CREATE DATABASE d;",
            "USE other;",
            "INSERT OVERWRITE o SELECT a, b FROM t;",
            "INSERT o SELECT a, b FROM t;",
            "INSERT INTO o;",
            "SELECT a FROM t;",
            "END;",
            "EXECUTE STATEMENT SET BEGIN INSERT INTO o SELECT a, b FROM t;",
            "BEGIN STATEMENT SET; DROP TABLE x; END;",
            "INSERT INTO o SELECT a, 'b FROM t;",
            "INSERT INTO o SELECT a, b FROM t; /* never closed",
            "INSERT INTO o SELECT a, b FROM t WHERE a > ${LIMIT};",
            "INSERT INTO o SELECT a, b FROM t WHERE b = '${NOT_SET}';",
            "INSERT INTO o SELECT a, b FROM t /*+ OPTIONS('path' = '/y') */;",
            "SHOW JOBS;",
            "",
        ],
        expect_file!["mistakes/statements.txt"],
    );
}

#[test]
fn of_queries() {
    check(
        &[
            "INSERT INTO o SELECT a, b FORM t;",
            "INSERT INTO o SELECT a b c FROM t;",
            "INSERT INTO o SELECT a, b FROM t WHERE (a = 1;",
            "INSERT INTO o SELECT a, b FROM t WHERE;",
            "INSERT INTO o SELECT a, b FROM t WHERE b = 'x' 'secret' AND;",
            "INSERT INTO o SELECT a, FROM t;",
            "INSERT INTO o SELECT a, b FROM tt;",
            "INSERT INTO oo SELECT a, b FROM t;",
            "INSERT INTO o SELECT a, b FROM other.t;",
            "INSERT INTO o SELECT a, b FROM later; CREATE TABLE later (a INT) WITH ('connector' = 'file', 'path' = '/x');",
            "CREATE VIEW v AS SELECT * FROM v; INSERT INTO o SELECT * FROM v;",
            "CREATE VIEW v (x, y) AS SELECT a FROM t; INSERT INTO v SELECT 1, 2;",
            "INSERT INTO o SELECT a FROM t;",
            "INSERT INTO o (a, x, a) SELECT a, b, a FROM t;",
            "INSERT INTO o (b) SELECT a, b FROM t;",
            "INSERT INTO t SELECT * FROM t;",
            "CREATE TABLE o (a INT) WITH ('connector' = 'print');",
            "DROP VIEW t; DROP TABLE x;",
            "INSERT INTO o WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r;",
            "INSERT INTO o SELECT a, b FROM t LATE INTO o;",
            "INSERT INTO o SELECT a, b FROM t GROUP BY a, b LATE INTO x;",
        ],
        expect_file!["mistakes/queries.txt"],
    );
}

#[test]
fn of_windows() {
    let of = |window: &str| format!("INSERT INTO o SELECT a, b FROM {window} GROUP BY a, window_start;");
    let windows = [
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts)))",
        "TABLE(TUMBLE(TABLE t, ts, INTERVAL '1' MINUTE))",
        "TABLE(TUMBLE(t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "TABLE(TUMBLE((SELECT * FROM t), DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "TUMBLE(t, ts, INTERVAL '1' MINUTE)",
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MONTH))",
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0' SECOND))",
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), '1 minute'))",
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL 'x' SECOND))",
        "TABLE(HOP(TABLE t, DESCRIPTOR(ts), SLIDES => INTERVAL '1' SECOND, SIZE => INTERVAL '2' SECOND))",
        "TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '1' MINUTE))",
        "TABLE(TUMBLE(TABLE t PARTITION BY a, DESCRIPTOR(ts), INTERVAL '1' SECOND))",
        "TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '1' SECOND))",
        "TABLE(TUMBLE(DATA => TABLE t, DATA => TABLE t))",
        "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND)",
        "TABLE(TUMBLE(TABLE x, DESCRIPTOR(ts), INTERVAL '1' SECOND))",
        "TABLE(SESSION(TABLE t PARTITION BY aa, DESCRIPTOR(tss), INTERVAL '1' SECOND))",
    ]
    .map(of);
    let mut all: Vec<&str> = windows.iter().map(String::as_str).collect();
    all.extend([
        "INSERT INTO o SELECT a, TUMBLE_START(ts, INTERVAL '1' HOUR) FROM t GROUP BY a, TUMBLE(ts, INTERVAL '1' MINUTE);",
        "INSERT INTO o SELECT a, 1 FROM t JOIN t AS s ON t.a = s.a GROUP BY a, TUMBLE(ts, INTERVAL '1' MINUTE);",
        "INSERT INTO o SELECT a, 1 FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), HOP(ts, INTERVAL '1' MINUTE, INTERVAL '1' HOUR);",
        "INSERT INTO o SELECT a, 1 FROM t GROUP BY HOP(ts, INTERVAL '1' MINUTE);",
        "INSERT INTO o SELECT a, 1 FROM t GROUP BY a + 1, SESSION(ts, INTERVAL '1' MINUTE);",
        "INSERT INTO o SELECT a, TUMBLE_PROCTIME(ts, INTERVAL '1' HOUR) FROM t GROUP BY a, TUMBLE(ts, INTERVAL '1' HOUR);",
    ]);
    check(&all, expect_file!["mistakes/windows.txt"]);
}
