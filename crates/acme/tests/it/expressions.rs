//! What a user may write where an expression stands, through the binary.

use crate::harness::Place;
use expect_test::expect;

const DOCUMENTS: &str = r#"{"payload":{"user":{"id":"u1","tags":["a","b"]},"order":{"date":7}},"code":"DE-17","at":"2026-11-21T10:20:30Z","amount":12.5,"note":null}
{"payload":{"user":{"id":"u2","tags":[]},"order":{"date":null}},"code":"fr-3","at":"2026-11-21T23:59:59.5+02:00","amount":3,"note":"x"}
"#;

#[test]
fn documents_are_reached_into_by_every_spelling() {
    let place = Place::new();
    place.write("in.jsonl", DOCUMENTS);
    place.write(
        "p.yaml",
        r#"name: paths
mode: batch
sources: [{type: file, path: in.jsonl}]
transforms:
  - {type: filter, condition: "payload.user.id LIKE 'u_' AND payload['user'] IS NOT NULL"}
  - type: select
    fields:
      - payload.user.id AS dots
      - payload['user']['id'] AS brackets
      - payload->'user'->>'id' AS arrows
      - payload.user AS whole
      - payload.order.date::bigint AS reserved
      - payload.user.tags[0]::text AS first
      - _meta.offset AS place
destinations: [{type: file, path: out.jsonl}]
"#,
    );
    place.acme_ok(&["run", "p.yaml"]);
    expect![[r#"
        {"dots":"u1","brackets":"u1","arrows":"u1","whole":{"id":"u1","tags":["a","b"]},"reserved":7,"first":"a","place":0}
        {"dots":"u2","brackets":"u2","arrows":"u2","whole":{"id":"u2","tags":[]},"reserved":null,"first":null,"place":138}
    "#]].assert_eq(&place.read("out.jsonl"));
}

#[test]
fn scalar_sql_computes_what_it_says() {
    let place = Place::new();
    place.write("in.jsonl", DOCUMENTS);
    place.write(
        "p.yaml",
        r#"name: scalars
mode: batch
sources: [{type: file, path: in.jsonl}]
transforms:
  - type: select
    fields:
      - CASE WHEN amount > 10 THEN 'large' ELSE 'small' END AS size
      - code ~ '^DE-[0-9]+$' AS german
      - code ~* '^(de|fr)-' AS known
      - regexp_replace(code, '[^0-9]', '', 'g') AS number
      - code LIKE 'DE%' AS begins
      - date_trunc('hour', at::timestamp) AS hour
      - extract(day FROM at::timestamp) AS day
      - at::timestamp + INTERVAL '1 day' AS later
      - coalesce(note::text, 'none') AS note
      - upper(code) || '/' || amount::text AS both
destinations: [{type: file, path: out.jsonl}]
"#,
    );
    place.acme_ok(&["run", "p.yaml"]);
    expect![[r#"
        {"size":"large","german":true,"known":true,"number":"17","begins":true,"hour":"2026-11-21T10:00:00","day":21,"later":"2026-11-22T10:20:30","note":"none","both":"DE-17/12.5"}
        {"size":"small","german":false,"known":true,"number":"3","begins":false,"hour":"2026-11-21T21:00:00","day":21,"later":"2026-11-22T21:59:59.500","note":"x","both":"FR-3/3"}
    "#]].assert_eq(&place.read("out.jsonl"));
}
