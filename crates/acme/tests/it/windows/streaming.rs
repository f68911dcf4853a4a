//! Clicks per user and minute, from a topic into PostgreSQL, late rows into another topic, killed while it runs.

use super::{assert_same, clicks, lines, millis, reckoned};
use crate::kafka::World;
use crate::lives::{Hits, Life, clear_marks, until};
use acme_lab::postgres::Postgres;
use std::collections::BTreeMap;

const PIPELINE: &str = r#"
name: clicks-per-minute
mode: streaming
sources:
  - type: kafka
    name: clicks
    BROKERS
    topic: clicks
    format: json
    start_offset: earliest
    event_time: {column: ts, unit: ms, max_out_of_orderness: 10s, idle_after: 1s}
transforms:
  - type: window
    name: per_user
    window: {type: tumbling, size: 1m, allowed_lateness: 5m}
    group_by: [CAST(user AS VARCHAR) AS user]
    aggregates: {clicks: "count(*)", total: "CAST(sum(n) AS BIGINT)"}
    late: {to: late_clicks}
destinations:
  - {type: postgres, name: counts, from: per_user, connection: "${DATABASE_URL}", table: clicks_per_minute, key: [user, window_start]}
  - {type: kafka, name: late_clicks, BROKERS, topic: clicks-late}
settings: {checkpoint: {interval: 100ms}}
"#;

const TABLE: &str = r#"CREATE TABLE clicks_per_minute ("user" text, window_start timestamptz, window_end timestamptz, clicks bigint,
  total bigint, PRIMARY KEY ("user", window_start))"#;

const PHASES: [&str; 6] =
    ["epoch.barrier", "task.saved", "epoch.prepared", "epoch.stored", "epoch.committed", "sink.write"];

fn minute(ts: i64) -> (i64, i64) {
    let start = ts - ts.rem_euclid(60_000);
    (start, start + 60_000)
}

#[test]
fn clicks_per_minute_are_right_in_the_database_whatever_is_killed() {
    let world = World::start();
    let postgres = Postgres::start().expect("PostgreSQL starts");
    postgres.psql(TABLE).expect("the table is made");
    world.topic("clicks", 3);
    world.topic("clicks-late", 1);
    world.pipeline("p.yaml", PIPELINE);
    let url = postgres.url();
    let environment = [("DATABASE_URL", url.as_str())];
    let rows = clicks(40_000, 9_000);
    let mut hits = Hits::default();
    let mut written = 0;
    for phase in PHASES {
        clear_marks(&world.place.path("marks"));
        let point = format!("{phase}@2");
        let mut life = Life::start(&world.place, "p.yaml", &environment, &point);
        let mark = world.place.path("marks").join(phase);
        until(&format!("{phase} is reached"), || {
            assert!(life.is_alive(), "{}", life.last_words());
            let next = (written + 500).min(rows.len());
            world.produce(&["-t", "clicks", "-p", "0"], &lines(&rows[written..next]));
            written = next;
            mark.exists()
        });
        life.kill();
        hits.add(phase);
    }
    hits.require(&PHASES);
    world.produce(&["-t", "clicks", "-p", "0"], &lines(&rows[written..]));
    // Long after all windows; and then a row that is too late for any. The partitions 1 and 2 stay empty: they are idle.
    let after = rows.iter().map(|row| row.1).max().expect("there are rows") + 3_600_000;
    let last = vec![("marker".to_owned(), after, 1), ("late".to_owned(), rows[0].1, 7)];
    let life = Life::start(&world.place, "p.yaml", &environment, "");
    let expected = reckoned(&rows, &|ts| vec![minute(ts)]);
    for row in last {
        world.produce(&["-t", "clicks", "-p", "0"], &lines(&[row]));
        // The marker first has to move the time.
        until("all windows are said", || {
            let count =
                postgres.psql("COPY (SELECT count(*) FROM clicks_per_minute) TO STDOUT").expect("it answers");
            count.trim() == expected.len().to_string()
        });
    }
    until("the late row is there", || world.consume("clicks-late", "%s\n").contains("\"late\""));
    life.stop();
    let copied = postgres.psql("COPY (SELECT * FROM clicks_per_minute) TO STDOUT").expect("it answers");
    let mut found = BTreeMap::new();
    for line in copied.lines() {
        let [user, start, end, clicks, total] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let at = |text: &str| millis(&text.replace(' ', "T").replace("+00", "Z"));
        found
            .insert((at(start), at(end), user.to_owned()), (clicks.parse().unwrap(), total.parse().unwrap()));
    }
    assert_same(&found, &expected);
    assert_eq!(world.consume("clicks-late", "%s\n").lines().count(), 1, "only one row was late");
}
