//! The files with which Flink runs the queries of Nexmark, word for word.

use super::shown;
use expect_test::{Expect, expect};

/// Everything but the three tables that all files have.
fn check(text: &str, expect: Expect) {
    let all = shown(text);
    let mut tables = all.split("table ");
    let warnings = tables.next().unwrap_or_default();
    let rest: Vec<&str> = tables
        .filter(|table| !["bid: ", "auction: ", "person: "].iter().any(|name| table.starts_with(name)))
        .collect();
    expect.assert_eq(&format!("{warnings}table {}", rest.join("table ")));
}

#[test]
fn all_files_declare_the_same_tables() {
    let all = shown(include_str!("nexmark/q0.sql"));
    let tables = all.find("table bid: ").map_or("", |at| &all[at..]);
    let tables = tables.split_once("table sink: ").map_or("", |(tables, _)| tables);
    expect![[r#"
        table bid: source file, bounded
          auction BIGINT
          bidder BIGINT
          price BIGINT
          channel STRING
          url STRING
          date_time BIGINT
          extra STRING
          ts = TO_TIMESTAMP_LTZ(date_time, 3)
          watermark ts - 4000000us: ts - INTERVAL '4' SECOND
          {path: [/data/bid.jsonl], format: json, schema: {auction: bigint, bidder: bigint, price: bigint, channel: string, url: string, date_time: bigint, extra: string}}
        table auction: source file, bounded, unused
          id BIGINT
          item_name STRING
          description STRING
          initial_bid BIGINT
          reserve BIGINT
          date_time BIGINT
          expires BIGINT
          seller BIGINT
          category BIGINT
          extra STRING
          ts = TO_TIMESTAMP_LTZ(date_time, 3)
          watermark ts - 4000000us: ts - INTERVAL '4' SECOND
          {path: [/data/auction.jsonl], format: json, schema: {id: bigint, item_name: string, description: string, initial_bid: bigint, reserve: bigint, date_time: bigint, expires: bigint, seller: bigint, category: bigint, extra: string}}
        table person: source file, bounded, unused
          id BIGINT
          name STRING
          email_address STRING
          credit_card STRING
          city STRING
          state STRING
          date_time BIGINT
          extra STRING
          ts = TO_TIMESTAMP_LTZ(date_time, 3)
          watermark ts - 4000000us: ts - INTERVAL '4' SECOND
          {path: [/data/person.jsonl], format: json, schema: {id: bigint, name: string, email_address: string, credit_card: string, city: string, state: string, date_time: bigint, extra: string}}
    "#]].assert_eq(tables);
}

#[test]
fn a_topic_is_filtered_into_another() {
    expect![[r#"
        table bid: source kafka, bounded
          auction BIGINT
          bidder BIGINT
          price BIGINT
          channel STRING
          url STRING
          date_time BIGINT
          extra STRING
          {brokers: [127.0.0.1:19092], topic: bids, group_id: fl1, start_offset: earliest, format: json, schema: {auction: bigint, bidder: bigint, price: bigint, channel: string, url: string, date_time: bigint, extra: string}}
        table o: destination kafka
          auction BIGINT
          bidder BIGINT
          price BIGINT
          channel STRING
          url STRING
          date_time BIGINT
          extra STRING
          {brokers: [127.0.0.1:19092], topic: out, format: json}
        insert o() SELECT * FROM bid WHERE channel = 'Apple'
          reads bid 3:29
    "#]].assert_eq(&shown(include_str!("nexmark/kafka-filter.sql")));
}

#[test]
fn q0_passes_everything_on() {
    check(
        include_str!("nexmark/q0.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "auction"
          --> job.sql:2:14
        warning[A0110]: nothing reads or writes the table "person"
          --> job.sql:3:14
        table sink: destination null
          auction BIGINT
          bidder BIGINT
          price BIGINT
          ts TIMESTAMP_LTZ(3)
          extra STRING
          {}
        insert sink() SELECT auction, bidder, price, ts, extra FROM bid
          reads bid 5:64
    "#]],
    );
}

#[test]
fn q2_filters() {
    check(
        include_str!("nexmark/q2.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "auction"
          --> job.sql:2:14
        warning[A0110]: nothing reads or writes the table "person"
          --> job.sql:3:14
        table sink: destination null
          auction BIGINT
          price BIGINT
          {}
        insert sink() SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0
          reads bid 5:45
    "#]],
    );
}

#[test]
fn q5_joins_hopping_windows() {
    check(
        include_str!("nexmark/q5.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "auction"
          --> job.sql:2:14
        warning[A0110]: nothing reads or writes the table "person"
          --> job.sql:3:14
        table sink: destination null
          auction BIGINT
          num BIGINT
          ws TIMESTAMP(3)
          we TIMESTAMP(3)
          {}
        insert sink() SELECT A.auction, A.num, A.window_start, A.window_end FROM (SELECT auction, count(*) AS num, window_start, window_end FROM HOP('bid', 'ts', INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY auction, window_start, window_end) AS A JOIN (SELECT max(num) AS maxn, window_start, window_end FROM (SELECT count(*) AS num, window_start, window_end FROM HOP('bid', 'ts', INTERVAL '2' SECOND, INTERVAL '10' SECOND) GROUP BY auction, window_start, window_end) AS C GROUP BY window_start, window_end) AS B ON A.window_start = B.window_start AND A.window_end = B.window_end AND A.num >= B.maxn
          window Hop { slide_us: 2000000, size_us: 10000000, offset_us: 0 } of bid.ts
          window Hop { slide_us: 2000000, size_us: 10000000, offset_us: 0 } of bid.ts
          reads bid 5:157, bid 5:403
    "#]],
    );
}

#[test]
fn q8_joins_tumbling_windows() {
    check(
        include_str!("nexmark/q8.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "bid"
          --> job.sql:1:14
        table sink: destination null
          id BIGINT
          name STRING
          ws TIMESTAMP(3)
          {}
        insert sink() SELECT P.id, P.name, P.window_start FROM (SELECT id, name, window_start, window_end FROM TUMBLE('person', 'ts', INTERVAL '10' SECOND) GROUP BY id, name, window_start, window_end) AS P JOIN (SELECT seller, window_start, window_end FROM TUMBLE('auction', 'ts', INTERVAL '10' SECOND) GROUP BY seller, window_start, window_end) AS A ON P.id = A.seller AND P.window_start = A.window_start AND P.window_end = A.window_end
          window Tumble { size_us: 10000000, offset_us: 0 } of person.ts
          window Tumble { size_us: 10000000, offset_us: 0 } of auction.ts
          reads person 5:126, auction 5:293
    "#]],
    );
}

#[test]
fn q11_counts_sessions() {
    check(
        include_str!("nexmark/q11.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "auction"
          --> job.sql:2:14
        warning[A0110]: nothing reads or writes the table "person"
          --> job.sql:3:14
        table sink: destination null
          bidder BIGINT
          bid_count BIGINT
          ws TIMESTAMP(3)
          we TIMESTAMP(3)
          {}
        insert sink() SELECT bidder, count(*), window_start, window_end FROM SESSION('bid', 'ts', INTERVAL '10' SECOND, 'bidder') GROUP BY bidder, window_start, window_end
          window Session { gap_us: 10000000 } of bid.ts by bidder
          reads bid 5:93
    "#]],
    );
}

#[test]
fn q18_keeps_the_newest_row() {
    check(
        include_str!("nexmark/q18.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "auction"
          --> job.sql:2:14
        warning[A0110]: nothing reads or writes the table "person"
          --> job.sql:3:14
        table sink: destination null
          auction BIGINT
          bidder BIGINT
          price BIGINT
          channel STRING
          ts TIMESTAMP_LTZ(3)
          {}
        insert sink() SELECT auction, bidder, price, channel, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY ts DESC) AS rank_number FROM bid) WHERE rank_number <= 1
          reads bid 5:163
    "#]],
    );
}

#[test]
fn windows_of_a_minute_count() {
    check(
        include_str!("nexmark/win1m.sql"),
        expect![[r#"
        warning[A0110]: nothing reads or writes the table "auction"
          --> job.sql:2:14
        warning[A0110]: nothing reads or writes the table "person"
          --> job.sql:3:14
        table sink: destination null
          bidder BIGINT
          n BIGINT
          ws TIMESTAMP(3)
          {}
        insert sink() SELECT bidder, count(*), window_start FROM TUMBLE('bid', 'ts', INTERVAL '60' SECOND) GROUP BY bidder, window_start, window_end
          window Tumble { size_us: 60000000, offset_us: 0 } of bid.ts
          reads bid 5:80
    "#]],
    );
}
