//! What a pipeline does, in words.

use crate::harness::Place;
use expect_test::expect;

#[test]
fn the_graph_what_is_read_and_what_is_promised() {
    let place = Place::new();
    place.write(
        "p.yaml",
        r#"
name: shop
mode: batch
sources:
  - {type: file, name: events, path: in.jsonl}
transforms:
  - {type: filter, name: paid, condition: "status = 'paid' AND amount > 10"}
  - {type: map, name: tax, fields: {tax: "amount * 0.19"}, drop: [secret], rename: {id: order_id}}
  - {type: route, name: split, routes: {large: "amount > 100"}, default: small}
destinations:
  - {type: file, name: large, path: large.jsonl}
  - {type: stdout, name: small}
  - {type: file, name: raw, from: events, path: raw.jsonl}
  - {type: file, name: dead, path: dead.jsonl}
settings: {errors: {policy: dead_letter, to: dead}}
"#,
    );
    expect![[r#"
        pipeline shop (batch)

        source events (file)
          yields    JSON documents
          decodes   status as text, amount as number; the document travels as it came

        transform paid (filter) ← events
          condition status = 'paid' AND amount > 10
          state     none

        transform tax (map) ← paid
          fields    tax = amount * 0.19
          rename    id = order_id
          drop      secret
          state     none

        transform split (route) ← tax
          routes    large = amount > 100
          default   small
          state     none

        destination large (file) ← split.large
          receives  each document, with tax, without secret, id as order_id
          promises  exactly once: rows are prepared and take effect with the commit

        destination small (stdout) ← split.small
          receives  each document, with tax, without secret, id as order_id
          promises  at least once: rows since the last commit come again after a crash

        destination raw (file) ← events
          receives  the original bytes of each document
          promises  exactly once: rows are prepared and take effect with the commit

        destination dead (file)
          receives  rows that failed, with code, cause, step, origin and original
          promises  exactly once: rows are prepared and take effect with the commit

        commit      every 1.0s, where something moved
        bad rows    send it to "dead" with its cause
        end to end  at least once, because of "small"
    "#]]
    .assert_eq(&place.acme_ok(&["explain", "p.yaml"]));
}

#[test]
fn only_the_destination_that_holds_the_progress_promises_it() {
    let place = Place::new();
    place.write(
        "p.yaml",
        r#"
name: copies
sources:
  - {type: generator, name: rows, fields: {n: sequence}}
destinations:
  - {type: file, name: log, path: log.jsonl}
  - {type: postgres, name: first, connection: "postgres://a:b@localhost/c", table: t, key: n}
  - {type: postgres, name: second, connection: "postgres://a:b@localhost/d", table: t, key: n}
  - {type: postgres, name: third, connection: "postgres://a:b@localhost/d", table: rows, mode: append}
"#,
    );
    let text = place.acme_ok(&["explain", "p.yaml"]);
    let promises: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  promises  ")).collect();
    expect![[r#"
        [
            "exactly once: rows are prepared and take effect with the commit",
            "exactly once: rows and the pipeline's progress take effect in one transaction",
            "exactly once in effect: a row that comes again after a crash changes nothing",
            "at least once: rows since the last commit come again after a crash",
        ]
    "#]]
    .assert_debug_eq(&promises);
    assert!(text.contains("end to end  at least once, because of \"third\""), "{text}");
}

#[test]
fn a_dry_run_shows_every_step_and_writes_nothing() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":\"x\"}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n");
    place.write(
        "p.yaml",
        "name: dry\nsources: [{type: file, name: in, path: in.jsonl}]\ntransforms:\n  - {type: filter, name: odd, condition: \"n % 2 = 1\"}\n  - {type: map, name: more, fields: {double: \"n * 2\"}}\ndestinations: [{type: file, name: out, path: out.jsonl}]\n",
    );
    expect![[r#"
        source in (in.jsonl): 4 rows
          failed in in at in.jsonl@8: field "n" is text where the pipeline needs a number

        step odd: 3 rows in, 2 out
          {"n":1}
          {"n":3}

        step more: 2 rows in, 2 out
          {"n":1,"double":2}
          {"n":3,"double":6}

        destination out would receive 2 rows
          {"n":1,"double":2}
          {"n":3,"double":6}
    "#]]
    .assert_eq(&place.acme_ok(&["run", "p.yaml", "--dry-run", "--limit", "4"]));
    assert!(!place.path("out.jsonl").exists() && !place.path("state").exists());
}

#[test]
fn a_condition_on_the_clock_is_named_where_rows_may_come_again() {
    let place = Place::new();
    place.write("in.jsonl", "");
    let pipeline = |destination: &str, condition: &str| {
        format!(
            "name: p\nsources: [{{type: file, path: in.jsonl}}]\ntransforms:\n  - {{type: map, fields: {{age: \"NOW() - at::timestamp\"}}}}\n  - {{type: filter, name: recent, condition: \"{condition}\"}}\ndestinations: [{destination}]\n"
        )
    };
    let index = "{type: elasticsearch, url: \"http://localhost:9200\", index: i, id_field: id}";
    let explain = |text: String| {
        place.write("p.yaml", &text);
        place.acme_ok(&["explain", "p.yaml"])
    };
    let note = "\n  but       \"recent\" decides by NOW(): a row that comes again after a crash may be kept or dropped otherwise than before\n";
    for by_clock in ["at::timestamp > NOW()", "age < interval '1 hour'"] {
        let text = explain(pipeline(index, by_clock));
        assert!(text.ends_with(note), "{text}");
    }
    let text = explain(pipeline(index, "id > 3"));
    assert!(!text.contains("decides by"), "{text}");
    // What takes effect with the commit does not come again.
    let replica = "{type: postgres, connection: \"postgres://u@localhost/d\", table: t, key: id}";
    for committed in ["{type: file, path: out.jsonl}", replica] {
        let text = explain(pipeline(committed, "at::timestamp > NOW()"));
        assert!(!text.contains("decides by"), "{text}");
    }
}

#[test]
fn a_copy_that_may_be_made_again_is_named_where_rows_are_only_added() {
    let place = Place::new();
    let explain = |keys: &str, destination: &str| {
        place.write(
            "p.yaml",
            &format!(
                "name: p\nsources: [{{type: postgres, name: shop, connection: \"postgres://u@localhost/shop\", tables: [t], {keys}}}]\ntransforms: [{{type: map, fields: {{op: operation}}}}]\ndestinations: [{destination}]\n"
            ),
        );
        place.acme_ok(&["explain", "p.yaml"])
    };
    let note = "\n  but       rows that \"shop\" copies are at least once at \"out\": a copy that was interrupted is made again\n";
    let file = "{type: file, name: out, path: out.jsonl}";
    let text = explain("mode: cdc", file);
    assert!(text.ends_with(note), "{text}");
    let text = explain("mode: cdc, snapshot: never", file);
    assert!(!text.contains("copies are"), "{text}");
    let text =
        explain("mode: cdc", "{type: elasticsearch, url: \"http://localhost:9200\", index: i, id_field: id}");
    assert!(!text.contains("copies are"), "{text}");
}

#[test]
fn workers_of_a_group_are_told_of_with_what_keeps_their_progress() {
    let place = Place::new();
    place.write("kafka-events.yaml", include_str!("../../../../examples/kafka-events.yaml"));
    expect![[r#"
        pipeline kafka-events (streaming)

        source event_stream (kafka)
          yields    JSON documents
          decodes   event_type as text; the document travels as it came

        transform filter-1 (filter) ← event_stream
          condition event_type = 'purchase'
          state     none

        destination bigquery-1 (bigquery) ← filter-1
          receives  the original bytes of each document
          table     realtime.purchases; rows become visible every 10.0s
          promises  exactly once: rows are prepared and take effect with the commit

        commit      every 1.0s, where something moved
        progress    the committed offsets of the group "acme-consumer"
        workers     those that run this file share the partitions of "event_stream"
        bad rows    stop in front of it
        end to end  exactly once
    "#]]
    .assert_eq(&place.acme_ok(&["explain", "kafka-events.yaml"]));
}
