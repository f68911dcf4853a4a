//! What is written down is what is there.

use acme::reference;
use acme_types::Role;
use expect_test::expect_file;

#[test]
fn the_reference_is_what_the_program_says_of_itself() {
    expect_file!["../../../../docs/reference/sources.md"].assert_eq(&reference::items(Role::Source));
    expect_file!["../../../../docs/reference/transforms.md"].assert_eq(&reference::items(Role::Transform));
    expect_file!["../../../../docs/reference/destinations.md"]
        .assert_eq(&reference::items(Role::Destination));
    expect_file!["../../../../docs/reference/errors.md"].assert_eq(&reference::errors());
}

#[test]
fn the_guides_pipelines_stand_as_the_guide_has_them() {
    assert_eq!(
        include_str!("../../../../examples/realtime-users.yaml"),
        r#"name: realtime-users
mode: streaming

sources:
  - type: postgres
    name: users_cdc
    connection: ${DATABASE_URL}
    mode: cdc
    publication: acme_pub
    slot: acme_users_slot
    tables:
      - public.users

transforms:
  - type: filter
    condition: "operation IN ('INSERT', 'UPDATE')"
  - type: map
    fields:
      changed_at: "NOW()"

destinations:
  - type: elasticsearch
    index: users
    id_field: id
"#
    );
    assert_eq!(
        include_str!("../../../../examples/kafka-events.yaml"),
        r#"name: kafka-events
mode: streaming

sources:
  - type: kafka
    name: event_stream
    brokers:
      - kafka1:9092
      - kafka2:9092
      - kafka3:9092
    topic: user-events
    group_id: acme-consumer
    format: json
    start_offset: latest

transforms:
  - type: filter
    condition: "event_type = 'purchase'"

destinations:
  - type: bigquery
    dataset: realtime
    table: purchases
    write_mode: append
    flush_interval: 10s
"#
    );
}
