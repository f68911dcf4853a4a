//! The keys of our connectors that SQL can reach, as their crates declare them.

use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

pub(super) const ALL: &[&Spec] = &[
    &FILE_SOURCE,
    &FILE_SINK,
    &KAFKA_SOURCE,
    &KAFKA_SINK,
    &GENERATOR,
    &STDOUT,
    &NULL,
    &POSTGRES_SOURCE,
    &POSTGRES_SINK,
    &ELASTICSEARCH,
    &BIGQUERY,
    &FILTER,
];

const fn spec(name: &'static str, role: Role, fields: &'static [Field]) -> Spec {
    Spec { name, role, summary: "…", fields, delivery: Delivery::ExactlyOnce, change: Change::Append }
}

const FORMAT: Field = Field::defaulted("format", Kind::Choice(&["json", "csv"]), "json", "How records look.");
const CSV: Field = Field::optional(
    "csv",
    Kind::Object(&[
        Field::optional("delimiter", Kind::Text, "Between fields."),
        Field::optional("quote", Kind::Text, "Around fields."),
        Field::optional("header", Kind::Bool, "Names in front."),
        Field::optional("null", Kind::Text, "NULL."),
    ]),
    "How CSV is written.",
);
const SCHEMA: Field = Field::optional("schema", Kind::Map(&Kind::Text), "The fields.");

static FILE_SOURCE: Spec = spec(
    "file",
    Role::Source,
    &[
        Field::required("path", Kind::List(&Kind::Text), "Files to read; `*` matches names."),
        FORMAT,
        CSV,
        SCHEMA,
    ],
);
static FILE_SINK: Spec = spec(
    "file",
    Role::Destination,
    &[
        Field::required("path", Kind::Text, "The file."),
        FORMAT,
        CSV,
        Field::optional(
            "rotate",
            Kind::Object(&[
                Field::optional("size", Kind::Size, "Its size."),
                Field::optional("every", Kind::Duration, "Its age."),
            ]),
            "When a file is finished.",
        ),
    ],
);

const BROKERS: Field = Field::optional("brokers", Kind::List(&Kind::Text), "Some brokers.");
const PROPERTIES: Field = Field::optional("properties", Kind::Map(&Kind::Secret), "Kafka's own properties.");
const VALUES: Field =
    Field::defaulted("format", Kind::Choice(&["json", "csv", "raw"]), "json", "What a value is.");

static KAFKA_SOURCE: Spec = spec(
    "kafka",
    Role::Source,
    &[
        BROKERS,
        Field::optional("topic", Kind::Text, "The topic."),
        Field::optional("topics", Kind::List(&Kind::Text), "Several topics."),
        Field::optional("topic_pattern", Kind::Text, "A pattern of topics."),
        Field::optional("group_id", Kind::Text, "The group."),
        Field::optional("start_offset", Kind::Text, "Where reading begins."),
        VALUES,
        CSV,
        SCHEMA,
        PROPERTIES,
    ],
);
static KAFKA_SINK: Spec = spec(
    "kafka",
    Role::Destination,
    &[
        BROKERS,
        Field::required("topic", Kind::Text, "The topic. It is created where that is asked for."),
        VALUES,
        CSV,
        Field::optional("key", Kind::Sql, "The key."),
        Field::optional("headers", Kind::Map(&Kind::Sql), "The headers."),
        Field::optional(
            "create",
            Kind::Object(&[
                Field::optional("partitions", Kind::Int(1, 100_000), "How many."),
                Field::optional("config", Kind::Map(&Kind::Text), "Its settings."),
            ]),
            "How it is created.",
        ),
        PROPERTIES,
    ],
);
static GENERATOR: Spec = spec(
    "generator",
    Role::Source,
    &[
        Field::required("fields", Kind::Map(&Kind::Text), "The fields, each with what it holds."),
        Field::optional("rows", Kind::Int(0, i64::MAX), "How many."),
        Field::optional("rate", Kind::Int(1, 1_000_000_000), "How many a second."),
    ],
);
static STDOUT: Spec = spec("stdout", Role::Destination, &[]);
static NULL: Spec = spec("null", Role::Destination, &[]);

const CONNECTION: Field = Field::required("connection", Kind::Secret, "Where the server is.");

static POSTGRES_SOURCE: Spec = spec(
    "postgres",
    Role::Source,
    &[
        CONNECTION,
        Field::optional("mode", Kind::Choice(&["cdc"]), "How they are read."),
        Field::required("tables", Kind::List(&Kind::Text), "The tables."),
        Field::optional("heartbeat_interval", Kind::Duration, "How often it is heard of."),
    ],
);
static POSTGRES_SINK: Spec = spec(
    "postgres",
    Role::Destination,
    &[
        CONNECTION,
        Field::required("table", Kind::Text, "The table."),
        Field::optional("mode", Kind::Choice(&["upsert", "append"]), "How rows are applied."),
        Field::optional("key", Kind::List(&Kind::Text), "What identifies a row."),
        Field::defaulted("create", Kind::Bool, "true", "Create the table."),
    ],
);
static ELASTICSEARCH: Spec = spec(
    "elasticsearch",
    Role::Destination,
    &[
        Field::defaulted("url", Kind::List(&Kind::Text), "http://localhost:9200", "The nodes."),
        Field::required("index", Kind::Text, "The index."),
        Field::optional("id_field", Kind::List(&Kind::Text), "What identifies a document."),
        Field::optional("username", Kind::Text, "The user."),
        Field::optional("password", Kind::Secret, "The password."),
        Field::optional(
            "tls",
            Kind::Object(&[Field::optional("verify", Kind::Bool, "Certificates are checked.")]),
            "Certificates.",
        ),
        Field::optional("batch_bytes", Kind::Size, "The most bytes."),
        Field::optional("batch_rows", Kind::Int(1, 100_000), "The most rows."),
        Field::optional("timeout", Kind::Duration, "How long a request may take."),
    ],
);
static BIGQUERY: Spec =
    spec("bigquery", Role::Destination, &[Field::required("table", Kind::Text, "The table.")]);
static FILTER: Spec =
    spec("filter", Role::Transform, &[Field::required("condition", Kind::Sql, "Which rows stay.")]);
