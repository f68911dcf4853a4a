//! Whatever the file holds: an answer with a place, never a panic, never for long, never a password.

use super::{parse_sql, read};

const GOOD: &str = "\
SET 'pipeline.name' = 'hot-items';
CREATE TABLE bid (auction BIGINT, price DECIMAL(10, 2), tags MAP<STRING, ARRAY<INT>>, date_time BIGINT,
  ts AS TO_TIMESTAMP_LTZ(date_time, 3), WATERMARK FOR ts AS ts - INTERVAL '4' SECOND, PRIMARY KEY (auction) NOT ENFORCED
) WITH ('connector' = 'kafka', 'topic' = 'bids', 'properties.bootstrap.servers' = 'h:9092', 'format' = 'json');
CREATE TABLE sink (auction BIGINT, n BIGINT, w TIMESTAMP(3), PRIMARY KEY (auction) NOT ENFORCED)
  WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://h/d', 'table-name' = 's', 'username' = 'u', 'password' = 'xyzzy42');
CREATE TABLE late WITH ('connector' = 'print');
CREATE VIEW v AS SELECT * FROM bid WHERE price > 1.5 AND tags['a'] IS NOT NULL;
EXECUTE STATEMENT SET BEGIN
INSERT INTO sink SELECT auction, COUNT(*), window_start
  FROM TABLE(HOP(DATA => TABLE v, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '10' SECOND, SIZE => INTERVAL '6' SECOND)) AS w
  GROUP BY auction, window_start, window_end LATE INTO late;
INSERT INTO sink (auction, n) SELECT auction, CASE WHEN COUNT(*) > 1 THEN 1 ELSE 0 END FROM bid
  GROUP BY auction, TUMBLE(ts, INTERVAL '1' MINUTE) HAVING TUMBLE_END(ts, INTERVAL '1' MINUTE) < TIMESTAMP '2030-01-01 00:00:00';
END;
";

/// Words, punctuation and white space, so that taking one out or doubling it makes a near miss.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = first.is_alphanumeric();
        let length = match word {
            true => rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = &rest[length..];
    }
    tokens
}

#[test]
fn the_good_file_is_good() {
    let (job, found) = read(GOOD);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(job.map(|job| job.inserts.len()), Some(2));
}

#[test]
fn every_near_miss_gets_an_answer() {
    let tokens = tokens(GOOD);
    let (mut valid, mut refused) = (0, 0);
    let mut judge = |text: String| {
        let (job, found) = read(&text);
        let failed = found.iter().any(|diagnostic| !diagnostic.warning);
        assert_eq!(job.is_none(), failed, "refused without a reason, or not refused:\n{text}");
        *(if failed { &mut refused } else { &mut valid }) += 1;
        for diagnostic in &found {
            assert!(diagnostic.at.is_some(), "a reason without a place: {diagnostic:?}\n{text}");
            assert!(!diagnostic.to_string().contains("xyzzy42"), "a password is shown: {diagnostic}\n{text}");
        }
    };
    for at in 0..tokens.len() {
        let (before, after) = (tokens[..at].concat(), tokens[at + 1..].concat());
        judge(format!("{before}{after}"));
        judge(format!("{before}{0}{0}{after}", tokens[at]));
        judge(format!("{before}%{after}"));
        judge(before);
        if let Some(next) = tokens.get(at + 1) {
            let before = tokens[..at].concat();
            judge(format!("{before}{next}{}{}", tokens[at], tokens[at + 2..].concat()));
        }
    }
    println!("{valid} valid, {refused} refused");
    assert!(valid > 300 && refused > 1_000, "{valid} valid, {refused} refused: the mutations do not bite");
}

/// What can stand in itself, or behind itself, without end.
const PARTS: &[&str] = &[
    "(",
    "((SELECT * FROM ",
    "a(",
    "[",
    "ARRAY[",
    "a + ",
    "a OR ",
    "NOT ",
    "- ",
    "CASE WHEN ",
    "CASE ",
    "a BETWEEN ",
    "INTERVAL ",
    "SELECT ",
    "SELECT a FROM t UNION ALL ",
    "t JOIN ",
    "a IS NULL ",
    "CAST(a AS ",
    "ARRAY<",
    "a::",
    "a.",
    "a, ",
    "a -> ",
    "DATE ",
    "WITH x AS (",
    "EXISTS (",
    "a IN (",
    "TABLE(",
    "TUMBLE(",
    "TUMBLE(TABLE t, ",
    "LATE INTO o ",
    "AS ",
    "'x' ",
    "1 ",
    "`",
    "<",
    ">",
    "CAST(a AS ARRAY<",
    "a AT TIME ZONE 'x' ",
    "COUNT(*) OVER (",
    "SESSION(TABLE t PARTITION BY ",
    "INTERVAL '1' ",
    "LATERAL ",
    "(a, ",
    "a = ANY (",
    "EXTRACT(DAY FROM ",
    "a COLLATE ",
    "CASE a WHEN 1 THEN ",
    "TRIM(BOTH ",
    "SUBSTRING(a FROM ",
    "a[",
    "a[1]",
    "MAP<",
    "ROW<a ",
    "a LIKE ",
    "VALUES (",
    "INTERVAL - ",
    "INTERVAL CAST(",
    "INTERVAL 'x' AND ",
    "TIMESTAMP ",
    "PRIOR ",
    "a NOT ",
    "a IS NOT DISTINCT FROM ",
    "FROM t ",
    "GROUP BY ",
    "STRUCT<a ",
    "CREATE ",
];

#[test]
fn what_is_without_end_is_refused_or_read_quickly() {
    let columns = "CREATE TABLE t (a INT, b INT) WITH ('connector' = 'file', 'path' = '/x'); CREATE TABLE o WITH ('connector' = 'print');";
    for part in PARTS {
        for count in [30, 3_000] {
            let many = part.repeat(count);
            for text in [
                format!("{columns} INSERT INTO o SELECT {many}"),
                format!("{columns} INSERT INTO o SELECT a FROM {many}"),
                format!("{columns} INSERT INTO o SELECT a FROM t WHERE {many} a"),
                format!("CREATE TABLE x (a AS {many}"),
                format!("CREATE TABLE x (a {many}"),
                format!("CREATE TABLE x ({many}"),
                many.clone(),
            ] {
                let _ = read(&text);
            }
        }
    }
}

#[test]
fn what_is_as_deep_as_it_may_be_is_read() {
    let query = |text: &str| {
        let columns = "CREATE TABLE t (a INT) WITH ('connector' = 'file', 'path' = '/x'); CREATE TABLE o WITH ('connector' = 'print');";
        read(&format!("{columns} INSERT INTO o SELECT {text} FROM t"))
    };
    let sum = format!("a{}", " + a".repeat(990));
    assert!(query(&sum).0.is_some(), "{:?}", query(&sum).1);
    let list = format!("a IN (1{})", ", 1".repeat(100_000));
    assert!(query(&list).0.is_some());
    assert!(query(&format!("a{}", " + a".repeat(1_100))).0.is_none());
}

#[test]
fn odd_characters_are_an_answer_too() {
    for text in [
        "",
        ";",
        ";;;",
        "\u{0}",
        "\u{feff}SELECT 1",
        "--",
        "/*",
        "/**/",
        "'",
        "\"",
        "`",
        "`a",
        "$$",
        "$a$ x",
        "${",
        "${DATA}",
        "é",
        "SELECT 'é' é",
        "E'\\x'",
        "U&'\\zzzz'",
        "X'zz'",
        "N'x'",
        "1e",
        "1e999",
        ".",
        "..",
        "@",
        "#",
        "\\",
        "\r\n;\r\n",
        "SET",
        "CREATE TABLE",
        "CREATE TABLE t (",
        "CREATE TABLE t (a",
        "CREATE VIEW v AS",
        "INSERT",
        "DROP",
        "EXPLAIN",
        "EXPLAIN EXPLAIN SELECT 1",
    ] {
        let (job, found) = read(text);
        assert!(job.is_none() && !found.is_empty(), "{text}");
    }
    let (job, found) = parse_sql(
        "x.sql",
        "CREATE TABLE t WITH ('connector' = 'print'); INSERT INTO t VALUES (1)",
        &[],
        &super::Fake,
    );
    assert!(job.is_none());
    assert_eq!(found[0].at.as_ref().map(ToString::to_string).as_deref(), Some("x.sql:1:36"), "{found:?}");
}
