//! Every type, value by value: what is copied, what is streamed and what is fetched because the log lacks it is what the
//! server itself prints.

use crate::harness::{Harness, Row};
use acme_lab::postgres::Postgres;
use acme_types::Positions;
use std::collections::BTreeMap;

/// How a value is compared with the server's text.
#[derive(Clone, Copy, PartialEq)]
enum As {
    /// The same text.
    Text,
    /// The same text as JSON: a number, or a word in quotes.
    Number,
    /// The same floating-point number.
    Float,
    Bool,
    Bytes,
    /// With a `T` between date and time, and a `Z` for the zone.
    Time,
    /// As the server makes JSON of it.
    Array,
    /// As the server makes JSON of its elements' texts.
    TextArray,
}

/// Types, how their values are compared, and values as SQL; every type has NULL besides.
const TYPES: &[(&str, As, &[&str])] = &[
    ("boolean", As::Bool, &["true", "false"]),
    ("smallint", As::Text, &["-32768", "32767", "0"]),
    ("integer", As::Text, &["-2147483648", "2147483647"]),
    ("bigint", As::Text, &["-9223372036854775808", "9223372036854775807"]),
    ("oid", As::Text, &["0", "4294967295"]),
    ("real", As::Float, &["'NaN'", "'Infinity'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1", "'-0'"]),
    (
        "double precision",
        As::Float,
        &["'NaN'", "'Infinity'", "'-Infinity'", "5e-324", "1.7976931348623157e308", "0.1"],
    ),
    (
        "numeric",
        As::Number,
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0.00",
            "-1e-1000",
            "1e1000",
            "123456789012345678901234567890.5",
        ],
    ),
    ("numeric(12,2)", As::Text, &["0", "-0.01", "9999999999.99"]),
    ("numeric(38,0)", As::Text, &["99999999999999999999999999999999999999"]),
    ("numeric(40,3)", As::Number, &["1234567890123456789012345678901234567.125", "'NaN'"]),
    ("money", As::Text, &["-92233720368547758.08", "92233720368547758.07", "0"]),
    ("text", As::Text, &["''", "E'q\"\\\\ \\n\\t ä 😀'", "'NULL'", "repeat('é', 3000)"]),
    ("varchar(5)", As::Text, &["'abc'", "'  '", "'äöüß€'"]),
    ("char(5)", As::Text, &["'ab'", "''"]),
    ("\"char\"", As::Text, &["'z'", "''"]),
    ("name", As::Text, &["'a name'"]),
    ("citext", As::Text, &["'MiXed'"]),
    ("bytea", As::Bytes, &["''", "'\\x00ff7f5c'", "decode(repeat('00ff', 2000), 'hex')"]),
    ("date", As::Text, &["'1970-01-01'", "'0001-01-01'", "'9999-12-31'", "'2024-02-29'"]),
    ("time", As::Text, &["'00:00'", "'24:00'", "'12:34:56.789'"]),
    ("timetz", As::Text, &["'23:59:59.999999-15:59'", "'12:00+05:30'"]),
    (
        "timestamp",
        As::Time,
        &["'1970-01-01 00:00'", "'0001-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'"],
    ),
    ("timestamptz", As::Time, &["'1969-12-31 23:59:59.999999+00'", "'2024-03-31 02:30:00+02'"]),
    (
        "interval",
        As::Text,
        &[
            "'0'",
            "'178000000 years'",
            "'-1 mons +2 days -00:00:01.5'",
            "'1 year 2 mons 3 days 04:05:06.000007'",
        ],
    ),
    ("uuid", As::Text, &["'00112233-4455-6677-8899-AABBCCDDEEFF'"]),
    ("json", As::Text, &["'{\"a\" :  1, \"a\": 2}'", "'null'", "'1e400'", "'\"\"'"]),
    (
        "jsonb",
        As::Text,
        &["'{\"b\": [1, 2.50], \"a\": null}'", "'12345678901234567890.12345'", "to_jsonb(repeat('x', 9000))"],
    ),
    ("xml", As::Text, &["'<a b=\"c\">1</a>'", "''"]),
    ("mood", As::Text, &["'sad'", "'very ok'"]),
    ("positive", As::Text, &["1", "2147483647"]),
    ("price", As::Text, &["12.50", "-0.01"]),
    ("words", As::TextArray, &["'{a,\"b c\"}'"]),
    ("pair", As::Text, &["ROW(1, 'x \"y\"')", "ROW(NULL, NULL)", "ROW(3, '')"]),
    ("int4range", As::Text, &["'[1,10)'", "'empty'", "'(,5]'", "'(,)'"]),
    ("tstzrange", As::Text, &["'[2024-01-01,infinity)'", "'[2024-01-01,)'"]),
    ("numrange", As::Text, &["'(1.5,2.50]'"]),
    ("int4multirange", As::Text, &["'{[1,3),[5,7)}'", "'{}'"]),
    ("inet", As::Text, &["'192.168.1.1'", "'10.1.2.3/24'", "'::1'", "'::ffff:1.2.3.4/96'"]),
    ("cidr", As::Text, &["'10.0.0.0/8'", "'::/0'"]),
    ("macaddr", As::Text, &["'08:00:2b:01:02:03'"]),
    ("macaddr8", As::Text, &["'08:00:2b:01:02:03:04:05'"]),
    ("bit(3)", As::Text, &["'101'"]),
    ("varbit", As::Text, &["''", "'10101'"]),
    ("tsvector", As::Text, &["''", "'a:1A b:2'"]),
    ("tsquery", As::Text, &["'fat & !rat'"]),
    ("point", As::Text, &["'(1.5,-2)'", "'(1e300,-1e-300)'"]),
    ("box", As::Text, &["'((1,1),(0,0))'"]),
    ("box[]", As::Text, &["ARRAY['((1,1),(0,0))'::box, NULL]"]),
    ("circle", As::Text, &["'<(1,2),3>'"]),
    ("hstore", As::Text, &["''", "'a=>1, b=>NULL, \"c d\"=>\"e\"'"]),
    ("pg_lsn", As::Text, &["'16/B374D848'"]),
    ("regclass", As::Text, &["'pg_class'"]),
    (
        "integer[]",
        As::Array,
        &["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,NULL}}'", "'{{{1}},{{2}}}'", "'[0:1]={1,2}'"],
    ),
    ("bigint[]", As::Array, &["'{9223372036854775807}'"]),
    ("numeric[]", As::Array, &["'{1.50,NaN,-Infinity,NULL}'"]),
    ("double precision[]", As::Array, &["'{0.1,5e-324}'"]),
    ("boolean[]", As::Array, &["'{t,NULL,f}'"]),
    (
        "text[]",
        As::Array,
        &[
            "ARRAY['a,b', 'q\"', NULL, 'NULL', '', '{', '\\']",
            "'{{a,b},{c,NULL}}'",
            "ARRAY[repeat('x', 9000)]",
        ],
    ),
    ("uuid[]", As::Array, &["'{00112233-4455-6677-8899-aabbccddeeff}'"]),
    ("date[]", As::Array, &["'{2024-01-02,NULL}'"]),
    ("timestamptz[]", As::TextArray, &["'{2024-01-02 03:04:05+00,infinity}'"]),
    ("jsonb[]", As::Array, &["ARRAY['{\"x\": 1}'::jsonb, NULL, '\"s\"']"]),
    ("bytea[]", As::TextArray, &["ARRAY['\\x00ff'::bytea]"]),
    ("mood[]", As::Array, &["'{sad,\"very ok\",NULL}'"]),
    ("pair[]", As::TextArray, &["ARRAY[ROW(1, 'x')::pair, NULL]"]),
    ("inet[]", As::TextArray, &["'{10.1.2.3/24}'"]),
];

const CREATE: &str = "CREATE EXTENSION citext; CREATE EXTENSION hstore;
    CREATE TYPE mood AS ENUM ('sad', 'very ok'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN price AS numeric(10, 2); CREATE DOMAIN words AS text[];";

/// The server's own words for every value, by table and id.
fn expected(postgres: &Postgres) -> BTreeMap<(usize, i64), Option<String>> {
    let mut sql = String::new();
    for (table, (_, compare, _)) in TYPES.iter().enumerate() {
        let shown = match compare {
            As::Array => "to_json(v)::text",
            As::TextArray => "to_json(v::text[])::text",
            _ => "CASE num_nulls(v) WHEN 0 THEN format('%s', v) END",
        };
        // In hexadecimal, because a value may contain anything.
        sql.push_str(&format!(
            "SELECT {table}, id, coalesce(encode(convert_to({shown}, 'UTF8'), 'hex'), '-') FROM t{table};\n"
        ));
    }
    let hex = |text: &str| {
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        String::from_utf8(bytes).unwrap()
    };
    let lines = postgres.psql(&sql).unwrap();
    let value = |line: &str| {
        let mut parts = line.split('|');
        let mut next = || parts.next().unwrap();
        let (table, id, text) = (next().parse().unwrap(), next().parse().unwrap(), next());
        ((table, id), (text != "-").then(|| hex(text)))
    };
    lines.lines().map(value).collect()
}

/// Whether a value is what the server says.
fn same(compare: As, found: &str, server: &str) -> bool {
    match compare {
        As::Text | As::Array | As::TextArray => found == server,
        As::Number if server.ends_with(|last: char| last.is_ascii_digit()) => found == server,
        As::Number => found == format!("\"{server}\""),
        As::Float => {
            let bits = |text: &str| text.parse::<f64>().unwrap().to_bits();
            bits(found) == bits(server)
        }
        As::Bool => found == if server == "t" { "true" } else { "false" },
        As::Bytes => format!("\\x{}", found.to_lowercase()) == server,
        As::Time => {
            let server = server.replacen(' ', "T", 1);
            found == server.strip_suffix("+00").map_or(server.clone(), |local| format!("{local}Z"))
        }
    }
}

#[track_caller]
fn check(rows: &[Row], expected: &BTreeMap<(usize, i64), Option<String>>, offset: i64, path: &str) {
    let mut wrong = Vec::new();
    for row in rows {
        let table: usize = row.table.strip_prefix("public.t").unwrap().parse().unwrap();
        let (name, compare, _) = TYPES[table];
        let id: i64 = row.get("id").unwrap().parse().unwrap();
        let server = expected[&(table, id % 1000 + offset)].as_deref();
        let found = row.get("v");
        let fits = match (found, server) {
            (Some(found), Some(server)) => same(compare, found, server),
            (found, server) => found == server,
        };
        if !fits {
            wrong.push(format!("{name}: {found:?}, the server says {server:?}"));
        }
    }
    assert!(wrong.is_empty(), "{path}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_type_is_what_the_server_prints() {
    let postgres = Postgres::start().unwrap();
    let (mut create, mut tables) = (CREATE.to_owned(), Vec::new());
    let insert = |base: usize| {
        let mut sql = String::new();
        for (table, (_, _, values)) in TYPES.iter().enumerate() {
            sql.push_str(&format!("INSERT INTO t{table} VALUES ({base}, NULL);"));
            for (id, value) in (base + 1..).zip(*values) {
                sql.push_str(&format!("INSERT INTO t{table} VALUES ({id}, {value});\n"));
            }
        }
        sql
    };
    for (table, (name, _, _)) in TYPES.iter().enumerate() {
        create.push_str(&format!("CREATE TABLE t{table} (id int PRIMARY KEY, v {name}, n int);\n"));
        tables.push(format!("t{table}"));
    }
    // What is large is kept apart from its row, so that an update of another column does not log it.
    for (table, (name, ..)) in TYPES.iter().enumerate() {
        if ["text", "bytea", "jsonb", "text[]"].contains(name) {
            create.push_str(&format!("ALTER TABLE t{table} ALTER v SET STORAGE EXTERNAL;\n"));
        }
    }
    postgres.psql(&(create + &insert(0))).unwrap();
    let count = TYPES.iter().map(|(_, _, values)| values.len() + 1).sum();
    let keys = [("mode", "cdc"), ("tables", &*tables.join(" "))];
    let mut harness = Harness::open(&postgres.url(), &keys, &Positions::new()).await.unwrap();
    let copied = harness.take(count).await;
    let server = expected(&postgres);
    check(&copied, &server, 0, "copied");
    postgres.psql(&insert(1000)).unwrap();
    let streamed = harness.take(count).await;
    check(&streamed, &server, 0, "streamed");
    let update: String = (0..TYPES.len()).map(|table| format!("UPDATE t{table} SET n = 1;\n")).collect();
    postgres.psql(&update).unwrap();
    let updated = harness.take(2 * count).await;
    assert!(updated.iter().all(|row| row.operation == "UPDATE" && row.get("n") == Some("1")));
    check(&updated, &server, 0, "updated");
    println!("{count} values of {} types, on three ways", TYPES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrow_does_not_have_becomes_the_nearest_it_has() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY, d date, ts timestamp, tsz timestamptz)").unwrap();
    let insert = |base: i32| {
        let row = |id: i32, value: &str| {
            format!("INSERT INTO t VALUES ({}, '{value}', '{value}', '{value}');", base + id)
        };
        postgres.psql(&(row(1, "infinity") + &row(2, "-infinity") + &row(3, "0044-03-15 BC"))).unwrap();
    };
    insert(0);
    let mut harness = Harness::capture(&postgres, "t").await;
    let mut rows = harness.take(3).await;
    insert(10);
    rows.extend(harness.take(3).await);
    for rows in rows.chunks(3) {
        let shown = |row: usize| ["d", "ts", "tsz"].map(|name| rows[row].get(name).unwrap().to_owned());
        assert_eq!(shown(0), ["9999-12-31", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999Z"]);
        assert_eq!(shown(1), ["0001-01-01", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z"]);
        assert_eq!(shown(2), ["-0043-03-15", "-0043-03-15T00:00:00", "-0043-03-15T00:00:00Z"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn composite_keys_in_any_order_name_their_rows() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE t (note text, b text, a int, big text, PRIMARY KEY (a, b)); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
             INSERT INTO t VALUES ('n', 'x|y', 1, repeat('1', 9000)), ('n', 'z', 1, repeat('2', 9000))",
        )
        .unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    assert_eq!(harness.streams[0].key, ["a", "b"]);
    harness.take(2).await;
    // One after the other: an update of a row that is gone by now is left out, when the log lacks a value of it.
    let mut rows = Vec::new();
    let steps = [
        ("UPDATE t SET note = 'm'", 2),
        ("UPDATE t SET b = 'w' WHERE b = 'z'", 2),
        ("DELETE FROM t WHERE b = 'x|y'", 1),
    ];
    for (sql, count) in steps {
        postgres.psql(sql).unwrap();
        rows.extend(harness.take(count).await);
    }
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |name| row.get(name).map_or("-", |text| &text[..text.len().min(3)]);
            format!("{} {} {} {} {}", row.operation, text("a"), text("b"), text("note"), text("big"))
        })
        .collect();
    let expected =
        ["UPDATE 1 x|y m 111", "UPDATE 1 z m 222", "DELETE 1 z - -", "INSERT 1 w m 222", "DELETE 1 x|y - -"];
    assert_eq!(shown, expected);
}
