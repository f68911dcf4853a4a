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
