//! A value is the same whether it was copied or streamed.

use crate::harness::Harness;
use acme_lab::postgres::{Postgres, Version};
use acme_types::Positions;

pub(crate) const TABLE: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN price AS numeric(10, 2);
CREATE TABLE v (id int PRIMARY KEY, bo bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8, n numeric, nd numeric(38, 10),
  nx numeric(3, 5), t text, vc varchar(5), bc char(5), nm name, by bytea, d date, ti time, tz timetz, ts timestamp, tsz timestamptz,
  iv interval, u uuid, j json, jb jsonb, m mood, ai int[], at text[], an numeric[], ab bool[], aj jsonb[], r int4range,
  mr tstzrange, inet inet, ci cidr, ma macaddr, x xml, bi bit(3), vb varbit, mo money, po point, tv tsvector, c pair,
  dp positive, pr price, ch "char", bx box[]);
"#;

/// Rows with extreme values; each statement works on the table before and after the copy.
pub(crate) const ROWS: &[&str] = &[
    "(id)",
    r#"(id, bo, i2, i4, i8, o, f4, f8, n, nd, nx, t, vc, bc, nm, by, d, ti, tz, ts, tsz, iv, u, j, jb, m, ai, at, an, ab, aj, r, mr,
    inet, ci, ma, x, bi, vb, mo, po, tv, c, dp, pr, ch, bx)"#,
];

pub(crate) const VALUES: &[&str] = &[
    r#"true, 32767, 2147483647, 9223372036854775807, 4294967295, 3.4028235e38, 1.7976931348623157e308,
    123456789012345678901234567890123456789012345678901234567890.123456789, 9999999999999999999999999999.9999999999, 0.00999,
    E'q"\\ \n\t ä 😀', 'abc', 'ab', 'nm', '\x00ff7f', '5874897-12-31', '24:00:00', '23:59:59.999999-15:59', '294276-12-31 23:59:59.999999',
    'infinity', '178000000 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '{"a" :  1}', '{"b": [1, 2.50], "a": null}', 'ok',
    '{1,NULL,-3}', ARRAY['a,b', 'q"', NULL, 'NULL', ''], '{1.50,NaN}', '{t,f}', ARRAY['{"x": 1}'::jsonb], '[1,10)', '[2024-01-01,)',
    '192.168.1.1', '10.0.0.0/8', '08:00:2b:01:02:03', '<a>1</a>', '101', '10101', '-12.34', '(1.5,-2)', 'fat cat', ROW(1, 'x y'), 7, 12.50,
    'z', ARRAY['((1,1),(0,0))'::box]"#,
    r#"false, -32768, -2147483648, -9223372036854775808, 0, 'NaN', '-Infinity', 'NaN', -0.0000000001, -0.00001, '', '', '', '', '',
    '4713-01-01 BC', '00:00:00', '00:00:00+00', '-infinity', '4713-01-01 00:00:00+00 BC', '-1 mons +2 days -00:00:01.5',
    '00000000-0000-0000-0000-000000000000', 'null', '1e400', 'sad', '{}', '{{a,b},{c,d}}', '{}', '{}', '{}', 'empty', '(,)',
    '::1/64', '::/0', '00:00:00:00:00:00', '', '000', '', '0', '(0,0)', '', ROW(NULL, NULL), 1, -0.01, '', '{}'"#,
    r#"true, 0, 0, 0, 1, 1e-45, 5e-324, 'Infinity', 0, 0, 'x', 'x', 'x', 'x', '\x', 'infinity', '12:34:56.7', '12:00+05:30',
    '0044-03-15 12:00:00 BC', '1969-12-31 23:59:59.999999+00', '0', '00112233-4455-6677-8899-aabbccddeeff', '[]', '{}', 'sad', '[0:1]={1,2}',
    '{" "}', '{Infinity}', '{NULL}', '{NULL}', '(,5]', 'empty', '10.1.2.3/24', '10.1.2.3/32', 'ff:ff:ff:ff:ff:ff', 'text', '111', '1',
    '92233720368547758.07', '(1e300,-1e-300)', 'a:1A b:2', ROW(3, ''), 2147483647, 99999999.99, 'a', NULL"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn extreme_values_are_the_same_in_the_copy_and_in_the_stream() {
    extremes(&Postgres::start().unwrap()).await;
}

pub(crate) async fn extremes(postgres: &Postgres) {
    // A scale beyond the precision exists since version 15.
    let table = match postgres.version() {
        Version::V14 => TABLE.replace("numeric(3, 5)", "numeric(5, 5)"),
        // This server was built without it.
        Version::V18 => TABLE.replace("x xml", "x text"),
        _ => TABLE.to_owned(),
    };
    postgres.psql(&table).unwrap();
    let insert = |base: usize| {
        let mut sql = format!("INSERT INTO v {} VALUES ({base});", ROWS[0]);
        for (at, values) in VALUES.iter().enumerate() {
            sql.push_str(&format!("INSERT INTO v {} VALUES ({}, {values});", ROWS[1], base + at + 1));
        }
        postgres.psql(&sql).unwrap();
    };
    insert(0);
    let mut harness = Harness::capture(postgres, "v").await;
    let mut copied = harness.take(4).await;
    insert(10);
    let streamed = harness.take(4).await;
    copied.sort_by_key(|row| row.get("id").map(str::to_owned));
    for (copied, streamed) in copied.iter().zip(&streamed) {
        for (copied, streamed) in copied.values.iter().zip(&streamed.values).skip(1) {
            assert_eq!(copied, streamed);
        }
    }
    let expect = [
        ("i8", "9223372036854775807"),
        ("n", "123456789012345678901234567890123456789012345678901234567890.123456789"),
        ("nd", "9999999999999999999999999999.9999999999"),
        ("ti", "24:00:00"),
        ("tsz", "9999-12-31T23:59:59.999999Z"),
        ("at", r#"["a,b","q\"",null,"NULL",""]"#),
        ("an", r#"[1.50,"NaN"]"#),
        ("inet", "192.168.1.1"),
        ("c", "(1,\"x y\")"),
        ("bc", "ab   "),
        ("mo", "-$12.34"),
    ];
    for (name, value) in expect {
        assert_eq!(streamed[1].get(name), Some(value), "{name}");
    }
    assert_eq!(streamed[2].get("n"), Some("\"NaN\""));
    assert_eq!(streamed[2].get("c"), Some("(,)"), "a composite of NULLs is not NULL");
    assert_eq!(streamed[3].get("n"), Some("\"Infinity\""));
    assert!(streamed[0].values.iter().skip(1).all(|(_, value)| value.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_in_a_decimal_stops_with_a_remedy_that_works() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql("CREATE TABLE t (id int PRIMARY KEY, n numeric(10, 2)); INSERT INTO t VALUES (1, 'NaN')")
        .unwrap();
    let open =
        async |keys: &[(&str, &str)]| Harness::open(&postgres.url(), keys, &Positions::new()).await.unwrap();
    let fault = open(&[("tables", "t")]).await.chunk().await.unwrap_err();
    assert!(fault.message.contains("holds NaN"), "{fault}");
    let rows = open(&[("tables", "t"), ("decimals", "text")]).await.take(1).await;
    assert_eq!(rows[0].get("n"), Some("\"NaN\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mode_the_tables_are_copied_and_the_source_ends() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE a AS SELECT generate_series(1, 20000) id; CREATE TABLE b (id int); CREATE TABLE c AS SELECT 1 id").unwrap();
    let keys = [("tables", "a b c")];
    let mut harness = Harness::open(&postgres.url(), &keys, &Positions::new()).await.unwrap();
    let rows = harness.take(20_001).await;
    assert!(harness.chunk().await.unwrap().is_none());
    let sum: i64 = rows
        .iter()
        .filter(|row| row.table == "public.a")
        .map(|row| row.get("id").unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(sum, 20_000 * 20_001 / 2);
    let mut again = Harness::open(&postgres.url(), &keys, &harness.positions).await.unwrap();
    assert!(again.chunk().await.unwrap().is_none(), "it was done");
}
