//! `kafka`: reads topics of a Kafka cluster, and writes one.
//!
//! The client is `acme-kafka`; here is what its records mean to a pipeline.

mod fault;
mod ready;
mod remains;
mod settings;
mod sink;
mod source;
mod worker;

pub use remains::{CommitTopic, Remains};

use acme_connect::{Connector, Maker, csv};
use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

const BROKERS: Field = Field::optional(
    "brokers",
    Kind::List(&Kind::Text),
    "Some brokers of the cluster, each `host:port`; the others are found through them. Without them it is the log that Acme \
     carries on this machine.",
);

const PROPERTIES: Field = Field::optional(
    "properties",
    Kind::Map(&Kind::Secret),
    "Kafka's own client properties by their names, such as `security.protocol` and `sasl.jaas.config`.",
);

const FORMAT: Field = Field::defaulted(
    "format",
    Kind::Choice(&["json", "csv", "raw"]),
    "json",
    "What a record's value is: `json` one document, `csv` one record of fields, `raw` bytes, in the column `value`.",
);

const CSV: Field =
    Field::optional("csv", Kind::Object(DIALECT), "How CSV is written; default: as RFC 4180 has it.");

const DIALECT: &[Field] = &[csv::DELIMITER, csv::QUOTE, csv::NULL];

static SOURCE_SPEC: Spec = Spec {
    name: "kafka",
    role: Role::Source,
    summary: "Reads topics of Kafka; workers of the same pipeline share the partitions as a consumer group.",
    fields: &[
        BROKERS,
        Field::optional(
            "topic",
            Kind::Text,
            "The topic. Exactly one of `topic`, `topics` and `topic_pattern` is given.",
        ),
        Field::optional("topics", Kind::List(&Kind::Text), "Several topics."),
        Field::optional(
            "topic_pattern",
            Kind::Text,
            "A regular expression that the whole name of a topic matches; topics that appear later are read too.",
        ),
        Field::optional(
            "group_id",
            Kind::Text,
            "The consumer group, which keeps the committed offsets; default: `acme-` and the pipeline's name.",
        ),
        Field::optional(
            "start_offset",
            Kind::Text,
            "Where reading begins when the group has no offsets: `earliest`, `latest`, a time such as `2026-01-01T00:00:00Z`, or \
             an offset, for all partitions or for each as in `0:42,1:300`. It counts once; partitions that appear later begin at \
             their beginning. By default `latest`, and in `mode: batch`, which ends there, `earliest`.",
        ),
        FORMAT,
        CSV,
        Field::optional(
            "schema",
            Kind::Map(&Kind::Text),
            "Fields with their SQL types, such as `{id: bigint, at: timestamp}`; every record is checked against them. CSV needs \
             it, in the order of the fields.",
        ),
        PROPERTIES,
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Append,
};

static SINK_SPEC: Spec = Spec {
    name: "kafka",
    role: Role::Destination,
    summary: "Writes to a topic of Kafka: in transactions that carry the pipeline's progress too, or idempotently beside a destination that does.",
    fields: &[
        BROKERS,
        Field::required(
            "topic",
            Kind::Text,
            "The topic. One that does not exist is created if `create` is given.",
        ),
        FORMAT,
        CSV,
        Field::optional(
            "key",
            Kind::Sql,
            "An expression whose value, as text, is the record's key: it decides the partition. Changes of rows have the row's key \
             as `{\"id\":1}` unless one is given, and a DELETE is a tombstone.",
        ),
        Field::optional(
            "headers",
            Kind::Map(&Kind::Sql),
            "Headers, each with an expression for its value; NULL leaves it out.",
        ),
        Field::optional("create", Kind::Object(CREATE), "Create the topic when it does not exist."),
        PROPERTIES,
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Upsert,
};

const CREATE: &[Field] = &[
    Field::optional("partitions", Kind::Int(1, 100_000), "How many partitions; default: the cluster's."),
    Field::optional("replication_factor", Kind::Int(1, 32_767), "How many replicas; default: the cluster's."),
    Field::optional(
        "config",
        Kind::Map(&Kind::Text),
        "Settings of the topic by Kafka's names, such as `retention.ms`.",
    ),
];

/// The source `kafka`.
pub static SOURCE: Connector = Connector { spec: &SOURCE_SPEC, make: Maker::Source(source::make) };
/// The destination `kafka`.
pub static DESTINATION: Connector = Connector { spec: &SINK_SPEC, make: Maker::Sink(sink::make) };
