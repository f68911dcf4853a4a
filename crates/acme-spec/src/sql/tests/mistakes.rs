//! What is wrong with a file: what, where, why, and what to do.

use super::read;
use expect_test::{Expect, expect};
use std::fmt::Write;

/// Two tables in the first line; what is tested begins in the second.
const TABLES: &str = "CREATE TABLE t (a INT, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'file', 'path' = '/x'); CREATE TABLE o (a INT, b STRING) WITH ('connector' = 'print');";

/// What is said about each of these, behind the two tables.
fn check(texts: &[&str], expect: Expect) {
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
        expect![[r#"
            CREAT TABLE x (a INT);
                error[A0112]: expected a statement, found "CREAT"
                  --> job.sql:2:1
                  help: did you mean "CREATE"?
            UPDATE t SET a = 1;
                error[A0112]: UPDATE is no statement of a pipeline
                  --> job.sql:2:1
                  help: known statements: CREATE, DROP, INSERT, SELECT, SET, EXECUTE, BEGIN, SHOW, DESCRIBE, EXPLAIN
            CREATE FUNCTION f AS 'x';
                error[A0112]: expected TABLE or VIEW, found "FUNCTION"
                  --> job.sql:2:8
                  help: functions cannot be added
            CREATE DATABASE d;
                error[A0112]: expected TABLE or VIEW, found "DATABASE"
                  --> job.sql:2:8
                  help: leave it out: there are no catalogs and databases
            USE other;
                error[A0112]: there is no catalog or database "other"
                  --> job.sql:2:1
                  help: leave the statement out
            INSERT OVERWRITE o SELECT a, b FROM t;
                error[A0112]: INSERT OVERWRITE has no meaning here
                  --> job.sql:2:8
                  help: write INSERT INTO: rows are added, or applied by their key
            INSERT o SELECT a, b FROM t;
                error[A0112]: expected INTO, found "o"
                  --> job.sql:2:8
            INSERT INTO o;
                error[A0112]: expected SELECT or a list of columns, found the end of the statement
                  --> job.sql:2:14
            SELECT a FROM t;
                error[A0114]: the rows of this query go nowhere
                  --> job.sql:2:1
                  help: write INSERT INTO and the name of a table in front of it
            END;
                error[A0112]: END ends no statement set
                  --> job.sql:2:1
            EXECUTE STATEMENT SET BEGIN INSERT INTO o SELECT a, b FROM t;
                error[A0112]: the statement set is never ended
                  --> job.sql:2:1
                  help: write END; behind its last INSERT
            BEGIN STATEMENT SET; DROP TABLE x; END;
                error[A0112]: a statement set holds INSERTs only
                  --> job.sql:2:22
                  help: end it with END; or write the statement in front of it
                error[A0113]: there is no table or view "x"
                  --> job.sql:2:33
                  help: known tables and views: o, t
            INSERT INTO o SELECT a, 'b FROM t;
                error[A0112]: a quote is never closed
                  --> job.sql:2:25
            INSERT INTO o SELECT a, b FROM t; /* never closed
                error[A0112]: a comment is never closed
                  --> job.sql:2:50
            INSERT INTO o SELECT a, b FROM t WHERE a > ${LIMIT};
                error[A0112]: a `$` stands outside quotes
                  --> job.sql:2:44
                  help: write the variable in quotes, '${VAR}', and CAST it where it is a number
            INSERT INTO o SELECT a, b FROM t WHERE b = '${NOT_SET}';
                error[A0108]: variable NOT_SET is not set
                  --> job.sql:2:44
                  help: set NOT_SET in the environment, or give a default: ${NOT_SET:-value}
            INSERT INTO o SELECT a, b FROM t /*+ OPTIONS('path' = '/y') */;
                error[A0104]: options cannot be given in a hint
                  --> job.sql:2:34
                  help: write them into the WITH clause of the table
            SHOW JOBS;
                error[A0112]: expected TABLES, VIEWS, COLUMNS FROM or CREATE TABLE, found "JOBS"
                  --> job.sql:2:6

                error[A0103]: the file has no INSERT
                  --> job.sql:1:1
                  help: write INSERT INTO table SELECT … FROM table;
        "#]],
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
        expect![[r#"
            INSERT INTO o SELECT a, b FORM t;
                error[A0112]: expected the end of the statement, found "t"
                  --> job.sql:2:32
            INSERT INTO o SELECT a b c FROM t;
                error[A0112]: expected the end of the statement, found "c"
                  --> job.sql:2:26
            INSERT INTO o SELECT a, b FROM t WHERE (a = 1;
                error[A0112]: expected `)`, found the end of the statement
                  --> job.sql:2:46
            INSERT INTO o SELECT a, b FROM t WHERE;
                error[A0112]: expected an expression, found the end of the statement
                  --> job.sql:2:39
            INSERT INTO o SELECT a, b FROM t WHERE b = 'x' 'secret' AND;
                error[A0112]: expected the end of the statement, found a text in quotes
                  --> job.sql:2:48
            INSERT INTO o SELECT a, FROM t;
                error[A0112]: expected an expression, found "t"
                  --> job.sql:2:30
            INSERT INTO o SELECT a, b FROM tt;
                error[A0113]: there is no table or view "tt"
                  --> job.sql:2:32
                  help: did you mean "t"?
            INSERT INTO oo SELECT a, b FROM t;
                error[A0113]: there is no table or view "oo"
                  --> job.sql:2:13
                  help: did you mean "o"?
            INSERT INTO o SELECT a, b FROM other.t;
                error[A0112]: "other.t" names a catalog or a database, and there are none
                  --> job.sql:2:32
                  help: write the name of the table alone
            INSERT INTO o SELECT a, b FROM later; CREATE TABLE later (a INT) WITH ('connector' = 'file', 'path' = '/x');
                error[A0113]: there is no table or view "later"
                  --> job.sql:2:32
                  help: it is declared in line 2: move that up
            CREATE VIEW v AS SELECT * FROM v; INSERT INTO o SELECT * FROM v;
                error[A0113]: the view "v" reads itself
                  --> job.sql:2:32
            CREATE VIEW v (x, y) AS SELECT a FROM t; INSERT INTO v SELECT 1, 2;
                error[A0114]: the query has 1 column, and the view names 2
                  --> job.sql:2:16
                error[A0114]: "v" is a view, and rows go into tables only
                  --> job.sql:2:54
            INSERT INTO o SELECT a FROM t;
                error[A0114]: the query has 1 column, and the table "o" has 2
                  --> job.sql:2:13
                  help: the columns of the table are a, b
            INSERT INTO o (a, x, a) SELECT a, b, a FROM t;
                error[A0202]: the table "o" has no column "x"
                  --> job.sql:2:19
                  help: known columns: a, b
                error[A0107]: the column "a" is named twice
                  --> job.sql:2:22
            INSERT INTO o (b) SELECT a, b FROM t;
                error[A0114]: the query has 2 columns, and 1 are named
                  --> job.sql:2:13
                  help: select as many columns as are named behind the table
            INSERT INTO t SELECT * FROM t;
                error[A0114]: the table "t" is both read and written
                  --> job.sql:2:29
                  help: declare two tables, one to read and one to write; a view keeps rows inside the pipeline
            CREATE TABLE o (a INT) WITH ('connector' = 'print');
                error[A0107]: the name "o" is used twice
                  --> job.sql:2:14
                  help: give each table and view a name of its own
            DROP VIEW t; DROP TABLE x;
                error[A0114]: "t" is a table
                  --> job.sql:2:11
                  help: write DROP TABLE
                error[A0113]: there is no table or view "x"
                  --> job.sql:2:25
                  help: known tables and views: o, t
            INSERT INTO o WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r;
                error[A0112]: WITH RECURSIVE has no meaning here
                  --> job.sql:2:15
                  help: a query over a stream cannot refer to itself
            INSERT INTO o SELECT a, b FROM t LATE INTO o;
                error[A0112]: LATE INTO stands behind no GROUP BY
                  --> job.sql:2:34
                  help: write it at the end of a query that groups by a window
            INSERT INTO o SELECT a, b FROM t GROUP BY a, b LATE INTO x;
                error[A0113]: there is no table or view "x"
                  --> job.sql:2:58
                  help: known tables and views: o, t
        "#]],
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
    check(&all, expect![[r#"
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts))) GROUP BY a, window_start;
            error[A0103]: TUMBLE needs SIZE
              --> job.sql:2:38
              help: add `SIZE => INTERVAL '10' SECOND`
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, ts, INTERVAL '1' MINUTE)) GROUP BY a, window_start;
            error[A0112]: expected DESCRIPTOR, found "ts"
              --> job.sql:2:54
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY a, window_start;
            error[A0112]: expected TABLE and a name, found "t"
              --> job.sql:2:45
              help: write TABLE and the name of a table
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE((SELECT * FROM t), DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY a, window_start;
            error[A0112]: expected TABLE and a name, found "("
              --> job.sql:2:45
              help: give the query a name with CREATE VIEW, and write TABLE and that name
        INSERT INTO o SELECT a, b FROM TUMBLE(t, ts, INTERVAL '1' MINUTE) GROUP BY a, window_start;
            error[A0112]: expected TABLE and a name, found "t"
              --> job.sql:2:39
              help: write TABLE and the name of a table
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MONTH)) GROUP BY a, window_start;
            error[A0104]: SIZE of TUMBLE: months and years differ in length: write days
              --> job.sql:2:70
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0' SECOND)) GROUP BY a, window_start;
            error[A0104]: SIZE of TUMBLE must be longer than nothing
              --> job.sql:2:38
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), '1 minute')) GROUP BY a, window_start;
            error[A0104]: SIZE of TUMBLE: it is no interval such as INTERVAL '10' SECOND
              --> job.sql:2:70
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL 'x' SECOND)) GROUP BY a, window_start;
            error[A0104]: SIZE of TUMBLE: the interval cannot be read: write INTERVAL '10' SECOND
              --> job.sql:2:70
        INSERT INTO o SELECT a, b FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), SLIDES => INTERVAL '1' SECOND, SIZE => INTERVAL '2' SECOND)) GROUP BY a, window_start;
            error[A0102]: HOP has no argument "SLIDES"
              --> job.sql:2:67
              help: did you mean "SLIDE"?
        INSERT INTO o SELECT a, b FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '1' MINUTE)) GROUP BY a, window_start;
            error[A0104]: SIZE of CUMULATE must be a multiple of its STEP
              --> job.sql:2:38
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t PARTITION BY a, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY a, window_start;
            error[A0112]: TUMBLE takes no PARTITION BY: its windows are the same for all keys
              --> job.sql:2:53
              help: name the keys under GROUP BY alone
        INSERT INTO o SELECT a, b FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '1' SECOND)) GROUP BY a, window_start;
            error[A0112]: SESSION has no further argument
              --> job.sql:2:92
              help: its arguments are DATA, TIMECOL, GAP
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(DATA => TABLE t, DATA => TABLE t)) GROUP BY a, window_start;
            error[A0107]: TUMBLE is given DATA twice
              --> job.sql:2:62
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND) GROUP BY a, window_start;
            error[A0112]: expected `)` behind the window, found "GROUP"
              --> job.sql:2:91
        INSERT INTO o SELECT a, b FROM TABLE(TUMBLE(TABLE x, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY a, window_start;
            error[A0113]: there is no table or view "x"
              --> job.sql:2:51
              help: known tables and views: o, t
        INSERT INTO o SELECT a, TUMBLE_START(ts, INTERVAL '1' HOUR) FROM t GROUP BY a, TUMBLE(ts, INTERVAL '1' MINUTE);
            error[A0112]: TUMBLE_START belongs to no window of the GROUP BY
              --> job.sql:2:25
              help: group by TUMBLE with the same arguments
        INSERT INTO o SELECT a, 1 FROM t JOIN t AS s ON t.a = s.a GROUP BY a, TUMBLE(ts, INTERVAL '1' MINUTE);
            error[A0112]: a window of a GROUP BY needs one plain table in FROM
              --> job.sql:2:71
              help: put joins and subqueries into a view, and read that
        INSERT INTO o SELECT a, 1 FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), HOP(ts, INTERVAL '1' MINUTE, INTERVAL '1' HOUR);
            error[A0112]: a GROUP BY has one window at most
              --> job.sql:2:76
        INSERT INTO o SELECT a, 1 FROM t GROUP BY HOP(ts, INTERVAL '1' MINUTE);
            error[A0104]: HOP takes the column with the time, and SLIDE, SIZE
              --> job.sql:2:43
        INSERT INTO o SELECT a, 1 FROM t GROUP BY a + 1, SESSION(ts, INTERVAL '1' MINUTE);
            error[A0104]: the keys of a session are columns
              --> job.sql:2:50
        INSERT INTO o SELECT a, TUMBLE_PROCTIME(ts, INTERVAL '1' HOUR) FROM t GROUP BY a, TUMBLE(ts, INTERVAL '1' HOUR);
            error[A0112]: TUMBLE_PROCTIME has no meaning here: windows follow the time of the events
              --> job.sql:2:25
    "#]]);
}

#[test]
fn of_tables() {
    let of = |columns: &str| format!("CREATE TABLE x ({columns}) WITH ('connector' = 'file', 'path' = '/x');");
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
    check(&all, expect![[r#"
        CREATE TABLE x (a) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: expected a type, found ")"
              --> job.sql:2:18
        CREATE TABLE x (a INTT, b BIGINT, c TIME, d DECIMAL(40), e MAP<STRING, FOO>, f TIMESTAMP(10), g INT DEFAULT 1) WITH ('connector' = 'file', 'path' = '/x');
            error[A0104]: "INTT" is no type
              --> job.sql:2:19
              help: did you mean "INT"?
            error[A0104]: a column cannot be TIME
              --> job.sql:2:37
              help: declare it as STRING, and cast it where it is used
            error[A0104]: the precision of a DECIMAL goes from 1 to 38, and its scale from 0 to the precision
              --> job.sql:2:45
            error[A0104]: "FOO" is no type
              --> job.sql:2:72
              help: known types: BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL, STRING, VARCHAR, CHAR, BYTES, DATE, TIMESTAMP, TIMESTAMP_LTZ, ROW, ARRAY, MAP, JSON
            error[A0104]: TIMESTAMP has from 0 to 9 digits of a second
              --> job.sql:2:89
            error[A0112]: expected `,` or `)`, found "DEFAULT"
              --> job.sql:2:101
        CREATE TABLE x (a INT, a STRING) WITH ('connector' = 'file', 'path' = '/x');
            error[A0107]: the table has two columns "a"
              --> job.sql:2:24
        CREATE TABLE x (a INT b INT) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: expected `,` or `)`, found "b"
              --> job.sql:2:23
        CREATE TABLE x (a AS c + 1, b INT) WITH ('connector' = 'file', 'path' = '/x');
            error[A0202]: the table has no column "c"
              --> job.sql:2:22
              help: known columns: b
        CREATE TABLE x (a AS (b + , b INT) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: expected an expression, found ","
              --> job.sql:2:27
            error[A0112]: expected `,` or `)`, found the end of the statement
              --> job.sql:2:78
        CREATE TABLE x (a INT, PRIMARY KEY (a)) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: a PRIMARY KEY cannot be enforced
              --> job.sql:2:24
              help: add NOT ENFORCED: the rows are taken as they come
        CREATE TABLE x (a INT, PRIMARY KEY (b) NOT ENFORCED, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'file', 'path' = '/x');
            error[A0202]: the table has no column "b"
              --> job.sql:2:37
              help: known columns: a
            error[A0107]: a table has one PRIMARY KEY at most
              --> job.sql:2:54
        CREATE TABLE x (a INT, UNIQUE (a)) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: UNIQUE has no meaning here
              --> job.sql:2:24
              help: declare the columns that identify a row as PRIMARY KEY (…) NOT ENFORCED
        CREATE TABLE x (ts BIGINT, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) WITH ('connector' = 'file', 'path' = '/x');
            error[A0104]: the watermark's column "ts" is BIGINT
              --> job.sql:2:42
              help: declare it as TIMESTAMP_LTZ(3), or compute one: ts AS TO_TIMESTAMP_LTZ(column, 3)
        CREATE TABLE x (ts TIMESTAMP(3), WATERMARK FOR tss AS ts - INTERVAL '4' SECOND) WITH ('connector' = 'file', 'path' = '/x');
            error[A0202]: the table has no column "tss"
              --> job.sql:2:48
              help: did you mean "ts"?
        CREATE TABLE x (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MONTH) WITH ('connector' = 'file', 'path' = '/x');
            error[A0104]: the delay of the watermark: months and years differ in length: write days
              --> job.sql:2:54
        CREATE TABLE x (ts TIMESTAMP(3), WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts) WITH ('connector' = 'file', 'path' = '/x');
            error[A0107]: a table has one watermark at most
              --> job.sql:2:58
        CREATE TABLE x (a INT METADATA FROM timestamp) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: expected the name of the metadata in quotes, found "timestamp"
              --> job.sql:2:37
        CREATE TABLE x (a ROW<x INT, x INT>) WITH ('connector' = 'file', 'path' = '/x');
            error[A0107]: the row has two fields "x"
              --> job.sql:2:30
        CREATE TABLE x (a INT,) WITH ('connector' = 'file', 'path' = '/x');
            error[A0112]: expected the name of a column, found ")"
              --> job.sql:2:23
        CREATE TABLE x (a INT);
            error[A0103]: the table "x" has no WITH clause
              --> job.sql:2:14
              help: add WITH ('connector' = '…') with where its rows are
        CREATE TABLE x (a INT) PARTITIONED BY (a) WITH ('connector' = 'print');
            error[A0112]: PARTITIONED has no meaning in CREATE TABLE here
              --> job.sql:2:24
              help: leave it out: rows are not sorted into folders
        CREATE TABLE x WITH ('connector' = 'print') AS SELECT * FROM t;
            error[A0112]: AS has no meaning in CREATE TABLE here
              --> job.sql:2:45
              help: declare the table with its columns, and fill it with INSERT INTO
        CREATE TABLE x (a INT) WITH ('connector' = 'print', 'connector' = 'print');
            error[A0107]: the option "connector" stands twice
              --> job.sql:2:53
        CREATE TABLE x (a INT) WITH ('connector' 'print', path = '/x', 'a' = b);
            error[A0103]: the table "x" has no connector
              --> job.sql:2:14
              help: add 'connector' = '…'; known connectors: bigquery, blackhole, datagen, elasticsearch, elasticsearch-6, elasticsearch-7, elasticsearch-8, file, filesystem, generator, jdbc, kafka, null, opensearch, postgres, print, stdout, upsert-kafka
            error[A0112]: expected `=` behind an option's name
              --> job.sql:2:42
            error[A0112]: expected an option's name in quotes
              --> job.sql:2:51
            error[A0112]: expected an option's value in quotes
              --> job.sql:2:70
        CREATE TABLE a.b.c (a INT) WITH ('connector' = 'print');
            error[A0112]: "a.b.c" names a catalog or a database, and there are none
              --> job.sql:2:14
              help: write the name of the table alone
        CREATE TABLE x (a INT) WITH ('path' = '/x');
            error[A0103]: the table "x" has no connector
              --> job.sql:2:14
              help: add 'connector' = '…'; known connectors: bigquery, blackhole, datagen, elasticsearch, elasticsearch-6, elasticsearch-7, elasticsearch-8, file, filesystem, generator, jdbc, kafka, null, opensearch, postgres, print, stdout, upsert-kafka
    "#]]);
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
    check(&all, expect![[r#"
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafak', 'topic' = 't'); INSERT INTO o SELECT a, b FROM x;
            error[A0105]: there is no connector "kafak"
              --> job.sql:2:54
              help: did you mean "kafka"?
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = '${PASSWORD}'); INSERT INTO o SELECT a, b FROM x;
            error[A0105]: there is no connector "${PASSWORD}"
              --> job.sql:2:54
              help: known connectors: bigquery, blackhole, datagen, elasticsearch, elasticsearch-6, elasticsearch-7, elasticsearch-8, file, filesystem, generator, jdbc, kafka, null, opensearch, postgres, print, stdout, upsert-kafka
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'filesystem', 'format' = 'jsn'); INSERT INTO o SELECT a, b FROM x;
            error[A0103]: the connector "filesystem" needs the option 'path'
              --> job.sql:2:14
              help: add 'path' = '…' to the WITH clause
            error[A0104]: "format" cannot be "jsn"
              --> job.sql:2:79
              help: did you mean "json"?
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = 's3://bucket/x', 'format' = 'json'); INSERT INTO o SELECT a, b FROM x;
            error[A0104]: the path begins with "s3://", and files are read and written here only
              --> job.sql:2:77
              help: give a path of this machine, or file:///…
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/x', 'format' = 'json', 'source.monitor-intervall' = '1s', 'colour' = 'red'); INSERT INTO o SELECT a, b FROM x;
            error[A0102]: unknown option 'source.monitor-intervall' of the connector "filesystem"
              --> job.sql:2:102
              help: did you mean 'source.monitor-interval'?
            error[A0102]: unknown option 'colour' of the connector "filesystem"
              --> job.sql:2:137
              help: known options: path, format, source.monitor-interval, source.report-statistics, source.path.regex-pattern, scan.parallelism, sink.parallelism, sink.rolling-policy.file-size, sink.rolling-policy.rollover-interval, auto-compaction, json.ignore-parse-errors, csv.ignore-parse-errors, json.fail-on-missing-field, json.timestamp-format.standard, json.map-null-key.mode, json.map-null-key.literal, json.encode.decimal-as-plain-number, json.encode.ignore-null-fields, json.decode.json-parser.enabled, csv.field-delimiter, csv.quote-character, csv.disable-quote-character, csv.null-literal, csv.allow-comments, csv.escape-character, csv.array-element-delimiter, csv.write-bigdecimal-in-scientific-notation, path, format, csv, schema
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '/x', 'format' = '${PASSWORD}', 'source.monitor-interval' = '${PASSWORD}', 'json.fail-on-missing-field' = 'true'); INSERT INTO o SELECT a, b FROM x;
            error[A0104]: "format" cannot be "${PASSWORD}"
              --> job.sql:2:94
              help: known choices: json, csv
            error[A0104]: 'source.monitor-interval' must be a duration such as '10 s'
              --> job.sql:2:137
            error[A0104]: 'json.fail-on-missing-field' cannot have this value: a field that is missing is NULL
              --> job.sql:2:183
              help: leave it out, or write 'false'
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '${NOT_SET}', 'format' = 'csv', 'csv.delimeter' = ','); INSERT INTO o SELECT a, b FROM x;
            error[A0108]: variable NOT_SET is not set
              --> job.sql:2:77
              help: set NOT_SET in the environment, or give a default: ${NOT_SET:-value}
            error[A0102]: unknown key "delimeter" in "csv"
              --> job.sql:2:109
              help: did you mean "delimiter"?
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafka', 'scan.startup.mode' = 'earliest', 'format' = 'avro'); INSERT INTO o SELECT a, b FROM x;
            error[A0103]: the connector "kafka" needs the option 'topic'
              --> job.sql:2:14
              help: add 'topic' = '…' to the WITH clause, or 'topic-pattern'
            error[A0104]: 'scan.startup.mode' must be one of 'earliest-offset', 'latest-offset', 'group-offsets', 'timestamp', 'specific-offsets'
              --> job.sql:2:85
            error[A0104]: "format" cannot be "avro"
              --> job.sql:2:108
              help: known choices: json, csv, raw
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'scan.startup.mode' = 'timestamp', 'scan.bounded.mode' = 'group-offsets', 'format' = 'json'); INSERT INTO o SELECT a, b FROM x;
            error[A0103]: this start needs the option 'scan.startup.timestamp-millis'
              --> job.sql:2:100
              help: add 'scan.startup.timestamp-millis' = '…' to the WITH clause
            error[A0104]: 'scan.bounded.mode' must be 'unbounded' or 'latest-offset'
              --> job.sql:2:135
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = '${PASSWORD}'); INSERT INTO o SELECT a, b FROM x;
            error[A0104]: 'scan.startup.specific-offsets' must be offsets such as 'partition:0,offset:42;partition:1,offset:300'
              --> job.sql:2:154
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'create.partitions' = '3'); INSERT INTO o SELECT a, b FROM x;
            error[A0102]: the option 'create.partitions' has no meaning for a table that is read
              --> job.sql:2:78
              help: remove it
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'upsert-kafka', 'topic' = 't', 'key.format' = 'json', 'value.format' = 'json'); INSERT INTO o SELECT a, b FROM x;
            error[A0114]: the table "x" cannot be read: it is of the connector "upsert-kafka"
              --> job.sql:2:165
              help: tables of this connector can only be written
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'blackhole'); INSERT INTO o SELECT a, b FROM x;
            error[A0114]: the table "x" cannot be read: it is of the connector "blackhole"
              --> job.sql:2:99
              help: tables of this connector can only be written
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'elasticsearch-7', 'hosts' = 'http://h', 'index' = 'i'); INSERT INTO o SELECT a, b FROM x;
            error[A0114]: the table "x" cannot be read: it is of the connector "elasticsearch-7"
              --> job.sql:2:142
              help: tables of this connector can only be written
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://u:${PASSWORD}@h/d', 'table-name' = 't', 'lookup.cache' = 'PARTIAL'); INSERT INTO o SELECT a, b FROM x;
            error[A0104]: 'url' is no address of a PostgreSQL database
              --> job.sql:2:70
              help: write it as jdbc:postgresql://HOST:5432/DATABASE, with 'username' and 'password' beside it
            error[A0104]: 'lookup.cache' cannot have this value: the table is read as a whole, not row by row
              --> job.sql:2:141
              help: leave the option out
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'datagen', 'fields.c.min' = '1', 'fields.a.minimum' = '1', 'fields.b.kind' = 'sequence'); INSERT INTO o SELECT a, b FROM x;
            error[A0202]: 'fields.c.min' is about no column of the table
              --> job.sql:2:65
              help: known columns: a, b
            error[A0202]: unknown option 'fields.a.minimum'
              --> job.sql:2:87
              help: known options: kind, min, max, length, start, end, null-rate, var-len, max-past
            error[A0104]: 'fields.b.kind' must be a 'sequence' with 'start' = '1' and an 'end'
              --> job.sql:2:131
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'postgres', 'conection' = 'x', 'tables' = 'a', 'mode' = 'copy', 'heartbeat_interval' = '5'); INSERT INTO o SELECT a, b FROM x;
            error[A0102]: unknown option 'conection' of the connector "postgres"
              --> job.sql:2:66
              help: did you mean 'connection'?
            error[A0104]: "mode" cannot be "copy"
              --> job.sql:2:110
              help: known choices: cdc
            error[A0104]: "heartbeat_interval" must be a duration such as 500ms, 10s, 5m, 1h, not "5"
              --> job.sql:2:141
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'datagen'); INSERT INTO x SELECT a, b FROM t;
            error[A0114]: the table "x" cannot be written: it is of the connector "datagen"
              --> job.sql:2:78
              help: tables of this connector can only be read
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'upsert-kafka', 'topic' = 't', 'value.format' = 'json'); INSERT INTO x SELECT a, b FROM t;
            error[A0103]: the connector "upsert-kafka" needs the option 'key.format'
              --> job.sql:2:14
              help: add 'key.format' = '…' to the WITH clause
            error[A0103]: the connector "upsert-kafka" needs a primary key
              --> job.sql:2:14
              help: add PRIMARY KEY (column) NOT ENFORCED to the columns
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = 'h:1', 'key.fields' = 'aa', 'key.format' = 'raw'); INSERT INTO x SELECT a, b FROM t;
            error[A0103]: the connector "kafka" needs the key "topic"
              --> job.sql:2:54
              help: add 'topic' = '…' (The topic)
            error[A0104]: 'key.fields' names a column that the table does not have
              --> job.sql:2:118
              help: did you mean 'a'?
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'key.fields' = 'a;b', 'key.format' = 'raw', 'sink.partitioner' = 'org.x.Mine'); INSERT INTO x SELECT a, b FROM t;
            error[A0104]: 'key.format' must be 'json' where the key has not exactly one column
              --> job.sql:2:115
            error[A0104]: 'sink.partitioner' must be 'default', 'fixed' or 'round-robin'
              --> job.sql:2:143
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'jdbc', 'table-name' = 't', 'driver' = 'com.mysql.jdbc.Driver'); INSERT INTO x SELECT a, b FROM t;
            error[A0103]: the connector "jdbc" needs the option 'url'
              --> job.sql:2:14
              help: add 'url' = '…' to the WITH clause
            error[A0104]: 'driver' cannot have this value: the database is PostgreSQL
              --> job.sql:2:93
              help: leave it out, or write 'org.postgresql.Driver'
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'elasticsearch-7', 'hosts' = 'http://h', 'index' = 'i-{ts|yyyy}', 'sink.bulk-flush.max-actions' = '0', 'sink.bulk-flush.max-size' = 'much'); INSERT INTO x SELECT a, b FROM t;
            error[A0104]: the name of the index cannot contain a format of time
              --> job.sql:2:105
              help: compute the text in a column, and write {column}
            error[A0104]: "batch_rows" must be a whole number from 1 to 100000, not "0"
              --> job.sql:2:152
            error[A0104]: 'sink.bulk-flush.max-size' must be a size such as '2mb'
              --> job.sql:2:186
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'bigquery', 'tabel' = 'x'); INSERT INTO x SELECT a, b FROM t;
            error[A0102]: unknown option 'tabel' of the connector "bigquery"
              --> job.sql:2:66
              help: did you mean 'table'?
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'bigquery', 'table.name' = 'x'); INSERT INTO x SELECT a, b FROM t;
            error[A0103]: the connector "bigquery" needs the key "table"
              --> job.sql:2:54
              help: add 'table' = '…' (The table)
            error[A0102]: unknown key "table.name" in the connector "bigquery"
              --> job.sql:2:66
              help: known keys: table
        CREATE TABLE x (a INT, b STRING) WITH ('connector' = 'print', 'standard-error' = 'true'); INSERT INTO x SELECT a, b FROM t;
            error[A0104]: 'standard-error' cannot have this value: rows go to standard output
              --> job.sql:2:82
              help: leave it out, or write 'false'
    "#]]);
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
        expect![[r#"
            SET 'pipeline.name' = 'a b';
                error[A0104]: the state of a pipeline cannot be kept under this name
                  --> job.sql:2:23
                  help: use letters, digits, `-`, `_` and `.`, at most 200, beginning with a letter or digit
            SET 'pipelin.name' = 'a';
                error[A0102]: unknown key 'pipelin.name' in SET
                  --> job.sql:2:5
                  help: did you mean 'pipeline.name'?
            SET 'paralelism.default' = '4';
                error[A0102]: unknown key 'paralelism.default' in SET
                  --> job.sql:2:5
                  help: did you mean 'parallelism.default'?
            SET 'parallelism.default' = 'many';
                error[A0104]: "parallelism" must be a whole number from 1 to 1024, not "many"
                  --> job.sql:2:29
            SET 'settings.checkpoint.intervall' = '1s';
                error[A0102]: unknown key "intervall" in "checkpoint"
                  --> job.sql:2:5
                  help: did you mean "interval"?
            SET 'settings.errors.policy' = 'dead_letter';
                error[A0103]: the policy dead_letter needs to know where to
                  --> job.sql:2:32
                  help: add SET 'settings.errors.to' = '…' with the name of a table
            SET 'settings.errors.policy' = 'dead_letter'; SET 'settings.errors.to' = 'oo';
                error[A0113]: there is no table or view "oo"
                  --> job.sql:2:74
                  help: did you mean "o"?
            SET 'execution.runtime-mode' = 'fast';
                error[A0104]: 'execution.runtime-mode' must be 'streaming', 'batch' or 'automatic'
                  --> job.sql:2:32
            SET 'table.exec.state.ttl' = '${PASSWORD}';
                error[A0104]: 'table.exec.state.ttl' must be a duration such as '10 s', '5 min', '1 h'
                  --> job.sql:2:30
            SET 'table.local-time-zone' = 'Europe/Berlin';
                error[A0104]: 'table.local-time-zone' must be 'UTC': the days and hours of windows and functions are those of UTC
                  --> job.sql:2:31
            SET colour = red;
                error[A0112]: expected an option's name in quotes
                  --> job.sql:2:5
            SET 'colour' = 'red';
                error[A0102]: unknown key 'colour' in SET
                  --> job.sql:2:5
                  help: known keys: pipeline.name, execution.runtime-mode, parallelism.default, execution.checkpointing.interval, execution.checkpointing.dir, state.checkpoints.dir, table.exec.state.ttl, table.exec.source.idle-timeout, table.exec.emit.allow-lateness, table.local-time-zone, execution.checkpointing.mode, settings.parallelism, settings.checkpoint.interval, settings.checkpoint.store, settings.errors.policy, settings.errors.to
        "#]],
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
    let lines: Vec<usize> = found.iter().filter_map(|it| it.at.as_ref()).map(|at| at.line).collect();
    assert_eq!(lines, [1, 1, 2, 2, 3, 4, 4, 5], "{found:#?}");
}
